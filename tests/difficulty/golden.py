"""The shared golden vectors, by group; tests that need them skip where the specification is not here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2].parent / "shared" / "specs" / "golden.json"


def group(name: str) -> dict:
    if not PATH.exists():
        pytest.skip("the shared specification is not here")
    (found,) = [g for g in json.loads(PATH.read_text())["groups"] if g["id"] == name]
    return found

"""docs/verify.md lists what there is: every constraint with its arguments, every value of auto."""

from __future__ import annotations

import re
from pathlib import Path

from curator.verdicts.auto import BY_TYPE
from curator.verdicts.checks import CHECKS
from curator.verdicts.constraints import IFEVAL, _parameters

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "verify.md").read_text()


def section(title):
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_constraint_is_listed_with_its_arguments():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section("Constraints"), re.M))
    assert set(rows) == set(CHECKS)
    for name, cell in rows.items():
        listed = [] if cell == "-" else [a.rstrip("?") for a in cell.split(", ")]
        assert listed == list(_parameters(name)), name
    assert f"{len(IFEVAL)} of its 25" in section("Constraints")


def test_every_value_of_auto_is_listed_with_its_kind():
    listed = {}
    for values, kind in re.findall(r"^\| (.+?) \| `(\w+)`", section("auto"), re.M):
        listed |= {v.strip(): kind for v in values.split(",") if "neither column" not in values}
    assert listed == dict(BY_TYPE)

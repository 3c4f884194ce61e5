"""Dataset folders for trainers and the Hub: formats, card, push, and the check that no thinking is lost."""

from __future__ import annotations

from curator.export.labels import token_labels
from curator.export.rerun import export_run
from curator.export.survive import Loss, thinking_survives

__all__ = ["Loss", "export_run", "thinking_survives", "token_labels"]

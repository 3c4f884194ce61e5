"""The pocket reasoner: a tiny language model of our own and the arithmetic world that it was trained on.

`world` (problems, exact answers, splits) and `traces` (long and short solutions by program) need only the standard
library; `train` and `evaluate` need torch and transformers. Nothing heavy is imported here.
"""

from __future__ import annotations

from pathlib import Path

MODEL_DIR = Path(__file__).parent / "model"
"""Folder of the shipped weights, tokenizer, chat template and `train.json`."""

"""`python -m curator.pocket.card`: puts what was measured into the marked places of the model card.

Reads `benchmarks/results/pocket.json` and the model's `train.json`; no number on the card is written by hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from . import MODEL_DIR
from .promises import table

CARD = Path("data_cards/pocket-reasoner.md")
RESULTS = Path("benchmarks/results/pocket.json")


def how_made(record: dict[str, Any]) -> str:
    """Return the line on this very model from its `train.json`."""
    products = "bf16 products, fp32 weights" if record["products"] == "bf16" else "fp32, no bf16 instructions"
    return (
        f"- This model: {record['steps_done']} steps of {record['recipe']['examples']} examples, "
        f"{record['tokens'] / 1e6:.1f} M tokens, {record['minutes']:.0f} minutes of computing ({products}), "
        f"seed {record['recipe']['seed']}. {record.get('history', '')}".rstrip()
    )


def _by_operations(report: dict[str, Any]) -> list[str]:
    lines = [
        "| operations | accuracy | boxed | with a switch word | tokens | n |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for n_ops, v in report["accuracy"].items():
        shares = " | ".join(f"{v[name]:.3f}" for name in ("accuracy", "boxed", "switch"))
        lines.append(f"| {n_ops} | {shares} | {v['tokens']:.0f} | {v['n']} |")
    return lines


def _rewriting(report: dict[str, Any]) -> list[str]:
    lines = [
        "| rewriting | level right | sections right | equations kept | answer kept, own right traces | tokens, own |",
        "| --- " * 6 + "|",
    ]
    for level, given in report["rewriting"].items():
        own = report["rewriting_own"][level]
        shares = " | ".join(f"{given[name]:.3f}" for name in ("level", "sections", "equations"))
        lines.append(f"| {level} | {shares} | {own['kept']:.3f} (n {own['n']}) | {own['ratio']:.3f} |")
    return lines


def _others(report: dict[str, Any]) -> list[str]:
    new, on, gsm8k = report["proposing"], report["continuing"], report["gsm8k"]
    lines = [
        f"- New problems: {new['solvable']:.3f} solvable at T = 0.8, {new['solvable_at_0.4']:.3f} at T = 0.4 "
        f"({new['n']} requests), {new['n_ops']:.1f} operations on average.",
        f"- Continuation with switch words banned as the first word: {on['banned_switch']['right']:.3f} right; fewer "
        f"steps than the original tail in {on['banned_switch']['fewer_steps']:.3f}.",
    ]
    for part, what in (("same_answer", "Same answer"), ("same_problem", "Same problem")):
        lines.append(
            f"- {what}, yes or no: {report[part]['right']:.3f} right, compared without a slip in "
            f"{report[part]['compared']:.3f} ({report[part]['n']} pairs, half of each)."
        )
    if "right" in gsm8k:
        lines.append(
            f"- GSM8K (outside its world): {gsm8k['right']:.3f} of {gsm8k['n']} right, {gsm8k['boxed']:.3f} boxed, "
            f"{gsm8k['at_cap']:.3f} stopped at the cap of 512 tokens."
        )
    return lines


def more(report: dict[str, Any]) -> str:
    """Return what stands below the table of promises."""
    spread = report["spread"]
    mix = (
        f"Pass rates over 8 samples at T = 0.8 on the shipped mix ({spread['n']} problems): mean {spread['mean']:.3f}, "
        f"{spread['tokens']:.0f} tokens a sample."
    )
    head = "By number of operations (greedy; n held-out problems each):"
    return "\n".join([head, "", *_by_operations(report), "", mix, "", *_rewriting(report), "", *_others(report)])


def put(card: str, mark: str, body: str) -> str:
    """Return the card with `body` between `<!-- mark -->` and `<!-- /mark -->`."""
    start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    return re.sub(re.escape(start) + ".*?" + re.escape(end), lambda _: f"{start}{body}\n{end}", card, flags=re.DOTALL)


def main() -> None:
    """Command line; run it in the project's root after `benchmarks/pocket.py`."""
    report = json.loads(RESULTS.read_text())
    record = json.loads((MODEL_DIR / "train.json").read_text())
    card = CARD.read_text()
    for mark, body in (("run", how_made(record)), ("table", table(report)), ("more", more(report))):
        card = put(card, mark, body)
    CARD.write_text(card)


if __name__ == "__main__":
    main()

"""The paragraph of the card on text that no model wrote: where it is told, and which formats could not."""

from __future__ import annotations

from curator.export.folder import Summary

_MARKED = {"axolotl": "`train_detail` of the message", "hf": "`reasoning_inserted` and `response_inserted`"}


def inserted(summary: Summary) -> str:
    """Return what keeps training off the text that no model wrote; empty where there is none."""
    lines = [
        f"Config `{c.name}`: {c.masked:,} rows hold such text, and say where ({_MARKED.get(c.format.name, 'columns')})."
        for c in summary.configs
        if c.format and c.masked
    ]
    lines += [
        f"Config `{c.name}`: {c.left_out['inserted']:,} rows are left out, because this format has no way to say it."
        for c in summary.configs
        if c.left_out["inserted"]
    ]
    if summary.learn:
        lines.append(f"By choice of whoever exported, text of these kinds is trained on: {', '.join(summary.learn)}.")
    if not lines:
        return ""
    head = "Hints, outputs of programs and words of templates were put into some traces. Training must not learn them."
    return "## Text that no model wrote\n\n" + head + "\n\n" + "\n".join(f"- {line}" for line in lines)

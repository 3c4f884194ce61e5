"""The text of the dataset card below its metadata: how to load it, how it was made, what is in it, what it is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from curator.export import licenses
from curator.export.card_inserted import inserted
from curator.export.example import REASONS
from curator.export.facts import MAX_GROUPS, Facts
from curator.export.folder import Config, Summary
from curator.export.stats import ColumnStats

SAMPLE_CHARS = 800  # of each text in the sample row
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+(@[\w.-]+)?$")
_ARXIV = re.compile(r"arXiv[: ]\s?(\d{4}\.\d{4,5})", re.I)


def body(summary: Summary, facts: Facts, meta: Mapping[str, Any]) -> str:
    """Return the card's Markdown below the front matter."""
    parts = (
        _intro(summary, facts, meta), _load(summary), _made(facts), _models(facts), _sources(facts, meta),
        _decontamination(facts), _verification(facts), _statistics(summary), _sample(summary.configs[0]),
        inserted(summary), _left_out(summary), _limitations(facts, meta), _citation(facts),
    )  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def cell(value: Any) -> str:
    """Return a value as the text of one Markdown table cell, with nothing that Markdown or HTML would act on."""
    if isinstance(value, bool):
        value = str(value).lower()
    number = f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else None
    text = number or ("" if value is None else str(value))
    text = re.sub(r"\s+", " ", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|!#~])", r"\\\1", text)[:200]


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a Markdown table; every cell is escaped."""
    names = list(head)
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def fence(text: str, language: str) -> str:
    """Return `text` in a code block whose fence is longer than any run of backticks inside."""
    longest = max((len(m) for m in re.findall(r"`+", text)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}{language}\n{text}\n{mark}"


def _intro(summary: Summary, facts: Facts, meta: Mapping[str, Any]) -> str:
    first = summary.configs[0]
    kind = f", written for {first.format.trainer} ({first.format.meaning})" if first.format else ""
    return (
        f"# {cell(meta['pretty_name'])}\n\n{sum(first.rows.values()):,} rows from {summary.problems:,} problems{kind}. "
        f"Made by `curator` from the pipeline {cell(facts.name)}; the card is generated from the run's receipts."
    )


def _load(summary: Summary) -> str:
    split = next(iter(summary.configs[0].rows))
    others = [f'{c.name} = load_dataset(where, "{c.name}", split="{split}")' for c in summary.configs[1:]]
    others = [line.replace("-", "_", line.split(" = ")[0].count("-")) for line in others]
    code = "\n".join(
        ["from datasets import load_dataset", "", 'where = "."  # this folder, or its id on the Hub',
         f'rows = load_dataset(where, split="{split}")', *others]
    )  # fmt: skip
    configs = [
        (c.name, c.format.meaning.replace("`", "") if c.format else "every column of every row", split, c.rows[split],
         ", ".join(c.schema.names[:12]) + (" ..." if len(c.schema) > 12 else ""))
        for c in summary.configs for split in c.rows
    ]  # fmt: skip
    return (
        "## How to load\n\n" + fence(code, "python") + "\n\n"
        + table(("config", "what", "split", "rows", "columns"), configs)
    )  # fmt: skip


def _made(facts: Facts) -> str:
    keys = ("step", "op", "rows_in", "made", "out", "dropped")
    steps = [tuple(r.get(k) for k in keys) for r in facts.receipts]
    reasons = [
        (r.get("step"), reason, n)
        for r in facts.receipts
        for reason, n in sorted((r.get("reasons") or {}).items(), key=lambda kv: (-kv[1], kv[0]))
    ]
    text = (
        "## How it was made\n\nThe whole pipeline is in [pipeline.yaml](pipeline.yaml); "
        f"`curator run pipeline.yaml` runs it again (seed {facts.seed})."
    )
    if steps:
        text += "\n\n" + table(("step", "operator", "rows in", "made", "out", "dropped"), steps)
    if reasons:
        text += "\n\nWhy rows were dropped:\n\n" + table(("step", "reason", "rows"), reasons)
    for receipt in facts.receipts:
        for title, rows in (receipt.get("reports") or {}).items():
            if rows:
                text += f"\n\n{cell(receipt.get('step'))}: {cell(title)}\n\n"
                text += table(rows[0], (r.values() for r in rows[:MAX_GROUPS]))
    return text


def _spec(engine: Any, key: str) -> Any:
    return engine.get(key) if isinstance(engine, Mapping) else getattr(engine, key, None)


def _terms(kind: Any, model: Any) -> str:
    """Where to read what may be done with a model's output. Points, does not judge."""
    if kind == "pocket":
        return "card of the pocket model, in the curator repository"
    if kind in ("vllm", "transformers"):
        return f"card of {model} on the Hub" if _HUB_ID.match(str(model)) else "where the model came from"
    return "terms of the service" if kind == "openai" else "not known"


def _models(facts: Facts) -> str:
    usage: dict[str, dict[str, float]] = {}
    for receipt in facts.receipts:
        for alias, used in (receipt.get("engines") or {}).items():
            total = usage.setdefault(alias, {})
            for key, n in used.items():
                if isinstance(n, int | float):
                    total[key] = total.get(key, 0) + n
    if not (facts.models or usage or facts.engines):
        return "## Models\n\nNo model wrote any text of this run."
    models = {g.get("engine"): g.get("model") for g in facts.models if g.get("engine")}
    rows = []
    for alias in dict.fromkeys([*facts.engines, *usage]):
        engine, used = facts.engines.get(alias), usage.get(alias, {})
        model = models.get(alias) or _spec(engine, "model") or _spec(_spec(engine, "settings") or {}, "model")
        tokens = [int(used.get(k, 0)) for k in ("requests", "tokens_in", "tokens_out")]
        kind = _spec(engine, "kind")
        rows.append((alias, kind, model, *tokens, f"{used.get('cost', 0.0):.4f}", _terms(kind, model)))
    head = ("engine", "kind", "model", "requests", "prompt tokens", "completion tokens", "cost", "terms")
    text = "## Models\n\n" + (table(head, rows) if rows else "")
    named = [(g.get("model"), g.get("engine"), g["n"]) for g in facts.models]
    if named:
        text += "\n\nWho wrote the traces of these rows:\n\n" + table(("model", "engine", "rows"), named)
    return text + (
        "\n\nText written by a model can be subject to the licence or the terms of that model and of its service. "
        "This card does not repeat them: read them where the model is published before you train or share."
    )


def _sources(facts: Facts, meta: Mapping[str, Any]) -> str:
    text = "## Sources and licences\n\n"
    if facts.sources:
        rows = []
        for group in facts.sources:
            found = group.get("license")
            rows.append(
                (group.get("source") or "not stated", found or "unknown", licenses.known(found) or "-", group["n"])
            )
        text += table(("source", "licence as found", "id", "rows"), rows)
        if facts.n_sources > MAX_GROUPS:
            text += f"\n\n... and {facts.n_sources - MAX_GROUPS:,} more."
    else:
        text += "The rows name no source and no licence."
    if meta["license"] == "unknown":
        text += "\n\n**The licence is unknown**: no row names one. Find out before you share this dataset."
    elif meta["license"] == "other":
        text += "\n\nNot every row has a licence that the Hub knows, so the card says `other`; the table has all."
    return text


def _decontamination(facts: Facts) -> str:
    steps = facts.steps("decontaminate")
    if not steps:
        return "## Decontamination\n\nNo decontamination step ran: benchmark problems may be among the rows."
    rows = []
    for receipt in steps:
        settings = dict(receipt.get("settings") or {})
        against = settings.pop("against", None)
        names = against if isinstance(against, list | tuple) else [against]
        plain = ((k, v) for k, v in sorted(settings.items()) if isinstance(v, str | int | float) and "/" not in str(v))
        rest = ", ".join(f"{k}={v}" for k, v in plain)
        listed = ", ".join(str(name).replace("\\", "/").rstrip("/").rpartition("/")[2] for name in names)
        rows.append((receipt.get("step"), listed, rest, receipt.get("dropped")))
    return "## Decontamination\n\n" + table(("step", "against", "settings", "rows dropped"), rows)


def _verification(facts: Facts) -> str:
    if not facts.verdicts:
        return "## Verification\n\nNo answer was checked in this run."
    rows = [(g.get("verifier") or "-", g.get("verdict") or "-", g["n"]) for g in facts.verdicts]
    return "## Verification\n\n" + table(("verifier", "verdict", "rows"), rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _statistics(summary: Summary) -> str:
    def row(s: ColumnStats) -> tuple[Any, ...]:
        counts = sorted((s.values or {}).items(), key=lambda kv: (-kv[1], kv[0]))
        repeats = len(counts) * 2 <= s.rows - s.nulls  # otherwise they are ids or texts, not categories
        top = "; ".join(f"{v}: {n:,}" for v, n in counts) if repeats else ""
        measured = (s.low, s.median, s.mean, s.high) if s.count else ()
        numbers = [_number(v) for v in measured] or [""] * 4
        return (s.name, str(s.type).split("<")[0], s.nulls, s.unit, *numbers, top)

    head = ("column", "type", "null", "unit", "min", "median", "mean", "max", "values")
    text = "## Statistics\n\nMedians are within 1 %. The texts of config `default`:\n\n"
    text += table(head, map(row, summary.text_stats.columns))
    if any(c.format is None for c in summary.configs):
        text += "\n\nThe columns of config `metadata`:\n\n" + table(head, map(row, summary.input_stats.columns))
    return text


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > SAMPLE_CHARS:
        return value[:SAMPLE_CHARS] + f" ... ({len(value):,} characters)"
    if isinstance(value, list):
        return [_cut(v) for v in value]
    return {k: _cut(v) for k, v in value.items()} if isinstance(value, dict) else value


def _sample(config: Config) -> str:
    text = json.dumps(_cut(config.sample), ensure_ascii=False, indent=2, default=str)
    return "## A row\n\n" + fence(text, "json")


def _left_out(summary: Summary) -> str:
    rows = [(c.name, code, REASONS.get(code, ""), n) for c in summary.configs for code, n in sorted(c.left_out.items())]
    merged = [
        f"Config `{c.name}` has one row a problem: {c.merged:,} further samples are not in it."
        for c in summary.configs
        if c.merged
    ]
    if not rows and not merged:
        return ""
    text = "## Not in the training configs\n"
    if rows:
        text += (
            "\nRows that cannot be a training example; ids, reasons and evidence are in `left_out/`.\n\n"
            + table(("config", "reason", "meaning", "rows"), rows) + "\n"
        )  # fmt: skip
    return (text + "".join(f"\n{line}\n" for line in merged)).rstrip()


def _limitations(facts: Facts, meta: Mapping[str, Any]) -> str:
    lines = []
    if facts.models or facts.engines:
        lines.append("Traces are written by language models: a right answer does not make every step before it right.")
    if facts.verdicts:
        lines.append("Verification compares final answers only, with the verifier named above; it can err both ways.")
    else:
        lines.append("Answers were not verified.")
    if facts.steps("decontaminate"):
        lines.append("Decontamination covers the benchmarks listed, with the method listed; rewordings can remain.")
    if facts.steps("compress"):
        lines.append(
            "Short traces are rewrites by a model; difficulty levels are its judgement unless noted otherwise."
        )
    if meta["license"] in ("unknown", "other"):
        lines.append("The licence of some or all sources is not known.")
    lines.append("The statistics describe what is here, not what a model learns from it.")
    return "## Limitations\n\n" + "\n".join(f"- {line}" for line in lines)


def _citation(facts: Facts) -> str:
    found = {number: "the pipeline file" for number in _ARXIV.findall(facts.pipeline)}
    for receipt in facts.receipts:
        for number in _ARXIV.findall(_doc(str(receipt.get("op")))):
            found.setdefault(number, f"step {cell(receipt.get('step'))}")
    if not found:
        return ""
    lines = [f"- [arXiv:{number}](https://arxiv.org/abs/{number}), named by {where}" for number, where in found.items()]
    return "## Citation\n\nMethods this dataset rests on; cite them beside it.\n\n" + "\n".join(lines)


def _doc(op: str) -> str:
    """Return an operator's docstring, where it is one of the built-in ones (nothing foreign is imported for a card)."""
    from curator import op as ops

    return ops.find(op).doc if op in ops.builtin_names() else ""

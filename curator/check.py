"""Everything that is wrong with a pipeline, before the first row: each mistake with its file, line and near miss.

`load` for those who want a pipeline or an error, `check_page` for those who want the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from curator import flow, near
from curator.build import Builder
from curator.errors import CheckError, InputError
from curator.pipeline import EngineSpec, Gaps, Pipeline, Problem, Step, every
from curator.settings import engine_room
from curator.yaml_io import Page, parse


def load(file: str | Path, overrides: Sequence[str] = (), *, seed: int | None = None) -> Pipeline:
    """Return the pipeline of a YAML file.

    Args:
        file: path of the page.
        overrides: `steps.generate.n=8`, `engines.teacher.model=...`, `seed=3`; the value is YAML.
        seed: replaces the page's seed.

    Raises:
        CheckError: the page has mistakes; the message lists all of them, one a line.
        InputError: the file cannot be read.
    """
    pipeline, problems = check_file(file, overrides, seed=seed)
    refuse(problems)
    return pipeline


def check_file(
    file: str | Path, overrides: Sequence[str] = (), *, seed: int | None = None
) -> tuple[Pipeline, list[Problem]]:
    """Return the pipeline of a YAML file as far as it could be built, and every mistake in it."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        close = near.nearest(Path(file).name, (p.name for p in Path(file).parent.glob("*.y*ml")))
        msg = f"no file '{file}'" + (f"; did you mean '{Path(file).parent / close}'?" if close else "")
        raise InputError(msg) from None
    except (OSError, UnicodeDecodeError) as e:
        msg = f"cannot read '{file}': {e}"
        raise InputError(msg) from None
    return check_page(parse(text, str(file)), overrides, seed=seed)


def check_page(page: Page, overrides: Sequence[str] = (), *, seed: int | None = None) -> tuple[Pipeline, list[Problem]]:
    """Return the pipeline of a page as far as it could be built, and every mistake in it, in the order of the page."""
    problems = [Problem(where, message) for where, message in page.faults]
    builder = Builder(page, problems)
    pipeline = builder.build(overrides, seed)
    problems += check_pipeline(pipeline, builder.gaps)
    return pipeline, sorted(problems, key=lambda p: (p.where.line is None, p.where.line or 0))


def check_pipeline(pipeline: Pipeline, gaps: Gaps | None = None) -> list[Problem]:
    """Return every mistake of a built pipeline: order, engines and what they can do, columns through every step.

    Args:
        pipeline: what to check.
        gaps: what is known to be wrong already, so that one mistake is told once.
    """
    gaps = gaps or Gaps()
    return [*_check_order(pipeline, gaps), *_check_engines(pipeline), *flow.check(pipeline, gaps)]


def refuse(problems: Iterable[Problem]) -> None:
    """Raise CheckError with all problems, one a line; do nothing where there are none."""
    lines = [str(p) for p in problems]
    if lines:
        raise CheckError("\n".join(lines))


def _check_order(pipeline: Pipeline, gaps: Gaps) -> list[Problem]:
    """A source first and only there; nothing but sinks after a sink."""
    problems = []
    steps = pipeline.steps
    if steps and 0 not in gaps.unknown and steps[0].kind != "source":
        problems.append(
            Problem(steps[0].where, f"the first step is {steps[0].label}; it must be a source, such as read")
        )
    for before, step in zip(steps, steps[1:], strict=False):
        if step.kind == "source":
            problems.append(Problem(step.where, f"{step.label} is a source and must be the first step"))
        if before.kind == "sink" and step.kind not in ("sink", "source"):
            problems.append(
                Problem(step.where, f"{step.label} comes after {before.label}, which writes; put it before")
            )
    if not steps and pipeline.where.file == "<python>":
        problems.append(Problem(pipeline.where, "the pipeline has no steps"))
    for outer in steps:
        for step in (s for s in outer.body if s.kind in NOT_INSIDE):
            problems.append(Problem(step.where, f"{outer.label}.{step.label}: {NOT_INSIDE[step.kind]}"))
    return problems


NOT_INSIDE: Mapping[str, str] = {
    "loop": "a loop does not stand in a loop; raise the rounds of the outer one, or put one after the other",
    "source": "a source does not stand in a loop; its steps begin with the rows that enter it",
    "sink": "a sink does not stand in a loop; put it after the loop (every round keeps its rows in its own folder)",
}


def _check_engines(pipeline: Pipeline) -> list[Problem]:
    """Aliases exist; kinds can do what the steps want; their extras and keys are there."""
    engines = engine_room()
    problems = []
    asked: dict[str, frozenset[str]] = {}
    for step in (s for s in every(pipeline.steps) if not s.body):
        for setting, alias in step.engines.items():
            where = step.lines.get(setting.partition("[")[0], step.where)
            spec = pipeline.engines.get(alias)
            if spec is None:
                way = near.hint(alias, pipeline.engines) or f"; add `engines: {{{alias}: {{kind: ...}}}}`"
                problems.append(Problem(where, f"{step.label}: no engine '{alias}'{way}"))
                continue
            wanted = _wanted(step, setting.partition("[")[0])
            asked[alias] = asked.get(alias, frozenset()) | wanted
            if spec.kind in engines.kinds() and (lacking := wanted - engines.capabilities_of(spec.kind, spec.settings)):
                problems.append(Problem(where, _cannot(step, spec, lacking)))
    for spec in pipeline.engines.values():
        known, wanted = spec.kind in engines.kinds(), asked.get(spec.alias, frozenset())
        lacking_here = engines.missing(spec.kind, spec.settings, wanted) if known else ()
        problems += [Problem(spec.where, f"engine '{spec.alias}': {message}") for message in lacking_here]
    return problems


def _wanted(step: Step, setting: str) -> frozenset[str]:
    try:
        wants = step.op.wants(step.bound)
    except (KeyError, TypeError, ValueError):
        return frozenset()  # its settings are wrong, and that is told elsewhere
    return wants.get(setting, frozenset()) if isinstance(wants, Mapping) else wants


WORDS: Mapping[str, str] = {
    "generate": "generate text",
    "prefix": "continue a given assistant prefix",
    "bad_words": "keep given words from being generated",
    "logprobs": "return the log-probabilities of what it generates",
    "prompt_logprobs": "score a given text",
    "seed": "take a seed for each request",
    "tokenize": "count tokens exactly",
    "entropy": "tell the entropy at each token of a given text",
    "margin": "tell the two likeliest tokens at each token of a given text",
    "embed": "give a vector for a text",
    "gradients": "return the gradient of a text's loss",
    "rewards": "score a conversation with a reward head",
}


def _cannot(step: Step, spec: EngineSpec, lacking: frozenset[str]) -> str:
    engines = engine_room()
    does = "; ".join(f"{name} ({WORDS[name]})" if name in WORDS else name for name in sorted(lacking))
    able = [kind for kind in engines.kinds() if kind != spec.kind and lacking <= engines.capabilities_of(kind, {})]
    way = f"use an engine of kind {' or '.join(able)}" if able else "no kind here can; change the step's settings"
    return f"{step.label} wants an engine with {does}, which '{spec.alias}' of kind {spec.kind} has not; {way}"

"""Commands about pages and operators: check, plan, preview, ops, schema, init."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from curator.cli.tables import line
from curator.errors import CheckError, CuratorError, OutputError


def check(files: Sequence[Path], sets: Sequence[str]) -> int:
    """Print every mistake on stderr, or `ok`; return the exit code."""
    from curator.check import check_file

    code = 0
    for file in files:
        try:
            pipeline, problems = check_file(file, sets)
        except CuratorError as e:
            print(f"error: {e}", file=sys.stderr)  # noqa: T201
            code = max(code, e.exit_code)
            continue
        for problem in problems:
            print(problem, file=sys.stderr)  # noqa: T201
        if problems:
            code = max(code, CheckError.exit_code)
        else:
            labels = " > ".join(step.label for step in pipeline.steps)
            line(f"{file}: ok, {len(pipeline.steps)} steps: {labels}")
    return code


def plan(
    file: Path, out: Path | None, sets: Sequence[str], limit: int | None, seed: int | None, store: Path | None
) -> None:
    """Print what the run would cost."""
    from curator.check import load

    pipeline = load(file, sets, seed=seed)
    from curator.run.plan import plan as planned

    line(str(planned(pipeline, out, limit=limit, store=store)))


def preview(file: Path, rows: int, out: Path | None, sets: Sequence[str], seed: int | None, store: Path | None) -> None:
    """Print a few rows after every step, and every prompt."""
    from curator.check import load

    pipeline = load(file, sets, seed=seed)
    from curator.run.preview import preview as previewed

    line(str(previewed(pipeline, rows=rows, store=store, folder=out)))


def ops(name: str | None) -> None:
    """Print the list of operators, or one of them."""
    from curator.docs import explain, listing
    from curator.pipeline import find_op

    if name is not None:
        line(explain(find_op(name)))
        return
    for title, found in listing():
        line(f"{title}")
        width = max(len(op.name) for op in found)
        for op in found:
            line(f"  {op.name:<{width}}  {op.summary}")
        line("")
    line("curator ops NAME explains one.")


def schema() -> None:
    """Print the JSON schema."""
    import json

    from curator.schema import schema as pipelines

    line(json.dumps(pipelines(), indent=2))


STARTER = """\
# {name}: what it is for, where the problems come from.
# Run:    curator run {file}
# Check:  curator check {file}      Cost:  curator plan {file}
name: {stem}
engines:
  teacher: {{kind: pocket}}  # the embedded model; yours: {{kind: openai, model: ..., base_url: ...}}
steps:
  - read: {{path: builtin:pocket}}  # yours: problems.parquet, *.jsonl.zst, or a Hugging Face id
  - dedup: {{on: problem}}
  - generate: {{engine: teacher, n: 4}}
  - verify:
  - grade:
  - select: {{where: correct, best: n_tokens, per: problem_id}}
  - export: {{to: trl}}
"""


def init(file: Path) -> None:
    """Write the starter page, never over a file.

    Raises:
        OutputError: the file exists, or cannot be written.
    """
    text = STARTER.format(name=file.name, file=file, stem=file.stem)
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        msg = f"'{file}' exists already; name another file"
        raise OutputError(msg) from None
    except OSError as e:
        msg = f"cannot write '{file}': {e.strerror}"
        raise OutputError(msg) from None
    line(f"wrote {file}\nnext: curator check {file}; curator run {file}")

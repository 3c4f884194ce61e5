"""The commands and their options."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from curator.cli.store_commands import store

app = typer.Typer(
    name="curator",
    help="Curate reasoning data and synthesise reasoning traces. Begin with: curator init, curator check FILE, "
    "curator run FILE.",
    rich_markup_mode=None,  # rich would double the time of --help
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(store, name="store")

File = Annotated[Path, typer.Argument(metavar="FILE", help="A pipeline, one page of YAML.", show_default=False)]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. steps.generate.n=8 or engines.teacher.model=M."),
]
Seed = Annotated[int | None, typer.Option(help="Replaces the seed of the page.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Read only the first N rows.")]
Store = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="Response store; default: .store beside the run's folder."),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the run; default runs/NAME."),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)]


class Shown(StrEnum):
    """What a run shows while it goes."""

    auto = "auto"
    lines = "lines"
    off = "off"


@app.callback()
def top() -> None:
    """Hold the options that go before a command: `--debug` shows the traceback of an error."""


@app.command()
def run(
    file: File,
    out: Out = None,
    sets: Sets = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes for CPU work; default: one a core."),
    ] = None,
    limit: Limit = None,
    seed: Seed = None,
    store: Store = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    progress: Annotated[
        Shown,
        typer.Option(help="auto: bars on a terminal, nothing elsewhere; lines: plain lines on stderr, for a log."),
    ] = Shown.auto,
) -> None:
    """Check a pipeline and run it. The same command resumes a run that was stopped."""
    from curator.cli import runs

    runs.run(file, out, sets or [], workers, limit, seed, store, quiet=quiet, progress=progress.value)


@app.command()
def check(file: Annotated[list[Path], typer.Argument(metavar="FILE...")], sets: Sets = None) -> None:
    """Find every mistake of a pipeline before the first row."""
    from curator.cli import pages

    raise typer.Exit(pages.check(file, sets or []))


@app.command()
def plan(
    file: File, out: Out = None, sets: Sets = None, limit: Limit = None, seed: Seed = None, store: Store = None
) -> None:
    """Say rows, requests, tokens, time and money, before the first paid call."""
    from curator.cli import pages

    pages.plan(file, out, sets or [], limit, seed, store)


@app.command()
def preview(
    file: File,
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="Rows of the input.")] = 3,
    out: Out = None,
    sets: Sets = None,
    seed: Seed = None,
    store: Store = None,
) -> None:
    """Send a few rows through every step and show them, prompts filled."""
    from curator.cli import pages

    pages.preview(file, rows, out, sets or [], seed, store)


@app.command()
def why(
    row: Annotated[str, typer.Argument(metavar="ROW", help="row_id, or problem_id", show_default=False)],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Folder of a run; default the newest.", show_default=False),
    ] = None,
) -> None:
    """Say what happened to a row, step by step."""
    from curator.cli import runs

    runs.why(row, folder)


@app.command()
def diff(one: RunFolder, other: RunFolder) -> None:
    """Say what differs between two runs, and where."""
    from curator.cli import runs

    runs.diff(one, other)


@app.command()
def review(
    folder: RunFolder,
    benchmark: Annotated[str | None, typer.Option(help="Only hits of this benchmark.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Hits shown a benchmark.")] = 20,
    convicted: Annotated[bool, typer.Option("--convicted", help="Only hits that convicted their row.")] = False,
) -> None:
    """Show what decontaminate found, by benchmark, row and item side by side."""
    from curator.cli import review as page

    page.review(folder, benchmark, limit, convicted=convicted)


@app.command()
def teachers(
    source: Annotated[
        list[Path], typer.Argument(metavar="SOURCE...", help="Folder of a run, or Parquet files.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Default: teachers/")] = None,
    step: Annotated[str | None, typer.Option(help="Step of the run; default: its verdicts, before any choice.")] = None,
    by: Annotated[str | None, typer.Option(help="Column that names the teacher; default engine, else model.")] = None,
    rank: Annotated[str, typer.Option(help="Measure of the proxy ranking.")] = "verified_rate",
    prices: Annotated[Path | None, typer.Option(metavar="FILE", help="Price file, for yield per dollar.")] = None,
    student: Annotated[str, typer.Option(help="Name of the score step of the student.")] = "student",
    min_cover: Annotated[float, typer.Option(min=0, max=1, help="Share of problems a ranked teacher has.")] = 0.9,
    correct: Annotated[str, typer.Option(help="Column with the verdict, true, false or null.")] = "correct",
    problem: Annotated[str, typer.Option(help="Column that names the problem.")] = "problem_id",
    smoke: Annotated[Path | None, typer.Option(metavar="FILE", help="Scores of students trained elsewhere.")] = None,
    train: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="Trains and measures a student: {corpus} in, {result} out.")
    ] = None,
    corpora: Annotated[bool, typer.Option("--corpora", help="Write a corpus a teacher, to train by hand.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that one training may take.")] = 86_400.0,
) -> None:
    """Compare teachers on the same problems; without a smoke test the ranking is a proxy."""
    from curator.cli import teachers as page

    options = {
        "by": by, "correct": correct, "problem": problem, "student": student, "min_cover": min_cover, "prices": prices,
        "measure": rank, "smoke": smoke, "train": train, "corpora": corpora, "timeout": timeout,
    }  # fmt: skip
    page.teachers(source, out, step, options)


@app.command()
def diversity(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="Parquet files, folders of them, or of runs.", show_default=False),
    ],
    on: Annotated[
        list[str] | None, typer.Option(help="Vector column, may be repeated; default grad and embedding.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Text column, or none; default the first that is known.")] = None,
    by: Annotated[str | None, typer.Option(help="Column of groups: what each brings to the score.")] = None,
    at: Annotated[int | None, typer.Option(min=1, help="Rows of a draw; default half of the smallest source.")] = None,
    draws: Annotated[int, typer.Option(min=2, help="Draws of equal n.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how diverse a data set is, by vectors and by texts; compare several at equal n."""
    from curator.cli import diversity as page

    page.diversity(sources, on or [], text, by, at, draws, seed, as_json=as_json)


@app.command()
def report(folder: RunFolder) -> None:
    """Print the report of a run, and write it as one HTML page into its folder."""
    from curator.cli import runs

    runs.report(folder)


@app.command()
def export(
    folder: RunFolder,
    to: Annotated[list[str], typer.Option(help="Format, see curator ops export; may be repeated.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new folder.", show_default=False)],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the export operator, e.g. thinking=inline."),
    ] = None,
) -> None:
    """Write the rows of a finished run in a trainer's format."""
    from curator.cli import runs

    runs.export(folder, to, out, sets or [])


@app.command()
def ops(
    name: Annotated[str | None, typer.Argument(metavar="NAME", show_default=False)] = None,
) -> None:
    """List the operators, or explain one: settings, columns, reasons."""
    from curator.cli import pages

    pages.ops(name)


@app.command()
def schema() -> None:
    """Print the JSON schema of pipelines, for editors."""
    from curator.cli import pages

    pages.schema()


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The page to write.")] = Path("pipeline.yaml"),
) -> None:
    """Write a first pipeline to start from."""
    from curator.cli import pages

    pages.init(file)


@app.command()
def version() -> None:
    """Print the version."""
    from curator import __version__

    typer.echo(f"trace-curator {__version__}")

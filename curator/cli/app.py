"""The commands and their options.

click and not typer: typer builds a pydantic adapter for every option of a command, and importing pydantic takes as long
as the rest of `check`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

INTERRUPTED = 130
Command = Callable[..., Any]
PATH = click.Path(path_type=Path)
NATURAL = click.IntRange(min=1)


class InOrder(click.Group):
    """A group whose help lists its commands in the order of this file, the order in which they are needed."""

    def invoke(self, ctx: click.Context) -> Any:
        """Invoke a command. An interrupt is an exit code: click would print an empty line for it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names as registered."""
        return list(self.commands)


def options(*wanted: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return several options and arguments as one decorator, in the order in which the help shows them."""

    def decorate(function: Command) -> Command:
        for one in reversed(wanted):
            function = one(function)
        return function

    return decorate


file = click.argument("file", metavar="FILE", type=PATH)
sets = click.option(
    "--set", "sets", metavar="KEY=VALUE", multiple=True,
    help="Override, e.g. steps.generate.n=8 or engines.teacher.model=M.",
)  # fmt: skip
seed = click.option("--seed", type=int, help="Replaces the seed of the page.")
limit = click.option("--limit", type=NATURAL, help="Read only the first N rows.")
answers = click.option(
    "--store", metavar="DIR", type=PATH, help="Response store; default: .store beside the run's folder."
)
out = click.option("--out", "-o", metavar="FOLDER", type=PATH, help="Folder of the run; default runs/NAME.")
run_folder = click.argument("folder", metavar="RUN", type=PATH)
store_folder = click.argument("folder", metavar="DIR", type=PATH, default=Path("runs/.store"))


@click.group(cls=InOrder)
def app() -> None:
    """Curate reasoning data and synthesise reasoning traces.

    Begin with: curator init, curator check FILE, curator run FILE. `--debug` before a command shows the traceback of an
    error.
    """


@app.group(cls=InOrder)
def store() -> None:
    """The store of model responses: list, count, clean."""


@app.command()
@options(
    file, out, sets,
    click.option("--workers", type=NATURAL, help="Processes for CPU work; default: one a core."),
    limit, seed, answers,
    click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors."),
    click.option(
        "--progress", type=click.Choice(["auto", "lines", "off"]), default="auto", show_default=True,
        help="auto: bars on a terminal, nothing elsewhere; lines: plain lines on stderr, for a log.",
    ),
)  # fmt: skip
def run(
    file: Path, out: Path | None, sets: tuple[str, ...], workers: int | None, limit: int | None, seed: int | None,
    store: Path | None, *, quiet: bool, progress: str,
) -> None:  # fmt: skip
    """Check the pipeline in FILE and run it. The same command resumes a run that was stopped."""
    from curator.cli import runs

    runs.run(file, out, list(sets), workers, limit, seed, store, quiet=quiet, progress=progress)


@app.command()
@options(click.argument("files", metavar="FILE...", type=PATH, nargs=-1, required=True), sets)
def check(files: tuple[Path, ...], sets: tuple[str, ...]) -> int:
    """Find every mistake of a pipeline before the first row."""
    from curator.cli import pages

    return pages.check(list(files), list(sets))


@app.command()
@options(file, out, sets, limit, seed, answers)
def plan(
    file: Path, out: Path | None, sets: tuple[str, ...], limit: int | None, seed: int | None, store: Path | None
) -> None:
    """Say rows, requests, tokens, time and money, before the first paid call."""
    from curator.cli import pages

    pages.plan(file, out, list(sets), limit, seed, store)


@app.command()
@options(
    file,
    click.option("--rows", "-n", type=NATURAL, default=3, show_default=True, help="Rows of the input."),
    out, sets, seed, answers,
)  # fmt: skip
def preview(
    file: Path, rows: int, out: Path | None, sets: tuple[str, ...], seed: int | None, store: Path | None
) -> None:
    """Send a few rows through every step and show them, prompts filled."""
    from curator.cli import pages

    pages.preview(file, rows, out, list(sets), seed, store)


@app.command()
@options(click.argument("row", metavar="ROW"), click.argument("folder", metavar="[RUN]", type=PATH, required=False))
def why(row: str, folder: Path | None) -> None:
    """Say what happened to a row, step by step.

    ROW is a row_id or a problem_id, RUN the folder of a run; default the newest.
    """
    from curator.cli import runs

    runs.why(row, folder)


@app.command()
@options(click.argument("one", metavar="RUN", type=PATH), click.argument("other", metavar="RUN", type=PATH))
def diff(one: Path, other: Path) -> None:
    """Say what differs between two runs, and where."""
    from curator.cli import runs

    runs.diff(one, other)


@app.command()
@options(
    run_folder,
    click.option("--benchmark", help="Only hits of this benchmark."),
    click.option("--limit", type=NATURAL, default=20, show_default=True, help="Hits shown a benchmark."),
    click.option("--convicted", is_flag=True, help="Only hits that convicted their row."),
)
def review(folder: Path, benchmark: str | None, limit: int, *, convicted: bool) -> None:
    """Show what decontaminate found, by benchmark, row and item side by side."""
    from curator.cli import review as page

    page.review(folder, benchmark, limit, convicted=convicted)


@app.command()
@run_folder
def report(folder: Path) -> None:
    """Print the report of a run, and write it as one HTML page into its folder."""
    from curator.cli import runs

    runs.report(folder)


@app.command()
@options(
    run_folder,
    click.option("--to", multiple=True, required=True, help="Format, see curator ops export; may be repeated."),
    click.option("--out", "-o", metavar="DIR", type=PATH, required=True, help="A new folder."),
    click.option(
        "--set", "sets", metavar="KEY=VALUE", multiple=True,
        help="A setting of the export operator, e.g. thinking=inline.",
    ),
)  # fmt: skip
def export(folder: Path, to: tuple[str, ...], out: Path, sets: tuple[str, ...]) -> None:
    """Write the rows of a finished run in a trainer's format."""
    from curator.cli import runs

    runs.export(folder, list(to), out, list(sets))


@app.command()
@click.argument("name", metavar="[NAME]", required=False)
def ops(name: str | None) -> None:
    """List the operators, or explain one: settings, columns, reasons."""
    from curator.cli import pages

    pages.ops(name)


@app.command()
def schema() -> None:
    """Print the JSON schema of pipelines, for editors."""
    from curator.cli import pages

    pages.schema()


@app.command()
@click.argument("file", metavar="[FILE]", type=PATH, default=Path("pipeline.yaml"))
def init(file: Path) -> None:
    """Write a first pipeline to start from, pipeline.yaml by default."""
    from curator.cli import pages

    pages.init(file)


@app.command()
def version() -> None:
    """Print the version."""
    from curator import __version__

    click.echo(f"trace-curator {__version__}")


app.add_command(app.commands.pop("store"))  # last


def _of_store(question: str, help_text: str) -> None:
    """Add a command that puts one question to the store."""

    @store.command(question, help=help_text)
    @store_folder
    def ask(folder: Path) -> None:
        from curator.cli import stores

        stores.show(question, folder)


_of_store("ls", "List the files of the store, runs/.store by default.")
_of_store("stats", "Count answers and tokens, by engine and model.")
_of_store("verify", "Count the bytes of every file that belong to no whole answer.")
_of_store("compact", "Put all files nobody writes to into one; nothing is lost.")


@store.command("gc")
@options(
    store_folder,
    click.option("--older-than", metavar="DAYS", type=float, help="Answers older than this."),
    click.option("--engine", help="Answers of this kind of engine."),
    click.option("--model", help="Answers of this model."),
)
def store_gc(folder: Path, older_than: float | None, engine: str | None, model: str | None) -> None:
    """Throw away the answers that meet all conditions given, and compact the rest."""
    from curator.cli import stores

    stores.show("gc", folder, older_than=older_than, engine=engine, model=model)

"""The commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(
    name="curator",
    help="Curate reasoning data and synthesise reasoning traces. Begin with: curator init, curator check FILE, "
    "curator run FILE.",
    rich_markup_mode=None,  # rich would double the time of --help
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
)
store = typer.Typer(help="The store of model responses: list, count, clean.", no_args_is_help=True)
app.add_typer(store, name="store")

File = Annotated[Path, typer.Argument(metavar="FILE", help="A pipeline, one page of YAML.", show_default=False)]
Sets = Annotated[
    Optional[list[str]],  # noqa: UP045  # typer reads it
    typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. steps.generate.n=8 or engines.teacher.model=M."),
]
Seed = Annotated[Optional[int], typer.Option(help="Replaces the seed of the page.")]  # noqa: UP045
Limit = Annotated[Optional[int], typer.Option(min=1, help="Read only the first N rows.")]  # noqa: UP045
Store = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--store", metavar="DIR", help="Response store; default: .store beside the run's folder."),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)]


@app.callback()
def top() -> None:
    """Hold the options that go before a command: `--debug` shows the traceback of an error."""


@app.command()
def run(
    file: File,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the run; default runs/NAME."),
    ] = None,
    sets: Sets = None,
    workers: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Processes for CPU work; default: one a core."),
    ] = None,
    limit: Limit = None,
    seed: Seed = None,
    store: Store = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress bars.")] = False,
) -> None:
    """Check a pipeline and run it. The same command resumes a run that was stopped."""
    from curator.cli import runs

    runs.run(file, out, sets or [], workers, limit, seed, store, quiet=quiet, bars=not (quiet or no_progress))


@app.command()
def check(file: Annotated[list[Path], typer.Argument(metavar="FILE...")], sets: Sets = None) -> None:
    """Find every mistake of a pipeline before the first row."""
    from curator.cli import pages

    raise typer.Exit(pages.check(file, sets or []))


@app.command()
def plan(file: File, sets: Sets = None, limit: Limit = None, seed: Seed = None, store: Store = None) -> None:
    """Say rows, requests, tokens, time and money, before the first paid call."""
    from curator.cli import pages

    pages.plan(file, sets or [], limit, seed, store)


@app.command()
def preview(
    file: File, sets: Sets = None, rows: Annotated[int, typer.Option("--rows", "-n", min=1)] = 3, seed: Seed = None
) -> None:
    """Send a few rows through every step and show them, prompts filled."""
    from curator.cli import pages

    pages.preview(file, sets or [], rows, seed)


@app.command()
def why(row: Annotated[str, typer.Argument(metavar="ROW", help="row_id, or problem_id")], folder: RunFolder) -> None:
    """Say what happened to a row, step by step."""
    from curator.cli import runs

    runs.why(row, folder)


@app.command()
def diff(one: RunFolder, other: RunFolder) -> None:
    """Say what differs between two runs, and where."""
    from curator.cli import runs

    runs.diff(one, other)


@app.command()
def report(folder: RunFolder) -> None:
    """Write the HTML report of a run."""
    from curator.cli import runs

    runs.report(folder)


@app.command()
def export(
    folder: RunFolder,
    to: Annotated[str, typer.Option(help="trl, llama_factory, axolotl, verl, open_instruct, ...")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new folder.", show_default=False)],
    sets: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the export operator, e.g. thinking=inline."),
    ] = None,
) -> None:
    """Write the rows of a finished run in a trainer's format."""
    from curator.cli import runs

    runs.export(folder, to, out, sets or [])


@app.command()
def ops(
    name: Annotated[Optional[str], typer.Argument(metavar="[NAME]", show_default=False)] = None,  # noqa: UP045
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
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="The page to write.")] = Path("pipeline.yaml"),
) -> None:
    """Write a first pipeline to start from."""
    from curator.cli import pages

    pages.init(file)


@app.command()
def version() -> None:
    """Print the version."""
    from curator import __version__

    typer.echo(f"trace-curator {__version__}")


@store.command("ls")
def store_ls(folder: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path("runs/.store")) -> None:
    """List what the store holds, by engine."""
    from curator.cli import stores

    stores.ls(folder)


@store.command("stats")
def store_stats(folder: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path("runs/.store")) -> None:
    """Count responses, tokens and bytes."""
    from curator.cli import stores

    stores.stats(folder)


@store.command("gc")
def store_gc(folder: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path("runs/.store")) -> None:
    """Merge segments and give back the room of what is superseded."""
    from curator.cli import stores

    stores.gc(folder)

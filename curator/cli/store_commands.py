"""The commands of `curator store`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

store = typer.Typer(help="The store of model responses: list, count, clean.", no_args_is_help=True)
StoreFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the store.")]


@store.command("ls")
def store_ls(folder: StoreFolder = Path("runs/.store")) -> None:
    """List the files of the store."""
    from curator.cli import stores

    stores.show("ls", folder)


@store.command("stats")
def store_stats(folder: StoreFolder = Path("runs/.store")) -> None:
    """Count answers and tokens, by engine and model."""
    from curator.cli import stores

    stores.show("stats", folder)


@store.command("verify")
def store_verify(folder: StoreFolder = Path("runs/.store")) -> None:
    """Count the bytes of every file that belong to no whole answer."""
    from curator.cli import stores

    stores.show("verify", folder)


@store.command("compact")
def store_compact(folder: StoreFolder = Path("runs/.store")) -> None:
    """Put all files nobody writes to into one; nothing is lost."""
    from curator.cli import stores

    stores.show("compact", folder)


@store.command("gc")
def store_gc(
    folder: StoreFolder = Path("runs/.store"),
    older_than: Annotated[float | None, typer.Option(metavar="DAYS", help="Answers older than this.")] = None,
    engine: Annotated[str | None, typer.Option(help="Answers of this kind of engine.")] = None,
    model: Annotated[str | None, typer.Option(help="Answers of this model.")] = None,
) -> None:
    """Throw away the answers that meet all conditions given, and compact the rest."""
    from curator.cli import stores

    stores.show("gc", folder, older_than=older_than, engine=engine, model=model)

"""The command line: thin. Each command calls one function of the package and prints what it returns.

Nothing heavy is imported until a command needs it, so that `curator --help` answers at once.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from curator.cli import quick
from curator.errors import CuratorError

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 when done, else the code of `curator.errors`, 2 for a wrong command line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    gc.set_threshold(50_000)  # imports make many objects and no garbage: collecting was 6 % of `check`
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    plain = quick.check(arguments)
    try:
        _ours()
        code = _checked(*plain) if plain is not None else _called(arguments)
        sys.stdout.flush()  # while a closed pipe can still be told from a defect
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # `curator ops | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except CuratorError as e:
        if debug:
            raise
        for line in str(e).splitlines():
            _say(f"error: {line}")
        code = e.exit_code
    except Exception as e:
        code = getattr(e, "exit_code", None)
        show = getattr(e, "format_message", None)
        if code is None or show is None:  # not a usage error: a defect of ours, told with its traceback
            raise
        _say(f"error: {show()}")
        _say("try: curator --help")
    if code == INTERRUPTED:  # typer turns the interrupt of a command into its code
        _say("interrupted; what succeeded is kept, and the same command goes on from there")
    status = code if isinstance(code, int) else 0
    if argv is None and plain is not None:  # it holds no thread, file or run that has to be ended
        sys.stderr.flush()
        os._exit(status)  # else the interpreter takes everything apart first: 15 % of `check`
    sys.exit(status)


def _checked(files: Sequence[Path], sets: Sequence[str]) -> int:
    from curator.cli import pages

    return pages.check(files, sets)


def _called(arguments: list[str]) -> object:
    """Call the command that the arguments name; return its exit code, or None."""
    from curator.cli.app import app

    code: object = app(arguments, prog_name="curator", standalone_mode=False)
    return code


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


def _ours() -> None:
    """Complain in one line where another package called `curator` lies over this one."""
    import curator

    name = "elasticsearch-curator"
    folder = os.path.dirname(__file__.removesuffix("__init__.py").rstrip(os.sep))  # noqa: PTH120
    if not hasattr(curator, "_NAMES"):
        msg = f"the package 'curator' at {curator.__file__} is not trace-curator; is {name} installed beside it?"
        raise CuratorError(msg + " Keep the two in different environments")
    if os.path.isfile(os.path.join(folder, "indexlist.py")):  # noqa: PTH113, PTH118
        _say(f"warning: {name} is installed in the same environment and shares the name 'curator'; separate them")

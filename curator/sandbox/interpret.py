"""Run the code blocks of one text as an interpreter would: what the last one prints, after those before it.

Nothing lives on between two calls: the blocks before the last run again, unheard. Hash seed and `random` are fixed, so
they come to the same state, and a run that was killed gets the same outputs again. Programs that print the time, or
addresses of objects, do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from curator.errors import EngineError
from curator.sandbox.clock import Rules
from curator.sandbox.keeper import Refused, shared
from curator.sandbox.session import script

Status = Literal["ok", "error", "timeout", "cut", "ended"]
KEPT = 1024  # outputs remembered: samples of one problem often run the same code
_MARK = "\x04curator:"


class Printed(NamedTuple):
    """What a block printed, with the report of its error below.

    `status`: `ok`; `error` an exception; `timeout`; `cut` it printed too much; `ended` it ended its process.
    """

    text: str
    status: Status


# In the box, with the program's own rights: what it forges here is its own output.
_DRIVER = """
def _run(blocks):
    import ast, io, sys, traceback

    class Unheard(io.TextIOBase):
        def write(self, text):
            return len(text)

    def complain(error):
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == "<code>"]
        if frames:
            print("Traceback (most recent call last):")
            for f in frames:
                print(f'  File "<code>", line {f.lineno}, in {f.name}')
        print("".join(traceback.format_exception_only(error)).rstrip())

    space = {"__name__": "__main__"}
    heard = sys.stdout, sys.stderr
    status = "ok"
    for number, text in enumerate(blocks, 1):
        last = number == len(blocks)
        sys.stdout, sys.stderr = heard if last else (Unheard(), Unheard())
        try:
            tree = ast.parse(text, "<code>")
            shown = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "<code>", "exec"), space)
            value = None if shown is None else eval(compile(ast.Expression(shown.value), "<code>", "eval"), space)
            if value is not None:
                print(repr(value))
        except SystemExit:
            pass
        except BaseException as error:
            if last:
                status = "error"
                complain(error)
    sys.stdout, sys.stderr = heard
    sys.stdout.flush()
    print(MARK + status, file=sys.stderr, flush=True)


_run(BLOCKS)
"""


def interpret(blocks: Sequence[str], *, limit_s: float, memory_mb: int, most: int, unsafe: bool = False) -> Printed:
    """Run blocks in one name space and return what the last one prints; the value of its last line is shown as well.

    Blocks; safe from many threads.

    Args:
        blocks: in order; those before the last are silent, and an error in one of them is passed over as it was then.
        limit_s: CPU seconds for all of them, and as many of waiting.
        memory_mb: address space, MiB.
        most: bytes the last block may print.
        unsafe: as in `judge_code`.

    Raises:
        EngineError: the sandbox does not work here; nothing is known about the code.
    """
    return _interpret(tuple(blocks), limit_s, max(64, memory_mb) << 20, most, unsafe)


@lru_cache(maxsize=KEPT)
def _interpret(blocks: tuple[str, ...], limit_s: float, memory: int, most: int, unsafe: bool) -> Printed:  # noqa: FBT001
    program = _DRIVER.replace("MARK", repr(_MARK)).replace("BLOCKS", ascii(list(blocks)))
    order = {"setup": "", "program": program, "stdin": ""}
    for attempt in (1, 2):
        try:
            ended = script(shared(unsafe=unsafe), order, Rules(limit_s, memory, stop=True), most)
            break
        except Refused:
            raise
        except (RuntimeError, OSError) as e:
            if attempt == 2:
                msg = f"the sandbox failed: {e}"
                raise EngineError(msg) from e
    if ended.why:
        return Printed(ended.out, "cut" if ended.why.startswith("printed") else "timeout")
    told = ended.err.rpartition(_MARK)[2].strip() if _MARK in ended.err else "ended"
    return Printed(ended.out, "error" if told == "error" else "ok" if told == "ok" else "ended")

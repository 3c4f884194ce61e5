"""Find the program in model text."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

from curator.sandbox.syntax import tree_of
from curator.sandbox.task import LANGUAGES
from curator.text import THINK_CLOSE, split_think

MAX_CHARS = 1_000_000  # of a response that is searched: from its end
_FENCE = re.compile(r"^[ \t]{0,3}(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^\n`]*)$", re.M)


class Code(NamedTuple):
    """A program found in text.

    `how`: `fenced`, `unclosed` (the last fence never closes), `bare` (the whole response is a program), `truncated`
    (the thinking never ends) or `none`; `text` is None for the last two. `language` is the fence's tag in lower case,
    or the one asked for where there is no tag.
    """

    text: str | None
    language: str
    how: str


class Fence(NamedTuple):
    """A fenced block: its tag in lower case, where its text starts and ends, and where the line of its closing mark
    ends; `after` is None where it never closes.
    """

    tag: str
    start: int
    end: int
    after: int | None


def extract_code(trace: str, language: str = "python", *, opened: bool = False) -> Code:
    """Return the last fenced block of the response (what follows `</think>`) in `language`.

    A block tagged with the language wins over untagged ones, an untagged one over other languages: a block of another
    language is returned with that language, so that the judge can say `error: language not supported` and not
    `incorrect`. Without a fence, a response that is a Python program as a whole is taken. Nothing is taken from the
    thinking.

    Args:
        trace: assistant text, thinking included.
        language: the language asked for, any alias.
        opened: the prompt ended with `<think>`, so that a trace without `</think>` is all thinking.
    """
    wanted = LANGUAGES.get(language.strip().lower(), language.strip().lower())
    parts = split_think(trace)
    if not parts.closed or (opened and THINK_CLOSE not in trace):
        return Code(None, wanted, "truncated")
    response = parts.response[-MAX_CHARS:]
    blocks = [b for b in fences(response) if response[b.start : b.end].strip()]
    mine = [b for b in blocks if b.tag and LANGUAGES.get(b.tag, b.tag) == wanted]
    found = mine or [b for b in blocks if not b.tag] or blocks
    if found:
        last = found[-1]
        how = "unclosed" if last.after is None else "fenced"
        return Code(response[last.start : last.end], last.tag or wanted, how)
    if wanted == "python" and _is_program(response):
        return Code(response, wanted, "bare")
    return Code(None, wanted, "none")


def fences(text: str, start: int = 0) -> list[Fence]:
    """Return fenced blocks in order; a fence closes with the same mark, at least as long, and nothing after it.

    `start`: where to begin, outside of any block.
    """
    blocks: list[Fence] = []
    mark, tag, at = "", "", 0
    for m in _FENCE.finditer(text, start):
        if not mark:
            info = m["info"].strip().split(" ")[0]
            mark, tag, at = m["mark"], info.strip("{}.").lower(), m.end() + 1
        elif m["mark"].startswith(mark) and not m["info"].strip():
            blocks.append(Fence(tag, at, m.start(), min(m.end() + 1, len(text))))
            mark = ""
    if mark:
        blocks.append(Fence(tag, min(at, len(text)), len(text), None))
    return blocks


def _is_program(text: str) -> bool:
    """Python as a whole, and more than an expression: prose of one word parses too."""
    try:
        tree = tree_of(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    work = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.For, ast.While)
    return any(isinstance(node, work) or _prints(node) for node in tree.body)


def _prints(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def assemble(prompt: str, code: str, entry_point: str | None = None) -> str:
    """Return the whole program of a completion task (HumanEval): the prompt's code, then the model's.

    Code that defines `entry_point` itself, at the outermost level, follows the prompt (whose imports and helpers it may
    use) and replaces its stub; other code is the body that continues the prompt.
    """
    if not prompt:
        return code
    whole = entry_point and re.search(rf"^(?:async\s+)?(?:def|class)\s+{re.escape(entry_point)}\b", code, re.M)
    alone = whole or re.search(rf"^{re.escape(entry_point)}\s*=", code, re.M) if entry_point else None
    return f"{prompt.rstrip()}\n\n\n{code}" if alone else prompt + code

"""The import law, light doors, and the size of files and functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "curator"

# Pure helpers: they import nothing of the house but each other.
HELPERS = {
    "bounds",
    "errors",
    "near",
    "rows",
    "text",
    "prompts",
    "words",
    "fold",
    "maths",
    "dap",
    "kernels",
    "contamination",
    "difficulty",
    "diversity",
    "gradients",
    "near_dup",
    "retro",
    "sandbox",
    "sat",
    "spans",
    "verdicts",
    "engines.protocol",
}
BUILD = {
    "steps", "state", "pipeline", "settings", "yaml_io", "build", "check", "flow", "schema", "docs", "verbs"
}  # fmt: skip

# Room -> the rooms it may import (law 8: cli -> run -> pipeline -> op -> rows; ops -> op, rows, pure helpers).
MAY: dict[str, set[str]] = {
    **dict.fromkeys(HELPERS, HELPERS),
    "table": HELPERS,
    "shards": {*HELPERS, "table"},
    "pocket": HELPERS,
    "reading": {*HELPERS, "table", "pocket"},
    "op": HELPERS,
    "engines": {*HELPERS, "op", "pocket"},
    "export": {*HELPERS, "op", "table"},
    "ops": {*HELPERS, "op", "reading", "export", "pocket"},
    **dict.fromkeys(BUILD, {*HELPERS, *BUILD, "op", "engines"}),
    "curator": {"op", *BUILD},
    "run": {*HELPERS, *BUILD, "op", "engines", "table", "shards", "barrier"},
    "barrier": {*HELPERS, "table"},
    "teachers": {*HELPERS, "table", "barrier", "engines"},
    "report": {*HELPERS, "op", "table", "pipeline", "run", "teachers"},
    "cli": {*HELPERS, *BUILD, "op", "engines", "table", "run", "export", "report", "teachers", "curator"},
}

# (module, imported room) -> why it may.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("curator.pipeline", "run"): "a chain ends in a verb: Pipeline.run imports the runner when it is called",
    ("curator.run.refill", "ops"): "refilling feeds problems in the order in which `select` draws them: one hash",
    ("curator.export.rerun", "run"): "export_run opens a finished run; the operator export does not use it",
}

HEAVY = ("torch", "vllm", "ray", "transformers", "openai", "datasets", "numba", "sympy", "aiohttp", "pandas")

FILE_LINES, FUNCTION_LINES = 300, 60
# Path or path:function -> why it may be longer.
LONG: dict[str, str] = {
    "curator/ops/compress.py": "DAP in one piece: its 22 documented settings are a third of the file",
    "curator/ops/compress.py:compress": "the signature alone is 22 lines; the rest is the loop of attempts",
    "curator/pocket/grammar.py": "one grammar; its templates are data",
    "curator/pocket/network.py": "the network and the backward pass of its attention, which wants a room of its own",
}


def modules() -> dict[str, Path]:
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = file
    return found


MODULES = modules()


def room(module: str) -> str:
    parts = module.split(".")
    if parts[1:3] == ["engines", "protocol"]:
        return "engines.protocol"
    return parts[1] if len(parts) > 1 else "curator"


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every module of the house that is imported, also inside functions; `if TYPE_CHECKING` does not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if a.name.split(".")[0] == "curator")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "curator":
            for a in node.names:
                inner = f"{node.module}.{a.name}"
                yield node.lineno, inner if inner in MODULES else str(node.module)
        elif isinstance(node, ast.ImportFrom) and node.level > 1:
            yield node.lineno, "relative"  # `from .x` stays in its room, `from ..x` leaves it unseen
        yield from imports(node)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module):
    mine = room(module)
    assert mine in MAY, f"{module}: a new room; say in MAY what it may import"
    for line, target in imports(ast.parse(MODULES[module].read_text("utf-8"))):
        assert target != "relative", f"{MODULES[module]}:{line}: relative import; write the whole name"
        theirs = room(target)
        allowed = theirs == mine or theirs in MAY[mine] or (module, theirs) in EXCEPTIONS
        assert allowed, (
            f"{MODULES[module]}:{line}: {mine} imports {target}; it may import {', '.join(sorted(MAY[mine]))}"
        )


def test_exceptions_are_still_needed():
    real = {(m, room(t)) for m, f in MODULES.items() for _, t in imports(ast.parse(f.read_text("utf-8")))}
    assert set(EXCEPTIONS) <= real


def test_an_operator_reads_no_environment():
    for module, file in MODULES.items():
        if room(module) == "ops":
            names = {
                ast.unparse(n) for n in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(n, ast.Attribute)
            }
            assert not names & {"os.environ", "os.getenv"}, (
                f"{file}: settings come from the pipeline, not from os.environ"
            )


def loaded(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after `code`."""
    script = f"import sys\n{code}\nprint('\\n'.join({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


PARSERS = ("typer", "pydantic", "annotated_types")
CHECK = """\
import contextlib
from curator.cli import main
with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
    main(['check', 'pipelines/{}.yaml'])
"""


@pytest.mark.parametrize(
    ("door", "code", "more"),
    [
        ("import curator", "import curator", ("pyarrow", "duckdb", "numpy", "yaml", "typer", "rich", "pydantic")),
        (
            "curator --help",
            "import contextlib, io\nfrom curator.cli import main\n"
            "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main(['--help'])",
            ("pyarrow", "duckdb", "numpy", "yaml", "rich"),
        ),
        ("all verbs", "import curator\nfor name in dir(curator): getattr(curator, name)", ()),
        ("check of the main job", CHECK.format("litecot"), ("duckdb", "_duckdb", "rich", *PARSERS)),
        ("check of a page with SQL", CHECK.format("deepdistill"), ("duckdb", "rich", *PARSERS)),
    ],
)
def test_doors_are_light(door, code, more):
    heavy = loaded(code) & {*HEAVY, *more}
    assert not heavy, f"{door} loads {', '.join(sorted(heavy))}"


def test_importing_leaves_nothing_behind(tmp_path):
    code = "import os, logging, curator\nprint(os.listdir('.'), logging.getLogger().handlers)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("[] []", "")


def too_long() -> dict[str, int]:
    found = {}
    for file in MODULES.values():
        path = file.relative_to(ROOT).as_posix()
        text = file.read_text("utf-8")
        if (lines := text.count("\n")) > FILE_LINES:
            found[path] = lines
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = code_lines(node)
                if lines > FUNCTION_LINES:
                    found[f"{path}:{node.name}"] = lines
    return found


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def test_files_and_functions_stay_small_or_say_why():
    found = too_long()
    unexplained = {path: lines for path, lines in found.items() if path not in LONG}
    assert not unexplained, (
        f"over {FILE_LINES} lines a file or {FUNCTION_LINES} a function, and not in LONG: {unexplained}"
    )
    assert set(LONG) <= set(found), f"no longer long: {set(LONG) - set(found)}"

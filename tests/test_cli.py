"""The command line: what it prints, where, and the code it exits with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

import curator
from curator.cli import main
from curator.errors import BudgetSpent, EngineError, FolderLocked, InputError, OutputError

ROOT = Path(__file__).resolve().parent.parent
PAGE = """\
name: small
engines:
  teacher: {kind: replay, function: "answers_of_test_cli:answer"}
steps:
  - read: {path: problems.jsonl}
  - dedup: {on: problem}
  - generate: {engine: teacher, n: 2}
  - select: {best: n_tokens, per: problem_id}
"""
ANSWERS = """\
def answer(messages, sample_idx, prefix):
    return "so " * (sample_idx + 1) + "\\\\boxed{2}"
"""


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run a command in a folder with a small pipeline; return (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("page.yaml").write_text(PAGE)
    Path("answers_of_test_cli.py").write_text(ANSWERS)
    rows = [{"problem": p, "answer": "2"} for p in ("1+1?", "4/2?", "1+1?", "3-1?")]
    Path("problems.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))

    def call(*arguments):
        with pytest.raises(SystemExit) as e:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return e.value.code, out, err

    yield call
    sys.modules.pop("answers_of_test_cli", None)


def test_run_prints_what_happened_to_the_rows_and_the_next_command(cli):
    code, out, err = cli("run", "page.yaml")
    assert (code, err) == (0, "")
    table = [line.split() for line in out.splitlines()]
    assert table[0] == ["step", "in", "made", "out", "dropped", "why", "dropped", "seconds", "tokens"]
    assert table[1][:5] == ["read", "4", "0", "4", "0"]
    assert table[2][:7] == ["dedup", "4", "0", "3", "1", "exact_duplicate", "1"]
    assert table[3][:5] == ["generate", "3", "3", "6", "0"]
    assert table[4][:7] == ["select", "6", "0", "3", "3", "not_best", "3"]
    assert "3 rows; they lie in runs/small" in out
    assert "next: curator why ROW runs/small" in out


def test_run_writes_plain_lines_to_stderr_where_asked_to(cli):
    code, out, err = cli("run", "page.yaml", "--progress", "lines")
    assert code == 0
    assert "begins" not in out
    assert "dedup: done, 4 rows in, 3 out, 1 dropped" in err
    assert cli("run", "page.yaml", "--progress", "lines", "-q", "-o", "runs/again") == (0, "", "")
    assert cli("run", "page.yaml", "--progress", "off", "-o", "runs/third")[2] == ""


def test_run_again_reuses_and_a_changed_setting_does_not(cli):
    cli("run", "page.yaml", "-q")
    first = {p: p.stat().st_mtime_ns for p in Path("runs/small/steps").glob("*/receipt.json")}
    assert cli("run", "page.yaml", "-q") == (0, "", "")
    assert {p: p.stat().st_mtime_ns for p in first} == first
    code, out, _ = cli("run", "page.yaml", "--set", "steps.select.k=2")
    assert code == 0
    assert "6 rows" in out


def test_run_takes_folder_limit_seed_store_and_workers(cli):
    code, out, err = cli(
        "run", "page.yaml", "-o", "here", "--limit", 2, "--seed", 5, "--store", "answers", "--workers", 1
    )
    assert (code, err) == (0, "")
    assert "seed: 5" in Path("here/pipeline.yaml").read_text()
    assert out.splitlines()[1].split()[:5] == ["read", "2", "0", "2", "0"]
    assert any(Path("answers").iterdir())


def test_quiet_prints_nothing(cli):
    assert cli("run", "page.yaml", "-q") == (0, "", "")


def test_check_prints_ok_on_stdout_and_problems_on_stderr(cli):
    assert cli("check", "page.yaml")[:2] == (0, "page.yaml: ok, 4 steps: read > dedup > generate > select\n")
    Path("bad.yaml").write_text(PAGE.replace("dedup", "dedupe").replace("n: 2", "m: 2"))
    code, out, err = cli("check", "bad.yaml", "page.yaml")
    assert code == 2
    assert out.startswith("page.yaml: ok")
    assert [line.split(": ")[0] for line in err.splitlines()] == ["bad.yaml:6", "bad.yaml:7"]


def test_run_refuses_what_check_refuses_before_it_makes_a_folder(cli):
    code, out, err = cli("run", "page.yaml", "--set", "steps.generate.m=2", "--set", "steps.dedup.on=problm")
    assert (code, out) == (2, "")
    assert all(line.startswith("error: ") for line in err.splitlines())
    assert len(err.splitlines()) == 2
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "nowhere.yaml"], 3, "error: no file 'nowhere.yaml'\n"),
        (["run", "pag.yaml"], 3, "error: no file 'pag.yaml'; did you mean 'page.yaml'?\n"),
        (["run"], 2, "error: Missing argument 'FILE'"),
        (["rnu", "page.yaml"], 2, "error: No such command 'rnu'"),
        (["run", "page.yaml", "--wrkers", "2"], 2, "error: No such option: --wrkers"),
        (["run", "page.yaml", "--workers", "many"], 2, "error: Invalid value for '--workers'"),
        (["run", "page.yaml", "--limit", "0"], 2, "error: Invalid value for '--limit'"),
        (["ops", "dedupe"], 2, "error: no operator 'dedupe'; did you mean 'dedup'?\n"),
        (["why", "x"], 2, "error: no run in runs/"),
        (["why", "x", "runs/none"], 2, "error: runs/none holds no run"),
        (["diff", "a", "b"], 2, "error: a holds no run"),
        (["store", "ls", "nowhere"], 3, "error: no store at 'nowhere'"),
        (["store", "gc", "."], 3, "error: gc needs a condition"),
        (["export", "runs/none", "--to", "trl", "-o", "x"], 2, "error: runs/none holds no run"),
    ],
)
def test_a_mistake_is_one_line_and_its_code(cli, arguments, code, message):
    found, out, err = cli(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith(message)
    assert "Traceback" not in err


@pytest.mark.parametrize("error", [InputError, EngineError, BudgetSpent, FolderLocked, OutputError])
def test_every_kind_of_error_has_its_exit_code(cli, monkeypatch, error):
    def fail(*_args, **_kwargs):
        raise error("the reason")

    monkeypatch.setattr("curator.run.local.run", fail)
    assert cli("run", "page.yaml") == (error.exit_code, "", "error: the reason\n")


def test_debug_shows_the_traceback(cli):
    with pytest.raises(InputError):
        main(["run", "nowhere.yaml", "--debug"])


def test_a_defect_of_ours_is_not_hidden(cli, monkeypatch):
    def fail(*_args, **_kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("curator.run.local.run", fail)
    with pytest.raises(ZeroDivisionError):
        main(["run", "page.yaml"])


def test_why_and_diff(cli):
    cli("run", "page.yaml", "-q")
    cli("run", "page.yaml", "-q", "-o", "runs/other", "--set", "steps.select.k=2")
    first = json.loads(Path("problems.jsonl").read_text().splitlines()[0])["problem"]
    ids = [r["row_id"] for r in _rows("runs/small", "read")]
    code, out, _ = cli("why", ids[2], "runs/small")
    assert code == 0
    assert "exact_duplicate" in out
    assert cli("why", ids[0])[0] == 0
    assert first in out
    code, out, _ = cli("diff", "runs/small", "runs/other")
    assert code == 0
    assert "rows only in b: 3" in out


def _rows(folder, step):
    from curator.run.result import Run

    found = Run(Path(folder)).table(step)
    return (
        [dict(zip(found.columns, row, strict=True)) for row in found.order("row_id").fetchall()]
        if step != "read"
        else [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    )


def test_export_of_a_finished_run(cli):
    cli("run", "page.yaml", "-q")
    code, out, err = cli(
        "export", "runs/small", "--to", "trl", "--to", "axolotl", "-o", "set", "--set", "thinking=none"
    )
    assert (code, err) == (0, "")
    assert "wrote set" in out
    assert Path("set/README.md").is_file()
    code, _, err = cli("export", "runs/small", "--to", "trl", "-o", "set2", "--set", "thinkin=none")
    assert code == 2
    assert "did you mean 'thinking'" in err


def test_store_counts_and_forgets(cli, monkeypatch):
    monkeypatch.setattr("curator.engines.compact.is_live", lambda _file: False)  # its writer is this very process
    cli("run", "page.yaml", "-q")
    code, out, _ = cli("store", "stats")
    assert code == 0
    assert out.splitlines()[1].split()[:3] == ["replay", "replay", "6"]
    assert cli("store", "gc", "--engine", "replay")[0] == 0
    assert "replay" not in cli("store", "stats")[1]


def test_ops_lists_every_operator_by_effect_and_explains_one(cli):
    from curator.op import known_names

    code, out, _ = cli("ops")
    assert code == 0
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert sorted(listed) == known_names()
    code, out, _ = cli("ops", "dedup")
    assert code == 0
    for part in (
        "- dedup:",
        "table, keeps, version",
        "needs ",
        "adds ",
        "settings",
        "drops a row because",
        "exact_duplicate",
    ):
        assert part in out


def test_init_writes_a_page_that_checks_and_never_over_a_file(cli):
    code, out, _ = cli("init", "mine.yaml")
    assert code == 0
    assert "next: curator check mine.yaml" in out
    from curator.check import check_file

    _, problems = check_file("mine.yaml")
    assert [p for p in problems if "engine" not in p.message] == []  # the pocket engine may lack its extra here
    assert cli("init", "mine.yaml")[::2] == (7, "error: 'mine.yaml' exists already; name another file\n")


def test_report_prints_and_writes_the_page(cli):
    cli("run", "page.yaml", "-q")
    code, out, err = cli("report", "runs/small")
    assert (code, err) == (0, "")
    assert "exact_duplicate 1" in out
    assert "wrote runs/small/report.html" in out
    assert Path("runs/small/report.html").is_file()


def test_version(cli):
    assert cli("version")[:2] == (0, f"trace-curator {curator.__version__}\n")


def test_another_package_over_ours_is_told_in_one_line(cli, monkeypatch):
    other = types.ModuleType("curator")
    other.__file__ = "/elsewhere/curator/__init__.py"
    monkeypatch.setitem(sys.modules, "curator", other)
    code, out, err = cli("version")
    assert (code, out) == (1, "")
    assert "is not trace-curator; is elasticsearch-curator installed beside it?" in err
    assert len(err.splitlines()) == 1


def test_files_of_the_other_package_beside_ours_are_a_warning(cli, monkeypatch, tmp_path):
    (tmp_path / "cli").mkdir()
    (tmp_path / "indexlist.py").touch()
    monkeypatch.setattr("curator.cli.__file__", str(tmp_path / "cli" / "__init__.py"))
    code, _, err = cli("version")
    assert code == 0
    assert err.startswith("warning: elasticsearch-curator is installed in the same environment")


def test_control_characters_of_rows_do_not_reach_the_terminal(cli):
    rows = json.dumps({"problem": "1+1\u001b[31m?", "answer": "2", "note": "\u009b31m"})
    Path("problems.jsonl").write_text(rows + "\n")
    cli("run", "page.yaml", "-q")
    (row,) = _rows("runs/small", "read")
    _, out, _ = cli("why", row["row_id"])
    assert "\x1b" not in out
    assert "1+1" in out


def test_ctrl_c_exits_with_130_and_the_run_goes_on_later(cli, tmp_path):
    Path("answers_of_test_cli.py").write_text(
        "import pathlib\ndef answer(messages, sample_idx, prefix):\n    pathlib.Path('asked').touch()\n    return 'x'\n"
    )
    rows = "".join(json.dumps({"problem": f"{i}+1?", "answer": "2"}) + "\n" for i in range(400))
    Path("problems.jsonl").write_text(rows)
    command = [sys.executable, "-m", "curator.cli", "run", "page.yaml", "--set", "engines.teacher.delay=1"]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not Path("asked").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err == "interrupted; what succeeded is kept, and the same command goes on from there\n"
    assert Path("runs/small/steps").is_dir()


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m curator.cli ops | head -1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("Read\n", "")


def test_plan_and_preview_ask_for_no_folder(cli):
    code, out, err = cli("plan", "page.yaml")
    assert (code, err) == (0, "")
    assert "generate" in out
    code, out, err = cli("preview", "page.yaml", "-n", 2)
    assert (code, err) == (0, "")
    assert "boxed" in out
    assert not Path("runs/small").exists()


@pytest.mark.parametrize("terminal", [True, False])
def test_tables_show_numbers_and_no_control_characters(terminal, monkeypatch, capsys):
    from curator.cli.tables import table

    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    table("t", ("name", "rows", "share"), [["a\x1b[31m[bold]b", 1234567, 0.123456], [None, True, 12.345]])
    out = capsys.readouterr().out
    assert "\x1b[31m" not in out
    assert "[bold]b" in out
    assert "1,234,567" in out
    assert "0.123" in out

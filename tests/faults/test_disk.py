"""Disks that refuse, and files that are not what they were: one line, exit code 7 or 3, and the work is kept."""

import errno
import os
import resource
import signal
from multiprocessing import get_context

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_stand_ins import chain, step

from curator import table
from curator.errors import InputError, OutputError
from curator.run.local import run


def pipeline(value=2, count=40):
    least = step("t_atleast", value=value)
    return chain(step("t_numbers", count=count), step("t_double"), step("t_twins"), least, step("t_dump"))


def go(folder, **options):
    return run(pipeline(), folder, workers=0, shard_rows=15, **options)


@pytest.mark.parametrize("where", ["file", "file/r", "/proc/r"])
def test_a_folder_that_cannot_be(tmp_path, where):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot write") as e:
        run(pipeline(), tmp_path / where, workers=0)
    assert "\n" not in str(e.value)
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_disk_that_is_full_at_any_moment_costs_nothing_that_was_done(tmp_path, monkeypatch):
    go(tmp_path / "whole")
    sync, calls = os.fsync, []
    monkeypatch.setattr(table.os, "fsync", lambda fd: calls.append(fd) or sync(fd))
    go(tmp_path / "counted")
    assert len(calls) > 20
    for at in range(0, len(calls), 4):
        left = [at]

        def full(fd, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            sync(fd)

        monkeypatch.setattr(table.os, "fsync", full)
        with pytest.raises(OutputError, match="No space left on device.*run again") as e:
            go(tmp_path / f"r{at}")
        assert "\n" not in str(e.value)
        monkeypatch.setattr(table.os, "fsync", sync)
        done = go(tmp_path / f"r{at}")
        assert (tmp_path / f"r{at}/out/rows.jsonl").read_bytes() == (tmp_path / "whole/out/rows.jsonl").read_bytes()
        assert not list((tmp_path / f"r{at}").rglob("*.tmp"))
        assert [r["out"] for r in done.receipts] == [40, 40, 80, 76, 76]


def _limited(folder, told):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        run(pipeline(count=4000), folder, workers=0)
    except OutputError as e:
        told.write_text(str(e))


def test_a_file_the_kernel_refuses(tmp_path):
    context = get_context("forkserver")
    child = context.Process(target=_limited, args=(tmp_path / "r", tmp_path / "told"))
    child.start()
    child.join()
    assert "cannot write" in (tmp_path / "told").read_text()
    assert run(pipeline(count=4000), tmp_path / "r", workers=0).receipts[-1]["out"] == 7996


def part(folder, name):
    return next((folder / "steps").glob(f"*-{name}/part-00000.parquet"))


def test_a_shard_cut_in_half_is_named(tmp_path):
    go(tmp_path / "r")
    path = part(tmp_path / "r", "twins")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=f"cannot read {path}: not a whole Parquet file"):
        run(pipeline(value=3), tmp_path / "r", workers=0)


def test_a_shard_with_another_schema_is_named(tmp_path):
    go(tmp_path / "r")
    path = part(tmp_path / "r", "twins").with_name("part-00001.parquet")
    pq.write_table(pa.table({"row_id": ["x"], "value": ["text"]}), path)
    with pytest.raises(
        InputError, match=f"{path} has another schema than part-00000.parquet: .*value is string, not int64"
    ):
        run(pipeline(value=3), tmp_path / "r", workers=0)


def test_a_sink_cannot_leave_its_folder(tmp_path):
    bad = chain(step("t_numbers"), step("t_dump", name="../../elsewhere"))
    with pytest.raises(OutputError, match="outside the output folder"):
        run(bad, tmp_path / "r", workers=0)
    assert not (tmp_path / "r/out").exists()

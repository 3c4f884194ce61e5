"""Compiled kernels are kept, and compiled again where any of their sources has changed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

import curator
from curator.kernels import jit

ONE = "from kernels.jit import part\n@part\ndef add(x):\n    return x + {}\n"
TWO = "from kernels.jit import kernel\nfrom kernels.one import add\n@kernel\ndef twice(x):\n    return 2 * add(x)\n"


def test_a_change_in_another_file_is_seen(tmp_path):
    """Numba itself looks at the file of the kernel only, while the machine code holds what it calls."""
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "jit.py").write_text(Path(jit.__file__).read_text())
    (folder / "two.py").write_text(TWO)

    def run() -> tuple[int, int]:
        code = "from kernels.two import twice; print(twice(1)); print(sum(twice.stats.cache_hits.values()))"  # noqa: S608
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )  # fmt: skip
        found, hits = done.stdout.split()
        return int(found), int(hits)

    (folder / "one.py").write_text(ONE.format(1))
    assert run() == (4, 0)
    assert run() == (4, 1)
    (folder / "one.py").write_text(ONE.format(10))
    assert run() == (22, 0)


@pytest.mark.parametrize("room", ["kernels", "engines/fast"])
def test_all_kernels_are_compiled_by_it(room):
    """What is kept of others would not be compiled again where a file that they use has changed."""
    folder = Path(curator.__file__).parent / room
    seen = 0
    for file in sorted(folder.glob("*.py")):
        module = importlib.import_module(f"curator.{room.replace('/', '.')}.{file.stem}")
        for name, found in vars(module).items():
            if isinstance(found, Dispatcher) and not isinstance(found._cache, NullCache):
                assert found._cache._cache_file._source_stamp == jit.stamp(Path(found.py_func.__code__.co_filename).parent), name  # fmt: skip  # noqa: E501
                seen += 1
    assert seen > 2

"""Compiled kernels are kept, and compiled again where any of their sources has changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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

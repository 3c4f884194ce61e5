"""How the kernels of this room are compiled: as all of the house, and with the machine's division, not Python's."""

from __future__ import annotations

from functools import partial

from curator.kernels import jit

kernel = partial(jit.kernel, error_model="numpy")
part = partial(jit.part, error_model="numpy")

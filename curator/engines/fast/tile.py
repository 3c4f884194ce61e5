"""One matrix kernel for everything: `out[R, W] += x[R, K] @ w[K, W]`, its sums held in vector registers.

numba's own loops reach a fifth of what the vector units can do, because the sums of such a loop go through memory at
every step; so this one kernel is given to LLVM directly, with its accumulators as vectors. `w` is a panel: W columns
side by side, row after row. Each sum is taken in the order of K by fused multiply-adds, whatever R is, so a row's
result does not depend on the rows computed with it.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

ROWS = 8  # rows of one tile: with two vectors each, 16 sums stay in registers


def _lanes() -> int:
    """Return the float32 values of this machine's vectors."""
    features = llvm.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4


LANES = _lanes()
PANEL = 2 * LANES  # W: columns of a panel, and tokens of a page

_F32, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_F32, LANES)


def _int(value: int) -> Any:
    return ir.Constant(_I64, value)


class _Tile:
    """Writes the kernel for `rows` rows into a function under construction."""

    def __init__(self, builder: Any, args: Any, rows: int) -> None:
        self.b, self.rows = builder, rows
        x, self.ldx, w, self.depth, out, self.ldo, ahead = args
        pointer = _F32.as_pointer()
        self.x, self.w, self.out, self.ahead = (builder.inttoptr(a, pointer) for a in (x, w, out, ahead))
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        self.fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")

    def _vector(self, base: Any, offset: Any) -> Any:
        return self.b.bitcast(self.b.gep(base, [offset]), _VECTOR.as_pointer())

    def _read(self, place: Any) -> Any:
        value = self.b.load(place)
        value.align = 4  # panels lie anywhere
        return value

    def _broadcast(self, row: int, k: Any) -> Any:
        b, nothing = self.b, ir.Constant(_VECTOR, ir.Undefined)
        offset = b.add(b.mul(self.ldx, _int(row)), k)
        first = b.insert_element(nothing, b.load(b.gep(self.x, [offset])), ir.Constant(_I32, 0))
        return b.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))

    def _fetch(self, k: Any) -> None:
        """Ask for a part of what will be read next: a line, or for few rows, which are soon done, two."""
        kind = ir.FunctionType(ir.VoidType(), [_F32.as_pointer(), _I32, _I32, _I32])
        fetch = cgutils.get_or_insert_function(self.b.module, kind, "llvm.prefetch.p0")
        lines = 2 if self.rows < 5 else 1
        for i in range(lines):
            offset = self.b.add(self.b.mul(k, _int(16 * lines)), _int(16 * i))
            read, second_level, data = (ir.Constant(_I32, v) for v in (0, 2, 1))
            self.b.call(fetch, [self.b.gep(self.ahead, [offset]), read, second_level, data])

    def write(self) -> None:
        """Load the sums, loop over the depth, store the sums."""
        b = self.b
        places = [
            self._vector(self.out, b.add(b.mul(self.ldo, _int(r)), _int(c * LANES)))
            for r in range(self.rows)
            for c in range(2)
        ]
        before, start = b.block, [self._read(p) for p in places]
        loop, after = b.append_basic_block("tile"), b.append_basic_block("tile.end")
        b.branch(loop)
        b.position_at_end(loop)
        k = b.phi(_I64)
        k.add_incoming(_int(0), before)
        sums = [b.phi(_VECTOR) for _ in places]
        for s, value in zip(sums, start, strict=True):
            s.add_incoming(value, before)
        columns = [self._read(self._vector(self.w, b.add(b.mul(k, _int(PANEL)), _int(c * LANES)))) for c in range(2)]
        self._fetch(k)
        new = []
        for r in range(self.rows):
            value = self._broadcast(r, k)
            new += [b.call(self.fma, [value, columns[c], sums[2 * r + c]]) for c in range(2)]
        following = b.add(k, _int(1))
        k.add_incoming(following, loop)
        for s, value in zip(sums, new, strict=True):
            s.add_incoming(value, loop)
        b.cbranch(b.icmp_signed("<", following, self.depth), loop, after)
        b.position_at_end(after)
        for place, value in zip(places, new, strict=True):
            b.store(value, place).align = 4


def _kernel(rows: int) -> Any:
    def tile(_typing: Any, *_args: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            _Tile(builder, args, rows).write()
            return context.get_dummy_value()

        return types.void(*[types.intp] * 7), generate

    def typed(typing: Any, x: Any, ldx: Any, w: Any, depth: Any, out: Any, ldo: Any, ahead: Any) -> Any:
        return tile(typing, x, ldx, w, depth, out, ldo, ahead)

    return intrinsic(typed)


_T1, _T2, _T3, _T4, _T5, _T6, _T7, _T8 = (_kernel(rows) for rows in range(1, ROWS + 1))


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def tile(  # pragma: no cover - compiled
    rows: int, x: int, ldx: int, w: int, depth: int, out: int, ldo: int, ahead: int
) -> None:
    """Add `x @ w` to `out`, for 1 to 8 rows.

    Args:
        rows: of `x` and `out`.
        x: address of float32[rows, depth], `ldx` values from row to row.
        ldx: see `x`.
        w: address of float32[depth, PANEL].
        depth: at least 1.
        out: address of float32[rows, PANEL], `ldo` values from row to row.
        ldo: see `out`.
        ahead: address of what will be read next, fetched into the cache meanwhile; any address is harmless.
    """
    if rows == 8:
        _T8(x, ldx, w, depth, out, ldo, ahead)
    elif rows == 3:
        _T3(x, ldx, w, depth, out, ldo, ahead)
    elif rows == 1:
        _T1(x, ldx, w, depth, out, ldo, ahead)
    elif rows == 2:
        _T2(x, ldx, w, depth, out, ldo, ahead)
    elif rows == 4:
        _T4(x, ldx, w, depth, out, ldo, ahead)
    elif rows == 5:
        _T5(x, ldx, w, depth, out, ldo, ahead)
    elif rows == 6:
        _T6(x, ldx, w, depth, out, ldo, ahead)
    else:
        _T7(x, ldx, w, depth, out, ldo, ahead)


@intrinsic  # type: ignore[untyped-decorator]
def exp2(_typing: Any, x: Any) -> Any:
    """Two to the power of a float32, at least 2**-126, to a relative 2e-7; a loop over it becomes vector code."""

    def generate(_context: Any, b: Any, _signature: Any, args: Any) -> Any:
        def call(name: str, *values: Any) -> Any:
            kind = ir.FunctionType(_F32, [_F32] * len(values))
            return b.call(cgutils.get_or_insert_function(b.module, kind, f"llvm.{name}.f32"), values)

        clamped = call("minnum", call("maxnum", args[0], ir.Constant(_F32, -126.0)), ir.Constant(_F32, 127.0))
        whole = call("rint", clamped)
        rest = b.fsub(clamped, whole)
        value = ir.Constant(_F32, _TAYLOR[-1])
        for c in reversed(_TAYLOR[:-1]):
            value = call("fma", value, rest, ir.Constant(_F32, c))
        bits = b.shl(b.add(b.fptosi(whole, _I32), ir.Constant(_I32, 127)), ir.Constant(_I32, 23))
        return b.fmul(value, b.bitcast(bits, _F32))

    return types.float32(types.float32), generate


def _taylor() -> list[float]:
    """Coefficients of 2**x around 0: at most half a step away, seven of them leave less than float32 shows."""
    import struct

    out, c = [], 1.0
    for k in range(1, 8):
        out.append(struct.unpack("f", struct.pack("f", c))[0])  # exactly representable, as IR constants must be
        c *= 0.6931471805599453 / k
    return out


_TAYLOR = _taylor()

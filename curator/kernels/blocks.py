"""Sixty-four bytes of text at a time: which of them are of words, as the bits of one integer.

Numba has no vectors of its own, so these few instructions are given to LLVM directly; it makes of them what the machine
has (AVX-512, AVX2, NEON). They and what is built on them take pointers: arrays would be counted as references at every
call, which costs as much as some words. Nothing is checked: the caller sees to it that the bytes are there.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

BLOCK = 64

_I8, _I64 = ir.IntType(8), ir.IntType(64)
_VECTOR = ir.VectorType(_I8, BLOCK)

PACKS = bool(llvm.get_host_cpu_features().get("avx512vbmi2"))  # one instruction packs bytes: `pack_places` is quick
_SURE = 24  # places that `pack_places` always writes: more in 64 bytes are rare in text


@intrinsic  # type: ignore[untyped-decorator]
def pointer(_typing: Any, array: Any) -> Any:
    """Return a pointer to the values of an array, to be indexed like it.

    Only of arguments of a kernel, which its caller holds: numba frees an array of its own after the last use it sees.
    """

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return context.make_array(signature.args[0])(context, b, args[0]).data

    return types.CPointer(array.dtype)(array), generate  # type: ignore[attr-defined]


def _read(b: Any, args: Any, kind: Any) -> Any:
    """Load a `kind` from `data[at:]`, wherever that lies."""
    data, at = args
    value = b.load(b.bitcast(b.gep(data, [at]), kind.as_pointer()))
    value.align = 1
    return value


@intrinsic  # type: ignore[untyped-decorator]
def word_bits(_typing: Any, data: Any, at: Any) -> Any:
    """Return uint64: bit k tells whether `data[at + k]`, k < 64, is one of `[A-Za-z0-9_]` or above 127."""

    def generate(_context: Any, b: Any, _signature: Any, args: Any) -> Any:
        def all_of(value: int) -> Any:
            return ir.Constant(_VECTOR, [value] * BLOCK)

        block = _read(b, args, _VECTOR)
        letter = b.icmp_unsigned("<", b.sub(b.or_(block, all_of(0x20)), all_of(ord("a"))), all_of(26))
        digit = b.icmp_unsigned("<", b.sub(block, all_of(ord("0"))), all_of(10))
        other = b.or_(b.icmp_unsigned("==", block, all_of(ord("_"))), b.icmp_signed("<", block, all_of(0)))
        return b.bitcast(b.or_(b.or_(letter, digit), other), _I64)

    return types.uint64(data, types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def eight_bytes(_typing: Any, data: Any, at: Any) -> Any:
    """Return uint64: `data[at:at + 8]`, the first byte lowest."""

    def generate(_context: Any, b: Any, _signature: Any, args: Any) -> Any:
        return _read(b, args, _I64)

    return types.uint64(data, types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def lowest(_typing: Any, bits: Any) -> Any:
    """Return uint64: the place of the lowest bit that is set; 64 where none is."""

    def generate(_context: Any, b: Any, _signature: Any, args: Any) -> Any:
        return b.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def how_many(_typing: Any, bits: Any) -> Any:
    """Return uint64: the number of bits that are set."""

    def generate(_context: Any, b: Any, _signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_I64, [_I64])
        return b.call(cgutils.get_or_insert_function(b.module, kind, "llvm.ctpop.i64"), args)

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def pack_places(_typing: Any, bits: Any, here: Any, out: Any, at: Any) -> Any:
    """Write `here` + the place of each bit that is set to `out[at:]`, lowest first; up to 64 values are written.

    Without `PACKS` it is right too, but slow.
    """

    def generate(_context: Any, b: Any, _signature: Any, args: Any) -> Any:
        bits, here, out, at = args
        mask = b.bitcast(bits, ir.VectorType(ir.IntType(1), BLOCK))
        kind = ir.FunctionType(_VECTOR, [_VECTOR, mask.type, _VECTOR])
        pack = cgutils.get_or_insert_function(b.module, kind, f"llvm.experimental.vector.compress.v{BLOCK}i8")
        packed = b.call(pack, [ir.Constant(_VECTOR, list(range(BLOCK))), mask, ir.Constant(_VECTOR, None)])
        eight, nothing = ir.VectorType(_I64, 8), ir.Constant(_VECTOR, ir.Undefined)
        first = b.insert_element(ir.Constant(eight, ir.Undefined), here, ir.Constant(ir.IntType(32), 0))
        base = b.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), 8), [0] * 8))

        def write(k: int) -> None:
            some = b.shuffle_vector(
                packed, nothing, ir.Constant(ir.VectorType(ir.IntType(32), 8), list(range(k, k + 8)))
            )
            place = b.gep(out, [b.add(at, ir.Constant(_I64, k))])
            b.store(b.add(b.zext(some, eight), base), b.bitcast(place, eight.as_pointer())).align = 8

        for k in range(0, _SURE, 8):
            write(k)
        count = cgutils.get_or_insert_function(b.module, ir.FunctionType(_I64, [_I64]), "llvm.ctpop.i64")
        with b.if_then(b.icmp_unsigned(">", b.call(count, [bits]), ir.Constant(_I64, _SURE)), likely=False):
            for k in range(_SURE, BLOCK, 8):
                write(k)
        return ir.Constant(_I64, 0)

    return types.uint64(types.uint64, types.uint64, out, types.uint64), generate

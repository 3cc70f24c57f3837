"""What a plain loop cannot say: LLVM vectors that stay in registers.

Each intrinsic is a handful of LLVM instructions that numba inlines: the register tile of the matrix product,
the transpose of a small square, the fused multiply-add, the early load. They are correct on every machine,
since LLVM splits a vector that the machine does not have; only the sizes below are chosen for this one. All
addresses are integers, and all steps are in bytes, as strides are.
"""

import platform

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_wide = llvm.get_host_cpu_features().get("avx512f", False)
_x86 = platform.machine().lower() in ("x86_64", "amd64", "i686", "x86")

VECTOR_BYTES = 64 if _wide else 32 if _x86 else 16
# 8 x 3 accumulators + 3 of b + 1 of a = 28 of 32 registers; x86 before AVX-512 has only 16
ROWS = 8 if _wide or not _x86 else 4
VECTORS = 3
UNROLL = 4  # terms of a sum for each turn of the innermost loop; a power of two
BLOCK = VECTOR_BYTES // 8  # packing transposes squares of this size: it divides the width of every panel

_index, _lane = ir.IntType(64), ir.IntType(32)


def call(builder, result, name, *values):
    """Emit a call of the function that LLVM or numba has under this name; the values tell its type."""
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


class _Vectors:
    """Emits loads, stores and multiply-adds of vectors with `count` numbers of the type of `like`."""

    def __init__(self, context, builder, like, count):
        self.builder = builder
        self.number = context.get_value_type(like.dtype)
        self.type = ir.VectorType(self.number, count)
        # fmuladd, not fma: a machine without that instruction multiplies and adds, where fma would call a
        # library for every number
        self.fmuladd = f"llvm.fmuladd.v{count}f{like.dtype.bitwidth}"

    def at(self, address, row, step, column=0):
        """The address of a row, `row` times `step` bytes on, and `column` bytes into it."""
        row = row if isinstance(row, ir.Value) else _index(row)
        offset = self.builder.add(self.builder.mul(row, step), _index(column))
        return self.builder.add(address, offset)

    def load(self, address, kind=None):
        kind = kind or self.type
        value = self.builder.load(self.builder.inttoptr(address, kind.as_pointer()))
        value.align = 1  # nothing is known about the caller's arrays
        return value

    def store(self, value, address):
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer())).align = 1

    def everywhere(self, address):
        """One number, in all places of a vector."""
        one = self.load(address, self.number)
        first = self.builder.insert_element(ir.Constant(self.type, ir.Undefined), one, _lane(0))
        return self.shuffle(first, first, [0] * self.type.count)

    def shuffle(self, a, b, places):
        """The numbers of a followed by those of b, at these places."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_lane, len(places)), places))


@intrinsic
def tile_product(typing_context, like, vectors, a, a_row, last, b, b_step, depth, out, out_row, add):
    """out[i, j] (+)= sum_k a[i, k] b[k, j] over k < depth, for ROWS rows and 1 to VECTORS vectors a row.

    `like` is an array that tells the type; a, b and out are addresses; a_row, b_step and out_row lead to the
    next row. Rows of a are contiguous; those after the `last` are not read: the last is used again in their
    place, or half as many are computed where these are enough. `add` says whether the sums start from what
    is in out. Every sum is one chain of fused multiply-adds in the order of k, wherever the tile lies:
    results do not depend on the number of threads.
    """

    def codegen(context, builder, signature, args):
        _, vectors, *args = args
        v = _Vectors(context, builder, like, VECTOR_BYTES * 8 // like.dtype.bitwidth)
        with builder.if_else(builder.icmp_signed("<", args[2], _index(ROWS // 2))) as heights:
            for rows, height in zip((ROWS // 2, ROWS), heights, strict=True):
                with height:
                    for count in range(1, VECTORS + 1):
                        with builder.if_then(builder.icmp_signed("==", vectors, _index(count))):
                            _tile(v, rows, count, *args)
        return context.get_dummy_value()

    return types.void(like, *(types.intp,) * 9, add), codegen


def _tile(v, rows, vectors, a, a_row, last, b, b_step, depth, out, out_row, add):
    """Emit the tile of one size."""
    builder = v.builder
    tile = {(i, j): v.at(out, i, out_row, j * VECTOR_BYTES) for i in range(rows) for j in range(vectors)}
    starts, item = [], _index(VECTOR_BYTES // v.type.count)
    for i in range(rows):
        inside = builder.icmp_signed("<", _index(i), last)
        starts.append(v.at(a, builder.select(inside, _index(i), last), a_row))
    # LLVM turns these stack slots into registers
    sums = {c: cgutils.alloca_once_value(builder, ir.Constant(v.type, None)) for c in tile}
    with builder.if_then(builder.trunc(add, ir.IntType(1))):  # else out is not read: it may be far away
        for c, place in tile.items():
            builder.store(v.load(place), sums[c])
    whole = builder.and_(depth, _index(-UNROLL))
    for begin, end, count in ((_index(0), whole, UNROLL), (whole, depth, 1)):
        with cgutils.for_range_slice(builder, begin, end, _index(count), intp=_index) as (start, _):
            for n in range(count):
                k = builder.add(start, _index(n))
                row = [v.load(v.at(b, k, b_step, j * VECTOR_BYTES)) for j in range(vectors)]
                for i in range(rows):
                    a_ik = v.everywhere(v.at(starts[i], k, item))
                    for j in range(vectors):
                        sum_ij = builder.load(sums[i, j])
                        builder.store(call(builder, v.type, v.fmuladd, a_ik, row[j], sum_ij), sums[i, j])
    for c, place in tile.items():
        v.store(builder.load(sums[c]), place)


@intrinsic
def transpose_block(typing_context, like, target, target_row, source, source_row):
    """target[k, i] = source[i, k] for a BLOCK x BLOCK square, transposed in registers."""

    def codegen(context, builder, signature, args):
        _, target, target_row, source, source_row = args
        v = _Vectors(context, builder, like, BLOCK)
        rows = [v.load(v.at(source, i, source_row)) for i in range(BLOCK)]
        # swap the off-diagonal halves, then those of each quarter, and so on: log2(BLOCK) rounds
        half = BLOCK // 2
        while half:
            keep = [c if not c & half else BLOCK + c - half for c in range(BLOCK)]
            swap = [c + half if not c & half else BLOCK + c for c in range(BLOCK)]
            for i in range(BLOCK):
                if not i & half:
                    pair = rows[i], rows[i + half]
                    rows[i], rows[i + half] = v.shuffle(*pair, keep), v.shuffle(*pair, swap)
            half //= 2
        for k in range(BLOCK):
            v.store(rows[k], v.at(target, k, target_row))
        return context.get_dummy_value()

    return types.void(like, *(types.intp,) * 4), codegen


@intrinsic
def prefetch(typing_context, address):
    """Start to load the cache line at an address, which need not be that of an array."""

    def codegen(context, builder, signature, args):
        place, how = builder.inttoptr(args[0], ir.IntType(8).as_pointer()), (_lane(0), _lane(3), _lane(1))
        call(builder, ir.VoidType(), "llvm.prefetch.p0", place, *how)  # to read data, and to keep them
        return context.get_dummy_value()

    return types.void(types.intp), codegen


@intrinsic
def fma(typing_context, a, b, c):
    """a b + c, rounded once where the machine can; a loop over it vectorises."""

    def codegen(context, builder, signature, args):
        return call(builder, args[0].type, f"llvm.fmuladd.f{signature.return_type.bitwidth}", *args)

    return a(a, a, a), codegen


@intrinsic
def pointer(typing_context, address, like):
    """The address of an array's data, an integer, as a pointer to numbers of the type of `like`."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(address, like), codegen

"""What a plain loop cannot say: LLVM vectors that stay in registers.

Each intrinsic is a few LLVM instructions. They are correct on every machine, since LLVM splits a vector that
is too long for it; only the sizes below are chosen for this one. Addresses are integers, steps are in bytes.
"""

import platform
from itertools import product

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
HALF = ROWS // 2  # rows of a tile where these are enough
BLOCK = VECTOR_BYTES // 8  # packing moves squares of this size: a row of float64 numbers fills a vector

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
        self.type, self.item = ir.VectorType(self.number, count), _index(like.dtype.bitwidth // 8)
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
def tile_product(typing_context, like, vectors, a, a_row, last, terms, count, b, b_step, out, out_row, add):
    """out[i, j] (+)= sum_k a[i, k] b[k, j], for ROWS rows and 1 to VECTORS vectors a row.

    `like` is an array that tells the type; a, terms, b and out are addresses; a_row, b_step and out_row lead
    to the next row. If `terms` is 0, k < count, and rows of a are contiguous; those after the `last` are not
    read, but the last again in their place. Else it lists `count` numbers k, and a is a strip: the ROWS
    numbers of every k are contiguous. Where HALF rows are enough, no more are computed. If `add`, sums start
    from what is in out. They are chains of fused multiply-adds in the order of k, wherever the tile lies.
    """

    def codegen(context, builder, signature, args):
        _, vectors, a, a_row, last, terms, count, b, b_step, out, out_row, add = args
        v = _Vectors(context, builder, like, VECTOR_BYTES * 8 // like.dtype.bitwidth)
        low, given = builder.icmp_signed("<", last, _index(HALF)), builder.icmp_signed("!=", terms, _index(0))
        inside = [builder.icmp_signed("<", _index(i), last) for i in range(ROWS)]
        starts = [v.at(a, builder.select(inside[i], _index(i), last), a_row) for i in range(ROWS)]
        strip = [v.at(a, i, v.item) for i in range(ROWS)]
        kind = builder.add(vectors, builder.select(low, _index(4), _index(0)))  # one number: a jump table
        kind = builder.add(kind, builder.select(given, _index(8), _index(0)))
        for rows, width, listed in product((HALF, ROWS), range(1, VECTORS + 1), (False, True)):
            a_at, a_step = (strip, builder.mul(v.item, _index(ROWS))) if listed else (starts, v.item)
            this = _index(width + 4 * (rows == HALF) + 8 * listed)
            with builder.if_then(builder.icmp_signed("==", kind, this)):
                places = product(range(rows), range(width))
                tile = {(i, j): v.at(out, i, out_row, j * VECTOR_BYTES) for i, j in places}
                # LLVM turns these stack slots into registers
                sums = {c: cgutils.alloca_once_value(builder, ir.Constant(v.type, None)) for c in tile}
                with builder.if_then(builder.trunc(add, ir.IntType(1))):  # else out may be far away
                    for c, place in tile.items():
                        builder.store(v.load(place), sums[c])
                with cgutils.for_range(builder, count, intp=_index) as loop:
                    k = v.load(v.at(terms, loop.index, _index(8)), _index) if listed else loop.index
                    row = [v.load(v.at(b, k, b_step, j * VECTOR_BYTES)) for j in range(width)]
                    for i in range(rows):
                        a_ik = v.everywhere(v.at(a_at[i], k, a_step))
                        for j in range(width):
                            total = call(builder, v.type, v.fmuladd, a_ik, row[j], builder.load(sums[i, j]))
                            builder.store(total, sums[i, j])
                for c, place in tile.items():  # + 0: a sum that rounds to -0 is 0, as with a term of 0
                    v.store(builder.fadd(builder.load(sums[c]), ir.Constant(v.type, None)), place)
        return context.get_dummy_value()

    return types.void(like, *(types.intp,) * 10, add), codegen


@intrinsic
def move_block(typing_context, like, target, target_row, source, source_row, turned):
    """target[i, j] = source[i, j] in a BLOCK x BLOCK square; or source[j, i], transposed in registers."""

    def codegen(context, builder, signature, args):
        _, target, target_row, source, source_row, turned = args
        v = _Vectors(context, builder, like, BLOCK)
        rows = [v.load(v.at(source, i, source_row)) for i in range(BLOCK)]
        with builder.if_else(builder.trunc(turned, ir.IntType(1))) as (across, straight):
            with straight:
                for i in range(BLOCK):
                    # load the next square early: it may lie pages apart, where the processor does not look
                    ahead = v.at(source, BLOCK + i, source_row)
                    place = builder.inttoptr(ahead, ir.IntType(8).as_pointer())
                    how = _lane(0), _lane(3), _lane(1)  # to read data, and to keep them
                    call(builder, ir.VoidType(), "llvm.prefetch.p0", place, *how)
                    v.store(rows[i], v.at(target, i, target_row))
            with across:
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
                for i in range(BLOCK):
                    v.store(rows[i], v.at(target, i, target_row))
        return context.get_dummy_value()

    return types.void(like, *(types.intp,) * 4, types.boolean), codegen


@intrinsic
def filled(typing_context, like, address):
    """Whether any of the HALF numbers from an address on is not 0."""

    def codegen(context, builder, signature, args):
        v, bits = _Vectors(context, builder, like, HALF), ir.IntType(HALF)
        unlike = builder.fcmp_unordered("!=", v.load(args[1]), ir.Constant(v.type, None))
        return builder.icmp_unsigned("!=", builder.bitcast(unlike, bits), bits(0))

    return types.boolean(like, types.intp), codegen


@intrinsic
def fma(typing_context, a, b, c):
    """a b + c, rounded once where the machine can; a loop over it vectorises."""

    def codegen(context, builder, signature, args):
        return call(builder, args[0].type, f"llvm.fmuladd.f{signature.return_type.bitwidth}", *args)

    return a(a, a, a), codegen


@intrinsic
def array_at(typing_context, address, low, high, like):
    """The numbers low <= i < high from an address on, as an array like the contiguous 1-D array `like`."""

    def codegen(context, builder, signature, args):
        address, low, high, array = args
        model, size = context.data_model_manager[like], builder.sub(high, low)
        data = builder.gep(builder.inttoptr(address, model.get(builder, array, "data").type), [low])
        shape = cgutils.pack_array(builder, [size])
        for field, value in {"data": data, "nitems": size, "shape": shape}.items():
            array = model.set(builder, array, value, field)
        return array

    return like(address, low, high, like), codegen

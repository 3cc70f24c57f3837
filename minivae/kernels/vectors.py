"""What a plain loop cannot say: LLVM vectors that stay in registers.

Three intrinsics, each a handful of LLVM instructions that numba inlines: the register tile of the matrix
product, the copy of one vector, and the transpose of a small square block. They are correct on every
target, since LLVM splits a vector that the machine does not have; only the sizes below are chosen for
the machine at hand. All addresses into the source are in bytes, because strides are.
"""

import platform
from functools import partial

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_features = llvm.get_host_cpu_features()
_wide = _features.get("avx512f", False)
_x86 = platform.machine().lower() in ("x86_64", "amd64", "i686", "x86")

VECTOR_BYTES = 64 if _wide else 32 if _x86 else 16
# 8 x 3 accumulators + 3 of b + 1 of a = 28 of 32 registers; x86 before AVX-512 has only 16
ROWS = 8 if _wide or not _x86 else 4
VECTORS = 3
BLOCK = VECTOR_BYTES // 8  # packing moves rows and squares of this size: it divides the width of every panel

_index, _lane = ir.IntType(64), ir.IntType(32)


def lanes(itemsize):
    """Numbers of `itemsize` bytes in one vector register."""
    return VECTOR_BYTES // itemsize


def _address(context, builder, signature, args, k, item=None, byte=None):
    """Pointer into the array that is argument k, `item` elements or `byte` bytes from its start."""
    data = context.make_array(signature.args[k])(context, builder, args[k]).data
    if byte is None:
        return builder.gep(data, [item])
    start = builder.bitcast(data, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(start, [byte]), data.type)


def _load(builder, pointer, vector):
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = 1  # nothing is known about the caller's arrays
    return value


def _store(builder, value, pointer):
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = 1


def _tile_product(vectors):
    """The intrinsic for a tile of ROWS rows and `vectors` vector registers a row."""

    @intrinsic
    def tile_product(typing_context, like, a, a_row, a_step, last, b, b_step, depth, out, out_row, add):
        """out[i, j] (+)= sum_k a[i, k] b[k, j] over k < depth; `like` is an array that tells the type.

        a, b and out are addresses, and every step is in bytes: `a_row` from row to row of a, `a_step` from
        k to k; `b_step` from row to row of b, `out_row` of out. Rows of a after the `last` are not read:
        its own stand in for them. `add` says whether the tile goes on from what stands in out. Every sum is
        one chain of fused multiply-adds in the order of k, wherever the tile lies and whoever computes it:
        so results do not depend on the threads.
        """

        def codegen(context, builder, signature, args):
            _, a, a_row, a_step, last, b, b_step, depth, out, out_row, add = args
            number = context.get_value_type(like.dtype)
            bits = like.dtype.bitwidth
            count = lanes(bits // 8)
            vector = ir.VectorType(number, count)

            def at(address, offset):
                return builder.inttoptr(builder.add(address, offset), number.as_pointer())

            # fmuladd, not fma: a machine without that instruction multiplies and adds, where fma would
            # call a library for every number
            fma = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(vector, [vector] * 3),
                f"llvm.fmuladd.v{count}f{bits}",
            )
            undefined = ir.Constant(vector, ir.Undefined)
            all_first = ir.Constant(ir.VectorType(_lane, count), None)
            tile = [(i, v) for i in range(ROWS) for v in range(vectors)]
            place = {
                (i, v): at(out, builder.add(builder.mul(out_row, _index(i)), _index(v * VECTOR_BYTES)))
                for i, v in tile
            }
            starts = []
            for i in range(ROWS):
                inside = builder.icmp_signed("<", _index(i), last)
                row = builder.select(inside, _index(i), last)
                starts.append(builder.add(a, builder.mul(row, a_row)))
            # LLVM turns these stack slots into registers
            sums = {c: cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for c in tile}
            with builder.if_then(builder.trunc(add, ir.IntType(1))):
                for c in tile:
                    builder.store(_load(builder, place[c], vector), sums[c])
            with cgutils.for_range(builder, depth, intp=_index) as loop:
                a_k = builder.mul(loop.index, a_step)
                b_k = builder.add(b, builder.mul(loop.index, b_step))
                row = [_load(builder, at(b_k, _index(v * VECTOR_BYTES)), vector) for v in range(vectors)]
                for i in range(ROWS):
                    one = builder.load(at(starts[i], a_k))
                    one.align = 1
                    first = builder.insert_element(undefined, one, _lane(0))
                    everywhere = builder.shuffle_vector(first, undefined, all_first)
                    for v in range(vectors):
                        total = builder.call(fma, [everywhere, row[v], builder.load(sums[i, v])])
                        builder.store(total, sums[i, v])
            for c in tile:
                _store(builder, builder.load(sums[c]), place[c])
            return context.get_dummy_value()

        integer = types.intp
        numbers = (integer,) * 9
        return types.void(like, *numbers, add), codegen

    return tile_product


tile_product_1, tile_product_2, tile_product_3 = (_tile_product(v) for v in (1, 2, 3))


@intrinsic
def fma(typing_context, a, b, c):
    """a b + c, rounded once where the machine can; a loop over it vectorises."""

    def codegen(context, builder, signature, args):
        number = context.get_value_type(signature.return_type)
        name = f"llvm.fmuladd.f{signature.return_type.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(number, [number] * 3), name)
        return builder.call(function, args)

    return a(a, a, a), codegen


@intrinsic
def copy_block(typing_context, target, start, source, byte):
    """target[start : start + BLOCK] = the BLOCK numbers that stand `byte` bytes into source."""

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), BLOCK)
        at = partial(_address, context, builder, signature, args)
        _store(builder, _load(builder, at(2, byte=args[3]), vector), at(0, item=args[1]))
        return context.get_dummy_value()

    return types.void(target, start, source, byte), codegen


@intrinsic
def transpose_block(typing_context, target, start, step, source, byte, row_bytes):
    """target[start + k step + i] = source row i, element k: a BLOCK x BLOCK square is turned in registers.

    The source's rows are `row_bytes` apart, the target's `step` elements; both are contiguous inside.
    """

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), BLOCK)
        at = partial(_address, context, builder, signature, args)
        rows = []
        for i in range(BLOCK):
            byte = builder.add(args[4], builder.mul(args[5], _index(i)))
            rows.append(_load(builder, at(3, byte=byte), vector))
        # swap the off-diagonal halves, then those of each quarter, and so on: log2(BLOCK) rounds
        half = BLOCK // 2
        while half:
            keep = [c if not c & half else BLOCK + c - half for c in range(BLOCK)]
            swap = [c + half if not c & half else BLOCK + c for c in range(BLOCK)]
            for i in range(BLOCK):
                if not i & half:
                    pair = rows[i], rows[i + half]
                    rows[i], rows[i + half] = (
                        builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(_lane, BLOCK), lane))
                        for lane in (keep, swap)
                    )
            half //= 2
        for k in range(BLOCK):
            item = builder.add(args[1], builder.mul(args[2], _index(k)))
            _store(builder, rows[k], at(0, item=item))
        return context.get_dummy_value()

    return types.void(target, start, step, source, byte, row_bytes), codegen


@intrinsic
def prefetch(typing_context, array, byte):
    """Ask for the cache line that stands `byte` bytes into the array, and do not wait for it."""

    def codegen(context, builder, signature, args):
        char = ir.IntType(8).as_pointer()
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.gep(builder.bitcast(data, char), [args[1]])
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [char, _lane, _lane, _lane]), "llvm.prefetch.p0"
        )
        # to read, into the second-level cache, data
        builder.call(function, [address, _lane(0), _lane(2), _lane(1)])
        return context.get_dummy_value()

    return types.void(array, byte), codegen


@intrinsic
def pointer(typing_context, address, like):
    """The address of an array's data, an integer, as a pointer to numbers of the type of `like`."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(address, like), codegen

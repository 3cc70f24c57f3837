"""How threads share the work of a kernel: each runs the same function, on its own share.

numba's `prange` compiles every loop several times, and needs a version without threads beside one with them.
Here a share is an ordinary compiled function that serves both: compiling takes a third of the time.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .compiled import inner
from .vectors import call

LINE = 16  # numbers in the cache lines that are never split between two threads
_void, _int, _index, _bytes = ir.VoidType(), ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
# what numba's threads run: it takes the addresses of arguments, sizes, steps, and of data of its own
_job = ir.FunctionType(_void, [_bytes.as_pointer(), _index.as_pointer(), _index.as_pointer(), _bytes])


@intrinsic
def in_parallel(typing_context, share, parts, args):
    """Run share(index, parts, *args) for every index < parts at once, each on a thread, and wait for all.

    `share` is a compiled function; it returns nothing and raises nothing. `parts` is at most the number of
    numba's threads. A single part runs on the thread that calls: a forked child has no other.
    """
    signature = share.get_call_type(typing_context, (types.intp, types.intp, *args.types), {})
    version = share.dispatcher.overloads[signature.args]

    def codegen(context, builder, _, values):
        _, parts, args_ = values
        context.add_linking_libs([version.library])

        def run(builder, index, parts, given):
            given = [index, parts, *cgutils.unpack_tuple(builder, given, len(args.types))]
            context.call_internal_no_propagate(builder, version.fndesc, signature, given)

        # numba steps through one "argument" byte by byte, from the address of our data: the distance from it
        # is the index of the first share that a job runs, and the size is how many
        data = cgutils.make_anonymous_struct(builder, (parts, args_))
        job = ir.Function(builder.module, _job, builder.module.get_unique_name("job"))
        job.linkage = "internal"
        inside = ir.IRBuilder(job.append_basic_block())
        at, start = (inside.ptrtoint(p, _index) for p in (inside.load(job.args[0]), job.args[3]))
        found = inside.load(inside.bitcast(job.args[3], data.type.as_pointer()))
        with cgutils.for_range(inside, inside.load(job.args[1]), intp=_index) as loop:
            index = inside.add(inside.sub(at, start), loop.index)
            run(inside, index, inside.extract_value(found, 0), inside.extract_value(found, 1))
        inside.ret_void()

        place = cgutils.alloca_once_value
        with builder.if_else(builder.icmp_signed("==", parts, _index(1))) as (alone, together):
            with alone:
                run(builder, _index(0), parts, args_)
            with together:
                own = builder.bitcast(place(builder, data), _bytes)
                four = place(builder, own), place(builder, parts), place(builder, _index(1)), own
                users = call(builder, _int, "get_num_threads")  # set for other code, and again below
                # the job, what it takes, two counts of arguments, the number of threads
                given = builder.bitcast(job, _bytes), *four, _index(0), _index(1), parts
                call(builder, _void, "numba_parallel_for", *given)
                call(builder, _void, "set_num_threads", users)
        return context.get_dummy_value()

    return types.void(share, types.intp, args), codegen


@inner
def range_of(size, unit, index, parts):
    """Where part `index` begins and ends when `size` numbers are divided into `parts` in whole units.

    The first parts have the larger shares: the last one has the unit that is not full, which takes longer.
    """
    units = -(-size // unit)
    low, high = -(-units * index // parts), -(-units * (index + 1) // parts)
    return min(size, unit * low), min(size, unit * high)

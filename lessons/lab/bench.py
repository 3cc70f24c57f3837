"""python -m lessons bench: time training steps, their parts and matrix products against other libraries.

Each implementation (contender) runs in its own process. In every round each contender is timed once, for a
fraction of a second, after a pause in which idle threads stop spinning. Ratios are computed within a round,
so a slow period of the machine affects both times; medians and quartiles are over rounds. The lower bound
of a time is set by the fastest measured product and by the memory bandwidth: floor = max(flops / rate,
bytes / bandwidth). The flops are those of all terms, also of those that our kernels leave out, because they
are 0 in several images or pixels at once: a layer that reads MNIST's pixels may be faster than its floor.
"""

import os
import platform
import time
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np

from minivae import arguments

from . import chapter, contenders, watched
from .contenders import Contender, Setting
from .show import Report, bar, bars, canvas, count, number, publish, require_writable, table

KINDS = ("step", "matmul", "parts", "growth", "machine", "chapter")
STEPS = ("numba", "numpy", "torch eager", "torch.compile", "jax.jit")
OURS, GROWN = ("numba", "numpy"), ("numba", "torch eager")
SETTINGS = (
    Setting((400,), 20, "relu", 128),
    Setting((200, 200), 50, "tanh", 20),
    Setting((1000,), 50, "relu", 512),
    Setting((200, 200), 50, "tanh", 20, 50),
)
PRODUCTS = {
    "x @ W, encoder": (128, 784, 400, "NN"),
    "h @ W, decoder": (128, 400, 784, "NN"),
    "x.T @ dy, encoder": (784, 128, 400, "TN"),
    "h.T @ dy, decoder": (400, 128, 784, "TN"),
    "dy @ W.T, decoder": (128, 784, 400, "NT"),
    **{f"cube {n}": (n, n, n, "NN") for n in (256, 1024, 2048)},
}
GROWTH = tuple(Setting((H,), 20, "relu", B) for H in (128, 512, 2048) for B in (16, 128, 1024))
TURN, PAUSE = 0.3, 0.15  # seconds; idle threads of OpenBLAS occupy their cores for 0.11
TOLERANCE = 1e-4  # largest relative difference of float32 losses
POOLS = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def add_arguments(parser):
    """The options of `bench`."""
    parser.add_argument("--json", metavar="FILE", help="write all measurements to FILE")
    parser.add_argument("--out", metavar="FILE", default="bench.png", help="PNG file (default: %(default)s)")
    parser.add_argument("--threads", metavar="N", type=int, help="threads per contender (default: all)")
    text = "number of rounds (default: %(default)s)"
    parser.add_argument("--rounds", metavar="N", type=int, default=15, help=text)
    parser.add_argument("--quick", action="store_true", help="smoke test: few, short measurements")
    text = f"what to measure, comma-separated: {', '.join(KINDS)} (default: all)"
    parser.add_argument("--only", metavar="NAMES", default=",".join(KINDS), help=text)


def run(args):
    """Measure, print, and write the files -> exit code."""
    require_writable(args.out, args.json)
    only = [arguments.one_of("--only", kind, KINDS) for kind in args.only.split(",")]
    rounds = count("--rounds", args.rounds, most=100_000)
    if args.threads is not None:  # read by the libraries when they are imported
        os.environ.update(dict.fromkeys(POOLS, str(count("--threads", args.threads, most=cores()))))
    publish(measure(only, rounds, args.quick, bar("bench")), args.out, args.json)
    return 0


# ------------------------------------------------------------------------------ measurements


def spread(values):
    """-> median, lower and upper quartile."""
    return tuple(float(q) for q in np.percentile(values, (50, 25, 75)))


def difference(losses, reference):
    """The largest relative difference between two loss curves."""
    return float(np.max(np.abs(np.divide(losses, reference) - 1)))


def race(field, rounds, turn, *given):
    """{name: Contender} -> {name: its measurements, as lists over rounds, or {"missing": reason}}.

    Every second round runs in reverse order.
    """
    rows = {name: {"missing": one.first} for name, one in field.items() if isinstance(one.first, str)}
    field, counts = {name: one for name, one in field.items() if name not in rows}, {}
    for name, contender in field.items():
        contender(1, *given)
        counts[name] = int(np.clip(turn / contender(1, *given)["seconds"], 1, 10_000))
    answers = {name: [] for name in field}
    for i in range(rounds):
        for name in list(field)[:: -1 if i % 2 else 1]:
            time.sleep(PAUSE)
            field[name](1 + counts[name] // 10, *given)  # warm up: the caches hold other data
            answers[name].append(field[name](counts[name], *given))
    for name, own in answers.items():
        rows[name] = {key: [answer[key] for answer in own] for key in own[0]} | {"losses": field[name].first}
    return rows


def step(names, setting, rounds, turn):
    """Time the training step of one setting for every installed contender."""
    rows = race({name: Contender(contenders.step, name, setting) for name in names}, rounds, turn)
    return {name: {key: value for key, value in rows[name].items() if key != "parts"} for name in names}


def parts(limits, setting, rounds, turn):
    """Time the parts of a step -> {part: {backend: its seconds, "floor": the lower bound}}."""
    rows = race({name: Contender(watched.Watched, name, setting) for name in OURS}, rounds, turn)
    found = {}
    for name, row in rows.items():
        if "missing" in row:
            raise ValueError(f"cannot run a training step on {name}: {row['missing']}")
        for part in row["parts"][0]:
            seconds, flops, moved = np.transpose([each[part] for each in row["parts"]])
            found.setdefault(part, {})[name] = {"seconds": seconds.tolist()}
            floor = max(flops[0] / limits["flops"], moved[0] / limits["bytes_per_second"])
            found[part]["floor"] = {"seconds": [floor] * rounds}
    for name, row in rows.items():
        inside = np.sum([each[name]["seconds"] for each in found.values() if name in each], axis=0)
        found.setdefault("around them", {})[name] = {"seconds": np.subtract(row["seconds"], inside).tolist()}
        found.setdefault("whole step", {})[name] = {"seconds": row["seconds"]}
    whole = sum(each["floor"]["seconds"][0] for each in found.values() if "floor" in each)
    found["whole step"]["floor"] = {"seconds": [whole] * rounds}
    return found


def measure(only=KINDS, rounds=15, quick=False, progress=lambda items: items):
    """Run the measurements named in `only` -> Report; its records are a dictionary of all rounds, in seconds.

    `quick` is a smoke test: one setting, small products, three short rounds. progress(items) may draw a bar.
    """
    rounds, turn = (min(rounds, 3), TURN / 10) if quick else (rounds, TURN)
    few = 1 if quick else None
    results = {"written by": "minivae bench", "machine": describe(), "rounds": rounds}
    products = {name: Contender(contenders.product, name) for name in OURS}
    multiply = partial(race, products, rounds, turn / 3)
    if {"parts", "machine"} & set(only):
        rows, size = multiply(1024, 1024, 1024, "NN", "float32"), 8_000_000  # bytes in three arrays
        moved = race({"": Contender(contenders.stream, "numba")}, rounds, turn / 3, size)[""]["seconds"]
        best = min(min(row["seconds"]) for row in rows.values())
        results["limits"] = {"flops": 2 * 1024**3 / best, "bytes_per_second": 5 * size / 3 / min(moved)}
    jobs = [("step", s.title, partial(step, STEPS, s, rounds, turn)) for s in SETTINGS[:few]]
    jobs += [
        ("matmul", f"{name}, {dtype}", partial(multiply, *shape, dtype))
        for dtype in ("float32", "float64")[:few]
        for name, shape in PRODUCTS.items()
        if not quick or shape[0] < 1024
    ]
    jobs += [("growth", s.title, partial(step, GROWN, s, rounds, turn)) for s in GROWTH[:few]]
    jobs = [job for job in jobs if job[0] in only]
    if "parts" in only:
        jobs.append(("parts", "", partial(parts, results["limits"], SETTINGS[0], rounds, turn)))
    for kind, title, job in progress(jobs):
        results.setdefault(kind, {}).update(job() if kind == "parts" else {title: job()})
    told = ["", *chapter.lines()] if "chapter" in only else []
    return Report([*lines_of(results), *told], results, partial(figure_of, results))


def describe():
    """Processor, cores, system, versions, and the load per core over the last minute."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((l.split(":")[1].strip() for l in lines if l.startswith("model name")), cpu)
    versions = {"python": platform.python_version()}
    for name in ("numpy", "numba", "torch", "jax"):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    busy = os.getloadavg()[0] / cores() if hasattr(os, "getloadavg") else 0
    return {"cpu": cpu, "cores": cores(), "system": platform.platform(), "busy": busy, "versions": versions}


def cores():
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ------------------------------------------------------------------------------ the report

# kind: title, contenders, divisor of numba's time (the fastest other contender, or the floor)
TABLES = {
    "step": ("Training step", STEPS, "/ fastest"),
    "matmul": ("Product a @ b; numpy: BLAS", OURS, "/ BLAS"),
    "growth": ("Training step by size", GROWN, "/ torch"),
    "parts": (f"Parts of {SETTINGS[0].title}", ("floor", *OURS), "/ floor"),
}


def ratio(row, names):
    """Spread over rounds of numba's time / the floor, or / the fastest other contender; None if missing."""
    others = [row[name]["seconds"] for name in names if name != "numba" and "seconds" in row.get(name, {})]
    if not others or "seconds" not in row.get("numba", {}) or ("floor" in names) > ("floor" in row):
        return None
    return spread(
        np.divide(row["numba"]["seconds"], others[0] if "floor" in row else min(others, key=np.median))
    )


def lines_of(results):
    """Yield the tables: medians in ms, and ratios of numba's time to another; below 1, numba is faster."""
    machine, limits, told = results["machine"], results.get("limits"), {}
    yield f"{machine['cpu']}, {machine['cores']} cores, {results['rounds']} rounds; medians [quartiles]"
    yield ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    if machine["busy"] > 0.1:
        yield f"This machine is busy ({machine['busy']:.0%}): the ratios are more reliable than the times."
    if limits:
        yield f"Limits: {limits['flops'] / 1e9:.1f} GFLOP/s in the fastest product (1024 cube, float32);"
        yield f"the SGD update moves {limits['bytes_per_second'] / 1e9:.1f} GB/s"
        yield "a floor counts all terms of sums; numba leaves out many that are 0: most pixels"
    for kind, (title, names, against) in TABLES.items():
        cells = []
        for row_name, row in results.get(kind, {}).items():
            each = [row.get(name, {}) for name in names]
            times = [number(1e3 * spread(r["seconds"])[0], 3) if "seconds" in r else "-" for r in each]
            three = ratio(row, names)
            cells.append([row_name, *times, *(_ratio(three) if three else ("", ""))])
            told |= {name: r["missing"] for name, r in zip(names, each, strict=True) if "missing" in r}
        if cells:
            heads = (f"{name}\nms" for name in names)
            yield from ("", *table((title, *heads, f"numba\n{against}", ""), cells))
    for name, why in told.items():
        yield f"{name}: {why}"
    if any("not installed" in why for why in told.values()):
        yield 'to install the other libraries: pip install -e ".[bench]"'
    for title, rows in results.get("step", {}).items():
        running = {name: row for name, row in rows.items() if "losses" in row}
        first = next(iter(running.values()), {}).get("losses")
        cells = []
        for name, row in running.items():
            off = difference(row["losses"], first)
            agree = f"{off:.0e}" if off <= TOLERANCE else f"DIFFER {off:.0e}"
            times = [number(1e3 * value, 3) for value in spread(row["seconds"])]
            cells.append(
                [name, times[0], f"[{times[1]}, {times[2]}]", number(row["peak_mb"][-1] or np.nan), agree]
            )
        columns = title, "ms", "quartiles", "peak MB", f"first {contenders.CURVE} losses"
        yield from ("", *table(columns, cells))


def _ratio(three):
    middle, low, high = three
    return f"{middle:.2f}", f"[{low:.2f}, {high:.2f}]"


def figure_of(results):
    """Marks are medians and bars quartiles over rounds; None if nothing was timed."""
    kinds = [kind for kind in TABLES if kind in results]
    if not kinds:
        return None
    figure, axes = canvas(1, len(kinds), (6.5 * len(kinds), 5))
    for panel, kind in zip(axes[0], kinds, strict=True):
        title, names, _ = TABLES[kind]
        series = {name: {} for name in names}
        for row_name, row in results[kind].items():
            for name in names:
                seconds = row.get(name, {}).get("seconds", [0])
                if min(seconds) > 0:
                    three = [1e3 * value for value in spread(seconds)]
                    series[name][row_name] = (*three, number(three[0], 3))
        bars(panel, list(results[kind]), {name: marks for name, marks in series.items() if marks}, "ms")
        panel.set_title(title, fontsize="medium")
    figure.suptitle(f"{results['machine']['cpu']}: medians and quartiles of {results['rounds']} rounds")
    return figure

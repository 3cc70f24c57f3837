"""The benchmark: training steps against other libraries, products against BLAS, parts against the machine.

All contenders of a race take turns of a fraction of a second, round after round, with a pause in which the
idle threads of the other libraries stop spinning. A ratio is formed within a round, and medians and quartiles
are over rounds: when the machine slows down, both sides of a ratio slow down. No program is faster than its
arithmetic at the best rate that a product reaches here, nor than its bytes at the speed of memory:
floor = max(flops / rate, bytes / bandwidth).
"""

import time
from functools import partial

import numpy as np

from minivae import arguments

from .contenders import (
    Setting,
    Watch,
    clock,
    describe,
    floors,
    product,
    steps,
    stream,
    work_of_parts,
)
from .show import Report, bars, canvas, number, table

KINDS = ("step", "matmul", "parts", "machine")
STEPS = ("numba", "numpy", "torch eager", "torch.compile", "jax.jit")
OURS = ("numba", "numpy")
SETTINGS = (
    Setting((400,), 20, "relu", 128),
    Setting((200, 200), 50, "tanh", 20),
    Setting((1000,), 50, "relu", 512),
)
PRODUCTS = {
    "x @ W, encoder": (128, 784, 400, "NN"),
    "h @ W, decoder": (128, 400, 784, "NN"),
    "x.T @ dy, encoder": (784, 128, 400, "TN"),
    "h.T @ dy, decoder": (400, 128, 784, "TN"),
    "dy @ W.T, decoder": (128, 784, 400, "NT"),
    **{f"cube {n}": (n, n, n, "NN") for n in (256, 1024, 2048)},
}
TURN, PAUSE = 0.3, 0.05  # seconds
CURVE = 50  # losses that are compared between contenders
TOLERANCE = 1e-3  # of two loss curves in float32, relative: rounding that 50 steps of Adam have amplified


# ------------------------------------------------------------------------------ turns


def spread(values):
    """-> median, lower and upper quartile."""
    return tuple(float(q) for q in np.percentile(values, (50, 25, 75)))


def ratio(mine, theirs):
    """The spread of mine / theirs, round by round."""
    return spread(np.divide(mine, theirs))


def difference(losses, reference):
    """The largest relative difference of two loss curves."""
    return float(np.max(np.abs(np.divide(losses, reference) - 1)))


def take_turns(contenders, rounds, turn):
    """{name: work} -> {name: seconds of one work() in each round}; every other round is in reverse order."""
    counts = {}
    for name, work in contenders.items():
        clock(work, 1)
        counts[name] = int(np.clip(turn / clock(work, 1), 1, 10_000))
    seconds = {name: [] for name in contenders}
    for i in range(rounds):
        for name in list(contenders)[:: -1 if i % 2 else 1]:
            time.sleep(PAUSE)
            clock(contenders[name], 1 + counts[name] // 10)  # its caches are full of another's data
            seconds[name].append(clock(contenders[name], counts[name]))
    return seconds


def race(setting, rounds, turn, names=STEPS):
    """One setting's training step by every contender that is installed -> {name: its numbers}."""
    rows, contenders = {}, {}
    for name in names:
        try:
            work = steps(name, setting)
            rows[name] = {"losses": [float(work()) for _ in range(CURVE)]}
            contenders[name] = work
        except ModuleNotFoundError as error:
            rows[name] = {"missing": f"{error.name} is not installed"}
        except Exception as error:  # a library that is broken here ends its own row only
            rows[name] = {"missing": f"{type(error).__name__}: {' '.join(str(error).split())[:60]}"}
    for name, seconds in take_turns(contenders, rounds, turn).items():
        off = difference(rows[name]["losses"], rows[next(iter(contenders))]["losses"])
        rows[name] |= {"seconds": seconds, "loss_difference": off}
    return rows


def parts(setting, rounds, turn):
    """The parts of one setting's step, by both backends -> {backend: {part: seconds in every round}}."""
    found = {}
    for who in OURS:
        watch = Watch(who, setting)
        n = int(np.clip(turn / max(clock(watch, 1), clock(watch, 1)), 1, 1000))
        found[who] = {}
        for _ in range(rounds):
            watch.seconds.clear()
            total = clock(watch, n)
            each = {name: seconds / n for name, seconds in watch.seconds.items()}
            for name, value in (
                each | {"around them": total - sum(each.values()), "whole step": total}
            ).items():
                found[who].setdefault(name, []).append(value)
    return found


def measure(only=KINDS, rounds=15, quick=False, progress=lambda items: items):
    """Run the races named in `only` -> Report; its records are one dictionary with every round, in seconds.

    `quick` is a smoke run: one setting, small products, three short rounds. progress(items) may draw a bar.
    """
    for kind in only:
        arguments.one_of("only", kind, KINDS)
    rounds, turn = arguments.integer("rounds", rounds), TURN
    rounds, turn = (min(rounds, 3), turn / 10) if quick else (rounds, turn)
    settings = SETTINGS[:1] if quick else SETTINGS
    dtypes = ("float32",) if quick else ("float32", "float64")
    shapes = {name: shape for name, shape in PRODUCTS.items() if not quick or shape[0] < 1024}
    cube = (1024, 1024, 1024, "NN", "float32")
    jobs = [
        ("matmul", (*shape, dtype), f"{name}, {dtype}") for dtype in dtypes for name, shape in shapes.items()
    ]
    jobs = [job for job in jobs if "matmul" in only]
    jobs += [("step", setting, setting.title) for setting in settings if "step" in only]
    jobs += [("parts", settings[0], settings[0].title)] * ("parts" in only)
    results = {"written by": "minivae bench", "machine": describe(), "rounds": rounds}
    if set(only) - {"matmul"}:
        rates = take_turns({who: product(who, *cube) for who in OURS}, rounds, turn / 3)
        results["limits"] = {"flops": 2 * 1024**3 / min(map(min, rates.values())), "bytes_per_second": {}}
        for setting in settings:
            size = 3 * work_of_parts(setting)["optimizer"][1] // 7
            seconds = take_turns({"": stream(size)}, rounds, turn / 3)[""]
            results["limits"]["bytes_per_second"][setting.title] = 5 * size / 3 / min(seconds)
    for kind, what, title in progress(jobs):
        results.setdefault(kind, {})[title] = (
            race(what, rounds, turn) if kind == "step"
            else parts(what, rounds, turn) if kind == "parts"
            else take_turns({who: product(who, *what) for who in OURS}, rounds, turn / 3)
        )  # fmt: skip
    return Report(list(lines_of(results)), results, partial(figure_of, results))


# ------------------------------------------------------------------------------ the report


def _times(seconds):
    middle, low, high = (number(1e3 * s, 3) for s in spread(seconds))
    return middle, f"[{low}, {high}]"


def _ratio(mine, theirs):
    middle, low, high = ratio(mine, theirs)
    return f"{middle:.2f}", f"[{low:.2f}, {high:.2f}]"


def lines_of(results):
    """Every table. A ratio is numba's time / the other's: below 1, numba is faster."""
    machine, limits = results["machine"], results.get("limits", {})
    known = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    yield f"{machine['cpu']}, {machine['cores']} cores, {results['rounds']} rounds; medians [quartiles]"
    yield known
    if (machine["busy"] or 0) > 0.1:
        yield f"This machine is busy ({machine['busy']:.0%}): trust the ratios more than the times."
    if limits:
        yield f"Limits: {limits['flops'] / 1e9:.1f} GFLOP/s in the best product (1024 cube, float32);"
        speeds = (f"{speed / 1e9:.1f} GB/s ({title})" for title, speed in limits["bytes_per_second"].items())
        yield f"the optimizer's update moves {', '.join(speeds)}"
    by_title = {setting.title: setting for setting in SETTINGS}
    for title, rows in results.get("step", {}).items():
        cells, mine = [], rows["numba"].get("seconds")
        for name, row in rows.items():
            if "missing" in row:
                cells.append([name, "-", "", "", "", row["missing"]])
                continue
            against = ("", "") if name == "numba" or not mine else _ratio(mine, row["seconds"])
            off = row["loss_difference"]
            agree = f"{off:.0e}" if off <= TOLERANCE else f"DIFFER {off:.0e}"
            cells.append([name, *_times(row["seconds"]), *against, agree])
        floor = sum(floors(by_title[title], limits).values())
        if floor and mine:
            cells.append(["floor", number(1e3 * floor, 3), "", f"{spread(mine)[0] / floor:.2f}", "", ""])
        heads = (f"Training step {title}", "ms", "", "numba /", "", "first 50 losses")
        yield from ("", *table(heads, cells, "<"))
        if any("not installed" in row.get("missing", "") for row in rows.values()):
            yield '  to install the other libraries: pip install -e ".[bench]"'
    if "matmul" in results:
        cells = []
        for name, sides in results["matmul"].items():
            cells.append([name, *(_times(sides[who])[0] for who in OURS), *_ratio(*sides.values())])
        yield from ("", *table(("Product a @ b", "numba ms", "BLAS ms", "ratio", ""), cells))
    for title, sides in results.get("parts", {}).items():
        least, cells = floors(by_title[title], limits), []
        for name in sides["numpy"]:
            mine, numpy = (sides[who].get(name) for who in OURS)
            floor = least.get(name, sum(least.values()) if name == "whole step" else 0)
            times = [_times(seconds)[0] if seconds else "-" for seconds in (mine, numpy)]
            over = number(spread(mine)[0] / floor, 3) if mine and floor else ""
            cells.append([name, number(1e3 * floor, 3) if floor else "", *times, over])
        yield from (
            "",
            *table((f"Parts of {title}", "floor ms", "numba ms", "numpy ms", "numba / floor"), cells),
        )


def figure_of(results):
    """Marks are medians and bars quartiles over rounds; None where nothing was raced."""
    panels = []
    for title, rows in results.get("step", {}).items():
        marks = {n: spread(row["seconds"]) for n, row in rows.items() if "seconds" in row}
        series = {"": ("#0077bb", {n: (*_ms(v), f"{1e3 * v[0]:.2f} ms") for n, v in marks.items()})}
        floor = 1e3 * sum(floors(next(s for s in SETTINGS if s.title == title), results["limits"]).values())
        panels.append(
            (f"training step {title}", list(marks), series, "ms; dashed: the machine's floor", floor)
        )
    if "matmul" in results:
        marks = {name: ratio(*sides.values()) for name, sides in results["matmul"].items()}
        series = {"": ("#0077bb", {n: (*v, f"{v[0]:.2f}") for n, v in marks.items()})}
        panels.append(
            ("matrix product: numba's time / BLAS's", list(marks), series, "below 1 numba is faster", 1)
        )
    for title, sides in results.get("parts", {}).items():
        series = {}
        for who, colour in (("numba", "#0077bb"), ("numpy", "#ee7733")):
            marks = {name: spread(seconds) for name, seconds in sides[who].items() if min(seconds) > 0}
            series[who] = colour, {n: (*_ms(v), number(1e3 * v[0], 2)) for n, v in marks.items()}
        panels.append((f"parts of the step {title}", list(sides["numpy"]), series, "ms", None))
    if not panels:
        return None
    figure, axes = canvas(1, len(panels), (5.2 * len(panels), 4.8))
    for panel, (title, *what) in zip(axes[0], panels, strict=True):
        bars(panel, *what)
        panel.set_title(title, fontsize="medium")
    figure.suptitle(f"{results['machine']['cpu']}: medians and quartiles of {results['rounds']} rounds")
    return figure


def _ms(seconds):
    return [1e3 * s for s in seconds]

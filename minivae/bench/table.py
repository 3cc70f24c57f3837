"""The table that `python -m minivae bench` prints, from the dictionary that `bench.measure` returns.

A time is the median over rounds, its quartiles in brackets. A ratio is numba's time divided by the other's:
below 1, numba is faster.
"""

import numpy as np

from .race import ratio, spread

INSTALL = 'pip install -e ".[bench]"'
BUSY = 0.1  # the share of the cores' time in other hands from which a warning is due


def lines(results):
    """Every line of the table, at most 110 columns wide."""
    yield from _heading(results)
    sections = {"limits": _limits, "step": _steps, "matmul": _products, "parts": _parts}
    for key, section in sections.items():
        if results.get(key):
            yield ""
            yield from section(results[key])


def _heading(results):
    here, versions = results["machine"], results["versions"]
    yield (
        f"{here['cpu']}, {_count(here['cores'], 'core')}; {_count(results['threads'], 'thread')}, "
        f"{_count(results['rounds'], 'round')}; medians [quartiles]"
    )
    blas = versions["blas"].strip()
    known = [
        f"{k} {v}" + (f" ({blas})" if k == "numpy" else "") for k, v in versions.items() if v and k != "blas"
    ]
    yield ", ".join(known)
    if here["busy"] is not None and here["busy"] > BUSY:
        yield (
            f"This machine looks busy: others used {here['busy']:.0%} of it before the start. "
            f"Trust the ratios before the times."
        )


def _limits(limits):
    yield "The machine's limits: the best of all rounds"
    for row in limits["products"]:
        who = _who(row["who"])
        rate = f"{row['flops'] / 1e9:9.1f} GFLOP/s"
        yield f"  1024 cube, float32, {who:<8}{_count(row['threads'], 'thread'):>10} {rate}"
    for row in limits["streams"]:
        how = {"update": "SGD's update, read 3 write 2", "copy": "NumPy's copy, one thread"}[row["how"]]
        where = f"{row['size'] / 1e6:.0f} MB, {row['set']}"
        yield f"  {how:<30}{row['bytes_per_second'] / 1e9:9.1f} GB/s   in {where}"


def _steps(races):
    yield (
        f"{'Training step':<21}{'threads':>8}{'ms':>10}  {'quartiles':<19}{'numba / it':>10}  "
        f"{'quartiles':<14}{'peak MB':>8}  losses"
    )
    for race in races:
        yield f"  {race['title']}"
        rows = {row["name"]: row for row in race["rows"]}
        mine = rows["numba"].get("seconds") if "missing" not in rows["numba"] else None
        for row in race["rows"]:
            yield _step_row(row, mine)
        if race.get("floor"):
            text = f"    {'floor':<17}{'':>8}{1e3 * race['floor']:10.3f}"
            if mine:
                times = spread(mine)[0] / race["floor"]
                text += f"  {'':<19}{times:10.2f}  numba's time / the machine's floor"
            yield text
        yield from _verdict(rows, mine)
    yield "  losses: largest relative difference of the first 50 from numba's; peak: memory at its highest"


def _step_row(row, mine):
    if "missing" in row:
        return f"    {row['name']:<17}{_missing(row['missing'])}"
    text = f"    {row['name']:<17}{row['threads']:>8}{_milliseconds(row['seconds'])}"
    text += _ratio(mine, row["seconds"]) if mine and row["seconds"] is not mine else f"{'':>28}"
    agree = f"{row['loss_difference']:.0e}" if row["agrees"] else f"DIFFER {row['loss_difference']:.0e}"
    return f"{text}{max(row['peak']) / 1e6:8.0f}  {'' if row['name'] == 'numba' else agree}".rstrip()


def _verdict(rows, mine):
    """Numba against the fastest of the other libraries."""
    others = {
        name: row["seconds"]
        for name, row in rows.items()
        if name not in ("numba", "numpy") and "missing" not in row and row["agrees"]
    }
    if mine and others:
        fastest = min(others, key=lambda name: np.median(others[name]))
        middle, low, high = ratio(mine, others[fastest])
        much = f"{middle:.2f} [{low:.2f}, {high:.2f}]"
        yield f"    numba takes {much} of the time of the fastest of the other libraries, {fastest}"


def _products(rows):
    yield (
        f"{'Product a @ b':<20}{'m x k x n':>14}  {'type':<9}{'numba ms':>10}{'BLAS ms':>10}"
        f"{'GFLOP/s':>9}{'BLAS':>7}{'ratio':>8}  quartiles"
    )
    for row in rows:
        size = f"{row['m']}x{row['k']}x{row['n_out']}"
        name = f"  {row['name']:<18}{size:>14}  {row['dtype']:<9}"
        sides = [row[who] for who in ("numba", "numpy")]
        absent = next((side["missing"] for side in sides if "missing" in side), None)
        if absent:
            yield (name + _missing(absent))[:110]
            continue
        times = [spread(side["seconds"])[0] for side in sides]
        middle, low, high = ratio(*(side["seconds"] for side in sides))
        columns = "".join(f"{1e3 * t:10.3f}" for t in times)
        rates = f"{row['flops'] / times[0] / 1e9:9.0f}{row['flops'] / times[1] / 1e9:7.0f}"
        yield f"{name}{columns}{rates}{middle:8.2f}  [{low:.2f}, {high:.2f}]"


def _parts(parts):
    yield (
        f"{'Part of the step':<21}{'MFLOP':>8}{'MB':>8}{'floor ms':>10}"
        f"{'numba ms':>10}  {'quartiles':<19}{'/ floor':>8}{'numpy ms':>11}"
    )
    yield f"  {parts['title']}"
    numba, numpy = (parts["backends"][who] for who in ("numba", "numpy"))
    total_floor = sum(row["floor"] or 0 for row in parts["rows"])
    for row in parts["rows"]:
        columns = f"  {row['name'][:18]:<19}{row['flops'] / 1e6:8.1f}{row['bytes'] / 1e6:8.2f}"
        laps = [[lap.get(row["name"], 0.0) for lap in side.get("parts", [])] for side in (numba, numpy)]
        yield columns + _against_floor(row["floor"], *laps)
    work = [sum(row[key] for row in parts["rows"]) for key in ("flops", "bytes")]
    columns = f"  {'whole step':<19}{work[0] / 1e6:8.1f}{work[1] / 1e6:8.2f}"
    yield columns + _against_floor(total_floor, numba.get("seconds", []), numpy.get("seconds", []))
    for who, side in parts["backends"].items():
        if "missing" in side:
            yield f"  {who}: {_missing(side['missing'])}"
    yield "  MB: operands read once, results written once; floor: MFLOP and MB at the machine's limits"


def _against_floor(floor, numba, numpy):
    text = f"{1e3 * floor:10.3f}" if floor else f"{'':>10}"
    text += _milliseconds(numba) if any(numba) else f"{'':>31}"
    text += f"{spread(numba)[0] / floor:8.1f}" if floor and any(numba) else f"{'':>8}"
    return (text + (f"{1e3 * spread(numpy)[0]:11.3f}" if any(numpy) else "")).rstrip()


def _milliseconds(seconds):
    middle, low, high = (1e3 * s for s in spread(seconds))
    return f"{middle:10.3f}  {f'[{low:.3f}, {high:.3f}]':<19}"


def _ratio(mine, theirs):
    middle, low, high = ratio(mine, theirs)
    return f"{middle:10.2f}  {f'[{low:.2f}, {high:.2f}]':<14}  "


def _missing(reason):
    hint = f"; {INSTALL}" if reason.endswith("is not installed") else ""
    return f"not available: {reason}{hint}"[:88]


def _who(who):
    return {"numba": "numba", "numpy": "BLAS"}[who]


def _count(n, word):
    return f"{n} {word}{'' if n == 1 else 's'}"

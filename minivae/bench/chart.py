"""The picture of a benchmark: shorter bars are faster, whiskers are the quartiles over rounds."""

import numpy as np
from matplotlib.figure import Figure

from .race import ratio, spread

OURS, PLAIN, OTHER, FLOOR = "#0077bb", "#88ccee", "#bbbbbb", "#cc3311"


def bench_chart(results):
    """The dictionary of `bench.measure` -> Figure, or None where nothing in it can be drawn."""
    panels = [(_steps, race) for race in results.get("step", []) if _measured(race["rows"])]
    if any("seconds" in side for row in results.get("matmul", []) for side in (row["numba"], row["numpy"])):
        panels.append((_products, results["matmul"]))
    if any("seconds" in side for side in results.get("parts", {}).get("backends", {}).values()):
        panels.append((_parts, results["parts"]))
    if not panels:
        return None
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.9 * rows + 0.4), layout="constrained")
    grid = figure.add_gridspec(rows, 6)
    for i, (draw, what) in enumerate(panels):
        row, column = divmod(i, columns)
        width = 6 // min(columns, len(panels) - columns * row)
        draw(figure.add_subplot(grid[row, column * width : (column + 1) * width]), what)
    here = results["machine"]
    text = (
        f"{here['cpu']}, {results['threads']} threads: medians of {results['rounds']} rounds, and quartiles"
    )
    figure.suptitle(text, fontsize="medium")
    return figure


def _measured(rows):
    return [row for row in rows if "missing" not in row]


def _steps(axes, race):
    """One training step by every contender, and the time that the machine takes at least."""
    rows = _measured(race["rows"])
    colours = {"numba": OURS, "numpy": PLAIN}
    mine = next((row["seconds"] for row in rows if row["name"] == "numba"), None)
    for y, row in enumerate(rows):
        middle = _bar(axes, y, row["seconds"], colours.get(row["name"], OTHER))
        text = f" {middle:.2f} ms"
        if mine and row["name"] != "numba":
            text += f", numba takes {ratio(mine, row['seconds'])[0]:.2f} of it"
        _label(axes, y, row["seconds"], text)
    if race.get("floor"):
        axes.axvline(1e3 * race["floor"], color=FLOOR, linestyle="--")
    unit = "ms" + "; dashed: the machine's floor" * bool(race.get("floor"))
    _finish(axes, [row["name"] for row in rows], f"training step {race['title']}", unit)
    axes.set_xlim(0, 2.3 * max(1e3 * spread(row["seconds"])[2] for row in rows))  # room for the text


def _products(axes, rows):
    """Numba's time over BLAS's for every product in float32; to the left of the line numba is faster."""
    rows = [r for r in rows if "seconds" in r["numba"] and "seconds" in r["numpy"]]
    for y, row in enumerate(rows):
        middle, low, high = ratio(row["numba"]["seconds"], row["numpy"]["seconds"])
        mark = "o" if row["dtype"] == "float32" else "s"
        whisker = [[middle - low], [high - middle]]
        face = OURS if row["dtype"] == "float32" else "white"
        axes.errorbar(middle, y, xerr=whisker, fmt=mark, color=OURS, markerfacecolor=face, capsize=3)
        axes.text(high * 1.03, y, f" {middle:.2f}", va="center", fontsize="small")
    axes.axvline(1, color=FLOOR, linestyle="--")
    names = [f"{row['name']}, {row['dtype'].replace('float', 'f')}" for row in rows]
    _finish(axes, names, "matrix product: numba's time / BLAS's", "left of the line numba is faster")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")


def _parts(axes, parts):
    """Every part's time on both backends, and its floor."""
    sides = {who: side["parts"] for who, side in parts["backends"].items() if "parts" in side}
    rows = parts["rows"]
    for who, colour, shift in (("numba", OURS, -0.2), ("numpy", PLAIN, 0.2)):
        for y, row in enumerate(rows):
            if who in sides:
                seconds = [lap.get(row["name"], 0.0) for lap in sides[who]]
                _bar(axes, y + shift, seconds, colour, 0.4, who if y == 0 else None)
    for y, row in enumerate(rows):
        if row["floor"]:
            where = [1e3 * row["floor"]] * 2
            name = "floor of this machine" if y == 0 else None
            axes.plot(where, [y - 0.42, y + 0.42], color=FLOOR, label=name)
    axes.legend(frameon=False, fontsize="small")
    _finish(axes, [row["name"] for row in rows], f"parts of the step {parts['title']}", "ms")


def _bar(axes, y, seconds, colour, height=0.7, label=None):
    middle, low, high = (1e3 * s for s in spread(seconds))
    whisker = [[middle - low], [high - middle]]
    axes.barh(y, middle, height, color=colour, label=label)
    axes.errorbar(middle, y, xerr=whisker, fmt="none", color="black", capsize=2, linewidth=0.8)
    return middle


def _label(axes, y, seconds, text):
    axes.text(1e3 * spread(seconds)[2], y, text, va="center", fontsize="small")


def _finish(axes, names, title, unit):
    axes.set_yticks(np.arange(len(names)), names, fontsize="small")
    axes.set_ylim(len(names) - 0.5, -0.5)  # the first on top
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel(unit)
    axes.spines[["top", "right"]].set_visible(False)

"""What every measurement returns, and one way to print a number, a table and a chart and to write files."""

import csv
import io
import json
import math
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from minivae import arguments, files, plots

BLUE, ORANGE, RED = COLOURS = "#0077bb", "#ee7733", "#cc3311"
COLOURS += "#777777", "#aa4499"
# colour and marker of every series; dashed lines and hollow markers for the antithetic and the uncoupled
STYLES = {
    "pathwise": (BLUE, "o"),
    "sticking-the-landing": ("#33bbee", "h"),
    "score-function": (RED, "s"),
    "score-function-zero-mean-term": ("#882255", "X"),
    "score-function-mean-baseline": (ORANGE, "^"),
    "moving-average": (ORANGE, "^"),
    "score-function-optimal-baseline": ("#aa4499", "v"),
    "leave-one-out": ("#997700", "D"),
    "measure-valued": ("#000000", "P"),
}
SECOND = {f"{first}-{kind}": first for first in STYLES for kind in ("antithetic", "uncoupled")}


class Report(NamedTuple):
    """What a measurement returns: `lines` to print, `records` for a CSV or JSON file, `draw()` -> Figure."""

    lines: list
    records: Any
    draw: Any


def bar(name):
    """progress(items): a progress bar, if standard error is a terminal."""
    return partial(tqdm, desc=name, leave=False, disable=None)


def count(name, value, least=1, most=100_000_000):
    """An integer within bounds: one that is too large would measure until the memory is full."""
    if arguments.integer(name, value, at_least=least) > most:
        raise ValueError(f"{name} must be at most {most:,}, got {value}")
    return value


def number(value, digits=4):
    """Few digits, commas and no powers of ten up to a million, "-" for nan: 7860.2 -> 7,860."""
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "-"
    if 10.0**digits <= abs(value) < 999_500:
        return f"{round(value, digits - 1 - math.floor(math.log10(abs(value)))):,.0f}"
    return f"{value:,.{digits}g}"


def table(headings, rows, align=">"):
    """Lines of a table: the first column to the left, the others by `align`; cells are text or numbers.

    A heading may have two lines, "variance\\nexact". The columns are as wide as they need to be.
    """
    heads = zip(*([*heading.rpartition("\n")][::2] for heading in headings), strict=True)
    lines = [*filter(any, heads), *([number(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = "<" + align * (len(widths) - 1)
    for line in lines:
        padded = (f"{cell:{side}{w}}" for cell, side, w in zip(line, sides, widths, strict=True))
        yield "  ".join(padded).rstrip()


def over(a, b):
    """a / b; inf or nan where b is 0, without a warning."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(a, b)


def canvas(rows, columns, size, **settings):
    """A figure of `size` inches -> figure, panels (rows, columns)."""
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, **settings)
    for axes in panels.flat:
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def style(name):
    """Keywords of `plot` for one series, the same in every chart."""
    colour, marker = STYLES.get(SECOND.get(name, name), ("#777777", "."))
    face, line = ("white", "--") if name in SECOND else (colour, "-")
    return {"color": colour, "marker": marker, "markerfacecolor": face, "linestyle": line, "markersize": 5}


def bars(axes, names, series, unit, line=None):
    """A mark at the median and a bar from the lower to the upper quartile, one row for each name.

    series: {its name: {row: (middle, low, high, text)}}; the first row is on top. The x-axis is logarithmic;
    `line` is drawn at that value.
    """
    for i, (label, values) in enumerate(series.items()):
        shift, colour = 0.8 * (i + 0.5) / len(series) - 0.4, COLOURS[i]
        for name, (middle, low, high, text) in values.items():
            y = names.index(name) + shift
            axes.plot([low, high], [y, y], color=colour, linewidth=5, alpha=0.4, solid_capstyle="butt")
            axes.plot(middle, y, "o", color=colour, markersize=6)
            end = {"textcoords": "offset points", "va": "center", "fontsize": "small"}
            axes.annotate(text, (max(high, middle), y), (7, 0), color=colour, **end)
        axes.plot([], [], "o", color=colour, label=label)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    low = min(low, 0.8 * (line or low))
    axes.set_xlim(low, high * (high / low) ** 0.35)  # room for the numbers
    if line:
        axes.axvline(line, color=RED, linestyle="--", linewidth=1, zorder=0)
    axes.set_yticks(range(len(names)), names, fontsize="small")
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(unit)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    if len(series) > 1:
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.15), "ncols": len(series)}
        axes.legend(frameon=False, fontsize="small", columnspacing=1, handletextpad=0, **below)


# ------------------------------------------------------------------------------ files


def require_writable(out, numbers):
    """Refuse, before minutes of measuring, what could not be written after them."""
    if Path(out).suffix.lower() != ".png":
        raise ValueError(f"--out must name a .png file, got {out}")
    for path in (out,) if numbers is None else (out, numbers):
        files.require_ours(path)
        probe = files.temporary(Path(path).parent)
        try:
            with suppress(FileNotFoundError):
                Path(path).lstat()  # refuses a name that is too long
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ValueError(f"{path} cannot be written: {error.strerror}") from None
    if numbers is not None and (not Path(numbers).name or Path(out).resolve() == Path(numbers).resolve()):
        raise ValueError(f"the picture and the numbers need two files, got {out!r} and {numbers!r}")


@plots.plain
def publish(report, out, numbers):
    """Print the lines of a report; write its records as CSV or JSON and its picture as PNG."""
    print("\n".join(report.lines), flush=True)
    if numbers:
        csv_or_json = to_json if isinstance(report.records, dict) else to_csv
        files.write(numbers, csv_or_json(report.records))
        print(f"wrote {numbers}")
    figure = report.draw()
    if figure:
        files.write(out, plots.to_png(figure))
        print(f"wrote {out}")


def to_json(results):
    """The bytes of a JSON file; its first entry is the mark of `files`."""
    return json.dumps(results, indent=1).encode() + b"\n"


def to_csv(records):
    """The bytes of a CSV with a line for each dictionary; its first column is the mark of `files`."""
    text = io.StringIO(newline="")
    columns = ["minivae", *dict.fromkeys(key for record in records for key in record)]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"minivae": "variance", **record} for record in records)
    return text.getvalue().encode()

"""What a lesson is told with: headings, guesses, numbers beside their exact values, figures.

A lesson prints a story that can be read from top to bottom. Every number in it passes through `beside` (there
is an exact value to hold it to) or `number` (there is none), which keep it in `told` as well; a test runs the
lesson and compares `told` with what it has on record.
"""

import os
import sys
import textwrap
from pathlib import Path

from matplotlib.figure import Figure

from minivae import plots

FIGURES = Path(__file__).with_name("figures")
WIDTH = 96

# colours that stay apart for the colour-blind, after Paul Tol's "bright" scheme, each with a line style of
# its own, so that they stay apart in a black and white print too
BLUE, RED, GREEN, GREY = "#4477aa", "#ee6677", "#228833", "#777777"
STYLES = {BLUE: "-", RED: "--", GREEN: "-.", GREY: (0, (5, 1, 1, 1, 1, 1))}

told = {}  # name -> value, of the lesson that runs


def section(heading):
    """A heading, which has a verb: what happens next."""
    print(f"\n{heading}\n{'-' * len(heading)}")


def say(text):
    """A paragraph, wrapped."""
    print(textwrap.fill(" ".join(text.split()), WIDTH))


def guess(question):
    """A question to answer before the numbers below it are read."""
    print(textwrap.fill(f"Guess first: {' '.join(question.split())}", WIDTH, subsequent_indent="  "))


def beside(name, measured, exact, within, word="exact"):
    """A number beside its exact value; they must agree to `within`, an absolute tolerance.

    word: what the other value is, where it is not exact
    """
    measured, exact = float(measured), float(exact)
    _tell(name, measured)
    print(
        f"  {name:<52} {_short(measured):>11}   {word} {_short(exact):>11}   (to {float(f'{within:.2g}'):g})"
    )
    if not abs(measured - exact) <= within:
        raise AssertionError(f"{name}: {measured!r} is not within {within} of {exact!r}")


def number(name, value, unit=""):
    """A number that has no exact value beside it."""
    _tell(name, float(value))
    print(f"  {name:<52} {_short(float(value)):>11} {unit}".rstrip())


def canvas(panels=1, height=3.2, width=None):
    """An empty figure and its axes, wide enough for a page -> Figure, one axes or an array of them."""
    figure = Figure(figsize=(width or (6.0 if panels == 1 else 9.0), height), layout="constrained")
    axes = figure.subplots(1, panels)
    for panel in figure.axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure, name, dpi=100):
    """Write figures/<number of the lesson>_<name>.png, if it has changed."""
    script = Path(sys._getframe(1).f_code.co_filename).name
    path = FIGURES / f"{script[:2]}_{name}.png"
    png = plots.to_png(figure, dpi)
    try:
        FIGURES.mkdir(exist_ok=True)
        if not path.exists() or path.read_bytes() != png:
            path.write_bytes(png)
    except OSError as error:
        print(f"  figure: {path.name} is not written: {error.strerror}")
        return
    print(f"  figure: {os.path.relpath(path)}")


def _tell(name, value):
    if name in told:
        raise ValueError(f"two numbers of the lesson have the name {name!r}")
    told[name] = value


def _short(value):
    """Six digits, and an exponent only where it is needed."""
    size = abs(value)
    if value == 0 or 1e-3 <= size < 1e6:
        return f"{value:.6g}"
    return f"{value:.3e}"

"""What a lesson is told with: headings, questions, numbers beside their exact values, figures.

Every number of a lesson passes through `beside` (an exact value is known) or `number` (none is), which keep
it in `told` as well; a test runs the lesson and compares `told` with a record.
"""

import os
import re
import shutil
import sys
import textwrap
from pathlib import Path

FIGURES = Path(__file__).with_name("figures")

# colours that the colour-blind can tell apart, after Paul Tol's "bright" scheme, each with a line style of
# its own so that they differ in a black and white print too
BLUE, RED, GREEN, GREY = "#4477aa", "#ee6677", "#228833", "#777777"
STYLES = {BLUE: "-", RED: "--", GREEN: "-.", GREY: (0, (5, 1, 1, 1, 1, 1))}

told = {}  # name -> value, of the lesson that runs


def columns():
    """Columns of text that fit the terminal: 80 if that is unknown, and 100 at most."""
    return max(40, min(shutil.get_terminal_size((80, 24)).columns, 100))


def wrapped(text, indent=""):
    """A paragraph wrapped at the terminal's width, but not inside `a command`; further lines are indented."""
    return filled(text, columns(), subsequent_indent=indent)


def filled(text, width, **indents):
    """A paragraph wrapped at a width, but not inside `a command` or (a - b)."""
    together = r"`[^`]*`|\([^() ]+ [-+*/] [^() ]+\)"
    whole = re.sub(together, lambda match: match[0].replace(" ", "\xa0"), " ".join(text.split()))
    return textwrap.fill(whole, width, **indents).replace("\xa0", " ")


def section(heading):
    """A heading, which has a verb: what happens next."""
    print(f"\n{heading}\n{'-' * len(heading)}")


def say(text):
    """A paragraph."""
    print(wrapped(text))


def guess(question):
    """A question to answer before reading on; on a terminal the lesson waits for Enter (--no-pause: not)."""
    print(wrapped(f"Guess first: {question}", "  "))
    if sys.stdin and sys.stdin.isatty() and sys.stdout.isatty() and "--no-pause" not in sys.argv:
        try:
            input("  (press Enter to go on) ")
        except EOFError:
            print()


def beside(name, measured, exact, within, word="exact"):
    """A number beside its exact value; they must agree to `within`, an absolute tolerance.

    word: what the other value is, if it is not exact
    """
    measured, exact = float(measured), float(exact)
    _tell(name, measured)
    _row(name, f"{_short(measured):>11}   {word} {_short(exact):>11}   (to {float(f'{within:.2g}'):g})")
    if not abs(measured - exact) <= within:
        raise AssertionError(f"{name}: {measured!r} is not within {within} of {exact!r}")


def number(name, value, unit=""):
    """A number without an exact value."""
    _tell(name, float(value))
    _row(name, f"{_short(float(value)):>11} {unit}".rstrip())


def canvas(panels=1, height=3.2, width=None):
    """An empty figure and its axes, wide enough for a page -> Figure, one axes or an array of them."""
    from matplotlib.figure import Figure  # here: commands that draw nothing start sooner

    figure = Figure(figsize=(width or (6.0 if panels == 1 else 9.0), height), layout="constrained")
    axes = figure.subplots(1, panels)
    for panel in figure.axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure, name, dpi=100):
    """Write figures/<number of the lesson>_<name>.png, if it has changed."""
    from minivae import plots  # as above

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


def _row(name, numbers):
    """A name and its numbers in columns; on a narrow terminal on two lines."""
    wide = min(52, columns() - len(numbers) - 3)
    print(f"  {name:<{wide}} {numbers}" if len(name) <= wide else f"  {name}\n      {numbers}")


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

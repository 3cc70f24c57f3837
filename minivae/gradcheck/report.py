"""What a check found: a row for each derivative, a headline in words, a heat-map."""

import textwrap
import traceback
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Row:
    """One derivative: where it is worst, and in words what is wrong with it ("" if nothing is)."""

    name: str
    term: str  # of the loss: reconstruction, kl, loss for both; alone for an operation
    shape: tuple
    index: tuple  # of the worst entry
    got: float
    want: float
    error: float  # of the worst entry, relative to the largest
    words: str
    map: np.ndarray = field(default=None, repr=False)  # relative error of every entry
    node: str = ""  # its name in the model, where the formulas have another

    @property
    def ok(self):
        """Whether nothing is wrong with it."""
        return not self.words

    @property
    def verdict(self):
        """ "ok", or what is wrong."""
        return self.words or "ok"

    @property
    def label(self):
        """d and the name: dmu, d(decoder1.b)."""
        if self.term == "alone":
            return self.name
        name = f"({self.name})" if "." in self.name or self.name.startswith("d") else self.name
        whole = self.term == "loss" or self.name in ("nll", "kl")
        return f"d{name}" if whole else f"d{name} of the {self.term}"

    @property
    def sentence(self):
        """ "dmu of the kl: sign flipped; off by 2e+00 of the largest entry"."""
        size = f"; off by {self.error:.0e} of the largest entry"
        said = "off by" in self.words or not np.isfinite(self.error)
        return f"{self.label}: {self.words}" + size * (not said)


@dataclass
class Report:
    """Rows in the order of the backward pass; `ok` if every one is right and nothing else is wrong.

    problems    what is wrong besides: an exception, a random loss, arrays changed in place
    notes       what the reader must know: corners, dead inputs, what these inputs cannot show
    says        the headline, where more is known than the first wrong row
    operations  rows of each operation alone, under a random upstream gradient
    """

    title: str
    rows: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    says: str = ""
    operations: list = field(default_factory=list)

    @property
    def ok(self):
        """Whether all is right."""
        return not self.problems and all(row.ok for row in (*self.rows, *self.operations))

    @property
    def first(self):
        """The first wrong row, or None."""
        return next((row for row in self.rows if not row.ok), None)

    @property
    def headline(self):
        """What is wrong, and by how much, in a sentence."""
        if self.ok:
            worst = max((row.error for row in self.rows), default=0)
            count = f"ok: {len(self.rows)} derivatives are right"
            return f"{count}, the worst error is {worst:.0e} of its largest entry"
        wrong = [row for row in (*self.rows, *self.operations) if not row.ok]
        telling = [row for row in wrong if "in no way" not in row.words] or wrong
        return f"WRONG: {self.problems[0] if self.problems else self.says or telling[0].sentence}"

    def __str__(self):
        lines = [self.title, self.headline, *table(self.rows)]
        if self.operations:
            wrong = [row for row in self.operations if not row.ok]
            right = len(self.operations) - len(wrong)
            lines += [f"each operation alone: {right} of {len(self.operations)} are right", *table(wrong)]
        lines += [f"also: {text}" for text in self.problems[1:]] + [f"note: {text}" for text in self.notes]
        look = {"width": 100, "subsequent_indent": "    ", "drop_whitespace": False}
        return "\n".join(part.rstrip() for line in lines for part in textwrap.wrap(line, **look))

    def plot(self):
        """A matplotlib Figure: log10 of the relative error of every entry, a panel for each derivative."""
        from matplotlib.figure import Figure

        height = -(-max(len(self.rows), 1) // 4)
        figure = Figure(figsize=(11.0, 1.9 * height + 0.8), layout="constrained")
        panels = figure.subplots(height, 4, squeeze=False).ravel()
        for axes in panels:
            axes.set_axis_off()
        for axes, row in zip(panels, self.rows, strict=False):
            decades = np.log10(np.clip(np.nan_to_num(row.map, nan=1.0, posinf=1.0), 1e-16, 1))
            decades = decades.reshape(len(decades) if decades.ndim > 1 else 1, -1)
            image = axes.imshow(decades, "inferno", vmin=-16, vmax=0, aspect="auto", interpolation="nearest")
            color, mark = ("black", "") if row.ok else ("#cc3311", "  WRONG")
            axes.set_title(row.label + mark, fontsize="x-small", color=color)
        if self.rows:
            figure.colorbar(image, ax=panels.tolist(), label="log10 of the relative error")
        figure.suptitle(self.title, fontsize="small")
        return figure


def table(rows):
    """The lines of a table, long verdicts on a line of their own."""
    width = max(10, *(len(row.label) for row in rows), 0) if rows else 0
    head = f"{'derivative':<{width}}  {'shape':<9} {'worst at':<10} {'got':>10} {'want':>10} {'error':>6}"
    lines = [f"{head}  verdict"] * bool(rows)
    for row in rows:
        shape, place = "x".join(map(str, row.shape)) or "1", str(list(row.index))
        numbers = f"{row.got:>10.3e} {row.want:>10.3e} {row.error:>6.0e}"
        line = f"{row.label:<{width}}  {shape:<9} {place:<10} {numbers}  "
        fits = len(line) + len(row.verdict) <= 100
        lines += [line + row.verdict] if fits else [line + "WRONG", f"    {row.verdict}"]
    return lines


def raised(what, error):
    """An exception in the code that is checked, with the line that raised it."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/minivae/gradcheck/" not in f.filename]
    where = "".join(f" ({f.filename.rpartition('/')[2]}, line {f.lineno}: {f.line})" for f in frames[-1:])
    return f"{what} raises {type(error).__name__}: {' '.join(str(error).split())[:160]}{where}"

"""What a check found: rows of a table, a headline in words, a heat-map."""

from dataclasses import dataclass, field

import numpy as np

from .cases import place
from .verdicts import OK

WIDTH = 100


@dataclass
class Row:
    """One tensor's derivative: where it is worst, and what is wrong with it."""

    name: str
    term: str  # of the loss: reconstruction, kl, loss
    shape: tuple
    index: tuple  # of the worst entry
    got: float
    want: float
    error: float  # |got - want| over the tensor's largest entry
    floor: float  # the reference's own noise, likewise
    verdict: str
    allowed: float = 0.0  # error that rounding is allowed
    covered: str = ""
    map: np.ndarray = field(
        default=None, repr=False
    )  # relative error of every entry, NaN where not looked at

    @property
    def ok(self):
        """Whether nothing is wrong with it."""
        return self.verdict.startswith(OK)


@dataclass
class Report:
    """Rows in the order of the walk back; `ok` if every one is right and nothing else is wrong.

    title       what was checked
    rows        a `Row` for each derivative
    problems    what is wrong besides: a random loss, a value that is not finite
    notes       what the reader must know: corners, dead inputs, tolerances
    says        the headline, where the rows alone do not tell
    operations  a `Row` for each operation by itself; those that are wrong are printed
    """

    title: str
    rows: list
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
        """The first wrong row in the order of the walk back, or None."""
        return next((row for row in self.rows if not row.ok), None)

    @property
    def headline(self):
        """What is wrong, in a sentence."""
        if self.ok:
            worst = max((row.error for row in self.rows if row.verdict == "ok"), default=0)
            return f"ok: {len(self.rows)} derivatives are right, the worst error is {worst:.0e} of its tensor"
        if self.problems:
            return f"WRONG: {self.problems[0]}"
        first = self.first
        return f"WRONG: {self.says or f'd{first.name}: {first.verdict}'}"

    def __str__(self):
        lines = [self.title, *_wrapped(self.headline), *_table(self.rows), *self._of_operations()]
        lines += [line for text in self.problems[1:] for line in _wrapped(f"also: {text}")]
        lines += [line for text in self.notes for line in _wrapped(f"note: {text}")]
        return "\n".join(lines)

    def _of_operations(self):
        wrong = [row for row in self.operations if not row.ok]
        if not self.operations:
            return []
        right = (
            f"each operation alone: {len(self.operations) - len(wrong)} of {len(self.operations)} are right"
        )
        return [right, *_table(wrong)]

    def plot(self):
        """A matplotlib Figure: the relative error of every entry, a heat-map for each tensor."""
        from .pictures import heat_maps

        return heat_maps(self)


def row(name, term, found, words):
    """A `Row` of a `Comparison` and its verdict."""
    scale = (
        float(np.max(np.abs(found.want), initial=0)) or float(np.max(np.abs(found.given), initial=0)) or 1.0
    )
    error = np.abs(found.got.astype(float) - found.full()) / scale
    k = found.worst
    index = tuple(int(i) for i in np.unravel_index(found.flat[k], found.got.shape))
    return Row(
        name,
        term,
        found.got.shape,
        index,
        float(found.given[k]),
        float(found.want[k]),
        float(abs(found.given[k] - found.want[k]) / scale),
        float(np.max(found.floor, initial=0) / scale),
        words,
        found.allowed / scale,
        found.covered,
        error,
    )


def _table(rows):
    if not rows:
        return []
    names = [label(row) for row in rows]
    name, shape = (max(map(len, texts)) for texts in (names, [_shape(row) for row in rows]))
    name, shape = max(name, 10), max(shape, 5)
    head = f"{'derivative':<{name}} {'term':<5} {'shape':<{shape}} {'worst at':<12} {'got':>10} {'want':>10}"
    lines = [f"{head} {'error':>6} {'floor':>6}  verdict"]
    for text, row in zip(names, rows, strict=True):
        line = f"{text:<{name}} {row.term[:5]:<5} {_shape(row):<{shape}} {place(row.index):<12} "
        line += f"{row.got:>10.3e} {row.want:>10.3e} {row.error:>6.0e} {row.floor:>6.0e}  "
        words = row.verdict
        if len(line) + len(words) > WIDTH:  # a long verdict has a line of its own
            lines += [(line + ("ok" if row.ok else "WRONG")).rstrip()]
            lines += ["    " + part for part in _wrapped(words, WIDTH - 4)]
        else:
            lines.append(line + words)
    return lines


def label(row):
    """dmu, or for an operation by itself kl_backward: dmu."""
    operation, _, part = row.name.rpartition(" > ")
    return f"{operation}: d{part}" if operation else f"d{part}"


def _shape(row):
    return "x".join(map(str, row.shape)) or "1"


def _wrapped(text, width=WIDTH):
    import textwrap

    return textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=True)

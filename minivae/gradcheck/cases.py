"""What a verdict is sought for: got and want at the entries looked at, and what explains them."""

import copy

import numpy as np

from .ratios import FIT


def place(index):
    """An index as it is written in Python."""
    index = [int(i) for i in index]
    return f"[{', '.join(map(str, index))}]"


class Case:
    """got g and want w at the entries looked at, and whether a guess explains them."""

    def __init__(self, found, sizes, known, others):
        self.found, self.g, self.w, self.flat = found, found.given, found.want, found.flat
        self.shape = found.got.shape
        self.tolerance = found.allowed + 10 * found.floor
        self.sizes = {name: float(n) for name, n in sizes.items() if n not in (0, 1)}
        self.known, self.others = known, others
        self.terms = self.guesses = {}
        self.gap = float(np.max(np.abs(self.g - self.w)))

    def only(self, rows):
        """The same case for some of the entries."""
        part = copy.copy(self)
        part.g, part.w, part.flat = self.g[rows], self.w[rows], self.flat[rows]
        part.tolerance = self.tolerance[rows]
        return part

    def at(self, array):
        """Entries of an array that broadcasts to the tensor."""
        return np.broadcast_to(np.asarray(array, float), self.shape).reshape(-1)[self.flat]

    def explains(self, guess, of=None):
        """Whether `guess` is what was got (or `of`), at every entry."""
        if not np.isfinite(guess).all():
            return False
        of = self.g if of is None else of
        size = max(np.max(np.abs(guess), initial=0), np.max(np.abs(of), initial=0))
        fit = min(FIT * size, 1e-3 * self.gap)  # what explains an error must leave little of it
        return bool(np.all(np.abs(guess - of) <= fit + self.tolerance)) and size > 0

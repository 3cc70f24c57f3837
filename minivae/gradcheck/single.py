"""A float32 model against its float64 twin: each value and each derivative from the same float32 numbers."""

import numpy as np

from .rounding import each
from .verdict import verdict

FLOAT32 = np.finfo(np.float32)
GRADIENT, VALUE = 2e-4, 1e-3  # of the largest entry: rounding of a float32 derivative, of a value


class Single:
    """Derivatives in float32, and in float64 from the same trace; the nodes whose values differ."""

    def __init__(self, case):
        self.case, cost = case, case.cost()
        self.loose = GRADIENT + 4 * FLOAT32.eps * cost
        self.possible = self.loose < 0.05
        if not self.possible:
            case.note(f"not checked in float32: weights of samples have no digits at a loss of {cost:.0e}")
            return
        try:
            trace, own = case.walk(case.own)[1], case.seen
        except ValueError as error:  # of a loss that overflows
            self.possible = "not finite" not in str(error)
            if self.possible:
                raise
            case.note(f"not checked in float32: {error}")
            return
        self.got = case.pieces(case.own, trace)
        self.got["loss"] = self.got["loss"] | case.gradients(case.own)[1]
        self.want = case.pieces(case.fine, each(trace, lambda a: a.astype(np.float64)))
        self.values, size = {}, max(1.0, *(float(np.abs(v).max()) for v in own.values()))

        def at(name, value):  # every node starts from the float32 values before it
            words = verdict(own[name], value, sizes=case.sizes, tolerance=VALUE, floor=1e-5 * size)
            self.values |= {name: words} if words else {}
            return own[name].astype(np.float64)

        case.call("forward", case.fine, at=at)

    def judge(self, row, source, size):
        """Say in a row that is right in float64 what is wrong in float32; size: of its terms."""
        got, want = (np.asarray(d[source].get(row.node), float) for d in (self.got, self.want))
        scale = np.abs(want).max(initial=0)
        if scale > 1e36 or (np.isfinite(want).all() and not np.isfinite(got).all()):
            self.case.note(f"{row.label} is not checked in float32, where it overflows")
            return
        floor = FLOAT32.eps * size + 1e-36
        words = verdict(got, want, sizes=self.case.sizes, tolerance=self.loose, floor=floor)
        if words:
            row.error = float(np.abs(got - want).max() / scale) if got.shape == want.shape else np.inf
        elif row.node in self.values and row.term != "loss":
            words = f"the value of {row.name} is another there: {self.values[row.node]}"
        row.words = f"right in float64, wrong in float32: {words}" if words else ""

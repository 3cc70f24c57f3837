"""Cases: the arguments that a function is tried on, what is right there, and whether a result is."""

import re
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np

from . import walks
from .calls import Cost, one_or_several

DOUBLE, SINGLE = 1e-9, 2e-5  # of the largest entry: what rounding may leave
WIDE = re.compile("d[a-z]|mu$|mean$|z$|grad$")  # arguments that may be of any size
# the sizes that every case is tried with: first all different, then those that hide or break something
SIZES = {
    "": {"S": 5, "B": 7, "D": 9, "H": 8, "L": 6},
    "B = D = H = L = S = 3": dict.fromkeys("SBDHL", 3),
    "S = B = 4": {"S": 4, "B": 4, "D": 3, "H": 5, "L": 2},
    "S = 1": {"S": 1, "B": 4, "D": 5, "H": 3, "L": 2},
    "B = 1": {"S": 3, "B": 1, "D": 5, "H": 4, "L": 2},
    "L = 1, D = 1": {"S": 3, "B": 4, "D": 1, "H": 2, "L": 1},
    "all sizes 1": dict.fromkeys("SBDHL", 1),
}


@dataclass(frozen=True)
class Case:
    """Arguments to try; note: how they were chosen; own: every entry is compared by its own size;
    passed: earlier cases in which the answer is right."""

    args: dict
    note: str = ""
    sizes: dict = field(default_factory=dict)
    own: bool = False
    strided: bool = False
    tolerance: float = 1e-9
    passed: tuple = ()

    @property
    def single(self):
        """Whether the arguments are float32."""
        return any(getattr(a, "dtype", None) == np.float32 for a in self.args.values())

    def noted(self, sentence):
        """The sentence with the note."""
        return f"{sentence} ({self.note})" if self.note and f"({self.note})" not in sentence else sentence


def is_double(a):
    """Whether it is a float64 array."""
    return isinstance(a, np.ndarray) and a.dtype == np.float64


def values(part, case, *changed):
    """Every value of the right walk, or of one with changed lines, by its name."""
    given = {k: a.f if isinstance(a, Cost) else a for k, a in case.args.items()}
    given |= {k: np.float64(a) for k, a in given.items() if getattr(a, "dtype", None) == np.float32}
    given |= {f"old_{k}": given[k] for k in part.writes}
    return walks.walk(part.walk, case.sizes | given, *changed)


def results(part, its, case):
    """What the learner's function returns, by name."""
    its.strided, its.written = case.strided, part.writes
    got = part.call(its, **case.args) if part.call else getattr(its, part.name)(*case.args.values())
    its.strided, its.written = False, ()
    return dict(zip(part.names, one_or_several(part.name, got, part.names), strict=True))


def close(got, want, case=None, wider=1):
    """Equal but for rounding; NaN and infinity must be at the same places."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape or got.dtype.kind not in "fiub" or want.dtype.kind not in "fiub":
        return False
    finite = np.isfinite(want)
    if not finite.all():
        if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
            return False
        got, want = got[finite], want[finite]
    size = np.abs(want) if case and case.own else np.max(np.abs(want), initial=0) or 1.0
    tolerance = wider * (case.tolerance if case else DOUBLE)
    if case and case.single:
        tolerance = max(tolerance, SINGLE)
    with np.errstate(all="ignore"):
        return bool(np.all(np.abs(got.astype(np.float64) - want) <= tolerance * size))


def distance(a, b):
    """The largest difference in units of b; infinite where one of them is not finite."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return np.inf
    with np.errstate(all="ignore"):
        off = np.abs(a - b) / np.where(b == 0, 1, np.abs(b))
    alike = (a == b) | (np.isnan(a) & np.isnan(b))
    off = np.where(np.isfinite(a) & np.isfinite(b), off, np.where(alike, 0, np.inf))
    return np.max(off, initial=0)


def normal(**shapes):
    """A draw: normal numbers of the shapes that letters say, normal(mu="BL")(rng, n) -> {"mu": (B, L)}."""

    def draw(rng, n):
        scales = {"logvar": (-0.4, 0.9), "eps": (0.0, 1.0)}
        sizes = {name: [getattr(n, letter, 1) for letter in shape] for name, shape in shapes.items()}
        return {k: np.asarray(rng.normal(*scales.get(k, (0.3, 1.1)), size)) for k, size in sizes.items()}

    return draw


def spread(limit, *samples, rows=11):
    """Variances from e^-limit to e^limit (rows, 3), and noise that is never near 0, (*samples, rows, 3)."""
    rng = np.random.default_rng(18)
    logvar = rng.permutation(np.linspace(-limit, limit - 1, 3 * rows)).reshape(rows, 3)
    return logvar, rng.choice([-2.0, -1.4, -0.6, 0.7, 1.3, 1.8], (*samples, rows, 3))


def upstream(name, far, axes=None):
    """far with the derivative `name` as first argument, of the shape of the next one or its first axes."""

    def found():
        for note, args in far():
            shape = next(iter(args.values())).shape[:axes]
            yield note, {name: np.linspace(-1.3, 1.7, int(np.prod(shape))).reshape(shape)} | args

    return found


def cases(part, title):
    """Every case of a title: the sizes on which it depends, another memory layout, float32."""
    if title in part.far:
        return [Case(args, note, own=True, tolerance=part.tolerance) for note, args in part.far[title]()]
    found, shapes = [], set()
    for i, (note, sizes) in enumerate(SIZES.items()):
        drawn = part.cases[title](np.random.default_rng(100 + i), SimpleNamespace(**sizes))
        for own, args in drawn if isinstance(drawn, list) else [("", drawn)]:
            shape = own + str([np.shape(a) for a in args.values() if not callable(a)])
            if shape not in shapes:
                found.append(
                    Case(args, ", ".join(filter(None, (own, note))), sizes, tolerance=part.tolerance)
                )
            shapes.add(shape)
    first = [case for case in found if case.sizes is found[0].sizes]
    for case in first:
        noted = f"{case.note}, " * bool(case.note)
        large = {k: np.asarray(1000 * a) for k, a in case.args.items() if is_double(a) and WIDE.match(k)}
        if large:
            found.append(replace(case, args=case.args | large, note=f"{noted}large {', '.join(large)}"))
        found.append(
            replace(case, strided=True, note=f"{noted}arrays that are not contiguous, as x.T or x[:, ::2]")
        )
        if part.single:
            args = {k: a.astype(np.float32) if is_double(a) else a for k, a in case.args.items()}
            found.append(replace(case, args=args, note=f"{noted}float32 arguments"))
    return found


def evidence(got, want, case=None):
    """The worst entry in numbers, with enough digits to tell them apart, and how many are wrong."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return [f"got shape {got.shape}, want {want.shape}"]
    own = case is not None and case.own
    with np.errstate(all="ignore"):
        error = np.abs(got - want) / (
            np.where(want == 0, 1, np.abs(want)) if own else np.max(np.abs(want)) or 1.0
        )
    error = np.where(np.isnan(error), np.inf, error)
    at = np.unravel_index(int(np.argmax(error)), got.shape) if got.ndim else ()
    pairs = (tuple(f"{float(a[at]):.{digits}g}" for a in (got, want)) for digits in range(6, 18))
    one, other = next(((a, b) for a, b in pairs if a != b), (repr(got[at]), repr(want[at])))
    place = f"at [{', '.join(str(int(i)) for i in at)}]: " if at else ""
    same_shape = {k: a for k, a in case.args.items() if is_double(a) and a.shape == got.shape} if own else {}
    where = "".join(f", {k} = {a[at]:.6g}" for k, a in same_shape.items())
    count = f"{int(np.sum(error > (case.tolerance if case else DOUBLE)))} of {got.size} entries differ"
    return [f"{place}got {one}, want {other}{where}"] + [count] * (got.size > 1)

"""Hold one tensor's derivative against its reference: every entry, or projections and a stated subset.

    every entry      up to `LIMIT` entries, each by its own slope
    larger tensors   slopes along Gaussian directions, which every entry enters, and a random subset. Where
                     the subset is right and a projection is not, halving the direction names the entry: 20
                     slopes for one in a million

A projection with the complex step is exact to rounding, so one wrong entry of 5,000 shows at once.
"""

from dataclasses import dataclass, field

import numpy as np

from .references import coordinates

LIMIT = 2000  # entries, of which every one is looked at
PROJECTIONS, SAMPLE, WIDER = 3, 8, 48
ROUNDINGS = 256  # of the terms of a sum
SLACK = {"float32": 2.0**-10, "float64": 2.0**-40}  # of the tensor's largest entry


@dataclass
class Comparison:
    """got against want at `flat` indices of a tensor; `covered` says in words which."""

    got: np.ndarray  # the whole tensor
    flat: np.ndarray  # (n,) indices
    want: np.ndarray  # (n,)
    floor: np.ndarray  # (n,) error of the reference
    allowed: float
    covered: str
    kinks: np.ndarray  # flat indices that lie at a corner
    seen: bool = True  # every projection agreed
    missed: float = 0.0  # by how much one did not
    directions: list = field(default_factory=list)  # those that did not

    @property
    def given(self):
        """got at the same indices."""
        return self.got.reshape(-1)[self.flat].astype(np.float64)

    @property
    def wrong(self):
        """Which of them differ by more than is allowed; NaN differs."""
        error = np.abs(self.given - self.want)
        return ~(error <= self.allowed + 10 * self.floor)

    @property
    def ok(self):
        """Nothing differs, nor does any projection."""
        return self.seen and not self.wrong.any()

    @property
    def worst(self):
        """Position in `flat` of the largest error."""
        error = np.abs(self.given - self.want)
        return int(np.argmax(np.where(np.isnan(error), np.inf, error)))

    def full(self):
        """The reference as an array like got, NaN where it was not asked."""
        want = np.full(self.got.size, np.nan)
        want[self.flat] = self.want
        return want.reshape(self.got.shape)


def compare(
    got, slope, rng, dtype="float64", limit=LIMIT, spread=None, closer=True, scale=np.inf, natural=0.0
):
    """got (any shape), slope(v) -> Slope along v, to a Comparison.

    spread(v) -> how far the true slope moves when every input is rounded anew, in the type `dtype`: it is
    asked only where something differs a little, or all is far below `scale`, the size of the others; it
    widens what is allowed where sums cancel. `closer` looks at more entries if some are wrong.
    natural: the size of the terms that this derivative is the sum of, if nothing cancelled or saturated;
    their rounding is allowed as well.
    """
    got = np.asarray(got)
    size, slack = got.size, SLACK[str(dtype)]
    everything = size <= limit
    flat = np.arange(size) if everything else np.sort(rng.choice(size, SAMPLE, replace=False))
    found = _at(got, slope, flat)
    found.covered = f"all {size}" if everything else f"{PROJECTIONS} projections and {len(flat)} of {size}"
    length = np.sqrt(np.mean(found.want**2))
    if not everything:
        length = max(length, _projections(found, slope, rng, slack))
    peak = np.max(np.abs(found.want), initial=0)
    found.allowed = max(slack * float(max(peak, length)), ROUNDINGS * float(np.finfo(dtype).eps) * natural)
    found.seen = found.seen or found.missed <= found.allowed * np.sqrt(size)
    if not found.ok and spread is not None and _may_be_rounding(found, max(peak, length), scale):
        extra = _spread(found, spread)
        found.allowed += extra
        found.seen = found.seen or extra > found.missed
    if not found.ok and not everything and closer:
        _look_closer(found, slope, rng)
    return found


def _may_be_rounding(found, size, scale):
    gap = max(found.missed / np.sqrt(found.got.size), abs(found.given[found.worst] - found.want[found.worst]))
    return not gap > 1e-6 * size or size <= 1e-9 * scale


def _at(got, slope, flat):
    slopes = [slope(v) for v in coordinates(got.shape, flat)]
    want, floor = (np.array([getattr(s, key) for s in slopes], float) for key in ("value", "error"))
    found = Comparison(got, np.asarray(flat), want, floor, 0.0, "", np.array([], int))
    for k, s in enumerate(slopes):
        if s.kink:  # at a corner the slope on either side will do
            sides = np.array([s.left, s.right])
            found.kinks = np.append(found.kinks, flat[k])
            room = 1e-3 * np.max(np.abs(sides))
            if sides.min() - room <= found.given[k] <= sides.max() + room:
                found.want[k] = found.given[k]
    return found


def _projections(found, slope, rng, slack):
    """Compare along Gaussian directions; returns the root mean square of an entry, as far as they tell."""
    squares = []
    values = found.got.astype(np.float64)
    for _ in range(PROJECTIONS):
        v = rng.standard_normal(found.got.shape)
        s = slope(v)
        gap = abs(s.value - np.sum(v * values))
        room = slack * max(abs(s.value), np.sqrt(np.sum((v * values) ** 2))) + 10 * s.error
        squares.append(s.value**2 / v.size)
        if not gap <= room and not s.kink:
            found.seen = False
            found.missed = max(found.missed, gap)
            found.directions.append(v)
    return float(np.sqrt(np.mean(squares)))


def _look_closer(found, slope, rng):
    """A wider subset, and where that is right, the entries that halving a direction leads to."""
    rest = np.setdiff1d(rng.choice(found.got.size, WIDER, replace=False), found.flat)
    _extend(found, slope, rest)
    if not found.seen and np.mean(found.wrong) <= 0.25 and found.directions:
        entry = _halve(found, slope, found.directions[0])
        if entry not in found.flat:
            _extend(found, slope, np.array([entry]))
            found.covered += " (halving led to the worst)"
    found.covered = found.covered.replace(f"{SAMPLE} of", f"{len(found.flat)} of")


def _halve(found, slope, v):
    """Flat index at which got and the slope differ: the half that differs more is halved again."""
    values = found.got.astype(np.float64).reshape(-1)
    low, high = 0, values.size

    def gap(start, stop):
        part = np.zeros(values.size)
        part[start:stop] = v.reshape(-1)[start:stop]
        return abs(slope(part.reshape(v.shape)).value - np.sum(part * values))

    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if gap(low, middle) >= gap(middle, high) else (middle, high)
    return low


def _extend(found, slope, flat):
    more = _at(found.got, slope, flat)
    order = np.argsort(np.concatenate([found.flat, more.flat]))
    for key in ("flat", "want", "floor"):
        both = np.concatenate([getattr(found, key), getattr(more, key)])
        setattr(found, key, both[order])
    found.kinks = np.append(found.kinks, more.kinks)


def _spread(found, spread):
    """What rounding the inputs anew does to the worst entry and to a direction, eightfold."""
    worst = next(coordinates(found.got.shape, [found.flat[found.worst]]))
    entry = 8 * spread(worst)
    return max(entry, 8 * spread(found.directions[0])) if found.directions else entry

"""Say in plain English how an array differs from the one expected: a lost factor, a wrong sign, one row only.

A hypothesis is a pair (words, array): what the answer would be if that mistake had been made. The first that
explains `got` to the tolerance, and twenty times better than `want` does, gives the words.
"""

from itertools import combinations, permutations

import numpy as np

PLAIN = (0.25, 0.5, 1, 1.5, 2, 3, 4)  # coefficients of a term that a formula may have
AXES = {"B": "batch", "D": "pixels", "L": "latents", "S": "samples"}
HINTS = {n: f": a sum over the {axis} where the mean is expected?" for n, axis in AXES.items()}
HINTS |= {f"1/{n}": f": a mean over the {axis} where the sum is expected?" for n, axis in AXES.items()}
HINTS |= {"beta": ": is beta applied twice?", "1/beta": ": is beta missing?"}
VAGUE = ("in no way", "only", "order")  # words that leave the cause open
EXACT = ("sign flipped", "twice", "half", "factor")  # causes that rounding never imitates


def verdict(got, want, *, known=None, terms=None, sizes=None, others=None, tolerance=1e-9, floor=0.0):
    """How `got` differs from `want`: "" if they agree, otherwise words that say in which way.

    known      name -> array that broadcasts to want: factors that may be missing, too many or exchanged
    terms      name -> array like want: summands that may be missing, too many or have the wrong sign
    sizes      name -> number: what a constant ratio may be called, {"B": 8, "beta": 0.5}
    others     name -> array: right answers to other questions that may have been returned instead
    tolerance  error that is allowed, relative to the largest entry of want
    floor      absolute error that is allowed as well, a number or an array like want
    """
    try:
        got, want = _numbers(got), _numbers(want)
    except (TypeError, ValueError):
        return f"not an array of numbers: {' '.join(repr(got).split()):.60}"
    if got.dtype.kind == "c" and want.dtype.kind != "c":
        return f"complex, with an imaginary part of up to {np.abs(got.imag).max():.1e}"
    if got.shape != want.shape:
        return _other_shape(got, want, tolerance)
    fitting = [{n: k for n, k in (d or {}).items() if _fits(k, want)} for d in (known, terms)]
    named = [{n: np.broadcast_to(k, want.shape) for n, k in d.items()} for d in fitting]
    return _Case(got, want, *named, sizes or {}, others or {}, tolerance, floor).words()


def may_be_rounding(words):
    """Whether an error with this verdict may be rounding, if it is small enough."""
    return bool(words) and ("every entry" in words or not any(cause in words for cause in EXACT))


def ratio_words(ratio, sizes):
    """A constant ratio in words: "multiplied by B = 5: a sum over the batch where the mean is expected?"."""
    flipped, size = "sign flipped" * (ratio < 0), abs(ratio)
    if _same(size, 1):
        return flipped or f"multiplied by 1 {ratio - 1:+.0e} in every entry"
    plain = {n: v for n, v in sizes.items() if v > 0 and v != 1}
    pairs = {f"{a} * {b}": plain[a] * plain[b] for a, b in combinations(plain, 2)}
    for n, v in plain.items():
        pairs |= {f"{n}^2": v * v, f"({n} - 1)/{n}": (v - 1) / v}
    plain |= {f"1/{n}": 1 / v for n, v in plain.items()}
    pairs |= {f"1/({n})": 1 / v for n, v in pairs.items()}
    common = {2: "twice too large: a factor 1/2 lost, or added twice?", 3: "", 4: "", 1 / 3: "", 0.25: ""}
    common |= {0.5: "half of what is expected: a factor 1/2 too many?"}
    words = next((text for v, text in common.items() if _same(size, v)), None)
    fits = [n for n, v in plain.items() if _same(size, v)]
    if len(fits) == 1 and words is None:
        words = f"multiplied by {fits[0]} = {size:.6g}{HINTS.get(fits[0], '')}"
    else:
        fits = fits or [n for n, v in pairs.items() if not words and _same(size, v)]
        words = words or f"multiplied by {size:.6g} in every entry"
        words += f" ({' or '.join(fits[:3])}, perhaps)" * bool(fits)
    return flipped + ", and " * bool(flipped) + words


class _Case:
    """got and want, of one shape, with all that may explain their difference."""

    def __init__(self, got, want, known, terms, sizes, others, tolerance, floor):
        self.got, self.want, self.known, self.terms, self.sizes = got, want, known, terms, sizes
        self.others, self.tolerance, self.floor = others, tolerance, np.broadcast_to(floor, want.shape)
        with np.errstate(all="ignore"):
            difference = np.abs(got - want)
        self.difference = np.where((got == want) | (np.isnan(got) & np.isnan(want)), 0, difference)
        self.scale = float(np.max(np.abs(want), initial=0, where=np.isfinite(want)))
        self.wrong = ~(self.difference <= tolerance * self.scale + self.floor)

    def words(self):
        got, want, wrong = self.got, self.want, self.wrong
        if not wrong.any():
            return ""
        if (bad := ~np.isfinite(got) & wrong).any():
            return f"not finite: {got[bad][0]} in {_count(bad)}"
        if not np.isfinite(want).all():
            return f"finite where {want[~np.isfinite(want)][0]} is expected, in {_count(wrong)}"
        self.largest = float(np.max(self.difference))
        if not want.any():
            return f"not zero where it should be, up to {self.largest:.1e}, in {_count(wrong)}"
        if not got.any():
            return "zero everywhere"
        self.fit = max(self.tolerance, 1e-14) * max(self.scale, float(np.abs(got).max())) + self.floor
        with np.errstate(all="ignore"):
            for words, array, *free in self.hypotheses():
                if self.explains(array):
                    return words
                if free and self.explains((ratio := _slope(got, array)) * array):
                    more = ratio_words(ratio, self.sizes)
                    if (not words and want.size > 1) or "every entry" not in more:
                        return f"{words}, and {more}" if words else more
            return self.sums() or self.part() or f"wrong, in no way I recognize; {self.evidence()}"

    def explains(self, array):
        """Whether got is this array: to the tolerance, and much closer than it is to want."""
        return bool((np.abs(self.got - array) <= np.minimum(self.fit, 0.05 * self.largest)).all())

    def hypotheses(self):
        """(words, array), the likeliest mistakes first; with a True behind those that hold up to a ratio."""
        got, want = self.got, self.want
        yield "", want, True
        if want.ndim == 2 and want.shape[0] == want.shape[1] > 1:
            yield "the right numbers, but transposed", want.T
        for axis, line in enumerate(("samples", "rows", "columns")[-want.ndim :] * (0 < want.ndim < 4)):
            if want.shape[axis] > 1:
                yield f"the right numbers, but its {line} reversed", np.flip(want, axis)
                for by in (1, -1):
                    yield f"the right numbers, but its {line} shifted by one", np.roll(want, by, axis)
        for name, array in self.others.items():
            if np.shape(array) == want.shape:
                yield f"this is {name}" + ": are the two exchanged?" * (" " not in name), np.asarray(array)
        if want.ndim == 1 or len(set(want.ravel())) > 2:
            order = np.empty(want.size)
            order[np.argsort(got, axis=None, kind="stable")] = np.sort(want, axis=None)
            yield "the right numbers in another order", order.reshape(want.shape)
        varied = {n: k for n, k in self.known.items() if np.ptp(k) > 1e-6 * np.abs(k).max() < np.inf}
        factors = {"": np.ones(want.shape)} | {n: k for n, k in varied.items() if (k != 0).sum() > 1}
        for one, name in sorted(permutations(factors, 2), key=all):  # one factor before two exchanged
            words = f"it has the factor {one} where {name} is expected" if one and name else ""
            words = words or f"the factor {one or name} is {'too many' if one else 'missing'}"
            yield words, np.where(factors[name] == 0, got, want / factors[name] * factors[one]), True
        if want.size > 1:
            shift = float(np.mean(got - want))
            b, beta, n = (self.sizes.get(name, 1) for name in ("B", "beta", "L"))
            halves = [0.5 * c * v for c in (1, 1 / b, n, n / b) for v in (1, beta)]
            lost = " (a missing -1 in the KL?)" * any(_same(abs(shift), v) for v in halves)
            yield f"constant offset {shift:+.4g}{lost}", want + shift
        right = self.combination(want)
        for name, t in self.terms.items() if want.size > 2 else ():
            c = _slope(got - want, t)
            yield _term_words(name, c, right.get(name, 0)), want + c * t
        yield "the absolute value of what is expected", np.abs(want)
        yield "zero where it should be negative", np.maximum(want, 0)
        yield "zero where it should be positive", np.minimum(want, 0)
        low, high = got.min(), got.max()
        ends = " and ".join(f"{v:.4g}" for v, e in ((low, want.min()), (high, want.max())) if not _same(v, e))
        if want.size > 2 and low < high:
            yield f"clipped at {ends}, in {_count(self.wrong)}", np.clip(want, low, high)
        yield "rounded to whole numbers", np.round(want)
        yield "the square of what is expected", want * want
        single = [(a == a.astype(np.float32)).all() for a in (got, want)] == [True, False]
        if single and self.largest < 1e-6 * self.scale:
            yield f"rounded to float32: {self.evidence()}", got

    def sums(self):
        """got, and want or their difference, as sums of the known terms."""
        mine, right = self.combination(self.got), self.combination(self.want)
        if mine and right:
            return f"it is {_sum_words(mine)}, where {_sum_words(right)} is expected"
        return f"{_sum_words(found)} is too many" if (found := self.combination(self.got - self.want)) else ""

    def combination(self, array):
        """name -> coefficient: the shortest sum of terms with plain coefficients that the array is; or {}."""
        terms, size = {n: t for n, t in self.terms.items() if t.any()}, np.abs(array).max()
        plain = (*PLAIN, *self.sizes.values())
        for names in (c for n in (1, 2, 3, 4) if array.size > 2 * n for c in combinations(terms, n)):
            matrix = np.stack([terms[n].ravel() for n in names], axis=1)
            c = np.linalg.lstsq(matrix, array.ravel(), rcond=None)[0]
            exact = np.abs(matrix @ c - array.ravel()).max() <= max(self.tolerance, 1e-12) * size
            if exact and all(any(_same(abs(v), k) for k in plain) for v in c):
                return dict(zip(names, c.tolist(), strict=True))
        return {}

    def part(self):
        """Only some entries are wrong, a row or a column of them; or each row has a ratio of its own."""
        wrong, got, want = self.wrong, self.got, self.want
        if wrong.sum() == 1 < want.size:
            return f"one entry of {want.size} only, {_place(wrong)}: {self.evidence()}"
        for axis, line in list(enumerate(("sample", "row", "column")[-want.ndim :])) * (want.ndim > 1):
            rest = tuple(i for i in range(want.ndim) if i != axis)
            lines = wrong.any(axis=rest)
            if lines.sum() == 1 < lines.size:
                mask = np.broadcast_to(np.expand_dims(lines, rest), want.shape)
                return f"{line} {np.argmax(lines)} only: {self.within(mask)}"
            along = [np.sum(a * want, axis=rest, keepdims=True) for a in (got, want)]
            ratios = along[0] / np.where(along[1] == 0, 1, along[1])
            if want.size > 2 * ratios.size and self.explains(ratios * want):
                values = ", ".join(f"{v:.3g}" for v in ratios.ravel()[:4]) + ", ..." * (ratios.size > 4)
                return f"each {line} is multiplied by a number of its own: {values}"
        few = 1 < wrong.sum() <= 0.75 * wrong.size
        return f"{_count(wrong)} only: {self.within(wrong)}" if few else ""

    def within(self, mask):
        """The verdict on these entries alone."""
        named = [{n: k[mask] for n, k in d.items()} for d in (self.known, self.terms)]
        rest = self.sizes, {}, self.tolerance, self.floor[mask]
        words = _Case(self.got[mask], self.want[mask], *named, *rest).words()
        return self.evidence() if not words or any(vague in words for vague in VAGUE) else words

    def evidence(self):
        worst = np.unravel_index(np.argmax(self.difference), self.want.shape)
        got, want = f"{self.got[worst]:.4g}", f"{self.want[worst]:.4g}"
        numbers = f" ({got} where {want} is expected)" * (got != want)
        return f"off by {self.largest / self.scale:.0e} of the largest entry{numbers}"


def _other_shape(got, want, tolerance):
    """A result of another shape: the transposed one, an axis kept, a sum left out?"""
    shapes = f"shape {got.shape} where {want.shape} is expected"

    def same(array, right):
        return array.shape == right.shape and not verdict(array, right, tolerance=tolerance)

    if got.ndim == want.ndim == 2 and same(got.T, want):
        return f"transposed: {shapes}"
    if got.size == want.size and got.size:
        squeezed = [n for n in got.shape if n != 1] == [n for n in want.shape if n != 1]
        cause = "an axis of length 1 is " + ("kept (keepdims?)" if got.ndim > want.ndim else "missing")
        numbers = "" if same(got.reshape(want.shape), want) else ", and the numbers are wrong as well"
        return f"{cause if squeezed else 'the entries are arranged otherwise'}: {shapes}{numbers}"
    for name, axis, keep in ((n, i, k) for n in ("sum", "mean") for i in range(3) for k in (False, True)):
        if want.ndim < got.ndim > axis and same(getattr(got, name)(axis, keepdims=keep), want):
            return f"the {name} over axis {axis} is missing: {shapes}"
        if axis < want.ndim and same(got, getattr(want, name)(axis, keepdims=keep)):
            return f"a {name} over axis {axis} too many: {shapes}"
    outer = "broadcast, as (B,) with (B, 1): " * (got.shape == 2 * want.shape)
    return f"{'one number where an array is expected: ' * (got.ndim == 0)}{outer}{shapes}"


def _numbers(array):
    array = np.asarray(array)
    if array.dtype.kind == "c":
        return array.astype(np.complex128) if array.imag.any() else array.real.astype(np.float64)
    if array.dtype.kind not in "fiub":
        raise TypeError
    return array.astype(np.float64)


def _fits(array, want):
    """Whether an array of finite numbers broadcasts to the shape of want."""
    shape = np.shape(array)
    pairs = zip(shape[::-1], want.shape[::-1], strict=False)
    return len(shape) <= want.ndim and all(a in (1, b) for a, b in pairs) and bool(np.isfinite(array).all())


def _slope(got, want):
    """The c for which c * want comes closest to got."""
    return float(np.sum(got * want) / np.sum(want * want)) if want.any() else 0.0


def _same(a, b):
    return abs(a - b) <= 1e-6 * abs(b)


def _term_words(name, c, right):
    """A term that got has c times more often than want, where want has it `right` times (0: not at all)."""
    if not right:
        return f"the term {_times(abs(c), name)} is {'too many' if c > 0 else 'missing'}"
    if _same(c, -right) or _same(c, -2 * right):
        return f"the term {_times(right, name)} {'is missing' if _same(c, -right) else 'has the wrong sign'}"
    return f"it has the term {_times(right + c, name)} where {_times(right, name)} is expected"


def _times(c, name):
    plain = {1.0: "", -1.0: "-", 0.5: "1/2 * ", -0.5: "-1/2 * "}
    return plain.get(round(c, 9), f"{c:.6g} * ") + name


def _sum_words(coefficients):
    return " + ".join(_times(c, n) for n, c in coefficients.items()).replace("+ -", "- ")


def _place(mask):
    return str([int(i) for i in np.unravel_index(np.argmax(mask), mask.shape)])


def _count(mask):
    return f"{mask.sum()} of {mask.size} entries, the first at {_place(mask)}"

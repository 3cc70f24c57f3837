"""Find the cause: why the results differ from the walk's.

First the listed slips, then every line of the walk with something left out or exchanged, arguments that were
clipped or changed before they were used, arguments without effect, two of these at once; at last `verdict`.
Each finder takes (part, case, its, got, want, wrong) and returns a sentence, or "".
"""

import re
import time
from dataclasses import replace
from itertools import chain, combinations, permutations

import numpy as np

from minivae.gradcheck.verdict import verdict

from . import walks
from .calls import Failed, same
from .cases import DOUBLE, SIZES, close, distance, evidence, is_double, results, values

PATIENCE = 1.5  # seconds for pairs of slips
SIMPLE = re.compile("missing|minus what|wrong sign|averaged|halved|doubled|twice|half|belongs")


def explained(part, case, its, got, want, wrong):
    """The Failed that says why the results `got` are not `want`; wrong: the names of those that differ."""
    order = [name for name, _ in walks.lines(part.walk)]
    wrong = sorted(wrong, key=order.index)
    first = wrong[0]
    details = evidence(got[first], want[first], case)
    if len(part.names) > 1:
        right = ", ".join(name for name in part.names if name not in wrong)
        details = [f"{first}: {line}" for line in details] + [f"right: {right}"] * bool(right)
    finders = (_slip, _swapped, _mutant)
    if np.shape(got[first]) == np.shape(want[first]):
        finders = (
            _unwritten,
            _slip,
            _swapped,
            _plainly,
            *[_not_finite] * case.own,
            _mutant,
            _not_finite,
            _changed,
            _deaf,
            _two,
        )
        finders += (_by_size, _mixed)
    for find in finders:
        if words := find(part, case, its, got, want, wrong):
            return Failed(words, details, cause="slip" if find in (_slip, _mutant, _two) else "known")
    words = _verdict(part, case, got, want, first)
    return Failed(f"{first}: {words}", details, cause="" if "no way" in words else "known")


# ------------------------------------------------------------------------------ lines of the walk


def _tried(part, case, *changed):
    """Every value of the walk with these changed lines, which may fail in any way; then none."""
    try:
        return values(part, case, *changed)
    except Exception:
        return {}


def _gives(part, case, got, want, names, *changed):
    """Whether the walk with these changed lines gives what the learner got, and the right one does not."""
    found = _tried(part, case, *changed)
    if not found or not all(close(got[name], found[name], case, 10) for name in names):
        return False
    wrong = [name for name in names if not close(got[name], want[name], case)]
    if not all(distance(got[name], found[name]) <= 0.1 * distance(got[name], want[name]) for name in wrong):
        return False
    return all(_agrees(part, other, names, *changed) for other in case.passed)


def _agrees(part, case, names, *changed):
    """Whether the walk with these changed lines has the right results."""
    found, want = _tried(part, case, *changed), values(part, case)
    return bool(found) and all(close(found[name], want[name], case, 10) for name in names)


def _first_that_gives(part, case, got, want, wrong, changes):
    """The words of the first change that gives all results, else of one that gives the first wrong one."""
    alone = ""
    for changed, words in changes:
        if _gives(part, case, got, want, part.names, *changed):
            return words
        if not alone and len(part.names) > 1 and _gives(part, case, got, want, wrong[:1], *changed):
            found = values(part, case, *changed)
            if all(name in wrong or close(found[name], want[name], case) for name in part.names):
                alone = words
    return alone


def _slip(part, case, its, got, want, wrong):
    changes = [((lines,), words) for lines, words in _table(part, case)]
    return _first_that_gives(part, case, got, want, wrong, changes)


def _table(part, case):
    """The slips of the part, each line of those of several results alone, and those of its arguments."""
    alone = [
        ((line,), f"{line[0]}: {words}")
        for lines, words in walks.slips(part.slips)
        if len(lines) > 1 and all(name in part.names for name, _ in lines)
        for line in lines
    ]
    common = [(lines, words) for lines, words in walks.slips(walks.COMMON) if lines[0][0] in case.args]
    return [*walks.slips(part.slips), *alone, *common]


def _mutant(part, case, its, got, want, wrong):
    right = {name: want[name] for name in part.names if name not in wrong}
    changes = (((line,), f"{wrong[0]}: {words}") for line, words in _mutants(part, case, right))
    return _first_that_gives(part, case, got, want, wrong, changes)


def _mutants(part, case, right=()):
    """Pairs (lines, words) of one changed line of the walk; right: results that it must not change."""
    known, remarks = list(case.args), walks.remarks(part.walk)
    for name, code in walks.lines(part.walk):
        where = f", in {name}" * (name not in part.names) + remarks.get(name, "")
        other = _tried(part, case, ((name, f"1.01 * ({code}) + 0.01"),))
        if all(close(other[key], right[key], case) for key in right if other):
            for line, words in walks.mutants(name, code, known):
                yield (line,), words + where
        known.append(name)


def _two(part, case, its, got, want, wrong):
    """Two slips or simple mutants at once, as far as patience goes."""
    end = time.perf_counter() + PATIENCE
    for changed, words in _pairs(part, case):
        if _gives(part, case, got, want, part.names, *changed):
            return f"two things: {' and '.join(words)}"
        if time.perf_counter() > end:
            break
    return ""


def _pairs(part, case):
    """Pairs (changes, two sentences): of two different lines, then of one."""
    one_each = {re.sub(r"\d+", "0", words): (lines, words) for lines, words in _table(part, case)}
    simple = [pair for pair in _mutants(part, case) if SIMPLE.search(pair[1])]
    for (a, first), (b, second) in combinations([*simple, *one_each.values()], 2):
        if not dict(a).keys() & dict(b).keys():
            yield (a, b), (first, second)
    for ((name, code),), first in simple:
        for line, second in walks.mutants(name, code, case.args):
            if SIMPLE.search(second):
                yield ((line,),), (first, second)


# ------------------------------------------------------------------------------ other causes


def _unwritten(part, case, its, got, want, wrong):
    """Arguments that should have been changed in place, and are as before."""
    for name in part.writes:
        if name in wrong and same(got[name], case.args[name]):
            words = f"{name} is as before: `{name} = ...` only names a new array."
            return f"{words} Write into the caller's, {name}[...] = ..."
    return ""


def _swapped(part, case, its, got, want, wrong):
    for a, b in permutations(part.names, 2):
        if a in wrong and close(got[a], want[b], case):
            return f"{a} is what {b} should be: " + (
                "are they swapped?" if b in wrong else f"it is {b} again"
            )
    return ""


def _plainly(part, case, its, got, want, wrong):
    """Zero, whole numbers, or a constant ratio."""
    first = wrong[0]
    if np.asarray(got[first]).dtype.kind in "iub":
        return f"{first} is cut to whole numbers: it is stored in an array of {np.asarray(got[first]).dtype}"
    if np.ndim(want[first]) and not np.any(got[first]) and np.any(want[first]):
        return f"{first} is zero everywhere"
    for ratio, words in ((0.5, "half of"), (2, "twice"), (-1, "minus")):
        if np.size(want[first]) > 1 and close(got[first], ratio * want[first], case):
            return f"{first} is exactly {words} what it should be everywhere"
    for key, n in case.sizes.items() if len(set(case.sizes.values())) == len(case.sizes) else ():
        if np.size(want[first]) > 1 and close(got[first], want[first] / n, case):
            up = next((arg for arg in case.args if arg.startswith("d")), "") if key == "B" else ""
            why = f"the 1/B of the loss is in {up} already" if up else "is a mean taken where a sum belongs?"
            why = "each sample's own is expected, the caller averages" if n in want[first].shape[:-2] else why
            return f"{first} is divided by {key} = {n}: {why}"
    return ""


def _changed(part, case, its, got, want, wrong):
    """Arguments that were clipped, or changed, before they were used."""
    arrays = {k: a for k, a in case.args.items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"}
    rows = chain.from_iterable(walks.slips(re.sub(r"\bX\b", key, walks.CHANGED)) for key in arrays)
    samples = next((len(a) for a in arrays.values() if a.ndim == 3), 1)
    own = [(k, f"{k}[arange({samples}) % len({k})][:, None]") for k, a in arrays.items() if a.ndim == 2]
    words = "sample s uses row s of what all samples share: sample s of row b uses row b"
    every = [
        ([(k, f"clip({k}, -{n}, {n})") for k in arrays], f"every argument is clipped at +-{n}")
        for n in walks.LIMITS
    ]
    changes = [((lines,), said) for lines, said in (*rows, (own, words), *every)]
    return _first_that_gives(part, replace(case, passed=()), got, want, wrong, changes)


def _deaf(part, case, its, got, want, wrong):
    """An argument that changes nothing, although it should."""
    for key, a in case.args.items():
        if not is_double(a):
            continue
        other = replace(case, args=case.args | {key: np.cos(3 * a) + 0.3 * a})
        try:
            found, right = results(part, its, other), values(part, other)
        except Failed:
            continue
        for name in wrong:
            if same(found[name], got[name]) and not close(right[name], want[name], case):
                return (
                    f"{name} does not change when {key} changes: {key} is not used, or something else "
                    "is used instead (a fixed seed, the data of another call)"
                )
    return ""


def _by_size(part, case, its, got, want, wrong):
    """Wrong where sizes are equal or 1, and right where they all differ."""
    if not case.passed or case.note.rpartition("', ")[2] not in SIZES or not case.note:
        return ""
    words = f"{wrong[0]} is right where all sizes differ, and wrong here"
    return f"{words}: is an axis, or a branch, chosen by its size?"


def _mixed(part, case, its, got, want, wrong):
    """What is said of one row of the batch changes when the others are left out."""
    B = case.sizes.get("B", 1)
    if B < 2 or len(set(case.sizes.values())) < len(case.sizes) or part.call:
        return ""

    def fewer(a):
        axes = [i for i, n in enumerate(np.shape(a)) if n == B]
        return np.take(a, range(B // 2), axis=axes[0]) if axes and isinstance(a, np.ndarray) else a

    small = replace(case, args={k: fewer(a) for k, a in case.args.items()})
    try:
        found = results(part, its, small)
    except Failed:
        return ""
    for name in wrong:
        if B in np.shape(want[name]) and not close(found[name], fewer(np.asarray(got[name])), case, 1000):
            return (
                f"{name} of one row of the batch changes when the others are left out: is something summed "
                "or averaged over the batch, or over the wrong axis?"
            )
    return ""


def _not_finite(part, case, its, got, want, wrong):
    """Say for which arguments a result is not finite, and so what may have overflowed."""
    first = wrong[0]
    bad = ~np.isfinite(got[first]) & np.isfinite(want[first])
    if not np.any(bad):
        return ""
    at = np.unravel_index(np.argmax(bad), np.shape(bad))
    entries = {k: np.max(np.abs(a[at[: a.ndim]])) for k, a in case.args.items() if k in ("a", "logits", "y")}
    size = max(entries.values(), default=0)
    cause = "the log of a density that underflows to 0, an exp that overflows, a root of a negative number"
    if size > 700:
        cause = f"e^{size:.0f} overflows, and inf - inf, 0 * inf and inf / inf are nan"
    elif size > 36:
        cause = f"1 + e^-{size:.0f} rounds to 1, so what is left is 0, and log 0 is -inf"
    return f"{first} is not finite, where it should be: look for {cause}"


def _verdict(part, case, got, want, name):
    """What the library's `verdict` says of one result; of digits it says nothing."""
    if close(got[name], want[name], wider=1e-6 / DOUBLE):
        why = "computed in float32, added or cut off, or are nearly equal numbers subtracted?"
        return f"right to a few digits of the largest entry only: is something small {why}"
    right = values(part, case)
    shape = np.shape(want[name])
    known = {k: a for k, a in right.items() if k not in walks.NUMPY and is_double(a) and _fits(a, shape)}
    known.pop(name, None)
    others = {k: want[k] for k in part.names if k != name and np.shape(want[k]) == shape}
    return verdict(got[name], want[name], known=known, sizes=case.sizes, others=others)


def _fits(a, shape):
    try:
        return a.size > 1 and np.broadcast_shapes(a.shape, shape) == shape
    except ValueError:
        return False

"""Judge the learner's functions, and say in one sentence what is wrong.

The learner's results are compared with those of the part's walk on many cases. Where they differ, the slip
that gives the same numbers names the cause, in whatever way the learner wrote it. Mistakes that can happen in
every exercise (a forgotten return, a changed argument, noise drawn anew, state kept between calls) are known
here.
"""

import contextlib
from dataclasses import replace

import numpy as np

from .calls import Failed, copied, same
from .cases import cases, close, evidence, is_double, results, values
from .explain import explained

KEPT = (
    "{} uses something that an earlier call left behind (a global variable or an attribute), and another "
    "call has overwritten it: everything it needs must come with its arguments"
)
AGAIN = (
    "{} gives another answer when it is called again with the same arguments: it draws its own noise, or "
    "keeps something from the call before"
)


def checks(exercise):
    """title -> check(its), in order."""
    found = {}
    for part in exercise.parts:
        for title in (*part.cases, *part.far):
            found[title] = lambda its, part=part, title=title: compare_all(part, title, its)
        found |= part.checks
    return found


# ------------------------------------------------------------------------------ comparing


def compare_all(part, title, its):
    """Compare with the walk on every case; Failed at the first that differs."""
    tried, passed = cases(part, title), its.passed.setdefault(part.name, [])
    for case in tried:
        pristine = replace(case, args=copied(case.args))
        _forward_first(part, its, case, other=True)
        _other_first(part, its, case)
        try:
            compare(part, replace(case, passed=tuple(passed)), its)
            passed.append(case)
        except Failed as failed:
            better = _better(part, pristine, tried, its, failed)
            if better is None:
                failed.sentence = case.noted(failed.sentence) if failed.cause != "hole" else failed.sentence
                raise
            raise better from failed.__cause__


def _better(part, case, tried, its, failed):
    """A Failed that says more: of state kept between calls, or of shapes; None if there is none."""
    stopped = failed.cause == "stopped"
    details = [failed.sentence, *failed.details] if stopped else []
    if failed.cause not in ("hole", "overwritten", "called") and _right_alone(part, its, case):
        return Failed(KEPT.format(part.name), details, failed.line)
    for other in tried if stopped else ():
        if other.sizes.get("B") == other.sizes.get("L") == 3:  # where all shapes fit, the values can tell
            try:
                compare(part, other, its)
            except Failed as known:
                if known.cause == "slip":
                    return Failed(known.sentence, details, failed.line)
    return None


def compare(part, case, its):
    """Compare on one case."""
    got, want = results(part, its, case), values(part, case)
    for name in part.names:
        _kind(name, got[name], want[name], case)
    wrong = [name for name in part.names if not close(got[name], want[name], case)]
    if wrong:
        again = results(part, its, case)
        if not same(list(got.values()), list(again.values())):
            raise Failed(AGAIN.format(part.name), evidence(got[wrong[0]], again[wrong[0]]))
        raise explained(part, case, its, got, want, wrong)


def _kind(name, got, want, case):
    """Refuse what is no array of real numbers in the precision of the arguments."""
    if got is None:
        raise Failed(f"{name} is None: is the return missing, or a part of it?")
    number = np.ndim(want) == 0 and isinstance(got, int | float)
    array = isinstance(got, np.ndarray | np.number) and not isinstance(got, np.matrix | np.ma.MaskedArray)
    if not array and not number:
        kind = type(got).__name__
        raise Failed(f"{name} is of type {kind}, expected an array: np.array or np.stack makes one")
    kind = np.asarray(got).dtype
    if kind.kind not in "fiub":
        raise Failed(f"{name} is an array of {kind}, expected real numbers")
    if not number and kind.itemsize < (4 if case.single else 8) and np.asarray(want).dtype.kind == "f":
        given = "float32" if case.single else "float64"
        raise Failed(f"{name} is {kind} for arguments of {given}: keep their precision")


def _forward_first(part, its, case, other):
    """Call the forward function of a backward one: with these arguments, and then with other ones."""
    stem = part.name.removesuffix("_backward")
    twin = next((t for t in (stem, f"{stem}_forward") if t != part.name and hasattr(its, t)), None)
    if not twin or part.call:
        return False
    args = case.args if twin == stem else {"a": case.args["y"], "activation": case.args["activation"]}
    mine = [a for k, a in args.items() if not k.startswith("d")]
    try:
        getattr(its, twin)(*mine)
        if other:
            getattr(its, twin)(*(-0.5 * a if is_double(a) else a for a in mine))
    except Failed:
        pass  # the forward function has checks of its own
    return True


def _other_first(part, its, case):
    """Call the function with other arguments of the same shapes: what it keeps of them must not matter."""
    other = {k: np.asarray(0.25 + 0.5 * a) if is_double(a) else a for k, a in case.args.items()}
    with contextlib.suppress(Failed):
        results(part, its, replace(case, args=other))


def _right_alone(part, its, case):
    """Whether the answer is right after all, if the file is loaded anew and nothing is called in between."""
    for forward in (False, True):
        try:
            fresh = its.fresh()
            fresh.alone = True
            if forward and not _forward_first(part, fresh, case, other=False):
                return False
            got, want = results(part, fresh, case), values(part, case)
            for name in part.names:
                _kind(name, got[name], want[name], case)
        except Failed:
            continue
        if all(close(got[name], want[name], case) for name in part.names):
            return True
    return False

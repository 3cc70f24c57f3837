"""Say in words how a derivative is wrong, from got and want across the whole tensor.

Hypotheses are tried from the simplest on, and the first that explains *every* entry is the verdict: zero, a
constant ratio, a constant offset, rows moved, another tensor's derivative, a factor that is a known array.
All compare with the tensor's own size, so that gradients of 1e-12 and 1e12 are told apart alike. A verdict
that holds for the wrong entries alone says where they are: "row 3 only: sign flipped".
"""

import numpy as np

from .cases import Case, place
from .ratios import FIT, ratio_names, ratio_words

OK = "ok"
UNRELATED = "unrelated"


def verdict(found, sizes=None, known=None, others=None, terms=None, guesses=None):
    """The words for a `Comparison`.

    sizes   name -> number, for ratios and offsets: {"B": 8, "D": 784, "beta": 0.5}
    known   name -> array that broadcasts to the tensor: factors and terms that may be too many or missing
    others  name -> array of other derivatives: what got may have been taken for
    terms   name -> array: what may be missing from a sum or one too many
    guesses  name -> array: what some known mistake would give
    """
    if found.ok:
        return OK
    if not np.isfinite(found.given).all() or not np.isfinite(found.got).all():
        first = np.argwhere(~np.isfinite(found.got))[0]
        return f"not finite: {found.got[tuple(first)]} at {place(first)}"
    if not np.isfinite(found.want).all():
        return "the reference is not finite"
    case = Case(found, sizes or {}, known or {}, others or {})
    case.terms, case.guesses = terms or known or {}, guesses or {}
    hypotheses = (_zero, _ratio, _offset, _moved, _guess, _clip, _part, _other, _factor, _term, _by_lines)
    for hypothesis in hypotheses:
        if words := hypothesis(case):
            return words
    return UNRELATED


# ------------------------------------------------------------------------------ hypotheses


def _zero(case):
    if not case.g.any() and case.w.any():
        return "zero where it should not be (a branch never reached)"
    if not case.w.any() and len(case.w) > 1:
        return "not zero where it should be"
    return None


def _ratio(case):
    weight = np.sum(case.w * case.w)
    if not weight:
        return None
    ratio = float(np.sum(case.w * case.g) / weight)
    single = np.count_nonzero(np.abs(case.w) > case.tolerance) < 2
    if not case.explains(ratio * case.w) or abs(ratio) < 1e-9 or abs(ratio - 1) <= FIT:
        return None
    loose = FIT + (float(np.max(case.tolerance)) / np.max(np.abs(case.w)) if case.w.any() else 0)
    names = ratio_names(ratio, case.sizes, loose)
    if single and not names:
        return None
    if names == ["-1"]:
        return "sign flipped"
    sign = "sign flipped and " * (ratio < 0)
    if not names:
        return f"{sign}constant ratio {abs(ratio):.6g}"
    return sign + ", or ".join(ratio_words(name, case.sizes) for name in names[:3])


def _offset(case):
    difference = case.g - case.w
    offset = float(np.mean(difference))
    if len(case.w) < 2 or not case.explains(case.w + offset) or np.ptp(case.w) <= 10 * np.max(case.tolerance):
        return None
    sign = "-" * (offset < 0)
    batch, beta = case.sizes.get("B", 1.0), case.sizes.get("beta", 1.0)
    weights = {f"{b}{s}/B": v * w / batch for b, v in (("", 1), ("beta*", beta)) for s, w in _OFFSETS}
    weights |= dict(_OFFSETS)
    loose = FIT + float(np.max(case.tolerance)) / max(abs(offset), 1e-300)
    for name, value in weights.items():
        if abs(abs(offset) - value) <= min(loose, 1e-2) * value:
            hint = " (a missing -1 in the KL?)" * (sign == "" and name.endswith("0.5/B"))
            return f"constant offset {sign}{name}{hint}"
    return f"constant offset {offset:.6g}"


_OFFSETS = (("0.5", 0.5), ("1", 1.0), ("2", 2.0))


def _moved(case):
    got = case.found.got
    if got.size < 2:
        return None
    moves = {"reversed": got[::-1]}
    if got.ndim == 2:
        if got.shape[0] == got.shape[1]:
            moves = {"transposed": got.T} | moves
        moves |= {"columns reversed": got[:, ::-1]}
    for axis, name in enumerate(("rows", "columns")[: got.ndim]):
        for by in range(1, min(got.shape[axis], 9)):
            for step in (by, -by):
                moves[f"shifted {name if got.ndim > 1 else 'entries'} (by {step})"] = np.roll(
                    got, -step, axis
                )
    for name, moved in moves.items():
        if case.explains(case.at(moved), case.w):
            return name
    for name, moved in moves.items():
        if case.explains(-case.at(moved), case.w):
            return f"sign flipped and {name}"
    whole = len(case.flat) == got.size
    if whole and np.allclose(np.sort(case.g), np.sort(case.w), rtol=FIT, atol=0) and got.size > 2:
        return "permuted: the right numbers in other places"
    reshaped = got.T.reshape(got.shape) if got.ndim > 1 else got
    if case.explains(case.at(reshaped), case.w) or case.explains(
        case.at(got.reshape(got.shape[::-1]).T if got.ndim > 1 else got), case.w
    ):
        return "reshaped where it should be transposed"
    return None


def _part(case):
    """The wrong entries alone, when others are right."""
    wrong = case.found.wrong if len(case.g) == len(case.found.want) else np.ones(len(case.g), bool)
    if wrong.all() or not wrong.any():
        return None
    part = case.only(wrong)
    words = next((w for h in (_zero, _ratio, _offset, _factor) if (w := h(part))), UNRELATED)
    index = np.array(np.unravel_index(part.flat, case.shape)).T  # (n, ndim)
    count = f"{len(part.flat)} of {len(case.flat)} entries"
    for axis, name in enumerate(_axes(case.shape)):
        lines = np.unique(index[:, axis])
        mine = np.isin(np.array(np.unravel_index(case.flat, case.shape))[axis], lines)
        few = len(lines) <= max(1, case.shape[axis] // 2) and case.shape[axis] > 1 and len(case.shape) > 1
        if few and np.mean(wrong[mine]) > 0.6 and mine.sum() > 1:
            many = f"{name}s {_listed(lines)}" if len(lines) > 1 else f"{name} {lines[0]}"
            return f"{words}: {many} only"
    return f"{words}: {count}, such as {place(index[0])}"


def _axes(shape):
    return {1: ("entry",), 2: ("row", "column"), 3: ("sample", "row", "column")}.get(len(shape), ())


def _listed(lines):
    lines = [int(i) for i in lines]
    if len(lines) > 2 and lines == list(range(lines[0], lines[-1] + 1)):
        return f"{lines[0]}..{lines[-1]}"
    return ", ".join(map(str, lines[:4])) + ", ..." * (len(lines) > 4)


def _other(case):
    for name, other in case.others.items():
        if np.shape(other) == case.shape and case.explains(case.at(other), case.w):
            return f"swapped: the wanted numbers stand in {name}"
    return None


def _factor(case):
    """got = want * k or want / k, for a known array k; and a ratio that only a row or a column decides."""
    products = dict(case.known)
    for scale, prefix, times in (
        (1, "", ""),
        (-1, "sign flipped and ", ""),
        (2, "", "2 * "),
        (0.5, "", "1/2 * "),
    ):
        for name, k in products.items():
            k = case.at(k)
            if np.ptp(k) <= FIT * np.max(np.abs(k), initial=0):
                continue
            if case.explains(scale * case.w * k):
                return f"{prefix}ratio is {times}{name} (a factor too many)"
            if case.explains(scale * case.w, case.g * k):
                one = name if name.isidentifier() else f"({name})"
                return f"{prefix}ratio is {times}1/{one} (the factor is missing)"
    return None


def _term(case):
    """got = want + c k, for a known array k and a simple c."""
    difference = case.g - case.w
    for name, k in (case.terms | case.others).items():
        if name in case.others and np.shape(k) != case.shape:
            continue
        k = case.at(k)
        weight = np.sum(k * k)
        c = float(np.sum(k * difference) / weight) if weight else 0.0
        if abs(c) > 1e-12 and len(k) > 2 and case.explains(c * k, difference):
            names = ["1"] if abs(abs(c) - 1) <= FIT else ratio_names(c, case.sizes) or [f"{abs(c):.4g}"]
            times = "" if names[0] == "1" else f"{names[0]} * "
            return (
                f"the term {times}{name} is {'missing, or has the wrong sign' if c < 0 else 'one too many'}"
            )
    return None


def _guess(case):
    return next((name for name, guess in case.guesses.items() if case.explains(case.at(guess))), None)


def _clip(case):
    """The sign lost, or a clip: what keeps some entries and changes others."""
    if case.explains(np.abs(case.w)):
        return "the sign is lost: got |want|"
    top = np.max(np.abs(case.g))
    if np.sum(np.isclose(np.abs(case.g), top)) > 1 and case.explains(np.clip(case.w, -top, top)):
        return f"clipped at {top:.4g}"
    return None


def _by_lines(case):
    """One ratio or one offset for each row or column."""
    nothing = np.max(np.abs(case.g)) <= 10 * np.max(case.tolerance)
    if nothing or len(case.flat) < case.found.got.size or len(case.shape) < 2:
        return None
    g, w = case.g.reshape(case.shape), case.w.reshape(case.shape)
    for axis, name in ((-1, "row"), (0, "column")):
        weight = np.sum(w * w, axis, keepdims=True)
        ratio = np.divide(
            np.sum(w * g, axis, keepdims=True), weight, out=np.zeros_like(weight), where=weight > 0
        )
        if w.shape[axis] > 1 and case.explains((ratio * w).reshape(-1)):
            return f"the ratio differs from {name} to {name}, {ratio.min():.3g} to {ratio.max():.3g}"
        gap = np.mean(g - w, axis, keepdims=True)
        if w.shape[axis] > 1 and case.explains((w + gap).reshape(-1)):
            return f"an offset of its own for every {name}"
    return None

"""What a wrong shape looks like: which axis is gone, kept, transposed or out of order."""

from itertools import combinations
from math import prod


def axes(shape, sizes):
    """(7, 3) as "(B, L) = (7, 3)", where each size has one name."""
    names = {v: k for k, v in sizes.items()}
    shape = tuple(int(n) for n in shape)
    if shape and all(n in names for n in shape):
        inner = ", ".join(names[n] for n in shape) + ("," if len(shape) == 1 else "")
        return f"({inner}) = {shape}"
    return str(shape)


def shape_words(name, got, want, sizes):
    """What a wrong shape looks like, in a sentence; sizes: {"B": 7, "L": 3}."""
    names = {v: k for k, v in sizes.items()}
    looks = _looks(got, want, names)
    if not looks and axes(want, sizes) != str(want):
        return f"{name} has shape {got}, expected {want}, which is {axes(want, sizes)}"
    return f"{name} has shape {got}, expected {want}" + (f": {looks}" if looks else "")


def _looks(got, want, names):
    without_ones = tuple(n for n in want if n != 1)
    if got == want[::-1]:
        return "it is transposed"
    if len(got) > len(want) and tuple(n for n in got if n != 1) == without_ones:
        return "a kept axis will broadcast (keepdims, or [:, None])"
    if got == without_ones:
        return "the axis of size 1 is gone (keepdims=True or a reshape brings it back)"
    if got == ():
        return f"it is one number, summed or averaged over the axis {_named(want[:1], names)} as well"
    missing, extra = _taken_out(want, got), _taken_out(got, want)
    if missing:
        return f"the axis {_named(missing, names)} is gone, it was summed or averaged over"
    if extra:
        return f"the axis {_named(extra, names)} is still there, the sum over it is missing"
    if len(got) == len(want):
        if sorted(got) == sorted(want):
            return "the axes are in another order"
        other = [(g, w) for g, w in zip(got, want, strict=True) if g != w]
        if all(g == 1 for g, _ in other):
            lost = _named([w for _, w in other], names)
            return f"the axis {lost} was summed, averaged or picked over, and will broadcast"
        if len(other) == 1 and set(other[0]) <= set(names):
            stays, goes = (_named([n], names) for n in other[0])
            return (
                f"it was summed or averaged over the wrong axis: {goes} is gone, and {stays} should be gone"
            )
        if sum(abs(g - w) for g, w in other) == 1:
            return "one too few or too many, does a loop end early?"
    return "the entries are arranged in another shape" if prod(got) == prod(want) else ""


def _taken_out(larger, smaller):
    """The sizes of the axes that must go to get from one shape to the other; None if none do."""
    if len(larger) <= len(smaller):
        return None
    for drop in combinations(range(len(larger)), len(larger) - len(smaller)):
        if tuple(n for i, n in enumerate(larger) if i not in drop) == tuple(smaller):
            return tuple(larger[i] for i in drop)
    return None


def _named(shape, names):
    return ", ".join(f"{names[n]} ({n})" if n in names else str(n) for n in shape)

"""What known mistakes would give, as pairs (sentence, value): hypotheses for `expect`."""

import contextlib

import numpy as np

from .calls import copied
from .exercise import Failed


def mistaken(wrong, name, *args):
    """Pairs (sentence, value) of the listed wrong answers, for `expect`: what each gives here."""
    found = []
    for answer in wrong:
        if name in answer.functions and answer.says:
            try:
                with np.errstate(all="ignore"):
                    found.append((answer.says, answer.functions[name](*[copied(a) for a in args])))
            except Exception:  # a wrong answer may fail in any way, and then explains nothing
                continue
    return found


def reductions(name, each, what):
    """Pairs (sentence, value) of what is wrongly done with entries (..., n) that are to be added up.

    what: the entries, in the plural: "latents"
    """
    total = each.sum(axis=-1)
    left = f"{name} leaves out the {{}} of the {what}: does a loop {{}}?"
    only = f"{name} counts only the {{}} of the {what}: {{}}"
    pairs = [
        (left.format("last", "end one too early"), each[..., :-1].sum(axis=-1)),
        (left.format("first", "start at 1"), each[..., 1:].sum(axis=-1)),
        (only.format("first", "does a return stand inside the loop?"), each[..., 0]),
        (only.format("last", "does the loop overwrite instead of adding (= for +=)?"), each[..., -1]),
        (f"the {what} are multiplied: {name} is their sum", each.prod(axis=-1)),
        (f"{name} is the largest of the {what}: it is their sum", each.max(axis=-1)),
        (f"{name} is cut off after the decimal point: is it made an integer?", np.trunc(total)),
        (f"{name} is rounded to whole numbers", np.round(total)),
    ]
    running = f"{name} is a running sum over the data: it must begin at 0 for each of them"
    pairs += [(running, np.cumsum(total, axis=axis)) for axis in range(-1, -1 - total.ndim, -1)]
    shared = f"{name} is the sum over the whole batch, repeated: it is one number for each datum"
    return [*pairs, (shared, np.broadcast_to(total.sum(), total.shape))]


def small_numbers(words, value):
    """Pairs (sentence, value(small)) of 1e-2 to 1e-16, as they are added for safety; {} in words is which."""
    return [(words.format(f"1e-{power}"), value(10.0**-power)) for power in range(2, 17)]


def over_samples(name, value, many, shared):
    """Pairs (sentence, value) of samples that are mixed up; none if there is no axis of samples.

    value(*many, *shared) -> (S, B), from arrays (S, B, n), one for each sample, and (B, n), which all share
    """
    if many[0].ndim < 3:
        return []
    S, B, n = many[0].shape
    own = f"{name} is the same for every sample: it is that of {{}}, and every sample has its own"
    pairs = [
        (own.format("the first sample"), value(*(a[:1] for a in many), *shared)),
        (own.format("the last sample"), value(*(a[-1:] for a in many), *shared)),
        (
            own.format("the mean of the samples"),
            value(*(a.mean(axis=0, keepdims=True) for a in many), *shared),
        ),
        (own.format("all samples, averaged"), value(*many, *shared).mean(axis=0, keepdims=True)),
        (
            "samples and data are mixed up by a reshape: (S, B, n) becomes (B, S, n) with swapaxes",
            value(*(a.reshape(B, S, n).swapaxes(0, 1) for a in many), *shared),
        ),
        (
            "sample s is held against row s of what all samples share: it is row b for datum b",
            value(*many, *(a[np.arange(S) % len(a)][:, None] for a in shared)),
        ),
        (
            "what the samples share is repeated in another order than they stand: np.tile, not np.repeat",
            value(*many, *(np.repeat(a, S, axis=0).reshape(S, *a.shape) for a in shared)),
        ),
    ]
    return [(words, np.broadcast_to(guess, (S, B))) for words, guess in pairs]


def mixes(function, args, results):
    """Whether what a function says of the first data changes when the others are left out.

    args     arrays (B,) or (..., B, L), and whatever else it takes
    results  what it returned, one array (..., B, L) or several
    """

    def first(a):
        if not isinstance(a, np.ndarray) or not a.ndim:
            return a
        return a[: len(a) // 2] if a.ndim == 1 else a[..., : a.shape[-2] // 2, :]

    several = isinstance(results, tuple | list)
    fewer = function(*(first(a) for a in args))
    pairs = zip(results, fewer, strict=True) if several else [(results, fewer)]
    return not all(np.allclose(first(np.asarray(a)), b, rtol=1e-6, atol=1e-12) for a, b in pairs)


MIXED = (
    "what {} says of one datum changes when the others are left out: is something summed or averaged over "
    "the batch inside, or the wrong axis taken?"
)

DEAF = (
    "{} does not change when eps changes: its noise is not the one passed in, but drawn with a fixed seed or "
    "kept from another call"
)


def deaf(name, function, eps):
    """A sentence, if a function of the noise gives the same for other noise; else None."""
    return DEAF.format(name) if np.array_equal(function(eps), function(np.cos(3 * eps))) else None


@contextlib.contextmanager
def or_else(*reasons):
    """Where a failure inside has no known cause, say the first of `reasons`: () -> a sentence or None."""
    try:
        yield
    except Failed as failed:
        guessed = not failed.known or "is wrong only where" in failed.sentence
        sentence = next((words for reason in reasons if (words := reason())), None) if guessed else None
        if not sentence:
            raise
        raise Failed(sentence, failed.details) from None

"""A computation as lines of text, and slips in it: some of these lines written differently.

A line is what a learner would write, "z = mu + std * eps"; several may stand in one, with "; " between them.
A slip is a pair of such lines and the sentence that says what is wrong with them.
"""

from functools import cache
from itertools import combinations

import numpy as np

from .judge import close

NAMES = "abs arctan clip exp expm1 log log10 log1p log2 maximum minimum sign sinh sqrt tan tanh where"
NUMPY = {name: getattr(np, name) for name in NAMES.split()} | {
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: np.maximum(a, 0),
    "softplus": lambda a: np.logaddexp(0, a),
}
compiled = cache(lambda formula: compile(formula, formula, "eval"))


def table(text):
    """Pairs (code, sentence): each line is the code of a slip and, as its comment, what is wrong with it."""
    return [tuple(line.split("  # ")) for line in text.strip().splitlines()]


def lines(code):
    """name -> formula."""
    return dict(line.split(" = ", 1) for line in code.strip().replace("; ", "\n").splitlines())


def value(formula, **given):
    """What one formula gives."""
    with np.errstate(all="ignore"):
        return eval(compiled(formula), NUMPY, given)


def walk(code, values, *slips):
    """Every value of the computation by its name, given some; a slip's line replaces that of its name."""
    values = dict(values)
    written = lines("\n".join((code.strip(), *slips)))
    with np.errstate(all="ignore"):
        for name, formula in written.items():
            values[name] = eval(compiled(formula), NUMPY, values)
    return values


def cause(slips, names, got, want, values_of):
    """The slip, or the two, that give all that was got; else one that gives the first that is wrong.

    names      of the results, in the order in which one follows from the other
    got, want  name -> value
    values_of  slips -> name -> value
    """
    right = {name: close(got[name], want[name]) for name in names}
    first = next(name for name in names if not right[name])

    def gives(values, some):
        return all(close(np.nan_to_num(got[name]), np.nan_to_num(values[name])) for name in some)

    for code, words in slips:
        if gives(values_of(code), names):
            return words
    for (one, first_words), (two, second_words) in combinations(slips, 2):
        if gives(values_of(one, two), names):
            return f"two things: {first_words}; and {second_words}"
    for code, words in slips:
        values = values_of(code)
        kept = all(close(values[name], want[name]) for name in names if right[name])
        if kept and not close(values[first], want[first]) and gives(values, [first]):
            told = words.startswith(f"{first} ")
            return words if told else f"{first}, the first that is wrong on the way: {words}"
    return None

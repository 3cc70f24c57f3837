"""Judge an implementation, and say in one sentence what is wrong with what it returns.

exercise   what an exercise is, and what a failure is
calls      call the functions under judgement with care
shapes     what a wrong shape looks like
terms      a result as a sum of named terms
explain    why values are wrong
mistakes   what known mistakes would give
judge      hold a result to its reference: the face of all this
walks      a computation as lines of text, and slips in it
luck       noise that is off by a chosen number of standard errors
"""

from .calls import Judged, file_of, signature, stopped
from .exercise import Exercise, Failed, Wrong
from .explain import fits
from .judge import (
    array,
    biased,
    close,
    evidence,
    expect,
    expect_all,
    finite,
    in_order,
    in_single,
    noted,
    ones,
    rather,
    values,
)
from .mistakes import MIXED, deaf, mistaken, mixes, or_else, over_samples, reductions, small_numbers
from .terms import sum_of_terms

__all__ = [
    "MIXED",
    "Exercise",
    "Failed",
    "Judged",
    "Wrong",
    "array",
    "biased",
    "close",
    "deaf",
    "evidence",
    "expect",
    "expect_all",
    "file_of",
    "finite",
    "fits",
    "in_order",
    "in_single",
    "mistaken",
    "mixes",
    "noted",
    "ones",
    "or_else",
    "over_samples",
    "rather",
    "reductions",
    "signature",
    "small_numbers",
    "stopped",
    "sum_of_terms",
    "values",
]

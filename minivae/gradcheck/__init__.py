"""Gradient checks that name the wrong line: which derivative, of which term, and wrong in what way.

references    complex step and central differences, along a direction
comparison    every entry, or projections that no entry escapes
verdicts      how got differs from want, in words; cases: what explains it
report        the table and its headline; pictures: its heat-map
scalars       check(f, grads, params) and check_pair(forward, backward, *inputs)
tape          watch a model's walks from outside
operations    each operation of the way back against its own forward
walks         check_model: every node and every term
statistics    what no gradient check sees: samplers, KL, scaling, bounds
"""

from .references import central_difference, complex_step
from .report import Report, Row
from .scalars import check, check_pair
from .statistics import Verdict, check_bound, check_kl, check_sampler, check_scaling
from .walks import check_model

__all__ = [
    "Report",
    "Row",
    "Verdict",
    "central_difference",
    "check",
    "check_bound",
    "check_kl",
    "check_model",
    "check_pair",
    "check_sampler",
    "check_scaling",
    "complex_step",
]

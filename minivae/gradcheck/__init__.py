"""Gradient checks that name the wrong line: which derivative, of which term, and wrong in what way.

verdict     how two arrays differ, in words
report      the table, its headline, its heat-map
slopes      complex step and central differences
scalar      check(f, grads, params) and check_pair(forward, backward, *inputs)
operations  the operations of a model alone, and what their mistakes look like
rounding    how large terms are whose rounding no check may blame
single      float32 against float64
beforehand  state and randomness, corners, and what the inputs of a model cannot show
model       check_model: every node of a model's backward pass and every term
"""

from .model import check_model
from .report import Report, Row
from .scalar import check, check_pair
from .slopes import central_difference, complex_step
from .verdict import verdict

__all__ = [
    "Report",
    "Row",
    "central_difference",
    "check",
    "check_model",
    "check_pair",
    "complex_step",
    "verdict",
]

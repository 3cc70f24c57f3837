"""The operations of `ops` that dominate a training step, compiled, with the same names and signatures.

A kernel exists only where NumPy would cost at least 3 % of a training step on MNIST: the dense layer, the
Bernoulli likelihood, the optimizers' updates. All else is left to `ops`, and so are arrays that do not pass
`fits`. No sum is split among threads or reordered: one thread gives the bits of many. Read in this order:

    compiled      how a loop is compiled, once per machine
    vectors       what a plain loop cannot say: vectors that stay in registers
    threads       how threads share the work of a kernel, and why one kernel runs at a time
    elementary    exp, log1p, tanh, sigmoid as arithmetic that vectorises
    tiles         the matrix product: panels, register tiles, all cores
    dense         the product with bias, activation and their derivatives
    bernoulli     the Bernoulli nll and its derivative
    updates       SGD, RMSProp, Adam
"""

# ruff: noqa: F401, F403
from ..ops import *
from .bernoulli import bernoulli_nll, bernoulli_nll_backward
from .dense import dense_backward, dense_forward
from .threads import get_threads, set_threads
from .tiles import matmul
from .updates import Table, adam_update, rmsprop_update, sgd_update

_HOME = ("minivae.ops", __name__)
__all__ = [name for name, value in vars().items() if getattr(value, "__module__", "").startswith(_HOME)]

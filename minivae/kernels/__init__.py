"""The operations of `ops` that dominate a training step, compiled, with the same names and signatures.

A kernel exists only where NumPy would cost at least 3 % of a training step on MNIST: the dense layer, the
Bernoulli likelihood, the optimizers' updates. Every other name is that of `ops`. No sum is split among
threads and none is reordered, so a result has the same bits on one thread or on many. Read in this order:

    door          which arrays a compiled loop accepts; everything else goes to `ops`
    threads       how many threads share a kernel, and why one kernel runs at a time
    compiled      how a loop is compiled, and where the result is kept
    vectors       what a plain loop cannot say: vectors that stay in registers
    parallel      how threads share the work of a kernel
    elementary    exp, log1p, tanh, sigmoid as arithmetic that vectorises
    tiles         the matrix product: panels, register tiles, all cores
    dense         the product with bias, activation and their derivatives
    bernoulli     the Bernoulli nll and its derivative
    updates       SGD, RMSProp, Adam
"""

# ruff: noqa: F403, F405
from ..ops import *
from .bernoulli import bernoulli_nll, bernoulli_nll_backward
from .dense import dense_backward, dense_forward
from .threads import get_threads, set_threads
from .tiles import matmul
from .updates import Table, adam_update, rmsprop_update, sgd_update

# fmt: off
__all__ = [
    "Table", "activation_backward", "activation_forward", "adam_update", "bernoulli_nll",
    "bernoulli_nll_backward", "dense_backward", "dense_forward", "gaussian_kl", "gaussian_kl_backward",
    "gaussian_log_prob", "gaussian_nll", "gaussian_nll_backward", "gaussian_sample",
    "gaussian_sample_backward", "gaussian_score", "gaussian_std", "get_threads", "matmul", "rmsprop_update",
    "set_threads", "sgd_update", "sum_to_shape",
]

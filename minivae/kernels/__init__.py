"""The same text as `ops`, made fast: numba twins with the same names and signatures.

Each public function checks its arguments as its twin does, lays its operands out in memory and calls a
compiled loop below it. No sum is ever split among threads and none is reordered, so that a result has the
same bits on one thread or on many. Read them in this order:

    threads       how many threads share a kernel, and why one kernel runs at a time
    compiled      how a loop is compiled, and where the result is kept
    memory        arrays for results, without asking the system in every step
    operands      what a kernel may be fed
    vectors       what a plain loop cannot say: vectors that stay in registers
    elementary    exp, log1p, tanh, sigmoid, softplus as arithmetic that vectorises
    tiles         the fast matrix product: panels, register tiles, all cores
    matmul        the product told from its beginning: naive, blocked, fast
    dense         the product with its neighbours
    likelihoods   Bernoulli and Gaussian nll
    gaussian      the posterior: sample, kl, log_prob, score
    walk          the VAE's two walks, each in one launch
    updates       the optimizers' recurrences
"""

from ..ops import gaussian_std, sum_to_shape
from .dense import activation_backward, activation_forward, dense_backward, dense_forward
from .gaussian import (
    gaussian_kl,
    gaussian_kl_backward,
    gaussian_log_prob,
    gaussian_sample,
    gaussian_sample_backward,
    gaussian_score,
)
from .likelihoods import bernoulli_nll, bernoulli_nll_backward, gaussian_nll, gaussian_nll_backward
from .matmul import matmul
from .threads import forked, get_threads, set_threads
from .updates import (
    Table,
    adam_update,
    adam_updates,
    rmsprop_update,
    rmsprop_updates,
    sgd_update,
    sgd_updates,
)
from .walk import Plan, walk_backward, walk_forward

__all__ = [
    "Plan",
    "Table",
    "activation_backward",
    "activation_forward",
    "adam_update",
    "adam_updates",
    "bernoulli_nll",
    "bernoulli_nll_backward",
    "dense_backward",
    "dense_forward",
    "forked",
    "gaussian_kl",
    "gaussian_kl_backward",
    "gaussian_log_prob",
    "gaussian_nll",
    "gaussian_nll_backward",
    "gaussian_sample",
    "gaussian_sample_backward",
    "gaussian_score",
    "gaussian_std",
    "get_threads",
    "matmul",
    "rmsprop_update",
    "rmsprop_updates",
    "set_threads",
    "sgd_update",
    "sgd_updates",
    "sum_to_shape",
    "walk_backward",
    "walk_forward",
]

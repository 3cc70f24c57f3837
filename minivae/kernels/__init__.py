"""The same text as `ops`, made fast: numba twins with the same names and signatures.

Each public function checks its arguments as its twin does, lays its operands out in memory and calls a
compiled loop below it. A loop is what you would write in C: no temporaries, one pass over memory, rows or
tiles shared among threads. No sum is ever split among threads, so that a result has the same bits on one
thread or on many.

    compiled      how a loop is compiled, threads, what it may be fed
    matmul        the matrix product for any strides
    dense         bias, activation and their derivatives around the product
    likelihoods   Bernoulli and Gaussian nll
    gaussian      the posterior: sample, kl, log_prob, score
    updates       the optimizers' recurrences
"""

from ..ops import gaussian_std, sum_to_shape
from .compiled import set_threads
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
from .updates import adam_update, rmsprop_update, sgd_update

__all__ = [
    "activation_backward",
    "activation_forward",
    "adam_update",
    "bernoulli_nll",
    "bernoulli_nll_backward",
    "dense_backward",
    "dense_forward",
    "gaussian_kl",
    "gaussian_kl_backward",
    "gaussian_log_prob",
    "gaussian_nll",
    "gaussian_nll_backward",
    "gaussian_sample",
    "gaussian_sample_backward",
    "gaussian_score",
    "gaussian_std",
    "matmul",
    "rmsprop_update",
    "set_threads",
    "sgd_update",
    "sum_to_shape",
]

"""The Bernoulli likelihood: the largest elementwise work of a training step, a row to a thread.

A running sum would keep the loop over exp from vectorising, so a first loop writes a row's terms and a
second one adds them: its upper half to its lower half, again and again, which also rounds less.
"""

from numba import prange

from .. import ops
from . import elementary as el
from . import memory, threads
from .compiled import Shared
from .door import fits, laid_out


def bernoulli_nll(logits, x):
    """nll (B,) or (S, B) from logits; see `ops.bernoulli_nll`."""
    if not fits("BD *BD", x, logits):
        return ops.bernoulli_nll(logits, x)
    nll, terms = memory.empty(logits.shape[:-1], x.dtype), memory.empty(logits.shape, x.dtype)
    rows = (-1, x.shape[1])
    _nll(
        threads.worth(terms.size), laid_out(logits).reshape(rows), laid_out(x), terms.reshape(rows),
        nll.reshape(-1),
    )  # fmt: skip
    return nll


@Shared
def _nll(parts, logits, x, terms, nll):
    zero = x.dtype.type(0)
    for i in prange(logits.shape[0]):
        given, target, term = logits[i], x[i % x.shape[0]], terms[i]  # row i is sample i // B of datum i % B
        for j in range(term.size):
            l = given[j]
            term[j] = ((zero if l < zero else l) - target[j] * l) + el.log1p(el.exp(-abs(l)))
        while term.size > 1:
            half = term.size // 2
            low, high = term[:half], term[term.size - half :]
            for j in range(half):
                low[j] += high[j]
            term = term[: term.size - half]
        nll[i] = term[0]


def bernoulli_nll_backward(dnll, logits, x):
    """dnll -> dlogits; see `ops.bernoulli_nll_backward`."""
    if not fits("BD *BD *B", x, logits, dnll):
        return ops.bernoulli_nll_backward(dnll, logits, x)
    dlogits = memory.empty(logits.shape, x.dtype)
    rows = (-1, x.shape[1])
    _nll_backward(
        threads.worth(logits.size), laid_out(dnll).reshape(-1), laid_out(logits).reshape(rows), laid_out(x),
        dlogits.reshape(rows),
    )  # fmt: skip
    return dlogits


@Shared
def _nll_backward(parts, dnll, logits, x, dlogits):
    for i in prange(logits.shape[0]):
        given, target, d, scale = logits[i], x[i % x.shape[0]], dlogits[i], dnll[i]
        for j in range(d.size):
            d[j] = scale * (el.sigmoid(given[j]) - target[j])

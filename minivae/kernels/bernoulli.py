"""The Bernoulli likelihood: the largest elementwise work of a training step, whole rows to a thread.

A running sum would keep the loop over exp from vectorising. So one loop writes exp for a whole row and
another the row's terms, which leaves each enough registers for its constants; a third adds the upper half of
the terms to the lower half, again and again, which also rounds less.
"""

from .. import memory, ops
from . import elementary as el
from . import threads
from .compiled import compiled, fits, inner
from .threads import LINE, in_parallel, range_of


def bernoulli_nll(logits, x):
    """nll (B,) or (S, B) from logits; see `ops.bernoulli_nll`."""
    if not fits("BD *BD", x, logits):
        return ops.bernoulli_nll(logits, x)
    nll, parts = memory.empty(logits.shape[:-1], x.dtype), threads.worth(logits.size)
    terms = memory.empty((parts, x.shape[1] + 2 * LINE), x.dtype)  # with free lines between two threads
    logits = memory.laid_out(logits).reshape(-1, x.shape[1])
    threads.launch(_nll, parts, logits, memory.laid_out(x), terms, nll.reshape(-1))
    return nll


@compiled
def _nll(parts, logits, x, terms, nll):
    in_parallel(_nll_share, parts, (logits, x, terms, nll))


@inner
def _nll_share(index, parts, logits, x, terms, nll):
    zero, term = x.dtype.type(0), terms[index, LINE:-LINE]
    for i in range(*range_of(nll.size, 1, index, parts)):
        given, target = logits[i], x[i % x.shape[0]]  # sample i // B of datum i % B
        for j in range(term.size):
            term[j] = el.exp(-abs(given[j]))
        for j in range(term.size):
            l = given[j]
            term[j] = ((zero if l < zero else l) - target[j] * l) + el.log1p(term[j])
        size = term.size
        while size > 1:
            half, size = size // 2, size - size // 2
            upper = term[size : size + half]
            for j in range(half):
                term[j] += upper[j]
        nll[i] = term[0]


def bernoulli_nll_backward(dnll, logits, x):
    """dnll -> dlogits; see `ops.bernoulli_nll_backward`."""
    if not fits("BD *BD *B", x, logits, dnll):
        return ops.bernoulli_nll_backward(dnll, logits, x)
    dlogits, parts = memory.empty(logits.shape, x.dtype), threads.worth(logits.size)
    dnll, logits = memory.laid_out(dnll).reshape(-1), memory.laid_out(logits).reshape(-1, x.shape[1])
    threads.launch(_nll_backward, parts, dnll, logits, memory.laid_out(x), dlogits.reshape(logits.shape))
    return dlogits


@compiled
def _nll_backward(parts, dnll, logits, x, dlogits):
    in_parallel(_nll_backward_share, parts, (dnll, logits, x, dlogits))


@inner
def _nll_backward_share(index, parts, dnll, logits, x, dlogits):
    for i in range(*range_of(dnll.size, 1, index, parts)):
        given, target, d, scale = logits[i], x[i % x.shape[0]], dlogits[i], dnll[i]
        for j in range(d.size):
            zero = scale if given[j] == given[j] else given[j]  # without weight: 0, but NaN stays
            d[j] = scale * (el.sigmoid(given[j]) - target[j]) if scale != 0 else zero

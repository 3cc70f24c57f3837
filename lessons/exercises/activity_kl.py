"""Keep the codes of an autoencoder inactive

Write the penalty of a sparse autoencoder and its derivative. The entries of the code (B, L) are in (0, 1);
m_l is the mean of latent l over the batch. Let t in (0, 1) be the activity that we want. The penalty is

    kl = sum over l of KL(Bernoulli(t) || Bernoulli(m_l))

It is one number for the whole batch. The backward function receives dkl, the derivative of the loss with
respect to kl, which is one number too.

Where to look: lesson 12, section 4. First average over the batch, then use only the L means m. All entries in
a column of the code have the same derivative, because the penalty depends on their mean only.

The formula: KL(Bernoulli(t) || Bernoulli(m)) = t log(t / m) + (1 - t) log((1 - t) / (1 - m)). Its derivative
with respect to m is -t / m + (1 - t) / (1 - m), and dm_l / dcode_bl = 1 / B.
"""

import numpy as np

from ..cases import upstream
from . import Exercise, Part

ACTIVITY = 0.2


def draw(rng, n):
    """code (B, L) in (0, 1), activity."""
    return {"code": rng.uniform(0.05, 0.95, (n.B, n.L)), "activity": ACTIVITY}


def draw_backward(rng, n):
    """dkl, code (B, L), activity."""
    return {"dkl": np.array(rng.normal(0.3, 1.1))} | draw(rng, n)


def far():
    """Units that are almost always off, or almost always on."""
    code = np.array([[1e-12, 1 - 1e-9, 1e-5], [3e-12, 1 - 3e-9, 0.4], [2e-12, 1 - 2e-9, 0.1]])
    yield "means from 2e-12 to 1 - 2e-9", {"code": code, "activity": 0.05}
    yield "every mean at the activity", {"code": np.array([[0.1, 0.3], [0.4, 0.2]]), "activity": 0.25}


def activity_kl(code, activity):
    """sum_l KL(Bernoulli(activity) || Bernoulli(m_l)), m_l the mean of code_l: code (B, L) -> kl, in nats.

    Every code is in (0, 1), and so is the number activity. (Ng 2011, "Sparse autoencoder")
    """
    m = code.mean(axis=0)  # (L,)
    return (activity * np.log(activity / m) + (1 - activity) * np.log((1 - activity) / (1 - m))).sum()


def activity_kl_backward(dkl, code, activity):
    """dkl, a number, and the arguments of activity_kl -> dcode (B, L)."""
    m = code.mean(axis=0)  # (L,)
    dm = dkl * ((1 - activity) / (1 - m) - activity / m)  # (L,)
    return np.tile(dm / len(code), (len(code), 1))


FORWARD = Part(
    activity_kl,
    returns="kl",
    walk="""
        m = code.mean(axis=0)  # (L,)
        on = activity * log(activity / m)  # (L,)
        off = (1 - activity) * log((1 - activity) / (1 - m))  # (L,)
        kl = (on + off).sum()
    """,
    slips="""
    m = code; kl = (on + off).sum(axis=-1).mean()
        # the KL is computed for every code and then averaged: compute it for the mean code
    m = code; kl = (on + off).sum()  # the KL is computed for every code: compute it for the mean code
    m = code; kl = (on + off).mean()  # the KL is computed for every code: compute it for the mean code
    m = code.mean(axis=1)  # the mean runs over the latents: m_l is a mean over the batch, axis 0
    m = code.mean()  # one mean of all codes: each latent has its own, over the batch
    m = code.sum(axis=0)  # m is a sum over the batch: take the mean
    m = (code > 0.5).mean(axis=0)  # m is the share of codes above 1/2: take the mean of the codes
    on = m * log(m / activity); off = (1 - m) * log((1 - m) / (1 - activity))
        # this is KL(Bernoulli(m) || Bernoulli(t)): t comes first
    on = activity * log(m / activity); off = (1 - activity) * log((1 - m) / (1 - activity))
        # the ratios in both logarithms are inverted: a KL is never negative
    off = 0 * m  # the second term, (1 - t) log((1 - t) / (1 - m)), is missing
    on = -activity * log(m); off = -(1 - activity) * log(1 - m)
        # this is the cross-entropy: subtract the entropy of Bernoulli(t), so that the KL is 0 at m = t
    kl = (on + off).mean()  # the KL is averaged over the latents: take the sum
    kl = (on + off).sum() / len(code)  # the penalty is divided by B: the mean m has this 1/B already
    kl = (on + off).sum() * len(code)  # the penalty is multiplied by B: it is one number for the batch
    kl = on + off  # the sum over the latents is missing
    on = activity * log2(activity / m); off = (1 - activity) * log2((1 - activity) / (1 - m))
        # the logarithms have base 2: for nats the base is e
    kl = ((m - activity)**2).sum()  # this is a squared difference, not a KL
    m = clip(code.mean(axis=0), SMALL, 1 - SMALL)  # the mean is clipped at SMALL: it may be closer to 0 or 1
    on = activity * log(activity / (m + SMALL)); off = (1 - activity) * log((1 - activity) / (1 - m + SMALL))
        # SMALL is added to the means: that changes small ones
    """,
    cases={"the penalty": draw},
    far={"units that are almost always on or off": far},
)

BACKWARD = Part(
    activity_kl_backward,
    returns="dcode",
    walk="""
        m = code.mean(axis=0)  # (L,)
        slope = (1 - activity) / (1 - m) - activity / m  # (L,)
        dcode = dkl * slope / len(code) + zeros_like(code)  # (B, L)
    """,
    slips="""
    dcode = dkl * slope + zeros_like(code)  # the 1/B is missing: m is a mean over the batch
    m = code  # the derivative is taken at every code: take it at the mean code
    m = code; dcode = dkl * slope + zeros_like(code)
        # the derivative is taken at every code, not at the mean code, and the 1/B is missing
    m = code.mean(axis=1, keepdims=True)  # the mean runs over the latents: m_l is a mean over the batch
    m = code.mean()  # one mean of all codes: each latent has its own, over the batch
    m = clip(code.mean(axis=0), SMALL, 1 - SMALL)  # the mean is clipped at SMALL: it may be closer to 0 or 1
    slope = activity / m - (1 - activity) / (1 - m)  # the derivative has the wrong sign: -t/m + (1-t)/(1-m)
    slope = (1 - activity) / (1 - m) + activity / m  # t / m has the wrong sign
    slope = -activity / m  # the term (1 - t) / (1 - m) is missing
    slope = log(m / activity) - log((1 - m) / (1 - activity))
        # this is the derivative of KL(Bernoulli(m) || Bernoulli(t)): t comes first
    slope = ((1 - activity) / (1 - m) - activity / m) * m * (1 - m)
        # this is the derivative with respect to the logits of m, not to the code
    slope = ((1 - activity) / (1 - m) - activity / m); dcode = dkl * slope * code * (1 - code) / len(code)
        # this includes the slope of a sigmoid: the derivative is with respect to the code, not its logit
    slope = m - activity  # this is m - t: divide it by m (1 - m)
    dcode = slope / len(code) + zeros_like(code)  # dkl is missing
    dcode = dkl * slope / code.size + zeros_like(code)  # the derivative is divided by B L: divide by B only
    dcode = dkl * slope / code.shape[1] + zeros_like(code)  # the derivative is divided by L: divide by B
    dcode = dkl * slope / len(code)  # this is one row: dcode has the shape of the code, (B, L)
    kl = (activity * log(activity / m) + (1 - activity) * log((1 - activity) / (1 - m))).sum(); \
dcode = kl * slope / len(code) + zeros_like(code)  # kl is used where dkl belongs
    """,
    cases={"the derivative": draw_backward},
    far={"the derivative at units that are almost always on or off": upstream("dkl", far, 0)},
)

EXERCISE = Exercise(__doc__, lesson=12, parts=(FORWARD, BACKWARD))

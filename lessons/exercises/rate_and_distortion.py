"""Round the latents, and measure rate and distortion

Round each latent of z (B, L) to one of n levels, evenly spaced from its smallest to its largest value in the
batch: the first level is the smallest value, the last is the largest. Return two numbers:

rate: the entropy in bits of each rounded latent, from the shares of its levels in the batch, summed over the
latents

distortion: the squared error of the rounded z, summed over the latents and averaged over the batch

No latent is constant over the batch, and n is at least 2.

Where to look: lesson 13, section 4. n levels have n - 1 gaps, and each latent has its own gap. np.round((z -
low) / gap) is the index of the nearest level, 0 to n - 1. Count how often each index occurs in each column.

The formula: rate = sum over l of -sum over k of p_lk log2 p_lk, with p_lk the share of the rows whose latent
l is at level k. A level that does not occur adds 0: here 0 log 0 is 0, but in NumPy it is NaN.
"""

import numpy as np

from . import Exercise, Part


def draw(rng, n, levels=5):
    """z (B, L), levels; no column is constant."""
    rows = max(n.B, 2)
    z = rng.normal(0.3, 1.1, (rows, n.L)) * np.exp(rng.normal(0, 0.5, n.L))
    return {"z": np.concatenate([z, z[:1] + 0.05, z[-1:] - 0.03]), "n": levels}


def rate_and_distortion(z, n):
    """Entropy in bits, squared error, of z rounded to n levels a column: z (B, L) -> two numbers."""
    low = z.min(axis=0)  # (L,)
    gap = np.ptp(z, axis=0) / (n - 1)  # (L,)
    index = np.round((z - low) / gap)  # (B, L)
    shares = [np.unique(column, return_counts=True)[1] / len(z) for column in index.T]
    rate = sum(-(p * np.log2(p)).sum() for p in shares)
    return rate, ((low + index * gap - z) ** 2).sum(axis=1).mean()


RATE = Part(
    rate_and_distortion,
    returns="rate distortion",
    walk="""
        low = z.min(axis=0)  # (L,)
        high = z.max(axis=0)  # (L,)
        gap = (high - low) / (n - 1)  # (L,)
        index = round((z - low) / gap)  # (B, L)
        p = stack([(index == k).mean(axis=0) for k in range(n)])  # (n, L)
        log_p = log2(where(p > 0, p, 1))  # (n, L)
        entropy = -(p * log_p).sum(axis=0)  # (L,)
        rate = entropy.sum()
        rounded = low + index * gap  # (B, L)
        distortion = ((rounded - z)**2).sum(axis=-1).mean()
    """,
    slips="""
    gap = (high - low) / n  # n levels have n - 1 gaps between them, not n
    gap = (high - low) / n; p = stack([(index == k).mean(axis=0) for k in range(n + 1)])
        # n levels have n - 1 gaps between them, not n
    log_p = log2(p)  # 0 log2 0 is NaN: leave out the levels that do not occur
    log_p = log2(p + SMALL)  # SMALL is added to the shares: leave out the levels that do not occur instead
    log_p = log2(where(p > 0, p, 1) + SMALL)  # SMALL is added to the shares: that changes the rate
    low = z.min(); high = z.max()  # one range is used for all latents: each has its own, over the batch
    low = z.min(axis=1, keepdims=True); high = z.max(axis=1, keepdims=True)
        # the range is taken over the latents of a row: take it over the batch, axis 0
    index = (z - low) // gap  # the index is rounded down: np.round gives the nearest level
    index = np.ceil((z - low) / gap)  # the index is rounded up: np.round gives the nearest level
    index = round(z / gap)  # low is not subtracted: the first level is the smallest value
    index = round((z - low) / gap); rounded = index * gap  # low is not added again after rounding
    rounded = index  # the index is not a value of z: use low + index * gap
    log_p = log(where(p > 0, p, 1))  # the entropy is in nats: bits need log2
    entropy = (p * log_p).sum(axis=0)  # the minus sign of the entropy is missing
    entropy = -log_p.sum(axis=0)  # each log2 p must be weighted by its p
    entropy = log2((p > 0).sum(axis=0))  # the levels that occur are treated as equally frequent
    entropy = log2(n) + 0 * low  # this is the largest possible entropy: use the shares of the levels
    rate = entropy.mean()  # the entropies are averaged over the latents: sum them
    rate = entropy.sum() * len(z)  # this is the rate of the whole batch: the rate is per row
    m = (p.sum(axis=1) / p.shape[1]); rate = -(m * log2(where(m > 0, m, 1))).sum() * p.shape[1]
        # the latents share one table of shares: each latent has its own
    m = (p.sum(axis=1) / p.shape[1]); rate = -(m * log2(where(m > 0, m, 1))).sum()
        # all latents share one table of shares, and the sum over the latents is missing
    distortion = ((rounded - z)**2).mean()
        # the squared error is averaged over the latents too: sum over latents, average over the batch
    distortion = ((rounded - z)**2).sum()  # the squared error is summed over the batch: take the mean
    distortion = sqrt(((rounded - z)**2).sum(axis=-1)).mean()  # the square root is wrong: use the square
    distortion = (z - rounded).sum(axis=-1).mean()  # the errors are not squared, so they cancel
    distortion = (rounded - z).sum(axis=-1).mean()  # the errors are not squared, so they cancel
    distortion = abs(rounded - z).sum(axis=-1).mean()  # this is the absolute error: use the squared error
    distortion = (gap**2).sum() / 12  # this is an approximation for many levels: compute the error from z
    rounded = low + (index + 0.5) * gap  # half a gap is added: the levels are at low + k gap
    """,
    cases={
        "five levels": draw,
        "two levels": lambda rng, n: draw(rng, n, 2),
        "more levels than rows": lambda rng, n: draw(rng, n, 40),
    },
    single=False,
)

EXERCISE = Exercise(__doc__, lesson=13, parts=(RATE,))

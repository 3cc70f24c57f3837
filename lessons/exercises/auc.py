"""Rank anomalies above normal data

Write auc(normal, strange): the probability that a randomly chosen anomaly has a higher score than a randomly
chosen normal x, where equal scores count one half. normal (N,) and strange (M,) are scores. The result is a
number from 0 to 1; 1/2 is chance.

Where to look: lesson 16, section 2. Compare every anomaly with every normal x: strange[:, None] > normal is a
table of all pairs, and its mean is the share of pairs in the right order. Equal pairs need a second table.

The formula: AUC = P(s > n) + 1/2 P(s = n), over all pairs (s, n).
"""

import numpy as np

from minivae import evaluation

from . import Exercise, Part


def draw_different(rng, n):
    """Scores that all differ, the anomalies a little higher."""
    return {"normal": rng.normal(2.0, 1.0, n.B + 60), "strange": rng.normal(2.4, 1.5, n.H + 40)}


def draw_ties(rng, n):
    """Scores that are whole numbers, so that many are equal, within each group and between them."""
    return {
        "normal": rng.integers(0, 4, n.B + 50).astype(float),
        "strange": rng.integers(1, 6, n.H + 30).astype(float),
    }


def draw_high(rng, n):
    """Normal scores above those of the anomalies: the AUC is below 1/2."""
    return {"normal": rng.normal(3.0, 1.0, n.B + 3), "strange": rng.normal(2.0, 1.0, n.H)}


def far():
    """Equal scores only; one of each; scores whose difference, exp or square is not finite or is 0."""
    yield "all scores equal", {"normal": np.full(4, 3.0), "strange": np.full(7, 3.0)}
    yield "one score of each", {"normal": np.array([1.0]), "strange": np.array([2.0])}
    yield "scores of -1e308 and 1e308", {"normal": np.array([-1e308, 1e308]), "strange": np.array([1e308])}
    close = 100 + np.array([0.0, 1.0, 2.0]) * 2.0**-44
    yield "scores that differ in their last digits", {"normal": close[:2], "strange": close[1:]}


AUC = Part(
    evaluation.auc,
    returns="found",
    walk="""
        above = (strange[:, None] > normal).mean()  # of all pairs: those in the right order
        equal = (strange[:, None] == normal).mean()  # of all pairs: those that are equal
        found = above + 0.5 * equal
    """,
    slips="""
    found = above  # equal scores count 0: they count 1/2
    found = (strange[:, None] >= normal).mean()  # equal scores count 1: they count 1/2
    found = above + equal  # equal scores count 1: they count 1/2
    found = above - 0.5 * equal  # half of the equal pairs is subtracted: it is added
    found = (strange[:, None] < normal).mean() + 0.5 * equal
        # this is the AUC of minus the score: an anomaly should have the higher one
    found = maximum(above + 0.5 * equal, 1 - above - 0.5 * equal)
        # an AUC below 1/2 is turned round: it says that the score ranks the wrong way, so return it
    found = above / (1 - equal)  # equal pairs are left out: they count 1/2, and in the total as well
    found = (strange > np.median(normal)).mean()
        # only the median of the normal scores is compared: compare every pair
    found = (strange[:, None] > normal.mean()).mean()
        # only the mean of the normal scores is compared: compare every pair
    found = (strange > normal.max()).mean()
        # an anomaly counts if it is above all normal scores: count the pairs
    found = (strange.mean() > normal).mean()  # only the mean of the anomalies is compared: compare every pair
    found = strange.mean() - normal.mean()  # this is a difference of means: only the order of scores counts
    found = 2 * (above + 0.5 * equal) - 1  # this is 2 AUC - 1: chance is 1/2, not 0
    found = 100 * (above + 0.5 * equal)  # this is in percent: the result is from 0 to 1
    t = (normal.mean() + strange.mean()) / 2; \
found = ((strange > t).sum() + (normal <= t).sum()) / (len(normal) + len(strange))
        # this is the accuracy at one threshold: the AUC compares every pair
    a = np.unique(normal); b = np.unique(strange); \
found = (b[:, None] > a).mean() + 0.5 * (b[:, None] == a).mean()
        # scores that occur several times are counted once: every x counts
    found = strange.mean() / normal.mean()  # this is a ratio of means: only the order of scores counts
    n = minimum(len(normal), len(strange)); \
found = (strange[:n] > normal[:n]).mean() + 0.5 * (strange[:n] == normal[:n]).mean()
    n = minimum(len(normal), len(strange)); found = (strange[:n] > normal[:n]).mean()
        # each anomaly is compared with one normal x: compare it with all
    found = (strange[:, None] > normal).sum() + 0.5 * (strange[:, None] == normal).sum()
        # pairs are counted, not divided by their number
    found = (above + 0.5 * equal) * len(strange)  # the sum over anomalies is not divided by their number
    found = (above + 0.5 * equal) * len(normal)  # the sum over normal x is not divided by their number
    found = (above + 0.5 * equal) * len(normal) / len(strange)
        # it is divided by the number of anomalies twice: divide by both numbers
    found = (above + 0.5 * equal) * len(strange) / len(normal)
        # it is divided by the number of normal x twice: divide by both numbers
    m = len(normal) * len(strange); n = len(normal) + len(strange); \
found = (above + 0.5 * equal) * m / (n * (n - 1) / 2)
        # it is divided by the number of pairs of all scores: one of each kind makes a pair
    a = concatenate([normal, strange]); place = array([(a < s).sum() + 1.0 for s in strange]); \
found = (place.sum() - len(strange) * (len(strange) + 1) / 2) / (len(normal) * len(strange))
        # equal scores share the lowest rank: they share the mean of their ranks
    a = concatenate([normal, strange]); place = array([(a <= s).sum() * 1.0 for s in strange]); \
found = (place.sum() - len(strange) * (len(strange) + 1) / 2) / (len(normal) * len(strange))
        # equal scores share the highest rank: they share the mean of their ranks
    place = array([(concatenate([normal, strange]) < s).sum() + 1.0 for s in strange]); \
found = place.sum() / (len(normal) * len(strange))
        # the ranks of the anomalies among themselves, m (m + 1) / 2, are not subtracted
    a = concatenate([normal, strange]); place = np.argsort(np.argsort(a))[len(normal) :] + 1.0; \
found = (place.sum() - len(strange) * (len(strange) + 1) / 2) / (len(normal) * len(strange))
    a = concatenate([normal, strange]); \
place = np.argsort(np.argsort(a, kind="stable"))[len(normal) :] + 1.0; \
found = (place.sum() - len(strange) * (len(strange) + 1) / 2) / (len(normal) * len(strange))
        # equal scores get different ranks, by their place in the array: they share the mean of their ranks
    found = above + 0.5 * equal - 1 / len(normal)  # the ranks begin at 0: subtract m (m - 1) / 2 then
    t = np.unique(concatenate([normal, strange]))[::-1]; \
a = array([(normal >= c).mean() for c in t]); b = array([(strange >= c).mean() for c in t]); \
found = (np.diff(a) * (b[1:] + b[:-1]) / 2).sum()
        # the curve does not begin at (0, 0): the first threshold is above all scores
    d = strange[:, None] - normal; found = (1 / (1 + exp(-d))).mean()
        # differences pass a sigmoid: a pair counts 1, 1/2 or 0, however large its difference is
    d = strange[:, None] - normal; found = (d > SMALL).mean() + 0.5 * (abs(d) <= SMALL).mean()
        # scores that are close count as equal: compare them with ==
    found = np.isclose(strange[:, None], normal).mean() * 0.5 + \
((strange[:, None] > normal) & ~np.isclose(strange[:, None], normal)).mean()
        # scores that are close count as equal: compare them with ==
    """,
    cases={
        "scores that all differ": draw_different,
        "equal scores": draw_ties,
        "anomalies with the lower scores": draw_high,
    },
    far={"all equal, one of each, huge, nearly equal": far},
)

EXERCISE = Exercise(__doc__, lesson=16, parts=(AUC,))

# %% [markdown]
# # 10. Sort a crowd with EM
#
# **You will** fit a mixture of Gaussians to 600 points without labels, follow the bound through every
# half-step, start EM from 20 different places, and find prototypes of handwritten digits.
#
# **You will learn** the E-step and the M-step of a model whose latent is one of K groups; why log p(x) never
# falls, and why the result may still be poor; why the likelihood has no maximum; how k-means follows from EM.
#
# **You need** lesson 3 (the bound, and EM for one weight); about 30 minutes.
#
# **New names** `GaussianMixture`, `BernoulliMixture`, `models.em.fit`, `models.mixture.kmeans`; used again:
# `load_mnist`, `binarize`
#
# %%
import copy
from itertools import permutations

import numpy as np

import minivae as mv
from lessons.drawings import lesson10 as drawings
from lessons.story import beside, guess, number, save, say, section
from minivae.models import em
from minivae.models.mixture import kmeans

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Suppose the labels were known
#
# The latent z is the number of the group that a point belongs to, one of K. p(z) is a table of K weights, and
# p(x|z) is one Gaussian for each group:
#
#     p(z = k) = pi_k,     p(x|z = k) = N(x; mean_k, cov_k),     p(x) = sum_k pi_k N(x; mean_k, cov_k)
#
# If the labels z_n are known, we can maximize the **complete** log-likelihood sum_n log p(x_n, z_n) group by
# group: pi_k is the fraction of the points in group k, mean_k and cov_k are their mean and their covariance.
# This is an M-step with responsibilities r_nk of 1 for the right group and 0 for the others.
#
# Without labels we must maximize the **incomplete** log-likelihood, sum_n log sum_k pi_k N(x_n; mean_k,
# cov_k). The logarithm of a sum over k does not split into one term for each group. So there is no closed
# form, except for K = 1.
# %%
section("1. Suppose the labels were known")
N, K, D = 600, 3, 2
TRUE_MEANS = np.array([[-2.0, 0.0], [2.0, 1.0], [1.0, -2.5]])  # (K, D)
TRUE_COVS = np.array([[[1.2, 0.9], [0.9, 1.0]], [[0.3, 0.0], [0.0, 1.5]], [[1.0, -0.5], [-0.5, 0.4]]])
labels = rng.choice(K, N, p=[0.5, 0.3, 0.2])  # (N,)
PERMUTATIONS = [np.array(order) for order in permutations(range(K))]  # the names of the groups are arbitrary
roots = np.linalg.cholesky(TRUE_COVS)[labels]  # (N, D, D)
x = TRUE_MEANS[labels] + np.einsum("nij,nj->ni", roots, rng.standard_normal((N, D)))  # (N, D)
say("600 points come from three elongated groups. We fit them first with their labels, then as one group:")
known = mv.GaussianMixture(K)
known.prepare(x)
known.m_step(x, np.eye(K)[labels])
beside("mean_1 with labels, first coordinate", known.means[0, 0], x[labels == 0, 0].mean(), 1e-12)
number("log p(x) with labels, mean of 600", known.log_prob(x).mean(), "nats")
one = mv.GaussianMixture(1)
one.fit(x, rng)
entropy = 0.5 * (D * np.log(2 * np.pi * np.e) + np.linalg.slogdet(np.cov(x.T, bias=True))[1])
beside("log p(x) of a single Gaussian", one.log_prob(x).mean(), -entropy, 1e-10)

say("""On a slide the last line of the incomplete likelihood is argmax log integral p(x_i|z_i) p(z_i) dz_i
(Isachenko). The sum over i is missing. What does it change for one Gaussian of unit variance? With the sum,
the best mean is the mean of the data. Without it, the best mean is the single x_i. For i = 1:""")


def log_p(mean):
    """Mean over the data of log N(x; mean, I)."""
    return -np.log(2 * np.pi) - 0.5 * ((x - mean) ** 2).sum(axis=1).mean()


lost = 0.5 * ((x[0] - x.mean(axis=0)) ** 2).sum()
beside("cost of the best mean for x_1 alone, mean of 600", log_p(x.mean(axis=0)) - log_p(x[0]), lost, 1e-10)

# %% [markdown]
# ## 2. E: share each point among the groups
#
# Bayes' rule gives the posterior of z, with a sum of K terms as the evidence. p(z = k|x_n) is called the
# responsibility of group k for the point x_n, or the share of the point that group k gets:
#
#     r_nk = p(z = k|x_n) = pi_k N(x_n; mean_k, cov_k) / sum_j pi_j N(x_n; mean_j, cov_j)
#
# Each row of r sums to 1: the sum is over the groups, not over the points. Far from all groups every density
# underflows to 0, and the ratio is 0/0. So compute with logarithms, and take the largest term out of the sum:
#
#     log sum_j e^(a_j) = a_max + log sum_j e^(a_j - a_max)
# %%
section("2. E: share each point among the groups")
guess("The point (60, 60) is far from every group. Does each group get one third of it?")
far = np.array([[60.0, 60.0]])
with np.errstate(invalid="ignore"):
    densities = known.weights * np.exp(known.components_log_prob(far))  # (1, K), all 0 in floating point
    number("its largest density", densities.max())
    number("ratios of densities that are not a number", np.isnan(densities / densities.sum()).sum(), "of 3")
shares = known.posterior(far)[0]  # (K,)
beside("sum of its responsibilities, in logarithms", shares.sum(), 1, 1e-12)
number("share of group 1, the widest in that direction", shares[0])
say("Far away the widest group gets the whole point, because its density falls most slowly.")

# %% [markdown]
# ## 3. M: fit each group to its share
#
# With r fixed, maximize sum_nk r_nk (log pi_k + log N(x_n; mean_k, cov_k)). The shares r_nk replace the
# labels of section 1, so each group is fitted to weighted points. Let N_k = sum_n r_nk. Setting the
# derivatives to 0 gives
#
#     pi_k   = N_k / N                                              (the weights must sum to 1)
#     mean_k = 1/N_k sum_n r_nk x_n
#     cov_k  = 1/N_k sum_n r_nk (x_n - mean_k)(x_n - mean_k)'       with the new mean
#
# As in lesson 3, the E-step makes the bound equal to log p(x), the M-step raises the bound, and log p(x)
# rises by at least as much. `em.fit` records the bound after every half-step.
# %%
section("3. M: fit each group to its share")


def started(seed):
    """A mixture of three groups, centred at three of the points, each with the variance of all the data."""
    mixture = mv.GaussianMixture(K)
    mixture.prepare(x)
    mixture.weights = np.full(K, 1 / K)
    mixture.means = x[np.random.default_rng(seed).choice(N, K, replace=False)]
    return mixture


guess("Which half-step raises log p(x), E or M? Which raises the bound?")
model = started(100)
stages = {"start": (started(100), model.posterior(x))}
r = model.e_step(x)  # (N, K)
before = model.bound(x, r)
model.m_step(x, r)
raised, gap = model.bound(x, r), (r * np.log(r / model.posterior(x))).sum(axis=1).mean()
number("log p(x) at the start", before, "nats, mean of 600 points")
number("the first M-step raises the bound by", raised - before, "nats")
beside(
    "log p(x) is then above the bound by",
    model.log_prob(x).mean() - raised,
    gap,
    1e-12,
    word="KL(old r, new r)",
)
early = em.fit(model, x, steps=5, tolerance=0)
stages["after 6 steps"] = copy.deepcopy(model), model.posterior(x)
late = em.fit(model, x, tolerance=1e-8)
stages["at the end"] = model, model.posterior(x)
bounds = np.concatenate([[before, raised], early.bounds, late.bounds[1:]])  # E, M, E, M, ..., E
halves = np.diff(bounds)
number("steps until log p(x) rises by less than 1e-8", len(halves) / 2)
number("all M-steps together raise the bound by", halves[::2].sum(), "nats")
number("all E-steps together raise it by", halves[1::2].sum(), "nats")
beside("half-steps in which the bound fell", (halves < -1e-12).sum(), 0, 0)
number("log p(x) at the end", bounds[-1], "nats")
say("""Both half-steps raise the bound. Only the M-step changes log p(x), because only the M-step changes the
parameters. The final log p(x) is above that of section 1, although EM saw no labels: the fit with labels
maximizes p(x, z), and EM maximizes p(x).""")
right = max((order[model.posterior(x).argmax(axis=1)] == labels).mean() for order in PERMUTATIONS)
best_guess = max((order[known.posterior(x).argmax(axis=1)] == labels).mean() for order in PERMUTATIONS)
number("points whose largest share is their own group", 100 * right, "%")
number("the same if the labels had been known", 100 * best_guess, "%")
say("""(EM does not know the names of the groups: all 6 orders of the components have the same log p(x). We
use the order that agrees best with the labels.)""")

# %% [markdown]
# ## 4. Start again
#
# EM converges to a point where the derivatives of log p(x) are 0. This need not be the global maximum.
# %%
section("4. Start again")
guess("20 starts, each from three other points. How many of them reach the same log p(x)?")
runs = []
for seed in range(100, 120):
    again = started(seed)
    runs.append(em.fit(again, x, steps=300, tolerance=1e-7).bounds[::2])  # log p(x) after every E-step
ends = np.array([run[-1] for run in runs])
number("starts of 20 that reach the best log p(x)", (ends > ends.max() - 1e-3).sum())
number("the best log p(x)", ends.max(), "nats")
number("the worst log p(x)", ends.min(), "nats")
say("""Most, but not all. The others have converged too, to a local maximum that is a quarter of a nat per
point lower: there one component covers two groups, and the other two components share the third group. So
start from k-means, as `fit(x, rng)` does, or start several times and keep the best, as `fit(x, rng,
restarts=10)` does.""")

# %% [markdown]
# ## 5. Find the infinite likelihood
#
# Put the mean of one component on one point and let its variance s^2 shrink. The other components still
# explain the other points, so the log p(x) of those points stays above a limit. At the one point, for D = 2,
# the density is at least pi_k / (2 pi s^2), which grows without limit:
#
#     mean of log p(x)  >=  constant - D/N log s
# %%
section("5. Find the infinite likelihood")
guess("Every half-step raises the bound. Is the mixture with the largest likelihood a good one?")
spiked, heights = mv.GaussianMixture(2, floor=0), []
spiked.prepare(x)
spiked.weights, spiked.means = np.array([0.999, 0.001]), np.array([x.mean(axis=0), x[0]])
spiked.covariances[0] = np.cov(x.T, bias=True)
for s in (1e-3, 1e-6, 1e-60):
    spiked.covariances[1] = s**2 * np.eye(D)
    heights.append(spiked.log_prob(x).mean())
    number(f"log p(x) with a spike of width {s:g}", heights[-1], "nats")
beside("rise from 1e-3 to 1e-6", heights[1] - heights[0], D / N * np.log(1e3), 1e-6, word="limit")
number("width at which the spike beats three groups", 1e-60 * np.exp((heights[2] - ends.max()) * N / D))
say("""A spike that is narrow enough beats the fit with three groups, but no data are measured that precisely.
So a mixture of Gaussians has no maximum-likelihood estimate: what we want is a good local maximum. The
library keeps every variance above a floor, by default a millionth of the data's variance. Its M-step is the
best one with such variances.""")

# %% [markdown]
# ## 6. Let the variance go to 0, and meet k-means
#
# Give all groups the same weight and one fixed variance v in all directions. Then
#
#     r_nk = e^(-|x_n - mean_k|^2 / 2 v) / sum_j e^(-|x_n - mean_j|^2 / 2 v)
#
# At every v the nearest mean has the largest share. As v -> 0 this share becomes 1: the E-step assigns each
# point to its nearest mean, and the M-step moves each mean to the average of its points. These are the two
# steps of k-means.
# %%
section("6. Let the variance go to 0, and meet k-means")
guess("k-means is faster and has no covariances. Will it sort these points as well as EM does?")
centers, nearest, _ = min((kmeans(x, K, rng) for _ in range(10)), key=lambda found: found[2])
soft = mv.GaussianMixture(K, "spherical")
soft.prepare(x)
soft.weights, soft.means = np.full(K, 1 / K), centers.copy()
for v in (1.0, 0.1, 0.001):
    soft.covariances = np.full(K, v)
    number(f"mean of the largest share, v = {v:g}", soft.posterior(x).max(axis=1).mean())
soft.m_step(x, soft.posterior(x))
moved = np.abs(soft.means - centers).max()
beside("largest move of a k-means centre in a step of EM", moved, 0, 1e-3, word="limit")
right = max((order[nearest] == labels).mean() for order in PERMUTATIONS)
number("points that k-means puts with their own group", 100 * right, "%")
say("""No. k-means puts the border halfway between two means, whatever the shapes of the groups. A mixture
learns their shapes and their sizes.""")

# %% [markdown]
# ## 7. Sort handwritten digits
#
# For black-and-white images take p(x|k) = prod_d p_kd^x_d (1 - p_kd)^(1 - x_d): each component is a table of
# 784 pixel probabilities, a blurred prototype. The E-step is the same, and the M-step averages the images,
# weighted by their shares. log p(x) is still exact, so we can compare it with the bound of a VAE.
#
# A VAE is a mixture too, with infinitely many components: one for every z. Their weights are p(z), and the
# decoder computes their tables: p(x) = integral p(z) p(x|z) dz instead of sum_k pi_k p(x|k).
# %%
section("7. Sort handwritten digits")
guess("One table of pixels needs 206 nats per image (lesson 8), a VAE about 102. How many do 20 tables need?")
mnist = mv.load_mnist()
train, test = (mv.binarize(images[:2000], rng).astype(float) for images in (mnist.x_train, mnist.x_test))
digits = mv.BernoulliMixture(20)
digits.fit(train, np.random.default_rng(1), steps=12, tolerance=0.01)
table = mv.BernoulliMixture(1)
table.fit(train, rng)
number("-log p(x) of test images, one table", -table.log_prob(test).mean(), "nats per image")
number("-log p(x) of test images, 20 tables", -digits.log_prob(test).mean(), "nats per image")
shares = digits.posterior(test)  # (2000, 20)
number("test images with a largest share above 0.99", 100 * (shares.max(axis=1) > 0.99).mean(), "%")
say("""(206 is the mean over all test images; these are the first 2,000.) 20 prototypes go two fifths of the
way from one table to a VAE. Most images belong almost entirely to one prototype, and prototypes do not
combine: 3 slants, 3 widths and 10 digits would need 90 of them. A VAE can use one direction of z for slant
and another for width.""")
save(drawings.stages(x, stages, runs), "stages", dpi=150)
save(drawings.prototypes(digits), "prototypes", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - Fit K = 1 to 5 groups to the 600 points with `fit(x, rng, restarts=3)`. log p(x) rises with K, but
#   `bic(x)`, which adds log N for each parameter to -2 log p(all x), is smallest at K = 3.
# - In section 4 start all components with the same mean. Their shares are equal, so they never separate.
# - In section 7 increase K from 20 to 50. log p(x) rises more for the training images than for the test
#   images. Why?
#
# **Exercises** `python -m lessons start 18` (responsibilities), `python -m lessons start 19` (the M-step of a
# mixture).
#
# ## Further reading
#
# - A. Dempster, N. Laird and D. Rubin, "Maximum Likelihood from Incomplete Data via the EM Algorithm", 1977
# - S. Lloyd, "Least Squares Quantization in PCM", 1982: k-means
# - R. Redner and H. Walker, "Mixture Densities, Maximum Likelihood and the EM Algorithm", 1984
# - R. Neal and G. Hinton, "A View of the EM Algorithm that Justifies Incremental, Sparse, and Other
#   Variants", 1998
# - C. Bishop, "Pattern Recognition and Machine Learning", 2006: chapter 9

# %% [markdown]
# # 3. Bound the evidence
#
# **You will** derive the evidence lower bound (ELBO) in three ways, compute it for a model with one latent,
# draw its gap to log p(x), and maximize it with EM (expectation-maximization).
#
# **You will learn** why log p(x) = ELBO + KL(q || posterior); how the ELBO is coded as "reconstruction minus
# KL" and which Gaussian a squared error belongs to; what the E-step and the M-step each raise; what it costs
# to share one encoder among all data.
#
# **You need** lesson 1 (likelihood, prior, posterior, evidence) and lesson 2 (KL); about 30 minutes.
#
# **New names** `ops.gaussian_nll`, `ops.gaussian_sample`
#
# %%
import numpy as np

from lessons.drawings import lesson03 as drawings
from lessons.story import beside, guess, number, save, say, section
from minivae import ops

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Take a model whose evidence can be computed
#
# The model has one latent z and one observed number x. The mean of p(x|z) is a parabola in z, so the
# posterior is not Gaussian. At x = 1 it has two modes.
#
#     p(z)   = N(z; 0, 1)                       the prior
#     p(x|z) = N(x; m(z), 1/4)                  the likelihood, m(z) = (z + z^2) / 2
#     p(x)   = integral of p(x|z) p(z) dz       the evidence
#     p(z|x) = p(x|z) p(z) / p(x)               the posterior
#
# `ops.gaussian_nll(mean, logvar, x)` is -log N(x; mean, exp(logvar)), constants included. In one dimension:
#
#     -log N(x; m, v) = 1/2 (log 2 pi + log v + (x - m)^2 / v)
# %%
section("1. Take a model whose evidence can be computed")
say("z ~ N(0, 1) and x|z ~ N((z + z^2)/2, 1/4). We observe x = 1. z near 0.9 or near -1.7 explains it.")
x = np.array([[1.0]])  # (B, D), one observation
logvar_x = np.log(0.25)  # of p(x|z)


def decoder(z):
    """m(z), the mean of p(x|z); L = D = 1, so the shape of z stays."""
    return 0.5 * (z + z**2)


def log_joint(z):
    """log p(x|z) + log p(z), for z (S, B, L) -> (S, B)."""
    return -ops.gaussian_nll(decoder(z), logvar_x, x) + ops.gaussian_log_prob(z, 0 * x, 0 * x)


grid, step = np.linspace(-10, 10, 2001)[:, None, None], 0.01  # (S, B, L)
evidence = step * np.exp(log_joint(grid)).sum()
log_posterior = log_joint(grid) - np.log(evidence)  # (S, B)
formula = 0.5 * (np.log(2 * np.pi) + np.log(0.25) + (x[0, 0] - decoder(0.3)) ** 2 / 0.25)
library = ops.gaussian_nll(decoder(np.full((1, 1), 0.3)), logvar_x, x)[0]
beside("-log p(x|z) at z = 0.3", library, formula, 1e-14, word="formula")
nodes, weights = np.polynomial.legendre.leggauss(300)  # another rule for the same integral
other = np.log((10 * weights * np.exp(log_joint(10 * nodes[:, None, None])[:, 0])).sum())
beside("log p(x) on the grid", np.log(evidence), other, 1e-12, word="by Gauss-Legendre")
left = step * np.exp(log_posterior[grid[:, 0] < -0.5]).sum()
number("posterior mass of the left mode, z < -1/2", left)

# %% [markdown]
# ## 2. Derive the bound in three ways
#
# Take any density q(z), here N(mu, exp(logvar)).
#
# **Jensen.** The logarithm of a mean is at least the mean of the logarithm:
#
#     log p(x) = log integral q(z) [p(x,z) / q(z)] dz       multiply and divide by q
#             >= integral q(z) log [p(x,z) / q(z)] dz       = ELBO
#
# **Bayes' rule.** For every z, p(x) = p(x|z) p(z) / p(z|x). Take logarithms, add and subtract log q(z):
#
#     log p(x) = log p(x|z) - log [q(z)/p(z)] + log [q(z)/p(z|x)]
#
# The left side does not depend on z, so the mean over z ~ q leaves it unchanged:
#
#     log p(x) = E_q log p(x|z) - KL(q || prior) + KL(q || posterior)
#
# The last term is at least 0. Without it: ELBO = E_q log p(x|z) - KL(q || prior) <= log p(x).
#
# **The identity.** Start from the divergence between q and the posterior:
#
#     KL(q || posterior) = E_q [log q(z) - log p(x,z) + log p(x)]
#                        = log p(x) - ELBO
#
# So the gap is the KL from q to the posterior. It is 0 only if q is the posterior. The three derivations give
# three ways to compute the ELBO: the mean of the log-ratio at Gauss-Hermite nodes, a closed form, and
# log p(x) minus a KL on the grid. For the closed form, write z = mu + std eps. Then
# m(z) = a + b eps + c eps^2, where
#
#     a = (mu + mu^2) / 2,   b = (1/2 + mu) std,   c = std^2 / 2;   m has mean a + c, variance b^2 + 2 c^2
#
#     E_q log p(x|z) = -1/2 (log 2 pi + log v + ((x - a - c)^2 + b^2 + 2 c^2) / v)
# %%
section("2. Derive the bound in three ways")


def expected_log_likelihood(mu, logvar, x):
    """E_q log p(x|z), in closed form, for columns mu and logvar (B, 1) -> (B,)."""
    std = ops.gaussian_std(logvar)  # (B, 1)
    a, b, c = 0.5 * (mu + mu**2), (0.5 + mu) * std, 0.5 * std**2  # (B, 1)
    return -ops.gaussian_nll(a + c, logvar_x, x + 0 * a) - 0.5 * (b**2 + 2 * c**2)[:, 0] / np.exp(logvar_x)


def elbo(mu, logvar, x):
    """Expected log-likelihood minus KL to the prior, (B,)."""
    return expected_log_likelihood(mu, logvar, x) - ops.gaussian_kl(mu, logvar)


mu, logvar = np.array([[0.5]]), np.array([[0.0]])  # a first q, as wide as the prior
eps, weights = np.polynomial.hermite_e.hermegauss(20)
weights = weights / weights.sum()  # E f(eps) = sum of weights * f(eps), exact up to degree 39
z = ops.gaussian_sample(mu, logvar, eps[:, None, None])  # (S, B, L): mu + exp(logvar / 2) eps
log_ratio = log_joint(z) - ops.gaussian_log_prob(z, mu, logvar)  # (S, B)
log_q = ops.gaussian_log_prob(grid, mu, logvar)  # (S, B)
gap = step * (np.exp(log_q) * (log_q - log_posterior)).sum()  # KL(q || posterior), by its definition
say("q = N(0.5, 1). The ELBO in three ways, in nats; the gap is KL(q || posterior):")
jensen, bayes, identity = (weights @ log_ratio)[0], elbo(mu, logvar, x)[0], np.log(evidence) - gap
beside("Jensen: E_q log [p(x,z)/q(z)]", jensen, bayes, 1e-10, word="by Bayes")
beside("Bayes: E_q log p(x|z) - KL", bayes, identity, 1e-10, word="by identity")
beside("identity: log p(x) - gap", identity, jensen, 1e-10, word="by Jensen")
number("the gap, KL(q || posterior)", gap, "nats")

# %% [markdown]
# Five lines in the lectures contradict these formulas:
#
#     Marchioro, equation 10    -log p(x) = L_Rec + L_KLD        it should be <=; the right side is larger
#     Marchioro, equation 11    L_Rec = the integral of L_KLD    one formula for two different numbers
#     Marchioro, footnote 3     weights each z by q(x|z)         the weights must integrate to 1 over z; a
#                                                                density of x need not do that
#     Brown                     p(x) ~ p(x|z) p(z) / q(z|x)      the right side depends on z, p(x) does not
#     Isachenko                 max p(x)  ->  max ELBO           the log is missing: the ELBO bounds log p(x)
# %%
guess("Compute p(x|z) p(z) / q(z) at z = 1 and at z = -1. Are both values equal to p(x)?")
rec, kl = -expected_log_likelihood(mu, logvar, x)[0], ops.gaussian_kl(mu, logvar)[0]
beside("L_Rec + L_KLD - (-log p(x))", rec + kl + np.log(evidence), gap, 1e-10, word="the gap")
number("L_Rec = -E_q log p(x|z)", rec, "nats")
number("L_KLD = KL(q || prior)", kl, "nats")
number("integral of p(x|z) over z", step * np.exp(-ops.gaussian_nll(decoder(grid), logvar_x, x)).sum())
number("p(x)", evidence)
for at in (1.0, -1.0):
    log_value = log_joint(np.full((1, 1, 1), at)) - ops.gaussian_log_prob(np.full((1, 1, 1), at), mu, logvar)
    number(f"p(x|z) p(z) / q(z) at z = {at:g}", np.exp(log_value[0, 0]))
say("""No: they are 0.55 and 0.20. The ratio is p(x) = 0.26 at every z only if q is the posterior. But for any
Gaussian q, the mean of the ratio over z ~ q is p(x), and the mean of its logarithm is the ELBO.""")

# %% [markdown]
# ## 3. Close the gap as far as a Gaussian can
#
# The evidence does not depend on q. So a change of q that raises the ELBO lowers KL(q || posterior) by the
# same amount.
# %%
section("3. Close the gap as far as a Gaussian can")
guess("Choose mu and logvar so that the ELBO is largest. Will the gap be 0? Which mode will q cover?")


def maximize(objective, low, high, points=41, rounds=12):
    """The largest value of objective (columns (n, 1), one per variable) -> (n,), and where it is.

    Evaluates a grid on the box from low to high, then finer and finer grids around the best point.
    """
    low, high = np.array(low, float), np.array(high, float)
    for _ in range(rounds):
        axes = [np.linspace(a, b, points) for a, b in zip(low, high, strict=True)]
        columns = [values.reshape(-1, 1) for values in np.meshgrid(*axes)]
        values = objective(*columns)
        best = np.array([column[values.argmax(), 0] for column in columns])
        reach = 3 * (high - low) / (points - 1)
        low, high = best - reach, best + reach
    return values.max(), best


bound_best, (mu_star, logvar_star) = maximize(lambda mu, logvar: elbo(mu, logvar, x), (-4, -4), (3, 1))
mu_best, logvar_best = np.full((1, 1), mu_star), np.full((1, 1), logvar_star)  # (B, L)
number("mu of the best q", mu_star)
number("std of the best q", np.exp(logvar_star / 2))
log_q_best = ops.gaussian_log_prob(grid, mu_best, logvar_best)
gap_best = step * (np.exp(log_q_best) * (log_q_best - log_posterior)).sum()
beside("the gap that is left", np.log(evidence) - bound_best, gap_best, 1e-10, word="on grid")
number("cost of missing the left mode, -log(1 - its mass)", -np.log(1 - left), "nats")
say("""The gap is not 0. KL(q || posterior) is large if q has mass where the posterior has almost none. So q
covers the larger mode and ignores the other one. For any density without mass on the left, the KL is at least
-log of the posterior's mass on the right, and this is most of the gap. The rest remains because the right
mode is not Gaussian. The figure varies mu at this std: near the left mode the ELBO has a second, lower
maximum.""")
log_prior = ops.gaussian_log_prob(grid, 0 * x, 0 * x)  # (S, B)
densities = [np.exp(values[:, 0]) for values in (log_prior, log_posterior, log_q, log_q_best)]
mus = np.linspace(-3, 2, 400)[:, None]  # (400, 1)
along = elbo(mus, np.full_like(mus, logvar_star), x)  # (400,)
save(drawings.gap(grid[:, 0, 0], densities, mus[:, 0], along, np.log(evidence)), "gap", dpi=200)

# %% [markdown]
# ## 4. Code it: reconstruction minus KL
#
# For a neural decoder E_q log p(x|z) has no closed form. We replace it by an average over draws
# z = mu + std eps. The KL to the prior keeps its closed form. This is what the library's VAE computes.
# %%
section("4. Code it: reconstruction minus KL")
S = 100_000
draws = ops.gaussian_sample(mu_best, logvar_best, rng.standard_normal((S, 1, 1)))  # (S, B, L)
each = -ops.gaussian_nll(decoder(draws), logvar_x, x)[:, 0] - ops.gaussian_kl(mu_best, logvar_best)  # (S,)
beside(f"ELBO from {S:,} draws", each.mean(), bound_best, 4.5 * each.std() / S**0.5, word="closed form")
number("standard deviation of one draw", each.std(), "nats")

# %% [markdown]
# ## 5. Find which Gaussian a squared error belongs to, and the weight of the KL
#
# Three lectures write the loss as |x - x_hat|^2 + lambda KL (Brown; Marchioro and Bonvicini with lambda = 1).
# From the density, per pixel:
#
#     variance 1:    -log N = 1/2 (x - x_hat)^2 + 1/2 log 2 pi        half the squared error
#     variance 1/2:  -log N =     (x - x_hat)^2 + 1/2 log pi          the squared error
#
# So with lambda = 1 the loss is the negative ELBO for variance 1/2, up to a constant. For unit variance it is
# half of |x - x_hat|^2 + 2 KL, up to a constant, so lambda = 2. The choice of lambda changes q. For a decoder
# m(z) = w z, E_q (x - w z)^2 = (x - w mu)^2 + w^2 std^2. The derivative of the loss with respect to std^2 is
# w^2 + lambda/2 (1 - 1/std^2). It is 0 at std^2 = lambda / (2 w^2 + lambda). With variance v the posterior
# has std^2 = v / (w^2 + v). The two are equal if lambda = 2 v.
# So the KL, which lectures call a regularizer (UvA, Bonvicini), has a weight that the likelihood determines.
#
# Two other texts change lambda without saying so:
#
#     Isachenko    replaces the sum over n data by n times the term of one datum, but only in the likelihood.
#                  The KL is a sum over the data, too. Its weight becomes 1/n: with unit variance and
#                  n = 200 data, lambda = 2/n = 0.01
#     Marchioro    takes a sum or a mean over pixels: "it just changes by a multiplicative constant". This
#                  constant multiplies the squared error but not the KL. With the mean of D = 784 pixels,
#                  lambda is 784
# %%
section("5. Find which Gaussian a squared error belongs to, and the weight of the KL")
two, three = np.full((1, 1), 2.0), np.full((1, 1), 3.0)
unit, sharp = ops.gaussian_nll(two, 0.0, three)[0], ops.gaussian_nll(two, np.log(0.5), three)[0]
beside("-log N(3; 2, 1) - log(2 pi)/2", unit - 0.5 * np.log(2 * np.pi), 0.5, 1e-14)
beside("-log N(3; 2, 1/2) - log(pi)/2", sharp - 0.5 * np.log(np.pi), 1, 1e-14)
guess("For w = 2 and unit variance the posterior has std = 0.447. Which std minimizes |x - x_hat|^2 + KL?")
w, fine = 2.0, np.linspace(-8, 0, 80_001)[:, None]  # logvar; mu = 0, since the best std does not depend on mu
for lam, v in ((1, 0.5), (2, 1.0), (0.01, 0.005), (784, 392.0)):
    loss = w**2 * np.exp(fine[:, 0]) + lam * ops.gaussian_kl(0 * fine, fine)
    found = ops.gaussian_std(fine)[loss.argmin(), 0]
    beside(f"std at lambda = {lam}, v = {v}", found, np.sqrt(v / (w**2 + v)), 1e-4)
say("""0.333: lambda = 1 belongs to a model with less noise, and for unit variance its q is 25 % too narrow.
At lambda = 0.01, q is as narrow as if every x had been observed 200 times. At lambda = 784, q is nearly the
prior and contains almost no information about x. Marchioro also writes -log p(x) = c1 |x - x_hat|^2 + c2 and
"the constant terms can be neglected" (equation 15). c2 can be neglected, but c1 cannot: it determines lambda.
And the left side must be -log p(x|z), which is another number. In the model of section 1, with z at the mean
of the best q:""")
number("-log p(x|z) at z = mu", ops.gaussian_nll(decoder(mu_best), logvar_x, x)[0], "nats")
number("-log p(x)", -np.log(evidence), "nats")

# %% [markdown]
# ## 6. Maximize the bound: the E-step closes the gap, the M-step raises the bound
#
# Now the decoder learns too. With m(z) = w z and variance v = 1 everything is Gaussian:
#
#     p(x|w)   = N(x; 0, w^2 + v)
#     p(z|x,w) = N(z; w x / (w^2 + v), v / (w^2 + v))
#
# **E-step:** w is fixed and each q_i changes. The q_i with the largest ELBO is the posterior of x_i. Then the
# gap is 0.
#
# **M-step:** the q_i are fixed and w changes. The KL to the prior does not depend on w. The derivative of the
# other term with respect to w is sum_i (x_i mu_i - w (mu_i^2 + var_i)) / v. It is 0 at
# w = sum_i x_i mu_i / sum_i (mu_i^2 + var_i).
#
# Together: log p(x|new w) >= ELBO(q, new w) >= ELBO(q, old w) = log p(x|old w). So the log-likelihood never
# falls. It is largest where the variance of the model equals the mean square of the data:
# w^2 + v = mean of x^2.
# %%
section("6. Maximize the bound: the E-step closes the gap, the M-step raises the bound")
say("Now x|z ~ N(w z, v) with v = 1. We learn w from 200 values of x, drawn with w = 2.")
n, v = 200, 1.0
data = 2.0 * rng.standard_normal((n, 1)) + rng.standard_normal((n, 1))  # (B, D), made with w = 2


def posterior(w):
    """mu and logvar of p(z|x,w), both (B, L)."""
    return w * data / (w**2 + v), np.full_like(data, np.log(v / (w**2 + v)))


def log_evidence(w):
    """log p(x|w), mean over the data."""
    return -ops.gaussian_nll(0 * data, np.log(w**2 + v), data).mean()


def bound(w, mu, logvar):
    """E_q log p(x|z) - KL(q || prior), mean over the data."""
    log_lik = -ops.gaussian_nll(w * mu, np.log(v), data) - 0.5 * w**2 * np.exp(logvar[:, 0]) / v
    return (log_lik - ops.gaussian_kl(mu, logvar)).mean()


guess("Start at w = 0.4. Which half of the first round raises log p(x), the E-step or the M-step?")
w, steps = 0.4, []  # steps: (w, ELBO) after every half round
for _ in range(40):
    mu, logvar = posterior(w)  # E
    steps.append((w, bound(w, mu, logvar)))
    w = (data * mu).sum() / (mu**2 + np.exp(logvar)).sum()  # M
    steps.append((w, bound(w, mu, logvar)))
after_e, after_m = np.array(steps[::2]), np.array(steps[1::2])
evidences = np.array([log_evidence(w) for w in after_e[:, 0]])
beside("gap after the first E-step", evidences[0] - after_e[0, 1], 0, 1e-12)
number("the first M-step raises the ELBO by", after_m[0, 1] - after_e[0, 1], "nats")
number("and log p(x) by", evidences[1] - evidences[0], "nats")
number("the next E-step closes a gap of", after_e[1, 1] - after_m[0, 1], "nats")
beside("rounds in which log p(x) fell, of 39", (np.diff(evidences) < -1e-12).sum(), 0, 0)
beside("w after 40 rounds", w, np.sqrt((data**2).mean() - v), 1e-6)
say("""The M-step does: log p(x) depends on w alone. It rises by more than the ELBO, because a new gap opens.
The next E-step closes this gap. Slides say that the ELBO is maximized "to find MLE of model parameters"
(Isachenko; Brown and Marchioro say the same). Here that is true, because q can equal the posterior. In lesson
11 it cannot, and another w maximizes the ELBO.""")
ws = np.linspace(0, 3, 200)
bounds = [[bound(w, *posterior(old)) for w in ws] for old in after_e[:3, 0]]  # (3, 200)
halves = [(log_evidence(w), value) for w, value in steps[:10]]  # (log p(x|w), ELBO) after each half round
curve = [log_evidence(w) for w in ws]
save(drawings.staircase(ws, curve, bounds, after_e, after_m, halves), "staircase", dpi=200)

# %% [markdown]
# On a slide the M-step maximizes over q (Isachenko). But after the E-step no q has a larger ELBO, so nothing
# would change. For example, shifting every mu by 0.1 lowers the ELBO by 0.1^2 (w^2 + v) / (2 v). The slide
# before it equates maximizing the ELBO over q and w with minimizing KL(q || posterior) over both. These are
# different problems. At w = 0 the posterior is the prior, so with q = prior the KL is 0, its minimum. But
# this model explains all of x as noise, and its log p(x) is almost 1 nat below the maximum.
# %%
w0, (mu, logvar) = after_e[0, 0], posterior(after_e[0, 0])
shifted = bound(w0, mu + 0.1, logvar) - bound(w0, mu, logvar)
beside("change of the ELBO if q moves", shifted, -0.005 * (w0**2 + v) / v, 1e-12)
beside("gap at w = 0, q = prior", log_evidence(0) - bound(0, 0 * mu, 0 * mu), 0, 1e-12)
number("log p(x) there, below its maximum by", evidences[-1] - log_evidence(0), "nats")

# %% [markdown]
# ## 7. Share one encoder among all data
#
# An E-step for every x is expensive. **Amortized** inference fits one function from x to (mu, logvar), and a
# new x costs one evaluation. In the linear model the posterior mean is linear in x, and its variance is the
# same for all x. So a linear encoder loses nothing. For the parabola two gaps add up. The approximation gap
# remains even if each x has its own best Gaussian. The amortization gap comes from sharing one line.
# %%
section("7. Share one encoder among all data")
guess("Fit one line mu = offset + slope x and one logvar to 50 values of x. Which gap is larger?")
line_elbo = bound(w, w / (w**2 + v) * data, np.full_like(data, np.log(v / (w**2 + v))))
beside("linear decoder: gap of a line", log_evidence(w) - line_elbo, 0, 1e-12)
z = rng.standard_normal((50, 1))
xs = decoder(z) + np.sqrt(0.25) * rng.standard_normal((50, 1))  # (B, D)
lik = -ops.gaussian_nll(np.repeat(decoder(grid), 50, axis=1), logvar_x, xs)  # (S, B)
log_px = np.log(step * np.exp(lik + log_prior).sum(axis=0))  # (B,)
own = np.array([maximize(lambda mu, logvar, xi=xi: elbo(mu, logvar, xi), (-4, -4), (3, 1))[0] for xi in xs])


def shared_elbo(offset, slope, logvar):
    """The mean ELBO of encoders mu = offset + slope x, for columns (n, 1) -> (n,)."""
    mu, logvar = (offset + slope * xs.T).reshape(-1, 1), np.repeat(logvar, 50)[:, None]  # (n B, 1) each
    return elbo(mu, logvar, np.tile(xs, (offset.size, 1))).reshape(-1, 50).mean(axis=1)


shared, _ = maximize(shared_elbo, (-1, 0, -3), (1, 1.5, 0), points=15)
number("parabola: approximation gap, mean of 50", (log_px - own).mean(), "nats")
number("amortization gap of the best line", own.mean() - shared, "nats")
say("""The amortization gap, for these 50 values and for most other samples. (In 12 samples of 1,000 values it
was between 0.2 and 0.33; the approximation gap was between 0.11 and 0.14.) An encoder with hidden layers,
whose logvar also depends on x, closes part of the amortization gap. No encoder reduces the approximation gap;
that needs another family for q.""")

# %% [markdown]
# ## Try on your own
#
# - Set x = -0.5 in section 1: now the posterior has one mode. Guess the gap of the best q. It is below 0.01.
# - Let each M-step go only halfway. log p(x) still never falls, but after 40 rounds w has not reached the
#   maximum, and `beside` stops the lesson there.
# - In section 7, make logvar linear in x, too: the amortization gap falls to 0.11. A parabola for mu hardly
#   helps. To see why, draw a few posteriors at small and at large x.
#
# **Exercises** `python -m lessons start 3` (the Gaussian likelihood and its backward pass),
# `python -m lessons start 4` (a cost of one z, whose mean is the negative ELBO).
#
# ## Further reading
#
# - Dempster, Laird, Rubin, "Maximum likelihood from incomplete data via the EM algorithm", 1977.
# - Neal and Hinton, "A view of the EM algorithm that justifies incremental, sparse, and other variants",
#   1998: both steps maximize one function, the ELBO.
# - Tipping and Bishop, "Probabilistic principal component analysis", 1999: the linear-Gaussian model.
# - Kingma and Welling, "Auto-encoding variational Bayes", 2014.
# - Cremer, Li, Duvenaud, "Inference suboptimality in variational autoencoders", 2018: the two gaps of
#   section 7.

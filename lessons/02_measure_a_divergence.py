# %% [markdown]
# # 2. Measure a divergence
#
# **You will** measure how far one density is from another: on a grid, by sampling, and in closed form. You
# will swap the two and see the result change, and find three mistakes in a published formula.
#
# **You will learn** what the Kullback-Leibler divergence is, every term of its Gaussian closed form, why its
# direction decides what a fit looks like, and why an estimate can be negative although the KL cannot.
#
# **You need** lesson 1; about 30 minutes.
#
# **New names** `ops.gaussian_kl`, `ops.gaussian_std`
#
# %%
import math

import numpy as np

import minivae as mv
from lessons.drawings import lesson02 as drawings
from lessons.story import beside, guess, number, save, say, section

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Compute the definition on a grid
#
#     KL(q || p) = integral q(z) log( q(z) / p(z) ) dz = E_q[ log q(z) - log p(z) ]
#
# Draw z from q: the KL is the average number of nats by which log q(z) exceeds log p(z). Let r = p(z)/q(z).
# Since log r <= r - 1, with equality only at r = 1,
#
#     KL(q || p) = E_q[-log r] >= E_q[1 - r] = 1 - integral p(z) dz = 0,    and it is 0 only if q = p
#
# In this lesson p is the prior, N(0, 1), unless we say otherwise.
# %%
section("1. Compute the definition on a grid")


def log_normal(z, mu, std):
    """log N(z; mu, std^2) at the points z (n,), from the library."""
    column = np.ones((len(z), 1))  # (n, 1)
    return mv.ops.gaussian_log_prob(z[:, None], mu * column, 2 * math.log(std) * column)


def kl_on_grid(q, p):
    """KL(q || p) by its definition; q and p are (mu, std)."""
    z, step = np.linspace(q[0] - 12 * q[1], q[0] + 12 * q[1], 4001, retstep=True)  # (4001,)
    log_q, log_p = log_normal(z, *q), log_normal(z, *p)  # (4001,) each
    return (np.exp(log_q) * (log_q - log_p)).sum() * step


prior = (0.0, 1.0)
beside("KL(N(2, 1) || N(0, 1))", kl_on_grid((2.0, 1.0), prior), 2, 1e-12)
beside("KL(N(0, 1) || N(0, 1))", kl_on_grid(prior, prior), 0, 1e-12)
say("2 nats: at draws from q, the geometric mean of the ratio q/p is e^2 = 7.4.")

# %% [markdown]
# ## 2. Sample instead of summing
#
# An expectation under q is an average over draws from q, in any dimension. For q = N(mu, 1) and p = N(0, 1)
#
#     log q - log p = -(z - mu)^2/2 + z^2/2 = mu z - mu^2/2,   which is N(mu^2/2, mu^2) for z from q
#
# so one log-ratio has the standard deviation |mu|, and an average of n has the standard error |mu| / sqrt(n).
# %%
section("2. Sample instead of summing")
n = 100_000
guess("The exact KL for mu = 2 is 2.000. How many of its digits will 100,000 draws get right?")
z = 2 + rng.standard_normal(n)  # (n,) from q
log_ratio = log_normal(z, 2, 1) - log_normal(z, 0, 1)  # (n,)
beside("KL(N(2, 1) || N(0, 1)), sampled", log_ratio.mean(), 2, 5 * 2 / math.sqrt(n))
beside("std of one log-ratio", log_ratio.std(), 2, 0.02)
say("""The standard error is 2 / sqrt(100,000) = 0.006: two or three digits. One more digit needs a hundred
times as many draws.""")

# %% [markdown]
# ## 3. Derive the closed form
#
# For q = N(mu, std^2) and p = N(0, 1) every term is a moment of q: E(z - mu)^2 = std^2, E z^2 = mu^2 + std^2.
#
#     E_q log q =  -1/2 (log 2 pi + log std^2 + 1)                   the negative entropy of q
#     E_q log p =  -1/2 (log 2 pi + mu^2 + std^2)                    the negative cross-entropy
#     KL        =   1/2 (mu^2 + std^2 - log std^2 - 1)               the first minus the second
#
# With L independent dimensions both logarithms are sums over the dimensions, so the KL is a sum too.
# `gaussian_kl` takes mu and logvar (B, L), as an encoder computes them. `gaussian_std` is exp(logvar / 2),
# which is positive for every logvar.
# %%
section("3. Derive the closed form")
grid, step = np.linspace(-4, 8, 12001, retstep=True)  # (12001,)
log_q, log_p = log_normal(grid, 2, 0.5), log_normal(grid, 0, 1)  # (12001,) each
first, second = (np.exp(log_q) * log_q).sum() * step, (np.exp(log_q) * log_p).sum() * step
beside("E_q log q, mu = 2, std = 0.5", first, -0.5 * (math.log(2 * math.pi * 0.25) + 1), 1e-9)
beside("E_q log p, mu = 2, std = 0.5", second, -0.5 * (math.log(2 * math.pi) + 4 + 0.25), 1e-9)
mu, logvar = np.array([[2.0, 0.0], [-2.0, 2.0]]), np.array([[0.0, 2.0], [0.0, 6.0]])  # (B, L) each
std, kl = mv.ops.gaussian_std(logvar), mv.ops.gaussian_kl(mu, logvar)  # (B, L), (B,)
for b, where in enumerate(("N(2, 1), N(0, e^2)", "N(-2, 1), N(2, e^6)")):
    by_grid = sum(kl_on_grid(one, prior) for one in zip(mu[b], std[b], strict=True))
    beside(f"KL of {where}", kl[b], by_grid, 1e-9, word="on grid")


# %% [markdown]
# Two special cases show what mu and std contribute (an exercise in the Brown lecture):
#
#     std = 1    KL = mu^2/2                        smallest at mu = 0; the sign of mu does not matter
#     mu = 0     KL = (std^2 - log std^2 - 1)/2     derivative std - 1/std: smallest at std = 1
# %%
def kl_to_prior(mu, std):
    """gaussian_kl of a single (mu, std)."""
    return mv.ops.gaussian_kl(np.array([[mu]]), np.array([[2 * math.log(std)]]))[0]


beside("std = 1, mu = -3", kl_to_prior(-3.0, 1.0), 3**2 / 2, 1e-12)
beside("the same, q and p swapped", kl_on_grid(prior, (-3.0, 1.0)), 3**2 / 2, 1e-9)
say("""A slide says that KL(p || q) differs from KL(q || p) (Brown). This is not always so: if both densities
have std 1, both KLs are half the squared distance between the means.""")
guess("mu = 0. Which has the larger KL, twice the std of the prior or half of it? And with q and p swapped?")
beside("KL(N(0, 4) || N(0, 1))", kl_to_prior(0.0, 2.0), (3 - math.log(4)) / 2, 1e-12)
beside("KL(N(0, 1/4) || N(0, 1))", kl_to_prior(0.0, 0.5), (math.log(4) - 3 / 4) / 2, 1e-12)
beside("KL(N(0, 1) || N(0, 4))", kl_on_grid(prior, (0.0, 2.0)), kl_to_prior(0.0, 0.5), 1e-9)
say("""A q that is too wide costs 0.81 nats, one that is too narrow 0.32: draws from a wide q fall where p is
tiny, and each of these draws is expensive. If q and p are swapped, too narrow costs more. The last two lines
agree because the KL does not depend on the parameterization. With z/2 in place of z, both densities get the
same factor, which cancels in the ratio, and KL(N(0, 1) || N(0, 4)) becomes KL(N(0, 1/4) || N(0, 1)). The same
is true for u = e^z, which moved lesson 1's MAP.""")
stds = np.linspace(0.2, 3, 281)  # (281,)
both = (stds**2 - 1) / 2 - np.log(stds), (stds**-2 - 1) / 2 + np.log(stds)  # (281,) each
save(drawings.closed_form(stds, *both), "closed_form", dpi=200)

# %% [markdown]
# Two more statements of the Brown slides need a correction. "sigma in [0, infinity]": at sigma = 0, q has no
# density, and its KL is infinite. "KL divergence between prior, and samples from the encoder network": a KL
# compares two densities, here q and the prior. It depends on mu and std, but not on samples. A single sample
# is the limit of a density that becomes ever narrower:
#
#     std -> 0    KL = -log std + (mu^2 - 1)/2 -> infinity
# %%
guess("q = N(1, 1/4) has a KL of 0.82 nats. What is the KL of a very narrow density around one draw?")
beside("KL of q itself", kl_to_prior(1.0, 0.5), (0.25 + math.log(4)) / 2, 1e-12)
for std in (1e-3, 1e-6):
    beside(f"a point at z = 1 of std {std:g}", kl_to_prior(1.0, std), -math.log(std), 1e-5, word="limit")
say("""The narrower the density, the larger the KL: for the sample itself it is infinite. The library computes
std = exp(logvar / 2), which is above 0 for every logvar, so the KL of q is finite. A slide writes the
limit as a delta function, whose value at 0 is infinity (Isachenko). That alone does not define it: its
integral must be 1.""")

# %% [markdown]
# ## 4. Check a slide
#
# Lecture notes state (Marchioro, equation 4)
#
#     D_KL(N(0, 1) || N(mu, sigma^2)) = 1/2 (1 + log sigma^2 - mu - sigma^2)
#
# and use it in a loss that is minimized. The formula has three mistakes. We find them one at a time.
# %%
section("4. Check a slide")
guess("Can 1/2 (1 + log sigma^2 - mu - sigma^2) be a divergence? Answer without computing a value.")
number("the slide, mu = 2, sigma = 0.5", 0.5 * (1 + math.log(0.25) - 2 - 0.25))
say("""Mistake 1, the sign: a KL is never negative. Minimizing this formula drives mu to infinity and sigma
away from 1: from 0.5 towards 0, from 2 towards infinity.""")
number("sign corrected, mu = -2, sigma = 1", 0.5 * (-2 + 1 - 0 - 1))
beside("the KL there, on the grid", kl_on_grid((-2.0, 1.0), prior), 2**2 / 2, 1e-9)
say("""Mistake 2, mu instead of mu^2: the value is negative again. N(0, 1) is symmetric, so the KL must be the
same for mu and -mu.""")
corrected = 0.5 * (2**2 + 0.25 - math.log(0.25) - 1)
beside("sign and square corrected", corrected, kl_on_grid((2.0, 0.5), prior), 1e-9, word="on grid")
swapped = 0.5 * ((1 + 2**2) / 0.25 + math.log(0.25) - 1)
beside("the slide's left side", swapped, kl_on_grid(prior, (2.0, 0.5)), 1e-9, word="on grid")
say("""Mistake 3, the order: the corrected right side is KL(N(mu, sigma^2) || N(0, 1)), which is 2.3 nats. The
left side has its arguments swapped and is 8.8 nats. A slide of another lecture has the same order in an
exercise, "the KL divergence between a centered N(0, 1) and a non-centered N(mu, sigma)" (UvA). The ELBO needs
the KL of 2.3 nats. Three checks find the mistakes: a KL is never negative, this one does not depend on the
sign of mu, and it must agree with the definition.""")

# %% [markdown]
# ## 5. Fit one Gaussian in both directions
#
# In lesson 1 the decoder z^2 gave a posterior with two modes, p(z|x) = N(1; z^2, s^2) N(z; 0, 1) / p(x) with
# s = 0.25. Which Gaussian q = N(mu, v) is nearest to it? Both directions have an exact answer:
#
#     KL(post || q)   only -E_post log q = 1/2 (log 2 pi v + E_post(z - mu)^2 / v) depends on q. So the best
#                     q has the moments of the posterior: mu = E_post z,  v = Var_post z
#     KL(q || post)   = -1/2 (log 2 pi v + 1) - E_q log p(z|x). log p(z|x) is a polynomial in z, and
#                     E_q z^2 = mu^2 + v, E_q z^4 = mu^4 + 6 mu^2 v + 3 v^2. Set the derivatives to 0:
#       w.r.t. mu:  mu (mu^2 + 3 v - 1) 2/s^2 + mu = 0,           so  mu^2 = 1 - s^2/2 - 3 v,  or mu = 0
#       w.r.t. v:   -1/(2 v) + (3 mu^2 + 3 v - 1)/s^2 + 1/2 = 0,  so  v is the smaller root of
#                                                                     12 v^2 - (4 - 2 s^2) v + s^2 = 0
# %%
section("5. Fit one Gaussian in both directions")
s = 0.25
z, step = np.linspace(-8, 8, 3201, retstep=True)  # (3201,)
log_post = -((1 - z**2) ** 2) / (2 * s**2) - z**2 / 2
log_norm = math.log(np.exp(log_post).sum() * step)
log_post -= log_norm
post = np.exp(log_post)  # (3201,)


def both_directions(mu, std):
    """KL(q || post) and KL(post || q) of q = N(mu, std^2)."""
    log_q = log_normal(z, mu, std)  # (3201,)
    return (np.exp(log_q) * (log_q - log_post)).sum() * step, (post * (log_post - log_q)).sum() * step


def by_moments(mu, std):
    """KL(q || post) from E_q z^2 and E_q z^4, as above."""
    second, fourth = mu**2 + std**2, mu**4 + 6 * mu**2 * std**2 + 3 * std**4
    minus_log_post = (1 - 2 * second + fourth) / (2 * s**2) + second / 2 + log_norm
    return minus_log_post - 0.5 * (math.log(2 * math.pi * std**2) + 1)


def nearest(way):
    """The (mu, std) with the smallest KL: a grid, then ever finer grids around its best point."""
    (mu, std), width, moves = (0.6, 0.65), 0.6, np.linspace(-1, 1, 13)
    while width > 1e-7:
        near = [(mu + width * i, std + width * j) for i in moves for j in moves]
        mu, std = min((q for q in near if q[1] > 0.05), key=lambda q: both_directions(*q)[way])
        width /= 3
    return mu, std


guess("The posterior has modes near -1 and 1. Where is the best q of each direction, and how wide is it?")
v = (4 - 2 * s**2 - math.sqrt((4 - 2 * s**2) ** 2 - 48 * s**2)) / 24
narrow, wide = nearest(0), nearest(1)
beside("smallest KL(q || post): mu", narrow[0], math.sqrt(1 - s**2 / 2 - 3 * v), 1e-6)
beside("smallest KL(q || post): std", narrow[1], math.sqrt(v), 1e-6)
beside("smallest KL(post || q): mu", wide[0], 0, 1e-6)
beside("smallest KL(post || q): std", wide[1], math.sqrt((z**2 * post).sum() * step), 1e-6, word="on grid")
for name, q in (("narrow", narrow), ("wide", wide)):
    forward, backward = both_directions(*q)
    beside(f"KL(q || post), {name} q", forward, by_moments(*q), 1e-9, word="by moments")
    number(f"KL(post || q), {name} q", backward, "nats")
say("""KL(q || post) selects one mode (mode-seeking): it is large where q has mass and the posterior has none.
KL(post || q) covers both modes (mass-covering): it is large where the posterior has mass and q has none. Each
of the two fits has a large KL in the other direction. For a fixed decoder, a VAE's encoder minimizes KL(q ||
post), so expect a q that is too narrow.""")
curves = (np.exp(log_normal(z, *q)) for q in (narrow, wide))  # (3201,) each
save(drawings.both_ways(z, post, *curves), "both_ways", dpi=200)

# %% [markdown]
# How many nats does the missing mode cost? Take the mixture 1/2 N(a, 1) + 1/2 N(-a, 1), and let q be one of
# the two, N(a, 1). Where q has mass, the other mode adds almost nothing, so the ratio of q to the mixture is
# almost 2:
#
#     KL(q || mixture) = log 2 - E_q log(1 + e^(-2 a z))  ->  log 2 as a grows
# %%
guess("Does it cost more to miss a mode that is farther away?")
for a in (1.0, 3.0, 10.0):
    z, step = np.linspace(a - 12, a + 12, 4001, retstep=True)  # (4001,)
    q = np.exp(log_normal(z, a, 1))  # (4001,)
    mixture = 0.5 * q + 0.5 * np.exp(log_normal(z, -a, 1))
    cost = (q * np.log(q / mixture)).sum() * step
    if a == 1:
        number("mode missed, a = 1, nats", cost)
    else:
        beside(f"mode missed, a = {a:g}, nats", cost, math.log(2), 0.01, word="limit")
say("""The cost is never more than log 2 = 0.69 nats, however far away the mode is, and it is less if the two
modes overlap. Most of the 0.71 nats of the narrow q above is this cost.""")

# %% [markdown]
# A slide says "KL distance" (UvA). But a distance is the same in both directions, and a detour is never
# shorter than the direct path: d(a, c) <= d(a, b) + d(b, c). Compare the step from N(0, 1) to N(2, 1) with
# the detour through N(1, 1):
# %%
guess("One step from N(0, 1) to N(2, 1) is 2 nats. Are two steps, through N(1, 1), more or less in total?")
a, b, c = (0.0, 1.0), (1.0, 1.0), (2.0, 1.0)
beside("two steps", kl_on_grid(a, b) + kl_on_grid(b, c), 1 / 2 + 1 / 2, 1e-9)
beside("one step", kl_on_grid(a, c), 2**2 / 2, 1e-9)
say("Less: the detour is half as long, because this KL is half a squared distance. So the KL is no distance.")

# %% [markdown]
# ## 6. Watch an estimate go negative
#
# By section 2 the average of n log-ratios is drawn from N(mu^2/2, mu^2/n). As mu goes to 0, the mean shrinks
# as mu^2 but the standard deviation only as |mu|. So close to q = p almost half of all estimates are
# negative:
#
#     P(estimate < 0) = Phi(-|mu| sqrt(n) / 2),   where Phi is the distribution function of N(0, 1)
#
# Section 1's inequality gives a remedy: (r - 1) - log r is never negative, and it has the same mean as -log
# r, since E_q(r - 1) = 0. For z from q, log r is drawn from N(-mu^2/2, mu^2), Var r = e^(mu^2) - 1, and
# Cov(r, log r) = E_p log r - E_q log r = mu^2. So
#
#     Var( -log r )           = mu^2
#     Var( (r - 1) - log r )  = e^(mu^2) - 1 - mu^2,   about mu^4/2 for a small mu
# %%
section("6. Watch an estimate go negative")
say("""r = p(z) / q(z). Over draws from q, both -log r and (r - 1) - log r have the mean KL(q || p). The
second is never negative.""")
near, n = 0.1, 100
guess("mu = 0.1, so the KL is 0.005. What share of averages over 100 draws is negative?")
z = near + rng.standard_normal((10_000, n))  # (10000, n)
log_r = near**2 / 2 - near * z  # (10000, n) log p - log q
plain, never_negative = -log_r.mean(axis=1), (np.expm1(log_r) - log_r).mean(axis=1)  # (10000,) each
beside("share below 0, -log r", (plain < 0).mean(), 0.5 * math.erfc(near * math.sqrt(n / 8)), 0.02)
beside("share below 0, (r - 1) - log r", (never_negative < 0).mean(), 0, 0)
one, other = near / math.sqrt(n), math.sqrt((math.exp(near**2) - 1 - near**2) / n)  # standard errors
beside("average of the first", plain.mean(), near**2 / 2, 5 * one / 100)
beside("average of the second", never_negative.mean(), near**2 / 2, 5 * other / 100)
beside("standard error of the first", plain.std(), one, 0.032 * one)
beside("standard error of the second", never_negative.std(), other, 0.033 * other)
number("draws of the first that equal one of the second", (one / other) ** 2)
say("""31 % of the plain estimates are expected to be negative. This is not an error: they are unbiased, so
they fall on both sides of 0.005. The second has the same mean and is never negative, and here one draw of it
is as accurate as 199 draws of the first.""")
guess("And far from the prior, at mu = 2: which of the two has the larger variance?")
z, step = np.linspace(-12, 14, 13001, retstep=True)  # (13001,)
log_q, log_r = log_normal(z, 2, 1), log_normal(z, 0, 1) - log_normal(z, 2, 1)  # (13001,) each
second = (np.exp(log_q) * (np.expm1(log_r) - log_r) ** 2).sum() * step - 2**2
beside("variance of (r - 1) - log r", second, math.exp(2**2) - 1 - 2**2, 1e-6)
beside("variance of -log r", (np.exp(log_q) * log_r**2).sum() * step - 2**2, 2**2, 1e-9)
say("""The second, by a factor of 12. The variance of r = p/q grows very fast as q moves away from p, like the
variance of the estimate in lesson 1. It is infinite if q's variance is at most half of p's. If a closed form
exists, use it: its variance is 0.""")
mus = np.linspace(0.02, 2.5, 100)  # (100,)
stds = np.sqrt(np.expm1(mus**2) - mus**2)  # (100,)
save(drawings.estimates(plain, never_negative, mus, mus, stds), "estimates", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - In section 5 set s = 0.5. The two modes overlap more, and the smallest KL(q || post) jumps to mu = 0.
#   `beside` stops the lesson: its exact value is that of the fit to one mode, which is now only a local
#   minimum.
# - In section 6 set near = 1.12: both estimators have the same variance, since e^(mu^2) - 1 is about 2 mu^2
#   there.
# - In section 1 change z to u = e^z: divide both densities by u and sum with du = e^z dz. The KL is the same.
#
# **Exercise** `python -m lessons start 2` (the KL and its derivative)
#
# ## Further reading
#
# - Solomon Kullback and Richard Leibler, On Information and Sufficiency, 1951
# - Diederik Kingma and Max Welling, Auto-Encoding Variational Bayes, 2014: appendix B
# - Thomas Minka, Divergence Measures and Message Passing, 2005
# - Christopher Bishop, Pattern Recognition and Machine Learning, 2006: section 10.1
# - John Schulman, Approximating KL Divergence, 2020

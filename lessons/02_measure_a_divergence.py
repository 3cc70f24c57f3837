# %% [markdown]
# # 2. Measure a divergence
#
# **You will** measure how far one density is from another on a grid, by sampling, and in closed form; swap
# the two and see the answer change; and find three mistakes in a slide's formula.
#
# **You will learn** what the Kullback-Leibler divergence is, every term of its Gaussian closed form, why its
# direction decides what a fit looks like, and why an estimate of it can be negative although it cannot.
#
# **You need** lesson 1; about 25 minutes.
#
# **New names** `ops.gaussian_kl`, `ops.gaussian_std`
#
# %%
import math

import numpy as np

import minivae as mv
from lessons.story import BLUE, GREY, RED, STYLES, beside, canvas, guess, number, save, say, section

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Compute the definition on a grid
#
#     KL(q || p) = integral q(z) log( q(z) / p(z) ) dz = E_q[ log q(z) - log p(z) ]
#
# Draw z from q: the KL is the average number of nats by which log q(z) exceeds log p(z). Let r = p(z)/q(z).
# Since log r <= r - 1, with equality only at r = 1,
#
#     KL(q || p) = E_q[-log r] >= E_q[1 - r] = 1 - integral p(z) dz = 0,    and 0 only where q = p
#
# In this lesson p is the prior N(0, 1), except in section 5, where it is the posterior of lesson 1.
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
say("""2 nats: over draws from q, q's density is e^2 = 7.4 times p's in the geometric mean. If q = p,
nothing distinguishes the two.""")

# %% [markdown]
# ## 2. Sample instead of summing
#
# An expectation under q is an average over draws from q, in any dimension. For q = N(mu, 1) and p = N(0, 1)
#
#     log q - log p = -(z - mu)^2/2 + z^2/2 = mu z - mu^2/2,   which is N(mu^2/2, mu^2) for z from q
#
# so one draw has the standard deviation |mu|, and an average of n has the standard error |mu| / sqrt(n).
# %%
section("2. Sample instead of summing")
n = 100_000
guess("mu = 2 and 100,000 draws: how many digits of the 2.000 will be right?")
z = 2 + rng.standard_normal(n)  # (n,) from q
log_ratio = log_normal(z, 2, 1) - log_normal(z, 0, 1)  # (n,)
beside("KL(N(2, 1) || N(0, 1)) by sampling", log_ratio.mean(), 2, 5 * 2 / math.sqrt(n))
beside("standard deviation of one log-ratio", log_ratio.std(), 2, 0.02)
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
# With L independent dimensions both logarithms are sums, so the KL is a sum. `gaussian_kl` takes mu and
# logvar (B, L), as an encoder computes them. `gaussian_std` is exp(logvar / 2), positive for any logvar.
# %%
section("3. Derive the closed form")
m, s = 2.0, 0.5
grid, step = np.linspace(-4, 8, 12001, retstep=True)  # (12001,)
q = np.exp(log_normal(grid, m, s))  # (12001,)
first, second = (q * log_normal(grid, m, s)).sum() * step, (q * log_normal(grid, 0, 1)).sum() * step
beside("E_q log q, mu = 2, std = 0.5", first, -0.5 * (math.log(2 * math.pi * s**2) + 1), 1e-9)
beside("E_q log p, mu = 2, std = 0.5", second, -0.5 * (math.log(2 * math.pi) + m**2 + s**2), 1e-9)
mu, logvar = np.array([[2.0, 0.0], [-2.0, 2.0]]), np.array([[0.0, 2.0], [0.0, 6.0]])  # (B, L) each
std, kl = mv.ops.gaussian_std(logvar), mv.ops.gaussian_kl(mu, logvar)  # (B, L), (B,)
for b, where in enumerate(("N(2, 1), N(0, e^2)", "N(-2, 1), N(2, e^6)")):
    by_grid = sum(kl_on_grid(one, prior) for one in zip(mu[b], std[b], strict=True))
    beside(f"gaussian_kl of {where}", kl[b], by_grid, 1e-9, word="on grid")


# %% [markdown]
# Two special cases show what each half does (Brown's exercise):
#
#     std = 1    KL = mu^2/2                        smallest at mu = 0, and the sign of mu does not matter
#     mu = 0     KL = (std^2 - log std^2 - 1)/2     derivative std - 1/std: smallest at std = 1
# %%
def kl_to_prior(mu, std):
    """gaussian_kl of a single (mu, std)."""
    return mv.ops.gaussian_kl(np.array([[mu]]), np.array([[2 * math.log(std)]]))[0]


beside("std = 1, mu = -3", kl_to_prior(-3.0, 1.0), 3**2 / 2, 1e-12)
guess(
    "mu = 0: is it worse for q to be twice as wide as the prior, or half as wide? And if q and p are swapped?"
)
beside("KL(N(0, 4) || N(0, 1))", kl_to_prior(0.0, 2.0), (3 - math.log(4)) / 2, 1e-12)
beside("KL(N(0, 1/4) || N(0, 1))", kl_to_prior(0.0, 0.5), (math.log(4) - 3 / 4) / 2, 1e-12)
beside("KL(N(0, 1) || N(0, 4))", kl_on_grid(prior, (0.0, 2.0)), kl_to_prior(0.0, 0.5), 1e-9)
say("""Too wide costs 0.81 nats, too narrow 0.32: a wide q puts draws where p is tiny, and each of them is
expensive. Swapped, it is the other way round. Writing z/2 for z turns KL(N(0, 1) || N(0, 4)) into KL(N(0,
1/4) || N(0, 1)), and the KL does not depend on the parameterization, because both densities get the same
factor. That also holds for u = e^z, which moved lesson 1's MAP.""")

figure, panels = canvas(2, height=3.2)
mus, stds = np.linspace(-3, 3, 121), np.linspace(0.2, 3, 141)  # (121,), (141,)
panels[0].plot(mus, mus**2 / 2, color=BLUE, ls=STYLES[BLUE], label="both directions: mu²/2")
panels[0].set(xlabel="mu of q = N(mu, 1)", ylabel="KL, nats", ylim=(0, 4.6))
panels[1].plot(stds, (stds**2 - 1) / 2 - np.log(stds), color=BLUE, ls=STYLES[BLUE], label="KL(q || prior)")
panels[1].plot(stds, (stds**-2 - 1) / 2 + np.log(stds), color=RED, ls=STYLES[RED], label="KL(prior || q)")
panels[1].set(xlabel="std of q = N(0, std²)", ylim=(0, 4.6))
panels[0].set_title("std = 1: the direction does not matter", loc="left", fontsize=10)
panels[1].set_title("mu = 0: it decides which error is expensive", loc="left", fontsize=10)
for panel in panels:
    panel.legend(frameon=False, fontsize=9, loc="upper center")
save(figure, "closed_form", dpi=90)

# %% [markdown]
# ## 4. Check a slide
#
# Lecture notes state (Marchioro, equation 4)
#
#     D_KL(N(0, 1) || N(mu, sigma^2)) = 1/2 (1 + log sigma^2 - mu - sigma^2)
#
# and use it in a loss to be minimized. The formula has three mistakes. We find them one at a time.
# %%
section("4. Check a slide")
guess("The slide's KL is 1/2 (1 + log sigma^2 - mu - sigma^2). Without computing: can that be a divergence?")
log_var = 2 * math.log(s)
number("the slide, mu = 2, sigma = 0.5", 0.5 * (1 + log_var - m - s**2))
say("""Mistake 1, the sign: a KL is never negative. Minimizing this one sends mu to infinity and sigma away
from 1: towards 0 from 0.5, towards infinity from 2.""")
number("sign corrected, mu = -2, sigma = 1", 0.5 * (-2 + 1 - 0 - 1))
beside("the KL there, on the grid", kl_on_grid((-2.0, 1.0), prior), 2**2 / 2, 1e-9)
say("Mistake 2, mu instead of mu^2: negative again, and a KL to a symmetric p is even in mu.")
corrected = 0.5 * (m**2 + s**2 - log_var - 1)
beside("sign and square corrected", corrected, kl_on_grid((m, s), prior), 1e-9, word="on grid")
swapped = 0.5 * ((1 + m**2) / s**2 + log_var - 1)
beside("the slide's left side", swapped, kl_on_grid(prior, (m, s)), 1e-9, word="on grid")
say("""Mistake 3, the order: the corrected right side is KL(N(mu, sigma^2) || N(0, 1)), 2.3 nats. The left
side has its arguments swapped and is 8.8. Three checks found the three mistakes: a KL is never negative,
this one is even in mu, and it agrees with the definition.""")

# %% [markdown]
# ## 5. Fit one Gaussian in both directions
#
# In lesson 1 the decoder z^2 gave a posterior with two modes, p(z) = N(1; z^2, s^2) N(z; 0, 1) / evidence
# with s = 0.25. Which Gaussian q = N(m, v) is nearest to it? Both directions have an exact answer:
#
#     KL(p || q)    only -E_p log q = 1/2 (log 2 pi v + E_p(z - m)^2 / v) depends on q:
#                   m = E_p z,  v = Var_p z                                        the moments of p
#     KL(q || p)    -1/2 (log 2 pi v + 1) - E_q log p, and log p is a polynomial, with E_q z^2 = m^2 + v and
#                   E_q z^4 = m^4 + 6 m^2 v + 3 v^2. Set its derivatives to 0:
#       w.r.t. m   m (m^2 + 3 v - 1) 2/s^2 + m = 0              m^2 = 1 - s^2/2 - 3 v,   or m = 0
#       w.r.t. v   -1/(2 v) + (3 m^2 + 3 v - 1)/s^2 + 1/2 = 0   12 v^2 - (4 - 2 s^2) v + s^2 = 0, smaller root
# %%
section("5. Fit one Gaussian in both directions")
s = 0.25
z, step = np.linspace(-3, 3, 1201, retstep=True)  # (1201,)
log_p = -((1 - z**2) ** 2) / (2 * s**2) - z**2 / 2
log_p -= math.log(np.exp(log_p).sum() * step)
p = np.exp(log_p)  # (1201,)


def both_directions(mu, std):
    """KL(q || p) and KL(p || q) of q = N(mu, std^2), for every std (n,) at once."""
    log_q = -0.5 * ((z - mu) / std[:, None]) ** 2 - np.log(std[:, None] * math.sqrt(2 * math.pi))  # (n, 1201)
    return (np.exp(log_q) * (log_q - log_p)).sum(axis=1) * step, (p * (log_p - log_q)).sum(axis=1) * step


mus, stds = np.linspace(0, 1.2, 241), np.linspace(0.05, 1.2, 231)  # (241,), (231,)
maps = np.array([both_directions(mu, stds) for mu in mus])  # (241, 2, 231): every pair (mu, std), every 0.005
(i, j), (k, l) = (np.unravel_index(maps[:, way].argmin(), (241, 231)) for way in (0, 1))
guess("p has two modes, near -1 and 1. Where does each direction put q, and how wide is it?")
v = (4 - 2 * s**2 - math.sqrt((4 - 2 * s**2) ** 2 - 48 * s**2)) / 24
beside("smallest KL(q || p): mu", mus[i], math.sqrt(1 - s**2 / 2 - 3 * v), 0.005)
beside("smallest KL(q || p): std", stds[j], math.sqrt(v), 0.005)
beside("smallest KL(p || q): mu", mus[k], 0, 1e-12)
beside("smallest KL(p || q): std", stds[l], math.sqrt((z**2 * p).sum() * step), 0.005, word="on grid")
number("KL(q || p) of the narrow q, nats", maps[i, 0, j])
number("KL(q || p) of the wide q, nats", maps[k, 0, l])
number("KL(p || q) of the narrow q, nats", maps[i, 1, j])
number("KL(p || q) of the wide q, nats", maps[k, 1, l])
say("""KL(q || p) selects one mode (mode-seeking): it is large where q has mass and p has none. KL(p || q)
covers both (mass-covering): it is large where p has mass and q has none. Each fit is bad by the other's
measure. For a fixed decoder, a VAE's encoder minimizes KL(q || posterior), so expect a q that is too
narrow.""")

# %% [markdown]
# What does the missing mode cost? Take p = 1/2 N(a, 1) + 1/2 N(-a, 1) and q = N(a, 1), one of the two. Where
# q has mass, the other mode adds almost nothing to p, so q/p is 2:
#
#     KL(q || p) = log 2 - E_q log(1 + e^(-2 a z))  ->  log 2 as a grows
# %%
guess("Is it more expensive to miss a mode that is far away?")
for a in (1.0, 3.0, 10.0):
    wide, gap = np.linspace(a - 12, a + 12, 4001, retstep=True)  # (4001,)
    log_q, log_mixture = log_normal(wide, a, 1), np.logaddexp(log_normal(wide, a, 1), log_normal(wide, -a, 1))
    cost = (np.exp(log_q) * (log_q - log_mixture + math.log(2))).sum() * gap
    if a == 1:
        number("one mode of two missed, a = 1, nats", cost)
    else:
        beside(f"one mode of two missed, a = {a:g}, nats", cost, math.log(2), 0.01, word="limit")
say("""No: it costs log 2 = 0.69 nats however far away it is, less where the two overlap. Most of the 0.71
above is that price.""")

figure, axes = canvas(height=3.2, width=6.6)
axes.fill_between(z, p, color=GREY, alpha=0.3, lw=0, label="p: the posterior of lesson 1")
for way, where, colour in (("smallest KL(q || p)", (i, j), BLUE), ("smallest KL(p || q)", (k, l), RED)):
    curve = np.exp(log_normal(z, mus[where[0]], stds[where[1]]))
    axes.plot(z, curve, color=colour, ls=STYLES[colour], label=way)
axes.set(xlabel="z", ylabel="density", xlim=(-3, 3), ylim=(0, 3.3))
axes.legend(frameon=False, fontsize=9, loc="upper left")
axes.set_title("The nearest Gaussian depends on the direction", loc="left", fontsize=10)
save(figure, "both_ways")

# %% [markdown]
# A slide says "KL distance" (UvA). A distance is the same in both directions, and a detour is never shorter
# than the direct path, d(a, c) <= d(a, b) + d(b, c). Go from N(0, 1) to N(2, 1) by way of N(1, 1):
# %%
guess(
    "From N(0, 1) to N(1, 1) to N(2, 1): is the sum of the two KLs more or less than the 2 nats of one step?"
)
a, b, c = (0.0, 1.0), (1.0, 1.0), (2.0, 1.0)
beside("two steps", kl_on_grid(a, b) + kl_on_grid(b, c), 1 / 2 + 1 / 2, 1e-9)
beside("one step", kl_on_grid(a, c), 2**2 / 2, 1e-9)
say("Less: the detour is half as long. Between Gaussians of equal width the KL is half a squared distance.")

# %% [markdown]
# ## 6. Watch an estimate go negative
#
# By section 2 the average of n log-ratios is N(mu^2/2, mu^2/n). Near the prior the mean shrinks as mu^2 and
# the standard deviation as mu, so close to q = p the sign is a coin toss:
#
#     P(estimate < 0) = Phi(-|mu| sqrt(n) / 2),   Phi the distribution function of N(0, 1)
#
# Section 1's inequality gives a remedy: (r - 1) - log r is never negative, and E_q(r - 1) = 0 keeps the mean.
# For z from q, log r is N(-mu^2/2, mu^2); Var r = e^(mu^2) - 1; Cov(r, log r) = E_p log r - E_q log r = mu^2:
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
say("""31 % of the plain estimates are negative. Nothing is broken: they are unbiased, so they fall on both
sides of 0.005. The second has the same mean and is never negative, and here one draw of it is worth
199.""")
guess("And far from the prior, at mu = 2: which of the two has the larger variance?")
z, step = np.linspace(-12, 14, 13001, retstep=True)  # (13001,)
far, log_q, log_r = 2.0, log_normal(z, 2, 1), log_normal(z, 0, 1) - log_normal(z, 2, 1)
second = (np.exp(log_q) * (np.expm1(log_r) - log_r) ** 2).sum() * step - (far**2 / 2) ** 2
beside("variance of (r - 1) - log r at mu = 2", second, math.exp(far**2) - 1 - far**2, 1e-6)
beside("variance of -log r at mu = 2", (np.exp(log_q) * log_r**2).sum() * step - 4, far**2, 1e-9)
say("""The second, by a factor of 12. r = p/q is a ratio like the one that lesson 1 averaged: its variance
explodes as q moves away from p, and is infinite if q's variance is half of p's or less. Where a closed form
exists, use it: its variance is 0.""")

figure, panels = canvas(2, height=3.2)
bins = np.linspace(-0.035, 0.045, 81)
panels[0].hist(plain, bins, color=BLUE, histtype="step", ls=STYLES[BLUE], label="-log r")
panels[0].hist(never_negative, bins, color=RED, histtype="step", ls=STYLES[RED], label="(r - 1) - log r")
panels[0].axvline(0, color="black", lw=0.8)
panels[0].set(xlabel="average of 100 draws at mu = 0.1, nats", ylabel="number of averages, of 10,000")
panels[0].set(yscale="log", ylim=(0.8, 1e5), xticks=[-0.02, 0, 0.02, 0.04])
mus = np.linspace(0.02, 2.5, 100)  # (100,)
stds = np.sqrt(np.expm1(mus**2) - mus**2)  # (100,)
panels[1].semilogy(mus, mus, color=BLUE, ls=STYLES[BLUE], label="-log r")
panels[1].semilogy(mus, stds, color=RED, ls=STYLES[RED], label="(r - 1) - log r")
panels[1].set(xlabel="mu of q = N(mu, 1)", ylabel="std of one draw, nats")
panels[0].set_title("Near the prior one estimate falls below 0", loc="left", fontsize=10)
panels[1].set_title("Above mu = 1.12 the second varies more", loc="left", fontsize=10)
for panel in panels:
    panel.legend(frameon=False, fontsize=9, loc="upper left")
save(figure, "estimates", dpi=90)

# %% [markdown]
# ## Try on your own
#
# - In section 5 set s = 0.5. The modes merge, the smallest KL(q || p) jumps to m = 0, and `beside` stops the
#   lesson: its exact value belongs to one mode, which is now only a local minimum.
# - In section 6 set mu = 1.12: both estimators have the same variance, since e^(mu^2) - 1 = 2 mu^2 there.
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

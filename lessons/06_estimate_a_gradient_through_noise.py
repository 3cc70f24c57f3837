# %% [markdown]
# # 6. Estimate a gradient through noise
#
# **You will** differentiate an average over random z in two ways, by the score function and by
# reparameterization, and measure what each costs.
#
# **You will learn** why both are right on average; how much each scatters, exactly and measured; what a
# baseline does, and which one spoils the mean; what dimensions do; where the second way is worse, or wrong.
#
# **You need** lessons 2 and 5, the moments E eps^2 = 1, E eps^4 = 3, E eps^6 = 15 of N(0, 1); 40 minutes.
#
# **New names** `ops.gaussian_score`, `ops.gaussian_sample_backward`, `estimators.score_function`,
# `estimators.pathwise`, `estimators.optimal_baseline`, `estimators.leave_one_out`,
# `estimators.quadratic_moments`, `estimators.cos_moments`, `estimators.kl_moments`
#
# %%
import math

import numpy as np

import minivae as mv
from lessons.story import BLUE, GREEN, RED, STYLES, beside, canvas, guess, number, save, say, section
from minivae import estimators

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. See why the gradient does not go inside
#
# The loss is an average over z ~ q = N(mu, std^2), and the encoder learns mu and std, on which q depends:
#
#     d/dmu E_q[f(z)] = d/dmu int q(z) f(z) dz = int dq/dmu f(z) dz
#
# A slide says that "it is impossible to use the Monte-Carlo estimation" here. What is meant: not on this
# integral as it stands. (Nor by drawing z first: f(z) does not know mu, its derivative by mu is 0.) An
# average over draws needs a density under the integral, and dq/dmu is none. The decoder's weights theta stand
# in f alone, so there the derivative goes inside, and int q df/dtheta dz is an average over q.
# %%
section("1. See why the gradient does not go inside")
grid = np.linspace(-10, 14, 24001)  # (24001,)
width = grid[1] - grid[0]
q = np.exp(-0.5 * (grid - 2) ** 2) / math.sqrt(2 * math.pi)  # mu = 2, std = 1
dq = (grid - 2) * q  # dq/dmu
guess("A density is nowhere negative and its integral is 1. What is the integral of dq/dmu?")
beside("integral of dq/dmu", dq.sum() * width, 0, within=1e-12)
beside("integral of |dq/dmu|", np.abs(dq).sum() * width, math.sqrt(2 / math.pi), within=1e-6)
say("0: q keeps its mass 1 when mu moves, so dq/dmu is as much negative as positive. No draws come from it.")
say("The integral itself is what it should be. For f = z^2, E f = mu^2 + std^2, and its slope by mu is 2 mu:")
beside("integral of dq/dmu z^2", (dq * grid**2).sum() * width, 2 * 2, within=1e-9)

# %% [markdown]
# ## 2. Derive both tricks
#
# **The log-derivative trick** multiplies and divides by q. Since dq / q = d log q,
#
#     int dq/dmu f dz = int q dlogq/dmu f dz = E_q[f(z) score(z)]      f stays, the density moves
#     score by mu       (z - mu) / std^2
#     score by logvar   1/2 ((z - mu)^2 / std^2 - 1)
#
# **The reparameterization trick** takes the parameters out of the density, z = mu + std eps with eps ~ N(0,
# 1):
#
#     d/dmu E_eps[f(mu + std eps)] = E_eps[f'(z) dz/dmu]               the density stays, z moves
#     dz/dmu = 1        dz/dlogvar = 1/2 std eps
#
# The first asks for values of f only, the second for its derivative. A slide says that "we cannot perform
# partial derivatives over a stochastic operation" (Bonvicini). The first trick need not: it differentiates
# the density and never moves z. The second makes the operation a deterministic one of eps.
# %%
section("2. Derive both tricks")


def f(z):
    """(S, B, L) -> (S, B)"""
    return (z * z).sum(axis=-1)


mu, logvar, n = np.full((1, 1), 2.0), np.zeros((1, 1)), 1_000_000  # (B, L) each; std = 1
eps = rng.standard_normal((n, 1, 1))  # (S, B, L)
z = mv.ops.gaussian_sample(mu, logvar, eps)  # (S, B, L)
scores = mv.ops.gaussian_score(z, mu, logvar)  # (S, B, L) by mu, (S, B, L) by logvar
by_score = [f(z)[..., None] * score for score in scores]
by_path = [2 * z, 2 * z * 0.5 * eps]
say("Written by hand, they are the library's sample by sample:")
difference = np.subtract(by_score, estimators.score_function(f, mu, logvar, eps))
beside("score function: largest difference", np.abs(difference).max(), 0, within=1e-12)
difference = np.subtract(by_path, estimators.pathwise(lambda z: 2 * z, mu, logvar, eps))
beside("pathwise: largest difference", np.abs(difference).max(), 0, within=1e-12)
_, dlogvar = mv.ops.gaussian_sample_backward(2 * z / n, mu, logvar, eps)
beside("pathwise mean, added up by gaussian_sample_backward", dlogvar[0, 0], by_path[1].mean(), within=1e-12)

# %% [markdown]
# ## 3. Work out how much each scatters
#
# At mu = 2, std = 1, by mu; odd powers of eps average to 0:
#
#     score function   g = (2 + eps)^2 eps     E g^2 = 16 E eps^2 + 24 E eps^4 + E eps^6 = 16 + 72 + 15 = 103
#                                              Var g = 103 - 4^2 = 87
#     pathwise         g = 2 (2 + eps)         Var g = 4
#
# For any f = A eps^2 + B eps + C (here std = 1, A = 1, B = 2 mu = 4, C = mu^2 = 4) the same steps give
#
#     score function   by mu  15 A^2 + 6 A C + 2 B^2 + C^2    by logvar (74 A^2 + 20 A C + 10 B^2 + 2 C^2) / 4
#     pathwise         by mu  4 A^2                           by logvar (8 A^2 + B^2) / 4
#
# A *measured* variance scatters as well, by ((m4 - Var^2) / n)^(1/2) with m4 = E (g - E g)^4. The familiar
# Var (2 / n)^(1/2) is the Gaussian case, m4 = 3 Var^2. (Papers differentiate by std instead of logvar:
# gradients times 2 / std, variances times 4 / std^2.)
# %%
section("3. Work out how much each scatters")


def hold(name, grad, mean, variance, moments):
    """Hold a measured mean and variance to five of their own standard errors."""
    beside(f"{name}: mean", grad.mean(), mean, within=5 * math.sqrt(variance / grad.size))
    beside(f"{name}: variance", grad.var(), variance, within=5 * moments.variance_error(grad.size))


def of_score(A, B, C):
    """Variance of the score function by mu at std = 1, for f = A eps^2 + B eps + C."""
    return 15 * A * A + 6 * A * C + 2 * B * B + C * C


sf = estimators.quadratic_moments(1, 0, 0, 2, 1, "score-function")  # f = 1 z^2 + 0 z + 0, mu = 2, std = 1
pw = estimators.quadratic_moments(1, 0, 0, 2, 1, "pathwise")
guess("The exact gradient by mu is 2 mu = 4. Which trick's mean is closer to it, and which one is biased?")
hold("score function by mu", by_score[0], 4, of_score(1, 4, 4), sf.dmu)
hold("pathwise by mu", by_path[0], 4, 4, pw.dmu)
hold("score function by logvar", by_score[1], 1, (74 + 20 * 4 + 10 * 16 + 2 * 16) / 4, sf.dlogvar)
hold("pathwise by logvar", by_path[1], 1, (8 + 16) / 4, pw.dlogvar)
number("score-function samples that are worth a pathwise one", of_score(1, 4, 4) / 4)
say("Neither is biased; pathwise is closer, for it scatters less. (All to five standard errors.)")
nodes, weights = np.polynomial.hermite_e.hermegauss(100)  # E g(eps) = weights @ g(nodes)
weights /= weights.sum()
by_quadrature = weights @ ((2 + nodes) ** 2 * nodes - 4) ** 4
beside("m4 of the score function by mu", sf.dmu.fourth, by_quadrature, within=1e-6)
guess("A variance was measured, and Var (2 / n)^(1/2) called its error. By what factor is that too small?")
number("true error / Gaussian error, by mu", sf.dmu.variance_error(n) / (87 * math.sqrt(2 / n)))
number("true error / Gaussian error, by logvar", sf.dlogvar.variance_error(n) / (86.5 * math.sqrt(2 / n)))
say("A few large samples make most of the variance: m4 is 27 Var^2 by mu and 177 Var^2 by logvar, and not 3.")

figure, (left, right) = canvas(panels=2, height=3.3, width=8.4)
at, count = np.linspace(-1.5, 5.5, 200), np.arange(1, 3001)
left.fill_between(at, 200 * np.exp(-0.5 * (at - 2) ** 2) / math.sqrt(2 * math.pi), color="0.85", linewidth=0)
left.text(2, 20, "density\nof z", ha="center")
for curve, grad, variance, colour, label in (
    (at**2 * (at - 2), by_score[0], 87, RED, "score function, $z^2 (z - 2)$"),
    (2 * at, by_path[0], 4, BLUE, "pathwise, $2z$"),
):
    left.plot(at, curve, color=colour, linestyle=STYLES[colour], label=label)
    low, high = (4 + side * 2 * np.sqrt(variance / count) for side in (-1, 1))
    right.fill_between(count, low, high, color=colour, alpha=0.15, linewidth=0)
    right.plot(count, np.cumsum(grad[:3000]) / count, color=colour, linestyle=STYLES[colour])
for axes in (left, right):
    axes.axhline(4, color="black", linewidth=0.8)
left.set(xlabel="z", ylabel="gradient by mu", ylim=(-15, 110), title="What one sample says")
left.legend(frameon=False, loc="upper left")
right.set(xlabel="samples", ylim=(2, 6), xlim=(0, 3000), title="Mean so far, and 2 exact standard errors")
save(figure, "two_tricks")

# %% [markdown]
# ## 4. Subtract a baseline
#
# "Unstable solution with huge variance", a slide says of the log-derivative trick. Much of that is the size
# of f: the score, noise of mean 0, is multiplied with all of it, and a VAE's f is a hundred nats. But since
# the score's mean is 0, any constant t may be taken off f, and the gradient's mean stays:
#
#     E[(f - t) score] = E[f score] - t E[score] = g
#     Var = E[(f - t)^2 score^2] - g^2      least where -2 E[f score^2] + 2 t E[score^2] = 0,
#                                           t = E[f score^2] / E[score^2]
#
# In the formulas C becomes C - t. Best is t = C + 3 A = 7 by mu, C + 5 A = 9 by logvar; E f = A + C = 5 is
# near.
# %%
section("4. Subtract a baseline")
guess("f = z^2 has the variance 87. What has f = z^2 + 100, whose gradient is the same?")
for name, c, t in (("z^2 + 100", 100, 0.0), ("z^2, baseline 5", 0, 5.0), ("z^2, baseline 7", 0, 7.0)):
    grad, _ = estimators.score_function(lambda z, c=c: f(z) + c, mu, logvar, eps, baseline=t)
    moments = estimators.quadratic_moments(1, 0, c - t, 2, 1, "score-function").dmu
    hold(name, grad, 4, of_score(1, 4, 4 + c - t), moments)
say("11,487: 132 times as much, for a constant that says nothing. A baseline takes it off, and more.")
best = estimators.optimal_baseline(f, mu, logvar, rng.standard_normal((n, 1, 1)))
say("Nobody knows the best baseline beforehand. Estimated from draws of its own (to five standard errors):")
beside("best baseline by mu, from other draws", best[0][0, 0], 7, within=0.1)
beside("best baseline by logvar, from other draws", best[1][0, 0], 9, within=0.3)

# %% [markdown]
# From *other* draws, because a baseline that knows the sample's own f is no constant. The mean of all K
# samples takes f_k / K off f_k itself, and the mean of what is left is (1 - 1/K) g. **Leave-one-out** takes
# the mean of the other K - 1 instead. It is unbiased, and with Var f = 2 A^2 + B^2 = 18, and 42 the variance
# with the baseline E f,
#
#     Var = 42 / K + (Var f + g^2) / (K (K - 1))
#
# For with d = f - E f the estimate is mean_k d_k s_k - sum_{j != k} d_j s_k / (K (K - 1)), s the score. The
# first part has the variance 42 / K; the second has mean 0 and, since E d_j = E s_k = 0, no correlation with
# the first. Each of its K (K - 1) terms has the variance Var f E s^2 = Var f, and d_j s_k meets only d_k s_j,
# with E[d_j s_k d_k s_j] = g^2.
# %%
K, groups = 4, 100_000
noise = rng.standard_normal((K, groups, 1))  # (S, B, L): every datum is a group of K
mus, logvars = np.full((groups, 1), 2.0), np.zeros((groups, 1))  # (B, L) each
group_z = mv.ops.gaussian_sample(mus, logvars, noise)  # (S, B, L)
cost, score = f(group_z), mv.ops.gaussian_score(group_z, mus, logvars)[0]  # (S, B), (S, B, L)
own = ((cost - cost.mean(axis=0))[..., None] * score).mean(axis=0)  # (B, L)
others = estimators.leave_one_out(f, mus, logvars, noise)[0].mean(axis=0)  # (B, L)
variance = 42 / K + (18 + 4**2) / (K * (K - 1))
guess("K = 4, and the exact gradient is 4. What is the mean if the baseline includes the own sample?")
beside("own sample included: mean", own.mean(), 4 * (1 - 1 / K), within=5 * math.sqrt(variance / groups))
say("3: a quarter of the gradient is lost, however many groups are averaged.")
moments = estimators.quadratic_moments(1, 0, 0, 2, 1, "leave-one-out", samples=K).dmu
hold("leave-one-out", others, 4, variance, moments)

# %% [markdown]
# ## 5. Add dimensions
#
# f = sum_i z_i^2 over D latents at mu = 0, std = 1. The score of one coordinate multiplies the cost of all.
# Call that of the others r: E r = D - 1, Var r = 2 (D - 1).
#
#     score function   E (eps^2 + r)^2 eps^2 = E eps^6 + 2 E eps^4 E r + E eps^2 E r^2
#                                            = 15 + 6 (D - 1) + (D - 1)^2 + 2 (D - 1) = (D + 2) (D + 4)
#     best baseline    t = D + 2 leaves 2 D + 4
#     pathwise         g = 2 z_i, variance 4: the slope knows its own coordinate
# %%
section("5. Add dimensions")
guess("At D = 1 the variances are 15, 6 and 4. What are they at D = 100?")
growth = {
    "score-function": lambda D: (D + 2) * (D + 4),
    "score-function-optimal-baseline": lambda D: 2 * D + 4,
    "pathwise": lambda D: 4 + 0 * D,
}
points, m = {}, 40_000
for D in (1, 10, 100):
    zero, many = np.zeros((1, D)), rng.standard_normal((m, 1, D))  # (B, L), (S, B, L)
    plain, based = (estimators.score_function(f, zero, zero, many, t)[0] for t in (0.0, D + 2.0))
    grads = plain, based, estimators.pathwise(lambda z: 2 * z, zero, zero, many)[0]
    for (name, exact), grad in zip(growth.items(), grads, strict=True):
        points[name, D] = grad[..., 0].var()  # of the first coordinate
        error = estimators.quadratic_moments(1, 0, 0, 0, 1, name, dim=D).dmu.variance_error(m)
        beside(f"D = {D}, {name}", points[name, D], exact(D), within=5 * error)
say("10,608, 204 and 4: it grows as D^2, as D, and not at all. Here the slide's word 'huge' is earned.")

figure, (left, right) = canvas(panels=2, height=3.3, width=8.4)
t, D, levels = np.linspace(-1, 15, 100), np.geomspace(1, 100, 50), np.array([0.0, 5.0, 7.0, 9.0, 12.0])
left.plot(t, of_score(1, 4, 4 - t), color=RED, linestyle=STYLES[RED])
left.plot(levels, [((f(z)[..., None] - level) * scores[0]).var() for level in levels], "o", color=RED)
left.axhline(4, color=BLUE, linestyle=STYLES[BLUE])
left.text(7, 30, "best: 38 at t = 7", color=RED, ha="center", va="top")
left.text(15, 6, "pathwise: 4", color=BLUE, ha="right")
left.set(xlabel="baseline t", ylabel="variance by mu", ylim=(0, 110), title="One latent: a parabola in t")
for (name, exact), colour, label in zip(
    growth.items(), (RED, GREEN, BLUE), ("score function", "its best baseline", "pathwise"), strict=True
):
    right.loglog(D, exact(D), color=colour, linestyle=STYLES[colour])
    right.loglog((1, 10, 100), [points[name, d] for d in (1, 10, 100)], "o", color=colour)
    right.text(25, 0.6 * exact(25), label, color=colour, va="top")
right.set(xlabel="latents D", title="D latents: as $D^2$, as $D$, not at all", ylim=(1.5, 2e4))
save(figure, "baselines_and_dimensions")

# %% [markdown]
# ## 6. Find where the slogan fails
#
# "Reparameterization has the lower variance" is no theorem. By mu the score function pays for the size of f,
# the pathwise gradient for how much the slope of f varies (100 z is steep, and its pathwise variance is 0).
# cos(kz) has the size 1, and a slope that swings between -k and k. At std = 1,
#
#     the gradient           g = -k sin(k mu) e^(-k^2 / 2);    c = cos(2 k mu),  E = e^(-2 k^2)
#     pathwise by mu         k^2/2 (1 - c E) - g^2
#     score function by mu   1/2 (1 + c (1 - 4 k^2) E) - g^2
#
# from sin^2, cos^2 = (1 -+ cos 2kz) / 2, E cos 2kz = c E and E eps^2 cos 2kz = c (1 - 4 k^2) E.
# %%
section("6. Find where the slogan fails")


def cos_variances(k, mu=1.0):
    """Variance by mu of cos(kz) at std = 1: pathwise, score function."""
    c, E, g = np.cos(2 * k * mu), np.exp(-2 * k * k), -k * np.sin(k * mu) * np.exp(-k * k / 2)
    return k * k / 2 * (1 - c * E) - g * g, 0.5 * (1 + c * (1 - 4 * k * k) * E) - g * g


low, high = 0.5, 2.0
for _ in range(60):  # halve the interval in which pathwise begins to lose
    wins = np.subtract(*cos_variances((low + high) / 2)) < 0
    low, high = ((low + high) / 2, high) if wins else (low, (low + high) / 2)
number("at mu = std = 1 pathwise loses above k", low)
there = [estimators.cos_moments(low, 1, 1, name).dmu.variance for name in ("pathwise", "score-function")]
beside("there, the library's ratio of the two variances", there[0] / there[1], 1, within=1e-9)
guess("At k = 3 the gradient by mu is -0.0047. Which estimate of it scatters more, and how much more?")
one, waves = np.ones((1, 1)), {}
for k in (0.5, 1.0, 1.5, 2.0, 3.0):
    draws = rng.standard_normal((m, 1, 1))  # (S, B, L)
    path = estimators.pathwise(lambda z, k=k: -k * np.sin(k * z), one, 0 * one, draws)
    score = estimators.score_function(lambda z, k=k: np.cos(k * z[..., 0]), one, 0 * one, draws)
    waves[k] = path[0], score[0]
for i, name in enumerate(("pathwise", "score-function")):
    g = np.cos(3 * (1 + nodes)) * nodes if i else -3 * np.sin(3 * (1 + nodes))
    exact = cos_variances(3.0)[i]
    beside(f"cos(3z), {name}: gradient", weights @ g, -3 * np.sin(3) * np.exp(-4.5), within=1e-9)
    beside(f"cos(3z), {name}: by quadrature", weights @ g**2 - (weights @ g) ** 2, exact, within=1e-9)
    hold(f"cos(3z), {name}", waves[3.0][i], weights @ g, exact, estimators.cos_moments(3, 1, 1, name).dmu)
say("Pathwise, nine times: slopes between -3 and 3 cancel to 0.0047, while f stays between -1 and 1.")

figure, axes = canvas(height=3.3, width=6.6)
k = np.linspace(0.05, 3.2, 200)
for i, colour, label, height in ((0, BLUE, "pathwise", 3.6), (1, RED, "score function", 0.9)):
    axes.plot(k, cos_variances(k)[i], color=colour, linestyle=STYLES[colour])
    axes.plot(list(waves), [grads[i].var() for grads in waves.values()], "o", color=colour)
    axes.text(2.4, height, label, color=colour, ha="right")
axes.axvline(low, color="black", linewidth=0.6)
axes.text(low - 0.05, 4.4, f"k = {low:.4f}", ha="right")
axes.set(xlabel="k", ylabel="variance of the gradient by mu", ylim=(0, 5.2))
axes.set_title(
    "cos(kz) at mu = std = 1: pathwise loses where the slope swings (dots: measured)", fontsize="medium"
)
save(figure, "crossing")

# %% [markdown]
# It fails at home as well, on the VAE's own KL: f = log q(z) - log p(z). At std = 1 and mu = 0.5 it is
# mu z - mu^2 / 2, which is small: A = 0, B = 0.5, C = 0.125. mu stands in it twice, in z and in log q. What
# automatic differentiation takes follows both: log q(z) is -eps^2 / 2 and a constant, it stands still, and
# -log p(z) has the slope z, of variance 1. But d log q / dmu at a held z is the score, of mean 0, and may be
# left out: then only z moves ("sticking the landing"), and the slope of f is mu at every z, of variance 0.
# (The closed form of lesson 2 does not scatter at all, and is what a VAE takes.)
# %%
half, zero = 0.5 * one, 0 * one
guess("""The KL's gradient at mu = 0.5, std = 1, in three ways: score function, pathwise, pathwise with log
q's mu held. Order them by how much they scatter.""")
kl_score, _ = estimators.score_function(
    lambda z: mv.ops.gaussian_log_prob(z, half, zero) - mv.ops.gaussian_log_prob(z, zero, zero),
    half,
    zero,
    eps,
)
kl_path, _ = estimators.pathwise(lambda z: z, half, zero, eps)  # mu moves z and stands in log q
kl_held, _ = estimators.pathwise(lambda z: half[0, 0] + 0 * z, half, zero, eps)  # mu in log q is held
names = ("score-function", "pathwise", "sticking-the-landing")
moments = [estimators.kl_moments(0.5, 1, name).dmu for name in names]
hold("KL, score function", kl_score, 0.5, of_score(0, 0.5, 0.125), moments[0])
hold("KL, pathwise", kl_path, 0.5, 1, moments[1])
hold("KL, pathwise, log q's mu held", kl_held, 0.5, 0, moments[2])
say("""The score function scatters half as much as the usual pathwise gradient, and both more than the one
that leaves out log q's own mu, which at std = 1 is exact. At another std it is not.""")

# %% [markdown]
# ## 7. Take a step
#
# f(z) = 1 where z > 0, and 0 elsewhere. With Phi the distribution function and phi the density of N(0, 1),
# its mean is Phi(mu / std), and at mu = std = 1
#
#     d/dmu E f = phi(1)      d/dlogvar E f = -1/2 phi(1)      variance by mu: Phi(1) - phi(1) - phi(1)^2
#
# f' is 0 wherever it exists. The second trick differentiates under the average, which needs that f does not
# jump.
# %%
section("7. Take a step")
phi, Phi = math.exp(-0.5) / math.sqrt(2 * math.pi), 0.5 * (1 + math.erf(math.sqrt(0.5)))
guess("The exact gradient by mu is phi(1) = 0.242. What do the two estimates say?")
along, _ = estimators.pathwise(lambda z: 0 * z, one, zero, eps)
jump, jump_logvar = estimators.score_function(lambda z: (z[..., 0] > 0).astype(float), one, zero, eps)
error = math.sqrt((Phi - phi - phi**2) / n)
beside("step, pathwise by mu: mean", along.mean(), 0, within=0)
beside("step, score function by mu: mean", jump.mean(), phi, within=5 * error)
beside("step, score function by mu: variance", jump.var(), n * error**2, within=0.01)
beside("step, score function by logvar: mean", jump_logvar.mean(), -phi / 2, within=0.003)
say("Pathwise says 0 with variance 0: it scatters least of all, and is wrong. Ask for the mean first.")

# %% [markdown]
# So the slides need their conditions. "It is impossible to use the Monte Carlo estimation" (Isachenko): it is
# possible for the encoder, twice over. "Huge variance" (the same): the score function's is huge where f is
# large and latents are many, as in a VAE: there the reparameterization is the better by far, and one sample
# for each image the custom. Where f jumps or ripples, it is not.
#
# ## Try on your own
#
# * In section 3 let mu be 0, then 10. Which variances grow, and how? (The score function's as mu^4, pathwise
#   by logvar as mu^2, pathwise by mu not at all.)
# * In section 4 include the own sample at K = 2 and at K = 16. What is the mean? (2 and 3.75.)
# * In section 7 smooth the step, f(z) = 1 / (1 + exp(-z / w)), and let w fall from 1 to 0.01. How does the
#   variance of the pathwise gradient change? (It grows as 1 / w. At w = 0 it is 0, and the mean is wrong.)
# * `python -m minivae variance` measures all this on more costs, and `--model runs/1` on a trained VAE.
#
# **Exercises** `python -m lessons start 10` (the sample and its backward), `python -m lessons start 11` (the
# score), `python -m lessons start 12` (the score function), `python -m lessons start 13` (the best baseline),
# `python -m lessons start 14` (leave-one-out).
#
# ## Further reading
#
# * Ronald Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement
#   Learning", 1992: the score function, and its baseline
# * Diederik Kingma and Max Welling, "Auto-Encoding Variational Bayes", 2014: the reparameterization
# * Shakir Mohamed, Mihaela Rosca, Michael Figurnov and Andriy Mnih, "Monte Carlo Gradient Estimation in
#   Machine Learning", 2020: these and others, and where each is the better
# * Geoffrey Roeder, Yuhuai Wu and David Duvenaud, "Sticking the Landing: Simple, Lower-Variance Gradient
#   Estimators for Variational Inference", 2017
# * Wouter Kool, Herke van Hoof and Max Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!", 2019

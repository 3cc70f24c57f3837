# %% [markdown]
# # 6. Estimate a gradient through noise
#
# **You will** differentiate an average over random z in two ways, with the score function and by
# reparameterization, and measure the variance of each.
#
# **You will learn** why both are right on average; how large their variances are; what a baseline does, and
# which baseline biases the gradient; how the variances grow with the number of latents; where
# reparameterization has the larger variance, and where its result is wrong.
#
# **You need** lessons 2 and 5, the moments E eps^2 = 1, E eps^4 = 3, E eps^6 = 15 of N(0, 1); 40 minutes.
#
# **New names** `ops.gaussian_score`, `ops.gaussian_sample_backward`, `estimators.score_function`,
# `estimators.pathwise`, `estimators.optimal_baseline`, `estimators.leave_one_out`,
# `lab.moments.quadratic_moments`, `lab.moments.cos_moments`, `lab.moments.kl_moments`
#
# %%
import math

import numpy as np

import minivae as mv
from lessons.drawings import lesson06 as drawings
from lessons.lab.moments import cos_moments, kl_moments, quadratic_moments
from lessons.story import beside, guess, number, save, say, section
from minivae import estimators, gradcheck

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. See why the gradient does not move inside
#
# The loss is an average over z ~ q = N(mu, std^2). The encoder computes mu and std, so q depends on its
# weights, and we need the derivative with respect to mu (and std):
#
#     d/dmu E_q[f(z)] = d/dmu int q(z) f(z) dz = int dq/dmu f(z) dz
#
# A slide says that "it is impossible to use the Monte-Carlo estimation" here (Isachenko). That is true of
# the integral in this form: an average over draws needs a density under the integral, and dq/dmu is not
# one. It does not help to draw z first and then differentiate, because once z is a number, f(z) no longer
# depends on mu. The decoder's weights theta are easier: they appear only in f, so their derivative moves
# inside, and int q df/dtheta dz is an average over q.
# %%
section("1. See why the gradient does not move inside")
grid = np.linspace(-10, 14, 24001)  # (24001,)
width = grid[1] - grid[0]
q = np.exp(-0.5 * (grid - 2) ** 2) / math.sqrt(2 * math.pi)  # mu = 2, std = 1
dq = (grid - 2) * q  # dq/dmu
guess("A density is nonnegative and its integral is 1. What is the integral of dq/dmu?")
beside("integral of dq/dmu", dq.sum() * width, 0, 1e-12)
beside("integral of |dq/dmu|", np.abs(dq).sum() * width, math.sqrt(2 / math.pi), 1e-6)
say("""It is 0: the integral of q is 1 for every mu, so the negative and the positive parts of dq/dmu cancel.
dq/dmu is not a density, and we cannot draw from it. But the formula is right. For f = z^2, E f is mu^2 +
std^2, and its derivative with respect to mu is 2 mu:""")
beside("integral of dq/dmu z^2", (dq * grid**2).sum() * width, 2 * 2, 1e-9)

# %% [markdown]
# ## 2. Derive both estimators
#
# **The log-derivative trick** multiplies and divides by q. Since dq / q = d log q,
#
#     int dq/dmu f dz = int q dlogq/dmu f dz = E_q[f(z) score(z)]      the density moves, f is fixed
#     score w.r.t. mu       (z - mu) / std^2
#     score w.r.t. logvar   1/2 ((z - mu)^2 / std^2 - 1)
#
# **The reparameterization trick** removes the parameters from the density, z = mu + std eps with
# eps ~ N(0, 1):
#
#     d/dmu E_eps[f(mu + std eps)] = E_eps[f'(z) dz/dmu]               z moves, the density is fixed
#     dz/dmu = 1        dz/dlogvar = 1/2 std eps
#
# The first estimator (the *score function*) needs only values of f; the second (the *pathwise* gradient)
# needs the derivative f'. A slide says that "we cannot perform partial derivatives over a stochastic
# operation" (Bonvicini). The first estimator avoids this: it differentiates the density, not the operation.
# The second rewrites the operation as a deterministic function of mu, std and eps.
# %%
section("2. Derive both estimators")


def f(z):
    """(S, B, L) -> (S, B)"""
    return (z * z).sum(axis=-1)


mu, logvar, n = np.full((1, 1), 2.0), np.zeros((1, 1)), 1_000_000  # (B, L) each; std = 1
eps = rng.standard_normal((n, 1, 1))  # (S, B, L)
z = mv.ops.gaussian_sample(mu, logvar, eps)  # (S, B, L)
scores = mv.ops.gaussian_score(z, mu, logvar)  # w.r.t. mu (S, B, L), w.r.t. logvar (S, B, L)
score_grads = [f(z)[..., None] * score for score in scores]
path_grads = [2 * z, 2 * z * 0.5 * eps]
say("The formulas and the library give the same estimate for every sample:")
difference = np.subtract(score_grads, estimators.score_function(f, mu, logvar, eps))
beside("score function: largest difference", np.abs(difference).max(), 0, 1e-12, word="expected")
difference = np.subtract(path_grads, estimators.pathwise(lambda z: 2 * z, mu, logvar, eps))
beside("pathwise: largest difference", np.abs(difference).max(), 0, 1e-12, word="expected")
_, dlogvar = mv.ops.gaussian_sample_backward(2 * z / n, mu, logvar, eps)
beside("gaussian_sample_backward sums to", dlogvar[0, 0], path_grads[1].mean(), 1e-12, word="mean")
guess("""In z = mu + sigma zeta, "it's still not possible to perform backpropagation in the branch with zeta"
(Bonvicini). What is dz/dzeta?""")
slope = gradcheck.complex_step(lambda eps: mv.ops.gaussian_sample(1.0 + 0 * mu, 1.0 + logvar, eps), eps[0])
beside("dz/dzeta at logvar = 1, by the complex step", slope[0, 0], math.exp(0.5), 1e-14, word="sigma")
say("""The derivative exists and equals sigma, so backpropagation is possible. We do not need it, because zeta
(our eps) does not depend on any weight.""")

# %% [markdown]
# ## 3. Compute the variances
#
# Let g be the exact gradient and G its estimate from one sample. For f = z^2 at mu = 2, std = 1, with respect
# to mu (the odd powers of eps have mean 0):
#
#     score function   G = (2 + eps)^2 eps     E G^2 = 16 E eps^2 + 24 E eps^4 + E eps^6 = 16 + 72 + 15 = 103
#                                              Var G = 103 - 4^2 = 87
#     pathwise         G = 2 (2 + eps)         Var G = 4
#
# For any f = a eps^2 + b eps + c (here a = 1, b = 2 mu = 4, c = mu^2 = 4) the same steps give
#
#     score function   mu   15 a^2 + 6 a c + 2 b^2 + c^2       logvar   (74 a^2 + 20 a c + 10 b^2 + 2 c^2) / 4
#     pathwise         mu   4 a^2                              logvar   (8 a^2 + b^2) / 4
#
# A *measured* variance has a standard error too, ((m4 - Var^2) / n)^(1/2) with m4 = E (G - g)^4. The usual
# formula Var (2 / n)^(1/2) is for Gaussian samples, where m4 = 3 Var^2. (Papers often differentiate with
# respect to std instead of logvar. This multiplies gradients by 2 / std and variances by 4 / std^2.)
# %%
section("3. Compute the variances")


def compare(name, grad, mean, variance, moments):
    """Compare a measured mean and variance with the exact ones, to five standard errors."""
    beside(f"{name}: mean", grad.mean(), mean, 5 * math.sqrt(variance / grad.size))
    beside(f"{name}: variance", grad.var(), variance, 5 * moments.variance_error(grad.size))


def score_variance(a, b, c):
    """Variance of the score function w.r.t. mu at std = 1, for f = a eps^2 + b eps + c."""
    return 15 * a * a + 6 * a * c + 2 * b * b + c * c


sf = quadratic_moments(1, 0, 0, 2, 1, "score-function")  # f = 1 z^2 + 0 z + 0, mu = 2, std = 1
pw = quadratic_moments(1, 0, 0, 2, 1, "pathwise")
guess("The exact gradient w.r.t. mu is 2 mu = 4. Which mean is closer to it, and which estimator is biased?")
compare("score function, mu", score_grads[0], 4, score_variance(1, 4, 4), sf.dmu)
compare("pathwise, mu", path_grads[0], 4, 4, pw.dmu)
compare("score function, logvar", score_grads[1], 1, (74 + 20 * 4 + 10 * 16 + 2 * 16) / 4, sf.dlogvar)
compare("pathwise, logvar", path_grads[1], 1, (8 + 16) / 4, pw.dlogvar)
number("score-function samples per pathwise sample", score_variance(1, 4, 4) / 4)
say("Neither is biased. The pathwise mean is closer because its variance is smaller.")
nodes, weights = np.polynomial.hermite_e.hermegauss(100)  # E h(eps) = weights @ h(nodes)
weights /= weights.sum()
fourth = weights @ ((2 + nodes) ** 2 * nodes - 4) ** 4  # exact: a polynomial
beside("m4 of the score function, mu", sf.dmu.fourth, fourth, 1e-6)
guess(
    "If you compute the error of the measured variance as Var (2 / n)^(1/2), by what factor is it too small?"
)
number("true error / Gaussian error, mu", sf.dmu.variance_error(n) / (87 * math.sqrt(2 / n)))
number("true error / Gaussian error, logvar", sf.dlogvar.variance_error(n) / (86.5 * math.sqrt(2 / n)))
say("""A small share of the samples contributes most of the variance: m4 is 26.8 Var^2 for mu and 177.5 Var^2
for logvar, not 3 Var^2.""")

figure = drawings.two_tricks(score_grads[0].ravel(), path_grads[0].ravel(), (87, 4))
save(figure, "two_tricks", dpi=200)

# %% [markdown]
# ## 4. Subtract a baseline
#
# "Unstable solution with huge variance", a slide says of the log-derivative trick (Isachenko). Much of that
# variance comes from the size of f: the estimate is f times the score, which is noise of mean 0, and in a VAE
# f is about a hundred nats. But because the score has mean 0, we can subtract a constant t from f, a
# *baseline*, and the mean of the estimate does not change:
#
#     E[(f - t) score] = E[f score] - t E[score] = g
#     Var = E[(f - t)^2 score^2] - g^2      least where -2 E[f score^2] + 2 t E[score^2] = 0,
#                                           t = E[f score^2] / E[score^2]
#
# In the formulas of section 3, c becomes c - t. The best t is c + 3 a = 7 for mu and c + 5 a = 9 for logvar.
# The mean E f = a + c = 5 is simpler to estimate and nearly as good.
# %%
section("4. Subtract a baseline")
guess("The variance for f = z^2 is 87. What is it for f = z^2 + 100, which has the same gradient?")
for name, c, t in (("z^2 + 100", 100, 0.0), ("z^2, baseline 5", 0, 5.0), ("z^2, baseline 7", 0, 7.0)):
    grad, _ = estimators.score_function(lambda z, c=c: f(z) + c, mu, logvar, eps, baseline=t)
    moments = quadratic_moments(1, 0, c - t, 2, 1, "score-function").dmu
    compare(name, grad, 4, score_variance(1, 4, 4 + c - t), moments)
say("""It is 11,487, or 132 times as much, only because of a constant. A baseline removes what the constant
adds, and more than half of the original 87.""")
best = estimators.optimal_baseline(f, mu, logvar, rng.standard_normal((n, 1, 1)))
say("""In practice the best baseline is not known. We estimate it from other draws (the tolerance is about
five standard errors):""")
beside("best baseline for mu, from other draws", best[0][0, 0], 7, 0.1)
beside("best baseline for logvar, from other draws", best[1][0, 0], 9, 0.3)

# %% [markdown]
# The draws must be *other* ones, because a baseline that depends on the sample's own f is not a constant.
# Suppose we subtract from each f_k the mean of all S costs. This mean contains f_k / S, so the estimate is
# biased: its mean is (1 - 1/S) g. **Leave-one-out** subtracts the mean of the other S - 1 costs instead, and
# is unbiased. With Var f = 2 a^2 + b^2 = 18, and the variance 42 for the baseline E f, the mean of its S
# estimates has the variance
#
#     Var = 42 / S + (Var f + g^2) / (S (S - 1))
#
# Proof: with d = f - E f and the score s, the estimate is
#
#     1/S sum_k d_k s_k  -  sum_{j != k} d_j s_k / (S (S - 1))
#
# The first part has the variance 42 / S. The second has mean 0 and, since E d_j = E s_k = 0, is not
# correlated with the first. Each of its S (S - 1) products has the variance Var f E s^2 = Var f, and d_j s_k
# is correlated with only one other product, d_k s_j: E[d_j s_k d_k s_j] = g^2.
# %%
S, groups = 4, 100_000
noise = rng.standard_normal((S, groups, 1))  # (S, B, L): every datum is a group of S samples
mus, logvars = np.full((groups, 1), 2.0), np.zeros((groups, 1))  # (B, L) each
group_z = mv.ops.gaussian_sample(mus, logvars, noise)  # (S, B, L)
cost, score = f(group_z), mv.ops.gaussian_score(group_z, mus, logvars)[0]  # (S, B), (S, B, L)
own = ((cost - cost.mean(axis=0))[..., None] * score).mean(axis=0)  # (B, L)
others = estimators.leave_one_out(f, mus, logvars, noise)[0].mean(axis=0)  # (B, L)
variance = 42 / S + (18 + 4**2) / (S * (S - 1))
guess("S = 4, and the exact gradient is 4. What is the mean if the baseline includes the sample itself?")
beside("own sample included: mean", own.mean(), 4 * (1 - 1 / S), 5 * math.sqrt(variance / groups))
say("It is 3: a quarter of the gradient is lost, and averaging over more groups does not bring it back.")
moments = quadratic_moments(1, 0, 0, 2, 1, "leave-one-out", samples=S).dmu
compare("leave-one-out", others, 4, variance, moments)

# %% [markdown]
# ## 5. Add dimensions
#
# Let f = sum_i z_i^2 over L latents at mu = 0, std = 1. The score of one latent is multiplied by the cost of
# all latents. Let "rest" be the cost of the L - 1 others: its mean is L - 1 and its variance 2 (L - 1).
#
#     score function   E (eps^2 + rest)^2 eps^2 = E eps^6 + 2 E eps^4 E rest + E eps^2 E rest^2
#                                               = 15 + 6 (L - 1) + (L - 1)^2 + 2 (L - 1) = (L + 2) (L + 4)
#     best baseline    t = L + 2, with variance 2 L + 4
#     pathwise         G = 2 z_i, variance 4: the slope depends on its own latent only
# %%
section("5. Add dimensions")
guess("At L = 1 the variances are 15, 6 and 4. What are they at L = 100?")
growth = {
    "score-function": lambda L: (L + 2) * (L + 4),
    "score-function-optimal-baseline": lambda L: 2 * L + 4,
    "pathwise": lambda L: 4 + 0 * L,
}
points, m = {}, 40_000
for L in (1, 10, 100):
    zero, blocks = np.zeros((1, L)), []  # (B, L)
    for _ in range(10):  # in blocks of 4,000 samples, to save memory
        many = rng.standard_normal((m // 10, 1, L))  # (S, B, L)
        plain, based = (estimators.score_function(f, zero, zero, many, t)[0] for t in (0.0, L + 2.0))
        path = estimators.pathwise(lambda z: 2 * z, zero, zero, many)[0]
        blocks.append([grad[:, 0, 0].copy() for grad in (plain, based, path)])  # of the first latent
    for (name, exact), grad in zip(growth.items(), np.hstack(blocks), strict=True):  # grad (m,)
        points[name, L] = grad.var()
        error = quadratic_moments(1, 0, 0, 0, 1, name, dim=L).dmu.variance_error(m)
        beside(f"L = {L}, {name}", points[name, L], exact(L), 5 * error)
say("""At L = 100 they are 10,608, 204 and 4: for large L the first grows as L^2, the second as L, and the
third is constant. Here the slide's word "huge" is right.""")

levels = {t: ((f(z)[..., None] - t) * scores[0]).var() for t in (0, 5, 7, 9, 12)}
figure = drawings.baselines_and_dimensions(lambda t: score_variance(1, 4, 4 - t), levels, growth, points)
save(figure, "baselines_and_dimensions", dpi=200)

# %% [markdown]
# ## 6. Find where the rule fails
#
# "Reparameterization has the lower variance" is not a theorem. With respect to mu, the variance of the score
# function depends on the size of f. The variance of the pathwise gradient depends on how much the slope of f
# varies: for f = 100 z, which is steep, it is 0. Take f = cos(kz): its values lie between -1 and 1, and its
# slope varies between -k and k. At std = 1,
#
#     the gradient             g = -k sin(k mu) e^(-k^2 / 2);    w = e^(-2 k^2) cos(2 k mu) = E cos 2kz
#     pathwise, mu             k^2/2 (1 - w) - g^2
#     score function, mu       1/2 (1 + (1 - 4 k^2) w) - g^2
#
# These follow from sin^2 kz = (1 - cos 2kz) / 2, cos^2 kz = (1 + cos 2kz) / 2, and E eps^2 cos 2kz =
# (1 - 4 k^2) w.
# %%
section("6. Find where the rule fails")


def cos_variances(k, mu=1.0):
    """Variance w.r.t. mu of cos(kz) at std = 1: pathwise, score function."""
    w, g = np.exp(-2 * k * k) * np.cos(2 * k * mu), -k * np.sin(k * mu) * np.exp(-k * k / 2)
    return k * k / 2 * (1 - w) - g * g, 0.5 * (1 + w * (1 - 4 * k * k)) - g * g


low, high = 0.5, 2.0
for _ in range(60):  # bisect for the k where the two are equal
    wins = np.subtract(*cos_variances((low + high) / 2)) < 0
    low, high = ((low + high) / 2, high) if wins else (low, (low + high) / 2)
number("at mu = std = 1 pathwise is worse above k", low)
there = [cos_moments(low, 1, 1, name).dmu.variance for name in ("pathwise", "score-function")]
beside("ratio of the two variances there, by quadrature", there[0] / there[1], 1, 1e-9)
guess("At k = 3 the gradient w.r.t. mu is -0.0047. Which estimator has the larger variance, by what factor?")
one, waves = np.ones((1, 1)), {}
for k in (0.5, 1.0, 1.5, 2.0, 3.0):
    draws = rng.standard_normal((m, 1, 1))  # (S, B, L)
    path = estimators.pathwise(lambda z, k=k: -k * np.sin(k * z), one, 0 * one, draws)
    score = estimators.score_function(lambda z, k=k: np.cos(k * z[..., 0]), one, 0 * one, draws)
    waves[k] = path[0], score[0]
for i, name in enumerate(("pathwise", "score-function")):
    G = np.cos(3 * (1 + nodes)) * nodes if i else -3 * np.sin(3 * (1 + nodes))
    exact = cos_variances(3.0)[i]
    beside(f"cos(3z), {name}: gradient by quadrature", weights @ G, -3 * np.sin(3) * np.exp(-4.5), 1e-9)
    beside(f"cos(3z), {name}: variance by quadrature", weights @ G**2 - (weights @ G) ** 2, exact, 1e-9)
    compare(f"cos(3z), {name}", waves[3.0][i], weights @ G, exact, cos_moments(3, 1, 1, name).dmu)
say("""The pathwise gradient, by a factor of nine: it averages slopes between -3 and 3 to get -0.0047, while f
is only between -1 and 1.""")

measured = {k: [grads.var() for grads in pair] for k, pair in waves.items()}
save(drawings.crossing(cos_variances, measured, low), "crossing", dpi=200)

# %% [markdown]
# The rule also fails for the VAE's own KL: f = log q(z) - log p(z). At std = 1 and mu = 0.5 this is mu z -
# mu^2 / 2, which is small: a = 0, b = 0.5, c = 0.125 in the formulas of section 3. mu appears twice, in z and
# in log q. Automatic differentiation follows both: log q(z) is -eps^2 / 2 plus a constant, so its derivative
# is 0, and the derivative of -log p(z) is z, of variance 1. But d log q / dmu at fixed z is the score, which
# has mean 0 and can be left out. Then mu acts through z alone ("sticking the landing"), and the slope of f is
# mu at every z, so the variance is 0. (The closed form of lesson 2 needs no draws, so it has no variance for
# any mu and std. It is what a VAE uses.)
# %%
half, zero = 0.5 * one, 0 * one
guess("""Three estimates of the KL's gradient at mu = 0.5, std = 1: score function, pathwise, pathwise with
the mu in log q fixed. Order them by their variance.""")


def kl_cost(z):
    """log q(z) - log p(z)"""
    return mv.ops.gaussian_log_prob(z, half, zero) - mv.ops.gaussian_log_prob(z, zero, zero)


kl_score, _ = estimators.score_function(kl_cost, half, zero, eps)
kl_path, _ = estimators.pathwise(lambda z: z, half, zero, eps)  # mu moves z and appears in log q
kl_fixed, _ = estimators.pathwise(lambda z: half[0, 0] + 0 * z, half, zero, eps)  # log q's mu is fixed
names = ("score-function", "pathwise", "sticking-the-landing")
moments = [kl_moments(0.5, 1, name).dmu for name in names]
compare("KL, score function", kl_score, 0.5, score_variance(0, 0.5, 0.125), moments[0])
compare("KL, pathwise", kl_path, 0.5, 1, moments[1])
compare("KL, pathwise, log q's mu fixed", kl_fixed, 0.5, 0, moments[2])
say("""The score function has about half the variance of the usual pathwise gradient. With the mu in log q
fixed, the variance of the pathwise gradient is 0, but only at std = 1.""")

# %% [markdown]
# ## 7. Differentiate a step function
#
# Let f(z) = 1 where z > 0, and 0 elsewhere. With Phi the distribution function and phi the density of
# N(0, 1), its mean is Phi(mu / std), and at mu = std = 1
#
#     d/dmu E f = phi(1)      d/dlogvar E f = -1/2 phi(1)      variance w.r.t. mu: Phi(1) - phi(1) - phi(1)^2
#
# f' is 0 wherever it exists. Reparameterization moves the derivative inside the average; this is not allowed
# where f has a jump.
# %%
section("7. Differentiate a step function")
phi, Phi = math.exp(-0.5) / math.sqrt(2 * math.pi), 0.5 * (1 + math.erf(math.sqrt(0.5)))
guess("The exact gradient w.r.t. mu is phi(1) = 0.242. What are the two estimates?")
along, _ = estimators.pathwise(lambda z: 0 * z, one, zero, eps)
jump, jump_logvar = estimators.score_function(lambda z: (z[..., 0] > 0).astype(float), one, zero, eps)
error = math.sqrt((Phi - phi - phi**2) / n)
number("step, pathwise, mu: mean", along.mean())
beside("step, score function, mu: mean", jump.mean(), phi, 5 * error)
beside("step, score function, mu: variance", jump.var(), n * error**2, 0.01)
beside("step, score function, logvar: mean", jump_logvar.mean(), -phi / 2, 0.003)
say("The pathwise estimate is always 0: no variance is smaller, but the mean is wrong.")

# %% [markdown]
# So the slides' sentences need conditions. "It is impossible to use the Monte-Carlo estimation" (Isachenko):
# for the encoder's gradient it is possible, in two ways. "Huge variance" (also Isachenko): the variance of
# the score function is huge where f is large and there are many latents, as in a VAE. There
# reparameterization is much better, and one sample for each image is usually enough. Where f oscillates fast
# it can be worse, and where f jumps it is wrong.
#
# ## Try on your own
#
# * Print `quadratic_moments(1, 0, 0, mu, 1, name)` for both estimators at mu = 1, 10 and 100. Which variances
#   grow, and how? (For large mu, those of the score function as mu^4, that of the pathwise gradient w.r.t.
#   logvar as mu^2. W.r.t. mu the pathwise variance stays at 4.)
# * In section 4 set S = 2, then S = 16. What is the mean if the own sample is included? (2 and 3.75.)
# * In section 7 smooth the step, f(z) = 1 / (1 + exp(-z / h)), and reduce h from 0.1 to 0.001. How does the
#   variance of the pathwise gradient change? (It grows as 1 / h. At h = 0 it is 0, and the mean is wrong.)
# * `python -m lessons variance` measures all this for more costs, and with `--model runs/1` for a trained
#   VAE.
#
# **Exercises** `python -m lessons start 10` (the sample and its backward pass), `python -m lessons start 11`
# (the score), `python -m lessons start 12` (the score function), `python -m lessons start 13` (the best
# baseline), `python -m lessons start 14` (leave-one-out).
#
# ## Further reading
#
# * Ronald Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement
#   Learning", 1992: the score function, and its baseline
# * Diederik Kingma and Max Welling, "Auto-Encoding Variational Bayes", 2014: the reparameterization
# * Shakir Mohamed, Mihaela Rosca, Michael Figurnov and Andriy Mnih, "Monte Carlo Gradient Estimation in
#   Machine Learning", 2020: these and others, and where each is better
# * Geoffrey Roeder, Yuhuai Wu and David Duvenaud, "Sticking the Landing: Simple, Lower-Variance Gradient
#   Estimators for Variational Inference", 2017
# * Wouter Kool, Herke van Hoof and Max Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!", 2019

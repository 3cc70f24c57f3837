# %% [markdown]
# # 1. Fit a latent variable
#
# **You will** write down a model with one latent variable z, compute its posterior on a grid, and see why
# neither a grid nor sampling from the prior works in many dimensions.
#
# **You will learn** what the prior, the likelihood, the evidence, the posterior and the predictive density
# are; how the MLE, the MAP and the posterior mean differ; why the evidence, which every later lesson needs,
# is hard to compute.
#
# **You need** Gaussian densities, Bayes' theorem and a little NumPy; about 30 minutes.
#
# **New names** `ops.gaussian_log_prob`
#
# How to read a lesson: `guess` asks a question; answer it before you read on. `beside` prints a number next
# to a reference value and stops the lesson if the two differ. `number` prints a number without a reference.
# The tolerance of a sampled number is usually four to five standard errors.
#
# The symbols of all lessons; `lessons/README.md` has the complete table:
#
#     B, D, L, S     numbers: examples in a batch, pixels (entries of x), latents (of z), samples of z per x
#     x, z, eps      data (B, D); latents (B, L) or (S, B, L); noise from N(0, 1), of the shape of z
#     p, q           p is a density of the model (prior, likelihood, posterior); q is a density that we choose
#     m(z)           the decoder: the mean of p(x|z)
#     mu, logvar     mean and log-variance of q;  std = exp(logvar / 2)
#     E[...], E_q    expectation, expectation under q
# %%
import math

import numpy as np

import minivae as mv
from lessons.drawings import lesson01 as drawings
from lessons.story import beside, guess, number, save, say, section

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Draw from a latent-variable model
#
# The model first draws z, which we do not observe. Then it draws x around z, and x is what we observe:
#
#     prior        p(z)   = N(z; 0, 1)
#     likelihood   p(x|z) = N(x; z, s^2),   s = 0.5
#
# The second argument of N is the variance. The library takes its logarithm, `logvar`, so that the
# variance and the standard deviation cannot be confused. It sums over the dimensions of x:
#
#     log N(x; m, v) = -1/2 sum (log 2 pi + log v + (x - m)^2 / v)
#
# log is the natural logarithm. Log-densities are measured in nats: 1 nat is a factor of e.
# %%
section("1. Draw from a latent-variable model")
s, n = 0.5, 100_000


def log_normal(x, mean, var):
    """log N(x; mean, var), elementwise: the formula above."""
    return -0.5 * (np.log(2 * np.pi) + np.log(var) + (x - mean) ** 2 / var)


drawn_z = rng.standard_normal(n)  # (n,)
noise = s * rng.standard_normal(n)  # (n,)
drawn_x = drawn_z + noise  # (n,)
column = np.ones((n, 1))  # n numbers x are a batch of B = n, each of dimension 1
library = mv.ops.gaussian_log_prob(drawn_x[:, None], column, math.log(s**2) * column)  # (n,)
formula = log_normal(drawn_x, 1, s**2)  # (n,)
beside("mean log N(x; 1, 0.25)", library.mean(), formula.mean(), 1e-12, word="formula")
beside("variance of the drawn x", drawn_x.var(), 1 + s**2, 0.025)
density = np.exp(log_normal(drawn_z, 0, 1))  # (n,) p(z) at each drawn z
beside("average p(z) at the drawn z", density.mean(), 1 / (2 * math.sqrt(math.pi)), 0.0016)
say("""x = z + 0.5 eps, and the variances of independent terms add: 1 + 0.25. A slide writes p(z) ~ N(0, 1)
(UvA). But z is drawn from N(0, 1), not p(z). p(z) is the density at z, a positive number of at most 0.4. Its
average over the draws is not 0 but 0.28, the integral of p(z)^2.""")

# %% [markdown]
# Two lectures write N(mu, sigma) (UvA, Bonvicini), one writes N(mu, sigma^2) (Marchioro), and two use both
# (Brown, Isachenko). The draws show which one is right. The mean of log N(s eps; 0, v) is
# -1/2 (log 2 pi + log v + s^2/v). It is largest at the variance of the draws, v = s^2. At v = s it is lower
# by 1/2 (s - log s - 1).
# %%
guess("""Is 0.5 eps drawn from N(0, 0.5) or from N(0, 0.25)? How many nats per observation does the wrong
reading cost?""")
lost = log_normal(noise, 0, s**2) - log_normal(noise, 0, s)  # (n,)
beside("sample variance of 0.5 eps", noise.var(), 0.25, 0.005)
beside("cost of reading v = 0.5, nats", lost.mean(), 0.5 * (s - math.log(s) - 1), 0.005)
say("It is N(0, 0.25): the second argument is sigma^2, and the sample variance shows it.")

# %% [markdown]
# A slide gives the PCA model as p(x|z) = N(x; W z + mu, Sigma_z) (Isachenko), with noise that depends on z.
# In probabilistic PCA the noise has the covariance sigma^2 I for every z, and so x is Gaussian. If the noise
# has the standard deviation s |z|, x has the same variance but another fourth moment:
#
#     E x^4 = E z^4 E (1 + s eps)^4 = 3 (1 + 6 s^2 + 3 s^4);   a Gaussian has 3 (1 + s^2)^2
# %%
other = 3 * (1 + 6 * s**2 + 3 * s**4) / (1 + s**2) ** 2
fourth = (drawn_x**4).mean(), ((drawn_z + np.abs(drawn_z) * noise) ** 4).mean()
beside("E x^4 / var^2, noise s", fourth[0] / (1 + s**2) ** 2, 3, 0.14)
beside("E x^4 / var^2, noise s |z|", fourth[1] / (1 + s**2) ** 2, other, 0.5)
say("If the noise depends on z, x is not Gaussian. If the noise is the same for every z, x is Gaussian.")

# %% [markdown]
# ## 2. Compute the posterior on a grid
#
# We observe x = 1. What does it tell us about z? Bayes' theorem:
#
#     posterior    p(z|x) = p(x|z) p(z) / p(x)
#     evidence     p(x)   = integral p(x|z) p(z) dz
#
# In one dimension we can compute the integral on a grid: multiply the two densities at every point, then sum.
# Here the exact results are known. x is a sum of independent Gaussians, so p(x) = N(x; 0, 1 + s^2). The
# log-density of the posterior is quadratic in z, so the posterior is Gaussian:
#
#     -z^2/2 - (x - z)^2/(2 s^2)     precision  1/var = 1 + 1/s^2        var  = s^2 / (1 + s^2)
#                                    mean = var x/s^2                    mean = x / (1 + s^2)
# %%
section("2. Compute the posterior on a grid")
say("z ~ N(0, 1), x|z ~ N(z, 0.25), and we observe x = 1.")
x, step = 1.0, 0.001
z = np.arange(-8, 8 + step / 2, step)  # (16001,)
prior = np.exp(log_normal(z, 0, 1))  # (16001,)
likelihood = np.exp(log_normal(x, z, s**2))  # (16001,) a function of z; it need not integrate to 1
evidence = (likelihood * prior).sum() * step
posterior = likelihood * prior / evidence  # (16001,)
mean = (z * posterior).sum() * step
var = ((z - mean) ** 2 * posterior).sum() * step
beside("log p(x), nats", math.log(evidence), log_normal(x, 0, 1 + s**2), 1e-12)
beside("posterior mean", mean, x / (1 + s**2), 1e-12)
beside("posterior variance", var, s**2 / (1 + s**2), 1e-12)
guess("""The maximum likelihood estimate (MLE) is the z of largest likelihood. The maximum a posteriori
estimate (MAP) is the z of largest posterior density. Which is nearer to 0?""")
beside("MLE of z", z[likelihood.argmax()], x, step / 2)
beside("MAP of z", z[posterior.argmax()], x / (1 + s**2), step / 2)
say("""The MAP. The prior shifts it from x = 1 towards 0, to 0.8, because noise is 20 % of the variance of x.
A Gaussian is highest at its mean, so here the MAP is the posterior mean. In section 5 they differ.""")

# %% [markdown]
# ## 3. Predict the next observation
#
# A second observation x' comes from the same z. Its predictive density averages the likelihood over the
# posterior:
#
#     p(x'|x) = integral p(x'|z) p(z|x) dz = N(x'; mean, var + s^2)
#
# A slide replaces the posterior of a parameter with a point mass at the MAP (Isachenko). For our z this
# predicts N(x'; z_MAP, s^2).
# %%
section("3. Predict the next observation")
guess("With the point mass, the 95 % interval is z_MAP +- 1.96 s. What share of all x' falls inside it?")
next_x = drawn_z + s * rng.standard_normal(n)  # (n,) a second observation for every drawn z
best_z = drawn_x / (1 + s**2)  # (n,) the MAP of each
half = 1.959964 * s
beside("variance of x' around the MAP", ((next_x - best_z) ** 2).mean(), var + s**2, 0.01)
covered = (np.abs(next_x - best_z) < half).mean()
beside("share inside the 95 % interval", covered, math.erf(half / math.sqrt(2 * (var + s**2))), 0.005)
say("""86 %, not 95 %. The point mass ignores the uncertainty about z: the predictive variance is 0.45, and
only s^2 = 0.25 of it is noise in x'. Before we saw x, the variance of an observation was 1.25, because p(x)
averages over the prior. A slide warns not to confuse the two averages (Isachenko).""")

# %% [markdown]
# ## 4. Rename z and watch the MAP move
#
# Describe the same latent by u = e^z. The change of variables multiplies its density by |dz/du| = 1/u:
#
#     p(u|x) = p(z|x) / u    so that    log p(u|x) = log p(z|x) - z,    largest at    z = mean - var
# %%
section("4. Rename z and watch the MAP move")
guess("Describe the latent by u = e^z. Which estimate still corresponds to the same z, the MLE or the MAP?")
renamed = posterior / np.exp(z)  # (16001,) density of u, at the points u = e^z
beside("log of the MAP of u", z[renamed.argmax()], (x - s**2) / (1 + s**2), step / 2)
say("""The MLE. The MAP moves from 0.8 to 0.6: a density is probability per unit of length, and e^z stretches
the axis more on the right than on the left. The likelihood is not a density of z, so its maximum does not
move. The probabilities of intervals do not change either.""")

# %% [markdown]
# ## 5. Bend the decoder
#
# The decoder is the mean m(z) in p(x|z) = N(x; m(z), s^2). Take m(z) = z^2 and s = 0.25. Now the posterior
# has no closed form, so we need the grid. But two facts about it are known exactly:
#
#     the slope of log p(z|x) is 0    2 z (x - z^2)/s^2 - z = 0,   so the MAP has z^2 = x - s^2/2
#     Tweedie's formula               E[m(z)|x] = x + s^2 d log p(x)/dx,   by differentiating p(x)
# %%
section("5. Bend the decoder")
s_bent = 0.25


def bent_joint(x):
    """p(x, z) on the grid, for the decoder z^2."""
    return np.exp(log_normal(x, z**2, s_bent**2)) * prior


bent = bent_joint(x) / (bent_joint(x).sum() * step)  # (16001,)
guess("x = 1 and m(z) = z^2. Where is the MAP, where is the posterior mean, and what is m(z) at each?")
beside("|MAP|, decoder z^2", abs(z[bent.argmax()]), math.sqrt(x - s_bent**2 / 2), step / 2)
beside("posterior mean, decoder z^2", (z * bent).sum() * step, 0, 1e-12)
slope = math.log(bent_joint(x + 1e-4).sum() / bent_joint(x - 1e-4).sum()) / 2e-4
average = (z**2 * bent).sum() * step
beside("E[m(z)|x]", average, x + s_bent**2 * slope, 1e-7, word="by differences")
number("posterior density at its mean, relative to its peak", bent[len(z) // 2] / bent.max())
say("""The posterior has two modes of equal height, so there are two MAPs. At both, m(z) = x - s^2/2 = 0.97 is
close to x. The posterior mean is 0, between the modes, and m(0) = 0 is far from x = 1. No single point and no
Gaussian describes such a posterior well. Lesson 2 fits a Gaussian to it.""")
likelihoods = likelihood, np.exp(log_normal(x, z**2, s_bent**2))  # (16001,) each
save(drawings.posteriors(z, prior, likelihoods, (posterior, bent)), "posteriors", dpi=200)

# %% [markdown]
# ## 6. Fit the decoder's weight
#
# So far the decoder was known. Now x_i = w z_i + s eps_i with an unknown w, and we observe 300 values of x.
# Maximum likelihood chooses the w with the largest sum of log p(x_i), where each z_i is integrated out. Since
# p(x) = N(x; 0, w^2 + s^2), the answer is known. Can we avoid the integral and use the best z_i instead?
#
#     z_i integrated out     w^2 + s^2 = average of x^2
#     the best z_i           p(x_i, z_i) is largest at z_i = w x_i / (w^2 + s^2)
# %%
section("6. Fit the decoder's weight")
data = 1.5 * rng.standard_normal(300) + s * rng.standard_normal(300)  # (300,)
fine = np.linspace(-6, 6, 601)  # (601,)


def integrated(w, data=data):
    """Sum of log p(x_i) at the weight w."""
    joint = log_normal(data[:, None], w * fine, s**2) + log_normal(fine, 0, 1)  # (300, 601)
    return np.log(np.exp(joint).sum(axis=1) * 0.02).sum()


def best_joint(w):
    """Sum of log p(x_i, z_i) at the weight w and the best z_i."""
    best = w * data / (w**2 + s**2)  # (300,)
    return (log_normal(data, w * best, s**2) + log_normal(best, 0, 1)).sum()


def best_weight(objective):
    """The w between 0.1 and 10 with the largest objective: a grid, then finer grids around its best point."""
    w = max(np.linspace(0.1, 10, 100), key=objective)
    for width in (0.1, 0.01, 0.001, 1e-4, 1e-5):
        w = max(np.linspace(w - width, min(w + width, 10), 21), key=objective)
    return w


guess("x = 1.5 z + 0.5 eps. Which w up to 10 is best if z is integrated out? And with the best z for each x?")
beside("best w, z integrated out", best_weight(integrated), math.sqrt((data**2).mean() - s**2), 1e-5)
beside("best w, the best z for each x", best_weight(best_joint), 10, 1e-12)
say("""With the best z, the largest allowed w is best: with a large w, small z are enough, and small z have a
high prior density. But few z are that small, and only the integral takes this into account. So we need the
integral, for every x and for every w that we try.""")
one = data[data > 1][:1]  # (1,)
beside(
    "best w for one x alone", best_weight(lambda w: integrated(w, one)), math.sqrt(one[0] ** 2 - s**2), 1e-5
)
number("best w for the largest x alone", math.sqrt((data**2).max() - s**2))
say("""In the last line of a slide's derivation the sum over i is missing (Isachenko): that line maximizes
log p(x_i) for a single x_i. Then every x_i leads to another w, which fits only this x_i.""")

# %% [markdown]
# The same lecture also gives the parameter a prior (Isachenko): p(w|X) = p(X|w) p(w) / p(X). This is Bayesian
# inference over the parameters. There is one posterior of w for all 300 x, while each x has a posterior of
# its own z. The evidence p(X), now an integral over w, can be used to compare models. In these lessons w has
# no prior and gets a single value.

# %% [markdown]
# ## 7. Count the grid points
#
# How many points on [-6, 6] does the integral need for an error of 1 %? With L latents and k points on each
# axis, the grid has k^L points, and a relative error of e on each axis becomes (1 + e)^L - 1.
# %%
section("7. Count the grid points")


def points(L):
    """How many points on each of L axes keep the relative error of the integral below 1 %."""
    enough = 1
    for k in range(2, 60):
        axis, gap = np.linspace(-6, 6, k, retstep=True)  # (k,)
        joint = np.exp(log_normal(x, axis, s**2) + log_normal(axis, 0, 1))  # (k,)
        if (1 + abs(joint.sum() * gap / evidence - 1)) ** L - 1 > 0.01:
            enough = k + 1
    return enough


number("points for 1 % in one dimension", points(1))
guess("A computer evaluates a billion points a second. How long does it take for L = 20, as in lesson 8?")
number("points per axis for 1 % in L = 20", points(20))
number("years for L = 20", points(20) ** 20 / 1e9 / 3.156e7)
say("400 million years for one x and one decoder. A grid does not work in 20 dimensions.")

# %% [markdown]
# ## 8. Sample from the prior instead
#
# The evidence is an expectation under the prior, so an average over draws estimates it in any dimension:
#
#     p(x) = E_p(z)[ p(x|z) ]  ~  1/n sum_i p(x|z_i),    z_i ~ p(z)
#
# The estimate is unbiased, and its variance is known, because the square of a Gaussian density is a Gaussian
# density times a factor. Let m2 be the relative second moment of p(x|z) in one dimension. In L independent
# dimensions with the same x in each, the relative second moment is m2^L.
#
#     N(x; z, s^2)^2 = N(x; z, s^2/2) / (2 s sqrt(pi))
#     m2 = E p(x|z)^2 / p(x)^2 = N(x; 0, 1 + s^2/2) / (2 s sqrt(pi) p(x)^2)
#     relative standard error = sqrt((m2^L - 1) / n)       effective sample size -> n / m2^L
#
# The effective sample size is (sum p_i)^2 / sum p_i^2: n if all terms are equal, 1 if one term dominates.
# %%
section("8. Sample from the prior instead")


def second_moment(s):
    """m2 = E p(x|z)^2 / p(x)^2 in one dimension."""
    square = math.exp(log_normal(x, 0, 1 + s**2 / 2)) / (2 * s * math.sqrt(math.pi))
    return square / math.exp(log_normal(x, 0, 1 + s**2)) ** 2


say("m2 is E p(x|z)^2 / p(x)^2 under the prior. It is 1 if p(x|z) is the same for all draws.")
m2 = second_moment(s)
beside("m2, on the grid", (likelihood**2 * prior).sum() * step / evidence**2, m2, 1e-10)
guess("Average p(x|z) over 100,000 draws from the prior. How accurate is it for L = 1, 5, 20 and 40?")
for L in (1, 5, 20, 40):
    draws, row = rng.standard_normal((n, 1, L)), np.ones((1, L))  # (S, B, L), (B, L)
    log_likelihood = mv.ops.gaussian_log_prob(draws, x * row, math.log(s**2) * row)  # (S, B)
    shares = np.exp(log_likelihood - L * math.log(evidence))  # (S, B), average 1 in expectation
    error = math.sqrt((m2**L - 1) / n)
    number(f"L = {L}: relative standard error, exact", error)
    beside(f"L = {L}: estimate / p(x)", shares.mean(), 1, 5 * error)
    number(f"L = {L}: effective sample size, measured", shares.sum() ** 2 / (shares**2).sum())
    number(f"L = {L}: effective sample size, n / m2^L", n / m2**L)
number("draws for 10 % in L = 20", (m2**20 - 1) / 0.1**2)
say("""At L = 20 the standard error is 18 times p(x), so the estimate is useless. n / m2^L is far below one
draw, but the measured size cannot show this, because it is never below 1. At L = 40 the estimate is a tiny
fraction of p(x). It is still unbiased: very rarely, a draw hits the posterior and adds an enormous term.""")
guess("""Now one z, and 784 pixels that are all z + 0.5 eps, each with its own eps. Their mean is like one
pixel with s = 0.5/28. How many draws give an error of 10 %?""")
narrow = second_moment(s / 28)
beside("m2 times s at s = 0.5/28", narrow * s / 28, math.exp(x**2 / 2) / math.sqrt(2), 0.01, word="limit")
number("draws for 10 %, one z and 784 pixels", (narrow - 1) / 0.1**2)
say("""6,429 for a single latent, because m2 grows as 1/s. It is better to draw z from a density close to the
posterior, as lesson 3 does.""")

# %% [markdown]
# ## 9. Take the logarithm of an estimate
#
# To fit a model we need log p(x). The logarithm is concave, so by Jensen's inequality the log of an unbiased
# estimate is too low on average. The bias is known exactly for n = 1. For large n it follows from the series
# log(1 + d) = d - d^2/2 + ...:
#
#     n = 1      E log p(x|z) = -1/2 (log 2 pi + log s^2 + (x^2 + 1)/s^2)
#     n large    E log(estimate) - log p(x) ~ -(m2 - 1)/(2 n)
# %%
section("9. Take the logarithm of an estimate")
guess("L = 1, and each estimate uses one draw. How many nats below log p(x) is the average of log p(x|z)?")
logs = log_normal(x, rng.standard_normal((n, 1)), s**2)  # (n, 1)
exact = -0.5 * (math.log(2 * math.pi * s**2) + (x**2 + 1) / s**2)
beside("average log, 1 draw each", logs.mean(), exact, 0.08)
number("below log p(x), exact, nats", math.log(evidence) - exact)
groups = np.exp(log_normal(x, rng.standard_normal((20_000, 100)), s**2)).mean(axis=1)  # (20000,)
ratio = groups / evidence  # (20000,) this is 1 + d; d has mean 0, so subtracting it only removes noise
bias = (np.log(ratio) - (ratio - 1)).mean()
beside("bias with 100 draws, nats", bias, -(m2 - 1) / 200, 0.0005, word="series")
say("""With one draw the log is 2.8 nats too low on average, with more draws less. So its average is a lower
bound on log p(x). If we draw z from a better density than the prior, the bound is tighter. With one draw that
bound is the ELBO of lesson 3.""")


def log_estimates(size):
    """log(estimate / p(x)) from `size` draws, for L = 1 to 30 -> (30,)."""
    each = log_normal(x, rng.standard_normal((size, 30), dtype=np.float32), s**2) - math.log(evidence)
    return np.log(np.exp(np.cumsum(each, axis=-1)).mean(axis=0))


logs = {size: [log_estimates(size) for _ in range(100)] for size in (10_000, 100)}  # 100 estimates each
needed = {s: (second_moment(s) ** np.arange(1, 31) - 1) / 0.1**2 for s in (0.5, 0.1, 0.02)}  # (30,) each
save(drawings.sampling_the_prior(logs, needed), "sampling_the_prior", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - Set x = 2 in section 2: the posterior mean changes, but the posterior variance does not. m2 grows from 2.4
#   to 6.9, because fewer draws from the prior come near the posterior. Section 9 stops the lesson: 100 draws
#   are too few for the first-order formula.
# - In section 5 replace x with -0.5 in both calls of bent_joint(x) in the line `bent = ...`. The line of the
#   MAP stops the lesson, because the two modes merge at 0: z^2 cannot be negative, so noise must explain x.
# - In section 9 average 10 draws instead of 100. The bias is 12 times as large as with 100, not 10 times:
#   d - d^2/2 is no longer a good approximation, and the lesson stops there.
#
# **Exercise** `python -m lessons start 1` (the log-density of this lesson)
#
# ## Further reading
#
# - Christopher Bishop, Pattern Recognition and Machine Learning, 2006: chapter 2 and section 12.2
# - Michael Tipping and Christopher Bishop, Probabilistic Principal Component Analysis, 1999
# - David MacKay, Information Theory, Inference, and Learning Algorithms, 2003: chapters 22, 28 and 29
# - Bradley Efron, Tweedie's Formula and Selection Bias, 2011
# - Diederik Kingma and Max Welling, Auto-Encoding Variational Bayes, 2014: section 2.1

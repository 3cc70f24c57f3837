# %% [markdown]
# # 1. Fit a latent variable
#
# **You will** write down a model with one latent variable z, compute its posterior on a grid, and see why
# neither the grid nor plain sampling works in many dimensions.
#
# **You will learn** what prior, likelihood, evidence, posterior and predictive are; how MLE, MAP and the
# posterior mean differ; why the evidence, which every later lesson needs, is an integral out of reach.
#
# **You need** Gaussian densities, Bayes' theorem and a little NumPy; about 30 minutes.
#
# **New names** `ops.gaussian_log_prob`
#
# How to read a lesson: `guess` asks a question to answer before you read on; `beside` prints a number next to
# a reference value and stops the lesson if the two differ; `number` prints a number without a reference.
# Where a number was sampled, the tolerance is four to five standard errors.
#
# Symbols, in this and in all lessons:
#
#     B, D, L, S     batch size, dimension of x (pixels), dimension of z (latents), samples of z per x
#     x, z, eps      data (B, D); latent (B, L) or (S, B, L); noise, drawn from N(0, 1), of the shape of z
#     p, q           p belongs to the model (prior, likelihood, posterior); q is a density that we choose
#     m(z)           the decoder: the mean of p(x|z)
#     mu, logvar     mean and log-variance of q;  std = exp(logvar / 2)
#     E[...], E_q    expectation, expectation under q
# %%
import math

import numpy as np

import minivae as mv
from lessons.story import BLUE, GREEN, GREY, RED, STYLES, beside, canvas, guess, number, save, say, section

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Draw from a latent-variable model
#
# First z is drawn, and not shown. Then x is drawn around z, and shown:
#
#     prior        p(z)   = N(z; 0, 1)
#     likelihood   p(x|z) = N(x; z, s^2),   s = 0.5
#
# The second argument of N is the variance. The library takes its logarithm, `logvar`, so that variance and
# standard deviation cannot be confused, and it sums over the dimensions of x:
#
#     log N(x; m, v) = -1/2 sum (log 2 pi + log v + (x - m)^2 / v)
#
# log is the natural logarithm. Log-densities are measured in nats; 1 nat is a factor of e.
# %%
section("1. Draw from a latent-variable model")
s, n = 0.5, 100_000


def log_normal(x, mean, var):
    """log N(x; mean, var), elementwise: the formula above."""
    return -0.5 * (np.log(2 * np.pi) + np.log(var) + (x - mean) ** 2 / var)


def library_log_normal(x, mean, var):
    """The same from the library, for n numbers x (n,): a batch of B = n, each of dimension L = 1."""
    column = np.ones((len(x), 1))  # (B, 1)
    return mv.ops.gaussian_log_prob(x[:, None], mean * column, np.log(var) * column)


drawn_z = rng.standard_normal(n)  # (n,)
noise = s * rng.standard_normal(n)  # (n,)
drawn_x = drawn_z + noise  # (n,)
formula, library = log_normal(drawn_x, 1, s**2), library_log_normal(drawn_x, 1, s**2)  # (n,) each
beside("average log N(x; 1, 0.25), library", library.mean(), formula.mean(), 1e-12, word="formula")
beside("variance of the drawn x", drawn_x.var(), 1 + s**2, 0.025)
say("x = z + 0.5 eps, and the variances of independent parts add: 1 + 0.25.")

# %% [markdown]
# Some slides write N(mu, sigma) (UvA, Bonvicini), some N(mu, sigma^2), and two use both (Brown, Isachenko).
# The data decide: the mean of log N(x; 0, v) is -1/2 (log 2 pi + log v + s^2/v), largest where v is the
# variance of the draws. Reading s as the variance costs 1/2 (s - log s - 1) nats per observation.
# %%
guess("""Is the density of 0.5 eps N(0, 0.5) or N(0, 0.25)? How many nats per observation does the wrong
reading cost?""")
lost = library_log_normal(noise, 0, s**2) - library_log_normal(noise, 0, s)  # (n,)
beside("sample variance of 0.5 eps", noise.var(), 0.25, 0.005)
beside("cost of reading 0.5 as the variance, nats", lost.mean(), 0.5 * (s - math.log(s) - 1), 0.005)
say("It is N(0, 0.25): the second argument is sigma^2, and the sample variance shows it.")

# %% [markdown]
# A slide gives the PCA model as p(x|z) = N(x; W z + mu, Sigma_z) (Isachenko), with noise that depends on z.
# Probabilistic PCA has sigma^2 I for every z, which makes x Gaussian. With noise of standard deviation s |z|,
# x would have the same variance but another fourth moment:
#
#     E x^4 = E z^4 E (1 + s eps)^4 = 3 (1 + 6 s^2 + 3 s^4);   a Gaussian has 3 (1 + s^2)^2
# %%
other = 3 * (1 + 6 * s**2 + 3 * s**4) / (1 + s**2) ** 2
fourth = (drawn_x**4).mean(), ((drawn_z + np.abs(drawn_z) * noise) ** 4).mean()
beside("E x^4 / variance^2, noise s^2", fourth[0] / (1 + s**2) ** 2, 3, 0.14)
beside("E x^4 / variance^2, noise depends on z", fourth[1] / (1 + s**2) ** 2, other, 0.5)
say("If the noise depends on z, x is not Gaussian. With the same noise for every z, it is.")

# %% [markdown]
# ## 2. Compute the posterior on a grid
#
# We observe x = 1. What does it tell us about z? Bayes' theorem:
#
#     posterior    p(z|x) = p(x|z) p(z) / p(x)
#     evidence     p(x)   = integral p(x|z) p(z) dz
#
# In one dimension a grid computes the integral: multiply at every point, then sum. Here the exact results are
# known: x is a sum of independent Gaussians, so p(x) = N(x; 0, 1 + s^2). The log-density of the posterior is
# quadratic in z, so the posterior is Gaussian:
#
#     -z^2/2 - (x - z)^2/(2 s^2)     precision  1/var = 1 + 1/s^2        var  = s^2 / (1 + s^2)
#                                    mean = var x/s^2                    mean = x / (1 + s^2)
# %%
section("2. Compute the posterior on a grid")
say("z ~ N(0, 1) and x|z ~ N(z, s^2) with s = 0.5. We observe x = 1 and compute p(z|x) on a grid:")
x, step = 1.0, 0.001
z = np.arange(-8, 8 + step / 2, step)  # (16001,)
prior = np.exp(library_log_normal(z, 0, 1))  # (16001,)
likelihood = np.exp(log_normal(x, z, s**2))  # (16001,) a function of z that need not integrate to 1
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
say("""The prior pulls the MAP towards 0, by the fraction of x's variance that is noise. A Gaussian is
highest at its mean, so here the MAP is the posterior mean. Section 5 shows a posterior where they
differ.""")

# %% [markdown]
# ## 3. Predict the next observation
#
# A second observation x' comes from the same z. Its predictive density averages the likelihood over the
# posterior:
#
#     p(x'|x) = integral p(x'|z) p(z|x) dz = N(x'; mean, var + s^2)
#
# A slide replaces the posterior with a point mass at the MAP and predicts N(x'; z_MAP, s^2) (Isachenko).
# %%
section("3. Predict the next observation")
guess("The point-mass prediction gives a 95 % interval, z_MAP +- 1.96 s. What share of all x' falls inside?")
next_x = drawn_z + s * rng.standard_normal(n)  # (n,) a second observation of every drawn z
best_z = drawn_x / (1 + s**2)  # (n,) the MAP of each
half = 1.959964 * s
beside("variance of x' around the MAP", ((next_x - best_z) ** 2).mean(), var + s**2, 0.01)
covered = (np.abs(next_x - best_z) < half).mean()
beside("share inside the 95 % interval", covered, math.erf(half / math.sqrt(2 * (var + s**2))), 0.005)
say("""86 %, not 95 %. The point mass ignores the uncertainty about z: of the predictive variance 0.45 only
s^2 = 0.25 is noise in x'.""")

# %% [markdown]
# ## 4. Rename z and watch the MAP move
#
# Describe the same latent by u = e^z. Its density has the factor |dz/du| = 1/u:
#
#     p(u|x) = p(z|x) / u    so that    log p(u|x) = log p(z|x) - z,    largest at    z = mean - var
# %%
section("4. Rename z and watch the MAP move")
guess("Describe the latent by u = e^z. Which estimate still means the same z, the MLE or the MAP?")
renamed = posterior / np.exp(z)  # (16001,) density of u, at the points u = e^z
beside("log of the MAP of u", z[renamed.argmax()], (x - s**2) / (1 + s**2), step / 2)
say("""The MAP moved from 0.8 to 0.6. A density is probability per length, and e^z stretches the axis more
on the right than on the left, so the peak moves. The MLE does not move, because the likelihood is not a
density in z. Probabilities do not change either. The MAP depends on the parameterization.""")

# %% [markdown]
# ## 5. Bend the decoder
#
# The decoder is the mean m(z) in p(x|z) = N(x; m(z), s^2). Take m(z) = z^2 and s = 0.25. This posterior has
# no closed form; only the grid gives it. Three facts about it are known exactly:
#
#     at x = s^2/2 the z^2 cancels    p(x) = e^(-x^2/2s^2) / (2 pi s) integral e^(-z^4/2s^2) dz,
#                                     and that integral is 2 Gamma(5/4) (2 s^2)^(1/4)
#     the slope of log p(z|x) is 0    2 z (x - z^2)/s^2 - z = 0,   so the MAP has z^2 = x - s^2/2
#     Tweedie's formula               E[m(z)|x] = x + s^2 d log p(x)/dx,   from d/dx under the integral
# %%
section("5. Bend the decoder")
s_bent = 0.25


def bent_joint(x):
    """p(x, z) on the grid, for the decoder z^2."""
    return np.exp(log_normal(x, z**2, s_bent**2)) * prior


easy = s_bent**2 / 2
quartic = 2 * math.gamma(1.25) * (4 * easy) ** 0.25  # 2 s^2 is 4 easy
quartic *= math.exp(-easy / 4) / (2 * math.pi * s_bent)  # x^2 / 2 s^2 is easy / 4
beside("p(x) at x = s^2/2", bent_joint(easy).sum() * step, quartic, 1e-12)
bent = bent_joint(x) / (bent_joint(x).sum() * step)  # (16001,)
guess("x = 1 and m(z) = z^2. Where is the MAP, where is the posterior mean, and what is m(z) at each?")
beside("|MAP|, decoder z^2", abs(z[bent.argmax()]), math.sqrt(x - s_bent**2 / 2), step / 2)
beside("posterior mean, decoder z^2", (z * bent).sum() * step, 0, 1e-12)
slope = math.log(bent_joint(x + 1e-4).sum() / bent_joint(x - 1e-4).sum()) / 2e-4
average = (z**2 * bent).sum() * step
beside("posterior average of m(z)", average, x + s_bent**2 * slope, 1e-7, word="by differences")
number("posterior density at its mean, relative to its peak", bent[len(z) // 2] / bent.max())
say("""The posterior has two modes. At the MAP m(z) = x - s^2/2 = 0.97, nearly x. The posterior mean lies
between the modes, and m(0) = 0 is far from x = 1. No single point and no Gaussian describes such a
posterior. Lesson 2 fits a Gaussian to it all the same.""")

figure, panels = canvas(2, height=3.3)
titles = "m(z) = z: the posterior is one Gaussian", "m(z) = z²: its mean lies between two modes"
for panel, title, noise_s, m, density in zip(
    panels, titles, (s, s_bent), (z, z**2), (posterior, bent), strict=True
):
    panel.plot(z, prior, color=GREY, ls=STYLES[GREY], label="prior p(z)")
    panel.plot(z, np.exp(log_normal(x, m, noise_s**2)), color=RED, ls=STYLES[RED], label="likelihood p(x|z)")
    panel.plot(z, density, color=BLUE, ls=STYLES[BLUE], label="posterior p(z|x)")
    panel.axvline((z * density).sum() * step, color=GREEN, ls=STYLES[GREEN], lw=1.2, label="posterior mean")
    panel.set(xlim=(-2.5, 2.5), ylim=(0, 1.9), xlabel="z")
    panel.set_title(title, loc="left", fontsize=10)
panels[0].set_ylabel("density; likelihood at x = 1")
panels[0].legend(frameon=False, fontsize=9, loc="upper left")
save(figure, "posteriors", dpi=90)

# %% [markdown]
# ## 6. Fit the decoder's weight
#
# Until now the decoder was known. Now x_i = w z_i + s eps_i with unknown w, and 300 values of x are given.
# Maximum likelihood chooses the w with the largest sum of log p(x_i), where each z_i is integrated out. Since
# p(x) = N(x; 0, w^2 + s^2), the answer is known. Can we avoid the integral and use the best z_i instead?
#
#     z_i integrated out     w^2 + s^2 = average of x^2
#     the best z_i           p(x_i, z_i) is largest at z_i = w x_i / (w^2 + s^2)
# %%
section("6. Fit the decoder's weight")
data = 1.5 * rng.standard_normal(300) + s * rng.standard_normal(300)  # (300,)
fine = np.linspace(-6, 6, 601)  # (601,)


def integrated(w):
    """Sum of log p(x_i) at the weight w."""
    joint = log_normal(data[:, None], w * fine, s**2) + log_normal(fine, 0, 1)  # (300, 601)
    return np.log(np.exp(joint).sum(axis=1) * 0.02).sum()


def best_joint(w):
    """Sum of log p(x_i, z_i) at the weight w and the best z_i."""
    best = w * data / (w**2 + s**2)  # (300,)
    return (log_normal(data, w * best, s**2) + log_normal(best, 0, 1)).sum()


weights = np.linspace(0.1, 10, 100)  # (100,)
guess("The 300 x are 1.5 z + 0.5 eps. Which w up to 10 wins with z integrated out? With the best z?")
w = max(weights, key=integrated)
for width in (0.1, 0.01, 0.001):  # refine the grid around the best w
    w = max(np.linspace(w - width, w + width, 21), key=integrated)
beside("best w, z integrated out", w, math.sqrt((data**2).mean() - s**2), 1e-4)
beside("best w, the best z for each x", max(weights, key=best_joint), weights[-1], 1e-12)
say("""With the best z, the largest w allowed wins: a large w needs only small z's, which have a high prior
density, and how few of them there are does not matter. The integral accounts for that, so we need it for
every x and for every w that we try.""")

# %% [markdown]
# ## 7. Count the grid points
#
# How many points on [-6, 6] does the integral need for an error of 1 %? With L latents and k points on each
# axis, the grid has k^L points, and the relative errors of the axes multiply.
# %%
section("7. Count the grid points")


def grid_error(k):
    """Relative error of the integral with k points on [-6, 6]."""
    axis, gap = np.linspace(-6, 6, k, retstep=True)  # (k,)
    return abs(np.exp(log_normal(x, axis, s**2) + log_normal(axis, 0, 1)).sum() * gap / evidence - 1)


def points(L):
    """How many points per axis keep the error of L dimensions, (1 + error)^L - 1, below 1 %."""
    return 1 + max(k for k in range(2, 60) if (1 + grid_error(k)) ** L - 1 > 0.01)


number("points for 1 % in one dimension", points(1))
guess("A computer evaluates a billion points a second. How long does L = 20 take, as in lesson 8's VAE?")
number("points per axis for 1 % in L = 20", points(20))
number("years for L = 20", points(20) ** 20 / 1e9 / 3.156e7)
say("One x, at one setting of the decoder, would take 400 million years. A grid is no use here.")

# %% [markdown]
# ## 8. Sample from the prior instead
#
# The evidence is an expectation under the prior, so an average over draws estimates it in any dimension:
#
#     p(x) = E_p(z)[ p(x|z) ]  ~  1/n sum_i p(x|z_i),    z_i ~ p(z)
#
# It is unbiased, and its variance is known, because the square of a Gaussian density is a Gaussian density up
# to a factor. Let m2 be the relative second moment of p(x|z) in one dimension; with L independent dimensions
# and the same x in each, it is m2^L.
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


say(
    "m2 is E p(x|z)^2 / p(x)^2 under the prior, and m2^L in L dimensions. It is 1 if all draws count equally."
)
m2 = second_moment(s)
beside("m2, on the grid", (likelihood**2 * prior).sum() * step / evidence**2, m2, 1e-10)
guess("Average p(x|z) over 100,000 draws from the prior. How accurate is it for L = 1, 5, 20 and 40?")
for L in (1, 5, 20, 40):
    draws, row = rng.standard_normal((n, 1, L)), np.ones((1, L))  # (S, B, L), (B, L)
    log_likelihood = mv.ops.gaussian_log_prob(draws, x * row, math.log(s**2) * row)  # (S, B)
    shares = np.exp(log_likelihood - L * math.log(evidence))  # (S, B), average 1 in expectation
    error, counting, limit = math.sqrt((m2**L - 1) / n), shares.sum() ** 2 / (shares**2).sum(), n / m2**L
    number(f"L = {L}: relative standard error, exact", error)
    if error < 0.1:
        beside(f"L = {L}: estimate / p(x)", shares.mean(), 1, 5 * error)
        beside(f"L = {L}: effective sample size", counting, limit, 0.15 * limit, word="limit")
    else:
        number(f"L = {L}: estimate / p(x)", shares.mean())
        number(f"L = {L}: effective sample size, measured", counting)
        number(f"L = {L}: effective sample size, n / m2^L", limit)
number("draws for 10 % in L = 20", (m2**20 - 1) / 0.1**2)
say("""At L = 20 the standard error is 18 times p(x), so the estimate means nothing. n / m2^L is far below
one draw, but the measured size cannot show it: it is never below 1. At L = 40 the estimate is a tiny
fraction of p(x). It is still unbiased: very rarely, one draw hits the posterior and contributes an enormous
term.""")
guess("""One z, and 784 pixels that are all z + 0.5 eps. That is like one pixel with s = 0.5/28. How many
draws for 10 %?""")
narrow = second_moment(s / 28)
beside("m2 times s at s = 0.5/28", narrow * s / 28, math.exp(x**2 / 2) / math.sqrt(2), 0.01, word="limit")
number("draws for 10 %, one z and 784 pixels", (narrow - 1) / 0.1**2)
say("""6,429 for a single latent: m2 grows as 1/s for each of them. It is better to draw where the posterior
is. Lesson 3 does that.""")

# %% [markdown]
# ## 9. Take the logarithm of an estimate
#
# Fitting needs log p(x). The logarithm is concave, so by Jensen's inequality the log of an unbiased estimate
# is too low on average. The size of the bias is exact for n = 1, and for large n it follows from
# log(1 + d) = d - d^2/2 + ...:
#
#     n = 1      E log p(x|z) = -1/2 (log 2 pi + log s^2 + (x^2 + 1)/s^2)
#     n large    E log(estimate) - log p(x) ~ -(m2 - 1)/(2 n)
# %%
section("9. Take the logarithm of an estimate")
guess("L = 1 and a single draw: how many nats below log p(x) is the average of log p(x|z)?")
logs = log_normal(x, rng.standard_normal((n, 1)), s**2)  # (n, 1)
exact = -0.5 * (math.log(2 * math.pi * s**2) + (x**2 + 1) / s**2)
beside("average log, 1 draw each", logs.mean(), exact, 0.08)
number("below log p(x), exact, nats", math.log(evidence) - exact)
groups = np.exp(log_normal(x, rng.standard_normal((20_000, 100)), s**2)).mean(axis=1)  # (20000,)
ratio = groups / evidence  # (20000,) this is 1 + d; d has mean 0, so subtracting it only removes noise
bias = (np.log(ratio) - (ratio - 1)).mean()
beside("average log of 100 draws, minus log p(x)", bias, -(m2 - 1) / 200, 0.0005, word="series")
say("""With one draw it is 2.8 nats too low on average, with more draws less: a lower bound on log p(x).
Drawing from a better density than the prior tightens it. That bound is the ELBO of lesson 3.""")

dimensions = np.arange(1, 31)
figure, panels = canvas(2, height=3.3)


def log_estimates(size):
    """log(estimate / p(x)) from `size` draws, for L = 1 to 30, one repetition -> (30,)."""
    each = log_normal(x, rng.standard_normal((size, 30), dtype=np.float32), s**2) - math.log(evidence)
    return np.log(np.exp(np.cumsum(each, axis=-1)).mean(axis=0))


for size, colour in ((10_000, BLUE), (100, RED)):
    logs = np.array([log_estimates(size) for _ in range(100)])  # (100, 30)
    low, middle, high = np.quantile(logs, [0.05, 0.5, 0.95], axis=0)
    panels[0].fill_between(dimensions, low, high, color=colour, alpha=0.2, lw=0)
    panels[0].plot(dimensions, middle, color=colour, ls=STYLES[colour], label=f"{size:,} draws")
for noise_s, colour in ((0.5, BLUE), (0.1, RED), (0.02, GREEN)):
    draws = (second_moment(noise_s) ** dimensions - 1) / 0.01  # (30,)
    panels[1].semilogy(dimensions, draws, color=colour, ls=STYLES[colour], label=f"s = {noise_s}")
panels[0].axhline(0, color="black", lw=0.8)
panels[0].set(xlabel="dimension L of z", ylabel="log(estimate / p(x)), nats")
panels[1].set(xlabel="dimension L of z", ylabel="draws for a 10 % standard error", ylim=(1, 1e55))
panels[1].set_yticks(10.0 ** np.arange(0, 51, 10))
for panel, title in zip(panels, ("median and 5 to 95 % of 100 estimates", None), strict=True):
    panel.legend(frameon=False, fontsize=9, title=title, title_fontsize=9)
panels[0].set_title("Sampling from the prior: lower as L grows", loc="left", fontsize=10)
panels[1].set_title("Number of draws needed, exact", loc="left", fontsize=10)
save(figure, "sampling_the_prior", dpi=90)

# %% [markdown]
# ## Try on your own
#
# - Set x = 2 in section 2: the posterior mean changes, its variance does not. m2 grows from 2.4 to 6.9,
#   because few draws from the prior come near. Section 9 stops the lesson: 100 draws are too few for the
#   first-order formula.
# - In section 5 replace x by -0.5 in both calls of bent_joint(x). The MAP's line stops the lesson, because
#   the two modes merge at 0: the decoder cannot produce x and explains it as noise.
# - In section 9 average 10 draws instead of 100. The bias is 12 times as large; d - d^2/2 is not enough.
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

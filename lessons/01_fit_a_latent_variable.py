# %% [markdown]
# # 1. Fit a latent variable
#
# **You will** write down a model with one hidden number z, find out on a grid what the data say about z, and
# then watch the grid, and after it plain sampling, run out of reach.
#
# **You will learn** what prior, likelihood, evidence, posterior and predictive are; where MLE, MAP and the
# posterior mean differ; why the evidence, which all the other lessons chase, is an integral out of reach.
#
# **You need** Gaussian densities, Bayes' theorem and a little NumPy; about 30 minutes.
#
# **New names** `ops.gaussian_log_prob`
#
# To read the story: `guess` asks what to answer before you read on; `beside` puts a number next to its exact
# value, found in another way, and stops where the two differ; `number` has nothing beside it.
# %%
import math

import numpy as np

import minivae as mv
from lessons.story import BLUE, GREEN, GREY, RED, STYLES, beside, canvas, guess, number, save, say, section

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Draw from a model with a hidden number
#
# Nature draws z and hides it, then draws x around z and shows it:
#
#     prior        p(z)   = N(z; 0, 1)
#     likelihood   p(x|z) = N(x; z, s^2),   s = 0.5
#
# The second argument of N is the variance. The library takes its logarithm, `logvar`, so that the two spreads
# cannot be mistaken, and it sums over the dimensions of x:
#
#     log N(x; m, v) = -1/2 sum (log 2 pi + log v + (x - m)^2 / v)
#
# log is the natural logarithm; a log-density is counted in nats, and 1 nat is a factor of e.
# %%
section("1. Draw from a model with a hidden number")
s, n = 0.5, 100_000


def log_normal(x, mean, var):
    """log N(x; mean, var), elementwise: the formula above, by hand."""
    return -0.5 * (np.log(2 * np.pi) + np.log(var) + (x - mean) ** 2 / var)


def library_log_normal(x, mean, var):
    """The same by the library, for a list of numbers: B of them, each of dimension L = 1."""
    column = np.ones((len(x), 1))  # (B, 1)
    return mv.ops.gaussian_log_prob(x[:, None], mean * column, np.log(var) * column)


drawn_z = rng.standard_normal(n)  # (n,)
noise = s * rng.standard_normal(n)  # (n,)
drawn_x = drawn_z + noise  # (n,)
by_hand, by_library = log_normal(drawn_x, 1, s**2), library_log_normal(drawn_x, 1, s**2)  # (n,) each
beside("average log N(x; 1, 0.25), library", by_library.mean(), by_hand.mean(), 1e-12)
beside("variance of the drawn x", drawn_x.var(), 1 + s**2, 0.025)
say("""z is hidden, x = z + 0.5 eps is shown, and variances of independent parts add: 1 and 0.25. Wherever a
number was drawn, the tolerance is four to five of its standard errors.""")

# %% [markdown]
# Slides say N(mu, sigma) (UvA, Bonvicini), others N(mu, sigma^2), and two say both (Brown, Isachenko). The
# check says which: E log N(x; 0, v) = -1/2 (log 2 pi + log v + s^2/v) is largest where v is the variance of
# the draws. Reading s as the variance loses 1/2 (log s + s) - 1/2 (log s^2 + 1) = 1/2 (s - log s - 1) nats.
# %%
guess("is the density of 0.5 eps N(0, 0.5) or N(0, 0.25), and what does the wrong one lose, in nats an x?")
lost = library_log_normal(noise, 0, s**2) - library_log_normal(noise, 0, s)  # (n,)
beside("sample variance of 0.5 eps", noise.var(), 0.25, 0.005)
beside("lost by reading 0.5 as the variance", lost.mean(), 0.5 * (s - math.log(s) - 1), 0.005)
say("The second argument is sigma^2, and a sample variance is all it takes to find out.")

# %% [markdown]
# A slide says that the PCA model is p(x|z) = N(x; W z + mu, Sigma_z) (Isachenko): noise that depends on z, as
# in the mixture of Gaussians above it. The check says no: probabilistic PCA has sigma^2 I for every z, which
# makes x Gaussian. With noise s |z|, x would have the same variance and another fourth moment:
#
#     E x^4 = E z^4 E (1 + s eps)^4 = 3 (1 + 6 s^2 + 3 s^4),   where a Gaussian has 3 (1 + s^2)^2
# %%
other = 3 * (1 + 6 * s**2 + 3 * s**4) / (1 + s**2) ** 2
fourth = (drawn_x**4).mean(), ((drawn_z + np.abs(drawn_z) * noise) ** 4).mean()
beside("E x^4 / variance^2, noise s^2", fourth[0] / (1 + s**2) ** 2, 3, 0.14)
beside("E x^4 / variance^2, noise depends on z", fourth[1] / (1 + s**2) ** 2, other, 0.5)
say("A slide lets the noise of PCA depend on z. Then x is no Gaussian; with sigma^2 I for every z it is one.")

# %% [markdown]
# ## 2. Put the posterior on a grid
#
# One x = 1 is seen. What do we know about its z? Bayes' theorem:
#
#     posterior    p(z|x) = p(x|z) p(z) / p(x)
#     evidence     p(x)   = integral p(x|z) p(z) dz
#
# With one z, a grid does the integral: multiply at every point, add up, divide. Here both are known exactly:
# x is a sum of independent Gaussians, so p(x) = N(x; 0, 1 + s^2), and the exponents of z add to a Gaussian.
#
#     -z^2/2 - (x - z)^2/(2 s^2)     precision  1/var = 1 + 1/s^2        var  = s^2 / (1 + s^2)
#                                    mean = var x/s^2                    mean = x / (1 + s^2)
# %%
section("2. Put the posterior on a grid")
say("""z ~ N(0, 1) and x|z ~ N(z, s^2) with s = 0.5; x = 1 is seen. Which z was it? Beside the numbers of the
grid stand those of the exact Gaussian posterior.""")
x, step = 1.0, 0.001
z = np.arange(-8, 8 + step / 2, step)  # (16001,)
prior = np.exp(library_log_normal(z, 0, 1))  # (16001,)
likelihood = np.exp(log_normal(x, z, s**2))  # (16001,) a function of z; its sum is not 1
evidence = (likelihood * prior).sum() * step
posterior = likelihood * prior / evidence  # (16001,)
mean = (z * posterior).sum() * step
var = ((z - mean) ** 2 * posterior).sum() * step
beside("log p(x), nats", math.log(evidence), log_normal(x, 0, 1 + s**2), 1e-12)
beside("posterior mean", mean, x / (1 + s**2), 1e-12)
beside("posterior variance", var, s**2 / (1 + s**2), 1e-12)
guess("""x = 1 is seen. Maximum likelihood estimate (MLE): the z of largest likelihood; maximum a posteriori
(MAP): of largest posterior density. Which is nearer to 0?""")
beside("MLE of z", z[likelihood.argmax()], x, step / 2)
beside("MAP of z", z[posterior.argmax()], x / (1 + s**2), step / 2)
say("""The prior pulls the MAP towards 0, by the share of x's variance that is noise. A Gaussian's highest
point is its mean, so here MAP and posterior mean are one. That ends in section 5.""")

# %% [markdown]
# ## 3. Predict the next observation
#
# A second x' comes from the same z. The predictive averages the likelihood over all that z may be:
#
#     p(x'|x) = integral p(x'|z) p(z|x) dz = N(x'; mean, var + s^2)
#
# A slide takes the posterior to be a spike at the MAP and predicts N(x'; z_MAP, s^2) (Isachenko).
# %%
section("3. Predict the next observation")
guess("what share of all x' falls into the spike's 95 % interval, z_MAP +- 1.96 s?")
next_x = drawn_z + s * rng.standard_normal(n)  # (n,) a second look at every drawn z
best_z = drawn_x / (1 + s**2)  # (n,) the MAP of each
half = 1.959964 * s
beside("variance of x' around the MAP", ((next_x - best_z) ** 2).mean(), var + s**2, 0.01)
covered = (np.abs(next_x - best_z) < half).mean()
beside("share in the spike's 95 % interval", covered, math.erf(half / math.sqrt(2 * (var + s**2))), 0.005)
say("""86 %, and not 95. The spike is as sure of z as if it had seen it: only s^2 = 0.25 of the predictive
variance 0.45 is noise, the rest is not knowing z.""")

# %% [markdown]
# ## 4. Rename z and watch the MAP move
#
# Call the hidden number u = e^z instead. Nothing has changed but the name. Its density needs |dz/du| = 1/u:
#
#     p(u|x) = p(z|x) / u    so that    log p(u|x) = log p(z|x) - z,    largest at    z = mean - var
# %%
section("4. Rename z and watch the MAP move")
guess("call the hidden number u = e^z. Which of the two still means the same z, the MLE or the MAP?")
renamed = posterior / np.exp(z)  # (16001,) density by u, at the points u = e^z
beside("log of the MAP of u", z[renamed.argmax()], (x - s**2) / (1 + s**2), step / 2)
say("""The MAP moved from 0.8 to 0.6. A density is probability per length, and e^z stretches the axis more on
the right than on the left, so the peak shifts (2z for z would stretch all alike and shift nothing).
Probabilities stay, and so does the MLE, since a likelihood is no density in z. The MAP depends on the name
under which one asks; the posterior's probabilities do not.""")

# %% [markdown]
# ## 5. Bend the decoder
#
# A decoder is a function f in p(x|z) = N(x; f(z), s^2). Take f(z) = z^2 and s = 0.25. Now no table has the
# posterior, and the grid alone tells. It can be held to three exact facts:
#
#     at x = s^2/2 the z^2 cancel     p(x) = e^(-x^2/2s^2) / (2 pi s) integral e^(-z^4/2s^2) dz,
#                                     and that integral is 2 Gamma(5/4) (2 s^2)^(1/4)
#     the slope of log p(z|x) is 0    2 z (x - z^2)/s^2 - z = 0,   so the MAP has z^2 = x - s^2/2
#     Tweedie's formula               E[f(z)|x] = x + s^2 d log p(x)/dx,   from d/dx under the integral
# %%
section("5. Bend the decoder")
s_bent = 0.25


def bent_joint(x):
    """p(x, z) on the grid, of the decoder z^2."""
    return np.exp(log_normal(x, z**2, s_bent**2)) * prior


easy = s_bent**2 / 2
quartic = 2 * math.gamma(1.25) * (4 * easy) ** 0.25  # 2 s^2 is 4 easy
quartic *= math.exp(-easy / 4) / (2 * math.pi * s_bent)  # and x^2 / 2 s^2 is easy / 4
beside("p(x) at x = s^2/2", bent_joint(easy).sum() * step, quartic, 1e-12)
bent = bent_joint(x) / (bent_joint(x).sum() * step)  # (16001,)
guess("x = 1 and f(z) = z^2. Where is the MAP, where is the posterior mean, and what does f make of each?")
beside("|MAP|, decoder z^2", abs(z[bent.argmax()]), math.sqrt(x - s_bent**2 / 2), step / 2)
beside("posterior mean, decoder z^2", (z * bent).sum() * step, 0, 1e-12)
slope = math.log(bent_joint(x + 1e-4).sum() / bent_joint(x - 1e-4).sum()) / 2e-4
beside("average of f over the posterior", (z**2 * bent).sum() * step, x + s_bent**2 * slope, 1e-7)
number("posterior density at its mean, as a share of its peak", bent[len(z) // 2] / bent.max())
say("""Two hills. f of the MAP is x - s^2/2 = 0.97, nearly x; but the posterior mean lies in the valley
between them, and f(0) = 0 is nothing like x = 1. No
single point describes such a posterior, and no Gaussian does; lesson 2 fits one all the same.""")

figure, panels = canvas(2, height=3.3)
titles = "f(z) = z: the posterior is one Gaussian", "f(z) = z²: its mean lies between two hills"
for panel, title, noise_s, f, density in zip(
    panels, titles, (s, s_bent), (z, z**2), (posterior, bent), strict=True
):
    panel.plot(z, prior, color=GREY, ls=STYLES[GREY], label="prior p(z)")
    panel.plot(z, np.exp(log_normal(x, f, noise_s**2)), color=RED, ls=STYLES[RED], label="likelihood p(x|z)")
    panel.plot(z, density, color=BLUE, ls=STYLES[BLUE], label="posterior p(z|x)")
    panel.axvline((z * density).sum() * step, color=GREEN, ls=STYLES[GREEN], lw=1.2, label="posterior mean")
    panel.set(xlim=(-2.5, 2.5), ylim=(0, 1.9), xlabel="z")
    panel.set_title(title, loc="left", fontsize=10)
panels[0].set_ylabel("density, and p(x|z) at x = 1")
panels[0].legend(frameon=False, fontsize=9, loc="upper left")
save(figure, "posteriors", dpi=90)

# %% [markdown]
# ## 6. Fit the decoder's weight
#
# So far the decoder was known. Now x_i = w z_i + s eps_i with unknown w, and 300 x's are seen. Maximum
# likelihood: the w of the largest sum of log p(x_i), each z_i integrated away. p(x) = N(x; 0, w^2 + s^2), so
# the answer is known. Or may we save the integral and take the best z_i for each x_i?
#
#     z_i integrated         w^2 + s^2 = average of x^2
#     the best z_i           p(x_i, z_i) is largest at z_i = w x_i / (w^2 + s^2)
# %%
section("6. Fit the decoder's weight")
data = 1.5 * rng.standard_normal(300) + s * rng.standard_normal(300)  # (300,)
fine = np.linspace(-6, 6, 601)  # (601,)
weights = np.linspace(0.1, 10, 100)  # (100,)
integrated, best = np.zeros(100), np.zeros(100)
for i, w in enumerate(weights):
    joint = log_normal(data[:, None], w * fine, s**2) + log_normal(fine, 0, 1)  # (300, 601)
    integrated[i] = np.log(np.exp(joint).sum(axis=1) * 0.02).sum()
    best_z = w * data / (w**2 + s**2)  # (300,)
    best[i] = (log_normal(data, w * best_z, s**2) + log_normal(best_z, 0, 1)).sum()
guess("300 x are 1.5 z + 0.5 eps. Which weight up to 10 wins, z integrated or the best z put in?")
beside("best w, z integrated", weights[integrated.argmax()], math.sqrt((data**2).mean() - s**2), 0.05)
beside("best w, the best z for each x", weights[best.argmax()], weights[-1], 1e-12)
say("""With the best z the largest w allowed wins: a huge w needs only tiny z's, which the prior likes, and
nobody counts how few such z's there are. The integral does, for every x and every w that we try.""")

# %% [markdown]
# ## 7. Count the grid's points
#
# How many points on [-6, 6] does the integral need for 1 %? With L hidden numbers every combination of points
# is one term: k points on each axis make k^L, and the errors of the axes multiply, too.
# %%
section("7. Count the grid's points")


def off(k):
    """Relative error of the integral with k points on [-6, 6]."""
    axis, gap = np.linspace(-6, 6, k, retstep=True)  # (k,)
    return abs(np.exp(log_normal(x, axis, s**2) + log_normal(axis, 0, 1)).sum() * gap / evidence - 1)


def points(L):
    """From how many points an axis on the error of L dimensions, (1 + off)^L - 1, stays below 1 %."""
    return 1 + max(k for k in range(2, 60) if (1 + off(k)) ** L - 1 > 0.01)


number("points for 1 % in one dimension", points(1))
guess("a computer takes a billion points a second. How long for L = 20, as in the VAE of lesson 8?")
number("points on each axis for 1 % in L = 20", points(20))
number("years for L = 20", points(20) ** 20 / 1e9 / 3.156e7)
say("400 million years buy one x and one setting of the decoder; fitting needs many. Grids end here.")

# %% [markdown]
# ## 8. Sample from the prior instead
#
# The evidence is an expectation under the prior, so an average of draws estimates it, in any dimension:
#
#     p(x) = E_p(z)[ p(x|z) ]  ~  1/n sum_i p(x|z_i),    z_i ~ p(z)
#
# It is unbiased, and its spread is exact: the square of a Gaussian density is one again, up to a factor.
#
#     N(x; z, s^2)^2 = N(x; z, s^2/2) / (2 s sqrt(pi))      E p(x|z)^2 = N(x; 0, 1 + s^2/2) / (2 s sqrt(pi))
#     r = E p(x|z)^2 / p(x)^2 in one dimension, r^L in L independent ones with the same x
#     relative standard error = sqrt((r^L - 1) / n)         draws that count = n / r^L
#
# The last is the limit of the effective sample size (sum p_i)^2 / sum p_i^2: n for equal terms, 1 for one
# giant.
# %%
section("8. Sample from the prior instead")


def second_moment(s):
    """r: how much larger E p(x|z)^2 is than p(x)^2, in one dimension."""
    square = math.exp(log_normal(x, 0, 1 + s**2 / 2)) / (2 * s * math.sqrt(math.pi))
    return square / math.exp(log_normal(x, 0, 1 + s**2)) ** 2


say("""r is the average of p(x|z)^2 over the prior, divided by p(x)^2. It would be 1 if all draws counted
alike, and in L dimensions it is r^L.""")
r = second_moment(s)
beside("r, by the grid", (likelihood**2 * prior).sum() * step / evidence**2, r, 1e-10)
guess("p(x|z) is averaged over 100,000 z from the prior: how good is it in L = 1, 5, 20, 40 dimensions?")
for L in (1, 5, 20, 40):
    draws, row = rng.standard_normal((n, 1, L)), np.ones((1, L))  # (S, B, L), (B, L)
    log_likelihood = mv.ops.gaussian_log_prob(draws, x * row, math.log(s**2) * row)  # (S, B)
    shares = np.exp(log_likelihood - L * math.log(evidence))  # (S, B), their average estimates 1
    error, counting, exact = math.sqrt((r**L - 1) / n), shares.sum() ** 2 / (shares**2).sum(), n / r**L
    number(f"L = {L}: relative standard error, exact", error)
    if error < 0.1:
        beside(f"L = {L}: estimate / p(x)", shares.mean(), 1, 5 * error)
        beside(f"L = {L}: draws that count, and n / r^L", counting, exact, 0.15 * exact)
    else:
        number(f"L = {L}: estimate / p(x)", shares.mean())
        number(f"L = {L}: draws that count, by the draws", counting)
        number(f"L = {L}: n / r^L", exact)
number("draws for 10 % in L = 20", (r**20 - 1) / 0.1**2)
say("""At L = 20 the standard error is 18 times p(x): the estimate may be anything. n / r^L below 1 says that
not even one draw counts, and the draws do not know: their own count cannot fall below 1. At L = 40 the
estimate is a tiny share of p(x). It is unbiased because once in ages one draw lands where it matters and
makes up for all.""")
guess("one z, and 784 pixels that are z + 0.5 eps: like one pixel with s = 0.5/28. How many draws for 10 %?")
beside("r at s = 0.5/28, times s", second_moment(s / 28) * s / 28, math.exp(x**2 / 2) / math.sqrt(2), 0.01)
number("draws for 10 % of one z and 784 pixels", (second_moment(s / 28) - 1) / 0.1**2)
say("""6,429 for a single z: r grows as 1/s for each. Draws belong where the posterior is; lesson 3 puts them
there.""")

# %% [markdown]
# ## 9. Take the logarithm of an estimate
#
# Fitting needs log p(x). The logarithm bends downwards, so by Jensen's inequality the log of an unbiased
# estimate is too low on average. Exactly so with n = 1, and for large n by log(1 + d) = d - d^2/2 + ...:
#
#     n = 1      E log p(x|z) = -1/2 (log 2 pi + log s^2 + (x^2 + 1)/s^2)
#     n large    E log(estimate) - log p(x) = -(r - 1)/(2 n)
# %%
section("9. Take the logarithm of an estimate")
guess("L = 1 and a single draw: how many nats below log p(x) is the average of log p(x|z)?")
logs = log_normal(x, rng.standard_normal((n, 1)), s**2)  # (n, 1)
exact = -0.5 * (math.log(2 * math.pi * s**2) + (x**2 + 1) / s**2)
beside("average log, 1 draw each", logs.mean(), exact, 0.08)
number("below log p(x), exact, nats", math.log(evidence) - exact)
groups = np.exp(log_normal(x, rng.standard_normal((20_000, 100)), s**2)).mean(axis=1)  # (20000,)
ratio = groups / evidence  # (20000,) this is 1 + d; d has mean 0 and only scatters, so it is taken off
bias = (np.log(ratio) - (ratio - 1)).mean()
beside("average log of 100 draws, less log p(x)", bias, -(r - 1) / 200, 0.0005)
say("""Too low by 2.8 nats on average with one draw, and less with more: a lower bound on log p(x). Drawing
from somewhere better than the prior tightens it, and that is the ELBO of lesson 3.""")

dimensions = np.arange(1, 31)
figure, panels = canvas(2, height=3.3)
for size, colour in ((10_000, BLUE), (100, RED)):
    each = log_normal(x, rng.standard_normal((100, size, 30), dtype=np.float32), s**2) - math.log(evidence)
    logs = np.log(np.exp(np.cumsum(each, axis=-1)).mean(axis=1))  # (100, 30) repetitions, L
    low, middle, high = np.quantile(logs, [0.05, 0.5, 0.95], axis=0)
    panels[0].fill_between(dimensions, low, high, color=colour, alpha=0.2, lw=0)
    panels[0].plot(dimensions, middle, color=colour, ls=STYLES[colour], label=f"{size:,} draws")
for spread, colour in ((0.5, BLUE), (0.1, RED), (0.02, GREEN)):
    draws = (second_moment(spread) ** dimensions - 1) / 0.01  # (30,)
    panels[1].semilogy(dimensions, draws, color=colour, ls=STYLES[colour], label=f"s = {spread}")
panels[0].axhline(0, color="black", lw=0.8)
panels[0].set(xlabel="dimension L of z", ylabel="log(estimate / p(x)), nats")
panels[1].set(xlabel="dimension L of z", ylabel="draws for a 10 % standard error", ylim=(1, 1e55))
panels[1].set_yticks(10.0 ** np.arange(0, 51, 10))
for panel, title in zip(panels, ("median and 5 to 95 % of 100 estimates", None), strict=True):
    panel.legend(frameon=False, fontsize=9, title=title, title_fontsize=9)
panels[0].set_title("Sampling the prior: lower and lower as L grows", loc="left", fontsize=10)
panels[1].set_title("How many draws it takes, exactly", loc="left", fontsize=10)
save(figure, "sampling_the_prior", dpi=90)

# %% [markdown]
# ## Try on your own
#
# - Set x = 2 in section 2: the posterior mean follows, its variance does not. Then r grows from 2.4 to 6.9,
#   since few z from the prior come near; an unlikely x alone makes sampling hard. Section 9 stops the lesson:
#   100 draws are too few there for -(r - 1)/(2 n).
# - In section 5 put -0.5 for x in both calls of bent_joint(x). The MAP's line stops the lesson, for the two
#   hills are one, at 0: a decoder that cannot make x explains it as noise.
# - In section 9 average 10 draws instead of 100: the bias is 12 times as large, and d - d^2/2 is not enough.
#
# **Exercise** `python -m lessons start 1` (the log-density that this lesson lives on)
#
# ## Further reading
#
# - Christopher Bishop, Pattern Recognition and Machine Learning, 2006: chapter 2 and section 12.2
# - Michael Tipping and Christopher Bishop, Probabilistic Principal Component Analysis, 1999
# - David MacKay, Information Theory, Inference, and Learning Algorithms, 2003: chapters 22, 28 and 29
# - Bradley Efron, Tweedie's Formula and Selection Bias, 2011
# - Diederik Kingma and Max Welling, Auto-Encoding Variational Bayes, 2014: section 2.1

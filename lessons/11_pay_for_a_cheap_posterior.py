# %% [markdown]
# # 11. Pay for a cheap posterior
#
# **You will** replace the exact posterior with four cheaper approximations, and measure in nats what each one
# costs: a Gaussian for each x, independent latents, one encoder for all x, and a few samples.
#
# **You will learn** why the parameters with the largest ELBO are not the maximum-likelihood estimate; why a
# mean-field q is too narrow; how to split a VAE's gap into its two parts; when importance weights close the
# gap, and when they do not.
#
# **You need** lessons 3, 7, 9 and 10; about 35 minutes.
#
# **New names** `bridges.refine`, `models.em.Variational`, `models.bounds.importance_weighted`; used again:
# `em.fit`, `VAE`, `Adam`, `evaluation.exact_nll`
#
# %%
import copy

import numpy as np

import minivae as mv
from lessons.drawings import lesson11 as drawings
from lessons.story import beside, guess, number, save, say, section
from minivae import bridges, evaluation
from minivae.models import em
from minivae.models.bounds import importance_weighted

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Fit a Gaussian to each x, and learn the decoder
#
# We use lesson 3's model, but now we learn its weight w: z ~ N(0, 1), x|z ~ N(w m(z), v), m(z) = (z + z^2)/2,
# v = 1/4. The posterior may have two modes. **Variational EM** restricts q, here to a Gaussian N(mu, std^2)
# for each x:
#
#     E   maximize the ELBO over mu and std of every x     (one gradient step on a slide, Isachenko)
#     M   maximize it over w:  w = sum of x E_q m / sum of E_q m^2, over the data
#
# With z = mu + std eps, m = a + b eps + c eps^2, where a = (mu + mu^2)/2, b = (1/2 + mu) std, c = std^2/2. So
# E_q m = a + c and E_q m^2 = (a + c)^2 + b^2 + 2 c^2. As in exact EM, the bound rises in each half-step. But
# q cannot equal the posterior, so after each E-step the bound is still below log p(x).
# %%
section("1. Fit a Gaussian to each x, and learn the decoder")
V = 0.25  # variance of p(x|z)
LOG_2PI_V = np.log(2 * np.pi * V)


def moments(mu, logvar):
    """E_q m(z) and E_q m(z)^2."""
    a, b, c = (mu + mu**2) / 2, (0.5 + mu) * np.exp(logvar / 2), np.exp(logvar) / 2
    return a + c, (a + c) ** 2 + b**2 + 2 * c**2


def elbo(w, x, mu, logvar):
    """E_q log p(x|z) - KL(q || prior), for numbers or arrays that broadcast."""
    first, second = moments(mu, logvar)
    log_lik = -0.5 * (LOG_2PI_V + (x**2 - 2 * w * x * first + w**2 * second) / V)
    return log_lik - 0.5 * (mu**2 + np.exp(logvar) - logvar - 1)


def best_q(w, x, points=17, rounds=6):
    """The mu and logvar (N,) of each x (N,) with the largest ELBO: ever finer grids around the best point."""
    low, high = np.tile([[-5.0], [-6.0]], len(x)), np.tile([[5.0], [1.0]], len(x))  # (2, N): mu, logvar
    for _ in range(rounds):
        grid = np.linspace(low, high, points)  # (points, 2, N)
        each = elbo(w, x, grid[:, None, 0], grid[None, :, 1]).reshape(-1, len(x))
        i, j = np.divmod(each.argmax(axis=0), points)
        best = np.array([grid[i, 0, np.arange(len(x))], grid[j, 1, np.arange(len(x))]])
        reach = 2.5 * (high - low) / (points - 1)
        low, high = best - reach, best + reach
    return best


z, step = np.linspace(-8, 8, 801, retstep=True)  # (801,)
m = (z + z**2) / 2
log_prior = -0.5 * (z**2 + np.log(2 * np.pi))


def log_p(w, x):
    """log p(x|w) by a sum over z: x (N,) -> (N,)."""
    joint = -0.5 * (LOG_2PI_V + (x[:, None] - w * m) ** 2 / V) + log_prior  # (N, 801)
    return np.log(step * np.exp(joint).sum(axis=1))


def top(heights):
    """The w of the maximum: of the parabola through the largest of the heights and its two neighbours."""
    i = np.argmax(heights)
    a, b, c = heights[i - 1 : i + 2]
    return WS[i] + (WS[1] - WS[0]) / 2 * (a - c) / (a - 2 * b + c)


guess("100 x's are drawn with w = 1. Does variational EM end at the maximum-likelihood estimate of w?")
code = rng.standard_normal(100)
x = (code + code**2) / 2 + np.sqrt(V) * rng.standard_normal(100)  # (N,)
w, bounds = 0.5, []
for _ in range(60):
    q = best_q(w, x)  # E
    bounds.append(elbo(w, x, *q).mean())
    first, second = moments(*q)
    w = (x * first).sum() / second.sum()  # M
WS = np.linspace(0.7, 1.2, 21)
beside("rounds in which the bound fell", (np.diff(bounds) < -1e-6).sum(), 0, 0)
number("w at the end", w)
number("w of the maximum likelihood", top([log_p(w, x).mean() for w in WS]))
say("""No, and the reason is not that 100 x's are few. With infinitely many, the mean over the data becomes an
expectation under p(x|w = 1), and the maximum of the likelihood is exactly at w = 1:""")
many = np.linspace(-2.5, 14, 84)  # (84,)
share = np.exp(log_p(1.0, many))
share /= share.sum()
curves = {"log p(x)": np.array([share @ log_p(w, many) for w in WS])}
curves["ELBO"] = np.array([share @ elbo(w, many, *best_q(w, many)) for w in WS])
beside("w of the maximum likelihood, infinitely many x's", top(curves["log p(x)"]), 1, 2e-3)
number("w of the maximum of the ELBO, infinitely many x's", top(curves["ELBO"]))
gaps = curves["log p(x)"] - curves["ELBO"]
number("mean gap at w = 0.825", np.interp(0.825, WS, gaps), "nats")
number("mean gap at w = 1", np.interp(1.0, WS, gaps), "nats")
say("""ELBO = log p(x) - gap, and the gap depends on w. Here the gap is smaller at a smaller w, so the maximum
of the ELBO is at a smaller w too. Three lectures say that maximizing the ELBO is maximum likelihood: "to find
MLE of model parameters" (Isachenko), "Maximum Likelihood Estimation" (Brown), "yet another maximum likelihood
estimation approach" (Marchioro). This is true if the gap can be closed, as in lesson 9. Otherwise the
estimate is generally biased, and more data do not help.""")

# %% [markdown]
# ## 2. Make the latents independent
#
# A **mean-field** q is a product of densities, one for each latent. The diagonal Gaussian of an encoder is an
# example. Let the posterior be N(0, P^-1) with the precision matrix P. Then
#
#     KL(q || posterior) = 1/2 (sum_l P_ll var_l - sum_l log var_l - log det P - L),  q = N(0, diag(var))
#     derivative w.r.t. var_l is 0:   var_l = 1 / P_ll
#     gap at this optimum:            gap = 1/2 (sum_l log P_ll - log det P)             as in lesson 9
#
# For two latents of variance 1 and correlation rho, P_ll = 1 / (1 - rho^2): var = 1 - rho^2 and the gap is
# -1/2 log(1 - rho^2).
# %%
section("2. Make the latents independent")
guess("Two latents have variance 1 and correlation 0.9. What is the variance of the best independent q?")
rho = 0.9
P = np.linalg.inv(np.array([[1.0, rho], [rho, 1.0]]))


def gap_of(var):
    """KL(q || posterior) of q = N(0, diag(var))."""
    return 0.5 * (np.diag(P) @ var - np.log(var).sum() - np.linalg.slogdet(P)[1] - 2)


logvar, adam = {"logvar": np.zeros(2)}, mv.Adam(lr=0.05, backend="numpy")
for _ in range(500):
    adam.step(logvar, {"logvar": 0.5 * (np.diag(P) * np.exp(logvar["logvar"]) - 1)})
var = np.exp(logvar["logvar"])
beside("variance of the best q, by gradient steps", var[0], 1 - rho**2, 1e-4)
beside("its gap", gap_of(var), -0.5 * np.log(1 - rho**2), 1e-6)
beside("gap of q with the right variances, 1", gap_of(np.ones(2)), rho**2 / (1 - rho**2) - gap_of(var), 1e-5)
say("""0.19. q is as narrow as the posterior of one latent if the other is *known*. A wider q puts mass beside
the ridge of the posterior, where the posterior has almost none, and that costs more. So a mean-field q shows
too little uncertainty, and a VAE's encoder computes such a q. (Lesson 9 had no such gap: there the decoder
could rotate the latents until their posterior was diagonal.)""")

# %% [markdown]
# ## 3. Share one encoder
#
# If each x has a q of its own, then each x, and each new x, needs a search. An encoder **amortizes** this
# cost: one function computes q for every x. Its parameters are phi, those of the decoder are theta. (A slide
# has "parameters theta and phi for the decoder" (UvA). But at a fixed z the nll does not depend on phi.) By
# lesson 3 the gap has two parts:
#
#     log p(x) - ELBO = [log p(x) - best ELBO of the family] + [best ELBO of the family - ELBO of the encoder]
#                        approximation                          amortization
#
# `bridges.refine` starts from the encoder's q for each x and improves it by gradient steps, separately for
# each x. With two latents, a sum over a grid gives log p(x). We use digits of 14 x 14 black-and-white pixels
# to save time.
# %%
section("3. Share one encoder")


def shrunk(images):
    """Images (N, 784) at half the size, black and white: (N, 196)."""
    means = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    return (means.reshape(-1, 196) >= 128).astype(np.float32)


mnist = mv.load_mnist()
train, test = shrunk(mnist.x_train[:5000]), shrunk(mnist.x_test[:24])
vae = mv.VAE(196, 2, (50,))
vae.start_output_at(train.mean(axis=0))
adam = mv.Adam()
for i in range(800):
    adam.lr = 5e-3 * min(1, 2 - 2 * i / 800)
    batch = train[rng.integers(5000, size=100)]
    adam.step(vae.params, vae.loss_and_grads(batch, rng.standard_normal((100, 2)))[1])
cost, _ = vae.cost(test)
at_z = rng.standard_normal((1, 24, 2)).astype(np.float32)
before = cost(at_z)
moved = copy.deepcopy(vae)
for name in ("encoder1.W", "mu.W", "logvar.b"):
    moved.params[name] += 1
change = np.abs(moved.cost(test)[0](at_z) - before).max()
beside("change of the nll at fixed z when phi changes", change, 0, 0)
guess("Which part of the gap is larger: the one due to the Gaussian family, or the one due to the encoder?")
gap = bridges.refine(vae, test, np.random.default_rng(1), steps=150, samples=8, measured=1000)
number("log p(x) of 24 test images, by a grid", gap.log_prob.mean(), "nats per image")
number("approximation gap", gap.approximation.mean(), "nats per image")
number("amortization gap", gap.amortization.mean(), "nats per image")
say("""For this decoder the encoder costs more than the family. A better encoder can lower the amortization
gap only; the approximation gap needs another family for q.""")

# %% [markdown]
# Variational EM can train the same decoder without an encoder. `em.Variational` stores mu and logvar for
# every x. It takes gradient steps on them (E) and on the decoder (M), and it shortens each step that would
# lower the bound.
# %%
few = train[:60]
own = em.Variational(copy.deepcopy(vae), few, np.random.default_rng(2), samples=8, steps=5)
found = em.fit(own, few, steps=4, tolerance=0)
beside("half-steps in which the bound fell", (np.diff(found.bounds) < 0).sum(), 0, 0)
number("gained by E-steps, 60 training images", np.diff(found.bounds)[1::2].sum(), "nats per image")
number("gained by M-steps", np.diff(found.bounds)[::2].sum(), "nats per image")
say("""The bound never falls. But only these 60 images have a q; the 61st would need a search of its own. The
encoder saves this search. (The M-steps gain more, because the decoder now fits 60 images, not 5,000.)""")

# %% [markdown]
# ## 4. Average a ratio that is wrong for every z
#
# A slide replaces the posterior in Bayes' rule with q and writes (Brown)
#
#     p(x) = p(x|z) p(z) / p(z|x)  ~  p(x|z) p(z) / q(z|x)
#
# The left side does not depend on z. The right side does, unless q is the posterior. Two means over z ~ q are
# useful:
#
#     ratio(z)      = p(x|z) p(z) / q(z|x)
#     E_q log ratio = ELBO                               its mean logarithm is at most log p(x)
#     E_q ratio     = integral p(x|z) p(z) dz = p(x)     its mean is exact if q > 0 wherever p(z|x) > 0
# %%
section("4. Average a ratio that is wrong for every z")
guess("Draw 2,000 z's from the q of one image. How many nats lie between the largest and smallest ratio?")
eps = rng.standard_normal((2000, 1, 2)).astype(np.float32)
_, trace = vae.forward(test[:1], eps, bound="iwae")  # with this bound kl is log q(z|x) - log p(z), for each z
log_ratio = -(trace.nll + trace.kl)[:, 0].astype(float)  # (S,)
number("standard deviation of the log-ratio over z", log_ratio.std(), "nats")
number("largest minus smallest", np.ptp(log_ratio), "nats")
exact = -evaluation.exact_nll(vae, test[:1], nodes=101, span=6.0)[0]
of_mean = log_ratio.max() + np.log(np.exp(log_ratio - log_ratio.max()).mean())
error = np.exp(log_ratio - of_mean).std() / np.sqrt(2000)  # relative, of the mean
beside("log of the mean ratio", of_mean, exact, max(5 * error, 1e-3), word="on grid")
number("mean of the log-ratio: the ELBO of this image", log_ratio.mean(), "nats")

# %% [markdown]
# ## 5. Weigh K samples
#
# Between the ELBO and log p(x) lies a bound that uses K samples (Burda et al. 2016):
#
#     L_K = E log 1/K sum_k ratio(z_k),     ELBO = L_1 <= L_2 <= ... <= log p(x)
#
# By Jensen's inequality it is at most log p(x), since E ratio = p(x). For large K the mean ratio varies
# little. Then, from log(1 + u) ~ u - u^2/2, the gap is about Var(ratio) / (2 K p(x)^2), if this variance is
# finite. So q must cover the posterior. The code takes out the largest log ratio first, as in lesson 10. The
# derivative is a weighted mean over the samples. In the ELBO all weights are 1/K; here they are the softmax
# of log ratio(z_k):
#
#     dL_K = E sum_k v_k d log ratio(z_k),     v_k = ratio(z_k) / sum_j ratio(z_j)
# %%
section("5. Weigh K samples")
say("""Take x = 1 and w = 1, as in lesson 3. The posterior has two modes. We compare two q's: the Gaussian
with the largest ELBO, which covers one mode, and a wide one, N(0.5, 1).""")
guess("With K = 1 the gap of the narrow q is much smaller. Is it still smaller with K = 100?")
x_one, narrow = np.array([1.0]), best_q(1.0, np.array([1.0]))[:, 0]
target = log_p(1.0, x_one)[0]
COUNTS = (1, 3, 10, 30, 100, 300, 1000)


def gaps_at(w, x, mu, logvar, eps, covers):
    """log p(x|w) - log 1/K sum_k ratio(z_k): x, mu, logvar (N, 1), eps (K, 1, groups) -> (N, groups).

    If q covers the posterior, use lesson 2's (r - 1) - log r: it has the same mean and less variance.
    """
    z = mu + np.exp(logvar / 2) * eps  # (K, N, groups)
    log_lik = -0.5 * (LOG_2PI_V + (x - w * (z + z**2) / 2) ** 2 / V)
    log_ratio = log_lik - 0.5 * (z**2 - eps**2 - logvar)  # log p(x|z) + log p(z) - log q(z)
    gaps = log_p(w, x[:, 0])[:, None] + importance_weighted(-log_ratio)  # -log r, r = mean ratio / p(x)
    return gaps + np.expm1(-gaps) if covers else gaps


def measured(q, covers, draws=200_000):
    """(gap, its standard error) at every K of COUNTS, for x = 1 and w = 1."""
    found = []
    for K in COUNTS:
        eps = rng.standard_normal((K, 1, draws // K))
        gaps = gaps_at(1.0, x_one[:, None], *q, eps, covers)
        found.append((gaps.mean(), gaps.std() / np.sqrt(gaps.size)))
    return found


wide = (0.5, 0.0)
log_q = -0.5 * ((z - 0.5) ** 2 + np.log(2 * np.pi))
log_joint = -0.5 * (LOG_2PI_V + (1 - m) ** 2 / V) + log_prior
variance = step * np.exp(2 * (log_joint - target) - log_q).sum() - 1  # of ratio / p(x), for the wide q
loss = {"narrow q": measured(narrow, covers=False), "wide q": measured(wide, covers=True)}
exact_narrow = target - elbo(1.0, 1.0, *narrow)
exact_wide = target - elbo(1.0, 1.0, *wide)
for name, exact in (("narrow q", exact_narrow), ("wide q", exact_wide)):
    value, error = loss[name][0]
    beside(f"gap at K = 1, {name}", value, exact, 5 * error)
    for K in (10, 100):
        number(f"gap at K = {K}, {name}", loss[name][COUNTS.index(K)][0], "nats")
value, error = loss["wide q"][4]
beside("the last one, from the variance of the ratio", value, variance / 200, 2e-4, word="predicted")
say("""No, the gap of the wide q is over 40 times smaller. The narrow q almost never draws a z in the second
mode; when it does, the weight of this z is huge. So more samples hardly lower its gap. With many samples, q
should be wider than with one.""")

# %% [markdown]
# This bound also removes the bias of section 1. m(z) is symmetric about -1/2, so N(-1/2, 1/2 + max(x, 0))
# covers both modes. With one sample this wide q is a bad choice: its ELBO has its maximum near w = 0.45.
# %%
guess("Take the wide q with K = 100 samples. At which w is the bound largest?")
eps, logvar = rng.standard_normal((100, 1, 80)), np.log(0.5 + many.clip(0))[:, None]  # (K, 1, 80), (84, 1)
closed = [gaps_at(w, many[:, None], -0.5, logvar, eps, covers=True).mean(axis=1) for w in WS]  # (84,) each
curves["L_100"] = curves["log p(x)"] - np.array(closed) @ share
beside("w of the maximum of L_100", top(curves["L_100"]), 1, 0.06, word="MLE")

say("Now the VAE of section 3 with its 24 test images: 1,000 samples for each image, in groups of K.")
_, trace = vae.forward(test, rng.standard_normal((1000, 24, 2)).astype(np.float32), bound="iwae")
cost = (trace.nll + trace.kl).astype(float)  # (S, 24), -log ratio
for K in (1, 10):
    groups = cost.reshape(K, -1, 24)  # (K, 1000 / K, 24)
    number(f"-L_{K} of the VAE", importance_weighted(groups).mean(), "nats per image")
last = importance_weighted(cost.reshape(100, -1, 24)).mean()
beside("-L_100 of the VAE, and -log p(x)", last, -gap.log_prob.mean(), 0.1, word="on grid")
say("""Here 10 samples close most of the gap, although the encoder was trained with one: its q's cover the
posteriors well enough.""")
save(drawings.estimates(WS, curves, rho), "estimates", dpi=200)
save(drawings.gaps(COUNTS, loss, variance, gap), "gaps", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - In section 2 set rho = 0.99 and take 1000 gradient steps: the gap is 1.96 nats and the variance is 0.02.
# - In section 3 train with eps of shape (5, 100, 2), first without and then with `bound="iwae"`. Compare the
#   mean logvar of the two encoders: q becomes wider.
# - In section 5 give the wide q the mean -0.5, between the modes (there are two lines to change): its gap at
#   K = 1 falls to 0.80 nats.
#
# **Exercises** `python -m lessons start 20` (the importance-weighted bound), `python -m lessons start 21`
# (its gradient).
#
# ## Further reading
#
# - M. Jordan, Z. Ghahramani, T. Jaakkola and L. Saul, "An Introduction to Variational Methods for Graphical
#   Models", 1999
# - R. Turner and M. Sahani, "Two Problems with Variational Expectation Maximisation for Time-Series Models",
#   2011: the bias of section 1
# - Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", 2016
# - C. Cremer, X. Li and D. Duvenaud, "Inference Suboptimality in Variational Autoencoders", 2018
# - T. Rainforth et al., "Tighter Variational Bounds are Not Necessarily Better", 2018

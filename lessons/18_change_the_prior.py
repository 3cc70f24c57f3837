# %% [markdown]
# # 18. Change the prior
#
# **You will** replace N(0, I) by a Laplace prior, by binary latents and by a mixture; compute each KL in
# closed form or by sampling; differentiate through a Laplace sample; and train binary latents, whose samples
# have no useful derivative.
#
# **You will learn** what a sampled KL needs in its backward pass; what a "sparse" prior does and does not do;
# which baseline removes all the variance for one binary latent; how many nats the best prior can save.
#
# **You need** lessons 2 (KL), 6 (gradient estimators), 8 (training), 10 (mixtures) and 14 (the aggregate
# posterior); about 40 minutes, of which half a minute is training.
#
# **New names** `distributions.GaussianPosterior`, `distributions.LaplacePosterior`,
# `distributions.BernoulliPosterior`, `distributions.LaplacePrior`, `evaluation.exact_nll`; used again: `VAE`,
# `GaussianMixture`, `estimators`, `evaluation.aggregate_posterior`
#
# %%
import math

import numpy as np

import minivae as mv
from lessons.drawings import lesson18
from lessons.story import beside, guess, number, save, say, section
from minivae import distributions, estimators, evaluation, ops

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Write the KL of another family
#
# A slide says: if we expect or desire a "different nature of z, e.g., sparsity or binary latents", then "pick
# a different prior" (UvA). The ELBO changes in one term, KL(q || p) = E_q[log q(z) - log p(z)]. For each
# latent, q is N(mu, std^2), Laplace(mu, b) or a coin with q(z = 1) = on = sigmoid(a):
#
#     q, prior                   E_q log q                    - E_q log p
#     N, Laplace(0, 1)           -1/2 log(2 pi e std^2)       E|z| + log 2
#     Laplace, Laplace(0, 1)     -log(2 b) - 1                E|z| + log 2
#     coin, coin of 1/2          on log on + (1 - on) log(1 - on)     log 2
#
#     E|z| under N(mu, std^2):   std sqrt(2/pi) e^(-mu^2 / (2 std^2)) + mu erf(mu / (std sqrt 2))
#     E|z| under Laplace(mu, b): |mu| + b e^(-|mu| / b)
#
# Each posterior of `distributions` comes with a prior; `kl` is the closed form, `log_prob` the log-density.
# (The slide writes p(z) ~ N(0, 1). It should be z ~ N(0, 1), because z is drawn. p(z) is the value of a
# density, for N(0, 1) never above 0.4.)
# %%
section("1. Write the KL of another family")
gaussian, laplace = distributions.GaussianPosterior(ops), distributions.LaplacePosterior(ops)
gaussian.prior = laplace.prior = distributions.LaplacePrior(ops)
coin = distributions.BernoulliPosterior(ops)  # its prior: 1 with probability 1/2
grid, step = np.linspace(-40, 40, 400_001, retstep=True)  # (S,)
one = np.ones((1, 1))  # a head of B = 1, L = 1


def on_grid(family, *heads):
    """KL(q || p) of one latent by its definition, as a sum over the grid."""
    log_q = family.log_prob(grid[:, None, None], *heads)  # (S, B)
    return (np.exp(log_q) * (log_q - family.prior.log_prob(grid[:, None, None]))).sum() * step


heads = 0.7 * one, 2 * math.log(0.5) * one
beside("N(0.7, 0.5^2)", gaussian.kl(*heads)[0], on_grid(gaussian, *heads), 1e-6, word="on grid")
heads = 0.7 * one, math.log(0.5) * one
beside("Laplace(0.7, 0.5)", laplace.kl(*heads)[0], on_grid(laplace, *heads), 1e-6, word="on grid")
a = 0.8 * one
on = coin.mean(a).item()
by_sum = on * math.log(on) + (1 - on) * math.log(1 - on) + math.log(2)
beside("a coin of sigmoid(0.8)", coin.kl(a)[0], by_sum, 1e-12, word="by sum")
guess(
    "A latent without information costs 0 nats if q = p. What is the smallest KL if q is Gaussian, p Laplace?"
)
best = gaussian.kl(0 * one, math.log(math.pi / 2) * one)[0]
beside("smallest KL, std = sqrt(pi/2)", best, 0.5 + math.log(2 / math.pi), 1e-12)
say("""It is not 0, because no Gaussian is a Laplace distribution. To find the std, set the derivative with
respect to logvar, 1/2 std sqrt(2/pi) - 1/2, to 0. So every unused latent costs at least 0.048 nats. If p is
in the family of q, it can cost 0.""")

# %% [markdown]
# ## 2. Sample the KL, and differentiate all of it
#
# For most pairs of q and p no closed form exists. But k = log q(z) - log p(z) at the drawn z = mu + std eps
# has the right mean. The heads mu and logvar enter k twice: directly, in the density q, and through z.
#
#     directly    dk/dmu = eps / std                 dk/dlogvar = 1/2 (eps^2 - 1)              the score
#     through z   dk/dz = -eps / std - dlog p/dz,    dz/dmu = 1,  dz/dlogvar = 1/2 std eps
#     together    dk/dmu = -dlog p/dz                dk/dlogvar = -1/2 - 1/2 std eps dlog p/dz
#
# The code computes the whole derivative and parts of it for the Laplace prior, where dlog p/dz = -sign(z).


# %%
PARTS = "whole", "score left out", "z not differentiated", "log q left out"


def sampled(mu, logvar, eps):
    """name -> (dmu, dlogvar), each like eps (S, 1, 1): the derivative of the sampled KL, and parts of it."""
    std = ops.gaussian_std(logvar)
    dlog_p = -np.sign(mu + std * eps)
    direct = eps / std, 0.5 * (eps**2 - 1)
    dz = -eps / std - dlog_p
    path = dz, dz * 0.5 * std * eps
    whole = direct[0] + path[0], direct[1] + path[1]
    cross = -dlog_p, -dlog_p * 0.5 * std * eps
    return dict(zip(PARTS, (whole, path, direct, cross), strict=True))


section("2. Sample the KL, and differentiate all of it")
mu, logvar = 0.7 * one, 2 * math.log(0.5) * one
dmu, dlogvar = (d.item() for d in gaussian.kl_backward(np.ones(1), mu, logvar))
S = 200_000
parts = sampled(mu, logvar, gaussian.noise(rng, (S, 1, 1)))


def mean_beside(name, draws, exact):
    """The mean of draws beside its exact value, to five standard errors."""
    beside(name, draws.mean(), exact, 5 * draws.std() / math.sqrt(draws.size))


guess("Which of the four has the same mean as the derivative of the closed form? The whole alone?")
for name, exact in zip(PARTS, ((dmu, dlogvar), (dmu, dlogvar), (0, 0), (dmu, dlogvar + 0.5)), strict=True):
    mean_beside(f"dmu, {name}", parts[name][0], exact[0])
    mean_beside(f"dlogvar, {name}", parts[name][1], exact[1])
number("variance of dmu, whole", parts["whole"][0].var())
number("variance of dmu, score left out", parts["score left out"][0].var())
say("""Without the score the mean is still right, because the mean of the score is 0. The variance differs
(lesson 6: sticking the landing): here it is larger, but it is smaller once q is close to its target, which is
p here and the posterior in an ELBO. Without the path through z both means are 0. Without log q the derivative
with respect to mu is right, but the one with respect to logvar lacks the -1/2 that keeps q from shrinking.
Now run gradient descent on the KL alone with each of them, from N(2, 1), with 100 draws in each step.""")
number("KL at the start", gaussian.kl(2 * one, 0 * one)[0], "nats")
for name in PARTS:
    mu, logvar = 2 * one, 0 * one
    for _ in range(400):
        slopes = sampled(mu, logvar, gaussian.noise(rng, (100, 1, 1)))[name]
        mu, logvar = (head - 0.1 * d.mean(axis=0) for head, d in zip((mu, logvar), slopes, strict=True))
    number(f"KL, {name}", gaussian.kl(mu, logvar)[0], f"nats; std {ops.gaussian_std(logvar).item():.2f}")
say("""The first two reach the smallest KL, 0.048. Without the path, mu and logvar take a random walk near the
start. Without log q the posterior shrinks towards a point at 0, and its KL ends above that of the start.""")

# %% [markdown]
# ## 3. Reparameterize the Laplace distribution
#
# The distribution function of Laplace(mu, b) has an inverse in closed form. With eps uniform on (-1/2, 1/2):
#
#     z = mu - b sign(eps) log(1 - 2|eps|),   b = e^logb
#     dz/dmu = 1,   dz/dlogb = -b sign(eps) log(1 - 2|eps|) = z - mu
#
# Proof: P(|z - mu| > t) = P(2|eps| > 1 - e^(-t/b)) = e^(-t/b). We take f(z) = z^2, so E f = mu^2 + 2 b^2.
# %%
section("3. Reparameterize the Laplace distribution")
mu, logb = 0.7 * one, math.log(0.5) * one
eps = laplace.noise(rng, (S, 1, 1))
z = laplace.sample(mu, logb, eps)
mean_beside("E(z - mu)^2, not b^2", (z - mu) ** 2, 2 * 0.5**2)
path = estimators.pathwise(lambda z: 2 * z, mu, logb, eps, family=laplace)
score = estimators.score_function(lambda z: (z**2).sum(axis=-1), mu, logb, eps, family=laplace)
mean_beside("dE f/dmu, pathwise", path[0], 2 * 0.7)
mean_beside("dE f/dlogb, pathwise", path[1], 4 * 0.5**2)
beside("variance of dmu, pathwise", path[0].var(), 8 * 0.5**2, 0.1)
number("variance of dmu, score function", score[0].var())
say("""The same works for every family whose inverse distribution function is known and differentiable with
respect to the parameters.""")

# %% [markdown]
# ## 4. Ask a Laplace prior for sparse codes
#
# Take one observation x = z + noise with noise ~ N(0, v) and z ~ Laplace(0, 1). The maximum of the posterior
# (MAP) minimizes (x - z)^2 / (2 v) + |z|. If |x| < v, its derivative -(x - z) / v + sign(z) jumps at z = 0
# from below 0 to above 0. So for these x the MAP is exactly 0:
#
#     MAP(x) = sign(x) max(|x| - v, 0)        soft thresholding; v = 1/2 here
# %%
section("4. Ask a Laplace prior for sparse codes")
guess("A Laplace prior is called sparse. What share of its draws is 0? What share lies within 0.1 of 0?")
draws = laplace.prior.sample(rng, S, 1)
number("share of draws that are 0", (draws == 0).mean())
inside = (np.abs(draws) < 0.1).astype(float)
mean_beside("within 0.1 of 0, Laplace(0, 1)", inside, 1 - math.exp(-0.1))
inside = (np.abs(rng.standard_normal(S)) < 0.1).astype(float)
mean_beside("within 0.1 of 0, N(0, 1)", inside, math.erf(0.1 / math.sqrt(2)))
xs = np.linspace(-3, 3, 121)  # (121,)
z, gap = np.linspace(-12, 12, 4801, retstep=True)  # (4801,)
posterior = np.exp(-((xs[:, None] - z) ** 2) - np.abs(z))  # (121, 4801), without its constant; 2 v = 1
means = (posterior * z).sum(axis=1) / posterior.sum(axis=1)  # (121,)
maps = np.sign(xs) * np.maximum(np.abs(xs) - 0.5, 0)  # (121,)
on_z = z[posterior.argmax(axis=1)]  # (121,)
beside("largest error of MAP(x)", np.abs(on_z - maps).max(), 0, gap, word="expected")
number("posterior mean at x = 0.4", np.interp(0.4, xs, means))
say("""No draw is 0, because the prior is a density. 9.5 % of its draws lie within 0.1 of 0, against 8 % for a
Gaussian. The MAP is 0 on a whole interval of x. The posterior mean is 0 only at x = 0, and a draw from a
density is never exactly 0. The q of a VAE is such a density. Now train two VAEs 784-200-10 on MNIST, for 300
steps each. The second has a Laplace prior and a Laplace q.""")
mnist = mv.load_mnist()
pixel_mean = mnist.x_train.mean(axis=0) / 255  # (D,)
test = mv.binarize(mnist.x_test[:4000], np.random.default_rng(1))  # (N, D)


def train(model, steps, lr=2e-3, batch=128, samples=(), estimator=None):
    """Train in place on dynamic pixels -> (steps,), the loss of each minibatch."""
    rng, adam, losses = np.random.default_rng(1), mv.Adam(lr=lr), []
    model.start_output_at(pixel_mean)
    for _ in range(steps):
        x = mv.binarize(mnist.x_train[rng.integers(60_000, size=batch)], rng)
        eps = model.posterior.noise(rng, (*samples, batch, model.latent_dim), model.dtype)
        terms, grads = model.loss_and_grads(x, eps, estimator=estimator)
        adam.step(model.params, grads)
        losses.append(terms.loss)
    return np.array(losses)


def bound(model):
    """The terms of 4,000 test images, always with the same pixels and noise."""
    return model.loss(test, model.posterior.noise(np.random.default_rng(2), (len(test), model.latent_dim)))


for family in ("gaussian", "laplace"):
    model = mv.VAE(latent_dim=10, hidden=(200,), posterior=family)
    train(model, 300)
    codes = model.code(test)  # (N, L)
    number(f"-ELBO on test images, {family}", bound(model).loss, "nats per image")
    number(f"share of codes within 0.1 of 0, {family}", (np.abs(codes) < 0.1).mean())
    number(f"share of codes within 0.1 std of 0, {family}", (np.abs(codes) < 0.1 * codes.std(axis=0)).mean())
    tails = ((codes - codes.mean(axis=0)) ** 4).mean(axis=0) / codes.var(axis=0) ** 2
    number(f"kurtosis of codes, mean over latents, {family}", tails.mean())
say("""The codes of the Laplace model are not sparse. Fewer of them lie within 0.1 of 0, because they spread
more widely: the variance of Laplace(0, 1) is 2. Within a tenth of their own standard deviation there are
slightly more, but still below a tenth of all. The bounds differ by about a nat. The tails are heavier: the
kurtosis is larger (3 for a normal distribution, 6 for a Laplace distribution). If you need exact zeros, use
the MAP instead of a q. The L1 penalty of lesson 12 is its counterpart in an autoencoder.""")

# %% [markdown]
# ## 5. Train binary latents without a path
#
# Let z = 1 if eps < on, else 0, with eps uniform on [0, 1). For almost every eps a small change of a does not
# change z, so dz/da = 0. But E f(z) = on f(1) + (1 - on) f(0) has the derivative on (1 - on) (f(1) - f(0)).
# The score dlog q/da is z - on, so (f(z) - t)(z - on) is an unbiased estimator for any baseline t. It takes
# two values:
#
#     z = 1, with probability on         (f(1) - t)(1 - on)
#     z = 0, with probability 1 - on     (t - f(0)) on
#
# If t = (1 - on) f(1) + on f(0), the two are equal, and the variance is exactly 0.
# %%
section("5. Train binary latents without a path")
high, low = 2.3, -0.4  # f(1), f(0)
eps = coin.noise(rng, (S, 1, 1))
quotient = (coin.sample(a + 1e-9, eps) - coin.sample(a, eps)).sum() * (high - low) / 1e-9
beside("sum of difference quotients", quotient, 0, 0, word="predicted")
guess("Lesson 6 used the mean cost as the baseline. Is it the best for f(1) = 2.3 and f(0) = -0.4?")
slope, best = on * (1 - on) * (high - low), (1 - on) * high + on * low
for name, t in {"no baseline": 0, "mean cost": on * high + (1 - on) * low, "best": best}.items():
    values, chances = np.array([(high - t) * (1 - on), (t - low) * on]), np.array([on, 1 - on])
    beside(f"gradient, {name}", chances @ values, slope, 1e-12)
    variance = (t - best) ** 2 * on * (1 - on)
    beside(f"variance, {name}", chances @ (values - slope) ** 2, variance, 1e-12, word="on paper")
say("""The best baseline weights each cost by the probability of the *other* value. Here the mean cost is
worse than no baseline, because 0 happens to be closer to the best one. With L latents, the exact computation
of the best baseline needs the costs of all 2^L codes. The mean cost of the other samples (leave-one-out)
needs no costs besides those of the samples drawn.""")

# %%
guess("784-200-10, binary latents, 8 samples, 150 steps: how many nats better is leave-one-out?")
courses, x = {}, test[:100]
for name, lr in {"score-function": 2e-3, "leave-one-out": 5e-3}.items():  # each at its best lr
    binary = mv.VAE(latent_dim=10, hidden=(200,), posterior="bernoulli")
    courses[name] = train(binary, 150, lr, 64, (8,), name)
    terms = bound(binary)
    number(f"-ELBO on test images, {name}", terms.loss, "nats per image")
    number(f"kl, {name}", terms.kl, "nats per image, at most 10 ln 2 = 6.93")
mean_elbo = binary.loss(x, binary.posterior.noise(rng, (50, 100, 10))).loss
number("-ELBO of 100 images, the last model", mean_elbo, "nats per image")
exact = evaluation.exact_nll(binary, x).mean()
number("their -log p(x), a sum over 2^10 codes", exact, "nats per image")
say("""Each ran with the best of the learning rates 0.001, 0.002, 0.005 and 0.01. Ten bits hold at most 6.93
nats, which limits the kl, so the nll stays high. With L binary latents -log p(x) is a sum of 2^L terms, which
is feasible up to L = 12 or so. The -ELBO is larger by the mean KL(q || posterior): in q the ten coins are
independent, in the posterior they are not.""")
save(lesson18.sparse_and_binary(xs, maps, means, courses), "priors", dpi=200)

# %% [markdown]
# ## 6. Fit the prior to the codes
#
# The mean KL of the codes is the information I(x, z) plus KL(q(z) || p(z)), where q(z) is the aggregate
# posterior (lesson 14). Only the second term depends on the prior, and it is 0 for p = q(z). So the aggregate
# posterior is the best prior, and a change of the prior alone saves at most the second term. We train a VAE
# with two latents, fit a mixture of ten Gaussians to its codes by EM (lesson 10), and use the mixture as the
# prior. The KL to a mixture has no closed form, so it is sampled. Encoder and decoder stay as they are.
# %%
section("6. Fit the prior to the codes")
plane = mv.VAE(latent_dim=2, hidden=(200,))
train(plane, 300)
before = bound(plane)
split = evaluation.aggregate_posterior(plane, test[:2000], rng)
number("mean KL of the codes to N(0, I)", before.kl, "nats")
number("KL(aggregate posterior || N(0, I))", split.distance, "nats")
guess("By how many nats will the -ELBO of test images fall with the mixture as the prior?")
heads = plane.encode(mv.binarize(mnist.x_train[:5000], rng))  # (N, L) each
drawn = ops.gaussian_sample(*heads, rng.standard_normal((5000, 2)))  # (N, L), one z for each image
mixture = mv.GaussianMixture(10, covariance="diagonal")
mixture.fit(drawn, rng, steps=100)
mixed = mv.VAE(latent_dim=2, hidden=(200,), prior="mixture")
mixed.params |= plane.params
learned = {"weight": np.log(mixture.weights), "mean": mixture.means, "logvar": np.log(mixture.covariances)}
mixed.params |= {f"prior.{name}": value.astype(np.float32) for name, value in learned.items()}
after = bound(mixed)
beside("nll with the mixture as prior", after.nll, before.nll, 1e-3, word="before")
number("-ELBO on test images, N(0, I)", before.loss, "nats per image")
number("-ELBO on test images, mixture", after.loss, "nats per image")
number("saved", before.loss - after.loss, "nats per image")
say("""The nll is the same, because only log p(z) has changed. The saving is smaller than KL(q(z) || N(0, I)),
because ten Gaussians do not match the aggregate posterior exactly. And this prior was fitted to a finished
encoder. `VAE(prior="mixture")` learns prior, encoder and decoder together.""")
save(lesson18.plane(drawn[:2000], mixture), "mixture", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - In section 5 take 2 samples instead of 8: leave-one-out still works. With 1 it raises an error. Why?
# - In section 6 use 3 components, then 50. Does the saving stay below KL(q(z) || N(0, I))?
# - Train `VAE(posterior="categorical", latent_dim=4)`: four variables of ten values. How large can its kl be?
#
# **Exercises** `python -m lessons start 30` (the sampled KL and its derivative),
# `python -m lessons start 31` (the Laplace sample and its derivative)
#
# ## Further reading
#
# - R. Tibshirani, "Regression Shrinkage and Selection via the Lasso", 1996
# - A. Mnih and D. J. Rezende, "Variational Inference for Monte Carlo Objectives", 2016
# - G. Roeder, Y. Wu and D. Duvenaud, "Sticking the Landing: Simple, Lower-Variance Gradient Estimators for
#   Variational Inference", 2017
# - J. M. Tomczak and M. Welling, "VAE with a VampPrior", 2018
# - E. Mathieu, T. Rainforth, N. Siddharth and Y. W. Teh, "Disentangling Disentanglement in Variational
#   Autoencoders", 2019 (sparse priors)

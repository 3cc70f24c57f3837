# %% [markdown]
# # 17. Sharpen the picture
#
# **You will** train one network with seven reconstruction losses on the grey digits, derive the best variance
# of a Gaussian likelihood, and compare means and draws.
#
# **You will learn** that a squared error is a Gaussian likelihood with a certain variance, that this variance
# sets the weight of the KL, why the choice between MSE and SSE matters, and when you should not compare
# models by their likelihood of grey pixels.
#
# **You need** lessons 8 and 13; about 30 minutes, of which the training takes 20 seconds on two cores.
#
# **New names** `distributions.Laplace`, `ops.gaussian_nll_backward`; used again: `VAE`, `Adam`, `load_mnist`,
# `ops.gaussian_nll`, `evaluation`
#
# %%
import numpy as np

import minivae as mv
from lessons.drawings import lesson17 as drawings
from lessons.drawings import slide
from lessons.story import beside, guess, number, save, say, section
from minivae import evaluation, ops
from minivae.distributions import Laplace

mnist = mv.load_mnist()
x_train = mnist.x_train[:32_000].astype(np.float32) / 255  # (N, D), grey
x_test = mnist.x_test[:2000].astype(np.float32) / 255
D, L, STEPS, BATCH = 784, 10, 250, 128

# %% [markdown]
# ## 1. Read a loss as a likelihood
#
# Let |x - m|^2 be the squared error of the decoder's mean m, summed over D pixels (SSE). With the same
# variance v for every pixel,
#
#     nll = D/2 log(2 pi v) + |x - m|^2 / (2 v)
#     2 v (nll + KL) = |x - m|^2 + 2 v KL + a number without m
#
# So the loss |x - m|^2 + KL of the lectures (Marchioro, Bonvicini, and Brown with lambda = 1) belongs to the
# likelihood with v = 1/2. Marchioro adds "or, analogously, a mean squared error (MSE), it just changes by a
# multiplicative constant" (after equation 3): |x - m|^2 / D + KL belongs to the likelihood with v = D/2. "The
# constant terms can be neglected" (after equation 15) holds for a constant that is added. It does not hold
# for a constant that multiplies one of the two terms: that constant sets the weight of one against the other.
# %%
section("1. Read a loss as a likelihood")
rng = np.random.default_rng(0)
x, m = rng.random((4, D)), rng.random((4, D))  # (B, D)
each = np.ones(4)  # the derivative of the sum over the batch
slope, _ = ops.gaussian_nll_backward(each, m, np.log(1 / 2), x)
beside("SSE's slope less that of v = 1/2", np.abs(slope - 2 * (m - x)).max(), 0, 1e-12)
slope, _ = ops.gaussian_nll_backward(each, m, np.log(D / 2), x)
beside("MSE's slope less that of v = D/2", np.abs(slope - 2 * (m - x) / D).max(), 0, 1e-12)
guess("Grey values lie between 0 and 1. What does a standard deviation of sqrt(D/2) = 19.8 mean?")
say("""It means that the noise hides the grey value of a pixel. A better m reduces such an nll by almost
nothing, while the KL costs as much as before. Section 3 trains this model.""")

# %% [markdown]
# ## 2. Derive the best variance
#
# Take the mean nll over all N images, and set its derivative with respect to log v to 0:
#
#     D/2 - mean |x - m|^2 / (2 v) = 0        v = mean |x - m|^2 / D        the mean squared error itself
#     nll at this v = D/2 (log(2 pi v) + 1)
#
# For a Laplace likelihood, whose nll is |x - m|_1 / b + D log(2 b), the same step gives b = mean |x - m|_1 /
# D, the mean absolute error. We test the Gaussian case on the simplest decoder: m is the mean image for every
# z.
# %%
section("2. Derive the best variance")
m = np.broadcast_to(x_train.mean(axis=0), x_test.shape).astype(float)  # (N, D)
squares = ((x_test - m) ** 2).sum(axis=1)  # (N,)
best = squares.mean() / D


def mean_nll(v):
    """The mean nll of the test images around the mean image, at variance v."""
    return ops.gaussian_nll(m, np.log(v), x_test.astype(float)).mean()


tried = np.geomspace(0.03, 0.15, 162)  # every 1 %
nlls = [mean_nll(v) for v in tried]
beside("best v of those tried", tried[np.argmin(nlls)], best, 0.01 * best, word="mean squared error")
beside("nll at the best v", mean_nll(best), D / 2 * (np.log(2 * np.pi * best) + 1), 1e-6)
number("nll at v = 1", mean_nll(1.0), "nats per image")
number("nll at v = D/2", mean_nll(D / 2), "nats per image")
say("""Densities can exceed 1 if v is small, so an nll of grey pixels may be negative. At v = 1 the same means
cost 711 nats more.""")

# %% [markdown]
# ## 3. Train with each loss
#
# The networks are 784-200-10, trained for 250 steps on grey pixels by Adam, with a learning rate that falls
# from 0.003 to 0. Multiplying the loss by a constant hardly changes the steps of Adam. So we train v = 1/2
# and v = D/2 as the unit-variance model, v = 1, with the weight beta of the KL set to 1/2 and to D/2.
# "Optimal" computes v in every step, as the mean squared error of the minibatch (Rybkin et al. 2021). "Pixel"
# learns one log v for each pixel, starting from the variance of the data. Laplace has b = 0.08, close to
# the mean absolute error that it reaches, 0.09.
# %%
section("3. Train with each loss")
mean, variance = x_train.mean(axis=0), x_train.var(axis=0)  # (D,) each
LOSSES = {  # name -> likelihood, beta
    "MSE + KL": ("gaussian", D / 2),
    "unit": ("gaussian", 1.0),
    "SSE + KL": ("gaussian", 0.5),
    "optimal": ("gaussian-optimal", 1.0),
    "pixel": ("gaussian-pixel", 1.0),
    "Laplace": (lambda ops: Laplace(ops, logb=np.log(0.08)), 1.0),
    "Bernoulli": ("bernoulli", 1.0),
}


def train(likelihood, beta, start=variance, lr=3e-3, falls=True):
    """A model after STEPS steps, and the course of its shared v, if it has one (STEPS,)."""
    model, adam = mv.VAE(latent_dim=L, hidden=(200,), likelihood=likelihood), mv.Adam(lr=lr)
    rng = np.random.default_rng(2)
    model.start_output_at(mean, start)
    course = []
    for step, rows in enumerate(rng.permutation(len(x_train))[: STEPS * BATCH].reshape(STEPS, BATCH)):
        adam.lr = lr * (1 - step / STEPS) if falls else lr
        _, grads = model.loss_and_grads(x_train[rows], rng.standard_normal((BATCH, L)), beta=beta)
        adam.step(model.params, grads)
        course.append(np.exp(model.params.get("output.logvar", np.zeros(1))[0]))
    return model, np.array(course)


guess("Sort MSE + KL, unit, SSE + KL and optimal by squared error. By how much do they differ?")
models, errors = {}, {}
for name, (likelihood, beta) in LOSSES.items():
    models[name], _ = train(likelihood, beta)
    terms = evaluation.average_terms(models[name], x_test, "grey", np.random.default_rng(3))
    errors[name] = ((models[name].reconstruct(x_test) - x_test) ** 2).sum(axis=1).mean()
    number(f"{name}: squared error at z = mu", errors[name], "per image")
    number(f"{name}: kl", terms.kl, "nats per image")
    if name in ("unit", "optimal", "pixel"):
        number(f"{name}: nll", terms.nll, "nats per image")
beside("squared error of the mean image", squares.mean(), errors["MSE + KL"], 1, word="MSE + KL")
active = evaluation.active_units(models["MSE + KL"], x_test, "grey", rng)  # (L,)
beside("active latents, MSE + KL", active.sum(), 0, 0, word="predicted")
say("""From v = D/2 to 1, to 1/2 and to the optimal v, each change lowers the weight of the KL, so the codes
carry more information and the error falls. MSE + KL ignores z and shows the mean image. Against blur a slide
says: "Let's choose a different reconstruction loss!" (Brown). Choose the variance first.""")

# %% [markdown]
# ## 4. Start from the variance of the data
#
# A learned log v is a weight like any other, and Adam moves each weight by about lr in a step, whatever the
# size of its gradient (lesson 8). So a learned v changes by a factor of about e^lr in a step at most. Here we
# learn one log v that all pixels share.
# %%
section("4. Start from the variance of the data")
guess("v starts at 1, and the best v is about 0.03. What is v after 250 steps of Adam with lr 0.001?")
_, slow = train("gaussian-shared", 1.0, start=None, lr=1e-3, falls=False)
beside("v after 250 steps from v = 1", slow[-1], np.exp(-0.25), 0.01, word="e^-0.25")
_, from_data = train("gaussian-shared", 1.0)
number("variance of the data", variance.mean())
fastest = variance.mean() * np.exp(-0.003 * (STEPS + 1) / 2)  # the sum of a falling lr
beside("v after 250 steps from the data's variance", from_data[-1], fastest, 0.001, word="fastest")
fit = models["optimal"]
z = fit.posterior.sample(*fit.encode(x_test), evaluation.noise(fit, rng, len(x_test), 1))  # (N, L)
v = ((fit.mean(z) - x_test) ** 2).mean()
number("optimal v on the test images", v)
save(drawings.variances((tried, nlls), (slow, from_data, v)), "variance", dpi=200)
say("""If v starts at 1, the network trains with nearly unit variance all the time. So start a learned
variance at the variance of the data, as `start_output_at(mean, variance)` does, and plot it. Even then v
moves at nearly full speed all the time and does not reach the optimum in 250 steps. "Optimal" computes v and
need not learn it.""")

# %% [markdown]
# ## 5. Compare means and draws
#
# A picture of m is not a draw from p(x | z). A draw adds noise of variance v to every pixel, so its expected
# squared error is that of m plus D v. At the optimal v, D v is the mean squared error of m itself, so the
# error of a draw is twice that of m.
# %%
section("5. Compare means and draws")
guess("Which is closer to the test image: the decoder's mean or a draw from p(x | z)? By how much?")
means = fit.mean(z)  # (N, D)
draws = means + np.sqrt(v) * rng.standard_normal(means.shape)
of_mean, of_draw = (((a - x_test) ** 2).sum(axis=1).mean() for a in (means, draws))
number("squared error of a mean", of_mean)
beside("squared error of a draw, divided by that", of_draw / of_mean, 2, 0.01, word="expected")
say("""So the mean is closer. A draw is speckled, because the pixels of p(x | z) are independent given z. A
smaller v gives cleaner draws and a higher kl. But no loss that is a sum over pixels can model what is missing
here: the dependence between pixels given z (lesson 19).""")

# %% [markdown]
# ## 6. Compare likelihoods with care
#
# The best m of a Gaussian is the mean of x given z; that of a Laplace distribution is the median of each
# pixel. If a pixel is 0 in 60 % of the images with this z and 1 in the others, the mean is 0.4 and the median
# is 0.
# %%
section("6. Compare likelihoods with care")
pixel = np.repeat([0.0, 1.0], (60, 40))  # (100,)
levels = np.linspace(0, 1, 101)  # (101,)
square, absolute = ((pixel - levels[:, None]) ** 2).mean(axis=1), np.abs(pixel - levels[:, None]).mean(axis=1)
beside("best m by squared error", levels[square.argmin()], pixel.mean(), 1e-9, word="mean")
beside("best m by absolute error", levels[absolute.argmin()], np.median(pixel), 1e-9, word="median")


def grey(images):
    """Pixels between 0.2 and 0.8, per image."""
    return ((images > 0.2) & (images < 0.8)).sum(axis=1).mean()


number("grey pixels of a test image", grey(x_test))
for name in ("unit", "optimal", "Laplace", "Bernoulli"):
    number(f"grey pixels of the means, {name}", grey(models[name].reconstruct(x_test)))
say("""The means of the optimal variance have over a quarter fewer grey pixels than those of the unit
variance. The Laplace means have fewer still, but a larger squared error than those of the optimal
variance.""")
guess("With one variance per pixel the nll is far lower than with the optimal v. Are the pictures better?")
dark = variance == 0  # (D,): pixels that are 0 in all training images
logvar = models["pixel"].params["output.logvar"][dark].astype(float)
number("nll of the dark pixels, optimal", dark.sum() * 0.5 * np.log(2 * np.pi * v), "nats per image")
number("nll of the dark pixels, pixel", 0.5 * (np.log(2 * np.pi) + logvar).sum(), "nats per image")
number("lowest nll of noisy grey values, -D log 255", -D * np.log(255), "nats per image")
say("""No: their squared error is larger. The loss weights each pixel by 1/v, so the pixels of the margin,
which hardly vary, get the largest weights. Some pixels are even 0 in all training images: the model predicts
them with almost no error, and their nll keeps falling as v goes to 0. This part of the nll tells you only how
long you have trained. The reason is that a grey value is one of 256 numbers, and a density has no upper limit
at single numbers. If you add uniform noise of width 1/255 to x (Uria et al. 2013), no model has a mean nll
below -D log 255. The Bernoulli cross-entropy of grey pixels is no likelihood at all (lesson 8): compare its
pictures, not its nats.""")
rows = {"test image": x_test[:10]} | {
    name: models[name].reconstruct(x_test[:10])
    for name in ("MSE + KL", "unit", "SSE + KL", "optimal", "Laplace", "Bernoulli")
}
save(slide.rows(rows | {"draw, optimal": draws[:10]}), "pictures", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - Train "unit" with beta = v, the optimal v of section 4. What does it share with "optimal", and what
#   differs?
# - Draw z from the prior and decode it with each model. Are these pictures as sharp as the reconstructions?
# - Train with likelihood="laplace" (b = 1). Then set b to the mean absolute error, train again, and repeat.
#
# **Exercise** `python -m lessons start 29`: write the best variance, and the nll at it.
#
# ## Further reading
#
# - O. Rybkin, K. Daniilidis and S. Levine, "Simple and Effective VAE Training with Calibrated Decoders", 2021
# - B. Dai and D. Wipf, "Diagnosing and Enhancing VAE Models", 2019
# - B. Uria, I. Murray and H. Larochelle, "RNADE: The Real-valued Neural Autoregressive
#   Density-estimator", 2013
# - L. Theis, A. van den Oord and M. Bethge, "A Note on the Evaluation of Generative Models", 2016

# %% [markdown]
# # 19. Predict pixel by pixel, and see where the VAE stands
#
# **You will** factorize p(x) over pixels; mask a logistic model so that no pixel sees itself; fit it, draw
# from it and complete half images; and compare it with an independent model, a mixture and a VAE on the same
# test images.
#
# **You will learn** why a product of conditionals sums to 1; what goes wrong if the diagonal is not masked;
# which models have an exact log p(x) and which only a bound; which generative models can evaluate log p(x)
# and how each of them draws.
#
# **You need** lessons 4 (the nll in logits), 8 (training), 10 (mixtures) and 11 (the importance-weighted
# bound); about 30 minutes, of which a quarter of a minute is training.
#
# **New names** `BernoulliMixture`; used again: `ops.bernoulli_nll`, `gradcheck.check`, `VAE`,
# `evaluation.importance_nll`
#
# %%
import math

import numpy as np

import minivae as mv
from lessons.drawings import lesson19, slide
from lessons.story import beside, guess, number, save, say, section
from minivae import evaluation, gradcheck, ops

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Multiply conditionals
#
# The product rule, applied D - 1 times, holds for every distribution and every order of the pixels
# (Isachenko):
#
#     p(x) = p(x_1) p(x_2 | x_1) p(x_3 | x_1, x_2) ... p(x_D | x_1, ..., x_(D-1))
#
# An autoregressive model uses a formula for each factor. A simple one for pixels of 0 and 1 is logistic:
#
#     p(x_d = 1 | pixels before d) = sigmoid(b_d + sum over e < d of x_e W_ed)
#
# If W is 0 on the diagonal and below, as `np.triu(W, 1)` is, then x @ W + b is the row of all D logits. Then
# -log p(x) is `ops.bernoulli_nll(logits, x)` of lesson 4, without a latent, a bound or a sample.
#
# The sum over all images is 1. Proof: sum over x_D first. It occurs only in the last factor, whose two values
# add up to 1. What remains is the same sum for D - 1 pixels; repeat.
# %%
section("1. Multiply conditionals")
D = 10
images = (np.arange(2**D)[:, None] >> np.arange(D) & 1).astype(float)  # (2^D, D): all images of ten pixels


def logistic_nll(x, W, b, mask):
    """-log p(x) -> (B,), nats; x (B, D), W and mask (D, D), b (D,)."""
    return ops.bernoulli_nll(x @ (W * mask) + b, x)


mask = np.triu(np.ones((D, D)), 1)
W, b = rng.standard_normal((D, D)), rng.standard_normal(D)
guess("Ten pixels, random weights: what is the sum of p(x) over the 1,024 images?")
beside("sum of p(x), random weights", np.exp(-logistic_nll(images, W, b, mask)).sum(), 1, 1e-12)
number("numbers in a table of all images", 2**D - 1)
number("weights of the logistic model", mask.sum() + D)
say("""The sum is 1 for all weights. The price is that the formula is restricted: a table has a number of its
own for every image but one, while the logistic model has only 55 numbers for all images. For 196 pixels it
has 19,306, and a table would have 10^59.""")

# %% [markdown]
# ## 2. Mask the diagonal
#
# The derivative is that of lesson 4, with the mask applied again: masked weights get the derivative 0.
#
#     dlogits = dnll (sigmoid(logits) - x),   dW = (x' dlogits) * mask,   db = sum over the batch of dlogits
#
# As a small example, in which we can sum over all patterns, take ten neighboring pixels from the middle row
# of real digits. For each of the 1,024 patterns, `share` is the share of 30,000 training images that show it.


# %%
def logistic_nll_backward(dnll, x, W, b, mask):
    """dnll (B,) -> dW (D, D), db (D,)."""
    dlogits = ops.bernoulli_nll_backward(dnll, x @ (W * mask) + b, x)
    return (x.T @ dlogits) * mask, dlogits.sum(axis=0)


def small(grey):
    """28 x 28 grey pixels to 14 x 14 of 0 and 1: the mean of four is the probability of a 1."""
    mean = grey.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4), dtype=np.float32) / 255
    return mv.binarize(mean.reshape(-1, 196), rng).astype(np.float32)


section("2. Mask the diagonal")
mnist = mv.load_mnist()
x_train, x_test = small(mnist.x_train[:30_000]), small(mnist.x_test[:2000])  # (N, 196)
row = x_train.reshape(-1, 14, 14)[:, 7, 2:12].astype(int)  # (N, D)
share = np.bincount(row @ 2 ** np.arange(D), minlength=2**D) / len(row)  # (2^D,)
entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
report = gradcheck.check(
    lambda W: (share * logistic_nll(images, W, b, mask)).sum(),
    logistic_nll_backward(share, images, W, b, mask)[0],
    W,
)
beside("the gradient check passes", report.ok, 1, 0, word="expected")


def descend(mask, steps=400):
    """Gradient descent on the mean nll of the ten pixels -> W, b."""
    W, b = np.zeros((D, D)), np.zeros(D)
    adam = mv.Adam(lr=0.1, backend="numpy")
    for _ in range(steps):
        dW, db = logistic_nll_backward(share, images, W, b, mask)
        adam.step({"W": W, "b": b}, {"W": dW, "b": db})
    return W, b


guess("Without a masked diagonal the nll falls further. How can you detect this without test images?")
number("entropy of the ten pixels", entropy, "nats: no model has a smaller mean nll")
for name, kept in {"masked": mask, "diagonal not masked": np.triu(np.ones((D, D)))}.items():
    W, b = descend(kept)
    nll = logistic_nll(images, W, b, kept)
    number(f"mean nll, {name}", share @ nll, "nats")
    number(f"sum of p(x) over all images, {name}", np.exp(-nll).sum())
say("""If a pixel sees itself, the model learns to copy it. The nll goes below the entropy, which is
impossible for a distribution, and the sum goes to 2^10: each image gets a "probability" near 1. For 196
pixels the sum cannot be computed. But a test can flip pixel d and check that logit d and all logits before it
stay the same.""")

# %% [markdown]
# ## 3. Measure the KL to the data
#
# The mean nll is the entropy of the data plus KL(data || model). A slide gives as a goal "evaluating pi(x)
# for new samples", where pi is the true distribution (Isachenko). But a model evaluates its own p(x). The
# mean of log pi(x) - log p(x) under pi is this KL. For real images it is unknown; for the ten pixels we can
# compute it, with `share` as pi. At the best weights the derivative is zero. So over the data,
# E[x_e x_d] = E[x_e sigmoid(logit_d)] for every e < d.
# %%
section("3. Measure the KL to the data")


def newton(order, steps=12):
    """The best weights by Newton's method, pixel by pixel -> logits (2^D, D), pixels in this order."""
    x, logits = images[:, order], np.zeros((2**D, D))
    for d in range(D):
        seen = np.hstack([x[:, :d], np.ones((2**D, 1))])  # (2^D, d + 1)
        w = np.zeros(d + 1)
        for _ in range(steps):
            p = 1 / (1 + np.exp(-seen @ w))
            curvature = (seen * (share * p * (1 - p))[:, None]).T @ seen
            w -= np.linalg.solve(curvature, seen.T @ (share * (p - x[:, d])))
        logits[:, d] = seen @ w
    return logits


logits = newton(np.arange(D))
best = ops.bernoulli_nll(logits, images)  # (2^D,)
moments = images.T @ ((1 / (1 + np.exp(-logits)) - images) * share[:, None])  # (D, D)
beside("largest E[x_e (sigmoid - x_d)]", np.abs(np.triu(moments, 1)).max(), 0, 1e-10)
divergence = (share[share > 0] * (np.log(share[share > 0]) + best[share > 0])).sum()
beside("mean nll of the best weights", share @ best, entropy + divergence, 1e-12)
number("KL(data || model)", divergence, "nats")
on = share @ images  # (D,)
alone = -(on * np.log(on) + (1 - on) * np.log(1 - on)).sum()
number("KL(data || independent pixels)", alone - entropy, "nats")
guess("The product rule holds in every order. Is the logistic model equally good in every order?")
orders = [rng.permutation(D) for _ in range(100)]
nlls = [share @ ops.bernoulli_nll(newton(order), images[:, order]) for order in orders]
number("KL, best of 100 orders", min(nlls) - entropy, "nats")
number("KL, worst of 100 orders", max(nlls) - entropy, "nats")
say("""No: the product rule is exact, but the logistic formula for a factor is an approximation, and the order
decides which factors it must approximate. In each of these orders, the KL is about four fifths smaller than
that of independent pixels.""")

# %% [markdown]
# ## 4. Compare models on real images
#
# The images have 14 x 14 pixels. All models are trained on the same 30,000 images, the mixture on the first
# 3,000 of them, and tested on the same 2,000:
#
#     independent pixels     exact log p(x)
#     mixture of 20          exact log p(x); EM, 15 steps (lesson 10)
#     logistic               exact log p(x); Adam, 400 minibatches of 200
#     VAE 196-200-20         a bound, and a tighter one (lesson 11); Adam, 400 minibatches of 200
# %%
section("4. Compare models on real images")
guess("Which has the smaller -log p(x): a VAE with 91,036 weights or one layer with 19,306?")
mask = np.triu(np.ones((196, 196), np.float32), 1)
mean = x_train.mean(axis=0).clip(1e-3, 1 - 1e-3)
start = np.log(mean / (1 - mean))
weights = {"W": np.zeros((196, 196), np.float32), "b": start.astype(np.float32)}
vae = mv.VAE(data_dim=196, latent_dim=20, hidden=(200,))
vae.start_output_at(mean)
adam, other = mv.Adam(lr=2e-2), mv.Adam(lr=3e-3)
for t in range(400):
    x = x_train[rng.integers(30_000, size=200)]  # (B, 196)
    dnll = np.full(200, 1 / 200, np.float32)
    dW, db = logistic_nll_backward(dnll, x, **weights, mask=mask)
    adam.lr = 2e-2 * (1 - t / 400)
    adam.step(weights, {"W": dW, "b": db})
    other.step(vae.params, vae.loss_and_grads(x, rng.standard_normal((200, 20)))[1])
mixture = mv.BernoulliMixture(20)
mixture.fit(x_train[:3000], rng, steps=15)
terms = vae.loss(x_test, rng.standard_normal((2000, 20)))
same = (255 * x_test).astype(np.uint8)  # the pixels are drawn already
tighter = evaluation.importance_nll(vae, same, "dynamic", rng, samples=50)
exact = logistic_nll(x_test, **weights, mask=mask)  # (N,)
scores = {
    "independent": ops.bernoulli_nll(start + 0 * x_test, x_test).mean(),
    "mixture of 20": -mixture.log_prob(x_test).mean(),
    "logistic": exact.mean(),
    "VAE, -ELBO": terms.loss,
    "VAE, tighter bound, K = 50": tighter.mean,
}
for name, score in scores.items():
    number(name, score, "nats per image")
beside("weights of the VAE", sum(a.size for a in vae.params.values()), 91_036, 0, word="counted")
say("""By the -ELBO the logistic model is better. By the tighter bound, which is closer to -log p(x) of the
VAE, the VAE is better. The number of the logistic model is exact; that of the VAE is a bound. So its -ELBO
alone cannot tell which model is better, because the gap of the bound is larger than the difference between
the models. (More training settles it: after 1,500 minibatches the -ELBO is about 38.8 and the logistic
model is at 39.9.)""")

# %% [markdown]
# ## 5. Draw, and complete
#
# A draw takes D steps, one for each pixel: given the pixels before it, x_d = 1 with probability
# sigmoid(b_d + sum over e < d of x_e W_ed). A VAE decodes all pixels in one pass. The D steps have an
# advantage: if the first half of an image is given, the steps of the second half draw it from the model's
# exact conditional distribution.
#
# As a check, -log p(x) of a draw and the sum of the entropies of its D coins have the same mean.
# %%
section("5. Draw, and complete")


def draw(x, first):
    """Replace the pixels from `first` on by draws given those before, in place -> entropies (n,), nats."""
    masked, total = weights["W"] * mask, np.zeros(len(x))
    for d in range(first, 196):
        p = 1 / (1 + np.exp(-(x[:, :d] @ masked[:d, d] + weights["b"][d]).astype(float)))  # (n,)
        x[:, d] = rng.random(len(x)) < p
        total -= p * np.log(p) + (1 - p) * np.log1p(-p)
    return total


guess("Is the mean -log p(x) of draws from the model smaller or larger than that of test images?")
draws = np.zeros((2000, 196), np.float32)
coins = draw(draws, 0)
nll = logistic_nll(draws, **weights, mask=mask).astype(float)
within = 5 * (nll - coins).std() / math.sqrt(len(draws))
beside("-log p(x) of 2,000 draws", nll.mean(), coins.mean(), within, word="entropy")
number("-log p(x) of test images", exact.mean(), "nats per image")
halves = np.repeat(x_test[:10], 2, axis=0)  # (20, 196)
draw(halves, 98)
decoded = mv.binarize(vae.sample(10, rng), rng)
rows = {
    "test images": x_test[:10],
    "lower half drawn": halves[::2],
    "drawn once more": halves[1::2],
    "logistic draws": draws[:10],
    "VAE draws": decoded,
}
title = "A given upper half is continued; free draws are seldom digits"
save(slide.rows(rows, 14, title), "pictures", dpi=200)
save(lesson19.ladder(scores), "ladder", dpi=200)
say("""It is larger: on average, test images are more probable under the model than its own draws. So the
model gives much of the probability to images that are no digits, as the figure shows. A completed half mostly
fits the given half, but free draws of both models are seldom digits. An nll near 40 nats says little about
how a draw looks.""")

# %% [markdown]
# ## 6. Compare kinds of models
#
# | model | log p(x) | a draw | a latent | lesson |
# |---|---|---|---|---|
# | mixture | exact, a sum | one pass | exact posterior | 10 |
# | probabilistic PCA | exact | one pass | exact posterior | 9 |
# | autoregressive | exact, one pass | D passes | none | 19 |
# | normalizing flow | exact, one pass | one pass, or D passes | z, x = g(z) invertible | below |
# | VAE | a bound | one pass | approximate posterior | 3 to 8 |
# | autoencoder | none | none | a code | 12 |
# | GAN | none | one pass | z, without a posterior | |
# | diffusion | a bound | many passes | noisy copies of x | |
# | energy-based | up to a constant | a Markov chain | none | |
#
# A flow in one line: x = g(z) with z ~ N(0, 1) has log p(x) = log N(z; 0, 1) - log |g'(z)| at z = g^-1(x).
# With g = sinh: z = asinh(x), g'(z) = sqrt(1 + x^2).
# %%
section("6. Compare kinds of models")
x, step = np.linspace(-2000, 2000, 2_000_001, retstep=True)
density = np.exp(-0.5 * np.arcsinh(x) ** 2) / np.sqrt(2 * np.pi * (1 + x**2))
beside(
    "integral of the flow's density", density.sum() * step, math.erf(math.asinh(2000) / math.sqrt(2)), 1e-9
)
say("""Every model gives something up. A VAE gives up the exact log p(x). In return it has a short code, draws
in one pass, and an encoder that finds the code of a new image in one pass. If you need log p(x) itself, take
an exact model, or report the tighter bound together with its K.""")

# %% [markdown]
# ## Try on your own
#
# - Do not mask the diagonal for the 196 pixels of section 4. How small does the nll of test images become?
# - In section 5, suppose that the right half is given instead of the upper one. Why can the model not use all
#   of it? In which order of the pixels could it?
# - Train both models of section 4 for 1,500 minibatches (also in the learning rate). Which improves more?
#
# **Exercise** `python -m lessons start 32`: write `logistic_nll` and its derivative, mask included.
#
# ## Further reading
#
# - B. J. Frey, "Graphical Models for Machine Learning and Digital Communication", 1998 (the logistic model)
# - H. Larochelle and I. Murray, "The Neural Autoregressive Distribution Estimator", 2011
# - I. Goodfellow et al., "Generative Adversarial Nets", 2014
# - M. Germain, K. Gregor, I. Murray and H. Larochelle, "MADE: Masked Autoencoder for Distribution
#   Estimation", 2015
# - L. Theis, A. van den Oord and M. Bethge, "A Note on the Evaluation of Generative Models", 2016
# - A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016
# - G. Papamakarios et al., "Normalizing Flows for Probabilistic Modeling and Inference", 2021

# %% [markdown]
# # 19. Predict pixel by pixel, and see where the VAE stands
#
# **You will** factorize p(x) over pixels, mask a logistic model so that no pixel sees itself, fit it, draw
# from it and complete half images; and put it beside an independent model, a mixture and a VAE, on the same
# images.
#
# **You will learn** why a product of conditionals sums to 1; what goes wrong with the diagonal left in; which
# models have an exact log p(x) and which a bound; what each model of the zoo can evaluate and draw.
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
from lessons.drawings import lesson19
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
# An autoregressive model gives each factor a formula. The simplest for pixels of 0 and 1 is logistic:
#
#     p(x_d = 1 | pixels before d) = sigmoid(b_d + sum over e < d of x_e W_ed)
#
# All D logits at once are x @ W + b, if W is 0 on the diagonal and below: `np.triu(W, 1)`. Then
# -log p(x) is `ops.bernoulli_nll(logits, x)` of lesson 4, without a latent, a bound or a sample.
#
# Why the sum over all images is 1: sum over x_D first. It occurs in the last factor only, whose two values
# add up to 1. What is left is the same sum for D - 1 pixels.
# %%
section("1. Multiply conditionals")
D = 10
images = (np.arange(2**D)[:, None] >> np.arange(D) & 1).astype(float)  # (2^D, D): all images of ten pixels


def logistic_nll(x, W, b, mask):
    """-log p(x) -> (B,), nats; x (B, D), W and mask (D, D), b (D,)."""
    return ops.bernoulli_nll(x @ (W * mask) + b, x)


mask = np.triu(np.ones((D, D)), 1)
W, b = rng.standard_normal((D, D)), rng.standard_normal(D)
guess("Any weights at all, ten pixels: what is the sum of p(x) over the 1,024 images?")
beside("sum of p(x), random weights", np.exp(-logistic_nll(images, W, b, mask)).sum(), 1, 1e-12)
number("numbers in a table of all images", 2**D - 1)
number("weights of the logistic model", mask.sum() + D)
say("""1, whatever the weights are. The price is in the formula: a table has a number for every image, and the
logistic model 55 for all of them. For 196 pixels it has 19,306, and a table would have 10^59.""")

# %% [markdown]
# ## 2. Leave nothing on the diagonal
#
# The derivative is that of lesson 4, with the mask once more: weights that do not count get no gradient.
#
#     dlogits = dnll (sigmoid(logits) - x),   dW = (x' dlogits) * mask,   db = sum over the batch of dlogits
#
# Ten pixels in the middle of real digits, in a row, are a small world in which everything can be summed:
# `share` is the share of 30,000 training images that show each of the 1,024 patterns.


# %%
def logistic_nll_backward(dnll, x, W, b, mask):
    """dnll (B,) -> dW (D, D), db (D,)."""
    dlogits = ops.bernoulli_nll_backward(dnll, x @ (W * mask) + b, x)
    return (x.T @ dlogits) * mask, dlogits.sum(axis=0)


def small(grey):
    """28 x 28 grey pixels to 14 x 14 of 0 and 1: the mean of four is the probability of a 1."""
    mean = grey.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4), dtype=np.float32) / 255
    return mv.binarize(mean.reshape(-1, 196), rng).astype(np.float32)


section("2. Leave nothing on the diagonal")
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


guess(
    "With the diagonal left in, the nll falls further. Without a test set, how can you tell that it is wrong?"
)
number("entropy of the ten pixels", entropy, "nats: no model has a smaller mean nll")
for name, kept in {"masked": mask, "diagonal left in": np.triu(np.ones((D, D)))}.items():
    W, b = descend(kept)
    nll = logistic_nll(images, W, b, kept)
    number(f"mean nll, {name}", share @ nll, "nats")
    number(f"sum of p(x) over all images, {name}", np.exp(-nll).sum())
say("""A pixel that sees itself copies itself. The nll goes below the entropy, which no distribution can do,
and the sum goes to 2^10: each image gets probability 1. On 196 pixels the sum cannot be computed, but a test
can flip pixel d and see whether logit d or one before it moves.""")

# %% [markdown]
# ## 3. See what is lost
#
# The mean nll is the entropy of the data plus KL(data || model). A slide names the goal "evaluating pi(x) for
# new samples", pi being the true distribution (Isachenko). A model evaluates its own p(x). The mean of
# log pi(x) - log p(x) is this KL, which is unknown for real images. For the ten pixels we know it. At the
# best weights the derivative is zero: E[x_e x_d] = E[x_e sigmoid(logit_d)] over the data, for every e < d.
# %%
section("3. See what is lost")


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
guess("The product rule holds in every order. Is the logistic model the same in every order?")
orders = [rng.permutation(D) for _ in range(100)]
nlls = [share @ ops.bernoulli_nll(newton(order), images[:, order]) for order in orders]
number("KL, best of 100 orders", min(nlls) - entropy, "nats")
number("KL, worst of 100 orders", max(nlls) - entropy, "nats")
say("""No: the rule is exact, the formula of a factor is not, and the order decides which factors it has to
fit. In each of these orders the model wins back four fifths of what independent pixels lose.""")

# %% [markdown]
# ## 4. Compare models on real images
#
# 14 x 14 pixels, the same 30,000 + 2,000 images for all:
#
#     independent pixels     exact
#     mixture of 20          exact, by EM on 3,000 images (lesson 10)
#     logistic               exact, Adam, 400 minibatches of 200
#     VAE 196-200-20         a bound, and a tighter one (lesson 11); Adam, 400 minibatches of 200
# %%
section("4. Compare models on real images")
guess("Which has the smaller -log p(x): a VAE with 91,036 weights, or one layer with 19,306?")
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
say("""By the -ELBO the one layer wins; by the tighter bound, which is closer to the VAE's own -log p(x), the
VAE wins. The logistic number is exact and the VAE's is a bound: from its -ELBO alone we cannot tell which
model is better, because the gap is larger than the difference. (Deep did not simply beat logistic. It does
after longer training: with 1,500 minibatches we had 39.5 for the -ELBO and 40.2 for the logistic model.)""")

# %% [markdown]
# ## 5. Draw, and complete
#
# A draw takes D steps, one for each pixel, each given the pixels drawn before: x_d = 1 with probability
# sigmoid(b_d + sum over e < d of x_e W_ed). A VAE decodes all pixels in one pass. In return, the first half
# of an image can be given instead of drawn, and the rest is a draw from the exact conditional distribution.
#
# A check: along a draw, -log p(x) and the sum of the entropies of its D coins have the same mean.
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


guess("Is the mean -log p(x) of the model's own draws smaller or larger than that of test images?")
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
save(lesson19.pictures(rows), "pictures", dpi=200)
save(lesson19.ladder(scores), "ladder", dpi=200)
say("""Larger: test images are more probable under the model than what it draws itself, so it spreads
probability over images that are no digits. The figure shows it. A continued half mostly joins what is given,
but free draws of both models are seldom digits: 40 nats say little about how a draw looks.""")

# %% [markdown]
# ## 6. See the whole zoo
#
# | model | log p(x) | a draw | a latent | lesson |
# |---|---|---|---|---|
# | mixture | exact, a sum | one pass | exact posterior | 10 |
# | probabilistic PCA | exact | one pass | exact posterior | 9 |
# | autoregressive | exact, one pass | D passes | none | 19 |
# | normalizing flow | exact, one pass | one pass | z of the size of x, x = g(z) invertible | below |
# | VAE | a bound | one pass | approximate posterior | 3 to 8 |
# | autoencoder | none | none | a code | 12 |
# | GAN | none | one pass | z, without a posterior | |
# | diffusion | a bound | many passes | noisy copies of x | |
# | energy-based | up to a constant | a Markov chain | none | |
#
# A flow in one line: x = g(z) with z ~ N(0, 1) has log p(x) = log N(z; 0, 1) - log |g'(z)| at z = g^-1(x).
# With g = sinh: z = asinh(x), g'(z) = sqrt(1 + x^2).
# %%
section("6. See the whole zoo")
x, step = np.linspace(-2000, 2000, 2_000_001, retstep=True)
density = np.exp(-0.5 * np.arcsinh(x) ** 2) / np.sqrt(2 * np.pi * (1 + x**2))
beside(
    "integral of the flow's density", density.sum() * step, math.erf(math.asinh(2000) / math.sqrt(2)), 1e-9
)
say("""Every model gives something up. A VAE gives up the exact log p(x). It gets a short code, draws in one
pass, and an encoder that infers the code of a new image. Where you need log p(x) itself, take an exact model,
or report the tighter bound with its K.""")

# %% [markdown]
# ## Try on your own
#
# - Leave the diagonal in for the 196 pixels of section 4. How small does the nll of test images become?
# - In section 5 give the right half instead of the upper one. Why can the model not use it? What order of the
#   pixels would let it?
# - Train both models of section 4 for 1,500 minibatches. Which of them still improves?
#
# **Exercise** `python -m lessons start 32`: write `logistic_nll` and its derivative, mask included.
#
# ## Further reading
#
# - Brendan Frey, Graphical Models for Machine Learning and Digital Communication, 1998: the logistic model
# - Hugo Larochelle and Iain Murray, The Neural Autoregressive Distribution Estimator, 2011
# - Ian Goodfellow et al., Generative Adversarial Nets, 2014
# - Lucas Theis, Aaron van den Oord and Matthias Bethge, A Note on the Evaluation of Generative Models, 2016
# - Mathieu Germain et al., MADE: Masked Autoencoder for Distribution Estimation, 2015
# - Aaron van den Oord, Nal Kalchbrenner and Koray Kavukcuoglu, Pixel Recurrent Neural Networks, 2016
# - George Papamakarios et al., Normalizing Flows for Probabilistic Modeling and Inference, 2021

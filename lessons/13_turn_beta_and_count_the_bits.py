# %% [markdown]
# # 13. Turn beta and count the bits
#
# **You will** train one VAE with five different weights of the KL, compute the same trade-off exactly for a
# linear model, write a code whose length is the negative ELBO, and round the latents to a few levels.
#
# **You will learn** why nll and kl are a distortion and a rate; how beta trades one for the other; why a mean
# over pixels instead of a sum makes the latents collapse; in which sense a VAE compresses.
#
# **You need** lessons 8 and 12; about 30 minutes.
#
# **New names** `bridges.linear_vae`, `evaluation.rate_distortion`; used again: `VAE`, `PPCA`, `Adam`,
# `load_mnist`, `binarize`, `evaluation`, `ops.gaussian_sample`
#
# %%
import copy
import itertools
import math
import zlib

import numpy as np

import minivae as mv
from lessons.drawings import lesson13 as draw
from lessons.story import beside, guess, number, save, say, section
from minivae import bridges, evaluation, ops

mnist = mv.load_mnist()
test = mnist.x_test[:3000]
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Compare five values of beta
#
# Call the mean kl the rate: it measures how much z tells about x. Call the mean nll the distortion: it
# measures how much of x is lost. The loss is nll + beta kl. Suppose that one model is optimal at beta = a,
# and another at beta = b, with a < b and kl_a > kl_b:
#
#     nll_a + a kl_a <= nll_b + a kl_b      otherwise the model of b would be better at beta = a
#     nll_b + b kl_b <= nll_a + b kl_a      otherwise the model of a would be better at beta = b
#     =>   a <= (nll_b - nll_a) / (kl_a - kl_b) <= b
#
# Between the two models, each additional nat of rate saves between a and b nats of distortion. At beta = 1
# one nat of rate saves one nat of distortion, and their sum, the -ELBO, is smallest.
# %%
section("1. Compare five values of beta")


def train(model, beta, steps, lr):
    """Adam on randomly binarized pixels; lr falls to 0 -> model."""
    adam, draws = mv.Adam(lr=lr), np.random.default_rng(1)
    for step in range(steps):
        adam.lr = lr * (1 - step / steps)
        x = mv.binarize(mnist.x_train[draws.integers(0, 60_000, 64)], draws).astype(np.float32)  # (B, D)
        _, grads = model.loss_and_grads(x, draws.standard_normal((64, 10)), beta=beta)
        adam.step(model.params, grads)
    return model


def terms_of(model):
    """Mean nll and kl of 3,000 test images."""
    return evaluation.average_terms(model, test, "dynamic", np.random.default_rng(1))


common = mv.VAE(latent_dim=10, hidden=(128,))
common.start_output_at(mnist.x_train.mean(axis=0) / 255)
train(common, 0.5, 500, 3e-3)
guess("beta = 0.25, 0.5, 1, 2, 4, from the same start. Which has the least nll? Which has the least -ELBO?")
BETAS = 0.25, 0.5, 1, 2, 4
models = {beta: train(copy.deepcopy(common), beta, 300, 2e-3) for beta in BETAS}
curve = {beta: terms_of(model) for beta, model in models.items()}
for beta, (_, nll, kl) in curve.items():
    number(f"beta = {beta:g}: nll", nll, "nats per image")
    number(f"beta = {beta:g}: kl", kl, "nats per image")
    number(f"beta = {beta:g}: -ELBO", nll + kl, "nats per image")
for a, b in itertools.pairwise(BETAS):
    slope = (curve[b].nll - curve[a].nll) / (curve[a].kl - curve[b].kl)
    beside(f"nats of nll for a nat of kl, {a:g} to {b:g}", slope, (a + b) / 2, (b - a) / 2, word="middle")
say("""The smallest beta has the least nll, and beta = 1 has the least -ELBO. Each slope lies between its two
betas, as it must for optimal models. (It need not be exactly so here: training is short, and these are test
images.) A beta below 1 gives better reconstructions, a beta above 1 fewer bits in z, and both a worse
ELBO.""")

# %% [markdown]
# ## 2. Solve a linear model exactly
#
# For a linear decoder with noise variance v we know the exact optimum. The loss with weight beta is
#
#     |x - x^|^2 / (2 v) + beta KL = beta ( |x - x^|^2 / (2 beta v) + KL )        up to a constant
#
# so beta has the same effect as noise of variance w = beta v. The optimum is lesson 9's probabilistic PCA at
# this variance. For each eigenvalue l of the covariance of x:
#
#     l > w      live: rate 1/2 log(l / w), squared error w
#     l <= w     collapsed: rate 0, squared error l
#
# This is **reverse water-filling** with the water level w (Kolmogorov 1956; Cover and Thomas 2006, section
# 10.3). If x is Gaussian with this covariance, no code with this rate has a smaller squared error. We compute
# the expected gradient without sampling: the loss is quadratic in eps, and the 2 L points +-sqrt(L) e_l, with
# e_l the unit vectors, have the same mean, 0, and the same covariance, I, as eps.
# %%
section("2. Solve a linear model exactly")
rotation = np.linalg.qr(rng.standard_normal((8, 8)))[0]
x = rng.standard_normal((2000, 8)) * 2.0 ** np.arange(2, -2, -0.5) @ rotation  # (B, D)
pca = mv.PPCA(7).fit(x)
corners = math.sqrt(7) * np.vstack([np.eye(7), -np.eye(7)])  # (2 L, L)
eps = np.repeat(corners[:, None], len(x), axis=1)  # (S, B, L)
guess("v = 1, and the largest eigenvalue is about 16. How many of 7 latents are live at beta = 0.7, 3, 20?")
for w in (0.7, 3, 20):
    live = pca.live(w)
    pca.W, pca.variance = pca.components.T * np.sqrt(np.maximum(pca.eigenvalues[:7] - w, 0)), w
    linear = bridges.linear_vae(pca)
    linear.params["output.logvar"][...] = 0  # v = 1
    terms, grads = linear.loss_and_grads(x, eps, beta=w)
    squares = 2 * terms.nll - 8 * math.log(2 * math.pi)
    number(f"level {w:g}: live latents", (linear.params["mu.W"] != 0).any(axis=0).sum())
    beside(f"level {w:g}: kl", terms.kl, 0.5 * np.log(live / w).sum(), 1e-9)
    beside(f"level {w:g}: squared error", squares, np.minimum(pca.eigenvalues, w).sum(), 1e-9)
    slope = max(np.abs(grad).max() for name, grad in grads.items() if name != "output.logvar")
    beside(f"level {w:g}: largest entry of the gradient", slope, 0, 1e-9)
say("""5, 3 and 0: as many as there are eigenvalues above the level. At each of these models the gradient is 0
(v is fixed). So a latent need not collapse because training failed: at this beta, its information would cost
more rate than it saves in distortion.""")

# %% [markdown]
# Lecture notes say that the mean squared error (MSE) can replace the sum of squared errors (SSE), because "it
# just changes by a multiplicative constant" (Marchioro). But the constant multiplies only one of the two
# terms of the loss. With D = 784,
#
#     |x - x^|^2 + KL        = 2 (1/2 |x - x^|^2 + 1/2 KL)             w = 1/2
#     |x - x^|^2 / D + KL    = 2/D (1/2 |x - x^|^2 + D/2 KL)           w = 392
# %%
guess("How many latents of a linear VAE on MNIST are live with SSE + KL, and how many with MSE + KL?")
digits = mv.PPCA(100).fit(mnist.x_train[:3000] / 255)
for name, w in (("SSE + KL", 0.5), ("MSE + KL", 392)):
    live = digits.live(w)
    number(f"{name}: live latents of 100", len(live))
    number(f"{name}: kl of a linear VAE on MNIST", 0.5 * np.log(live / w).sum(), "nats")
number("largest eigenvalue of MNIST", digits.eigenvalues[0])
averaged = terms_of(train(copy.deepcopy(common), 784, 200, 2e-3))
beside("kl of section 1's VAE with nll / 784 + kl", averaged.kl, 0, 0.1, word="collapse")
say("""With the mean over pixels, beta is 784 times larger, and the level is far above every eigenvalue. The
first signs are a kl near 0 and reconstructions that are all alike. Sum over pixels, or divide both terms by
D.""")

# %% [markdown]
# ## 3. Write a code whose length is the -ELBO
#
# An ideal code for the probabilities P uses -log2 P(symbol) bits for a symbol. To send x with a latent z,
# draw z from q(z|x), then send z with the code of p(z) and x with the code of p(x|z). This wastes -log2
# q(z|x) bits: the receiver wants x only, and many different z would do. **Bits-back coding** does not draw z
# at random. It *decodes* z, with the code of q(z|x), from the bits of the message so far, which removes about
# -log2 q(z|x) bits from the message. The receiver first decodes z and x, then encodes z with q(z|x), and so
# recovers the bits that were removed. On average
#
#     bits = E_q[ log2 q(z|x) - log2 p(z) - log2 p(x|z) ] = -ELBO / ln 2
#
# The whole message is one integer (asymmetric numeral systems, Duda 2009). For integer frequencies f with the
# sum M, `push` multiplies the message by about M / f[symbol], and `pop` undoes this exactly.
# %%
section("3. Write a code whose length is the -ELBO")


def push(message, symbol, f):
    """Encode a symbol: the message with this symbol on top."""
    size, start = int(f[symbol]), int(f[:symbol].sum())
    return message // size * int(f.sum()) + start + message % size


def pop(message, f):
    """Decode a symbol: the message without its top symbol, and the symbol."""
    message, rest = divmod(message, int(f.sum()))
    symbol = int(np.searchsorted(np.cumsum(f), rest, side="right"))
    return message * int(f[symbol]) + rest - int(f[:symbol].sum()), symbol


def whole(p, total):
    """Integers of at least 1, near total * p (n, k); each row sums to the total."""
    f = np.maximum(np.round(total * p), 1).astype(int)
    f[np.arange(len(f)), f.argmax(axis=1)] += total - f.sum(axis=1)
    return f


p_z = whole(rng.dirichlet(np.ones(4), 1), 2**16)[0]  # (4,): four values of z
p_x = whole(rng.dirichlet(np.ones(6) / 2, 4), 2**16)  # (4, 6): six values of x
joint = p_z[:, None] * p_x / 2.0**32  # (4, 6): p(z) p(x|z)
posterior = (joint / joint.sum(axis=0)).T  # (6, 4)
q = whole(0.8 * posterior + 0.2 / 4, 65521)  # (6, 4): not quite the posterior
sent = rng.choice(6, 3000, p=joint.sum(axis=0))
start = message = 2**200 + int.from_bytes(rng.bytes(24), "big")
for symbol in sent:
    message, z = pop(message, q[symbol])
    message = push(push(message, symbol, p_x[z]), z, p_z)
bits = (math.log2(message) - math.log2(start)) / len(sent)
log_q = np.log2(q / 65521)  # (6, 4)
cost = (q / 65521 * (log_q - np.log2(joint.T))).sum(axis=1)[sent]  # (n,): -ELBO in bits
wasted = -(q / 65521 * log_q).sum(axis=1)[sent]  # (n,): the entropy of q
beside("bits for each x, with bits back", bits, cost.mean(), 0.1, word="-ELBO/ln 2")
number("best code, -log2 p(x)", -np.log2(joint.sum(axis=0))[sent].mean(), "bits")
number("the same code without bits back", (cost + wasted).mean(), "bits")
received = []
for _ in sent:
    message, z = pop(message, p_z)
    message, symbol = pop(message, p_x[z])
    message = push(message, z, q[symbol])
    received.append(symbol)
beside("symbols that the receiver gets wrong", np.sum(sent != received[::-1]), 0, 0)
beside("bits of the first message that are lost", message != start, 0, 0)
say("""The length of the code is the -ELBO. It exceeds the length of the best code by the mean of KL(q ||
posterior), because q is not quite the posterior. Without bits back the code is longer by the mean entropy of
q. The receiver decodes the last x first, and at the end has the bits with which the sender started. (The
frequencies of q sum to 65521, those of p to 65536. With the same total, the z that is decoded would depend on
the z that was just encoded.) Now count the bits for MNIST:""")
x = mv.binarize(test, rng)  # (N, D)
zipped = 8 * len(zlib.compress(np.packbits(x), 9)) / len(x)
number("784 pixels, packed and compressed by zlib", zipped, "bits")
number("the VAE of section 1, -ELBO / ln 2", sum(curve[1][1:]) / math.log(2), "bits")
number("of these the kl", curve[1].kl / math.log(2), "bits")
weights = 32 * sum(a.size for a in models[1].params.values())
saved = zipped - sum(curve[1][1:]) / math.log(2)
number("images after which its weights are paid for", weights / saved)
say("""A slide calls compression with autoencoders "not very effective" (Bonvicini). For each image the VAE is
far better than zlib. But sender and receiver both need its weights, 32 bits each, and these cost more than
the VAE saves on all 70,000 digits. (This count is for lossless compression. A code for real z must round z,
but fine rounding costs almost nothing: bits-back recovers the bits of the additional digits.)""")

# %% [markdown]
# ## 4. Round the codes
#
# A lossy code rounds each latent to one of n levels, a step d apart, and sends the level. If d is small, the
# rounding error is nearly uniform on (-d/2, d/2), and its mean square is nearly d^2 / 12. If you halve the
# step, this becomes a quarter, and each latent needs about one more bit.
# %%
section("4. Round the codes")
x = x.astype(np.float32)
z = models[1].code(x)  # (N, L)
guess("Use 32 levels instead of 16 for each of 10 latents. How many more bits, and how much less error?")
rounded = {one.levels: one for one in evaluation.rate_distortion(models[1], x, (2, 4, 8, 16, 32))}
for n, (_, rate, distortion) in rounded.items():
    number(f"{n} levels: rate", rate, "bits per image")
    number(f"{n} levels: distortion", distortion, "squared error per image")
step = np.ptp(z, axis=0) / 31  # (L,)
low = z.min(axis=0)
error = ((low + np.round((z - low) / step) * step - z) ** 2).sum(axis=1).mean()
beside("squared error of z at 32 levels", error, (step**2).sum() / 12, 0.05 * error, word="predicted")
beside("bits from 16 to 32 levels", rounded[32].rate - rounded[16].rate, 10, 0.5, word="predicted")
drawn = ops.gaussian_sample(*models[1].encode(x), rng.standard_normal(z.shape))
for name, code in (("no rounding", z), ("z drawn from q", drawn)):
    distortion = ((models[1].mean(code) - x) ** 2).sum(axis=1).mean()
    number(f"{name}: distortion", distortion, "squared error per image")
say("""Ten more bits, and almost no less error. Up to 8 levels additional bits remove much of the error. From
16 levels on, ten more bits remove almost nothing, because even the exact z does not determine x. To draw z
from q is a kind of rounding too: it adds 2 units of squared error, and the kl is the rate, 23 bits. With 8
levels the rate is about the same, and the error is a little larger. A slide calls the pictures decoded from
such draws "random variants of an input data point" (Brown). Here they differ little from the mean.""")
save(draw.rate_and_water(curve, pca.eigenvalues, 3), "rate", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - Train section 1's models from fresh weights instead of `common`, 400 steps each: a beta below 1 has the
#   least -ELBO. The inequality holds for optimal models, and short training favors a small beta.
# - In section 3 let q be the posterior itself (1.0 and 0.0 instead of 0.8 and 0.2): the length of the code
#   becomes -log2 p(x).
# - Send the same x with q = whole(np.full((6, 4), 1 / 4), 65521), which ignores x. How long is the code?
#
# **Exercise** `python -m lessons start 24`: the rate and the distortion of rounded latents
#
# ## Further reading
#
# - Claude Shannon, A Mathematical Theory of Communication, 1948
# - Andrey Kolmogorov, On the Shannon Theory of Information Transmission in the Case of Continuous Signals,
#   1956
# - Thomas Cover and Joy Thomas, Elements of Information Theory, 2006: chapter 10
# - Geoffrey Hinton and Drew van Camp, Keeping Neural Networks Simple, 1993: bits back
# - Jarek Duda, Asymmetric Numeral Systems, 2009
# - Irina Higgins et al., beta-VAE, 2017
# - Alexander Alemi et al., Fixing a Broken ELBO, 2018
# - James Townsend, Tom Bird and David Barber, Practical Lossless Compression with Latent Variables, 2019

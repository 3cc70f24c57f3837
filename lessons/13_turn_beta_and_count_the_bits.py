# %% [markdown]
# # 13. Turn beta and count the bits
#
# **You will** train one VAE at five weights of the KL, compute the same curve exactly for a linear model,
# write a code that is as short as the ELBO says, and round the latents to a few levels.
#
# **You will learn** why nll and kl are a distortion and a rate; what beta buys; why a mean over pixels
# instead of a sum destroys the latents; in which sense a VAE compresses.
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
# ## 1. Turn beta
#
# Call the mean kl the rate and the mean nll the distortion: what x puts into z, and what is lost of x. The
# loss is nll + beta kl. Suppose that two models are optimal for a < b:
#
#     nll_a + a kl_a <= nll_b + a kl_b      or else the model of b would be better at a
#     nll_b + b kl_b <= nll_a + b kl_a
#     =>   a <= (nll_b - nll_a) / (kl_a - kl_b) <= b
#
# One more nat of rate saves between a and b nats of distortion. At beta = 1 the two are exchanged one for
# one, and their sum, the -ELBO, is least.
# %%
section("1. Turn beta")


def train(model, beta, steps, lr):
    """Adam on drawn pixels, its lr falling to 0 -> model."""
    adam, draws = mv.Adam(lr=lr), np.random.default_rng(1)
    for step in range(steps):
        adam.lr = lr * (1 - step / steps)
        x = mv.binarize(mnist.x_train[draws.integers(0, 60_000, 64)], draws).astype(np.float32)  # (B, D)
        _, grads = model.loss_and_grads(x, draws.standard_normal((64, 10)), beta=beta)
        adam.step(model.params, grads)
    return model


def terms_of(model):
    """Terms on 3,000 test images."""
    return evaluation.average_terms(model, test, "dynamic", np.random.default_rng(1))


common = mv.VAE(latent_dim=10, hidden=(128,))
common.start_output_at(mnist.x_train.mean(axis=0) / 255)
train(common, 0.5, 500, 3e-3)
guess("beta = 0.25, 0.5, 1, 2, 4, from the same start: which has the least nll, and which the least -ELBO?")
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
say("""The smallest beta has the least nll, and beta = 1 the least -ELBO. Each slope lies between its two
betas, as it must at the optimum. (Training minimizes nll + beta kl on the training images; these are test
images.) A beta below 1 gives sharper reconstructions and a worse model of x, a beta above 1 fewer bits in
z.""")

# %% [markdown]
# ## 2. Fill with water
#
# For a linear decoder with noise variance v everything is exact. The loss with weight beta is
#
#     |x - x^|^2 / (2 v) + beta KL = beta ( |x - x^|^2 / (2 beta v) + KL )        up to a constant
#
# so beta acts as noise of variance w = beta v, and lesson 9's probabilistic PCA at this variance is the
# optimum. Per eigenvalue l of the covariance of x:
#
#     l > w      live: rate 1/2 log(l / w), squared error w
#     l <= w     collapsed: rate 0, squared error l
#
# This is reverse water-filling (Shannon; Cover and Thomas, 10.3): no code of these Gaussians does better at
# this rate. The expected gradient is computed without sampling: the loss is quadratic in eps, and the 2 L
# points +-sqrt(L) e_l have the mean 0 and the covariance I of eps.
# %%
section("2. Fill with water")
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
say("""5, 3 and 0: the eigenvalues above the level, and the gradient is 0 there. A latent that collapses is no
accident of training: at this beta, what it would carry costs more than it saves.""")

# %% [markdown]
# A slide says that the squared error may be replaced by the mean squared error, since "it just changes by a
# multiplicative constant", and that constants "can be neglected" (Marchioro). The constant multiplies one
# term of two. With D = 784,
#
#     |x - x^|^2 + KL        = 2 (1/2 |x - x^|^2 + 1/2 KL)             w = 1/2
#     |x - x^|^2 / D + KL    = 2/D (1/2 |x - x^|^2 + D/2 KL)           w = 392
# %%
guess("SSE + KL or MSE + KL: how many latents of a linear VAE on MNIST are live with each?")
digits = mv.PPCA(100).fit(mnist.x_train[:3000] / 255)
for name, w in (("SSE + KL", 0.5), ("MSE + KL", 392)):
    live = digits.live(w)
    number(f"{name}: live latents of 100", len(live))
    number(f"{name}: kl of a linear VAE on MNIST", 0.5 * np.log(live / w).sum(), "nats")
number("largest eigenvalue of MNIST", digits.eigenvalues[0])
averaged = terms_of(train(copy.deepcopy(common), 784, 200, 2e-3))
beside("kl of section 1's VAE with nll / 784 + kl", averaged.kl, 0, 0.1, word="collapse")
say("""The mean over pixels is beta = 784 times larger, far above every eigenvalue. The first sign is a kl of
0 and samples that are all alike. Sum over pixels, or divide both terms.""")

# %% [markdown]
# ## 3. Count the bits, and write them
#
# A code made for the probabilities P spends -log2 P(symbol) bits on a symbol. To send x with a latent z: draw
# z from q(z|x), send z with the code of p(z) and x with the code of p(x|z). That wastes -log2 q(z|x) bits,
# because any z would do. Bits-back coding draws z by *decoding* it, with the code of q(z|x), from the bits
# sent so far. The receiver, who knows x by then, encodes z again and gets these bits back. On average
#
#     bits = E_q[ log2 q(z|x) - log2 p(z) - log2 p(x|z) ] = -ELBO / ln 2
#
# One integer holds all bits sent (asymmetric numeral systems, Duda 2009). With whole-number frequencies f
# that sum to M, `push` multiplies it by about M / f[symbol], and `pop` undoes that exactly.
# %%
section("3. Count the bits, and write them")


def push(message, symbol, f):
    """The message with this symbol on top."""
    size, start = int(f[symbol]), int(f[:symbol].sum())
    return message // size * int(f.sum()) + start + message % size


def pop(message, f):
    """The message without its top symbol, and the symbol."""
    message, rest = divmod(message, int(f.sum()))
    symbol = int(np.searchsorted(np.cumsum(f), rest, side="right"))
    return message * int(f[symbol]) + rest - int(f[:symbol].sum()), symbol


def whole(p, total):
    """Whole numbers, at least 1, near total * p (n, k) that sum to the total in each row."""
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
say("""The code needs what the ELBO says. The rest of its distance from the best code is KL(q || posterior).
Without bits back it is longer by the entropy of q. The receiver reads the last x first, and ends with the
bits that the sender began with. (Both use 65521 instead of 65536 for q: with the same total, the z that is
decoded would depend on the z that was just encoded.) Now count MNIST:""")
x = mv.binarize(test, rng)  # (N, D)
zipped = 8 * len(zlib.compress(np.packbits(x), 9)) / len(x)
number("784 pixels, packed and compressed by zlib", zipped, "bits")
number("the VAE of section 1, -ELBO / ln 2", sum(curve[1][1:]) / math.log(2), "bits")
number("of these the kl", curve[1].kl / math.log(2), "bits")
weights = 32 * sum(a.size for a in models[1].params.values())
saved = zipped - sum(curve[1][1:]) / math.log(2)
number("images after which its weights are paid for", weights / saved)
say("""A slide calls compression with autoencoders "not very effective" (Bonvicini). For each image the VAE is
far better than zlib. But both sides need its weights, 32 bits each, and they cost more than is saved on all
70,000 digits. (That is lossless compression. A code for real z rounds z finely, and loses nothing by it:
bits-back returns the extra digits.)""")

# %% [markdown]
# ## 4. Round the codes
#
# An autoencoder compresses with loss: round each latent to n levels, a step d apart, and code the level. The
# rounding error is close to uniform on (-d/2, d/2), so its mean square is close to d^2 / 12. Half the step: a
# quarter of that, and one more bit for each latent.
# %%
section("4. Round the codes")
x = x.astype(np.float32)
z = models[1].code(x)  # (N, L)
guess("32 levels instead of 16 for each of 10 latents: how many bits more, and how much less error?")
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
say("""Up to 8 levels each bit removes much of the error; from 16 levels on, ten more bits remove almost
nothing, because the rest is not in z. Drawing z from q is a rounding too: it costs 2 units of squared error,
and the kl says what is left in z, 23 bits. 8 rounded levels take as many bits and have a little more
error.""")
save(draw.rate_and_water(curve, pca.eigenvalues, 3), "rate", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - Train section 1's models from fresh weights instead of `common`, 400 steps each: a beta below 1 has the
#   least -ELBO. The theorem is about optimal models, and short training favours a small beta.
# - Let q be the posterior itself in section 3 (1.0 and 0.0 instead of 0.8 and 0.2): the code reaches -log2
#   p(x).
# - Send the same x with q = whole(np.full((6, 4), 1 / 4), 65521), which ignores x.
#
# **Exercise** `python -m lessons start 24`: the rate and the distortion of rounded latents
#
# ## Further reading
#
# - Claude Shannon, A Mathematical Theory of Communication, 1948
# - Thomas Cover and Joy Thomas, Elements of Information Theory, 2006: chapter 10
# - Geoffrey Hinton and Drew van Camp, Keeping Neural Networks Simple, 1993: bits back
# - Irina Higgins et al., beta-VAE, 2017
# - Alexander Alemi et al., Fixing a Broken ELBO, 2018
# - James Townsend, Tom Bird and David Barber, Practical Lossless Compression with Latent Variables, 2019

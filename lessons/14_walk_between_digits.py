# %% [markdown]
# # 14. Walk between digits
#
# **You will** walk from one digit to another in the latent space of a VAE and of an autoencoder, decode draws
# from the prior, and split the KL of the whole data set into two parts.
#
# **You will learn** where the mass of a Gaussian in ten dimensions is; what the KL adds to an autoencoder,
# and what it does not; why "every q is close to the prior" and "the codes together are close to the prior"
# are two statements; why an estimate of information stops at log n.
#
# **You need** lessons 8 and 12; about 30 minutes.
#
# **New names** `evaluation.aggregate_posterior`; used again: `VAE`, `Autoencoder`, `Adam`, `load_mnist`,
# `binarize`, `ops.gaussian_sample`, `ops.gaussian_kl`
#
# %%
import math

import numpy as np

import minivae as mv
from lessons.drawings import lesson14 as draw
from lessons.story import beside, guess, number, save, say, section
from minivae import evaluation, ops

mnist = mv.load_mnist()
rng = np.random.default_rng(0)
pixel_mean = mnist.x_train.mean(axis=0) / 255  # (D,)


def train(model, steps=500, lr=3e-3):
    """Adam on drawn pixels, its lr falling to 0 in the second half -> model."""
    model.start_output_at(pixel_mean)
    adam, draws = mv.Adam(lr=lr), np.random.default_rng(1)
    for step in range(steps):
        adam.lr = lr * min(1, 2 - 2 * step / steps)
        x = mv.binarize(mnist.x_train[draws.integers(0, 60_000, 64)], draws).astype(np.float32)  # (B, D)
        noise = (draws.standard_normal((64, 10)),) if isinstance(model, mv.VAE) else ()
        _, grads = model.loss_and_grads(x, *noise)
        adam.step(model.params, grads)
    return model


vae, autoencoder = train(mv.VAE(latent_dim=10, hidden=(128,))), train(mv.Autoencoder(784, 10, (128,)))
x = mv.binarize(mnist.x_test[:4000], rng).astype(np.float32)  # (N, D)
labels = mnist.y_test[:4000]
mu, logvar = vae.encode(x)  # (N, L) each
z = ops.gaussian_sample(mu, logvar, rng.standard_normal(mu.shape))  # (N, L), a code of every image
points = autoencoder.encode(x)  # (N, L)

# %% [markdown]
# ## 1. Find where the mass is
#
# |z|^2 of a draw from N(0, I) in L dimensions is chi-square with L degrees of freedom, so
#
#     E|z| = sqrt(2) Gamma((L + 1)/2) / Gamma(L/2)
#
# The midpoint of two independent draws is N(0, I/2), so its mean length is smaller by sqrt(2). The density is
# greatest at 0, but there is hardly any volume: the draws lie in a shell.
# %%
section("1. Find where the mass is")
guess("L = 10. The density of N(0, I) is greatest at 0. How far from 0 are its draws, and how many within 1?")
prior = rng.standard_normal((20_000, 10))
length = math.sqrt(2) * math.gamma(5.5) / math.gamma(5)
beside("mean length of a draw from the prior", np.linalg.norm(prior, axis=1).mean(), length, 0.03)
number("draws from the prior with a length below 1", 100 * (np.linalg.norm(prior, axis=1) < 1).mean(), "%")
middle = np.linalg.norm(prior[::2] + prior[1::2], axis=1).mean() / 2
beside("mean length of a midpoint of two draws", middle, length / math.sqrt(2), 0.03)
number("mean length of a code z of a test image", np.linalg.norm(z, axis=1).mean())
number("mean length of a midpoint of two codes", np.linalg.norm(z[::2] + z[1::2], axis=1).mean() / 2)
say("""Almost none is within 1: the density is greatest there, but there is no volume. A draw has length 3.1,
and a typical midpoint is closer to 0 than nine in ten draws. So a straight walk between two digits crosses a
region that the decoder rarely saw in training. The codes are a little longer than draws from the prior. So
all codes together are not quite the prior: section 3.""")

# %% [markdown]
# ## 2. Walk
#
# Two ways from code a to code b, for t from 0 to 1: the straight line (1 - t) a + t b, and the arc that
# changes the length evenly, with w the angle between a and b:
#
#     sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b
#
# A slide says that the KL makes the latent space "continuous", so that close codes have close outputs, and
# "complete", so that "any point" is mapped to something meaningful (Bonvicini). Take them one at a time. How
# far does a picture move for a step of size d, in units of the codes' standard deviations?
# %%
section("2. Walk")


def arc(a, b, t=0.5):
    """The point at t on the arc from each a to each b (n, L)."""
    lengths = np.linalg.norm(a, axis=1, keepdims=True), np.linalg.norm(b, axis=1, keepdims=True)
    w = np.arccos((a / lengths[0] * b / lengths[1]).sum(axis=1, keepdims=True))  # (n, 1)
    return (np.sin((1 - t) * w) * a + np.sin(t * w) * b) / np.sin(w)


guess("The autoencoder has no KL. Is its decoder continuous?")
direction = rng.standard_normal((500, 10))
direction /= np.linalg.norm(direction, axis=1, keepdims=True)
for name, model, codes in (("VAE", vae, z[:500]), ("autoencoder", autoencoder, points[:500])):
    step = direction * codes.std(axis=0)
    for d in (0.1, 0.01):
        moved = np.linalg.norm(model.mean(codes + d * step) - model.mean(codes), axis=1).mean()
        number(f"{name}: pixels moved by a step of {d:g}, over {d:g}", moved / d)
say("""Of course: a network of continuous functions is continuous, and a tenth of a step moves the picture by
a tenth as much. The KL only makes it less steep, by a quarter here. Now completeness: do decoded points look
like reconstructions of digits? If 1,000 pictures and 1,000 reconstructions have the same distribution, the
nearest neighbour of a picture among all the others is as likely of one kind as of the other: 50 %.""")


def told_apart(pictures, reconstructions):
    """Percent of both sets (n, D) whose nearest other picture is of the same set."""
    both = np.vstack([pictures, reconstructions])  # (2 n, D)
    squares = (both**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * both @ both.T
    np.fill_diagonal(distances, np.inf)
    kinds = np.repeat([0, 1], len(pictures))  # (2 n,)
    return 100 * (kinds[distances.argmin(axis=1)] == kinds).mean()


own = {"VAE": vae.mean(z[2000:3000]), "autoencoder": autoencoder.mean(points[2000:3000])}  # reconstructions
middles = {
    "VAE, straight middle": vae.mean((z[:1000] + z[1000:2000]) / 2),
    "VAE, middle of the arc": vae.mean(arc(z[:1000], z[1000:2000])),
    "autoencoder, straight middle": autoencoder.mean((points[:1000] + points[1000:2000]) / 2),
    "VAE, 3 times a draw from the prior": vae.mean(3 * prior[:1000]),
}
alike = told_apart(vae.mean(z[:1000]), own["VAE"])
beside("told apart: two sets of reconstructions", alike, 50, 5, word="expected")
number("ink: reconstructions", own["VAE"].sum(axis=1).mean())
guess("Which middles are harder to tell from reconstructions, the VAE's straight ones or those of the arc?")
for name, pictures in middles.items():
    number(f"told apart: {name}", told_apart(pictures, own[name.partition(",")[0]]), "%")
    number(f"ink: {name}", pictures.sum(axis=1).mean())
say("""Middles of the arc are harder to tell apart. Straight middles are fainter, 86 of ink instead of 97,
because they are closer to 0 than the codes are. A slide's "linear path" (Brown) has this fault. "Any point"?
A point three times as far as the prior's draws is decoded to a picture with too much ink. Another slide hopes
for "good extrapolations" (UvA): nothing in the loss asks for them.""")

# %% [markdown]
# ## 3. Compare each posterior, and all of them, with the prior
#
# A goal on a slide: "we want on average our approximate posterior to be close to the prior" (UvA). That can
# mean two things. Let q(z) be the mean of q(z|x) over x, the aggregate posterior:
#
#     mean_x KL(q(z|x) || p(z)) = mean_x KL(q(z|x) || q(z)) + KL(q(z) || p(z))
#
# since log q(z|x)/p(z) = log q(z|x)/q(z) + log q(z)/p(z), and the mean of the last over x and z is an average
# over q(z). The first part is the information that z has about x. To draw from the model well, only the
# second must be 0; the decoder needs the first. Two images in one dimension show both, with q's N(-a, s^2)
# and N(a, s^2) and a^2 + s^2 = 1, so that q(z) has the mean and the variance of the prior.
# %%
section("3. Compare each posterior, and all of them, with the prior")
line, gap = np.linspace(-9, 9, 20_001, retstep=True)


def log_normal(mean, variance):
    """log N(line; mean, variance)."""
    return -0.5 * (math.log(2 * math.pi * variance) + (line - mean) ** 2 / variance)


guess("s = 0.1: each q is narrow, 2.3 nats from the prior. How far are the two together?")
for s in (0.9, 0.5, 0.1):
    a = math.sqrt(1 - s**2)
    log_one, log_other = log_normal(-a, s**2), log_normal(a, s**2)
    log_both = np.logaddexp(log_one, log_other) - math.log(2)
    together = (np.exp(log_both) * (log_both - log_normal(0, 1))).sum() * gap
    information = (np.exp(log_one) * (log_one - log_both)).sum() * gap
    number(f"s = {s:g}: KL(q(z) || p(z))", together, "nats")
    number(f"s = {s:g}: information; log 2 is 0.693", information, "nats")
    beside(f"s = {s:g}: their sum", together + information, -math.log(s), 1e-9, word="mean KL")
say("""The information cannot exceed log 2, because two images are all there is to tell apart. The rest of the
KL is distance from the prior. In general it is at most log n, also in an estimate from n images of a data set
that has more:""")
guess("The VAE's mean KL is 15 nats. How much of it is information, if 1,000 images are used?")
mean_kl = ops.gaussian_kl(mu, logvar).mean()
number("mean KL of 4,000 test images", mean_kl, "nats per image")
sizes, found = (10, 100, 1000, 4000), []
for n in sizes:
    parts = evaluation.aggregate_posterior(vae, x[:n], rng)
    found.append(parts.information)
    number(f"{n} images: information", parts.information, f"nats; log n is {math.log(n):.3f}")
    number(f"{n} images: KL(q(z) || p(z))", parts.distance, "nats")
    beside(f"{n} images: their sum", parts.information + parts.distance, mean_kl, 1.5, word="mean KL")
say("""A trap: each estimate of the information is close to its limit log n, and would grow with more images.
The estimate of KL(q(z) || p(z)) is too large by as much. All that is known: the information is at least 8
nats, and at most 15.""")
save(draw.information(sizes, found, mean_kl), "information", dpi=200)

# %% [markdown]
# ## 4. Draw from the prior
#
# A draw from N(0, I) "is very likely to fall within one of these encoded" distributions (Brown). Say that z
# is within q(z|x) if sum_l (z_l - mu_l)^2 / std_l^2 is below 18.31, which holds for 95 % of the draws from q
# itself (chi-square with ten degrees of freedom).
# %%
section("4. Draw from the prior")


def within(codes, images):
    """Percent of the codes (n, L) that are within q(z|x) of one of the images."""
    least = np.full(len(codes), np.inf)
    for start in range(0, len(images), 4000):
        m, v = vae.encode(mv.binarize(images[start : start + 4000], rng).astype(np.float32))
        w = np.exp(-v)  # (4000, L)
        least = np.minimum(
            least, (codes**2 @ w.T - 2 * codes @ (m * w).T + (m * m * w).sum(axis=1)).min(axis=1)
        )
    return 100 * (least < 18.307).mean()


near = (((z - mu) ** 2 * np.exp(-logvar)).sum(axis=1) < 18.307).mean()
beside("draws from q within their own q", 100 * near, 95, 2, word="expected")
guess("60,000 training images. How many draws from the prior are within the q of one of them?")
for n in (4000, 60_000):
    number(f"prior draws within one of {n} q's", within(prior[:1000], mnist.x_train[:n]), "%")
number("codes of test images within one of 60000 q's", within(z[:1000], mnist.x_train), "%")
guess("Decode draws from N(0, I) with both. Then fit a Gaussian to the autoencoder's codes: does it help?")
fitted = rng.multivariate_normal(points.mean(axis=0), np.cov(points.T), 1000)
draws = {
    "VAE, prior": vae.mean(prior[:1000]),
    "autoencoder, N(0, I)": autoencoder.mean(prior[:1000]),
    "autoencoder, fitted": autoencoder.mean(fitted),
}
number("standard deviation of the autoencoder's codes", points.std())
for name, pictures in draws.items():
    number(f"told apart: {name}", told_apart(pictures, own[name.partition(",")[0]]), "%")
    number(f"ink: {name}", pictures.sum(axis=1).mean())
say("""Brown's "very likely" is 60 %, and it takes all 60,000 images. Codes of new images are not much better:
69 %. The autoencoder's codes have a standard deviation of 6, so a draw from N(0, I) is nearly at one point
for it: its pictures are faint and almost always told apart. But that is a fault of N(0, I). Draws from a
Gaussian that is fitted to the codes are about as easy to tell apart as the VAE's draws from its prior. The
"empty pockets" of a slide (Brown) are mostly a question of where one draws, and the KL answers it in
advance.""")
grey = mnist.x_test[:4000] / np.float32(255)
first, last = np.flatnonzero(labels == 3)[0], np.flatnonzero(labels == 0)[0]
t = np.linspace(0, 1, 9)[:, None]


def line_of(codes):
    """Nine points on the straight line between the two images."""
    return (1 - t) * codes[first] + t * codes[last]


pictures = {
    "pixels, averaged": line_of(grey),
    "autoencoder, straight": autoencoder.mean(line_of(points)),
    "VAE, straight": vae.mean(line_of(mu)),
    "VAE, arc": vae.mean(arc(np.tile(mu[first], (9, 1)), np.tile(mu[last], (9, 1)), t)),
    **{f"draws: {name}": row[:9] for name, row in draws.items()},
}
save(draw.rows(pictures), "walk", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - Train with beta = 4 in section 1. The mean KL falls below log 4000: now the estimate of the information
#   stops growing before its limit.
# - Walk from a 3 to a 3 of another hand. Then from a code to its negative: the straight line passes 0.
# - Fit a Gaussian mixture (lesson 10) to the autoencoder's codes and draw from it: an autoencoder with a
#   prior that is fitted afterwards.
#
# **Exercise** `python -m lessons start 25`: the logarithm of the aggregate posterior
#
# ## Further reading
#
# - Tom White, Sampling Generative Networks, 2016: the arc
# - Matthew Hoffman and Matthew Johnson, ELBO Surgery, 2016
# - Alireza Makhzani et al., Adversarial Autoencoders, 2016: the aggregate posterior
# - Partha Ghosh et al., From Variational to Deterministic Autoencoders, 2020
# - David McAllester and Karl Stratos, Formal Limitations on the Measurement of Mutual Information, 2020

# %% [markdown]
# # 14. Walk between digits
#
# **You will** walk from one digit to another in the latent space of a VAE and of an autoencoder, decode draws
# from the prior, and split the KL of the whole data set into two parts.
#
# **You will learn** where the mass of a Gaussian in ten dimensions is; what the KL changes in an autoencoder,
# and what it does not; why "every q is close to the prior" and "all codes together are close to the prior"
# are two different statements; why an estimate of information cannot exceed log n.
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
from lessons.drawings import slide
from lessons.story import beside, guess, number, save, say, section
from minivae import evaluation, ops

mnist = mv.load_mnist()
rng = np.random.default_rng(0)
pixel_mean = mnist.x_train.mean(axis=0) / 255  # (D,)


def train(model, steps=500, lr=3e-3):
    """Adam on randomly binarized pixels; lr falls to 0 in the second half -> model."""
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
# The midpoint of two independent draws has the distribution N(0, I/2), so its mean length is smaller by a
# factor of sqrt(2). The density is greatest at 0, but a small ball around 0 has little volume. Most draws lie
# in a shell.
# %%
section("1. Find where the mass is")
guess("L = 10. How far from 0 are draws from N(0, I), and how many of them are closer to 0 than 1?")
prior = rng.standard_normal((20_000, 10))
length = math.sqrt(2) * math.gamma(5.5) / math.gamma(5)
beside("mean length of a draw from the prior", np.linalg.norm(prior, axis=1).mean(), length, 0.03)
number("draws from the prior with a length below 1", 100 * (np.linalg.norm(prior, axis=1) < 1).mean(), "%")
middle = np.linalg.norm(prior[::2] + prior[1::2], axis=1).mean() / 2
beside("mean length of a midpoint of two draws", middle, length / math.sqrt(2), 0.03)
number("mean length of a code z of a test image", np.linalg.norm(z, axis=1).mean())
number("mean length of a midpoint of two codes", np.linalg.norm(z[::2] + z[1::2], axis=1).mean() / 2)
say("""Almost none is closer to 0 than 1: the density is greatest there, but the ball has too little volume.
The mean length of a draw is 3.1, and a typical midpoint is closer to 0 than nine in ten draws. So a straight
walk between two digits crosses a region with few codes, and the decoder was rarely trained there. The codes
are longer than draws from the prior, by about a fifth. So the distribution of all codes together is not quite
the prior. Section 3 returns to this.""")

# %% [markdown]
# ## 2. Walk
#
# There are two natural paths from code a to code b, for t from 0 to 1: the straight line (1 - t) a + t b, and
# an arc around 0. With w the angle between a and b, the arc is
#
#     sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b
#
# If a and b have the same length, so has every point of the arc. A slide says that the KL makes the latent
# space "continuous" (close codes have close outputs) and "complete" ("any point" is mapped to a meaningful
# output) (Bonvicini). Test the first claim first: how far does the decoded picture move if the code moves by
# a step of size d, in units of the codes' standard deviations?
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
say("""Yes: a network of continuous functions is continuous. A step of a tenth of the size moves the picture a
tenth as far. The KL only makes the decoder less steep, here by a quarter. Now test completeness: do decoded
points look like reconstructions of digits? Mix 1,000 decoded pictures with 1,000 reconstructions and find the
nearest neighbor of each. If both sets have the same distribution, the neighbor is in the same set in 50 % of
the cases. A higher percentage means that the sets can be told apart. The "ink" of a picture is the sum of its
pixels.""")


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
guess("Which are harder to tell from reconstructions: midpoints of straight lines, or midpoints of arcs?")
for name, pictures in middles.items():
    number(f"told apart: {name}", told_apart(pictures, own[name.partition(",")[0]]), "%")
    number(f"ink: {name}", pictures.sum(axis=1).mean())
say("""Midpoints of arcs are harder to tell from reconstructions. Midpoints of straight lines give fainter
pictures, with an ink of 86 instead of 97: they are closer to 0 than the codes are. A "linear path" on a slide
(Brown) has this fault. And "any point" is too much to expect: points three times as far
from 0 as draws from the prior give pictures with too much ink, 111. Another slide hopes for "good
extrapolations" (UvA), but no term of the loss rewards them.""")

# %% [markdown]
# ## 3. Compare each posterior, and all of them, with the prior
#
# A slide has the goal "We want on average our approximate posterior to be close to the prior" (UvA). This can
# mean two different things. Let q(z), the **aggregate posterior**, be the mean of q(z|x) over x. Then
#
#     mean_x KL(q(z|x) || p(z)) = mean_x KL(q(z|x) || q(z)) + KL(q(z) || p(z))
#
# since log q(z|x)/p(z) = log q(z|x)/q(z) + log q(z)/p(z), and the mean of the last term over x and z is its
# mean under q(z). The first part is the information that z has about x, and the decoder needs it. For good
# draws from the prior only the second part must be small. Two images and one latent show both parts: let
# their q's be N(-a, s^2) and N(a, s^2) with a^2 + s^2 = 1, so that q(z) has the mean and the variance of the
# prior.
# %%
section("3. Compare each posterior, and all of them, with the prior")
line, gap = np.linspace(-9, 9, 20_001, retstep=True)


def log_normal(mean, variance):
    """log N(line; mean, variance)."""
    return -0.5 * (math.log(2 * math.pi * variance) + (line - mean) ** 2 / variance)


guess("s = 0.1: each q is narrow, and its KL to the prior is 2.3 nats. What is the KL of q(z) to the prior?")
for s in (0.9, 0.5, 0.1):
    a = math.sqrt(1 - s**2)
    log_one, log_other = log_normal(-a, s**2), log_normal(a, s**2)
    log_both = np.logaddexp(log_one, log_other) - math.log(2)
    together = (np.exp(log_both) * (log_both - log_normal(0, 1))).sum() * gap
    information = (np.exp(log_one) * (log_one - log_both)).sum() * gap
    number(f"s = {s:g}: KL(q(z) || p(z))", together, "nats")
    number(f"s = {s:g}: information; log 2 is 0.693", information, "nats")
    beside(f"s = {s:g}: their sum", together + information, -math.log(s), 1e-9, word="mean KL")
say("""The information cannot exceed log 2, because z can do no more than tell two images apart. The rest of
the KL is the KL of q(z) to the prior. With n images the information is at most log n. The same limit holds
for an estimate from n images, even if the data set has more images:""")
guess("The VAE's mean KL is 15 nats. How much of it is information, in an estimate from 1,000 images?")
mean_kl = ops.gaussian_kl(mu, logvar).mean()
number("mean KL of 4,000 test images", mean_kl, "nats per image")
sizes, found = (10, 100, 1000, 4000), []
for n in sizes:
    parts = evaluation.aggregate_posterior(vae, x[:n], rng)
    found.append(parts.information)
    number(f"{n} images: information", parts.information, f"nats; log n is {math.log(n):.3f}")
    number(f"{n} images: KL(q(z) || p(z))", parts.distance, "nats")
    beside(f"{n} images: their sum", parts.information + parts.distance, mean_kl, 1.5, word="mean KL")
say("""These estimates mislead: each estimate of the information is close to its limit log n and would grow
with more images. On average it is too small, and the estimate of KL(q(z) || p(z)) is too large by the same
amount. We know only that the information is at least about 8 nats (on average the estimate is a lower bound)
and at most 15 nats.""")
save(draw.information(sizes, found, mean_kl), "information", dpi=200)

# %% [markdown]
# ## 4. Draw from the prior
#
# A slide says that a draw from N(0, I) "is very likely to fall within one of these encoded" distributions
# (Brown). Let us say that z is within q(z|x) if sum_l (z_l - mu_l)^2 / std_l^2 is below 18.31. This holds for
# 95 % of the draws from q itself (chi-square with ten degrees of freedom).
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
guess("There are 60,000 training images. How many draws from the prior are within the q of at least one?")
for n in (4000, 60_000):
    number(f"prior draws within one of {n} q's", within(prior[:1000], mnist.x_train[:n]), "%")
number("codes of test images within one of 60000 q's", within(z[:1000], mnist.x_train), "%")
guess("Both models decode draws from N(0, I). Does a Gaussian fitted to its codes help the autoencoder?")
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
say("""The slide's "very likely" is 60 %, and only if we count all 60,000 images. For codes of new images it
is not much more: 69 %. The autoencoder's codes have a standard deviation of 6. On this scale all draws from
N(0, I) are close to 0, so the pictures are faint and almost always told apart. But the reason is the choice
of N(0, I). If we fit a Gaussian to the codes, the pictures of its draws are about as hard to tell apart as
those of the VAE's draws from its prior. A slide says that an autoencoder without the KL might have "empty"
pockets of latent space (Brown). Here the main question is where to draw z. The KL answers it in advance:
from the prior.""")
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
save(slide.rows(pictures), "walk", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - Train the VAE with beta=4 (an argument of its loss_and_grads). The mean KL falls below log 4000. Now the
#   estimate of the information stops growing before it reaches its limit.
# - Walk from a 3 to another 3. Then walk from a code to its negative: the straight line passes through 0, and
#   the arc is not defined, since sin(w) = 0.
# - Fit a Gaussian mixture (lesson 10) to the autoencoder's codes and draw from it. This is an autoencoder
#   with a prior that is fitted afterwards.
#
# **Exercise** `python -m lessons start 25`: the log-density of the aggregate posterior
#
# ## Further reading
#
# - Tom White, Sampling Generative Networks, 2016: the arc
# - Matthew Hoffman and Matthew Johnson, ELBO Surgery, 2016
# - Alireza Makhzani et al., Adversarial Autoencoders, 2016: the aggregate posterior
# - Ben Poole et al., On Variational Bounds of Mutual Information, 2019: the estimate is a lower bound
# - Partha Ghosh et al., From Variational to Deterministic Autoencoders, 2020
# - David McAllester and Karl Stratos, Formal Limitations on the Measurement of Mutual Information, 2020

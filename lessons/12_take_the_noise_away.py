# %% [markdown]
# # 12. Take the noise away
#
# **You will** train autoencoders: a linear one, to compare it with PCA, deep ones, one that removes noise
# from digits, and one with a penalty for a sparse code. Then you train a VAE on one term of its loss at a
# time.
#
# **You will learn** when an autoencoder beats PCA and when it does not; which linear denoiser is the best,
# and whether a network beats it; how to differentiate a penalty on the mean activity; what each of the two
# terms of the VAE's loss does alone.
#
# **You need** lesson 8; about 30 minutes.
#
# **New names** `Autoencoder`, `PPCA`, `inputs.corrupt`; used again: `VAE`, `Adam`, `load_mnist`, `binarize`,
# `evaluation`, `gradcheck.complex_step`, `ops.gaussian_sample`, `ops.gaussian_std`
#
# %%
import math

import numpy as np

import minivae as mv
from lessons.drawings import lesson12 as draw
from lessons.drawings import slide
from lessons.story import beside, guess, number, save, say, section
from minivae import evaluation, gradcheck, inputs, ops

mnist = mv.load_mnist()
rng = np.random.default_rng(0)
pixel_mean = mnist.x_train.mean(axis=0) / 255  # (D,)
x_test, y_test = mnist.x_test[:3000] / np.float32(255), mnist.y_test[:3000]  # (N, D), (N,)

# %% [markdown]
# ## 1. Show that a linear autoencoder is PCA
#
# An autoencoder reduces the dimension of data without labels. It has an encoder and a decoder, and between
# them a code z. The code is one point for each x: it
# has no noise and no prior. A slide's loss is |x - x^|^2 (Bonvicini). Our loss is the nll of a Gaussian with
# variance 1, which is half of that plus a constant:
#
#     nll = 1/2 |x - x^|^2 + D/2 log 2 pi
#
# Without hidden layers both networks are linear. Let the columns of V (D, L) be L orthonormal eigenvectors of
# the covariance of x, and choose the weights so that x^ = mean + (x - mean) V V'. Then x - x^ contains only
# the other eigenvectors, and the mean squared error is the sum of their eigenvalues. No map of rank L does
# better than the eigenvectors of the L largest eigenvalues (Eckart and Young). So PCA is the best linear
# autoencoder.
# %%
section("1. Show that a linear autoencoder is PCA")
x = mnist.x_train[:5000] / 255  # (n, D)
pca = mv.PPCA(783).fit(x)  # eigenvalues (D,), and all eigenvectors but the last: components (D - 1, D)


def linear_at(V):
    """The linear autoencoder with eigenvectors V (L, D) -> nll of x, largest entry of the gradient."""
    model = mv.Autoencoder(784, len(V), (), likelihood="gaussian", dtype=np.float64, backend="numpy")
    values = {"code.W": V.T, "code.b": -V @ pca.mean, "output.W": V, "output.b": pca.mean}
    model.params |= {name: np.ascontiguousarray(value) for name, value in values.items()}
    terms, grads = model.loss_and_grads(x)
    return terms.nll, max(np.abs(grad).max() for grad in grads.values())


constant = 784 / 2 * math.log(2 * math.pi)
nll, slope = linear_at(pca.components[:10])
beside("nll of the linear autoencoder at PCA", nll, pca.eigenvalues[10:].sum() / 2 + constant, 1e-8)
beside("largest entry of its gradient", slope, 0, 1e-9)
guess("Take eigenvectors 2 to 11 instead of 1 to 10. Is the gradient still 0?")
nll, slope = linear_at(pca.components[1:11])
other = (pca.eigenvalues[0] + pca.eigenvalues[11:].sum()) / 2 + constant
beside("nll with eigenvectors 2 to 11", nll, other, 1e-8)
beside("largest entry of the gradient there", slope, 0, 1e-9)


def train(model, steps, loss_and_grads=None, lr=3e-3, batch=64):
    """Adam on gray digits; lr falls to 0 in the second half. loss_and_grads(x) replaces the model's own."""
    adam, draws = mv.Adam(lr=lr), np.random.default_rng(1)
    for step in range(steps):
        adam.lr = lr * min(1, 2 - 2 * step / steps)
        x = mnist.x_train[draws.integers(0, 60_000, batch)] / np.float32(255)  # (B, D)
        _, grads = (loss_and_grads or model.loss_and_grads)(x)
        adam.step(model.params, grads)
    return model


def autoencoder(L, hidden=(128,), **settings):
    """An untrained autoencoder 784-128-L; its output bias starts at the mean image."""
    model = mv.Autoencoder(784, L, hidden, likelihood="gaussian", **settings)
    model.start_output_at(pixel_mean)
    return model


def squared(means, x=x_test):
    """Squared error, summed over pixels and averaged over images."""
    return ((means - x) ** 2).sum(axis=1).mean()


def pca_means(x, L):
    """x, reconstructed from its first L principal components."""
    return pca.mean + (x - pca.mean) @ pca.components[:L].T @ pca.components[:L]


linear = train(autoencoder(10, hidden=()), 400, lr=5e-3)
pca_error = {L: squared(pca_means(x_test, L)) for L in (10, 100)}
linear_error = squared(linear.reconstruct(x_test))
beside("squared error after 400 steps", linear_error, pca_error[10], 0.4, word="PCA's")
rows = linear.params["output.W"] / np.linalg.norm(linear.params["output.W"], axis=1, keepdims=True)
number("largest cosine of two of its latents' directions", np.abs(rows @ rows.T - np.eye(10)).max())
say("""Yes: any ten eigenvectors give a gradient of 0. But only the first ten are a minimum. The others are
saddle points (Baldi and Hornik 1989), and Adam, started at random weights, does not stay there: after 400
steps its error is close to PCA's. (On test images it may even be lower: Adam has seen more than the 5,000
training images of this PCA.) The directions of its latents are not those of PCA, which are orthogonal and
have cosines of 0. For any invertible R (L, L), the encoder V R and the decoder R^-1 V' have the same
loss.""")

# %% [markdown]
# ## 2. Compare deep autoencoders with PCA
# %%
section("2. Compare deep autoencoders with PCA")
guess("Does a deep autoencoder always beat PCA? Try 10 latents, then 100.")
deep = {L: train(autoencoder(L), 500) for L in (10, 100)}
for L, model in deep.items():
    number(f"squared error of PCA, {L} latents", pca_error[L])
    number(f"squared error of the autoencoder, {L} latents", squared(model.reconstruct(x_test)))
say("""No. With 10 latents the autoencoder is far better: its decoder maps to a curved surface, that of PCA to
a plane. With 100 latents the autoencoder is worse. Its hidden layers could come close to PCA, but 500 steps
are too few, and PCA is computed exactly. (A network with 200 hidden units, trained for 1,400 steps, is worse
than PCA too: its error is 6.3.)""")

# %% [markdown]
# ## 3. Remove noise
#
# A denoising autoencoder sees x~ = x + noise, and its target is the clean x. The minimizer of the expected
# squared error is E[x | x~]. If every pixel has independent noise of variance s^2, the best *linear* map is
# known exactly. Along an eigenvector of the covariance with eigenvalue l, let y be the coordinate of x minus
# the mean, and e the noise. The map multiplies the noisy coordinate y + e by a number a:
#
#     E(a (y + e) - y)^2 = (a - 1)^2 l + a^2 s^2     smallest at a = l / (l + s^2), there l s^2 / (l + s^2)
#
# The sum of this error over all D eigenvalues is the error of the best linear denoiser (Wiener 1949). If the
# target is the noisy x~ itself, the best map has a = 1 everywhere: it copies the noise.
# %%
section("3. Remove noise")
s = 0.5


def add_noise(x):
    """x (B, D) plus new noise from N(0, s^2) on every pixel."""
    return x + np.float32(s) * rng.standard_normal(x.shape, np.float32)


shrink = pca.eigenvalues / (pca.eigenvalues + s**2)  # (D,): a, for each eigenvector


def linear_means(noisy):
    """The best linear denoiser; along the last eigenvector, whose eigenvalue is 0, a is 0."""
    return pca.mean + ((noisy - pca.mean) @ pca.components.T * shrink[:-1]) @ pca.components


error = ((linear_means(add_noise(x)) - x) ** 2).sum(axis=1)  # (n,)
beside("squared error of the noisy test images", squared(add_noise(x_test)), 784 * s**2, 1, word="expected")
beside("best linear denoiser", error.mean(), (shrink * s**2).sum(), 0.4, word="expected")
guess("The autoencoder with 100 latents was trained on clean digits only. Does it remove noise?")
noisy = add_noise(x_test)
pictures = {"clean digit": x_test, "noisy digit": noisy, "autoencoder": deep[100].reconstruct(noisy)}
predicted = squared(deep[100].reconstruct(x_test)) + 100 * s**2
beside("noisy digits, autoencoder", squared(pictures["autoencoder"]), predicted, 3, word="predicted")
say("""Yes, most of it. A projection onto 100 of 784 directions keeps 100 s^2 = 25 of the noise's 196, and the
error of this autoencoder is close to the prediction: its own error on clean digits plus 25. Like a
projection, it keeps all of the noise in the directions that it uses for digits. Now train on noisy
digits.""")
denoiser = autoencoder(100)
train(denoiser, 500, lambda x: denoiser.loss_and_grads(add_noise(x), target=x))
pictures["denoising autoencoder"] = denoiser.reconstruct(noisy)
pictures["best linear map"] = linear_means(noisy)
for name in ("denoising autoencoder", "best linear map"):
    number(f"noisy digits, {name}", squared(pictures[name]))
say("""The denoising autoencoder is better, but 500 steps do not reach the best linear map. (After 5,000 steps
the error of the same network is about 16.5: close, but still not better.) Without the error of the best
linear map, 28 would look like a success.""")
for kind, amount in (("salt-and-pepper", 0.2), ("mask", 0.5)):
    other = inputs.corrupt(x_test, kind, amount, rng)
    number(f"squared error of {kind} noise, {amount:g}", squared(other))
    number(f"after the denoising autoencoder, {kind}", squared(denoiser.reconstruct(other)))
say("""The denoising autoencoder was not trained on these two kinds of noise. For salt and pepper (a fifth of
the pixels become 0 or 1) its error is almost as small as for Gaussian noise. A mask sets half of the pixels
to 0 and leaves holes in the strokes. The autoencoder repairs little of that damage.""")
save(slide.rows({name: row[:10] for name, row in pictures.items()}), "denoised", dpi=200)

# %% [markdown]
# ## 4. Make the code sparse
#
# "Regularization might be used to promote sparse encodings" (Bonvicini). One regularizer pulls the mean
# activity of each latent over the batch, m_l, towards a small number t. If each code_bl is in (0, 1), as the
# output of a sigmoid is,
#
#     m_l = 1/B sum_b code_bl          penalty = sum_l KL(Bernoulli(t) || Bernoulli(m_l))
#                                              = sum_l t log(t / m_l) + (1 - t) log((1 - t) / (1 - m_l))
#     d penalty / d code_bl = 1/B (-t / m_l + (1 - t) / (1 - m_l))         0 where m_l = t
#
# The penalty is one number for the whole batch. It is not a mean over images.
# %%
section("4. Make the code sparse")
t = 0.05


def penalty(code):
    """sum_l KL(Bernoulli(t) || Bernoulli(m_l)): code (B, L) -> nats."""
    m = code.mean(axis=0)  # (L,)
    return (t * np.log(t / m) + (1 - t) * np.log((1 - t) / (1 - m))).sum()


code = rng.uniform(0.1, 0.9, (6, 4))  # (B, L)
m = code.mean(axis=0)  # (L,)
dcode = np.tile((-t / m + (1 - t) / (1 - m)) / 6, (6, 1))  # (B, L)
error = np.abs(dcode - gradcheck.complex_step(penalty, code)).max()
beside("largest error of dcode, by complex step", error, 0, 1e-12)
guess("The penalty pulls every mean activity to 0.05. How many of the 100 codes of an image are above 1/2?")
for weight in (0, 3):
    model = autoencoder(100, code_activation="sigmoid", penalty="kl", activity=t, weight=weight)
    codes = np.sort(train(model, 300).encode(x_test), axis=1)  # (N, L)
    number(f"mean activity, weight {weight}", codes.mean())
    number(f"codes above 1/2, of 100, weight {weight}", (codes > 0.5).sum(axis=1).mean())
    share = 100 * codes[:, -10:].sum() / codes.sum()
    number(f"share of an image's ten largest codes, weight {weight}", share, "%")
    number(f"squared error, weight {weight}", squared(model.reconstruct(x_test)))
say("""Almost none. The mean activity is near 0.05. But the penalty depends on the mean only, and many weakly
active codes give the same mean as a few strongly active ones. The ten largest codes of an image have about a
quarter of its activity, instead of a fifth without the penalty. (If all codes were equal, they would have a
tenth.) The price is a larger error. A small mean activity alone does not make a code sparse.""")

# %% [markdown]
# ## 5. Train a VAE on one term at a time
#
# A slide shows three latent planes: with the reconstruction term only, with the KL only, and with both
# (Brown). The weights of the two terms are 1 and 0, 0 and 1, and 1 and 1. We know what each term does alone:
#
#     KL only               kl = 0 at mu = 0, std = 1, for every x: z has no information about x
#     reconstruction only   noise in z blurs what the decoder receives, so std falls towards 0
#
# For the second, suppose that nll is smooth and std is small. With h_l the second derivative of nll with
# respect to z_l,
#
#     E nll(mu + std eps) = nll(mu) + 1/2 sum_l h_l std_l^2 + ...
#
# Up to this order the smallest value is at std = 0, if every h_l is positive. The KL adds 1/2 (std_l^2 - log
# std_l^2), which is infinite at std = 0. The sum of both is smallest at std_l^2 = 1 / (1 + h_l).
# %%
section("5. Train a VAE on one term at a time")
guess("Train on the reconstruction alone. After 500 steps, how wide is q, and how far apart are the codes?")


def trained(steps, **weights):
    """A VAE with two latents -> its terms on the test set; mu and std of the test images (N, L)."""
    model = mv.VAE(latent_dim=2, hidden=(128,))
    model.start_output_at(pixel_mean)

    def loss_and_grads(x):
        eps = rng.standard_normal((len(x), 2))
        return model.loss_and_grads(mv.binarize(x, rng).astype(np.float32), eps, **weights)

    train(model, steps, loss_and_grads)
    mu, logvar = model.encode(mv.binarize(x_test, rng))
    terms = evaluation.average_terms(model, mnist.x_test, "dynamic", np.random.default_rng(1))
    return terms, mu, ops.gaussian_std(logvar)


planes = {
    "reconstruction only": trained(500, reconstruction=1, beta=0),
    "KL only": trained(200, reconstruction=0, beta=1),
    "both": trained(500, reconstruction=1, beta=1),
}
for name, (terms, mu, std) in planes.items():
    number(f"median std of q, {name}", np.median(std))
    number(f"spread of mu over images, {name}", mu.std())
    number(f"nll on the test set, {name}", terms.nll, "nats per image")
    if name != "KL only":
        number(f"kl on the test set, {name}", terms.kl, "nats per image")
beside("kl on the test set, KL only", planes["KL only"][0].kl, 0, 0.01)
say("""Reconstruction only: q shrinks almost to a point, and the codes lie far outside the prior. The model is
close to an autoencoder. A slide says that the reconstruction loss "will drive sigma to zero" (Brown). After
500 steps sigma is small but not 0. KL only: every q is close to the prior, and the nll is about 206, the sum
of the entropies of the single pixels (lesson 8). Both: the codes stay near the prior, and the width of q is
in between. The price is a few nats of nll.""")
mu, logvar, eps = rng.standard_normal((3, 1, 2))  # (B, L) each
slope = gradcheck.complex_step(lambda eps: ops.gaussian_sample(mu, logvar, eps).sum(), eps)
beside("dz/deps minus std", np.abs(slope - ops.gaussian_std(logvar)).max(), 0, 1e-12)
say("""A slide says that it is "not possible" to backpropagate into the noise, and that we do not need it
(Bonvicini). The first is wrong: the derivative dz/deps exists and equals std. The second is right: eps has no
parameters to train.""")
save(draw.latent_planes(planes, y_test), "terms", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - In section 3 pass target=add_noise(x): the target has noise too, drawn separately. The denoiser learns the
#   same map, only more slowly, because the noise of the target has mean 0 and is independent of the noise of
#   the input (Lehtinen et al. 2018).
# - Use penalty="l1". The codes get small, but the decoder can compensate with larger weights. Compare the
#   share of the ten largest |code|, which does not depend on this scale.
# - Start the linear autoencoder of section 1 at eigenvectors 2 to 11 plus 0.01 times random numbers. Does
#   training leave the saddle point?
#
# **Exercises** `python -m lessons start 22` (the denoising loss and its gradient),
# `python -m lessons start 23` (the KL of the mean activity)
#
# ## Further reading
#
# - Carl Eckart and Gale Young, The Approximation of One Matrix by Another of Lower Rank, 1936
# - Norbert Wiener, Extrapolation, Interpolation, and Smoothing of Stationary Time Series, 1949
# - Pierre Baldi and Kurt Hornik, Neural Networks and Principal Component Analysis, 1989
# - Pascal Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders, 2008
# - Andrew Ng, Sparse Autoencoder, 2011
# - Jaakko Lehtinen et al., Noise2Noise: Learning Image Restoration without Clean Data, 2018

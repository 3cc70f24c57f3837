# %% [markdown]
# # 9. Turn the decoder linear and meet PCA
#
# **You will** fit a VAE whose decoder is a matrix in closed form, train the same VAE by gradient steps, and
# count the latents that it uses.
#
# **You will learn** why probabilistic PCA has an exact posterior and an exact log p(x); that a linear VAE
# finds both; why its latents fall in the directions of PCA; and when a latent *must* collapse to the prior.
#
# **You need** lesson 3 (the ELBO and its gap) and lesson 7 (the VAE); some linear algebra (eigenvectors);
# about 30 minutes.
#
# **New names** `PPCA`, `bridges.linear_vae`, `evaluation.exact_nll`, `evaluation.kl_per_latent`; used again:
# `VAE`, `Adam`
#
# %%
import copy

import numpy as np

import minivae as mv
from lessons.drawings import lesson09 as drawings
from lessons.story import beside, guess, number, save, say, section
from minivae import bridges, evaluation

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Integrate the latents out
#
# Let the decoder's mean be a matrix times z, plus an offset, and let every pixel have the same noise variance
# v. Then x is a sum of Gaussian variables, so it is Gaussian, and nothing is left to integrate:
#
#     z ~ N(0, I)                           (L,)
#     x = W z + b + noise,  noise ~ N(0, v I)   (D,), W is (D, L)
#     E x = b,   Cov x = W E[z z'] W' + v I = W W' + v I
#     log p(x) = log N(x; b, W W' + v I)
#
# This is probabilistic PCA. `PPCA.log_prob` computes it. As a check, lesson 1's method: a sum over a grid of
# two latents, which `evaluation.exact_nll` does for any decoder.
# %%
section("1. Integrate the latents out")
N, D = 200, 10
axes = np.linalg.qr(rng.standard_normal((D, D)))[0]  # (D, D), orthonormal columns
W_true = axes[:, :3] * np.array([3.0, 2.0, 1.0])  # (D, 3)
x = rng.standard_normal((N, 3)) @ W_true.T + 0.5 * rng.standard_normal((N, D)) + rng.standard_normal(D)
say("The data: 200 x's in 10 dimensions, from 3 latents of strengths 3, 2 and 1 and noise of variance 0.25.")
two = mv.PPCA(2).fit(x)
by_grid = -evaluation.exact_nll(bridges.linear_vae(two), x[:20], nodes=401).mean()
beside(
    "log p(x) of 20 x's, 2 latents, W W' + v I", two.log_prob(x[:20]).mean(), by_grid, 1e-9, word="on grid"
)
say("""A slide writes p(x|z) = N(x; W z + mu, Sigma_z) for this model (Isachenko). The noise must not depend
on z. If it does, x is no longer Gaussian: with one pixel, W = 0 and variance z^2, the kurtosis of x is
3 E[z^4] / E[z^2]^2 = 9, where a Gaussian has 3.""")
draws = rng.standard_normal(1_000_000) * np.abs(rng.standard_normal(1_000_000))
beside("kurtosis of x with noise of variance z^2", (draws**4).mean() / (draws**2).mean() ** 2, 9, 0.6)

# %% [markdown]
# ## 2. Fit it without a single gradient step
#
# Let lambda_1 >= ... >= lambda_D be the eigenvalues of the data's covariance (divided by N), and U its
# eigenvectors. For a model with covariance C
#
#     mean of log p(x) = -1/2 (D log 2 pi + log det C + tr(C^-1 Cov))
#
# Tipping and Bishop (1999): the maximum has b = the data's mean and W = U_L (Lambda_L - v I)^(1/2). Then C
# has the data's first L eigenvalues, and v in the other D - L directions:
#
#     -2 mean of log p(x) = D log 2 pi + sum_{l<=L} (log lambda_l + 1) + sum_{l>L} (log v + lambda_l / v)
#     derivative w.r.t. v is 0:   v = 1/(D-L) sum_{l>L} lambda_l      the mean of the discarded eigenvalues
# %%
section("2. Fit it without a single gradient step")
guess("The noise has variance 0.25 in all 10 directions. Is v the mean of 10 eigenvalues, or of 7?")
L = 3
ppca = mv.PPCA(L).fit(x)
values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]  # (D,), largest first
for i, value in enumerate(values[:4]):
    number(f"eigenvalue {i + 1} of the covariance", value)
beside("v, the mean of the 7 smallest eigenvalues", ppca.variance, values[L:].sum() / (D - L), 1e-12)
number("divided by D = 10 instead", values[L:].sum() / D)
best = -0.5 * (D * np.log(2 * np.pi) + np.log(values[:L]).sum() + (D - L) * np.log(ppca.variance) + D)
beside("mean of log p(x), from the eigenvalues", best, ppca.log_prob(x).mean(), 1e-10, word="by PPCA")
say("""Of 7: the three largest directions hold noise as well, but W takes what exceeds v there. Dividing by 10
gives a v that is 30 % too small.""")
by_em = mv.PPCA(L)
found = by_em.fit_em(x, np.random.default_rng(1))
beside("the same by EM from a random W", found.bounds[-1], best, 1e-6)
number("steps of EM that it took", found.steps)

# %% [markdown]
# Where is PCA in this? A slide gives its goal: project the data onto L directions so that the variance of the
# projections is largest (Isachenko). Those directions are the first eigenvectors, and the variances are the
# eigenvalues. What the projection loses is the sum of the others. The posterior of z is Gaussian:
#
#     p(z|x) = N(M^-1 W' (x - b), v M^-1),   M = W'W + v I       (L, L)
#
# At the maximum M = Lambda_L is diagonal, and the mean of z_l is PCA's coordinate times
# sqrt(lambda_l - v) / lambda_l. Decoded, W z is the projection times (lambda_l - v) / lambda_l: it shrinks
# towards the mean, most where lambda_l is close to v. As v -> 0 it becomes the projection itself.
# %%
coordinates = ppca.project(x)  # (N, L)
beside("variance of the first projection", coordinates[:, 0].var(), values[0], 1e-10)
lost = ((ppca.reconstruct(x) - x) ** 2).sum(axis=1).mean()
beside("squared error of the projection", lost, values[L:].sum(), 1e-10)
z_mean, z_cov = ppca.posterior(x)  # (N, L), (L, L)
decoded = (z_mean @ ppca.W.T) @ ppca.components.T  # (N, L), along the eigenvectors
guess("Third direction: eigenvalue 1.24, v = 0.24. By how much does the posterior mean shrink it?")
shrunk = (decoded[:, 2] * coordinates[:, 2]).sum() / (coordinates[:, 2] ** 2).sum()
beside("factor along the third direction", shrunk, (values[2] - ppca.variance) / values[2], 1e-10)

# %% [markdown]
# ## 3. Train the same model as a VAE
#
# A VAE without hidden layers, `hidden=()`, has a linear encoder, a linear decoder, and here one learned
# variance: pPCA's W, b and v are its `output.W`, `output.b` and `output.logvar`. The mean of its q(z|x) is
# linear in x, and so is the log-variance; the covariance is diagonal. The exact posterior has this form if M
# is diagonal: then one encoder closes the gap for *all* x at once.
#
# The nll is quadratic in eps. So its mean over 2 L points, +sqrt(L) and -sqrt(L) along each axis, is exactly
# E_q, and the loss has no noise.
# %%
section("3. Train the same model as a VAE")
guess("The ELBO is a lower bound. How far below pPCA's log p(x) will it end: 1 nat, 0.01, or nothing?")


def exact_noise(L):
    """eps (2 L, N, L) over which a mean of squares is exact: mean 0, variance 1, no correlation."""
    axis = np.sqrt(L) * np.eye(L)
    return np.repeat(np.concatenate([axis, -axis])[:, None], N, axis=1)


def train(L, v=None, steps=1000, seed=1):
    """A linear VAE, trained on all of x at once; a given v stays fixed -> the model, and its last Terms."""
    model = mv.VAE(D, L, (), likelihood="gaussian-shared", dtype=np.float64, backend="numpy", seed=seed)
    model.params["output.logvar"][...] = np.log(v or 1.0)
    adam, eps = mv.Adam(beta2=0.99), exact_noise(L)
    for step in range(steps):
        adam.lr = 0.2 * min(1, 2 - 2 * step / steps)
        terms, grads = model.loss_and_grads(x, eps)
        if v:
            grads["output.logvar"][...] = 0
        adam.step(model.params, grads)
    return model, terms


vae, terms = train(L)
W, vae_v = vae.params["output.W"].T, np.exp(vae.params["output.logvar"]).item()  # (D, L), v
beside("ELBO of the trained VAE", -terms.loss, best, 1e-6, word="best log p(x)")
beside("its noise variance v", vae_v, ppca.variance, 1e-4, word="pPCA's")
cosines = np.linalg.svd(ppca.components @ np.linalg.qr(W)[0])[1]  # of the angles between the two subspaces
beside("smallest cosine between W's columns and PCA's", cosines.min(), 1, 1e-6)
say("""Nothing. The VAE has found pPCA: the same subspace, the same v, and a bound that is log p(x) itself.
No eigenvalue was computed.""")

# %% [markdown]
# pPCA's likelihood cannot tell W from W R with a rotation R, since W R R' W' = W W'. Classical texts say that
# pPCA finds the subspace and not the directions. The VAE finds both, because its q is diagonal. If M is not
# diagonal, the best diagonal q has the precisions of the posterior, M_ll / v, and a gap remains (lesson 11
# derives it):
#
#     gap = KL(q || posterior) = 1/2 (sum_l log M_ll - log det M)  >= 0,   and 0 only if M is diagonal
# %%
gram = W.T @ W  # (L, L)
beside("largest entry of W'W off its diagonal", np.abs(gram - np.diag(np.diag(gram))).max(), 0, 1e-3)
guess("Rotate two latents of the optimum by 45 degrees. Does log p(x) change? Does the best ELBO?")
turn = np.eye(L)
turn[:2, :2] = np.sqrt(0.5) * np.array([[1, -1], [1, 1]])
turned = mv.PPCA(L).fit(x)
turned.W = ppca.W @ turn  # (D, L)
beside("mean of log p(x) with W R", turned.log_prob(x).mean(), best, 1e-10)
M = turned.W.T @ turned.W + turned.variance * np.eye(L)  # (L, L)
model = bridges.linear_vae(ppca)  # the optimum, with the exact posterior as its encoder
eps = exact_noise(L)
beside("ELBO of the optimum as a VAE", -model.loss(x, eps).loss, best, 1e-9, word="log p(x)")
to_z = np.linalg.solve(M, turned.W.T).T  # (D, L): z's posterior mean is (x - b) @ to_z
new = {"output.W": turned.W.T, "mu.W": to_z, "mu.b": -ppca.mean @ to_z}
new["logvar.b"] = np.log(turned.variance / np.diag(M))
for name, value in new.items():
    model.params[name][...] = value
gap = 0.5 * (np.log(np.diag(M)).sum() - np.linalg.slogdet(M)[1])
beside("best ELBO of the rotated one, below log p(x) by", best + model.loss(x, eps).loss, gap, 1e-9)
say("""log p(x) stays, the ELBO falls. So among all W that are equally likely, the ELBO prefers the one whose
posterior is diagonal. That is why the latents of a linear VAE are the axes of PCA.""")

# %% [markdown]
# ## 4. Count the latents that are used
#
# Now fix v. A loss with a squared error does that: by lesson 3, half of it means v = 1, the plain one means
# v = 1/2. PCA's directions separate. Along one with the eigenvalue lambda the best column of W has length w:
#
#     w^2 + v = lambda   if lambda > v,     w = 0   otherwise
#
# With w^2 = lambda - v, M_ll = lambda. So q has the variance v / lambda, and the variance of its mean over
# the data is w^2 / lambda = (lambda - v) / lambda:
#
#     KL = 1/2 ((lambda - v)/lambda + v/lambda - log(v/lambda) - 1) = 1/2 log(lambda / v)
#
# A latent whose direction has lambda <= v has w = 0, and then q = prior is best: it has collapsed. This is no
# accident of the training. At this v it is the maximum. `PPCA.live(v)` returns the eigenvalues above v.
# %%
section("4. Count the latents that are used")
guess("Five latents are given, the data have three. v is fixed at 0.5, 2 and 5. How many are used each time?")
five = mv.PPCA(5).fit(x)
trained = {}
for v in (0.5, 2.0, 5.0):
    model, terms = train(5, v)
    trained[v] = terms.kl
    kl = evaluation.kl_per_latent(model, x)  # (5,)
    beside(f"latents with a KL above 0.01, v = {v:g}", (kl > 0.01).sum(), len(five.live(v)), 0)
    beside(f"KL of all five, v = {v:g}, nats", terms.kl, 0.5 * np.log(five.live(v) / v).sum(), 1e-4)
say("""Three, two and one, never five. At v = 0.5 the two spare latents have nothing above the noise to
describe. At v = 2 and 5 the model calls even real directions noise. More latents or longer training change
nothing; a smaller v does.""")
free, _ = train(5)
kl = evaluation.kl_per_latent(free, x)
beside(
    "KL of all five with a learned v, nats", kl.sum(), 0.5 * np.log(values[:5] / five.variance).sum(), 1e-3
)
number("KL of the two weakest of them", np.sort(kl)[:2].sum(), "nats")
say("""With a learned v all five are used: v is the mean of the other eigenvalues, so the fourth and the fifth
are above it, by chance alone. They fit the noise of these 200 x's.""")

# %% [markdown]
# ## 5. Read the theorem on MNIST
#
# Only the covariance of the pixels matters, so the answer for 784 pixels needs no training either.
# %%
section("5. Read the theorem on MNIST")
mnist = mv.load_mnist()
images, test = mnist.x_train[:4000] / 255, mnist.x_test[:500] / 255  # (N, D)
digits = mv.PPCA(20).fit(images)
guess("A linear VAE with 20 latents and a unit-variance Gaussian, on MNIST. How many latents does it use?")
number("the best v", digits.variance)
models = {}
for name, v in {"1": 1.0, "1/2, the squared error": 0.5, "the best one": digits.variance}.items():
    fixed = copy.copy(digits)  # with the best W for this v
    fixed.variance, excess = v, np.maximum(digits.eigenvalues[:20] - v, 0)
    fixed.W = digits.components.T * np.sqrt(excess)  # (D, L)
    kl = evaluation.kl_per_latent(bridges.linear_vae(fixed), images)  # (20,)
    beside(f"latents with a KL, v is {name}", (kl > 1e-6).sum(), len(digits.live(v)), 0)
    beside(f"KL, v is {name}", kl.sum(), 0.5 * np.log(digits.live(v) / v).sum(), 1e-6)
    number(f"log p(x) of test images, v is {name}", fixed.log_prob(test).mean(), "nats per image")
    models[v] = fixed
say("""With unit variance the ELBO's maximum has 12 live latents of 20, whatever the optimizer. Real pixels
vary little, so a unit variance calls most of a digit noise, at a price of a thousand nats. (These are
densities, so log p(x) may be positive.) Lesson 17 learns the variance in a deep VAE.""")
save(drawings.live(values, trained, digits.eigenvalues), "live", dpi=200)
z_unit, z_best = models[1.0].posterior(test[:10])[0], digits.posterior(test[:10])[0]  # (10, L) each
rows = {
    "test image": test[:10],
    "v = 1: 12 latents": digits.mean + z_unit @ models[1.0].W.T,
    "best v: 20 latents": digits.mean + z_best @ digits.W.T,
    "W z + b, z ~ prior": digits.mean + rng.standard_normal((10, 20)) @ digits.W.T,
}
save(drawings.pictures(rows), "pictures", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - In section 3 pass `seed=2`: the VAE ends at the same W W', with other signs and another order of columns.
# - In section 4 set v = 1.2, just below the third eigenvalue 1.24: that latent stays, with 0.017 nats of KL.
#   At v = 1.3 it collapses.
# - In section 5 use 40 latents: with v = 1 the answer is still 12.
#
# **Exercise** `python -m lessons start 17`: write the posterior of pPCA, and its noise variance.
#
# ## Further reading
#
# - M. Tipping and C. Bishop, "Probabilistic Principal Component Analysis", 1999
# - S. Roweis, "EM Algorithms for PCA and SPCA", 1998
# - B. Dai, Y. Wang, J. Aston, G. Hua and D. Wipf, "Connections with Robust PCA and the Role of Emergent
#   Sparsity in Variational Autoencoder Models", 2018
# - J. Lucas, G. Tucker, R. Grosse and M. Norouzi, "Don't Blame the ELBO! A Linear VAE Perspective on
#   Posterior Collapse", 2019

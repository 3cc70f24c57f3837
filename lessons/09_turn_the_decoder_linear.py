# %% [markdown]
# # 9. Turn the decoder linear and meet PCA
#
# **You will** fit a model with a linear decoder in closed form, train the same model as a VAE by gradient
# steps, and count the latents that it uses.
#
# **You will learn** why probabilistic PCA has an exact posterior and an exact log p(x); that a linear VAE
# finds both; why its latents align with the directions of PCA; and when a latent *must* collapse to the
# prior.
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
from lessons.drawings import slide
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
# This model is probabilistic PCA (pPCA), and `PPCA.log_prob` computes its log p(x). We check it with lesson
# 1's method, a sum over a grid. `evaluation.exact_nll` computes that sum for any decoder with two latents.
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
3 E[z^4] / E[z^2]^2 = 9. A Gaussian has 3.""")
draws = rng.standard_normal(1_000_000) * np.abs(rng.standard_normal(1_000_000))
beside("kurtosis of x with noise of variance z^2", (draws**4).mean() / (draws**2).mean() ** 2, 9, 0.38)

# %% [markdown]
# ## 2. Fit it without a single gradient step
#
# Let lambda_1 >= ... >= lambda_D be the eigenvalues of the data's covariance (divided by N), and U its
# eigenvectors. For a model with covariance C
#
#     mean of log p(x) = -1/2 (D log 2 pi + log det C + tr(C^-1 Cov))
#
# Tipping and Bishop (1999) show that at the maximum b is the data's mean and W = U_L (Lambda_L - v I)^(1/2).
# Then the first L eigenvalues of C are those of the data, and the other D - L are all v:
#
#     -2 mean of log p(x) = D log 2 pi + sum_{l<=L} (log lambda_l + 1) + sum_{l>L} (log v + lambda_l / v)
#     derivative w.r.t. v is 0 at   v = 1/(D-L) sum_{l>L} lambda_l,   the mean of the discarded eigenvalues
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
say("""Of 7. The first three directions contain noise as well, but there W accounts for all variance above v.
Dividing the same sum by 10 gives a v that is 30 % too small.""")
by_em = mv.PPCA(L)
found = by_em.fit_em(x, np.random.default_rng(1))
beside("the same by EM from a random W", found.bounds[-1], best, 1e-6)
number("steps of EM that it took", found.steps)

# %% [markdown]
# How is this related to PCA? A slide gives the goal of PCA: project the data onto L directions so that the
# variance of the projections is largest (Isachenko). These directions are the first L eigenvectors, and the
# variances are their eigenvalues. The squared error of the projection is the sum of the other eigenvalues.
# In pPCA the posterior of z is Gaussian:
#
#     p(z|x) = N(M^-1 W' (x - b), v M^-1),   M = W'W + v I       (L, L)
#
# At the maximum M = Lambda_L is diagonal, and the posterior mean of z_l is PCA's coordinate times
# sqrt(lambda_l - v) / lambda_l. Decoding multiplies it by sqrt(lambda_l - v). So along direction l the
# decoded mean is the projection times (lambda_l - v) / lambda_l: it shrinks towards the data's mean, most of
# all where lambda_l is close to v. As v -> 0 it becomes the projection itself.
# %%
coordinates = ppca.project(x)  # (N, L)
beside("variance of the first projection", coordinates[:, 0].var(), values[0], 1e-10)
lost = ((ppca.reconstruct(x) - x) ** 2).sum(axis=1).mean()
beside("squared error of the projection", lost, values[L:].sum(), 1e-10)
z_mean, z_cov = ppca.posterior(x)  # (N, L), (L, L)
decoded = (z_mean @ ppca.W.T) @ ppca.components.T  # (N, L), along the eigenvectors
guess("The third eigenvalue is 1.24 and v = 0.24. By which factor does the posterior mean shrink x there?")
shrunk = (decoded[:, 2] * coordinates[:, 2]).sum() / (coordinates[:, 2] ** 2).sum()
beside("factor along the third direction", shrunk, (values[2] - ppca.variance) / values[2], 1e-10)

# %% [markdown]
# ## 3. Train the same model as a VAE
#
# A VAE without hidden layers, `hidden=()`, has a linear encoder, a linear decoder, and here one learned
# variance: pPCA's W, b and log v are its `output.W`, `output.b` and `output.logvar`. The mean of its q(z|x)
# is linear in x, and so is the log-variance; the covariance is diagonal. The exact posterior has this form if
# M is diagonal. Then one encoder closes the gap for *all* x at once.
#
# The nll is quadratic in eps. So its expectation under q is exactly its mean over 2 L points, +sqrt(L) and
# -sqrt(L) along each axis of eps, and we can train without sampling noise.
# %%
section("3. Train the same model as a VAE")
guess("The ELBO is a lower bound. How far below pPCA's log p(x) will it end: 1 nat, 0.01 or 0?")


def exact_noise(L):
    """eps (2 L, N, L) with mean 0, variance 1 and no correlation: means of quadratic functions are exact."""
    axis = np.sqrt(L) * np.eye(L)
    return np.repeat(np.concatenate([axis, -axis])[:, None], N, axis=1)


def train(L, v=None, steps=1000, seed=1):
    """Train a linear VAE on all of x at once; if v is given, it stays fixed -> the model, its last Terms."""
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
say("""0. The VAE has found pPCA: the same subspace, the same v, and a bound that equals log p(x). Its
training did not compute a single eigenvalue.""")

# %% [markdown]
# For any rotation R, W and W R have the same likelihood, since W R R' W' = W W'. So maximum likelihood finds
# the subspace of PCA but not its directions. The VAE finds both, because the covariance of its q is diagonal.
# A slide says that latents make a model "more interpretable" (Isachenko). The likelihood alone gives no
# single latent a meaning; here the diagonal q does.
#
# If M is not diagonal, the best diagonal q has the precisions M_ll / v, the diagonal of the posterior's
# precision matrix, and a gap remains (lesson 11 derives it):
#
#     gap = KL(q || posterior) = 1/2 (sum_l log M_ll - log det M)  >= 0,   and 0 only if M is diagonal
# %%
gram = W.T @ W  # (L, L)
beside("largest entry of W'W off its diagonal", np.abs(gram - np.diag(np.diag(gram))).max(), 0, 1e-3)
guess("Rotate two latents of the optimum by 45 degrees. Does log p(x) change? Does the best ELBO change?")
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
say("""log p(x) stays the same, but the ELBO falls. So among all W of equal likelihood, the ELBO is largest
for those with a diagonal posterior covariance. That is why the latents of a linear VAE are the axes of
PCA.""")

# %% [markdown]
# ## 4. Count the latents that are used
#
# Now fix v. A loss with a squared error does that. By lesson 3, half the squared error means v = 1, and the
# squared error itself means v = 1/2. The ELBO then separates into one term for each of PCA's directions.
# Along a direction with eigenvalue lambda, the best column of W has the length w:
#
#     w^2 + v = lambda   if lambda > v,     w = 0   otherwise
#
# With w^2 = lambda - v, M_ll = lambda. So q has the variance v / lambda, and over the data the mean of q has
# the variance w^2 / lambda = (lambda - v) / lambda:
#
#     KL = 1/2 ((lambda - v)/lambda + v/lambda - log(v/lambda) - 1) = 1/2 log(lambda / v)
#
# If lambda <= v, then w = 0, and the best q is the prior: the latent has collapsed. This is not a failure of
# the training: the maximum of the ELBO at this v is there. `PPCA.live(v)` returns the eigenvalues above v.
# %%
section("4. Count the latents that are used")
guess("The data have three latents, the VAE five. v is fixed at 0.5, 2 or 5. How many are used each time?")
five = mv.PPCA(5).fit(x)
trained = {}
for v in (0.5, 2.0, 5.0):
    model, terms = train(5, v)
    trained[v] = terms.kl
    kl = evaluation.kl_per_latent(model, x)  # (5,)
    beside(f"latents with a KL above 0.01, v = {v:g}", (kl > 0.01).sum(), len(five.live(v)), 0)
    beside(f"KL of all five, v = {v:g}, nats", terms.kl, 0.5 * np.log(five.live(v) / v).sum(), 1e-4)
say("""Three, two and one, never five. At v = 0.5 no direction is left for the two spare latents that has a
variance above v. At v = 2 and 5 the model treats even some of the true directions as noise. More latents or
longer training change nothing, but a smaller v does.""")
free, _ = train(5)
kl = evaluation.kl_per_latent(free, x)
beside(
    "KL of all five with a learned v, nats", kl.sum(), 0.5 * np.log(values[:5] / five.variance).sum(), 1e-3
)
number("KL of the two weakest of them", np.sort(kl)[:2].sum(), "nats")
say("""With a learned v all five are used. v is the mean of the five smallest eigenvalues, so the fourth and
the fifth eigenvalue are above it, but only by chance: these two latents fit the noise of the 200 x's.""")

# %% [markdown]
# ## 5. Apply the result to MNIST
#
# Only the mean and the covariance of the pixels matter, so MNIST's 784 pixels need no training either.
# %%
section("5. Apply the result to MNIST")
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
say("""With unit variance the ELBO's maximum uses 12 of the 20 latents, whichever optimizer finds it. Pixels
between 0 and 1 vary little, so a model with unit variance treats most of a digit as noise. This costs about a
thousand nats per image. (log p(x) is the logarithm of a density, so it may be positive.) Lesson 17 learns the
variance of a deep VAE.""")
save(drawings.live(values, trained, digits.eigenvalues), "live", dpi=200)
z_unit, z_best = models[1.0].posterior(test[:10])[0], digits.posterior(test[:10])[0]  # (10, L) each
rows = {
    "test image": test[:10],
    "v = 1: 12 latents": digits.mean + z_unit @ models[1.0].W.T,
    "best v: 20 latents": digits.mean + z_best @ digits.W.T,
    "W z + b, z ~ prior": digits.mean + rng.standard_normal((10, 20)) @ digits.W.T,
}
save(slide.rows(rows), "pictures", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - In section 3 pass `seed=2`: the VAE ends at the same W W', but the columns of W have another order and
#   other signs.
# - In section 4 set v = 1.2, just below the third eigenvalue 1.24: that latent keeps a KL of 0.017 nats. At
#   v = 1.3 it collapses.
# - In section 5 use 40 latents (replace 20 by 40 throughout): with v = 1, still only 12 are used.
#
# **Exercise** `python -m lessons start 17`: write the posterior of pPCA and its noise variance.
#
# ## Further reading
#
# - M. Tipping and C. Bishop, "Probabilistic Principal Component Analysis", 1999
# - S. Roweis, "EM Algorithms for PCA and SPCA", 1998
# - B. Dai, Y. Wang, J. Aston, G. Hua and D. Wipf, "Connections with Robust PCA and the Role of Emergent
#   Sparsity in Variational Autoencoder Models", 2018
# - J. Lucas, G. Tucker, R. Grosse and M. Norouzi, "Don't Blame the ELBO! A Linear VAE Perspective on
#   Posterior Collapse", 2019

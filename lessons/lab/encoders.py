"""The estimators on a VAE's own ELBO: their variance at the encoder's outputs and at its weights.

A trained model and the same one before its first step see the same few test images. The gradient of
nll + beta kl with respect to each image's mu and logvar is drawn again and again; the encoder's backward pass
is linear, so the same draws give the variance at its weights. No closed form is known here: each estimator's
mean is compared with a reference, and z says whether it agrees. A variance is that of one sample of z.
"""

import time
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minivae import arguments, data, evaluation, ops
from minivae import estimators as es
from minivae.distributions import GaussianPosterior
from minivae.training import WEIGHTS, Run

from .encoder_report import report
from .show import over

IMAGES = 16
SAMPLES, LEAST = 2000, 16  # of z, for each estimator and image; two draws of leave-one-out
GROUP = 8  # samples in one draw of leave-one-out
NODES = 128  # of the quadrature, for each latent


class Way(NamedTuple):
    """One estimator: estimate(f, df, mu, logvar, eps) -> dmu, dlogvar of n draws, (n, B, L) each."""

    name: str
    estimate: Any
    draws: int  # n
    samples: int = 1  # of z in one draw
    noises: int = 1  # eps is (n * noises, B, L)


class Row(NamedTuple):
    """The draws of one estimator; or the reference, whose `variance` is its squared error."""

    name: str
    draws: int
    samples: int  # of z in one draw
    mean: np.ndarray  # (B, 2, L)
    variance: np.ndarray  # (B, 2, L) of one sample
    weights: float = 0.0  # variance of the batch's mean gradient, summed over all weights of the encoder
    seconds: float = 0.0  # of one sample of z for one image
    z: Any = None  # (B, 2, L): (mean - reference) / standard error of the difference


class Side(NamedTuple):
    """One model: the KL of its latents (L,), the reference, and a row for each estimator, pathwise first."""

    name: str
    kl: np.ndarray
    reference: Row
    rows: dict

    def ratio(self, name):
        """How many of its samples are worth one pathwise sample, at the weights of the encoder."""
        return float(over(self.rows[name].weights, self.rows["pathwise"].weights))

    def snr(self, name, axis=None):
        """Root of mean squared gradient / mean variance of one sample, for mu; means over images, or all."""
        squares = (self.reference.mean**2 - self.reference.variance)[:, 0].mean(axis=axis)
        return np.sqrt(over(np.maximum(squares, 0), self.rows[name].variance[:, 0].mean(axis=axis)))


def measure(folder, samples=None, seed=0, progress=lambda items: items):
    """The run in `folder`, trained and untrained, on up to 16 of its test images -> Report.

    samples: of z, for each estimator and image. progress(items) may draw a progress bar.
    """
    samples = arguments.integer("samples", SAMPLES if samples is None else samples, at_least=LEAST)
    rng = arguments.seeded("seed", seed)
    run = Run.load(folder)
    images, pixels, beta = run.data.x_test, run.config.pixels, run.config.beta
    rows = np.unique(np.linspace(0, len(images) - 1, IMAGES).astype(int))
    x = data.minibatch(images[rows], pixels, rng, run.model.dtype)  # (B, D)
    untrained = run.config.build_model(run.model.data_dim, run.stream(WEIGHTS))
    untrained.start_output_at(data.pixel_mean(run.data.x_train, pixels))
    sides = compare({"trained": run.model, "untrained": untrained}, x, beta, samples, rng, progress)
    title = f"{folder}, {len(x)} test images: gradient of nll + {beta:g} KL(q || p) at the encoder, in nats"
    return report(title, sides)


def compare(models, x, beta, samples, rng, progress=lambda items: items):
    """Every estimator on every model, {name: VAE}, for the images x (B, D) -> [Side]."""
    scenes = {name: Scene(model, x, beta, rng) for name, model in models.items()}
    jobs = [(name, way) for name, scene in scenes.items() for way in (None, *scene.ways(samples))]
    sides = {}
    for name, way in progress(jobs):
        if way is None:
            sides[name] = Side(name, scenes[name].kl(), scenes[name].reference(2 * samples), {})
        else:
            sides[name].rows[way.name] = scenes[name].row(way, sides[name].reference)
    return list(sides.values())


class Scene:
    """A model and a batch of images x (B, D), as the estimators see them: in double precision."""

    def __init__(self, model, x, beta, rng):
        if not isinstance(model.posterior, GaussianPosterior):
            kind = type(model.posterior).__name__
            raise ValueError(f"the estimators need the gaussian posterior, and the model has {kind}")
        self.model, self.x, self.beta, self.rng = model, x, beta, rng
        self.q = [head.astype(np.float64) for head in model.encode(x)]  # mu, logvar: (B, L) each
        self.f, self.df = (_in_blocks(g, max(1, evaluation.ROWS // len(x))) for g in model.cost(x))
        self.metric = encoder_metric(model, x)

    def kl(self):
        """KL(q || p) of each latent in nats, mean over images -> (L,)."""
        pairs = zip(*(head.T[..., None] for head in self.q), strict=True)  # mu, logvar (B, 1) of each latent
        return np.array([ops.gaussian_kl(mu, logvar).mean() for mu, logvar in pairs])

    def ways(self, n):
        """All estimators that are affordable here with n samples, pathwise first."""
        closed, inside = (partial(g, beta=self.beta) for g in (es.closed_form_kl, es.monte_carlo_kl))
        path, score = es.named("pathwise"), es.named("score-function")
        singles = {
            "pathwise": partial(closed, path),
            "pathwise, KL inside": partial(inside, path, zero_mean_term=True),
            "sticking-the-landing": partial(inside, path),
            "score-function": partial(closed, score),
            "score-function, KL inside": partial(inside, score, zero_mean_term=True),
            "score-function, KL without dlogq": partial(inside, score),
            "score-function-mean-baseline": partial(closed, self._with(es.mean_baseline, n)),
            "score-function-optimal-baseline": partial(closed, self._with(es.optimal_baseline, n)),
        }
        ways = [Way(name, estimate, n) for name, estimate in singles.items()]
        for name in ("pathwise-antithetic", "score-function-antithetic"):
            ways.append(Way(name, partial(closed, es.named(name)), n // 2, 2))
        ways.append(Way("leave-one-out", partial(closed, leave_one_out_groups), n // GROUP, GROUP, GROUP))
        few = min(n, 2 * n // self.q[0].shape[1])  # a sample takes 4 L evaluations: allow 8 on average
        if few >= LEAST:
            ways.append(Way("measure-valued", partial(closed, es.named("measure-valued", self.rng)), few))
        return ways

    def _with(self, baseline, samples):
        """The score function with a baseline from `samples` other draws, made before anything is timed."""
        known = baseline(self.f, *self.q, self.rng.standard_normal((samples, *self.q[0].shape)))
        return lambda f, df, mu, logvar, eps: es.score_function(f, mu, logvar, eps, known)

    def row(self, way, reference):
        """Draw from one way, and compare its mean with the reference."""
        row = self.draw(way)
        rounding = np.finfo(self.model.dtype).eps * reference.mean
        error = np.sqrt(row.variance / (row.draws * row.samples) + reference.variance + rounding**2)
        return row._replace(z=(row.mean - reference.mean) / np.maximum(error, np.finfo(float).tiny))

    def reference(self, pairs):
        """Quadrature for L of at most 2, else the mean of so many antithetic pairs."""
        if self.q[0].shape[1] <= 2:
            mean, error = (
                np.stack(part) for part in zip(*map(self._quadrature, range(len(self.x))), strict=True)
            )
            return Row(f"quadrature, error at most {error.max():.1e}", 1, 1, mean, error**2)
        row = self.draw(
            Way("", partial(es.closed_form_kl, es.named("pathwise-antithetic"), beta=self.beta), pairs)
        )
        squared = row.variance / pairs
        how = f"{pairs:,} antithetic pathwise pairs, standard error {np.sqrt(squared.mean()):.1e}"
        return row._replace(name=how, variance=squared)

    def draw(self, way):
        """All draws of a way -> Row without z."""
        B, L = self.q[0].shape
        way.estimate(self.f, self.df, *self.q, np.zeros((way.noises, B, L)))  # compiles what needs compiling
        eps = self.rng.standard_normal((way.draws * way.noises, B, L))
        started = time.perf_counter()
        grads = np.concatenate(way.estimate(self.f, self.df, *self.q, eps), axis=-1)  # (n, B, 2L)
        seconds = (time.perf_counter() - started) / (way.draws * way.samples * B)
        off = (grads - grads.mean(axis=0)).swapaxes(0, 1)  # (B, n, 2L)
        covariance = off.swapaxes(1, 2) @ off / (way.draws - 1)  # (B, 2L, 2L)
        variance = np.diagonal(covariance, axis1=1, axis2=2).reshape(B, 2, L)
        weights = way.samples * float((covariance * self.metric).sum())
        mean = grads.mean(axis=0).reshape(B, 2, L)
        return Row(way.name, way.draws, way.samples, mean, way.samples * variance, weights, seconds)

    def _quadrature(self, b):
        """The exact gradient of one image and its error, (2, L) each."""
        f, _ = self.model.cost(self.x[b : b + 1])
        mu, logvar = (head[b : b + 1] for head in self.q)
        exact = es.exact_gradient(_in_blocks(f, evaluation.ROWS), mu, logvar, NODES)
        kl = ops.gaussian_kl_backward(np.array([self.beta]), mu, logvar)
        return np.concatenate(exact[:2]) + np.concatenate(kl), np.repeat(exact.error, 2, axis=0)


# Let v (2L,) be the derivative with respect to one image's mu and logvar. Every layer's da = sum_i da_i v_i
# is linear in it, and dW of a layer with input h is the outer product of h and da; db is da:
#   |dW|^2 + |db|^2 = (|h|^2 + 1) |da|^2,    M_ij = sum over layers of (|h|^2 + 1) da_i . da_j
# The noise of two images is independent: the variance summed over all weights is sum_b tr(M_b Cov_b) / B^2.
def encoder_metric(model, x):
    """M / B^2 of every image, (B, 2L, 2L): v^T M v is the squared norm that v leaves at the weights."""
    B, L = len(x), model.latent_dim
    twin = model.astype(np.float64, "numpy")
    _, trace = twin.forward(x, np.zeros((B, L)))
    weights = np.ones(trace.nll.shape), np.zeros(trace.kl.shape)
    units = np.eye(2 * L).reshape(2 * L, 2, 1, 1, L) + np.zeros((B, 1))  # each: dmu, dlogvar (1, B, L)
    ds = [twin.backward(trace, weights, lambda f, df, *q, unit=unit: unit) for unit in units]
    total = np.zeros((B, 2 * L, 2 * L))
    for layer in (*twin.encoder, *twin.heads):
        h, _, y, activation = trace.caches[layer.name]
        da = np.stack([ops.activation_backward(d[layer.name], y, activation) for d in ds])  # (2L, B, H)
        total += ((h * h).sum(axis=1) + 1)[:, None, None] * np.einsum("ibh,jbh->bij", da, da)
    return total / B**2


def _in_blocks(g, size):
    """g, called on `size` samples of z (S, B, L) at a time."""
    return lambda z: np.concatenate([g(z[i : i + size]) for i in range(0, len(z), size)])


def leave_one_out_groups(f, df, mu, logvar, eps):
    """The mean of `leave_one_out` over groups of 8 noises: eps (n * 8, B, L) -> dmu, dlogvar (n, B, L).

    The samples of a group depend on each other, the groups do not; the estimator sees groups as more data.
    """
    B, L = mu.shape
    n = len(eps) // GROUP
    sets = np.tile(mu, (n, 1)), np.tile(logvar, (n, 1)), eps.reshape(GROUP, n * B, L)  # data: (n * B, L)

    def cost(z):
        return f(z.reshape(GROUP * n, B, L)).reshape(GROUP, n * B)

    return [grad.mean(axis=0).reshape(n, B, L) for grad in es.leave_one_out(cost, *sets)]

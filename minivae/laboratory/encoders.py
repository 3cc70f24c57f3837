"""The estimators on a VAE's own ELBO: how much each scatters at the encoder's outputs and at its weights.

A trained model and the same one before its first step see the same few test images. The gradient of
nll + beta kl by each image's mu and logvar is drawn again and again; the encoder carries every draw on to its
weights by a linear map, so that the same draws tell the variance in both places. Nothing is known in closed
form here: each estimator's mean is held against a reference, and z says whether it fits.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from .. import arguments, data, evaluation, ops
from .. import estimators as es
from ..distributions import GaussianPosterior
from ..runs import WEIGHTS, Run, build_model
from . import trials
from .encoder_report import Reference, Report, Row, Side

IMAGES = 16
SAMPLES = 2000  # of z, for each estimator and image
LEAST = 16  # samples: two draws of leave-one-out
GROUP = 8  # samples in one draw of leave-one-out
LONGER = 2  # antithetic pairs of the reference, for each sample of the others
NODES = 128  # of the quadrature, for each latent
EVALUATIONS = 8  # of f that measure-valued may take, for each sample of the others


class Way(NamedTuple):
    """One way to the gradient: estimate(f, df, mu, logvar, eps) -> dmu, dlogvar of n draws, (n, B, L)."""

    name: str
    estimate: Callable
    draws: int  # n
    samples: int = 1  # of z in one draw
    noises: int = 1  # eps is (n * noises, B, L)


def measure(folder, samples=None, seed=0, progress=lambda items, what: items):
    """The run in `folder`, trained and untrained, before up to 16 of its test images -> Report.

    samples: of z, for each estimator and image. `progress(items, text)` wraps the iteration.
    """
    samples = arguments.integer("samples", SAMPLES if samples is None else samples, at_least=LEAST)
    rng = arguments.seeded("seed", seed)
    run = Run.load(folder)
    images = run.data.x_test
    rows = np.unique(np.linspace(0, len(images) - 1, IMAGES).astype(int))
    x = data.minibatch(images[rows], run.config.pixels, rng, run.model.dtype)  # (B, D)
    untrained = build_model(run.config, run.model.data_dim, run.stream(WEIGHTS))
    untrained.start_output_at(data.pixel_mean(run.data.x_train, run.config.pixels))
    models = {"trained": run.model, "untrained": untrained}
    sides = compare(models, x, run.config.beta, samples, rng, progress)
    return Report(str(folder), len(x), run.config.beta, sides)


def compare(models, x, beta, samples, rng, progress=lambda items, what: items):
    """Every estimator on every model, {name: VAE}, before the images x (B, D) -> [Side]."""
    scenes = {name: Scene(model, x, beta, rng) for name, model in models.items()}
    references, rows = {}, {name: [] for name in scenes}
    jobs = [(name, way) for name, scene in scenes.items() for way in (None, *scene.ways(samples))]
    for name, way in progress(jobs, "estimators"):
        if way is None:
            references[name] = scenes[name].reference(LONGER * samples)
        else:
            rows[name].append(scenes[name].row(way, references[name]))
    return [Side(name, scene.kl(), references[name], rows[name]) for name, scene in scenes.items()]


class Scene:
    """A model before a batch of images x (B, D), as the estimators see it: in double precision."""

    def __init__(self, model, x, beta, rng):
        if not isinstance(model.posterior, GaussianPosterior):
            kind = type(model.posterior).__name__
            raise ValueError(f"the estimators need the gaussian posterior, and the model has {kind}")
        self.model, self.x, self.beta, self.rng = model, x, beta, rng
        self.q = [head.astype(np.float64) for head in model.encode(x)]  # mu, logvar: (B, L) each
        self.f, self.df = (_in_blocks(g, max(1, evaluation.ROWS // len(x))) for g in model.cost(x))
        self.roots = encoder_roots(model, x)  # (B, 2L, 2L)

    def kl(self):
        """KL(q || p) of each latent in nats, mean over images -> (L,)."""
        columns = zip(
            *(head.T[..., None] for head in self.q), strict=True
        )  # mu, logvar (B, 1) of each latent
        return np.array([ops.gaussian_kl(mu, logvar).mean() for mu, logvar in columns])

    # -------------------------------------------------------------------------- the estimators

    def ways(self, samples):
        """All that make sense here, pathwise first; measure-valued only where 4 L evaluations are few."""
        closed, inside = (partial(g, beta=self.beta) for g in (es.closed_form_kl, es.monte_carlo_kl))
        pathwise, score = es.named("pathwise"), es.named("score-function")
        singles = {
            "pathwise": partial(closed, pathwise),
            "pathwise, KL inside": partial(inside, pathwise, zero_mean_term=True),
            "sticking-the-landing": partial(inside, pathwise),
            "score-function": partial(closed, score),
            "score-function, KL inside": partial(inside, score, zero_mean_term=True),
            "score-function, KL without dlogq": partial(inside, score),
            "score-function-mean-baseline": partial(closed, self._with_baseline(es.mean_baseline, samples)),
            "score-function-optimal-baseline": partial(
                closed, self._with_baseline(es.optimal_baseline, samples)
            ),
        }
        ways = [Way(name, estimate, samples) for name, estimate in singles.items()]
        for at, name in ((1, "pathwise-antithetic"), (7, "score-function-antithetic")):
            ways.insert(at, Way(name, partial(closed, es.named(name)), samples // 2, samples=2))
        ways.append(
            Way("leave-one-out", partial(closed, leave_one_out_groups), samples // GROUP, GROUP, GROUP)
        )
        few = min(samples, EVALUATIONS * samples // (4 * self.q[0].shape[1]))
        if few >= LEAST:
            measure_valued = es.named("measure-valued", self.rng)
            ways.append(Way("measure-valued", partial(closed, measure_valued), few))
        return ways

    def _with_baseline(self, baseline, samples):
        """The score function with a baseline made from `samples` others, before anything is timed."""
        known = None

        def estimate(f, df, mu, logvar, eps):
            nonlocal known
            if known is None:
                known = baseline(f, mu, logvar, self.rng.standard_normal((samples, *mu.shape)))
            return es.score_function(f, mu, logvar, eps, known)

        return estimate

    # -------------------------------------------------------------------------- draws

    def row(self, way, reference):
        """Draw from one way, and hold its mean against the reference."""
        trial, weights = self._try(way)
        rounding = np.finfo(self.model.dtype).eps * abs(reference.gradient)
        error = np.sqrt(trial.variance / trial.n + reference.error**2 + rounding**2)
        return Row(
            way.name, trial.n, way.samples, trial.mean,
            variance=way.samples * trial.variance,
            weights=way.samples * weights,
            z=(trial.mean - reference.gradient) / np.maximum(error, np.finfo(float).tiny),
            seconds=trial.seconds / (way.samples * len(self.x)),
        )  # fmt: skip

    def reference(self, pairs):
        """Quadrature for L of at most 2, else the mean of so many antithetic pairs -> Reference."""
        if self.q[0].shape[1] <= 2:
            gradient, error = self._quadrature()
            excess, how = 0.0, f"quadrature by {NODES} nodes a latent, off by at most {error.max():.1e}"
        else:
            estimate = partial(es.closed_form_kl, es.named("pathwise-antithetic"), beta=self.beta)
            trial, weights = self._try(Way("", estimate, pairs))
            gradient, error, excess = trial.mean, trial.mean_error, weights / trial.n
            how = f"{pairs:,} antithetic pathwise pairs, standard error {math.sqrt((error**2).mean()):.1e}"
        return Reference(gradient, error, self._weights_norm2(gradient) - excess, how)

    def _try(self, way):
        """All draws of a way -> Trial of the gradient (B, 2, L), and its variance over all weights.

        The trial's seconds are those of one draw, what is done with it afterwards left out.
        """
        B, L = self.q[0].shape
        seconds = 0.0

        def draw(n):
            nonlocal seconds
            started = time.perf_counter()
            eps = self.rng.standard_normal((n * way.noises, B, L))
            grads = np.concatenate(way.estimate(self.f, self.df, *self.q, eps), axis=-1)  # (n, B, 2L)
            seconds += time.perf_counter() - started
            turned = (grads.swapaxes(0, 1) @ self.roots).swapaxes(0, 1)  # (n, B, 2L)
            return np.stack([grads, turned], axis=1)  # (n, 2, B, 2L)

        draw(1)  # whatever is compiled or known from now on
        seconds = 0.0
        trial = trials.run(draw, trials.chunks(way.draws, 4 * B * L * way.noises))
        weights = float(trial.variance[1].sum())
        mean, variance = (a[0].reshape(B, 2, L) for a in (trial.mean, trial.variance))
        return trials.Trial(trial.n, mean, variance, seconds / trial.n), weights

    def _quadrature(self):
        """The exact gradient and how far it may be off, (B, 2, L) each, an image at a time."""
        gradient, error = [], []
        for b in range(len(self.x)):
            f, _ = self.model.cost(self.x[b : b + 1])
            mu, logvar = (head[b : b + 1] for head in self.q)
            exact = es.exact_gradient(_in_blocks(f, evaluation.ROWS), mu, logvar, NODES)
            kl = ops.gaussian_kl_backward(np.array([self.beta]), mu, logvar)
            gradient.append(np.concatenate(exact[:2]) + np.concatenate(kl))
            error.append(np.repeat(exact.error, 2, axis=0))
        return np.stack(gradient), np.stack(error)

    def _weights_norm2(self, gradient):
        """(B, 2, L) at the encoder's outputs -> squared norm of the batch's gradient by all its weights."""
        grads = self.model.loss_and_grads(
            self.x,
            np.zeros(self.q[0].shape),
            beta=0.0,  # the kl is in `gradient`
            estimator=lambda f, df, mu, logvar, eps: (gradient[None, :, 0], gradient[None, :, 1]),
        )[1]
        layers = (*self.model.network.encoder, *self.model.network.heads)
        return sum(float((grads[f"{n}.{p}"].astype(np.float64) ** 2).sum()) for n in layers for p in "Wb")


def _in_blocks(g, size):
    """g, asked for `size` samples of z (S, B, L) at a time."""
    return lambda z: np.concatenate([g(z[i : i + size]) for i in range(0, len(z), size)])


def leave_one_out_groups(f, df, mu, logvar, eps):
    """The mean of `leave_one_out` over each 8 noises in a row: eps (n * 8, B, L) -> dmu, dlogvar (n, B, L).

    The samples of a group depend on each other, the groups do not; to the estimator they are more data.
    """
    B, L = mu.shape
    n = len(eps) // GROUP
    mu, logvar = np.tile(mu, (n, 1)), np.tile(logvar, (n, 1))  # (n * B, L)
    grads = es.leave_one_out(
        lambda z: f(z.reshape(GROUP * n, B, L)).reshape(GROUP, n * B),
        mu,
        logvar,
        eps.reshape(GROUP, n * B, L),
    )
    return [grad.mean(axis=0).reshape(n, B, L) for grad in grads]


# ------------------------------------------------------------------------------ from outputs to weights


# Let dheads (2L,) be the derivative by one image's mu and logvar. Every layer's da = sum_i da_i dheads_i is
# linear in it, and the derivative by W of a layer that takes h is the outer product of h and da; by b, da:
#   |dW|^2 + |db|^2 = (|h|^2 + 1) |da|^2 = dheads^T M dheads,    M_ij = (|h|^2 + 1) da_i . da_j
# With M summed over layers and M = R R^T, |R^T dheads| is the norm of the derivative by all weights. The
# noise of two images is independent, so the variances of their R^T dheads add up to the batch's.
def encoder_roots(model, x):
    """R / B of every image: |d^T R|^2 is the squared norm of what d (2L,) at its outputs does to the weights.

    x (B, D) -> (B, 2L, 2L), for the derivative of the mean loss by W and b of encoder and heads.
    """
    params = {name: param.astype(np.float64) for name, param in model.params.items()}
    *names, activation = *model.network.encoder, model.activation
    inputs = [x.astype(np.float64)]
    for name in names:
        y, _ = ops.dense_forward(inputs[-1], params[f"{name}.W"], params[f"{name}.b"], activation)
        inputs.append(y)  # (B, H)
    B, L2 = len(x), 2 * model.latent_dim
    M = _size(inputs[-1]) * np.eye(L2)  # (B, 2L, 2L): the heads' own weights
    W = np.concatenate([params[f"{head}.W"] for head in model.network.heads], axis=1)  # (H, 2L)
    dh = np.broadcast_to(W.T[:, None], (L2, B, len(W)))  # one direction after the other
    for name, h, y in zip(names[::-1], inputs[-2::-1], inputs[:0:-1], strict=True):
        da = ops.activation_backward(dh, np.broadcast_to(y, dh.shape), activation)  # (2L, B, H)
        M = M + _size(h) * np.einsum("ibh,jbh->bij", da, da)
        dh = da @ params[f"{name}.W"].T
    values, vectors = np.linalg.eigh(M)
    return vectors * np.sqrt(np.maximum(values, 0))[:, None] / B


def _size(h):
    """|h|^2 + 1 of each row, to stand before (2L, 2L): a layer's W and its b."""
    return ((h * h).sum(axis=1) + 1)[:, None, None]

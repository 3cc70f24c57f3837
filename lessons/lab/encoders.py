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

from minivae import data, evaluation, ops
from minivae import estimators as es
from minivae.distributions import GaussianPosterior
from minivae.runs import Run

from .costs import K, in_groups
from .show import Report, bars, canvas, count, number, over, style, table

IMAGES = 16
SAMPLES, LEAST = 2000, 2 * K  # of z, for each estimator and image
NODES = 128  # of the quadrature, for each latent
HEARD = ("pathwise", "sticking-the-landing", "leave-one-out", "score-function")  # in the panels of the SNR
LEGEND = f"""\
  variance    of one sample of z, mean over images and latents. A pair has 2 samples, leave-one-out {K}
  / pathwise  relative to pathwise's variance: how many samples are worth one pathwise sample, at the
              encoder's outputs mu and logvar; weights: at all its weights and biases, variances added
  SNR         root of (mean squared gradient / mean variance of one sample); weights: of the sums
  z           (mean - reference) in standard errors, root mean square over all outputs: about 1
  us, cost    microseconds of one sample of one image; weights / pathwise x time / pathwise"""
HEADS = ("variance\nmu", "\nlogvar", "/ pathwise\nmu", "\nlogvar", "\nweights", "SNR\nmu", "\nweights")


class Way(NamedTuple):
    """One estimator: estimate(f, df, mu, logvar, eps) -> dmu, dlogvar of n draws, (n, B, L) each."""

    estimate: Any
    draws: int  # n
    samples: int = 1  # of z in one draw
    noises: int = 1  # eps is (n * noises, B, L)


class Row(NamedTuple):
    """The draws of one estimator, or of the reference."""

    way: Way
    mean: np.ndarray  # (B, 2, L)
    variance: np.ndarray  # (B, 2, L) of one sample; of the reference, its squared error
    weights: float = 0.0  # variance of the batch's mean gradient, summed over all weights of the encoder
    seconds: float = 0.0  # of one sample of z for one image
    z: Any = None  # (B, 2, L): (mean - reference) / standard error of the difference


class Side(NamedTuple):
    """One model: the KL of its latents (L,), the reference, and a row for each estimator, pathwise first."""

    name: str
    kl: np.ndarray
    how: str  # the reference was made
    reference: Row
    norm: float  # of the reference's gradient at the encoder's weights, squared, less its own error
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
    samples = count("samples", SAMPLES if samples is None else samples, LEAST)
    rng = np.random.default_rng(count("seed", seed, 0))
    if not folder:
        raise ValueError("--model needs the name of a run folder, got ''")
    run = Run.load(folder)
    images, pixels, beta = run.data.x_test, run.config.pixels, run.config.beta
    rows = np.unique(np.linspace(0, len(images) - 1, IMAGES).astype(int))
    x = data.minibatch(images[rows], pixels, rng, run.model.dtype)  # (B, D)
    untrained = Run(run.config, run.data).model
    sides = compare({"trained": run.model, "untrained": untrained}, x, beta, samples, rng, progress)
    title = f"{folder}, {len(x)} test images: gradient of nll + {beta:g} KL(q || p) at the encoder, in nats"
    return report(title, sides)


def compare(models, x, beta, samples, rng, progress=lambda items: items):
    """Every estimator on every model, {name: VAE}, for the images x (B, D) -> [Side]."""
    scenes = {name: Scene(model, x, beta, rng) for name, model in models.items()}
    ways = [(name, *way) for name, scene in scenes.items() for way in scene.ways(samples).items()]
    sides = {}
    for name, estimator, way in progress(ways):
        side = sides[name] = sides.get(name) or scenes[name].side(name, 2 * samples)
        side.rows[estimator] = scenes[name].row(way, side.reference)
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
        self.twin = model.astype(np.float64, "numpy")
        self.metric = self.encoder_metric()

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
        ways = {name: Way(estimate, n) for name, estimate in singles.items()}
        for name in ("pathwise-antithetic", "score-function-antithetic"):
            ways[name] = Way(partial(closed, es.named(name)), n // 2, 2)
        ways["leave-one-out"] = Way(partial(closed, in_groups), n // K, K, K)
        few = min(n, 2 * n // self.q[0].shape[1])  # a sample takes 4 L evaluations: allow 8 on average
        if few >= LEAST:
            ways["measure-valued"] = Way(partial(closed, es.named("measure-valued", self.rng)), few)
        return ways

    def _with(self, baseline, samples):
        """The score function with a baseline from `samples` other draws, made before anything is timed."""
        known = baseline(self.f, *self.q, self.rng.standard_normal((samples, *self.q[0].shape)))
        return lambda f, df, mu, logvar, eps: es.score_function(f, mu, logvar, eps, known)

    def row(self, way, reference):
        """Draw from one way, and compare its mean with the reference."""
        row = self.draw(way)
        rounding = np.finfo(self.model.dtype).eps * reference.mean
        error = np.sqrt(row.variance / (way.draws * way.samples) + reference.variance + rounding**2)
        return row._replace(z=(row.mean - reference.mean) / np.maximum(error, np.finfo(float).tiny))

    def side(self, name, pairs):
        """The model without rows; the reference by quadrature for L of at most 2, else by so many pairs."""
        if self.q[0].shape[1] <= 2:
            each = zip(*map(self._quadrature, range(len(self.x))), strict=True)
            mean, error = (np.stack(part) for part in each)
            row, how = Row(None, mean, error**2), f"quadrature, error at most {error.max():.1e}"
        else:
            estimate = partial(es.closed_form_kl, es.named("pathwise-antithetic"), beta=self.beta)
            row = self.draw(Way(estimate, pairs))
            row = row._replace(variance=row.variance / pairs, weights=row.weights / pairs)
            how = f"{pairs:,} antithetic pathwise pairs, standard error {np.sqrt(row.variance.mean()):.1e}"
        norm = sum((dW**2).sum() + (db**2).sum() for _, dW, db in self.encoder_gradients(row.mean))
        heads = (head.T[..., None] for head in self.q)  # mu, logvar (B, 1) of each latent
        kl = [ops.gaussian_kl(mu, logvar).mean() for mu, logvar in zip(*heads, strict=True)]
        return Side(name, np.array(kl), how, row, norm / len(self.x) ** 2 - row.weights, {})

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
        return Row(way, grads.mean(axis=0).reshape(B, 2, L), way.samples * variance, weights, seconds)

    def _quadrature(self, b):
        """The exact gradient of one image and its error, (2, L) each."""
        f, _ = self.model.cost(self.x[b : b + 1])
        mu, logvar = (head[b : b + 1] for head in self.q)
        exact = es.exact_gradient(_in_blocks(f, evaluation.ROWS), mu, logvar, NODES)
        kl = ops.gaussian_kl_backward(np.array([self.beta]), mu, logvar)
        return np.concatenate(exact[:2]) + np.concatenate(kl), np.repeat(exact.error, 2, axis=0)

    def encoder_gradients(self, v):
        """da (B, H), dW and db of every layer of the encoder, from v (B, 2, L) at its outputs."""
        _, trace = self.twin.forward(self.x, np.zeros(self.q[0].shape))
        weights = np.ones(trace.nll.shape), np.zeros(trace.kl.shape)
        d = self.twin.backward(trace, weights, lambda f, df, *q: v.swapaxes(0, 1)[:, None])
        for layer in (*self.twin.encoder, *self.twin.heads):
            h, _, y, activation = trace.caches[layer.name]
            da = ops.activation_backward(d[layer.name], y, activation)
            yield (h, da), d[f"{layer.name}.W"], d[f"{layer.name}.b"]

    # Let v (2L,) be the derivative with respect to one image's mu and logvar. Every layer's
    # da = sum_i da_i v_i is linear in it, and dW of a layer with input h is the outer product of h and da:
    #   |dW|^2 + |db|^2 = (|h|^2 + 1) |da|^2,    M_ij = sum over layers of (|h|^2 + 1) da_i . da_j
    # The noise of two images is independent: the variance summed over all weights is
    #   sum_b tr(M_b Cov_b) / B^2
    def encoder_metric(self):
        """M / B^2 of every image, (B, 2L, 2L): v^T M v is the squared norm that v leaves at the weights."""
        B, L = self.q[0].shape
        units = np.eye(2 * L).reshape(2 * L, 1, 2, L) + np.zeros((B, 1, 1))  # (2L, B, 2, L)
        total = 0
        for layer in zip(*map(self.encoder_gradients, units), strict=True):
            h, da = layer[0][0][0], np.stack([row[0][1] for row in layer])  # (B, in), (2L, B, out)
            total = total + ((h * h).sum(axis=1) + 1)[:, None, None] * np.einsum("ibh,jbh->bij", da, da)
        return total / B**2


def _in_blocks(g, size):
    """g, called on `size` samples of z (S, B, L) at a time."""
    return lambda z: np.concatenate([g(z[i : i + size]) for i in range(0, len(z), size)])


# ------------------------------------------------------------------------------ the report


def report(title, sides):
    """The table of each model, at most 120 columns wide; records by image, latent and parameter."""
    lines, records = [title, *LEGEND.splitlines()], []
    for side in sides:
        cells, plain = [], side.rows["pathwise"]
        for name, row in side.rows.items():
            own, base = (r.variance.mean(axis=(0, 2)) for r in (row, plain))
            snr = side.snr(name), np.sqrt(over(max(side.norm, 0), row.weights))
            cost = side.ratio(name) * over(row.seconds, plain.seconds)
            values = [*own, *over(own, base), side.ratio(name), *snr, np.sqrt((row.z**2).mean())]
            cells.append([name, *(number(float(v), 3) for v in (*values, 1e6 * row.seconds, cost))])
            records += records_of(side, name)
        lines += ["", f"{side.name.upper()}; reference: {side.how}"]
        lines += table(("estimator", *HEADS, "z", "us", "cost"), cells)
        if "measure-valued" not in side.rows:
            many = f"4 L = {4 * len(side.kl)} evaluations for a sample"
            lines.append(f"measure-valued is left out: it takes {many}")
        plain, others = (number(side.ratio(name), 3) for name in ("score-function", "leave-one-out"))
        worth = f"{plain} score-function samples without a baseline, {others} with leave-one-out"
        lines.append(f"{side.name.capitalize()}: one pathwise sample is worth {worth}.")
    return Report(lines, records, partial(figure_of, sides))


def records_of(side, name):
    """One estimator: a record for each image, latent and parameter, and one for the weights."""
    row, exact = side.rows[name], side.reference
    arrays = {
        "reference": exact.mean,
        "reference_error": np.sqrt(exact.variance),
        "mean": row.mean,
        "variance": row.variance,
        "variance_ratio": over(row.variance, side.rows["pathwise"].variance),
        "z": row.z,
        "snr": over(abs(exact.mean), np.sqrt(row.variance)),
    }
    which = {"kind": "model", "model": side.name, "estimator": name, "draws": row.way.draws}
    which |= {"samples_per_draw": row.way.samples, "seconds_per_sample": row.seconds}
    for b, i, l in np.ndindex(row.mean.shape):
        at = {"place": "outputs", "datum": b, "latent": l, "parameter": ("mu", "logvar")[i]}
        values = {k: float(array[b, i, l]) for k, array in arrays.items()}
        yield which | at | {"kl": float(side.kl[l])} | values
    yield which | {"place": "weights", "variance": row.weights, "variance_ratio": side.ratio(name)}


def figure_of(sides):
    """How many samples are worth one pathwise sample, and the signal-to-noise ratio of each latent."""
    figure, (panels,) = canvas(1, 1 + len(sides), (16, 5.6), width_ratios=(1.5, *[1] * len(sides)))
    series = {f"{side.name} VAE": {} for side in sides}
    for side, marks in zip(sides, series.values(), strict=True):
        for name, row in side.rows.items():
            ratios, worth = over(row.variance, side.rows["pathwise"].variance), side.ratio(name)
            ratios = ratios[np.isfinite(ratios) & (ratios > 0)]
            if np.isfinite(worth) and worth > 0 and ratios.size:
                marks[name] = (worth, *np.quantile(ratios, (0.25, 0.75)), number(worth, 3))
    unit = (
        "variance of one sample / pathwise's\nmark: at the encoder's weights. bar: middle half of its outputs"
    )
    bars(panels[0], sorted(sides[0].rows, key=sides[0].ratio), series, unit, line=1)
    panels[0].set_title("How many samples are worth one pathwise sample?")
    for axes, side in zip(panels[1:], sides, strict=True):
        axes.sharey(panels[1])
        order = np.argsort(-side.kl)
        for name in HEARD:
            snr = side.snr(name, axis=0)[order]
            axes.plot(1 + np.arange(len(order)), np.where(snr > 0, snr, np.nan), label=name, **style(name))
        axes.set_yscale("log")
        axes.axhline(1, color="black", linewidth=0.8, zorder=0)
        axes.set_title(f"{side.name} VAE: signal to noise of one sample", fontsize="medium")
        label = "|gradient with respect to mu| / standard deviation"
        axes.set(xlabel="latent, largest KL first", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[-1].legend(frameon=False, fontsize="small")
    return figure

"""What `encoders` found: the numbers by image and latent, the table and the records made of them."""

from typing import NamedTuple

import numpy as np

ACTIVE = 0.01  # nats of KL that a latent must have to be active
PARAMETERS = ("mu", "logvar")
LEGEND = """\
  variance    of one sample of z, mean over images and latents. A pair has 2 samples, leave-one-out 8
  / pathwise  over pathwise's variance: how many samples buy one pathwise sample, at the encoder's
              outputs mu and logvar; weights: at all its weights and biases, their variances added
  SNR         root of (mean squared gradient / mean variance of one sample); weights: of the sums
  z           (mean - reference) in standard errors, root mean square over all outputs: about 1
  us, cost    microseconds of one sample of one image; weights / pathwise x time / pathwise
  Baselines are made beforehand of other samples, untimed. The KL is in closed form unless its name
  says inside; dlogq there is its zero-mean term, which sticking-the-landing leaves out, too."""


class Reference(NamedTuple):
    """The gradient of nll + beta kl by mu and logvar, as well as it can be known."""

    gradient: np.ndarray  # (B, 2, L)
    error: np.ndarray  # (B, 2, L): a standard error, or how far a quadrature may be off
    norm2: float  # squared norm of the mean over images, carried to all weights of the encoder
    how: str

    @property
    def squares(self):
        """(B, 2, L): the gradient squared, less what its own error adds on average."""
        return self.gradient**2 - self.error**2


class Row(NamedTuple):
    """What the draws of one estimator said. A variance is that of one sample of z: the mean of S has 1/S."""

    name: str
    draws: int
    samples: int  # of z in one draw
    mean: np.ndarray  # (B, 2, L)
    variance: np.ndarray  # (B, 2, L)
    weights: float  # variance of the batch's mean gradient, summed over all weights of the encoder
    z: np.ndarray  # (B, 2, L): (mean - reference) / standard error of the difference
    seconds: float  # of one sample of z for one image

    @property
    def z_rms(self):
        """Root mean square of z over images, latents, mu and logvar: about 1 without a bias."""
        return float(np.sqrt((self.z**2).mean()))


class Side(NamedTuple):
    """One model: how much its latents know, the reference, and a row for each estimator, pathwise first."""

    name: str
    kl: np.ndarray  # (L,) nats, mean over images
    reference: Reference
    rows: list

    def row(self, name):
        """The row of that name; None if it was left out."""
        return next((row for row in self.rows if row.name == name), None)

    def ratios(self, row):
        """(B, 2, L): the variance over pathwise's, of each image and latent."""
        return over(row.variance, self.rows[0].variance)

    def output_ratio(self, row, parameter):
        """The mean variance over pathwise's mean variance, for mu (0) or logvar (1)."""
        own, pathwise = (r.variance[:, parameter].mean() for r in (row, self.rows[0]))
        return float(over(own, pathwise))

    def weights_ratio(self, row):
        """How many samples of it buy one pathwise sample, at the weights of the encoder."""
        return float(over(row.weights, self.rows[0].weights))

    def latent_snr(self, row, parameter=0):
        """(L,): root of mean squared gradient / mean variance of one sample, both means over images."""
        squares = self.reference.squares[:, parameter].mean(axis=0)
        return np.sqrt(over(np.maximum(squares, 0), row.variance[:, parameter].mean(axis=0)))

    def snr(self, row, latents=slice(None), parameter=0):
        """The same with both means over images and latents."""
        squares = self.reference.squares[:, parameter, latents].mean()
        return float(np.sqrt(over(max(squares, 0), row.variance[:, parameter, latents].mean())))

    def weights_snr(self, row):
        """Norm of the batch's gradient by all weights of the encoder / root of the variance of one sample."""
        return float(np.sqrt(over(max(self.reference.norm2, 0), row.weights)))


def over(a, b):
    """a / b; inf or nan where b is 0, without a warning."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(a, b)


class Report(NamedTuple):
    """What `encoders.measure` found."""

    folder: str
    images: int
    beta: float
    sides: list

    def lines(self):
        """The table of each model, at most 120 columns wide."""
        kl = "KL(q || p)" if self.beta == 1 else f"{self.beta:g} KL(q || p)"
        yield f"{self.folder}, {self.images} test images: the gradient of nll + {kl} in nats, by the encoder"
        yield from LEGEND.splitlines()
        for side in self.sides:
            yield ""
            yield from _table(side)

    def records(self):
        """A dictionary for each estimator, image, latent and parameter, and one for the encoder's weights."""
        return [record for side in self.sides for row in side.rows for record in _records(side, row)]

    def figure(self):
        """How many samples buy one pathwise sample, and the SNR of each latent."""
        from .encoder_chart import encoder_chart

        return encoder_chart(self)


# ------------------------------------------------------------------------------ the table


def _table(side):
    yield f"{side.name.upper()}; reference: {side.reference.how}"
    yield f"{'':<34}{'variance':>17}{'/ pathwise':>28}{'SNR':>16}"
    heads = f"{'mu':>9}{'logvar':>9}{'mu':>10}{'logvar':>10}{'weights':>10}{'mu':>8}{'weights':>8}"
    yield f"{'estimator':<34}{heads}{'z':>6}{'us':>7}{'cost':>9}"
    pathwise = side.rows[0]
    for row in side.rows:
        cells = "".join(f"{short(row.variance[:, i].mean()):>9}" for i in (0, 1))
        cells += "".join(f"{short(side.output_ratio(row, i)):>10}" for i in (0, 1))
        cells += f"{short(side.weights_ratio(row)):>10}"
        cells += f"{short(side.snr(row)):>8}{short(side.weights_snr(row)):>8}"
        cost = over(row.seconds, pathwise.seconds) * side.weights_ratio(row)
        yield f"{row.name:<34}{cells}{row.z_rms:>6.2f}{short(1e6 * row.seconds):>7}{short(cost):>9}"
    if side.row("measure-valued") is None:
        yield f"measure-valued is left out: it takes 4 L = {4 * len(side.kl)} evaluations for a sample"
    yield from _latents(side)
    yield finding(side)


def _latents(side):
    """The latents in use, and the others if there are any."""
    active = side.kl > ACTIVE
    for which, name in ((active, f"KL > {ACTIVE} nats"), (~active, f"KL <= {ACTIVE} nats")):
        if which.any():
            names = ("pathwise", "leave-one-out", "score-function")
            snr = ", ".join(f"{name} {short(side.snr(side.row(name), which))}" for name in names)
            yield f"{which.sum()} of {len(which)} latents have {name}; SNR of mu there: {snr}"


def finding(side):
    """What one pathwise sample is worth at the encoder's weights, in a sentence."""
    plain, others = (short(side.weights_ratio(side.row(n))) for n in ("score-function", "leave-one-out"))
    return (
        f"{side.name.capitalize()}: one pathwise sample is worth {plain} score-function samples "
        f"without a baseline, {others} with leave-one-out."
    )


def short(value):
    """Three digits, with commas and without powers of ten up to a million: 7860 -> 7,860."""
    if not np.isfinite(value) or value == 0 or not 1e-3 <= abs(value) < 999_500:
        return f"{value:.2g}" if value == 0 or not np.isfinite(value) else f"{value:.1e}"
    digits = 2 - int(np.floor(np.log10(abs(value))))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


# ------------------------------------------------------------------------------ the records


def _records(side, row):
    how = {"draws": row.draws, "samples_per_draw": row.samples, "seconds_per_sample": row.seconds}
    ratios, reference = side.ratios(row), side.reference
    for (b, i, l), variance in np.ndenumerate(row.variance):
        at = b, i, l
        yield {
            "kind": "model", "model": side.name, "estimator": row.name, "place": "outputs",
            "datum": b, "latent": l, "parameter": PARAMETERS[i], "kl": float(side.kl[l]),
            "reference": float(reference.gradient[at]), "reference_error": float(reference.error[at]),
            "mean": float(row.mean[at]), "z": float(row.z[at]),
            "variance": float(variance), "variance_ratio": float(ratios[at]),
            "snr": float(over(abs(reference.gradient[at]), np.sqrt(variance))),
        } | how  # fmt: skip
    yield {
        "kind": "model", "model": side.name, "estimator": row.name, "place": "weights",
        "reference": float(np.sqrt(max(reference.norm2, 0))),  # the norm of the gradient
        "variance": row.weights, "variance_ratio": side.weights_ratio(row), "snr": side.weights_snr(row),
    } | how  # fmt: skip

"""What `encoders` found, as a table for each model, records and a picture."""

from functools import partial

import numpy as np

from .show import Report, bars, canvas, number, over, style, table

HEARD = ("pathwise", "sticking-the-landing", "leave-one-out", "score-function")  # in the panels of the SNR
LEGEND = """\
  variance    of one sample of z, mean over images and latents. A pair has 2 samples, leave-one-out 8
  / pathwise  relative to pathwise's variance: how many samples are worth one pathwise sample, at the
              encoder's outputs mu and logvar; weights: at all its weights and biases, variances added
  SNR         root of (mean squared gradient / mean variance of one sample), for mu
  z           (mean - reference) in standard errors, root mean square over all outputs: about 1
  us, cost    microseconds of one sample of one image; weights / pathwise x time / pathwise"""


def report(title, sides):
    """The table of each model, at most 120 columns wide; records by image, latent and parameter."""
    lines, records = [title, *LEGEND.splitlines()], []
    for side in sides:
        first, cells, reference = side.rows["pathwise"], [], side.reference
        for name, row in side.rows.items():
            own, base = (r.variance.mean(axis=(0, 2)) for r in (row, first))
            cost = side.ratio(name) * over(row.seconds, first.seconds)
            values = [*own, *over(own, base), side.ratio(name), side.snr(name), np.sqrt((row.z**2).mean())]
            cells.append([name, *(number(float(v), 3) for v in (*values, 1e6 * row.seconds, cost))])
            arrays = {
                "reference": reference.mean,
                "reference_error": np.sqrt(reference.variance),
                "mean": row.mean,
            }
            arrays |= {
                "variance": row.variance,
                "variance_ratio": over(row.variance, first.variance),
                "z": row.z,
            }
            arrays |= {"snr": over(abs(reference.mean), np.sqrt(row.variance))}
            which = {"kind": "model", "model": side.name, "estimator": name, "draws": row.draws}
            which |= {"samples_per_draw": row.samples, "seconds_per_sample": row.seconds}
            for b, i, l in np.ndindex(row.mean.shape):
                at = {"place": "outputs", "datum": b, "latent": l, "parameter": ("mu", "logvar")[i]}
                values = {k: float(array[b, i, l]) for k, array in arrays.items()}
                records.append(which | at | {"kl": float(side.kl[l])} | values)
            sums = {"place": "weights", "variance": row.weights, "variance_ratio": side.ratio(name)}
            records.append(which | sums)
        heads = (
            "variance\nmu",
            "\nlogvar",
            "/ pathwise\nmu",
            "\nlogvar",
            "\nweights",
            "SNR\nmu",
            "z",
            "us",
            "cost",
        )
        lines += [
            "",
            f"{side.name.upper()}; reference: {reference.name}",
            *table(("estimator", *heads), cells),
        ]
        if "measure-valued" not in side.rows:
            lines.append(
                f"measure-valued is left out: it takes 4 L = {4 * len(side.kl)} evaluations for a sample"
            )
        plain, others = (number(side.ratio(name), 3) for name in ("score-function", "leave-one-out"))
        worth = f"{plain} score-function samples without a baseline, {others} with leave-one-out"
        lines.append(f"{side.name.capitalize()}: one pathwise sample is worth {worth}.")
    return Report(lines, records, partial(figure_of, sides))


def figure_of(sides):
    """How many samples are worth one pathwise sample, and the signal-to-noise ratio of each latent."""
    figure, (panels,) = canvas(1, 1 + len(sides), (16, 5.6), width_ratios=(1.5, *[1] * len(sides)))
    series = {}
    for side, colour in zip(sides, ("#0077bb", "#ee7733"), strict=False):
        marks = {}
        for name, row in side.rows.items():
            ratios, worth = over(row.variance, side.rows["pathwise"].variance), side.ratio(name)
            ratios = ratios[np.isfinite(ratios) & (ratios > 0)]
            if np.isfinite(worth) and worth > 0 and ratios.size:
                marks[name] = (worth, *np.quantile(ratios, (0.25, 0.75)), number(worth, 3))
        series[f"{side.name} VAE"] = colour, marks
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
        axes.set_title(f"{side.name} VAE: signal to noise of one sample")
        axes.set(
            xlabel="latent, largest KL first", ylabel="|gradient with respect to mu| / standard deviation"
        )
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[-1].legend(frameon=False, fontsize="small")
    return figure

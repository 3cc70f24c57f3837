"""Figures of lesson 7."""

import matplotlib
import numpy as np

from ..story import BLUE, GREEN, GREY, RED, STYLES, canvas

slide = matplotlib.rc_context({"font.size": 14, "axes.titlesize": 14})  # points, at the size shown


@slide
def nine_bugs(caught, bugs, checks):
    """Which of the bugs (rows) which of the checks (columns) finds, with the number that each check finds."""
    figure, axes = canvas(height=5.2, width=12.0)
    centred = {"ha": "center", "va": "center"}
    for (row, column), hit in np.ndenumerate(caught):
        box = {"boxstyle": "round,pad=0.25", "fc": BLUE, "ec": BLUE} if hit else None
        axes.text(column, row, "found" if hit else "·", color="white" if hit else GREY, bbox=box, **centred)
    for column, total in enumerate(caught.sum(axis=0)):
        axes.text(column, len(bugs), f"{total} of {len(bugs)}", weight="bold", **centred)
    axes.axhline(len(bugs) - 0.5, color=GREY, linewidth=0.8)
    axes.set(xlim=(-0.6, len(checks) - 0.4), ylim=(len(bugs) + 0.5, -0.5))
    axes.set_title("A gradient check finds three bugs of nine")
    axes.set_yticks(range(len(bugs) + 1), [*bugs, "found"])
    axes.set_xticks(range(len(checks)), checks)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


@slide
def ten_digits(course, switch, limit, rows):
    """nll and kl (steps, 2) before and after the switch to a mean over pixels; rows of ten digits by name."""
    figure, _ = canvas(height=7.4, width=10.0)
    figure.clear()
    above, below = figure.subplots(2, 1, height_ratios=(1.15, 1))
    for column, colour, name, height in ((0, BLUE, "nll", 25), (1, RED, "kl", 2)):
        mean = np.convolve(course[:, column], np.ones(50) / 50, "valid")
        above.plot(np.arange(len(mean)) + 50, mean, color=colour, linestyle=STYLES[colour], linewidth=2.5)
        above.text(1500, height, name, color=colour, ha="center")
    above.axhline(limit, color=GREEN, linestyle=STYLES[GREEN])
    above.text(1500, 1.3 * limit, "limit of a decoder that ignores z", color=GREEN, ha="center")
    above.axvline(switch, color=GREY, linewidth=1)
    for at, words in ((switch / 2, "sum over pixels"), ((switch + len(course)) / 2, "mean over pixels")):
        above.text(at, 0.06, words, ha="center")
    above.set(xlabel="step", ylabel="nats per image", yscale="log", ylim=(0.003, 1500), xlim=(0, len(course)))
    above.set_title("With a mean over pixels the kl falls to nearly 0")
    above.spines[["top", "right"]].set_visible(False)
    sheet = np.vstack([np.hstack(images.reshape(10, 28, 28)) for images in rows.values()])
    below.imshow(sheet.round(2), cmap="gray_r", vmin=0, vmax=1)
    below.set(xticks=[], title="The decoder's mean at z = mu")
    below.set_yticks(14 + 28 * np.arange(len(rows)), rows)
    below.tick_params(length=0)
    below.spines[:].set_visible(False)
    return figure

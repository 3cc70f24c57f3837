"""Figures of lesson 8."""

import matplotlib
import numpy as np

from minivae import plots

from ..story import BLUE, GREEN, GREY, RED, STYLES, canvas

slide = matplotlib.rc_context({"font.size": 14, "axes.titlesize": 14})  # points, at the size shown


def running(axes, losses, colour, label, wide=20):
    """A running mean over `wide` steps, with its label at the end."""
    mean = np.convolve(losses, np.ones(wide) / wide, "valid")
    axes.plot(np.arange(len(mean)) + wide, mean, color=colour, linestyle=STYLES[colour], linewidth=2.5)
    axes.text(1.02 * len(losses), mean[-1], label, color=colour, va="center")


@slide
def curves(course, tested):
    """loss, nll, kl of every step (steps, 3), and the loss on the test set after each of the epochs."""
    figure, axes = canvas(height=4.6, width=9.0)
    for column, colour, name in ((0, BLUE, "loss"), (1, RED, "nll"), (2, GREEN, "kl")):
        running(axes, course[:, column], colour, name)
    ends = len(course) / len(tested) * np.arange(1, len(tested) + 1)
    axes.plot(ends, tested, "o", color="black", markersize=8)
    axes.annotate("loss on the test set", (ends[1], tested[1]), (ends[1], 165), ha="center",
                  arrowprops={"arrowstyle": "-"})  # fmt: skip
    axes.set(xlabel="step", ylabel="nats per image", ylim=(0, 220), xlim=(0, 1.12 * len(course)))
    axes.set_title("The loss and the nll fall, the kl rises")
    return figure


@slide
def plane(mu, labels, centres, means):
    """mu (N, 2) by label with the digits' centres (10, 2); means (k * k, D) over the same square of z."""
    side = int(np.sqrt(len(means)))
    figure, (left, right) = canvas(2, height=6.2, width=12.0)
    for digit, colour in enumerate(plots.DIGITS):
        left.plot(*mu[labels == digit].T, ".", color=colour, markersize=4, alpha=0.7)
    for digit, place in enumerate(plots.apart(centres, 0.4)):
        box = {"boxstyle": "circle,pad=0.15", "fc": "white", "ec": plots.DIGITS[digit], "lw": 2}
        left.text(*place, digit, color=plots.DIGITS[digit], weight="bold", ha="center", va="center", bbox=box)
    sheet = plots.tile(means.round(1), (28, 28), columns=side, gap=0)
    right.imshow(sheet, cmap="gray_r", vmin=0, vmax=1, extent=(-3, 3, -3, 3), interpolation="nearest")
    left.set_title("Codes of test images: the encoder saw no label")
    right.set_title("The decoder's mean over the same square")
    for axes in (left, right):
        plots.draw_circles(axes, (1, 2))
        axes.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    return figure


@slide
def race(courses, title):
    """The loss of each step (steps,) by name."""
    figure, axes = canvas(height=4.6, width=9.0)
    colours = (GREY, GREEN, RED, BLUE)[-len(courses) :]
    for (name, losses), colour in zip(courses.items(), colours, strict=True):
        running(axes, losses, colour, name)
    places = np.array([(0, text.get_position()[1]) for text in axes.texts])
    for text, (_, height) in zip(axes.texts, plots.apart(places, 14), strict=True):
        text.set_y(height)
    steps = max(map(len, courses.values()))
    axes.set(
        xlabel="step", ylabel="loss, nats per image", ylim=(115, 355), xlim=(0, 1.5 * steps), title=title
    )
    axes.set_xticks(range(0, steps + 1, 50))
    return figure

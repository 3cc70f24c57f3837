"""Figures of lesson 4: a loss in logits and through p, and the arrays of a decoder with their derivatives."""

import numpy as np

from ..story import BLUE, GREEN, GREY, RED, STYLES
from .slide import TEXT, label, slide

COLOURS = BLUE, RED, GREEN, GREY


def logits(l, errors, slopes):
    """The error of a loss and its derivative (n,) against the logit l, for each way to compute them."""
    titles = "Through p the loss loses its digits", "Where the derivative is right"
    figure, (left, right) = slide(titles, width=12)
    ends = {RED: (37.3, 0.6), GREEN: (12.5, 60)}
    for error, colour in list(zip(errors.values(), COLOURS, strict=True))[::-1]:
        seen = np.isfinite(error) & (error > 0)
        left.semilogy(l[seen], error[seen], ".", color=colour, ms=4)
        if colour in ends:
            left.plot(l[seen][-1], error[seen][-1], "s", color=colour, ms=10)
            label(left, *ends[colour], "then infinite", colour, va="center")
    label(left, 19, 1e-14, "from logits", BLUE)
    left.set(xlabel="logit l, where x = 0", ylabel="error, nats", ylim=(1e-17, 1e4), xlim=(9, 46.5))
    left.set_yticks([1e-15, 1e-10, 1e-5, 1])
    rows = list(range(len(slopes)))[::-1]
    for row, (name, slope), colour in zip(rows, slopes.items(), COLOURS, strict=True):
        right_until = l[np.abs(slope - 1) < 1e-2].max()
        right.barh(row, right_until - l[0], left=l[0], height=0.35, color=colour)
        if right_until < l[-1]:
            after = "nan" if np.isnan(slope[-1]) else f"{slope[-1]:g}"
            label(right, right_until + 0.8, row, f"then {after}", colour, va="center")
        label(right, l[0], row + 0.22, name, colour, va="bottom")
    right.set(xlabel="logit l, where x = 0", yticks=[], ylim=(-0.4, 3.8), xlim=(9, 46))
    right.spines["left"].set_visible(False)
    return figure


def shapes(steps, title):
    """A chain of arrays: (array, the operation on it, its other inputs, their derivatives), each a text."""
    figure, graph = slide((title,), height=4.2, width=13)
    graph.set(xlim=(-0.1, 3 * len(steps) - 1.4), ylim=(-1.75, 1.75))
    graph.set_axis_off()
    style = {"ha": "center", "va": "center", "fontsize": TEXT}
    for k, (array, operation, above, below) in enumerate(steps):
        at = 3 * k + 0.75  # the middle of the arrows; the box is 1.5 further right
        texts = [(at, 0.5, array, BLUE), (at, -0.5, f"d{array}", RED), (at + 1.5, 0, operation, "black")]
        texts += [(at + 1.5, 1.4, above, BLUE), (at + 1.5, -1.4, below, RED)]
        arrows = [(at - 0.7, 0.15, 1.4, 0, BLUE), (at + 0.7, -0.15, -1.4, 0, RED)]
        arrows += [(at + 1.5, 1.05, 0, -0.5, BLUE)] if above else []
        arrows += [(at + 1.5, -0.55, 0, -0.5, RED)] if below else []
        if operation:
            graph.bar(at + 1.5, 1, width=1.5, bottom=-0.5, fc="white", ec="black")
        for u, v, text, colour in texts:
            graph.text(u, v, text, color=colour, **style)
        for u, v, du, dv, colour in arrows:
            line = {"arrowstyle": "->", "color": colour, "ls": STYLES[colour], "lw": 1.8}
            graph.annotate("", (u + du, v + dv), (u, v), arrowprops=line)
    return figure

"""Figures of lesson 16."""

import numpy as np

from ..story import BLUE, GREY, RED, canvas

SIZE = 14  # points


def histograms(scores, labels, auc):
    """Scores of the test images (N,) by the digit left out: normal ones and that digit, with the AUC."""
    figure, panels = canvas(len(scores), height=3.6, width=11.0)
    edges = np.linspace(20, 320, 31)
    for axes, (digit, score) in zip(panels, scores.items(), strict=True):
        for colour, mask in ((BLUE, labels != digit), (RED, labels == digit)):
            share, _ = np.histogram(score[mask], edges, density=True)
            style = {"fill": True, "alpha": 0.45} if colour == BLUE else {"lw": 2.5}
            axes.stairs(100 * share, edges, color=colour, **style)
        axes.set_title(f"trained without {digit}: AUC {auc(score, digit):.2f}", fontsize=SIZE)
        axes.set_xlabel("negative ELBO, nats", fontsize=SIZE)
        axes.tick_params(labelsize=SIZE)
        axes.set_ylim(0, 4)
    panels[0].set_ylabel("% of images per nat", fontsize=SIZE)
    panels[0].text(95, 1.4, "known\ndigits", color=BLUE, fontsize=SIZE, ha="right")
    panels[1].text(55, 0.75, "1s", color=BLUE, fontsize=SIZE, ha="center")
    for axes, digit, place in zip(panels, scores, ((185, 1.5), (185, 1.3), (115, 3.0)), strict=True):
        axes.text(*place, f"{digit}s", color=RED, fontsize=SIZE)
    return figure


def outlines(lengths, score, labels, blank):
    """Score against length of outline for 1,000 test images, the model trained without 1."""
    figure, axes = canvas(height=4.6, width=8.0)
    lengths, score, labels = lengths[:1000], score[:1000], labels[:1000]
    for colour, mask, marker in ((GREY, labels != 1, "."), (RED, labels == 1, "x")):
        axes.plot(lengths[mask], score[mask], marker, color=colour, markersize=6, alpha=0.8)
    axes.plot(0, blank, "s", color=BLUE, markersize=9)
    axes.annotate("blank page", (0, blank), (12, blank - 28), color=BLUE, fontsize=SIZE)
    axes.text(28, 165, "1s, never seen", color=RED, fontsize=SIZE)
    axes.text(118, 70, "known digits", color=GREY, fontsize=SIZE)
    axes.set_xlabel("length of the outline, pairs of pixels", fontsize=SIZE)
    axes.set_ylabel("negative ELBO, nats", fontsize=SIZE)
    axes.tick_params(labelsize=SIZE)
    axes.set_ylim(0, 320)
    axes.set_title("The score grows with the outline", fontsize=SIZE)
    return figure

"""Figures of lesson 12."""

import numpy as np
from matplotlib.patches import Circle, Ellipse

from minivae import plots

from ..story import canvas

SIZE = 14  # points


def latent_planes(planes, labels):
    """title -> terms, mu (N, 2), std (N, 2): a dot for each mu, ellipses of some q, a circle of the prior."""
    figure, panels = canvas(len(planes), height=4.4, width=12)
    for axes, (title, (_, mu, std)) in zip(panels, planes.items(), strict=True):
        for digit, colour in enumerate(plots.DIGITS):
            axes.plot(*mu[:2000][labels[:2000] == digit].T, ".", color=colour, markersize=3, alpha=0.5)
        for centre, radius, digit in zip(mu[:60], std[:60], labels[:60], strict=True):
            colour = plots.DIGITS[digit]
            axes.add_patch(Ellipse(centre, *(2 * radius), fill=False, color=colour, lw=1))
        wide = max(3.3, 1.05 * np.quantile(np.abs(mu), 0.999))
        if mu.std() > 0.1:  # otherwise all digits are at the same place
            middles = np.array([np.median(mu[labels == digit], axis=0) for digit in range(10)])
            for digit, middle in enumerate(plots.apart(middles, 0.17 * wide)):
                colour = plots.DIGITS[digit]
                box = {"boxstyle": "circle,pad=0.1", "fc": "white", "ec": colour}
                axes.text(*middle, digit, fontsize=SIZE, color=colour, ha="center", va="center", bbox=box)
        axes.add_patch(Circle((0, 0), 2, fill=False, color="black", lw=2, ls="--", zorder=9))
        axes.set(xlim=(-wide, wide), ylim=(-wide, wide), aspect="equal")
        axes.set_title(title, fontsize=SIZE)
        axes.set_xlabel("$z_1$", fontsize=SIZE)
        axes.tick_params(labelsize=SIZE)
    panels[1].text(0, 2.2, "prior, 2 standard deviations", fontsize=SIZE, ha="center")
    panels[1].text(0, -2.6, "each q, 1 standard deviation", fontsize=SIZE, ha="center")
    panels[0].set_ylabel("$z_2$", fontsize=SIZE)
    return figure

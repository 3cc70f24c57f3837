"""The figures of lesson 19."""

from ..story import BLUE, GREY, RED
from .slide import label, slide


def ladder(scores):
    """A point for each exact -log p(x), and an interval for the VAE: from its tighter bound to its -ELBO."""
    figure, axes = slide(["The gap of the bound hides which model is better"], height=3.4, width=10)
    *exact, (_, elbo), (_, tighter) = scores.items()
    for y, (name, score) in enumerate(exact):
        axes.plot(score, -y, "o", color=BLUE, markersize=11)
        label(axes, score + 0.35, -y, f"{name}: {score:.1f}, exact", BLUE, va="center")
    y = -len(exact)
    axes.plot([tighter, elbo], [y, y], color=RED, lw=5, solid_capstyle="butt")
    axes.plot([tighter, elbo], [y, y], "|", color=RED, markersize=18, markeredgewidth=3)
    words = f"VAE: below {tighter:.1f} (K = 50), by the -ELBO {elbo:.1f}"
    label(axes, elbo + 0.35, y, words, RED, va="center")
    axes.axvline(scores["logistic"], color=GREY, lw=1.5, ls=":")
    axes.set(xlim=(38, 56), ylim=(y - 0.6, 0.6), yticks=[], xlabel="-log p(x), nats per image")
    axes.spines["left"].set_visible(False)
    return figure

"""Empty figures for a slide: text of 14 points on a page 10 inches wide, labels beside the curves."""

from ..story import canvas

TEXT = 14  # points


def slide(titles, height=4.2, width=None):
    """A figure with a panel for each title -> Figure, one axes or an array of them."""
    figure, axes = canvas(len(titles), height, width or (7 if len(titles) == 1 else 11))
    for panel, title in zip(figure.axes, titles, strict=True):
        panel.set_title(title, loc="left", fontsize=TEXT)
        panel.tick_params(labelsize=TEXT)
        panel.xaxis.label.set_fontsize(TEXT)
        panel.yaxis.label.set_fontsize(TEXT)
    return figure, axes


def label(panel, x, y, text, colour="black", **options):
    """Text at a point of the panel, in the colour of what it names."""
    panel.text(x, y, text, color=colour, fontsize=TEXT, **options)

"""The heat-map of a report: which entries of which derivative are wrong, and by how much."""

import math

import numpy as np
from matplotlib.figure import Figure

COLUMNS = 4
LOWEST, HIGHEST = -16, 0  # decades of the relative error


def heat_maps(report):
    """A Figure with one panel a row: log10 of the error over the tensor's largest entry, grey: not asked."""
    rows = max(1, math.ceil(len(report.rows) / COLUMNS))
    figure = Figure(figsize=(11.0, 1.9 * rows + 0.8), layout="constrained")
    panels = np.reshape(figure.subplots(rows, COLUMNS, squeeze=False), -1)
    for axes in panels:
        axes.set_axis_off()
    image = None
    for axes, row in zip(panels, report.rows, strict=False):
        image = axes.imshow(
            decades(row.map),
            vmin=LOWEST,
            vmax=HIGHEST,
            cmap="inferno",
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_facecolor("0.8")
        axes.set_axis_on()
        axes.set(xticks=[], yticks=[])
        mark = "" if row.ok else "  WRONG"
        axes.set_title(
            f"d{row.name} [{row.term}]{mark}", fontsize="x-small", color="black" if row.ok else "#cc3311"
        )
    if image is not None:
        figure.colorbar(image, ax=panels.tolist(), label="log10 of the relative error", shrink=0.8)
    figure.suptitle(report.title, fontsize="small")
    return figure


def decades(error):
    """Relative errors of any shape -> a matrix of their logarithms; what is not finite stands out as 1."""
    matrix = error.reshape(error.shape[0], -1) if error.ndim > 1 else error.reshape(1, -1)
    logs = np.log10(np.clip(matrix, 10.0**LOWEST, 1.0))
    return np.ma.masked_invalid(logs)

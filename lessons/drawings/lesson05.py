"""Figures of lesson 5."""

import matplotlib

from ..story import BLUE, GREEN, GREY, RED, STYLES, canvas

slide = matplotlib.rc_context({"font.size": 14, "axes.titlesize": 14})  # points, at the size shown

CURVES = {  # colour, and where the label is
    "forward": (BLUE, 8e-8, 3e-4),
    "central": (RED, 1e-14, 2e-8),
    "central, float32": (GREY, 3e-13, 3e-2),
    "complex step": (GREEN, 1e-12, 3e-15),
}
PREDICTED = {  # where the label is
    "truncation $h f''/2$": (3e-16, 3e-12),
    "truncation $h^2 f'''/6$": (1.5e-7, 1.5e-15),
    "rounding $u |f| / h$": (5e-5, 3e-11),
}

# the derivatives of a VAE from the loss (right) to the first layer (left): the words of a node, its place and
# the rows of a report that it shows, by their names, and by their term of the loss if that matters
NODES = {
    "dnll": ("dnll", 8.6, 3, "nll"),
    "dlogits": ("dlogits", 7.3, 3, "logits"),
    "output": ("dW, db\nof output", 7.3, 1.8, "output.W output.b"),
    "dh": ("dh of\ndecoder", 6.0, 3, "decoder1"),
    "decoder": ("dW, db\nof decoder", 6.0, 1.8, "decoder1.W decoder1.b"),
    "dz": ("dz", 5.05, 3, "z"),
    "dkl": ("dkl", 4.7, 1.5, "kl"),
    "dmu": ("dmu\nof nll", 3.4, 3, "mu", "reconstruction"),
    "dmu_kl": ("dmu\nof kl", 3.4, 2, "mu", "kl"),
    "dlogvar_kl": ("dlogvar\nof kl", 3.4, 1, "logvar", "kl"),
    "dlogvar": ("dlogvar\nof nll", 3.4, 0, "logvar", "reconstruction"),
    "mu": ("dW, db\nof mu", 1.9, 3, "mu.W mu.b"),
    "dh_encoder": ("dh of\nencoder", 1.9, 1.5, "encoder1"),
    "logvar": ("dW, db\nof logvar", 1.9, 0, "logvar.W logvar.b"),
    "encoder": ("dW, db\nof encoder", 0.5, 1.5, "encoder1.W encoder1.b"),
}
EDGES = """dnll-dlogits dlogits-output dlogits-dh dh-decoder dh-dz dz-dmu dz-dlogvar dkl-dmu_kl dkl-dlogvar_kl
dmu-mu dmu_kl-mu dmu-dh_encoder dmu_kl-dh_encoder dlogvar-logvar dlogvar_kl-logvar dlogvar-dh_encoder
dlogvar_kl-dh_encoder dh_encoder-encoder"""


@slide
def u_curve(steps, curves, predicted):
    """Errors (n,) of four slopes against the step, and the predicted branches (n,), by their names."""
    figure, axes = canvas(height=4.8, width=9.0)
    for name, curve in curves.items():
        colour, *place = CURVES[name]
        axes.loglog(steps, curve, color=colour, linestyle=STYLES[colour], linewidth=2.5)
        axes.text(*place, name, color=colour, va="top")
    for name, branch in predicted.items():
        axes.loglog(steps, branch, color="black", linewidth=0.8, zorder=0)
        axes.text(*PREDICTED[name], name, va="top")
    axes.set(ylim=(2e-17, 4), xlim=(1e-16, 1), xlabel="step h", ylabel="relative error of the slope")
    axes.set_title("A difference has a best step; the complex step needs none")
    return figure


@slide
def backward_passes(reports):
    """The backward pass of a VAE for each title -> report: what is wrong is red, with a thick frame."""
    figure, _ = canvas(height=8.4, width=11.0)
    figure.clear()
    for axes, (title, report) in zip(figure.subplots(2, 1), reports.items(), strict=True):
        axes.set(xlim=(-0.2, 9.1), ylim=(-0.6, 3.5))
        axes.set_axis_off()
        axes.set_title(title, loc="left", weight="bold")
        boxes = {}
        for name, (words, u, v, *rows) in NODES.items():
            wrong = any(not row.ok for row in report.rows if shows(rows, row))
            box = {"boxstyle": "round,pad=0.3", "fc": RED if wrong else "white"}
            box |= {"ec": "black" if wrong else BLUE, "lw": 3 if wrong else 1}
            place = {"ha": "center", "va": "center", "color": "black" if wrong else BLUE}
            boxes[name] = axes.text(u, v, words, bbox=box, **place).get_bbox_patch()
            if shows(rows, report.first):
                axes.text(u, v - 0.62, "first wrong", weight="bold", ha="center", va="center")
        for edge in EDGES.split():
            start, end = edge.split("-")
            style = {"arrowstyle": "->", "color": GREY, "lw": 1.5}
            style |= {"patchA": boxes[start], "patchB": boxes[end]}
            axes.annotate("", NODES[end][1:3], NODES[start][1:3], arrowprops=style, zorder=0)
    return figure


def shows(rows, row):
    """Whether the rows of a node, names and perhaps a term, have a row of the report among them."""
    names, *term = rows
    return row.name in names.split() and (not term or row.term in term)

"""The report of `costs` in pictures: exact lines, measured points, and where the lines cross."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .costs import DIM_GRID, PARAMETERS, SWEEPS
from .known_costs import K

# colour, line, marker: dashes for the antithetic and the uncoupled; apart in print and for the colour-blind
STYLES = {
    "pathwise": ("#0077bb", "-", "o"),
    "pathwise-antithetic": ("#0077bb", "--", "o"),
    "sticking-the-landing": ("#33bbee", "-", "h"),
    "score-function": ("#cc3311", "-", "s"),
    "score-function-antithetic": ("#cc3311", "--", "s"),
    "score-function-zero-mean-term": ("#882255", ":", "X"),
    "score-function-mean-baseline": ("#ee7733", "-", "^"),
    "score-function-optimal-baseline": ("#aa4499", "-", "v"),
    "leave-one-out": ("#ddaa33", "-", "D"),
    "measure-valued": ("#000000", "-", "P"),
    "measure-valued-uncoupled": ("#000000", "--", "P"),
}


FLOOR = 1e-12  # of the largest variance: what is below is zero, and has no place on a log scale
MARK = "#333333"
DECADES = 4.5  # that a panel with a swept parameter shows below its highest line
PLAIN = {
    "quadratic": "$a z^2 + b z + c$",
    "cos": r"$\cos(k z)$",
    "exp": r"$\exp(-k z^2)$",
    "kl": r"$\log q(z) - \log N(z; 0, 1)$",
}


def cost_chart(report):
    """Above: variance against the cost's parameter. Below: against dimension. Left by mu, right by logvar."""
    cost = report.cost
    swept, grid, _ = SWEEPS[cost.name]
    figure = Figure(figsize=(11, 8.8), layout="constrained")
    axes = figure.subplots(2, 2, sharex="row")
    for panels, (name, values) in zip(axes, ((swept, grid), ("dim", DIM_GRID)), strict=True):
        exact = _exact(cost, name, values)
        for part, (panel, parameter) in enumerate(zip(panels, PARAMETERS, strict=True)):
            lines = {estimator: variances[:, part] for estimator, variances in exact.items()}
            points = [row for row in report.sweeps[name] if row.parameter == parameter]
            _draw(panel, name, values, lines, points)
            if name == "dim":
                _guides(panel, lines)
            else:
                _crossings(panel, cost, swept, part, values, lines)
            _finish(panel, name, parameter, cost)
    _legend(figure, cost)
    figure.suptitle(f"How much each estimator of the gradient of E f(z) scatters: f(z) = {PLAIN[cost.name]}")
    return figure


def _exact(cost, name, values):
    """The variance of a sample at every value of one parameter -> {estimator: (values, 2)}."""
    kind = type(getattr(cost, name))
    costs = [cost._replace(**{name: kind(value)}) for value in values]
    return {e: np.array([_variances(at, e) for at in costs]) for e in cost.estimators}


def _variances(cost, estimator):
    """Of one sample, by mu and by logvar; of leave-one-out as in the table."""
    together = K if estimator == "leave-one-out" else 1
    return [together * m.variance for m in cost.moments(estimator)]


def _draw(panel, name, values, lines, points):
    """Exact lines; measured points with bars of two exact standard errors."""
    top = max(line.max() for line in lines.values())
    if top == 0:
        panel.text(0.5, 0.5, "nothing scatters", transform=panel.transAxes, ha="center")
        return
    lowest = top
    still = []
    for estimator, line in lines.items():
        colour, dash, marker = STYLES[estimator]
        seen = np.where(line > FLOOR * top, line, np.nan)
        if np.isnan(seen).all():
            still.append(estimator)
            continue
        lowest = min(lowest, np.nanmin(seen))
        panel.plot(values, seen, color=colour, linestyle=dash, linewidth=1.6)
        rows = [r for r in points if r.estimator == estimator and r.exact.variance > FLOOR * top]
        measured = np.array([row.variance for row in rows])
        error = 2 * np.array([row.variance_error for row in rows])
        below = np.minimum(error, measured * 0.999)
        panel.errorbar(
            [getattr(row.cost, name) for row in rows],
            measured,
            yerr=[below, error],
            fmt=marker,
            color=colour,
            markerfacecolor=_face(estimator),
            markersize=4.5,
            elinewidth=1,
            capsize=2,
        )
    panel.set_yscale("log")
    panel.set_ylim(lowest / 2.5 if name == "dim" else max(lowest / 2, top * 10**-DECADES), top * 3)
    if still:
        text, style = f"zero: {', '.join(still)}", {"fontsize": "small", "color": "#555555"}
        panel.text(0.98, 0.965, text, transform=panel.transAxes, ha="right", **style)


def _crossings(panel, cost, swept, part, values, lines):
    """Where the score function begins to scatter less than pathwise, and where it ends, by bisection."""

    def lead(value):
        at = cost._replace(**{swept: float(value)})
        return _variances(at, "score-function")[part] - _variances(at, "pathwise")[part]

    leads = lines["score-function"] - lines["pathwise"]
    for i in np.flatnonzero(leads[:-1] * leads[1:] < 0):
        low, high = values[i], values[i + 1]
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if lead(middle) * leads[i] > 0 else (low, middle)
        height = _variances(cost._replace(**{swept: float(low)}), "pathwise")[part]
        ring = {"markersize": 13, "fillstyle": "none", "markeredgewidth": 1.6}
        panel.plot(low, height, "o", color=MARK, zorder=9, **ring)
        panel.plot([low, low], [panel.get_ylim()[0], height], ":", color=MARK, linewidth=1)
        where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        style = {"weight": "bold", "color": MARK, "zorder": 10}
        panel.annotate(f"{swept} = {low:.3f}", (low, 0.02), (5, 0), **where, **style)


def _guides(panel, lines):
    """Grey lines of slope 2 and 1 that end where the score function and the best baseline do."""
    for name, power, text in (("score-function", 2, "$D^2$"), ("score-function-optimal-baseline", 1, "$D$")):
        end = lines[name][-1]
        if end > 0:
            D = np.array([30, 100])
            panel.plot(D, 1.6 * end * (D / 100) ** power, color="#777777", linewidth=0.8)
            panel.text(52, 1.9 * end * 0.52**power, text, color="#555555", ha="right")
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:g}")


def _finish(panel, name, parameter, cost):
    fixed = {**cost.parameters, "dim": cost.dim}
    del fixed[name]
    fixed = ", ".join(f"{'D' if n == 'dim' else n} = {v:g}" for n, v in fixed.items())
    symbol = {"mu": r"$\mu$", "logvar": r"$\log\,\sigma^2$"}[parameter]
    unit = {"dim": "D, coordinates that are added up", "mu": r"$\mu$ of z", "k": "k of the cost"}[name]
    panel.set(xlabel=unit, ylabel="variance of one sample")
    panel.set_title(f"derivative by {symbol}, at {fixed}", fontsize="medium")
    if cost.name == "exp" and name == "k":
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:g}")
    panel.margins(x=0.02)
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)


def _legend(figure, cost):
    handles = []
    for name in cost.estimators:
        colour, dash, marker = STYLES[name]
        style = {"markerfacecolor": _face(name), "markersize": 5, "label": name}
        handles.append(Line2D([], [], color=colour, linestyle=dash, marker=marker, **style))
    title = (
        "lines: exact.  points: measured, with 2 standard errors.  rings: pathwise meets the score function"
    )
    figure.legend(handles=handles, title=title, loc="outside lower center", ncols=3, frameon=False)


def _face(estimator):
    """A marker's inside: hollow where the line is broken."""
    colour, dash, _ = STYLES[estimator]
    return colour if dash == "-" else "white"

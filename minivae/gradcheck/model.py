"""check_model: the backward pass of a VAE, node by node and term by term, and the first wrong one by name.

The model offers all that is needed: `forward(..., at=hook)` calls the hook at every node, where the reference
pushes, and `backward(trace, weights)` returns every derivative; weights of zero isolate one term of the loss.
"""

import contextlib
import copy
from functools import partial

import numpy as np

from .. import arguments, ops
from ..models.bounds import bound_backward
from .beforehand import blind_spots, leave_corners, repeats, takes
from .operations import TERMS, alone, explain, mistakes, operations, sources, title
from .report import Report, raised
from .rounding import sizes
from .scalar import ROUNDINGS, against, compare
from .single import Single
from .slopes import EPS, central_slope, choose_slope

WORK = 4e8  # multiplications for the reference of one array, so that a large model takes seconds


def check_model(model, x, eps, beta=1.0, estimator=None, rng=None, **settings):
    """The whole backward pass of `model` at x (B, D), eps (B, L) or (S, B, L) -> Report.

    Every node of the forward pass for the reconstruction and the kl alone, every parameter for the loss,
    every operation alone. The reference is the complex step of the model's own forward pass (differences, if
    that loses imaginary parts), in float64; a float32 model is compared with its float64 twin besides. Of a
    model without the hook `at` or without `weights` only the parameters are checked.

    estimator   as in `loss_and_grads`. An estimate of the heads' derivatives cannot be compared entry by
                entry: what comes before it and after it is checked, and the whole kl in closed form
    settings    condition, target, bound, reconstruction: as in `forward`
    """
    rng = np.random.default_rng(0) if rng is None else arguments.generator("rng", rng)
    sizes = "-".join(map(str, (model.data_dim, *model.hidden, model.latent_dim)))
    backend = model.backend if isinstance(model.backend, str) else "operations of its own"
    backend = "numpy" if model.ops is ops else backend
    report = Report(f"{sizes} {model.activation}, {backend}, {model.dtype}, beta {beta:g}")
    if not hasattr(model.posterior, "sample_backward"):
        estimator = estimator or "leave-one-out"
    case = _Case(model, x, eps, beta, None if estimator == "pathwise" else estimator, settings)
    case.rng, case.report = rng, report
    case.along = {n: 0.1 * rng.standard_normal(p.shape) / p.size for n, p in case.fine.params.items()}
    with np.errstate(all="ignore"):
        try:
            if repeats(case):
                case.nodes() if case.hooked else case.parameters()
                if report.ok and not case.estimator:
                    case.at_other(case.elsewhere)
        except Exception as error:  # an error of the code that is checked belongs in the report
            report.problems.append(raised("the model", error) + case.begins())
    return report


class _Case:
    """One model at one (x, eps, beta): its twins, what its forward pass computed, its derivatives by term."""

    def __init__(self, model, x, eps, beta, estimator, settings):
        self.x, self.eps, self.beta = np.array(x, float), np.array(eps, float), float(beta)
        self.other = np.roll(self.x[::-1], 1, axis=1), 0.9 * self.eps[..., ::-1, :]
        self.estimator, self.settings, self.seen = estimator, settings, {}
        self.own, self.fine = model.astype(model.dtype), model.astype(np.float64)
        self.twin = self.fine
        sizes = {"B": len(self.x), "S": self.eps[..., 0, 0].size, "D": model.data_dim, "L": model.latent_dim}
        self.sizes = {name: n for name, n in {**sizes, "beta": self.beta}.items() if n not in (0, 1)}
        self.hooked = takes(model.forward, "at") and takes(model.backward, "weights")

    def nodes(self):
        """Rows of every node and parameter, of every operation, and the headline."""
        self.choose_reference()
        if self.own.activation == "relu" and leave_corners(self):
            self.loss, self.grads = self.gradients()
        self.trace, self.values = self.walk(self.fine)[1], self.seen
        self.got = self.pieces(self.fine, self.trace)
        self.rounding = sizes(partial(self.pieces, self.fine), self.trace)
        self.single = Single(self) if self.own.dtype != np.float64 and not self.estimator else None
        self.operations = operations(self)
        self.report.notes += [text for text, applies in blind_spots(self) if applies]
        self.report.rows = [row for name, term in self.order() if (row := self.row(name, term))]
        self.report.operations = [row for op in self.operations for row in alone(self, op)]
        self.report.says = explain(self)

    def parameters(self):
        """Rows of the parameters alone, where the model does not offer its nodes."""
        self.note("forward takes no `at` or backward no `weights`: the parameters alone are checked")
        grads = {name: self.grads.get(name) for name in self.fine.params}
        found = against(self.of_parameters, grads, self.fine.params, rng=self.rng, sizes=self.sizes)
        self.report.rows, self.report.problems = found.rows, found.problems
        self.report.notes += found.notes
        self.slope = central_slope

    def note(self, text):
        self.report.notes += [text] * (text not in self.report.notes)

    def begins(self):
        """The first node of the forward pass that is not finite, in words."""
        with contextlib.suppress(Exception):
            self.walk(self.fine)
        bad = [n for n, v in self.seen.items() if not np.isfinite(v).all()]
        return f"; it begins at {bad[0]}" if bad else ""

    # ------------------------------------------------------------------ calls of the model

    def call(self, method, model, **more):
        """A method of the model at x, eps and beta, in the model's type."""
        given = (a.astype(model.dtype, copy=False) for a in (self.x, self.eps))
        return getattr(model, method)(*given, self.beta, **more, **self.settings)

    def gradients(self, model=None):
        """loss_and_grads -> the loss, the derivatives; or forward and backward of an older form."""
        model = model or self.fine
        try:
            terms, grads = self.call("loss_and_grads", model, **self.how())
        except TypeError:
            if self.hooked:
                raise
            terms, trace = self.call("forward", model)
            options = {"beta": self.beta, **self.how()}.items()
            grads = model.backward(trace, **{n: v for n, v in options if takes(model.backward, n)})
        return terms[0], {name: grads[name] for name in model.params if name in grads}

    def how(self):
        return {} if self.estimator is None else {"estimator": copy.deepcopy(self.estimator)}

    def walk(self, model, node=None, push=None):
        """The forward pass, with a push at one node -> terms, trace; the values of all nodes in `seen`."""
        self.seen = seen = {}

        def at(name, value):
            seen[name] = value
            return value + np.reshape(push, np.shape(value)) if name == node else value

        return self.call("forward", model, at=at)

    def pieces(self, model, trace):
        """term -> every derivative, from the model's own backward; weights of zero isolate a term."""
        dnll, dkl = bound_backward(trace.nll, trace.kl, self.beta, trace.bound, trace.reconstruction)
        weights = {"loss": None, "reconstruction": (dnll, 0 * dkl), "kl": (0 * dnll, dkl)}
        weights["nothing"] = 0 * dnll, 0 * dkl

        found = {term: model.backward(trace, weights=w, **self.how()) for term, w in weights.items()}
        for name, rest in found.pop("nothing").items():  # of an operation that forgets its upstream gradient
            if np.any(rest) and np.isfinite(rest).all():
                found["reconstruction"][name] = found["reconstruction"][name] - rest
        return found

    def of_parameters(self, value, goal=None):
        """The loss of the twin, or another goal, with some parameters replaced."""
        kind = np.result_type(np.float64, *value.values())
        moved = self.twin if kind == self.twin.dtype else self.fine.astype(kind, backend=self.own.ops)
        moved = copy.copy(moved)
        moved.params = {**moved.params, **{n: v.astype(moved.dtype) for n, v in value.items()}}
        return (goal or self.public)(moved)

    def public(self, model):
        """The loss that the public method returns."""
        return self.gradients(model)[0]

    # ------------------------------------------------------------------ before the derivatives

    def at_other(self, f):
        """f() at a second x and eps."""
        here, (self.x, self.eps) = (self.x, self.eps), self.other
        try:
            return f()
        finally:
            self.x, self.eps = here

    def choose_reference(self):
        """The method that gives the public loss, and complex steps or central differences of it."""
        terms, _ = self.walk(self.fine)
        self.values = self.seen
        if abs(terms[0] - self.loss) <= 1e-9 * abs(self.loss):
            self.public = lambda model: self.call("forward", model)[0][0]
        else:
            self.note(f"forward() is not the loss of loss_and_grads(), {self.loss:.6g}, which is checked")
        self.slope, note = choose_slope(self.line, np.zeros(1), self.rng)
        self.twin = self.fine if note else self.fine.astype(np.complex128, backend=self.own.ops)
        self.report.notes += [f"the model's forward pass {note}"] * bool(note)

    def line(self, t):
        """The loss along one random direction of all parameters."""
        return self.of_parameters({n: p + t[0] * self.along[n] for n, p in self.fine.params.items()})

    # ------------------------------------------------------------------ rows

    def order(self):
        """(name, term) in the order of the backward pass; the heads in their own order."""
        nodes, heads, params = list(self.values)[::-1], self.fine.posterior.heads, list(self.fine.params)
        before = nodes[nodes.index(heads[-1]) + len(heads) :]
        nodes = [*(n for n in nodes if n not in (*heads, *before)), *heads, *before]
        order = []
        for node in nodes:
            estimated = self.estimator and node in (*heads, *before)
            drawn = self.estimator and self.trace.sampled and node in ("z", *heads, *before)
            hidden = {"reconstruction": estimated, "kl": drawn}  # by the variance of an estimate
            order += [(node, term) for term in TERMS if not hidden[term]]
            order += [(name, "loss") for name in params if name.startswith(f"{node}.")]
        return order + [(name, "loss") for name in params if (name, "loss") not in order]

    def row(self, name, term):
        """One derivative against its reference; None for a node that the term does not reach."""
        last = "kl" if term == "kl" else "nll"
        if name in ("nll", "kl") and name != last:
            return None
        source = "loss" if name == last else term
        got = self.got[source].get(name)
        if term == "loss":
            start, goal = self.fine.params[name], self.beside_estimate(name)
            got = got if self.random else self.grads.get(name)
            f = lambda value: self.of_parameters({name: value}, goal)  # noqa: E731
        else:
            start, weights = np.zeros(np.shape(self.values[name])), self.got[term].get(last)
            got = _like(start, got)

            def f(push):  # a term is the sum of its nodes, with the weights that backward says it used
                terms, trace = self.walk(self.twin, name, push)
                return terms[0] if name == last else np.sum(weights * getattr(trace, last))

            along = self.rng.standard_normal(start.shape)
            if got is None or not (np.any(got) or self.slope(f, start, along)[0]):
                return None
        size = ROUNDINGS * self.rounding(name, source) * (max(1.0, self.cost()) if source == "loss" else 1.0)
        work = self.eps[..., 0].size * sum(p.size for p in self.fine.params.values())
        named = {"sizes": self.sizes, "floor": EPS * size}
        named["limit"] = int(np.clip(WORK / work, 24, 2000))
        alike = [n for n in self.got[term] if n != name and (n in self.fine.params) == (term == "loss")]
        named["others"] = {f"d({n})" if "." in n else f"d{n}": self.got[term][n] for n in alike}
        behind = sources(self, name, term)
        for op, key in behind * (len(behind) == 1):
            up = self.got[term].get(op.out)
            if np.shape(up) == np.shape(self.values[op.out]) and np.ndim(up) <= 1 + (op.role != "kl"):
                found = mistakes(op, key, np.ravel(up) if op.role == "nll" else up)
                named = found | named | {"others": found["others"] | named["others"]}
        slope = partial(self.slope, f, start)
        row = compare(title(self, name), term, got, slope, start.shape, self.rng, **named)
        row.node = name
        if row.ok and self.single and self.single.possible:
            self.single.judge(row, source, size)
        return row

    def cost(self):
        """The size of what the weights of samples are exponentials of: it costs them digits."""
        return float(np.abs(self.trace.nll + self.beta * self.trace.kl).max()) * (self.trace.bound == "iwae")

    def beside_estimate(self, name):
        """With an estimator: the goal whose derivative the encoder's parameters must have, given dheads."""
        if not self.estimator or name.startswith(("decoder", "output", "prior")):
            return None
        dheads = {h: self.got["loss"][h] for h in self.fine.posterior.heads}

        def goal(model):
            self.walk(model)
            return sum(np.sum(d * self.seen[h]) for h, d in dheads.items())

        return goal

    def elsewhere(self):
        """The slope along one direction at the second (x, eps), which the model saw first of all."""
        parts = [np.sum(self.along[n] * g) for n, g in self.gradients()[1].items()]
        want, error, left, right = self.slope(self.line, np.zeros(1), np.ones(1))
        room = 1e-6 * np.abs(parts).sum() + 10 * error + abs(right - left)
        if abs(np.sum(parts) - want) > room:
            text = "the model keeps what an earlier call computed"
            self.report.problems = [f"right at (x, eps), wrong at another x and eps: {text}"]


def _like(array, got):
    """got in the shape of the array, where it has as many entries: rows of samples may be (S, B) or S * B."""
    return np.reshape(got, np.shape(array)) if got is not None and np.size(got) == np.size(array) else got

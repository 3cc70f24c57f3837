"""check_model: the way back of a VAE, node by node and term by term, and the first wrong one by its name."""

import copy

import numpy as np

from .. import arguments
from .beforehand import dtype_notes, not_repeatable, title_of
from .blame import explain
from .comparison import ROUNDINGS, SLACK, compare
from .corners import beside_corners
from .guesses import fits
from .nodes import nodes
from .operations import check_operations
from .references import agrees_with_differences, central_slope, complex_slope
from .report import Report, row
from .setting import Setting
from .sizes import natural_sizes
from .tape import Probe, analytic
from .verdicts import verdict


def check_model(model, x, eps, beta=1.0, estimator=None, rng=None):
    """The whole way back of `model` at x (B, D), eps (B, L) or (S, B, L) -> Report.

    Every node (dnll, logits, decoder's hidden layers, z, mu, logvar, dkl, encoder's hidden layers) for the
    reconstruction and for the kl by themselves, every parameter for the loss, and every operation against its
    own forward. The derivatives are those that the model's own backward pass hands from line to line; the
    reference is the complex step of its own forward pass, both in float64. A model in float32 is held besides
    to what its type can hold.

    estimator   as in `loss_and_grads`; for another than pathwise the derivatives by mu and logvar of the
                reconstruction are estimates, and what stands before and after them is checked
    """
    rng = np.random.default_rng(0) if rng is None else arguments.generator("rng", rng)
    beta = arguments.number("beta", beta, at_least=0)
    with np.errstate(all="ignore"):
        return _check_model(model, x, eps, beta, estimator, rng)


def _check_model(model, x, eps, beta, estimator, rng):
    title = title_of(model, beta)
    x, eps = model._data(x), model._noise(eps, len(x))
    setting = Setting(model, x, eps, beta, rng)
    model, problem = beside_corners(model, setting)
    problem = problem or not_repeatable(model, x, eps, beta, estimator)
    if problem:
        return Report(title, [], [problem], setting.notes)
    setting.look_for_dead(model)
    check = _Check(model, setting, estimator)
    rows = check.rows()
    operations = check_operations(check.fine, check.twin, check.recorded, setting)
    setting.notes += dtype_notes(model, estimator)
    report = Report(title, rows, [], setting.notes, operations=operations)
    explain(report, model, check, setting)
    return report


# float32 has few digits below, and none below 1e-45; it has no numbers above
SUBNORMAL, LARGEST = 1e-36, float(np.finfo(np.float32).max)


class _Check:
    """Probes of one model, and the slope of a term by a node or a parameter."""

    def __init__(self, model, setting, estimator):
        self.model, self.setting = model, setting
        self.estimator = None if estimator == "pathwise" else estimator
        self.fine = in_double(model)
        self.recorded = Probe(self.fine, np.float64)
        self.arguments = setting.x, setting.eps, setting.beta
        self.twin = self._twin()
        self.grads, self.calls, self.wrong = {}, {}, set()
        for term in (None, "reconstruction", "kl"):
            self.grads[term], self.calls[term] = self.recorded.back(*self.real, term, self.estimator)
        self.outer = self._outer_gradients()
        self.whole = self._whole_loss()
        self.natural = natural_sizes(self.fine, setting, self.calls[None])

    def _twin(self):
        """The way forward in complex numbers, or in float64 where it refuses them."""
        twin = Probe(self.fine, np.complex128, analytic(self.model.ops))
        real, self.arguments = (
            self.arguments,
            (*(a.astype(complex) for a in self.arguments[:2]), self.setting.beta),
        )
        self.real = real
        try:
            twin.rest(*self.arguments)
        except (TypeError, ValueError, AttributeError) as error:
            return self._real(f"refuses complex numbers ({' '.join(str(error).split())[:70]})")
        for node in ("z", *self.model.posterior.heads):
            f = self._pushed(twin, node)
            at = np.zeros(np.shape(twin.values[node]))
            if not agrees_with_differences(f, at, np.random.default_rng(1), scale=1e-2):
                return self._real("is not analytic: an imaginary part is lost (np.abs, norm, vdot, .real?)")
        self.take = complex_slope
        return twin

    def _real(self, why):
        self.arguments = self.real
        self.setting.note(f"the model's forward pass {why}; central differences are used")
        twin = Probe(self.fine, np.float64)
        twin.rest(*self.arguments)
        self.take = central_slope
        return twin

    def _pushed(self, probe, node):
        return lambda push: probe.loss(*self.arguments, node=node, push=push)

    def _outer_gradients(self):
        """What a user gets: from the model as it is, compiled walk and all, in float64 and in its type."""
        if self.estimator:
            return self.grads[None], None
        with np.errstate(all="ignore"):
            outer = self.fine.loss_and_grads(*self.real)[1]
            if self.model.dtype == np.float64:
                return outer, None
            x, eps = (a.astype(self.model.dtype) for a in self.real[:2])
            return outer, self.model.loss_and_grads(x, eps, self.setting.beta)[1]

    def _whole_loss(self):
        """The method that gives the loss whose gradient is returned: `loss`, unless it tells another."""
        told, returned = self.fine.loss(*self.real)[0], self.fine.loss_and_grads(*self.real)[0][0]
        if abs(told - returned) <= 1e-9 * abs(returned):
            return "loss"
        self.setting.note(
            f"loss() gives {told:.6g} and loss_and_grads() {returned:.6g}; the latter is checked"
        )
        return "forward"

    # -------------------------------------------------------------------------- rows

    def rows(self):
        """In the order of the way back."""
        rows = []
        for node in nodes(self.model, self.setting, self.calls, self.grads, self.estimator):
            if node.kind == "parameter":
                rows.append(self._parameter(node))
            else:
                rows.append(self._node(node))
        return rows

    def _node(self, node):
        found = self._compare(node, node.got)
        return row(node.name, node.term, found, self._words(node, found))

    def _parameter(self, node):
        double, own = self.outer
        got, shape = double.get(node.name), self.fine.params[node.name].shape
        if got is None or np.shape(got) != shape:
            text = "is missing" if got is None else f"shape {np.shape(got)} where {shape} is wanted"
            self.wrong.add("")
            return row(node.name, node.term, self._compare(node, np.zeros(shape)), text)
        found = self._compare(node, got)
        words = self._words(node, found)
        if found.ok and own is not None:
            found.got = np.asarray(own[node.name])
            words = self._in_single(found, self.natural.get((node.term, node.name), 0.0))
        return row(node.name, node.term, found, words)

    def _compare(self, node, got):
        """Only the first wrong tensor of a term is looked at closely: the others follow from it."""
        slope, spread = self._slopes(node)
        setting, term = self.setting, "" if node.kind == "parameter" else node.term
        closer = not self.wrong if not term else not self.wrong & {term, ""}
        natural = self.natural.get((node.term, node.name), 0.0)
        found = compare(
            got, slope, setting.rng, "float64", setting.limit, spread, closer, setting.scale, natural
        )
        setting.scale = max(setting.scale, float(np.max(np.abs(found.want), initial=0)))
        self.wrong |= set() if found.ok else {term}
        return found

    def _words(self, node, found):
        if found.ok:
            return "ok"
        known = {name: k for name, k in node.known.items() if fits(k, found.got.shape)}
        return verdict(found, self.setting.sizes, known, node.others, node.terms)

    def _in_single(self, found, natural):
        """A float32 gradient, whose float64 twin is right."""
        slack = SLACK["float32"] * np.max(np.abs(found.want), initial=0)
        found.allowed = max(
            float(slack), found.allowed, ROUNDINGS * float(np.finfo(np.float32).eps) * natural, SUBNORMAL
        )
        if found.ok:
            return "ok"
        if np.max(np.abs(found.want)) > LARGEST / 8:
            return "ok (out of float32's range; right in float64)"
        error = np.max(np.abs(found.given - found.want))
        if error <= 100 * found.allowed:
            relative = error / (slack or 1) * SLACK["float32"]
            return f"ok (float32 rounding leaves {relative:.0e}; right in float64)"
        return "right in float64, wrong in float32: is something computed in too few digits?"

    def _slopes(self, node):
        """slope(v) of the node's term along v, and how far it moves when all inputs are rounded anew."""
        probe, (x, eps, beta) = self.twin, self.arguments
        start = (
            np.array(self.fine.params[node.name], float)
            if node.kind == "parameter"
            else np.zeros(node.got.shape)
        )
        goal = self._estimated_goal(node)

        def f(value, probe=probe, x=x, eps=eps):
            if node.kind == "parameter":
                given = {node.name: np.asarray(value, probe.model.dtype)}
                walk = "forward" if goal else self.whole
                loss = probe.loss(x, eps, beta, None, params=given, walk=walk)
            else:
                loss = probe.loss(x, eps, beta, node.term, node.node, value)
            return goal(probe) if goal else loss

        def spread(v):
            rng, slopes = self.setting.rng, [self.take(f, start, v).value]
            for _ in range(3):
                moved = copy.copy(self.fine)
                moved.params = {n: _rounded(p, rng) for n, p in self.fine.params.items()}
                other = Probe(moved, probe.model.dtype, probe.base)
                a, b = (np.clip(_rounded(a, rng), a.min(), a.max()).astype(x.dtype) for a in self.real[:2])
                other.rest(a, b, beta)
                at = np.array(moved.params[node.name]) if node.kind == "parameter" else start
                slopes.append(self.take(lambda value, o=other, a=a, b=b: f(value, o, a, b), at, v).value)
            return max(slopes) - min(slopes)

        return (lambda v: self.take(f, start, v)), spread

    def _estimated_goal(self, node):
        """Before an estimate the way back is linear in it: what is checked is sum dhead * head."""
        if not (self.estimator and node.encoder) or (node.kind == "node" and node.term == "kl"):
            return None
        calls = self.calls[None if node.kind == "parameter" else node.term]
        dheads = {c.layer: c.args[0] for c in calls if c.layer in self.model.posterior.heads}
        return lambda probe: sum(np.sum(dheads[h] * probe.values[h]) for h in dheads)


def in_double(model):
    """A copy of the model in float64, with its own backend and its own walk."""
    fine = copy.copy(model)
    fine.dtype, fine._planned = np.dtype(np.float64), None
    fine.params = {name: np.array(param, np.float64) for name, param in model.params.items()}
    return Probe.rebind(fine, model)


def _rounded(array, rng):
    return np.asarray(array, float) * (1 + 2.0**-52 * rng.standard_normal(np.shape(array)))

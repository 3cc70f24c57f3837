"""What check_model says of a sum with a part left out, of another array in an array's place, of a ratio."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

import minivae as mv
from minivae.gradcheck import check_model
from minivae.gradcheck.ratios import ratio_names, ratio_words

OPS = Path(mv.ops.__file__)


def with_line(old, new):
    """The operations with one line of their source replaced."""
    source = OPS.read_text()
    assert source.count(old) == 1, old
    module = types.ModuleType("minivae.planted_ops")
    module.__package__ = "minivae"
    sys.modules[module.__name__] = module
    exec(compile(source.replace(old, new), "planted_ops", "exec"), module.__dict__)
    return module


def headline(
    old, new, samples=(), hidden=(6, 5), activation="tanh", batch=4, likelihood="bernoulli", of=mv.VAE
):
    ops = with_line(old, new) if old else "numpy"
    model = of(7, 3, hidden, activation, likelihood, ops, np.float64, seed=3)
    rng = np.random.default_rng(5)
    for param in model.params.values():
        param += 0.3 * rng.standard_normal(param.shape)
    return check_model(model, rng.random((batch, 7)), rng.standard_normal((*samples, batch, 3)), 0.7).headline


DW, DB = "    dW = x.T @ da\n    db", "    db = da.sum(axis=0)\n    return dx"
SUMS = "dmu, dlogvar = dmu.sum(axis=0), dlogvar.sum(axis=0)\n    return dmu, dlogvar\n\n\ndef gaussian_kl("
KL = "    dmu = dkl[:, None] * mu\n"
STD = "dlogvar = dz * (0.5 * gaussian_std(logvar) * eps)"
LOGITS = 'return dnll[..., None] * (activation_forward(logits, "sigmoid") - x)'
PLANTED = {
    "rows of x": (DW, DW.replace("x.T", "np.roll(x, 1, 0).T"), {}, "x is shifted by a row (+1)"),
    "last row": (
        DW,
        DW.replace("x.T @ da", "x[:-1].T @ da[:-1]"),
        {},
        "the last row of the batch is left out",
    ),
    "y for x": (
        DW,
        DW.replace("x.T", "(y if y.shape == x.shape else x).T"),
        {"hidden": (5, 5)},
        "from y, where x is asked",
    ),
    "first row": (DB, DB.replace("da.sum(axis=0)", "da[0]"), {}, "only the first row"),
    "wrong axis": (
        DB,
        DB.replace("da.sum(axis=0)", "da.sum(axis=1 if len(da) == da.shape[1] else 0)"),
        {"batch": 7},
        "summed over the wrong axis",
    ),
    "first sample": (SUMS, SUMS.replace(".sum(axis=0)", "[0]"), {"samples": (3,)}, "only the first sample"),
    "eps moved": (STD, STD.replace("* eps", "* np.roll(eps, 1, -2)"), {}, "eps is shifted by a row (+1)"),
    "x moved": (LOGITS, LOGITS.replace("- x", "- x[::-1]"), {}, "the rows of x are reversed"),
    "logvar for mu": (KL, KL.replace("* mu", "* logvar"), {}, "it is dy * logvar, where dy * mu is asked"),
    "tanh of y": (
        "return dy * (1 - y * y)",
        "return dy * (1 - np.tanh(y) ** 2)",
        {},
        "tanh'(y), where tanh'(a) is asked",
    ),
    "softplus of y": (
        "return dy * -np.expm1(-y)",
        "return dy / (1 + np.exp(-y))",
        {"activation": "softplus"},
        "softplus'(y), where softplus'(a) is asked",
    ),
    "leaky": (
        "np.where(y.real > 0, dy, 0)",
        "np.where(y.real > 0, dy, 0.01 * dy)",
        {"activation": "relu"},
        "leaky relu's slope 0.01",
    ),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_mistakes_of_operations_are_named(bug):
    old, new, settings, said = PLANTED[bug]
    assert said in headline(old, new, **settings)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda g, p: {n: 0.3 * v for n, v in g.items()}, "every parameter: constant ratio 0.3;"),
        (
            lambda g, p: {n: v + 1e-3 * p[n] for n, v in g.items()},
            "the parameter itself (weight decay?) is one",
        ),
        (
            lambda g, p: g | {"encoder1.b": g["encoder2.b"]},
            "it is dencoder2.b, another parameter's derivative",
        ),
    ],
)
def test_what_is_returned(end, said):
    class Wrapped(mv.VAE):
        def _walk_backward(self, *args, **settings):
            return end(super()._walk_backward(*args, **settings), self.params)

    text = headline("", "", hidden=(5, 5), of=Wrapped)
    assert said in text
    assert text.count("look at what backward() returns") == said.startswith(("every", "the parameter"))


def test_right_models_stay_right():
    for activation in ("relu", "tanh", "softplus", "sigmoid"):
        for likelihood in ("bernoulli", "gaussian-pixel"):
            text = headline("", "", (2,), activation=activation, likelihood=likelihood)
            assert text.startswith("ok"), text


def test_ratios_say_their_number():
    sizes = {"B": 6.0, "S": 3.0, "D": 10.0, "L": 3.0, "beta": 0.7}
    assert ratio_names(1 / 3, sizes) == ["1/S", "1/L"]
    for ratio, words in (
        (1.5, "constant ratio 1.5"),
        (2 / 3, "constant ratio 0.666667 (2/3?)"),
        (1.2, "constant ratio 1.2 (B/(B-1)?)"),
        (0.49, "constant ratio 0.49 (beta^2?)"),
        (10 / 3, "constant ratio 3.33333 (D/S?)"),
    ):
        assert [ratio_words(name, sizes) for name in ratio_names(ratio, sizes)] == [words]
    assert ratio_names(1.2345, sizes) == []

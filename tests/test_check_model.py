"""Planted bugs in models are named by node and kind; what an estimator or another walk changes."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

import minivae as mv
from minivae import ops
from minivae.gradcheck import check_model


def small(
    family=mv.VAE, activation="tanh", likelihood="bernoulli", backend="numpy", dtype=np.float64, **more
):
    model = family(7, 2, (5, 3), activation, likelihood, backend, dtype, seed=3, **more)
    rng = np.random.default_rng(5)
    for param in model.params.values():
        param += (0.3 * rng.standard_normal(param.shape)).astype(param.dtype)
    return model


def given(S=None):
    """x, eps."""
    rng = np.random.default_rng(0)
    return rng.random((4, 7)), rng.standard_normal((4, 2) if S is None else (S, 4, 2))


def patched(**functions):
    """A copy of the module `ops` whose functions call the replacements."""
    twin = importlib.util.module_from_spec(ops.__spec__)
    ops.__spec__.loader.exec_module(twin)
    vars(twin).update(functions)
    return {"backend": twin}


def changed(name, change):
    """The operation's backward, its results changed: change(*results, *arguments)."""

    def backward(*given):
        results = getattr(ops, name)(*given)
        return change(*(results if isinstance(results, tuple) else (results,)), *given)

    return patched(**{name: backward})


def kl(change):
    return changed("gaussian_kl_backward", lambda a, b, d, mu, lv: change(a, b, d[:, None], mu, lv))


def sample(change):
    return changed("gaussian_sample_backward", lambda a, b, dz, mu, lv, eps: change(a, b, dz, lv, eps))


def nll(change):
    return changed("bernoulli_nll_backward", change)


def gauss(change):
    return changed("gaussian_nll_backward", change) | {"likelihood": "gaussian-pixel"}


def dense(change):
    def backward(dy, cache, wanted=True):
        return change(*ops.dense_backward(dy, cache, wanted), dy, cache)

    return patched(dense_backward=backward)


def slope(change):
    return patched(activation_backward=lambda dy, y, a: dy if a == "identity" else change(dy, y))


def grads(change):
    class Wrapped(mv.VAE):
        def loss_and_grads(self, *given, **more):
            terms, found = super().loss_and_grads(*given, **more)
            return terms, change(dict(found))

    return {"family": Wrapped}


class FirstTrace(mv.VAE):
    """The backward pass uses the first trace that it ever saw."""

    kept = None

    def backward(self, trace, *given, **more):
        self.kept = self.kept or trace
        return super().backward(self.kept, *given, **more)


class BetaSquared(mv.VAE):
    def backward(self, trace, *given, **more):
        return super().backward(trace._replace(beta=trace.beta**2), *given, **more)


class NoBeta(mv.VAE):
    def forward(self, *given, **more):
        terms, trace = super().forward(*given, **more)
        return terms._replace(loss=terms.nll + terms.kl), trace


class Older(mv.VAE):
    """No hook `at`, no `weights`: the signatures of an older VAE."""

    wrong = ()

    def forward(self, x, eps, beta=1.0):
        return super().forward(x, eps, beta)

    def backward(self, trace, beta=1.0, estimator=None):
        grads = super().backward(trace, estimator=estimator)
        return grads | {name: -grads[name] for name in self.wrong}


class OlderWrong(Older):
    wrong = ("logvar.W",)


class Tied(mv.VAE):
    """The output layer uses the transposed weights of the first layer."""

    forgets = False

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        del self.params["output.W"]

    def untied(self):
        twin = mv.VAE.astype(self, self.dtype)
        twin.__class__, twin.params = mv.VAE, self.params | {"output.W": self.params["encoder1.W"].T}
        return twin

    def forward(self, *given, **more):
        return self.untied().forward(*given, **more)

    def backward(self, *given, **more):
        d = self.untied().backward(*given, **more)
        return d | {"encoder1.W": d["encoder1.W"] + (0 if self.forgets else d["output.W"].T)}


class TiedWrong(Tied):
    forgets = True


class FirstNoise(mv.VAE):
    """The backward pass uses the first noise of all models, kept in the class."""

    def backward(self, trace, **more):
        FirstNoise.kept = getattr(FirstNoise, "kept", trace.eps)
        return super().backward(trace._replace(eps=FirstNoise.kept), **more)


class Raises(mv.VAE):
    def backward(self, *given, **more):
        return {}["a"]


class ChangesX(mv.VAE):
    def loss_and_grads(self, x, *given, **more):
        x *= 0.5
        return super().loss_and_grads(x, *given, **more)


def in_float32(a, b, dkl, mu, logvar):
    return (a * a.dtype.type(1.05), b) if mu.dtype == np.float32 else (a, b)


def kl_in_float32(mu, logvar):
    return ops.gaussian_kl(mu, logvar) * mu.dtype.type(1.1 if mu.dtype == np.float32 else 1)


BOOK = "the backward is the textbook's; has the forward changed?"
BUGS = {  # the model, the first wrong derivative and its term, words of the headline
    "kl lacks -1": (kl(lambda a, b, d, m, v: (a, d * np.exp(v) / 2)), "logvar kl", "-1/2 * dkl is missing"),
    "kl dmu halved": (kl(lambda a, b, d, m, v: (a / 2, b)), "mu kl", "half of what"),
    "kl exchanged": (kl(lambda a, b, d, m, v: (b, a)), "mu kl", "where dkl * mu is expected"),
    "kl std": (kl(lambda a, b, d, m, v: (a, d * np.expm1(v / 2) / 2)), "logvar kl", "1/2 * dkl * std"),
    "no eps": (sample(lambda a, b, dz, v, e: (a, dz * np.exp(v / 2) / 2)), "logvar rec", "eps is missing"),
    "no std": (sample(lambda a, b, dz, v, e: (a, dz * e / 2)), "logvar rec", "std is missing"),
    "nll mean": (nll(lambda d, w, y, x: d / 7), "logits rec", "multiplied by 1/D"),
    "nll lacks x": (nll(lambda d, w, y, x: d + w[:, None] * x), "logits rec", "dnll * x is missing"),
    "db averaged": (dense(lambda dx, dW, db, dy, c: (dx, dW, db / len(dy))), "output.b loss", "0.25"),
    "db one number": (dense(lambda dx, dW, db, dy, c: (dx, dW, 0 * db + db.sum())), "output.b", "da.sum()"),
    "dW transposed": (dense(lambda dx, dW, db, dy, c: (dx, dW.T, db)), "output.W", "transposed"),
    "no slope": (dense(lambda dx, dW, db, dy, c: (dx, c[0].T @ dy, db)), "decoder2.W", "without the slope"),
    "slope (1-y)^2": (slope(lambda dy, y: dy * (1 - y) ** 2), "decoder2.W", "(1 - y)^2"),
    "slope lost": (slope(lambda dy, y: dy), "decoder2.W", "without the slope"),
    "float32": (slope(lambda dy, y: np.float64(np.float32(dy - dy * y * y))), "decoder2.W", "float32"),
    "bias lost": (grads(lambda g: g | {"mu.b": 0 * g["mu.b"]}), "mu.b loss", "zero everywhere"),
    "heads": (grads(lambda g: g | {"mu.W": g["logvar.W"]}), "mu.W", "this is d(logvar.W)"),
    "key lost": (grads(lambda g: {n: a for n, a in g.items() if n != "mu.b"}), "mu.b loss", "is missing"),
    "all doubled": (grads(lambda g: {n: 2 * a for n, a in g.items()}), "output.W", "every parameter"),
    "clipped": (grads(lambda g: {n: np.clip(a, -0.01, 0.01) for n, a in g.items()}), "output.W", "clipped"),
    "kl forgets dkl": (kl(lambda a, b, d, m, v: (m, np.expm1(v) / 2)), "mu kl", "the factor dkl is missing"),
    "variance lost": (gauss(lambda a, b, w, m, v, x: (w[:, None] * (m - x), b)), "mean", "e^-logvar"),
    "slope twice": (slope(lambda dy, y: dy * (1 - y * y) ** 2), "decoder2.W", "slope^2"),
    "changes dy": (slope(lambda dy, y: dy.__imul__(1 - y * y)), None, "changes its upstream gradient in"),
    "kl doubled": (patched(gaussian_kl=lambda m, v: 2 * ops.gaussian_kl(m, v)), "mu kl", BOOK),
    "beta squared": ({"family": BetaSquared}, "kl kl", "beta applied twice"),
    "no beta": ({"family": NoBeta}, "kl kl", "beta"),
    "float32 only": (kl(in_float32) | {"dtype": np.float32}, "mu kl", "wrong in float32: multiplied by 1.05"),
    "float32 value": (patched(gaussian_kl=kl_in_float32) | {"dtype": np.float32}, "kl kl", "the value of kl"),
    "first trace": ({"family": FirstTrace}, None, "the model keeps state"),
    "changes x": ({"family": ChangesX}, None, "loss_and_grads changes x in place"),
    "changes mu": (kl(lambda a, b, d, m, v: (a, b, m.__imul__(1.1))[:2]), "mu kl", "changes mu in place"),
    "older": ({"family": OlderWrong}, "logvar.W loss", "d(logvar.W): sign flipped"),
    "tied": ({"family": TiedWrong}, "encoder1.W loss", "Every operation is right by itself"),
    "random": (sample(lambda a, b, dz, v, e: (a, b * np.random.default_rng().random())), None, "is random"),
    "raises": ({"family": Raises}, None, "raises KeyError: 'a' (test_check"),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_named(bug):
    settings, first, words = BUGS[bug]
    report = check_model(small(**settings), *given(), beta=0.7)
    assert not report.ok
    assert first is None or f"{report.first.name} {report.first.term}".startswith(first), str(report)
    assert words in report.headline, report.headline
    assert first is None or any(w in report.headline for w in ("off by", "shape", "every", "missing"))
    assert max(map(len, str(report).splitlines())) <= 100


@pytest.mark.parametrize(
    ("estimator", "settings", "first"),
    [
        ("score-function", {}, None),
        ("leave-one-out", {}, None),
        ("pathwise-antithetic", {}, None),
        ("sticking-the-landing", {}, None),
        ("score-function", {"family": BetaSquared}, "kl"),
        ("score-function", {"family": NoBeta}, "kl"),
        ("score-function", kl(lambda a, b, d, m, v: (a, 0 * b)), "logvar"),
        ("score-function", kl(lambda a, b, d, m, v: (a / 2, b / 2)), "mu"),
    ],
)
def test_an_estimator_is_not_blamed_and_forgives_nothing_of_the_kl(estimator, settings, first):
    report = check_model(small(**settings), *given(2), 0.7, estimator)
    assert (report.first.name if report.first else None) == first, str(report)


def test_what_follows_from_the_first_wrong_node_is_not_blamed():
    model = small(**sample(lambda a, b, dz, v, e: (a, dz * np.exp(v / 2) / 2)))
    wrong = [row for row in check_model(model, *given(), 0.7).rows if not row.ok]
    assert "eps is missing" in wrong[0].words
    follows = {row.words for row in wrong[1:]}
    assert {
        "follows from dlogvar of the reconstruction",
        "follows from dencoder2 of the reconstruction",
    } < follows
    assert all(words.startswith("follows from d") for words in follows)


@pytest.mark.parametrize(("family", "rows"), [(Older, 14), (Tied, 27)])
def test_other_walks_end_in_rows(family, rows):
    report = check_model(small(family), *given(), 0.7)
    assert report.ok, str(report)
    assert len(report.rows) == rows
    assert ("the parameters alone" in str(report)) == (family is Older)


def test_one_wrong_entry_of_a_large_model():
    def one_entry_lost(dx, dW, db, dy, cache):
        dW[3, 2] *= dW.shape[0] != 784
        return dx, dW, db

    rng = np.random.default_rng(0)
    model = mv.VAE(784, 5, (8,), "tanh", dtype=np.float64, **dense(one_entry_lost))
    report = check_model(model, rng.random((3, 784)), rng.standard_normal((3, 5)), 0.7)
    assert (report.first.name, report.first.index) == ("encoder1.W", (3, 2))


def test_a_unit_at_its_corner_is_named():
    model, (x, eps) = small(activation="relu"), given()
    x[2] = 0
    model.params["encoder1.b"][4] = 0
    report = check_model(model, x, eps, 0.7)
    assert report.ok, str(report)
    assert "kink: unit 4 of encoder1" in str(report)


def test_what_float32_cannot_show_is_a_note():
    model, (x, eps) = small(dtype=np.float32), given(3)
    report = check_model(model, x, eps, 1e6, bound="iwae")
    assert report.ok, str(report)
    assert "not checked in float32: weights of samples have no digits" in str(report)
    model.params["logvar.b"][...] = -88
    report = check_model(model, x, eps, 0.7, bound="iwae")
    assert report.ok, str(report)
    assert "not checked in float32: the loss is not finite" in str(report)


def test_blind_spots_are_said():
    model, (x, eps) = small(), given()
    assert check_model(model, x, eps[None], 0.7).notes == []
    model.params["decoder1.W"][...] = 0
    notes = " ".join(check_model(model, x[:1], 0 * eps[:1]).notes)
    for text in ("eps is zero everywhere", "decoder1.W is zero", "beta is 1", "B is 1", "eps is (B, L)"):
        assert text in notes
    assert "beta is 0" in str(check_model(model, x, eps, 0))


def test_what_is_kept_for_all_models_is_found():
    model = small(FirstNoise)
    model.loss_and_grads(*given(), 0.7)
    assert "keeps what an earlier call computed" in check_model(model, *given(), 0.7).headline


def test_what_is_not_finite_is_named():
    model, (x, eps) = small(), given()
    model.params["logvar.b"][1] = 3000
    assert "it begins at z" in check_model(model, x, eps).headline


def test_a_forward_pass_that_is_not_analytic():
    bug = SimpleNamespace(**{**vars(ops), "gaussian_kl": lambda mu, lv: ops.gaussian_kl(np.abs(mu), lv)})
    x, eps = given()
    report = check_model(mv.VAE(3, 2, (2,), "tanh", backend=bug, dtype=float, seed=1), x[:, :3], eps, 0.7)
    assert report.ok, str(report)
    assert "central differences are used" in " ".join(report.notes)

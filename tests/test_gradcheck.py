"""Gradient checks: each verdict, each blind spot of others, planted bugs by name, and no false alarm."""

from types import SimpleNamespace

import numpy as np
import pytest

import minivae as mv
from minivae import cli, gradcheck, layers, ops
from minivae.gradcheck import central_difference, check, check_model, check_pair, complex_step

LIKELIHOODS = ("bernoulli", "gaussian", "gaussian-shared", "gaussian-pixel")


def f(x):
    return (np.tanh(x) ** 2 * np.arange(1, 21).reshape(4, 5)).sum()


X = np.random.default_rng(1).standard_normal((4, 5))
G = complex_step(f, X)
FIVE = X[:, [0, 1, 2, 3, 3]][[0, 1, 2, 3, 3]] + np.arange(25).reshape(5, 5) / 9


def words(grad, x=X, f=f, **settings):
    return check(f, grad, x, **settings).rows[0].verdict


# ------------------------------------------------------------------------------ references and verdicts


def test_references_agree():
    gradient, error = central_difference(f, X)
    assert np.abs(gradient - G).max() <= error.max() < 1e-9


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize(
    ("wrong", "verdict"),
    [
        (G, "ok"),
        (2 * G, "constant ratio 2 (a lost or extra 1/2?)"),
        (G / 2, "constant ratio 1/2"),
        (-G, "sign flipped"),
        (-2 * G, "sign flipped and constant ratio 2"),
        (4 * G, "ratio B = 4"),
        (G / 4, "ratio 1/B = 1/4 (a mean where a sum is asked?)"),
        (7 * G, "ratio D = 7"),
        (G / 11, "ratio 1/L = 1/11"),
        (0.3 * G, "ratio beta = 0.3"),
        (1.5 * G, "constant ratio 1.5"),
        (0 * G, "zero where it should not be (a branch never reached)"),
        (
            np.where(np.arange(5) == 2, 0, G),
            "zero where it should not be (a branch never reached): column 2 only",
        ),
        (np.roll(G, 1, 0), "shifted rows (by 1)"),
        (np.roll(G, 1, 1), "shifted columns (by 1)"),
        (G[:, ::-1], "columns reversed"),
        (np.abs(G), "the sign is lost"),
        (np.clip(G, -1, 1), "clipped at 1"),
        (np.random.default_rng(5).standard_normal(G.shape), "unrelated"),
    ],
)
def test_verdicts_are_scale_free(wrong, verdict, scale):
    if verdict.startswith("clipped"):
        wrong = scale * wrong
        verdict = f"clipped at {scale:g}"
    elif verdict != "unrelated":
        wrong = scale * wrong
    got = words(wrong, f=lambda x: scale * f(x), sizes={"B": 4, "D": 7, "L": 11, "beta": 0.3})
    assert got.startswith(verdict), got


def test_offset_and_transpose():
    assert words(G + 0.5 / 4, sizes={"B": 4}) == "constant offset 0.5/B (a missing -1 in the KL?)"
    square = complex_step(lambda x: np.sin(x).sum(), FIVE)
    assert words(square.T, FIVE, lambda x: np.sin(x).sum()) == "transposed"
    assert words(0 * G.T).startswith("shape (5, 4) where (4, 5) is wanted")
    assert words(G.T.copy()) == "transposed"


def test_a_report_reads_as_a_table():
    report = check(lambda p: f(p["W"]), {"W": 2 * G}, {"W": X})
    text = str(report)
    assert not report.ok
    assert "WRONG: dW: constant ratio 2" in text
    assert max(map(len, text.splitlines())) <= 100
    assert report.rows[0].got == pytest.approx(2 * report.rows[0].want)
    assert report.plot().axes


# ------------------------------------------------------------------------------ where others are blind


def test_a_sign_flip_of_size_1e_9():
    assert words(-1e-9 * G, f=lambda x: 1e-9 * f(x)) == "sign flipped"
    grads = G.copy()
    grads[1, 2] *= -1e-9 / abs(G[1, 2])
    flipped = X.copy()
    flipped[1, 2] = 0.5e-9 / 8  # the derivative there is about 1e-9
    right = complex_step(f, flipped)
    wrong = right.copy()
    wrong[1, 2] *= -1
    assert words(wrong, flipped) == "sign flipped: 1 of 20 entries, such as [1, 2]"


def test_a_small_tensor_beside_a_large_one():
    def loss(p):
        return 1e20 * f(p["large"]) + f(p["small"])

    point, right = {"large": X, "small": X}, {"large": 1e20 * G, "small": G}
    assert check(loss, right, point).ok
    assert check(loss, right | {"small": -G}, point).first.verdict == "sign flipped"
    assert check(loss, right | {"small": 2 * G}, point).first.name == "small"


@pytest.mark.parametrize("bias", [0.0, 9.0, 16.0, 30.0])
def test_rounding_in_saturated_units_is_not_blamed(bias):
    point = {"a": X + bias, "c": G}

    def loss(p):
        return np.sum(p["c"] * np.tanh(p["a"]))

    y = np.tanh(point["a"])
    assert check(loss, {"a": G * (1 - y * y), "c": y}, point).ok
    assert not check(loss, {"a": -G / np.cosh(point["a"]) ** 2, "c": y}, point).ok


@pytest.mark.parametrize("index", [(0, 0), (37, 11), (99, 49)])
def test_one_zeroed_coordinate_of_5000(index):
    x = np.random.default_rng(2).standard_normal((100, 50))
    g = -2 * x * np.exp(-x * x)
    right = check(lambda x: np.exp(-x * x).sum(), g, x)
    assert right.ok
    assert "projections" in right.rows[0].covered
    g[index] = 0
    report = check(lambda x: np.exp(-x * x).sum(), g, x)
    assert report.rows[0].index == index
    assert "zero where it should not be" in str(report)


def test_wrong_by_a_half_in_float32():
    x = X.astype(np.float32)
    assert words(1.5 * G.astype(np.float32), x) == "constant ratio 1.5"
    report = check(f, G.astype(np.float32), x)
    assert report.ok
    assert "float32: the reference is computed in float64" in str(report)


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("near", [1e-8, -1e-8, 0.0])
def test_a_kink_is_not_blamed(method, near):
    x = X.copy()
    x[1, 2] = near
    report = check(lambda x: np.maximum(x, 0).sum(), (x > 0) * 1.0, x, method)
    assert report.ok
    assert ("kink" in str(report)) == (method == "central" or near == 0)
    assert not check(lambda x: np.maximum(x, 0).sum(), (x > 0) * 2.0, x, method).ok


def test_a_random_loss_is_said():
    rng = np.random.default_rng(0)
    report = check(lambda x: (x * rng.standard_normal(x.shape)).sum(), X, X)
    assert "the loss is random" in report.headline
    assert "draw it once" in report.headline


@pytest.mark.parametrize(
    "loss", [lambda x: np.abs(x).sum(), lambda x: np.linalg.norm(x), lambda x: np.vdot(x, x).real / 2]
)
def test_not_analytic_is_noticed(loss):
    gradient = central_difference(loss, X)[0]
    report = check(loss, gradient, X)
    assert report.ok
    assert "not analytic" in str(report)
    assert not check(loss, -gradient, X).ok


def test_check_pair():
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((3, 4)), rng.standard_normal((4, 5)), rng.standard_normal(5), "tanh"
    assert check_pair(ops.dense_forward, ops.dense_backward, *inputs).ok

    def averaged(dy, cache):
        dx, dW, db = ops.dense_backward(dy, cache)
        return dx, dW, db / len(dy)

    report = check_pair(ops.dense_forward, averaged, *inputs)
    assert report.first.name == "b"
    assert "ratio 1/B = 1/3" in report.first.verdict


# ------------------------------------------------------------------------------ models


def small(
    family=mv.VAE, D=7, L=3, hidden=(6, 5), activation="tanh", likelihood="bernoulli", backend="numpy", **kw
):
    model = family(D, L, hidden, activation, likelihood, backend, kw.get("dtype", np.float64), seed=3)
    rng = np.random.default_rng(5)
    for param in model.params.values():
        param += (0.3 * rng.standard_normal(param.shape)).astype(param.dtype)
    return model


def given(S=None, B=4, D=7, L=3):
    rng = np.random.default_rng(0)
    return rng.random((B, D)), rng.standard_normal((B, L) if S is None else (S, B, L))


def planted(**functions):
    return SimpleNamespace(**{**vars(ops), **functions})


def sampled(change):
    def backward(dz, mu, logvar, eps):
        return change(*ops.gaussian_sample_backward(dz, mu, logvar, eps), dz, logvar, eps)

    return {"backend": planted(gaussian_sample_backward=backward)}


def diverged(change):
    def backward(dkl, mu, logvar):
        return change(*ops.gaussian_kl_backward(dkl, mu, logvar), dkl, logvar)

    return {"backend": planted(gaussian_kl_backward=backward)}


def densely(change):
    return {
        "backend": planted(dense_backward=lambda dy, c, i=True: change(dy, c, *ops.dense_backward(dy, c, i)))
    }


def likely(change):
    def backward(dnll, logits, x):
        return change(ops.bernoulli_nll_backward(dnll, logits, x), logits, x)

    return {"backend": planted(bernoulli_nll_backward=backward)}


def wired(add=None, dz=lambda d: d, end=lambda g: g):
    """A VAE with a way back of its own."""

    class Wired(mv.VAE):
        def _walk_backward(self, doutputs, dkl, trace, estimator=None):
            _, eps, heads, *_, caches = trace
            grads = {}
            d = dz(self._outputs_backward(doutputs, caches, grads))
            a, b = self.posterior.sample_backward(d, *heads, eps), self.posterior.kl_backward(dkl, *heads)
            dheads = add(a, b) if add else [p + q for p, q in zip(a, b, strict=True)]
            parts = [
                layers.backward(self.ops, (h,), d, caches, grads)
                for h, d in zip(("mu", "logvar"), dheads, strict=True)
            ]
            layers.backward(self.ops, self.network.encoder, sum(parts), caches, grads, input_gradient=False)
            return end(grads)

    return {"family": Wired}


BUGS = {
    # settings, the first wrong node or parameter, its term, words of the headline
    "kl lacks -1": (
        diverged(lambda a, b, d, lv: (a, d[:, None] * 0.5 * np.exp(lv))),
        "logvar",
        "kl",
        "0.5/B",
    ),
    "kl dmu halved": (diverged(lambda a, b, d, lv: (a / 2, b)), "mu", "kl", "ratio 1/2"),
    "kl sign": (diverged(lambda a, b, d, lv: (a, -b)), "logvar", "kl", "sign flipped"),
    "kl exchanged": (diverged(lambda a, b, d, lv: (b, a)), "mu", "kl", "swapped"),
    "no eps": (
        sampled(lambda a, b, dz, lv, e: (a, dz * 0.5 * np.exp(lv / 2))),
        "logvar",
        "reconstruction",
        "1/eps",
    ),
    "no std": (sampled(lambda a, b, dz, lv, e: (a, dz * 0.5 * e)), "logvar", "reconstruction", "1/std"),
    "no half": (sampled(lambda a, b, dz, lv, e: (a, 2 * b)), "logvar", "reconstruction", "constant ratio 2"),
    "dmu std": (
        sampled(lambda a, b, dz, lv, e: (a * np.exp(lv / 2), b)),
        "mu",
        "reconstruction",
        "ratio is std",
    ),
    "nll sign": (likely(lambda d, l, x: -d), "logits", "reconstruction", "sign flipped"),
    "nll mean": (likely(lambda d, l, x: d / 7), "logits", "reconstruction", "ratio 1/D"),
    "nll lacks x": (likely(lambda d, l, x: d + x / 4), "logits", "reconstruction", "* x is one too many"),
    "db mean": (densely(lambda dy, c, x, W, b: (x, W, b / len(dy))), "output.b", "loss", "ratio 1/B"),
    "activation forgotten": (
        densely(lambda dy, c, dx, dW, db: (dx, c[0].T @ dy, db)),
        "decoder2.W",
        "loss",
        "derivative is missing",
    ),
    "kl subtracted": (
        wired(lambda a, b: [p - q for p, q in zip(a, b, strict=True)]),
        "mu",
        "kl",
        "sign flipped",
    ),
    "kl forgotten": (wired(lambda a, b: [a[0] + b[0], a[1]]), "logvar", "kl", "a branch never reached"),
    "dz doubled": (wired(dz=lambda d: 2 * d), "z", "reconstruction", "constant ratio 2"),
    "dz rolled": (wired(dz=lambda d: np.roll(d, 1, 0)), "z", "reconstruction", "shifted rows"),
    "dz clipped": (wired(dz=lambda d: np.clip(d, -0.05, 0.05)), "z", "reconstruction", "clipped"),
    "heads exchanged": (
        wired(end=lambda g: g | {"mu.W": g["logvar.W"]}),
        "mu.W",
        "loss",
        "another parameter",
    ),
    "a bias never reached": (
        wired(end=lambda g: g | {"decoder1.b": 0 * g["decoder1.b"]}),
        "decoder1.b",
        "loss",
        "a branch never reached",
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_named(bug):
    settings, name, term, said = BUGS[bug]
    report = check_model(small(**settings), *given(), beta=0.7)
    assert not report.ok
    assert (report.first.name, report.first.term) == (name, term), str(report)
    assert said in report.headline
    assert max(map(len, str(report).splitlines())) <= 100


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_no_false_alarm(backend, likelihood, dtype):
    for k, activation in enumerate(ops.ACTIVATIONS):
        model = small(
            activation=activation, likelihood=likelihood, backend=backend, dtype=dtype, hidden=(6, 5, 4)[:k]
        )
        report = check_model(model, *given(S=[None, 2][k % 2]), beta=0.7)
        assert report.ok, str(report)


@pytest.mark.slow
def test_no_false_alarm_in_many_random_models():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        B, D, L = (int(n) for n in rng.integers(1, 8, 3))
        hidden = tuple(int(n) for n in rng.integers(1, 8, rng.integers(0, 4)))
        names = (str(rng.choice(group)) for group in (ops.ACTIVATIONS, LIKELIHOODS, ("numpy", "numba")))
        dtype = [np.float32, np.float64][rng.integers(2)]
        model = mv.VAE(D, L, hidden, *names, dtype, seed=seed)
        for param in model.params.values():
            param += (rng.choice([0.3, 1.0, 2.0]) * rng.standard_normal(param.shape)).astype(dtype)
        if "output.logvar" in model.params:
            model.params["output.logvar"] += dtype(rng.uniform(-27, 27))
        eps = rng.standard_normal([(B, L), (1, B, L), (3, B, L)][seed % 3])
        report = check_model(model, rng.random((B, D)), eps, float(10 ** rng.uniform(-12, 12)))
        assert report.ok, f"seed {seed}\n{report}"


@pytest.mark.parametrize("wrong", [False, True])
def test_large_tensors_are_seen_through_projections(wrong):
    def one_entry_lost(dy, cache, dx, dW, db):
        dW[3, 2] *= wrong < 1 or dW.shape[0] != 784
        return dx, dW, db

    rng = np.random.default_rng(0)
    model = small(D=784, L=20, hidden=(40,), **densely(one_entry_lost))
    report = check_model(model, rng.random((8, 784)), rng.standard_normal((8, 20)))
    assert report.ok != wrong, str(report)
    if wrong:
        assert (report.first.name, report.first.index) == ("encoder1.W", (3, 2))
        assert "a branch never reached" in report.headline


def test_noise_redrawn_on_the_way_back():
    rng = np.random.default_rng(0)
    bug = sampled(lambda a, b, dz, lv, e: (a, dz * 0.5 * np.exp(lv / 2) * rng.standard_normal(e.shape)))
    assert "the gradient is random" in check_model(small(**bug), *given()).headline


@pytest.mark.parametrize("near", [0.0, 1e-8])
def test_a_unit_at_its_corner_is_named(near):
    model, (x, eps) = small(activation="relu"), given()
    model.params["encoder1.b"][4] = near - (x[2] @ model.params["encoder1.W"])[4]
    report = check_model(model, x, eps)
    assert report.ok, str(report)
    assert "kink: unit 4 of encoder1" in str(report)


def test_dead_inputs_are_said():
    model, (x, eps) = small(), given()
    assert "eps is zero everywhere" in str(check_model(model, x, 0 * eps))
    model.params["decoder1.W"][...] = 0
    assert "decoder1.W is zero everywhere" in str(check_model(model, x, eps))


def test_what_is_not_finite_is_named():
    model, (x, eps) = small(), given()
    model.params["logvar.b"][1] = 3000
    report = check_model(model, x, eps)
    assert not report.ok
    assert "it begins at z" in report.headline


def test_a_forward_pass_that_is_not_analytic():
    bug = planted(gaussian_kl=lambda mu, lv: ops.gaussian_kl(np.abs(mu), lv))
    report = check_model(small(backend=bug), *given())
    assert report.ok, str(report)
    assert "central differences are used" in str(report)


# ------------------------------------------------------------------------------ the command


def test_the_command(capsys, tmp_path):
    picture = tmp_path / "errors.png"
    assert cli.main(["gradcheck", "--hidden", "4", "--backend", "numpy", "--plot", str(picture)]) == 0
    assert "ok: " in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert cli.main(["gradcheck", "--backend", "numpy", "--estimator", "score-function"]) == 0
    assert cli.main(["gradcheck", "--plant", "db-averaged"]) == 1
    assert "ratio 1/B" in capsys.readouterr().out
    assert cli.main(["gradcheck", "--list-bugs"]) == 0
    assert "db-averaged" in capsys.readouterr().out
    assert cli.main(["gradcheck", "--plant", "nonsense"]) == 2


def test_all_that_is_promised_is_there():
    for name in gradcheck.__all__:
        assert getattr(gradcheck, name).__doc__

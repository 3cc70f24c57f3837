"""Words for every way in which two arrays differ; a function, an operation, right models of every kind."""

import numpy as np
import pytest

import minivae as mv
from minivae import gradcheck, ops
from minivae.gradcheck import check, check_model, check_pair, complex_step, verdict

RNG = np.random.default_rng(0)
W = RNG.standard_normal((5, 3))
MU, LOGVAR, EPS = RNG.standard_normal((3, 5, 3))
STD = np.exp(0.5 * LOGVAR)
SIZES = {"B": 5, "D": 6, "L": 3, "beta": 0.7}

# ------------------------------------------------------------------------------ verdict


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (W, ""),
        (-W, "sign flipped"),
        (2 * W, "twice too large"),
        (W / 2, "half of what is expected"),
        (5 * W, "B = 5: a sum over the batch"),
        (0.7 * W, "is beta applied twice?"),
        (W / 0.7, "is beta missing?"),
        (1.05 * W, "multiplied by 1.05"),
        (W * (1 + 1e-6), "multiplied by 1 +1e-06"),
        (W + 0.5, "constant offset +0.5 (a missing -1 in the KL?)"),
        (W * STD, "the factor std is too many"),
        (W / STD, "the factor std is missing"),
        (2 * W * STD, "the factor std is too many, and twice too large"),
        (W / STD * EPS, "it has the factor eps where std is expected"),
        (np.roll(W, 1, 0), "its rows shifted"),
        (W[[1, 0, 2, 3, 4]], "in another order"),
        (np.clip(W, -0.5, 0.5), "clipped at -0.5 and 0.5"),
        (np.abs(W), "the absolute value"),
        (np.round(W), "rounded to whole numbers"),
        (W.astype(np.float32), "rounded to float32: off by"),
        (0 * W, "zero everywhere"),
        (np.where(MU > 0, -W, W), "only: sign flipped"),
        (W * np.array([1, 1, 1, -1, 1])[:, None], "row 3 only: sign flipped"),
        (W * np.array([1, 2, 1]), "column 1 only: twice too large"),
        (W * np.arange(1, 6)[:, None], "each row is multiplied by a number of its own: 1, 2, 3"),
        (W + 1e-8 * EPS, "wrong, in no way I recognize; off by"),
        (W + np.eye(5, 3) * np.array([0, 1e-8, 0]), "one entry of 15 only, [1, 1]: off by"),
        (MU, "this is dmu: are the two exchanged?"),
        (W.T, "transposed: shape (3, 5) where (5, 3) is expected"),
        (W.sum(0), "a sum over axis 0 too many"),
        (np.stack([W, 0 * W]), "the sum over axis 0 is missing"),
        (1.0, "one number where an array is expected"),
        (np.where(MU > 1, np.nan, W), "not finite: nan in"),
        (1j * W, "complex, with an imaginary part"),
        (None, "not an array of numbers: None"),
    ],
)
def test_a_verdict_names_the_difference(got, words):
    known = {"std": STD, "eps": EPS}
    said = verdict(got, W, known=known, sizes=SIZES, others={"dmu": MU})
    assert words in said, said
    assert bool(said) == bool(words)


KL = {"mu^2": MU**2, "e^logvar": np.exp(LOGVAR), "logvar": LOGVAR, "1": np.ones((5, 3))}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (-0.5 * MU**2, "the term 1/2 * mu^2 is missing"),
        (0.5 * MU**2, "the term mu^2 where 1/2 * mu^2 is expected"),
        (LOGVAR, "the term -1/2 * logvar has the wrong sign"),
        (0.5 * LOGVAR + 0.5, "it is 1/2 * mu^2 + 1/2 * e^logvar, where 1/2 * mu^2"),
    ],
)
def test_a_verdict_names_terms(change, words):
    kl = 0.5 * (MU**2 + np.exp(LOGVAR) - LOGVAR - 1)
    assert words in verdict(kl + change, kl, terms=KL)


# ------------------------------------------------------------------------------ a function and its gradient


def f(x):
    return (np.tanh(x) ** 2 * np.arange(1, 21).reshape(4, 5)).sum()


X = np.random.default_rng(1).standard_normal((4, 5))
G = complex_step(f, X)
BIG = RNG.standard_normal((300, 200))
F4 = RNG.standard_normal(50).astype(np.float32)
LINE = np.linspace(-1, 1, 101)
STEEP = np.array([-800.0, 1, 2])


def in_single(p):
    return np.sum(np.asarray(p).astype(np.float32) ** 2)


def naive_sigmoid(a):
    return (1 / (1 + np.exp(-a))).sum()


RIGHT = {
    "plain": (f, G, X),
    "float32": (f, G.astype(np.float32), X.astype(np.float32)),
    "a cast to float32 in f": (in_single, 2 * F4, F4),
    "the same with float64 arrays": (in_single, 2.0 * F4, F4.astype(float)),
    "steps too small for float32": (in_single, np.full((8, 8), 7.4), np.full((8, 8), 3.7)),
    "a cast to float16 in f": (lambda x: np.sin(x.astype(np.float16)).sum(dtype=float), np.cos(X), X),
    "f cancels": (lambda a: float((a**3).sum()), 3 * LINE**2, LINE),
    "a triple zero": (lambda a: (a**3).sum(), np.zeros(3), np.zeros(3)),
    "overflow in f": (naive_sigmoid, np.exp(-np.abs(STEEP)) / (1 + np.exp(-np.abs(STEEP))) ** 2, STEEP),
    "np.abs": (lambda x: np.abs(x).sum(), np.sign(BIG[:2]), BIG[:2]),
    "norm": (np.linalg.norm, X / np.linalg.norm(X), X),
    "large array": (lambda a: (a**2).sum(), 2 * BIG, BIG),
    "at a corner": (lambda x: np.maximum(x, 0).sum(), np.array([1.0, 0, 0]), np.array([1.0, 0, -1])),
    "very large": (lambda x: np.exp(x).sum(), np.exp(X + 100), X + 100),
}
WRONG = {  # f, grads, params, words of the headline
    "a cast to float32 in f": (in_single, 3 * F4, F4, "off by 5e-01"),
    "one entry": (lambda a: (a**2).sum(), 2 * BIG + 1e-8 * (BIG.max() == BIG), BIG, "one entry"),
    "np.abs": (lambda x: np.abs(x).sum(), -np.sign(X), X, "sign flipped"),
    "a flipped entry of size 1e-9": (
        f,
        np.where(X[1, 2] == X, -G, G),
        np.where(X[1, 2] == X, 6e-11, X),
        "entry",
    ),
    "very large": (lambda x: np.exp(x).sum(), 2 * np.exp(X + 100), X + 100, "twice too large"),
    "corner": (lambda x: np.maximum(x, 0).sum(), np.eye(3)[0] * 2, np.eye(3)[0], "twice too large"),
    "another shape": (lambda a: (a**2).sum(), np.zeros(20), np.ones((4, 5)), "shape (20,) where (4, 5)"),
    "an axis kept": (lambda a: (a**2).sum(), 2 * np.ones((1, 20)), np.ones(20), "keepdims"),
    "transposed": (f, G.T, X, "transposed"),
    "no number": (lambda a: None, G, X, "f must return one number, got None"),
    "raises": (lambda a: a["q"], G, X, "f raises IndexError"),
    "not finite": (lambda a: np.log(-np.abs(a)).sum(), G, X, "the loss is not finite"),
    "random": (lambda a: (a * np.random.default_rng().random(a.shape)).sum(), G, X, "the loss is random"),
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_gradient_passes(case):
    report = check(*RIGHT[case])
    assert report.ok, str(report)


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_gradient_is_named(case):
    *given, words = WRONG[case]
    report = check(*given)
    assert not report.ok
    assert words in report.headline, report.headline
    assert max(map(len, str(report).splitlines())) <= 100


def test_saturated_softmax_is_not_blamed():
    """20 right gradients whose entries reach from 1 to e^-60: no alarm."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a, c = rng.uniform(15, 30) * rng.standard_normal((4, 10)), rng.standard_normal((4, 10))

        def softmax(a):
            e = np.exp(a - a.real.max(1, keepdims=True))
            return e / e.sum(1, keepdims=True)

        q = softmax(a)
        assert check(lambda a, c=c: (c * softmax(a)).sum(), q * (c - (q * c).sum(1, keepdims=True)), a).ok


@pytest.mark.parametrize("bias", [0.0, 9.0, 16.0, 30.0])
def test_rounding_in_saturated_units_is_not_blamed(bias):
    point = {"a": X + bias, "c": G}
    y = np.tanh(point["a"])
    assert check(lambda p: np.sum(p["c"] * np.tanh(p["a"])), {"a": G * (1 - y * y), "c": y}, point).ok
    wrong = {"a": -G / np.cosh(point["a"]) ** 2, "c": y}
    assert "da: sign flipped" in check(lambda p: np.sum(p["c"] * np.tanh(p["a"])), wrong, point).headline


def test_a_small_array_beside_a_large_one():
    def loss(p):
        return 1e20 * f(p["large"]) + f(p["small"])

    point, right = {"large": X, "small": X}, {"large": 1e20 * G, "small": G}
    assert check(loss, right, point).ok
    assert "dsmall: sign flipped" in check(loss, right | {"small": -G}, point).headline


def test_one_float32_array_does_not_loosen_the_others():
    grads = {"a": (2 * X).astype(np.float32), "b": 2 * X * (1 + 1e-6)}
    report = check(lambda p: (p["a"] ** 2).sum() + (p["b"] ** 2).sum(), grads, {"a": X, "b": X})
    assert report.first.name == "b"


def test_a_report_reads_as_a_table():
    report = check(lambda p: f(p["W"]), {"W": 2 * G}, {"W": X})
    assert "WRONG: dW: twice too large: a factor 1/2 lost, or added twice?; off by 1e+00" in str(report)
    assert report.rows[0].got == pytest.approx(2 * report.rows[0].want)
    assert len(report.plot().axes) >= 1


# ------------------------------------------------------------------------------ an operation and its backward


def product(x, W):
    return x @ W


def in_place(dy, x, W):
    dy *= 7
    return dy @ W.T, x.T @ dy


PAIRS = {  # backward of product(x, W), words of the headline
    "right": (lambda dy, x, W: (dy @ W.T, x.T @ dy), "ok"),
    "a dict": (lambda dy, x, W: {"dx": dy @ W.T, "dW": x.T @ dy}, "ok"),
    "dy changed": (in_place, "changes its upstream gradient in place; dx: multiplied by 7"),
    "no return": (lambda dy, x, W: None, "dx: is missing"),
    "only dx": (lambda dy, x, W: dy @ W.T, "dW: is missing"),
    "None": (lambda dy, x, W: (dy @ W.T, None), "dW: is missing"),
    "one too many": (lambda dy, x, W: (dy @ W.T, x.T @ dy, dy), "returns 3 derivatives for 2 inputs"),
    "swapped": (lambda dy, x, W: (x.T @ dy, dy @ W.T), "shape"),
    "raises": (lambda dy, x, W: dy @ W, "raises ValueError"),
}


@pytest.mark.parametrize("case", PAIRS)
def test_check_pair(case):
    backward, words = PAIRS[case]
    report = check_pair(product, backward, X, BIG[:5, :3])
    assert report.ok == (words == "ok")
    assert words in report.headline, report.headline


@pytest.mark.parametrize("name", ["gaussian_kl", "gaussian_sample", "bernoulli_nll", "gaussian_nll"])
def test_the_operations_of_the_library_are_right(name):
    count = {"gaussian_kl": 2, "bernoulli_nll": 2}.get(name, 3)
    pair = getattr(ops, name), getattr(ops, f"{name}_backward")
    report = check_pair(*pair, *np.random.default_rng(0).standard_normal((count, 5, 3)))
    assert report.ok, str(report)
    assert len(report.rows) == (1 if name == "bernoulli_nll" else 2)


@pytest.mark.parametrize("bias", [0, 200, -200])
def test_rounding_in_a_saturated_layer_is_not_blamed(bias):
    given = 20 * np.random.default_rng(1).standard_normal((3, 4, 4))
    for act in ops.ACTIVATIONS:
        forward = lambda x, W, b, act=act: ops.dense_forward(x, W, b, act)  # noqa: E731
        report = check_pair(forward, ops.dense_backward, *given[:2], given[2, 0] + bias)
        assert report.ok, str(report)


def test_a_forward_with_two_outputs_is_not_taken_for_a_cache():
    report = check_pair(lambda x: (3 * x, x * x), lambda dy, x: 3 * dy, X)
    assert "forward returns 2 values and backward takes the inputs" in report.headline
    assert check_pair(lambda x: (3 * x, x), lambda dy, x: 3 * dy, X).ok
    report = check_pair(lambda x: (3 * x, x * x), lambda a, b, x: 3 * a + 2 * x * b, X)
    assert "read as y and the cache" in report.headline


def random_model(seed, backends=("numpy",)):
    rng = np.random.default_rng(seed)
    B, D, L = (int(n) for n in rng.integers(1, 6, 3))
    hidden = tuple(int(n) for n in rng.integers(1, 6, rng.integers(0, 4)))
    likelihoods = ("bernoulli", "gaussian", "gaussian-shared", "gaussian-pixel")
    names = [str(rng.choice(group)) for group in (ops.ACTIVATIONS, likelihoods, backends)]
    dtype = [np.float32, np.float64][rng.integers(2)]
    model = mv.VAE(D, L, hidden, *names, dtype, seed=seed)
    for param in model.params.values():
        param += (rng.choice([0.3, 1.0, 2.0]) * rng.standard_normal(param.shape)).astype(dtype)
    eps = rng.standard_normal([(B, L), (1, B, L), (3, B, L)][seed % 3])
    bound = {"bound": "iwae"} if seed % 4 == 1 else {}
    return model, rng.random((B, D)), eps, float(10 ** rng.uniform(-3, 3)), bound


@pytest.mark.parametrize(
    ("seeds", "backends"),
    [
        (range(4), ("numba",)),
        (range(10, 40), ("numpy",)),
        pytest.param(range(100, 160), ("numpy",), marks=pytest.mark.slow),
    ],
)
def test_no_false_alarm_in_random_models(seeds, backends):
    for seed in seeds:
        *given, bound = random_model(seed, backends)
        report = check_model(*given, **bound)
        assert report.ok, f"seed {seed}\n{report}"


def test_all_that_is_promised_is_there():
    for name in gradcheck.__all__:
        assert getattr(gradcheck, name).__doc__

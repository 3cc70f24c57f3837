"""Every operation on both backends: its derivative, its value, its shapes, its extremes, its errors."""

import numpy as np
import oracles
import pytest
from oracles import agree, check_pair

from minivae import ops as text

B, D, L, S = 4, 5, 3, 2  # never equal, so that no axis passes for another
SIZES = {"B": B, "D": D, "L": L, "S": S, "1": 1}


@pytest.fixture
def reference(backend):
    """The oracle that a backend can be differentiated with, and how far it can be trusted."""
    if backend == "numpy":
        return {"reference": oracles.complex_gradient, "tolerance": 1e-13}
    return {"reference": oracles.central_gradient, "tolerance": 1e-8}


def draw(rng, **axes):
    shapes = {name: [SIZES[letter] for letter in letters] for name, letters in axes.items()}
    return {name: np.array(rng.standard_normal(shape)) for name, shape in shapes.items()}


# ------------------------------------------------------------------------------ derivatives


@pytest.mark.parametrize("activation", text.ACTIVATIONS)
def test_dense_and_activation_gradients(ops, rng, reference, activation):
    def layer(x, W, b):
        return ops.dense_forward(x, W, b, activation)

    def backward(dy, **inputs):
        return ops.dense_backward(dy, layer(**inputs)[1])

    inputs = draw(rng, x="BD", W="DL", b="L")
    check_pair(lambda **inputs: layer(**inputs)[0], backward, inputs, rng, **reference)
    check_pair(
        lambda a: ops.activation_forward(a, activation),
        lambda dy, a: [ops.activation_backward(dy, ops.activation_forward(a, activation), activation)],
        {"a": 3 * rng.standard_normal((B, D))}, rng, **reference,
    )  # fmt: skip
    y, cache = layer(**inputs)
    dx, dW, db = ops.dense_backward(y, cache, input_gradient=False)
    assert dx is None
    for got, want in zip((dW, db), ops.dense_backward(y, cache)[1:], strict=True):
        agree("without dx", got, want, 0)
    agree("y", y, oracles.dense(inputs["x"], inputs["W"], inputs["b"], activation), 1e-14)


@pytest.mark.parametrize("shape", ["BL", "SBL"])
def test_gaussian_gradients(ops, rng, reference, shape):
    def sample_backward(dz, **inputs):
        return *ops.gaussian_sample_backward(dz, **inputs), None

    def log_prob_backward(dlogq, z, mu, logvar):  # the score, sample by sample
        grads = [dlogq[..., None] * score for score in ops.gaussian_score(z, mu, logvar)]
        return None, *(grad.reshape(-1, B, L).sum(axis=0) for grad in grads)

    inputs = draw(rng, mu="BL", logvar="BL", eps=shape)
    check_pair(ops.gaussian_sample, sample_backward, inputs, rng, **reference)
    inputs = draw(rng, z=shape, mu="BL", logvar="BL")
    check_pair(ops.gaussian_log_prob, log_prob_backward, inputs, rng, **reference)
    check_pair(ops.gaussian_kl, ops.gaussian_kl_backward, draw(rng, mu="BL", logvar="BL"), rng, **reference)


@pytest.mark.parametrize("shape", ["BD", "SBD"])
@pytest.mark.parametrize("spread", ["", "1", "D", "like the mean"])
def test_nll_gradients(ops, rng, reference, shape, spread):
    def backward(*dnll, **inputs):
        return *ops.gaussian_nll_backward(*dnll, **inputs), None

    inputs = draw(rng, mean=shape, logvar=spread if len(spread) < 2 else shape, x="BD")
    check_pair(ops.gaussian_nll, backward, inputs, rng, **reference)

    def backward(*dnll, **inputs):
        return ops.bernoulli_nll_backward(*dnll, **inputs), None

    inputs = {"logits": 3 * inputs["mean"], "x": rng.random((B, D))}
    check_pair(ops.bernoulli_nll, backward, inputs, rng, **reference)


# ------------------------------------------------------------------------------ values


def test_sampler(ops, rng):
    """z = mu + std * eps has the mean mu and the variance e^logvar.

    Mean and variance within 5 standard errors (8 comparisons: false alarm 5e-6); a variance that is wrong
    by 2 % is 9 standard errors away.
    """
    mu, logvar = np.array([[0.0, 1.0, -2.0, 0.5]]), np.array([[0.0, -2.0, 1.0, 2.0]])
    z = ops.gaussian_sample(mu, logvar, rng.standard_normal((400_000, 1, 4)))
    oracles.check_mean("z", z, mu)
    oracles.check_mean("(z - mu)^2", (z - mu) ** 2, np.exp(logvar))


def test_kl_is_the_mean_log_ratio(ops):
    """The closed form and E_q[log q - log p] by quadrature, from the textbook density."""
    e, weights = oracles.normal_rule()
    mu, std = np.array([[0.0, 2.0], [1.0, -0.5], [0.3, 0.0]]), np.array([[1.6, 1.0], [0.4, 1.4], [1.1, 0.6]])
    z = mu + std * e[:, None, None]
    ratio = oracles.normal_log_density(z, mu, std) - oracles.normal_log_density(z, 0.0, 1.0)
    want = np.tensordot(weights, ratio, axes=1).sum(axis=-1)
    agree("kl", ops.gaussian_kl(mu, 2 * np.log(std)), want, 1e-12)
    # KL(N(2, 1) || N(0, 1)) = 2; at mu = 0, std = e: (e^2 - 3) / 2; at mu = 2, std = e^3: 200.2144
    anchors = np.array([[2.0, 0.0, 2.0, 0.0], [0.0, 2.0, 6.0, 0.0]])[:, :, None]
    agree("kl", ops.gaussian_kl(*anchors), [2.0, (np.e**2 - 3) / 2, 200.2144, 0.0], 1e-6)


def test_densities_by_the_textbook(ops, rng):
    z, mu, logvar = draw(rng, z="SBL", mu="BL", logvar="BL").values()
    want = oracles.normal_log_density(z, mu, np.sqrt(np.exp(logvar))).sum(axis=-1)
    agree("log_prob", ops.gaussian_log_prob(z, mu, logvar), want, 1e-13)
    agree("nll", ops.gaussian_nll(z, np.broadcast_to(logvar, z.shape), mu), -want, 1e-13)
    half = 0.5 * ((z[0] - mu) ** 2).sum(axis=1) + 0.5 * L * np.log(2 * np.pi)
    agree("half the squared error", ops.gaussian_nll(z[0], np.zeros(1), mu), half, 1e-14)
    bits, p = (rng.random((B, L)) < 0.5).astype(float), 1 / (1 + np.exp(-z))
    agree("bits", ops.bernoulli_nll(z, bits), -np.log(np.where(bits > 0, p, 1 - p)).sum(axis=-1), 1e-13)
    agree("undecided", ops.bernoulli_nll(0 * z, p[0]), np.full((S, B), L * np.log(2)), 1e-14)


# ------------------------------------------------------------------------------ extremes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", text.ACTIVATIONS)
def test_activations_at_the_ends(ops, activation, dtype):
    a = np.array([[-1000, -40, -1e-3, 0, 1e-3, 40, 1000]], dtype)
    y = ops.activation_forward(a, activation)
    assert y.dtype == dtype
    want = [[oracles.ACTIVATION[activation](v) for v in a[0].tolist()]]
    np.testing.assert_allclose(y, want, rtol=8 * np.finfo(dtype).eps, atol=0)
    da = ops.activation_backward(np.ones_like(y), y, activation)
    assert np.all(np.isfinite(da))
    if activation == "relu":
        np.testing.assert_array_equal(da, a > 0)  # the slope at 0 is 0


@pytest.mark.parametrize("size", [40.0, 1000.0])
def test_extreme_logits(ops, size):
    """A wrong pixel costs its logit in nats and a right one nothing."""
    logits, x = size * np.array([[1.0, -1, 1, -1]]), np.array([[0.0, 1, 1, 0]])
    agree("nll", ops.bernoulli_nll(logits, x), [2 * size + 4 * np.log1p(np.exp(-size))], 1e-15)


@pytest.mark.parametrize("logvar", [-60.0, 60.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spreads_of_e_to_the_60(ops, dtype, logvar):
    """Every function of a log-variance of +-60 against the same in the plainest float64."""
    eps, std = 20 * np.finfo(dtype).eps, float(np.exp(logvar / 2))
    mu, spread, noise = (np.full((1, 1), v, dtype) for v in (0.5, logvar, -1.5))
    density = oracles.normal_log_density(-1.5, 0.5, std)[None]
    dkl = ops.gaussian_kl_backward(np.ones(1, dtype), mu, spread)
    for name, got, want in (
        ("z", ops.gaussian_sample(mu, spread, noise), [[0.5 - 1.5 * std]]),
        ("kl", ops.gaussian_kl(mu, spread), [0.5 * (0.25 + np.expm1(logvar) - logvar)]),
        ("dlogvar of kl", dkl[1], [[0.5 * np.expm1(logvar)]]),
        ("log_prob", ops.gaussian_log_prob(noise, mu, spread), density),
        ("score", ops.gaussian_score(noise, mu, spread)[0], [[-2 * np.exp(-logvar)]]),
        ("nll", ops.gaussian_nll(mu, spread, noise), -density),
    ):
        agree(name, got, want, eps)


def test_small_answers_keep_their_digits(ops):
    """Where the answer is tiny, it is right relative to itself: no 1 was added and taken away again."""
    a = np.array([[-40.0, -20.0, -5.0]])
    y = ops.activation_forward(a, "softplus")
    slope = ops.activation_backward(np.ones_like(y), y, "softplus")
    np.testing.assert_allclose(y, np.log1p(np.exp(a)), rtol=1e-14)
    np.testing.assert_allclose(slope, np.exp(a) / (1 + np.exp(a)), rtol=1e-14)
    one = np.ones((1, 1))
    for logvar in (1e-9, -1e-7):
        dlogvar = ops.gaussian_kl_backward(np.ones(1), one, logvar * one)[1]
        np.testing.assert_allclose(dlogvar, 0.5 * (logvar + logvar**2 / 2), rtol=1e-13)
    # at logvar = d the KL is d^2 / 4 + O(d^3)
    np.testing.assert_allclose(ops.gaussian_kl(0 * one, 1e-5 * one), [0.25e-10 + 1e-15 / 12], rtol=1e-6)
    for size in (20.0, 36.0, 40.0, 300.0):
        logits = np.array([[size]])
        np.testing.assert_allclose(ops.bernoulli_nll(logits, one), [np.exp(-size)], rtol=1e-8)
        np.testing.assert_allclose(ops.bernoulli_nll(-logits, 0 * one), [np.exp(-size)], rtol=1e-8)


def test_nan_is_never_hidden(ops):
    nan = np.full((1, 1), np.nan)
    for activation in text.ACTIVATIONS:
        assert np.isnan(ops.activation_forward(nan, activation)).all()
    assert np.isnan(ops.bernoulli_nll(nan, np.ones((1, 1)))).all()
    assert np.isnan(ops.gaussian_kl(nan, np.zeros((1, 1)))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_types_are_kept_and_inputs_left_alone(ops, dtype):
    a, v = np.full((2, 2), 0.5, dtype), np.full(2, 0.5, dtype)
    y, cache = ops.dense_forward(a, a, v, "sigmoid")
    results = [
        *(y, *ops.dense_backward(y, cache), ops.activation_backward(a, y, "softplus")),
        *(ops.gaussian_sample(a, a, a), *ops.gaussian_sample_backward(a, a, a, a)),
        *(ops.gaussian_kl(a, a), *ops.gaussian_kl_backward(v, a, a)),
        *(ops.bernoulli_nll(a, a), ops.bernoulli_nll_backward(v, a, a)),
        *(ops.gaussian_nll(a, v, a), *ops.gaussian_nll_backward(v, a, v, a)),
        *(ops.gaussian_log_prob(a, a, a), *ops.gaussian_score(a, a, a)),
    ]
    assert {result.dtype for result in results} == {np.dtype(dtype)}
    assert np.all(np.append(a, v) == 0.5)
    assert np.all(y == ops.dense_forward(a, a, v, "sigmoid")[0])


# ------------------------------------------------------------------------------ bad arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o, f: o.activation_forward(f(2, 2), "gelu"), "activation must be one of"),
        (lambda o, f: o.activation_backward(f(2, 2), f(2, 2), "gelu"), "activation must be one of"),
        (lambda o, f: o.activation_backward(f(2, 1), f(2, 2), "relu"), r"dy must have shape \(2, 2\)"),
        (lambda o, f: o.dense_forward(f(2, 3), f(4, 2), f(2)), r"x must have shape \(2, 4\)"),
        (lambda o, f: o.dense_forward(f(2, 3), f(3, 2), f(1)), r"b must have shape \(2,\), got .* \(1,\)"),
        (lambda o, f: o.dense_forward(f(2, 3), f(3, 2), f(2, 2)), r"b must have shape \(2,\)"),
        (lambda o, f: o.dense_forward(f(3), f(3, 2), f(2)), "x must have shape"),
        (lambda o, f: o.dense_forward(f(2, 3), f(3), f(2)), r"W must have shape \(I, O\)"),
        (lambda o, f: o.dense_backward(f(2, 1), o.dense_forward(f(2, 3), f(3, 2), f(2))[1]), "dy must have"),
        (lambda o, f: o.dense_backward([1], o.dense_forward(f(2, 3), f(3, 2), f(2))[1]), "dy must have"),
        (lambda o, f: o.gaussian_kl(f(2, 3), f(2, 1)), r"logvar must have shape \(2, 3\)"),
        (lambda o, f: o.gaussian_kl(f(3), f(3)), r"mu must have shape \(B, L\)"),
        (lambda o, f: o.gaussian_kl_backward(f(2, 1), f(2, 3), f(2, 3)), r"dkl must have shape \(2,\)"),
        (lambda o, f: o.gaussian_kl_backward(f(2), f(2, 3), f(1, 3)), "logvar must have shape"),
        (lambda o, f: o.gaussian_sample(f(2, 3), f(2, 3), f(3)), r"eps .* \(2, 3\) or \(S, 2, 3\)"),
        (lambda o, f: o.gaussian_sample(f(2, 3), f(2, 3), f(5, 1, 3)), "eps must have shape"),
        (lambda o, f: o.gaussian_sample(f(2, 3), f(2, 3), f(1, 5, 2, 3)), "eps must have shape"),
        (lambda o, f: o.gaussian_sample_backward(f(2, 3), f(2, 3), f(2, 3), f(4, 2, 3)), "dz must have"),
        (lambda o, f: o.gaussian_sample_backward(f(4, 2, 3), f(2, 3), f(2, 3), f(2, 3)), "dz must have"),
        (lambda o, f: o.gaussian_sample_backward(f(1, 3), f(2, 3), f(2, 3), f(1, 3)), "eps must have shape"),
        (lambda o, f: o.gaussian_sample_backward(f(2, 3), f(2, 3), f(2, 1), f(2, 3)), "logvar must have"),
        (lambda o, f: o.gaussian_score(f(1, 3), f(2, 3), f(2, 3)), "z must have shape"),
        (lambda o, f: o.gaussian_log_prob(f(2, 3), f(2, 3), f(2, 1)), "logvar must have shape"),
        (lambda o, f: o.gaussian_log_prob(f(1, 3), f(2, 3), f(2, 3)), "z must have shape"),
        (lambda o, f: o.bernoulli_nll(f(2, 3), f(2, 1)), "logits must have shape"),
        (lambda o, f: o.bernoulli_nll(f(2, 3), f(3)), "x must have shape"),
        (lambda o, f: o.bernoulli_nll_backward(f(2, 1), f(2, 3), f(2, 3)), "dnll must have shape"),
        (lambda o, f: o.bernoulli_nll_backward(f(2), f(4, 2, 3), f(2, 3)), r"dnll .* \(4, 2\)"),
        (lambda o, f: o.bernoulli_nll_backward(f(2), f(2, 3), f(2, 1)), "logits must have shape"),
        (lambda o, f: o.gaussian_nll(f(2, 3), f(2), f(2, 3)), "logvar must have shape"),
        (lambda o, f: o.gaussian_nll(f(2, 3), f(1), f(2, 1)), "mean must have shape"),
        (lambda o, f: o.gaussian_nll_backward(f(3), f(2, 3), f(1), f(2, 3)), "dnll must have shape"),
        (lambda o, f: o.gaussian_nll_backward(f(2), f(2, 3), f(1), f(2, 1)), "mean must have shape"),
        (lambda o, f: o.gaussian_nll_backward(f(2), f(2, 3), f(2, 1), f(2, 3)), "logvar must have shape"),
    ],
)  # fmt: skip
def test_wrong_shapes_are_refused(ops, call, message):
    with pytest.raises(ValueError, match=message):
        call(ops, lambda *shape: np.ones(shape))


def test_lists_are_refused(ops):
    with pytest.raises(TypeError, match=r"mu must be a NumPy array of shape \(B, L\), got \[\[1.0\]\]"):
        ops.gaussian_kl([[1.0]], [[1.0]])

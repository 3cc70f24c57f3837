"""Every operation on both backends: its derivative, its value, its shapes, its extremes, its errors."""

import checks
import numpy as np
import oracles
import pytest
from checks import agree, check_pair

from minivae import ops as text

B, D, L, S = 4, 5, 3, 2  # never equal, so that no axis can stand in for another


@pytest.fixture
def reference(backend):
    """The oracle that a backend can be differentiated with, and how far it can be trusted."""
    if backend == "numpy":
        return {"reference": oracles.complex_gradient, "tolerance": 1e-13}
    return {"reference": oracles.central_gradient, "tolerance": 1e-8}


def latents(rng, *shape):
    return {
        "mu": rng.standard_normal((B, L)),
        "logvar": rng.standard_normal((B, L)),
        "eps": rng.standard_normal(shape),
    }


# ------------------------------------------------------------------------------ derivatives: two lines each


@pytest.mark.parametrize("activation", text.ACTIVATIONS)
def test_dense_gradient(ops, rng, reference, activation):
    inputs = {"x": rng.standard_normal((B, D)), "W": rng.standard_normal((D, L)), "b": rng.standard_normal(L)}
    check_pair(
        lambda x, W, b: ops.dense_forward(x, W, b, activation)[0],
        lambda dy, x, W, b: ops.dense_backward(dy, ops.dense_forward(x, W, b, activation)[1]),
        inputs, rng, **reference,
    )  # fmt: skip


@pytest.mark.parametrize("activation", text.ACTIVATIONS)
def test_activation_gradient(ops, rng, reference, activation):
    check_pair(
        lambda a: ops.activation_forward(a, activation),
        lambda dy, a: [ops.activation_backward(dy, ops.activation_forward(a, activation), activation)],
        {"a": 3 * rng.standard_normal((B, D))}, rng, **reference,
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(B, L), (S, B, L)])
def test_gaussian_sample_gradient(ops, rng, reference, shape):
    inputs = latents(rng, *shape)
    check_pair(ops.gaussian_sample, ops.gaussian_sample_backward, inputs, rng, fixed=("eps",), **reference)


def test_gaussian_kl_gradient(ops, rng, reference):
    inputs = {"mu": rng.standard_normal((B, L)), "logvar": rng.standard_normal((B, L))}
    check_pair(ops.gaussian_kl, ops.gaussian_kl_backward, inputs, rng, **reference)


@pytest.mark.parametrize("shape", [(B, D), (S, B, D)])
def test_bernoulli_nll_gradient(ops, rng, reference, shape):
    inputs = {"logits": 3 * rng.standard_normal(shape), "x": rng.random((B, D))}
    check_pair(
        ops.bernoulli_nll,
        lambda *a, **k: [ops.bernoulli_nll_backward(*a, **k)],
        inputs,
        rng,
        fixed=("x",),
        **reference,
    )


@pytest.mark.parametrize("shape", [(B, D), (S, B, D)])
@pytest.mark.parametrize("spread", [(), (1,), (D,), "like the mean"])
def test_gaussian_nll_gradient(ops, rng, reference, shape, spread):
    spread = shape if spread == "like the mean" else spread
    inputs = {
        "mean": rng.standard_normal(shape),
        "logvar": np.array(rng.standard_normal(spread)),
        "x": rng.standard_normal((B, D)),
    }
    check_pair(ops.gaussian_nll, ops.gaussian_nll_backward, inputs, rng, fixed=("x",), **reference)


def sum_samples(d):
    return d.sum(axis=0) if d.ndim == 3 else d


@pytest.mark.parametrize("shape", [(B, L), (S, B, L)])
def test_gaussian_score_is_the_gradient_of_log_prob(ops, rng, reference, shape):
    z, mu, logvar = rng.standard_normal(shape), *rng.standard_normal((2, B, L))
    dmu, dlogvar = ops.gaussian_score(z, mu, logvar)
    assert dmu.shape == dlogvar.shape == shape
    of = reference["reference"]
    agree(
        "dmu",
        sum_samples(dmu),
        of(lambda v: ops.gaussian_log_prob(z, v, logvar).sum(), mu),
        reference["tolerance"],
    )
    agree(
        "dlogvar",
        sum_samples(dlogvar),
        of(lambda v: ops.gaussian_log_prob(z, mu, v).sum(), logvar),
        reference["tolerance"],
    )
    if z.ndim == 3:  # and sample by sample
        agree("one sample's dmu", ops.gaussian_score(z[1], mu, logvar)[0], dmu[1], 1e-15)


# ------------------------------------------------------------------------------ values


@pytest.mark.parametrize("activation", text.ACTIVATIONS)
def test_dense_value(ops, rng, activation):
    x, W, b = rng.standard_normal((B, D)), rng.standard_normal((D, L)), rng.standard_normal(L)
    agree("y", ops.dense_forward(x, W, b, activation)[0], oracles.dense(x, W, b, activation), 1e-14)


def test_dense_without_input_gradient(ops, rng):
    x, W, b = rng.standard_normal((B, D)), rng.standard_normal((D, L)), rng.standard_normal(L)
    y, cache = ops.dense_forward(x, W, b, "tanh")
    full, short = ops.dense_backward(y, cache), ops.dense_backward(y, cache, input_gradient=False)
    assert short[0] is None
    agree("dW", short[1], full[1], 0)
    agree("db", short[2], full[2], 0)


def test_sampler(ops, rng):
    checks.check_sampler(ops, rng)


def test_kl_by_monte_carlo(ops, rng):
    checks.check_kl(ops, rng)


def test_shapes(ops, rng):
    checks.check_shapes(ops, rng)


def test_pixels_are_summed(ops, rng):
    checks.check_pixel_scaling(ops.bernoulli_nll, rng)
    checks.check_pixel_scaling(lambda mean, x: ops.gaussian_nll(mean, np.zeros(1), x), rng)


def test_extreme_logits(ops):
    checks.check_extreme_logits(ops)


def test_kl_anchors(ops):
    """KL(N(2,1) || N(0,1)) = 2; at mu = 0, std = e: (e^2 - 3) / 2; at mu = 2, std = e^3: 200.2144."""
    for mu, logvar, kl in (
        (2.0, 0.0, 2.0),
        (0.0, 2.0, (np.e**2 - 3) / 2),
        (2.0, 6.0, 200.2144),
        (0.0, 0.0, 0.0),
    ):
        got = ops.gaussian_kl(np.array([[mu]]), np.array([[logvar]]))[0]
        assert got == pytest.approx(kl, rel=1e-6, abs=1e-15)
        assert ops.gaussian_kl(np.array([[-mu]]), np.array([[logvar]]))[0] == got


def test_an_undecided_decoder_costs_784_bits(ops):
    x = np.random.default_rng(0).random((2, 784))
    agree("nll", ops.bernoulli_nll(np.zeros((2, 784)), x), np.full(2, 784 * np.log(2)), 1e-14)


def test_unit_gaussian_is_half_the_squared_error(ops, rng):
    mean, x = rng.standard_normal((2, B, D))
    want = 0.5 * ((x - mean) ** 2).sum(axis=1) + 0.5 * D * np.log(2 * np.pi)
    agree("nll", ops.gaussian_nll(mean, np.zeros(1), x), want, 1e-14)


def test_densities_by_the_textbook(ops, rng):
    z, mu, logvar = rng.standard_normal((S, B, L)), *rng.standard_normal((2, B, L))
    want = oracles.normal_log_density(z, mu, np.sqrt(np.exp(logvar))).sum(axis=-1)
    agree("log_prob", ops.gaussian_log_prob(z, mu, logvar), want, 1e-13)
    agree("nll", ops.gaussian_nll(z, np.broadcast_to(logvar, z.shape), mu), -want, 1e-13)


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
    assert np.isfinite(da).all()


@pytest.mark.parametrize("logvar", [-60.0, 60.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spreads_of_e_to_the_60(ops, dtype, logvar):
    """Every function of a log-variance of +-60 against the same in the plainest float64."""
    eps = 20 * np.finfo(dtype).eps
    mu, spread, noise = (np.full((1, 1), v, dtype) for v in (0.5, logvar, -1.5))
    std = float(np.exp(logvar / 2))
    z = ops.gaussian_sample(mu, spread, noise)
    agree("z", z, [[0.5 - 1.5 * std]], eps)
    agree("kl", ops.gaussian_kl(mu, spread), [0.5 * (0.25 + np.expm1(logvar) - logvar)], eps)
    agree(
        "dlogvar of kl",
        ops.gaussian_kl_backward(np.ones(1, dtype), mu, spread)[1],
        [[0.5 * np.expm1(logvar)]],
        eps,
    )
    agree(
        "log_prob",
        ops.gaussian_log_prob(noise, mu, spread),
        oracles.normal_log_density(-1.5, 0.5, std)[None],
        eps,
    )
    agree("score", ops.gaussian_score(noise, mu, spread)[0], [[-2 * np.exp(-logvar)]], eps)
    agree("nll", ops.gaussian_nll(mu, spread, noise), -oracles.normal_log_density(-1.5, 0.5, std)[None], eps)


def test_kl_keeps_its_digits_near_the_prior(ops):
    """At logvar = d the KL is d^2 / 4 + O(d^3); 1 + d would round most of that away."""
    logvar = np.full((1, 1), 1e-5)
    agree("kl", ops.gaussian_kl(np.zeros((1, 1)), logvar), [0.25e-10 + 1e-15 / 12], 1e-6)


def test_nan_is_never_hidden(ops):
    nan = np.full((1, 1), np.nan)
    for activation in text.ACTIVATIONS:
        assert np.isnan(ops.activation_forward(nan, activation)).all()
    assert np.isnan(ops.bernoulli_nll(nan, np.ones((1, 1)))).all()
    assert np.isnan(ops.gaussian_kl(nan, np.zeros((1, 1)))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_types_are_kept(ops, backend, dtype):
    if backend == "numba" and dtype is np.complex128:
        with pytest.raises(TypeError, match="float32 or float64"):
            ops.gaussian_kl(np.ones((1, 1), dtype), np.ones((1, 1), dtype))
        return
    a = np.full((2, 2), 0.5, dtype)
    v = np.full(2, 0.5, dtype)
    y, cache = ops.dense_forward(a, a, v, "sigmoid")
    results = [
        *(y, *ops.dense_backward(y, cache)),
        *(ops.gaussian_sample(a, a, a), *ops.gaussian_sample_backward(a, a, a, a)),
        *(ops.gaussian_kl(a, a), *ops.gaussian_kl_backward(v, a, a)),
        *(ops.bernoulli_nll(a, a), ops.bernoulli_nll_backward(v, a, a)),
        *(ops.gaussian_nll(a, v, a), *ops.gaussian_nll_backward(v, a, v, a)),
        *(ops.gaussian_log_prob(a, a, a), *ops.gaussian_score(a, a, a)),
    ]
    assert {result.dtype for result in results} == {np.dtype(dtype)}


def test_inputs_are_left_alone(ops, rng):
    arrays = {
        "mu": rng.standard_normal((B, L)),
        "logvar": rng.standard_normal((B, L)),
        "eps": rng.standard_normal((B, L)),
    }
    before = {name: array.copy() for name, array in arrays.items()}
    z = ops.gaussian_sample(**arrays)
    ops.gaussian_sample_backward(z, **arrays)
    y, cache = ops.dense_forward(arrays["mu"], np.eye(L), np.zeros(L), "relu")
    kept = y.copy()
    ops.dense_backward(np.ones_like(y), cache)
    for name in arrays:
        agree(name, arrays[name], before[name], 0)
    agree("y", y, kept, 0)


# ------------------------------------------------------------------------------ bad arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o, f: o.activation_forward(f(2, 2), "gelu"), "activation must be one of"),
        (lambda o, f: o.dense_forward(f(2, 3), f(4, 2), f(2)), r"x must have shape \(B, 4\) to fit W"),
        (lambda o, f: o.dense_forward(f(2, 3), f(3, 2), f(1)), r"b must have shape \(2,\), got .* \(1,\)"),
        (lambda o, f: o.dense_forward(f(2, 3), f(3, 2), f(2, 2)), r"b must have shape \(2,\)"),
        (lambda o, f: o.dense_forward(f(3), f(3, 2), f(2)), "x must have shape"),
        (
            lambda o, f: o.dense_backward(f(2, 1), o.dense_forward(f(2, 3), f(3, 2), f(2))[1]),
            "dy must have shape",
        ),
        (lambda o, f: o.gaussian_kl(f(2, 3), f(2, 1)), r"logvar must have shape \(2, 3\)"),
        (lambda o, f: o.gaussian_kl(f(3), f(3)), r"mu must have shape \(B, L\)"),
        (lambda o, f: o.gaussian_kl_backward(f(2, 1), f(2, 3), f(2, 3)), "dkl must have shape"),
        (
            lambda o, f: o.gaussian_sample(f(2, 3), f(2, 3), f(3)),
            r"eps must have shape \(2, 3\) or \(S, 2, 3\)",
        ),
        (lambda o, f: o.gaussian_sample(f(2, 3), f(2, 3), f(5, 1, 3)), "eps must have shape"),
        (
            lambda o, f: o.gaussian_sample_backward(f(2, 3), f(2, 3), f(2, 3), f(4, 2, 3)),
            "dz must have shape",
        ),
        (lambda o, f: o.gaussian_score(f(1, 3), f(2, 3), f(2, 3)), "z must have shape"),
        (lambda o, f: o.bernoulli_nll(f(2, 3), f(2, 1)), "logits must have shape"),
        (lambda o, f: o.bernoulli_nll(f(2, 3), f(3)), "x must have shape"),
        (lambda o, f: o.bernoulli_nll_backward(f(2, 1), f(2, 3), f(2, 3)), "dnll must have shape"),
        (lambda o, f: o.gaussian_nll(f(2, 3), f(2), f(2, 3)), "logvar must have shape"),
        (lambda o, f: o.gaussian_nll_backward(f(3), f(2, 3), f(1), f(2, 3)), "dnll must have shape"),
    ],
)
def test_wrong_shapes_are_refused(ops, call, message):
    with pytest.raises(ValueError, match=message):
        call(ops, lambda *shape: np.ones(shape))


def test_lists_are_refused(ops):
    with pytest.raises(TypeError, match="mu must be a NumPy array"):
        ops.gaussian_kl([[1.0]], [[1.0]])


# ------------------------------------------------------------------------------ digits in the tails


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
    for size in (20.0, 36.0, 40.0, 300.0):
        logits = np.array([[size]])
        np.testing.assert_allclose(ops.bernoulli_nll(logits, one), [np.exp(-size)], rtol=1e-8)
        np.testing.assert_allclose(ops.bernoulli_nll(-logits, 0 * one), [np.exp(-size)], rtol=1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o, f: o.activation_backward(f(2, 2), f(2, 2), "gelu"), "activation must be one of"),
        (lambda o, f: o.activation_backward(f(2, 1), f(2, 2), "relu"), "dy must have shape"),
        (lambda o, f: o.gaussian_kl_backward(f(2), f(2, 3), f(1, 3)), "logvar must have shape"),
        (lambda o, f: o.gaussian_log_prob(f(2, 3), f(2, 3), f(2, 1)), "logvar must have shape"),
        (lambda o, f: o.gaussian_log_prob(f(1, 3), f(2, 3), f(2, 3)), "z must have shape"),
        (lambda o, f: o.gaussian_sample_backward(f(1, 3), f(2, 3), f(2, 3), f(1, 3)), "eps must have shape"),
        (
            lambda o, f: o.gaussian_sample_backward(f(2, 3), f(2, 3), f(2, 1), f(2, 3)),
            "logvar must have shape",
        ),
        (lambda o, f: o.bernoulli_nll_backward(f(2), f(2, 3), f(2, 1)), "logits must have shape"),
        (lambda o, f: o.gaussian_nll(f(2, 3), f(1), f(2, 1)), "mean must have shape"),
        (lambda o, f: o.gaussian_nll_backward(f(2), f(2, 3), f(1), f(2, 1)), "mean must have shape"),
        (lambda o, f: o.gaussian_nll_backward(f(2), f(2, 3), f(2, 1), f(2, 3)), "logvar must have shape"),
    ],
)
def test_backward_refuses_what_forward_refuses(ops, call, message):
    with pytest.raises(ValueError, match=message):
        call(ops, lambda *shape: np.ones(shape))

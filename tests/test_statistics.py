"""The distribution checks: right code passes at the stated rate, wrong code is told what it looks like."""

import re

import numpy as np
import pytest

import minivae as mv
from minivae import ops
from minivae.gradcheck import statistics as st

SEEDS = 200


def model(latents=1, likelihood="bernoulli"):
    """A small float64 model away from zero weights."""
    model = mv.VAE(6, latents, (5,), "tanh", likelihood, backend="numpy", dtype=np.float64, seed=2)
    rng = np.random.default_rng(4)
    for param in model.params.values():
        param += 0.3 * rng.standard_normal(param.shape)
    return model


def data(rng, latents=1):
    return (rng.random((3, 6)) < 0.5).astype(float), rng.standard_normal((3, latents))


# ------------------------------------------------------------------------------ the right code


def exceeded(verdicts, threshold=2.0):
    """How many of the verdicts saw a |z| above the threshold; all must be ok."""
    assert all(v.ok for v in verdicts), next(str(v) for v in verdicts if not v.ok)
    return sum(v.z > threshold for v in verdicts)


def test_the_right_sampler_passes_as_often_as_stated(rng):
    """The worst of 8 z-values exceeds 2 with probability 1 - 0.9545^8 = 0.31: 62 of 200, +- 4 * 6.5."""
    verdicts = [st.check_sampler(ops.gaussian_sample, rng, n=5000) for _ in range(SEEDS)]
    assert 36 <= exceeded(verdicts) <= 88


def test_the_right_kl_passes_as_often_as_stated(rng):
    """The worst of 4 z-values exceeds 2 with probability 1 - 0.9545^4 = 0.17: 34 of 200, +- 4 * 5.3."""
    verdicts = [st.check_kl(ops.gaussian_kl, rng, n=5000) for _ in range(SEEDS)]
    assert 13 <= exceeded(verdicts) <= 55


def test_the_right_model_scales(rng):
    for _ in range(SEEDS):
        right, (x, eps) = model(2), data(rng, 2)
        verdict = st.check_scaling(rng, ops.bernoulli_nll, ops.gaussian_kl, right.loss_and_grads, x, eps)
        assert verdict.ok, verdict
        assert st.check_shapes(rng, nll=ops.bernoulli_nll, kl=ops.gaussian_kl).ok
    assert st.check_extreme_logits(ops.bernoulli_nll).ok


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_right_bound(likelihood, rng):
    for seed in range(20):
        right = mv.VAE(6, 1, (5,), "tanh", likelihood, backend="numpy", dtype=np.float64, seed=seed)
        verdict = st.check_bound(right, data(rng)[0], likelihood)
        assert verdict.ok, verdict
        log_p, elbo, gap = (float(number) for number in re.findall(r"-?\d+\.\d{4}", str(verdict)))
        assert abs(log_p - elbo - gap) < 2e-4
        assert gap > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_false_alarm_in_either_type(dtype, backend, ops, rng):
    for seed in range(20):
        right = mv.VAE(6, 1, (9,), "relu", backend=backend, dtype=dtype, seed=seed)
        x, eps = data(rng)
        verdict = st.check_scaling(rng, ops.bernoulli_nll, ops.gaussian_kl, right.loss_and_grads, x, eps)
        assert verdict.ok, verdict
        verdict = st.check_bound(right, x)
        assert verdict.ok, verdict
    assert st.check_sampler(ops.gaussian_sample, rng).ok
    assert st.check_kl(ops.gaussian_kl, rng).ok
    assert st.check_extreme_logits(ops.bernoulli_nll).ok


def test_a_density_of_your_own(rng):
    """The plain squared error is the Gaussian of variance 1/2, but for a constant."""
    wide = mv.VAE(
        6,
        1,
        (5,),
        "tanh",
        lambda ops: mv.distributions.Gaussian(ops, logvar=np.log(0.5)),
        backend="numpy",
        dtype=np.float64,
    )

    def log_density(mean, x):
        return (-((x - mean) ** 2) - 0.5 * np.log(np.pi)).sum(axis=-1)

    assert st.check_bound(wide, data(rng)[0], log_density).ok
    assert not st.check_bound(wide, data(rng)[0], "gaussian").ok


# ------------------------------------------------------------------------------ power


def test_the_samplers_power(rng):
    """A variance that is wrong by 4 % in one latent, a mean by 3 % of a standard deviation: 40 of 40."""
    stretch, shift = np.array([1, 1, np.sqrt(1.04), 1]), np.array([0, 0, 0, 0.03])
    for _ in range(20):
        wide = st.check_sampler(lambda mu, lv, eps: mu + np.exp(lv / 2) * stretch * eps, rng)
        moved = st.check_sampler(lambda mu, lv, eps: mu + np.exp(lv / 2) * (eps + shift), rng)
        assert "variance" in str(wide), wide
        assert "mean is" in str(moved), moved
        assert not wide.ok
        assert not moved.ok


def test_the_kls_power(rng):
    """A KL that is wrong by 2.5 % is found by the draws alone: |z| > 5 in 20 of 20."""
    for factor in (1.025, 0.975):
        wrong = [st.check_kl(lambda mu, lv, c=factor: c * ops.gaussian_kl(mu, lv), rng) for _ in range(10)]
        assert all(st.THRESHOLD < v.z < np.inf for v in wrong)


def test_known_values_find_what_draws_cannot(rng):
    verdict = st.check_kl(lambda mu, lv: 1.0001 * ops.gaussian_kl(mu, lv), rng)
    assert not verdict.ok
    assert "kl is 2.0002 at mu = 2, logvar = 0, where it is 2" in str(verdict)


# ------------------------------------------------------------------------------ what wrong code is told


def half(mu, lv):
    return 0.5 * (mu**2 + np.exp(lv) - lv - 1)


def own_noise(mu, lv, eps):
    own_noise.calls += 1
    return mu + np.exp(lv / 2) * np.random.default_rng(own_noise.calls).standard_normal(eps.shape)


own_noise.calls = 0

SAMPLERS = {
    "is exp(logvar) used as the standard deviation?": lambda mu, lv, eps: mu + np.exp(lv) * eps,
    "is logvar itself used as the standard deviation?": lambda mu, lv, eps: mu + lv * eps,
    "is logvar used as the variance?": lambda mu, lv, eps: mu + np.sqrt(np.abs(lv)) * eps,
    "is the 1/2 of exp(logvar / 2) applied twice?": lambda mu, lv, eps: mu + np.exp(lv / 4) * eps,
    "has the exponent lost its sign?": lambda mu, lv, eps: mu + np.exp(-lv / 2) * eps,
    "is logvar not used at all?": lambda mu, lv, eps: mu + eps,
    "is z = mu, without the noise?": lambda mu, lv, eps: mu,
    "is mu not added?": lambda mu, lv, eps: np.exp(lv / 2) * eps,
    "the sampler's mean is -mu": lambda mu, lv, eps: np.exp(lv / 2) * eps - mu,
    "is mu multiplied by the standard deviation": lambda mu, lv, eps: np.exp(lv / 2) * (mu + eps),
    "where e^logvar is 4.482": lambda mu, lv, eps: mu + 1.5 * np.exp(lv / 2) * eps,
    "it draws noise of its own": own_noise,
    "z must be like eps": lambda mu, lv, eps: (mu + eps).sum(axis=1),
    "entries that are not finite": lambda mu, lv, eps: mu + np.sqrt(lv) * eps,
}
KLS = {
    "kl is twice its Monte Carlo estimate everywhere: a lost 1/2?": lambda mu, lv: (
        2 * half(mu, lv).sum(axis=1)
    ),
    "a 1/2 too many?": lambda mu, lv: 0.5 * half(mu, lv).sum(axis=1),
    "kl has the opposite sign": lambda mu, lv: -half(mu, lv).sum(axis=1),
    "mu where mu^2 belongs": lambda mu, lv: (half(mu, lv) + 0.5 * (mu - mu**2)).sum(axis=1),
    "arguments reversed": lambda mu, lv: 0.5 * (lv + (1 + mu**2) / np.exp(lv) - 1).sum(axis=1),
    "too large by 1/2 for each latent": lambda mu, lv: (half(mu, lv) + 0.5).sum(axis=1),
    "lacks mu^2": lambda mu, lv: half(0 * mu, lv).sum(axis=1),
    "takes logvar for log std": lambda mu, lv: half(mu, 2 * lv).sum(axis=1),
    "averaged over the L latents": lambda mu, lv: half(mu, lv).mean(axis=1),
    "kl has shape (4, 1), expected (4,): a kept axis": lambda mu, lv: half(mu, lv).sum(axis=1, keepdims=True),
    "kl has shape (), expected (4,): it is already": lambda mu, lv: half(mu, lv).sum(),
    "kl has shape (4, 3), expected (4,): it is not summed": half,
    "where its Monte Carlo estimate is": lambda mu, lv: half(mu, lv).sum(axis=1) ** 2,
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("sentence", SAMPLERS)
def test_a_wrong_sampler_is_told(sentence, rng):
    verdict = st.check_sampler(SAMPLERS[sentence], rng)
    assert not verdict.ok
    assert sentence in str(verdict)


@pytest.mark.parametrize("sentence", KLS)
def test_a_wrong_kl_is_told(sentence, rng):
    verdict = st.check_kl(KLS[sentence], rng)
    assert not verdict.ok
    assert sentence in str(verdict)


def test_a_wrong_nll_is_told(rng):
    def mean(logits, x):
        return ops.bernoulli_nll(logits, x) / x.shape[1]

    def root(logits, x):
        return ops.bernoulli_nll(logits, x) / np.sqrt(x.shape[1])

    def from_probability(logits, x, tiny=0.0):
        p = 1 / (1 + np.exp(-logits))
        return -(x * np.log(p + tiny) + (1 - x) * np.log(1 - p + tiny)).sum(axis=-1)

    assert "averaged over the pixels" in str(st.check_scaling(rng, nll=mean))
    assert "multiply the nll by 1.414" in str(st.check_scaling(rng, nll=root))
    assert "0.25 times as many" in str(st.check_extreme_logits(mean))
    assert "a log(0)" in str(st.check_extreme_logits(from_probability))
    added = st.check_extreme_logits(lambda logits, x: from_probability(logits, x, 1e-7))
    assert "tiny is added" in str(added) or "clipped at 1e-07" in str(added)


def test_a_wrong_loss_is_told(rng):
    right, (x, eps) = model(2), data(rng, 2)

    def told(change):
        return str(st.check_scaling(rng, loss_and_grads=change, x=x, eps=eps))

    def summed(x, eps, beta):
        terms, grads = right.loss_and_grads(x, eps, beta)
        return [len(x) * t for t in terms], grads

    def one_summed(x, eps, beta):
        terms, grads = right.loss_and_grads(x, eps, beta)
        return terms, grads | {"mu.W": len(x) * grads["mu.W"]}

    def one_averaged(x, eps, beta):
        terms, grads = right.loss_and_grads(x, eps, beta)
        return terms, grads | {"mu.b": grads["mu.b"] / len(x)}

    def noisy(x, eps, beta):
        return right.loss_and_grads(x, rng.standard_normal(eps.shape), beta)

    def on_nll(x, eps, beta):
        (_, nll, kl), grads = right.loss_and_grads(x, eps, beta)
        return (beta * nll + kl, nll, kl), grads

    assert "the loss doubles with the batch: it is summed" in told(summed)
    assert "dmu.W doubles with the batch: it is summed" in told(one_summed)
    assert "dmu.b halves when the batch doubles: it is averaged over the batch twice" in told(one_averaged)
    assert "the loss differs when it is computed twice" in told(noisy)
    assert "beta weighs the wrong term" in told(on_nll)


@pytest.mark.parametrize(
    ("sentence", "change"),
    [
        ("the kl is 2 times what it should be", lambda nll, kl: nll + 2 * kl),
        ("the kl is -1 times", lambda nll, kl: nll - kl),
        ("the kl is 0 times", lambda nll, kl: nll),
        ("averaged over the 6 pixels", lambda nll, kl: nll / 6 + kl),
        ("the reconstruction is 10 times", lambda nll, kl: 10 * nll + kl),
        ("off by +1 nats, the same for every x", lambda nll, kl: nll + kl + 1),
        ("nats", lambda nll, kl: nll + kl**2),
    ],
)
def test_a_wrong_bound_is_told(sentence, change, rng):
    class Wrong(mv.VAE):
        def loss(self, x, eps, beta=1.0):
            terms = super().loss(x, eps, beta)
            return change(terms.nll, terms.kl)

    wrong = Wrong(6, 1, (5,), "tanh", backend="numpy", dtype=np.float64, seed=2)
    wrong.params["logvar.b"] += 0.4
    wrong.params["mu.b"] += 0.7
    verdict = st.check_bound(wrong, data(rng)[0])
    assert not verdict.ok
    assert sentence in str(verdict)


# ------------------------------------------------------------------------------ arguments


def test_bad_arguments_are_refused(rng):
    with pytest.raises(TypeError, match=r"rng must be a numpy\.random\.Generator"):
        st.check_sampler(ops.gaussian_sample, 0)
    with pytest.raises(ValueError, match="n must be an integer of at least 100"):
        st.check_kl(ops.gaussian_kl, rng, n=3)
    with pytest.raises(ValueError, match="needs x"):
        st.check_scaling(rng, loss_and_grads=model().loss_and_grads)
    with pytest.raises(ValueError, match="one latent"):
        st.check_bound(model(2), data(rng)[0])
    with pytest.raises(ValueError, match="density must be one of bernoulli, gaussian"):
        st.check_bound(model(), data(rng)[0], "poisson")

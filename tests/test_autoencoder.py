"""The autoencoder, its penalties and corruptions, and what codes are used for."""

import itertools

import numpy as np
import pytest

import minivae as mv
from minivae import Autoencoder, evaluation, inputs
from minivae.config import Config
from minivae.runs import Run

CASES = list(itertools.product(("none", "l1", "kl"), ("identity", "sigmoid"), ("bernoulli", "laplace")))


@pytest.mark.parametrize(("penalty", "code", "likelihood"), [c for c in CASES if c[:2] != ("kl", "identity")])
def test_the_gradient(penalty, code, likelihood):
    rng, settings = np.random.default_rng(0), {"code_activation": code, "penalty": penalty, "weight": 0.7}
    model = Autoencoder(6, 3, (5,), "tanh", likelihood, "numpy", np.float64, **settings)
    for param in model.params.values():
        param += 0.3 * rng.standard_normal(param.shape)
    x, target = (rng.random((2, 4, 6)) < 0.5).astype(float)
    (terms, grads), twin = model.loss_and_grads(x, target), model.astype(np.complex128)
    assert terms.loss == pytest.approx(terms.nll + 0.7 * terms.kl)
    for name, param in model.params.items():
        along = rng.standard_normal(param.shape)
        twin.params[name] = param + 1e-30j * along
        want = twin.loss(x, target).loss.imag / 1e-30
        twin.params[name] = param.astype(complex)
        assert np.sum(along * grads[name]) == pytest.approx(want, rel=1e-10, abs=1e-12), name
    assert model.loss(x) == model.loss(x, x) != model.loss(x, target)


def test_penalties_by_hand():
    code = np.array([[0.2, -0.6], [0.4, 0.0]])
    model = Autoencoder(2, 2, (), backend="numpy", dtype=np.float64, penalty="l1")
    model.params |= {"code.W": np.eye(2), "code.b": np.zeros(2)}
    assert model.loss(np.abs(code)).kl == pytest.approx((0.2 + 0.6 + 0.4) / 2)
    model = Autoencoder(2, 1, (), backend="numpy", dtype=np.float64, penalty="kl", code_activation="sigmoid")
    model.params |= {"code.W": np.array([[1.0], [0.0]])}
    m = (1 / (1 + np.exp(-code[:, 0]))).mean()
    want = 0.05 * np.log(0.05 / m) + 0.95 * np.log(0.95 / (1 - m))
    assert model.loss(np.abs(code)).kl == pytest.approx(want)


def test_a_linear_autoencoder_reaches_pca(digits):
    """Within 1 % of PCA's error on the same images, its optimum (Baldi and Hornik 1989)."""
    x = (digits.x_train[:200].reshape(-1, 28, 28)[:, ::2, ::2].reshape(200, 196) / 255).astype(np.float32)
    model, adam = Autoencoder(196, 5, (), likelihood="gaussian"), mv.Adam(lr=3e-3)
    for step in range(3000):
        adam.lr = 3e-3 * (1 - step / 3000)
        adam.step(model.params, model.loss_and_grads(x)[1])
    error, best = (((a - x) ** 2).sum() for a in (model.reconstruct(x), evaluation.pca_reconstruct(x, x, 5)))
    assert best <= error <= 1.01 * best


def test_corruptions():
    """Fractions of 100,000 pixels within 5 standard errors, 0.007."""
    rng, x = np.random.default_rng(0), np.full((100, 1000), 0.5, np.float32)
    mask = inputs.corrupt(x, "mask", 0.3, rng)
    assert (mask == 0).mean() == pytest.approx(0.3, abs=0.0073)
    assert set(np.unique(mask)) == {0, 0.5}
    pepper = inputs.corrupt(x, "salt-and-pepper", 0.3, rng)
    assert [(pepper == v).mean() for v in (0, 0.5, 1)] == pytest.approx([0.15, 0.7, 0.15], abs=0.0073)
    noisy = inputs.corrupt(x, "gaussian", 0.1, rng)
    assert (noisy - x).std() == pytest.approx(0.1, abs=0.0012)
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    assert noisy.dtype == np.float32
    far = inputs.corrupt(2 * x + 1, "gaussian", 1.0, rng)
    assert far.max() > 4
    assert inputs.corrupt(x, "none", 0.3, rng) is x
    with pytest.raises(ValueError, match="corruption must be one of none, mask"):
        inputs.corrupt(x, "blur", 0.3, rng)


def test_one_hot():
    classes = np.array(["cat", "dog", "eel"])
    np.testing.assert_array_equal(inputs.one_hot(["eel", "cat"], classes), [[0, 0, 1], [1, 0, 0]])
    for label in ("ant", "cow", "fox"):
        with pytest.raises(ValueError, match=f"label {label} is none of the classes cat, dog, eel"):
            inputs.one_hot(["dog", label], classes)


def test_denoising_beats_the_noise(digits):
    """Trained on masked digits, its output is nearer to the clean ones than the masked ones are."""
    config = Config(
        model="autoencoder", corruption="mask", hidden=(50,), pixels="grey", lr=3e-3, batch_size=20
    )
    run = Run(config, digits)
    for _ in range(20):
        run.train_epoch()
        run.close_epoch()
    (seen, x), _ = run.given("train", np.arange(len(digits.x_train)), np.random.default_rng(0), None, None)
    assert not np.array_equal(seen, x)
    assert ((run.model.reconstruct(seen) - x) ** 2).sum() < 0.8 * ((seen - x) ** 2).sum()


def test_auc():
    assert evaluation.auc([1, 2, 3], [4, 5]) == 1
    assert evaluation.auc([1, 2, 3], [0, 0.5]) == 0
    assert evaluation.auc([1, 2, 2, 3], [2, 2]) == 0.5
    rng = np.random.default_rng(0)
    normal, strange = rng.standard_normal(40), rng.standard_normal(30) + 1
    pairs = strange[:, None] - normal
    assert evaluation.auc(normal, strange) == pytest.approx((pairs > 0).mean())
    for scores in ([], [np.nan], ["a"]):
        with pytest.raises((ValueError, TypeError), match="scores must"):
            evaluation.auc(scores, [1.0])


@pytest.mark.parametrize("model", ["vae", "autoencoder"])
def test_anomalies_have_higher_scores(digits, model):
    """Trained on digits, noise with the digits' mean is stranger than digits."""
    run = Run(Config(model=model, epochs=5, hidden=(50,), latent=4, pixels="grey"), digits)
    for _ in range(5):
        run.train_epoch()
        run.close_epoch()
    rng, x = np.random.default_rng(0), (digits.x_test / 255).astype(np.float32)
    strange = rng.permuted(x, axis=1)
    scores = [evaluation.anomaly_scores(run.model, images, rng) for images in (x, strange)]
    assert evaluation.auc(*scores) > 0.95
    assert scores[0].shape == (len(x),)
    if model == "vae":  # the mean score is the negative ELBO
        want = evaluation.average_terms(run.model, x, "grey", rng, samples=50).loss
        assert evaluation.anomaly_scores(run.model, x, rng, 50).mean() == pytest.approx(want, rel=1e-3)


def test_rate_and_distortion(digits):
    """More levels cost more bits and leave less error, down to that of the codes themselves."""
    x, model, adam = (digits.x_test / 255).astype(np.float32), Autoencoder(784, 3, (20,)), mv.Adam(lr=1e-2)
    for _ in range(100):
        adam.step(model.params, model.loss_and_grads(x)[1])
    curve = evaluation.rate_distortion(model, x, (2, 8, 64, 4096))
    assert [point.levels for point in curve] == [2, 8, 64, 4096]
    assert all(a.rate < b.rate and a.distortion > b.distortion for a, b in itertools.pairwise(curve[:3]))
    whole = ((model.reconstruct(x) - x) ** 2).sum(axis=1).mean()
    assert curve[-1].distortion == pytest.approx(whole, rel=1e-3)
    assert curve[0].rate <= 3
    code = (model.code(x) - model.code(x).min(axis=0)) / np.ptp(model.code(x), axis=0)
    p = np.round(code).mean(axis=0)  # of the upper of two levels
    assert curve[0].rate == pytest.approx(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)).sum())
    assert curve[-1].rate <= 3 * np.log2(len(x))
    known = mv.VAE(784, 2, (8,), condition_dim=2)
    for label in np.eye(2):  # the label changes both networks
        given = np.tile(label, (len(x), 1))
        rebuilt = known.mean(known.code(x, given), given)
        finest = evaluation.rate_distortion(known, x, 4096, given)[0]
        assert finest.distortion == pytest.approx(((rebuilt - x) ** 2).sum(axis=1).mean(), rel=1e-3)


def test_the_information_in_the_codes():
    """q(z|x) = N(+-3, 0.1^2): 1 bit, log 2 nats; a collapsed q: none. mean KL = information + distance."""
    model = mv.VAE(1, 1, (), backend="numpy", dtype=np.float64)
    model.params["mu.W"][...], model.params["mu.b"][...] = 6, -3
    model.params["logvar.W"][...], model.params["logvar.b"][...] = 0, 2 * np.log(0.1)
    x, rng = np.tile([[0.0], [1.0]], (200, 1)), np.random.default_rng(0)
    found = evaluation.aggregate_posterior(model, x, rng)
    assert found.information == pytest.approx(np.log(2), abs=1e-6)
    assert found.most == pytest.approx(np.log(400))
    kl = model.posterior.kl(*model.encode(x)).mean()
    assert found.information + found.distance == pytest.approx(kl, abs=0.3)  # its standard error is 0.05
    np.testing.assert_allclose(evaluation.kl_per_latent(model, x), [kl])
    for name in ("mu", "logvar"):
        model.params[f"{name}.W"][...] = model.params[f"{name}.b"][...] = 0
    assert evaluation.aggregate_posterior(model, x, rng).information == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"penalty": "kl"}, "needs codes in .0, 1.: choose code_activation sigmoid"),
        ({"penalty": "l2"}, "penalty must be one of none, l1, kl"),
        ({"code_activation": "step"}, "code_activation must be one of"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Autoencoder(6, 3, (), **settings)


RNG, X = np.random.default_rng(0), np.eye(4, dtype=np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inputs.one_hot([0], [1, 0]), "classes must be sorted"),
        (lambda: inputs.one_hot([0], []), "classes must be sorted"),
        (lambda: inputs.one_hot([[0]], [0, 1]), "labels must be an array"),
        (lambda: inputs.one_hot([0.5], [0, 1]), "label 0.5 is none of the classes 0, 1"),
        (lambda: inputs.corrupt(X, "mask", 1.5, RNG), "must be a probability for mask"),
        (lambda: inputs.corrupt(X, "gaussian", -1, RNG), "amount must be a finite number and at least 0"),
        (lambda: inputs.corrupt(X, "gaussian", 0.1, 7), "rng must be a numpy.random.Generator"),
        (lambda: inputs.corrupt(X * np.nan, "mask", 0.1, RNG), "x must be finite"),
        (lambda: evaluation.pca_reconstruct(X, X[:, :3], 1), "x must have shape"),
        (lambda: evaluation.pca_reconstruct(X, X, 5), "latent_dim must be an integer below 5"),
        (lambda: evaluation.exact_nll(Autoencoder(4, 1, ()), X), "only a VAE has"),
        (lambda: evaluation.aggregate_posterior(mv.VAE(4, 1, ()), X, 0), "rng must be"),
        (lambda: evaluation.exact_nll(mv.VAE(4, 1, (), likelihood="gaussian-optimal"), X), "no log p.x."),
        (lambda: evaluation.importance_nll(Autoencoder(4, 1, ()), X, "grey", RNG, 3), "only a VAE has"),
    ],
)
def test_what_the_tools_refuse(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()

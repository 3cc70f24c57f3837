"""Training: pinned numbers, settings, and the streams of randomness."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import agree
from runs import SMALL, steps

import minivae as mv
from minivae import config, data, plots, training
from minivae.config import Config
from minivae.runs import Run

PINNED = [214.095395, 205.639425, 206.694291, 211.544303, 199.778795]
PINNED += [205.374716, 214.095420, 211.471219, 205.426464, 207.569325]


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_ten_losses(backend):
    """The defaults' first ten losses on MNIST, seed 0: any change of the arithmetic shows here.

    To 1e-4 relative: the two backends and other machines round differently, and Adam amplifies that.
    """
    run, losses = Run(Config(backend=backend)), []
    run.train_epoch(stop=lambda: len(losses) == 10, progress=lambda images, loss: losses.append(loss))
    np.testing.assert_allclose(losses, PINNED, rtol=1e-4)
    assert run.step == 10


def test_the_defaults_are_pinned():
    """The README's numbers belong to these; so do the optimizers' own settings."""
    walk = {"hidden": (400,), "latent": 20, "activation": "relu", "likelihood": "bernoulli", "beta": 1.0}
    walk |= {"posterior": "gaussian", "prior": None, "kl": None, "bound": "elbo", "samples": 1}
    step = {"optimizer": "adam", "lr": 1e-3, "lr_schedule": "constant", "beta_warmup": 0, "baseline": "none"}
    rest = {"estimator": "pathwise", "pixels": "dynamic", "data": None, "backend": "numba", "model": "vae"}
    assert Config() == Config(seed=0, epochs=10, batch_size=128, **walk, **step, **rest)
    made = {name: make(lr=0.5, backend="numpy") for name, make in config.OPTIMIZERS.items()}
    assert [type(optimizer).__name__ for optimizer in made.values()] == ["SGD", "SGD", "RMSProp", "Adam"]
    assert (made["sgd"].momentum, made["momentum"].momentum) == (0, 0.9)
    assert all(optimizer.lr == 0.5 for optimizer in made.values())


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_overfit_32_images(likelihood):
    """Without noise or KL a VAE is an autoencoder, and nearly memorizes 32 images.

    Bernoulli: from 200 nats to under 10. Gaussian at unit variance: the squared error goes below 1 of 50.
    """
    x = data.minibatch(mv.load_mnist().x_train[:32], "threshold", None)
    model, adam, eps = mv.VAE(likelihood=likelihood, seed=1), mv.Adam(lr=2e-3), np.zeros((32, 20))
    constant = 392 * np.log(2 * np.pi) if likelihood == "gaussian" else 0
    first = model.loss(x, eps, beta=0).nll - constant
    for _ in range(400):
        adam.step(model.params, model.loss_and_grads(x, eps, beta=0)[1])
    assert model.loss(x, eps, beta=0).nll - constant < 0.05 * first
    assert np.mean((model.reconstruct(x) > 0.5) == (x > 0.5)) > 0.998


VARIED = [
    *({"optimizer": name, "lr": lr} for name, lr in (("sgd", 0.02), ("momentum", 0.005), ("rmsprop", 0.003))),
    *({"pixels": pixels} for pixels in ("static", "threshold", "grey")),
    *({"likelihood": f"gaussian{kind}", "pixels": None} for kind in ("", "-shared", "-pixel")),
    *({"hidden": ()}, {"hidden": (30, 20, 10), "activation": "tanh"}, {"samples": 3}, {"backend": "numpy"}),
    {"estimator": "sticking-the-landing"},
]


@pytest.mark.parametrize("settings", VARIED, ids=lambda settings: "-".join(map(str, settings.values())))
def test_every_setting_lowers_the_loss(digits, settings):
    """By 2 nats in twelve epochs of seven steps; the noise between epochs is about 0.5."""
    run = Run(replace(SMALL, **{"lr": 0.01, "beta": 0.1} | settings), digits)
    steps(run, 12 * 7)
    assert run.history[-1, 1] < run.history[0, 1] - 2


def test_metrics_are_means_over_images(digits):
    """The short last batch counts by its images; the test row is the loss of sampled z."""
    run = Run(replace(SMALL, lr=1e-12, pixels="grey", samples=2, beta=0.5), digits)
    steps(run, 7)
    epoch, train, train_nll, train_kl, test, test_nll, test_kl = run.history[0]
    assert epoch == 1
    x = digits.x_train / 255
    fresh = Run(run.config, digits).model
    noise = [fresh.loss(x, e, 0.5) for e in np.random.default_rng(0).standard_normal((30, len(x), 2))]
    losses = [terms.loss for terms in noise]
    assert train == pytest.approx(np.mean(losses), abs=5 * np.std(losses))
    assert train_kl == pytest.approx(noise[0].kl, rel=1e-6)  # exact but for the lr: the kl takes no noise
    assert train == pytest.approx(train_nll + 0.5 * train_kl)
    assert test == pytest.approx(test_nll + 0.5 * test_kl)
    agree("test terms", run.test_terms(2), (test, test_nll, test_kl), 0)
    assert run.test_terms(1) != run.test_terms(2)
    at_mu = fresh.loss(digits.x_test / 255, np.zeros((100, 2))).nll
    assert test_nll > at_mu, "z = mu makes the reconstruction look better than it is"


def test_the_four_streams_are_pinned(digits, tmp_path, monkeypatch):
    """Weights, training, test and figures draw from the children of the seed in this order."""
    run = Run(replace(SMALL, epochs=1, seed=5, pixels="grey"), digits)
    children = np.random.default_rng(5).spawn(4)
    weights = mv.VAE(784, 2, (20,), seed=children[0]).params["encoder1.W"]
    np.testing.assert_array_equal(run.model.params["encoder1.W"], weights)
    steps(run, 1)
    np.testing.assert_array_equal(run.order, children[1].permutation(330))
    eps = children[2].standard_normal((100, 2), dtype=np.float32)
    terms = np.array(run.model.loss(digits.x_test / 255, eps))
    assert run.test_terms() == tuple(100 * terms / 100)  # a mean over chunks, of which there is one
    drawn = []
    monkeypatch.setattr(plots, "image_grid", lambda means, *_, **__: drawn.append(means) or plots.curves([]))
    training.train(run, tmp_path / "run", lambda line: None)
    np.testing.assert_array_equal(drawn[0], run.model.sample(100, children[3]))


def test_a_run_is_what_its_config_says(digits):
    settings = {"backend": "numpy", "activation": "tanh", "pixels": "threshold", "likelihood": "gaussian"}
    run = Run(replace(SMALL, **settings), digits)
    assert (run.model.activation, run.model.ops.__name__) == ("tanh", "minivae.ops")
    assert (run.optimizer.backend, run.optimizer.lr) == ("numpy", SMALL.lr)
    want = data.pixel_mean(digits.x_train, "threshold")
    np.testing.assert_allclose(run.model.params["output.b"], want, rtol=1e-6)


BAD = [
    ({"epochs": 0}, "epochs must be an integer of at least 1"),
    ({"batch_size": 2.0}, "batch_size must be an integer"),
    ({"latent": -1}, "latent must be"),
    ({"samples": 0}, "samples must be"),
    ({"hidden": (0,)}, "hidden must be"),
    ({"lr": 0.0}, "lr must be a finite number and above 0"),
    ({"lr": float("nan")}, "lr must be"),
    ({"beta": -0.5}, "beta must be a finite number and at least 0"),
    ({"seed": -1}, "seed must be an integer of at least 0"),
    ({"activation": "gelu"}, "activation must be one of"),
    ({"likelihood": "poisson"}, "likelihood must be one of"),
    ({"estimator": "leave-one-out"}, "estimator must be one of pathwise"),
    ({"baseline": "mean"}, "baseline mean needs estimator score-function, not pathwise"),
    ({"estimator": "score-function", "baseline": "leave-one-out", "samples": 1}, "samples of at least 2"),
    ({"optimizer": "lion"}, "optimizer must be one of sgd, momentum, rmsprop, adam"),
    ({"pixels": "sepia"}, "pixels must be one of"),
    ({"backend": "torch"}, "backend must be one of"),
    ({"data": 3}, "data must be the path of a file"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_bad_config(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Config(**settings)


ESTIMATES = {
    "mean": "score-function-mean-baseline",
    "optimal": "score-function-optimal-baseline",
    "none": "score-function",
    "leave-one-out": "leave-one-out",
}


@pytest.mark.parametrize("baseline", list(ESTIMATES))
def test_a_baseline_is_its_estimator(digits, baseline):
    """The run's estimator gives the numbers of the one with that name, from the run's own generator."""
    config = replace(SMALL, estimator="score-function", baseline=baseline, samples=2)
    run, rng = Run(config, digits), np.random.default_rng(0).spawn(4)[1]
    x, eps = digits.x_train[:9] / 255, np.random.default_rng(3).standard_normal((2, 9, 2))
    known = mv.estimators.named(ESTIMATES[baseline], rng, 1.0)
    got, want = (run.model.loss_and_grads(x, eps, estimator=each)[1] for each in (run.estimator, known))
    for name in want:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)

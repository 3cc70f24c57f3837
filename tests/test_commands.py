"""Every kind of model through the commands: which settings it takes, what its pictures and numbers mean."""

import csv

import numpy as np
import pytest

from minivae import VAE, cli, data, evaluation, inputs, runs
from minivae.config import Config
from minivae.distributions import MixturePrior

TINY = ["--hidden", "8", "--latent", "2", "--epochs", "1"]
X = np.random.default_rng(0).integers(0, 255, (40, 6, 5), dtype=np.uint8)
NAMES = np.array(["b", "a, c", "d"])[np.arange(40) % 3]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """40 pictures with labels that are text, one with a comma; 36 to train, 4 to test."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, x=X, y=NAMES)
    return path


def trained(images, folder, *settings):
    assert cli.main(["train", "--data", str(images), "--out", str(folder), *TINY, *settings]) == 0
    return str(folder)


def error(capsys, *argv):
    """The one line of a command that must fail."""
    capsys.readouterr()
    assert cli.main([str(word) for word in argv]) == 2
    return capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("--categories 5", "categories has no effect on posterior gaussian"),
        ("--corruption-amount 0.5", "corruption_amount has no effect on corruption none"),
        ("--model autoencoder --penalty-weight 5", "penalty_weight has no effect on penalty none"),
        ("--bound iwae --kl closed", "bound iwae needs the sampled kl"),
        ("--latent 99999999999999999999", "latent must be an integer below 2147483648"),
        ("--posterior laplace --estimator measure-valued", "measure-valued needs the heads mu and logvar"),
    ],
)
def test_settings_that_would_be_ignored(images, tmp_path, capsys, settings, message):
    assert message in error(capsys, "train", "--data", images, "--out", tmp_path / "r", *settings.split())
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(40) / 7, "the labels are fractions or not finite"),
        (np.where(np.arange(40) < 9, np.nan, 1), "the labels are fractions or not finite"),
        (np.arange(40), "a test image's label 22 is none of the classes"),
        (None, "needs labels, and the data have none"),
    ],
)
def test_labels_that_are_no_classes(tmp_path, capsys, labels, message):
    path = tmp_path / "images.npz"
    np.savez(path, x=X, **({} if labels is None else {"y": labels}))
    assert message in error(capsys, "train", "--data", path, "--model", "cvae", "--out", tmp_path / "r")


@pytest.mark.parametrize("labels", [np.arange(40) % 3 + 5.0, (np.arange(40) % 3 + 5).astype("S")])
def test_classes_stored_as_floats_or_bytes(tmp_path, labels):
    path = tmp_path / "images.npz"
    np.savez(path, x=X, y=labels)
    run = trained(path, tmp_path / "run", "--condition", "labels")
    assert cli.main(["sample", run, "--label", "6"]) == 0


def test_a_conditional_run(images, tmp_path, capsys):
    """Other labels than those it was trained with are refused, since their columns of c would differ."""
    run = trained(images, tmp_path / "run", "--model", "cvae")
    assert cli.main(["sample", run, "--label", "a, c"]) == 0
    assert "label e is none of the classes a, c, b, d" in error(capsys, "sample", run, "--label", "e")
    assert cli.main(["evaluate", run, "--csv", str(tmp_path / "each.csv")]) == 0
    with open(tmp_path / "each.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    test = data.load_dataset(images).y_test
    assert [row["label"] for row in rows] == test.tolist()
    other = tmp_path / "other.npz"
    np.savez(other, x=X, y=NAMES[::-1])
    assert "are not those of the run" in error(capsys, "reconstruct", run, "--data", other)


@pytest.mark.parametrize("posterior", ["gaussian", "laplace"])
@pytest.mark.parametrize("prior", ["mixture", "standard"])
def test_sticking_the_landing_with_any_kl(images, tmp_path, posterior, prior):
    settings = "--posterior", posterior, "--prior", prior, "--estimator", "sticking-the-landing"
    trained(images, tmp_path / "run", *settings)


def test_few_test_images(images, tmp_path, capsys):
    """The defaults of every command that `train` proposes fit 4 test images; a line between 2 needs 2."""
    run = trained(images, tmp_path / "run", "--model", "autoencoder")
    assert cli.main(["interpolate", run]) == cli.main(["reconstruct", run]) == 0
    assert "n must be at most 2, got 3" in error(capsys, "interpolate", run, "-n", "3")
    np.savez(tmp_path / "one.npz", x_train=X[:9], x_test=X[:1])
    one = trained(tmp_path / "one.npz", tmp_path / "one", "--model", "autoencoder")
    assert "note:" not in capsys.readouterr().out
    assert "n must be at most 0, got 1" in error(capsys, "interpolate", one)


def test_evaluate_measures_restoring(images, tmp_path, capsys):
    """A denoising autoencoder and PCA get the corrupted image, and are compared with the clean one."""
    settings = "--model", "autoencoder", "--corruption", "salt-and-pepper", "--corruption-amount", "0.4"
    run = trained(images, tmp_path / "run", *settings)
    capsys.readouterr()
    assert cli.main(["evaluate", run]) == 0
    _, nll, mine, pca = (line.split() for line in capsys.readouterr().out.splitlines())
    loaded = runs.Run.load(run, "best")
    rng = loaded.stream(runs.TEST)
    x, train = (data.minibatch(i, "dynamic", rng) for i in (loaded.data.x_test, loaded.data.x_train))
    seen = inputs.corrupt(x, "salt-and-pepper", 0.4, rng)
    means = loaded.model.reconstruct(seen), evaluation.pca_reconstruct(train, seen, 2)
    for line, mean in zip((mine, pca), means, strict=True):
        assert float(line[1]) == pytest.approx(((mean - x) ** 2).sum(axis=1).mean(), abs=0.006)
    assert float(nll[1]) == pytest.approx(loaded.model.loss(seen, x).nll, abs=0.006)
    assert "samples are for log p(x)" in error(capsys, "evaluate", run, "--samples", "5")


def test_what_a_step_receives(images):
    """The corrupted image goes in and the clean one is the target, for each kind of model."""
    for model in ("vae", "autoencoder"):
        config = Config(
            data=str(images), model=model, corruption="mask", pixels="grey", hidden=(8,), latent=2
        )
        run = runs.Run(config)
        args, given = run.given("train", np.arange(5), np.random.default_rng(0), 1, 1.0)
        clean = given["target"] if model == "vae" else args[1]
        np.testing.assert_array_equal(clean, run.data.x_train[:5].astype(np.float32) / 255)
        np.testing.assert_array_equal(args[0][args[0] != 0], clean[args[0] != 0])
        assert 0.1 < np.mean(args[0] == 0) < 0.5


def test_gaussian_corruption_stays_within_the_pixels():
    rng, x = np.random.default_rng(0), np.array([[0.0, 1.0]] * 50)
    assert inputs.corrupt(x, "gaussian", 0.5, rng).min() == 0
    assert inputs.corrupt(x, "gaussian", 0.5, rng).max() == 1
    assert inputs.corrupt(5 * x, "gaussian", 0.5, rng).max() > 5


def test_settings_reach_the_model_and_its_losses(images):
    """Each setting changes what a step computes, and the best epoch is by the bound that is trained."""
    small = {"data": str(images), "hidden": (8,), "latent": 2}

    def run(**settings):
        return runs.Run(Config(**small | settings))

    penalized = run(model="autoencoder", penalty="l1", penalty_weight=0.3).test_terms()
    assert penalized.loss == pytest.approx(penalized.nll + 0.3 * penalized.kl)
    iwae = run(bound="iwae", samples=5)
    terms = iwae.test_terms(5)
    assert terms.loss < terms.nll + terms.kl - 1e-3
    iwae.history = np.array([[1.0, 9, 9, 0, 7, 9, 1], [2, 9, 9, 0, 8, 7, 0]])  # the ELBO is best in epoch 2
    assert iwae.best_epoch == 1
    assert run(kl="sampled").model.kl == "sampled"
    assert run(posterior="categorical", categories=3).model.latent_dim == 6
    assert run(posterior="bernoulli").config.baseline == "leave-one-out"


def test_draws_come_from_the_prior_and_a_line_keeps_its_label(images, tmp_path, monkeypatch):
    run, asked = trained(images, tmp_path / "run", "--model", "cvae", "--prior", "mixture"), []
    sample, mean = MixturePrior.sample, VAE.mean
    monkeypatch.setattr(MixturePrior, "sample", lambda *given: asked.append(0) or sample(*given))
    assert cli.main(["sample", run, "--draws", "--label", "d"]) == 0
    assert len(asked) == 2  # for the means, which are drawn first, and for x
    conditions = []
    monkeypatch.setattr(
        VAE, "mean", lambda self, z, condition: conditions.append(condition) or mean(self, z, condition)
    )
    assert cli.main(["interpolate", run, "-n", "2", "--steps", "3"]) == 0
    loaded = runs.Run.load(run, "best")
    first = np.sort(np.random.default_rng(0).choice(4, 4, replace=False))[:2]
    np.testing.assert_array_equal(conditions[0], np.repeat(loaded.condition("test", first), 3, axis=0))

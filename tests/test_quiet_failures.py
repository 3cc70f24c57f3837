"""What a run says of itself: collapse, divergence, the best checkpoint; and its rates."""

import re
from dataclasses import replace

import numpy as np
import pytest
from runs import ONE_EPOCH, SMALL, quietly, resumed, steps

from minivae import checkpoints, data, files, training
from minivae.checkpoints import BEST, CHECKPOINT
from minivae.runs import Run


def said(run, **history):
    """The lines of `summary` for a run with this history: columns nll and kl of both sets."""
    columns = {"train_nll": 2, "train_kl": 3, "test_nll": 5, "test_kl": 6}
    run.history = np.ones((len(history["test_nll"]), 7))
    run.history[:, 0] = np.arange(1, len(run.history) + 1)
    for name, values in history.items():
        run.history[:, columns[name]] = values
    run.history[:, 1] = run.history[:, 2] + run.config.beta * run.history[:, 3]
    run.history[:, 4] = run.history[:, 5] + run.config.beta * run.history[:, 6]
    run.epoch = len(run.history)
    return list(training.summary(run))


def test_a_healthy_run_has_three_lines(digits, tmp_path):
    run = quietly(Run(replace(SMALL, beta=0.1), digits), tmp_path / "run")
    lines = list(training.summary(run))
    assert len(lines) == 3
    test, nll, kl = run.history[-1, 4:]
    assert lines[0] == f"test loss {test:.2f} nats per image, the best of 3 epochs"
    assert lines[1] == f"  {nll:.2f} for the reconstruction (nll), 0.1 * {kl:.2f} for the KL to the prior"
    assert lines[2].startswith("  2 of 2 latents are active")


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"beta": 100.0}, "try a smaller --beta"),
        ({}, "try --beta-warmup 5"),
        (
            {"likelihood": "gaussian", "pixels": "grey"},
            r"try --likelihood gaussian-shared: the data have variance 0\.\d+",
        ),
    ],
)
def test_collapse_is_named_with_what_to_try(digits, tmp_path, settings, remedy):
    run = Run(replace(SMALL, latent=8, **settings), digits)
    run.folder = tmp_path
    for head in ("mu", "logvar"):
        run.model.params[f"{head}.W"][...] = 0
    lines = said(run, train_nll=[90.0], test_nll=[90.0])
    assert "  0 of 8 latents are active" in lines[2]
    assert lines[3].startswith("note: q(z|x) has collapsed to the prior")
    assert re.search(remedy, lines[3])
    run.model.params["mu.W"][:, 0] = np.random.default_rng(0).standard_normal(20)
    lines = said(run, train_nll=[90.0], test_nll=[90.0])
    assert lines[3].startswith("note: q(z|x) of the other 7 latents has collapsed")


@pytest.mark.parametrize(
    ("train", "test", "note"),
    [
        ([90, 80, 70], [91, 82, 74], None),
        ([90, 80, 1e6], [91, 82, 74], "training is unstable, the largest training loss is 1e+06"),
        ([90, 80, 70], [91, 82, 133440], "training is unstable"),
        ([90, 80, 70], [91, 82, 84], "the test loss has risen since epoch 2 while training went on"),
        ([90, 80, 70], [91, 82, 82.1], None),
    ],
)
def test_divergence_and_overfitting(digits, tmp_path, train, test, note):
    run = Run(SMALL, digits)
    run.folder, run.model.params["mu.b"][...] = tmp_path, 0
    notes = [line for line in said(run, train_nll=train, test_nll=test) if line.startswith("note: ")]
    wrong = [line for line in notes if "collapsed" not in line]
    assert len(wrong) == (note is not None)
    assert not wrong or wrong[0].startswith(f"note: {note}")
    assert not note or wrong[0].endswith(("try a smaller --lr", "overfitting"))


def test_a_handful_of_test_images_raises_no_alarm(digits, tmp_path):
    """Their loss differs from that of the training images by chance; a training loss that rises is a sign."""
    run = Run(SMALL, digits._replace(x_test=digits.x_test[:4], y_test=digits.y_test[:4]))
    run.folder = tmp_path
    assert "unstable" not in " ".join(said(run, train_nll=[90, 80, 70], test_nll=[60, 64, 65]))
    assert "unstable" in " ".join(said(run, train_nll=[90, 80, 140], test_nll=[60, 65, 68]))


def test_pixels_that_never_change(digits, tmp_path):
    run = Run(replace(SMALL, likelihood="gaussian-pixel"), digits)
    run.folder = tmp_path
    constant = int((digits.x_train.std(axis=0) == 0).sum())
    assert constant
    lines = said(run, train_nll=[90.0], test_nll=[90.0])
    assert f"note: {constant} of 784 pixels never change" in lines[-1]


def test_a_learned_variance_starts_from_the_data(digits):
    mean, variance = data.moments(digits.x_train, "grey")
    grey = digits.x_train / 255
    np.testing.assert_allclose(mean, grey.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(variance, grey.var(axis=0), atol=1e-6)
    shared = Run(replace(SMALL, likelihood="gaussian-shared", pixels="grey"), digits).model.params[
        "output.logvar"
    ]
    np.testing.assert_allclose(shared, np.log(variance.mean()), atol=1e-5)
    pixel = Run(replace(SMALL, likelihood="gaussian-pixel", pixels="grey"), digits).model.params[
        "output.logvar"
    ]
    np.testing.assert_allclose(pixel, np.log(np.maximum(variance, 0.1 * variance.mean())), atol=1e-4)
    drawn = data.moments(digits.x_train, "dynamic")[1]
    np.testing.assert_allclose(drawn, mean * (1 - mean), atol=1e-6)


def test_the_best_checkpoint_is_kept(digits, tmp_path):
    run, folder = Run(SMALL, digits), tmp_path / "run"
    training.new_folder(run, folder)
    assert not (folder / BEST).exists()
    for test, best in ((90.0, 1), (80.0, 2), (95.0, 2)):
        steps(run, 7)
        run.history[-1, 4:] = test, test, 0
        run.save(folder)
        assert files.load_arrays(folder / BEST)["epoch"] == best
        assert files.load_arrays(folder / CHECKPOINT)["epoch"] == run.epoch
    assert checkpoints.load_stored(folder).epoch == 2
    assert checkpoints.load_stored(folder, "last").epoch == 3
    assert (resumed(folder, digits).epoch, resumed(folder, digits, state="best").epoch) == (3, 2)
    for name, param in checkpoints.load_model(folder)[0].params.items():
        np.testing.assert_array_equal(param, files.load_arrays(folder / BEST)[f"params/{name}"])
    run.folder = folder
    assert next(training.summary(run)).endswith("the best, 80.00, was after epoch 2 and is kept as best.npz")


def test_rates(digits):
    """7 steps an epoch, 3 epochs: a warm-up of 2 epochs ends at step 14; schedules end one step from 0."""
    run = Run(replace(SMALL, beta=4.0, beta_warmup=2, lr_schedule="linear"), digits)
    rates = []
    for run.optimizer.t in range(21):
        rates.append(run.rates())
    lr, beta = np.array(rates).T
    np.testing.assert_allclose(lr, 1e-3 * (1 - np.arange(21) / 21))
    np.testing.assert_allclose(beta, 4 * np.minimum(1, np.arange(1, 22) / 14))
    run.config, run.optimizer.t = replace(SMALL, lr_schedule="cosine"), 7
    assert run.rates() == pytest.approx((1e-3 * (1 + np.cos(np.pi / 3)) / 2, 1.0))


def test_the_rates_reach_the_step(digits, monkeypatch):
    run, given = Run(replace(ONE_EPOCH, beta=2.0, beta_warmup=1, lr_schedule="linear"), digits), []
    right = run.model.loss_and_grads
    run.model.loss_and_grads = lambda x, eps, beta, **rest: given.append(beta) or right(x, eps, beta, **rest)
    monkeypatch.setattr(run.optimizer, "step", lambda *_: given.append(run.optimizer.lr))
    run.optimizer.t = 3
    run.train_epoch(stop=lambda: True)
    assert given == pytest.approx([2.0 * 4 / 7, 1e-3 * 4 / 7])


def test_a_continued_run_may_change_its_rates_and_says_so(digits, tmp_path):
    quietly(Run(ONE_EPOCH, digits), tmp_path / "run")
    assert resumed(tmp_path / "run", digits, epochs=2).changed == []
    run = resumed(tmp_path / "run", digits, epochs=2, lr=0.5, beta=3.0)
    assert (run.changed, run.config.lr, run.config.beta) == (["beta", "lr"], 0.5, 3.0)
    quietly(Run(replace(ONE_EPOCH, lr_schedule="cosine"), digits), tmp_path / "cosine")
    assert resumed(tmp_path / "cosine", digits, epochs=2).changed == ["epochs"]
    with pytest.raises(ValueError, match="cannot change lr_schedule"):
        resumed(tmp_path / "run", digits, lr_schedule="cosine")


def test_a_run_that_diverges_says_how_to_continue(digits, tmp_path):
    run, folder = Run(SMALL, digits), tmp_path / "run"
    training.new_folder(run, folder)
    steps(run, 7)
    run.save(folder)
    run.model.params["mu.b"][...] = 1e30
    again = rf"continue with: python -m minivae train --resume {folder} --checkpoint best --lr 0.0001"
    with pytest.raises(ValueError, match=again):
        quietly(run, folder)

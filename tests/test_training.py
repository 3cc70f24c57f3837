"""Training: pinned losses, overfitting, and runs that are cut off in every way go on to the same bits."""

import dataclasses
import json
import signal

import numpy as np
import pytest
from checks import agree

import minivae as mv
from minivae import checkpoints, data, files, folders, runs, training
from minivae.config import Config

SMALL = Config(epochs=3, batch_size=50, hidden=(20,), latent=2)


def run_to_the_end(config, digits, folder):
    run = runs.Run(config, digits)
    folder.mkdir()
    training.train(run, folder, say=lambda line: None)
    return run


def assert_same_run(folder, other):
    """Every array of both checkpoints equal to the last bit, wall-clock times aside."""
    one, two = (checkpoints.load(f / folders.CHECKPOINT) for f in (folder, other))
    assert one.keys() == two.keys()
    for name in one:
        if "seconds" not in name:
            assert one[name].dtype == two[name].dtype, name
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)


# ------------------------------------------------------------------------------ the numbers


PINNED = [214.095395, 205.639425, 206.694291, 211.544303, 199.778795]
PINNED += [205.374716, 214.095420, 211.471219, 205.426464, 207.569325]


def test_ten_losses():
    """The defaults' first ten losses on MNIST, seed 0: any change of the arithmetic shows here.

    To 1e-4 relative: the two backends and other machines round differently, and Adam amplifies that.
    """
    for backend in ("numba", "numpy"):
        run = runs.Run(Config(backend=backend))
        losses = []
        run.train_epoch(
            stop=lambda losses=losses: len(losses) == 10,
            progress=lambda n, loss, kept=losses: kept.append(loss),
        )
        np.testing.assert_allclose(losses, PINNED, rtol=1e-4, err_msg=backend)
        assert run.step == 10


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_overfit_32_images(likelihood):
    """Without noise or KL a VAE is an autoencoder, and learns 32 images nearly by heart.

    Bernoulli: from 200 nats to under 10. Gaussian at unit variance: the squared error goes below 1 of 50.
    """
    mnist = mv.load_mnist()
    x = data.minibatch(mnist.x_train[:32], "threshold", None)
    model = mv.VAE(likelihood=likelihood, seed=1)
    adam = mv.Adam(lr=2e-3)
    eps = np.zeros((32, 20))
    first = model.loss(x, eps, beta=0).nll
    for _ in range(400):
        adam.step(model.params, model.loss_and_grads(x, eps, beta=0)[1])
    last = model.loss(x, eps, beta=0).nll
    if likelihood == "gaussian":
        first, last = first - 392 * np.log(2 * np.pi), last - 392 * np.log(2 * np.pi)
    assert last < 0.05 * first
    assert np.mean((model.reconstruct(x) > 0.5) == (x > 0.5)) > 0.998


LR = {"sgd": 0.02, "momentum": 0.005, "rmsprop": 0.003, "adam": 0.01}


@pytest.mark.parametrize("optimizer", list(LR))
def test_every_optimizer_lowers_the_loss(digits, optimizer):
    """By 5 nats in twenty epochs of seven steps; the noise between epochs is about 1."""
    run = runs.Run(dataclasses.replace(SMALL, optimizer=optimizer, beta=0.1, lr=LR[optimizer]), digits)
    for _ in range(20):
        run.train_epoch()
        run.close_epoch()
    assert run.history[-1, 1] < run.history[0, 1] - 5


def test_metrics_are_means_over_images(digits):
    """The short last batch counts for its images; the test row is the loss of sampled z."""
    run = runs.Run(dataclasses.replace(SMALL, lr=1e-12, pixels="grey", samples=2, beta=0.5), digits)
    run.train_epoch()
    run.close_epoch()
    epoch, train, train_nll, train_kl, test, test_nll, test_kl = run.history[0]
    assert epoch == 1
    x = digits.x_train / 255
    fresh = runs.Run(run.config, digits).model
    noise = [fresh.loss(x, e, 0.5) for e in np.random.default_rng(0).standard_normal((30, len(x), 2))]
    assert train == pytest.approx(np.mean([t.loss for t in noise]), abs=5 * np.std([t.loss for t in noise]))
    assert train_kl == pytest.approx(noise[0].kl, rel=1e-6)  # the kl takes no noise: exact but for the lr
    assert train == pytest.approx(train_nll + 0.5 * train_kl)
    assert test == pytest.approx(test_nll + 0.5 * test_kl)
    agree("test terms", run.test_terms(2), (test, test_nll, test_kl), 0)
    at_mu = fresh.loss(digits.x_test / 255, np.zeros((100, 2))).nll
    assert test_nll > at_mu, "z = mu flatters the reconstruction"


def test_every_pixel_mode_and_likelihood_trains(digits):
    for settings in (
        {"pixels": "static"}, {"pixels": "threshold"}, {"pixels": "grey"}, {"likelihood": "gaussian"},
        {"likelihood": "gaussian-shared"}, {"likelihood": "gaussian-pixel", "pixels": "grey"},
        {"hidden": ()}, {"hidden": (30, 20, 10), "activation": "tanh"}, {"samples": 3}, {"backend": "numpy"},
    ):  # fmt: skip
        run = runs.Run(
            dataclasses.replace(SMALL, lr=0.01, beta=0.1, pixels=settings.pop("pixels", None), **settings),
            digits,
        )
        for _ in range(12):
            run.train_epoch()
            run.close_epoch()
        assert run.history[-1, 1] < run.history[0, 1] - 2, settings


# ------------------------------------------------------------------------------ the run folder


def test_the_run_folder(digits, tmp_path):
    lines = []
    run = runs.Run(SMALL, digits)
    folder = training.new_folder(run, tmp_path / "run")
    training.train(run, folder, lines.append)
    pictures = {"curves.png", "reconstructions.png", "samples.png", "latent_map.png", "manifold.png"}
    assert {p.name for p in folder.iterdir()} == {"config.json", "metrics.csv", "checkpoint.npz", *pictures}
    assert [line.split()[:2] for line in lines] == [["epoch", f"{i}/3"] for i in (1, 2, 3)]
    config = json.loads((folder / "config.json").read_text())
    assert config.pop("minivae") == checkpoints.FORMAT
    assert Config.from_dict(config) == SMALL
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    assert header == "epoch,train_loss,train_nll,train_kl,test_loss,test_nll,test_kl,seconds"
    table = np.array([[float(cell) for cell in row.split(",")] for row in rows])
    np.testing.assert_allclose(table[:, :7], run.history, atol=1e-6)
    assert np.all(table[:, 7] >= 0)


def test_a_plane_has_a_map_and_others_do_not(digits, tmp_path):
    run_to_the_end(dataclasses.replace(SMALL, latent=3, epochs=1), digits, tmp_path / "run")
    assert not (tmp_path / "run" / "manifold.png").exists()


def test_prior_grid_grows_right_and_up():
    z = training.prior_grid(5).reshape(5, 5, 2)
    assert np.all(np.diff(z[..., 0], axis=1) > 0)
    assert np.all(np.diff(z[..., 1], axis=0) < 0)
    assert z[0, 0, 0] == pytest.approx(-1.6449, abs=1e-4)
    assert np.abs(z[2, 2]).max() < 1e-15


def test_the_default_folder_is_the_next_number(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = runs.Run(SMALL, digits)
    assert str(training.new_folder(run)) == "runs/1"
    assert str(training.new_folder(run)) == "runs/2"
    (tmp_path / "runs" / "9").mkdir()
    (tmp_path / "runs" / "other").mkdir()
    assert str(training.new_folder(run)) == "runs/10"


def test_a_new_folder_is_complete_from_the_first_moment(digits, tmp_path, monkeypatch):
    """Whatever fails before the checkpoint stands, the folder is not there."""
    run = runs.Run(SMALL, digits)
    monkeypatch.setattr(checkpoints, "save", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        training.new_folder(run, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    training.new_folder(run, tmp_path / "run")
    assert resumed(tmp_path / "run", digits).epoch == 0
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_overwrite_replaces_a_run_and_nothing_else(digits, tmp_path):
    folder = tmp_path / "run"
    run = run_to_the_end(dataclasses.replace(SMALL, epochs=1), digits, folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="already holds a run; add --overwrite"):
        training.new_folder(run, folder)
    training.new_folder(runs.Run(SMALL, digits), folder, overwrite=True)
    assert {p.name for p in folder.iterdir()} == {"notes.txt", "checkpoint.npz", "config.json", "metrics.csv"}
    assert (folder / "notes.txt").read_text() == "mine"
    assert resumed(folder, digits).epoch == 0
    (folder / "samples.png").write_bytes(b"mine too")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r"samples.png exists and was not written by minivae"):
            training.new_folder(run, folder, overwrite)
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        training.new_folder(run, folder / "notes.txt")


@pytest.mark.parametrize("moment", ["config.json", "checkpoint.npz"])
def test_a_crash_while_overwriting_leaves_one_run_or_the_other(digits, tmp_path, monkeypatch, moment):
    """The old run's config goes first and the new run's comes last, so that no two halves are ever mixed."""
    folder = tmp_path / "run"
    run_to_the_end(dataclasses.replace(SMALL, epochs=1), digits, folder)
    write = files.write

    def crash(path, content):
        if path.name == moment:
            raise OSError("pulled the plug")
        write(path, content)

    monkeypatch.setattr(files, "write", crash)
    with pytest.raises(OSError, match="pulled the plug"):
        training.new_folder(runs.Run(dataclasses.replace(SMALL, latent=3), digits), folder, overwrite=True)
    monkeypatch.undo()
    assert resumed(folder, digits).config.latent == (2 if moment == "checkpoint.npz" else 3)
    assert (folder / "config.json").exists() == (moment == "checkpoint.npz")


# ------------------------------------------------------------------------------ cut off and resumed


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("stops", [(1,), (7,), (3, 4, 9), (14, 21)])
def test_resume_is_bit_identical(digits, tmp_path, backend, stops):
    """Interrupted after the given numbers of steps, saved, loaded by a new process's worth of state."""
    config = dataclasses.replace(SMALL, backend=backend)
    run_to_the_end(config, digits, tmp_path / "whole")
    folder = training.new_folder(runs.Run(config, digits), tmp_path / "cut")
    done = 0
    for stop in stops:
        run = resumed(folder, digits)
        while done < stop:
            # as train() does, but stopping after exactly so many steps
            step_once = run.train_epoch(stop=lambda: True)
            done += 1
            if step_once:
                run.close_epoch()
        run.save(folder)
    training.train(resumed(folder, digits), folder, say=lambda line: None)
    assert_same_run(tmp_path / "whole", folder)


def resumed(folder, digits, **changes):
    """Run.load, with the small data in place of the shipped MNIST."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load_dataset", lambda path: digits)
        return runs.Run.load(folder, **changes)


def test_a_prolonged_run_is_the_longer_run(digits, tmp_path):
    run_to_the_end(SMALL, digits, tmp_path / "whole")
    run_to_the_end(dataclasses.replace(SMALL, epochs=1), digits, tmp_path / "cut")
    training.train(resumed(tmp_path / "cut", digits, epochs=3), tmp_path / "cut", say=lambda line: None)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    with pytest.raises(ValueError, match="epochs must be more than the 3"):
        resumed(tmp_path / "cut", digits, epochs=2)


def test_ctrl_c_finishes_the_step_and_saves(digits, tmp_path):
    """The signal comes in the middle of a step: it is finished and saved, and the line says how to go on."""
    run_to_the_end(SMALL, digits, tmp_path / "whole")
    run = runs.Run(SMALL, digits)
    folder = training.new_folder(run, tmp_path / "cut")
    loss_and_grads = run.model.loss_and_grads
    calls = []

    def interrupted(*args):
        calls.append(len(calls))
        if len(calls) == 10:
            signal.raise_signal(signal.SIGINT)
        return loss_and_grads(*args)

    run.model.loss_and_grads = interrupted
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(
        training.Interrupted, match=r"stopped after epoch 2, step 3, saved; .* --resume .*cut"
    ):
        training.train(run, folder, say=lambda line: None)
    assert signal.getsignal(signal.SIGINT) is before
    saved = checkpoints.load(folder / folders.CHECKPOINT)
    assert (saved["epoch"], saved["step"], saved["optimizer_steps"]) == (1, 3, 10)
    training.train(resumed(folder, digits), folder, say=lambda line: None)
    assert_same_run(tmp_path / "whole", folder)


def test_ctrl_c_twice_stops_at_once():
    with training.CtrlC() as ctrl_c:
        signal.raise_signal(signal.SIGINT)
        assert ctrl_c.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(digits, tmp_path):
    run = runs.Run(dataclasses.replace(SMALL, optimizer="sgd", lr=1e30), digits)
    folder = training.new_folder(run, tmp_path / "run")
    with pytest.raises(ValueError, match=r"epoch 1, step 2: .* is (nan|inf); try a smaller --lr"):
        training.train(run, folder, say=lambda line: None)
    saved = checkpoints.load(folder / folders.CHECKPOINT)
    assert all(np.isfinite(a).all() for name, a in saved.items() if name.startswith("params/"))
    assert saved["optimizer_steps"] == 0


def test_a_model_that_broke_is_not_saved(digits, tmp_path):
    run = runs.Run(SMALL, digits)
    run.model.params["mu.b"][0] = np.nan
    with pytest.raises(ValueError, match=r"the parameter mu.b is no longer finite"):
        run.save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_test_loss_that_is_not_finite(digits):
    run = runs.Run(SMALL, digits)
    run.train_epoch()
    run.model.params["output.b"][...] = np.nan
    with pytest.raises(ValueError, match="test after epoch 1: the loss is not finite"):
        run.close_epoch()


def test_full_disk_keeps_the_last_good_checkpoint(digits, tmp_path, monkeypatch):
    run = runs.Run(SMALL, digits)
    folder = training.new_folder(run, tmp_path / "run")
    before = (folder / folders.CHECKPOINT).read_bytes()
    run.train_epoch()
    run.close_epoch()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ValueError, match="cannot be written: No space left"):
        run.save(folder)
    monkeypatch.undo()
    assert (folder / folders.CHECKPOINT).read_bytes() == before
    training.train(resumed(folder, digits), folder, say=lambda line: None)


# ------------------------------------------------------------------------------ folders that do not fit


@pytest.fixture
def finished(digits, tmp_path):
    run_to_the_end(dataclasses.replace(SMALL, epochs=1), digits, tmp_path / "run")
    return tmp_path / "run"


def edit_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("name", "value"), [("latent", 3), ("hidden", [21]), ("seed", 1), ("epochs", 5), ("new", 1)]
)
def test_a_config_that_does_not_match(finished, digits, name, value):
    edit_config(finished, **{name: value})
    with pytest.raises(ValueError, match=f"config.json does not match the checkpoint in {name}"):
        resumed(finished, digits)
    with pytest.raises(ValueError, match="does not match"):
        mv.load_model(finished)


def test_a_config_that_is_none(finished, digits):
    for text in ("", "{", "[1]", "3", '{"seed": 0}'):
        (finished / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"config.json is not a config; delete it"):
            resumed(finished, digits)
    (finished / "config.json").unlink()
    resumed(finished, digits).save(finished)
    assert (finished / "config.json").exists()


def test_other_data_are_refused(finished, digits):
    other = digits._replace(x_train=digits.x_train[::-1])
    with pytest.raises(ValueError, match="the data in MNIST are not those"):
        resumed(finished, other)


def test_missing_parts(finished, tmp_path, digits):
    with pytest.raises(ValueError, match=r"run folder .*nowhere does not exist"):
        runs.Run.load(tmp_path / "nowhere")
    (finished / "checkpoint.npz").unlink()
    with pytest.raises(ValueError, match=r"checkpoint .* cannot be read"):
        resumed(finished, digits)


def test_load_model(finished, digits):
    model, shape = mv.load_model(finished)
    assert shape == (28, 28)
    run = resumed(finished, digits)
    for name, param in run.model.params.items():
        np.testing.assert_array_equal(model.params[name], param)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be an integer of at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an integer"),
        ({"latent": -1}, ValueError, "latent must be"),
        ({"samples": 0}, ValueError, "samples must be"),
        ({"hidden": (0,)}, ValueError, "hidden must be"),
        ({"lr": 0.0}, ValueError, "lr must be a finite number and above 0"),
        ({"lr": -1.0}, ValueError, "lr must be"),
        ({"lr": float("nan")}, ValueError, "lr must be"),
        ({"beta": -0.5}, ValueError, "beta must be"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"activation": "gelu"}, ValueError, "activation must be one of"),
        ({"likelihood": "poisson"}, ValueError, "likelihood must be one of"),
        ({"optimizer": "lion"}, ValueError, "optimizer must be one of sgd, momentum, rmsprop, adam"),
        ({"pixels": "sepia"}, ValueError, "pixels must be one of"),
        ({"backend": "torch"}, ValueError, "backend must be one of"),
        ({"data": 3}, TypeError, "data must be the path of a file"),
    ],
)
def test_bad_config(settings, error, message):
    with pytest.raises(error, match=message):
        Config(**settings)


def test_config_round_trip():
    config = Config(hidden=(200, 100), likelihood="gaussian")
    assert config.pixels == "grey"
    assert Config.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    for bad in ({}, config.as_dict() | {"new": 1}, []):
        with pytest.raises(ValueError, match="a config must have exactly the entries"):
            Config.from_dict(bad)


# ------------------------------------------------------------------------------ checkpoints that do not fit


def altered(folder, **changes):
    """Write the folder's checkpoint again, whole, with some entries changed or (None) left out."""
    arrays = checkpoints.load(folder / folders.CHECKPOINT) | changes
    checkpoints.save(folder / folders.CHECKPOINT, {k: v for k, v in arrays.items() if v is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": None}, "lacks the entry config"),
        ({"history": np.array("x")}, "lacks the entry history, or it is of a wrong type"),
        ({"config": np.array("{")}, "holds no config that can be used"),
        ({"config": np.array("{}")}, "holds no config that can be used: a config must have exactly"),
        ({"params/mu.W": None}, r"must hold params/mu.W of shape \(20, 2\)"),
        ({"params/mu.W": np.ones((20, 1), np.float32)}, r"must hold params/mu.W of shape \(20, 2\)"),
        ({"params/mu.b": np.full(2, np.nan, np.float32)}, "params/mu.b is not finite"),
        ({"optimizer/m/mu.W": None}, "must hold optimizer/m/mu.W"),
    ],
)
def test_a_whole_checkpoint_of_wrong_content(finished, digits, changes, message):
    altered(finished, **changes)
    with pytest.raises(ValueError, match=message):
        resumed(finished, digits)


def test_a_config_of_another_format(finished, digits):
    edit_config(finished, minivae=7)
    with pytest.raises(ValueError, match="has format 7, this minivae reads format 1"):
        resumed(finished, digits)


def test_train_replaces_no_other_run(finished, digits):
    """Nor a later state of its own; and it makes the folder that is not there."""
    before = (finished / folders.CHECKPOINT).read_bytes()
    with pytest.raises(ValueError, match=r"is another run; go on with Run.load"):
        training.train(runs.Run(dataclasses.replace(SMALL, seed=9), digits), finished, lambda line: None)
    with pytest.raises(ValueError, match="is further along"):
        training.train(runs.Run(SMALL, digits), finished, lambda line: None)
    assert (finished / folders.CHECKPOINT).read_bytes() == before
    new = finished.parent / "new"
    training.train(runs.Run(dataclasses.replace(SMALL, epochs=1), digits), new, lambda line: None)
    assert_same_run(finished, new)


def test_ctrl_c_while_pictures_are_drawn(digits, tmp_path, monkeypatch):
    def interrupted(run):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "pictures", interrupted)
    run = runs.Run(dataclasses.replace(SMALL, epochs=1), digits)
    with pytest.raises(
        training.Interrupted, match=r"draw them with: python -m minivae train --resume '.*my run'"
    ):
        training.train(run, tmp_path / "my run", lambda line: None)
    monkeypatch.undo()
    training.train(resumed(tmp_path / "my run", digits), tmp_path / "my run", lambda line: None)
    assert (tmp_path / "my run" / "curves.png").exists()


def test_the_epoch_is_saved_before_it_is_said(digits, tmp_path):
    def broken(line):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        training.train(runs.Run(SMALL, digits), tmp_path / "run", broken)
    assert resumed(tmp_path / "run", digits).epoch == 1


def test_a_failed_overwrite_of_a_folder_without_checkpoint_says_why(finished, digits, monkeypatch):
    """The reason itself is told, and the config that stood there stands."""
    (finished / "checkpoint.npz").unlink()
    before = (finished / "config.json").read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        training.new_folder(runs.Run(SMALL, digits), finished, overwrite=True)
    assert (finished / "config.json").read_bytes() == before


def test_a_full_disk_leaves_no_half_folder(digits, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        training.new_folder(runs.Run(SMALL, digits), tmp_path / "run")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------ what a run is made of


def test_a_run_is_what_its_config_says(digits):
    settings = {"backend": "numpy", "activation": "tanh", "pixels": "threshold", "likelihood": "gaussian"}
    run = runs.Run(dataclasses.replace(SMALL, **settings), digits)
    assert run.model.activation == "tanh"
    assert run.model.ops.__name__ == "minivae.ops"
    assert run.optimizer.backend == "numpy"
    assert run.optimizer.lr == SMALL.lr
    want = data.pixel_mean(digits.x_train, "threshold")
    np.testing.assert_allclose(run.model.params["output.b"], want, rtol=1e-6)
    assert run.test_terms(1) != run.test_terms(2)


def test_seconds_go_on_after_a_resume(digits, tmp_path):
    run = runs.Run(SMALL, digits)
    folder = training.new_folder(run, tmp_path / "run")
    run.train_epoch(stop=lambda: True)
    run.elapsed = 100.0
    run.save(folder)
    again = resumed(folder, digits)
    again.train_epoch()
    again.close_epoch()
    assert again.seconds[-1] > 100


def test_epochs_may_not_end_before_the_one_under_way(digits, tmp_path):
    run = runs.Run(SMALL, digits)
    folder = training.new_folder(run, tmp_path / "run")
    run.train_epoch()
    run.close_epoch()
    run.train_epoch(stop=lambda: True)
    run.save(folder)
    with pytest.raises(ValueError, match="epochs must be more than the 1"):
        resumed(folder, digits, epochs=1)


def test_killed_between_the_writes_that_prolong(finished, digits):
    resumed(finished, digits, epochs=3).save(finished)
    edit_config(finished, epochs=1)  # the old file still stands
    assert resumed(finished, digits).config.epochs == 3


def test_epoch_line(digits):
    run = runs.Run(SMALL, digits)
    run.history, run.seconds = np.array([[1, 10, 9, 1, 20, 17, 3.0]]), np.array([1.5])
    assert "test   20.000 (nll 17.000, kl 3.000)   1.5 s" in training.epoch_line(run)


def test_pictures_show_this_runs_data(digits, monkeypatch):
    from minivae import plots

    seen = {}
    for name in ("latent_map", "reconstructions"):
        real = getattr(plots, name)
        monkeypatch.setattr(plots, name, lambda *a, real=real, name=name: seen.update({name: a}) or real(*a))
    run = runs.Run(dataclasses.replace(SMALL, pixels="grey"), digits)
    run.history = np.ones((1, 7))
    list(training.pictures(run))
    np.testing.assert_array_equal(seen["latent_map"][1], digits.y_test)
    originals, means = seen["reconstructions"][:2]
    np.testing.assert_array_equal(means, run.model.reconstruct(originals))

"""A run folder: created whole, trained in, stopped and resumed to the same bits."""

import errno
import io
import json
import os
import signal
import stat
import sys
import threading
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import tqdm
from runs import MOVING, ONE_EPOCH, SMALL, assert_same_run, contents, quietly, resumed, steps

import minivae as mv
from minivae import files, plots, training
from minivae.checkpoints import CHECKPOINT
from minivae.config import Config
from minivae.runs import Run
from minivae.training import new_folder


@pytest.fixture(scope="module")
def whole(digits, tmp_path_factory):
    """The folder of a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    quietly(Run(SMALL, digits), folder)
    return folder


def test_the_run_folder(digits, tmp_path, whole):
    lines, run, folder = [], Run(SMALL, digits), tmp_path / "run"
    training.train(run, folder, lines.append)
    assert_same_run(whole, folder)
    pictures = {"curves.png", "reconstructions.png", "samples.png", "latent_map.png", "manifold.png"}
    assert contents(folder).keys() == {"config.json", "metrics.csv", "checkpoint.npz", "best.npz", *pictures}
    assert [line.split()[:2] for line in lines[:3]] == [["epoch", f"{i}/3"] for i in (1, 2, 3)]
    text = (folder / "config.json").read_text()
    assert json.loads(text)["minivae"] == 1
    assert Config.from_json(text, "config.json") == SMALL
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    assert header == "epoch,train_loss,train_nll,train_kl,test_loss,test_nll,test_kl,seconds"
    assert [row.split(",")[0] for row in rows] == ["1", "2", "3"]
    table = np.array([[float(cell) for cell in row.split(",")] for row in rows])
    np.testing.assert_allclose(table[:, :7], run.history, atol=1e-6)
    assert np.all(table[:, 7] >= 0)
    model, shape = mv.load_model(folder)
    assert shape == (28, 28)
    for name, param in run.model.params.items():
        np.testing.assert_array_equal(model.params[name], param)


def test_the_default_folder_is_the_next_number(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run(SMALL, digits)
    assert [str(new_folder(run)) for _ in range(2)] == ["runs/1", "runs/2"]
    (tmp_path / "runs" / "9").mkdir()
    (tmp_path / "runs" / "other").mkdir()
    assert str(new_folder(run)) == "runs/10"


def test_folders_made_at_once_have_numbers_of_their_own(tmp_path, monkeypatch):
    """Sixteen threads start together, each of which finds the same number free; no folder is merged."""
    monkeypatch.chdir(tmp_path)
    together, made = threading.Barrier(16), []

    def make(i):
        def save(folder):
            (folder / "whose").write_text(str(i))
            together.wait()

        made.append((str(i), files.new_folder(save, None, False, {})))

    threads = [threading.Thread(target=make, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted(map(str, range(1, 17)))
    for i, folder in made:
        assert (folder / "whose").read_text() == i


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_complete_or_not_there(digits, tmp_path, monkeypatch, overwrite):
    """Whatever fails before the checkpoint is written, nothing is left, and an old run is unchanged."""
    folder = tmp_path / "run"
    if overwrite:
        new_folder(Run(SMALL, digits), folder)
    before, rename, calls = contents(folder) if overwrite else None, os.rename, []

    def last_rename_fails(source, target):
        calls.append(target)
        return 1 / 0 if len(calls) == 1 + overwrite else rename(source, target)

    for name, failing in (("fsync", lambda _: 1 / 0), ("rename", last_rename_fails)):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            with pytest.raises(ZeroDivisionError):
                new_folder(Run(ONE_EPOCH, digits), folder, overwrite)
        assert os.listdir(tmp_path) == ["run"] * overwrite
        assert before is None or contents(folder) == before
    new_folder(Run(ONE_EPOCH, digits), folder, overwrite)
    assert resumed(folder, digits).config.epochs == 1
    assert os.listdir(tmp_path) == ["run"]


def test_overwrite_replaces_a_run_and_nothing_else(digits, tmp_path):
    folder = tmp_path / "run"
    run = quietly(Run(ONE_EPOCH, digits), folder)
    folder.chmod(0o700)
    with pytest.raises(ValueError, match="already exists; add --overwrite"):
        new_folder(run, folder)
    (folder / ".minivae-0123456789abcdef").write_bytes(b"left by a process that was killed")
    new_folder(Run(SMALL, digits), folder, overwrite=True)
    assert contents(folder).keys() == {"checkpoint.npz", "config.json", "metrics.csv"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name, content in (("notes.txt", b"mine"), ("samples.png", b"my photo"), ("my.png", None)):
        (folder / name).write_bytes(content or plots.to_png(plots.curves([])))
        before = contents(folder)
        with pytest.raises(ValueError, match=f"holds {name}, which is not a run's"):
            new_folder(run, folder, overwrite=True)
        assert contents(folder) == before
        (folder / name).unlink()
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("run/config.json", "link", "dangling"):
        with pytest.raises(ValueError, match="is a file or a link, expected a folder"):
            new_folder(run, tmp_path / name, overwrite=True)


def test_train_replaces_no_other_run(digits, tmp_path):
    run = quietly(Run(ONE_EPOCH, digits), tmp_path / "run")
    before = (tmp_path / "run" / CHECKPOINT).read_bytes()
    with pytest.raises(ValueError, match="already exists"):
        quietly(Run(ONE_EPOCH, digits), tmp_path / "run")
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == before
    quietly(run, tmp_path / "copy")
    assert_same_run(tmp_path / "run", tmp_path / "copy")


# ------------------------------------------------------------------------------ stopped and resumed


@pytest.mark.parametrize("settings", [{"backend": "numba"}, {"backend": "numpy"}, MOVING], ids=str)
def test_resume_is_bit_identical(digits, tmp_path, settings):
    """Stopped in and between epochs of seven steps, saved, and loaded into a new Run."""
    config = replace(SMALL, **settings)
    quietly(Run(config, digits), tmp_path / "whole")
    for i, parts in enumerate([(1,), (7,), (3, 1, 5), (14, 7)]):
        folder = new_folder(Run(config, digits), tmp_path / f"cut{i}")
        for number in parts:
            run = resumed(folder, digits)
            steps(run, number)
            run.save(folder)
        quietly(resumed(folder, digits), folder)
        assert_same_run(tmp_path / "whole", folder)


def test_a_prolonged_run_is_the_longer_run(digits, tmp_path, whole):
    quietly(Run(ONE_EPOCH, digits), tmp_path / "cut")
    run = resumed(tmp_path / "cut", digits, epochs=3)
    run.elapsed_seconds = 100.0
    quietly(run, tmp_path / "cut")
    assert run.seconds[1] > 100 > run.seconds[2], "the clock of an epoch continues, and starts anew"
    assert_same_run(whole, tmp_path / "cut")
    with pytest.raises(ValueError, match="epochs must be more than the 3"):
        resumed(tmp_path / "cut", digits, epochs=2)
    assert resumed(tmp_path / "cut", digits, epochs=4).epoch == 3
    steps(run, 1)
    run.save(tmp_path / "cut")
    with pytest.raises(ValueError, match="epochs must be more than the 3"):
        resumed(tmp_path / "cut", digits, epochs=3)


def test_ctrl_c_finishes_the_step_and_saves(digits, tmp_path, whole):
    """The signal comes in the middle of a step: it is finished and saved; the line says how to continue."""
    run, calls, before = Run(SMALL, digits), [], signal.getsignal(signal.SIGINT)
    loss_and_grads = run.model.loss_and_grads

    def interrupted(*args, **settings):
        calls.append(len(calls))
        if len(calls) == 10:
            signal.raise_signal(signal.SIGINT)
        return loss_and_grads(*args, **settings)

    run.model.loss_and_grads = interrupted
    said = r"stopped after epoch 2, step 3, saved; .* --resume .*cut"
    with pytest.raises(training.Interrupted, match=said):
        quietly(run, tmp_path / "cut")
    assert signal.getsignal(signal.SIGINT) is before
    saved = files.load_arrays(tmp_path / "cut" / CHECKPOINT)
    assert (saved["epoch"], saved["step"], saved["optimizer_steps"]) == (1, 3, 10)
    quietly(resumed(tmp_path / "cut", digits), tmp_path / "cut")
    assert_same_run(whole, tmp_path / "cut")


def test_ctrl_c_twice_stops_at_once():
    with training.ctrl_c() as pressed:
        signal.raise_signal(signal.SIGINT)
        assert pressed.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_training_outside_the_main_thread(digits, tmp_path, whole):
    thread = threading.Thread(target=quietly, args=(Run(SMALL, digits), tmp_path / "thread"))
    thread.start()
    thread.join()
    assert_same_run(whole, tmp_path / "thread")


@pytest.mark.parametrize("terminal", [True, False])
def test_the_progress_bar_moves_on_a_terminal_only(digits, tmp_path, monkeypatch, terminal):
    """From the step where a run was stopped, image by image to the last, with the loss of each step."""
    run = Run(ONE_EPOCH, digits)
    steps(run, 3)
    shown = io.StringIO()
    shown.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(training, "tqdm", lambda **words: tqdm.tqdm(mininterval=0, miniters=1, **words))
    quietly(run, tmp_path / "run")
    text = shown.getvalue()
    for part in ("epoch 1/1", "loss=2", *(f"{images}/330" for images in (150, 200, 250, 300, 330))):
        assert (part in text) == terminal
    assert "100/330" not in text
    assert terminal or not text


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("no font")])
def test_pictures_that_are_not_drawn(digits, tmp_path, monkeypatch, capsys, error):
    """Ctrl-C says how to draw them; a failure is a warning, and the run is complete."""
    folder, run = tmp_path / "my run", Run(ONE_EPOCH, digits)
    with monkeypatch.context() as patch:
        patch.setattr(plots, "latent_map", Mock(side_effect=error))
        if error is KeyboardInterrupt:
            with pytest.raises(training.Interrupted, match=r"draw them with: .* --resume '.*my run'"):
                training.train(run, folder, Mock())
        else:
            training.train(run, folder, Mock())
            assert capsys.readouterr().err == "warning: not all pictures are drawn: no font\n"
    assert not (folder / "latent_map.png").exists()
    training.train(resumed(folder, digits), folder, Mock())
    assert (folder / "latent_map.png").exists()


def test_the_epoch_is_saved_before_it_is_reported(digits, tmp_path):
    with pytest.raises(BrokenPipeError):
        training.train(Run(SMALL, digits), tmp_path / "run", Mock(side_effect=BrokenPipeError))
    assert resumed(tmp_path / "run", digits).epoch == 1


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(digits, tmp_path):
    run = Run(replace(SMALL, optimizer="sgd", lr=1e30), digits)
    with pytest.raises(ValueError, match=r"epoch 1, step 2: .* \(mu from .* to .*\); try a smaller --lr"):
        quietly(run, tmp_path / "run")
    saved = files.load_arrays(tmp_path / "run" / CHECKPOINT)
    assert all(np.isfinite(a).all() for name, a in saved.items() if name.startswith("params/"))
    assert saved["optimizer_steps"] == 0
    wide = digits._replace(x_train=digits.x_train * np.float32(1e30), x_test=digits.x_test / 255)
    with pytest.raises(ValueError, match=r"step 1: .* \(mu from .*\); no step was taken yet: scale the data"):
        Run(replace(SMALL, likelihood="gaussian", pixels="grey"), wide).train_epoch()


def test_a_model_that_is_not_finite_is_not_saved(digits, tmp_path):
    run = Run(SMALL, digits)
    run.train_epoch()
    run.model.params["output.b"][0] = np.nan
    with pytest.raises(ValueError, match="test after epoch 1: the loss is not finite"):
        run.close_epoch()
    with pytest.raises(ValueError, match=r"the parameter output.b is no longer finite"):
        run.save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_the_last_good_checkpoint(digits, tmp_path, monkeypatch):
    run = Run(SMALL, digits)
    folder = new_folder(run, tmp_path / "run")
    before = contents(folder)
    steps(run, 7)
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Mock(side_effect=full))
        with pytest.raises(ValueError, match="cannot be written: No space left"):
            run.save(folder)
    assert contents(folder) == before
    quietly(resumed(folder, digits), folder)

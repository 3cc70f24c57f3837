"""The commands as a user types them: what they print, what they leave, how they refuse, how they survive."""

import dataclasses
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_data import BAD_FILES, bad_file
from test_training import assert_same_run

from minivae import checkpoints, cli

TINY = ["--hidden", "20", "--latent", "2", "--batch-size", "40"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """220 pictures of 6 x 5 in a file of their own: an epoch is five steps."""
    path = tmp_path_factory.mktemp("data") / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (220, 6, 5), dtype=np.uint8))
    return str(path)


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    """A finished run of two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert cli.main(["train", *TINY, "--epochs", "2", "--data", images, "--out", str(folder)]) == 0
    return str(folder)


def refused(capsys, *argv):
    """Run a command that must fail: its one line on standard error."""
    try:
        code = cli.main(list(argv))
    except SystemExit as error:  # argparse's own refusals
        code = error.code
    captured = capsys.readouterr()
    assert code == 2, captured.err
    # whoever comes first on a new machine is told of the compilation as well
    (line,) = [l for l in captured.err.splitlines() if not l.startswith("compiling the kernels")]
    assert "Traceback" not in captured.err
    assert ": error: " in line
    return line


def test_train_and_look(run, capsys):
    assert cli.main(["sample", run, "-n", "9"]) == 0
    assert cli.main(["reconstruct", run, "-n", "5", "--seed", "3"]) == 0
    assert cli.main(["evaluate", run, "--samples", "20"]) == 0
    printed = capsys.readouterr().out
    assert f"wrote {run}/sample.png" in printed
    assert f"wrote {run}/reconstruct.png" in printed
    for name in ("sample", "reconstruct"):
        assert Path(run, f"{name}.png").read_bytes().startswith(b"\x89PNG")
    with open(f"{run}/metrics.csv") as file:
        last = [float(cell) for cell in file.read().splitlines()[-1].split(",")]
    loss, nll, kl = (float(v) for v in re.search(r"-ELBO +(\S+) .*nll (\S+) \+ kl (\S+),", printed).groups())
    # the run's own test draws again, so the same numbers as its last row
    assert (loss, nll, kl) == pytest.approx(last[4:7], abs=0.006)
    bound = float(re.search(r"-log p\(x\) +(\S+)", printed)[1])
    assert bound < loss
    assert re.search(r"latents +[012] +of 2 are active", printed)


def test_the_train_output(images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *TINY, "--epochs", "2", "--data", images]) == 0
    headline, *epochs, done = capsys.readouterr().out.splitlines()[:4]
    assert headline.startswith("30-20-2 relu, bernoulli, ")
    assert headline.endswith("198 + 22 images, dynamic pixels -> runs/1")
    for i, line in enumerate(epochs, 1):
        assert re.fullmatch(rf"epoch +{i}/2   train +\S+   test +\S+ \(nll \S+, kl \S+\)   \S+ s", line)
    assert "look at runs/1/reconstructions.png" in done
    assert os.listdir("runs") == ["1"]


def test_every_option_reaches_the_config(images, tmp_path):
    folder = str(tmp_path / "run")
    options = {
        "--seed": "3", "--epochs": "1", "--batch-size": "50", "--hidden": "12,7", "--latent": "3",
        "--activation": "tanh", "--likelihood": "gaussian", "--beta": "0.5", "--samples": "2",
        "--estimator": "score-function", "--baseline": "leave-one-out",
        "--optimizer": "rmsprop", "--lr": "0.002", "--pixels": "threshold", "--data": images,
        "--backend": "numpy", "--out": folder,
    }  # fmt: skip
    assert cli.main(["train", *(word for pair in options.items() for word in pair)]) == 0
    config = cli.Run.load(folder).config
    assert config == cli.Config(
        3, 1, 50, (12, 7), 3, "tanh", "gaussian", 0.5, 2, "score-function", "leave-one-out",
        "rmsprop", 0.002, "threshold", images, "numpy",
    )  # fmt: skip
    assert (
        cli.main(
            [
                "train",
                "--hidden",
                "none",
                *(w for p in options.items() if p[0] != "--hidden" for w in p),
                "--overwrite",
            ]
        )
        == 0
    )
    assert cli.Run.load(folder).config.hidden == ()


@pytest.mark.parametrize("command", [[], ["train"], ["sample"], ["reconstruct"], ["evaluate"], ["variance"]])
def test_help(capsys, command):
    with pytest.raises(SystemExit) as done:
        cli.main([*command, "--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert "usage: python -m minivae" in text
    for line in text.splitlines():
        assert len(line) <= 100
    if command == ["train"]:
        for field in dataclasses.fields(cli.Config):
            assert "--" + field.name.replace("_", "-") in text


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "--learning-rate", "1"], "unrecognized arguments: --learning-rate"),
        (["train", "--epoch", "1"], "unrecognized arguments: --epoch"),
        (["train", "--out", ""], "argument --out: expected a path, got an empty word"),
        (["train", "--resume", ""], "argument --resume: expected a path"),
        (["train", "--data", ""], "argument --data: expected a path"),
        (["sample", ""], "argument RUN: expected a path"),
        (["train", "--epochs", "0"], "epochs must be an integer of at least 1, got 0"),
        (["train", "--epochs", "ten"], "argument --epochs: invalid int value: 'ten'"),
        (["train", "--batch-size", "-3"], "batch_size must be an integer of at least 1"),
        (["train", "--hidden", "400,x"], "argument --hidden: expected widths such as 400"),
        (["train", "--hidden", "400,0"], "hidden must be an integer of at least 1"),
        (["train", "--latent", "0"], "latent must be an integer of at least 1"),
        (["train", "--samples", "0"], "samples must be an integer"),
        (["train", "--seed", "-1"], "seed must be an integer of at least 0"),
        (["train", "--lr", "0"], "lr must be a finite number and above 0"),
        (["train", "--lr", "-0.1"], "lr must be a finite number"),
        (["train", "--lr", "nan"], "lr must be a finite number"),
        (["train", "--beta", "-1"], "beta must be a finite number and at least 0"),
        (["train", "--activation", "gelu"], "argument --activation: invalid choice: 'gelu'"),
        (["train", "--likelihood", "poisson"], "argument --likelihood: invalid choice"),
        (["train", "--optimizer", "lion"], "argument --optimizer: invalid choice"),
        (["train", "--pixels", "sepia"], "argument --pixels: invalid choice"),
        (["train", "--backend", "torch"], "argument --backend: invalid choice"),
        (["train", "--threads", "0", "--data", "IMAGES"], "threads must be an integer of at least 1"),
        (["train", "--threads", "9999", "--data", "IMAGES"], "threads must be at most"),
        (["train", "--data", "IMAGES", "--out", "RUN"], "already holds a run; add --overwrite"),
        (["train", "--data", "IMAGES", "--out", "IMAGES"], "is a file, expected a folder"),
        (["train", "--data", "IMAGES", "--out", "IMAGES/below"], "cannot be made: Not a directory"),
        (["train", "--data", "IMAGES", "--out", "/proc/run"], "--out /proc/run cannot be made"),
        (["train", "--resume", "nowhere"], "run folder nowhere does not exist"),
        (["train", "--resume", "RUN", "--out", "elsewhere"], "leave out --out and --overwrite"),
        (["train", "--resume", "RUN", "--lr", "0.5"], "it cannot change lr"),
        (["train", "--resume", "RUN", "--epochs", "1"], "epochs must be more than the 2"),
        (["sample", "nowhere"], "run folder nowhere does not exist"),
        (["sample"], "required: RUN"),
        (["sample", "RUN", "-n", "0"], "n must be an integer of at least 1"),
        (["sample", "RUN", "--seed", "-1"], "seed must be an integer of at least 0"),
        (["sample", "RUN", "--out", "picture.jpg"], "--out must name a .png file"),
        (["sample", "RUN", "--out", "IMAGES.png"], "exists and was not written by minivae"),
        (["sample", "RUN", "--out", "no/such/folder.png"], "No such file or directory"),
        (["reconstruct", "RUN", "-n", "23"], "n must be at most 22"),
        (["evaluate", "RUN", "--samples", "-1"], "samples must be an integer of at least 0"),
    ],
)  # fmt: skip
def test_one_line_and_exit_code_2(capsys, run, images, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "IMAGES.png").write_bytes(b"a picture of somebody")
    given = [images + w[6:] if w.startswith("IMAGES") and w != "IMAGES.png" else w for w in argv]
    assert message in refused(capsys, *(run if word == "RUN" else word for word in given))
    assert not (tmp_path / "runs").exists()
    assert (tmp_path / "IMAGES.png").read_bytes() == b"a picture of somebody"


@pytest.mark.parametrize("kind", list(BAD_FILES))
def test_bad_data_files(capsys, tmp_path, kind):
    path, message = bad_file(tmp_path, kind)
    assert re.search(message, refused(capsys, "train", "--data", path, "--out", str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_data_outside_the_support(capsys, tmp_path):
    np.save(tmp_path / "wide.npy", np.linspace(-1, 3, 40).reshape(10, 4))
    told = refused(capsys, "train", "--data", str(tmp_path / "wide.npy"), "--out", str(tmp_path / "run"))
    assert "must lie in [0, 1] for dynamic pixels" in told
    assert "--likelihood gaussian --pixels grey" in told


def test_divergence_is_one_line(capsys, images, tmp_path):
    folder = tmp_path / "run"
    argv = ["train", *TINY, "--data", images, "--optimizer", "sgd", "--lr", "1e30", "--out", str(folder)]
    assert re.search(
        r"epoch 1, step \d: the loss is not finite: .* try a smaller --lr", refused(capsys, *argv)
    )
    assert checkpoints.load(folder / "checkpoint.npz")["epoch"] == 0


@pytest.mark.parametrize("command", ["train --resume", "sample", "reconstruct", "evaluate"])
@pytest.mark.parametrize("harm", ["missing", "truncated", "flipped", "foreign", "config"])
def test_a_damaged_run(capsys, run, tmp_path, harm, command):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("checkpoint.npz", "config.json"):
        (folder / name).write_bytes(Path(run, name).read_bytes())
    path = folder / "checkpoint.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    if harm == "missing":
        path.unlink()
    elif harm == "foreign":
        np.savez(path, a=np.ones(3))
    elif harm == "config":
        text = (folder / "config.json").read_text()
        (folder / "config.json").write_text(text.replace('"latent": 2', '"latent": 3'))
    else:
        path.write_bytes(data if harm == "flipped" else data[: len(data) // 2])
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    expected = {"missing": "cannot be read", "config": "does not match the checkpoint in latent"}
    assert expected.get(harm, "its checksum does not fit") in refused(capsys, *command.split(), str(folder))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_threads_and_numpy(capsys, images, tmp_path):
    argv = ["train", *TINY, "--epochs", "1", "--data", images, "--backend", "numpy", "--threads", "1"]
    assert cli.main([*argv, "--out", str(tmp_path / "run")]) == 0
    assert "--threads is for the numba backend" in capsys.readouterr().err


# ------------------------------------------------------------------------------ killed and interrupted


def command(*argv):
    return subprocess.Popen(
        [sys.executable, "-m", "minivae", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """A run of a second or two, never interrupted, and the words that make it."""
    path = tmp_path_factory.mktemp("long") / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (3000, 6, 5), dtype=np.uint8))
    argv = ["train", *TINY, "--epochs", "12", "--data", str(path)]
    folder = tmp_path_factory.mktemp("long") / "whole"
    assert cli.main([*argv, "--out", str(folder)]) == 0
    return argv, folder


@pytest.mark.slow
def test_kill_at_random_moments(long_run, tmp_path):
    """kill -9 twenty times at random moments of one run, resume each time: the same bits in the end."""
    argv, whole = long_run
    folder = tmp_path / "killed"
    random.seed(7)
    for _ in range(20):
        go_on = ["train", "--resume", str(folder)] if folder.exists() else [*argv, "--out", str(folder)]
        process = command(*go_on)
        deadline = time.monotonic() + 60
        while not (folder / "checkpoint.npz").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(random.uniform(0, 2.0))
        process.send_signal(signal.SIGKILL)
        assert process.wait() in (0, -signal.SIGKILL), process.stderr.read()
        process.stdout.close()
        process.stderr.close()
    assert cli.main(["train", "--resume", str(folder)]) == 0
    assert_same_run(whole, folder)
    pictures = {p.name for p in whole.iterdir()}
    assert {p.name for p in folder.iterdir() if not p.name.endswith(".part")} == pictures


def test_ctrl_c_on_the_command_line(long_run, tmp_path):
    argv, whole = long_run
    folder = tmp_path / "stopped"
    process = command(*argv, "--out", str(folder))
    for line in process.stdout:
        if line.startswith("epoch   2"):
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert len(said.split("\n")) == 3  # an empty line first, to step off the terminal's ^C
    assert f"go on with: python -m minivae train --resume {folder}" in said
    assert cli.main(["train", "--resume", str(folder)]) == 0
    assert_same_run(whole, folder)


def test_resuming_a_finished_run_changes_nothing(run, capsys):
    before = checkpoints.load(f"{run}/checkpoint.npz")
    assert cli.main(["train", "--resume", run]) == 0
    after = checkpoints.load(f"{run}/checkpoint.npz")
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_resume_finds_data_that_moved(images, tmp_path):
    """The content decides, not the place; and other content is refused."""
    here, there = tmp_path / "here.npy", tmp_path / "there.npy"
    here.write_bytes(Path(images).read_bytes())
    folder = str(tmp_path / "run")
    assert cli.main(["train", *TINY, "--epochs", "1", "--data", str(here), "--out", folder]) == 0
    here.rename(there)
    assert cli.main(["train", "--resume", folder]) == 2
    assert cli.main(["train", "--resume", folder, "--data", str(there), "--epochs", "2"]) == 0
    np.save(there, np.zeros((20, 6, 5), np.uint8))
    assert cli.main(["train", "--resume", folder, "--epochs", "3"]) == 2

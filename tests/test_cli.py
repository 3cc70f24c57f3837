"""The commands as a user types them: what they print, what they leave, how they refuse, how they survive."""

import dataclasses
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from runs import assert_same_run, contents

from minivae import VAE, cli, runs, training
from minivae.config import Config

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
    # the first use on a new machine also reports the compilation
    (line,) = [l for l in captured.err.splitlines() if not l.startswith("compiling the kernels")]
    assert not captured.out, "refuse before the work, not after it"
    assert ": error: " in line
    return line


def test_train_and_look(run, capsys):
    assert cli.main(["sample", run, "-n", "9"]) == 0
    assert cli.main(["reconstruct", run, "-n", "5", "--seed", "3"]) == 0
    assert cli.main(["evaluate", run, "--samples", "20"]) == 0
    printed = capsys.readouterr().out
    for name in ("sample", "reconstruct"):
        assert f"wrote {run}/{name}.png" in printed
        assert Path(run, f"{name}.png").read_bytes().startswith(b"\x89PNG")
    last = np.loadtxt(f"{run}/metrics.csv", delimiter=",", skiprows=1)[-1]
    loss, nll, kl = (float(v) for v in re.search(r"-ELBO +(\S+) .*nll (\S+) \+ kl (\S+),", printed).groups())
    # the run's own test draws again, so the numbers of its last row
    assert (loss, nll, kl) == pytest.approx(last[4:7], abs=0.006)
    bound = float(re.search(r"-log p\(x\) +(\S+)", printed)[1])
    assert bound < loss
    assert re.search(r"latents +[012] +of 2 are active", printed)


def test_the_train_output(images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *TINY, "--epochs", "2", "--data", images]) == 0
    found, headline, *epochs, test, terms, active, done = capsys.readouterr().out.splitlines()[:8]
    assert "198 + 22 images of 6 x 5, integers 0 to 255, read as pixel / 255" in found
    assert headline.startswith("30-20-2 relu, bernoulli, ")
    assert headline.endswith(", dynamic pixels -> runs/1")
    assert re.fullmatch(r"test loss \S+ nats per image.*", test)
    assert re.fullmatch(r"  \S+ for the reconstruction \(nll\), 1 \* \S+ for the KL to the prior", terms)
    assert re.fullmatch(r"  [012] of 2 latents are active: .*", active)
    for i, line in enumerate(epochs, 1):
        assert re.fullmatch(rf"epoch +{i}/2   train +\S+   test +\S+ \(nll \S+, kl \S+\)   \S+ s", line)
    assert "look at runs/1/reconstructions.png" in done
    assert os.listdir("runs") == ["1"]


def test_every_option_reaches_the_config(images, tmp_path, capsys):
    walk = {"posterior": "laplace", "prior": "mixture", "kl": "sampled", "beta": 0.5, "beta_warmup": 2}
    walk |= {"samples": 3, "estimator": "score-function", "baseline": "leave-one-out"}
    step = {"optimizer": "rmsprop", "lr": 0.002, "lr_schedule": "cosine", "seed": 3, "epochs": 1}
    data = {"pixels": "threshold", "data": images, "image_shape": (5, 6), "scale": True, "backend": "numpy"}
    given = {"hidden": (12, 7), "latent": 3, "activation": "tanh", "likelihood": "gaussian"} | walk | step
    given |= {"corruption": "mask", "corruption_amount": 0.1}
    config, folder = Config(**given, **data), str(tmp_path / "run")
    words = ["train", "--out", folder, "--threads", "1"]
    for name, value in (given | data).items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += ["--" + name.replace("_", "-"), text][: 1 + (value is not True)]
    assert cli.main(words) == 0
    assert "--threads is for the numba backend" in capsys.readouterr().err
    assert runs.Run.load(folder).config == config
    assert cli.main([*words, "--hidden", "none", "--overwrite"]) == 0
    assert runs.Run.load(folder).config.hidden == ()


@pytest.mark.parametrize("command", ["", "train", "sample", "reconstruct", "evaluate", "gradcheck"])
def test_help(capsys, command):
    with pytest.raises(SystemExit) as done:
        cli.main([*command.split(), "--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert "usage: python -m minivae" in text
    assert max(map(len, text.splitlines())) <= 100
    for field in dataclasses.fields(Config) if command == "train" else ():
        assert "--" + field.name.replace("_", "-") in text


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "--epoch", "1"], "unrecognized arguments: --epoch"),
        (["train", "--out", ""], "argument --out: expected a path, got an empty word"),
        (["sample", ""], "argument RUN: expected a path"),
        (["train", "--epochs", "0"], "epochs must be an integer of at least 1, got 0"),
        (["train", "--epochs", "ten"], "argument --epochs: invalid int value: 'ten'"),
        (["train", "--hidden", "400,x"], "argument --hidden: expected widths such as 400"),
        (["train", "--activation", "gelu"], "argument --activation: invalid choice: 'gelu'"),
        (["train", "--threads", "9999", "--data", "IMAGES"], "threads must be at most"),
        (["train", "--data", "IMAGES", "--out", "RUN"], "already exists; add --overwrite"),
        (["train", "--data", "IMAGES", "--out", "IMAGES"], "is a file or a link, expected a folder"),
        (["train", "--data", "IMAGES", "--out", "IMAGES/below"], "cannot be made: Not a directory"),
        (["train", "--data", "IMAGES", "--out", "/proc/run"], "--out /proc/run cannot be made"),
        (["train", "--resume", "nowhere"], "run folder nowhere does not exist"),
        (["train", "--resume", "RUN", "--out", "elsewhere"], "leave out --out and --overwrite"),
        (["train", "--resume", "RUN", "--latent", "5"], "it cannot change latent"),
        (["train", "--resume", "RUN", "--epochs", "1"], "epochs must be more than the 2"),
        (["sample"], "required: RUN"),
        (["sample", "RUN", "-n", "0"], "n must be an integer of at least 1"),
        (["sample", "RUN", "--seed", "-1"], "seed must be an integer of at least 0"),
        (["sample", "RUN", "--out", "picture.jpg"], "argument --out: expected the path of a .png file"),
        (["sample", "RUN", "--out", "IMAGES.png"], "exists and was not written by minivae"),
        (["sample", "RUN", "--out", "no/such/folder.png"], "No such file or directory"),
        (["reconstruct", "RUN", "-n", "23"], "n must be at most 22"),
        (["evaluate", "RUN", "--samples", "-1"], "samples must be an integer of at least 0"),
        (["gradcheck", "--latent", "0"], "latent must be an integer of at least 1"),
        (["gradcheck", "--plot", "IMAGES.png"], "exists and was not written by minivae"),
        (["gradcheck", "--plot", "plot.pdf"], "argument --plot: expected the path of a .png file"),
        (["variance", "--cost", "cos x"], "has moved: python -m lessons variance --cost 'cos x'"),
        (["bench"], "has moved: python -m lessons bench"),
    ],
)  # fmt: skip
def test_one_line_and_exit_code_2(capsys, run, images, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "IMAGES.png").write_bytes(b"a picture")
    given = [images + w[6:] if w.startswith("IMAGES") and w != "IMAGES.png" else w for w in argv]
    assert message in refused(capsys, *(run if word == "RUN" else word for word in given))
    assert not (tmp_path / "runs").exists()
    assert (tmp_path / "IMAGES.png").read_bytes() == b"a picture"


@pytest.mark.parametrize("command", ["train --resume", "sample", "reconstruct", "evaluate"])
def test_a_damaged_run(capsys, run, tmp_path, command):
    """Every command refuses it in one line, and leaves it as it is."""
    folder = shutil.copytree(run, tmp_path / "run")
    for path in (folder / "checkpoint.npz", folder / "best.npz"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = contents(folder)
    assert "is damaged" in refused(capsys, *command.split(), str(folder))
    assert contents(folder) == before


# ------------------------------------------------------------------------------ killed and interrupted


def command(*argv, **environment):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    words = [sys.executable, "-m", "minivae", *argv]
    return subprocess.Popen(words, env=os.environ | environment, **streams)


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
    """kill -9 at twelve random moments of one run, resume each time: the same bits in the end."""
    argv, whole = long_run
    folder, moments = tmp_path / "killed", random.Random(7)
    for _ in range(12):
        go_on = ["train", "--resume", str(folder)] if folder.exists() else [*argv, "--out", str(folder)]
        with command(*go_on) as process:
            deadline = time.monotonic() + 60
            while not folder.exists() and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 2.0))
            process.kill()
            assert process.wait() in (0, -signal.SIGKILL), process.stderr.read()
    assert cli.main(["train", "--resume", str(folder)]) == 0
    assert_same_run(whole, folder)
    assert {name for name in contents(folder) if not name.startswith(".minivae-")} == contents(whole).keys()


def test_ctrl_c_on_the_command_line(long_run, tmp_path):
    argv, whole = long_run
    folder = tmp_path / "stopped"
    process = command(*argv, "--out", str(folder))
    next(line for line in process.stdout if line.startswith("epoch   2"))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert len(said.split("\n")) == 3  # an empty line first, after the terminal's ^C
    assert f"continue with: python -m minivae train --resume {folder}" in said
    assert cli.main(["train", "--resume", str(folder)]) == 0
    assert_same_run(whole, folder)


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


# ------------------------------------------------------------------------------ evaluate, gradcheck, pictures


@pytest.mark.parametrize("seed", [[], ["--seed", "4"]])
def test_evaluate_measures_every_line_on_the_same_pixels(images, tmp_path, capsys, seed):
    """A model that ignores z has -ELBO = -log p(x) for each x; with other pixels they differ by about 1."""
    run = runs.Run(Config(hidden=(), latent=2, data=images))
    for name in ("mu.W", "logvar.W", "output.W"):
        run.model.params[name][...] = 0
    folder = str(training.new_folder(run, tmp_path / "run"))
    assert cli.main(["evaluate", folder, "--samples", "3", *seed]) == 0
    printed = capsys.readouterr().out
    elbo, bound = (re.search(rf"{name} +(\S+)", printed)[1] for name in ("-ELBO", r"-log p\(x\)"))
    assert elbo == bound


def test_gradcheck(capsys, tmp_path, monkeypatch):
    assert cli.main(["gradcheck", "--samples", "2", "--plot", str(tmp_path / "plot.png")]) == 0
    printed = capsys.readouterr().out
    assert "12-8-6-3 tanh, numba, float64, beta 0.7" in printed
    assert "12-8-6-3 tanh, numpy, float64, beta 0.7" in printed
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    right = VAE.backward
    wrong = lambda *given, **more: (d := right(*given, **more)) | {"mu.W": 2 * d["mu.W"]}  # noqa: E731
    monkeypatch.setattr(VAE, "backward", wrong)
    assert cli.main(["gradcheck", "--backend", "numpy"]) == 1
    assert "mu.W" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--plant", ""], ["--list-bugs"], ["--bug-table"], ["--plant", "a b"]])
def test_bugs_are_handed_to_the_lessons(monkeypatch, words):
    """With the same words; even an empty one names a bug, and the lessons refuse it."""
    run_module = Mock(side_effect=SystemExit(5))
    monkeypatch.setattr(cli.runpy, "run_module", run_module)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    with pytest.raises(SystemExit, match="5"):
        cli.main(["gradcheck", *words])
    assert run_module.call_args.args == ("lessons",)
    assert sys.argv == ["lessons", "bugs", *words]


def test_pictures_need_no_backend_and_no_matplotlibrc(run, tmp_path):
    """A backend that is not installed, LaTeX that is not there: the same bytes as with the defaults."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\naxes.facecolor: red\nsavefig.dpi: 7\n")
    strange = {"MPLBACKEND": "module://no_such_backend", "MATPLOTLIBRC": str(tmp_path)}
    plain, out = tmp_path / "plain.png", tmp_path / "strange.png"
    assert cli.main(["reconstruct", run, "--out", str(plain)]) == 0
    with command("reconstruct", run, "--out", str(out), **strange) as process:
        assert "Traceback" not in process.stderr.read()
    assert out.read_bytes() == plain.read_bytes()


def test_an_output_that_is_closed_is_no_error(run):
    with command("evaluate", run, "--samples", "0") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode in (0, 1)


def test_a_path_that_the_terminal_cannot_show(images, tmp_path):
    words = ["train", *TINY, "--epochs", "1", "--data", images, "--out", str(tmp_path / "räksmörgås")]
    with command(*words, PYTHONIOENCODING="ascii", PYTHONUTF8="0") as process:
        printed, said = process.communicate()
    assert process.returncode == 0, said
    assert r"r\xe4ksm\xf6rg\xe5s" in printed

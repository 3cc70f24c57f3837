"""A small run, stopped and resumed, and a script run elsewhere: what several test files share."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minivae import data, files, plots, training
from minivae.checkpoints import BEST, CHECKPOINT
from minivae.config import Config
from minivae.runs import Run

PACKAGE = Path(files.__file__).parent
SMALL = Config(epochs=3, batch_size=50, hidden=(20,), latent=2)
ONE_EPOCH = replace(SMALL, epochs=1)
MOVING = {"estimator": "score-function", "baseline": "moving-average", "optimizer": "rmsprop"}


def quietly(run, folder):
    """Train without a line and without pictures, which take longer than a small run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "of_run", lambda *_: ())
        training.train(run, folder, say=lambda line: None)
    return run


def steps(run, number):
    """Train for so many steps, across the ends of epochs."""
    for _ in range(number):
        if run.train_epoch(stop=lambda: True):
            run.close_epoch()


def resumed(folder, digits, **changes):
    """Run.load, with the small data instead of MNIST."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load_dataset", lambda *_: digits)
        return Run.load(folder, **changes)


def assert_same_run(folder, other):
    """Every array of both runs' checkpoints equal to the last bit, wall-clock times aside."""
    for checkpoint in [CHECKPOINT, *[BEST] * (folder / BEST).exists()]:
        one, two = (files.load_arrays(f / checkpoint) for f in (folder, other))
        assert one.keys() == two.keys()
        for name in one:
            if "seconds" not in name:
                assert one[name].dtype == two[name].dtype, name
                np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def python(script, *arguments, cwd=None, **environment):
    """Run a script in a new interpreter: its exit code, output and errors."""
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=300,
        cwd=cwd or PACKAGE.parent, env={**os.environ, "NUMBA_NUM_THREADS": "2", **environment},
    )  # fmt: skip
    return result.returncode, result.stdout.strip(), result.stderr

"""A small run, stopped and resumed: what the tests of training, of run folders and of files share."""

from dataclasses import replace

import numpy as np
import pytest

from minivae import data, files, training
from minivae.checkpoints import BEST, CHECKPOINT
from minivae.config import Config
from minivae.runs import Run

SMALL = Config(epochs=3, batch_size=50, hidden=(20,), latent=2)
ONE_EPOCH = replace(SMALL, epochs=1)
MOVING = {"estimator": "score-function", "baseline": "moving-average", "optimizer": "rmsprop"}


def quietly(run, folder):
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

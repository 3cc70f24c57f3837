"""The published table trained anew: a row of a few steps, and what is refused."""

import re

import numpy as np
import pytest

from lessons import cli
from lessons.lab import reproduce
from minivae import evaluation

SHORT = ["--minutes", "0.001", "--batch-size", "20", "--test-images", "20", "--samples", "10"]


def test_a_row_is_printed_beside_the_published_one(capsys, monkeypatch):
    """Eight stages have a step each at least, at falling rates; k samples of z in the iwae row."""
    rates, shapes, noise = [], set(), evaluation.noise
    step = reproduce.mv.Adam.step

    def counted(adam, params, grads):
        rates.append(adam.lr)
        step(adam, params, grads)

    def seen(model, rng, batch, samples):
        shapes.add((batch, samples))
        return noise(model, rng, batch, samples)

    monkeypatch.setattr(reproduce.mv.Adam, "step", counted)
    monkeypatch.setattr(evaluation, "noise", seen)
    assert cli.main(["reproduce", "iwae", "--rows", "iwae-5", *SHORT]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split()[-1] == "published"
    assert re.fullmatch(r"iwae-5 +\d+\.\d\d +\d+\.\d\d +\d+ +\d+\.\d +0\.\d   85\.54, 22 active", row)
    np.testing.assert_allclose(sorted(set(rates), reverse=True), 1e-3 * 10 ** (-np.arange(8) / 7))
    assert rates == sorted(rates, reverse=True)
    assert (20, 5) in shapes


def test_rows_of_equal_passes(capsys, monkeypatch):
    """Eight steps of 20 images are 160 / 60,000 of a pass, whatever the time."""
    sizes, minibatch = [], reproduce.data.minibatch
    record = lambda images, *rest: (sizes.append(len(images)), minibatch(images, *rest))[1]  # noqa: E731
    monkeypatch.setattr(reproduce.data, "minibatch", record)
    args = [*SHORT, "--minutes", "9", "--passes", str(160 / 60_000)]
    assert cli.main(["reproduce", "iwae", "--rows", "vae-1", *args]) == 0
    assert sizes == [20] * 8


@pytest.mark.parametrize(
    "words", [["--minutes", "0"], ["--passes", "0"], ["--samples", "-1"], ["--test-images", "0"]]
)
def test_what_makes_no_sense_is_refused(words, capsys):
    assert cli.main(["reproduce", "iwae", *SHORT, *words]) == 2
    assert f"{words[0]} must be above 0, got {float(words[1]):g}" in capsys.readouterr().err.replace(".0", "")

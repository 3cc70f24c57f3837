"""Training under different estimators: settings, resumed state, and the comparison of `variance --train`."""

import dataclasses
import json

import numpy as np
import pytest

import minivae as mv
from minivae import checkpoints, cli, data, files, folders, runs, training
from minivae.config import BASELINES, CROSSINGS, Config
from minivae.laboratory import courses

SMALL = Config(epochs=2, batch_size=50, hidden=(12,), latent=3, samples=2, estimator="score-function")


@pytest.mark.parametrize(
    ("estimator", "baseline"),
    [*((name, "none") for name in CROSSINGS), *(("score-function", name) for name in BASELINES)],
)
def test_a_run_that_is_cut_off_goes_on_to_the_same_bits(estimator, baseline, digits, tmp_path, monkeypatch):
    """With every estimator, those with a state or draws of their own included."""
    monkeypatch.setattr(data, "load_dataset", lambda path=None: digits)
    config = dataclasses.replace(SMALL, estimator=estimator, baseline=baseline)
    whole, cut = runs.Run(config, digits), runs.Run(config, digits)
    cut.train_epoch(stop=lambda: cut.step == 3)
    folder = tmp_path / "run"
    folder.mkdir()
    cut.save(folder)
    cut = runs.Run.load(folder)
    for run in (whole, cut):
        run.train_epoch()
    assert any(param.any() for param in whole.model.params.values())
    for name, param in whole.model.params.items():
        np.testing.assert_array_equal(cut.model.params[name], param, err_msg=name)


def test_pathwise_is_what_it_was(digits):
    """The default crosses as before there was a choice, through the walk in one launch."""
    assert Config().build_estimator(None) is None


def test_a_run_from_before_there_was_a_choice(digits, tmp_path):
    """Its checkpoint and its config.json have neither entry."""
    folder = training.new_folder(
        runs.Run(dataclasses.replace(SMALL, estimator="pathwise"), digits), tmp_path / "r"
    )
    arrays = checkpoints.load(folder / folders.CHECKPOINT)
    config = json.loads(arrays["config"].item())
    del config["estimator"], config["baseline"]
    arrays["config"] = np.array(json.dumps(config))
    arrays.pop("minivae", None)
    checkpoints.save(folder / folders.CHECKPOINT, arrays)
    text = json.dumps({"minivae": checkpoints.FORMAT} | config, indent=2) + "\n"
    files.write(folder / folders.CONFIG, text.encode())
    _, read = folders.read(folder)
    assert read == dataclasses.replace(SMALL, estimator="pathwise")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"estimator": "pathwise", "baseline": "mean"}, "is for estimator score-function"),
        ({"baseline": "leave-one-out", "samples": 1}, "needs samples of at least 2"),
        ({"estimator": "reinforce"}, "estimator must be one of pathwise"),
        ({"baseline": "mine"}, "baseline must be one of none"),
    ],
)
def test_settings_that_do_not_fit(settings, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(SMALL, **settings)


def test_the_state_of_a_moving_average_is_required(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load_dataset", lambda path=None: digits)
    run = runs.Run(dataclasses.replace(SMALL, baseline="moving-average"), digits)
    folder = training.new_folder(run, tmp_path / "run")
    arrays = checkpoints.load(folder / folders.CHECKPOINT)
    arrays.pop("minivae", None)
    del arrays["baseline"]
    checkpoints.save(folder / folders.CHECKPOINT, arrays)
    with pytest.raises(ValueError, match="must hold baseline"):
        runs.Run.load(folder)


@pytest.fixture(scope="module")
def report():
    """Two seeds on 2,000 digits: four times 32 steps each."""
    mnist = mv.load_mnist()
    small = data.Dataset(mnist.x_train[:2000], None, mnist.x_test[:200], None, (28, 28))
    return courses.measure(epochs=2, seeds=2, seed=0, dataset=small)


def test_the_comparison(report):
    """A gradient with a good baseline learns nearly as pathwise does; one without lags, after 32 steps."""
    assert len(report.courses) == 2 * len(courses.WAYS)
    final = {way: np.median([c.losses[-1] for c in report.of(way)]) for *_, way, _ in courses.WAYS}
    pathwise, leave_one_out, _, without = final.values()
    assert pathwise < leave_one_out < without
    assert leave_one_out - pathwise < 0.5 * (without - pathwise)
    for course in report.courses:
        assert course.steps[-1] == 32
        assert np.all(np.diff(course.seconds) > 0)
        assert course.losses[0] == report.courses[0].losses[0] or course.seed == 1  # the same start


def test_the_table_and_the_records(report):
    lines = list(report.lines())
    assert all(len(line) <= 110 for line in lines)
    for *_, way, _ in courses.WAYS:
        assert sum(line.startswith(way) for line in lines) == 1
    text = files.to_csv(report.records()).decode().splitlines()
    assert text[0] == "minivae,kind,gradient,seed,step,seconds,loss"
    assert len(text) == 1 + sum(len(c.steps) for c in report.courses)
    assert report.figure().axes[0].get_xlabel() == "steps"


def test_the_command(monkeypatch, tmp_path, capsys, report):
    monkeypatch.setattr(courses, "measure", lambda epochs, seeds, seed, progress: report)
    out, table = tmp_path / "a.png", tmp_path / "a.csv"
    argv = ["variance", "--train", "--out", str(out), "--csv", str(table)]
    assert cli.main(argv) == 0
    assert out.read_bytes()[:4] == b"\x89PNG"
    assert cli.main(argv) == 0  # over its own files
    table.write_text("mine\n")
    capsys.readouterr()
    assert cli.main(argv) == 2
    assert "was not written by minivae" in capsys.readouterr().err
    assert table.read_text() == "mine\n"

"""The benchmark: the same course for every contender, ratios within a round, a report of what is missing."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from lessons import cli
from lessons.lab import contenders, race
from minivae import files, plots

TINY = [contenders.Setting((13,), 3, "relu", 5), contenders.Setting((11, 7), 4, "tanh", 6)]


@pytest.fixture(params=TINY, ids=lambda setting: setting.activation)
def setting(request):
    return request.param


def curve(who, setting):
    work = contenders.steps(who, setting)
    return [float(work()) for _ in range(12)]


@pytest.mark.parametrize("who", ["numpy", "torch eager", "jax.jit"])  # torch.compile takes half a minute
def test_contenders_compute_the_same_losses(who, setting):
    pytest.importorskip({"torch eager": "torch", "jax.jit": "jax"}.get(who, "numpy"))
    ours = curve("numba", setting)
    assert race.difference(curve(who, setting), ours) < race.TOLERANCE
    assert ours[-1] < ours[0]


def test_a_wrong_loss_is_seen_and_a_slow_round_is_not():
    assert race.difference([1.0, 2.2, 3.0], [1.0, 2.0, 3.0]) == pytest.approx(0.1)
    assert race.ratio([1.0, 1.0, 10.0, 1.0], [2.0, 2.0, 20.0, 2.0]) == (0.5, 0.5, 0.5)
    assert race.spread([1.0, 2.0, 3.0, 4.0, 5.0]) == (3.0, 2.0, 4.0)


def test_work_of_a_step():
    """784-400-20: five products of 784 x 400, five pairs of 400 x 20 and 20 x 400, seven passes of Adam."""
    setting = contenders.Setting((400,), 20, "relu", 128)
    parts = race.work_of_parts(setting)
    wide, narrow = 2 * 128 * 784 * 400, 2 * 128 * 400 * 20
    assert parts["optimizer"] == (0, 7 * 4 * 652_824)
    assert sum(flops for flops, _ in parts.values()) == 5 * wide + 3 * 3 * narrow
    assert parts["encoder backward"][1] == 4 * (784 * 400 + 400 + 128 * (784 + 2 * 400))
    floors = race.floors(setting, {"flops": 2e9, "bytes_per_second": {setting.title: 1e9}})
    assert floors["optimizer"] == pytest.approx(7 * 4 * 652_824 / 1e9)
    assert floors["encoder backward"] == pytest.approx(wide / 2e9)
    assert race.floors(setting, {}) == {}


@pytest.mark.parametrize("who", ["numba", "numpy"])
def test_every_part_of_a_step_is_told_apart(who, setting):
    watch = contenders.Watch(who, setting)
    watch()
    assert set(watch.seconds) == set(race.work_of_parts(setting))


def test_products_have_the_layouts_of_a_step():
    for layout in ("NN", "TN", "NT"):
        for who in race.OURS:
            out = contenders.product(who, 3, 4, 5, layout, "float32")()
            rng = np.random.default_rng(0)
            a, b = (
                rng.standard_normal(s[::-1] if l == "T" else s)
                for s, l in zip(((3, 4), (4, 5)), layout, strict=True)
            )
            want = (a.T if layout[0] == "T" else a) @ (b.T if layout[1] == "T" else b)
            np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise ModuleNotFoundError('no torch', name='torch')", "torch is not installed"),
        ("raise ImportError('a library\\nis broken')", "ImportError: a library is broken"),
    ],
)
def test_an_opponent_that_cannot_be_loaded(text, reason, tmp_path, monkeypatch):
    """The race goes on without it, and its row says why."""
    tmp_path.joinpath("torch.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    rows = race.race(TINY[0], 2, 0.001, ("numpy", "torch eager"))
    assert len(rows["numpy"]["seconds"]) == 2
    assert rows["numpy"]["loss_difference"] == 0
    assert rows["torch eager"] == {"missing": reason}


@pytest.fixture(scope="module")
def results():
    """Everything that can be measured or missing, with invented times."""
    setting, times = race.SETTINGS[1], [0.004, 0.005, 0.0062]
    parts = dict.fromkeys([*race.work_of_parts(setting), "around them", "whole step"], times)
    row = {"seconds": times, "losses": [2.0, 1.0], "loss_difference": 0.0}
    missing = {"missing": "torch is not installed"}
    return {
        "machine": {
            "cpu": "Invented 9000",
            "cores": 2,
            "busy": 0.4,
            "versions": {"numpy": "2.4", "torch": None},
        },
        "rounds": 3,
        "limits": {"flops": 1e11, "bytes_per_second": {setting.title: 2e10}},
        "step": {
            setting.title: {"numba": row, "torch eager": missing, "jax.jit": row | {"loss_difference": 0.3}}
        },
        "matmul": {"dy @ W.T, float32": {"numba": times, "numpy": times[::-1]}},
        "parts": {setting.title: {"numba": parts, "numpy": parts}},
    }


def test_the_report_shows_what_was_measured_and_what_is_missing(results):
    lines = list(race.lines_of(results))
    assert max(map(len, lines)) <= 110, max(lines, key=len)
    text = "\n".join(lines)
    for words in (
        "Invented 9000, 2 cores, 3 rounds",
        "This machine is busy (40%)",
        "torch is not installed",
        'pip install -e ".[bench]"',
        "DIFFER 3e-01",
        "around them",
    ):
        assert words in text
    assert len(race.figure_of(results).axes) == 3
    assert plots.to_png(
        race.figure_of({"machine": results["machine"], "rounds": 3, "matmul": results["matmul"]})
    )
    assert race.figure_of({"limits": {}}) is None


@pytest.mark.slow
def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "--quick", "--rounds", "2", "--only", "matmul", "--json", "numbers.json"]) == 0
    captured = capsys.readouterr().out
    assert "x.T @ dy, encoder" in captured
    assert captured.endswith("wrote numbers.json\nwrote bench.png\n")
    assert files.is_ours("bench.png")
    assert files.is_ours("numbers.json")
    rows = json.loads(Path("numbers.json").read_text())["matmul"]
    assert all(len(sides[who]) == 2 for sides in rows.values() for who in race.OURS)


def test_the_command_refuses(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.png").write_bytes(b"a holiday")
    Path("mine.json").write_bytes(b"{}")
    for words, message in (
        (["--only", "step,nonsense"], "only must be one of step, matmul"),
        (["--out", "mine.png"], "was not written by minivae"),
        (["--json", "mine.json"], "was not written by minivae"),
        (["--out", "bench.jpg"], "must name a .png"),
        (["--json", "nowhere/numbers.json"], "there is no folder"),
        (["--threads", "4096"], "threads must be at most"),
        (["--rounds", "0"], "rounds must be an integer"),
    ):
        assert cli.main(["bench", *words]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert Path("mine.png").read_bytes() == b"a holiday"

"""The benchmark: equal losses for all contenders, ratios within a round, a report of missing results."""

import json
import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest

from lessons import cli
from lessons.lab import bench, contenders, watched
from minivae import files, plots

TINY = [contenders.Setting((13,), 3, "relu", 5), contenders.Setting((11, 7), 4, "tanh", 6)]
TINY += [contenders.Setting((9,), 4, "tanh", 6, 3)]


@pytest.fixture(params=TINY, ids=lambda setting: setting.title)
def setting(request):
    return request.param


@pytest.mark.parametrize("name", ["numpy", "torch eager", "jax.jit"])  # torch.compile takes half a minute
def test_contenders_compute_the_same_losses(name, setting):
    pytest.importorskip({"torch eager": "torch", "jax.jit": "jax"}.get(name, "numpy"))
    ours, theirs = (
        [float(work()) for _ in range(12)] for work in (contenders.step(w, setting) for w in ("numba", name))
    )
    assert bench.difference(theirs, ours) < bench.TOLERANCE
    assert ours[-1] < ours[0]


def test_the_parts_of_a_step():
    """784-400-20: five products with 784 x 400 weights, nine with 400 x 20; Adam moves seven arrays."""
    work = watched.Watched("numpy", contenders.Setting((400,), 20, "relu", 128))
    work()
    wide, narrow, weights = 2 * 128 * 784 * 400, 2 * 128 * 400 * 20, 652_824
    assert set(work.parts) == {
        *(f"{name}{way}" for name in ("encoder", "heads", "decoder") for way in (" forward", " backward")),
        *("sample", "sample backward", "loss", "loss backward", "optimizer"),
    }
    seconds, flops, moved = np.transpose(list(work.parts.values()))
    assert seconds.min() > 0
    assert flops.sum() == 5 * wide + 3 * 3 * narrow
    assert work.parts["encoder backward"][1] == wide  # the first layer needs no dx
    assert work.parts["optimizer"][2] == 7 * 4 * weights
    assert work.parts["encoder forward"][2] == 4 * (784 * 400 + 400 + 128 * (784 + 400))
    assert work.parts["decoder backward"][1] == 2 * (wide + narrow)
    assert moved.min() >= 4 * 128 * 20


@pytest.mark.parametrize("layout", ["NN", "TN", "NT"])
def test_products_have_the_layouts_of_a_step(layout):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4, 3)).T if layout[0] == "T" else rng.standard_normal((3, 4))
    b = rng.standard_normal((5, 4)).T if layout[1] == "T" else rng.standard_normal((4, 5))
    for name in bench.OURS:
        out = contenders.product(name)(3, 4, 5, layout, "float32")
        np.testing.assert_allclose(out, a @ b, rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------------------ measurements


class Clockwork:
    """A fake contender: each call takes `pace` seconds; `diary` records the calls."""

    first = (2.0, 1.0)

    def __init__(self, name, pace, diary):
        self.name, self.pace, self.diary = name, pace, diary

    def __call__(self, n, *given):
        self.diary.append((self.name, n, given))
        return {"seconds": self.pace, "parts": {}, "peak_mb": 7.0}


def test_contenders_take_turns(monkeypatch):
    monkeypatch.setattr(bench, "PAUSE", 0)
    diary = []
    field = {name: Clockwork(name, pace, diary) for name, pace in (("fast", 0.01), ("slow", 0.2))}
    rows = bench.race(field, 3, 0.4, "a size")
    assert rows["fast"] == {
        "seconds": [0.01] * 3, "parts": [{}] * 3, "peak_mb": [7.0] * 3, "losses": (2.0, 1.0),
    }  # fmt: skip
    timed = [(name, n) for name, n, given in diary[5::2] if given == ("a size",)]
    assert timed == [("fast", 40), ("slow", 2), ("slow", 2), ("fast", 40), ("fast", 40), ("slow", 2)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise ModuleNotFoundError('no torch', name='torch')", "torch is not installed"),
        ("raise ImportError('a library\\nis broken')", "ImportError: a library is broken"),
        ("import os; os._exit(1)", "its process died"),
    ],
)
def test_an_opponent_that_cannot_be_loaded(text, reason, tmp_path, monkeypatch):
    """The others are timed; its row gives the reason; no process is left at the end."""
    tmp_path.joinpath("torch.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    rows = bench.step(("numpy", "torch eager"), TINY[0], 2, 0.001)
    assert len(rows["numpy"]["seconds"]) == 2
    assert rows["numpy"]["losses"][-1] < rows["numpy"]["losses"][0]
    assert sys.platform != "linux" or 20 < rows["numpy"]["peak_mb"][0] < 2000
    assert rows["torch eager"] == {"missing": reason}
    for child in multiprocessing.active_children():
        child.join(10)
    assert not multiprocessing.active_children()


def test_the_parts_and_their_floors():
    found = bench.parts({"flops": 1e9, "bytes_per_second": 1e9}, TINY[0], 2, 0.001)
    for name in bench.OURS:
        *inside, whole = [row[name]["seconds"] for row in found.values() if name in row]
        np.testing.assert_allclose(np.sum(inside, axis=0), whole)
    assert found["optimizer"]["floor"]["seconds"][0] == pytest.approx(
        7 * 4 * sum(p.size for p in TINY[0].model("numpy").params.values()) / 1e9
    )
    *inside, whole = (row["floor"]["seconds"][0] for row in found.values() if "floor" in row)
    assert whole == pytest.approx(sum(inside))


# ------------------------------------------------------------------------------ the report


@pytest.fixture(scope="module")
def results():
    """Results with measured and missing entries of every kind; the times are invented."""
    row = {"seconds": [0.004, 0.005, 0.0062], "losses": [2.0, 1.0], "peak_mb": [7.0, 7.0, 99.0]}
    back, twice = row | {"seconds": [0.0062, 0.005, 0.004]}, row | {"seconds": [0.002, 0.0025, 0.0031]}
    wrong, missing = twice | {"losses": [2.0, 1.3]}, {"missing": "torch is not installed"}
    return {
        "machine": {"cpu": "Invented 9000", "cores": 2, "busy": 0.4, "versions": {"numpy": "2.4"}},
        "rounds": 3,
        "limits": {"flops": 1e11, "bytes_per_second": 2e10},
        "step": {"a net": {"numba": row, "numpy": back, "torch eager": missing, "jax.jit": wrong}},
        "matmul": {"dy @ W.T, float32": {"numba": row, "numpy": back}},
        "growth": {"a net": {"numba": row, "torch eager": missing}},
        "parts": {"loss": {"numba": row, "numpy": row, "floor": twice}, "around them": {"numba": row}},
    }


def test_the_report_shows_what_was_measured_and_what_is_missing(results):
    lines = list(bench.lines_of(results))
    assert max(map(len, lines)) <= 110, max(lines, key=len)
    text = "\n".join(" ".join(line.split()) for line in lines)
    for words in (
        "Invented 9000, 2 cores, 3 rounds",
        "This machine is busy (40%)",
        "Limits: 100.0 GFLOP/s",
        "moves 20.0 GB/s",
        "a net 5 5 - - 2.5 2.00 [2.00, 2.00]",  # ratio to the fastest, per round
        "dy @ W.T, float32 5 5 1.00 [0.82, 1.27]",
        "loss 2.5 5 5 2.00 [2.00, 2.00]",
        "around them - 5 -",
        "torch eager: torch is not installed",
        'pip install -e ".[bench]"',
        "numba 5 [4.5, 5.6] 99 0e+00",
        "jax.jit 2.5 [2.25, 2.8] 99 DIFFER 3e-01",
    ):
        assert words in text, text
    figure = bench.figure_of(results)
    assert [axes.get_title() for axes in figure.axes] == [title for title, _, _ in bench.TABLES.values()]
    assert plots.to_png(figure)
    assert bench.figure_of({"machine": {}}) is None


@pytest.mark.slow
def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (
        cli.main(["bench", "--quick", "--rounds", "2", "--only", "matmul,machine", "--json", "n.json"]) == 0
    )
    captured = capsys.readouterr().out
    assert "x.T @ dy, encoder" in captured
    assert captured.endswith("wrote n.json\nwrote bench.png\n")
    assert files.is_ours("bench.png")
    assert files.is_ours("n.json")
    results = json.loads(Path("n.json").read_text())
    assert all(len(r[name]["seconds"]) == 2 for r in results["matmul"].values() for name in bench.OURS)
    assert 1e8 < results["limits"]["flops"] < 1e14


def test_the_command_refuses(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.png").write_bytes(b"a holiday")
    Path("mine.json").write_bytes(b"{}")
    for words, message in (
        (["--only", "step,nonsense"], "--only must be one of step, matmul"),
        (["--only", ""], "--only must be one of step, matmul"),
        (["--out", "mine.png"], "was not written by minivae"),
        (["--json", "mine.json"], "was not written by minivae"),
        (["--json", ""], "need two files"),
        (["--out", "bench.jpg"], "must name a .png"),
        (["--json", "nowhere/numbers.json"], "cannot be written: No such file"),
        (["--json", "./bench.png"], "need two files"),
        (["--threads", "4096"], "threads must be at most"),
        (["--rounds", "0"], "rounds must be an integer"),
        (["--rounds", "9" * 9], "rounds must be at most"),
    ):
        assert cli.main(["bench", *words]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert Path("mine.png").read_bytes() == b"a holiday"

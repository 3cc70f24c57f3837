"""The benchmark: the same course for all, children that never linger, tables that fit. No time is judged."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from test_cli import refused

from minivae import cli, files, plots
from minivae.bench import chart, children, machine, measures, opponents, race, table
from minivae.bench.opponents import Setting

TINY = [Setting((13,), 3, "relu", 5), Setting((11, 7), 4, "tanh", 6)]
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


@pytest.fixture(params=TINY, ids=lambda setting: setting.activation)
def setting(request):
    return request.param


@pytest.fixture
def course(setting, tmp_path):
    """The file that all contenders of a race start from."""
    file = tmp_path / "start.npz"
    measures.save(file, *opponents.start(setting, 3))
    return str(file)


# ------------------------------------------------------------------------------ the same course


def curve(who, setting, file, steps=12):
    params, batches = measures.load(file)
    step, batches = opponents.prepare(who, setting, params, batches)
    return [float(step(*batches[i % len(batches)])) for i in range(steps)]


@pytest.mark.parametrize("who", ["numpy", "torch eager", "jax.jit"])  # torch.compile takes half a minute
def test_contenders_walk_the_same_course(who, setting, course):
    pytest.importorskip({"torch eager": "torch", "jax.jit": "jax"}.get(who, "numpy"))
    ours = curve("numba", setting, course)
    assert race.difference(curve(who, setting, course), ours) < race.TOLERANCE
    assert ours[-1] < ours[0]


def test_difference_sees_one_wrong_loss():
    assert race.difference([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 0
    assert race.difference([1.0, 2.2, 3.0], [1.0, 2.0, 3.0]) == pytest.approx(0.1)


def test_ratios_are_formed_within_a_round():
    """A machine that is ten times slower in one round changes no ratio."""
    mine, theirs = np.array([1.0, 1.0, 10.0, 1.0]), np.array([2.0, 2.0, 20.0, 2.0])
    assert race.ratio(mine, theirs) == (0.5, 0.5, 0.5)
    assert race.spread([1.0, 2.0, 3.0, 4.0, 5.0]) == (3.0, 2.0, 4.0)


# ------------------------------------------------------------------------------ what is measured


def test_work_of_a_step():
    """784-400-20: five products of 784 x 400, five pairs of 400 x 20 and 20 x 400, seven passes of Adam."""
    setting = Setting((400,), 20, "relu", 128)
    parts = {name: (flops, moved) for name, flops, moved in machine.work_of_parts(setting)}
    assert parts["optimizer"] == (0, 7 * 4 * 652_824)
    wide, narrow = 2 * 128 * 784 * 400, 2 * 128 * 400 * 20
    assert machine.work_of_step(setting)[0] == 5 * wide + 3 * 3 * narrow
    limits = {
        "products": [{"flops": 1e9}, {"flops": 2e9}],
        "streams": [
            {"set": setting.title, "bytes_per_second": 1e9},
            {"set": "else", "bytes_per_second": 9e9},
        ],
    }
    floors = machine.floors(setting, limits)
    assert floors["optimizer"] == pytest.approx(7 * 4 * 652_824 / 1e9)
    assert floors["encoder backward"] == pytest.approx(wide / 2e9)
    assert machine.floors(setting, limits | {"streams": []}) == {}


@pytest.mark.parametrize("who", ["numba", "numpy"])
def test_every_part_of_a_step_is_told_apart(who, setting, course):
    _, turn = measures.parts(who, setting, course)
    answer = turn(2)
    assert sum(answer["parts"].values()) == pytest.approx(answer["seconds"])
    known = {name for name, _, _ in machine.work_of_parts(setting)}
    assert {"encoder forward", "decoder backward", "optimizer", "around them"} <= set(answer["parts"])
    if who == "numpy":
        assert set(answer["parts"]) == known


def test_products_have_the_layouts_of_a_step():
    for layout in ("NN", "TN", "NT"):
        a, b, out = measures._operands(3, 4, 5, layout, "float32")
        assert (a.shape, b.shape, out.shape) == ((3, 4), (4, 5), (3, 5))
        assert a.flags.c_contiguous == (layout[0] == "N")
        assert b.flags.c_contiguous == (layout[1] == "N")


def test_thread_counts():
    assert [race.thread_counts(n) for n in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]


@linux
def test_the_machine_describes_itself():
    here = machine.describe()
    assert here["cores"] >= 1
    assert 0 <= here["busy"] <= 1
    assert machine.versions()["numpy"] == np.__version__
    assert children.peak_memory() > 1e6


# ------------------------------------------------------------------------------ children

CASE = {"m": 3, "k": 4, "n_out": 5, "layout": "NN", "dtype": "float32"}


def test_a_child_takes_turns_and_is_gone():
    with children.Child("matmul", 1, who="numpy") as child:
        assert child.turn(2, **CASE)["seconds"] > 0
        group = child.process.pid
    assert child.process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
    child.close()  # once more does nothing


@linux
def test_an_idle_child_is_stopped():
    with children.Child("matmul", 1, who="numpy") as child:
        child.turn(1, **CASE)
        deadline = time.monotonic() + 10
        while (state := Path(f"/proc/{child.process.pid}/stat").read_text().split()[2]) != "T":
            assert time.monotonic() < deadline, state


def test_a_dead_child_says_so():
    with children.Child("matmul", 1, who="numpy") as child:
        os.kill(child.process.pid, signal.SIGKILL)
        with pytest.raises(children.Unavailable, match=r"the process died \(signal 9\)"):
            child.turn(1, **CASE)


def test_a_late_child_is_given_up():
    with pytest.raises(children.Unavailable, match="no answer within 0 s"):
        children.Child("matmul", 1, start=0.0, who="numpy")


def test_an_error_in_a_child_is_one_line():
    with (
        children.Child("matmul", 1, who="numpy") as child,
        pytest.raises(children.Unavailable, match="Error"),
    ):
        child.turn(1, **CASE | {"dtype": "nonsense"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise ModuleNotFoundError('no torch', name='torch')", "torch is not installed"),
        ("raise ImportError('a library\\nis broken')", "ImportError: a library is broken"),
        ("import os; os.write(2, b'illegal instruction'); os._exit(3)", "exit code 3.*illegal instruction"),
    ],
)
def test_an_opponent_that_cannot_be_loaded(text, reason, tmp_path, monkeypatch, course, setting):
    """A race goes on without it, and its row says why."""
    tmp_path.joinpath("torch.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = race.race(setting, course, 1, 2, 0.001, contenders=("numpy", "torch eager"))
    ours, torch = result["rows"]
    assert len(ours["seconds"]) == 2
    assert ours["agrees"]
    assert re.search(reason, torch["missing"]), torch["missing"]


def processes(mark):
    """Process ids whose environment holds the mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@linux
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_benchmark_leaves_no_process_behind(blow, tmp_path):
    mark = f"BENCH_TEST_{uuid.uuid4().hex}"
    command = [sys.executable, "-m", "minivae", "bench", "--only", "matmul", "--rounds", "1000"]
    path = str(Path(cli.__file__).parents[1])
    run = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {mark: "1", "PYTHONPATH": path}, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while len(processes(mark)) < 2:
        assert time.monotonic() < deadline
    time.sleep(0.5)
    run.send_signal(blow)
    said = run.communicate(timeout=60)[1].decode()
    assert run.returncode == (130 if blow == signal.SIGINT else -blow)
    assert "Traceback" not in said
    while processes(mark):
        assert time.monotonic() < deadline, processes(mark)
        time.sleep(0.05)


# ------------------------------------------------------------------------------ table and picture


def invented():
    """Results as `measure` returns them, with all that can be missing."""
    times = [0.004, 0.005, 0.0062]
    side = {"seconds": times, "peak": [3e8] * 3}
    setting = race.SETTINGS[1]
    row = {"name": "numba", "threads": 2, "loss_difference": 0.0, "agrees": True, **side}
    parts = [{"name": n, "flops": f, "bytes": b, "floor": 1e-5} for n, f, b in machine.work_of_parts(setting)]
    parts.append({"name": "something_new_and_fused", "flops": 0, "bytes": 0, "floor": None})
    laps = [{part["name"]: 1e-3 for part in parts}] * 3
    product = {"name": "dy @ W.T, decoder", **CASE, "flops": 1e9, "numba": side}
    return {
        "machine": {"cpu": "Invented 9000", "cores": 2, "busy": 0.4},
        "versions": {"python": "3.13", "numpy": "2.4", "torch": None, "blas": "openblas 0.3"},
        "threads": 2,
        "rounds": 3,
        "limits": {
            "products": [{"threads": 1, "who": "numpy", "flops": 1e11}],
            "streams": [{"set": setting.title, "size": 7e6, "how": "copy", "bytes_per_second": 2e10}],
        },
        "step": [
            {
                "title": setting.title,
                "floor": 1e-3,
                "rows": [
                    row,
                    {"name": "torch eager", "missing": "torch is not installed"},
                    {"name": "torch.compile", "missing": "the process died " * 20},
                    row | {"name": "jax.jit", "agrees": False, "loss_difference": 0.3},
                ],
            }
        ],
        "matmul": [product | {"numpy": side}, product | {"numpy": {"missing": "no answer within 60 s"}}],
        "parts": {
            "title": setting.title,
            "rows": parts,
            "backends": {"numba": side | {"parts": laps}, "numpy": {"missing": "the process died"}},
        },
    }


def test_the_table_fits_and_says_what_is_missing():
    lines = list(table.lines(invented()))
    assert max(map(len, lines)) <= 110, max(lines, key=len)
    text = "\n".join(lines)
    for words in (
        "Invented 9000, 2 cores; 2 threads, 3 rounds",
        "looks busy: others used 40% of it",
        'not available: torch is not installed; pip install -e ".[bench]"',
        "DIFFER 3e-01",
        "something_new_and",
        "not available: no answer within 60 s",
    ):
        assert words in text
    assert "fastest" not in text  # the only one that ran did not agree


def test_the_chart_draws_what_was_measured():
    results = invented()
    figure = chart.bench_chart(results)
    assert len(figure.axes) == 3
    assert b"minivae" in plots.to_png(figure)[:1024]
    del results["step"], results["parts"]
    assert len(chart.bench_chart(results).axes) == 1
    del results["matmul"]
    assert chart.bench_chart(results) is None
    assert "matplotlib.pyplot" not in sys.modules


# ------------------------------------------------------------------------------ the command


@pytest.mark.slow
def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argv = ["bench", "--quick", "--only", "matmul", "--json", "numbers.json"]
    assert cli.main(argv) == 0
    captured = capsys.readouterr()
    assert "x.T @ dy, encoder" in captured.out
    assert "wrote bench.png" in captured.out
    assert files.is_ours("bench.png")
    assert files.is_ours("numbers.json")
    rows = json.loads(Path("numbers.json").read_text())["matmul"]
    assert all(len(row[who]["seconds"]) == 3 for row in rows for who in ("numba", "numpy"))


def test_the_command_refuses(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.png").write_bytes(b"a holiday")
    Path("mine.json").write_bytes(b"{}")
    assert "only must be one of step, matmul" in refused(capsys, "bench", "--only", "step,nonsense")
    assert "was not written by minivae" in refused(capsys, "bench", "--out", "mine.png")
    assert "was not written by minivae" in refused(capsys, "bench", "--json", "mine.json")
    assert "must name a .png" in refused(capsys, "bench", "--out", "bench.jpg")
    assert "there is no folder" in refused(capsys, "bench", "--json", "nowhere/numbers.json")
    assert "threads must be at most" in refused(capsys, "bench", "--threads", "4096")
    assert "rounds must be an integer" in refused(capsys, "bench", "--rounds", "0")
    assert Path("mine.png").read_bytes() == b"a holiday"

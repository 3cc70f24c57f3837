"""The command line of the lessons, and what it makes of a learner's file that goes astray."""

import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lessons import child, cli, exercises, judge, runner, story, work

NUMBER = exercises.ORDER.index("gaussian_kl") + 1
FILE = f"{NUMBER:02}_gaussian_kl.py"
RIGHT = """import numpy as np


def gaussian_kl(mu, logvar):
    return 0.5 * (mu * mu + np.exp(logvar) - logvar - 1).sum(axis=1)


def gaussian_kl_backward(dkl, mu, logvar):
    return dkl[:, None] * mu, dkl[:, None] * 0.5 * (np.exp(logvar) - 1)
"""


def lessons(folder, *words):
    """Carry out one command with its own folder for the learner's files."""
    return cli.main([str(word) for word in words], folder=folder)


def write(folder, text):
    """A learner's file."""
    folder.mkdir(exist_ok=True)
    path = folder / FILE
    path.write_text(text)
    return path


def before_return(lines):
    """The right answer with some lines in front of its first return."""
    return RIGHT.replace("    return 0.5", f"{lines}\n    return 0.5", 1)


# ------------------------------------------------------------------------------ from start to solution


def test_from_the_start_to_the_solution(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    folder = tmp_path / "work"
    assert lessons(folder) == 0
    assert "next: python -m lessons start 1" in capsys.readouterr().out
    assert lessons(folder, "hint", NUMBER) == 0  # uses none up
    assert lessons(folder, "start", NUMBER) == 0
    assert "fill the 2 holes" in capsys.readouterr().out.replace("\n", " ")
    assert lessons(folder, "check", NUMBER) == 1
    assert "gaussian_kl is not written yet" in capsys.readouterr().out
    assert lessons(folder, "hint", NUMBER) == 0
    told = capsys.readouterr().out
    assert "hint 1 of" in told
    assert max(map(len, told.splitlines())) <= 80
    assert lessons(folder, "solution", NUMBER) == 2
    assert "does not pass yet" in capsys.readouterr().err
    write(folder, RIGHT)
    assert lessons(folder, "check", NUMBER) == 0
    told = capsys.readouterr().out
    assert told.count("  ok   ") == len(judge.checks(exercises.one(NUMBER)))
    assert f"next: python -m lessons start {NUMBER + 1}" in told
    assert lessons(folder, "solution", NUMBER) == 0
    told = capsys.readouterr().out
    assert "return dmu, dlogvar" in told
    assert "minivae.ops.gaussian_kl" in told
    assert lessons(folder) == 0
    assert re.search(rf"^ +{NUMBER}  done ", capsys.readouterr().out, re.MULTILINE)


def test_start_overwrites_nothing_and_reset_keeps_backups(tmp_path, capsys):
    path = write(tmp_path, "mine")
    assert lessons(tmp_path, "start", NUMBER) == 0
    assert "stays as it is" in capsys.readouterr().out.replace("\n", " ")
    assert path.read_text() == "mine"
    for i in (1, 2):
        assert lessons(tmp_path, "reset", NUMBER) == 0
        assert path.with_name(f"{FILE}.{i}").read_text() == "mine"
        assert "not written yet" in path.read_text()
        path.write_text("mine")


def test_hints_come_one_by_one(tmp_path, capsys):
    write(tmp_path, RIGHT)
    count = len(exercises.hints(exercises.one(NUMBER)))
    for i in range(count + 1):
        assert lessons(tmp_path, "hint", NUMBER) == 0
        told = capsys.readouterr().out
        assert f"hint {min(i, count - 1) + 1} of {count}" in told
    assert "that was the last" in told
    lessons(tmp_path, "hint", NUMBER, 1)
    assert f"hint 1 of {count}" in capsys.readouterr().out
    (tmp_path / ".hints.json").write_text("[not json")
    assert lessons(tmp_path, "hint", NUMBER) == 0
    assert "hint 1 of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["check", 99], f"there is no exercise 99: they are numbered 1 to {len(exercises.ORDER)}"),
        (["start", 0], "there is no exercise 0"),
        (["check", NUMBER], f"exercise {NUMBER} is not started: python -m lessons start {NUMBER}"),
        (["reset", NUMBER], "is not started"),
        (["watch", NUMBER], "is not started"),
        (["run", 99], "there is no lesson 99"),
        (["hint", NUMBER, 9], "there is no hint 9: they are numbered 1 to"),
        (["bugs", "--plant", "nonsense"], "nonsense"),
    ],
)
def test_a_command_that_makes_no_sense(tmp_path, capsys, words, says):
    assert lessons(tmp_path, *words) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert told.err.count("\n") == 1
    assert not told.out


@pytest.mark.parametrize("words", [["nonsense"], ["check"], ["check", "six"], ["hint", 1, 2, 3], ["bugs"]])
def test_a_command_that_does_not_parse(tmp_path, capsys, words):
    with pytest.raises(SystemExit) as stop:
        lessons(tmp_path, *words)
    assert stop.value.code == 2


def test_watch_checks_again_when_the_file_is_saved(tmp_path, capsys, monkeypatch):
    path = write(tmp_path, RIGHT.replace("0.5 * (mu", "(mu"))
    steps = [lambda: path.write_text(RIGHT), path.unlink]

    def sleep(seconds):
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr(cli, "time", SimpleNamespace(sleep=sleep, strftime=time.strftime))
    assert lessons(tmp_path, "watch", NUMBER) == 130
    told = capsys.readouterr().out
    assert told.index("exactly twice") < told.index("all of it is right")


def test_the_command_runs_from_any_folder_on_any_terminal(tmp_path):
    command = [sys.executable, "-m", "lessons", "check", "99"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "there is no exercise 99" in done.stderr
    path = write(tmp_path, before_return('    print("\\u03bc", mu.shape)'))
    code = f"from lessons import cli; cli.main(['check', '{NUMBER}'], folder={str(path.parent)!r})"
    code += "; import sys; assert 'numpy' not in sys.modules"  # which the child loads, and takes long
    env = {"PYTHONIOENCODING": "ascii", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert "? (7, 6)" in done.stdout
    assert not done.stderr


# ------------------------------------------------------------------------------ files that go astray

LIBRARY = "    from minivae import ops\n    return ops.gaussian_kl(mu, logvar)"
ASTRAY = {
    "a loop that never ends": (before_return("    while True: pass"), "not finished after 4 seconds", 5),
    "an exception": (before_return("    x = [1, 2][5]"), "gaussian_kl stops with IndexError: list index", 5),
    "a name that is not there": (RIGHT.replace("np.exp", "exp", 1), "NameError: name 'exp'", 5),
    "too much memory": (before_return("    np.zeros((10**6, 10**6))"), "more memory than there is", 5),
    "a list that grows": (
        before_return("    kept = []\n    while True: kept.append([0] * 9000)"),
        "more memory than there is",
        6,
    ),
    "a segmentation fault": (before_return("    import ctypes; ctypes.string_at(0)"), "signal SIGSEGV", 5),
    "a syntax error": (RIGHT.replace("logvar):", "logvar)", 1), "cannot read the file: expected ':'", 4),
    "another name": (RIGHT.replace("gaussian_kl(", "kl("), "has no function gaussian_kl (it has kl", None),
    "swapped arguments": (
        RIGHT.replace("(mu, logvar):", "(logvar, mu):", 1),
        "gaussian_kl takes (logvar, mu), expected (mu, logvar)",
        None,
    ),
    "an exit": (RIGHT + "raise SystemExit\n", "calls exit", 10),
    "a hard exit": (before_return("    import os; os._exit(3)"), "ended by itself, with code 3", None),
    "the library's own": (before_return(LIBRARY), "the library's own gaussian_kl is used", 6),
    "renamed": ("from minivae.ops import gaussian_kl as k\n" + RIGHT, "library's own gaussian_kl", 1),
    "the walk": ("from lessons.exercises import gaussian_kl as k\n" + RIGHT, "own answer in `lessons`", 1),
    "a generator": (RIGHT.replace("return 0.5", "yield 0.5"), "kl is of type generator", None),
    "the stub's raise left": (
        RIGHT.replace("return 0.5", "kl = 0.5").replace(
            "sum(axis=1)", 'sum(axis=1)\n    raise NotImplementedError("gaussian_kl is not written yet")', 1
        ),
        "ends in the stub's own `raise NotImplementedError(...)`: delete that line",
        6,
    ),
}


@pytest.mark.parametrize("name", ASTRAY)
def test_a_file_that_goes_astray_gets_a_sentence(tmp_path, name):
    text, says, line = ASTRAY[name]
    outcome = runner.check(NUMBER, write(tmp_path, text), seconds=4 if "loop" in name else 60)
    assert not outcome.ok
    assert says in outcome.sentence
    assert "\n" not in outcome.sentence
    if line is not None:
        assert outcome.line == line
        assert f"line {line}" in " ".join(outcome.details)


def test_an_earlier_answer_can_be_imported(tmp_path):
    (tmp_path / "02_gaussian_kl.py").write_text(RIGHT)
    path = tmp_path / "01_gaussian_log_prob.py"
    path.write_text(
        "import numpy as np\nimport work\nfrom work import gaussian_kl\n\n\n"
        "def gaussian_log_prob(z, mu, logvar):\n    assert work.gaussian_kl(mu, logvar).shape == (len(mu),)\n"
        "    return -0.5 * (np.log(2 * np.pi) + logvar + (z - mu) ** 2 * np.exp(-logvar)).sum(-1)\n"
    )
    assert runner.check(1, path).ok
    (tmp_path / "02_gaussian_kl.py").unlink()
    assert "the file cannot be read: No such file" in runner.check(1, path).sentence
    path.write_text("from work import gaussian_log_prob\n")  # not its own
    assert "cannot import name 'gaussian_log_prob'" in runner.check(1, path).sentence


def test_a_slow_call_is_no_endless_loop(tmp_path):
    outcome = runner.check(NUMBER, write(tmp_path, before_return("    import time; time.sleep(1)")), 5)
    assert "one call takes 1." in outcome.sentence


def test_files_that_are_not_plain_text(tmp_path):
    path = tmp_path / FILE
    path.write_bytes(b"\xef\xbb\xbf" + RIGHT.encode())
    assert runner.check(NUMBER, path).ok
    assert "gaussian_kl" in work.functions(path)
    path.write_bytes(b"# \xe9\xff\n" + RIGHT.encode())
    assert "not text in UTF-8" in runner.check(NUMBER, path).sentence
    path.unlink()
    path.mkdir()
    assert "the file cannot be read: Is a directory" in runner.check(NUMBER, path).sentence


def test_what_the_file_prints_is_shown_apart_and_once(tmp_path, capsys):
    write(tmp_path, before_return('    print("mu has", mu.ndim)\n    for i in range(30): print("line", i)'))
    assert lessons(tmp_path, "check", NUMBER) == 0
    told = capsys.readouterr().out
    assert "your file prints from line 5 on:" in told
    assert told.count("  | mu has 2") == 1
    assert told.count("  | ") == child.SHOWN + 1
    assert "  | ..." in told
    prints = "    import sys; sys.stdout.buffer.write(b'x' * 999 + b'\\n')\n    print('\\x1b[1m')\n"
    path = write(tmp_path, before_return(prints + "    while True: pass"))
    outcome = runner.check(NUMBER, path, seconds=5)  # also of a loop that never ends
    assert outcome.printed == ["x" * child.WIDE + "...", " [1m"]


def test_nothing_is_left_behind(tmp_path):
    text = RIGHT + (
        "import subprocess, sys, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "child = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
    )
    before = threading.active_count()
    assert runner.check(NUMBER, write(tmp_path, text), seconds=30).ok
    assert threading.active_count() == before
    state = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    end = time.monotonic() + 20
    while state.exists() and state.read_text().split()[2] != "Z":
        assert time.monotonic() < end
        time.sleep(0.05)


# ------------------------------------------------------------------------------ what the pages say


def test_every_command_of_a_lesson_exists():
    """Each `python -m lessons ...` that a lesson or a page names parses, and its number is there."""
    pages = [*work.LESSONS.glob("*.py"), *work.LESSONS.glob("exercises/*.py"), work.LESSONS / "README.md"]
    named = 0
    for page in [*pages, work.LESSONS.parent / "README.md"]:
        commands = r"python -m lessons (run|start|check|hint|solution|reset|watch) (\d+)"
        for word, number in re.findall(commands, page.read_text()):
            named += 1
            last = len(work.scripts()) if word == "run" else len(exercises.ORDER)
            assert 1 <= int(number) <= last, f"{page.name}: {word} {number}"
    assert named


def test_a_lesson_ends_with_its_own_exercises():
    of_lesson = {number: exercise.lesson for number, exercise in exercises.load().items()}
    assert list(of_lesson.values()) == sorted(of_lesson.values())
    assert set(of_lesson.values()) == set(work.scripts())
    for number, script in work.scripts().items():
        named = {int(n) for n in re.findall(r"python -m lessons start (\d+)", script.read_text())}
        assert named == {n for n, lesson in of_lesson.items() if lesson == number}, script.name


def test_a_lesson_waits_at_a_guess_on_a_terminal_alone(monkeypatch):
    waited = []
    monkeypatch.setattr("builtins.input", waited.append)
    terminal = SimpleNamespace(isatty=lambda: True, write=len, flush=lambda: None)
    piped = SimpleNamespace(isatty=lambda: False, write=len, flush=lambda: None)
    for out, argv, count in ((terminal, [], 1), (terminal, ["--no-pause"], 0), (piped, [], 0)):
        waited.clear()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", terminal)
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "argv", ["lessons", "run", "1", *argv])
            story.guess("why?")
        assert len(waited) == count
    assert cli.parser().parse_args(["run", "1", "--no-pause"]).no_pause


def test_a_command_is_not_broken_over_two_lines(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    for before in range(60):
        assert "`python -m lessons start 1`" in story.wrapped("x" * before + " `python -m lessons start 1`")


def test_a_lesson_fits_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(story, "told", {})
    story.say("word " * 50)
    story.guess("what? " * 30)
    story.beside("a name that is rather long for a narrow terminal", 1.0, 1.0, 1e-9)
    story.number("another", 2.0)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60

"""The face of the exercises: python -m lessons, and what it makes of a learner's file that goes astray."""

import ast
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lessons import checking, child, cli, exercises, story
from lessons.exercises import load
from lessons.judging import Failed

NUMBER = next(n for n, exercise in load().items() if exercise.name == "gaussian_kl")
FILE = f"{NUMBER:02}_gaussian_kl.py"
RIGHT = """import numpy as np


def gaussian_kl(mu, logvar):
    return 0.5 * (mu * mu + np.exp(logvar) - logvar - 1).sum(axis=1)


def gaussian_kl_backward(dkl, mu, logvar):
    return dkl[:, None] * mu, dkl[:, None] * 0.5 * (np.exp(logvar) - 1)
"""


def lessons(work, *words):
    """Carry out one command with its own folder for the learner's files."""
    return cli.main([str(word) for word in words], work=work)


def write(work, text, number=NUMBER):
    """A learner's file."""
    work.mkdir(exist_ok=True)
    path = work / FILE
    path.write_text(text)
    return path


def before_return(lines):
    """The right answer with some lines in front of its first return."""
    return RIGHT.replace("    return 0.5", f"{lines}\n    return 0.5", 1)


# ------------------------------------------------------------------------------ the way through


def test_from_the_start_to_the_solution(tmp_path, capsys):
    work = tmp_path / "work"
    assert lessons(work) == 0
    assert "next: python -m lessons start 1" in capsys.readouterr().out
    assert lessons(work, "start", NUMBER) == 0
    assert "fill the 2 holes" in capsys.readouterr().out
    assert lessons(work, "check", NUMBER) == 1
    assert "gaussian_kl is not written yet" in capsys.readouterr().out
    assert lessons(work, "solution", NUMBER) == 2
    assert "does not pass yet" in capsys.readouterr().err
    write(work, RIGHT)
    assert lessons(work, "check", NUMBER) == 0
    told = capsys.readouterr().out
    assert told.count("  ok   ") == len(load()[NUMBER].checks)
    assert "all of it is right" in told
    assert lessons(work, "solution", NUMBER) == 0
    told = capsys.readouterr().out
    assert "np.expm1(logvar)" in told
    assert "(np.exp(logvar) - 1)" in told
    assert lessons(work) == 0
    told = capsys.readouterr().out
    assert f"1 of {len(load())} exercises done" in told
    assert re.search(rf"^ +{NUMBER}  done ", told, re.MULTILINE)


def test_start_overwrites_nothing_and_reset_keeps_backups(tmp_path, capsys):
    path = write(tmp_path, "mine")
    assert lessons(tmp_path, "start", NUMBER) == 0
    assert "stays as it is" in capsys.readouterr().out
    assert path.read_text() == "mine"
    assert lessons(tmp_path, "reset", NUMBER) == 0
    assert path.with_name(FILE + ".1").read_text() == "mine"
    assert "not written yet" in path.read_text()
    path.write_text("again")
    assert lessons(tmp_path, "reset", NUMBER) == 0
    assert path.with_name(FILE + ".2").read_text() == "again"
    assert path.with_name(FILE + ".1").read_text() == "mine"


def test_hints_come_one_by_one(tmp_path, capsys):
    hints = load()[NUMBER].hints
    for i in range(len(hints) + 1):
        assert lessons(tmp_path, "hint", NUMBER) == 0
        told = capsys.readouterr().out
        assert f"hint {min(i, len(hints) - 1) + 1} of {len(hints)}" in told
    assert "that was the last" in told
    assert lessons(tmp_path, "hint", NUMBER, 1) == 0
    assert f"hint 1 of {len(hints)}" in capsys.readouterr().out
    lessons(tmp_path, "start", NUMBER)
    lessons(tmp_path, "reset", NUMBER)
    capsys.readouterr()
    lessons(tmp_path, "hint", NUMBER)
    assert "hint 1 of" in capsys.readouterr().out
    (tmp_path / ".hints.json").write_text("[not json")
    assert lessons(tmp_path, "hint", NUMBER) == 0
    assert "hint 1 of" in capsys.readouterr().out


def test_solution_anyway(tmp_path, capsys):
    assert lessons(tmp_path, "solution", NUMBER, "--anyway") == 0
    told = capsys.readouterr().out
    assert "(not there)" in told
    assert "def gaussian_kl_backward" in told


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["check", 99], f"there is no exercise 99: they are numbered 1 to {len(load())}"),
        (["start", 0], "there is no exercise 0"),
        (["check", NUMBER], f"exercise {NUMBER} is not started: `python -m lessons start {NUMBER}`"),
        (["reset", NUMBER], "is not started"),
        (["watch", NUMBER], "is not started"),
        (["run", 99], "there is no lesson 99"),
        (["hint", NUMBER, 9], "there is no hint 9: they are numbered 1 to"),
    ],
)
def test_a_command_that_makes_no_sense(tmp_path, capsys, words, says):
    assert lessons(tmp_path, *words) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert told.err.count("\n") == 1
    assert not told.out


@pytest.mark.parametrize("words", [["nonsense"], ["check"], ["check", "six"], ["hint", 1, 2, 3]])
def test_a_command_that_does_not_parse(tmp_path, capsys, words):
    with pytest.raises(SystemExit) as stop:
        lessons(tmp_path, *words)
    assert stop.value.code == 2


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "work").write_text("a file stands where the folder should be")
    assert lessons(tmp_path / "work", "start", NUMBER) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_watch_checks_again_when_the_file_is_saved(tmp_path, capsys, monkeypatch):
    path = write(tmp_path, RIGHT.replace("0.5 * (mu", "(mu"))
    seen = []

    def sleep(seconds):
        """Save another text at the first pause, take the file away at the second, and stop at the third."""
        seen.append(seconds)
        if len(seen) == 1:
            path.write_text(RIGHT)
        if len(seen) == 2:
            path.unlink()
        if len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(cli, "time", SimpleNamespace(sleep=sleep, strftime=time.strftime))
    assert lessons(tmp_path, "watch", NUMBER) == 130
    told = capsys.readouterr().out
    assert told.index("the 1/2 of the Gaussian's exponent is missing") < told.index("all of it is right")


def test_the_command_runs_from_any_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lessons", "check", "99"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no exercise 99" in done.stderr


# ------------------------------------------------------------------------------ files that go astray

ASTRAY = {
    "a loop that never ends": (before_return("    while True: pass"), "still running after 3 seconds", 5),
    "a loop outside": ("while True:\n    x = 1\n", "still running after 3 seconds", None),
    "a loop that catches all": (
        before_return("    try:\n        while True: pass\n    except BaseException: pass"),
        "still running after 3 seconds",
        6,
    ),
    "an exception": (before_return("    x = [1, 2][5]"), "gaussian_kl stops with IndexError: list index", 5),
    "an exception that cannot say": (
        before_return(
            "    class E(Exception):\n        def __str__(self):\n            raise ValueError\n    raise E"
        ),
        "gaussian_kl stops with E",
        8,
    ),
    "a name that is not there": (RIGHT.replace("np.exp", "exp", 1), "NameError: name 'exp'", 5),
    "a recursion": (before_return("    return gaussian_kl(mu, logvar)"), "RecursionError", 5),
    "too much memory": (before_return("    np.zeros((10**6, 10**6))"), "more memory than there is", 5),
    "a missing module": ("import torch_or_so\n" + RIGHT, "there is no module named 'torch_or_so'", 1),
    "a wrong import": ("from numpy import expp\n" + RIGHT, "cannot import name 'expp'", 1),
    "a syntax error": (
        RIGHT.replace("logvar):", "logvar)", 1),
        "Python cannot read the file: expected ':'",
        4,
    ),
    "a wrong indentation": (before_return("      x = 1"), "Python cannot read the file: un", 6),
    "a null byte": ("x = 1\0", "Python cannot read the file", None),
    "an empty file": ("", "the file has no function gaussian_kl:", None),
    "another name": (RIGHT.replace("gaussian_kl(", "kl("), "has no function gaussian_kl (it has kl", None),
    "no function": (RIGHT + "\ngaussian_kl = 3\n", "gaussian_kl is int, expected a function", None),
    "swapped arguments": (
        RIGHT.replace("(mu, logvar):", "(logvar, mu):", 1),
        "gaussian_kl takes (logvar, mu), expected (mu, logvar)",
        None,
    ),
    "no arguments": (
        RIGHT.replace("(mu, logvar):", "():", 1),
        "gaussian_kl takes (), expected (mu, logvar)",
        None,
    ),
    "an exit": (RIGHT + "raise SystemExit\n", "calls exit", 10),
    "a hard exit": (before_return("    import os; os._exit(3)"), "ended by itself, with code 3", None),
    "a question": (before_return("    input()"), "EOFError", 5),
    "the library's own": (
        before_return("    from minivae import ops\n    return ops.gaussian_kl(mu, logvar)"),
        "the library's own gaussian_kl is used",
        6,
    ),
    "the library's own, renamed": (
        "from minivae.ops import gaussian_kl as k\n" + RIGHT,
        "library's own gaussian_kl",
        1,
    ),
    "all of the library": ("from minivae.ops import *\n", "the library's own gaussian_kl is used", None),
    "a generator": (RIGHT.replace("return 0.5", "yield 0.5"), "kl is of type generator", None),
    "a word": (before_return('    return "abc"'), "kl is of type str", None),
    "a ragged list": (before_return("    return [[1], [1, 2]]"), "kl is of type list", None),
}


@pytest.mark.parametrize("name", ASTRAY)
def test_a_file_that_goes_astray_is_met_with_a_sentence(tmp_path, name):
    text, says, line = ASTRAY[name]
    outcome = checking.judge(NUMBER, write(tmp_path, text), seconds=3 if "loop" in name else 30)
    assert not outcome.ok
    assert says in outcome.sentence
    assert "\n" not in outcome.sentence
    if line is not None:
        assert outcome.line == line
        assert f"line {line}" in " ".join(outcome.details)


def test_a_check_that_stops_is_not_blamed_on_the_learner(tmp_path, monkeypatch):
    def stops(its):
        raise ZeroDivisionError

    broken = replace(exercises.one(NUMBER), checks={"the values": stops})
    monkeypatch.setattr(exercises, "one", lambda number: broken)
    outcome = child.judged(NUMBER, str(write(tmp_path, RIGHT)), lambda **what: None)
    assert "the check itself stopped" in outcome["sentence"]
    assert "ZeroDivisionError" in "".join(outcome["trace"])


def test_a_method_of_the_learners_own_class_is_no_borrowing(tmp_path):
    number = next(n for n, exercise in load().items() if "nll" in exercise.borrowed)
    exercise = load()[number]
    own = "class Mine:\n    def nll(self, *args):\n        return self.nll(*args)\n"
    child.borrowed(ast.parse(own), exercise)
    with pytest.raises(Failed, match="the library's own nll is used"):
        child.borrowed(ast.parse("model.likelihood.nll(x)"), exercise)


def test_a_mark_at_the_head_of_the_file_is_let_pass(tmp_path):
    path = tmp_path / FILE
    path.write_bytes(b"\xef\xbb\xbf" + RIGHT.encode())
    assert checking.judge(NUMBER, path).ok


def test_a_folder_in_place_of_the_file(tmp_path):
    (tmp_path / FILE).mkdir()
    assert "the file cannot be read: Is a directory" in checking.judge(NUMBER, tmp_path / FILE).sentence


def test_text_that_is_not_utf8(tmp_path):
    path = tmp_path / FILE
    path.write_bytes(b"# \xe9\xff\n" + RIGHT.encode())
    assert "not text in UTF-8" in checking.judge(NUMBER, path).sentence


def test_what_the_file_prints_is_shown_apart(tmp_path, capsys):
    write(tmp_path, before_return('    print("mu has", mu.shape)'))
    assert lessons(tmp_path, "check", NUMBER) == 0
    told = capsys.readouterr().out
    assert "your file prints from line 5 on:" in told
    assert "  | mu has" in told


def test_the_trace_is_shown_when_it_is_asked_for(tmp_path, capsys):
    write(tmp_path, before_return("    x = [1, 2][5]"))
    assert lessons(tmp_path, "check", NUMBER) == 1
    assert "Traceback" not in capsys.readouterr().out
    assert lessons(tmp_path, "check", NUMBER, "--trace") == 1
    assert "Traceback" in capsys.readouterr().out


def test_threads_left_behind_do_not_keep_a_check_alive(tmp_path):
    text = RIGHT + "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
    start = threading.active_count()
    assert checking.judge(NUMBER, write(tmp_path, text), seconds=20).ok
    assert threading.active_count() == start


# ------------------------------------------------------------------------------ what the pages say


def test_every_command_of_a_lesson_exists():
    """Each `python -m lessons ...` that a lesson or a page names parses, and its number is there."""
    pages = [*cli.LESSONS.glob("*.py"), *cli.LESSONS.glob("exercises/*.py"), cli.LESSONS / "README.md"]
    pages.append(cli.LESSONS.parent / "README.md")
    named = 0
    for page in pages:
        for word, number in re.findall(
            r"python -m lessons (run|start|check|hint|solution|reset|watch) (\d+)", page.read_text()
        ):
            named += 1
            assert int(number) in (cli._scripts() if word == "run" else load()), (
                f"{page.name}: {word} {number}"
            )
    assert named


def test_a_lesson_ends_with_its_own_exercises():
    for number, script in cli._scripts().items():
        named = {int(n) for n in re.findall(r"python -m lessons start (\d+)", script.read_text())}
        assert named == {n for n, exercise in load().items() if exercise.lesson == number}, script.name


def test_the_exercises_follow_the_lessons():
    lessons_of = [exercise.lesson for exercise in load().values()]
    assert lessons_of == sorted(lessons_of)
    assert set(lessons_of) == set(cli._scripts())
    assert len(lessons_of) >= 12


@pytest.mark.parametrize("page", ["README.md", "lessons/README.md"])
def test_the_links_of_a_page_lead_somewhere(page):
    path = cli.LESSONS.parent / page
    targets = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", path.read_text())
    assert targets
    for target in map("".join, targets):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "lessons/README.md"])
def test_every_command_on_a_page_runs(tmp_path, monkeypatch, capsys, page):
    """The `python -m lessons` lines of its fences, in their order, on an empty folder."""
    monkeypatch.setattr(story, "FIGURES", tmp_path)
    story.told.clear()
    fences = re.findall(r"```bash\n(.*?)```", (cli.LESSONS.parent / page).read_text(), re.DOTALL)
    lines = re.findall(r"python -m lessons\b([^#\n]*)", "\n".join(fences))
    assert len(lines) >= 4
    for words in lines:
        code = lessons(tmp_path / "work", *words.split())
        assert code == (1 if "check" in words else 0), words  # the holes are still open
        told = capsys.readouterr()
        assert told.out
        assert not told.err
        if "start" in words:
            assert (tmp_path / "work" / re.search(r"lessons/work/(\w+\.py)", "\n".join(fences))[1]).exists()


def test_the_work_folder_is_ignored_and_not_collected():
    ignored = (Path(__file__).parents[1] / ".gitignore").read_text().split()
    assert "lessons/work/" in ignored
    config = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert 'testpaths = ["tests"]' in config

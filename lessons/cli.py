"""The face of lessons and exercises: python -m lessons."""

import argparse
import ast
import json
import os
import re
import runpy
import shutil
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

from . import checking, stubs
from .exercises import ORDER, load

LESSONS = Path(__file__).resolve().parent
COMMAND = "python -m lessons"
AT_A_GLANCE = 6  # seconds that a file may take where all are looked at
TRACE = "the traceback in full, where the file stops with an exception or hangs"


def parser():
    """Every command and its arguments."""
    top = argparse.ArgumentParser(
        prog=COMMAND, description="Lessons that run and exercises that say what is wrong."
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name, (_, words) in COMMANDS.items():
        command = commands.add_parser(name, help=words, description=words)
        if name != "list":
            last, what = (len(_scripts()), "lesson") if name == "run" else (len(ORDER), "exercise")
            command.add_argument("number", type=int, help=f"of the {what}, 1 to {last}")
        if name in ("check", "watch"):
            command.add_argument("--trace", action="store_true", help=TRACE)
        if name == "hint":
            command.add_argument("which", type=int, nargs="?", help="this hint again, by its number")
        if name == "solution":
            command.add_argument("--anyway", action="store_true", help="before your own passes")
    return top


def main(argv=None, work=LESSONS / "work"):
    """Carry out one command -> exit code: 1 where an answer is wrong, 2 where it makes no sense."""
    options = parser().parse_args(argv)
    options.work = Path(work)
    options.trace = getattr(options, "trace", False)
    try:
        return COMMANDS[options.command or "list"][0](options)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (_Refused, OSError) as error:
        print(f"{COMMAND}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print()
        return 130


class _Refused(Exception):
    """A command that makes no sense; its text says why."""


# ------------------------------------------------------------------------------ commands


def overview(options):
    """Every lesson with its exercises, how far each is, and the next command."""
    exercises = load()
    paths = {n: _path(options.work, n, exercise) for n, exercise in exercises.items()}
    started = [n for n in exercises if paths[n].exists()]
    with ThreadPoolExecutor(2) as pool:
        judged = pool.map(lambda n: checking.judge(n, paths[n], AT_A_GLANCE, fast=True), started)
        outcomes = dict(zip(started, judged, strict=True))
    done = sum(outcome.ok for outcome in outcomes.values())
    print(f"{done} of {len(exercises)} exercises done")
    lesson = None
    for number, exercise in exercises.items():
        if exercise.lesson != lesson:
            lesson = exercise.lesson
            print(f"\nlesson {lesson}  {_title(lesson):<44} {COMMAND} run {lesson}")
        print(f"{number:>8}  {_state(outcomes.get(number)):<10} {exercise.title}")
    for number in exercises:
        if number not in outcomes:
            print(f"\nnext: {COMMAND} start {number}")
            return 0
        if not outcomes[number].ok:
            print(f"\nnext: {COMMAND} check {number}      ({_shown(paths[number])})")
            return 0
    print("\nall are done")
    return 0


def start(options):
    """Write the stub, unless a file is there."""
    number, exercise = _exercise(options)
    path = _path(options.work, number, exercise)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "x") as file:
            file.write(stubs.stub(number, exercise))
    except FileExistsError:
        print(f"{_shown(path)} is there already and stays as it is; `{COMMAND} reset {number}` starts afresh")
        return 0
    print(f"wrote {_shown(path)}: fill the {_holes(exercise)}, then `{COMMAND} check {number}`")
    return 0


def check(options):
    """Run the checks, up to the first that fails."""
    number, exercise = _exercise(options)
    path = _started(options.work, number, exercise)
    print(f"exercise {number}: {exercise.title}   {_shown(path)}")
    return _report(number, exercise, checking.judge(number, path), options.trace)


def hint(options):
    """The next hint."""
    number, exercise = _exercise(options)
    given = _hints(options.work)
    at = (
        min(given.get(str(number), 0), len(exercise.hints) - 1)
        if options.which is None
        else options.which - 1
    )
    if not 0 <= at < len(exercise.hints):
        raise _Refused(f"there is no hint {options.which}: they are numbered 1 to {len(exercise.hints)}")
    first, *rest = exercise.hints[at].split("\n")
    print(f"hint {at + 1} of {len(exercise.hints)}")
    print(textwrap.fill(first, 96))
    print(*rest, sep="\n", end="\n" * bool(rest))
    if at + 1 == len(exercise.hints):
        print(f"that was the last; `{COMMAND} solution {number} --anyway` shows the library's own")
    if at:
        print(f"`{COMMAND} hint {number} 1` shows the first again")
    _remember(options.work, given | {str(number): max(at + 1, given.get(str(number), 0))})
    return 0


def solution(options):
    """Your code beside the library's."""
    number, exercise = _exercise(options)
    path = _path(options.work, number, exercise)
    if not options.anyway:
        outcome = checking.judge(number, _started(options.work, number, exercise))
        if not outcome.ok:
            anyway = f"`{COMMAND} solution {number} --anyway` shows it all the same"
            raise _Refused(f"exercise {number} does not pass yet; {anyway}")
    mine = _definitions(path)
    for function in exercise.functions:
        _side_by_side(("yours", mine.get(function.__name__, "(not there)")), _theirs(function))
    for function in exercise.shows:
        _one_below_the_other(_theirs(function))
    return 0


def reset(options):
    """A fresh stub; what was there is kept as a numbered backup."""
    number, exercise = _exercise(options)
    path = _started(options.work, number, exercise)
    kept = next(p for i in range(1, 10**6) if not (p := path.with_name(f"{path.name}.{i}")).exists())
    path.rename(kept)
    _remember(options.work, {n: k for n, k in _hints(options.work).items() if n != str(number)})
    print(f"kept your file as {_shown(kept)}")
    return start(options)


def watch(options, wait=0.5):
    """Check again whenever the file is saved, until Ctrl-C."""
    number, exercise = _exercise(options)
    path = _started(options.work, number, exercise)
    print(f"watching {_shown(path)}: save it to have it checked, Ctrl-C ends")
    seen = None
    while True:
        now = _saved(path)
        if now is not None and now != seen:
            seen = now
            print(f"\n{time.strftime('%H:%M:%S')}  exercise {number}: {exercise.title}")
            _report(number, exercise, checking.judge(number, path), options.trace)
            sys.stdout.flush()
        time.sleep(wait)


def run(options):
    """Run a lesson."""
    scripts = _scripts()
    if options.number not in scripts:
        raise _Refused(
            f"there is no lesson {options.number}: they are numbered {min(scripts)} to {max(scripts)}"
        )
    runpy.run_path(str(scripts[options.number]), run_name="__main__")
    theirs = [number for number, exercise in load().items() if exercise.lesson == options.number]
    print(f"\nto do it yourself: {', '.join(f'{COMMAND} start {number}' for number in theirs)}")
    return 0


COMMANDS = {
    "list": (overview, "every exercise, how far you are, and the next command to type"),
    "start": (start, "write the file of an exercise, with a hole for every function"),
    "check": (check, "is it right? if not, what is wrong"),
    "hint": (hint, "the next hint"),
    "solution": (solution, "your code beside the library's, once yours is right"),
    "reset": (reset, "start afresh; your file is kept as a backup"),
    "watch": (watch, "check again whenever you save"),
    "run": (run, "run a lesson"),
}


# ------------------------------------------------------------------------------ what they print


def _report(number, exercise, outcome, trace):
    for title in outcome.passed:
        print(f"  ok   {title}")
    if outcome.failed:
        print(f"  NO   {outcome.failed}")
    if outcome.printed:
        at = f" from line {outcome.at_line} on" if outcome.at_line else ""
        print(f"\nyour file prints{at}:", *outcome.printed, sep="\n  | ")
    if outcome.ok:
        print(f"\nall of it is right. Beside the library's: {COMMAND} solution {number}")
        print(f"what comes next: {COMMAND}")
        return 0
    print("\n" + textwrap.fill(outcome.sentence, 110))
    for line in outcome.details:
        print(f"  {line}")
    if trace:
        print("\n" + "".join(outcome.trace))
    elif outcome.trace and outcome.line is None:
        print("  (--trace shows where)")
    print(f"\n{COMMAND} hint {number}")
    return 1


def _state(outcome):
    if outcome is None:
        return "-"
    return "done" if outcome.ok else "started" if outcome.untouched else "not yet"


def _holes(exercise):
    count = len(exercise.functions)
    return "hole" if count == 1 else f"{count} holes"


def _side_by_side(mine, theirs):
    """Two texts with their headings, next to each other where the terminal is wide enough."""
    left, right = mine[1].splitlines(), theirs[1].splitlines()
    wide = max(map(len, left))
    if wide + max(map(len, right)) + 3 <= shutil.get_terminal_size((120, 24)).columns:
        print(f"\n{mine[0]:<{wide}} | {theirs[0]}\n{'-' * wide}-+-{'-' * max(map(len, right))}")
        for a, b in zip_longest(left, right, fillvalue=""):
            print(f"{a:<{wide}} | {b}".rstrip())
    else:
        _one_below_the_other(mine, theirs)


def _one_below_the_other(*texts):
    for heading, text in texts:
        print(f"\n---- {heading} {'-' * (90 - len(heading))}", text, sep="\n")


def _theirs(function):
    """Where a library function stands, and its source."""
    return f"{function.__module__.replace('.', '/')}.py", stubs.solution(function)


# ------------------------------------------------------------------------------ files


def _scripts():
    return {int(path.name[:2]): path for path in sorted(LESSONS.glob("[0-9][0-9]_*.py"))}


def _title(lesson):
    path = _scripts().get(lesson)
    match = path and re.search(r"^# # \d+\. (.+)$", path.read_text(), re.MULTILINE)
    return match[1] if match else ""


def _exercise(options):
    exercises = load()
    if options.number not in exercises:
        raise _Refused(f"there is no exercise {options.number}: they are numbered 1 to {len(exercises)}")
    return options.number, exercises[options.number]


def _path(work, number, exercise):
    return work / f"{number:02}_{exercise.name}.py"


def _started(work, number, exercise):
    path = _path(work, number, exercise)
    if not path.exists():
        raise _Refused(f"exercise {number} is not started: `{COMMAND} start {number}` writes its file")
    return path


def _shown(path):
    """A path as it is seen from here."""
    try:
        return os.path.relpath(path)
    except ValueError:  # on another drive
        return str(path)


def _saved(path):
    """When and how large a file was saved; None where it is not there, as while an editor replaces it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _definitions(path):
    """name -> source of every function in a learner's file; empty where it cannot be read."""
    try:
        text = path.read_text()
        nodes = ast.parse(text).body
    except (OSError, SyntaxError, ValueError):
        return {}
    return {
        node.name: stubs.without_docstring(ast.get_source_segment(text, node))
        for node in nodes
        if isinstance(node, ast.FunctionDef)
    }


def _hints(work):
    """number -> how many hints were given; an unreadable file counts as none."""
    try:
        given = json.loads((work / ".hints.json").read_text())
        return {n: k for n, k in given.items() if isinstance(k, int) and k > 0}
    except (OSError, ValueError, AttributeError):
        return {}


def _remember(work, given):
    work.mkdir(parents=True, exist_ok=True)
    (work / ".hints.json").write_text(json.dumps(given))

"""The command line of lessons and exercises: python -m lessons."""

import argparse
import os
import runpy
import sys
import textwrap
import time
from importlib import import_module
from itertools import zip_longest
from pathlib import Path

from . import exercises, runner, work
from .exercises import ORDER
from .story import columns, wrapped

COMMAND = "python -m lessons"
AT_A_GLANCE = 6  # seconds that a file may take in the list of all
TRACE = "the full traceback, if the file stops with an exception or is stopped"
# commands that are modules of their own, with add_arguments(parser) and run(args): what they do
MODULES = {
    "variance": ("lab.variance", "compare the variance and the run time of gradient estimators"),
    "bench": ("lab.bench", "measure the time of a training step"),
    "reproduce": ("lab.reproduce", "train the network of Burda et al. 2015, Table 1, beside their numbers"),
    "bugs": ("bugs.command", "plant classical bugs of VAE code and see which check finds them"),
    "notebook": ("notebook", "write a lesson as a Jupyter notebook, with its output"),
}


def parser(name=None):
    """Every command and its arguments; of modules only the one of this name is imported, or all."""
    top = argparse.ArgumentParser(
        prog=COMMAND, description="Lessons that run, exercises that say what is wrong."
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command, (_, words) in COMMANDS.items():
        sub = commands.add_parser(command, help=words, description=words)
        if command != "list":
            last, what = (len(work.scripts()), "lesson") if command == "run" else (len(ORDER), "exercise")
            sub.add_argument("number", type=int, help=f"of the {what}, 1 to {last}")
        if command in ("check", "watch"):
            sub.add_argument("--trace", action="store_true", help=TRACE)
        if command == "run":
            sub.add_argument("--no-pause", action="store_true", help="do not wait for Enter after a question")
        if command == "hint":
            sub.add_argument("which", type=int, nargs="?", help="this hint again, by its number")
        if command == "solution":
            sub.add_argument("--anyway", action="store_true", help="before your own passes")
    for command, (module, words) in MODULES.items():
        sub = commands.add_parser(command, help=words, description=words)
        if name in (None, command):
            import_module(f".{module}", __package__).add_arguments(sub)
    return top


def main(argv=None, folder=work.LESSONS / "work"):
    """Carry out one command -> exit code: 1 if an answer is wrong, 2 if the command makes no sense."""
    argv = sys.argv[1:] if argv is None else argv
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a character that the terminal does not have
    options = parser(next(iter(argv), "")).parse_args(argv)
    options.folder = Path(folder)
    options.trace = getattr(options, "trace", False)
    try:
        if options.command in MODULES:
            return _module(options)
        return COMMANDS[options.command or "list"][0](options)
    except BrokenPipeError:  # the reader has seen enough
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
    from concurrent.futures import ThreadPoolExecutor  # which takes longer to load than the rest

    loaded = exercises.load()
    paths = {n: work.file_of(options.folder, n) for n in loaded}
    started = [n for n in loaded if paths[n].exists()]
    with ThreadPoolExecutor(2) as pool:
        checked = pool.map(lambda n: runner.check(n, paths[n], AT_A_GLANCE), started)
        outcomes = dict(zip(started, checked, strict=True))
    print(f"{sum(outcome.ok for outcome in outcomes.values())} of {len(loaded)} exercises done")
    lesson = None
    for number, exercise in loaded.items():
        if exercise.lesson != lesson:
            lesson = exercise.lesson
            title = textwrap.shorten(work.title(lesson), 42, placeholder=" ...")
            print(f"\nlesson {lesson:<2}  {title:<42} {COMMAND} run {lesson}")
        print(f"{number:>8}  {_state(outcomes.get(number)):<10} {exercise.title}")
    number = next((n for n in loaded if n not in outcomes or not outcomes[n].ok), None)
    if number is None:
        print("\nall are done")
    elif number in outcomes:
        print(f"\nnext: {COMMAND} check {number}      ({work.relative(paths[number])})")
    else:
        print(f"\nnext: {COMMAND} start {number}")
    return 0


def start(options):
    """Write the stub, unless a file is there."""
    number, path = _numbered(options)
    exercise = exercises.one(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(exercises.stub(number, exercise))
    except FileExistsError:
        _say(f"{work.relative(path)} exists and stays as it is; `{COMMAND} reset {number}` starts afresh")
        print(f"next: {COMMAND} check {number}")
        return 0
    count = len(exercise.parts)
    holes = "hole" if count == 1 else f"{count} holes"
    _say(f"wrote {work.relative(path)}: fill the {holes}")
    print(f"next: {COMMAND} check {number}")
    return 0


def check(options):
    """Run the checks, up to the first that fails; loading the exercise is left to the child process."""
    number, path = _started(options)
    print(f"exercise {number}: {exercises.title(number)}\n{work.relative(path)}")
    return _report(number, runner.check(number, path), options.trace)


def hint(options):
    """The next hint; before the exercise is started none is used up."""
    number, path = _numbered(options)
    given, hints = work.hints(options.folder), exercises.hints(exercises.one(number))
    at = min(given.get(str(number), 0), len(hints) - 1) if options.which is None else options.which - 1
    if not 0 <= at < len(hints):
        raise _Refused(f"there is no hint {options.which}: they are numbered 1 to {len(hints)}")
    print(f"hint {at + 1} of {len(hints)}\n{exercises.refilled(hints[at], columns())}")
    if at + 1 == len(hints):
        _say(f"that was the last; `{COMMAND} solution {number} --anyway` shows the solution")
    if at:
        print(f"`{COMMAND} hint {number} 1` shows the first again")
    if path.exists():
        work.remember(options.folder, given | {str(number): max(at + 1, given.get(str(number), 0))})
    return 0


def show(options):
    """Your code beside the right lines."""
    number, path = _numbered(options)
    if not options.anyway and not runner.check(*_started(options)).ok:
        raise _Refused(f"exercise {number} does not pass yet; --anyway shows the solution")
    mine = work.functions(path)
    parts = exercises.one(number).parts
    for part in parts:
        right = exercises.solution(part)
        _side_by_side(("yours", mine.get(part.name, "(not there)")), ("one solution", right))
    names = [f"{part.function.__module__}.{part.name}" for part in parts]
    if all(name.startswith("minivae") for name in names):
        _say(f"\nthe library's own, with its derivation: {', '.join(names)}")
    return 0


def reset(options):
    """A fresh stub; the file that was there is kept as a numbered backup."""
    number, path = _started(options)
    exercises.one(number)  # if it cannot be loaded, nothing is touched
    kept = next(p for i in range(1, 10**6) if not (p := path.with_name(f"{path.name}.{i}")).exists())
    path.rename(kept)
    work.remember(options.folder, {n: k for n, k in work.hints(options.folder).items() if n != str(number)})
    _say(f"kept your file as {work.relative(kept)}")
    return start(options)


def watch(options, wait=0.5):
    """Check again whenever the file is saved, until Ctrl-C."""
    number, path = _started(options)
    print(f"watching {work.relative(path)}: save it to check it, Ctrl-C ends")
    seen = None
    while True:
        now = work.saved(path)
        if now is not None and now != seen:
            seen = now
            print(f"\n{time.strftime('%H:%M:%S')}  exercise {number}: {exercises.title(number)}")
            _report(number, runner.check(number, path), options.trace)
            sys.stdout.flush()
        time.sleep(wait)


def run(options):
    """Run a lesson."""
    scripts = work.scripts()
    if options.number not in scripts:
        raise _Refused(
            f"there is no lesson {options.number}: they are numbered {min(scripts)} to {max(scripts)}"
        )
    runpy.run_path(str(scripts[options.number]), run_name="__main__")
    print("\nto do it yourself:")
    for number, exercise in exercises.load().items():
        if exercise.lesson == options.number:
            print(f"  {COMMAND} start {number:<4} {exercise.title}")
    return 0


COMMANDS = {
    "list": (overview, "every exercise, how far you are, and the next command to type"),
    "start": (start, "write the file of an exercise, with a hole for every function"),
    "check": (check, "is it right? if not, what is wrong"),
    "hint": (hint, "the next hint"),
    "solution": (show, "your code beside a solution, once yours is right"),
    "reset": (reset, "start afresh; your file is kept as a backup"),
    "watch": (watch, "check again whenever you save"),
    "run": (run, "run a lesson"),
}


def _module(options):
    """A command of another module; a bad argument is one line."""
    try:
        return import_module(f".{MODULES[options.command][0]}", __package__).run(options)
    except (ValueError, TypeError) as error:
        raise _Refused(str(error)) from error


def _numbered(options):
    """Number and file of an exercise."""
    if not 0 < options.number <= len(ORDER):
        raise _Refused(f"there is no exercise {options.number}: they are numbered 1 to {len(ORDER)}")
    return options.number, work.file_of(options.folder, options.number)


def _started(options):
    """The same for one that is started."""
    number, path = _numbered(options)
    if not path.exists():
        raise _Refused(f"exercise {number} is not started: {COMMAND} start {number}")
    return number, path


# ------------------------------------------------------------------------------ printing


def _say(text):
    """A paragraph; a line break before it stays."""
    print("\n" * text.startswith("\n") + wrapped(text))


def _report(number, outcome, trace):
    for title in outcome.passed:
        print(f"  ok   {title}")
    if outcome.failed:
        print(f"  NO   {outcome.failed}")
    if outcome.printed:
        at = f" from line {outcome.at_line} on" if outcome.at_line else ""
        print(f"\nyour file prints{at}:")
        for line in outcome.printed:
            print(textwrap.fill(line, columns(), initial_indent="  | ", subsequent_indent="  |   "))
    if outcome.ok:
        print(f"\nall of it is right. Beside a solution: {COMMAND} solution {number}")
        print(f"next: {COMMAND} start {number + 1}" if number < len(ORDER) else f"next: {COMMAND}")
        return 0
    _say("\n" + outcome.sentence)
    for line in outcome.details:
        print(textwrap.fill(line, columns(), initial_indent="  ", subsequent_indent="    "))
    if trace:
        print("\n" + "".join(outcome.trace))
    elif outcome.trace and outcome.line is None:
        print("  (--trace shows where)")
    print(f"\na hint: {COMMAND} hint {number}")
    return 1


def _state(outcome):
    if outcome is None:
        return "-"
    return "done" if outcome.ok else "started" if outcome.untouched else "not yet"


def _side_by_side(mine, theirs):
    """Two texts with their headings, side by side if the terminal is wide enough."""
    left, right = mine[1].splitlines(), theirs[1].splitlines()
    wide = max(map(len, left))
    if wide + max(map(len, right)) + 3 <= columns():
        print(f"\n{mine[0]:<{wide}} | {theirs[0]}\n{'-' * wide}-+-{'-' * max(map(len, right))}")
        for a, b in zip_longest(left, right, fillvalue=""):
            print(f"{a:<{wide}} | {b}".rstrip())
    else:
        for heading, text in (mine, theirs):
            print(f"\n---- {heading} {'-' * (columns() - 6 - len(heading))}", text, sep="\n")

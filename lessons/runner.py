"""Check a learner's file in a child process with a time limit.

The child, python -m lessons.runner NUMBER FILE SECONDS, writes one JSON object a line to standard output:
{"check": title} as each check begins, {"ok": title} as it passes, and at last {"passed": true} or
{"sentence", "details", "line", "trace"}. What the learner's code prints is kept apart.
"""

import ast
import contextlib
import faulthandler
import io
import json
import os
import re
import signal
import subprocess
import sys
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from . import exercises, judge
from .calls import Failed, Its, signature, stopped

SECONDS = 20  # a check that takes longer is stopped
MEMORY = 4 << 30  # bytes of address space, so that an array much too large harms nothing else
SHOWN = 10  # lines of the learner's own printing
BORROWED = "the library's own {} is used: the exercise is to write it"

# ------------------------------------------------------------------------------ the parent's side


@dataclass
class Outcome:
    """What became of a learner's file.

    passed    titles of the checks that it passed; failed: of the one that it failed, "" if none
    sentence  what is wrong; details: the evidence; line: where in the file, or None; trace: of its exception
    printed   what its code printed, and at_line: where that began
    """

    passed: list = field(default_factory=list)
    failed: str = ""
    sentence: str = ""
    details: list = field(default_factory=list)
    line: int | None = None
    trace: list = field(default_factory=list)
    printed: list = field(default_factory=list)
    at_line: int | None = None

    @property
    def ok(self):
        """Whether all checks passed."""
        return not self.sentence

    @property
    def untouched(self):
        """Whether the first hole is still open."""
        return not self.passed and self.sentence.endswith("not written yet")


def check(number, path, seconds=SECONDS):
    """Check the learner's file for the exercise of this number, in a child process -> Outcome."""
    command = [sys.executable, "-m", "lessons.runner", str(number), str(path), str(seconds)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, cwd=root, start_new_session=True, **pipes) as child:
        try:
            told, errors = child.communicate(timeout=seconds + 10)
        except subprocess.TimeoutExpired:
            _kill(child)
            told, errors = child.communicate()
            errors += b"Timeout"
        finally:
            _kill(child)  # and whatever the learner's file has started
    return _outcome(
        told.decode(errors="replace"), errors.decode(errors="replace"), child.returncode, str(path), seconds
    )


def _kill(child):
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _outcome(told, errors, code, path, seconds):
    outcome, done, title = Outcome(), False, ""
    for line in told.splitlines():
        event = json.loads(line)
        title = event.get("check", title)
        if "ok" in event:
            outcome.passed.append(event["ok"])
        vars(outcome).update({k: v for k, v in event.items() if k in vars(outcome) and k != "passed"})
        done = done or "passed" in event or "sentence" in event
    outcome.failed = title if outcome.sentence or not done else ""
    if done:
        return outcome
    outcome.trace = errors.splitlines(keepends=True)
    if at := re.search(rf'File "{re.escape(path)}", line (\d+)', errors):
        lines = Path(path).read_text(errors="replace").splitlines()
        outcome.line = int(at[1])
        outcome.details = [f"it was at line {at[1]}: {lines[outcome.line - 1].strip()}"]
    if not title:
        words = "the check could not start, and that is not your fault: see --trace"
    elif "Timeout" in errors:
        words = f"not finished after {seconds:g} seconds, and stopped: a loop that never ends, or very slow?"
    elif code < 0:
        words = f"the process that ran the file was ended by the signal {signal.Signals(-code).name}"
    else:
        words = f"the process that ran the file ended by itself, with code {code}: does it call exit?"
    outcome.sentence = words
    return outcome


# ------------------------------------------------------------------------------ the child's side


class Printed(io.TextIOBase):
    """Takes the place of standard output: keeps the first different lines and where the first came from."""

    def __init__(self, path):
        self.path, self.lines, self.rest, self.line = path, [], "", None

    def writable(self):
        """It is."""
        return True

    def write(self, text):
        """Keep every line once, up to a number; a check calls the functions many times."""
        if self.line is None:
            frame = sys._getframe(1)
            while frame and frame.f_code.co_filename != self.path:
                frame = frame.f_back
            self.line = frame.f_lineno if frame else None
        *lines, self.rest = (self.rest[-1000:] + text).split("\n")
        for line in lines:
            if len(self.lines) <= SHOWN and line.strip() and line not in self.lines:
                self.lines.append(line if len(self.lines) < SHOWN else "...")
        return len(text)


def main(number, path, seconds):
    """Check the file and tell."""
    tell = _teller()
    faulthandler.enable()
    faulthandler.dump_traceback_later(float(seconds), exit=True)
    _limit_memory()
    printed = Printed(path)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = judged(exercises.one(int(number)), path, tell)
        print(flush=True)
    if printed.lines:
        tell(printed=printed.lines, at_line=printed.line)
    tell(**outcome)
    sys.stdout.flush()
    os._exit(0)  # threads or exit handlers of the learner's file do not keep it alive


def judged(exercise, path, tell):
    """The outcome of all checks, as a dict."""
    try:
        tell(check="the file")
        functions = load(path, exercise)
        signature(exercise.parts, functions)
        its = Its(functions, lambda: load(path, exercise))
        for title, check_one in judge.checks(exercise).items():
            tell(check=title)
            check_one(its)
            tell(ok=title)
    except Failed as failed:
        _left_below(failed, path)
        cause = failed.__cause__
        trace = traceback.format_exception(cause) if cause and failed.cause != "hole" else []
        return {"sentence": failed.sentence, "details": failed.details, "line": failed.line, "trace": trace}
    except Exception as error:  # what a learner's function returns may be stranger than a check foresees
        sentence = f"the check itself stopped with {type(error).__name__}: your answer or the check is wrong"
        return {"sentence": sentence, "trace": traceback.format_exc().splitlines(True)}
    return {"passed": True}


def load(path, exercise):
    """The functions of a learner's file by name; Failed says what keeps it from being loaded."""
    try:
        text = Path(path).read_text("utf-8-sig")  # with or without the mark that some editors put first
        tree = ast.parse(text, path)
    except OSError as error:
        raise Failed(f"the file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failed(f"the file is not text in UTF-8: {error}") from error
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        text = (getattr(error, "text", "") or "").strip()
        words = f"Python cannot read the file: {getattr(error, 'msg', error)}"
        raise Failed(words, [f"line {line}: {text}"] * bool(line), line) from error
    _borrowed(tree, exercise)
    space = {"__name__": "exercise", "__file__": path}
    try:
        exec(compile(text, path, "exec"), space)
    except (Exception, SystemExit) as error:
        raise stopped("the file", error, path) from error
    for name in exercise.names:
        if name not in space:
            near = [key for key in space if callable(space[key]) and not key.startswith("_")]
            found = f" (it has {', '.join(near)})" if near else ""
            raise Failed(f"the file has no function {name}{found}: was it renamed, or indented into another?")
        if str(getattr(space[name], "__module__", "")).startswith("minivae"):
            raise Failed(BORROWED.format(name))
    return space


def _borrowed(tree, exercise):
    """Refuse a call of the library's own solution."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        taken = set()
        if isinstance(node, ast.ImportFrom):
            package = (node.module or "").partition(".")[0]
            if package == "minivae":
                taken = {alias.name for alias in node.names} & {*exercise.names, *exercise.borrowed}
            taken |= {"answer in `lessons`"} if package == "lessons" else set()
        if isinstance(node, ast.Attribute):  # ops.gaussian_kl; but a method of the learner's own class may be
            taken = {node.attr} & ({*exercise.names} | ({*exercise.borrowed} - own))
        if taken:
            raise Failed(BORROWED.format(min(taken)), [f"line {node.lineno}"], node.lineno)


def _left_below(failed, path):
    """Where the stub's `raise` is still below the learner's own lines, say that instead."""
    if failed.cause != "hole":
        return
    name = failed.sentence.split(" ")[0]
    for node in ast.walk(ast.parse(Path(path).read_text("utf-8-sig"))):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            raises = [n for n in node.body if isinstance(n, ast.Raise)]
            lines = [n for n in node.body if not isinstance(n, ast.Raise | ast.Expr)]
            if raises and lines:
                failed.line = raises[0].lineno
                failed.sentence = (
                    f"{name} ends in the stub's own `raise NotImplementedError(...)`: delete that line"
                )
                failed.details = (f"line {failed.line}",)


def _teller():
    """A function that writes a line of JSON to what was standard output, whatever becomes of it later."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, sys.stdout.fileno())
    os.dup2(quiet, sys.stdin.fileno())

    def tell(**what):
        out.write(json.dumps(what) + "\n")
        out.flush()

    return tell


def _limit_memory():
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, ValueError, OSError):
        pass  # not on this system: then the system itself must cope


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Judge one learner's file, in a process of its own: python -m lessons.child NUMBER FILE SECONDS [--fast].

What it finds goes to standard output, one JSON object a line: {"check": title} as each check begins, {"ok":
title} as it passes, and at last {"passed": true} or {"sentence", "details", "line", "trace"}. Whatever the
learner's code prints is kept apart. After SECONDS the process ends itself and says on standard error where it
was.
"""

import ast
import contextlib
import faulthandler
import io
import json
import os
import sys
import traceback
import warnings
from pathlib import Path

from . import exercises
from .judging import Failed, Judged, signature, stopped

MEMORY = 8 << 30  # bytes of address space, so that an array much too large fails and harms nothing else
SHOWN = 10  # lines of the learner's own printing
BORROWED = "the library's own {} is used: the exercise is to write it"


class Printed(io.TextIOBase):
    """Stands in for standard output: keeps the first lines and where the first came from."""

    def __init__(self, path):
        self.path, self.text, self.line = path, "", None

    def writable(self):
        """It is."""
        return True

    def write(self, text):
        """Keep the text, up to a size."""
        if self.line is None:
            frame = sys._getframe(1)
            while frame and frame.f_code.co_filename != self.path:
                frame = frame.f_back
            self.line = frame.f_lineno if frame else None
        if len(self.text) < 10_000:
            self.text += text
        return len(text)


def main(number, path, seconds, fast=False):
    """Judge the file and tell."""
    tell = _teller()
    faulthandler.dump_traceback_later(float(seconds), exit=True)
    _limit_memory()
    printed = Printed(path)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = judged(int(number), path, tell, fast)
    if printed.text.strip():
        tell(printed=printed.text.splitlines()[:SHOWN], at=printed.line)
    tell(**outcome)
    sys.stdout.flush()
    os._exit(0)  # threads or exit handlers of the learner's file do not keep it alive


def judged(number, path, tell, fast=False):
    """The outcome of all checks, as a dict."""
    exercise = exercises.one(number)
    try:
        tell(check="the file")
        functions = load(path, exercise)
        signature(exercise, functions)
        for title, check in exercise.checks.items():
            if not (fast and title in exercise.slow):
                tell(check=title)
                check(Judged(functions))
                tell(ok=title)
    except Failed as failed:
        cause = failed.__cause__
        hole = isinstance(cause, NotImplementedError)
        trace = traceback.format_exception(cause) if cause and not hole else []
        return {"sentence": failed.sentence, "details": failed.details, "line": failed.line, "trace": trace}
    except Exception as error:  # what a learner's function returns may be stranger than a check foresees
        sentence = (
            f"your answer is not right, and the check itself stopped over it, with {type(error).__name__}"
        )
        details = ["that is a fault of the check"]
        return {
            "sentence": sentence,
            "details": details,
            "line": None,
            "trace": traceback.format_exc().splitlines(True),
        }
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
        raise Failed(
            f"Python cannot read the file: {getattr(error, 'msg', error)}",
            [f"line {line}: {text}"] * bool(line),
            line,
        ) from error
    borrowed(tree, exercise)
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


def borrowed(tree, exercise):
    """Refuse a call of the library's own solution."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        taken = set()
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "minivae":
            taken = {alias.name for alias in node.names} & {*exercise.names, *exercise.borrowed}
        if isinstance(node, ast.Attribute):  # ops.gaussian_kl; but a method of the learner's own class may be
            taken = {node.attr} & ({*exercise.names} | ({*exercise.borrowed} - own))
        if taken:
            raise Failed(BORROWED.format(min(taken)), [f"line {node.lineno}"], node.lineno)


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
    arguments = [a for a in sys.argv[1:] if a != "--fast"]
    main(*arguments, fast="--fast" in sys.argv)

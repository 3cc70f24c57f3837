"""Check a learner's file: the process that loads it and calls its functions.

python -m lessons.child NUMBER FILE SECONDS writes one JSON object a line to standard output: {"check": title}
as each check begins, {"ok": title} as it passes, and at last {"passed": true} or {"sentence", "details",
"line", "trace"}. What the learner's code prints is kept apart.
"""

import ast
import contextlib
import faulthandler
import io
import json
import os
import sys
import traceback
import types
import warnings
from pathlib import Path

from . import exercises, judge, work
from .calls import Failed, Its, signature, stopped

MEMORY = 1 << 30  # bytes that a check may take, so that an array much too large harms nothing else
SHOWN, WIDE = 10, 300  # lines of the learner's own printing, and characters of each
BORROWED = "the library's own {} is used: the exercise is to write it"


class Printed(io.RawIOBase):
    """Takes the place of standard output: tells the first different lines and where the first came from."""

    def __init__(self, path, tell):
        self.path, self.tell_all, self.lines, self.rest, self.line = path, tell, [], "", None

    def writable(self):
        """It is."""
        return True

    def write(self, data):
        """Tell every line once, up to a number; a check calls the functions many times."""
        if len(self.lines) > SHOWN:
            return len(data)
        if self.line is None:
            frame = sys._getframe(1)
            while frame and frame.f_code.co_filename != self.path:
                frame = frame.f_back
            self.line = frame.f_lineno if frame else None
        *lines, self.rest = (self.rest[-1000:] + bytes(data).decode(errors="replace")).split("\n")
        for line in lines:
            text = "".join(c if c.isprintable() else " " for c in line)
            text = f"{text[:WIDE]}..." if len(text) > WIDE else text
            if len(self.lines) <= SHOWN and text.strip() and text not in self.lines:
                self.lines.append(text if len(self.lines) < SHOWN else "...")
                self.tell_all(printed=self.lines, at_line=self.line)
        return len(data)


def main(number, path, seconds):
    """Check the file and tell."""
    tell, errors = _own_files()
    faulthandler.enable(errors)
    faulthandler.dump_traceback_later(float(seconds), exit=True, file=errors)
    _limit_memory()
    printed = Printed(path, tell)
    shown = io.TextIOWrapper(printed, "utf-8", "replace", write_through=True)
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = judged(exercises.one(int(number)), path, tell)
    printed.write(b"\n")  # what has no end of line yet
    tell(**outcome)
    os._exit(0)  # threads or exit handlers of the learner's file do not keep it alive


def judged(exercise, path, tell):
    """The outcome of all checks, as a dict."""
    try:
        tell(check="the file")
        functions = load(path, exercise)
        signature(exercise.parts, functions)
        its = Its(functions, lambda: load(path, exercise), lambda seconds: tell(slow=seconds))
        for title, check_one in judge.checks(exercise).items():
            tell(check=title)
            check_one(its)
            tell(ok=title)
    except Failed as failed:
        left_below(failed, path)
        cause = failed.__cause__
        trace = traceback.format_exception(cause) if cause and failed.cause != "hole" else []
        return {"sentence": failed.sentence, "details": failed.details, "line": failed.line, "trace": trace}
    except Exception as error:  # what a learner's function returns may be stranger than a check foresees
        sentence = f"the check itself stopped with {type(error).__name__}: your answer or the check is wrong"
        return {"sentence": sentence, "trace": traceback.format_exc().splitlines(True)}
    return {"passed": True}


def _own_files():
    """tell, which writes a line of JSON to what was standard output, and what was standard error.

    What the learner's file or its children write to either later is thrown away.
    """
    out, errors = (os.fdopen(os.dup(file.fileno()), "w") for file in (sys.stdout, sys.stderr))
    quiet = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(quiet, number)

    def tell(**what):
        out.write(json.dumps(what) + "\n")
        out.flush()

    return tell, errors


def _limit_memory():
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, ValueError, OSError):
        pass  # not on this system: then the system itself must cope


# ------------------------------------------------------------------------------ loading the file


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
    sys.modules["work"] = _earlier(Path(path).parent, exercise)
    try:
        exec(compile(text, path, "exec"), space)
    except Failed:
        raise
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


def _earlier(folder, exercise):
    """The module `work`: the learner's answers to the other exercises, for `from work import NAME`."""
    module = types.ModuleType("work")

    def answer(name):
        for number, other in exercises.load().items():
            if name in other.names and other is not exercise:
                return load(str(work.file_of(folder, number)), other)[name]
        raise AttributeError(f"no other exercise has a function {name}")

    module.__getattr__ = answer
    return module


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
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") != "work":
            # ops.gaussian_kl; but a method of the learner's own class may be
            taken = {node.attr} & ({*exercise.names} | ({*exercise.borrowed} - own))
        if taken:
            raise Failed(BORROWED.format(min(taken)), [f"line {node.lineno}"], node.lineno)


def left_below(failed, path):
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


if __name__ == "__main__":
    main(*sys.argv[1:])

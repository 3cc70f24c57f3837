"""Check a learner's file in a child process with a time limit.

The child, python -m lessons.runner NUMBER FILE SECONDS, writes one JSON object a line to standard output:
{"check": title} as each check begins, {"ok": title} as it passes, and at last {"passed": true} or
{"sentence", "details", "line", "trace"}. What the learner's code prints is kept apart.
"""

import contextlib
import faulthandler
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from . import exercises, judge
from .calls import Failed, Its, signature
from .work import left_below, load

SECONDS = 20  # a check that takes longer is stopped
MEMORY = 1 << 30  # bytes that it may take, so that an array much too large harms nothing else
SHOWN, WIDE = 10, 300  # lines of the learner's own printing, and characters of each
MARK = "MINIVAE_LESSONS_CHECK"  # in the environment of a child and of what it starts

# ------------------------------------------------------------------------------ the parent's side


@dataclass
class Outcome:
    """What became of a learner's file.

    passed    titles of the checks that it passed; failed: of the one that it failed, "" if none
    sentence  what is wrong; details: the evidence; line: where in the file, or None; trace: of its exception
    printed   what its code printed, and at_line: where that began
    slow      seconds of the slowest call, 0 if none is slow
    """

    passed: list = field(default_factory=list)
    failed: str = ""
    sentence: str = ""
    details: list = field(default_factory=list)
    line: int | None = None
    trace: list = field(default_factory=list)
    printed: list = field(default_factory=list)
    at_line: int | None = None
    slow: float = 0.0

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
    root, mark = Path(__file__).resolve().parents[1], os.urandom(8).hex()
    environment = os.environ | {MARK: mark}
    # files, not pipes: what the learner's file has started may hold on to them
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as errors:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": told, "stderr": errors}
        child = subprocess.Popen(command, cwd=root, env=environment, start_new_session=True, **pipes)
        try:
            child.wait(seconds + 10)
        except subprocess.TimeoutExpired:
            errors.write(b"Timeout")
        finally:
            _kill(child, f"{MARK}={mark}".encode())
        texts = [file.seek(0) or file.read().decode(errors="replace") for file in (told, errors)]
    return _outcome(*texts, child.returncode, str(path), seconds)


def _kill(child, mark):
    """End the child and whatever it has started: the mark is in the environment of all of them."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environment.read_bytes():
                os.kill(int(environment.parent.name), signal.SIGKILL)


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
        slow = f"one call takes {outcome.slow:.1f} seconds, and there are many"
        why = slow if outcome.slow else "a loop that never ends, or very slow?"
        words = f"not finished after {seconds:g} seconds, and stopped: {why}"
    elif code < 0:
        words = f"the process that ran the file was ended by the signal {signal.Signals(-code).name}"
    else:
        words = f"the process that ran the file ended by itself, with code {code}: does it call exit?"
    outcome.sentence = words
    return outcome


# ------------------------------------------------------------------------------ the child's side


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


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Check a learner's file in a child process with a time limit: the parent's side.

It imports only the standard library: loading NumPy here too would take half as long again.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 20  # a check that takes longer is stopped
MARK = "MINIVAE_LESSONS_CHECK"  # in the environment of a child and of what it starts


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
    command = [sys.executable, "-m", "lessons.child", str(number), str(path), str(seconds)]
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

"""Have a learner's file judged in a child process, and put what it found into words."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 20  # a check that takes longer hangs


@dataclass
class Outcome:
    """What became of a learner's file.

    passed    titles of the checks that it passed
    failed    the title of the check that it failed, "" if none
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


def judge(number, path, seconds=SECONDS, fast=False):
    """Judge the learner's file for the exercise of this number -> Outcome."""
    command = [
        sys.executable,
        "-m",
        "lessons.child",
        str(number),
        str(path),
        str(seconds),
        *["--fast"] * fast,
    ]
    root = Path(__file__).resolve().parents[1]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=seconds + 10, cwd=root
        )
        lines, errors, code = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as stuck:
        lines, errors, code = (_text(stuck.stdout), _text(stuck.stderr), None)
    return _outcome(lines, errors, code, str(path), seconds)


def _outcome(lines, errors, code, path, seconds):
    outcome, done, title = Outcome(), False, ""
    for line in lines.splitlines():
        event = json.loads(line)
        title = event.get("check", title)
        if "ok" in event:
            outcome.passed.append(event["ok"])
        if "printed" in event:
            outcome.printed, outcome.at_line = event["printed"], event["at"]
        if "sentence" in event:
            outcome.failed, outcome.sentence, outcome.details = title, event["sentence"], event["details"]
            outcome.line, outcome.trace = event["line"], event["trace"]
        done = done or "passed" in event or "sentence" in event
    if done:
        return outcome
    outcome.failed, outcome.trace = title, errors.splitlines(keepends=True)
    if code is None or "Timeout" in errors:
        where = re.search(rf'File "{re.escape(path)}", line (\d+)', errors)
        outcome.line = int(where[1]) if where else None
        outcome.details = [f"it was at line {where[1]}: {_line(path, int(where[1]))}"] if where else []
        outcome.sentence = (
            f"it was still running after {seconds:g} seconds and was stopped: does a loop never end?"
        )
    else:
        outcome.sentence = (
            f"the process that ran the file ended by itself, with code {code}: does it call exit?"
        )
    return outcome


def _line(path, number):
    lines = Path(path).read_text(errors="replace").splitlines()
    return lines[number - 1].strip() if number <= len(lines) else ""


def _text(output):
    return (output or b"").decode(errors="replace") if not isinstance(output, str) else output

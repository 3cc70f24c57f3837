"""The files: the learner's, how many hints were given, and the lessons."""

import ast
import json
import os
import re
from pathlib import Path

from .exercises import ORDER, without_docstring

LESSONS = Path(__file__).resolve().parent


def scripts():
    """number -> file of every lesson."""
    return {int(path.name[:2]): path for path in sorted(LESSONS.glob("[0-9][0-9]_*.py"))}


def title(lesson):
    """The title of a lesson, "" if there is none."""
    path = scripts().get(lesson)
    match = path and re.search(r"^# # \d+\. (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return match[1] if match else ""


def file_of(folder, number):
    """The learner's file of an exercise."""
    return folder / f"{number:02}_{ORDER[number - 1]}.py"


def relative(path):
    """A path as seen from the current folder."""
    try:
        return os.path.relpath(path)
    except ValueError:  # on another drive
        return str(path)


def saved(path):
    """When and how large a file was saved; None if it is missing, as while an editor replaces it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def functions(path):
    """name -> source of every function in a learner's file; empty if it cannot be read."""
    try:
        text = path.read_text("utf-8-sig")
        nodes = ast.parse(text).body
    except (OSError, SyntaxError, ValueError):
        return {}
    found = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    return {node.name: without_docstring(ast.get_source_segment(text, node)) for node in found}


def hints(folder):
    """number -> how many hints were given; an unreadable file counts as none."""
    try:
        given = json.loads((folder / ".hints.json").read_text())
        return {n: k for n, k in given.items() if isinstance(k, int) and k > 0}
    except (OSError, ValueError, AttributeError):
        return {}


def remember(folder, given):
    """Write how many hints were given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".hints.json").write_text(json.dumps(given))

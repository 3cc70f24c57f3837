"""The files: the learner's, loaded and taken apart; how many hints were given; and the lessons."""

import ast
import json
import os
import re
import sys
import types
from pathlib import Path

from .calls import Failed, stopped
from .exercises import load as load_exercises
from .exercises import without_docstring

LESSONS = Path(__file__).resolve().parent
BORROWED = "the library's own {} is used: the exercise is to write it"


def scripts():
    """number -> file of every lesson."""
    return {int(path.name[:2]): path for path in sorted(LESSONS.glob("[0-9][0-9]_*.py"))}


def title(lesson):
    """The title of a lesson, "" if there is none."""
    path = scripts().get(lesson)
    match = path and re.search(r"^# # \d+\. (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return match[1] if match else ""


def file_of(folder, number, exercise):
    """The learner's file of an exercise."""
    return folder / f"{number:02}_{exercise.name}.py"


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


# ------------------------------------------------------------------------------ loading


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
        for number, other in load_exercises().items():
            if name in other.names and other is not exercise:
                return load(str(file_of(folder, number, other)), other)[name]
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

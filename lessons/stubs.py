"""A stub is the library's own function without its body, and the solution is the body."""

import ast
import inspect
import textwrap

MARK = "# ---- your code here " + "-" * 54


def stub(number, exercise):
    """The text of a learner's file: the task, then signature, docstring and one marked hole per function."""
    task = textwrap.dedent(exercise.task).strip()
    head = f'''"""Exercise {number}: {exercise.title} (lesson {exercise.lesson}).

{task}

    python -m lessons check {number}     are they right? if not: what is wrong
    python -m lessons hint {number}      the next hint
"""

import numpy as np
'''
    return "\n\n".join([head, *(hole(function) for function in exercise.functions)])


def hole(function):
    """Signature and docstring of a function, and a hole where its body was."""
    lines, definition = parsed(function)
    contract = "\n".join(lines[: definition.body[0].end_lineno])
    if is_method(function):
        contract = contract.replace("(self", "(model", 1)
    missing = f'raise NotImplementedError("{function.__name__} is not written yet")'
    return f"{contract}\n    {MARK}\n    {missing}\n    # {'-' * 74}\n"


def solution(function):
    """A library function with the derivation that stands above it, without its docstring."""
    comments = textwrap.dedent(inspect.getcomments(function) or "").strip()
    return f"{comments}\n".lstrip() + without_docstring("\n".join(parsed(function)[0]))


def without_docstring(source):
    """The source of a function without the lines of its docstring."""
    definition = ast.parse(source).body[0]
    if ast.get_docstring(definition) is None or len(definition.body) == 1:
        return source
    lines, docstring = source.splitlines(), definition.body[0]
    return "\n".join(lines[: docstring.lineno - 1] + lines[docstring.end_lineno :])


def is_method(function):
    """Whether its first parameter is self."""
    return next(iter(inspect.signature(function).parameters), "") == "self"


def parsed(function):
    """Its source lines, moved to the left margin, and the definition that they parse to."""
    text = textwrap.dedent(inspect.getsource(function))
    return text.splitlines(), ast.parse(text).body[0]

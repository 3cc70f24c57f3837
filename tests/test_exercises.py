"""The library passes every check, every stub is open, and every listed wrong answer gets its sentence."""

import inspect
import re

import pytest

from lessons import stubs
from lessons.exercises import load
from lessons.judging import Failed, Judged, signature

EXERCISES = load()
ALL = pytest.mark.parametrize("number", EXERCISES, ids=[e.name for e in EXERCISES.values()])
ANSWERS = [
    pytest.param(number, answer, id=f"{exercise.name}-{i}")
    for number, exercise in EXERCISES.items()
    for i, answer in enumerate(exercise.wrong)
]


def library(exercise):
    """The library's own functions by name."""
    return {function.__name__: function for function in exercise.functions}


def first_failure(exercise, functions):
    """The title and the Failed of the first check that does not pass, or None."""
    checks = {"the file": lambda its: signature(exercise, functions)} | exercise.checks
    for title, check in checks.items():
        try:
            check(Judged(functions))
        except Failed as failed:
            return title, failed
    return None


@ALL
def test_the_library_passes(number):
    exercise = EXERCISES[number]
    failure = first_failure(exercise, library(exercise))
    assert failure is None, f"{failure[0]}: {failure[1]}"


@ALL
def test_a_stub_is_open(number):
    exercise = EXERCISES[number]
    space = {}
    exec(compile(stubs.stub(number, exercise), "stub", "exec"), space)
    title, failed = first_failure(exercise, space)
    assert title == next(iter(exercise.checks))
    assert failed.sentence == f"{exercise.names[0]} is not written yet"
    for function in exercise.functions:
        assert inspect.getdoc(space[function.__name__]) == inspect.getdoc(function)


@ALL
def test_every_hole_is_missed(number):
    """With one function of several still a hole, the sentence names that one."""
    exercise = EXERCISES[number]
    space = {}
    exec(compile(stubs.stub(number, exercise), "stub", "exec"), space)
    for name in exercise.names:
        failure = first_failure(exercise, library(exercise) | {name: space[name]})
        assert failure, f"{name} is never called by a check"
        assert failure[1].sentence == f"{name} is not written yet"


@pytest.mark.parametrize(("number", "answer"), ANSWERS)
def test_a_wrong_answer_gets_its_sentence(number, answer):
    exercise = EXERCISES[number]
    assert answer.says
    failure = first_failure(exercise, library(exercise) | answer.functions)
    assert failure, f"accepted, though: {answer.says}"
    title, failed = failure
    assert answer.says in failed.sentence
    assert title == answer.check


@ALL
def test_an_exercise_is_complete(number):
    exercise = EXERCISES[number]
    assert len(exercise.hints) >= 3
    assert len(exercise.wrong) >= 4
    assert set(exercise.slow) < set(exercise.checks)
    assert {answer.check for answer in exercise.wrong} <= set(exercise.checks)
    assert len(set(exercise.hints)) == len(exercise.hints)
    for named in re.findall(r"`python -m lessons (\w+)(?: (\d+))?", "".join(exercise.hints) + exercise.task):
        assert named[0] in ("run", "start", "check")

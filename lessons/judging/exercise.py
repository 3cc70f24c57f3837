"""What an exercise is: library functions to write again, checks in a teacher's order, known wrong answers."""

from collections.abc import Callable
from dataclasses import dataclass, field


class Failed(Exception):
    """A check that an implementation does not pass: one sentence, then lines of evidence.

    line: where in the learner's file, if that is known; known: whether the sentence tells the cause
    """

    def __init__(self, sentence, details=(), line=None, known=True):
        super().__init__(sentence)
        self.sentence, self.details, self.line, self.known = sentence, tuple(details), line, known


@dataclass(frozen=True)
class Wrong:
    """An answer that must be rejected, and how.

    functions  name -> what stands in the place of the library's function
    check      the title of the check that rejects it
    says       a part of the sentence that it must say, as every answer with the same values is told
    """

    functions: dict
    check: str
    says: str


@dataclass(frozen=True)
class Exercise:
    """Write `functions` of the library again.

    lesson     the lesson that it belongs to
    title      what you do, with a verb
    task       the head of the stub: what to write, in a few lines
    functions  the library's own: their signatures and docstrings make the stub, their bodies are the solution
    hints      at least three: where to look, the formula, all but the last line
    checks     title -> check(its), in order; `its` holds the functions under judgement by their names
    wrong      answers that must be rejected
    borrowed   further names of the library that would be the solution
    shows      what else of the library the solution consists of
    """

    lesson: int
    title: str
    task: str
    functions: tuple
    hints: tuple
    checks: dict[str, Callable]
    wrong: tuple
    borrowed: tuple = ()
    shows: tuple = ()
    slow: tuple = field(default=())  # titles of checks that the list of progress leaves out

    @property
    def names(self):
        """Of its functions."""
        return tuple(function.__name__ for function in self.functions)

    @property
    def name(self):
        """Of the exercise and its file."""
        return self.names[0]

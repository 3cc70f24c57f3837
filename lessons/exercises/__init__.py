"""The exercises: one module each, by the name of its first function; and what an exercise is."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from ..story import filled

ORDER = (
    "gaussian_log_prob",
    "gaussian_kl",
    "gaussian_nll",
    "elbo_cost",
    "activation_forward",
    "dense_forward",
    "bernoulli_nll",
    "complex_step",
    "check_sampler",
    "gaussian_sample",
    "gaussian_score",
    "score_function",
    "optimal_baseline",
    "leave_one_out",
    "loss_and_grads",
    "adam_update",
    "ppca_posterior",
    "responsibilities",
    "mixture_step",
    "importance_weighted",
    "iwae_gradient",
    "denoising_loss_and_grads",
    "activity_kl",
    "rate_and_distortion",
    "aggregate_log_prob",
    "conditioned_inputs",
    "mix_out_labels",
    "auc",
    "best_variance",
    "sampled_kl",
    "laplace_sample",
    "logistic_nll",
)

WIDE = 79  # columns of a stub
MARK = "# ---- your code here " + "-" * 53
EARLIER = "\nYour earlier answers can be imported: from work import gaussian_log_prob\n"
LEGEND = {
    "B": "B rows (examples) in a batch",
    "D": "D data (pixels) in a row",
    "H": "H hidden units",
    "L": "L latents",
    "S": "S samples of z for each row",
    "K": "K components of a mixture, or importance samples",
}


@dataclass(frozen=True)
class Part:
    """A function to write, and how its answer is judged.

    function  the library's: its signature and docstring make the stub
    returns   names of the results, "dmu dlogvar", as the walk calls them, in the order of the return
    walk      the right lines (see lessons/walks.py); slips: wrong ones, each with its sentence
    cases     title -> draw(rng, n) -> arguments by name; n.B, n.L ... are sizes, and many sizes are tried
    far       title -> function() -> pairs (note, arguments): inputs far out, each entry compared by its size
    call      (its, **arguments) -> results, if it is more than the call; its.<name>(...) calls with care
    writes    arguments that the function changes in place: they are its results
    single    whether it takes float32 as well; tolerance: what rounding may leave of the largest entry
    shown     how the solution is shown, if not as the walk and a return: {walk}, or {inner} if it is indented
    checks    title -> check(its): what else is checked
    """

    function: Callable
    returns: str = ""
    walk: str = ""
    slips: str = ""
    cases: dict = field(default_factory=dict)
    far: dict = field(default_factory=dict)
    call: Callable | None = None
    writes: tuple = ()
    single: bool = True
    tolerance: float = 1e-9
    shown: str = ""
    checks: dict = field(default_factory=dict)

    @property
    def name(self):
        """Of the function."""
        return self.function.__name__

    @property
    def names(self):
        """Of the results."""
        return self.returns.split()


@dataclass(frozen=True)
class Exercise:
    """What you do, what to write, and hints; and the parts.

    text      the title, the task, and the hints from "Where to look" on, one a paragraph; the last hint, the
              solution without its last line, is made of the parts
    borrowed  names of the library that would be the solution, besides those of the parts
    """

    text: str
    lesson: int
    parts: tuple
    borrowed: tuple = ()

    @property
    def title(self):
        """What you do."""
        return self.text.partition("\n")[0]

    @property
    def task(self):
        """What to write."""
        return self.text[len(self.title) : self.text.index("Where to look")].strip()

    @property
    def hints(self):
        """The hints that are written out."""
        return tuple(self.text[self.text.index("Where to look") :].strip().split("\n\n"))

    @property
    def names(self):
        """Of its functions."""
        return tuple(part.name for part in self.parts)

    @property
    def name(self):
        """Of the exercise and its file."""
        return self.names[0]


def load():
    """number -> Exercise, from 1."""
    return {number: one(number) for number in range(1, len(ORDER) + 1)}


def one(number):
    """The exercise of this number alone, without loading the others."""
    return import_module(f".{ORDER[number - 1]}", __name__).EXERCISE


def title(number):
    """What you do in the exercise of this number, without loading it: the first line of its module."""
    path = Path(__file__).with_name(f"{ORDER[number - 1]}.py")
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))).partition("\n")[0]


# ------------------------------------------------------------------------------ stub and solution


def stub(number, exercise):
    """The text of a learner's file: the task, then signature, docstring and one marked hole per function."""
    holes = [hole(part.function) for part in exercise.parts]
    said = exercise.task + "".join(holes)
    sizes = [words for letter, words in LEGEND.items() if re.search(rf"\b{letter}\b", said)]
    legend = refilled(f"Sizes: {', '.join(sizes)}.", WIDE) + "\n\n" if sizes else ""
    head = f'''"""Exercise {number}: {exercise.title} (lesson {exercise.lesson}).

{legend}{refilled(exercise.task, WIDE)}

    python -m lessons check {number}     is it right? if not, what is wrong
    python -m lessons hint {number}      the next hint
{EARLIER * (number > 1)}"""

import numpy as np
'''
    return "\n\n".join([head, *holes])


def hole(function):
    """Signature and docstring of a function, and a hole instead of its body."""
    lines, definition = _parsed(function)
    head = "\n".join(lines[: definition.body[0].lineno - 1]).replace("(self", "(model", 1)
    contract = refilled(f'"""{ast.get_docstring(definition)}', WIDE - 4)
    contract += "\n" * ("\n" in contract or len(contract) > WIDE - 7) + '"""'
    missing = f'raise NotImplementedError("{function.__name__} is not written yet")'
    body = "\n".join([contract, MARK, missing, f"# {'-' * 73}"])
    return f"{head}\n{textwrap.indent(body, '    ')}\n"


def refilled(text, width):
    """Paragraphs wrapped at a width; one with an indented line stays as it is."""
    return "\n\n".join(
        part if re.search("^ ", part, re.MULTILINE) else filled(part, width)
        for part in text.strip().split("\n\n")
    )


def solution(part):
    """The right answer of one part as it is shown: its walk as the body of the function."""
    lines, definition = _parsed(part.function)
    head = "\n".join(lines[: definition.body[0].lineno - 1]).replace("(self", "(model", 1)
    body = shown(part.walk)
    if part.shown:
        body = part.shown.format(walk=body, inner=textwrap.indent(body, "    "))
    elif not part.writes:
        body += f"\nreturn {', '.join(part.names)}"
    return f"{head}\n{textwrap.indent(body, '    ')}"


def shown(walk):
    """A walk as a learner would write it."""
    from .. import walks  # it loads NumPy, which `title` does not need

    return walks.shown(walk)


def hints(exercise):
    """The hints; the last, if it is not written out, is the solution without its last line."""
    if exercise.hints[-1].startswith("All but"):
        return exercise.hints
    kept = []
    for part in exercise.parts:
        last = shown(part.walk).rpartition("\n")[2].strip()
        lines = [line for line in solution(part).splitlines() if line.strip() not in (last, "")]
        lines = [line if len(line) <= 76 else line.split("  # ")[0] for line in lines]
        kept += [f"    {line}" for line in lines if not line.strip().startswith("return")]
    return *exercise.hints, "\n".join(["All but the last line:", *kept])


def without_docstring(source):
    """The source of a function without the lines of its docstring."""
    definition = ast.parse(source).body[0]
    if ast.get_docstring(definition) is None or len(definition.body) == 1:
        return source
    lines, docstring = source.splitlines(), definition.body[0]
    return "\n".join(lines[: docstring.lineno - 1] + lines[docstring.end_lineno :])


def _parsed(function):
    """Its source lines, moved to the left margin, and the definition that they parse to."""
    text = textwrap.dedent(inspect.getsource(function))
    return text.splitlines(), ast.parse(text).body[0]

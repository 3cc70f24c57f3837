"""The library passes, stubs are open, slips are rejected with their sentences, right answers accepted."""

import re
import textwrap

import numpy as np
import pytest

from lessons import walks
from lessons.calls import Failed, Its, signature
from lessons.cases import cases, close, values
from lessons.exercises import hints, load, solution, stub
from lessons.explain import explained
from lessons.judge import checks

EXERCISES = load()
ALL = pytest.mark.parametrize("number", EXERCISES, ids=[e.name for e in EXERCISES.values()])
PARTS = [part for exercise in EXERCISES.values() for part in exercise.parts]
WALKS = [pytest.param(part, id=part.name) for part in PARTS if part.walk]
NUMBER = {exercise.name: number for number, exercise in EXERCISES.items()}


def shown(exercise):
    """The functions as `solution` shows them."""
    texts = [solution(part) for part in exercise.parts]
    return written("\n\n".join(["import numpy as np\nfrom minivae import ops", *texts]))


def first_failure(exercise, functions):
    """The title and the Failed of the first check that does not pass, or None."""
    its = Its(functions)
    for title, check in {
        "the file": lambda its: signature(exercise.parts, functions),
        **checks(exercise),
    }.items():
        try:
            check(its)
        except Failed as failed:
            return title, failed
    return None


def written(code):
    """The functions of a learner's file."""
    space = {"np": np}
    exec(compile(code, "learner", "exec"), space)
    return space


@ALL
def test_the_library_and_the_solution_as_shown_pass(number):
    exercise = EXERCISES[number]
    library = {part.name: part.function for part in exercise.parts}
    answers = [shown(exercise)]
    if not any("exercises" in function.__code__.co_filename for function in library.values()):
        answers.append(library)
    for functions in answers:
        assert first_failure(exercise, functions) is None


@ALL
def test_every_hole_is_missed(number):
    """The stub is open, and with one function of several still a hole, the sentence names that one."""
    exercise = EXERCISES[number]
    space = written(stub(number, exercise))
    for name in exercise.names:
        failure = first_failure(exercise, shown(exercise) | {name: space[name]})
        assert failure, f"{name} is never called by a check"
        assert failure[1].sentence == f"{name} is not written yet"
    assert all(len(line) <= 79 for line in stub(number, exercise).splitlines())


@ALL
def test_an_exercise_is_complete(number):
    exercise = EXERCISES[number]
    given = hints(exercise)
    assert len(given) >= 3
    assert given[-1].startswith("All but the last line")
    assert set(re.findall(r"`python -m lessons (\w+)", "".join(given) + exercise.task)) <= {
        "run",
        "start",
        "check",
    }
    for part in exercise.parts:  # the last hint shows no whole answer
        assert textwrap.indent(solution(part), "    ") not in given[-1]


def plain(words):
    """A sentence without its numbers."""
    return re.sub(r"\d[\de.-]*", "#", words)


@pytest.mark.parametrize("part", WALKS)
def test_every_slip_is_rejected_with_its_sentence(part):
    """Each row differs from the right results in some case, and the row (or its twin) explains it."""
    tried = [c for title in (*part.cases, *part.far) for c in cases(part, title)]
    tried = [c for c in tried if not (c.strided or c.single)]
    table, rejected = walks.slips(part.slips), set()
    for lines, words in table:
        for case in tried if plain(words) not in rejected else ():
            got, want = results(part, case, lines), values(part, case)
            wrong = [name for name in part.names if got and not close(got[name], want[name], case)]
            if wrong:
                found = explained(part, case, Its({}), got, want, wrong).sentence
                twins = [said for other, said in table if same_numbers(part, case, other, got)]
                assert found in (words, *twins)
            if wrong or not got:  # it is found, or it stops, and so does the learner's function
                rejected.add(plain(words))
                break
    dead = {plain(words) for _, words in table} - rejected
    for other in PARTS:  # of a table that parts share, some rows may make no difference to one of them
        if other is not part:
            dead -= {plain(words) for _, words in walks.slips(other.slips)}
    assert not dead


def results(part, case, lines):
    """The results with these lines changed, by name; empty if they stop with an exception."""
    try:
        found = values(part, case, lines)
    except (ValueError, IndexError, TypeError, NameError):
        return {}
    return {name: np.asarray(found[name]) for name in part.names}


def same_numbers(part, case, lines, got):
    """Whether some result is the same."""
    found = results(part, case, lines)
    return any(close(found[name], got[name], case, 10) for name in found)


# ------------------------------------------------------------------------------ as learners write

KL = """
def gaussian_kl(mu, logvar):
    {}

def gaussian_kl_backward(dkl, mu, logvar):
    return dkl[:, None] * mu, {}
"""
RIGHT_KL = "return 0.5 * (mu**2 + np.exp(logvar) - logvar - 1).sum(-1)"
RIGHT_SLOPE = "dkl[:, None] * 0.5 * np.expm1(logvar)"
EACH = "0.5 * (m * m + np.exp(l) - l - 1)"
LOOP = f"return np.array([sum({EACH} for m, l in zip(a, b)) for a, b in zip(mu, logvar)])"
ACCEPTED = {
    "a loop": ("gaussian_kl", KL.format(LOOP, RIGHT_SLOPE)),
    "an Adam that works on copies": (
        "adam_update",
        "def adam_update(param, grad, m, v, t, lr, beta1, beta2, eps):\n"
        "    g = np.array(grad, float)\n"
        "    m += (1 - beta1) * (g - m)\n    v *= beta2\n    v += (1 - beta2) * g * g\n"
        "    c = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)\n"
        "    np.subtract(param, c * m / (np.sqrt(v) + eps * np.sqrt(1 - beta2**t)), out=param)\n",
    ),
    "a sigmoid with masks": (
        "bernoulli_nll",
        "def bernoulli_nll(logits, x):\n    return np.sum(np.logaddexp(0, logits) - x * logits, axis=-1)\n"
        "def bernoulli_nll_backward(dnll, logits, x):\n    p = np.zeros_like(logits)\n    up = logits >= 0\n"
        "    p[up] = 1 / (1 + np.exp(-logits[up]))\n    e = np.exp(logits[~up])\n    p[~up] = e / (1 + e)\n"
        "    return (p - x) * np.expand_dims(dnll, -1)\n",
    ),
}
REJECTED = {
    "state kept by forward": (
        "gaussian_kl",
        KL.format("global s; s = np.exp(logvar)\n    " + RIGHT_KL, "dkl[:, None] * 0.5 * (s - 1)"),
        "something that an earlier call left behind",
    ),
    "beta or 1": (
        "elbo_cost",
        "def elbo_cost(nll, mu, logvar, beta=1.0):\n    return lambda z: nll(z) + (beta or 1.0) * 0.5 * (z**2"
        " - logvar - (z - mu)**2 * np.exp(-logvar)).sum(-1)\n",
        "beta = 0 counts as 1",
    ),
    "a cost that is called twice": (
        "elbo_cost",
        "def elbo_cost(nll, mu, logvar, beta=1.0):\n    return lambda z: nll(z) * (nll(z) > -9) + beta * "
        "0.5 * (z**2 - logvar - (z - mu)**2 * np.exp(-logvar)).sum(-1)\n",
        "nll is called again",
    ),
    "a function that is called more often than it has coordinates": (
        "complex_step",
        "def complex_step(f, x):\n    f(x + 0j)\n    g = np.zeros(x.shape)\n    for i in range(x.size):\n"
        "        z = x.astype(complex)\n        z.flat[i] += 1e-30j\n"
        "        g.flat[i] = f(z).imag / 1e-30\n    return g\n",
        "once for each is enough",
    ),
    "a view that is lost": (
        "adam_update",
        ACCEPTED["an Adam that works on copies"][1].replace(
            "out=param)", "out=param.ravel().reshape(param.shape))"
        ),
        "param is as before",
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_right_answer_written_differently_is_accepted(name):
    exercise, code = ACCEPTED[name]
    assert first_failure(EXERCISES[NUMBER[exercise]], written(code)) is None


@pytest.mark.parametrize("name", REJECTED)
def test_a_wrong_answer_is_rejected_and_the_cause_named(name):
    exercise, code, says = REJECTED[name]
    failure = first_failure(EXERCISES[NUMBER[exercise]], written(code))
    assert failure
    assert says in failure[1].sentence
    assert failure[1].cause

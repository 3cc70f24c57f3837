"""How answers are judged: careful calls, causes that every exercise shares, the text of walks and slips."""

from dataclasses import replace

import numpy as np
import pytest

from lessons import walks
from lessons.calls import Cost, Failed, Its, copied
from lessons.cases import SIZES, Case, cases, close, evidence
from lessons.exercises import Part
from lessons.judge import compare_all


def scaled(a, b):
    """The function of PART: a contract alone."""


def draw(rng, n):
    """a (B, L) and b (B,)."""
    return {"a": rng.normal(0.3, 1.0, (n.B, n.L)), "b": rng.normal(0.5, 1.0, n.B)}


PART = Part(
    scaled,
    returns="y z",
    walk="""
        y = b[:, None] * a  # (B, L)
        z = exp(a).sum(axis=-1) + b
    """,
    slips="""
        y = b[:, None] * abs(a)
        y = b[:, None] * a**2  # a is made positive
        z = (exp(a) + SMALL).sum(axis=-1) + b
            # SMALL is added
    """,
    cases={"both": draw},
    far={
        "far": lambda: [("a to 30", {"a": np.array([[1.0, -30.0], [30.0, 2.0]]), "b": np.array([0.5, -1.0])})]
    },
)


def right(a, b):
    """The right answer."""
    return b[:, None] * a, np.exp(a).sum(axis=-1) + b


def remembers(a, b):
    """Keeps its first answer for every shape."""
    return _kept.setdefault(("first", a.shape), right(a, b))


def y(a, b):
    """The first result."""
    return right(a, b)[0]


def z(a, b):
    """The second."""
    return right(a, b)[1]


_kept, _noise = {}, np.random.default_rng(0)


def writes(a, b):
    """Changes its argument."""
    b *= 2
    return right(a, b / 2)


def counts(a, b):
    """Keeps what it has added up."""
    _kept["sum"] = _kept.get("sum", 0) + z(a, b)[0]
    return y(a, b), z(a, b) + _kept["sum"]


def reuses(a, b):
    """Returns the same array in every call."""
    kept = _kept.setdefault(a.shape, np.empty_like(a))
    kept[...] = y(a, b)
    return kept, z(a, b)


# what a learner may return -> a part of the sentence
CAUSES = {
    "a is made positive": lambda a, b: (b[:, None] * a * a, z(a, b)),
    "1e-6 is added": lambda a, b: (y(a, b), z(a + np.log1p(1e-6 * np.exp(-a)), b)),
    "y is what z should be: are they swapped?": lambda a, b: right(a, b)[::-1],
    "y is zero everywhere": lambda a, b: (0 * a, z(a, b)),
    "y is exactly minus what it should be": lambda a, b: (-y(a, b), z(a, b)),
    "z: the term b is missing": lambda a, b: (y(a, b), z(a, b) - b),
    "two things: ": lambda a, b: (y(a, b), np.exp(a).mean(-1) - b),
    "a is clipped at +-5": lambda a, b: right(np.clip(a, -5, 5), b),
    "does not change when a changes": lambda a, b: (np.sin(9 * b)[:, None] + np.arange(a.shape[1]), z(a, b)),
    "y of one row of the batch changes": lambda a, b: (y(a, b) - np.sin(7 * a.mean(axis=0)) * a, z(a, b)),
    "z is not finite": lambda a, b: (y(a, b), np.where(a[:, 0] > 20, np.inf, z(a, b))),
    "in no way I recognize": lambda a, b: (np.sin(9 * a) + np.cos(5 * b)[:, None], z(a, b)),
    "returns None": lambda a, b: None,
    "returns one value, expected 2: y, z": y,
    "z is None": lambda a, b: (y(a, b), None),
    "y is of type MaskedArray": lambda a, b: (np.ma.array(y(a, b)), z(a, b)),
    "y is cut to whole numbers": lambda a, b: (y(a, b).astype(int), z(a, b)),
    "y is of type list": lambda a, b: (list(y(a, b)), z(a, b)),
    "y is float32 for arguments of float64": lambda a, b: (y(a, b).astype("f4"), z(a, b)),
    "changes its argument b": writes,
    "overwrites result 1 of an earlier call": reuses,
    "another answer when it is called again": lambda a, b: (y(a, b), _noise.normal(size=len(b))),
    "keeps something from the call before": counts,
    "scaled stops with ZeroDivisionError": lambda a, b: 1 / 0,
    "calls exit": lambda a, b: exit(),
    "B = D = H = L = S = 3": lambda a, b: right(a, b) if len(b) != a.shape[1] else (b * a, z(a, b)),
    "an axis of length 1 is missing": lambda a, b: (y(a, b), np.squeeze(z(a, b))),
}


@pytest.mark.parametrize("says", CAUSES)
def test_a_cause_is_named(says):
    its, told = Its({"scaled": CAUSES[says]}), []
    for title in ("both", "far"):
        try:
            compare_all(PART, title, its)
        except Failed as failed:
            told.append(failed.sentence)
    assert says in told[0]
    assert "\n" not in told[0]


def test_what_is_right_passes_whatever_the_precision_it_computes_in():
    for function in (right, lambda a, b: right(a.astype(float), b.astype(float))):
        for title in ("both", "far"):
            compare_all(PART, title, Its({"scaled": function}))


def test_a_slip_must_be_right_where_the_learner_is():
    """Wrong only at B = 1: a slip that gives the same there, but is wrong elsewhere, is no cause."""
    part = replace(
        PART, returns="z", walk="z = exp(a).sum(axis=-1) + b", slips="z = exp(a).sum() + b  # all is added"
    )
    with pytest.raises(Failed) as failed:
        compare_all(part, "both", Its({"scaled": lambda a, b: z(a, b) if len(b) > 1 else z(a, b) + 1}))
    assert "all is added" not in failed.value.sentence
    with pytest.raises(Failed, match="all is added"):
        compare_all(part, "both", Its({"scaled": lambda a, b: np.exp(a).sum() + b}))


def test_state_between_calls_is_found_by_loading_anew():
    def load():
        first = []

        def once(a, b):
            first.append(a.shape[1])  # the size of the first call
            return b[:, None] * a * (a.shape[1] == first[0]), z(a, b)

        return {"scaled": once}

    with pytest.raises(Failed, match="something that an earlier call left behind"):
        compare_all(PART, "both", Its(load(), load))


def test_an_answer_kept_from_another_call_is_found():
    with pytest.raises(Failed, match="something that an earlier call left behind"):
        compare_all(PART, "both", Its({"scaled": remembers}, lambda: {"scaled": right}))


def test_a_derivative_may_be_large():
    """A clip of dy at 50, which no ordinary case shows."""

    def draw(rng, n):
        return {"dy": rng.normal(size=(n.B, n.L))}

    part = Part(lambda dy: None, returns="dx", walk="dx = 3 * dy", cases={"dx": draw})
    compare_all(part, "dx", Its({"<lambda>": lambda dy: 3 * dy}))
    with pytest.raises(Failed, match=r"dy is clipped at \+-50"):
        compare_all(part, "dx", Its({"<lambda>": lambda dy: 3 * np.clip(dy, -50, 50)}))


def test_one_result_is_no_tuple():
    part = replace(PART, returns="z", walk="z = exp(a).sum(axis=-1) + b", slips="")
    with pytest.raises(Failed, match="returns a tuple of 1: is there a comma too many"):
        compare_all(part, "both", Its({"scaled": lambda a, b: (z(a, b),)}))


def test_no_call_writes_into_what_another_has_given_or_taken():
    def backward(dy, cache):
        cache[0][...] *= 2
        return dy

    its = Its({"forward": lambda x: (x + 1, (x,)), "backward": backward})
    with pytest.raises(Failed, match="backward overwrites x of an earlier call of forward"):
        its.backward(np.ones(3), its.forward(np.ones(3))[1])


def test_the_cases_of_a_part():
    found = cases(PART, "both")
    assert len({case.args["a"].shape for case in found}) == 6
    assert len(found) == 6 + 2  # and not contiguous, and float32
    assert found[0].args["a"].shape == (7, 6)
    assert len(set(SIZES[""].values())) == 5
    assert not copied(found[0].args["a"], strided=True).flags.c_contiguous
    assert found[-1].single
    assert all(case.own for case in cases(PART, "far"))


def test_rounding_passes_and_no_more():
    want = np.random.default_rng(0).normal(0.4, 1.0, (7, 3))
    single = Case({"a": want.astype(np.float32)})
    assert close(want * (1 + 1e-13), want)
    assert not close(want * (1 + 1e-7), want)
    assert close(want.astype(np.float32), want, single)
    assert not close(want * (1 + 1e-4), want, single)
    small = np.array([1.0, 1e-20])
    assert close(small * [1, 2], small)
    assert not close(small * [1, 2], small, Case({}, own=True))
    assert close([np.nan, np.inf], np.array([np.nan, np.inf]))
    assert not close([np.nan, 1.0], np.array([1.0, np.nan]))


def test_evidence_never_prints_two_equal_numbers():
    for off in (1e-3, 1e-9, 1e-15):
        line = evidence(np.array([1.0, 2.0 + off]), np.array([1.0, 2.0]))[0]
        got, want = line.removeprefix("at [1]: got ").split(", want ")
        assert got != want


def test_what_a_mutant_says_ends_with_the_remark_of_its_line():
    part = replace(PART, returns="z", walk="z = exp(a).sum(axis=-1) + b  # (B,): b shifts each row", slips="")
    with pytest.raises(Failed, match="the term b is missing: b shifts each row"):
        compare_all(part, "both", Its({"scaled": lambda a, b: z(a, b) - b}))


def test_a_cost_counts_its_calls():
    cost = Cost(lambda z: z.sum(axis=-1), (2, 3, 4))
    assert cost(np.ones((2, 3, 4))).shape == (2, 3)
    with pytest.raises(Failed, match="called again"):
        cost(np.ones((2, 3, 4)))
    with pytest.raises(Failed, match="an array of shape"):
        copied(cost)(np.ones((3, 4)))


# ------------------------------------------------------------------------------ walks


def test_a_walk_and_its_slips():
    text = "a = x + 1; b = a * 2  # (B,)\n c[...] = b - old_c"
    assert walks.lines(text) == [("a", "x + 1"), ("b", "a * 2"), ("c", "b - old_c")]
    given = {"x": 3, "old_c": 1}
    assert walks.walk(text, given)["c"] == 7
    assert walks.walk(text, given, (("b", "a"),))["c"] == 3
    assert (
        walks.walk(text, given, (("h", "5"), ("b", "a * h")))["c"] == 19
    )  # a new line comes before the next
    assert walks.shown("  y = exp(a)\n  z = log1p(y) - old_m") == "y = np.exp(a)\nz = np.log1p(y) - m"
    table = walks.slips("a = x\nb = a\n    # both say this\nc = SMALL  # SMALL is used")
    assert [words for _, words in table[:3]] == ["both say this", "both say this", "1e-2 is used"]
    assert len(table) == 2 + 15

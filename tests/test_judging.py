"""How an answer is judged: the cause of each planted error is named, and what is right is let pass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lessons import judging
from lessons.judging import Failed
from lessons.judging.explain import explain
from lessons.judging.shapes import shape_words
from lessons.judging.terms import sum_of_terms

SIZES = {"B": 7, "L": 3}
RNG = np.random.default_rng(0)
WANT = RNG.normal(0.4, 1.0, (7, 3))
INPUT = RNG.normal(0.1, 1.0, (7, 3))


def changed(**entries):
    """WANT with some of its rows changed."""
    got = WANT.copy()
    for row, value in entries.items():
        got[int(row[1:])] = value
    return got


# what was got -> a part of the sentence
CAUSES = {
    "is zero everywhere": 0 * WANT,
    "is 2 everywhere": 0 * WANT + 2,
    "has the wrong sign everywhere": -WANT,
    "its sign is lost": np.abs(WANT),
    "exactly half": WANT / 2,
    "exactly twice": 2 * WANT,
    "has the ratio 1/B = 1/7": WANT / 7,
    "has the ratio L = 3": 3 * WANT,
    "the wrong sign and a constant ratio 2": -2 * WANT,
    "a constant ratio 1.7": 1.7 * WANT,
    "off by the constant +0.25": WANT + 0.25,
    "whole numbers only": np.round(WANT),
    "is clipped at 0.5": np.minimum(WANT, 0.5),
    "a factor e^(v/2) too many": WANT * np.exp(INPUT / 2),
    "shifted by +1 along the first axis": np.roll(WANT, 1, axis=0),
    "in reverse order along the second axis": WANT[:, ::-1],
    "in the wrong places": WANT.ravel()[RNG.permutation(21)].reshape(7, 3),
    "wrong only where v is above 0": np.where(INPUT > 0, 9.0, WANT),
    "wrong in its last row alone: does a loop leave it out?": changed(r6=0),
    "wrong in its row 2 alone": changed(r2=5),
    "right to about": WANT * (1 + 1e-5 * INPUT),
    "its square": WANT**2,
    "averaged over axis 0 and repeated": np.broadcast_to(WANT.mean(axis=0), WANT.shape),
}


@pytest.mark.parametrize("says", CAUSES)
def test_a_cause_is_named(says):
    sentence = explain("y", CAUSES[says], WANT, SIZES, inputs={"v": INPUT})
    assert sentence
    assert sentence.startswith("y ")
    assert says in sentence


def test_what_is_like_nothing_has_no_cause():
    assert explain("y", np.sin(9 * WANT) + INPUT**3, WANT, SIZES, inputs={"v": INPUT}) is None
    with pytest.raises(Failed, match="like no mistake known") as failed:
        judging.expect("y", np.sin(9 * WANT) + INPUT**3, WANT, SIZES)
    assert not failed.value.known


def test_an_input_of_another_shape_is_no_factor():
    explain("y", np.sin(9 * WANT), WANT, SIZES, inputs={"v": INPUT.T, "w": INPUT[:, :2]})


@pytest.mark.parametrize(
    ("got", "want", "says"),
    [
        ((7, 1), (7,), "a kept axis will broadcast"),
        ((3, 7), (7, 3), "it is transposed"),
        ((), (7,), "it is one number, summed or averaged over the axis B (7) as well"),
        ((3,), (7, 3), "the axis B (7) is gone"),
        ((7, 3), (7,), "the axis L (3) is still there"),
        ((3,), (7,), "wrong axis: B (7) is gone, and L (3) should be gone"),
        ((7, 1), (7, 3), "the axis L (3) was summed, averaged or picked over"),
        ((6,), (7,), "one too few or too many"),
        ((7,), (7, 1), "the axis of size 1 is gone"),
        ((21,), (7, 3), "arranged in another shape"),
    ],
)
def test_a_shape_is_put_into_words(got, want, says):
    assert says in shape_words("y", got, want, SIZES)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([-2, -1, -0.5, 0, 0.5, 1, 2]), min_size=6, max_size=6))
def test_any_sum_of_up_to_five_terms_is_read_back(factors):
    rng = np.random.default_rng(3)
    terms = {name: rng.normal(size=40) for name in "abcdef"}
    truth = {name: f for name, f in zip(terms, factors, strict=True) if f}
    if 0 < len(truth) <= 5:
        got = sum(f * terms[name] for name, f in truth.items())
        assert sum_of_terms(got, terms, {"a": 1.0}) == pytest.approx(truth, abs=1e-9)


def test_rounding_is_let_pass_and_no_more():
    judging.expect("y", WANT.astype(np.float32), WANT)
    judging.expect("y", WANT * (1 + 1e-13), WANT)
    with pytest.raises(Failed):
        judging.expect("y", WANT * (1 + 1e-7), WANT)
    with pytest.raises(Failed):
        judging.expect("y", (WANT * (1 + 1e-4)).astype(np.float32), WANT)


def test_calls_are_careful():
    def writes(a):
        a += 1
        return a

    count = [0]

    def counts(a):
        count[0] += 1
        return a + count[0]

    its = judging.Judged({"writes": writes, "counts": counts, "f_backward": counts, "right": np.exp})
    given_to = np.zeros(3)
    with pytest.raises(Failed, match="writes changes its argument a"):
        its.writes(given_to)
    with pytest.raises(Failed, match="another answer when it is called again"):
        its.counts(given_to)
    with pytest.raises(Failed, match="the noise was drawn again in the backward pass"):
        its.f_backward(given_to)
    assert (its.right(given_to) == 1).all()
    assert not given_to.any()


def test_a_mean_within_five_standard_errors_is_not_biased():
    judging.biased("dmu", 1.049, 1.0, 0.01)
    with pytest.raises(Failed, match=r"its mean is 1\.05"):
        judging.biased("dmu", 1.051, 1.0, 0.01)

"""The range that a file's numbers have: how it is read, what is refused, and how it is scaled and back."""

import re

import numpy as np
import pytest

from minivae import data


@pytest.fixture
def saved(tmp_path):
    def saved(array):
        np.save(tmp_path / "images.npy", array)
        return str(tmp_path / "images.npy")

    return saved


FOUND = [  # array, scaling, what is found and how it is read
    (
        np.full((20, 4), 255),
        "none",
        r"18 \+ 2 images of 2 x 2, integers 255 to 255, read as pixel / 255, without",
    ),
    (
        np.eye(4, dtype=int),
        "none",
        r"3 \+ 1 images of 2 x 2, integers 0 to 1, read as they are, without labels$",
    ),
    (
        np.full((2, 3), 0.25),
        "none",
        r"1 \+ 1 rows of 3 columns, floats 0.25 to 0.25, read as they are, .*H,W$",
    ),
    (np.array([[0, 1.000001]] * 2), "none", r"floats 0\.0 to 1\.000001, read"),
    (np.array([[0, 16]] * 2), "scale", "integers 0 to 16, scaled to"),
    (np.array([[-3, 4095]] * 2), "standardize", "integers -3 to 4095, each column standardized"),
    (np.array([[0, 500.0]] * 2), "none", "; values so large train badly without --standardize"),
]


@pytest.mark.parametrize(("array", "scaling", "said"), FOUND)
def test_what_is_found(saved, array, scaling, said):
    path = saved(array)
    found = data.load_dataset(path, scaling=scaling).found
    assert found.startswith(f"data file {path}: ")
    assert re.search(said, found)


def test_what_is_found_in_mnist():
    want = "MNIST: 60,000 + 10,000 images of 28 x 28, integers 0 to 255, read as pixel / 255, with labels"
    assert data.load_dataset().found == want


@pytest.mark.parametrize(
    ("low", "high"), [(0, 16), (0, 2), (0, 127), (0, 256), (0, 4095), (-1, 1), (-128, 127)]
)
def test_integers_of_another_range(saved, low, high):
    path = saved(np.array([[low, high]] * 3))
    with pytest.raises(ValueError, match=rf"got {low} to {high}, which is another range: add --scale"):
        data.load_dataset(path)
    dataset = data.load_dataset(path, scaling="scale")
    assert dataset.x_train.tolist() == [[0, 1]] * 2


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64, bool])
def test_scaling_and_back(tmp_path, rng, dtype):
    """From the training set alone: its range or its moments; the shift and scale that undo it."""
    stored = (rng.random((50, 6)) * [1, 9, 60, 200, 3, 0] * (1 if dtype is bool else 1.2)).astype(dtype)
    path = tmp_path / "own.npz"
    np.savez(path, x_train=stored[:40], x_test=stored[40:])
    for scaling in ("scale", "standardize"):
        x_train, _, x_test, _, _, shift, scale, _ = data.load_dataset(path, scaling=scaling)
        assert {array.dtype for array in (x_train, x_test, shift, scale)} == {np.dtype(np.float32)}
        assert shift.shape == scale.shape == (6,)
        back = data.unscale(np.concatenate([x_train, x_test]), shift, scale)
        np.testing.assert_allclose(back, stored, rtol=1e-5, atol=1e-4)
        if scaling == "scale":
            assert (x_train.min(), x_train.max()) == (0, 1)
            assert len(set(shift)) == len(set(scale)) == 1
        else:
            varies = stored[:40].std(axis=0) > 0
            np.testing.assert_allclose(x_train.mean(axis=0), 0, atol=1e-5)
            np.testing.assert_allclose(x_train.std(axis=0), varies, atol=1e-5)
    assert data.unscale(stored, None, None) is stored


def test_large_offsets_lose_no_digits(saved):
    """Seconds since 1970 in float64: the differences survive."""
    seconds = 1.7e9 + np.arange(20.0)[:, None]
    dataset = data.load_dataset(saved(seconds), scaling="standardize")
    assert len(np.unique(dataset.x_train)) == 18
    assert dataset.x_train.std() == pytest.approx(1, abs=1e-6)


def test_values_too_far_apart_to_scale(saved):
    path = saved(np.array([[-3e38], [3e38]] * 9, "f4"))
    with pytest.raises(ValueError, match="holds values that, scaled, must be finite"):
        data.load_dataset(path, scaling="scale")
    assert set(np.abs(data.load_dataset(path, scaling="standardize").x_train.ravel()).round()) == {1}


def test_test_values_outside_the_scale_are_clipped(tmp_path):
    """For a Bernoulli likelihood only, and `found` says how many; training values are never clipped."""
    path = tmp_path / "own.npz"
    np.savez(path, x_train=np.array([[0, 16], [16, 0]]), x_test=np.array([[-4, 20], [8, 17]]))
    scaled = data.load_dataset(path, scaling="scale")
    assert data.prepare(scaled, "grey", (-np.inf, np.inf)) is scaled
    for pixels in ("grey", "dynamic"):
        clipped = data.prepare(scaled, pixels, (0, 1))
        assert clipped.x_test.tolist() == [[0, 1], [0.5, 1]]
        assert clipped.found == scaled.found + "; 3 test values outside the training set's range are clipped"
    standardized = data.load_dataset(path, scaling="standardize")
    with pytest.raises(
        ValueError, match=r"train images must lie in .*; use --standardize --likelihood gaussian"
    ):
        data.prepare(standardized, "grey", (0, 1))

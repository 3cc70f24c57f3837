"""Figures from arrays: what is in them is what was given, and no global state is left behind."""

import sys

import numpy as np
import pytest

from minivae import plots, training
from minivae.training import Config, Run


def test_tile_puts_every_image_in_its_place():
    images = np.arange(5 * 6, dtype=float).reshape(5, 6)
    sheet = plots.tile(images, (2, 3), columns=2, gap=1)
    assert sheet.shape == (3 * 3 - 1, 2 * 4 - 1)
    for i, (row, column) in enumerate([(0, 0), (0, 4), (3, 0), (3, 4), (6, 0)]):
        np.testing.assert_array_equal(sheet[row : row + 2, column : column + 3], images[i].reshape(2, 3))
    assert np.isnan(sheet[2]).all()
    assert np.isnan(sheet[6:, 4:]).all()


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: plots.image_grid(rng.random((7, 784))),
        lambda rng: plots.image_grid(rng.standard_normal((1, 6)), (2, 3)),
        lambda rng: plots.reconstructions(rng.random((4, 784)), rng.random((4, 784))),
        lambda rng: plots.manifold(rng.random((25, 784))),
        lambda rng: plots.latent_map(rng.standard_normal((200, 2)), np.arange(200) % 12),
        lambda rng: plots.latent_map(rng.standard_normal((20, 2))),
        lambda rng: plots.curves(rng.random((3, 7))),
        lambda rng: plots.curves([]),
    ],
)
def test_every_figure_is_a_marked_png(draw):
    figure = draw(np.random.default_rng(0))
    png = plots.to_png(figure)
    assert png.startswith(b"\x89PNG")
    assert b"minivae" in png[:1024]
    assert "matplotlib.pyplot" not in sys.modules, "pyplot keeps global state and may want a display"


def test_black_is_one():
    """Ink is 1 and paper 0, whatever the values in between; a sheet with other values spans them."""
    image = plots.image_grid(np.array([[0.2, 0.4, 0.6, 0.8]])).axes[0].images[0]
    assert image.get_clim() == (0, 1)
    assert image.cmap(image.norm(1.0))[:3] == (0, 0, 0)
    wide = plots.image_grid(np.array([[-2.0, 0.0, 1.0, 3.0]])).axes[0].images[0]
    assert wide.get_clim() == (-2, 3)


def test_prior_grid_grows_right_and_up():
    z = plots.prior_grid(5).reshape(5, 5, 2)
    assert np.all(np.diff(z[..., 0], axis=1) > 0)
    assert np.all(np.diff(z[..., 1], axis=0) < 0)
    assert z[0, 0, 0] == pytest.approx(-1.6449, abs=1e-4)
    assert np.abs(z[2, 2]).max() < 1e-15


@pytest.mark.parametrize("latent", [2, 3])
def test_the_pictures_of_a_run(digits, monkeypatch, latent):
    """They show this run's data; a map and a manifold only of a plane; a run folder knows the names."""
    seen = {}
    for name in ("latent_map", "reconstructions", "manifold"):
        real = getattr(plots, name)
        monkeypatch.setattr(plots, name, lambda *a, real=real, name=name: seen.update({name: a}) or real(*a))
    run = Run(Config(latent=latent, hidden=(20,), pixels="grey"), digits)
    drawn = dict(plots.of_run(run, np.random.default_rng(0)))
    assert list(drawn) == list(training.PICTURES)[: 5 if latent == 2 else 3]
    originals, means, shape = seen["reconstructions"]
    np.testing.assert_array_equal(originals, digits.x_test[:12] / np.float32(255))
    np.testing.assert_array_equal(means, run.model.reconstruct(originals))
    assert shape == (28, 28)
    if latent == 2:
        np.testing.assert_array_equal(seen["latent_map"][0], run.model.encode(digits.x_test / 255)[0])
        np.testing.assert_array_equal(seen["latent_map"][1], digits.y_test)
        np.testing.assert_array_equal(seen["manifold"][0], run.model.mean(plots.prior_grid(20)))


def test_matplotlibrc_does_not_matter():
    """Not even settings that need LaTeX: the same bytes, and the user's settings are unchanged."""
    images = np.random.default_rng(0).random((4, 784))
    import matplotlib

    draw = (
        lambda: plots.curves(np.ones((2, 7))),
        lambda: plots.manifold(images),
        lambda: plots.latent_map(np.eye(2), [0, 1]),
        lambda: plots.image_grid(images, title="title"),
    )
    want = [plots.to_png(each()) for each in draw]
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "axes.facecolor": "red"}):
        assert [plots.to_png(each()) for each in draw] == want
        assert matplotlib.rcParams["font.size"] == 30


def test_curves_show_the_history():
    history = np.array([[1, 10, 8, 2, 11, 9, 2], [2, 7, 5, 2, 9, 6, 3.0]])
    axes = plots.curves(history).axes
    assert [a.get_title() for a in axes] == ["loss", "nll", "kl"]
    for column, a in enumerate(axes):
        train, test = a.lines
        assert train.get_ydata().tolist() == history[:, 1 + column].tolist()
        assert test.get_ydata().tolist() == history[:, 4 + column].tolist()
        assert train.get_xdata().tolist() == [1, 2]


def test_latent_map_groups_by_label():
    mu, labels = np.array([[0, 0], [1, 1], [2, 2.0]]), np.array([3, 5, 3])
    axes = plots.latent_map(mu, labels).axes[0]
    assert [line.get_xdata().tolist() for line in axes.lines] == [[0, 2], [1]]
    assert [text.get_text() for text in axes.texts] == ["3", "5"]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda f: plots.image_grid(f(784)), r"images must have shape \(n, D\)"),
        (lambda f: plots.image_grid(f(0, 4)), "images must not be empty"),
        (lambda f: plots.image_grid(f(4, 784), (10, 10)), r"images must have shape \(n, 100\)"),
        (lambda f: plots.image_grid(np.nan * f(2, 4)), "images must be finite"),
        (lambda f: plots.reconstructions(f(4, 9), f(3, 9)), r"means must have shape \(4, 9\)"),
        (lambda f: plots.manifold(f(5, 9)), r"means must be k \* k images, got 5"),
        (lambda f: plots.latent_map(f(4, 3)), r"mu must have shape \(4, 2\)"),
        (lambda f: plots.latent_map(f(4, 2), np.arange(3)), r"labels must have shape \(4,\)"),
    ],
)
def test_what_cannot_be_drawn(draw, message):
    with pytest.raises(ValueError, match=message):
        draw(lambda *shape: np.ones(shape))

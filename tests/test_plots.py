"""Figures from arrays: what is in them is what was given, and no global state is left behind."""

import sys

import numpy as np
import pytest

from minivae import checkpoints, plots
from minivae.config import Config
from minivae.runs import Run


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
        lambda rng: plots.manifold(rng.random((9, 12)), (2, 2, 3)),
        lambda rng: plots.manifold(rng.random((9, 1)), (1,)),
        lambda rng: plots.manifold(np.ones((9, 500)), (500,)),
        lambda rng: plots.image_grid(rng.random((100, 500)), (500,), title="rows"),
        lambda rng: plots.image_grid(np.ones((1, 1)), (1,), like=np.ones((3, 1))),
        lambda rng: plots.image_grid(rng.random((5, 48)), (4, 4, 3)),
        lambda rng: plots.latent_map(rng.standard_normal((200, 2)), np.arange(200) % 12),
        lambda rng: plots.latent_map(rng.standard_normal((20, 2)), circles=(1, 2)),
        lambda rng: plots.latent_map(rng.standard_normal((99, 2)), np.array(["$x$", "$", "$\\frac$"] * 33)),
        lambda rng: plots.latent_map(rng.standard_normal((99, 2)), rng.standard_normal(99)),
        lambda rng: plots.latent_map(rng.standard_normal((99, 2)), np.full(99, 0.5)),
        lambda rng: plots.latent_map(rng.standard_normal((99, 2)), np.full(99, np.inf)),
        lambda rng: plots.latent_map(rng.standard_normal((9, 2)) * [1, 1e-9], [None] * 9),
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


def test_colours_are_drawn_as_they_are(caplog):
    """In [0, 1] and a little outside, clipped; in other units, such as 0 to 255, by their range."""
    image = np.array([0, 0.5, 1, -0.1, 1.2, 0.25])
    sheet = plots.tile(np.array([image, image]), (1, 2, 3), columns=1, gap=1)
    assert sheet.shape == (3, 2, 3)
    np.testing.assert_array_equal(sheet[2], image.reshape(2, 3))
    assert np.isnan(sheet[1]).all()
    shown = plots.image_grid(image[None], (1, 2, 3)).axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown, [[[0, 0.5, 1], [0, 1, 0.25]]])
    pair = plots.image_grid(np.array([[0, 51, 255], [0, 0, 0]]), (1, 1, 3)).axes[0].images[0].get_array()
    np.testing.assert_array_equal(pair[:, 0], [[0, 0.2, 1]])
    np.testing.assert_array_equal(pair[:, 1:3], 1)  # white between the images
    assert not caplog.records, "matplotlib complains about colours outside [0, 1]"


def test_a_table_is_a_heat_map_with_a_scale_for_each_column():
    """A row is a row; a column's mean is 0 and its standard deviation 1, whatever its size."""
    like = np.array([[1, -1e6, 5], [3, 1e6, 5.0]])
    originals, means, like = like, like[::-1], like
    above, below, bar = plots.reconstructions(originals, means, (3,)).axes
    np.testing.assert_allclose(above.images[0].get_array(), [[-1, -1, 0], [1, 1, 0]])
    np.testing.assert_allclose(below.images[0].get_array(), [[1, 1, 0], [-1, -1, 0]])
    assert above.images[0].get_clim() == below.images[0].get_clim() == (-2.5, 2.5)
    assert "standard deviations" in bar.get_ylabel()
    samples = plots.image_grid(np.full((4, 3), 2.0), (3,), like=like).axes[0].images[0].get_array()
    np.testing.assert_allclose(samples, [[0, 2e-6, -3]] * 4)


def test_a_tables_manifold_is_a_plane_for_each_column():
    z = plots.prior_grid(3)
    sheet = plots.manifold(np.column_stack([5 * z[:, 0], -z[:, 1]]), (2,)).axes[0].images[0].get_array()
    rising = [[0, 0.5, 1]] * 3
    np.testing.assert_allclose(sheet[:3, :3], rising, atol=1e-9)
    np.testing.assert_allclose(sheet[:3, 5:], np.transpose(rising), atol=1e-9)


def test_prior_grid_grows_right_and_up():
    z = plots.prior_grid(5).reshape(5, 5, 2)
    assert np.all(np.diff(z[..., 0], axis=1) > 0)
    assert np.all(np.diff(z[..., 1], axis=0) < 0)
    assert z[0, 0, 0] == pytest.approx(-1.6449, abs=1e-4)
    assert np.abs(z[2, 2]).max() < 1e-15


@pytest.mark.parametrize("latent", [2, 3])
def test_the_pictures_of_a_run(digits, monkeypatch, latent):
    """They show this run's data, a map and a manifold only of a plane; a run folder knows the names."""
    seen = {}
    for name in ("latent_map", "reconstructions", "manifold"):
        real = getattr(plots, name)
        monkeypatch.setattr(plots, name, lambda *a, real=real, name=name: seen.update({name: a}) or real(*a))
    run = Run(Config(latent=latent, hidden=(20,), pixels="grey"), digits)
    drawn = dict(plots.of_run(run, np.random.default_rng(0)))
    assert list(drawn) == list(checkpoints.PICTURES)[: 5 if latent == 2 else 3]
    originals, means, shape = seen["reconstructions"]
    np.testing.assert_array_equal(originals, digits.x_test[:12] / np.float32(255))
    np.testing.assert_array_equal(means, run.model.reconstruct(originals))
    assert shape == (28, 28)
    if latent == 2:
        np.testing.assert_array_equal(seen["latent_map"][0], run.model.encode(digits.x_test / 255)[0])
        np.testing.assert_array_equal(seen["latent_map"][1], digits.y_test)
        assert seen["latent_map"][3] == (1, 2), "the circles of the prior N(0, I)"
        np.testing.assert_array_equal(seen["manifold"][0], run.model.mean(plots.prior_grid(20)))


def test_the_pictures_of_a_scaled_run(digits, monkeypatch):
    """They are in the units of the data; a map knows the classes of all labels."""
    seen = {}
    for name in ("latent_map", "reconstructions", "manifold", "image_grid"):
        draw = lambda *a, name=name, **k: seen.update({name: (a, k)})  # noqa: E731
        monkeypatch.setattr(plots, name, draw)
    stored = digits.x_train[:, 300:330].astype(np.float32)
    shift, scale = np.full(30, 7, np.float32), np.full(30, 5, np.float32)
    test = (stored[:20] - shift) / scale
    dataset = digits._replace(x_train=(stored - shift) / scale, x_test=test, y_test=digits.y_test[:20])
    dataset = dataset._replace(image_shape=(30,), shift=shift, scale=scale)
    run = Run(Config(latent=2, hidden=(20,), likelihood="gaussian"), dataset)
    list(plots.of_run(run, np.random.default_rng(0)))
    (originals, means, shape), _ = seen["reconstructions"]
    np.testing.assert_allclose(originals, stored[:12], atol=1e-4)
    np.testing.assert_allclose(means, run.model.reconstruct(test[:12]) * 5 + 7, rtol=1e-6)
    assert shape == (30,)
    np.testing.assert_allclose(seen["image_grid"][1]["like"], stored[:20], atol=1e-4)
    assert seen["image_grid"][0][0].mean() == pytest.approx(originals.mean(), rel=0.5)
    np.testing.assert_allclose(
        seen["manifold"][0][0], run.model.mean(plots.prior_grid(20)) * 5 + 7, rtol=1e-6
    )
    np.testing.assert_array_equal(seen["latent_map"][0][2], [*digits.y_train, *digits.y_test[:20]])
    integers = digits._replace(x_train=digits.x_train[:, 300:330], x_test=digits.x_test[:, 300:330])
    run = Run(Config(latent=3, hidden=(20,)), integers._replace(image_shape=(30,)))
    list(plots.of_run(run, np.random.default_rng(0)))
    np.testing.assert_array_equal(seen["image_grid"][1]["like"], integers.x_test / np.float32(255))


def test_matplotlibrc_does_not_matter():
    """Not even settings that need LaTeX: the same bytes, and the user's settings are unchanged."""
    images = np.random.default_rng(0).random((4, 784))
    import matplotlib

    draw = (
        lambda: plots.curves(np.ones((2, 7))),
        lambda: plots.manifold(images),
        lambda: plots.latent_map(np.eye(2), [0, 1]),
        lambda: plots.latent_map(np.eye(2), [0.5, 1]),
        lambda: plots.reconstructions(images[:, :30], images[:, :30], (30,)),
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


def test_no_label_hides_another_and_no_other_prior_has_circles(digits):
    """Labels of the same median are moved apart, others hardly; a circle has the radius that it says."""
    mu = np.array([[0, 0], [0, 0], [9, 9], [0, 0.0]])
    axes = plots.latent_map(mu, np.arange(4), circles=(1, 2)).axes[0]
    places = np.array([text.get_position() for text in axes.texts[:4]])
    gaps = np.linalg.norm(places[:, None] - places, axis=-1)[np.triu_indices(4, 1)]
    assert gaps.min() >= 0.05 * 9
    np.testing.assert_allclose(places, mu, atol=0.06 * 9)
    np.testing.assert_allclose(places[2], mu[2], atol=1e-3)
    assert [patch.radius for patch in axes.patches] == [1, 2]
    assert [text.get_text() for text in axes.texts[4:]] == ["1 std", "2 std"]
    run = Run(Config(latent=2, hidden=(20,), prior="laplace", pixels="grey"), digits)
    assert not dict(plots.of_run(run, np.random.default_rng(0)))["latent_map.png"].axes[0].patches


def colours(*args):
    """The colour of every class in a latent map, by its name."""
    return {line.get_label(): line.get_color() for line in plots.latent_map(*args).axes[0].lines}


def test_a_class_keeps_its_colour():
    """Whatever other classes there are, and of which type a number is; 64 classes have 64 colours."""
    mu = np.random.default_rng(0).standard_normal((128, 2))
    known = colours(mu, np.arange(128) % 64)
    assert len(set(known.values())) == 64
    assert [known[str(k)] for k in range(10)] == plots.DIGITS
    few = np.array([3, 5, 40])
    for labels in (few, few.astype(float), few.astype(str), few.astype("S")):
        assert colours(mu[:3], labels) == {name: known[name] for name in ("3", "5", "40")}
    letters = np.array(list("abc"))
    assert colours(mu[:3], letters) == dict(zip("abc", plots.DIGITS, strict=False))
    assert colours(mu[:2], letters[1:], letters) == {"b": plots.DIGITS[1], "c": plots.DIGITS[2]}
    assert colours(mu[:3], [b"\xff", b"a", b"a"]).keys() == {"\ufffd", "a"}


@pytest.mark.parametrize("kind", ["fractions", "many numbers", "numbers that rarely occur twice"])
def test_numbers_are_on_a_scale(kind):
    mu = np.random.default_rng(0).standard_normal((200, 2))
    labels = {"fractions": np.arange(200) % 4 / 2, "many numbers": np.arange(200) % 65}.get(
        kind, np.arange(200)
    )
    number = 12 if kind.startswith("numbers") else 200
    labels = labels[:number].astype(float)
    labels[3] = np.nan
    figure = plots.latent_map(mu[:number], labels)
    (points,) = figure.axes[0].collections
    np.testing.assert_array_equal(points.get_array(), np.delete(labels, 3))
    assert figure.axes[1].get_ylabel() == "label"
    (unknown,) = figure.axes[0].lines
    assert np.transpose(unknown.get_data()).tolist() == mu[3:4].tolist()
    assert not figure.axes[0].texts


def test_more_kinds_of_text_than_can_be_told_apart():
    names = np.arange(65).astype("U3")
    axes = plots.latent_map(np.random.default_rng(0).standard_normal((65, 2)), names).axes[0]
    assert len(axes.lines) == 1
    assert not axes.texts


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

"""The laboratory: exact moments by formulas that were derived by hand, and measurements beside them."""

import csv
import io
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from lessons import cli
from lessons.lab import costs, courses, encoders, moments, show
from minivae import cli as minivae_cli
from minivae import data, files, load_mnist, models, plots
from minivae import estimators as es

# ------------------------------------------------------------------------------ exact moments


class Grid:
    """A generator that draws the nodes of a trapezoid rule in `dim` dimensions, with their weights."""

    def __init__(self, dim):
        e = np.linspace(-9, 9, 121)
        self.nodes = np.stack(np.meshgrid(*[e] * dim, indexing="ij"), axis=-1).reshape(-1, 1, dim)
        weights = np.exp(-0.5 * (self.nodes**2).sum(axis=(1, 2)))
        self.weights = weights / weights.sum()

    def standard_normal(self, shape):
        return self.nodes


SIMPLE = [name for name in moments.KL_NAMES if not name.startswith(("leave", "measure"))]


@pytest.mark.parametrize("name", moments.COSTS)
@pytest.mark.parametrize("dim", [1, 2])
def test_moments_of_what_the_estimators_return(name, dim):
    """The estimators' own draws at every node: their weighted moments, without any luck."""
    cost, grid = moments.Cost(name, 0.7, -0.4, 0.3, 1.2, 0.9, 1.3, dim), Grid(dim)
    for estimator in [n for n in SIMPLE if n in cost.estimators]:
        draws = costs.sampler(cost, estimator)(grid, len(grid.nodes))  # (n, 2)
        for values, exact in zip(draws.T, cost.moments(estimator), strict=True):
            mean = grid.weights @ values
            want = mean, *(grid.weights @ (values - mean) ** n for n in (2, 4))
            assert exact == pytest.approx(want, rel=1e-7, abs=1e-12), estimator
        one, five = (cost.moments(estimator, n).dlogvar for n in (1, 5))  # the mean of five
        fourth = (one.fourth - 3 * one.variance**2) / 125 + 3 * (one.variance / 5) ** 2
        assert five == pytest.approx((one.mean, one.variance / 5, fourth), rel=1e-9, abs=1e-12)


OWN = {  # of the KL: the plain estimator, and whether the zero-mean term is kept
    "pathwise": ("pathwise", True),
    "sticking-the-landing": ("pathwise", False),
    "score-function": ("score-function", False),
    "score-function-zero-mean-term": ("score-function", True),
}


@pytest.mark.parametrize("name", OWN)
def test_moments_of_the_kl(name):
    """As the ELBO's own estimators treat it, in two coordinates."""
    grid, q = Grid(2), (np.full((1, 2), 0.6), np.full((1, 2), 2 * math.log(1.4)))
    zero, slope = (lambda z: np.zeros(z.shape[:-1])), np.zeros_like
    plain, term = OWN[name]
    draws = es.monte_carlo_kl(es.named(plain), zero, slope, *q, grid.nodes, zero_mean_term=term)
    for grad, exact in zip(draws, moments.kl_moments(0.6, 1.4, name, dim=2), strict=True):
        mean = grid.weights @ grad[:, 0, 0]
        assert exact[:2] == pytest.approx((mean, grid.weights @ (grad[:, 0, 0] - mean) ** 2), abs=1e-12)


def test_moments_of_leave_one_out():
    """Two samples at all nodes; and the variance of K of `dim` coordinates by its formula."""
    cost, grid = moments.Cost("quadratic", 0.7, -0.4, 0.3, mu=0.9, std=1.3), Grid(2)
    f, e, E = moments.COSTS["quadratic"][2](0.7, -0.4, 0.3)[0], moments.e, moments.E
    sets = np.full((len(grid.nodes), 1), 0.9), np.full((len(grid.nodes), 1), 2 * math.log(1.3))
    grads = es.leave_one_out(lambda z: f(z)[..., 0], *sets, grid.nodes.transpose(2, 0, 1))
    for grad, exact in zip(grads, cost.moments("leave-one-out", 2), strict=True):
        values = grad.mean(axis=0)[:, 0]
        mean = grid.weights @ values
        assert exact == pytest.approx((mean, *(grid.weights @ (values - mean) ** n for n in (2, 4))))
    F = f(0.9 + 1.3 * e) - E(f(0.9 + 1.3 * e))
    for K, dim in ((8, 1), (100, 1), (8, 3)):
        exact, others = cost._replace(dim=dim).moments("leave-one-out", K), (dim - 1) * E(F * F)
        for part, s in zip(exact, (e / 1.3, (e * e - 1) / 2), strict=True):
            g, m22, m20, m02 = E(F * s), E(F * F * s * s) + others * E(s * s), E(F * F) + others, E(s * s)
            want = (m22 - g * g) / K + (m20 * m02 + g * g) / (K * (K - 1))
            assert part[:2] == pytest.approx((g, want))
    with pytest.raises(ValueError, match="samples must be an integer of at least 2"):
        moments.kl_moments(0, 1, "leave-one-out")


def test_moments_of_the_measure_valued_ones():
    """sum (z_i - 1)^2 by formulas that were derived by hand, with respect to mu and to logvar."""
    s, d = 1.3, 0.8
    for D in (1, 100):
        found = moments.quadratic_moments(1, -2, 1, 1 + d, s, "measure-valued", dim=D)
        want = 4 * d**2 * (4 / math.pi - 1), s**2 * (s**2 + d**2)
        assert [part.variance for part in found] == pytest.approx(want)
    free = [moments.quadratic_moments(1, 0, 0, d, s, "measure-valued-uncoupled", dim=D) for D in (1, 3)]
    assert free[0].dlogvar.variance == pytest.approx(s**2 / 4 * (8 * s**2 + 16 * d**2))
    others = 2 * 2 * (2 * s**4 + 4 * s**2 * d**2)  # the variance of z^2, of two coordinates on two sides
    assert free[1].dlogvar.variance - free[0].dlogvar.variance == pytest.approx(others / 4)
    assert free[1].dmu.variance - free[0].dmu.variance == pytest.approx(others / (2 * math.pi * s**2))
    coin = moments.Moments(0.0, 1.0, 1.0)
    assert coin.plus(coin) == coin.summed(2) == coin.scaled(-1).summed(2) == (0, 2, 8)
    assert coin.summed(3).scaled(2) == (0, 12, 16 * 21)


def test_a_mean_baseline_centres_the_whole_cost():
    centred, baseline = (
        moments.quadratic_moments(1, 0, c, 2, 1, name, dim=7)
        for c, name in ((-5, "score-function"), (0, "score-function-mean-baseline"))
    )
    assert np.ravel(centred) == pytest.approx(np.ravel(baseline))  # E z^2 = 5
    assert moments.Moments(1.0, 2.0, 13.0).variance_error(36) == pytest.approx(0.5)


# ------------------------------------------------------------------------------ known costs


@pytest.fixture
def small(monkeypatch):
    """Fewer points in the figure."""
    monkeypatch.setattr(costs, "DIMS", ("dim", np.array([1, 10, 100]), (1, 7)))
    few = {name: (swept, grid[::3], points[::3]) for name, (swept, grid, points) in costs.SWEEPS.items()}
    monkeypatch.setattr(costs, "SWEEPS", few)


@pytest.mark.parametrize("name", moments.COSTS)
def test_measured_means_and_variances_are_the_exact_ones(name, small):
    """Every z of a mean within 5, of a variance with 4000 samples within 6: false alarm below 1e-3.

    A bias of 15 % of a standard deviation is found, and a variance that is wrong by its kurtosis.
    """
    cost = moments.Cost(name, k=1.2, mu=0.7, std=1.3)
    report = costs.measure(cost, samples=4000, seed=1)
    assert {r["estimator"] for r in report.records} == set(cost.estimators)
    for record in report.records:
        assert abs(record["z_mean"]) < 5, record
        off, squared = record["mean"] - record["exact_gradient"], record["exact_variance"] / record["samples"]
        assert squared < 1e-20 or record["z_mean"] == pytest.approx(off / math.sqrt(squared)), record
        assert abs(record["z_variance"]) < 6 or record["samples"] < 4000, record
    assert max(map(len, report.lines)) <= 120
    assert not any("nan" in line for line in report.lines)
    assert plots.to_png(report.draw()).startswith(b"\x89PNG")
    first, last = report.records[0], report.records[2 * len(cost.estimators) - 2]  # both for mu
    assert last["ratio"] == pytest.approx(last["exact_variance"] / first["exact_variance"])
    slower = last["microseconds"] / first["microseconds"]
    assert last["variance_time_ratio"] == pytest.approx(last["ratio"] * slower)
    back = list(csv.DictReader(io.StringIO(show.to_csv(report.records).decode())))
    assert [line["kind"] for line in back].count("cost") == 2 * len(cost.estimators)
    assert [float(line["variance"]) for line in back] == [record["variance"] for record in report.records]


def test_rings_mark_the_crossovers(small):
    figure = costs.measure(moments.Cost("cos", mu=1.0), samples=400).draw()
    assert [axes.texts[-1].get_text()[:7] for axes in figure.axes[:2]] == ["k = 1.0", "k = 1.3"]


def test_nothing_has_variance_for_a_constant(small):
    report = costs.measure(moments.Cost("quadratic", a=0.0), samples=400)
    assert all(r["z_mean"] == r["z_variance"] == 0 for r in report.records)
    assert plots.to_png(report.draw())


# ------------------------------------------------------------------------------ encoders


def little(latent=2, seed=1, **settings):
    """A model of narrow posteriors in double precision, with no zero anywhere, and images for it."""
    rng = np.random.default_rng(seed)
    settings = {"activation": "tanh", "backend": "numpy", "dtype": "float64"} | settings
    model = models.VAE(9, latent, (7, 6), seed=rng, **settings)
    for name, param in model.params.items():
        param += 0.3 * rng.standard_normal(param.shape) - name.startswith("logvar.b")
    return model, (rng.random((5, 9)) < 0.5).astype(model.dtype)


@pytest.mark.parametrize("latent", [2, 3])
def test_every_mean_agrees_with_the_reference(latent):
    """12 estimators, 20 or 30 z each: root mean square between 0.3 and 2, each below 5.5.

    In 160 seeds the root mean squares ranged from 0.44 to 1.83. A bias of 3 standard errors gives 3.2.
    """
    model, x = little(latent)
    (side,) = encoders.compare({"it": model}, x, 1.0, 4000, np.random.default_rng(3))
    assert len(side.rows) == 12
    for name, row in side.rows.items():
        assert 0.3 < np.sqrt((row.z**2).mean()) < 2, name
        assert abs(row.z).max() < 5.5, name
    assert side.ratio("pathwise") == 1
    assert 0.8 < side.ratio("leave-one-out") / side.ratio("score-function-mean-baseline") < 1.6


def test_a_baseline_of_the_own_sample_is_seen_in_z(monkeypatch):
    """Its mean is (1 - 1/8) of the gradient: z far from 1, where leave-one-out has about 1."""
    model, x = little()
    scene = encoders.Scene(model, x, 0.0, np.random.default_rng(5))
    monkeypatch.setattr(encoders.time, "perf_counter", itertools.count().__next__)  # each draw takes a second
    reference, way = scene.side("it", 1).reference, scene.ways(40_000)["leave-one-out"]
    biased = way._replace(estimate=lambda *q: [0.875 * d for d in way.estimate(*q)])
    row = scene.row(way, reference)
    assert row.seconds == 1 / (40_000 * 5)
    assert np.sqrt((row.z**2).mean()) < 2
    assert np.sqrt((scene.row(biased, reference).z ** 2).mean()) > 3


def test_the_metric_of_the_weights(rng):
    """v^T M v of each image compared with the model's own backward pass, with an image alone in its batch."""
    model, x = little(activation="softplus")
    v, scene = rng.standard_normal((5, 4)), encoders.Scene(model, x, 0.0, rng)

    def squares(x, v):
        given = v.reshape(len(x), 2, 1, 2).transpose(1, 2, 0, 3)
        _, grads = model.loss_and_grads(x, np.zeros((len(x), 2)), 0.0, lambda f, df, *q: given)
        return sum((g**2).sum() for n, g in grads.items() if not n.startswith(("decoder", "output")))

    for b in range(5):
        want = squares(x[b : b + 1], v[b : b + 1]) / 25
        assert v[b] @ scene.metric[b] @ v[b] == pytest.approx(want, rel=1e-12)
    side = scene.side("it", 0)
    assert side.norm == pytest.approx(squares(x, side.reference.mean), rel=1e-12)


def test_a_decoder_that_ignores_z_and_one_with_too_many_latents():
    model, x = little(latent=40)
    model.params["decoder1.W"][...] = 0
    sides = encoders.compare({"a": model, "b": model}, x, 1.0, 64, np.random.default_rng(0))
    report = encoders.report("a run", sides)
    assert "measure-valued is left out: it takes 4 L = 160 evaluations for a sample" in report.lines
    assert len(report.records) == 2 * 11 * (5 * 80 + 1)
    assert plots.to_png(report.draw())


def test_the_variance_of_a_trained_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", np.random.default_rng(0).integers(0, 256, (220, 6, 5), dtype=np.uint8))
    words = ["--hidden", "20", "--latent", "3", "--batch-size", "40", "--epochs", "1", "--data", "images.npy"]
    assert minivae_cli.main(["train", *words, "--out", "run"]) == 0
    capsys.readouterr()
    words = ["variance", "--samples", "64", "--model", "run", "--csv", "v.csv", "--out", "v.png"]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert printed.count("one pathwise sample is worth") == 2
    assert "UNTRAINED; reference: 128 antithetic pathwise pairs" in printed
    assert max(map(len, printed.splitlines())) <= 120
    rows = list(csv.DictReader(io.StringIO(Path("v.csv").read_text())))
    assert len(rows) == 2 * 12 * (16 * 3 * 2 + 1)  # models, estimators, images x latents x mu and logvar
    one, two = (encoders.measure("run", 16, seed=1).records for _ in range(2))
    assert [r.get("mean") for r in one] == [r.get("mean") for r in two]


# ------------------------------------------------------------------------------ courses and the command


def test_courses():
    """On 2,000 digits, 32 steps: leave-one-out learns nearly as well as pathwise, no baseline much worse."""
    mnist = load_mnist()
    stored = data.Dataset(mnist.x_train[:2000], None, mnist.x_test[:200], None, (28, 28))
    report = courses.measure(epochs=2, seeds=1, dataset=stored)
    final = {r["gradient"]: r["loss"] for r in report.records if r["step"] == 32}
    pathwise, leave_one_out, _, without = final.values()
    assert pathwise < leave_one_out < without
    assert leave_one_out - pathwise < 0.5 * (without - pathwise)
    assert len({r["loss"] for r in report.records if r["step"] == 0}) == 1  # the same start
    seconds = [r["seconds"] for r in report.records if r["gradient"] == "pathwise"]
    assert seconds == sorted(seconds)
    assert max(map(len, report.lines)) <= 110
    assert report.draw().axes[0].get_xlabel() == "steps"


def test_the_command(tmp_path, monkeypatch, capsys, small):
    monkeypatch.chdir(tmp_path)
    words = ["variance", "--samples", "1000", "--csv", "v.csv", "--out", "v.png"]
    for _ in range(2):  # the second time over its own files
        assert cli.main(words) == 0
        printed = capsys.readouterr().out
        assert " 87 " in printed
        assert printed.endswith("wrote v.csv\nwrote v.png\n")
    assert files.is_ours("v.csv")
    Path("v.csv").write_text("mine\n")
    assert cli.main(words) == 2
    assert Path("v.csv").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--std", "0"], "std must be a finite number and above 0"),
        (["--mu", "inf"], "mu must be a finite number"),
        (["--cost", "exp", "--k", "-1"], "k must be a finite number and at least 0"),
        (["--dim", "0"], "dim must be an integer of at least 1"),
        (["--samples", "15"], "samples must be an integer of at least 16"),
        (["--seed", "-1"], "seed must be an integer of at least 0"),
        (["--mu", "1e200"], "the exact moments of the quadratic cost overflow at a = 1"),
        (["--cost", "kl", "--std", "1e-200"], "the exact moments of the kl cost overflow"),
        (["--model", "nowhere"], "run folder nowhere does not exist"),
        (["--epochs", "2"], "--epochs has no meaning for a cost"),
        (["--model", "run", "--cost", "cos"], "--cost has no meaning for --model"),
        (["--train", "--epochs", "-1"], "epochs must be an integer of at least 1"),
        (["--csv", "variance.png"], "the picture and the numbers need two files"),
        (["--csv", ""], "the picture and the numbers need two files"),
        (["--out", "nowhere/v.png"], "nowhere/v.png cannot be written: No such file"),
        (["--k", "3"], "--k has no meaning for --cost quadratic"),
        (["--dim", "9" * 9], "dim must be at most 10,000"),
        (["--train", "--seeds", "9" * 9], "seeds must be at most 10,000"),
        (["--model", ""], "--model needs the name of a run folder"),
    ],
)
def test_bad_input_is_one_line(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["variance", *argv]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_numbers():
    texts = {7856.3: "7,860", 0.4764: "0.476", 1.0: "1", 0.0: "0", 1.3e7: "1.3e+07", math.nan: "-"}
    assert [show.number(value, 3) for value in texts] == list(texts.values())
    assert list(show.table(["a\nb", "c"], [["x", 1.0]])) == ["a", "b  c", "x  1"]

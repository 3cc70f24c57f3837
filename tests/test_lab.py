"""The laboratory: exact moments by formulas that were derived by hand, and measurements beside them."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest

from lessons import cli
from lessons.lab import costs, courses, encoders, moments, show
from minivae import cli as minivae_cli
from minivae import data, files, load_mnist, models, plots

# ------------------------------------------------------------------------------ exact moments


def by_std(part, std):
    """With respect to std instead of logvar: mean, variance, fourth."""
    return part.mean * 2 / std, part.variance * 4 / std**2, part.fourth * 16 / std**4


@pytest.mark.parametrize("seed", range(3))
def test_quadratic_moments_by_the_table(seed):
    """Every variance and fourth moment that was derived by hand, with f = A e^2 + B e + C."""
    a, b, c, mu = np.random.default_rng(seed).standard_normal(4)
    s = 0.5 + seed
    A, B, C = a * s * s, s * (2 * a * mu + b), a * mu * mu + b * mu + c
    score = 15 * A**2 + 6 * A * C + 2 * B**2 + C**2, 74 * A**2 + 20 * A * C + 10 * B**2 + 2 * C**2
    table = {
        "score-function": score,
        "score-function-mean-baseline": (10 * A**2 + 2 * B**2, 56 * A**2 + 10 * B**2),
        "score-function-optimal-baseline": (6 * A**2 + 2 * B**2, 24 * A**2 + 10 * B**2),
        "score-function-antithetic": (2 * B**2, 74 * A**2 + 20 * A * C + 2 * C**2),
        "pathwise": (4 * A**2, 8 * A**2 + B**2),
        "pathwise-antithetic": (0, 8 * A**2),
    }
    for name, wanted in table.items():
        dmu, dlogvar = moments.quadratic_moments(a, b, c, mu, s, name)
        assert (dmu.mean, by_std(dlogvar, s)[0]) == pytest.approx((2 * a * mu + b, 2 * a * s), rel=1e-10)
        assert (dmu.variance * s**2, by_std(dlogvar, s)[1] * s**2) == pytest.approx(wanted, rel=1e-10)
    fourth = {
        "score-function": (
            10395 * A**4 + 3780 * A**3 * C + 4500 * A**2 * B**2 + 630 * A**2 * C**2 + 936 * A * B**2 * C
            + 60 * A * C**3 + 60 * B**4 + 60 * B**2 * C**2 + 3 * C**4,
            1484124 * A**4 + 379632 * A**3 * C + 577032 * A**2 * B**2 + 41544 * A**2 * C**2
            + 84624 * A * B**2 * C + 2352 * A * C**3 + 7188 * B**4 + 3624 * B**2 * C**2 + 60 * C**4,
        ),
        "pathwise": (48 * A**4, 960 * A**4 + 240 * A**2 * B**2 + 3 * B**4),
    }  # fmt: skip
    for name, wanted in fourth.items():
        dmu, dlogvar = moments.quadratic_moments(a, b, c, mu, s, name)
        assert (dmu.fourth * s**4, by_std(dlogvar, s)[2] * s**4) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("D", [1, 10, 100])
@pytest.mark.parametrize("d", [0.0, 0.8])
def test_variance_in_D_dimensions(D, d):
    s = 1.3
    plain = (D**2 * (d**4 / s**2 + 2 * d**2 + s**2) + D * (8 * d**2 + 6 * s**2) + 4 * d**2 + 8 * s**2,
             D**2 * (2 * d**4 / s**2 + 4 * d**2 + 2 * s**2) + D * (24 * d**2 + 20 * s**2)
             + 32 * d**2 + 52 * s**2)  # fmt: skip
    best = D * (4 * d**2 + 2 * s**2) + 4 * d**2 + 4 * s**2, D * (8 * d**2 + 4 * s**2) + 32 * d**2 + 20 * s**2
    for name, wanted in (
        ("score-function", plain),
        ("score-function-optimal-baseline", best),
        ("pathwise", (4 * s**2, 8 * s**2 + 4 * d**2)),
        ("measure-valued", (4 * d**2 * (4 / math.pi - 1), 4 * s**2 + 4 * d**2)),
    ):
        dmu, dlogvar = moments.quadratic_moments(1, -2, 1, 1 + d, s, name, dim=D)  # sum (z_i - 1)^2
        assert (dmu.variance, by_std(dlogvar, s)[1]) == pytest.approx(wanted, rel=1e-10, abs=1e-12)
    uncoupled = moments.quadratic_moments(1, 0, 0, 0.8, s, "measure-valued-uncoupled").dlogvar
    assert by_std(uncoupled, s)[1] == pytest.approx(8 * s**2 + 16 * 0.8**2, rel=1e-10)


@pytest.mark.parametrize("K", [2, 8, 100])
def test_leave_one_out(K):
    a, b, c, mu, s = 0.7, -0.4, 0.3, 0.9, 1.3
    A, B = a * s * s, s * (2 * a * mu + b)
    got = moments.quadratic_moments(a, b, c, mu, s, "leave-one-out", samples=K)
    for part, g, m22, information in (
        ((got.dmu.mean, got.dmu.variance), 2 * a * mu + b, (10 * A**2 + 2 * B**2) / s**2, 1 / s**2),
        (by_std(got.dlogvar, s)[:2], 2 * a * s, (56 * A**2 + 10 * B**2) / s**2, 2 / s**2),
    ):
        want = m22 / K + ((2 * A**2 + B**2) * information + g**2) / (K * (K - 1))
        assert part == pytest.approx((g, want), rel=1e-9)


@pytest.mark.parametrize(
    ("of", "part", "k"),
    [
        (moments.cos_moments, "dmu", 1.0638),
        (moments.cos_moments, "dlogvar", 1.2973),
        (moments.exp_moments, "dmu", 0.8700),
        (moments.exp_moments, "dlogvar", 1.0028),
    ],
)
def test_pathwise_has_the_larger_variance_beyond_the_crossover(of, part, k):
    def lead(k):
        sf, pw = (getattr(of(k, 1, 1, name), part).variance for name in ("score-function", "pathwise"))
        return sf - pw

    assert lead(k - 1e-4) > 0 > lead(k + 1e-4)


def test_anchors():
    sf, pw = (moments.exp_moments(10, 1, 1, name).dmu for name in ("score-function", "pathwise"))
    assert (sf.mean, sf.variance, pw.variance) == pytest.approx((-0.12909, 0.076940, 0.941629), rel=1e-4)
    sf, pw = (moments.cos_moments(3, 1, 1, name).dmu.variance for name in ("score-function", "pathwise"))
    assert (sf, pw) == pytest.approx((0.499978, 4.499978), abs=5e-7)
    mu, s = 0.6, 1.4
    for name, wanted in (
        ("pathwise", (s**2, mu**2 + 2 * s**2)),
        ("sticking-the-landing", ((s - 1 / s) ** 2, mu**2 + 2 * (s - 1 / s) ** 2)),
    ):
        dmu, dlogvar = moments.kl_moments(mu, s, name)
        assert (dmu.mean, by_std(dlogvar, s)[0]) == pytest.approx((mu, s - 1 / s))
        assert (dmu.variance, by_std(dlogvar, s)[1]) == pytest.approx(wanted)
    assert moments.kl_moments(0.5, 1, "score-function").dmu.variance == pytest.approx(0.515625)
    assert moments.Moments(1.0, 2.0, 13.0).variance_error(36) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="samples must be an integer of at least 2"):
        moments.kl_moments(0, 1, "leave-one-out")


# ------------------------------------------------------------------------------ known costs


@pytest.fixture
def small(monkeypatch):
    """Fewer points in the figure."""
    monkeypatch.setattr(costs, "DIMS", ("dim", np.array([1, 10, 100]), (1, 7)))
    few = {name: (swept, grid[::3], points[::3]) for name, (swept, grid, points) in costs.SWEEPS.items()}
    monkeypatch.setattr(costs, "SWEEPS", few)


@pytest.mark.parametrize("name", costs.FORMULAS)
def test_measured_means_and_variances_are_the_exact_ones(name, small):
    """Every z of a mean within 5, of a variance with 4000 samples within 6: false alarm below 1e-3.

    A bias of 15 % of a standard deviation is found, and a variance that is wrong by its kurtosis.
    """
    cost = costs.Cost(name, k=1.2, mu=0.7, std=1.3)
    report = costs.measure(cost, samples=4000, seed=1)
    assert {r["estimator"] for r in report.records} == set(cost.estimators)
    for record in report.records:
        assert abs(record["z_mean"]) < 5, record
        assert abs(record["z_variance"]) < 6 or record["samples"] < 4000, record
    assert max(map(len, report.lines)) <= 120
    assert not any("nan" in line for line in report.lines)
    assert plots.to_png(report.draw()).startswith(b"\x89PNG")
    back = list(csv.DictReader(io.StringIO(show.to_csv(report.records).decode())))
    assert [line["kind"] for line in back].count("cost") == 2 * len(cost.estimators)
    assert [float(line["variance"]) for line in back] == [record["variance"] for record in report.records]


def test_bands_cover_99_of_100_seeds():
    """|z| of a variance is below 2.58 with probability 0.99: fewer than 95 of 100 once in 1800 times.

    A band that is wrong by a factor of 3, as the Gaussian one is, has a standard deviation of z far from 1.
    """
    cost, n = costs.Cost("quadratic"), 20_000
    for estimator, variance in (("pathwise", 4), ("score-function", 87)):
        exact, draw = cost.moments(estimator).dmu, cost.sampler(estimator)
        assert exact.variance == pytest.approx(variance, rel=1e-12)
        found = [draw(np.random.default_rng(seed), n)[:, 0].var() for seed in range(100)]
        z = (np.array(found) - variance) / exact.variance_error(n)
        assert np.count_nonzero(abs(z) < 2.58) >= 95
        assert 0.8 < z.std() < 1.2


def test_rings_mark_the_crossovers(small):
    figure = costs.measure(costs.Cost("cos", mu=1.0), samples=400).draw()
    assert [axes.texts[-1].get_text()[:7] for axes in figure.axes[:2]] == ["k = 1.0", "k = 1.3"]


def test_nothing_has_variance_for_a_constant(small):
    report = costs.measure(costs.Cost("quadratic", a=0.0), samples=400)
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


def test_a_baseline_of_the_own_sample_is_seen_in_z():
    """Its mean is (1 - 1/8) of the gradient: z far from 1, where leave-one-out has about 1."""
    model, x = little()
    scene = encoders.Scene(model, x, 0.0, np.random.default_rng(5))
    reference = scene.reference(1)
    way = next(way for way in scene.ways(40_000) if way.name == "leave-one-out")
    biased = way._replace(estimate=lambda *q: [0.875 * d for d in way.estimate(*q)])
    assert np.sqrt((scene.row(way, reference).z ** 2).mean()) < 2
    assert np.sqrt((scene.row(biased, reference).z ** 2).mean()) > 3


def test_the_metric_of_the_weights(rng):
    """v^T M v of each image compared with the model's own backward pass, with an image alone in its batch."""
    model, x = little(activation="softplus")
    v, metric = rng.standard_normal((5, 4)), encoders.encoder_metric(model, x)
    for b in range(5):
        given = v[b].reshape(2, 1, 1, 2)
        _, grads = model.loss_and_grads(
            x[b : b + 1], np.zeros((1, 2)), 0.0, lambda f, df, *q, given=given: given
        )
        encoder = [g for name, g in grads.items() if not name.startswith(("decoder", "output"))]
        want = sum((g**2).sum() for g in encoder)
        assert v[b] @ metric[b] @ v[b] == pytest.approx(want / 25, rel=1e-12)


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
    ],
)
def test_bad_input_is_one_line(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["variance", *argv]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "text"),
    [(7856.3, "7,860"), (0.4764, "0.476"), (1.0, "1"), (0.0, "0"), (1.3e7, "1.3e+07"), (math.nan, "-")],
)
def test_numbers(value, text):
    assert show.number(value, 3) == text
    assert list(show.table(["a\nb", "c"], [["x", 1.0]])) == ["a", "b  c", "x  1"]

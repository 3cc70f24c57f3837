"""The laboratory before a VAE's encoder: means that fit their reference, variances against slow loops.

z is (mean - reference) / standard error. Over n independent z of an unbiased estimator the root mean square
is 1 with standard deviation 1 / sqrt(2 n); those of one image depend on each other, which widens it.
"""

import csv
from functools import partial

import checks
import numpy as np
import pytest

from minivae import VAE, cli, plots
from minivae import estimators as es
from minivae.laboratory import encoders
from minivae.laboratory.encoder_report import Report, short

TABLE = ["variance", "--samples", "64", "--model"]


def little(latent=2, seed=1, **settings):
    """A model of sharp posteriors in double precision, with no zero anywhere, and images for it."""
    rng = np.random.default_rng(seed)
    settings = {"activation": "tanh", "backend": "numpy", "dtype": "float64"} | settings
    model = VAE(9, latent, (7, 6), seed=rng, **settings)
    for name, param in model.params.items():
        param += 0.3 * rng.standard_normal(param.shape) - name.startswith("logvar.b")
    return model, (rng.random((5, 9)) < 0.5).astype(model.dtype)


@pytest.fixture(scope="module")
def sides():
    """Two latents, to be held against quadrature, and three, to be held against a long run."""
    return {
        latent: encoders.compare({"it": model}, x, 1.0, 4000, np.random.default_rng(3))[0]
        for latent, (model, x) in ((n, little(n)) for n in (2, 3))
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of one epoch on 220 pictures of 6 x 5."""
    folder = tmp_path_factory.mktemp("encoders")
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, (220, 6, 5), dtype=np.uint8))
    words = ["--hidden", "20", "--latent", "3", "--batch-size", "40", "--epochs", "1"]
    paths = ["--data", str(folder / "images.npy"), "--out", str(folder / "run")]
    assert cli.main(["train", *words, *paths]) == 0
    return str(folder / "run")


# ------------------------------------------------------------------------------ the means


@pytest.mark.parametrize("latent", [2, 3])
def test_every_mean_fits_the_reference(sides, latent):
    """12 estimators, 20 or 30 z each, in groups of an image's 4 or 6: root mean square between 0.3 and 2.

    In 160 seeds the 24 of a run ranged from 0.44 to 1.83: no false alarm, hence with 95 % confidence fewer
    than one in 50 seeds. A bias of 3 standard errors in each entry gives 3.2. Of the 600 single z none was
    above 4.6; were they normal, one would pass 5 in one of 3000 seeds.
    """
    side = sides[latent]
    assert len(side.rows) == 12
    for row in side.rows:
        assert 0.3 < row.z_rms < 2, f"{row.name}: z of {row.z_rms:.2f}"
        assert abs(row.z).max() < checks.FALSE_ALARM, row.name


def test_a_baseline_of_the_own_samples_is_seen_in_z():
    """Its mean is (1 - 1/8) of the gradient of the nll: z far from 1, where leave-one-out has about 1."""
    model, x = little()
    scene = encoders.Scene(model, x, 1.0, np.random.default_rng(5))
    reference = scene.reference(1)
    honest = next(way for way in scene.ways(80_000) if way.name == "leave-one-out")

    def own_sample_baseline(f, df, mu, logvar, eps):
        grads = encoders.leave_one_out_groups(f, df, mu, logvar, eps)
        return [grad * (1 - 1 / encoders.GROUP) for grad in grads]

    biased = partial(es.closed_form_kl, own_sample_baseline, beta=1.0)
    assert scene.row(honest, reference).z_rms < 2
    assert scene.row(honest._replace(estimate=biased), reference).z_rms > 3


def test_quadrature_and_a_long_run_agree():
    """20 differences within 5 standard errors: a false alarm in 90,000 seeds. The KL is in both."""
    model, x = little()
    scene = encoders.Scene(model, x, 0.7, np.random.default_rng(6))
    exact = scene.reference(1)
    assert exact.error.max() < 1e-9
    pathwise = scene.ways(40_000)[0]
    trial, _ = scene._try(pathwise)
    assert np.all(abs(trial.mean - exact.gradient) < checks.FALSE_ALARM * trial.mean_error)
    assert abs(exact.gradient).max() > 20 * trial.mean_error.max()  # or it would say nothing


# ------------------------------------------------------------------------------ the variances


def test_pathwise_is_the_measure(sides):
    for side in sides.values():
        pathwise = side.row("pathwise")
        assert side.rows[0] is pathwise
        assert np.all(side.ratios(pathwise) == 1)
        assert side.weights_ratio(pathwise) == 1


def test_a_variance_is_that_of_one_sample(sides):
    """Leave-one-out in groups of 8 scatters as the score function with the mean as its baseline, about.

    Exactly it is m22 - g^2 + (Var f I + g^2) / 7 beside m22 - g^2 of one sample, at most 1 / 7 of m22 and I
    more: ratios from 0.8 to 1.6 leave room for heavy tails of 4000 samples.
    """
    for side in sides.values():
        mean, leave = (side.row(name) for name in ("score-function-mean-baseline", "leave-one-out"))
        assert 0.8 < leave.variance.mean() / mean.variance.mean() < 1.6
        assert 0.8 < leave.weights / mean.weights < 1.6
        assert side.row("score-function").weights > mean.weights


def test_the_way_to_the_weights(rng):
    """|d^T R|, summed over images, against the model's own backward pass, an image at a time."""
    model, x = little(activation="softplus")
    d = rng.standard_normal((5, 4))
    roots = encoders.encoder_roots(model, x)
    for b in range(5):
        alone = encoders.Scene(model, x[b : b + 1], 1.0, rng)
        want = alone._weights_norm2(d[b].reshape(1, 2, 2)) / 5**2
        checks.agree("squared norm", ((d[b] @ roots[b]) ** 2).sum(), want, 1e-12)


def test_the_variance_at_the_weights():
    """Against every draw of every image pushed back through the encoder: the same draws, to rounding."""
    model, x = little()
    scene = encoders.Scene(model, x, 1.0, np.random.default_rng(8))
    _, weights = scene._try(scene.ways(40)[0])
    eps = np.random.default_rng(8).standard_normal((41, 5, 1, 2))[1:]  # the first draw is not counted
    encoder = [name for name in model.params if not name.startswith(("decoder", "output"))]
    want = 0.0
    for b in range(5):
        grads = [model.loss_and_grads(x[b : b + 1], one, estimator="pathwise")[1] for one in eps[:, b]]
        want += sum(np.var([grad[name] for grad in grads], axis=0, ddof=1).sum() for name in encoder) / 5**2
    checks.agree("variance at the weights", weights, want, 1e-12)


def test_the_gradient_at_the_weights(sides):
    """The long run's squared norm, less what its noise adds, is near the one of ten times as many draws."""
    model, x = little(3)
    scene = encoders.Scene(model, x, 1.0, np.random.default_rng(9))
    assert sides[3].reference.norm2 == pytest.approx(scene.reference(80_000).norm2, rel=0.05)


def test_measure_valued_is_left_out_where_it_takes_too_long():
    model, x = little(latent=40)
    sides = encoders.compare({"one": model, "two": model}, x, 1.0, 64, np.random.default_rng(0))
    assert sides[0].row("measure-valued") is None
    report = Report("a run", len(x), 1.0, sides)
    assert "measure-valued is left out: it takes 4 L = 160 evaluations for a sample" in list(report.lines())
    assert report.figure()


def test_a_decoder_that_does_not_listen_to_z():
    """Pathwise scatters by rounding at most: z does not blow that up, nothing warns, there is a chart."""
    model, x = little(latent=3)
    for name in ("decoder1.W", "decoder1.b"):
        model.params[name][...] = 0
    report = Report(
        "a run", len(x), 1.0, encoders.compare({"a": model, "b": model}, x, 1.0, 64, np.random.default_rng(0))
    )
    assert sum("one pathwise sample is worth" in line for line in report.lines()) == 2
    assert all(abs(row.z).max() < 10 for side in report.sides for row in side.rows)
    assert len(report.records()) == 2 * 12 * (5 * 6 + 1)
    assert plots.to_png(report.figure())


# ------------------------------------------------------------------------------ what the command leaves


def test_the_command(run, tmp_path, capsys):
    table, picture = tmp_path / "v.csv", tmp_path / "v.png"
    assert cli.main([*TABLE, run, "--csv", str(table), "--out", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines() if run not in line) <= 120
    for name in ("TRAINED", "UNTRAINED"):
        assert f"{name}; reference: 128 antithetic pathwise pairs" in printed
    assert printed.count("one pathwise sample is worth") == 2
    assert picture.read_bytes().startswith(b"\x89PNG")
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} == {"model"}
    assert len(rows) == 2 * 12 * (16 * 3 * 2 + 1)  # models, estimators, images x latents x mu and logvar
    for row in rows:
        assert float(row["variance"]) >= 0
        if row["place"] == "outputs":
            off = float(row["mean"]) - float(row["reference"])
            error = np.hypot(
                float(row["reference_error"]), np.sqrt(float(row["variance"]) / 64)
            )  # draws x samples are 64, of measure-valued 42
            assert row["estimator"] == "measure-valued" or float(row["z"]) == pytest.approx(off / error)
        else:
            assert (row["place"], row["datum"], row["latent"]) == ("weights", "", "")


def test_the_same_seed_gives_the_same_numbers(run):
    one, two, other = (encoders.measure(run, 16, seed) for seed in (1, 1, 2))
    for side, again, different in zip(one.sides, two.sides, other.sides, strict=True):
        for row, same in zip(side.rows, again.rows, strict=True):
            assert np.array_equal(row.mean, same.mean), row.name
        assert not np.array_equal(side.rows[0].mean, different.rows[0].mean)


def test_untrained_is_before_the_first_step(run):
    trained, untrained = encoders.measure(run, 16).sides
    assert (trained.name, untrained.name) == ("trained", "untrained")
    assert not np.allclose(trained.kl, untrained.kl)


def test_bad_input(run, capsys):
    for words, complaint in (
        ([*TABLE, "nowhere"], "run folder nowhere does not exist"),
        (
            ["variance", "--samples", "15", "--model", run],
            "samples must be an integer of at least 16, got 15",
        ),
        ([*TABLE, run, "--seed", "-1"], "seed must be an integer of at least 0"),
    ):
        assert cli.main(words) == 2
        error = capsys.readouterr().err
        assert complaint in error
        assert error.count("\n") == 1


def test_another_posterior_is_refused():
    class Other:
        """Like the gaussian posterior, by another name."""

        heads = ("mu", "logvar")

        def __init__(self, ops):
            pass

    model, x = little(posterior=Other)
    with pytest.raises(ValueError, match="need the gaussian posterior, and the model has Other"):
        encoders.Scene(model, x, 1.0, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((7856.3, "7,860"), (0.4764, "0.476"), (1.0, "1.00"), (22.34, "22.3"), (654321.0, "654,000")),
        *((0.00704, "0.00704"), (0.0, "0"), (1.3e7, "1.3e+07"), (2e-5, "2.0e-05"), (np.inf, "inf")),
        *((9.996, "10.00"), (np.nan, "nan")),
    ],
)
def test_short_numbers(value, text):
    assert short(value) == text

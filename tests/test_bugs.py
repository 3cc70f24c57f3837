"""The gallery and its checks: each bug is caught by exactly the checks that it names, right code by none."""

import re
from dataclasses import replace

import numpy as np
import pytest
from oracles import normal_rule

import minivae as mv
from lessons import bugs, cli
from lessons.bugs import CHECKS, GALLERY, RIGHT, statistics
from minivae import ops

SEEDS = 200
SAYS = {  # bug -> check -> a part of what the check says
    "std-is-exp-logvar": {"sampler": "is exp(logvar) used as the standard deviation?"},
    "logvar-is-std": {"sampler": "is logvar itself used", "bound": "z = mu + logvar eps is decoded"},
    "decoder-sees-mu": {"sampler": "is z = mu, without the noise?", "bound": "z = mu is decoded"},
    "noise-redrawn": {"scaling": "noise is drawn again in the backward pass"},
    "logvar-clamped-forward": {"kl": "is logvar clamped?"},
    "kl-without-half": {"kl": "a lost 1/2?", "bound": "the kl is 2 times"},
    "kl-sign": {"kl": "opposite sign", "bound": "the kl is -1 times"},
    "kl-mu-not-squared": {"kl": "mu where mu^2 belongs"},
    "kl-reversed": {"kl": "arguments reversed"},
    "kl-without-minus-one": {"kl": "a missing -1?", "bound": "off by +0.5 nats, the same for every x"},
    "kl-takes-log-std": {"kl": "takes logvar for log std"},
    "kl-averaged-over-latents": {"kl": "averaged over the L latents", "scaling": "twice the latents"},
    "kl-keeps-axis": {"shapes": "kl has shape (3, 1), expected (3,): a kept axis will broadcast"},
    "nll-averaged-over-pixels": {"scaling": "averaged over the pixels", "bound": "over the 6 pixels"},
    "log-of-probability": {"logits": "a log(0)"},
    "probability-clipped": {"logits": "clipped at 0.001 and 1 - 0.001"},
    "squared-error-without-half": {"bound": "the squared error lacks its 1/2"},
    "gaussian-without-constant": {"bound": "the constant D/2 log 2 pi is left out"},
    "db-averaged": {"scaling": "averaged over the batch twice"},
    "loss-summed-over-batch": {"scaling": "the loss doubles with the batch"},
    "likelihood-times-n": {"bound": "the reconstruction is 6e+04 times"},
    "beta-on-nll": {"scaling": "beta weighs the wrong term"},
    "evaluated-at-mu": {"bound": "z = mu is decoded, not a draw of z"},
    "adam-uncorrected": {"first step": "3.162 times lr"},
}


@pytest.fixture(scope="module")
def findings():
    return bugs.survey()


# ------------------------------------------------------------------------------ the gallery


@pytest.mark.parametrize("name", GALLERY)
def test_a_bug_is_caught_by_exactly_the_checks_it_names(name, findings):
    bug = GALLERY[name]
    assert tuple(check for check, (found, _) in findings[name].items() if found) == bug.caught_by
    for check, words in SAYS.get(name, {}).items():
        assert words in findings[name][check][1]
    assert bug.caught_by
    assert len(bug.title) <= 90
    assert bug.story.endswith(".")
    planted = bool(bug.patch), bug.family is not mv.VAE, bug.optimizer is not mv.Adam
    assert sum(planted) == 1 + (name == "kl-keeps-axis")


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "softplus", "identity"])
def test_right_code_passes_every_check(activation, likelihood):
    found = bugs.examine(replace(RIGHT, settings={"activation": activation, "likelihood": likelihood}))
    assert not any(caught for caught, _ in found.values()), found


def test_the_table_shows_what_was_found(findings):
    """The loss falls under most bugs, and no single check is enough."""
    lines = bugs.table(findings)
    assert max(map(len, lines)) <= 110
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:-2]}
    assert rows == {n: ["x" if c in bug.caught_by else "." for c in CHECKS] for n, bug in GALLERY.items()}
    counts = dict(zip(CHECKS, map(int, lines[-1].split()[3:]), strict=True))
    assert counts["loss falls"] <= len(GALLERY) / 5
    assert max(counts.values()) < len(GALLERY)


def test_a_patch_replaces_what_other_operations_call():
    patched = bugs.patched(activation_forward=lambda a, activation: 7 * a)
    x, W = np.ones((2, 3)), np.ones((3, 4))
    assert np.all(patched.dense_forward(x, W, np.zeros(4), "relu")[0] == 21)
    assert np.all(ops.dense_forward(x, W, np.zeros(4), "relu")[0] == 3)
    with pytest.raises(ValueError, match="no function 'relu'"):
        bugs.patched(relu=None)


# ------------------------------------------------------------------------------ false alarms and power


def exceeded(verdicts):
    """How many of the verdicts saw a |z| above 2; all must be ok."""
    assert all(v.ok for v in verdicts), next(str(v) for v in verdicts if not v.ok)
    return sum(v.z > 2 for v in verdicts)


def test_the_right_sampler_and_kl_pass_as_often_as_stated(rng):
    """The worst of 16 z exceeds 2 with probability 1 - 0.9545^16 = 0.53: 105 of 200, +- 28; of 4 z, 34 +- 22.

    A wrong threshold or standard error (by 1.4) moves either count by more; false alarm 1e-4.
    """
    verdicts = [statistics.check_sampler(ops.gaussian_sample, rng, n=5000) for _ in range(SEEDS)]
    assert 70 <= exceeded(verdicts) <= 140
    verdicts = [statistics.check_kl(ops.gaussian_kl, rng, n=5000) for _ in range(SEEDS)]
    assert 13 <= exceeded(verdicts) <= 55


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_false_alarm_in_either_type(dtype, backend, ops, rng):
    """20 models each; the two random checks have a false-alarm rate of 3e-5 together."""
    for seed in range(20):
        right = mv.VAE(6, 1, (9,), "relu", backend=backend, dtype=dtype, seed=seed)
        x, eps = (rng.random((3, 6)) < 0.5).astype(float), rng.standard_normal((3, 1))
        args = rng, ops.bernoulli_nll, ops.gaussian_kl, right.loss_and_grads, x, eps
        assert statistics.check_scaling(*args).ok
        verdict = statistics.check_bound(right, x)
        assert verdict.ok, verdict
        log_p, elbo, gap = (float(number) for number in re.findall(r"-?\d+\.\d{4}", str(verdict)))
        e, w = normal_rule()
        outputs = np.repeat(right.decode(e[:, None].astype(dtype))[:, None], 3, axis=1)  # (n, 3, 6)
        p = w @ np.exp(-ops.bernoulli_nll(outputs, x.astype(dtype)))
        assert abs(log_p - np.log(p).mean()) < 2e-4
        assert abs(log_p - elbo - gap) < 2e-4
    assert statistics.check_sampler(ops.gaussian_sample, rng).ok
    assert statistics.check_kl(ops.gaussian_kl, rng).ok
    assert statistics.check_extreme_logits(ops.bernoulli_nll).ok
    assert statistics.check_shapes(rng, nll=ops.bernoulli_nll, kl=ops.gaussian_kl).ok


def test_the_power_that_is_stated(rng):
    """A variance wrong by 4 % in a latent, a mean by 3 % of a std, a KL by 2.5 %: each time."""
    stretch, shift = np.array([1, 1, np.sqrt(1.04), 1]), np.array([0, 0, 0, 0.03])
    wide, moved = SAMPLER(lambda eps: stretch * eps), SAMPLER(lambda eps: eps + shift)
    for _ in range(10):
        assert "variance" in str(statistics.check_sampler(wide, rng))
        assert "mean is" in str(statistics.check_sampler(moved, rng))
        for factor in (1.025, 0.975):
            wrong = statistics.check_kl(lambda mu, lv, c=factor: c * ops.gaussian_kl(mu, lv), rng)
            assert statistics.THRESHOLD < wrong.z < np.inf
    verdict = statistics.check_kl(lambda mu, lv: 1.0001 * ops.gaussian_kl(mu, lv), rng)
    assert "kl is 2.0002 at mu = 2, logvar = 0, where it should be 2" in str(verdict)


def test_the_threshold_and_a_small_excess_kurtosis(rng):
    """A mean that is 6 standard errors off by construction; an excess kurtosis of 0.2, 13 standard errors."""
    off = SAMPLER(lambda eps: eps - eps.mean(axis=0) + 6 / np.sqrt(len(eps)))
    assert not statistics.check_sampler(off, rng).ok
    e, w = normal_rule()
    size = np.sqrt(w @ (e * e * np.abs(e) ** 0.08))
    assert w @ (e**4 * np.abs(e) ** 0.16) / size**4 == pytest.approx(3.2, abs=0.1)
    peaked = SAMPLER(lambda eps: eps * np.abs(eps) ** 0.04 / size)
    assert "more or less peaked" in str(statistics.check_sampler(peaked, rng))


def SAMPLER(noise):
    """z = mu + std * noise(eps)."""
    return lambda mu, lv, eps: mu + np.exp(lv / 2) * noise(eps)


def uniform(eps):
    """Uniform of variance 1, as a function of each eps alone: its rank among all."""
    ranks = np.argsort(np.argsort(eps, axis=0), axis=0)
    return np.sqrt(12) * ((ranks + 0.5) / len(eps) - 0.5)


def squashed(eps):
    """tanh, scaled to variance 1: less peaked than a Gaussian, a function of each eps alone."""
    return np.tanh(eps) / 0.62788


own = np.random.default_rng(3)
SAMPLERS = {
    "is the 1/2 of exp(logvar / 2) applied twice?": lambda mu, lv, eps: mu + np.exp(lv / 4) * eps,
    "is logvar used as the variance?": lambda mu, lv, eps: mu + np.sqrt(np.abs(lv)) * eps,
    "has the exponent lost its sign?": lambda mu, lv, eps: mu + np.exp(-lv / 2) * eps,
    "is logvar not used at all?": lambda mu, lv, eps: mu + eps,
    "is mu not added?": lambda mu, lv, eps: np.exp(lv / 2) * eps,
    "the sampler's mean is -mu": lambda mu, lv, eps: np.exp(lv / 2) * eps - mu,
    "is mu multiplied by the standard deviation": lambda mu, lv, eps: np.exp(lv / 2) * (mu + eps),
    "where e^logvar is 4.482": SAMPLER(lambda eps: 1.5 * eps),
    "it draws noise of its own": SAMPLER(lambda eps: own.standard_normal(eps.shape)),
    "z must be like eps": lambda mu, lv, eps: (mu + eps).sum(axis=1),
    "entries that are not finite": lambda mu, lv, eps: mu + np.sqrt(lv) * eps,
    "z of latent 1 changes with the eps of latent 0": SAMPLER(lambda eps: eps[:, [0, 0, 2, 3]]),
    "z of latent 0 does not change when its eps": SAMPLER(
        lambda eps: np.random.default_rng(0).standard_normal(eps.shape)
    ),
    "changes in 50% of the rows only": SAMPLER(np.sign),
    "latent 3 changes with the eps of latent 0": SAMPLER(
        lambda eps: np.stack([*eps.T[:3], 0.6 * eps[:, 0] + 0.8 * eps[:, 3]], axis=1)
    ),
    "one example changes with the eps of others": SAMPLER(lambda eps: np.roll(eps, 1, axis=0)),
    "z has the right mean and variance but is more or less peaked": SAMPLER(squashed),
    "z has the right mean and variance but is skewed": SAMPLER(
        lambda eps: (np.exp(eps / 4) - np.exp(1 / 32)) / np.sqrt(np.exp(1 / 8) - np.exp(1 / 16))
    ),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("sentence", SAMPLERS)
def test_a_wrong_sampler_is_told(sentence, rng):
    verdict = statistics.check_sampler(SAMPLERS[sentence], rng)
    assert not verdict.ok
    assert sentence in str(verdict)


def test_noise_that_is_a_permutation_or_uniform_is_wrong(rng):
    assert not statistics.check_sampler(SAMPLER(uniform), rng).ok
    assert statistics.check_sampler(SAMPLER(lambda eps: -eps), rng).ok  # as good as +eps


def half(mu, lv):
    return 0.5 * (mu**2 + np.exp(lv) - lv - 1)


KLS = {
    "a 1/2 too many?": lambda mu, lv: 0.5 * half(mu, lv).sum(axis=1),
    "lacks mu^2": lambda mu, lv: half(0 * mu, lv).sum(axis=1),
    "takes logvar for the standard deviation": lambda mu, lv: half(mu, np.log(lv * lv + 1e-300)).sum(axis=1),
    "kl has shape (), expected (4,): it is already": lambda mu, lv: half(mu, lv).sum(),
    "kl has shape (4, 3), expected (4,): it is not summed": half,
    "where its Monte Carlo estimate is": lambda mu, lv: half(mu, lv).sum(axis=1) ** 2,
    "is logvar clamped?": lambda mu, lv: half(mu, np.clip(lv, -10, 10)).sum(axis=1),
}


@pytest.mark.parametrize("sentence", KLS)
def test_a_wrong_kl_is_told(sentence, rng):
    verdict = statistics.check_kl(KLS[sentence], rng)
    assert not verdict.ok
    assert sentence in str(verdict)


def test_wrong_sums_and_means_are_told(rng):
    right = bugs.away_from_zero(RIGHT.model(), rng)
    x, eps = (rng.random((3, 6)) < 0.5).astype(float), rng.standard_normal((3, 2))

    def told(change):
        def loss_and_grads(x, eps, beta):
            return change(len(x), *right.loss_and_grads(x, eps, beta))

        return str(statistics.check_scaling(rng, loss_and_grads=loss_and_grads, x=x, eps=eps))

    assert told(lambda B, terms, grads: (terms, grads)) == "twice the batch changes nothing"
    assert "dmu.W doubles with the batch: it is summed" in told(
        lambda B, terms, grads: (terms, grads | {"mu.W": B * grads["mu.W"]})
    )
    assert "part of it is not a mean over the batch" in told(
        lambda B, terms, grads: (terms, grads | {"mu.b": grads["mu.b"] / B**2})
    )
    noise = np.random.default_rng(0)
    assert "the loss differs when it is computed twice" in told(
        lambda B, terms, grads: (terms._replace(loss=noise.random()), grads)
    )

    def root(logits, x):
        return ops.bernoulli_nll(logits, x) / np.sqrt(x.shape[1])

    assert "multiply the nll by 1.414" in str(statistics.check_scaling(rng, nll=root))
    assert str(statistics.check_scaling(rng, kl=ops.gaussian_kl)) == "twice the latents double their term"


def test_a_wrong_bound_is_told(rng):
    class Wrong(mv.VAE):
        def loss(self, x, eps, beta=1.0):
            _, nll, kl = super().loss(x, eps, beta)
            return self.change(nll, kl)

    wrong = Wrong(6, 1, (5,), "tanh", backend="numpy", dtype=np.float64, seed=2)
    bugs.away_from_zero(wrong, rng)
    for sentence, change in (
        ("the kl is 0 times", lambda nll, kl: nll),
        ("the reconstruction is 10 times", lambda nll, kl: 10 * nll + kl),
        ("off by +1 nats, the same for every x", lambda nll, kl: nll + kl + 1),
        ("nats", lambda nll, kl: nll + kl**2),
    ):
        wrong.change = change
        verdict = statistics.check_bound(wrong, np.eye(6))
        assert not verdict.ok
        assert sentence in str(verdict)


def test_bad_arguments_are_refused(rng):
    small = RIGHT.model()
    for words, call in (
        (r"rng must be a numpy\.random\.Generator", lambda: statistics.check_sampler(ops.gaussian_sample, 0)),
        ("n must be an integer of at least 100", lambda: statistics.check_kl(ops.gaussian_kl, rng, n=3)),
        ("needs at least one of", lambda: statistics.check_scaling(rng)),
        ("needs x", lambda: statistics.check_scaling(rng, loss_and_grads=small.loss_and_grads)),
        ("one latent", lambda: statistics.check_bound(small, np.eye(6))),
        ("density must be one of", lambda: statistics.check_bound(small, np.eye(6), "poisson")),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            call()


# ------------------------------------------------------------------------------ the command


def test_the_command(capsys, monkeypatch, findings):
    monkeypatch.setattr("lessons.bugs.command.survey", lambda progress: findings)
    assert cli.main(["bugs", "--list-bugs"]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n{name} " in f"\n{listed}" for name in GALLERY)
    assert cli.main(["bugs", "--bug-table"]) == 0
    assert capsys.readouterr().out.splitlines() == bugs.table(findings)
    assert cli.main(["bugs", "--plant", "db-averaged", "kl-sign"]) == 1
    out = capsys.readouterr().out
    assert "kl           CAUGHT  kl has the opposite sign" in out
    assert "b halves when the batch doubles" in out
    for words in (["--plant", "kl-sing"], ["--plant", ""]):
        assert cli.main(["bugs", *words]) == 2
        assert "--plant must be one of std-is-exp-logvar" in capsys.readouterr().err

"""The gallery of bugs: each is caught by exactly the checks that its entry names, and told in words."""

from dataclasses import replace

import numpy as np
import pytest

from minivae import VAE, bugs, ops
from minivae.bugs import CHECKS, GALLERY, RIGHT

SAYS = {  # bug -> check -> a part of what the check says
    "std-is-exp-logvar": {"sampler": "is exp(logvar) used as the standard deviation?"},
    "logvar-is-std": {"sampler": "is logvar itself used", "bound": "z = mu + logvar eps is decoded"},
    "decoder-sees-mu": {"sampler": "is z = mu, without the noise?", "bound": "z = mu is decoded"},
    "noise-redrawn": {"scaling": "noise is drawn again on the way back"},
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
    "squared-error-without-half": {"bound": "the squared error stands without its 1/2"},
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


@pytest.mark.parametrize("name", GALLERY)
def test_a_bug_is_caught_by_what_it_names(name, findings):
    caught = tuple(check for check, (found, _) in findings[name].items() if found)
    assert caught == GALLERY[name].caught_by, findings[name]
    assert caught
    for check, sentence in SAYS.get(name, {}).items():
        assert sentence in findings[name][check][1]


def test_the_table_tells_what_was_found(findings):
    """A mark at exactly the entries that the gallery states; within 110 columns."""
    lines = bugs.table(findings)
    assert max(map(len, lines)) <= 110
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:-2]}
    assert rows == {
        name: ["x" if check in bug.caught_by else "." for check in CHECKS] for name, bug in GALLERY.items()
    }
    assert lines[-1].split()[:3] == ["caught,", "of", str(len(GALLERY))]


def test_most_bugs_let_the_loss_fall(findings):
    """The lesson of the table: the loss falls under most bugs, and no single check is enough."""
    falls = [found["loss falls"][0] for found in findings.values()]
    assert sum(falls) <= len(GALLERY) / 5
    for check in CHECKS:
        assert not all(found[check][0] for found in findings.values())


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "softplus", "identity"])
def test_the_right_code_passes_every_check(activation, likelihood):
    right = replace(RIGHT, settings={"activation": activation, "likelihood": likelihood})
    findings = bugs.examine(right)
    assert not any(caught for caught, _ in findings.values()), findings


# ------------------------------------------------------------------------------ the entries


def test_every_bug_has_its_story():
    assert len(GALLERY) >= 20
    for name, bug in GALLERY.items():
        assert name == bug.name
        assert len(bug.title) <= 90
        assert bug.story.endswith(".")
        assert set(bug.caught_by) <= set(CHECKS)
        patched = bool(bug.patch) + (bug.family is not VAE) + (bug.optimizer is not RIGHT.optimizer)
        assert patched == 1


def test_a_patch_reaches_the_functions_that_call_it(rng):
    """`dense_backward` of the copy calls the planted `activation_backward`; the right module is untouched."""
    x, W, b = np.ones((2, 3)), -np.ones((3, 4)), np.zeros(4)
    y, cache = ops.dense_forward(x, W, b, "relu")
    planted = GALLERY["relu-skipped"].ops()
    assert planted.dense_backward(np.ones_like(y), cache)[2].tolist() == [2, 2, 2, 2]
    assert ops.dense_backward(np.ones_like(y), cache)[2].tolist() == [0, 0, 0, 0]
    assert ops is not planted
    assert "lambda" not in ops.activation_backward.__qualname__


def test_an_unknown_function_is_not_patched():
    with pytest.raises(ValueError, match="ops has no function 'gaussian_kll'"):
        bugs.patched(gaussian_kll=None)


@pytest.mark.parametrize("name", GALLERY)
def test_a_bugs_model_takes_settings(name, rng):
    model = GALLERY[name].model(data_dim=7, latent_dim=3, hidden=(4, 4), dtype=np.float32, seed=3)
    x, eps = (rng.random((2, 7)) < 0.5).astype(float), rng.standard_normal((2, 3))
    _, grads = model.loss_and_grads(x, eps)
    assert {k: g.dtype for k, g in grads.items()} == {k: p.dtype for k, p in model.params.items()}


@pytest.mark.parametrize("name", GALLERY)
def test_a_bug_takes_samples_of_z(name, rng):
    """Noise (S, B, L) as well as (B, L)."""
    model = GALLERY[name].model()
    x, eps = (rng.random((2, 6)) < 0.5).astype(float), rng.standard_normal((4, 2, 2))
    _, grads = model.loss_and_grads(x, eps)
    assert {k: g.shape for k, g in grads.items()} == {k: p.shape for k, p in model.params.items()}

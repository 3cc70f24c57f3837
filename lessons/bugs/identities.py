"""Checks without randomness: what must hold exactly for sums, means, shapes, extreme logits and the bound.

They cannot raise a false alarm, and they find any deviation larger than rounding. Each takes your
implementation, compares it with textbook densities (never with minivae's own code), and returns a `Verdict`.
"""

import math
from typing import NamedTuple

import numpy as np

from minivae import arguments

EXACT, EXACT_FLOAT32 = 1e-9, 1e-4  # of the largest entry
LOG_2PI = math.log(2 * math.pi)


class Verdict(NamedTuple):
    """`ok`, one sentence (also `str(verdict)`), and the worst |z|: 0 or inf where there is no randomness."""

    ok: bool
    sentence: str
    z: float = 0.0

    def __str__(self):
        return self.sentence


def wrong(sentence, z=math.inf):
    """The verdict on wrong code."""
    return Verdict(False, sentence, float(z))


def same(got, want, tolerance=EXACT):
    """Shapes equal, and every entry within `tolerance` of the largest one wanted."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape or not np.isfinite(got).all():
        return False
    return bool(np.max(np.abs(got - want)) <= tolerance * (np.max(np.abs(want)) or 1.0))


def likeness(forms, got, near=EXACT):
    """The words of the first array in {words: array} that `got` agrees with; None if it is like none."""
    return next((words for words, form in forms.items() if same(got, form, near)), None)


def shape_sentence(name, shape, expected):
    """What a wrong shape means for the sums that follow."""
    causes = {(*expected, 1): ": a kept axis will broadcast", (): ": it is already reduced over the batch"}
    cause = causes.get(shape, ": it is not summed over its last axis" if len(shape) == 2 else "")
    return f"{name} has shape {shape}, expected {expected}{cause}"


def normal_log_density(x, mean, std):
    """log N(x; mean, std^2), elementwise."""
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * LOG_2PI


def _rounding(*arrays):
    """What may differ by rounding alone, relative to the largest entry."""
    return EXACT if np.result_type(*arrays).itemsize >= 8 else EXACT_FLOAT32


def _two_arrays(rng):
    return rng.standard_normal((3, 5)), (rng.random((3, 5)) < 0.5).astype(float)


# ------------------------------------------------------------------------------ sums and means


def check_scaling(rng, nll=None, kl=None, loss_and_grads=None, x=None, eps=None):
    """Sums stay sums and means stay means when pixels, latents or the batch are doubled -> Verdict.

    nll(outputs, x) -> (B,)                   twice the pixels, twice the nll
    kl(mu, logvar) -> (B,)                    twice the latents, twice the kl
    loss_and_grads(x, eps, beta)              twice the batch, the same loss and the same gradients; and the
        -> (loss, nll, kl), grads             loss is nll + beta kl. Needs x (B, D) and eps (B, L)

    Give at least one of the three; the verdict speaks only of those given. There is no randomness (rng draws
    inputs only): no false alarms, and wrong scaling is always found.
    """
    arguments.generator("rng", rng)
    if nll is kl is loss_and_grads is None:
        raise ValueError("check_scaling needs at least one of nll, kl and loss_and_grads")
    if loss_and_grads is not None and (x is None or eps is None):
        raise ValueError("check_scaling needs x (B, D) and eps (B, L) to call loss_and_grads")
    terms = [(n, of, f) for n, of, f in (("nll", "pixels", nll), ("kl", "latents", kl)) if f is not None]
    for name, features, function in terms:
        a, b = _two_arrays(rng)
        ratio = np.sum(function(np.tile(a, 2), np.tile(b, 2))) / np.sum(function(a, b))
        if abs(ratio - 1) <= EXACT:
            how = f"it is averaged over the {features} where it must be summed"
            return wrong(f"twice the {features} leave the {name} unchanged: {how}")
        if not abs(ratio - 2) <= EXACT:
            by = f"{ratio:.4g}; a sum is multiplied by 2"
            return wrong(f"twice the {features} multiply the {name} by {by}")
    said = [f"twice the {' or '.join(of for _, of, _ in terms)} double their term"] if terms else []
    if loss_and_grads is not None:
        if sentence := _batch(loss_and_grads, x, eps):
            return wrong(sentence)
        said.append("twice the batch changes nothing")
    return Verdict(True, ", ".join(said))


BATCH = {  # ratio of a result with every example twice: what it means
    2: "{} doubles with the batch: it is summed over the batch, expected a mean",
    0.5: "{} halves when the batch doubles: it is averaged over the batch twice",
}
REDRAWN = "noise is drawn again in the backward pass, or the previous gradients are still there"


def _batch(loss_and_grads, x, eps):
    """How the loss or its gradients are no mean over the batch; None if they are."""

    def results(*inputs):
        terms, grads = loss_and_grads(*inputs)
        return {"the loss": terms[0]} | {f"d{name}": np.array(grad) for name, grad in grads.items()}

    once, again = results(x, eps, 1.0), results(x, eps, 1.0)
    near = _rounding(*once.values()) if len(once) > 1 else EXACT
    for name, value in once.items():
        if not same(again[name], value, near):
            why = "it draws noise of its own, pass eps in" if name == "the loss" else REDRAWN
            return f"{name} differs when it is computed twice: {why}"
    for name, two in results(np.concatenate([x, x]), np.concatenate([eps, eps]), 1.0).items():
        if not same(two, once[name], near):
            forms = {words: ratio * once[name] for ratio, words in BATCH.items()}
            other = (
                "{} changes when every example is in the batch twice: part of it is not a mean over the batch"
            )
            return (likeness(forms, two, near) or other).format(name)
    loss, nll, kl = loss_and_grads(x, eps, 0.5)[0]
    if not same(loss, nll + 0.5 * kl, near):
        swapped = same(loss, 0.5 * nll + kl, near)
        got = "0.5 nll + kl: beta weighs the wrong term" if swapped else f"{loss:.6g}"
        return f"at beta = 0.5 the loss must be nll + 0.5 kl = {nll + 0.5 * kl:.6g}, and is {got}"
    return None


# ------------------------------------------------------------------------------ extreme values and shapes


def check_extreme_logits(nll):
    """nll(logits, x) -> (B,) stays exact and finite where probabilities round to 0 and 1 -> Verdict.

    At logits of +-40 and +-1000 a wrong pixel costs that many nats, and a right one nothing.
    """
    x, signs = np.array([[0.0, 1.0, 1.0, 0.0]]), np.array([[1.0, -1.0, 1.0, -1.0]])  # two pixels are wrong
    sizes = np.array([40.0, 1000.0])
    with np.errstate(all="ignore"):
        got = np.array([np.sum(nll(size * signs, x)) for size in sizes])
    want = 2 * sizes + 4 * np.log1p(np.exp(-sizes))
    off = ~(np.abs(got - want) <= 1e-12 * want)  # NaN is wrong
    if not off.any():
        return Verdict(True, "nll is exact at logits of +-40 and +-1000")
    if not np.isfinite(got).all():
        cause = "a log(0), the probability has rounded to 0 or 1. Compute it from the logits"
    elif same(got, got[0] / want[0] * want):
        cause = f"{got[0] / want[0]:.4g} times as many, at any size. Is it a mean over the pixels?"
    elif same(got[1], got[0]):
        p = math.exp(-got[0] / 2)
        cause = f"probabilities are clipped at {p:.2g} and 1 - {p:.2g}"
    else:
        cause = "a small number is added to a probability, or digits are lost. Compute it from the logits"
    i = np.argmax(off)
    where = f"nll at logits of +-{sizes[i]:g} is {got[i]:.6g}, and two wrong pixels cost {want[i]:g} nats"
    return wrong(f"{where}: {cause}")


def check_shapes(rng, **functions):
    """Each function of two arrays (3, 5) returns shape (3,): nats per example -> Verdict.

    check_shapes(rng, nll=nll, kl=kl). A (B, 1) would broadcast against a (B,) into a B x B outer sum.
    """
    for name, function in functions.items():
        shape = np.shape(function(*_two_arrays(rng)))
        if shape != (3,):
            return wrong(shape_sentence(name, shape, (3,)))
    return Verdict(True, f"{' and '.join(functions)} return one number for each example")


# ------------------------------------------------------------------------------ the bound


DENSITIES = {  # outputs and x -> log p(x|z), summed over the last axis
    "bernoulli": lambda logits, x: -(np.logaddexp(0, logits) - x * logits).sum(axis=-1),
    "gaussian": lambda mean, x: normal_log_density(x, mean, 1.0).sum(axis=-1),
}


def check_bound(model, x, density="bernoulli", nodes=128):
    """log p(x) = ELBO + KL( q(z|x) || p(z|x) ), all by quadrature over the one latent -> Verdict.

    model    with one latent, and encode(x) -> mu, logvar (B, 1); decode(z) -> outputs (N, D);
             loss(x, eps) -> the loss, or a tuple that starts with it, at batches of one
    x        (B, D), at least 2 different rows
    density  p(x|z) from the textbook: "bernoulli" with the outputs as logits, "gaussian" of variance 1
             with the outputs as means, or a function of outputs (B, n, D) and x (B, 1, D) -> log p (B, n)

    With z_i = mu + std e_i at the nodes e_i and their weights w_i, the loss at beta = 1 averages to
        sum_i w_i loss(x, e_i)  =  sum_i w_i (log q(z_i|x) - log p(x|z_i) - log p(z_i))
                                =  KL( q(z|x) || p(z|x) ) - log p(x)
    for every x. There is no randomness: no false alarms, and a relative error of 1e-9 in the loss is found
    (1e-4 in float32).
    """
    log_density = density if callable(density) else DENSITIES[arguments.one_of("density", density, DENSITIES)]
    e, w = np.polynomial.hermite_e.hermegauss(arguments.integer("nodes", nodes, at_least=2))
    w = w / w.sum()
    mu, logvar = (np.asarray(head) for head in model.encode(x))  # (B, 1)
    if mu.shape != (len(x), 1):
        raise ValueError(f"check_bound needs a model with one latent, got mu of shape {mu.shape}")
    std = np.sqrt(np.exp(logvar))

    def nll(z):  # (B, n) -> (B, n)
        outputs = np.asarray(model.decode(z.reshape(-1, 1))).reshape(*z.shape, -1)
        return -log_density(outputs, x[:, None])

    z = mu + std * e  # (B, n)
    log_ratio = normal_log_density(z, mu, std) - normal_log_density(z, 0.0, 1.0)  # log q - log prior
    reconstruction, kl = nll(z) @ w, log_ratio @ w  # (B,)
    results = [[model.loss(row[None], np.array([[node]])) for node in e] for row in x]
    loss = np.array([[r[0] if isinstance(r, tuple) else float(r) for r in row] for row in results]) @ w
    if same(loss, reconstruction + kl, _rounding(mu)):
        grid = np.linspace(-13, 13, 2001)  # of the prior: here q plays no role
        costs = nll(np.tile(grid, (len(x), 1))) - normal_log_density(grid, 0.0, 1.0)
        least = costs.min(axis=1, keepdims=True)
        log_p = np.log(np.exp(least - costs).sum(axis=1) * (grid[1] - grid[0])) - least[:, 0]
        numbers = f"log p(x) = {log_p.mean():.4f} is the ELBO {-loss.mean():.4f}"
        return Verdict(True, f"{numbers} plus KL( q(z|x) || p(z|x) ) {np.mean(log_p + loss):.4f}")
    constant = 0.5 * x.shape[1] * LOG_2PI
    with np.errstate(over="ignore"):
        known = {
            "z = mu is decoded, not a draw of z": nll(mu)[:, 0],
            "z = mu + exp(logvar) eps is decoded": nll(mu + std * std * e) @ w,
            "z = mu + logvar eps is decoded": nll(mu + logvar * e) @ w,
            "the squared error lacks its 1/2, which makes it a Gaussian of variance 1/2": (
                2 * (reconstruction - constant)
            ),
            f"the reconstruction is averaged over the {x.shape[1]} pixels": reconstruction / x.shape[1],
        }
    what = likeness(known, loss - kl) or _part(loss, reconstruction, kl, constant)
    return wrong(f"the loss is not KL( q(z|x) || p(z|x) ) - log p(x): {what}")


def _part(loss, nll, kl, constant):
    """Which part of nll + kl (B,) is too large or missing."""
    for name, part, rest in (("the reconstruction", nll, kl), ("the kl", kl, nll)):
        ratio = (loss - rest) / part
        if same(ratio, np.full_like(ratio, ratio[0])):
            return f"{name} is {ratio[0]:.4g} times what it should be"
    excess = loss - nll - kl  # (B,)
    if same(excess, np.full_like(excess, excess[0])):
        cause = ": the constant D/2 log 2 pi is left out" if same(excess[0], -constant) else ""
        return f"it is off by {excess[0]:+.4g} nats, the same for every x{cause}"
    return f"it is off by {excess.min():+.4g} to {excess.max():+.4g} nats"

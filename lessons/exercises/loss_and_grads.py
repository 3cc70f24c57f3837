"""Exercise: the whole walk of a VAE, forward to the loss and back to every parameter."""

from itertools import combinations

import numpy as np

from minivae import VAE, gradcheck, layers
from minivae.bugs.bug import away_from_zero

from .. import judging
from ..judging import Exercise, Failed
from ..judging.walks import cause
from ..slips.loss_and_grads import BACKWARD_SLIPS, FORWARD_SLIPS, KEYS, TERMS, WRONG, repeated, values_of

B, D, H, L = 5, 11, 7, 3
SIZES = {"B": B, "D": D, "H": H, "L": L}
BETA = 0.6
NAMES = ("loss", "nll", "kl")


def example(seed=71, model_class=VAE):
    """A model, x (B, D) and eps (B, L)."""
    rng = np.random.default_rng(seed)
    model = model_class(D, L, (H,), "tanh", backend="numpy", dtype=np.float64, seed=rng)
    return away_from_zero(model, rng), rng.uniform(0.02, 0.98, (B, D)), rng.normal(0, 1, (B, L))


class Kept(VAE):
    """A model that stays one and the same from call to call, with what a learner may have left in it."""

    def __copy__(self):
        return self


def forward(p, x, eps, beta):
    """nll, kl and loss by their names, by the formulas of the task; takes complex steps."""
    h = np.tanh(x @ p["encoder1.W"] + p["encoder1.b"])
    mu, logvar = h @ p["mu.W"] + p["mu.b"], h @ p["logvar.W"] + p["logvar.b"]
    g = np.tanh((mu + np.exp(logvar / 2) * eps) @ p["decoder1.W"] + p["decoder1.b"])
    l = g @ p["output.W"] + p["output.b"]
    nll = np.sum(np.maximum(l, 0) - x * l + np.log1p(np.exp(-np.maximum(l, -l)))) / len(x)
    kl = np.sum(0.5 * (mu**2 + np.exp(logvar) - logvar - 1)) / len(x)
    return {"nll": nll, "kl": kl, "loss": nll + beta * kl}


def reference(p, x, eps, beta):
    """name -> derivative of the loss, by the complex step, in the order of the walk back."""

    def along(key):
        return lambda value: forward(p | {key: value}, x, eps, beta)["loss"]

    return {key: gradcheck.complex_step(along(key), p[key]) for key in KEYS}


# ------------------------------------------------------------------------------ checks


def results(its, model, x, eps, *beta):
    """The terms by their names, and grads."""
    try:
        result = its.loss_and_grads(model, x, eps, *beta)
    except Failed as failed:
        if "another answer" not in failed.sentence:
            raise
        words = repeated(its.raw("loss_and_grads"), model, x, eps, *beta)
        raise Failed(words or failed.sentence) from None
    terms, grads = judging.values("loss_and_grads", result, ("terms", "grads"))
    if all(hasattr(terms, name) for name in TERMS):
        terms = [getattr(terms, name) for name in NAMES]
    if not isinstance(terms, tuple | list | np.ndarray):
        raise Failed(f"terms is {type(terms).__name__}, expected three numbers: (loss, nll, kl), then grads")
    terms = dict(zip(NAMES, judging.values("terms", list(terms), NAMES), strict=True))
    for name in TERMS:
        if np.shape(terms[name]) == (B,):
            raise Failed(f"{name} has shape {(B,)}, expected one number: the mean over the batch is missing")
        judging.array(name, terms[name], (), SIZES)
    return {name: float(np.asarray(terms[name])) for name in TERMS}, grads


def check_terms(its):
    """loss, nll and kl at three betas, one of them the default."""
    model, x, eps = example()
    for beta, note in ((BETA, ""), (2.5, " (beta = 2.5)"), (None, " (beta is not given, so it is 1)")):
        weight = beta or 1.0
        got, _ = results(its, model, x, eps, *([beta] if beta else []))
        want = forward(model.params, x, eps, weight)
        if not all(judging.close(got[name], want[name]) for name in TERMS):
            _explain(FORWARD_SLIPS, TERMS, (model.params, x, eps, weight), got, want, note)
    if results(its, model, x, eps)[0]["nll"] == results(its, model, x, -eps)[0]["nll"]:
        raise Failed("nll is the same for any eps: the noise is not taken from the argument")


def _explain(slips, names, given, got, want, note=""):
    """Raise Failed about the first wrong result: two exchanged, what a slip would give, or what looks so."""
    wrong = [name for name in names if not judging.close(got[name], want[name])]
    first = wrong[0]
    evidence = [f"{first}: {line}" for line in judging.evidence(got[first], want[first])]
    evidence.append(f"wrong, in this order: {', '.join(wrong)}")
    taken = {a: b for a in wrong for b in wrong if judging.close(got[a], want[b])}
    if len(taken) == len(wrong):
        order = "the order of the terms is (loss, nll, kl)" if names == TERMS else "two names are exchanged"
        raise Failed(f"{first} is what {taken[first]} should be: {order}", evidence)
    if words := cause(slips, names, got, want, lambda *slips: values_of(*given, *slips)):
        raise Failed(words + note, evidence)
    try:
        judging.expect(first, got[first], want[first], SIZES | {"beta": given[-1]})
    except Failed as failed:
        before = ", ".join(names[: names.index(first)])
        place = f"; right is what comes before it: {before}" if before and not failed.known else ""
        raise Failed(failed.sentence + place + note, evidence) from None


def check_names(its):
    """grads has the names and the shapes of model.params, and an array for each."""
    model, x, eps = example()
    _, grads = results(its, model, x, eps, BETA)
    if not isinstance(grads, dict):
        raise Failed(f"grads is {type(grads).__name__}, expected a dict with the names of model.params")
    more = [str(key) for key in grads if key not in KEYS]
    for key in KEYS:
        if key not in grads:
            found = f"; it has {', '.join(more)}" if more else ""
            raise Failed(f"grads has no entry {key!r}: its names are those of model.params{found}")
    if more:
        raise Failed(f"grads has an entry {more[0]!r}, which is no parameter of the model")
    for key in KEYS:
        judging.array(f"grads[{key!r}]", grads[key], model.params[key].shape, SIZES)
    for one, two in combinations(KEYS, 2):
        if np.shares_memory(np.asarray(grads[one]), np.asarray(grads[two])):
            raise Failed(f"grads[{one!r}] and grads[{two!r}] share one array: each needs one of its own")


def check_gradients(its):
    """Every parameter against the complex step, in the order of the walk back."""
    for seed, beta in ((71, BETA), (72, 2.5)):
        model, x, eps = example(seed)
        _, grads = results(its, model, x, eps, beta)
        want = reference(model.params, x, eps, beta)
        if not all(judging.close(grads[key], want[key]) for key in KEYS):
            other = results(its, model, x, -eps, beta)[1]
            if all(np.array_equal(grads[key], other[key]) for key in KEYS):
                raise Failed("the derivatives are the same for any eps: other noise is used on the way back")
            _explain(BACKWARD_SLIPS, tuple(KEYS), (model.params, x, eps, beta), grads, want)


def check_far(its):
    """Logits of +-800: finite, and with no bound."""
    model, x, eps = example()
    model.params["output.b"] += np.where(np.arange(D) % 2, 800.0, -800.0)
    x = np.where(np.arange(D) % 3 == 0, 0.0, np.where(np.arange(D) % 3 == 1, 1.0, x))
    with judging.noted(
        "at logits of +-800: where p rounds to 0 or 1 its log is lost, or clipped. Go from the logits: "
        "max(l, 0) - x l + log1p(e^-|l|)"
    ):
        _exact(its, model, x, eps)


def check_spread(its):
    """logvar of -25 and 12: no bound on it."""
    model, x, eps = example()
    model.params["logvar.b"] += np.array([-25.0, 12.0, 0.5])
    with judging.noted("logvar goes from -24 to 12: is it clipped?"):
        _exact(its, model, x, eps)


def check_batches(its):
    """A batch of one after a batch of five: nothing is kept from it, and no size taken for granted."""
    model, x, eps = example(73, Kept)
    for n in (B, 1):
        with judging.noted(f"a batch of {n}, after others: is something kept, or B written in?"):
            _exact(its, model, x[-n:], eps[-n:])


def _exact(its, model, x, eps):
    """Hold the terms and then the derivatives to their references."""
    got, grads = results(its, model, x, eps, BETA)
    for name, want in forward(model.params, x, eps, BETA).items():
        if not judging.close(got[name], want):
            raise Failed(f"{name} is {got[name]:.6g}, and should be {want:.6g}")
    for key, want in reference(model.params, x, eps, BETA).items():
        judging.expect(key, grads[key], want, SIZES)


CHECKS = {
    "loss, nll and kl": check_terms,
    "a derivative for each parameter": check_names,
    "the derivatives, from the end on": check_gradients,
    "a decoder that is sure": check_far,
    "a posterior that is narrow here and wide there": check_spread,
    "one batch after the other": check_batches,
}


EXERCISE = Exercise(
    lesson=7,
    title="Walk the whole VAE, forward and back",
    task="""
    Write the whole walk of a VAE: forward to the loss, and back to every parameter. In the library it is a
    method, so its first parameter is the model. Only one kind of model comes here: one hidden layer of tanh
    on either side, the Bernoulli likelihood, one sample of noise eps (B, L). The docstring is the library's
    and promises more: leave `estimator` alone, and nothing need be refused.

    model.params is a dict of arrays, named

        encoder1.W (D, H)   encoder1.b (H,)      h = tanh(x @ W + b)
        mu.W       (H, L)   mu.b       (L,)      mu = h @ W + b
        logvar.W   (H, L)   logvar.b   (L,)      logvar = h @ W + b;  z = mu + exp(logvar / 2) * eps
        decoder1.W (L, H)   decoder1.b (H,)      g = tanh(z @ W + b)
        output.W   (H, D)   output.b   (D,)      logits = g @ W + b

    Return two things: the terms (loss, nll, kl), three numbers, loss = nll + beta * kl, where nll is summed
    over pixels, kl over latents, and both are averaged over the batch; and grads, a dict with the ten names
    of model.params, each the derivative of the loss by that parameter and of its shape. Leave the parameters
    as they are.

    You may write every line by hand, or call the pairs of `from minivae import ops`: ops.dense_forward(x, W,
    b, "tanh") gives y and a cache, ops.dense_backward(dy, cache) gives dx, dW, db; gaussian_sample(mu,
    logvar, eps), gaussian_kl(mu, logvar) and bernoulli_nll(logits, x), and the same with _backward, which
    take the derivative of their result as their first argument. The model's own methods are the solution.
    """,
    functions=(VAE.loss_and_grads,),
    hints=(
        "Where to look: lesson 7. Write the way forward in five layers and keep every value; then read your "
        "own lines from the last to the first, and write for each what it hands back. Begin at the loss: it "
        "is a mean over the batch, so dnll is 1/B and dkl is beta/B for every datum.",
        "The formula: dlogits = (sigmoid(logits) - x) / B. mu and logvar are reached on two ways: dmu = dz + "
        "beta/B * mu, and dlogvar = dz * 0.5 std eps + beta/B * 1/2 (e^logvar - 1). h goes into both heads: "
        "dh = dmu @ Wmu.T + dlogvar @ Wlogvar.T.",
        "All but the last line, forward:\n"
        "    p, B = model.params, len(x)\n"
        '    h, at_h = ops.dense_forward(x, p["encoder1.W"], p["encoder1.b"], "tanh")\n'
        '    mu, at_mu = ops.dense_forward(h, p["mu.W"], p["mu.b"])          # and logvar alike\n'
        "    z = ops.gaussian_sample(mu, logvar, eps)\n"
        '    g, at_g = ops.dense_forward(z, p["decoder1.W"], p["decoder1.b"], "tanh")\n'
        '    logits, at_logits = ops.dense_forward(g, p["output.W"], p["output.b"])\n'
        "    nll, kl = ops.bernoulli_nll(logits, x).mean(), ops.gaussian_kl(mu, logvar).mean()",
        "All but the last line, back:\n"
        "    grads = {}\n"
        "    dlogits = ops.bernoulli_nll_backward(np.full(B, 1 / B), logits, x)\n"
        '    dg, grads["output.W"], grads["output.b"] = ops.dense_backward(dlogits, at_logits)\n'
        '    dz, grads["decoder1.W"], grads["decoder1.b"] = ops.dense_backward(dg, at_g)\n'
        "    through_z = ops.gaussian_sample_backward(dz, mu, logvar, eps)\n"
        "    through_kl = ops.gaussian_kl_backward(np.full(B, beta / B), mu, logvar)\n"
        "    dmu, dlogvar = (a + b for a, b in zip(through_z, through_kl))\n"
        '    dh, grads["mu.W"], grads["mu.b"] = ops.dense_backward(dmu, at_mu)   # and logvar alike',
    ),
    checks=CHECKS,
    wrong=WRONG,
    borrowed=("forward", "backward", "loss", "cost", "encode", "decode", "_walk", "_walk_backward"),
    shows=(VAE.forward, VAE.backward, VAE._walk, VAE._walk_backward, layers.forward, layers.backward),
)

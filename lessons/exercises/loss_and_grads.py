"""Write the whole VAE, forward and backward

Write the forward pass to the loss, and the backward pass to every parameter. In the library this is a method,
so its first parameter is the model. Only one kind of model occurs here: encoder and decoder have one hidden
layer with tanh, the likelihood is Bernoulli, and there is one sample of noise, eps (B, L).

model.params is a dict with these arrays:

    encoder1.W (D, H)   encoder1.b (H,)      h = tanh(x @ W + b)
    mu.W       (H, L)   mu.b       (L,)      mu = h @ W + b
    logvar.W   (H, L)   logvar.b   (L,)      logvar = h @ W + b
    decoder1.W (L, H)   decoder1.b (H,)      g = tanh(z @ W + b)   z is sampled
    output.W   (H, D)   output.b   (D,)      logits = g @ W + b

Return two things. The first is the terms (loss, nll, kl), three numbers: nll is summed over pixels, kl over
latents, both are averaged over the batch, and loss = nll + beta * kl. The second is grads, a dict with the
ten names of model.params: each entry is the derivative of the loss with respect to that parameter and has its
shape. Do not change the parameters.

You may write every line by hand, or use `from minivae import ops`: ops.dense_forward(x, W, b, "tanh") returns
y and a cache, ops.dense_backward(dy, cache) returns dx, dW, db. There are also gaussian_sample(mu, logvar,
eps), gaussian_kl(mu, logvar) and bernoulli_nll(logits, x), each with a partner whose name ends in _backward
and whose first argument is the derivative of the result. Do not call the model's own methods: they are the
solution.

Where to look: lesson 7. Write the forward pass with its five layers and keep every result. Then read your
lines from the last to the first, and write the backward pass of each. Begin at the loss: it is a mean over
the batch, so dnll is 1/B and dkl is beta/B for every row.

The formula: dlogits = (sigmoid(logits) - x) / B. mu and logvar have two paths to the loss: dmu = dz + beta/B
* mu, and dlogvar = dz * 0.5 std eps + beta/B * 1/2 (e^logvar - 1). h is the input of both heads: dh = dmu @
Wmu.T + dlogvar @ Wlogvar.T.

All but the last line, forward:
    p, B = model.params, len(x)
    h, at_h = ops.dense_forward(x, p["encoder1.W"], p["encoder1.b"], "tanh")
    mu, at_mu = ops.dense_forward(h, p["mu.W"], p["mu.b"])          # and the same for logvar
    z = ops.gaussian_sample(mu, logvar, eps)
    g, at_g = ops.dense_forward(z, p["decoder1.W"], p["decoder1.b"], "tanh")
    logits, at_logits = ops.dense_forward(g, p["output.W"], p["output.b"])
    nll, kl = ops.bernoulli_nll(logits, x).mean(), ops.gaussian_kl(mu, logvar).mean()

All but the last line, backward:
    grads = {}
    dlogits = ops.bernoulli_nll_backward(np.full(B, 1 / B), logits, x)
    dg, grads["output.W"], grads["output.b"] = ops.dense_backward(dlogits, at_logits)
    dz, grads["decoder1.W"], grads["decoder1.b"] = ops.dense_backward(dg, at_g)
    through_z = ops.gaussian_sample_backward(dz, mu, logvar, eps)
    through_kl = ops.gaussian_kl_backward(np.full(B, beta / B), mu, logvar)
    dmu, dlogvar = (a + b for a, b in zip(through_z, through_kl))
    dh, grads["mu.W"], grads["mu.b"] = ops.dense_backward(dmu, at_mu)   # same for logvar
"""

from itertools import combinations

import numpy as np

from minivae import VAE, models

from ..calls import Failed, one_or_several
from . import Exercise, Part

TERMS = ("loss", "nll", "kl")
KEYS = [f"{layer}.{kind}" for layer in ("output", "decoder1", "mu", "logvar", "encoder1") for kind in "Wb"]


def draw(rng, n, beta=0.6):
    """A model with biases that are not 0, x (B, D), eps (B, L), beta."""
    model = VAE(n.D, n.L, (n.H,), "tanh", backend="numpy", dtype=np.float64, seed=int(rng.integers(1000)))
    for param in model.params.values():
        param += rng.normal(0, 0.4, param.shape)
    return {
        "model": model,
        "x": rng.uniform(0.02, 0.98, (n.B, n.D)),
        "eps": rng.normal(0, 1, (n.B, n.L)),
        "beta": beta,
    }


def draw_sure(rng, n):
    """Logits of +-800 whatever z is, beside ordinary ones; pixels that are 0, 1 and between."""
    args = draw(rng, n)
    bias, params = np.resize([-800.0, 800.0, 0.0, 800.0, -800.0], n.D), args["model"].params
    params["output.W"] *= bias == 0
    params["output.b"] += bias
    args["x"] = np.where(np.arange(n.D) % 3 == 2, args["x"], np.arange(n.D) % 3)
    return args


def draw_wide(rng, n):
    """logvar near -25, 12 and 0."""
    args = draw(rng, n, 2.5)
    args["model"].params["logvar.b"] += np.resize([-25.0, 12.0, 0.5], n.L)
    return args


def call(its, model, x, eps, beta):
    """The terms and every derivative; beta = 1 is not passed."""
    result = its.loss_and_grads(model, x, eps, *([] if beta == 1 else [beta]))
    terms, grads = one_or_several("loss_and_grads", result, ("terms", "grads"))
    if all(hasattr(terms, name) for name in TERMS):
        terms = [getattr(terms, name) for name in TERMS]
    if not isinstance(terms, tuple | list | np.ndarray) or not isinstance(grads, dict):
        kinds = f"{type(terms).__name__} and {type(grads).__name__}"
        raise Failed(f"loss_and_grads returns {kinds}, expected the terms (loss, nll, kl) and grads, a dict")
    loss, nll, kl = one_or_several("the terms of loss_and_grads", tuple(terms), TERMS)
    for key in sorted({*KEYS} ^ grads.keys(), key=str):
        words = "has no entry" if key in KEYS else "must not have the entry"
        raise Failed(
            f"grads {words} {key!r}: its names are those of model.params",
            [f"it has {', '.join(map(str, grads))}"],
        )
    for one, two in combinations(KEYS, 2):
        if np.shares_memory(np.asarray(grads[one]), np.asarray(grads[two])):
            raise Failed(f"grads[{one!r}] and grads[{two!r}] share one array: each needs its own")
    return loss, nll, kl, *(grads[key] for key in KEYS)


def loss_and_grads(model, x, eps, beta=1.0):
    """x (B, D), eps (B, L) -> terms (loss, nll, kl), in nats per example; grads, a dict like model.params."""


loss_and_grads.__module__ = (
    f"{models.__name__}.VAE"  # there is the library's own, for every likelihood and bound
)

WALK = """
    We = model.params["encoder1.W"]; be = model.params["encoder1.b"]
    Wm = model.params["mu.W"]; bm = model.params["mu.b"]
    Wl = model.params["logvar.W"]; bl = model.params["logvar.b"]
    Wd = model.params["decoder1.W"]; bd = model.params["decoder1.b"]
    Wo = model.params["output.W"]; bo = model.params["output.b"]
    B = len(x)
    h = tanh(x @ We + be)  # (B, H)
    mu = h @ Wm + bm  # (B, L)
    logvar = h @ Wl + bl  # (B, L)
    std = exp(0.5 * logvar)  # (B, L): e^logvar is the variance
    z = mu + std * eps
    g = tanh(z @ Wd + bd)  # (B, H)
    logits = g @ Wo + bo  # (B, D)
    p = exp(-logaddexp(0, -logits))  # the sigmoid
    nll_b = (logaddexp(0, logits) - x * logits).sum(axis=1)  # (B,)
    kl_b = 0.5 * (mu**2 + exp(logvar) - logvar - 1).sum(axis=1)  # (B,)
    nll = nll_b.mean()
    kl = kl_b.mean()
    loss = nll + beta * kl
    dnll = 1 / B  # of each row
    dkl = beta / B
    dlogits = dnll * (p - x)  # (B, D)
    grads = {}
    grads["output.W"] = g.T @ dlogits
    grads["output.b"] = dlogits.sum(axis=0)
    dg = dlogits @ Wo.T
    slope_g = 1 - g**2
    da = dg * slope_g  # (B, H)
    grads["decoder1.W"] = z.T @ da
    grads["decoder1.b"] = da.sum(axis=0)
    dz = da @ Wd.T  # (B, L)
    mu_z = dz
    logvar_z = dz * 0.5 * std * eps
    mu_kl = dkl * mu
    logvar_kl = dkl * 0.5 * (exp(logvar) - 1)
    dmu = mu_z + mu_kl  # (B, L): one part through z, one through the kl
    dlogvar = logvar_z + logvar_kl
    grads["mu.W"] = h.T @ dmu
    grads["mu.b"] = dmu.sum(axis=0)
    grads["logvar.W"] = h.T @ dlogvar
    grads["logvar.b"] = dlogvar.sum(axis=0)
    dh = dmu @ Wm.T + dlogvar @ Wl.T  # (B, H)
    slope_h = 1 - h**2
    de = dh * slope_h
    grads["encoder1.W"] = x.T @ de
    grads["encoder1.b"] = de.sum(axis=0)
"""
FORWARD_SLIPS = """
    nll = nll_b.sum()  # nll is summed over the batch: it is the mean over the rows, of sums over pixels
    kl = kl_b.sum()  # kl is summed over the batch: it is the mean over the rows, of sums over latents
    nll_b = (logaddexp(0, logits) - (1 - x) * logits).sum(axis=1)  # x and 1 - x are swapped in nll
    nll_b = ((x - p)**2).sum(axis=1)  # nll is the squared error: the Bernoulli's is the cross-entropy
    nll_b = -(x * log(p) + (1 - x) * log(1 - p)).sum(axis=1)
        # nll takes the log of p, which rounds to 0 or 1: use the logits, log(1 + e^l) - x l
    nll_b = -(x * log(p + SMALL) + (1 - x) * log(1 - p + SMALL)).sum(axis=1)
    nll_b = -(x * log(p + 1e-300) + (1 - x) * log(1 - p + 1e-300)).sum(axis=1)
        # a small number is added to p before its log: use the logits, log(1 + e^l) - x l
    q = clip(p, SMALL, 1 - SMALL); nll_b = -(x * log(q) + (1 - x) * log(1 - q)).sum(axis=1)
        # p is clipped before its log: use the logits, log(1 + e^l) - x l
    logits = exp(-logaddexp(0, -(g @ Wo + bo)))  # the sigmoid is applied twice: the nll takes logits
    h = maximum(x @ We + be, 0); g = maximum(z @ Wd + bd, 0)  # relu is used where tanh belongs
    mu = h @ Wl + bl; logvar = h @ Wm + bm  # mu and logvar are swapped
    kl_b = 0.5 * (mu**2 + exp(2 * logvar) - 2 * logvar - 1).sum(axis=1)  # kl takes logvar for log std
    kl = beta * kl_b.mean(); loss = nll + kl  # kl has beta in it: beta belongs to loss = nll + beta * kl
    loss = beta * nll + kl  # loss is beta * nll + kl: beta is the weight of the KL
    loss = beta * (nll + kl)  # loss is beta * (nll + kl): beta is the weight of the KL alone
"""
BACKWARD_SLIPS = """
    logvar_z = dz * eps  # dlogvar lacks 0.5 * std: dz * eps is the derivative with respect to std
    dkl = 1 / B  # the kl's part of the backward pass lacks beta, which multiplies the kl and its derivatives
    dkl = beta / (B * mu.shape[1])  # the kl's part of the backward pass is averaged over the L latents
    dnll = beta / B; dkl = 1 / B  # in the backward pass beta multiplies the nll, not the kl
    dnll = 1.0; dkl = beta  # every derivative is B times too large: the loss is a mean, so each row has 1/B
    dlogits = dnll * (p - x) * p * (1 - p)  # dlogits is multiplied by p (1 - p): p - x has it already
    dlogits = dnll * (p - x) / (p * (1 - p))  # p (1 - p) divides dlogits: that is the derivative w.r.t. p
    slope_g = 1 - tanh(g)**2; slope_h = 1 - tanh(h)**2  # tanh is applied again: y is tanh(a), so 1 - y^2
    slope_g = g * (1 - g); slope_h = h * (1 - h)  # y (1 - y) is for the sigmoid: tanh has 1 - y^2
    dkl = beta / x.shape[1]  # the kl's part of the backward pass is divided by D, where B belongs
    logvar = clip(h @ Wl + bl, -LIMIT, LIMIT)  # logvar is clipped at +-LIMIT: it may be any number
    logits = clip(g @ Wo + bo, -LIMIT, LIMIT)  # the logits are clipped at +-LIMIT: they may be any numbers
    c = exp(clip(logvar, -LIMIT, LIMIT)); logvar_z = dz * 0.5 * sqrt(c) * eps; logvar_kl = dkl * 0.5 * (c - 1)
        # logvar is clipped at +-LIMIT in the backward pass: it may be any number
    dlogits = dnll * (exp(-logaddexp(0, -clip(logits, -LIMIT, LIMIT))) - x)
        # the logits are clipped at +-LIMIT in the backward pass: they may be any numbers
"""

WHOLE = Part(
    loss_and_grads,
    returns=" ".join(["loss nll kl", *(f'grads["{key}"]' for key in KEYS)]),
    walk=WALK,
    slips=FORWARD_SLIPS + BACKWARD_SLIPS,
    cases={
        "the terms and every derivative": draw,
        "beta is not given, and so is 1": lambda rng, n: draw(rng, n, 1.0),
        "beta = 0": lambda rng, n: draw(rng, n, 0.0),
        "logits of +-800, where p rounds to 0 or 1": draw_sure,
        "logvar from -25 to 12": draw_wide,
    },
    call=call,
    single=False,
    shown="{walk}\nreturn (loss, nll, kl), grads",
)

EXERCISE = Exercise(
    __doc__, lesson=7, parts=(WHOLE,), borrowed=("forward", "backward", "loss", "cost", "encode", "decode")
)

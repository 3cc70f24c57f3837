"""What goes wrong on the walk through a VAE.

The walk is a table of lines as a learner would write them; a slip is some of these lines written differently.
"""

from ..judging import Wrong, close
from ..judging.walks import lines, table, walk

TERMS = ("nll", "kl", "loss")  # in the order in which one follows from the other

# parameters in the order of the walk back -> what the lines below call them
LAYERS = {"output": "o", "decoder1": "d", "mu": "m", "logvar": "l", "encoder1": "e"}
KEYS = {f"{layer}.{kind}": f"{kind}{letter}" for layer, letter in LAYERS.items() for kind in "Wb"}

WALK = """
h = tanh(x @ We + be)
mu = h @ Wm + bm; logvar = h @ Wl + bl
std = exp(0.5 * logvar); z = mu + std * eps
g = tanh(z @ Wd + bd)
logits = g @ Wo + bo; p = sigmoid(logits)
nll_b = (softplus(logits) - x * logits).sum(axis=1)
kl_b = 0.5 * (mu**2 + exp(logvar) - logvar - 1).sum(axis=1)
nll = nll_b.mean(); kl = kl_b.mean(); loss = nll + beta * kl
dnll = 1 / B; dkl = beta / B
dlogits = dnll * (p - x)
dWo = g.T @ dlogits; dbo = dlogits.sum(axis=0)
dg = dlogits @ Wo.T; slope_g = 1 - g**2; da = dg * slope_g
dWd = z.T @ da; dbd = da.sum(axis=0); dz = da @ Wd.T
mu_z = dz; logvar_z = dz * 0.5 * std * eps
mu_kl = dkl * mu; logvar_kl = dkl * 0.5 * (exp(logvar) - 1)
dmu = mu_z + mu_kl; dlogvar = logvar_z + logvar_kl
dWm = h.T @ dmu; dbm = dmu.sum(axis=0)
dWl = h.T @ dlogvar; dbl = dlogvar.sum(axis=0)
dh = dmu @ Wm.T + dlogvar @ Wl.T; slope_h = 1 - h**2; de = dh * slope_h
dWe = x.T @ de; dbe = de.sum(axis=0)
"""


FORWARD_SLIPS = table("""
nll = nll_b.sum()  # nll is summed over the batch: it is the mean over the data, of sums over pixels
nll_b = (softplus(logits) - x * logits).mean(axis=1)  # nll is averaged over the D pixels, which add up
nll = -nll_b.mean()  # nll has the opposite sign: it is minus the log-likelihood
nll_b = (x * softplus(-logits)).sum(axis=1)  # nll is x log p alone: (1 - x) log(1 - p) is missing
nll_b = (softplus(logits) - (1 - x) * logits).sum(axis=1)  # nll has x and 1 - x exchanged
nll_b = (softplus(logits) + x * logits).sum(axis=1)  # nll has the wrong sign at x logits
nll_b = softplus(logits).sum(axis=1)  # nll lacks - x logits
nll_b = (softplus(-logits) - x * logits).sum(axis=1)  # nll has softplus(-logits) for softplus(logits)
nll_b = (softplus(logits) - x * logits).sum(axis=1) / log(2)  # nll is in bits: the natural log is asked
nll_b = ((x - p)**2).sum(axis=1)  # nll is the squared error: the Bernoulli's is the cross-entropy
nll_b = 0.5 * ((x - p)**2).sum(axis=1)  # nll is half the squared error: the Bernoulli's is the cross-entropy
h = tanh((x > .5) @ We + be); nll_b = (softplus(logits) - (x > .5) * logits).sum(axis=1)  # x is cut to 0 or 1
logits = sigmoid(g @ Wo + bo)  # the sigmoid is taken twice: p stands where the logits belong
logits = tanh(g @ Wo + bo)  # the output is bent by tanh: the logits are linear
h = x @ We + be  # the encoder's tanh is missing
g = z @ Wd + bd  # the decoder's tanh is missing
h = relu(x @ We + be)  # the encoder has relu for tanh
g = relu(z @ Wd + bd)  # the decoder has relu for tanh
h = relu(x @ We + be); g = relu(z @ Wd + bd)  # encoder and decoder have relu for tanh
h = sigmoid(x @ We + be); g = sigmoid(z @ Wd + bd)  # encoder and decoder have the sigmoid for tanh
mu = tanh(h @ Wm + bm)  # mu is bent by tanh: the heads are linear
logvar = tanh(h @ Wl + bl)  # logvar is bent by tanh: the heads are linear
mu = tanh(h @ Wm + bm); logvar = tanh(h @ Wl + bl)  # mu and logvar are bent by tanh: the heads are linear
mu = h @ Wl + bl; logvar = h @ Wm + bm  # mu and logvar are exchanged
h = tanh(x @ We)  # the encoder's bias is missing
mu = h @ Wm  # the bias of mu is missing
logvar = h @ Wl  # the bias of logvar is missing
g = tanh(z @ Wd)  # the decoder's bias is missing
logits = g @ Wo  # the output's bias is missing
std = exp(logvar)  # z has std = exp(logvar): that is the variance, and std = exp(0.5 * logvar)
std = logvar  # z takes logvar itself for the standard deviation: std = exp(0.5 * logvar)
std = exp(-0.5 * logvar)  # z has std = exp(-0.5 * logvar), its reciprocal: the sign in the exponent is wrong
z = mu  # z is mu: the noise std * eps is not added
z = mu + eps  # z is mu + eps: the noise is not multiplied by std
z = mu + std  # z is mu + std: eps is missing
z = mu - std * eps  # z is mu - std * eps: the noise is added
z = logvar + exp(0.5 * mu) * eps  # z has mu and logvar exchanged
kl = kl_b.sum()  # kl is summed over the batch: it is the mean over the data, of sums over latents
kl = kl_b.mean() / L  # kl is averaged over the L latents: independent latents add their divergences: a sum
nll = nll_b.sum(); kl = kl_b.sum()  # nll and kl are summed over the batch: both are means over the data
kl = 2 * kl_b.mean()  # kl is twice what it should be: the 1/2 of the Gaussian's exponent is missing
kl = -kl_b.mean()  # kl has the opposite sign: a divergence is never negative
kl = beta * kl_b.mean(); loss = nll + kl  # kl has beta in it already: beta stands in loss = nll + beta * kl
kl_b = 0.5 * (mu + exp(logvar) - logvar - 1).sum(axis=1)  # kl has mu where mu^2 belongs
kl_b = 0.5 * (mu**2 + exp(logvar) - logvar).sum(axis=1)  # kl lacks the -1 of each latent
kl_b = 0.5 * (mu**2 + exp(logvar) - 1).sum(axis=1)  # kl lacks - logvar
kl_b = 0.5 * (mu**2 + exp(logvar) + logvar - 1).sum(axis=1)  # kl has the wrong sign at logvar: it is - logvar
kl_b = 0.5 * (mu**2 + std - logvar - 1).sum(axis=1)  # kl has std where the variance e^logvar belongs
kl_b = 0.5 * (mu**2 + exp(2 * logvar) - 2 * logvar - 1).sum(axis=1)  # kl takes logvar for the log of std
kl_b = 0.5 * ((mu**2 + 1) / exp(logvar) + logvar - 1).sum(axis=1)  # kl is KL(p || q), with p and q exchanged
loss = nll + kl  # loss is nll + kl: beta is missing
loss = beta * nll + kl  # loss is beta * nll + kl: beta is the weight of the KL
loss = beta * (nll + kl)  # loss is beta * (nll + kl): beta is the weight of the KL alone
loss = nll - beta * kl  # loss is nll - beta * kl: the KL is paid for, so it is added
loss = -nll - beta * kl  # loss is the ELBO: it is made small, so it is minus the ELBO
loss = nll  # loss is nll alone: beta * kl is missing
""")

BACKWARD_SLIPS = table("""
dmu = mu_z  # dmu lacks the kl: mu is reached on two ways, through z and straight into the kl
dlogvar = logvar_z  # dlogvar lacks the kl: logvar is reached through z, and straight into the kl
dmu = mu_z; dlogvar = logvar_z  # the kl is forgotten on the way back: it adds to dmu and dlogvar
dmu = mu_kl  # dmu is made of the kl alone: what comes through z is not added
dlogvar = logvar_kl  # dlogvar is made of the kl alone: what comes through z is not added
dmu = mu_z * mu_kl  # the two parts of dmu are multiplied: what arrives on two ways adds
dbo = dlogits[:-1].sum(axis=0)  # output.b leaves out the last datum
dmu = mu_kl; dlogvar = logvar_kl  # dmu and dlogvar are made of the kl alone: z is left out
mu_z = 2 * dz; logvar_z = dz * std * eps  # dz goes into mu and logvar twice
mu_z = 2 * dz  # dz goes into mu twice
logvar_z = dz * std * eps  # dlogvar lacks a half on the way through z: std = exp(0.5 * logvar)
logvar_z = dz * 0.5 * std  # dlogvar lacks eps on the way through z: z = mu + std * eps
logvar_z = dz * 0.5 * eps  # dlogvar lacks std on the way through z: d exp(0.5 logvar) is 0.5 exp(0.5 logvar)
logvar_z = dz * eps  # dlogvar lacks 0.5 * std on the way through z: that is the derivative by std
logvar_z = dz * 0.5 * exp(logvar) * eps  # dlogvar has the variance e^logvar for std on the way through z
logvar_z = dz  # dlogvar gets dz as it is: it is multiplied by 0.5 * std * eps
logvar_z = dz * 0.5 * z  # dlogvar has z for std * eps on the way through z
logvar_z = -dz * 0.5 * std * eps  # dlogvar has the wrong sign on the way through z
logvar_kl = dkl * (exp(logvar) - 1)  # dlogvar lacks a half in the kl: it is 1/2 (e^logvar - 1)
logvar_kl = dkl * 0.5 * exp(logvar)  # dlogvar lacks the -1/2 in the kl: it is 1/2 (e^logvar - 1)
logvar_kl = dkl * 0.5 * (1 - exp(logvar))  # dlogvar has the wrong sign in the kl: it is 1/2 (e^logvar - 1)
logvar_kl = dkl * 0.5 * (std - 1)  # dlogvar has std for the variance in the kl: it is 1/2 (e^logvar - 1)
logvar_kl = dkl * 0.5 * (1 - exp(-logvar))  # dlogvar has 1 - e^-logvar for e^logvar - 1 in the kl
logvar_kl = 0.5 * (exp(logvar) - 1) / B  # dlogvar lacks beta in the kl
logvar_kl = beta * 0.5 * (exp(logvar) - 1)  # dlogvar lacks 1/B in the kl: the loss is a mean over the batch
mu_kl = dkl * 0.5 * mu  # dmu has half of the kl's derivative: 1/2 mu^2 has the derivative mu
mu_kl = 2 * dkl * mu  # dmu has twice the kl's derivative: 1/2 mu^2 has the derivative mu
mu_kl = -dkl * mu  # dmu has the wrong sign in the kl
mu_kl = dkl * z  # dmu has z for mu in the kl
mu_kl = mu / B  # dmu lacks beta in the kl
mu_kl = beta * mu  # dmu lacks 1/B in the kl: the loss is a mean over the batch
mu_kl = dkl * mu**2  # dmu has mu^2 in the kl: 1/2 mu^2 has the derivative mu
dkl = -beta / B  # the kl goes back with the wrong sign
dkl = 1 / B  # the way back of the kl lacks beta: it multiplies the kl in the loss, and so its derivatives
dkl = beta**2 / B  # the way back of the kl has beta squared: it is multiplied in twice
dnll = beta / B; dkl = 1 / B  # on the way back beta weighs the nll, and the kl has none: the other way round
dnll = beta / B  # on the way back beta weighs nll and kl: it is the kl's alone
dkl = 1.0  # the way back of the kl lacks beta and 1/B: the loss is a mean over the batch
dkl = beta  # the way back of the kl lacks 1/B: the loss is a mean over the batch
dnll = 1.0  # the way back of the nll lacks 1/B: the loss is a mean over the batch
dnll = 1.0; dkl = beta  # every derivative is B times too large: the loss is a mean, so 1/B goes back from it
dnll = 2 / B; dkl = 2 * beta / B  # every derivative is twice what it should be
dnll = 1 / B**2; dkl = beta / B**2  # every derivative has 1/B twice: the loss has it once
dnll = 1 / (B * D)  # the way back of the nll is averaged over the D pixels: the nll is a sum over them
dnll = 1 / D; dkl = beta / D  # every derivative is divided by D, where B belongs
dkl = beta / (B * L)  # the way back of the kl is averaged over the L latents: the kl is a sum over them
dnll = -1 / B; dkl = -beta / B  # every derivative has the wrong sign: the minus is the optimizer's
dlogits = dnll * (x - p)  # dlogits has the wrong sign: it is sigmoid(logits) - x
dlogits = dnll * (p - x) * p * (1 - p)  # dlogits is multiplied by p (1 - p): p - x has it already
dlogits = dnll * (p - x) / (p * (1 - p))  # dlogits is divided by p (1 - p): that is the derivative by p
dlogits = dnll * (logits - x)  # dlogits is logits - x: the sigmoid is missing
dlogits = dnll * p  # dlogits is sigmoid(logits): - x is missing
dlogits = 2 * dnll * (p - x)  # dlogits is twice what it should be: sigmoid(logits) - x has no 2
slope_g = 1.0  # the decoder's tanh is skipped on the way back: dg is multiplied by 1 - g^2
slope_h = 1.0  # the encoder's tanh is skipped on the way back: dh is multiplied by 1 - h^2
slope_h = 1 - g**2  # the encoder's tanh has the decoder's derivative
slope_g = 1 - tanh(g)**2  # the derivative of the decoder's tanh is 1 - tanh(y)^2, and y is tanh(a) already
slope_h = 1 - tanh(h)**2  # the derivative of the encoder's tanh is 1 - tanh(y)^2, and y is tanh(a) already
slope_g = 1 - g  # the derivative of the decoder's tanh is 1 - y: it is 1 - y^2
slope_h = 1 - h  # the derivative of the encoder's tanh is 1 - y: it is 1 - y^2
slope_g = g * (1 - g)  # the derivative of the decoder's tanh is y (1 - y), that of sigmoid: it is 1 - y^2
slope_h = h * (1 - h)  # the derivative of the encoder's tanh is y (1 - y), that of sigmoid: it is 1 - y^2
slope_g = 1.0 * (g > 0)  # the derivative of the decoder's tanh is that of relu: it is 1 - y^2
slope_h = 1.0 * (h > 0)  # the derivative of the encoder's tanh is that of relu: it is 1 - y^2
slope_g = 1.0; slope_h = 1.0  # both tanh are skipped on the way back: dy is multiplied by 1 - y^2
dmu = (mu_z + mu_kl) * (1 - mu**2)  # mu goes back through a tanh that is not there: the heads are linear
dmu = logvar_z + logvar_kl; dlogvar = mu_z + mu_kl  # dmu and dlogvar are exchanged
dh = dmu @ Wm.T  # the encoder gets its derivative through mu alone: h goes into both heads, which add
dh = dlogvar @ Wl.T  # the encoder gets its derivative through logvar alone: h goes into both heads, which add
dh = 0.5 * (dmu @ Wm.T + dlogvar @ Wl.T)  # the encoder gets the mean of its two heads' parts: they add
dh = dmu @ Wm.T - dlogvar @ Wl.T  # the encoder gets logvar's part subtracted: its two heads' parts add
dh = mu_z @ Wm.T + dlogvar @ Wl.T  # the encoder gets mu's part without the kl
dh = (dmu + dlogvar) @ Wm.T  # the encoder gets both parts through mu's weights
dh = dmu @ Wl.T + dlogvar @ Wm.T  # the encoder gets mu's part through logvar's weights, and vice versa
dh = mu_z @ Wm.T + logvar_z @ Wl.T  # the encoder gets what comes through z alone, without the kl
dWe = x.T @ dh  # encoder1.W is made of dh: on the way to it dh is multiplied by 1 - h^2
dbe = dh.sum(axis=0)  # encoder1.b is made of dh: on the way to it dh is multiplied by 1 - h^2
dWd = z.T @ dg  # decoder1.W is made of dg: on the way to it dg is multiplied by 1 - g^2
dbd = dg.sum(axis=0)  # decoder1.b is made of dg: on the way to it dg is multiplied by 1 - g^2
dbl = dmu.sum(axis=0)  # logvar.b is made of dmu: it is the sum of dlogvar
dWd = mu.T @ da  # the decoder's derivative is made with mu, where z went in
dWo = h.T @ dlogits  # the output's derivative is made with the encoder's h for g
dWm = g.T @ dmu; dWl = g.T @ dlogvar  # the heads' derivatives are made with the decoder's g for h
""")

WEIGHTS, BIASES = ([f"{n} = {f}" for n, f in lines(WALK).items() if n.startswith(d)] for d in ("dW", "db"))
AVERAGED = "are averaged over the batch: they are sums, 1/B is there already"
BACKWARD_SLIPS += [
    ("; ".join(line.replace("sum", "mean") for line in BIASES), f"the derivatives of the biases {AVERAGED}"),
    ("; ".join(f"{line} / B" for line in WEIGHTS), f"the derivatives of the weights {AVERAGED}"),
]


def values_of(params, x, eps, beta, *slips):
    """Every value of the walk by its name, and the derivatives by their parameters'; slips or none."""
    given = {short: params[key] for key, short in KEYS.items()}
    given |= {"x": x, "eps": eps, "beta": beta, "B": len(x), "D": x.shape[1], "L": eps.shape[1]}
    values = walk(WALK, given, *slips)
    return values | {key: values[f"d{short}"] for key, short in KEYS.items()}


def repeated(function, *arguments):
    """What changes from call to call; "" where that cannot be told."""
    try:
        (first, one), (second, two), (_, three) = (function(*arguments) for _ in range(3))
        added = all(close(three[key] - two[key], two[key] - one[key]) for key in KEYS)
        if list(first) != list(second):
            return "the loss changes from call to call: noise is drawn inside. eps is passed in, take that"
    except Exception:  # it was only asked again, and may fail in any way
        return ""
    if added:
        return "each call adds to the gradients of the call before: begin with new arrays every time"
    return "the noise was drawn again on the way back: grads change from call to call, and the loss does not"


# ------------------------------------------------------------------------------ wrong answers


def _wrong(check, code, says=None):
    """The walk with a slip; says: its sentence in the table, if nothing else."""

    def loss_and_grads(model, x, eps, beta=1.0, estimator=None):
        values = values_of(model.params, x, eps, beta, code)
        return [values[name] for name in ("loss", "nll", "kl")], {key: values[key] for key in KEYS}

    return Wrong(
        {"loss_and_grads": loss_and_grads}, check, says or dict(FORWARD_SLIPS + BACKWARD_SLIPS)[code]
    )


def _descends(model, x, eps, beta=1.0, estimator=None):
    """Changes the parameters by itself."""
    for key, param in model.params.items():
        param -= 0.01 * values_of(model.params, x, eps, beta)[key]


VALUES, SLOPES = "loss, nll and kl", "the derivatives, from the end on"
SURE, SPREAD = "a decoder that is sure", "a posterior that is narrow here and wide there"
WRONG = (
    _wrong(VALUES, "nll = nll_b.sum()"),
    _wrong(VALUES, "nll_b = (softplus(logits) - x * logits).mean(axis=1)"),
    _wrong(VALUES, "kl = kl_b.mean() / L"),
    _wrong(VALUES, "std = exp(logvar)"),
    _wrong(VALUES, "loss = beta * nll + kl"),
    Wrong({"loss_and_grads": _descends}, VALUES, "loss_and_grads changes model.params['encoder1.W']"),
    _wrong(SLOPES, "dmu = mu_z"),
    _wrong(SLOPES, "logvar_z = dz * std * eps"),
    _wrong(SLOPES, "dkl = 1 / B"),
    _wrong(SLOPES, "dnll = 1.0; dkl = beta"),
    _wrong(SLOPES, "dh = dmu @ Wm.T"),
    _wrong(SLOPES, "slope_g = 1.0"),
    _wrong(SPREAD, "logvar = clip(h @ Wl + bl, -10, 10)", "(logvar goes from -24 to 12: is it clipped?)"),
    _wrong(
        SURE,
        "nll_b = -(x * log(p + 1e-300) + (1 - x) * log(1 - p + 1e-300)).sum(axis=1)",
        "where p rounds to 0 or 1 its log is lost, or clipped",
    ),
)

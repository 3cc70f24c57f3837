"""The gallery: classical bugs of variational autoencoders, each a few lines of the right code changed.

Most have stood in public code, in lecture notes or in somebody's question, and their story says where; the
others are the slips that every exercise sees. Where the mathematics is wrong, its derivative is made to
match: such a bug passes every gradient check. Where the derivative is wrong, the loss mostly falls all the
same. In each pair of functions below, read what differs from `ops`.
"""

import numpy as np

from .. import ops
from ..models import VAE, Terms
from ..optimizers import Adam, adam_update
from .bug import Bug

# ------------------------------------------------------------------------------ z = mu + std eps

_redrawn = np.random.default_rng(1)


def _dlogvar_without_half(dz, mu, logvar, eps):
    dmu, dlogvar = ops.gaussian_sample_backward(dz, mu, logvar, eps)
    return dmu, 2 * dlogvar


def _dz_twice(dz, mu, logvar, eps):
    dmu, dlogvar = ops.gaussian_sample_backward(dz, mu, logvar, eps)
    return 2 * dmu, dlogvar


def _noise_redrawn(dz, mu, logvar, eps):
    return ops.gaussian_sample_backward(dz, mu, logvar, _redrawn.standard_normal(eps.shape).astype(eps.dtype))


def _over_samples(dmu, dlogvar, mu):
    """Sum over the samples of z that share one mu and logvar."""
    return [d.reshape(-1, *mu.shape).sum(axis=0) for d in (dmu, dlogvar)]


def _clamp(logvar):
    return np.clip(logvar, -10, 10)


SAMPLING = (
    Bug(
        "std-is-exp-logvar",
        "the sampler takes exp(logvar) for the standard deviation",
        "ddbourgin/numpy-ml samples so, and differentiates it rightly: its gradients agree with finite "
        "differences to 4e-9, and its z has the wrong spread.",
        ("sampler", "bound"),
        {
            "gaussian_sample": lambda mu, logvar, eps: mu + np.exp(logvar) * eps,
            "gaussian_sample_backward": lambda dz, mu, logvar, eps: _over_samples(
                dz, dz * np.exp(logvar) * eps, mu
            ),
        },
    ),
    Bug(
        "logvar-is-std",
        "the sampler takes the encoder's logvar for the standard deviation",
        "log-variance, log-std or std? Asked in keras #3283 and #9970 and in y0ast/VAE-Torch #3. The KL "
        "here reads the same numbers as a log-variance.",
        ("sampler", "bound"),
        {
            "gaussian_sample": lambda mu, logvar, eps: mu + logvar * eps,
            "gaussian_sample_backward": lambda dz, mu, logvar, eps: _over_samples(dz, dz * eps, mu),
        },
    ),
    Bug(
        "decoder-sees-mu",
        "the decoder is given mu instead of z",
        "An exercise slip: `decode(mu)` where `decode(z)` belongs. What is left is an autoencoder with a "
        "penalty, rightly differentiated, and its loss falls further than a VAE's.",
        ("sampler", "bound"),
        {
            "gaussian_sample": lambda mu, logvar, eps: mu + 0 * eps,
            "gaussian_sample_backward": lambda dz, mu, logvar, eps: _over_samples(dz, 0 * dz, mu),
        },
    ),
    Bug(
        "dlogvar-without-half",
        "the derivative of z by logvar lacks its 1/2",
        "An exercise slip: the 1/2 of std = exp(logvar / 2) does not come down.",
        ("gradient",),
        {"gaussian_sample_backward": _dlogvar_without_half},
    ),
    Bug(
        "noise-redrawn",
        "the way back draws new noise",
        "kwj2104/Simple-Variational-Autoencoder draws the noise twice and differentiates with the other "
        "draw: its gradient by logvar is wrong by 0.84 of itself.",
        ("gradient", "scaling"),
        {"gaussian_sample_backward": _noise_redrawn},
    ),
    Bug(
        "dz-twice",
        "the derivative by z reaches mu twice",
        "An exercise slip: `dmu += dz` after `dmu = dz`.",
        ("gradient",),
        {"gaussian_sample_backward": _dz_twice},
    ),
    Bug(
        "logvar-clamped-forward",
        "logvar is clamped to +-10 on the way forward, and not in its derivative",
        "The usual cure for exp(logvar) = inf, done by half. It shows only where the clamp bites, so a "
        "check with logvar near 0 passes it.",
        ("gradient",),
        {
            "gaussian_sample": lambda mu, logvar, eps: ops.gaussian_sample(mu, _clamp(logvar), eps),
            "gaussian_kl": lambda mu, logvar: ops.gaussian_kl(mu, _clamp(logvar)),
        },
    ),
    Bug(
        "logvar-clamped-backward",
        "logvar is clamped to +-10 in its derivative, and not on the way forward",
        "The other half of the same cure.",
        ("gradient",),
        {
            "gaussian_sample_backward": lambda dz, mu, logvar, eps: ops.gaussian_sample_backward(
                dz, mu, _clamp(logvar), eps
            ),
            "gaussian_kl_backward": lambda dkl, mu, logvar: ops.gaussian_kl_backward(dkl, mu, _clamp(logvar)),
        },
    ),
)

# ------------------------------------------------------------------------------ KL(q || p)


def _kl_reversed_backward(dkl, mu, logvar):
    precision = np.exp(-logvar)
    return dkl[:, None] * mu * precision, dkl[:, None] * 0.5 * (1 - (1 + mu * mu) * precision)


def _dmu_without_kl(dkl, mu, logvar):
    dmu, dlogvar = ops.gaussian_kl_backward(dkl, mu, logvar)
    return 0 * dmu, dlogvar


def _dlogvar_without_minus_one(dkl, mu, logvar):
    return dkl[:, None] * mu, dkl[:, None] * 0.5 * np.exp(logvar)


DIVERGENCE = (
    Bug(
        "kl-without-half",
        "the KL lacks its 1/2",
        "How to weigh reconstruction against KL is what users of VAE code ask most (pytorch/examples #234 "
        "#290 #652 #817); a lost 1/2 is one answer, given without noticing.",
        ("kl", "bound"),
        {
            "gaussian_kl": lambda mu, logvar: 2 * ops.gaussian_kl(mu, logvar),
            "gaussian_kl_backward": lambda dkl, mu, logvar: ops.gaussian_kl_backward(2 * dkl, mu, logvar),
        },
    ),
    Bug(
        "kl-sign",
        "the KL has the opposite sign",
        "Equation (4) of Marchioro's lecture notes; asked in pytorch/examples #298 and #824 and in keras "
        "#4967. The loss falls without end, because the KL grows.",
        ("kl", "bound"),
        {
            "gaussian_kl": lambda mu, logvar: -ops.gaussian_kl(mu, logvar),
            "gaussian_kl_backward": lambda dkl, mu, logvar: ops.gaussian_kl_backward(-dkl, mu, logvar),
        },
    ),
    Bug(
        "kl-mu-not-squared",
        "the KL has mu where mu^2 belongs",
        "Equation (4) of Marchioro's lecture notes again: the second of its three slips.",
        ("kl", "bound"),
        {
            "gaussian_kl": lambda mu, logvar: 0.5 * (mu + np.expm1(logvar) - logvar).sum(axis=-1),
            "gaussian_kl_backward": lambda dkl, mu, logvar: (
                dkl[:, None] * np.full_like(mu, 0.5),
                ops.gaussian_kl_backward(dkl, mu, logvar)[1],
            ),
        },
    ),
    Bug(
        "kl-reversed",
        "KL(p || q) is computed instead of KL(q || p)",
        "The third slip of Marchioro's equation (4). It comes easily to whoever has read 'KL distance' "
        "(the UvA notes): a distance would be symmetric, the KL is not.",
        ("kl", "bound"),
        {
            "gaussian_kl": lambda mu, logvar: (
                0.5 * (logvar + (1 + mu * mu) * np.exp(-logvar) - 1).sum(axis=-1)
            ),
            "gaussian_kl_backward": _kl_reversed_backward,
        },
    ),
    Bug(
        "kl-without-minus-one",
        "the KL lacks its -1: it is too large by L/2",
        "An exercise slip without a gradient: a constant changes no step, and every reported number.",
        ("kl", "bound"),
        {"gaussian_kl": lambda mu, logvar: 0.5 * (mu * mu + np.exp(logvar) - logvar).sum(axis=-1)},
    ),
    Bug(
        "kl-takes-log-std",
        "the KL takes logvar for a log standard deviation, the sampler for a log variance",
        "The question of keras #3283, answered differently in two places of one program.",
        ("kl", "bound"),
        {
            "gaussian_kl": lambda mu, logvar: ops.gaussian_kl(mu, 2 * logvar),
            "gaussian_kl_backward": lambda dkl, mu, logvar: (
                dkl[:, None] * mu,
                dkl[:, None] * np.expm1(2 * logvar),
            ),
        },
    ),
    Bug(
        "kl-averaged-over-latents",
        "the KL is averaged over the latents",
        "Sum or mean? The most frequent question of all (keras #3169 and #3383, six threads in "
        "AntixK/PyTorch-VAE); here for the latents.",
        ("kl", "scaling"),
        {
            "gaussian_kl": lambda mu, logvar: ops.gaussian_kl(mu, logvar) / mu.shape[1],
            "gaussian_kl_backward": lambda dkl, mu, logvar: ops.gaussian_kl_backward(
                dkl / mu.shape[1], mu, logvar
            ),
        },
    ),
    Bug(
        "kl-keeps-axis",
        "kl has shape (B, 1)",
        "An exercise slip, `keepdims=True`: nll (B,) + kl (B, 1) is a B x B outer sum. Its mean is right "
        "all the same, so only the shape tells, until somebody sums.",
        ("kl", "shapes"),
        {
            "gaussian_kl": lambda mu, logvar: ops.gaussian_kl(mu, logvar)[:, None],
            "gaussian_kl_backward": lambda dkl, mu, logvar: ops.gaussian_kl_backward(dkl[:, 0], mu, logvar),
        },
    ),
    Bug(
        "dlogvar-without-minus-one",
        "the derivative of the KL by logvar lacks its -1",
        "An exercise slip: 1/2 e^logvar where 1/2 (e^logvar - 1) belongs. The KL's gradient is then never "
        "0, and logvar is pushed down for ever.",
        ("gradient", "loss falls"),
        {"gaussian_kl_backward": _dlogvar_without_minus_one},
    ),
    Bug(
        "dmu-without-kl",
        "the mean's own way into the KL is forgotten",
        "An exercise slip: mu reaches the loss on two ways, through z and straight into the KL.",
        ("gradient", "loss falls"),
        {"gaussian_kl_backward": _dmu_without_kl},
    ),
    Bug(
        "kl-gradient-forgotten",
        "the gradient comes through z alone: the KL is reported and never minimized",
        "An exercise slip: the backward pass starts at the decoder and nobody adds the KL's part.",
        ("gradient", "loss falls"),
        {"gaussian_kl_backward": lambda dkl, mu, logvar: (0 * mu, 0 * logvar)},
    ),
    Bug(
        "kl-gradient-summed",
        "the KL's gradient is not divided by the batch",
        "An exercise slip: the loss is a mean over the batch, and only one of its two terms remembers it "
        "on the way back.",
        ("gradient", "scaling"),
        {
            "gaussian_kl_backward": lambda dkl, mu, logvar: ops.gaussian_kl_backward(
                dkl * len(dkl), mu, logvar
            )
        },
    ),
)

# ------------------------------------------------------------------------------ -log p(x|z)


def _cross_entropy(p, x):
    with np.errstate(divide="ignore", invalid="ignore"):
        return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=-1)


def _clipped_backward(dnll, logits, x):
    p = _probability(logits)
    inside = (p > 0.001) & (p < 0.999)
    return dnll[..., None] * inside * (p - x)


def _probability(logits):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-logits))


def _squared_error(mean, logvar, x):
    return ((x - mean) ** 2).sum(axis=-1)


def _half_squared_error(mean, logvar, x):
    return 0.5 * _squared_error(mean, logvar, x)


LIKELIHOOD = (
    Bug(
        "nll-averaged-over-pixels",
        "the reconstruction is averaged over the pixels, the KL summed over the latents",
        "pytorch/examples #234 and its many successors: the mean makes the KL 784 times too heavy on "
        "MNIST, and the posterior collapses.",
        ("scaling", "logits", "bound"),
        {
            "bernoulli_nll": lambda logits, x: ops.bernoulli_nll(logits, x) / x.shape[1],
            "bernoulli_nll_backward": lambda dnll, logits, x: ops.bernoulli_nll_backward(
                dnll / x.shape[1], logits, x
            ),
        },
    ),
    Bug(
        "mean-with-gradient-of-sum",
        "the loss is a mean over the pixels, its gradient that of the sum",
        "danielkurniadi/Numpy-Variational-Autoencoder: what is reported and what is minimized are two "
        "things.",
        ("gradient", "scaling", "logits", "bound"),
        {"bernoulli_nll": lambda logits, x: ops.bernoulli_nll(logits, x) / x.shape[1]},
    ),
    Bug(
        "log-of-probability",
        "the cross-entropy is computed from probabilities: log(0)",
        "NaN from log(0), a standing question in VAE threads: at a logit of 40 the sigmoid rounds to 1.",
        ("logits",),
        {"bernoulli_nll": lambda logits, x: _cross_entropy(_probability(logits), x)},
    ),
    Bug(
        "probability-clipped",
        "probabilities are clipped to [0.001, 0.999]",
        "The usual cure for log(0). It forgives a wrong pixel (a logit of 40 costs 6.9 nats) and takes "
        "its gradient away.",
        ("logits",),
        {
            "bernoulli_nll": lambda logits, x: _cross_entropy(np.clip(_probability(logits), 0.001, 0.999), x),
            "bernoulli_nll_backward": _clipped_backward,
        },
    ),
    Bug(
        "squared-error-without-half",
        "the squared error is taken for the nll of a Gaussian with variance 1",
        "The lecture notes of Marchioro, Brown and Bonvicini: reconstruction = |x - x^|^2 plus KL. It "
        "belongs to variance 1/2; unit variance gives half of it.",
        ("bound",),
        {
            "gaussian_nll": _squared_error,
            "gaussian_nll_backward": lambda dnll, mean, logvar, x: (
                dnll[..., None] * 2 * (mean - x),
                np.zeros_like(logvar),
            ),
        },
        {"likelihood": "gaussian"},
    ),
    Bug(
        "gaussian-without-constant",
        "the Gaussian nll lacks D/2 log 2 pi",
        "Half the squared error has the right gradient and is no density: 'what loss should I expect?' "
        "(tensorflow/probability #56, pyro #539) has no answer then.",
        ("bound",),
        {"gaussian_nll": _half_squared_error},
        {"likelihood": "gaussian"},
    ),
)

# ------------------------------------------------------------------------------ layers


def _db_averaged(dy, cache, input_gradient=True):
    dx, dW, db = ops.dense_backward(dy, cache, input_gradient)
    return dx, dW, db / len(dy)


def _W_not_transposed(dy, cache, input_gradient=True):
    _, W, y, activation = cache
    dx, dW, db = ops.dense_backward(dy, cache, input_gradient)
    if input_gradient and W.shape[0] == W.shape[1]:  # elsewhere the shapes would tell
        dx = ops.activation_backward(dy, y, activation) @ W
    return dx, dW, db


def _activation_backward(name, derivative):
    """The right derivatives, but for one activation."""
    return lambda dy, y, activation: (
        derivative(dy, y) if activation == name else ops.activation_backward(dy, y, activation)
    )


LAYERS = (
    Bug(
        "db-averaged",
        "db is averaged over the batch",
        "An exercise slip: `da.mean(axis=0)`. Adam divides a constant factor out again, so that the "
        "training hardly notices.",
        ("gradient", "scaling"),
        {"dense_backward": _db_averaged},
    ),
    Bug(
        "W-not-transposed",
        "dx = da @ W instead of da @ W.T",
        "An exercise slip that the shapes report, unless a layer has as many outputs as inputs: check "
        "with unequal dimensions, and with equal ones too.",
        ("gradient",),
        {"dense_backward": _W_not_transposed},
        {"hidden": (5, 5)},
    ),
    Bug(
        "relu-skipped",
        "the way back skips the ReLU",
        "danielkurniadi/Numpy-Variational-Autoencoder, where the decoder skips its ReLU (0.38 off finite "
        "differences).",
        ("gradient",),
        {"activation_backward": _activation_backward("relu", lambda dy, y: dy)},
        {"activation": "relu"},
    ),
    Bug(
        "relu-of-dy",
        "the ReLU's derivative asks for the sign of dy, not of y",
        "An exercise slip: `dy * (dy > 0)`, the mask taken from the wrong tensor.",
        ("gradient",),
        {"activation_backward": _activation_backward("relu", lambda dy, y: np.where(dy.real > 0, dy, 0))},
        {"activation": "relu"},
    ),
    Bug(
        "sigmoid-without-complement",
        "the sigmoid's derivative is y instead of y (1 - y)",
        "An exercise slip. It shows with sigmoid layers only: a check must try every activation.",
        ("gradient",),
        {"activation_backward": _activation_backward("sigmoid", lambda dy, y: dy * y)},
        {"activation": "sigmoid"},
    ),
)

# ------------------------------------------------------------------------------ the walk and the loss

DATA = 60_000  # images in MNIST's training set


class _SummedOverBatch(VAE):
    def forward(self, x, eps, beta=1.0):
        terms, trace = super().forward(x, eps, beta)
        return Terms(*(len(x) * term for term in terms)), trace

    def backward(self, trace, beta=1.0, estimator=None):
        return {name: len(trace.x) * grad for name, grad in super().backward(trace, beta, estimator).items()}


class _LikelihoodTimesN(VAE):
    def forward(self, x, eps, beta=1.0):
        (_, nll, kl), trace = super().forward(x, eps, beta)
        return Terms(DATA * nll + beta * kl, DATA * nll, kl), trace

    def backward(self, trace, beta=1.0, estimator=None):
        return {k: DATA * grad for k, grad in super().backward(trace, beta / DATA, estimator).items()}


class _BetaOnNll(VAE):
    def forward(self, x, eps, beta=1.0):
        (_, nll, kl), trace = super().forward(x, eps, beta)
        return Terms(beta * nll + kl, nll, kl), trace

    def backward(self, trace, beta=1.0, estimator=None):
        both, nll = super().backward(trace, 1.0, estimator), super().backward(trace, 0.0, estimator)
        return {name: both[name] + (beta - 1) * nll[name] for name in both}


class _EvaluatedAtMu(VAE):
    def loss(self, x, eps, beta=1.0):
        return super().loss(x, np.zeros_like(eps), beta)


class _StaleGradients(VAE):
    def backward(self, trace, beta=1.0, estimator=None):
        stale = getattr(self, "_grads", {})
        grads = super().backward(trace, beta, estimator)
        self._grads = {name: grad + stale.get(name, 0) for name, grad in grads.items()}
        return dict(self._grads)


WALK = (
    Bug(
        "loss-summed-over-batch",
        "the loss is summed over the batch",
        "Sum or mean, once more (pytorch/examples #652): consistent with itself, and the step grows with "
        "the batch, so that a learning rate means nothing by itself.",
        ("scaling",),
        family=_SummedOverBatch,
    ),
    Bug(
        "likelihood-times-n",
        "the likelihood is multiplied by the number of data, the KL is not",
        "Isachenko's lecture notes: the stochastic gradient with one random datum multiplies only the "
        "likelihood by n, and the KL needs the same n.",
        ("bound",),
        family=_LikelihoodTimesN,
    ),
    Bug(
        "beta-on-nll",
        "beta weighs the reconstruction instead of the KL",
        "An exercise slip: at beta = 1, where most checks are made, nothing differs.",
        ("scaling",),
        family=_BetaOnNll,
    ),
    Bug(
        "evaluated-at-mu",
        "the model is trained with z and evaluated with z = mu",
        "The question of pytorch/examples PR #419: the number is smaller than the negative ELBO, and "
        "bounds nothing.",
        ("bound",),
        family=_EvaluatedAtMu,
    ),
    Bug(
        "gradients-not-cleared",
        "each backward pass adds to the gradients of the last",
        "Stale gradients are the bug of all code that keeps them in its layers. The first call is right, "
        "and a gradient check that calls once passes it.",
        ("scaling", "loss falls"),
        family=_StaleGradients,
    ),
)

# ------------------------------------------------------------------------------ the optimizer


class _Uncorrected(Adam):
    def _update(self, rows):
        for row in rows:
            adam_update(*row, np.inf, self.lr, self.beta1, self.beta2, self.eps)  # beta^inf = 0


class _CountsFromZero(Adam):
    def _update(self, rows):
        with np.errstate(divide="ignore", invalid="ignore"):
            for row in rows:
                adam_update(*row, np.float64(self.t - 1), self.lr, self.beta1, self.beta2, self.eps)


OPTIMIZER = (
    Bug(
        "adam-uncorrected",
        "Adam without its bias correction",
        "An exercise slip: the first step is (1 - b1) / sqrt(1 - b2) = 3.2 times too long, and the loss "
        "falls.",
        ("first step",),
        optimizer=_Uncorrected,
    ),
    Bug(
        "adam-counts-from-zero",
        "Adam counts its steps from 0",
        "An exercise slip: 1 - b^0 = 0 divides the first step, and every parameter is NaN after it.",
        ("loss falls", "first step"),
        optimizer=_CountsFromZero,
    ),
)

GALLERY = {bug.name: bug for bug in (*SAMPLING, *DIVERGENCE, *LIKELIHOOD, *LAYERS, *WALK, *OPTIMIZER)}

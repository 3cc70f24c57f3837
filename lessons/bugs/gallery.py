"""The gallery: classical bugs of variational autoencoders, each a line or two of right code changed.

Each story names the public code, lecture notes or thread where the bug was found; "no public source" marks
the mistakes that people make when they write such code as an exercise. Where the formula is wrong, its
derivative is right for the wrong formula (`pair`): such a bug passes every gradient check. Where only the
derivative is wrong, the loss mostly falls all the same.
"""

import numpy as np

from minivae import VAE, Adam, ops
from minivae.models import Terms

from .bug import Bug, pair, scaled, slope

DATA = 60_000  # images in MNIST's training set
redrawn = np.random.default_rng(1)


def clamp(logvar):
    """The usual guard against exp(logvar) = inf."""
    return np.clip(logvar, -10, 10)


def probability(logits):
    """The sigmoid, which rounds to 0 or 1 far from 0."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-logits))


def cross_entropy(p, x):
    """-log p(x), from probabilities: log(0) where p is 0 or 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=-1)


def averaged_db(dy, cache, input_gradient=True):
    """`dense_backward` with db averaged over the batch."""
    dx, dW, db = ops.dense_backward(dy, cache, input_gradient)
    return dx, dW, db / len(dy)


def untransposed(dy, cache, input_gradient=True):
    """`dense_backward` with da @ W, wherever the shapes allow it."""
    _, W, y, activation = cache
    dx, dW, db = ops.dense_backward(dy, cache, input_gradient)
    if input_gradient and W.shape[0] == W.shape[1]:
        dx = ops.activation_backward(dy, y, activation) @ W
    return dx, dW, db


def squares(mean, x):
    """The squared error of each example."""
    return ((x - mean) ** 2).sum(axis=-1)


# ------------------------------------------------------------------------------ in the model


def reweighed(weigh):
    """A VAE with another loss: weigh(B, beta) -> factors of nll and of kl, and their weights in the loss."""

    class Reweighed(VAE):
        def forward(self, x, eps, beta=1.0, *rest, **settings):
            (_, nll, kl), trace = super().forward(x, eps, beta, *rest, **settings)
            a, b, weight, other = weigh(len(x), beta)
            return Terms(weight * a * nll + other * b * kl, a * nll, b * kl), trace

        def backward(self, trace, weights=None, estimator=None):
            a, b, weight, other = weigh(len(trace.x), trace.beta)
            pairs = ((weight * a, trace.nll), (other * b, trace.kl))
            own = [np.full(v.shape, c / v.size, v.dtype) for c, v in pairs]
            return super().backward(trace, own if weights is None else weights, estimator)

    return Reweighed


class OuterSum(VAE):
    """Accepts a kl of shape (B, 1), as a model that averages nll and kl separately would."""

    def forward(self, *inputs, at=lambda name, value: value, **rest):
        return super().forward(*inputs, at=lambda name, v: at(name, v.ravel() if name == "kl" else v), **rest)


class EvaluatedAtMu(VAE):
    """Reports the loss at z = mu."""

    def loss(self, x, eps, *rest, **settings):
        return super().loss(x, np.zeros_like(eps), *rest, **settings)


class StaleGradients(VAE):
    """Adds each gradient to the previous one."""

    def backward(self, trace, weights=None, estimator=None):
        stale = getattr(self, "_stale", {})
        self._stale = {k: d + stale.get(k, 0) for k, d in super().backward(trace, weights, estimator).items()}
        return dict(self._stale)


# ------------------------------------------------------------------------------ in the optimizer


class Uncorrected(Adam):
    """Has taken so many steps that the bias correction is 1 from the start."""

    def step(self, params, grads):
        self.t = 10**6
        super().step(params, grads)


class CountsFromZero(Adam):
    """Calls its first step 0."""

    def step(self, params, grads):
        self.t -= not self.state
        with np.errstate(divide="ignore", invalid="ignore"):
            super().step(params, grads)


# ------------------------------------------------------------------------------ the catalogue
# name, title, caught by, story, then the change

# fmt: off
BUGS = (
    # z = mu + std eps
    Bug("std-is-exp-logvar", "the sampler uses exp(logvar) as the standard deviation", ("sampler", "bound"),
        "ddbourgin/numpy-ml samples like this and differentiates it correctly: its gradients agree with "
        "finite differences to 4e-9, but z has the wrong variance.",
        pair(gaussian_sample=lambda mu, logvar, eps: mu + np.exp(logvar) * eps)),
    Bug("logvar-is-std", "the sampler uses the encoder's logvar as the standard deviation",
        ("sampler", "bound"),
        "Log-variance, log-std or std? Asked in keras #3283 and #9970 and in y0ast/VAE-Torch #3. The KL "
        "here reads the same numbers as a log-variance.",
        pair(gaussian_sample=lambda mu, logvar, eps: mu + logvar * eps)),
    Bug("decoder-sees-mu", "the decoder gets mu instead of z", ("sampler", "bound"),
        "Exercise mistake, no public source: `decode(mu)` instead of `decode(z)`. What remains is an "
        "autoencoder with a penalty, correctly differentiated, and its loss falls further than a VAE's.",
        pair(gaussian_sample=lambda mu, logvar, eps: mu + 0 * eps)),
    Bug("dlogvar-without-half", "the derivative of z with respect to logvar lacks its 1/2", ("gradient",),
        "Exercise mistake, no public source: the chain rule through std = exp(logvar / 2) gives a 1/2.",
        {"gaussian_sample_backward": scaled(ops.gaussian_sample_backward, 1, 2)}),
    Bug("noise-redrawn", "the backward pass draws new noise", ("gradient", "scaling"),
        "kwj2104/Simple-Variational-Autoencoder draws the noise twice and differentiates with the second "
        "draw: its gradient with respect to logvar has a relative error of 0.84.",
        {"gaussian_sample_backward": lambda dz, mu, logvar, eps: ops.gaussian_sample_backward(
            dz, mu, logvar, redrawn.standard_normal(eps.shape).astype(eps.dtype))}),
    Bug("dz-twice", "the derivative with respect to z reaches mu twice", ("gradient",),
        "Exercise mistake, no public source: `dmu += dz` after `dmu = dz`.",
        {"gaussian_sample_backward": scaled(ops.gaussian_sample_backward, 2, 1)}),
    Bug("logvar-clamped-forward", "logvar is clamped to +-10 in the forward pass only", ("gradient", "kl"),
        "No public source: half of the usual guard against exp(logvar) = inf. It matters only beyond the "
        "clamp, so a check with logvar near 0 passes it.",
        {"gaussian_sample": lambda mu, logvar, eps: ops.gaussian_sample(mu, clamp(logvar), eps),
         "gaussian_kl": lambda mu, logvar: ops.gaussian_kl(mu, clamp(logvar))}),
    Bug("logvar-clamped-backward", "logvar is clamped to +-10 in the backward pass only", ("gradient",),
        "No public source: the other half of the same guard.",
        {"gaussian_sample_backward": lambda dz, mu, logvar, eps: ops.gaussian_sample_backward(
            dz, mu, clamp(logvar), eps),
         "gaussian_kl_backward": lambda dkl, mu, logvar: ops.gaussian_kl_backward(dkl, mu, clamp(logvar))}),

    # KL(q || p)
    Bug("kl-without-half", "the KL lacks its 1/2", ("kl", "bound"),
        "How to weigh reconstruction against KL is the most common question of VAE users (pytorch/examples "
        "#234 #290 #652 #817). A lost 1/2 is an answer to it, given without noticing.",
        pair(gaussian_kl=lambda mu, logvar: 2 * ops.gaussian_kl(mu, logvar))),
    Bug("kl-sign", "the KL has the opposite sign", ("kl", "bound"),
        "Equation (4) of Marchioro's lecture notes; asked in pytorch/examples #298 and #824 and in keras "
        "#4967. The loss falls without end, because the KL grows.",
        pair(gaussian_kl=lambda mu, logvar: -ops.gaussian_kl(mu, logvar))),
    Bug("kl-mu-not-squared", "the KL has mu instead of mu^2", ("kl", "bound"),
        "Equation (4) of Marchioro's lecture notes: the second of its three errors.",
        pair(gaussian_kl=lambda mu, logvar: 0.5 * (mu + np.exp(logvar) - logvar - 1).sum(axis=-1))),
    Bug("kl-reversed", "KL(p || q) is computed instead of KL(q || p)", ("kl", "bound"),
        "The third error of Marchioro's equation (4). The name 'KL distance' (UvA notes) invites it: a "
        "distance would be symmetric, the KL is not.",
        pair(gaussian_kl=lambda mu, logvar:
             0.5 * (logvar + (1 + mu * mu) * np.exp(-logvar) - 1).sum(axis=-1))),
    Bug("kl-without-minus-one", "the KL lacks its -1 and is too large by L/2", ("kl", "bound"),
        "Exercise mistake, no public source. A constant has no gradient: no training step changes, every "
        "reported number does.",
        pair(gaussian_kl=lambda mu, logvar: 0.5 * (mu * mu + np.exp(logvar) - logvar).sum(axis=-1))),
    Bug("kl-takes-log-std", "logvar is a log-std in the KL and a log-variance in the sampler",
        ("kl", "bound"),
        "The question of keras #3283, answered differently in two places of one program.",
        pair(gaussian_kl=lambda mu, logvar: ops.gaussian_kl(mu, 2 * logvar))),
    Bug("kl-averaged-over-latents", "the KL is averaged over the latents", ("kl", "scaling"),
        "Sum or mean? The most frequent question of all (keras #3169 and #3383, six threads in "
        "AntixK/PyTorch-VAE), here for the latents.",
        pair(gaussian_kl=lambda mu, logvar: ops.gaussian_kl(mu, logvar) / mu.shape[1])),
    Bug("kl-keeps-axis", "kl has shape (B, 1)", ("kl", "shapes"),
        "Exercise mistake, no public source: `keepdims=True` makes nll (B,) + kl (B, 1) a B x B outer sum. "
        "Its mean is right, so only the shape shows it. minivae itself refuses such a kl; this model "
        "accepts it.",
        {"gaussian_kl": lambda mu, logvar: ops.gaussian_kl(mu, logvar)[:, None]}, family=OuterSum),
    Bug("dlogvar-without-minus-one", "the derivative of the KL with respect to logvar lacks its -1",
        ("gradient", "loss falls"),
        "Exercise mistake, no public source: 1/2 e^logvar instead of 1/2 (e^logvar - 1). This gradient is "
        "never 0 and pushes logvar down without end.",
        {"gaussian_kl_backward": lambda dkl, mu, logvar: (
            dkl[:, None] * mu, dkl[:, None] * 0.5 * np.exp(logvar))}),
    Bug("dmu-without-kl", "the KL's derivative with respect to mu is missing", ("gradient", "loss falls"),
        "Exercise mistake, no public source: mu reaches the loss on two paths, through z and through the "
        "KL.",
        {"gaussian_kl_backward": scaled(ops.gaussian_kl_backward, 0, 1)}),
    Bug("kl-gradient-forgotten", "the KL is reported but its gradient is missing", ("gradient", "loss falls"),
        "Exercise mistake, no public source: the backward pass starts at the decoder and never adds the "
        "KL's part.",
        {"gaussian_kl_backward": scaled(ops.gaussian_kl_backward, 0, 0)}),
    Bug("kl-gradient-summed", "the KL's gradient is not divided by the batch size", ("gradient", "scaling"),
        "Exercise mistake, no public source: the loss is a mean over the batch, but the backward pass "
        "divides only one of its two terms.",
        {"gaussian_kl_backward": lambda dkl, *heads: ops.gaussian_kl_backward(dkl * len(dkl), *heads)}),

    # -log p(x|z)
    Bug("nll-averaged-over-pixels", "the reconstruction is averaged over the pixels, the KL is a sum",
        ("scaling", "logits", "bound"),
        "pytorch/examples #234 and its many successors: the mean makes the KL 784 times too heavy on MNIST, "
        "and the posterior collapses.",
        pair(bernoulli_nll=lambda logits, x: ops.bernoulli_nll(logits, x) / x.shape[1])),
    Bug("mean-with-gradient-of-sum", "the loss is a mean over the pixels, its gradient that of the sum",
        ("gradient", "scaling", "logits", "bound"),
        "danielkurniadi/Numpy-Variational-Autoencoder: the reported loss is not the one that is minimized.",
        {"bernoulli_nll": lambda logits, x: ops.bernoulli_nll(logits, x) / x.shape[1]}),
    Bug("log-of-probability", "the cross-entropy is computed from probabilities: log(0)", ("logits",),
        "NaN from log(0) is a recurring question in VAE threads: at a logit of 40 the sigmoid rounds to 1.",
        {"bernoulli_nll": lambda logits, x: cross_entropy(probability(logits), x)}),
    Bug("probability-clipped", "probabilities are clipped to [0.001, 0.999]", ("logits",),
        "No single source: a widespread cure for log(0). It limits the cost of a wrong pixel to 6.9 nats, "
        "and the gradient there is 0.",
        pair(bernoulli_nll=lambda logits, x: cross_entropy(np.clip(probability(logits), 0.001, 0.999), x))),
    Bug("squared-error-without-half", "the squared error is used as the nll of a Gaussian of variance 1",
        ("bound",),
        "The lecture notes of Marchioro, Brown and Bonvicini: reconstruction = |x - x^|^2 plus KL. It "
        "belongs to variance 1/2; unit variance gives half of it.",
        pair(gaussian_nll=lambda mean, logvar, x: squares(mean, x)), {"likelihood": "gaussian"}),
    Bug("gaussian-without-constant", "the Gaussian nll lacks D/2 log 2 pi", ("bound",),
        "Half the squared error has the right gradient but is no density: 'what loss should I expect?' "
        "(tensorflow/probability #56, pyro #539) then has no answer.",
        {"gaussian_nll": lambda mean, logvar, x: 0.5 * squares(mean, x)}, {"likelihood": "gaussian"}),

    # layers
    Bug("db-averaged", "db is averaged over the batch", ("gradient", "scaling"),
        "Exercise mistake, no public source: `da.mean(axis=0)`. Adam divides by the size of the gradient, "
        "so training hardly changes.",
        {"dense_backward": averaged_db}),
    Bug("W-not-transposed", "dx = da @ W instead of da @ W.T", ("gradient",),
        "Exercise mistake, no public source. NumPy reports it unless a layer has as many outputs as inputs: "
        "check with unequal sizes, and with equal ones too.",
        {"dense_backward": untransposed}, {"hidden": (5, 5)}),
    Bug("relu-skipped", "the backward pass skips the ReLU", ("gradient",),
        "danielkurniadi/Numpy-Variational-Autoencoder, in its decoder (0.38 away from finite differences).",
        {"activation_backward": slope("relu", lambda dy, y: dy)}, {"activation": "relu"}),
    Bug("relu-of-dy", "the ReLU's derivative uses the sign of dy instead of y", ("gradient",),
        "Exercise mistake, no public source: `dy * (dy > 0)`, a mask from the wrong array.",
        {"activation_backward": slope("relu", lambda dy, y: dy * (dy > 0))}, {"activation": "relu"}),
    Bug("sigmoid-without-complement", "the sigmoid's derivative is y instead of y (1 - y)", ("gradient",),
        "Exercise mistake, no public source. Only sigmoid layers show it: a check must try every "
        "activation.",
        {"activation_backward": slope("sigmoid", lambda dy, y: dy * y)}, {"activation": "sigmoid"}),

    # the model and the loss
    Bug("loss-summed-over-batch", "the loss is summed over the batch", ("scaling",),
        "Sum or mean, once more (pytorch/examples #652): loss and gradient agree, but the step grows with "
        "the batch, so a learning rate means nothing without the batch size.",
        family=reweighed(lambda B, beta: (B, B, 1, beta))),
    Bug("likelihood-times-n", "the likelihood is multiplied by the number of data, the KL is not", ("bound",),
        "Isachenko's lecture notes: the stochastic gradient from one random datum multiplies only the "
        "likelihood by n; the KL needs the same n.",
        family=reweighed(lambda B, beta: (DATA, 1, 1, beta))),
    Bug("beta-on-nll", "beta weighs the reconstruction instead of the KL", ("scaling",),
        "Exercise mistake, no public source: at beta = 1, where most checks are made, nothing differs.",
        family=reweighed(lambda B, beta: (1, 1, beta, 1))),
    Bug("evaluated-at-mu", "the model is trained with z and evaluated with z = mu", ("bound",),
        "The question of pytorch/examples PR #419: the number is smaller than the negative ELBO and bounds "
        "nothing.",
        family=EvaluatedAtMu),
    Bug("gradients-not-cleared", "each backward pass adds to the previous gradients",
        ("scaling", "loss falls"),
        "No single source: the typical bug of code that stores gradients in its layers. The first call is "
        "right, so a gradient check that calls once passes it.",
        family=StaleGradients),

    # the optimizer
    Bug("adam-uncorrected", "Adam without its bias correction", ("first step",),
        "Exercise mistake, no public source: the first step is (1 - b1) / sqrt(1 - b2) = 3.2 times too "
        "long, and the loss falls.",
        optimizer=Uncorrected),
    Bug("adam-counts-from-zero", "Adam counts its steps from 0", ("loss falls", "first step"),
        "Exercise mistake, no public source: the first step divides by 1 - b^0 = 0 and leaves NaN in every "
        "parameter.",
        optimizer=CountsFromZero),
)
# fmt: on

GALLERY = {bug.name: bug for bug in BUGS}

"""minivae: variational autoencoders, taught by doing them by hand.

Data walks one way, `data -> encoder -> q(z|x) -> reparameterization -> decoder -> p(x|z) -> ELBO`, and the
derivative walks back the same way in reverse, through functions that stand next to each other. Read the
modules in this order; each imports only from those above it.

    arguments      refuse a bad argument in one sentence
    ops            the heart: every operation as a pair, forward and backward, in NumPy
    kernels        the same text as ops, made fast with numba
    backends       choose between the two
    distributions  posterior, prior and likelihood: sample, kl, log_prob, score
    estimators     the gradient of an expectation, and how much each estimate of it scatters
    layers         dense layers by their names
    models         the VAE: one forward walk, one backward walk
    gradcheck      which line of a backward pass is wrong, and how
    optimizers     SGD, RMSProp, Adam
    bugs           the classical bugs, to plant and to find
    data           MNIST, your own images, minibatches
    evaluation     the ELBO on a test set, -log p(x), active latents
    config         every setting of a run
    files          write a file whole or not at all
    checkpoints    named arrays, checked whole
    folders        a run folder's files, and whether they belong together
    runs           everything between two training steps
    plots          arrays in, Figure out
    training       the loop, Ctrl-C, the run folder
    laboratory     what each estimator's gradient scatters and costs
    bench          the training step against other libraries and the machine
    options        the words of the command line
    cli            python -m minivae: what the commands do

One legend holds everywhere:

    B, D, H, L, S   batch, data (pixels), hidden units, latent, samples of z
    x               (B, D)  data, in [0, 1] for the Bernoulli likelihood, real for the Gaussian
    mu, logvar      (B, L)  of q(z|x); std = exp(0.5 * logvar). There is no third way to hold a spread
    eps             (B, L) or (S, B, L)  standard normal noise, always passed in
    z               like eps  mu + std * eps
    logits          (B, D)  decoder output before the sigmoid
    nll, kl         (B,)  nats per example: summed over pixels and latents, averaged over the batch last
    beta            weight of the KL; 1 is the ELBO.  loss = mean(nll + beta * kl)
    d<name>         derivative of the scalar loss by <name>, of its shape
"""

from importlib import import_module

_HOME = {
    "VAE": "models",
    "load_mnist": "data",
    "binarize": "data",
    "SGD": "optimizers",
    "RMSProp": "optimizers",
    "Adam": "optimizers",
    "Config": "config",
    "Run": "runs",
    "load_model": "runs",
    "train": "training",
    "set_threads": "kernels",
    "get_threads": "kernels",
}
_MODULES = (
    "ops",
    "kernels",
    "distributions",
    "estimators",
    "models",
    "gradcheck",
    "optimizers",
    "bugs",
    "data",
    "evaluation",
    "plots",
)

__all__ = [*_HOME, *_MODULES]


def __getattr__(name):
    """Load a public name when it is first used: importing minivae loads neither numba nor matplotlib."""
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'minivae' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)

"""minivae: variational autoencoders with every derivative written by hand.

Data flows forward, `data -> encoder -> q(z|x) -> reparameterization -> decoder -> p(x|z) -> ELBO`, and the
derivative flows back through the same functions in reverse. Begin with `models/vae.py`, the whole model, and
`ops.py`, its formulas. Then read the modules in this order; each imports only from those above it.

    memory         arrays for results, from memory that is used again
    arguments      check arguments, and raise errors of one sentence
    ops            every operation of the VAE as a pair, forward and backward, in NumPy
    backends       choose between ops and kernels
    files          write a file completely or not at all
    kept           keep on disk what can be computed again
    optimizers     SGD, RMSProp, Adam
    kernels        the operations that decide the speed, compiled with numba
    distributions  latent families with their priors, likelihoods: sample, kl, log_prob, score
    estimators     the gradient of an expectation, for any latent family
    network        a stack of dense layers: initialize, forward, backward
    models         the VAE with its forward and backward pass; the autoencoder; mixtures and pPCA
    gradcheck      find the wrong line of a backward pass, and say what is wrong with it
    readers        read the arrays in a file: .npy, .npz, IDX, CSV
    data           MNIST, your own images, minibatches
    evaluation     the ELBO on a test set, -log p(x), active latents
    bridges        the linear VAE as pPCA; what the encoder and the family of q lose
    plots          matplotlib figures from arrays
    inputs         one-hot labels as conditions, corrupted pixels
    config         every setting of a run
    checkpoints    the files of a run folder
    runs           a run: its steps, its checkpoints, its folder
    training       the training loop, and the summary at the end
    fits           a mixture or pPCA in a run folder
    explorer       a page that runs a trained model in the browser
    commands       the function behind each command
    cli            python -m minivae

The same symbols are used everywhere:

    B, D, H, L, S   batch, data (pixels), hidden units, latents, samples of z
    C               width of a condition
    K               categories of a latent, components of a mixture, or importance samples
    x               (B, D)  data, in [0, 1] for the Bernoulli likelihood, real for the Gaussian
    c               (B, C)  condition, one-hot or real; both networks receive it
    mu, logvar      (B, L)  of q(z|x); std = exp(0.5 * logvar). The spread is never stored in any other form
    logb            (B, L)  log-scale of a Laplace q(z|x), instead of logvar
    a               (B, L)  logits of a Bernoulli or categorical q(z|x)
    eps             (B, L) or (S, B, L)  standard normal noise, always passed in
    z               like eps  mu + std * eps
    logits          (B, D)  decoder output before the sigmoid
    nll, kl         (B,)  nats per example: summed over pixels and latents, averaged over the batch last
    beta            weight of the KL; 1 is the ELBO.  loss = mean(nll + beta * kl)
    d<name>         derivative of the scalar loss with respect to <name>, with the same shape
"""

from importlib import import_module

_HOME = {
    "VAE": "models",
    "Autoencoder": "models",
    "BernoulliMixture": "models",
    "GaussianMixture": "models",
    "PPCA": "models",
    "load_mnist": "data",
    "binarize": "data",
    "SGD": "optimizers",
    "RMSProp": "optimizers",
    "Adam": "optimizers",
    "Config": "config",
    "Run": "runs",
    "load_model": "checkpoints",
    "train": "training",
    "set_threads": "kernels",
    "get_threads": "kernels",
}
_MODULES = (
    "ops",
    "kernels",
    "distributions",
    "estimators",
    "network",
    "models",
    "gradcheck",
    "optimizers",
    "data",
    "evaluation",
    "bridges",
    "plots",
    "training",
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

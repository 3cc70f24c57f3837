"""The distributions of a VAE: latent families, priors and likelihoods.

A model uses them only through the methods below. To add one, write a class here and give it a name in
`POSTERIORS`, `PRIORS` or `LIKELIHOODS`; the model does not change. z is (B, L) or (S, B, L), eps like z.

    posterior    heads: the names of the encoder's outputs, each (B, L), in the order of the arguments
                 noise(rng, shape, dtype), sample(*heads, eps), mean(*heads)
                 log_prob(z, *heads), score(z, *heads): d log q / dhead at fixed z, one for each head
                 if z is differentiable: sample_backward(dz, *heads, eps), slope(z, *heads) = d log q / dz
                 if KL(q || p) has a closed form: kl(*heads), kl_backward(dkl, *heads)
                 prior: the p(z) of this KL
    prior        parameters(latent_dim, rng, dtype): its own learned arrays by name, often none
                 sample(rng, n, latent_dim, params), log_prob(z, params)
                 log_prob_backward(dlog_prob, z, params) -> dz, dparams
    likelihood   parameters(data_dim, dtype): its own learned arrays by name, often none
                 nll(outputs, x, params), nll_backward(dnll, outputs, x, params) -> doutputs, dparams
                 mean(outputs), sample(outputs, params, rng), bias_for_mean(mean)
                 support: the interval that x must lie in

Each receives the namespace of operations (`ops` or `kernels`) when it is made. Besides that it holds only
its settings: no activations, no noise, no parameters.

    latents      Gaussian, Laplace, Bernoulli, categorical
    priors       standard normal, Laplace, a learned mixture of Gaussians, Bernoulli, categorical
    kl           in closed form where there is one, or sampled
    likelihoods  Bernoulli, Gaussian, Laplace
"""

from functools import partial

from .. import arguments
from .kl import has_closed_form, kl_backward, kl_forward
from .latents import BernoulliPosterior, CategoricalPosterior, GaussianPosterior, LaplacePosterior
from .likelihoods import VARIANCES, Bernoulli, Gaussian, Laplace
from .priors import BernoulliPrior, CategoricalPrior, LaplacePrior, MixturePrior, StandardNormal

POSTERIORS = {
    "gaussian": GaussianPosterior,
    "laplace": LaplacePosterior,
    "bernoulli": BernoulliPosterior,
    "categorical": CategoricalPosterior,
}
PRIORS = {
    "standard": StandardNormal,
    "laplace": LaplacePrior,
    "mixture": MixturePrior,
    "bernoulli": BernoulliPrior,
    "categorical": CategoricalPrior,
}
LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "gaussian-shared": partial(Gaussian, variance="shared"),
    "gaussian-pixel": partial(Gaussian, variance="pixel"),
    "gaussian-optimal": partial(Gaussian, variance="optimal"),
    "laplace": Laplace,
}


def prior_of(posterior, prior):
    """The prior for a posterior: its default if `prior` is None, one by its name in PRIORS, or a class."""
    own = getattr(posterior, "prior", None) or StandardNormal(posterior.ops)
    kind = prior if callable(prior) or prior is None else PRIORS[arguments.one_of("prior", prior, PRIORS)]
    try:
        chosen = own if kind in (None, type(own)) else kind(posterior.ops)
    except TypeError:  # it does not take the operations that every prior computes with
        chosen = None
    if prior is not None and not (hasattr(chosen, "sample") and hasattr(chosen, "log_prob")):
        wanted = f"must be one of {', '.join(PRIORS)}, or a class like StandardNormal"
        raise TypeError(f"prior {wanted}, got {arguments.describe(prior)}")
    given, wanted = getattr(chosen, "values", "real"), getattr(posterior, "values", "real")
    if given != wanted:
        raise ValueError(f"prior {prior} is for {given} latents, and this posterior has {wanted} ones")
    return chosen


__all__ = ["LIKELIHOODS", "POSTERIORS", "PRIORS", "VARIANCES", "has_closed_form", "kl_backward"]
__all__ += ["kl_forward", "prior_of"]
__all__ += ["BernoulliPosterior", "CategoricalPosterior", "GaussianPosterior", "LaplacePosterior"]
__all__ += ["BernoulliPrior", "CategoricalPrior", "LaplacePrior", "MixturePrior", "StandardNormal"]
__all__ += ["Bernoulli", "Gaussian", "Laplace"]

"""KL(q(z|x) || p(z)), in closed form where there is one, or sampled; both have the same mean."""

import numpy as np


def has_closed_form(posterior):
    """Whether the KL from this family to its prior has a closed form."""
    if hasattr(posterior, "closed_form"):
        return posterior.closed_form() is not None
    return hasattr(posterior, "kl")


def kl_forward(posterior, z, heads, params, sampled):
    """KL(q || p) in closed form -> (B,), or sampled: log q(z|x) - log p(z) -> (B,) or (S, B); nats."""
    if not sampled:
        return posterior.kl(*heads)
    return posterior.log_prob(z, *heads) - posterior.prior.log_prob(z, params)


# A sampled KL depends on the heads in two ways. With k = log q(z; heads) - log p(z), where z depends on them:
#   dk/dz     = d log q / dz - d log p / dz       through z
#   dk/dhead  = score of that head, z fixed        directly, through the density q
def kl_backward(posterior, dkl, z, heads, params, sampled):
    """dkl like kl -> dz like z (0 for the closed form), one (B, L) per head, those of the prior by name."""
    if not sampled:
        return 0, posterior.kl_backward(dkl, *heads), {}
    dz, dparams = posterior.prior.log_prob_backward(-dkl, z, params)
    dz = dz + dkl[..., None] * posterior.slope(z, *heads)
    over_samples = "sb,sbl->bl" if dkl.ndim == 2 else "b,bl->bl"
    scores = [np.broadcast_to(score, z.shape) for score in posterior.score(z, *heads)]
    return dz, [np.einsum(over_samples, dkl, score) for score in scores], dparams  # (B, L) each

"""What goes wrong with the KL: a term, the sum over latents, the roles of q and p, the factor from above."""

import numpy as np

from ..judging import Wrong, reductions

VALUE, SLOPE = "the KL of each datum", "the derivatives"


def terms(mu, logvar):
    """What the sum over latents may be made of."""
    return {
        "mu^2": mu**2,
        "e^logvar": np.exp(logvar),
        "logvar": logvar,
        "1": np.ones_like(mu),
        "mu": mu,
        "|mu|": np.abs(mu),
        "e^(logvar/2)": np.exp(logvar / 2),
        "e^(2 logvar)": np.exp(2 * logvar),
        "e^-logvar": np.exp(-logvar),
        "mu e^-logvar": mu * np.exp(-logvar),
        "e^mu": np.exp(mu),
        "mu^2 e^-logvar": mu**2 * np.exp(-logvar),
        "logvar^2": logvar**2,
        "|logvar|": np.abs(logvar),
    }


def _each(mu, logvar):
    """The KL of each latent (B, L)."""
    return 0.5 * (mu**2 + np.exp(logvar) - logvar - 1)


def sums(mu, logvar):
    """Pairs (sentence, kl): what is wrongly done with the latents or with the batch."""
    each = _each(mu, logvar)
    exp_of_sum = (each - 0.5 * np.exp(logvar)).sum(axis=1) + 0.5 * np.exp(logvar.sum(axis=1))
    length = each.sum(axis=1) - 0.5 * (mu**2).sum(axis=1) + 0.5 * np.linalg.norm(mu, axis=1)
    return [
        (
            "kl is averaged over the batch: it is one number for each datum",
            np.full(len(mu), each.sum(1).mean()),
        ),
        ("kl has the length of mu, where its square belongs: the norm takes a root", length),
        ("e^logvar is taken of the sum over the latents: exp first, then the sum", exp_of_sum),
        *reductions("kl", each, "latents"),
    ]


def estimated(got, want):
    """A sentence, if a KL is right to a few percent only, as a mean over draws is; else None."""
    off = np.max(np.abs(got - want)) / np.max(np.abs(want))
    rough = (
        f"kl is right to about {100 * off:.2g} % only: is it a mean over draws? The closed form has no noise"
    )
    return rough if off < 0.1 else None


# ------------------------------------------------------------------------------ wrong answers

# sentence -> kl (B,) of mu, logvar
KL = {
    "a kept axis will broadcast": lambda mu, logvar: _each(mu, logvar).sum(axis=1, keepdims=True),
    "kl has shape (), expected (11,)": lambda mu, logvar: _each(mu, logvar).sum(),
    "kl has shape (3,), expected (11,)": lambda mu, logvar: _each(mu, logvar).sum(axis=0),
    "kl is averaged over the L latents: it is a sum, since independent latents add their divergences": (
        lambda mu, logvar: _each(mu, logvar).mean(axis=1)
    ),
    "kl is exactly twice what it should be: the 1/2 of the Gaussian's exponent is missing": (
        lambda mu, logvar: 2 * _each(mu, logvar).sum(axis=1)
    ),
    "the -1 stands outside the sum over latents: every latent has its own": (
        lambda mu, logvar: (_each(mu, logvar) + 0.5).sum(axis=1) - 0.5
    ),
    "kl has the opposite sign: KL(q || p) is the mean of log q - log p under q, and never negative": (
        lambda mu, logvar: -_each(mu, logvar).sum(axis=1)
    ),
    "kl has mu where mu^2 belongs: it must not change when mu changes its sign": (
        lambda mu, logvar: (_each(mu, logvar) + 0.5 * (mu - mu**2)).sum(axis=1)
    ),
    "this is KL(p || q), the prior from the posterior: the two arguments are exchanged": (
        lambda mu, logvar: 0.5 * ((mu**2 + 1) * np.exp(-logvar) + logvar - 1).sum(axis=1)
    ),
    "logvar is taken for the log of the standard deviation: e^logvar is the variance itself": (
        lambda mu, logvar: _each(mu, 2 * logvar).sum(axis=1)
    ),
}
# sentence -> dmu and dlogvar of dkl (B, 1), mu, logvar
BACKWARD = {
    "dlogvar lacks the -1/2: at the prior itself, logvar = 0, the derivative must be 0": (
        lambda dkl, mu, logvar: (dkl * mu, dkl * 0.5 * np.exp(logvar))
    ),
    "dmu is not multiplied by dkl: what comes back from above is a factor of every derivative": (
        lambda dkl, mu, logvar: (mu, 0.5 * np.expm1(logvar))
    ),
    "dmu is multiplied by the kl, where dkl, the derivative from above, belongs": lambda dkl, mu, logvar: (
        mu * _each(mu, logvar).sum(axis=1, keepdims=True),
        0.5 * np.expm1(logvar) * _each(mu, logvar).sum(axis=1, keepdims=True),
    ),
    "dlogvar is exactly twice what it should be": lambda dkl, mu, logvar: (dkl * mu, dkl * np.expm1(logvar)),
    "dlogvar is the derivative by std: by logvar it is std / 2 times that": (
        lambda dkl, mu, logvar: (dkl * mu, dkl * 2 * np.sinh(logvar / 2))
    ),
    "dlogvar is the derivative by the variance: by logvar it is e^logvar times that": (
        lambda dkl, mu, logvar: (dkl * mu, -dkl * 0.5 * np.expm1(-logvar))
    ),
}


def _backward(formula):
    return {"gaussian_kl_backward": lambda dkl, mu, logvar: formula(dkl[:, None], mu, logvar)}


WRONG = (
    *(Wrong({"gaussian_kl": formula}, VALUE, says) for says, formula in KL.items()),
    *(Wrong(_backward(formula), SLOPE, says) for says, formula in BACKWARD.items()),
)

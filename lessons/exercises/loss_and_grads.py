"""Exercise: the whole walk of a VAE, forward to the loss and back to every parameter."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np

from minivae import VAE, gradcheck, layers
from minivae.bugs.bug import away_from_zero
from minivae.gradcheck.ratios import ratio_names, ratio_words

from .. import judging
from ..judging import Exercise, Failed, Wrong
from ..slips.activation_forward import slopes

B, D, H, L = 5, 11, 7, 3
SIZES = {"B": B, "D": D, "H": H, "L": L}
BETA = 0.6
TERMS = ("nll", "kl", "loss")  # in the order in which one follows from the other

# parameters in the order of the walk back -> what the lines below call them
KEYS = {
    "output.W": "Wo",
    "output.b": "bo",
    "decoder1.W": "Wd",
    "decoder1.b": "bd",
    "mu.W": "Wm",
    "mu.b": "bm",
    "logvar.W": "Wl",
    "logvar.b": "bl",
    "encoder1.W": "We",
    "encoder1.b": "be",
}

# the walk, a line at a time; a slip is some of these lines written differently
FORWARD = {
    "h": lambda v: np.tanh(v.x @ v.We + v.be),
    "mu": lambda v: v.h @ v.Wm + v.bm,
    "logvar": lambda v: v.h @ v.Wl + v.bl,
    "std": lambda v: np.exp(0.5 * v.logvar),
    "z": lambda v: v.mu + v.std * v.eps,
    "g": lambda v: np.tanh(v.z @ v.Wd + v.bd),
    "logits": lambda v: v.g @ v.Wo + v.bo,
    "softplus": lambda v: np.maximum(v.logits, 0) + np.log1p(np.exp(-np.maximum(v.logits, -v.logits))),
    "nll_b": lambda v: (v.softplus - v.x * v.logits).sum(axis=1),
    "kl_b": lambda v: 0.5 * (v.mu**2 + np.exp(v.logvar) - v.logvar - 1).sum(axis=1),
    "nll": lambda v: v.nll_b.mean(),
    "kl": lambda v: v.kl_b.mean(),
    "loss": lambda v: v.nll + v.beta * v.kl,
}
BACKWARD = {
    "dnll": lambda v: 1 / B,
    "dkl": lambda v: v.beta / B,
    "p": lambda v: 1 / (1 + np.exp(-v.logits)),
    "dlogits": lambda v: v.dnll * (v.p - v.x),
    "dWo": lambda v: v.g.T @ v.dlogits,
    "dbo": lambda v: v.dlogits.sum(axis=0),
    "dg": lambda v: v.dlogits @ v.Wo.T,
    "slope_g": lambda v: 1 - v.g**2,
    "da": lambda v: v.dg * v.slope_g,
    "dWd": lambda v: v.z.T @ v.da,
    "dbd": lambda v: v.da.sum(axis=0),
    "dz": lambda v: v.da @ v.Wd.T,
    "mu_z": lambda v: v.dz,
    "mu_kl": lambda v: v.dkl * v.mu,
    "logvar_z": lambda v: v.dz * 0.5 * v.std * v.eps,
    "logvar_kl": lambda v: v.dkl * 0.5 * (np.exp(v.logvar) - 1),
    "dmu": lambda v: v.mu_z + v.mu_kl,
    "dlogvar": lambda v: v.logvar_z + v.logvar_kl,
    "dWm": lambda v: v.h.T @ v.dmu,
    "dbm": lambda v: v.dmu.sum(axis=0),
    "dWl": lambda v: v.h.T @ v.dlogvar,
    "dbl": lambda v: v.dlogvar.sum(axis=0),
    "from_mu": lambda v: v.dmu @ v.Wm.T,
    "from_logvar": lambda v: v.dlogvar @ v.Wl.T,
    "dh": lambda v: v.from_mu + v.from_logvar,
    "slope_h": lambda v: 1 - v.h**2,
    "de": lambda v: v.dh * v.slope_h,
    "dWe": lambda v: v.x.T @ v.de,
    "dbe": lambda v: v.de.sum(axis=0),
}

# what it is when a line of the way forward is written differently: sentence -> lines
FORWARD_SLIPS = {
    "nll is summed over the batch: it is the mean over the data, of sums over pixels": {
        "nll": lambda v: v.nll_b.sum()
    },
    "nll is averaged over the D pixels: independent pixels' log-probabilities add up: a sum": {
        "nll_b": lambda v: (v.softplus - v.x * v.logits).mean(axis=1)
    },
    "nll has the opposite sign: it is minus the log-likelihood": {"nll": lambda v: -v.nll_b.mean()},
    "nll is made of x log p alone: the pixels that are dark say log(1 - p), (1 - x) of it": {
        "nll_b": lambda v: (v.x * (v.softplus - v.logits)).sum(axis=1)
    },
    "nll is made of (1 - x) log(1 - p) alone: x log p is missing": {
        "nll_b": lambda v: ((1 - v.x) * v.softplus).sum(axis=1)
    },
    "nll has x and 1 - x exchanged: p is the probability of a 1": {
        "nll_b": lambda v: (v.softplus - (1 - v.x) * v.logits).sum(axis=1)
    },
    "nll is the sum of softplus(logits) + x logits: the sign of x logits is wrong": {
        "nll_b": lambda v: (v.softplus + v.x * v.logits).sum(axis=1)
    },
    "nll is the sum of softplus(logits): - x logits is missing": {"nll_b": lambda v: v.softplus.sum(axis=1)},
    "nll is the squared error: for the Bernoulli likelihood it is the cross-entropy": {
        "nll_b": lambda v: ((v.x - v.p) ** 2).sum(axis=1)
    },
    "nll is half the squared error: for the Bernoulli likelihood it is the cross-entropy": {
        "nll_b": lambda v: 0.5 * ((v.x - v.p) ** 2).sum(axis=1)
    },
    "nll is in bits: the natural log is asked": {
        "nll_b": lambda v: (v.softplus - v.x * v.logits).sum(axis=1) / np.log(2)
    },
    "the sigmoid is taken twice: p = sigmoid(logits) is handed on as if it were the logits": {
        "logits": lambda v: 1 / (1 + np.exp(-(v.g @ v.Wo + v.bo)))
    },
    "the output is bent by tanh: the logits are linear": {"logits": lambda v: np.tanh(v.g @ v.Wo + v.bo)},
    "the encoder's tanh is missing": {"h": lambda v: v.x @ v.We + v.be},
    "the decoder's tanh is missing": {"g": lambda v: v.z @ v.Wd + v.bd},
    "encoder and decoder have no tanh": {"h": lambda v: v.x @ v.We + v.be, "g": lambda v: v.z @ v.Wd + v.bd},
    "encoder and decoder have relu, where tanh is asked": {
        "h": lambda v: np.maximum(v.x @ v.We + v.be, 0),
        "g": lambda v: np.maximum(v.z @ v.Wd + v.bd, 0),
    },
    "the encoder has relu, where tanh is asked": {"h": lambda v: np.maximum(v.x @ v.We + v.be, 0)},
    "the decoder has relu, where tanh is asked": {"g": lambda v: np.maximum(v.z @ v.Wd + v.bd, 0)},
    "encoder and decoder have the sigmoid, where tanh is asked": {
        "h": lambda v: 1 / (1 + np.exp(-(v.x @ v.We + v.be))),
        "g": lambda v: 1 / (1 + np.exp(-(v.z @ v.Wd + v.bd))),
    },
    "mu is bent by tanh: the heads are linear": {"mu": lambda v: np.tanh(v.h @ v.Wm + v.bm)},
    "logvar is bent by tanh: the heads are linear": {"logvar": lambda v: np.tanh(v.h @ v.Wl + v.bl)},
    "mu and logvar are bent by tanh: the heads are linear": {
        "mu": lambda v: np.tanh(v.h @ v.Wm + v.bm),
        "logvar": lambda v: np.tanh(v.h @ v.Wl + v.bl),
    },
    "mu and logvar are exchanged": {
        "mu": lambda v: v.h @ v.Wl + v.bl,
        "logvar": lambda v: v.h @ v.Wm + v.bm,
    },
    "the encoder's bias is missing": {"h": lambda v: np.tanh(v.x @ v.We)},
    "the bias of mu is missing": {"mu": lambda v: v.h @ v.Wm},
    "the bias of logvar is missing": {"logvar": lambda v: v.h @ v.Wl},
    "the decoder's bias is missing": {"g": lambda v: np.tanh(v.z @ v.Wd)},
    "the output's bias is missing": {"logits": lambda v: v.g @ v.Wo},
    "all biases are missing": {
        "h": lambda v: np.tanh(v.x @ v.We),
        "mu": lambda v: v.h @ v.Wm,
        "logvar": lambda v: v.h @ v.Wl,
        "g": lambda v: np.tanh(v.z @ v.Wd),
        "logits": lambda v: v.g @ v.Wo,
    },
    "z has std = exp(logvar): that is the variance, and std = exp(0.5 * logvar)": {
        "std": lambda v: np.exp(v.logvar)
    },
    "z takes logvar itself for the standard deviation: std = exp(0.5 * logvar)": {"std": lambda v: v.logvar},
    "z has std = exp(-0.5 * logvar), its reciprocal: the sign in the exponent is wrong": {
        "std": lambda v: np.exp(-0.5 * v.logvar)
    },
    "z has std = exp(2 * logvar): std = exp(0.5 * logvar)": {"std": lambda v: np.exp(2 * v.logvar)},
    "z has std = 0.5 * exp(logvar): the 0.5 stands inside, std = exp(0.5 * logvar)": {
        "std": lambda v: 0.5 * np.exp(v.logvar)
    },
    "z has std = sqrt(|logvar|): std = exp(0.5 * logvar)": {"std": lambda v: np.sqrt(np.abs(v.logvar))},
    "z is mu: the noise std * eps is not added": {"z": lambda v: v.mu},
    "z is mu + eps: the noise is not multiplied by std": {"z": lambda v: v.mu + v.eps},
    "z is mu + std: eps is missing": {"z": lambda v: v.mu + v.std},
    "z is mu - std * eps: the noise is added": {"z": lambda v: v.mu - v.std * v.eps},
    "z is std * eps: mu is missing": {"z": lambda v: v.std * v.eps},
    "z is eps: mu and std are missing": {"z": lambda v: v.eps},
    "z is std + mu * eps: mu and std are exchanged": {"z": lambda v: v.std + v.mu * v.eps},
    "kl is summed over the batch: it is the mean over the data, of sums over latents": {
        "kl": lambda v: v.kl_b.sum()
    },
    "kl is averaged over the L latents: independent latents add their divergences: a sum": {
        "kl": lambda v: v.kl_b.mean() / L
    },
    "kl is divided by D as well: it is a mean over the batch, of sums over latents": {
        "kl": lambda v: v.kl_b.mean() / D
    },
    "nll and kl are summed over the batch: both are means over the data": {
        "nll": lambda v: v.nll_b.sum(),
        "kl": lambda v: v.kl_b.sum(),
    },
    "kl is twice what it should be: the 1/2 of the Gaussian's exponent is missing": {
        "kl": lambda v: 2 * v.kl_b.mean()
    },
    "kl has the opposite sign: a divergence is never negative": {"kl": lambda v: -v.kl_b.mean()},
    "kl is multiplied by beta already: kl is the divergence itself, and loss = nll + beta * kl": {
        "kl": lambda v: v.beta * v.kl_b.mean(),
        "loss": lambda v: v.nll + v.kl,
    },
    "kl has mu where mu^2 belongs": {
        "kl_b": lambda v: 0.5 * (v.mu + np.exp(v.logvar) - v.logvar - 1).sum(axis=1)
    },
    "kl lacks the -1 of each latent": {
        "kl_b": lambda v: 0.5 * (v.mu**2 + np.exp(v.logvar) - v.logvar).sum(axis=1)
    },
    "kl lacks - logvar": {"kl_b": lambda v: 0.5 * (v.mu**2 + np.exp(v.logvar) - 1).sum(axis=1)},
    "kl lacks mu^2": {"kl_b": lambda v: 0.5 * (np.exp(v.logvar) - v.logvar - 1).sum(axis=1)},
    "kl is KL(p || q), the prior from the posterior: the two arguments are exchanged": {
        "kl_b": lambda v: 0.5 * ((v.mu**2 + 1) * np.exp(-v.logvar) + v.logvar - 1).sum(axis=1)
    },
    "kl takes logvar for the log of the standard deviation: e^logvar is the variance itself": {
        "kl_b": lambda v: 0.5 * (v.mu**2 + np.exp(2 * v.logvar) - 2 * v.logvar - 1).sum(axis=1)
    },
    "kl takes logvar for the standard deviation: e^logvar is the variance": {
        "kl_b": lambda v: 0.5 * (v.mu**2 + v.logvar**2 - np.log(v.logvar**2) - 1).sum(axis=1)
    },
    "kl takes logvar for the variance: e^logvar is the variance": {
        "kl_b": lambda v: 0.5 * (v.mu**2 + v.logvar - np.log(np.abs(v.logvar)) - 1).sum(axis=1)
    },
    "kl has std where the variance e^logvar belongs": {
        "kl_b": lambda v: 0.5 * (v.mu**2 + v.std - v.logvar - 1).sum(axis=1)
    },
    "kl has the wrong sign at logvar: it is 1/2 (mu^2 + e^logvar - logvar - 1)": {
        "kl_b": lambda v: 0.5 * (v.mu**2 + np.exp(v.logvar) + v.logvar - 1).sum(axis=1)
    },
    "loss is nll + kl: beta is missing": {"loss": lambda v: v.nll + v.kl},
    "loss is beta * nll + kl: beta is the weight of the KL": {"loss": lambda v: v.beta * v.nll + v.kl},
    "loss is beta * (nll + kl): beta is the weight of the KL alone": {
        "loss": lambda v: v.beta * (v.nll + v.kl)
    },
    "loss is (1 - beta) * nll + beta * kl: nll has the weight 1": {
        "loss": lambda v: (1 - v.beta) * v.nll + v.beta * v.kl
    },
    "loss is nll + beta^2 * kl: beta is multiplied in twice": {"loss": lambda v: v.nll + v.beta**2 * v.kl},
    "loss is nll - beta * kl: the KL is paid for, so it is added": {"loss": lambda v: v.nll - v.beta * v.kl},
    "loss is the ELBO: it is made small, so it is minus the ELBO": {"loss": lambda v: -v.nll - v.beta * v.kl},
    "loss is nll alone: beta * kl is missing": {"loss": lambda v: v.nll},
    "loss is beta * kl alone: nll is missing": {"loss": lambda v: v.beta * v.kl},
    "loss is divided by B once more: nll and kl are means over the batch already": {
        "loss": lambda v: (v.nll + v.beta * v.kl) / B
    },
    "loss is summed over the batch, and nll and kl are not": {"loss": lambda v: B * (v.nll + v.beta * v.kl)},
    "loss is halved": {"loss": lambda v: 0.5 * (v.nll + v.beta * v.kl)},
}

# and of the way back
BACKWARD_SLIPS = {
    "dmu lacks the kl: mu is reached on two ways, through z into the nll and straight into the kl": {
        "dmu": lambda v: v.mu_z
    },
    "dlogvar lacks the kl: logvar is reached on two ways, through z into the nll and straight into the kl": {
        "dlogvar": lambda v: v.logvar_z
    },
    "the kl is forgotten on the way back: it adds beta / B * mu to dmu, and a part of its own to dlogvar": {
        "dmu": lambda v: v.mu_z,
        "dlogvar": lambda v: v.logvar_z,
    },
    "dmu is made of the kl alone: what comes through z is not added": {"dmu": lambda v: v.mu_kl},
    "dlogvar is made of the kl alone: what comes through z is not added": {"dlogvar": lambda v: v.logvar_kl},
    "dmu and dlogvar are made of the kl alone: what comes through z is not added": {
        "dmu": lambda v: v.mu_kl,
        "dlogvar": lambda v: v.logvar_kl,
    },
    "dz goes into mu and logvar twice": {
        "mu_z": lambda v: 2 * v.dz,
        "logvar_z": lambda v: v.dz * v.std * v.eps,
    },
    "dz goes into mu twice": {"mu_z": lambda v: 2 * v.dz},
    "dlogvar lacks a half on the way through z: std = exp(0.5 * logvar), and the 0.5 comes down": {
        "logvar_z": lambda v: v.dz * v.std * v.eps
    },
    "dlogvar lacks eps on the way through z: z = mu + std * eps": {"logvar_z": lambda v: v.dz * 0.5 * v.std},
    "dlogvar lacks std on the way through z: d exp(0.5 logvar) is 0.5 exp(0.5 logvar)": {
        "logvar_z": lambda v: v.dz * 0.5 * v.eps
    },
    "dlogvar lacks 0.5 * std on the way through z: that is the derivative by std, not by logvar": {
        "logvar_z": lambda v: v.dz * v.eps
    },
    "dlogvar has the variance e^logvar for std on the way through z": {
        "logvar_z": lambda v: v.dz * 0.5 * np.exp(v.logvar) * v.eps
    },
    "dlogvar has the whole variance for half the std on the way through z": {
        "logvar_z": lambda v: v.dz * np.exp(v.logvar) * v.eps
    },
    "dlogvar gets dz as it is: it is multiplied by 0.5 * std * eps": {"logvar_z": lambda v: v.dz},
    "dlogvar gets 0.5 * dz: std * eps is missing": {"logvar_z": lambda v: 0.5 * v.dz},
    "dlogvar has z for eps on the way through z": {"logvar_z": lambda v: v.dz * 0.5 * v.std * v.z},
    "dlogvar has eps squared on the way through z": {"logvar_z": lambda v: v.dz * 0.5 * v.std * v.eps**2},
    "dlogvar has the wrong sign on the way through z": {"logvar_z": lambda v: -v.dz * 0.5 * v.std * v.eps},
    "dmu is multiplied by std on the way through z: dz/dmu is 1": {"mu_z": lambda v: v.dz * v.std},
    "dmu is multiplied by eps on the way through z: dz/dmu is 1": {"mu_z": lambda v: v.dz * v.eps},
    "dlogvar lacks a half in the kl: it is 1/2 (e^logvar - 1)": {
        "logvar_kl": lambda v: v.dkl * (np.exp(v.logvar) - 1)
    },
    "dlogvar lacks the -1 in the kl: it is 1/2 (e^logvar - 1)": {
        "logvar_kl": lambda v: v.dkl * 0.5 * np.exp(v.logvar)
    },
    "dlogvar has the wrong sign in the kl: it is 1/2 (e^logvar - 1)": {
        "logvar_kl": lambda v: v.dkl * 0.5 * (1 - np.exp(v.logvar))
    },
    "dlogvar is e^logvar in the kl: it is 1/2 (e^logvar - 1)": {
        "logvar_kl": lambda v: v.dkl * np.exp(v.logvar)
    },
    "dlogvar is the variance times its log in the kl: it is 1/2 (e^logvar - 1)": {
        "logvar_kl": lambda v: v.dkl * v.logvar * np.exp(v.logvar)
    },
    "dlogvar has std for the variance in the kl: it is 1/2 (e^logvar - 1)": {
        "logvar_kl": lambda v: v.dkl * 0.5 * (v.std - 1)
    },
    "dlogvar has std - 1 / std in the kl: that is the derivative by std, not by logvar": {
        "logvar_kl": lambda v: v.dkl * (v.std - 1 / v.std)
    },
    "dmu has half of the kl's derivative: 1/2 mu^2 has the derivative mu": {
        "mu_kl": lambda v: v.dkl * 0.5 * v.mu
    },
    "dmu has twice the kl's derivative: 1/2 mu^2 has the derivative mu": {
        "mu_kl": lambda v: v.dkl * 2 * v.mu
    },
    "dmu has mu^2 in the kl: 1/2 mu^2 has the derivative mu": {"mu_kl": lambda v: v.dkl * v.mu**2},
    "dmu has the wrong sign in the kl": {"mu_kl": lambda v: -v.dkl * v.mu},
    "the kl goes back with the wrong sign": {"dkl": lambda v: -v.beta / B},
    "the way back of the kl lacks beta": {"dkl": lambda v: 1 / B},
    "the way back of the kl has beta squared: it is multiplied in twice": {"dkl": lambda v: v.beta**2 / B},
    "on the way back beta weighs the nll, and the kl has none: the other way round": {
        "dnll": lambda v: v.beta / B,
        "dkl": lambda v: 1 / B,
    },
    "on the way back beta weighs nll and kl: it is the kl's alone": {"dnll": lambda v: v.beta / B},
    "the way back of the kl lacks beta and 1/B: the loss is a mean over the batch": {"dkl": lambda v: 1.0},
    "the way back of the nll lacks 1/B: the loss is a mean over the batch": {"dnll": lambda v: 1.0},
    "the way back of the kl lacks 1/B: the loss is a mean over the batch": {"dkl": lambda v: v.beta},
    "every derivative is B times too large: the loss is a mean over the batch, so 1/B goes back from it": {
        "dnll": lambda v: 1.0,
        "dkl": lambda v: v.beta,
    },
    "the way back of the nll has 1/B twice": {"dnll": lambda v: 1 / B**2},
    "the way back of the kl has 1/B twice": {"dkl": lambda v: v.beta / B**2},
    "every derivative has 1/B twice: once for the loss's mean, and once too often": {
        "dnll": lambda v: 1 / B**2,
        "dkl": lambda v: v.beta / B**2,
    },
    "the way back of the nll is averaged over the D pixels: the nll is a sum over them": {
        "dnll": lambda v: 1 / (B * D)
    },
    "the way back of the nll is averaged over the pixels and not over the batch: the other way round": {
        "dnll": lambda v: 1 / D
    },
    "the way back of the kl is averaged over the L latents: the kl is a sum over them": {
        "dkl": lambda v: v.beta / (B * L)
    },
    "dlogits has the wrong sign: it is sigmoid(logits) - x": {"dlogits": lambda v: v.dnll * (v.x - v.p)},
    "dlogits is multiplied by p (1 - p): sigmoid(logits) - x has the sigmoid's derivative in it already": {
        "dlogits": lambda v: v.dnll * (v.p - v.x) * v.p * (1 - v.p)
    },
    "dlogits is divided by p (1 - p): that is the derivative by p, not by the logits": {
        "dlogits": lambda v: v.dnll * (v.p - v.x) / (v.p * (1 - v.p))
    },
    "dlogits is logits - x: the sigmoid is missing": {"dlogits": lambda v: v.dnll * (v.logits - v.x)},
    "dlogits is sigmoid(logits): - x is missing": {"dlogits": lambda v: v.dnll * v.p},
    "dlogits is twice what it should be: sigmoid(logits) - x has no 2, that is the squared error's": {
        "dlogits": lambda v: 2 * v.dnll * (v.p - v.x)
    },
    "the decoder's tanh is skipped on the way back: dg is multiplied by 1 - g^2": {"slope_g": lambda v: 1.0},
    "the encoder's tanh is skipped on the way back: dh is multiplied by 1 - h^2": {"slope_h": lambda v: 1.0},
    "both tanh are skipped on the way back: the derivative is multiplied by 1 - y^2": {
        "slope_g": lambda v: 1.0,
        "slope_h": lambda v: 1.0,
    },
    "the encoder's tanh has the decoder's derivative": {"slope_h": lambda v: 1 - v.g**2},
    "the decoder's tanh has the encoder's derivative": {"slope_g": lambda v: 1 - v.h**2},
    "mu goes back through a tanh that is not there: the heads are linear": {
        "dmu": lambda v: (v.mu_z + v.mu_kl) * (1 - v.mu**2)
    },
    "mu and logvar go back through a tanh that is not there: the heads are linear": {
        "dmu": lambda v: (v.mu_z + v.mu_kl) * (1 - v.mu**2),
        "dlogvar": lambda v: (v.logvar_z + v.logvar_kl) * (1 - v.logvar**2),
    },
    "dmu and dlogvar are exchanged": {
        "dmu": lambda v: v.logvar_z + v.logvar_kl,
        "dlogvar": lambda v: v.mu_z + v.mu_kl,
    },
    "the encoder gets its derivative through mu alone: h goes into both heads, so their parts add": {
        "dh": lambda v: v.from_mu
    },
    "the encoder gets its derivative through logvar alone: h goes into both heads, so their parts add": {
        "dh": lambda v: v.from_logvar
    },
    "the encoder gets the mean of what comes through the two heads: they add": {
        "dh": lambda v: 0.5 * (v.from_mu + v.from_logvar)
    },
    "what comes to the encoder through logvar is subtracted: the two heads' parts add": {
        "dh": lambda v: v.from_mu - v.from_logvar
    },
    "the encoder gets mu's part through the weights of logvar, and logvar's through those of mu": {
        "dh": lambda v: v.dmu @ v.Wl.T + v.dlogvar @ v.Wm.T
    },
    "the encoder gets both parts through the weights of mu": {"dh": lambda v: (v.dmu + v.dlogvar) @ v.Wm.T},
    "the encoder gets what comes through z alone: the kl is left out before the encoder": {
        "dh": lambda v: v.mu_z @ v.Wm.T + v.logvar_z @ v.Wl.T
    },
    "the encoder gets the kl alone: what comes through z is left out before the encoder": {
        "dh": lambda v: v.mu_kl @ v.Wm.T + v.logvar_kl @ v.Wl.T
    },
    "the derivatives of the biases are averaged over the batch: they are sums, 1/B is there already": {
        "dbo": lambda v: v.dlogits.mean(axis=0),
        "dbd": lambda v: v.da.mean(axis=0),
        "dbm": lambda v: v.dmu.mean(axis=0),
        "dbl": lambda v: v.dlogvar.mean(axis=0),
        "dbe": lambda v: v.de.mean(axis=0),
    },
    "the derivatives of the weights are averaged over the batch: they are sums, 1/B is there already": {
        "dWo": lambda v: v.g.T @ v.dlogits / B,
        "dWd": lambda v: v.z.T @ v.da / B,
        "dWm": lambda v: v.h.T @ v.dmu / B,
        "dWl": lambda v: v.h.T @ v.dlogvar / B,
        "dWe": lambda v: v.x.T @ v.de / B,
    },
    "encoder1.W is made of dh: on the way to it dh is multiplied by 1 - h^2": {"dWe": lambda v: v.x.T @ v.dh},
    "encoder1.b is made of dh: on the way to it dh is multiplied by 1 - h^2": {
        "dbe": lambda v: v.dh.sum(axis=0)
    },
    "decoder1.W is made of dg: on the way to it dg is multiplied by 1 - g^2": {"dWd": lambda v: v.z.T @ v.dg},
    "decoder1.b is made of dg: on the way to it dg is multiplied by 1 - g^2": {
        "dbd": lambda v: v.dg.sum(axis=0)
    },
    "mu.W lacks the kl: it is made of the whole dmu": {"dWm": lambda v: v.h.T @ v.mu_z},
    "mu.b lacks the kl: it is made of the whole dmu": {"dbm": lambda v: v.mu_z.sum(axis=0)},
    "logvar.W lacks the kl: it is made of the whole dlogvar": {"dWl": lambda v: v.h.T @ v.logvar_z},
    "logvar.b lacks the kl: it is made of the whole dlogvar": {"dbl": lambda v: v.logvar_z.sum(axis=0)},
    "the decoder's derivative is made with mu, where z went in": {"dWd": lambda v: v.mu.T @ v.da},
    "the decoder's derivative is made with eps, where z went in": {"dWd": lambda v: v.eps.T @ v.da},
    "the output's derivative is made with the decoder's unit before its tanh": {
        "dWo": lambda v: (v.z @ v.Wd + v.bd).T @ v.dlogits
    },
    "the output's derivative is made with the encoder's h, where the decoder's went in": {
        "dWo": lambda v: v.h.T @ v.dlogits
    },
    "the heads' derivatives are made with the decoder's hidden units, where the encoder's went in": {
        "dWm": lambda v: v.g.T @ v.dmu,
        "dWl": lambda v: v.g.T @ v.dlogvar,
    },
    "the heads' derivatives are made with the encoder's unit before its tanh": {
        "dWm": lambda v: (v.x @ v.We + v.be).T @ v.dmu,
        "dWl": lambda v: (v.x @ v.We + v.be).T @ v.dlogvar,
    },
    "db of the output is made of its first datum alone": {"dbo": lambda v: v.dlogits[0]},
    "every derivative has the wrong sign: the optimizer turns it round, not the gradient": {
        "dnll": lambda v: -1 / B,
        "dkl": lambda v: -v.beta / B,
    },
}


def _tanh_slips():
    """Every slope that tanh's may be taken for, in the encoder, in the decoder, in both."""
    for words in slopes("tanh", np.ones(1)):
        if not words.startswith(("missing", "taken as 1 - y^2")):
            there = {
                "slope_g": lambda v, words=words: slopes("tanh", v.g)[words],
                "slope_h": lambda v, words=words: slopes("tanh", v.h)[words],
            }
            yield f"the derivative of tanh is {words}; it is 1 - y^2", there
            for line, layer in (("slope_g", "decoder"), ("slope_h", "encoder")):
                yield f"the derivative of the {layer}'s tanh is {words}; it is 1 - y^2", {line: there[line]}


TANH_SLIPS = dict(_tanh_slips())


# ------------------------------------------------------------------------------ references


def example(seed=71):
    """A model, x (B, D) and eps (B, L)."""
    rng = np.random.default_rng(seed)
    model = VAE(D, L, (H,), "tanh", backend="numpy", dtype=np.float64, seed=rng)
    return away_from_zero(model, rng), rng.uniform(0.02, 0.98, (B, D)), rng.normal(0, 1, (B, L))


def walk(params, x, eps, beta, changed=None, back=True):
    """Every line of the walk, those of `changed` in their place."""
    v = SimpleNamespace(x=x, eps=eps, beta=beta, **{short: params[key] for key, short in KEYS.items()})
    v.p = None
    lines = FORWARD | (BACKWARD if back else {}) | (changed or {})
    for name in (*FORWARD, *(BACKWARD if back else ())):
        if name == "nll_b":
            v.p = 1 / (1 + np.exp(-v.logits))
        setattr(v, name, lines[name](v))
    return v


def gradients(v):
    """name -> derivative, in the order of the walk back."""
    return {key: getattr(v, f"d{short}") for key, short in KEYS.items()}


def reference(params, x, eps, beta):
    """name -> the complex step of the way forward, in the order of the walk back."""

    def along(key):
        return lambda value: walk({**params, key: value}, x, eps, beta, back=False).loss

    return {key: gradcheck.complex_step(along(key), params[key]) for key in KEYS}


# ------------------------------------------------------------------------------ checks


def results(its, model, x, eps, *beta):
    """The terms by their names, and grads."""
    try:
        result = its.loss_and_grads(model, x, eps, *beta)
    except Failed as failed:
        if "another answer" in failed.sentence:
            raise Failed(_repeated(its, model, x, eps, beta) or failed.sentence) from None
        raise
    terms, grads = judging.values("loss_and_grads", result, ("terms", "grads"))
    if isinstance(terms, float | int | np.number):
        raise Failed("terms is one number: return (loss, nll, kl) and grads, two things")
    if all(hasattr(terms, name) for name in TERMS):
        terms = {name: getattr(terms, name) for name in TERMS}
    elif not isinstance(terms, dict):
        terms = (
            terms if isinstance(terms, np.ndarray) else judging.values("terms", terms, ("loss", "nll", "kl"))
        )
        terms = dict(zip(("loss", "nll", "kl"), terms, strict=True))
    for name in TERMS:
        if name not in terms:
            raise Failed(f"terms has no {name}: return the tuple (loss, nll, kl) first, then grads")
        if np.shape(terms[name]) == (B,):
            raise Failed(f"{name} has shape {(B,)}, expected one number: the mean over the batch is missing")
        judging.array(name, terms[name], (), SIZES)
    return {name: float(np.asarray(terms[name])) for name in TERMS}, grads


def _repeated(its, model, x, eps, beta):
    """What changes from call to call; None where that cannot be told."""
    losses, runs = [], []
    for _ in range(3):
        try:
            terms, grads = its.raw("loss_and_grads")(model, x, eps, *beta)
            losses.append(float(getattr(terms, "loss", None) or np.sum(list(terms))))
            runs.append({key: np.array(grads[key], np.float64) for key in KEYS})
        except Exception:  # it is judged later: here it is only asked again
            return None
    if losses[0] != losses[1]:
        return "the loss changes from call to call: noise is drawn inside. eps is passed in, take that"
    first, second, third = runs
    if all(judging.close(third[key] - second[key], second[key] - first[key]) for key in KEYS):
        return "each call adds to the gradients of the call before: begin with new arrays every time"
    return (
        "the noise was drawn again on the way back: loss, nll and kl stay from call to call, grads change. "
        "z was made with eps, and its derivative needs the same eps"
    )


def check_terms(its):
    """loss, nll and kl at three betas."""
    model, x, eps = example()
    for beta in (BETA, 2.5, None):
        weight = beta or 1.0
        got, _ = results(its, model, x, eps, *([beta] if beta else []))
        right = {name: getattr(walk(model.params, x, eps, weight), name) for name in TERMS}
        wrong = [name for name in TERMS if not judging.close(got[name], right[name])]
        if wrong:
            words = _about_terms(model.params, x, eps, weight, got, right, wrong[0])
            note = (
                ""
                if beta == BETA
                else f" (beta = {weight:g})"
                if beta
                else " (beta is not given, so it is 1)"
            )
            numbers = ", ".join(f"{name} {got[name]:.6g} (want {right[name]:.6g})" for name in TERMS)
            raise Failed(words + note, [numbers])
    model, x, eps = example()
    if results(its, model, x, eps)[0]["nll"] == results(its, model, x, -eps)[0]["nll"]:
        raise Failed("nll is the same for any eps: the noise is not taken from the argument")


def _about_terms(params, x, eps, beta, got, right, first):
    """Why the terms are wrong, in a sentence."""
    named = [other for other in TERMS if other != first and judging.close(got[first], right[other])]
    if named and np.allclose(sorted(got.values()), sorted(right.values()), rtol=1e-6):
        return f"{first} has the value of {named[0]}: the order of the terms is (loss, nll, kl)"

    def told(lines):
        with np.errstate(all="ignore"):
            v = walk(params, x, eps, beta, lines)
        return all(judging.close(got[name], getattr(v, name)) for name in TERMS)

    def begins(lines):
        with np.errstate(all="ignore"):
            value = getattr(walk(params, x, eps, beta, lines), first)
        return judging.close(got[first], value) and not judging.close(right[first], value)

    for search, fits in ((_singles, told), (_pairs, told), (_singles, begins)):
        if found := list(search(FORWARD_SLIPS, fits)):
            return found[0]
    ratio = got[first] / right[first]
    sizes = {name: float(size) for name, size in (SIZES | {"beta": beta}).items() if size != 1}
    names = ratio_names(ratio, sizes, 1e-9)
    if names and names != ["-1"]:
        return f"{first} has the {ratio_words(names[0], sizes)} to what it should be".replace("the c", "a c")
    if abs(ratio - 1) < 1e-4:
        return f"{first} is nearly right: is a small number added for safety, or something rounded?"
    before = f"; {' and '.join(TERMS[: TERMS.index(first)])} right" if first != "nll" else ""
    return (
        f"{first} is {got[first]:.6g}, and should be {right[first]:.6g}, like no mistake known here{before}"
    )


def _singles(slips, told):
    """The sentences of the slips that tell it all."""
    return [words for words, lines in slips.items() if told(lines)]


def _pairs(slips, told):
    """Two slips that tell it all together; a generator, since it takes a while."""
    for (one, first), (two, second) in combinations(slips.items(), 2):
        if not first.keys() & second.keys() and told(first | second):
            yield f"two things: {one}; and {two}"
            return


def check_names(its):
    """grads has the names and the shapes of model.params, and an array for each."""
    model, x, eps = example()
    _, grads = results(its, model, x, eps, BETA)
    if not isinstance(grads, dict):
        raise Failed(f"grads is {type(grads).__name__}, expected a dict with the names of model.params")
    missing = [key for key in KEYS if key not in grads]
    more = [str(key) for key in grads if key not in KEYS]
    if missing:
        found = f"; it has {', '.join(more)}" if more else ""
        raise Failed(f"grads has no entry {missing[0]!r}: its names are those of model.params{found}")
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
        wrong = [key for key in KEYS if not judging.close(grads[key], want[key])]
        if wrong:
            if all(np.array_equal(grads[key], results(its, model, x, -eps, beta)[1][key]) for key in KEYS):
                raise Failed(
                    "the derivatives are the same for any eps, and the loss is not: other noise is used on "
                    "the way back than on the way forward"
                )
            _explain(model.params, x, eps, beta, grads, want, wrong)


def _explain(params, x, eps, beta, grads, want, wrong):
    """Raise Failed about the first wrong derivative on the way back."""
    first = wrong[0]
    right = [key for key in KEYS if key not in wrong]
    evidence = [f"{first}: {line}" for line in judging.evidence(grads[first], want[first])]
    evidence += [f"wrong, from the end on: {', '.join(wrong)}", f"right: {', '.join(right) or 'none'}"]

    def whole(lines):
        guess = gradients(walk(params, x, eps, beta, lines))
        return all(judging.close(grads[key], guess[key]) for key in KEYS)

    def whole_ratio(ratio):
        return all(judging.close(grads[key], ratio * want[key]) for key in KEYS)

    def begins(lines):
        guess = gradients(walk(params, x, eps, beta, lines))
        kept = all(judging.close(guess[key], want[key]) for key in right)
        return (
            kept
            and not judging.close(guess[first], want[first])
            and judging.close(grads[first], guess[first])
        )

    ratios = [np.sum(grads[key] * want[key]) / np.sum(want[key] ** 2) for key in KEYS]
    name, ratio = f"grads[{first!r}]", float(ratios[0])
    found = _singles(BACKWARD_SLIPS | TANH_SLIPS, whole)
    others = [other for other in wrong if other != first and judging.close(grads[first], want[other])]
    if others and not found:
        raise Failed(f"{name} is the derivative by {others[0]}: two names are exchanged", evidence)
    if not found and np.ptp(ratios) < 1e-6 * abs(ratio) and whole_ratio(ratio):
        raise Failed(f"every derivative is {ratio:.6g} times what it should be", evidence)
    found = found or _weighed(walk(params, x, eps, beta), first, grads[first], beta)
    found = found or list(_pairs(BACKWARD_SLIPS, whole))
    if found:
        raise Failed(found[0], evidence)
    found = _singles(BACKWARD_SLIPS | TANH_SLIPS, begins)
    if found:
        raise Failed(f"{name}, the first that is wrong on the way back: {found[0]}", evidence)
    try:
        judging.expect(
            name,
            grads[first],
            want[first],
            SIZES | {"beta": beta},
            terms={
                "the derivative": want[first],
                "the parameter": params[first],
                "1": np.ones_like(want[first]),
            },
            formula={"the derivative": 1.0},
        )
    except Failed as failed:
        at = list(KEYS).index(first)
        before = f"; {', '.join(list(KEYS)[:at])} right before it" if at else ""
        raise Failed(f"{failed.sentence}{before}", evidence) from None


def check_far(its):
    """Logits of +-800: finite, and with no bound."""
    model, x, eps = example()
    model.params["output.b"] += np.where(np.arange(D) % 2, 800.0, -800.0)
    x = np.where(np.arange(D) % 3 == 0, 0.0, np.where(np.arange(D) % 3 == 1, 1.0, x))
    try:
        got, grads = results(its, model, x, eps, BETA)
    except Failed as failed:
        if "is not finite" not in failed.sentence:
            raise
        raise Failed(UNSURE.format(failed.sentence.partition(";")[0].strip())) from None
    right = _right(model, x, eps)
    if not judging.close(got["nll"], right.nll):
        raise Failed(UNSURE.format(f"nll is {got['nll']:.6g}, and should be {right.nll:.6g}"))
    _expect_far(got, grads, right, "a decoder that is sure: its logits are +-800")


UNSURE = (
    "{} at logits of +-800: where p rounds to 0 or 1 its log is lost, or clipped. Go from the logits: "
    "max(l, 0) - x l + log1p(e^-|l|)"
)


def check_spread(its):
    """logvar of -25 and 12: no bound on it."""
    model, x, eps = example()
    model.params["logvar.b"] += np.array([-25.0, 12.0, 0.5])
    got, grads = results(its, model, x, eps, BETA)
    _expect_far(got, grads, _right(model, x, eps), "logvar goes from -24 to 12: is it clipped?")


def _right(model, x, eps):
    """Every line of the walk, where a complex step would lose its digits."""
    with np.errstate(all="ignore"):
        return walk(model.params, x, eps, BETA)


def _expect_far(got, grads, right, note):
    for name in TERMS:
        if not judging.close(got[name], getattr(right, name)):
            words = f"{name} is {got[name]:.6g}, and should be {getattr(right, name):.6g}"
            raise Failed(f"{words} ({note})")
    for key, want in gradients(right).items():
        judging.expect(f"grads[{key!r}]", grads[key], want, SIZES, note=note)


def _weighed(v, first, got, beta):
    """Which part has a wrong factor, where a derivative has one from the nll and one from the kl."""
    parts = {
        "mu": {"comes through z": v.mu_z, "comes from the kl": v.mu_kl},
        "logvar": {"comes through z": v.logvar_z, "comes from the kl": v.logvar_kl},
    }
    layer, _, kind = first.partition(".")
    if layer == "encoder1":
        into, weights = v.x, {"mu": v.Wm, "logvar": v.Wl}
        arrays = {
            f"{words}, by way of {head},": part @ weights[head].T * v.slope_h
            for head, both in parts.items()
            for words, part in both.items()
        }
    elif layer in parts:
        into, arrays = v.h, parts[layer]
    else:
        return []
    columns = [(into.T @ part if kind == "W" else part.sum(axis=0)).ravel() for part in arrays.values()]
    if len(columns[0]) <= len(columns):
        return []
    matrix = np.stack(columns, axis=1)
    factors = np.linalg.lstsq(matrix, np.asarray(got, np.float64).ravel(), rcond=None)[0]
    wrong = [(words, float(c)) for words, c in zip(arrays, factors, strict=True) if abs(c - 1) > 1e-6]
    if len(wrong) != 1 or not judging.close(np.asarray(got).ravel(), matrix @ factors):
        return []
    words, factor = wrong[0]
    names = ratio_names(factor, {name: float(n) for name, n in (SIZES | {"beta": beta}).items()}, 1e-6)
    if abs(factor) < 1e-6:
        what = "is missing"
    elif names == ["-1"]:
        what = "has the wrong sign"
    elif names:
        what = f"has the {ratio_words(names[0], SIZES | {'beta': beta})}".replace(
            "the constant", "a constant"
        )
    else:
        what = f"is {factor:.6g} times what it should be"
    return [f"grads[{first!r}]: the part that {words} {what}"]


CHECKS = {
    "loss, nll and kl": check_terms,
    "a derivative for each parameter": check_names,
    "the derivatives, from the end on": check_gradients,
    "a decoder that is sure": check_far,
    "a posterior that is narrow here and wide there": check_spread,
}
VALUES, NAMED, SLOPES, SURE, SPREAD = CHECKS


# ------------------------------------------------------------------------------ wrong answers


def _slipped(lines):
    """The walk with some lines changed."""

    def loss_and_grads(model, x, eps, beta=1.0, estimator=None):
        v = walk(model.params, x, eps, beta, lines)
        return (v.loss, v.nll, v.kl), gradients(v)

    return {"loss_and_grads": loss_and_grads}


def _listed(check, table, *starts):
    """A Wrong for each slip whose sentence begins so."""
    chosen = [next(words for words in table if words.startswith(start)) for start in starts]
    return [Wrong(_slipped(table[words]), check, words) for words in chosen]


def _from_probabilities():
    """The cross-entropy from p, with a small number added for safety."""

    def bounded(v):
        p = 1 / (1 + np.exp(-v.logits))
        return -(v.x * np.log(p + 1e-300) + (1 - v.x) * np.log(1 - p + 1e-300)).sum(axis=1)

    return _slipped({"nll_b": bounded})


def _in_place():
    """Descends by itself."""

    def loss_and_grads(model, x, eps, beta=1.0, estimator=None):
        v = walk(model.params, x, eps, beta)
        for key, grad in gradients(v).items():
            model.params[key] -= 0.01 * grad
        return (v.loss, v.nll, v.kl), gradients(v)

    return {"loss_and_grads": loss_and_grads}


WRONG = (
    *_listed(
        VALUES,
        FORWARD_SLIPS,
        "nll is summed over the batch",
        "nll is averaged over the D pixels",
        "kl is averaged over the L latents",
        "z has std = exp(logvar)",
        "loss is beta * nll + kl",
    ),
    Wrong(
        _in_place(),
        VALUES,
        "loss_and_grads changes model.params['encoder1.W']: the parameters are the optimizer's to change",
    ),
    *_listed(
        SLOPES,
        BACKWARD_SLIPS,
        "dmu lacks the kl",
        "dlogvar lacks the kl",
        "dlogvar lacks a half on the way through z",
        "dz goes into mu and logvar twice",
        "the way back of the kl lacks beta",
        "the way back of the kl lacks 1/B",
        "every derivative is B times too large",
        "the encoder gets its derivative through mu alone",
        "the decoder's tanh is skipped on the way back",
        "the derivatives of the biases are averaged",
    ),
    Wrong(
        _slipped({"logvar": lambda v: np.clip(v.h @ v.Wl + v.bl, -10, 10)}),
        SPREAD,
        "(logvar goes from -24 to 12: is it clipped?)",
    ),
    Wrong(_from_probabilities(), SURE, "where p rounds to 0 or 1 its log is lost, or clipped"),
)


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

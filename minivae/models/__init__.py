"""Models: each holds parameters and settings, and has a forward pass and a backward pass that mirrors it."""

from .autoencoder import Autoencoder
from .bounds import Terms
from .mixture import BernoulliMixture, GaussianMixture
from .ppca import PPCA
from .vae import VAE, Trace

__all__ = ["PPCA", "VAE", "Autoencoder", "BernoulliMixture", "GaussianMixture", "Terms", "Trace"]

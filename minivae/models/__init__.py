"""Models: each holds parameters and settings, walks forward, and walks back through its mirror image."""

from .autoencoder import Autoencoder
from .bounds import Terms
from .vae import VAE, Trace

__all__ = ["VAE", "Autoencoder", "Terms", "Trace"]

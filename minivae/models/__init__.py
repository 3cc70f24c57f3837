"""Models: each holds parameters and settings, walks forward, and walks back through its mirror image."""

from .bounds import Terms
from .vae import VAE, Trace

__all__ = ["VAE", "Terms", "Trace"]

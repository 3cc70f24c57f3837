"""Probabilistic PCA: the linear VAE whose posterior and log p(x) are exact (Tipping and Bishop 1999).

    z ~ N(0, I)      x = W z + mean + noise, noise ~ N(0, v I)      so x ~ N(mean, W W' + v I)

Maximum likelihood is in closed form: W spans the L largest eigenvectors of the covariance, v is the mean of
the other eigenvalues. As v goes to 0 the posterior mean becomes PCA's projection.
"""

import math

import numpy as np

from .. import arguments
from . import em
from .mixture import least_variance, table


class PPCA:
    """Probabilistic PCA with L latents. floor: least v, relative to the mean variance of the columns of x.

    mean (D,), W (D, L), variance v; eigenvalues (D,) of the covariance of the data (divided by N), largest
    first, and components (L, D), its first eigenvectors: PCA itself.
    """

    def __init__(self, L, floor=1e-6):
        self.L = arguments.integer("L", L)
        self.floor = arguments.number("floor", floor, at_least=0)
        self.mean = self.W = self.variance = self.eigenvalues = self.components = None

    def fit(self, x, rng=None):
        """Maximum likelihood in closed form, up to a rotation of z: x (N, D) -> self."""
        x = self._prepared(x)
        values, L = self.eigenvalues, self.L
        self.variance = max(float(values[L:].mean()), self.least)
        self.W = self.components.T * np.sqrt(np.maximum(values[:L] - self.variance, 0))
        return self

    def fit_em(self, x, rng, steps=10_000, tolerance=1e-10, progress=lambda step, bound: None):
        """The same by EM from a random W -> em.Fit; it ends at the same W W' and v."""
        x = self._prepared(x)
        scale = math.sqrt(max(self.eigenvalues.mean(), self.least))
        self.W, self.variance = scale * rng.standard_normal((x.shape[1], self.L)), scale**2
        return em.fit(self, x, steps, tolerance, progress)

    def _prepared(self, x):
        x = table(x)
        if x.shape[1] <= self.L:
            wanted = f"x must have shape (N, D) with D above L = {self.L}"
            raise ValueError(f"{wanted}, got {arguments.describe(x)}")
        self.mean = x.mean(axis=0)
        centred = x - self.mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(x))  # smallest first
        self.eigenvalues, self.components = np.maximum(values[::-1], 0), vectors[:, ::-1][:, : self.L].T
        self.least = least_variance(x, self.floor)
        return x

    def parameters(self):
        """name -> number or array."""
        names = ("mean", "W", "variance", "eigenvalues", "components")
        return {name: getattr(self, name) for name in names}

    # M = W'W + v I:   p(z|x) = N(M^-1 W'(x - mean), v M^-1)
    def posterior(self, x):
        """p(z|x): x (N, D) -> means (N, L), and the covariance (L, L) that all x share."""
        M = self.W.T @ self.W + self.variance * np.eye(self.L)
        return np.linalg.solve(M, self.W.T @ (x - self.mean).T).T, self.variance * np.linalg.inv(M)

    e_step = posterior

    # With S the posterior's covariance and m_n its means, and y = x - mean:
    #   W = (sum_n y_n m_n') (N S + sum_n m_n m_n')^-1
    #   v = 1/D mean_n E_q |y_n - W z|^2 = 1/D (mean_n |y_n - W m_n|^2 + tr(S W'W))
    def m_step(self, x, q):
        """The W and v that maximize the bound."""
        (m, S), y = q, x - self.mean
        second = len(x) * S + m.T @ m  # (L, L)
        self.W = np.linalg.solve(second, m.T @ y).T
        self.variance = max(self._squares(y, m, S) / len(self.mean), self.least)

    def bound(self, x, q):
        """E_q[log p(x, z)] + entropy of q, nats per x; log p(x) if q is the posterior."""
        (m, S), y = q, x - self.mean
        second = S + m.T @ m / len(x)
        squares = self._squares(y, m, S) / self.variance
        nll = 0.5 * (x.shape[1] * math.log(2 * math.pi * self.variance) + squares)
        prior = 0.5 * (self.L * math.log(2 * math.pi) + np.trace(second))
        entropy = 0.5 * (self.L * (math.log(2 * math.pi) + 1) + np.linalg.slogdet(S)[1])
        return entropy - nll - prior

    def _squares(self, y, m, S):
        return float(((y - m @ self.W.T) ** 2).sum(axis=1).mean() + (S * (self.W.T @ self.W)).sum())

    def log_prob(self, x):
        """log N(x; mean, W W' + v I): x (N, D) -> (N,), nats."""
        x = table(x, self.mean)
        factor = np.linalg.cholesky(self.W @ self.W.T + self.variance * np.eye(x.shape[1]))
        white = np.linalg.solve(factor, (x - self.mean).T)
        constant = x.shape[1] * math.log(2 * math.pi) + 2 * np.log(np.diag(factor)).sum()
        return -0.5 * ((white * white).sum(axis=0) + constant)

    def sample(self, n, rng):
        """n draws of x -> (n, D)."""
        z = arguments.generator("rng", rng).standard_normal((arguments.integer("n", n), self.L))
        return self.mean + z @ self.W.T + math.sqrt(self.variance) * rng.standard_normal((n, len(self.mean)))

    # -------------------------------------------------------------------------- PCA, and the linear VAE

    def project(self, x):
        """PCA's coordinates: (x - mean) along the first L eigenvectors, (N, D) -> (N, L)."""
        return (x - self.mean) @ self.components.T

    def reconstruct(self, x):
        """PCA's reconstruction from L coordinates, (N, D): its squared error is the discarded eigenvalues."""
        return self.mean + self.project(x) @ self.components

    def explained_variance(self):
        """The share of the total variance along each of the L components."""
        return self.eigenvalues[: self.L] / (self.eigenvalues.sum() or 1.0)

    def live(self, variance=None):
        """The eigenvalues that a linear VAE uses: of the L largest those above v, its noise variance.

        At the ELBO's maximum each of them adds 1/2 log(eigenvalue / v) to the KL; the other latents collapse.
        """
        variance = self.variance if variance is None else arguments.number("variance", variance, above=0)
        first = self.eigenvalues[: self.L]
        return first[first > variance]

"""Mixtures: one discrete latent variable, so that the posterior and log p(x) are sums over K components.

    p(x) = sum_k pi_k p(x|k)      p(k|x) = pi_k p(x|k) / p(x), the responsibilities

Their EM is exact: `em.fit` raises log p(x) with every step. Everything goes through log-sum-exp, so that no
probability underflows. A component that shrinks to one point would have an infinite likelihood, so variances
have a floor; the M-step with a floor is still the best step that respects it.
"""

import copy
import math

import numpy as np

from .. import arguments
from ..distributions.priors import log_sum_exp
from . import em

MANY = 5000  # rows that are enough to find a start
COVARIANCES = ("full", "diagonal", "spherical")


def least_variance(x, floor):
    """The floor in the units of x^2: relative to the columns' mean variance, and far above rounding."""
    rounding = 1000 * np.finfo(float).eps * np.abs(x).max()
    return max(floor * x.var(axis=0).mean(), rounding**2) or floor


def table(x, means=()):
    """x as floats (N, D); with the D of a model's `means`, which are None before its fit."""
    if means is None:
        raise ValueError("the model has no parameters yet: call fit first")
    x = arguments.cast("x", x, np.float64)
    if x.ndim != 2:
        raise ValueError(f"x must have shape (N, D), got {arguments.describe(x)}")
    arguments.shape("x", x, (len(x), np.shape(means)[-1] or x.shape[1]))
    return x


def responsibilities(joint):
    """p(k|x) from log p(x, k): (N, K) -> (N, K)."""
    return np.exp(joint - log_sum_exp(joint)[:, None])


def expected_gain(joint, r):
    """Mean over x of E_r[log p(x, k) - log r_k], from log p(x, k) and r (N, K): the ELBO, nats per x."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(r > 0, r * (joint - np.log(r)), 0).sum(axis=1).mean()


class Mixture:
    """What both mixtures share; a subclass knows its components: log p(x|k), their M-step, their draws."""

    def __init__(self, K):
        self.K = arguments.integer("K", K)
        self.weights = self.means = None  # (K,), pi; (K, D)

    def parameters(self):
        """name -> array: weights (K,), means (K, D)."""
        return {"weights": self.weights, "means": self.means}

    def free_parameters(self):
        """How many numbers are fitted; the weights sum to 1."""
        return sum(value.size for value in self.parameters().values()) - 1

    def log_joint(self, x):
        """log pi_k p(x|k): x (N, D) -> (N, K)."""
        with np.errstate(divide="ignore"):  # a component without data has weight 0
            return np.log(self.weights) + self.components_log_prob(x)

    def e_step(self, x):
        """Responsibilities p(k|x): x (N, D) -> (N, K)."""
        return responsibilities(self.log_joint(x))

    def m_step(self, x, r):
        """The parameters that maximize the bound, given responsibilities r (N, K)."""
        counts = r.sum(axis=0)  # (K,): N_k
        self.weights, alive = counts / len(x), counts > 1e-10  # without data a component keeps its shape
        self.update(x, r[:, alive] / counts[alive], alive)

    def bound(self, x, r):
        """E_r[log p(x, k) - log r_k], nats per x; log p(x) if r are the responsibilities."""
        return expected_gain(self.log_joint(x), r)

    def log_prob(self, x):
        """log p(x): x (N, D) -> (N,), nats."""
        return log_sum_exp(self.log_joint(table(x, self.means)))

    def posterior(self, x):
        """p(k|x): x (N, D) -> (N, K)."""
        return self.e_step(table(x, self.means))

    def sample(self, n, rng):
        """A component by its weight, then x from it -> (n, D)."""
        arguments.generator("rng", rng)
        return self.draw(rng.choice(self.K, arguments.integer("n", n), p=self.weights), rng)

    def fit(self, x, rng, steps=1000, tolerance=1e-8, restarts=1, progress=lambda step, bound: None):
        """The best of so many runs of EM, each from a k-means++ start -> em.Fit of that run."""
        x, best = table(x), None
        for _ in range(arguments.integer("restarts", restarts)):
            self.start(x, rng)
            found = em.fit(_Fitting(self), x, steps, tolerance, progress)
            if best is None or found.bounds[-1] > best[0].bounds[-1]:
                best = found, copy.deepcopy(self.parameters())
        vars(self).update(best[1])
        return best[0]

    def start(self, x, rng):
        """k-means on at most MANY rows, then one M-step from its hard assignment."""
        x = table(x)
        if len(x) < self.K:
            raise ValueError(f"K must be at most {len(x)}, the number of rows, got {self.K}")
        some = x if len(x) <= MANY else x[rng.choice(len(x), MANY, replace=False)]
        labels = kmeans(some, self.K, rng)[1]
        self.prepare(x)
        self.m_step(some, np.eye(self.K)[labels])

    def bic(self, x):
        """-2 log p(all x) + (free parameters) log N: the smaller, the better. (Schwarz 1978)"""
        return -2 * self.log_prob(x).sum() + self.free_parameters() * math.log(len(x))


class _Fitting:
    """A mixture during EM on one x: log p(x, k), the expensive part, is computed once for each M-step."""

    def __init__(self, mixture):
        self.mixture, self.joint = mixture, None

    def e_step(self, x):
        self.joint = self.mixture.log_joint(x) if self.joint is None else self.joint
        return responsibilities(self.joint)

    def m_step(self, x, r):
        self.mixture.m_step(x, r)
        self.joint = self.mixture.log_joint(x)

    def bound(self, x, r):
        return expected_gain(self.joint, r)


class GaussianMixture(Mixture):
    """p(x|k) = N(mean_k, covariance_k).

    covariance  "full": (K, D, D); "diagonal": (K, D) variances; "spherical": (K,), one variance each
    floor       least variance in any direction, relative to the mean variance of the columns of x
    """

    def __init__(self, K, covariance="full", floor=1e-6):
        super().__init__(K)
        self.covariance = arguments.one_of("covariance", covariance, COVARIANCES)
        self.floor = arguments.number("floor", floor, at_least=0)
        self.least = 0.0  # the floor in the units of x^2
        self.covariances = None

    def parameters(self):
        """name -> array: weights (K,), means (K, D), covariances."""
        return super().parameters() | {"covariances": self.covariances}

    def free_parameters(self):
        """The same; full covariances are symmetric."""
        twice = self.means.size * (self.means.shape[1] - 1) // 2
        return super().free_parameters() - twice * (self.covariance == "full")

    def prepare(self, x):
        """The floor in the units of x (N, D); every component starts as the one that fits all of x."""
        D, self.least = x.shape[1], least_variance(x, self.floor)
        self.means = np.tile(x.mean(axis=0), (self.K, 1))
        one = {"full": np.eye(D), "diagonal": np.ones(D), "spherical": np.ones(())}[self.covariance]
        self.covariances = max(x.var(axis=0).mean(), self.least) * np.stack([one] * self.K)

    # with r_nk divided by N_k:
    #   mean_k       = sum_n r_nk x_n
    #   covariance_k = sum_n r_nk y_n y_n', y_n = x_n - mean_k
    # Of all covariances with no eigenvalue below the floor, the best has the same eigenvectors, and the
    # eigenvalues below the floor are raised to it
    def update(self, x, r, alive):
        """The M-step of the components `alive` (K,), r (N, of them) with columns that sum to 1."""
        if self.covariance == "full":
            for k, p in zip(np.flatnonzero(alive), r.T, strict=True):
                self.means[k], first, second = p @ x, 0, 0
                for rows in _rows(x):
                    y, q = x[rows] - self.means[k], p[rows]
                    first, second = first + q @ y, second + (y * q[:, None]).T @ y
                self.means[k] += first  # what rounding has left
                values, vectors = np.linalg.eigh(second)
                self.covariances[k] = (vectors * np.maximum(values, self.least)) @ vectors.T
            return
        center = x[:: len(x) // 1000 + 1].mean(axis=0)  # near the data: the squares then hardly cancel
        first, second = 0, 0  # (K, D): sum_n r_nk y_n and sum_n r_nk y_n^2, y_n = x_n - center
        for rows in _rows(x):
            y, p = x[rows] - center, r[rows].T
            first, second = first + p @ y, second + p @ (y * y)
        self.means[alive] = center + first
        variances = second - first * first
        if self.covariance == "spherical":
            variances = variances.mean(axis=1)
        self.covariances[alive] = np.maximum(variances, self.least)

    def components_log_prob(self, x):
        """log N(x; mean_k, covariance_k): x (N, D) -> (N, K)."""
        if self.covariance == "full":
            whiten = np.linalg.inv(np.linalg.cholesky(self.covariances))  # (K, D, D)
            logdet = -2 * np.log(np.diagonal(whiten, axis1=1, axis2=2)).sum(axis=1)  # (K,)

            def squares(x):
                white = ((x - mean) @ w.T for mean, w in zip(self.means, whiten, strict=True))
                return np.stack([(y * y).sum(axis=1) for y in white], axis=1)
        else:
            variances = np.broadcast_to(self.covariances.reshape(self.K, -1), self.means.shape)
            logdet = np.log(variances).sum(axis=1)
            center = self.means.mean(axis=0)  # near the data: the squares then hardly cancel
            means = self.means - center
            constant, linear, quadratic = (means**2 / variances).sum(axis=1), means / variances, 1 / variances

            def squares(x):
                y = x - center
                return y * y @ quadratic.T - 2 * y @ linear.T + constant

        found = np.concatenate([squares(x[rows]) for rows in _rows(x)])  # (N, K): |y|^2 in units of std
        return -0.5 * (x.shape[1] * math.log(2 * math.pi) + logdet + found)

    def draw(self, k, rng):
        """x ~ p(x|k) for components k (n,) -> (n, D)."""
        noise = rng.standard_normal((len(k), self.means.shape[1]))
        if self.covariance == "full":
            factors = np.linalg.cholesky(self.covariances)
            return self.means[k] + np.einsum("nij,nj->ni", factors[k], noise)
        return self.means[k] + np.sqrt(self.covariances.reshape(self.K, -1)[k]) * noise


class BernoulliMixture(Mixture):
    """p(x|k) = prod_d p_kd^x_d (1 - p_kd)^(1 - x_d) for x of zeros and ones, p within [floor, 1 - floor]."""

    def __init__(self, K, floor=1e-3):
        super().__init__(K)
        self.floor = arguments.number("floor", floor, above=0, below=0.5)

    def prepare(self, x):
        """Empty parameters for x (N, D), which must lie in [0, 1]."""
        arguments.cast("x", x, np.float64, 0, 1)
        self.means = np.full((self.K, x.shape[1]), 0.5)

    def update(self, x, r, alive):
        """p_k = sum_n r_nk x_n, r with columns that sum to 1, kept within [floor, 1 - floor]."""
        self.means[alive] = np.clip(r.T @ x, self.floor, 1 - self.floor)

    def components_log_prob(self, x):
        """x (N, D) -> (N, K): sum_d x log p + (1 - x) log(1 - p)."""
        return x @ (np.log(self.means) - np.log1p(-self.means)).T + np.log1p(-self.means).sum(axis=1)

    def draw(self, k, rng):
        """x ~ p(x|k) -> (n, D) of zeros and ones."""
        return (rng.random((len(k), self.means.shape[1])) < self.means[k]).astype(float)


def _rows(x):
    """Slices of rows of x: small enough for the cache, large enough for BLAS on several threads."""
    size = max(1, 2**21 // x.shape[1])
    return [slice(start, start + size) for start in range(0, len(x), size)]


# ------------------------------------------------------------------------------ k-means


def kmeans(x, K, rng, steps=100):
    """k-means: x (N, D) -> centers (K, D), labels (N,), sum of squared distances.

    The limit of the spherical mixture with equal weights as its variance goes to 0: the responsibilities
    become a choice of the nearest center. (Lloyd 1982; k-means++ starts: Arthur and Vassilvitskii 2007)
    """
    arguments.generator("rng", rng)
    center, labels = x.mean(axis=0), None
    y = x - center  # the squares below then hardly cancel
    centers = _plus_plus(y, K, rng)
    for _ in range(steps):
        new = ((centers**2).sum(axis=1) - 2 * y @ centers.T).argmin(axis=1)  # |y|^2 is the same for all
        if labels is not None and np.array_equal(new, labels):
            break
        labels, counts = new, np.bincount(new, minlength=K)[:, None]
        centers = np.where(counts, np.eye(K)[labels].T @ y / np.maximum(counts, 1), centers)
    return center + centers, labels, float(((y - centers[labels]) ** 2).sum())


def _plus_plus(x, K, rng):
    """Each next center is a row drawn in proportion to its squared distance from the centers so far."""
    centers = [x[rng.integers(len(x))]]
    nearest = ((x - centers[0]) ** 2).sum(axis=1)
    for _ in range(K - 1):
        total = nearest.sum()
        centers.append(x[rng.choice(len(x), p=nearest / total if total > 0 else None)])
        nearest = np.minimum(nearest, ((x - centers[-1]) ** 2).sum(axis=1))
    return np.array(centers)

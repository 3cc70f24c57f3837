"""Mixtures: one discrete latent variable, so that the posterior and log p(x) are sums over K components.

    p(x) = sum_k pi_k p(x|k)      p(k|x) = pi_k p(x|k) / p(x), the responsibilities

Their EM is exact: `em.fit` raises log p(x) with every step. Everything goes through log-sum-exp, so that no
probability underflows. A component that shrinks to one point would have an infinite likelihood, so variances
have a floor; the M-step with a floor is still the best step that respects it.
"""

import math

import numpy as np

from .. import arguments
from . import em

MANY = 5000  # rows that are enough to find a start
COVARIANCES = ("full", "diagonal", "spherical")


def log_sum_exp(a):
    """log sum_k e^a_k over the last axis, without overflow."""
    most = a.max(axis=-1, keepdims=True)
    most = np.where(np.isfinite(most), most, 0)
    return np.log(np.exp(a - most).sum(axis=-1)) + most[..., 0]


def least_variance(x, floor):
    """The floor in the units of x^2: relative to the columns' mean variance, and far above rounding."""
    rounding = 1000 * np.finfo(float).eps * np.abs(x).max()
    return max(floor * x.var(axis=0).mean(), rounding**2) or floor


class Mixture:
    """What both mixtures share; a subclass knows its components: log p(x|k), their M-step, their draws."""

    def __init__(self, K):
        self.K = arguments.integer("K", K)
        self.weights = None  # (K,), pi

    def e_step(self, x):
        """Responsibilities p(k|x): x (N, D) -> (N, K)."""
        joint = self._log_joint(x)
        return np.exp(joint - log_sum_exp(joint)[:, None])

    def m_step(self, x, r):
        """The parameters that maximize the bound, given responsibilities r (N, K)."""
        counts = r.sum(axis=0)  # (K,): N_k
        self.weights = counts / len(x)
        alive = counts > 1e-10  # of a component without data the weight alone changes
        self.update(x, r[:, alive] / counts[alive], alive)

    def bound(self, x, r):
        """E_r[log p(x, k) - log r_k], nats per x; log p(x) if r are the responsibilities."""
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = r * (self._log_joint(x) - np.log(r))
        return np.where(r > 0, terms, 0).sum(axis=1).mean()

    def log_prob(self, x):
        """log p(x): x (N, D) -> (N,), nats."""
        return log_sum_exp(self._log_joint(self._data(x)))

    def posterior(self, x):
        """p(k|x): x (N, D) -> (N, K)."""
        return self.e_step(self._data(x))

    def sample(self, n, rng):
        """A component by its weight, then x from it -> (n, D)."""
        arguments.generator("rng", rng)
        return self.draw(rng.choice(self.K, arguments.integer("n", n), p=self.weights), rng)

    def fit(self, x, rng, steps=1000, tolerance=1e-8, restarts=1, progress=lambda step, bound: None):
        """The best of so many runs of EM, each from a k-means++ start -> em.Fit of that run."""
        x, best = self._data(x), None
        for _ in range(arguments.integer("restarts", restarts)):
            self.start(x, rng)
            found = em.fit(self, x, steps, tolerance, progress)
            if best is None or found.bounds[-1] > best[0].bounds[-1]:
                best = found, {name: value.copy() for name, value in self.parameters().items()}
        vars(self).update(best[1])
        return best[0]

    def start(self, x, rng):
        """Means by k-means, then one M-step from its hard assignment."""
        x = self._data(x)
        if len(x) < self.K:
            raise ValueError(f"K must be at most {len(x)}, the number of rows, got {self.K}")
        some = x if len(x) <= MANY else x[rng.choice(len(x), MANY, replace=False)]
        centers = kmeans(some, self.K, rng)[0]
        labels = np.concatenate([_squared(x[rows], centers).argmin(axis=1) for rows in _rows(x)])
        self.prepare(x)
        self.m_step(x, np.eye(self.K)[labels])

    def bic(self, x):
        """-2 log p(all x) + (free parameters) log N: the smaller, the better. (Schwarz 1978)"""
        return -2 * self.log_prob(x).sum() + self.free_parameters() * math.log(len(x))

    def _log_joint(self, x):
        with np.errstate(divide="ignore"):
            found = [self.components_log_prob(x[rows]) for rows in _rows(x)]
            return np.log(self.weights) + np.concatenate(found)  # (N, K)

    def _data(self, x):
        x = arguments.cast("x", x, np.float64)
        if x.ndim != 2:
            raise ValueError(f"x must have shape (N, D), got {arguments.describe(x)}")
        return x


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
        self.means = self.covariances = None

    def parameters(self):
        """name -> array: weights (K,), means (K, D), covariances."""
        return {"weights": self.weights, "means": self.means, "covariances": self.covariances}

    def free_parameters(self):
        """How many numbers are fitted: weights that sum to 1, means, covariances."""
        D = self.means.shape[1]
        return (
            self.K
            - 1
            + self.K * (D + {"full": D * (D + 1) // 2, "diagonal": D, "spherical": 1}[self.covariance])
        )

    def prepare(self, x):
        """The floor in the units of x (N, D); every component starts as the one that fits all of x."""
        D = x.shape[1]
        self.least = least_variance(x, self.floor)
        self.means = np.tile(x.mean(axis=0), (self.K, 1))
        shapes = {"full": (self.K, D, D), "diagonal": (self.K, D), "spherical": (self.K,)}
        self.covariances = np.full(shapes[self.covariance], max(x.var(axis=0).mean(), self.least))
        if self.covariance == "full":
            self.covariances *= np.eye(D)

    # with r_nk divided by N_k:
    #   mean_k       = sum_n r_nk x_n
    #   covariance_k = sum_n r_nk y_n y_n', y_n = x_n - mean_k
    # Of all covariances with no eigenvalue below the floor, the best has the same eigenvectors, and the
    # eigenvalues below the floor are raised to it
    def update(self, x, r, alive):
        """The M-step of the components `alive` (K,), r (N, of them) with columns that sum to 1."""
        center = x.mean(axis=0)  # the squares below then hardly cancel
        shift, second = 0, 0  # sum_n r_nk y_n (K, D), and of the squares (K, D) or the products (K, D, D)
        for rows in _rows(x):
            y, p = x[rows] - center, r[rows].T
            shift = shift + p @ y
            products = [(y * q[:, None]).T @ y for q in p] if self.covariance == "full" else p @ (y * y)
            second = second + np.asarray(products)
        self.means[alive] = center + shift
        if self.covariance == "full":
            values, vectors = np.linalg.eigh(second - shift[:, :, None] * shift[:, None])
            scaled = vectors * np.maximum(values, self.least)[:, None]
            self.covariances[alive] = scaled @ vectors.transpose(0, 2, 1)
            return
        variances = second - shift * shift
        if self.covariance == "spherical":
            variances = variances.mean(axis=1)
        self.covariances[alive] = np.maximum(variances, self.least)

    def components_log_prob(self, x):
        """log N(x; mean_k, covariance_k): x (N, D) -> (N, K)."""
        D, found = x.shape[1], np.empty((len(x), self.K))
        if self.covariance == "full":
            for k in range(self.K):
                factor = np.linalg.cholesky(self.covariances[k])
                white = np.linalg.solve(factor, (x - self.means[k]).T)  # (D, N)
                found[:, k] = (white * white).sum(axis=0) + 2 * np.log(np.diag(factor)).sum()
        else:
            variances = np.broadcast_to(self.covariances.reshape(self.K, -1), (self.K, D))
            center = self.means.mean(axis=0)  # near the data, so that the squares below hardly cancel
            y, means = x - center, self.means - center
            squares = (
                y * y @ (1 / variances).T - 2 * y @ (means / variances).T + (means**2 / variances).sum(axis=1)
            )
            found[...] = squares + np.log(variances).sum(axis=1)
        return -0.5 * (D * math.log(2 * math.pi) + found)

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
        self.means = None  # (K, D): p

    def parameters(self):
        """name -> array: weights (K,), means (K, D)."""
        return {"weights": self.weights, "means": self.means}

    def free_parameters(self):
        """How many numbers are fitted."""
        return self.K - 1 + self.means.size

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
    """Slices of as many rows of x as stay in the cache together."""
    size = max(1, 2**19 // x.shape[1])
    return [slice(start, start + size) for start in range(0, len(x), size)]


# ------------------------------------------------------------------------------ k-means


def kmeans(x, K, rng, steps=100):
    """k-means: x (N, D) -> centers (K, D), labels (N,), sum of squared distances.

    The limit of the spherical mixture with equal weights as its variance goes to 0: the responsibilities
    become a choice of the nearest center. (Lloyd 1982; k-means++ starts: Arthur and Vassilvitskii 2007)
    """
    arguments.generator("rng", rng)
    centers = _plus_plus(x, K, rng)
    labels = None
    for _ in range(steps):
        distances = _squared(x, centers)
        new = distances.argmin(axis=1)
        if labels is not None and np.array_equal(new, labels):
            break
        labels = new
        counts = np.bincount(labels, minlength=K)
        sums = np.eye(K)[labels].T @ x
        centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers)
    return centers, labels, float(_squared(x, centers)[np.arange(len(x)), labels].sum())


def _plus_plus(x, K, rng):
    """Each next center is a row drawn in proportion to its squared distance from the centers so far."""
    centers = [x[rng.integers(len(x))]]
    nearest = ((x - centers[0]) ** 2).sum(axis=1)
    for _ in range(K - 1):
        total = nearest.sum()
        centers.append(x[rng.choice(len(x), p=nearest / total if total > 0 else None)])
        nearest = np.minimum(nearest, ((x - centers[-1]) ** 2).sum(axis=1))
    return np.array(centers)


def _squared(x, centers):
    """Squared distances (N, K)."""
    y, c = x - centers.mean(axis=0), centers - centers.mean(axis=0)
    return np.maximum((y * y).sum(axis=1)[:, None] - 2 * y @ c.T + (c * c).sum(axis=1), 0)

"""Invert a linear decoder

Write the exact posterior of probabilistic PCA, x = W z + b + noise with z ~ N(0, I) and noise ~ N(0, v I):
the mean of z for each row of x, and the covariance, which is the same for all rows. Then write the
maximum-likelihood estimate of the noise variance v for L latents and the rows of x.

Where to look: lesson 9, sections 1 and 2. W is (D, L). Both results need the (L, L) matrix M = W'W + v I;
np.linalg.inv or np.linalg.solve inverts it. For v, np.linalg.eigvalsh returns the eigenvalues of a symmetric
matrix, the smallest first.

The formula: p(z|x) = N(M^-1 W'(x - b), v M^-1). With rows x (B, D) the means are (x - b) W M^-1, (B, L). The
covariance of the data is divided by B, not B - 1; v is the mean of its D - L smallest eigenvalues.
"""

from minivae import PPCA

from . import Exercise, Part


def ppca_posterior(x, W, b, v):
    """The posterior p(z|x) of x = W z + b + noise -> m (B, L), cov (L, L).

    x (B, D), W (D, L), b (D,); v > 0 is the noise variance. m are the means; all x share cov.
    (Tipping and Bishop 1999)
    """
    model = PPCA(W.shape[1])
    model.W, model.mean, model.variance = W, b, v
    return model.posterior(x)


def ppca_noise(x, L):
    """The maximum-likelihood v of pPCA: x (B, D), L latents, D > L -> a number."""
    return PPCA(L, floor=0).fit(x).variance


def draw(rng, n):
    """x, W, b and v, all of moderate size."""
    return {
        "x": rng.normal(0.5, 1.5, (n.B, n.D)),
        "W": rng.normal(0.0, 0.8, (n.D, n.L)),
        "b": rng.normal(0.7, 1.0, n.D),
        "v": float(rng.uniform(0.4, 0.8)),
    }


def draw_rows(rng, n):
    """Rows of correlated x, more of them than columns, and more columns than L."""
    D = n.D + n.L
    return {"x": rng.standard_normal((n.B + 2 * D, D)) @ rng.normal(0.0, 1.0, (D, D)) + 3, "L": n.L}


POSTERIOR = Part(
    ppca_posterior,
    returns="m cov",
    walk="""
        M = W.T @ W + v * eye(W.shape[1])  # (L, L)
        inverse = np.linalg.inv(M)  # (L, L)
        y = x - b  # (B, D)
        m = y @ W @ inverse  # (B, L)
        cov = v * inverse  # (L, L): of z, the same for every x
    """,
    slips="""
    M = W.T @ W  # v I is missing in M: without it m does not shrink towards the prior
    M = W.T @ W + v  # v is added to every entry of M: v I has it on the diagonal alone
    M = W.T @ W + eye(W.shape[1])  # M has I instead of v I: the noise variance is v, not 1
    M = W.T @ W + v**2 * eye(W.shape[1])  # v is squared in M: v is already the variance
    M = W.T @ W + sqrt(v) * eye(W.shape[1])  # M has the standard deviation of the noise: v I has the variance
    M = W.T @ W / v + eye(W.shape[1])  # M is divided by v: then cov = M^-1, and m needs W'y / v
    M = W.T @ W / v + eye(W.shape[1]); cov = inverse
        # m lacks a division by v: with M / v instead of M, it needs W'y / v
    y = x  # x is not centred: subtract b
    y = x - x.mean(axis=0)  # x is centred by the mean of this batch: subtract the model's b
    y = x - b.mean()  # b is averaged: each pixel has its own
    m = y @ np.linalg.pinv(W).T  # m is PCA's projection, the limit v -> 0: M is W'W + v I, not W'W
    m = y @ W  # M^-1 is missing in m: this is W'(x - b)
    m = y @ W @ M  # M is not inverted in m: it is (x - b) W M^-1
    m = y @ W @ inverse / v  # m is divided by v: M = W'W + v I already contains v
    inverse = 1 / M  # M is inverted entry by entry: np.linalg.inv inverts the matrix
    inverse = np.diag(1 / M.diagonal())
        # only the diagonal of M is inverted: this gives a mean-field q, not the posterior
    cov = np.diag(v / M.diagonal())  # cov is diagonal, with the variances of the best mean-field q
    cov = inverse  # cov lacks v: it is v M^-1
    cov = sqrt(v) * inverse  # cov has the standard deviation of the noise: it is v M^-1
    cov = inverse / v  # cov is divided by v: it is v M^-1
    cov = v * M  # cov has M instead of its inverse
    cov = M / v  # this is the precision matrix of z: cov is its inverse
    cov = v * inverse / len(x)  # cov is divided by B: it is the covariance of one z, not of a mean over rows
    cov = W @ W.T + v * eye(len(W))  # this is the covariance of x, (D, D): that of z is (L, L)
    """,
    cases={"the posterior": draw},
)

NOISE = Part(
    ppca_noise,
    returns="v",
    walk="""
        y = x - x.mean(axis=0)  # (B, D)
        cov = y.T @ y / len(x)  # (D, D)
        eigenvalues = np.linalg.eigvalsh(cov)  # (D,): the smallest first
        v = eigenvalues[: x.shape[1] - L].mean()
    """,
    slips="""
    y = x  # x is not centred: subtract its mean
    y = x - x.mean(axis=1, keepdims=True)  # the mean of each row is subtracted: each pixel has its own mean
    y = x - x.mean()  # one mean is subtracted for all pixels: each pixel has its own
    cov = y.T @ y / (len(x) - 1)  # the covariance is divided by B - 1: maximum likelihood divides by B
    cov = y.T @ y  # the covariance is a sum over rows: divide it by B
    v = eigenvalues[: x.shape[1] - L].sum() / x.shape[1]  # v is divided by D: average D - L eigenvalues
    v = eigenvalues[: x.shape[1] - L].sum()  # the discarded eigenvalues are summed: v is their mean
    v = eigenvalues[L:].mean()  # eigvalsh has the smallest first: these are the D - L largest eigenvalues
    v = eigenvalues[:L].mean()  # these are the L smallest eigenvalues: v is the mean of D - L
    v = eigenvalues[-L:].mean()  # these are the L largest eigenvalues: v is the mean of the others
    v = eigenvalues[: x.shape[1] - L - 1].mean()  # D - L - 1 eigenvalues are averaged: D - L are discarded
    v = eigenvalues[: x.shape[1] - L + 1].mean()  # D - L + 1 eigenvalues are averaged: D - L are discarded
    v = np.linalg.svd(y, compute_uv=False)[L:].mean()
        # these are singular values: the eigenvalues are their squares divided by B
    v = (np.linalg.svd(y, compute_uv=False)[L:]**2).mean()  # the squared singular values lack a division by B
    v = eigenvalues.mean()  # all eigenvalues are averaged: leave out the L largest
    v = eigenvalues[0]  # this is the smallest eigenvalue: v is the mean of the D - L smallest
    v = eigenvalues[x.shape[1] - L - 1]  # this is the largest of the discarded eigenvalues: average them
    v = sqrt(eigenvalues[: x.shape[1] - L].mean())  # this is a standard deviation: v is the variance
    """,
    cases={"the noise variance": draw_rows},
)

EXERCISE = Exercise(__doc__, lesson=9, parts=(POSTERIOR, NOISE), borrowed=("PPCA", "linear_vae", "fit_em"))

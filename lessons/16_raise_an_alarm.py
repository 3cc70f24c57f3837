# %% [markdown]
# # 16. Raise an alarm
#
# **You will** score how strange an x is by its negative ELBO, measure how good the score is, train models
# that have never seen an 8, a 4 or a 1, see one of them fail in the opposite direction, explain it, and
# repair it.
#
# **You will learn** what the AUC is and how to count ties, when -log p(x) has an exact threshold, and why an
# x with a low -log p(x) need not be normal.
#
# **You need** lesson 9; about 30 minutes, of which the training takes ten seconds on two cores.
#
# **New names** `evaluation.anomaly_scores`, `evaluation.auc`; used again: `PPCA`, `VAE`, `Adam`, `binarize`
#
# %%
import math

import numpy as np

import minivae as mv
from lessons.drawings import lesson16 as drawings
from lessons.story import beside, guess, number, save, say, section
from minivae import evaluation

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Know the threshold exactly
#
# Autoencoders and VAEs are said to detect anomalies (Bonvicini): train on normal x, and raise an alarm where
# the score of a new x is above a threshold. For lesson 9's model the score -log p(x) is a constant plus half
# a sum of squares. The covariance of x is W W' + v I, so
#
#     -log p(x) = constant + 1/2 s(x),        s(x) = (x - mean)' (W W' + v I)^-1 (x - mean)
#
# With W W' + v I = R R', R^-1 (x - mean) is N(0, I) and s is its squared length. So s is a sum of D squares
# of N(0, 1): a chi-square with D degrees of freedom, with mean D. For even D its tail is a finite sum, the
# probability of fewer than D/2 events of a Poisson process with mean t/2:
#
#     P(s > t) = e^(-t/2) sum_{k < D/2} (t/2)^k / k!
# %%
section("1. Know the threshold exactly")
D, N = 10, 20_000
plane = rng.standard_normal((500, 3)) @ rng.standard_normal((3, D))  # (500, D)
pca = mv.PPCA(3).fit(plane + rng.standard_normal((500, D)))
least = -pca.log_prob(pca.mean[None])[0]  # the constant: s is 0 at the mean


def squares(x):
    """s(x) of each x (n, D), from the library's log p(x)."""
    return 2 * (-pca.log_prob(x) - least)


def tail(t):
    """P(s > t) for D degrees of freedom, D even."""
    return math.exp(-t / 2) * sum((t / 2) ** k / math.factorial(k) for k in range(D // 2))


normal = squares(pca.sample(N, rng))  # (N,)
beside("mean of s over draws from the model", normal.mean(), D, 5 * math.sqrt(2 * D / N), word="expected")
threshold = 18.307  # P(s > 18.307) = 0.05 for D = 10, from a table
beside("tail beyond the table's 5 % threshold", tail(threshold), 0.05, 1e-5, word="table")
beside("share of normal x above it", (normal > threshold).mean(), tail(threshold), 5 * math.sqrt(0.05 / N))
guess("Which x has the lowest score of all? How many of 20,000 normal x come near it, with s below 1?")
number("probability of s < 1", 1 - tail(1))
beside("normal x with s < 1", (normal < 1).sum(), N * (1 - tail(1)), 10, word="expected")
say("""The lowest score belongs to the mean itself, and hardly any normal x comes near it. A normal x has s
near D. So an s close to 0 is as strange as a very large one, and an alarm for large scores misses it.""")

# %% [markdown]
# ## 2. Measure a score without a threshold
#
#     AUC = P(score of an anomaly > score of a normal x) + 1/2 P(they are equal)
#
# over all pairs. 1/2 is chance, 1 is perfect; below 1/2 the score ranks the wrong way. (It is the area under
# the curve of found anomalies against false alarms, hence the name.) Only the order of the scores counts: log
# or exp of the score has the same AUC. Let the anomalies be normal x pulled towards the mean or pushed away
# from it, by a factor of 2: s becomes s/4 or 4 s. For two chi-squares s, s' with D = 10 degrees of freedom, s
# / (s + s') has a Beta(5, 5) distribution, whose tail is a binomial sum:
#
#     P(s/4 > s') = P(s / (s + s') > 0.8) = sum_{k < 5} binomial(9, k) 0.8^k 0.2^(9 - k) = 0.0196
# %%
section("2. Measure a score without a threshold")
pulled = squares(pca.mean + (pca.sample(N, rng) - pca.mean) / 2)
pushed = squares(pca.mean + (pca.sample(N, rng) - pca.mean) * 2)
exact = sum(math.comb(9, k) * 0.8**k * 0.2 ** (9 - k) for k in range(5))
guess("AUC of the anomalies pushed away by a factor of 2? Of those pulled towards the mean?")
beside("AUC, pushed away from the mean", evaluation.auc(normal, pushed), 1 - exact, 0.005)
beside("AUC, pulled towards the mean", evaluation.auc(normal, pulled), exact, 0.005)
few, more = normal[:500].round(), pushed[:500].round()  # whole numbers: many are equal
pairs = (more[:, None] > few).mean() + 0.5 * (more[:, None] == few).mean()
beside("AUC of rounded scores, by ranks", evaluation.auc(few, more), pairs, 1e-12, word="pair by pair")
beside("AUC of a score that is the same for all", evaluation.auc(0 * few, 0 * more), 0.5, 0)
beside("the same, ties counted as found", (0 * more[:, None] >= 0 * few).mean(), 1, 0)
say("""A tie that counts as found makes the useless score perfect. And pulled anomalies are almost never
found: an AUC far below 1/2 is not bad luck but a score that measures something else.""")
rate = 1 / 1000
found, false = (pushed > threshold).mean(), tail(threshold)
number("pushed anomalies found at 5 % false alarms", 100 * found, "%")
number("alarms that are true if 1 in 1000 is strange", 100 * rate * found / (rate * found + false), "%")
say("""By Bayes' rule 1 alarm in 55 is true, although the AUC is 0.98: the AUC does not know how rare
anomalies are.""")

# %% [markdown]
# ## 3. Leave out a digit
#
# Train a VAE on nine digits. The tenth is the anomaly. The score of an image is its negative ELBO, an upper
# bound on -log p(x), with z drawn five times from q(z|x).
# %%
section("3. Leave out a digit")
STEPS, BATCH, L = 400, 128, 10
mnist = mv.load_mnist()
x = mv.binarize(mnist.x_test[:5000], np.random.default_rng(1)).astype(np.float32)  # (N, D)
labels = mnist.y_test[:5000]


def train_without(digit):
    """A VAE trained on the other nine digits."""
    rng, kept = np.random.default_rng(2), np.flatnonzero(mnist.y_train != digit)
    model, adam = mv.VAE(latent_dim=L, hidden=(200,)), mv.Adam(lr=5e-3)
    model.start_output_at(mnist.x_train[kept].mean(axis=0) / 255)
    for step, rows in enumerate(rng.permutation(kept)[: STEPS * BATCH].reshape(STEPS, BATCH)):
        adam.lr = 5e-3 * (1 - step / STEPS)
        images = mv.binarize(mnist.x_train[rows], rng)  # (B, D)
        _, grads = model.loss_and_grads(images, rng.standard_normal((BATCH, L)))
        adam.step(model.params, grads)
    return model


guess("8, 4 or 1: which of them, never seen in training, is found most easily? Which AUC do you expect?")
models = {digit: train_without(digit) for digit in (8, 4, 1)}


def score(model, x):
    """The negative ELBO of each x (N, D), the mean over five draws of z -> (N,), nats."""
    return evaluation.anomaly_scores(model, x, np.random.default_rng(4), samples=5)


def auc(values, digit):
    """The AUC of a score (N,) of the test images, with this digit as the anomaly."""
    return evaluation.auc(values[labels != digit], values[labels == digit])


scores = {digit: score(model, x) for digit, model in models.items()}
for digit in models:
    number(f"AUC of the negative ELBO, trained without {digit}", auc(scores[digit], digit))
save(drawings.histograms(scores, labels, auc), "scores", dpi=200)
say("""The model that has never seen a 1 finds the 1s more normal than the digits it was trained on: in nine
pairs of ten the 1 has the lower score.""")

# %% [markdown]
# ## 4. Explain it
#
# "Model can reject unreasonable inputs by assigning them small values" (Brown). Test it with two images that
# no one would call a digit: coin tosses, and a blank page.
# %%
section("4. Explain it")
guess("Digits cost about 130 nats. Which of the two images is rejected: coin tosses or a blank page?")
odd = np.stack([rng.random(784) < 0.5, np.zeros(784)]).astype(np.float32)
tosses, blank = evaluation.anomaly_scores(models[1], odd, rng, samples=100)
number("score of coin tosses", tosses, "nats")
number("score of a blank page", blank, "nats")
number("mean score of the nine known digits", scores[1][labels != 1].mean(), "nats")
number("mean score of the 1s, never seen", scores[1][labels == 1].mean(), "nats")
number("least score of 5,000 test images", scores[1].min(), "nats")
say("""The page has a lower score than every test image, and it is no digit. To see where the nats go, split
the nll of the known digits between the pixels along the outline, which differ from a neighbour, and all
others.""")
pages = np.pad(x.reshape(-1, 28, 28), ((0, 0), (0, 1), (0, 1)))
across, down = (np.abs(np.diff(pages, axis=axis))[:, :28, :28] for axis in (2, 1))  # (N, 28, 28)
lengths = (across + down).sum(axis=(1, 2))  # (N,): pairs of neighbours that differ
edge = across + down + np.roll(across, 1, axis=2) + np.roll(down, 1, axis=1) > 0  # (N, 28, 28)
known = labels != 1
logits = models[1].decode(models[1].code(x[known]))  # (n, D)
cost = (np.logaddexp(0, logits) - x[known] * logits).reshape(-1, 28, 28)
number("pixels along the outline", 100 * edge[known].mean(), "% of all pixels")
number("nll of the pixels along the outline", 100 * cost[edge[known]].sum() / cost.sum(), "% of the nll")
for digit in (8, 4, 1):
    number(f"mean outline of a {digit}", lengths[labels == digit].mean(), "pairs of pixels")
number("mean outline of all test images", lengths.mean(), "pairs of pixels")
number("correlation with the score, known digits", np.corrcoef(scores[1][known], lengths[known])[0, 1])
save(drawings.outlines(lengths, scores[1], labels, blank), "outline", dpi=200)
say("""Coin tosses are rejected, and the blank page is welcome. Inside a stroke and far from it the decoder is
sure, and a pixel costs little. Along the outline it is uncertain, however familiar the digit is. So most of
the score is the length of the outline, that is, how complicated an image is. Only the rest depends on whether
it is strange. A 1 is the simplest digit. The blank page is like the mean in section 1: it has the lowest
score, and no one draws it.""")

# %% [markdown]
# ## 5. Repair it
#
# Three repairs from the literature and from section 1, each of which must be judged on every digit:
#
# - **Two-sided**: the distance of the score from the median of the training scores.
# - **A ratio**: subtract the score of a simpler model, here independent pixels at their means (Ren et al.
#   2019).
# - **Complexity**: compare the score with what an image of this complexity costs (Serrà et al. 2020). Here it
#   is divided by the length of the outline: nats per pair of pixels that differ.
# %%
section("5. Repair it")
guess("Does one of them repair the 1 without losing the 8?")
table = {}
for digit, model in models.items():
    kept = mnist.y_train != digit
    seen = mv.binarize(mnist.x_train[kept][:2000], np.random.default_rng(3)).astype(np.float32)
    mean = (mnist.x_train[kept].mean(axis=0) / 255).clip(1e-3, 1 - 1e-3)  # (D,)
    simple = -np.log(np.where(x > 0, mean, 1 - mean)).sum(axis=1)  # (N,)
    table[digit] = {
        "two-sided": np.abs(scores[digit] - np.median(score(model, seen))),
        "ratio": scores[digit] - simple,
        "per outline": scores[digit] / np.maximum(lengths, 1),
    }
for name in ("two-sided", "ratio", "per outline"):
    for digit in models:
        number(f"AUC {name}, without {digit}", auc(table[digit][name], digit))
say("""The outline repairs the 1 and improves the 4. It costs the 8 some of its AUC, because an 8 was found
partly for its long outline. None of the three is best for every digit. And if you choose the score by the
anomalies that you have, you have trained on them: those to come may differ.""")

# %% [markdown]
# ## Try on your own
#
# - Leave out the 0 and the 7. Which is found more easily by the negative ELBO, and why?
# - Score with the kl or the nll alone (`evaluation.per_image`).
# - Train without 1 on inverted images, 1 - x: does the outline still explain the score?
#
# **Exercise** `python -m lessons start 28`: write `auc`, with ties.
#
# ## Further reading
#
# - E. Nalisnick, A. Matsukawa, Y. W. Teh, D. Gorur and B. Lakshminarayanan, "Do Deep Generative Models Know
#   What They Don't Know?", 2019
# - J. Ren et al., "Likelihood Ratios for Out-of-Distribution Detection", 2019

# - J. Serrà et al., "Input Complexity and Out-of-distribution Detection with Likelihood-based Generative
#   Models", 2020
# - J. A. Hanley and B. J. McNeil, "The Meaning and Use of the Area under a Receiver Operating Characteristic
#   (ROC) Curve", 1982

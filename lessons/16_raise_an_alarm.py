# %% [markdown]
# # 16. Raise an alarm
#
# **You will** score how unusual an x is by its negative ELBO and measure how good the score is; train three
# models, each without one digit (8, 4 or 1); see that the score ranks the 1s the wrong way round; explain
# this, and repair it.
#
# **You will learn** what the AUC is and how to count ties, when -log p(x) has an exact threshold, and why an
# x with a low -log p(x) need not be normal. (Here a *normal* x is one that is no anomaly.)
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
# A slide lists anomaly detection among the uses of autoencoders (Bonvicini): train on normal x, and raise an
# alarm if the score of a new x is above a threshold. For the model of lesson 9 the score -log p(x) is a
# constant plus half a sum of squares. The covariance of x is W W' + v I, so
#
#     -log p(x) = constant + 1/2 s(x),        s(x) = (x - mean)' (W W' + v I)^-1 (x - mean)
#
# With W W' + v I = R R', R^-1 (x - mean) is N(0, I) and s is its squared length. So s is a sum of D squares
# of draws from N(0, 1): it has a chi-square distribution with D degrees of freedom, whose mean is D. For even
# D its tail is a finite sum, the probability that a Poisson variable with mean t/2 is below D/2:
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
guess("Which x has the lowest score of all? How many of 20,000 normal x come close to it, with s below 1?")
number("probability of s < 1", 1 - tail(1))
beside("normal x with s < 1", (normal < 1).sum(), N * (1 - tail(1)), 10, word="expected")
say("""The mean itself has the lowest score, and hardly any normal x comes close to it: s of a normal x is
around D, here 10. So an s close to 0 is as unusual as a very large one, and an alarm for large scores misses
it.""")

# %% [markdown]
# ## 2. Measure a score without a threshold
#
#     AUC = P(score of an anomaly > score of a normal x) + 1/2 P(they are equal)
#
# over all pairs. 1/2 is chance and 1 is perfect; below 1/2 the score ranks the wrong way round. (Plot the
# share of anomalies found against the share of false alarms, for all thresholds: the AUC is the area under
# this curve, hence the name.) Only the order of the scores matters: exp(score) has the same AUC as the score.
#
# Let the anomalies be normal x that are pulled towards the mean or pushed away from it by a factor of 2: s
# becomes s/4 or 4 s. Let s and s' be independent chi-squares with D = 10 degrees of freedom. Then the ratio
# s/(s + s') has a Beta(5, 5) distribution, whose tail is a binomial sum:
#
#     P(s/4 > s') = P(s / (s + s') > 0.8) = sum_{k < 5} binomial(9, k) 0.8^k 0.2^(9 - k) = 0.0196
# %%
section("2. Measure a score without a threshold")
pulled = squares(pca.mean + (pca.sample(N, rng) - pca.mean) / 2)
pushed = squares(pca.mean + (pca.sample(N, rng) - pca.mean) * 2)
exact = sum(math.comb(9, k) * 0.8**k * 0.2 ** (9 - k) for k in range(5))
guess("What is the AUC of the anomalies pushed away by a factor of 2? Of those pulled towards the mean?")
beside("AUC, pushed away from the mean", evaluation.auc(normal, pushed), 1 - exact, 0.005)
beside("AUC, pulled towards the mean", evaluation.auc(normal, pulled), exact, 0.005)
few, more = normal[:500].round(), pushed[:500].round()  # whole numbers: many are equal
pairs = (more[:, None] > few).mean() + 0.5 * (more[:, None] == few).mean()
beside("AUC of rounded scores, by ranks", evaluation.auc(few, more), pairs, 1e-12, word="pair by pair")
beside("AUC of a score that is the same for all", evaluation.auc(0 * few, 0 * more), 0.5, 0)
beside("the same, ties counted as found", (0 * more[:, None] >= 0 * few).mean(), 1, 0)
say("""If a tie counts as found, a useless score looks perfect. And the pulled anomalies are almost never
found. An AUC far below 1/2 is not bad luck: the score measures something else.""")
rate = 1 / 1000
found, false = (pushed > threshold).mean(), tail(threshold)
number("pushed anomalies found at 5 % false alarms", 100 * found, "%")
number("true alarms if 1 x in 1,000 is an anomaly", 100 * rate * found / (rate * found + false), "%")
say("""By Bayes' rule only 1 alarm in 55 is true, although the AUC is 0.98: the AUC does not depend on how
rare the anomalies are.""")

# %% [markdown]
# ## 3. Leave out a digit
#
# Train a VAE on nine digits. The tenth is the anomaly. The score of an image is its negative ELBO, an upper
# bound on -log p(x), estimated with five draws of z from q(z|x).
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


guess("Which digit is easiest to find if it was left out of training: 8, 4 or 1? Which AUC do you expect?")
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
say("""The model that was trained without 1s gives the 1s lower scores than the digits it was trained on: in
about nine pairs of ten the 1 has the lower score.""")

# %% [markdown]
# ## 4. Explain it
#
# A slide says that a generative model "can 'reject' unreasonable inputs by assigning them small values"
# (Brown). Test it with two images that no one would call a digit: coin tosses, and a blank page.
# %%
section("4. Explain it")
guess("Digits cost about 135 nats. Which image does the score reject: coin tosses or a blank page?")
odd = np.stack([rng.random(784) < 0.5, np.zeros(784)]).astype(np.float32)
tosses, blank = evaluation.anomaly_scores(models[1], odd, rng, samples=100)
number("score of coin tosses", tosses, "nats")
number("score of a blank page", blank, "nats")
number("mean score of the nine known digits", scores[1][labels != 1].mean(), "nats")
number("mean score of the 1s, never seen", scores[1][labels == 1].mean(), "nats")
number("lowest score of 5,000 test images", scores[1].min(), "nats")
say("""The blank page is no digit, yet its score is lower than that of every test image. To see which pixels
cost most, split the nll of the known digits into two parts: the pixels along the outline, that is, those that
differ from a neighbor, and all other pixels.""")
pages = np.pad(x.reshape(-1, 28, 28), ((0, 0), (0, 1), (0, 1)))
across, down = (np.abs(np.diff(pages, axis=axis))[:, :28, :28] for axis in (2, 1))  # (N, 28, 28)
lengths = (across + down).sum(axis=(1, 2))  # (N,): pairs of neighbors that differ
edge = across + down + np.roll(across, 1, axis=2) + np.roll(down, 1, axis=1) > 0  # (N, 28, 28)
known = labels != 1
logits = models[1].decode(models[1].code(x[known]))  # (n, D)
cost = (np.logaddexp(0, logits) - x[known] * logits).reshape(-1, 28, 28)
number("pixels along the outline", 100 * edge[known].mean(), "% of all pixels")
number("nll of the pixels along the outline", 100 * cost[edge[known]].sum() / cost.sum(), "% of the nll")
for digit in (8, 4, 1):
    number(f"mean outline of digit {digit}", lengths[labels == digit].mean(), "pairs of pixels")
number("mean outline of all test images", lengths.mean(), "pairs of pixels")
number("correlation with the score, known digits", np.corrcoef(scores[1][known], lengths[known])[0, 1])
save(drawings.outlines(lengths, scores[1], labels, blank), "outline", dpi=200)
say("""The score rejects the coin tosses and accepts the blank page. Inside a stroke and far from it, the
decoder's probabilities are close to 0 or 1, and a pixel costs little. Along the outline they are not, however
familiar the digit is. So most of the nll comes from the outline, and the score grows with its length, that
is, with how complicated the image is. Whether the image is unusual matters less. The 1 has the shortest
outline of all digits. The blank page is like the mean in section 1: its score is very low, but no normal x
looks like it.""")

# %% [markdown]
# ## 5. Repair it
#
# Here are three repairs, from section 1 and from the literature. Judge each of them on every digit:
#
# - **Two-sided**: the distance of the score from the median of the training scores.
# - **A ratio** of likelihoods: subtract the score of a simpler model, here independent pixels with the means
#   of the training images (after Ren et al. 2019).
# - **Complexity**: compare the score with the complexity of the image (after Serrà et al. 2020). Here we
#   divide it by the length of the outline: nats per pair of pixels that differ.
# %%
section("5. Repair it")
guess("Does one of them repair the 1 without a lower AUC for the 8?")
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
say("""Dividing by the outline repairs the 1 and improves the 4. The AUC of the 8 falls, because an 8 was
found partly by its long outline. None of the three is best for every digit. And if you choose a score by the
anomalies that you have, you have trained on them: new anomalies may differ.""")

# %% [markdown]
# ## Try on your own
#
# - Train without 0, then without 7. Which digit does the negative ELBO find more easily, and why?
# - Use the kl alone or the nll alone as the score (`evaluation.per_image`).
# - Train without 1 on inverted images, 1 - x. Does the outline still explain the score?
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

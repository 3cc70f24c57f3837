# %% [markdown]
# # 8. Train on MNIST and look
#
# **You will** write the training loop, train on 60,000 digits, read the curves, and look at reconstructions,
# at samples and at a map of the latent plane. Then compare optimizers and gradient estimators.
#
# **You will learn** what number to expect and which numbers can be compared; why the pictures are blurred;
# what an optimizer's learning rate means; what the variance of a gradient costs.
#
# **You need** lesson 7; half a minute on two cores, and half a minute more in the very first run, which
# compiles the kernels. (Last digits differ between machines, because float32 sums depend on the order.)
#
# **New names** `binarize`, `SGD`, `RMSProp`, `Adam`, `plots`, `evaluation`; used again: `VAE`, `load_mnist`,
# `ops.bernoulli_nll`, `bugs`
#
# %%
from statistics import NormalDist

import numpy as np

import minivae as mv
from lessons import bugs
from lessons.story import BLUE, GREEN, GREY, RED, STYLES, beside, canvas, guess, number, save, say, section
from minivae import evaluation, ops

# %% [markdown]
# ## 1. Write the loop
#
# A grey pixel of 0 to 255 is read as a probability: `binarize` draws 1 with probability grey / 255, anew each
# time, so that x is a black-and-white image and the Bernoulli likelihood is the probability of an image. The
# loop: take a minibatch, draw the pixels, draw the noise, run the forward and the backward pass, take a step.


# %%
def train(model, optimizer, steps, seed, batch=128, samples=(), estimator=None):
    """Train in place -> (steps, 3): loss, nll, kl of each minibatch. One seed, one sequence of noise."""
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(60_000) for _ in range(-(-steps * batch // 60_000))])
    course = []
    for rows in order[: steps * batch].reshape(steps, batch):
        x = mv.binarize(mnist.x_train[rows], rng)  # (B, D)
        eps = rng.standard_normal((*samples, batch, model.latent_dim))  # (B, L) or (S, B, L)
        terms, grads = model.loss_and_grads(x, eps, estimator=estimator)
        optimizer.step(model.params, grads)
        course.append(terms)
    return np.array(course)


def test(model):
    """The terms on the 10,000 test images, with their own pixels and noise, the same at every call."""
    return evaluation.average_terms(model, mnist.x_test, "dynamic", np.random.default_rng(1))


def entropy(p):
    """Entropy in nats of independent pixels with the means p (..., D), summed over pixels."""
    return ops.bernoulli_nll(np.log(p.clip(1e-12, 1)) - np.log((1 - p).clip(1e-12, 1)), p)


section("1. Write the loop")
mnist = mv.load_mnist()
pixel_mean = mnist.x_train.mean(axis=0) / 255  # (D,)
model = mv.VAE(latent_dim=20, hidden=(400,))  # 784-400-20-400-784, relu, float32
untrained = test(model)
guess("What is the nll of the untrained network? And of the best decoder that ignores z?")
silent = mv.VAE(latent_dim=20, hidden=(400,))
silent.params["output.W"][...] = 0
beside("nll of a network whose last weights are 0", test(silent).nll, 784 * np.log(2), 1e-3)
number("nll of the untrained network", untrained.nll, "nats per image")
model.start_output_at(pixel_mean)
silent.start_output_at(pixel_mean)
nll, predicted = test(silent).nll, entropy(pixel_mean[None]).item()
beside("nll of the first, started at the pixel mean", nll, predicted, 0.5, word="entropy")
number("nll of the second, started at the pixel mean", test(model).nll, "nats per image")
say("""The first is 784 coin tosses, the third the entropy of the pixels one by one. Small random weights
add a few nats to both. A loss below 206 needs the latents.""")

# %% [markdown]
# ## 2. Read the curves
#
# An epoch is 468 minibatches of 128. The same network, trained in PyTorch 2.13 with the same data, batch size
# and Adam, had a negative ELBO of 125.8, 113.0 and 108.9 on the test set after one, two and three epochs. It
# started from PyTorch's default weights, ours from Glorot's and the pixel mean, so ours is ahead at first. By
# the third epoch a small part of that remains, and half a nat of difference between seeds: we allow 2.
# %%
section("2. Read the curves")
guess("The loss is nll + kl. Do both of them fall?")
adam, course, after = mv.Adam(lr=1e-3), [], []
for epoch in (1, 2, 3):
    course.append(train(model, adam, 468, seed=epoch))
    after.append(test(model))
number("kl of the first minibatch", course[0][0, 2], "nats per image")
number("-ELBO on the test set after epoch 1", after[0].loss, "nats per image; PyTorch 125.8")
number("-ELBO on the test set after epoch 2", after[1].loss, "nats per image; PyTorch 113.0")
beside("-ELBO on the test set after epoch 3", after[2].loss, 108.9, 2, word="PyTorch")
number("nll on the test set after epoch 3", after[2].nll, "nats per image")
number("kl on the test set after epoch 3", after[2].kl, "nats per image")
say("""The kl rises: the information in the latents costs kl, and saves more nll than it costs. The loss
keeps falling: ten epochs reach 102.""")

# %% [markdown]
# ## 3. Find which numbers can be compared
#
# Four numbers are reported for the same network.
#
# - The negative ELBO, with z drawn from q(z|x): an upper bound on -log p(x).
# - The same with z = mu: usually smaller, and not a bound, because it leaves out the cost of q's variance.
# - -log p(x) by importance sampling: -log of the mean of p(x|z) p(z) / q(z|x) over K draws z from q. With
#   K = 1 it is -ELBO on average. By Jensen it is always an upper bound, and it falls to -log p(x) as K grows.
# - The cross-entropy of grey pixels. For fixed logits it is the *mean* nll over all binarizations, since the
#   nll is linear in x. It is never below the entropy of the grey values, even for a perfect copy.
# %%
section("3. Find which numbers can be compared")
guess("Order them: the negative ELBO, the same with z = mu, and -log p(x).")
rng = np.random.default_rng(0)
x, eps = mv.binarize(mnist.x_test[:500], rng), rng.standard_normal((500, 20))
drawn, at_mu = model.loss(x, eps).loss, model.loss(x, 0 * eps).loss
number("-ELBO of 500 images", drawn, "nats per image")
same = (255 * x).astype(np.uint8)  # the pixels are drawn already: binarize leaves 0 and 255 as they are
estimate = evaluation.importance_nll(model, same, "dynamic", rng, samples=200)
number("upper bound on their -log p(x), K = 200", estimate.mean, "nats per image")
number("z = mu instead of a draw", at_mu, "nats per image")
say("""The negative ELBO is several nats above -log p(x). (5,000 samples lower the second number by another
0.6.) With z = mu the number is below -log p(x), so it is not a bound.""")
grey = mnist.x_test[:100] / 255
logits = model.decode(model.encode(grey)[0]).astype(float)  # (100, D)
draws = [ops.bernoulli_nll(logits, mv.binarize(grey, rng).astype(float)).mean() for _ in range(400)]
cross_entropy, error = ops.bernoulli_nll(logits, grey).mean(), np.std(draws) / np.sqrt(400)
beside("mean nll of 400 binarizations, logits fixed", np.mean(draws), cross_entropy, 5 * error)
number("cost of a perfect copy of grey pixels", entropy(mnist.x_test / 255).mean(), "nats per image")
say("""So the cross-entropy of grey pixels can be minimized, but it is not a likelihood, and these nats are
a property of the data. Another misleading number: the final algorithm of a slide multiplies the likelihood
by n and not the KL (Isachenko 2021). Per image that is nll + kl / n, and check_bound of lesson 7 rejects
it:""")
number("nll + kl / 60000", after[2].nll + after[2].kl / 60_000, "nats per image, not a bound either")
say(bugs.examine(bugs.GALLERY["likelihood-times-n"])["bound"][1] + ".")

# %% [markdown]
# ## 4. Look at reconstructions and samples
#
# "Why are VAE samples blurry?" a slide asks, and answers: because the squared error treats each pixel in
# isolation (Brown). So does the Bernoulli nll: p(x|z) is a product over pixels. If z cannot distinguish two
# images that differ in k pixels, the best p is their average: 1/2 at those k pixels, at a cost of ln 2 each.
# %%
section("4. Look at reconstructions and samples")
pair = mnist.x_test[mnist.y_test == 3][:2] >= 128  # (2, D)
k = (pair[0] != pair[1]).sum()
guess("Two images of a 3 share one z. Should the decoder predict one of them or something in between?")
blur, sharp = pair.mean(axis=0), pair[0].clip(0.01, 0.99)


def cost(p):
    """Mean nll of the two images if the decoder predicts p (D,)."""
    p = np.tile(p.clip(1e-12, 1 - 1e-12), (2, 1))
    return ops.bernoulli_nll(np.log(p / (1 - p)), pair.astype(float)).mean()


beside("cost of their average", cost(blur), k * np.log(2), 1e-8)
number("cost of the first one, with 99 % confidence", cost(sharp), "nats per image")
say("""The average is better: a mean is blurred where z leaves uncertainty. A *draw* from p(x|z) is sharp
and speckled, because the pixels are drawn independently. Pictures of VAEs usually show the mean. Samples
have a second weakness: a z from the prior need not be close to the code of any image. Compare the distance
to the nearest code of 5,000 test images:""")
heads = model.encode(mv.binarize(mnist.x_test, rng))  # (N, L) each
codes = ops.gaussian_sample(*heads, rng.standard_normal((10_000, 20)))  # (N, L), draws from q(z|x)


def nearest(z):
    """Mean distance from each z (n, L) to the nearest of the first 5,000 codes."""
    return np.mean([np.sqrt(((codes[:5000] - one) ** 2).sum(axis=1).min()) for one in z])


number("distance of the code of another test image", nearest(codes[5000:5500]))
number("distance of a z from the prior", nearest(rng.standard_normal((500, 20))))
originals = mv.binarize(mnist.x_test[:12], rng).astype(float)
means = model.mean(rng.standard_normal((12, 20)))
rows = {
    "test image": originals,
    "mean at z = mu": model.reconstruct(originals),
    "mean at z ~ prior": means,
    "draw at that z": mv.binarize(means, rng),
}
figure, axes = canvas(height=2.2, width=7.2)
sheet = mv.plots.tile(np.vstack(list(rows.values())).round(1), (28, 28), columns=12)
axes.imshow(sheet, cmap="gray_r", interpolation="nearest")
axes.set_yticks(14 + 30 * np.arange(4), rows, fontsize=9)
axes.set_xticks([])
axes.tick_params(length=0)
axes.spines[:].set_visible(False)
axes.set_title("Reconstructions keep the digit; a draw from the prior may not be a digit", fontsize=10)
save(figure, "pictures")

# %% [markdown]
# ## 5. Draw the latent plane
#
# With two latents the whole code is visible: the encoder's means of the test images, coloured by a label that
# it has never seen, and the decoder's mean over a grid. Both axes are quantiles of the prior, so equal areas
# have equal probability under N(0, I).
# %%
section("5. Draw the latent plane")
guess("20 latents cost 26 nats of kl and reach 108. Where do 2 latents end: near 115, 155 or 200?")
plane = mv.VAE(latent_dim=2, hidden=(256, 64))
plane.start_output_at(pixel_mean)
train(plane, mv.Adam(lr=2e-3), 3 * 468, seed=1)
terms = test(plane)
number("-ELBO on the test set with 2 latents", terms.loss, "nats per image")
number("kl with 2 latents", terms.kl, "nats per image")
mu, logvar = plane.encode(mv.binarize(mnist.x_test, rng))  # (N, L)
number("E[z^2] over the test set; the prior's is 1", (mu**2 + np.exp(logvar)).mean())
places = np.vectorize(NormalDist().cdf)(mu)  # (N, L), as quantiles of the prior
centres = np.array([np.median(places[mnist.y_test == digit], axis=0) for digit in range(10)])  # (10, L)
closest = ((places[:, None] - centres) ** 2).sum(axis=-1).argmin(axis=1)
number("test images closest to the centre of their digit", 100 * (closest == mnist.y_test).mean(), "%")
say("""The network never saw a label, but equal digits lie together: most images are closest to the centre
of their own digit, where a guess would give 10 %. The kl keeps the codes near N(0, I), a little wider.
Images that are close to each other look alike, and where two numbers cannot separate the digits, they
overlap.""")
quantiles = [NormalDist().inv_cdf((i + 0.5) / 20) for i in range(20)]
z = np.array([(z1, z2) for z2 in quantiles[::-1] for z1 in quantiles])  # (400, L), z2 grows upwards
figure, (left, right) = canvas(2, height=4.6)
for digit, colour in enumerate(mv.plots.DIGITS):
    left.plot(*places[:1500][mnist.y_test[:1500] == digit].T, ".", color=colour, markersize=2.5)
    box = {"boxstyle": "circle,pad=0.15", "fc": "white", "ec": colour}
    left.text(*centres[digit], digit, weight="bold", ha="center", va="center", bbox=box)
left.set_title("The encoder groups digits without labels", fontsize=11)
sheet = mv.plots.tile(plane.mean(z), (28, 28), columns=20, gap=0)  # (560, 560)
sheet = sheet.reshape(280, 2, 280, 2).mean(axis=(1, 3)).round(1)  # half the size
right.imshow(sheet, cmap="gray_r", extent=(0, 1, 0, 1), interpolation="nearest")
right.set_title("The decoder's mean over the same plane", fontsize=11)
for axes in (left, right):
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="$z_1$, quantile of the prior", ylabel="$z_2$, quantile of the prior")
save(figure, "plane", dpi=80)

# %% [markdown]
# ## 6. Compare optimizers
#
#     SGD       v = momentum v + g;                p -= lr v
#     RMSProp   s = rho s + (1 - rho) g^2;         p -= lr g / (sqrt(s) + eps)
#     Adam      m, s: running means of g and g^2;  p -= lr m^ / (sqrt(s^) + eps), ^ corrects the start at 0
#
# g is the gradient of a parameter p. SGD's step is proportional to g, so its lr has the unit parameter^2 /
# nat. The others divide by the size of g: their lr is a length in the parameter itself. After one step s =
# (1 - rho) g^2, so RMSProp moves by lr / sqrt(1 - rho). Adam's corrections make it lr, whatever the size of
# g. (eps = 1e-8 avoids 0 / 0: 67 of the 784 pixels are 0 in all training images, and the encoder's weights
# for them, 4 % of all, never move.)
#
# A comparison in which only one side's lr was tuned means nothing. Each runs at the best of 1, 2 and 5
# times a power of ten, for these 200 steps.
# %%
section("6. Compare optimizers")
guess("rho = 0.9: how far does a parameter move in the first step of RMSProp (lr 0.002), of Adam (0.005)?")
OPTIMIZERS = {
    "SGD, lr 0.02": mv.SGD(lr=2e-2),
    "momentum 0.9, lr 0.005": mv.SGD(lr=5e-3, momentum=0.9),
    "RMSProp, lr 0.002": mv.RMSProp(lr=2e-3, rho=0.9),
    "Adam, lr 0.005": mv.Adam(lr=5e-3),
}
FIRST = {"RMSProp, lr 0.002": 2e-3 / np.sqrt(0.1), "Adam, lr 0.005": 5e-3}  # how far the first step moves
race = {}
for name, optimizer in OPTIMIZERS.items():
    start, racer = mv.VAE(), mv.VAE()
    first_step = train(racer, optimizer, 1, seed=1)
    moved = max(np.abs(racer.params[key] - start.params[key]).max() for key in start.params)
    if name in FIRST:
        beside(f"longest first move, {name}", moved, FIRST[name], 1e-7)
    race[name] = np.vstack([first_step, train(racer, optimizer, 200, seed=2)])
beside("pixels that are 0 in all training images", (pixel_mean == 0).sum(), 67, 0, word="expected")
for name, losses in race.items():
    number(f"loss after 200 steps, {name}", losses[-50:, 0].mean(), "nats, mean of the last 50 steps")
say("All start from the same weights and see the same minibatches. After 200 steps Adam is ahead.")

# %% [markdown]
# ## 7. Compare gradient estimators
#
# Lesson 6 measured the variance of each estimator. This is what it costs: the same VAE 784-200-10, Adam,
# minibatches of 64, S = 8 samples of z for each image. Only the gradient estimator for the sampling step
# differs; the decoder's gradient is the same for all. Each runs at its best learning rate of 0.0005, 0.001,
# 0.002, 0.005 and 0.01.
# %%
section("7. Compare gradient estimators")
guess("All three are unbiased. After 200 steps, will they be 1, 5 or 50 nats apart?")
ESTIMATORS = {
    "pathwise": (1e-2, "pathwise"),
    "leave-one-out": (1e-2, "score function,\nleave-one-out"),
    "score-function": (2e-3, "score function"),
}
courses = {}
for name, (lr, _) in ESTIMATORS.items():
    small = mv.VAE(latent_dim=10, hidden=(200,))
    courses[name] = train(small, mv.Adam(lr=lr), 200, seed=1, batch=64, samples=(8,), estimator=name)
    last = courses[name][-50:, 0].mean()
    number(f"loss after 200 steps, {name}, lr {lr:g}", last, "nats, mean of the last 50 steps")
say("""The score function multiplies every sample by its whole nll, hundreds of nats, and its encoder learns
little. Larger learning rates make it diverge. Subtracting the mean nll of the other 7 samples removes most
of that variance at no cost. The pathwise gradient needs no baseline: it uses the slope of the nll in z.""")

figure, (first, second, third) = canvas(3, height=3.3)
course = np.vstack(course)


def draw(axes, losses, colour, label, wide=20):
    """A curve of running means over `wide` steps."""
    running = np.convolve(losses, np.ones(wide) / wide, "valid")
    axes.plot(np.arange(len(running)) + wide, running, color=colour, linestyle=STYLES[colour], label=label)


for column, colour, name in ((0, BLUE, "loss"), (1, RED, "nll"), (2, GREEN, "kl")):
    draw(first, course[:, column], colour, name)
first.plot(468 * np.arange(1, 4), [terms.loss for terms in after], "o", color=GREY, label="loss, test set")
for colour, (name, losses) in zip((GREY, GREEN, RED, BLUE), race.items(), strict=True):
    draw(second, losses[:, 0], colour, name)
for colour, (name, (_, label)) in zip((BLUE, GREEN, RED), ESTIMATORS.items(), strict=True):
    draw(third, courses[name][:, 0], colour, label)
titles = "The kl rises, the loss falls", "Optimizers", "Gradient estimators, S = 8"
for axes, title in zip((first, second, third), titles, strict=True):
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("step")
    axes.legend(frameon=False, fontsize=8)
first.set(ylabel="nats per image", ylim=(0, 260))
second.set(ylim=(120, 360))
third.set(ylim=(120, 360))
save(figure, "curves", dpi=90)

# %% [markdown]
# ## Try on your own
#
# - Encode a 1 and a 7 with `model.encode` and decode ten points on the line between their means. Then decode
#   5 times such a z, where the prior has almost no mass and training never went.
# - Pass `beta=4` to `loss_and_grads` in `train`: the kl falls, the nll rises by more, the pictures blur.
# - Give SGD with momentum an lr of 0.03: the loss becomes infinite, and `loss_and_grads` raises an error.
#   With 0.001 it is slow.
#
# **Exercise** `python -m lessons start 16`: write `adam_update`.
#
# ## Further reading
#
# - Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", 2016
# - T. Tieleman and G. Hinton, "Lecture 6.5: RMSProp", Neural Networks for Machine Learning, 2012
# - D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", 2015
# - R. Salakhutdinov and I. Murray, "On the Quantitative Analysis of Deep Belief Networks", 2008, on MNIST's
#   binarization
# - S. Mohamed, M. Rosca, M. Figurnov and A. Mnih, "Monte Carlo Gradient Estimation in Machine Learning", 2020

# %% [markdown]
# # 8. Train on MNIST and look
#
# **You will** write the training loop, train on 60,000 digits, read the curves, and look at reconstructions,
# at samples and at a map of the latent plane. Then you will compare optimizers and gradient estimators and
# measure overfitting.
#
# **You will learn** which loss to expect and which numbers can be compared; why the pictures are blurred;
# what an optimizer's learning rate means; how much the variance of a gradient slows training down; whether
# noise prevents overfitting.
#
# **You need** lesson 7; about a minute on two cores, and half a minute more in the very first run, which
# compiles the kernels. (Last digits differ between machines, because float32 sums depend on the order.)
#
# **New names** `binarize`, `SGD`, `RMSProp`, `Adam`, `evaluation`; used again: `VAE`, `load_mnist`,
# `ops.bernoulli_nll`, `bugs`
#
# %%
import numpy as np

import minivae as mv
from lessons import bugs
from lessons.drawings import lesson08 as drawings
from lessons.drawings import slide
from lessons.story import beside, guess, number, save, say, section
from minivae import evaluation, ops

# %% [markdown]
# ## 1. Write the loop
#
# We read a grey value from 0 to 255 as a probability: `binarize` draws a 1 with probability grey / 255, anew
# in every call. So x is a black-and-white image, and the Bernoulli likelihood is the probability of this
# image. The loop takes a minibatch, draws its pixels and the noise, runs the forward and the backward pass,
# and makes a step.
#
# A slide estimates the gradient from one random x and multiplies by n (Isachenko). We average over B random
# images. Every image is equally likely to be among them, so the average is an unbiased estimate of the mean
# over all images. Without the factor n the whole gradient is n times smaller, which for SGD only changes the
# scale of lr.


# %%
def minibatches(images, latents, steps, seed, batch=128, samples=()):
    """Yield x (B, D) and eps, (B, L) or (S, B, L), for each step. One seed gives one sequence."""
    rng = np.random.default_rng(seed)
    epochs = -(-steps * batch // len(images))  # rounded up
    order = np.concatenate([rng.permutation(len(images)) for _ in range(epochs)])
    for rows in order[: steps * batch].reshape(steps, batch):
        yield mv.binarize(images[rows], rng), rng.standard_normal((*samples, batch, latents))


def train(model, optimizer, data, estimator=None):
    """Make a step for each x, eps of data, in place -> (steps, 3): loss, nll, kl before each step."""
    course = []
    for x, eps in data:
        terms, grads = model.loss_and_grads(x, eps, estimator=estimator)
        optimizer.step(model.params, grads)
        course.append(terms)
    return np.array(course)


def test(model):
    """The terms on the 10,000 test images, with pixels and noise that are the same at every call."""
    return evaluation.average_terms(model, mnist.x_test, "dynamic", np.random.default_rng(1))


def entropy(m):
    """Entropy in nats of independent pixels with the means m (..., D), summed over pixels."""
    return ops.bernoulli_nll(np.log(m.clip(1e-12, 1)) - np.log((1 - m).clip(1e-12, 1)), m)


section("1. Write the loop")
mnist = mv.load_mnist()
pixel_mean = mnist.x_train.mean(axis=0) / 255  # (D,)
model = mv.VAE(latent_dim=20, hidden=(400,))  # 784-400-20-400-784, relu, float32
untrained = test(model)
guess("What is the nll of the untrained network, and what is the nll of the best decoder that ignores z?")
silent = mv.VAE(latent_dim=20, hidden=(400,))
silent.params["output.W"][...] = 0
beside("nll of a network whose last weights are 0", test(silent).nll, 784 * np.log(2), 1e-3)
number("nll of the untrained network", untrained.nll, "nats per image")
model.start_output_at(pixel_mean)
silent.start_output_at(pixel_mean)
nll, predicted = test(silent).nll, entropy(pixel_mean[None]).item()
beside("nll of the first, started at the pixel mean", nll, predicted, 0.5, word="entropy")
number("nll of the second, started at the pixel mean", test(model).nll, "nats per image")
say("""The first number is the cost of 784 coin tosses, the third the sum of the entropies of the pixels. The
small random weights of the untrained network add one to four nats to these. A loss below 206 is possible
only if the decoder uses the latents.""")

# %% [markdown]
# ## 2. Read the curves
#
# An epoch is 468 minibatches of 128. The same network, trained in PyTorch 2.13 with the same data, batch size
# and Adam, had a negative ELBO of 125.8, 113.0 and 108.9 on the test set after one, two and three epochs.
# PyTorch starts from other random weights and without the pixel mean, so our network is ahead at first. After
# three epochs, part of this lead is left. Another seed changes the result by up to half a nat; the comparison
# below allows 2.
# %%
section("2. Read the curves")
guess("The loss is nll + kl. Do both of them fall?")
adam, course, after = mv.Adam(lr=1e-3), [], []
for epoch in (1, 2, 3):
    course.append(train(model, adam, minibatches(mnist.x_train, 20, 468, seed=epoch)))
    after.append(test(model))
number("kl of the first minibatch", course[0][0, 2], "nats per image")
number("-ELBO on the test set after epoch 1", after[0].loss, "nats per image; PyTorch 125.8")
number("-ELBO on the test set after epoch 2", after[1].loss, "nats per image; PyTorch 113.0")
beside("-ELBO on the test set after epoch 3", after[2].loss, 108.9, 2, word="PyTorch")
number("nll on the test set after epoch 3", after[2].nll, "nats per image")
number("kl on the test set after epoch 3", after[2].kl, "nats per image")
say("""The nll falls, but the kl rises: information in the latents costs kl, and it saves more nll than it
costs. With more epochs the loss falls further, to 102 after ten.""")
save(drawings.curves(np.vstack(course), [terms.loss for terms in after]), "curves", dpi=200)

# %% [markdown]
# ## 3. Find which numbers can be compared
#
# Four numbers are reported for the same network.
#
# - The negative ELBO, with z drawn from q(z|x). Its mean is an upper bound on -log p(x).
# - The same with z = mu. It is usually smaller, and it is not a bound: the nll at mu does not contain what
#   the noise in z costs.
# - -log p(x) by importance sampling: -log of the mean of p(x|z) p(z) / q(z|x) over K draws z from q. For
#   K = 1 it is the negative ELBO. By Jensen's inequality its mean is an upper bound for every K; it falls to
#   -log p(x) as K grows.
# - The cross-entropy of grey pixels. For fixed logits it is the *mean* nll over all binarizations, because
#   the nll is linear in x. It is never below the entropy of the grey values, even for a perfect copy.
# %%
section("3. Find which numbers can be compared")
guess("Order them: the negative ELBO, the same with z = mu, and -log p(x).")
rng = np.random.default_rng(0)
x, eps = mv.binarize(mnist.x_test[:500], rng), rng.standard_normal((500, 20))
drawn, at_mu = model.loss(x, eps).loss, model.loss(x, 0 * eps).loss
number("-ELBO of 500 images", drawn, "nats per image")
same = (255 * x).astype(np.uint8)  # the same pixels: binarize does not change 0 and 255
estimate = evaluation.importance_nll(model, same, "dynamic", rng, samples=200)
number("upper bound on their -log p(x), K = 200", estimate.mean, "nats per image")
number("z = mu instead of a draw", at_mu, "nats per image")
say("""The negative ELBO is about five nats above -log p(x). (K = 5,000 lowers the second number by another
0.6.) With z = mu the number is below -log p(x), so it is not an upper bound.""")
grey = mnist.x_test[:100] / 255
logits = model.decode(model.encode(grey)[0]).astype(float)  # (100, D)
draws = [ops.bernoulli_nll(logits, mv.binarize(grey, rng).astype(float)).mean() for _ in range(400)]
cross_entropy, error = ops.bernoulli_nll(logits, grey).mean(), np.std(draws) / np.sqrt(400)
beside("mean nll of 400 binarizations, logits fixed", np.mean(draws), cross_entropy, 5 * error)
counts = np.bincount(mnist.x_test.ravel(), minlength=256) / len(mnist.x_test)  # (256,) pixels per image
copy = counts @ entropy(np.arange(256)[:, None] / 255)
number("cost of a perfect copy of grey pixels", copy, "nats per image")
say("""One can minimize the cross-entropy of grey pixels, but it is not -log of a probability of the grey
image: the 45.5 nats are a property of the data, and no model can get below them. Another misleading number
comes from the final algorithm of some slides, which multiplies the likelihood by n but not the KL
(Isachenko). Per image this gives nll + kl / n. check_bound of lesson 7 rejects it:""")
number("nll + kl / 60000", after[2].nll + after[2].kl / 60_000, "nats per image, not a bound either")
say(bugs.examine(bugs.GALLERY["likelihood-times-n"])["bound"][1] + ".")

# %% [markdown]
# ## 4. Look at reconstructions and samples
#
# "Why are VAE samples blurry?" a slide asks, and answers: because the squared error looks at each pixel in
# isolation (Brown). The Bernoulli nll does the same: p(x|z) is a product over pixels. If two images that
# differ in k pixels have the same z, the best mean is their average: it is 1/2 at those k pixels, which costs
# ln 2 each.
# %%
section("4. Look at reconstructions and samples")
pair = mnist.x_test[mnist.y_test == 3][:2] >= 128  # (2, D)
k = (pair[0] != pair[1]).sum()
guess("Two images of a 3 share one z. Should the decoder predict one of them or something in between?")
blur, sharp = pair.mean(axis=0), pair[0].clip(0.01, 0.99)


def cost(m):
    """Mean nll of the two images if the decoder's mean is m (D,)."""
    m = np.tile(m.clip(1e-12, 1 - 1e-12), (2, 1))
    return ops.bernoulli_nll(np.log(m / (1 - m)), pair.astype(float)).mean()


beside("cost of their average", cost(blur), k * np.log(2), 1e-8)
number("cost of the first one, with 99 % confidence", cost(sharp), "nats per image")
say("""The average costs less, so the decoder's mean is blurred wherever z does not determine the pixels. A
*draw* from p(x|z) is sharp but speckled, because its pixels are drawn independently. Pictures of VAEs usually
show the mean. Only the prior and the decoder are needed to generate: they are the model p, and the encoder q
is a tool to fit it. "Discard this part of the network", says a slide (Brown). Samples have a second weakness:
a z from the prior need not be close to the code of any image. We compare the mean distance to the nearest of
the codes of 5,000 test images:""")
heads = model.encode(mv.binarize(mnist.x_test, rng))  # (N, L) each
codes = ops.gaussian_sample(*heads, rng.standard_normal((10_000, 20)))  # (N, L), draws from q(z|x)


def nearest(z):
    """Mean distance from each z (n, L) to the nearest of the first 5,000 codes."""
    return np.mean([np.sqrt(((codes[:5000] - one) ** 2).sum(axis=1).min()) for one in z])


number("distance of the code of another test image", nearest(codes[5000:5500]))
number("distance of a z from the prior", nearest(rng.standard_normal((500, 20))))
say("The draws from the prior are farther away: some lie where the decoder has had little training.")
originals = mv.binarize(mnist.x_test[:12], rng).astype(float)
means = model.mean(rng.standard_normal((12, 20)))
rows = {
    "test image": originals,
    "mean at z = mu": model.reconstruct(originals),
    "mean at z ~ prior": means,
    "draw at that z": mv.binarize(means, rng),
}
title = "Reconstructions keep the digit; a draw from the prior may not be a digit"
save(slide.rows(rows, title=title), "pictures", dpi=200)

# %% [markdown]
# ## 5. Draw the latent plane
#
# With two latents we can draw the whole latent space. The left panel of the figure shows the encoder's means
# for test images; the colour is the label, which the encoder has never seen. The right panel shows the
# decoder's mean over the same square. The circles are at one and two standard deviations of the prior.
# %%
section("5. Draw the latent plane")
guess("20 latents cost 26 nats of kl and reach 108. Where do 2 latents end: near 115, 155 or 200?")
plane = mv.VAE(latent_dim=2, hidden=(256, 64))
plane.start_output_at(pixel_mean)
train(plane, mv.Adam(lr=2e-3), minibatches(mnist.x_train, 2, 2 * 468, seed=1))
terms = test(plane)
number("-ELBO on the test set with 2 latents", terms.loss, "nats per image")
number("kl with 2 latents", terms.kl, "nats per image")
mu, logvar = plane.encode(mv.binarize(mnist.x_test, rng))  # (N, L)
number("E[z^2] over the test set; the prior's is 1", (mu**2 + np.exp(logvar)).mean())
centres = np.array([np.median(mu[mnist.y_test == digit], axis=0) for digit in range(10)])  # (10, L)
closest = ((mu[:, None] - centres) ** 2).sum(axis=-1).argmin(axis=1)  # (N,)
number("test images closest to the centre of their digit", 100 * (closest == mnist.y_test).mean(), "%")
say("""Two latents cost less kl, but the nll is much larger. Without any label, images of the same digit get
similar codes: more than half of them are closest to the centre of their own digit, where guessing would give
10 %. But after these two epochs two numbers do not separate all digits: in the middle of the plane they
overlap. The kl keeps the codes near N(0, I); they spread a little wider.""")
axis = np.linspace(-2.85, 2.85, 20)
z = np.array([(z1, z2) for z2 in axis[::-1] for z1 in axis])  # (400, L), z2 grows upwards
figure = drawings.plane(mu[:2000], mnist.y_test[:2000], centres, plane.mean(z))
save(figure, "plane", dpi=200)

# %% [markdown]
# ## 6. Compare optimizers
#
#     SGD       u = momentum u + g;                w -= lr u
#     RMSProp   v = rho v + (1 - rho) g^2;         w -= lr g / (sqrt(v) + eps)
#     Adam      m, v: running means of g and g^2;  w -= lr m^ / (sqrt(v^) + eps)
#
# Here w is a parameter and g its gradient. The ^ marks a correction, because m and v start at 0; eps = 1e-8
# avoids 0 / 0. SGD's step is proportional to g, so its lr has the unit parameter^2 / nat. The others divide
# by the size of g, so their lr has the unit of the parameter itself. After one step v = (1 - rho) g^2, so
# RMSProp moves w by lr / sqrt(1 - rho). With its corrections, Adam moves w by lr. A parameter whose gradient
# is always 0 does not move: 67 of the 784 pixels are 0 in all training images, so the encoder's weights for
# them, 4 % of all weights, never change.
#
# A comparison in which only one optimizer's lr was tuned means nothing. Here each optimizer has the best lr
# for these 200 steps among 1, 2 and 5 times the powers of ten.
# %%
section("6. Compare optimizers")
guess("""How far does a parameter move in the first step of RMSProp with lr 0.002 and rho 0.9, and of Adam
with lr 0.005?""")
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
    first_step = train(racer, optimizer, minibatches(mnist.x_train, 20, 1, seed=1))
    moved = max(np.abs(racer.params[key] - start.params[key]).max() for key in start.params)
    if name in FIRST:
        beside(f"longest first move, {name}", moved, FIRST[name], 1e-7)
    data = minibatches(mnist.x_train, 20, 200, seed=2)
    race[name] = np.vstack([first_step, train(racer, optimizer, data)])[:, 0]
beside("pixels that are 0 in all training images", (pixel_mean == 0).sum(), 67, 0, word="expected")
for name, losses in race.items():
    number(f"loss after 200 steps, {name}", losses[-50:].mean(), "nats, mean of the last 50 steps")
say("All start from the same weights and get the same minibatches. After 200 steps Adam is ahead.")
save(drawings.race(race, "200 steps, each optimizer at its best learning rate"), "optimizers", dpi=200)

# %% [markdown]
# ## 7. Compare gradient estimators
#
# Lesson 6 measured the variance of each estimator. This section measures what this variance costs in
# training. We train the same VAE, 784-200-10, three times with Adam, minibatches of 64 and S = 8 samples of z
# for each image. Only the gradient estimator for the sampling step differs; the decoder's gradient is
# computed in the same way. Each runs at its best learning rate among 0.0005, 0.001, 0.002, 0.005 and 0.01.
# (The two that are best at 0.01 are worse at 0.02.)
# %%
section("7. Compare gradient estimators")
guess("All three are unbiased. After 200 steps, will the best and the worst be 1, 5 or 50 nats apart?")
RATES = {"score-function": 2e-3, "leave-one-out": 1e-2, "pathwise": 1e-2}
courses = {}
for name, lr in RATES.items():
    small = mv.VAE(latent_dim=10, hidden=(200,))
    data = minibatches(mnist.x_train, 10, 200, seed=1, batch=64, samples=(8,))
    courses[name] = train(small, mv.Adam(lr=lr), data, estimator=name)[:, 0]
    last = courses[name][-50:].mean()
    number(f"loss after 200 steps, {name}, lr {lr:g}", last, "nats, mean of the last 50 steps")
say("""The score-function estimator multiplies the score of each sample by the whole nll, hundreds of nats.
Its variance is so large that the encoder learns little. No other learning rate helps; at 0.005 its loss even
rises above 800 nats. Subtracting the mean nll of the other 7 samples removes most of that variance at almost
no cost. The pathwise gradient needs no baseline: it uses the derivative of the nll with respect to z.""")
labels = ("score function", "with leave-one-out", "pathwise")
labelled = dict(zip(labels, courses.values(), strict=True))
save(drawings.race(labelled, "200 steps with three gradient estimators, S = 8"), "estimators", dpi=200)

# %% [markdown]
# ## 8. Measure overfitting
#
# "Stochasticity is desirable" when z is sampled, because it "reduces overfitting", says a slide (UvA). To
# test this, we train twice on only 500 images, with the noise and without it (eps = 0, so z = mu). Then we
# compare the nll of training and test images, in both cases decoded from z = mu. In this section the images
# are fixed: a pixel is black where grey >= 128.
# %%
section("8. Measure overfitting")
guess("With the noise, does the negative ELBO of test images keep falling during training?")
few, other = (255 * (x >= 128).astype(np.uint8) for x in (mnist.x_train[:500], mnist.x_test[:2000]))
gaps = {}
for name, scale in (("with noise", 1), ("without noise", 0)):
    small = mv.VAE(latent_dim=10, hidden=(200,))
    small.start_output_at(few.mean(axis=0) / 255)
    adam = mv.Adam(lr=2e-3)
    for step in (200, 400, 600):
        data = minibatches(few, 10, 200, seed=step, batch=64)
        train(small, adam, ((x, scale * eps) for x, eps in data))
        if scale:
            terms = evaluation.average_terms(small, other, "dynamic", np.random.default_rng(1))
            number(f"with noise: -ELBO of test images, step {step}", terms.loss, "nats per image")
    known, new = (small.loss(x / 255, np.zeros((len(x), 10))).nll for x in (few, other))
    number(f"{name}: nll of the training images", known, "nats per image")
    number(f"{name}: nll of the test images", new, "nats per image")
    gaps[name] = new - known
number("gap without noise - gap with noise", gaps["without noise"] - gaps["with noise"], "nats per image")
say("""The noise makes the gap smaller, but it does not prevent overfitting: after 400 steps the negative ELBO
of test images rises. So compute it during training, on images that are not used for training, and stop when
it no longer falls.""")

# %% [markdown]
# ## Try on your own
#
# - Encode a 1 and a 7 with `model.encode` and decode ten points on the line between their means. Then decode
#   5 z for one such point z: there the prior has almost no mass, and the decoder was never trained.
# - Pass `beta=4` to `loss_and_grads` in `train`: the kl falls, the nll rises by more, the pictures blur.
# - Give SGD with momentum an lr of 0.03: the loss becomes infinite, and `loss_and_grads` raises an error.
#   With 0.001 it learns slowly.
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

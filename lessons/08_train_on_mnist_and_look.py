# %% [markdown]
# # 8. Train on MNIST and look
#
# **You will** write the training loop, train on 60,000 digits, read the curves, and look: at reconstructions,
# at samples, at a plane of digits. Then race three optimizers and three gradients.
#
# **You will learn** what number to expect and which numbers compare; why the pictures are blurred; what an
# optimizer's learning rate means; what the variance of a gradient costs.
#
# **You need** lesson 7; half a minute on two cores, and half a minute more in the very first run, which
# compiles the kernels. (Last digits differ from machine to machine: float32 sums round in another order.)
#
# **New names** `binarize`, `SGD`, `RMSProp`, `Adam`, `plots`, `evaluation`; used again: `VAE`, `load_mnist`,
# `ops.bernoulli_nll`, `bugs`
#
# %%
from statistics import NormalDist

import numpy as np

import minivae as mv
from lessons.story import BLUE, GREEN, GREY, RED, STYLES, beside, canvas, guess, number, save, say, section
from minivae import bugs, evaluation, ops

# %% [markdown]
# ## 1. Write the loop
#
# A grey pixel g of 0 to 255 is taken for a probability: `binarize` draws 1 with probability g / 255, afresh
# each time, so that x is a black-and-white image and the Bernoulli likelihood the probability of an image.
# The loop: take a minibatch, draw pixels, draw noise, walk forward and back, step.


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
    """The terms on the 10,000 test images, with pixels and noise of their own, the same at every call."""
    return evaluation.average_terms(model, mnist.x_test, "dynamic", np.random.default_rng(1))


def entropy(p):
    """The cost in nats of saying p, summed over pixels, where p is the truth; p (..., D)."""
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
beside("nll of the first, told the pixel mean", test(silent).nll, entropy(pixel_mean[None]).item(), 0.5)
number("nll of the second, told the pixel mean", test(model).nll, "nats per image")
say("""784 tosses of a coin; then the entropy of the pixels one by one. Small random weights add a few nats
    to both. Whatever falls below 206 has been learned by the latents.""")

# %% [markdown]
# ## 2. Read the curves
#
# An epoch is 468 minibatches of 128. The same network was trained in PyTorch 2.13 with the same data, batch
# size and Adam, and its negative ELBO on the test set was 125.8, 113.0 and 108.9 after one, two and three
# epochs. It began with PyTorch's default weights, ours with Glorot's and the pixel mean, so that ours must be
# ahead at first. By the third epoch a rest of that and the seed's half a nat remain: we allow 2.
# %%
section("2. Read the curves")
guess("The loss is nll + kl. Both begin somewhere; does each of them fall?")
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
say("""The kl rises: what the latents carry is paid for, and it saves more of the nll than it costs. The loss
    goes on falling: ten epochs bring 102.""")

# %% [markdown]
# ## 3. Ask which numbers compare
#
# Four numbers are reported for one and the same network.
#
# - the negative ELBO, with z drawn from q(z|x): an upper bound of -log p(x);
# - the same with z = mu: smaller as a rule, and no bound, because it leaves out what the width of q costs;
# - -log p(x) by importance sampling: -log of the mean of p(x|z) p(z) / q(z|x) over K draws z from q. With
#   K = 1 it is -ELBO on average, and by Jensen it stays an upper bound that falls to -log p(x) as K grows;
# - the cross-entropy of grey pixels. For fixed logits it is the *mean* nll over all binarizations, since the
#   nll is linear in x. It cannot fall below the entropy of the grey values, even for a perfect copy.
# %%
section("3. Ask which numbers compare")
guess("Order them: the negative ELBO, the same with z = mu, and -log p(x).")
rng = np.random.default_rng(0)
few = mnist.x_test[:500]
x, eps = mv.binarize(few, rng), rng.standard_normal((500, 20))
drawn, at_mu = model.loss(x, eps).loss, model.loss(x, 0 * eps).loss
number("-ELBO of 500 images", drawn, "nats per image")
estimate = evaluation.importance_nll(model, few, "dynamic", rng, samples=200)
number("-log p(x) of them, from above, K = 200", estimate.mean, "nats per image")
number("z = mu instead of a draw", at_mu, "nats per image")
say("""The negative ELBO is a bound, several nats above -log p(x) (5,000 samples take another 0.6 off). With z
= mu the number falls below -log p(x): it bounds nothing.""")
grey = mnist.x_test[:100] / 255
logits = model.decode(model.encode(grey)[0]).astype(float)  # (100, D)
draws = [ops.bernoulli_nll(logits, mv.binarize(grey, rng).astype(float)).mean() for _ in range(400)]
cross_entropy, error = ops.bernoulli_nll(logits, grey).mean(), np.std(draws) / np.sqrt(400)
beside("mean nll of 400 binarizations, logits fixed", np.mean(draws), cross_entropy, 5 * error)
number("what a perfect copy of grey pixels would cost", entropy(mnist.x_test / 255).mean(), "nats per image")
say("""So the cross-entropy of grey pixels may be minimized, but it is no likelihood, and these nats are the
    data's own. Another number that misleads: a slide's final algorithm multiplies the likelihood by n and
    not the KL (Isachenko 2021). Per image that is nll + kl / n; the check says what it is:""")
number("nll + kl / 60000", after[2].nll + after[2].kl / 60_000, "nats per image, no bound either")
say(bugs.examine(bugs.GALLERY["likelihood-times-n"])["bound"][1] + ".")

# %% [markdown]
# ## 4. Look at reconstructions and samples
#
# "Why are VAE samples blurry?" asks a slide, and answers: because the squared error looks at each pixel in
# isolation (Brown). The Bernoulli nll does that too: p(x|z) is a product over pixels. If z cannot tell two
# images apart that differ in k pixels, then the best p is their average: 1/2 at those k pixels, at ln 2 each.
# %%
section("4. Look at reconstructions and samples")
pair = mnist.x_test[mnist.y_test == 3][:2] >= 128  # (2, D)
k = (pair[0] != pair[1]).sum()
guess("Two images of a 3 share one z. What should the decoder paint, one of them or something between?")
blur, sharp = pair.mean(axis=0), pair[0].clip(0.01, 0.99)


def cost(p):
    """Mean nll of the two images if the decoder says p (D,)."""
    p = np.tile(p.clip(1e-12, 1 - 1e-12), (2, 1))
    return ops.bernoulli_nll(np.log(p / (1 - p)), pair.astype(float)).mean()


beside("cost of their average", cost(blur), k * np.log(2), 1e-8)
number("cost of the first one, said with 99 % certainty", cost(sharp), "nats per image")
say("""The average wins: blur is what an honest decoder paints where z leaves a doubt. A *draw* from p(x|z) is
sharp and speckled, because the pixels are drawn independently. Pictures of VAEs show the mean. The samples
have a second fault: a z from the prior may lie between the codes, where the decoder was never trained.""")
originals = mv.binarize(mnist.x_test[:12], rng).astype(float)
means = model.mean(rng.standard_normal((12, 20)))
rows = {
    "test image": originals,
    "mean at z = mu": model.reconstruct(originals),
    "mean at z ~ prior": means,
    "draw at that z": mv.binarize(means, rng),
}
figure, axes = canvas(height=2.2, width=7.2)
axes.imshow(
    mv.plots.tile(np.vstack(list(rows.values())).round(1), (28, 28), columns=12),
    cmap="gray_r",
    interpolation="nearest",
)
axes.set_yticks(14 + 30 * np.arange(4), rows, fontsize=9)
axes.set_xticks([])
axes.tick_params(length=0)
axes.spines[:].set_visible(False)
axes.set_title(
    "Reconstructions keep the digit; a draw from the prior may miss where the codes lie", fontsize=10
)
save(figure, "pictures")

# %% [markdown]
# ## 5. Draw the plane
#
# With two latents the whole code can be seen. The encoder's means of the test images, coloured by a label
# that it has never seen; and the decoder's mean over a grid. Both axes are quantiles of the prior, so that
# every part of the square is equally probable under N(0, I).
# %%
section("5. Draw the plane")
guess("20 latents cost some 26 nats of kl and reach 108. Where will 2 latents end: near 115, 155 or 200?")
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
nearest = ((places[:, None] - centres) ** 2).sum(axis=-1).argmin(axis=1)
number("test images nearest to their own digit's centre", 100 * (nearest == mnist.y_test).mean(), "%")
say("""Nobody told the network that there are ten digits. The kl holds all codes near N(0, I), if a little
wider, so that a draw from the prior mostly lands where the decoder knows what to paint; neighbours look
alike, and what two numbers cannot tell apart overlaps.""")
quantiles = [NormalDist().inv_cdf((i + 0.5) / 20) for i in range(20)]
z = np.array([(z1, z2) for z2 in quantiles[::-1] for z1 in quantiles])  # (400, L), z2 grows upwards
figure, (left, right) = canvas(2, height=4.6)
for digit, colour in enumerate(mv.plots.DIGITS):
    left.plot(*places[:1500][mnist.y_test[:1500] == digit].T, ".", color=colour, markersize=2.5)
    box = {"boxstyle": "circle,pad=0.15", "fc": "white", "ec": colour}
    left.text(*centres[digit], digit, weight="bold", ha="center", va="center", bbox=box)
left.set_title("The encoder sorts digits without labels", fontsize=11)
sheet = mv.plots.tile(plane.mean(z), (28, 28), columns=20, gap=0)  # (560, 560)
sheet = sheet.reshape(280, 2, 280, 2).mean(axis=(1, 3)).round(1)  # half the size
right.imshow(sheet, cmap="gray_r", extent=(0, 1, 0, 1), interpolation="nearest")
right.set_title("The decoder's mean over the same plane", fontsize=11)
for axes in (left, right):
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="$z_1$, quantile of the prior", ylabel="$z_2$, quantile of the prior")
save(figure, "plane", dpi=80)

# %% [markdown]
# ## 6. Race three optimizers
#
#     SGD       v = momentum v + g;                p -= lr v
#     RMSProp   s = rho s + (1 - rho) g^2;         p -= lr g / (sqrt(s) + eps)
#     Adam      m, s: running means of g and g^2;  p -= lr m^ / (sqrt(s^) + eps), ^ corrects the start at 0
#
# SGD's step is proportional to the gradient, so its lr has the unit parameter^2 / nat. The others divide by
# the gradient's size: their lr is a length in the parameter itself. After one step s = (1 - rho) g^2, so that
# RMSProp moves lr / sqrt(1 - rho); Adam's corrections make it lr, whatever the gradient's size. (eps = 1e-8
# keeps 0 / 0 away: the border pixels never light up, and their weights, a fifth of all, do not move.)
#
# A race in which the lr of one side alone was searched for says nothing. Each runs at the best of 1, 2 and 5
# times a power of ten, for these 200 steps.
# %%
section("6. Race three optimizers")
guess("rho = 0.9: how far does a parameter move in the first step of RMSProp (lr 0.002), of Adam (0.005)?")
RACE = {
    "SGD, lr 0.02": mv.SGD(lr=2e-2),
    "momentum 0.9, lr 0.005": mv.SGD(lr=5e-3, momentum=0.9),
    "RMSProp, lr 0.002": mv.RMSProp(lr=2e-3, rho=0.9),
    "Adam, lr 0.005": mv.Adam(lr=5e-3),
}
FIRST = {"RMSProp, lr 0.002": 2e-3 / np.sqrt(0.1), "Adam, lr 0.005": 5e-3}  # how far the first step moves
race = {}
for name, optimizer in RACE.items():
    start, racer = mv.VAE(), mv.VAE()
    first_step = train(racer, optimizer, 1, seed=1)
    moved = max(np.abs(racer.params[key] - start.params[key]).max() for key in start.params)
    if name in FIRST:
        beside(f"longest first move, {name}", moved, FIRST[name], 1e-7)
    race[name] = np.vstack([first_step, train(racer, optimizer, 200, seed=2)])
for name, losses in race.items():
    number(f"loss after 200 steps, {name}", losses[-50:, 0].mean(), "nats, mean of the last 50 steps")
say("""From the same start and on the same minibatches. Momentum 0.9 adds up ten gradients: at a tenth of the
    lr it makes SGD's curve, and it stays stable beyond. After 200 steps Adam leads.""")

# %% [markdown]
# ## 7. Race three gradients
#
# Lesson 6 measured what each estimator of the gradient scatters. Here is what that costs: the same VAE
# 784-200-10, Adam, minibatches of 64, S = 8 samples of z for each image; only the way in which the gradient
# of the nll crosses the sampling of z differs. The decoder's own gradient is the same for all.
# %%
section("7. Race three gradients")
guess("All three are unbiased. After 200 steps, will they be 1, 5 or 40 nats apart?")
WAYS = {
    "pathwise": "pathwise",
    "leave-one-out": "score function,\nleave-one-out",
    "score-function": "score function",
}
ways = {}
for way in WAYS:
    small = mv.VAE(latent_dim=10, hidden=(200,))
    ways[way] = train(small, mv.Adam(lr=1e-3), 200, seed=1, batch=64, samples=(8,), estimator=way)
    number(f"loss after 200 steps, {way}", ways[way][-50:, 0].mean(), "nats, mean of the last 50 steps")
say("""The score function weighs every sample by its whole nll, hundreds of nats, and its encoder learns
    little. Subtracting the mean nll of the other 7 samples takes most of that noise away at no cost. The
    pathwise gradient needs no baseline: it knows the slope of the nll in z, and not only its size.""")

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
for colour, (way, name) in zip((BLUE, GREEN, RED), WAYS.items(), strict=True):
    draw(third, ways[way][:, 0], colour, name)
for axes, title in (
    (first, "The kl rises, the loss falls"),
    (second, "Optimizers"),
    (third, "Gradients, S = 8"),
):
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
# - Encode a 1 and a 7 with `model.encode` and decode ten points of the line between their means. Then decode
#   5 times such a z: the prior has no mass there, and the decoder was never asked.
# - Pass `beta=4` to `loss_and_grads` in `train`: the kl falls, the nll rises by more, the pictures blur.
# - Give SGD with momentum an lr of 0.03: the loss is not finite, and `loss_and_grads` says so. With 0.001 it
#   is slow.
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

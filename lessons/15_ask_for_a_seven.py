# %% [markdown]
# # 15. Ask for a seven
#
# **You will** give a VAE the label of each image, compare it with a VAE without labels, find out how much of
# the difference the label explains, classify digits with it, and draw pictures of a digit that you choose.
#
# **You will learn** how a condition enters both networks and the bound, why you must not compare a
# conditional bound with an unconditional one, how to sum over the labels instead, and two ways to condition
# badly.
#
# **You need** lesson 8; about 30 minutes, of which the training takes half a minute on two cores.
#
# **New names** `inputs.one_hot`; used again: `VAE`, `Adam`, `binarize`, `load_mnist`, `evaluation`
#
# %%
import numpy as np

import minivae as mv
from lessons.drawings import lesson15 as drawings
from lessons.story import beside, guess, number, save, say, section
from minivae import evaluation
from minivae.inputs import one_hot

L, STEPS, BATCH = 5, 468, 128  # 468 steps are one epoch
mnist = mv.load_mnist()
labels = np.arange(10)

# %% [markdown]
# ## 1. Add the condition to the bound and to the networks
#
# Let c be the condition, here the label. Every density of lesson 3 is now conditional on c, except the prior:
# p(z | c) = p(z).
#
#     p(x | c) = integral p(x | z, c) p(z) dz
#     log p(x | c) >= E_q[ log p(x | z, c) ] - KL( q(z | x, c) || p(z) ),        q(z | x, c) from the encoder
#
# For each c, p(x | c) sums to 1 over all images: "Each possible label induces a competition among all images"
# (Brown). Both networks receive c: its one-hot rows (B, C) are appended to their inputs (Marchioro, section
# 3). Write W_z for the first L rows of the decoder's first weight matrix and W_c for the other C rows. Then
#
#     [z, c] W + b = z W_z + c W_c + b = z W_z + (row k of W_c) + b        for label k
#
# So the label selects a bias. In the backward pass, the derivative with respect to [z, c] has L + C columns.
# The first L are dz. The others belong to c; c is data, so we drop them. Row k of dW_c sums the derivatives
# of the images with label k.
# %%
section("1. Add the condition to the bound and to the networks")
c_train, c_test = one_hot(mnist.y_train, labels), one_hot(mnist.y_test, labels)  # (N, C) each
small = mv.VAE(latent_dim=L, hidden=(200,), condition_dim=10, dtype=np.float64)
rng = np.random.default_rng(0)
sevens = mnist.y_train == 7
x = mv.binarize(mnist.x_train[sevens][:64], rng).astype(float)  # (B, D)
_, grads = small.loss_and_grads(x, rng.standard_normal((64, L)), condition=c_train[sevens][:64])
dW_c = grads["decoder1.W"][L:]  # (C, H)
guess("A minibatch contains only sevens. Which of the ten rows of dW_c are not 0?")
beside("rows of dW_c that are not 0", (np.abs(dW_c).max(axis=1) > 0).sum(), 1, 0)
beside("the label of that row", np.abs(dW_c).max(axis=1).argmax(), 7, 0)
guess("Why ten columns? One column with the number 0 to 9 holds the same information.")
offsets = labels[:, None] * small.params["decoder1.W"][L][None]  # (10, H): what one column would add
beside("rank of the biases, label as a number", np.linalg.matrix_rank(offsets), 1, 0)
beside("rank of the biases, one-hot", np.linalg.matrix_rank(small.params["decoder1.W"][L:]), 10, 0)
say("""If the condition is a number, it shifts the inputs of the hidden units by 0, 1, 2 ... times one vector.
That puts the digits in an order, with the 4 halfway between the 3 and the 5. One-hot labels have ten
independent biases. Section 6 measures the difference.""")

# %% [markdown]
# ## 2. Train with and without labels
#
# Both models have the same network, images, noise and number of steps; only the condition differs. The
# learning rate falls linearly to 0, so fewer steps are enough.
# %%
section("2. Train with and without labels")
pixel_mean = mnist.x_train.mean(axis=0) / 255  # (D,)


def train(model, condition=None, frozen=None):
    """Train in place on minibatches of MNIST; `frozen`: (name, first row) of weights that stay 0."""
    model.start_output_at(pixel_mean)
    rng, adam = np.random.default_rng(1), mv.Adam(lr=5e-3)
    for step, rows in enumerate(rng.permutation(60_000)[: STEPS * BATCH].reshape(STEPS, BATCH)):
        adam.lr = 5e-3 * (1 - step / STEPS)
        given = {} if condition is None else {"condition": condition[rows]}
        x = mv.binarize(mnist.x_train[rows], rng)  # (B, D)
        _, grads = model.loss_and_grads(x, rng.standard_normal((BATCH, L)), **given)
        if frozen:
            grads[frozen[0]][frozen[1] :] = 0
        adam.step(model.params, grads)
    return model


def measure(model, condition=None):
    """The terms on the 10,000 test images, with the same pixels and noise at every call."""
    rng = np.random.default_rng(1)
    return evaluation.average_terms(model, mnist.x_test, "dynamic", rng, condition=condition)


plain = train(mv.VAE(latent_dim=L, hidden=(200,)))
conditional = train(mv.VAE(latent_dim=L, hidden=(200,), condition_dim=10), c_train)
without, given = measure(plain), measure(conditional, c_test)
number("-ELBO without labels", without.loss, "nats per image")
number("-ELBO given the label", given.loss, "nats per image")
number("kl without labels", without.kl, "nats per image")
number("kl given the label", given.kl, "nats per image")
say("""Given the label, the codes need not encode which digit it is. Both terms fall: the kl by more than a
nat, and the nll by even more, because the five latents are free to describe what the label does not
determine.""")


def between(model, condition=None):
    """The share of the variance of the codes that lies between the means of the ten digits."""
    codes = evaluation.latent_means(model, mnist.x_test, "grey", rng, condition)  # (N, L)
    centres = np.array([codes[mnist.y_test == k].mean(axis=0) for k in labels])  # (10, L)
    return centres[mnist.y_test].var(axis=0).sum() / codes.var(axis=0).sum()


number("variance of the codes between digits", 100 * between(plain), "%, without labels")
number("the same, given the label", 100 * between(conditional, c_test), "%")
say("""The bound favors this: in the model z and c are independent, so the codes of every label should fill
the same prior p(z). Here the share is halved, not 0: some dependence remains. So there are values of z that
the prior draws but that the codes of some labels hardly ever take.""")

# %% [markdown]
# ## 3. Sum over the labels
#
# -log p(x | c) and -log p(x) answer different questions: the first leaves out the cost of the label. But a
# model of p(x | c), together with p(c) = 1/10, is also a model of x:
#
#     p(x) = sum_k p(x | k) / 10        so   -log p(x) = log 10 - log sum_k exp( log p(x | k) )
#
# The sum is at least its largest term and at most ten times that. So, with low = min_k -log p(x | k),
#
#     low <= -log p(x) <= low + log 10,        log 10 = 2.303
#
# Bayes' rule says how many nats the true label y saves:
#
#     log p(x | y) - log p(x) = log p(y | x) - log p(y) = log 10 + log p(y | x) <= log 10
#
# We estimate every -log p(x | k) by importance sampling, with 100 draws from q(z | x, k).
# %%
section("3. Sum over the labels")
guess(f"{given.loss:.0f} is less than {without.loss:.0f}. How much of the difference can the label explain?")
n, K = 200, 100
x, y = mv.binarize(mnist.x_test[:n], rng), mnist.y_test[:n]
stored = (255 * x).astype(np.uint8)  # drawn already: "dynamic" leaves 0 and 255 as they are


def nll_of(model, condition=None):
    """-log p(x | condition) of each of the n images (n,), by importance sampling."""
    rng = np.random.default_rng(5)
    return evaluation.importance_nll_each(model, stored, "dynamic", rng, K, condition=condition)


by_label = np.array([nll_of(conditional, one_hot(np.full(n, k), labels)) for k in labels])  # (10, n)
own = by_label[y, np.arange(n)]  # (n,): given the true label
mixed = np.log(10) - np.logaddexp.reduce(-by_label, axis=0)  # (n,): -log p(x)
posterior = np.exp(mixed - np.log(10) - by_label)  # (10, n): p(k | x) by Bayes' rule
low = by_label.min(axis=0)
number("-log p(x | y) of 200 images", own.mean(), "nats per image")
number("-log p(x) of the conditional model", mixed.mean(), "nats per image")
number("lower bound, low", low.mean(), "nats per image")
number("upper bound, low + log 10", low.mean() + np.log(10), "nats per image")
saved = np.log(10) + np.log(posterior[y, np.arange(n)]).mean()
beside("nats that the label saves", mixed.mean() - own.mean(), saved, 1e-9, word="Bayes")
alone = nll_of(plain).mean()
number("-log p(x) of the model without labels", alone, "nats per image")
save(drawings.ledger(own.mean(), mixed.mean(), low.mean(), alone), "ledger", dpi=200)
say("""The label cannot save more than 2.3 nats. Most of the difference has another cause: the conditional
model is a better model of x. It is a mixture of ten decoders that share everything but a bias. So compare the
two numbers called -log p(x) with each other, and neither of them with -log p(x | y). (All three are
importance sampling estimates, which are too large on average. The estimates obey the two bounds just as the
exact values do.)""")

# %% [markdown]
# ## 4. Classify by the bound
#
# A slide distinguishes discriminative models, p(y | x), from generative models, p(x) (Brown). A conditional
# generative model can be used as both: Bayes' rule turns p(x | k) into p(k | x). All labels have the same
# probability here, so the most probable label is the one with the smallest cost. The cost is -log p(x | k)
# or, as an approximation, the negative ELBO with one draw of z. Each image takes ten forward passes.
# %%
section("4. Classify by the bound")
guess("The network was trained to generate, not to classify. What share of 1,000 digits does it get right?")
many, truth = mv.binarize(mnist.x_test[:1000], rng), mnist.y_test[:1000]


def costs(eps):
    """The negative ELBO of `many` for each of the ten labels (10, 1000), all with the same noise."""
    rows = []
    for k in labels:
        _, trace = conditional.forward(many, eps, condition=one_hot(np.full(1000, k), labels))
        rows.append(trace.nll + trace.kl)
    return np.array(rows)


guessed = costs(rng.standard_normal((1000, L))).argmin(axis=0)
number("classified correctly by the ELBO", 100 * (guessed == truth).mean(), "%")
number("the same by -log p(x | k), first 200", 100 * (posterior.argmax(axis=0) == y).mean(), "%")
number("mean probability of the true label", posterior[y, np.arange(n)].mean())
say("""Only the differences between the ten costs matter. The gap between the ELBO and log p(x | k) is not the
same for every label, and a single draw adds noise; importance sampling reduces both errors. A network of this
size that is trained to classify gets more than 95 % right.""")

# %% [markdown]
# ## 5. Ask for digits
#
# Draw z from N(0, I), append a one-hot label, and decode. In the figure, all pictures of a column share one
# z. Which digit does a picture show? We compare it with 6,000 training images and take the label of the most
# similar one: the one with the largest cosine of the angle between the two vectors of pixels.
# %%
section("5. Ask for digits")
known = mnist.x_train[:6000].astype(np.float32)
known /= np.linalg.norm(known, axis=1, keepdims=True)


def named(images):
    """The label of the most similar of 6,000 training images, for each image (N, D)."""
    return mnist.y_train[(images.astype(np.float32) @ known.T).argmax(axis=1)]


def ask(model, condition):
    """100 pictures for each of the ten rows of `condition` (10, C), with the same 100 z -> (10, 100, D)."""
    z = np.tile(np.random.default_rng(7).standard_normal((100, L)), (10, 1))  # (1000, L)
    return model.mean(z, np.repeat(condition, 100, axis=0)).reshape(10, 100, 784)


def obeyed(pictures):
    """The share of the pictures that show the label asked for, in percent."""
    return 100 * (named(pictures.reshape(1000, 784)) == np.repeat(labels, 100)).mean()


guess("Of 1,000 pictures, 100 for each label, how many show the digit that was requested?")
right = 100 * (named(mnist.x_test[:1000]) == truth).mean()
number("test images that the comparison names correctly", right, "%")
pictures = ask(conditional, np.eye(10))
number("pictures that show the label asked for", obeyed(pictures), "%")
say("""Almost a third do not, far more than the errors of the comparison can explain. Section 2 gives the
reason: the codes of one label do not fill the prior, so some z lie where the decoder has seen no codes of
that label.""")

# %% [markdown]
# ## 6. Condition badly
#
# **The label as a number**: condition_dim = 1. **The decoder only**: the encoder does not see c, because its
# weights for c stay 0. The bound holds for any q, so q(z | x) is not wrong, only less accurate than
# q(z | x, c).
# %%
section("6. Condition badly")
guess("Which costs more: a number instead of ten columns, or an encoder without the label?")
ordinal = train(mv.VAE(latent_dim=L, hidden=(200,), condition_dim=1), mnist.y_train[:, None])
blind = mv.VAE(latent_dim=L, hidden=(200,), condition_dim=10)
blind.params["encoder1.W"][784:] = 0
train(blind, c_train, frozen=("encoder1.W", 784))
number("-ELBO, label as a number", measure(ordinal, mnist.y_test[:, None]).loss, "nats per image")
number("-ELBO, decoder only", measure(blind, c_test).loss, "nats per image")
ordered = ask(ordinal, labels[:, None])
number("pictures that show the label, label as a number", obeyed(ordered), "%")
number("pictures that show the label, decoder only", obeyed(ask(blind, np.eye(10))), "%")
save(drawings.asked(pictures[:, :8], ordered[:, :8]), "asked", dpi=200)
say("""The number costs far more. As the label grows from 0 to 9 at a fixed z, the inputs of the hidden units
move along a straight line, and few of the ten pictures show the digit asked for. The encoder without c must
recognize the digit in x. That is easy, so the bound loses only about one nat.""")

# %% [markdown]
# ## Try on your own
#
# - Ask for half a 3 and half an 8: `conditional.mean(z, 0.5 * (np.eye(10)[[3]] + np.eye(10)[[8]]))`, with z
#   of shape (1, L) drawn from the prior.
# - Encode a test image with its label and decode its z with the nine other labels: does the style stay?
# - Use the upper half of the image as condition (C = 392) and train a model that completes images.
#
# **Exercises** `python -m lessons start 26` (the inputs of both networks), `python -m lessons start 27` (the
# sum over the labels, and Bayes' rule)
#
# ## Further reading
#
# - K. Sohn, H. Lee and X. Yan, "Learning Structured Output Representation using Deep Conditional Generative
#   Models", 2015
# - D. P. Kingma, D. J. Rezende, S. Mohamed and M. Welling, "Semi-supervised Learning with Deep Generative
#   Models", 2014

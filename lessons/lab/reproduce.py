"""python -m lessons reproduce iwae: Table 1 of Burda et al. 2015, our numbers beside theirs.

784-200-200-50 tanh, one stochastic layer, MNIST binarized anew each time, Adam with eps 1e-4, the output
bias started at the pixels' mean. The paper runs 3^i passes at the learning rate 0.001 * 10^(-i / 7) for i = 0
to 7, 3,280 in all, with minibatches of 20. Here the same eight rates have equal parts of the time, since few
passes at the small rates would leave it far from the end; a minibatch is 100. With --passes, all rows see the
images equally often, and their differences are those of the objectives.
-log p(x) is estimated with 5,000 importance samples for each test image, as in the paper.
"""

import time
from types import SimpleNamespace

import numpy as np
from tqdm import tqdm

import minivae as mv
from minivae import data, evaluation

PUBLISHED = {  # bound and k -> -log p(x), active latents: Burda et al. 2015, Table 1, one stochastic layer
    ("elbo", 1): (86.76, 19),
    ("elbo", 5): (86.47, 20),
    ("elbo", 50): (86.35, 20),
    ("iwae", 5): (85.54, 22),
    ("iwae", 50): (84.78, 25),
}
ROWS = {f"{'vae' if bound == 'elbo' else bound}-{k}": (bound, k) for bound, k in PUBLISHED}
STAGES = 8


def add_arguments(parser):
    """The options of `reproduce`."""
    parser.add_argument("table", choices=("iwae",), help="Table 1 of Burda et al. 2015")
    text = f"which rows: {', '.join(ROWS)} (default: vae-1, iwae-5, iwae-50)"
    parser.add_argument("--rows", metavar="ROW", nargs="+", choices=ROWS, help=text)
    parser.add_argument(
        "--minutes", metavar="X", type=float, default=40.0, help="of training a row (default: 40)"
    )
    text = "train a row for so many passes over the images instead"
    parser.add_argument("--passes", metavar="X", type=float, help=text)
    parser.add_argument(
        "--batch-size", metavar="N", type=int, default=100, help="(default: 100; the paper: 20)"
    )
    parser.add_argument("--test-images", metavar="N", type=int, default=10_000, help="(default: all 10000)")
    parser.add_argument(
        "--samples", metavar="N", type=int, default=5000, help="importance samples (default: 5000)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="(default: 0)")
    parser.add_argument("--threads", metavar="N", type=int, help="threads of the kernels (default: all)")


def run(args):
    """Train and measure each row, and print it beside the published one -> exit code."""
    for name in ("minutes", "passes", "batch_size", "test_images", "samples"):
        if getattr(args, name) is not None and not getattr(args, name) > 0:
            raise ValueError(f"--{name.replace('_', '-')} must be above 0, got {getattr(args, name)}")
    if args.threads is not None:
        mv.set_threads(args.threads)
    mnist = mv.load_mnist()
    print("row        -log p(x)   +-     active   passes   minutes   published", flush=True)
    for row in args.rows or ("vae-1", "iwae-5", "iwae-50"):
        bound, k = ROWS[row]
        model, passes, minutes = trained(mnist.x_train, bound, k, args)
        rng, images = np.random.default_rng(args.seed + 1), mnist.x_test[: args.test_images]
        bar = lambda rows: tqdm(rows, desc="log p(x)", leave=False, disable=None)  # noqa: E731
        found = evaluation.importance_nll(model, images, "dynamic", rng, args.samples, bar)
        active = evaluation.active_units(model, mnist.x_test, "dynamic", rng).sum()
        nats, units = PUBLISHED[bound, k]
        ours = f"{row:<9} {found.mean:10.2f}   {found.error:.2f} {active:8d} {passes:8.1f} {minutes:9.1f}"
        print(f"{ours}   {nats:.2f}, {units} active", flush=True)
    return 0


def trained(images, bound, k, args):
    """A model trained for so many minutes or passes -> it, its passes over the images, the minutes used."""
    rng = np.random.default_rng(args.seed)
    model = mv.VAE(784, 50, (200, 200), "tanh", seed=rng)
    model.start_output_at(data.pixel_mean(images, "dynamic"))
    state = SimpleNamespace(order=rng.permutation(len(images)), at=0, steps=0)
    adam, started = mv.Adam(eps=1e-4), time.perf_counter()

    def passes():
        return state.steps * args.batch_size / len(images)

    def minutes():
        return (time.perf_counter() - started) / 60

    def step():
        if state.at >= len(images):
            state.order, state.at = rng.permutation(len(images)), 0
        x = data.minibatch(images[state.order[state.at :][: args.batch_size]], "dynamic", rng)
        terms, grads = model.loss_and_grads(x, evaluation.noise(model, rng, len(x), k), bound=bound)
        adam.step(model.params, grads)
        state.at, state.steps = state.at + args.batch_size, state.steps + 1
        return terms.loss

    used, total, unit = (passes, args.passes, "passes") if args.passes else (minutes, args.minutes, "min")
    with tqdm(total=total, desc=f"{bound} k={k}", unit=f" {unit}", leave=False, disable=None) as bar:
        for stage in range(STAGES):
            adam.lr = 1e-3 * 10 ** (-stage / 7)
            loss = step()
            while used() < total * (stage + 1) / STAGES:
                loss = step()
                bar.n = round(used(), 1)
                bar.set_postfix(lr=f"{adam.lr:.1e}", loss=f"{loss:.1f}")
    return model, passes(), minutes()

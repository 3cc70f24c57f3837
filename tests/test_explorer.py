"""The page of `explore`: its JavaScript against NumPy, the file, and what it refuses."""

import base64
import fnmatch
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from py_mini_racer import MiniRacer

from minivae import cli, data, evaluation, explorer, ops, runs
from minivae.config import Config
from minivae.distributions import latents
from minivae.inputs import corrupt

HERE = Path(explorer.__file__).parent
ATOB = """var atob = (text) => { // a browser has it
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let bits = 0, n = 0, bytes = [];
  for (const letter of text.replace(/=/g, "")) {
    bits = (bits << 6) | letters.indexOf(letter);
    if ((n += 6) >= 8) bytes.push((bits >> (n -= 8)) & 255);
  }
  return bytes.map((byte) => String.fromCharCode(byte)).join("");
};"""
KINDS = {
    "gaussian": {},
    "laplace prior": {"prior": "laplace", "activation": "tanh"},
    "mixture": {"prior": "mixture", "hidden": (9, 7)},
    "sampled kl": {"kl": "sampled", "hidden": ()},
    "laplace": {"posterior": "laplace", "activation": "softplus"},
    "laplace, normal prior": {"posterior": "laplace", "prior": "standard"},
    "bernoulli": {"posterior": "bernoulli", "latent": 6},
    "categorical": {"posterior": "categorical", "categories": 4},
    "gaussian likelihood": {"likelihood": "gaussian", "activation": "sigmoid"},
    "shared": {"likelihood": "gaussian-shared"},
    "pixel": {"likelihood": "gaussian-pixel", "pixels": "threshold"},
    "optimal": {"likelihood": "gaussian-optimal"},
    "laplace likelihood": {"likelihood": "laplace", "latent": 1},
    "conditional": {"model": "cvae", "beta": 0.3},
    "conditional mixture": {"model": "cvae", "prior": "mixture", "pixels": "static"},
    "autoencoder": {"model": "autoencoder"},
    "sparse": {"model": "autoencoder", "penalty": "kl"},
    "l1": {"model": "autoencoder", "penalty": "l1", "penalty_weight": 0.5},
}


@pytest.fixture(scope="module")
def engine():
    """V8 with the operations and the models, but no document."""
    engine = MiniRacer()
    for script in (ATOB, *((HERE / name).read_text() for name in ("ops.js", "model.js"))):
        engine.eval(script)
    return engine


def value(engine, script, **arrays):
    """The value of a JavaScript expression of these arrays."""
    arrays = {name: a.tolist() if isinstance(a, np.ndarray) else a for name, a in arrays.items()}
    given = "".join(f"const {name} = {json.dumps(a)};" for name, a in arrays.items())
    plain = "(key, v) => ArrayBuffer.isView(v) ? [...v] : v"
    return json.loads(engine.eval(f"(() => {{ {given} return JSON.stringify({script}, {plain}); }})()"))


def untrained(dataset, **settings):
    """A run whose parameters are all random."""
    run = runs.Run(Config(**{"hidden": (9,), "latent": 3, "backend": "numpy"} | settings), dataset)
    rng = np.random.default_rng(3)
    for array in run.model.params.values():
        array += (0.1 * rng.standard_normal(array.shape)).astype(array.dtype)
    return run


def payload(html):
    """What the page holds as JSON."""
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', html)[1])


def unpacked(packed):
    """An array as `explorer` packs it, read without its help."""
    raw = base64.b64decode(packed["data"])
    if packed["type"] != "int16":
        return np.frombuffer(raw, {"uint8": "u1", "float32": "<f4"}[packed["type"]])
    scale = np.frombuffer(base64.b64decode(packed["scale"]), "<f4")
    return (np.frombuffer(raw, "<i2").reshape(-1, len(scale)) * scale).astype(np.float32)


# ------------------------------------------------------------------------------ JavaScript against NumPy

rng = np.random.default_rng(0)
X, MU, LOGVAR, EPS = rng.random((1, 7)), *rng.normal(size=(3, 1, 6))
OUT, W, U = 3 * rng.normal(size=(1, 7)), rng.normal(size=(7, 6)), 0.98 * (rng.random((1, 6)) - 0.5)
LARGE = np.array([[-800.0, -40, 0, 0.5, 40, 800, 3]])
GIVEN = {"x": X, "mu": MU, "logvar": LOGVAR, "eps": EPS, "out": OUT, "u": U, "large": LARGE}
GIVEN = {name: array[0] for name, array in GIVEN.items()} | {"W": W.ravel()}
LAPLACE, BERNOULLI = latents.LaplacePosterior(ops), latents.BernoulliPosterior(ops)
CATEGORICAL = latents.CategoricalPosterior(ops, 3)
OPERATIONS = {
    f"dense_forward(x, W, mu, '{a}')": ops.dense_forward(X, W, MU[0], a)[0] for a in ops.ACTIVATIONS
}
OPERATIONS |= {f"activation_forward(large, '{a}')": ops.activation_forward(LARGE, a) for a in ops.ACTIVATIONS}
OPERATIONS |= {
    "gaussian_sample(mu, logvar, eps)": ops.gaussian_sample(MU, LOGVAR, EPS),
    "sum(gaussian_kl(mu, logvar))": ops.gaussian_kl(MU, LOGVAR),
    "sum(gaussian_log_prob(eps, mu, logvar))": ops.gaussian_log_prob(EPS, MU, LOGVAR),
    "sum(gaussian_laplace_kl(mu, logvar))": latents.gaussian_laplace_kl(MU, LOGVAR),
    "sum(bernoulli_nll(out, x))": ops.bernoulli_nll(OUT, X),
    "sum(bernoulli_nll(large, x))": ops.bernoulli_nll(LARGE, X),
    "sum(gaussian_nll(out, [0.7], x))": ops.gaussian_nll(OUT, np.array([0.7]), X),
    "sum(gaussian_nll(out, x, x))": ops.gaussian_nll(OUT, X[0], X),
    "laplace_sample(mu, logvar, u)": LAPLACE.sample(MU, LOGVAR, U),
    "sum(laplace_kl(mu, logvar))": LAPLACE.kl(MU, LOGVAR),
    "sum(laplace_log_prob(eps, mu, logvar))": LAPLACE.log_prob(EPS, MU, LOGVAR),
    "bernoulli_sample(mu, x)": BERNOULLI.sample(MU, X[:, :6]),
    "sum(bernoulli_kl(mu))": BERNOULLI.kl(MU),
    "categorical_sample(mu, eps, 3)": CATEGORICAL.sample(MU, EPS),
    "sum(categorical_kl(mu, 3))": CATEGORICAL.kl(MU),
}


@pytest.mark.parametrize("script", OPERATIONS)
def test_an_operation_is_that_of_numpy(engine, script):
    want = np.squeeze(OPERATIONS[script])
    np.testing.assert_allclose(value(engine, script, **GIVEN), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_every_kind_walks_as_numpy_does(engine, digits, kind):
    """From the bytes in the page to every number of the walk, with the pixels that the page draws."""
    run = untrained(digits, **KINDS[kind])
    model = run.model
    found = payload(explorer.page([run], ["runs/1"], np.arange(0, 100, 10)))
    stored, grey = found["runs"][0], unpacked(found["images"]).reshape(10, 784)[3] / 255
    for name, array in model.params.items():
        read = unpacked(stored["params"][name]).reshape(array.shape)
        most = np.abs(array).max(axis=0, initial=1e-30) if name.endswith(".W") else 0
        assert (np.abs(read - array) <= most / 65000).all(), name
        array[...] = read
    eps = evaluation.noise(model, np.random.default_rng(5), 1, 1) if "prior" in stored else np.zeros((1, 3))
    script = """(() => {
        const params = Object.fromEntries(Object.entries(run.params).map(([n, p]) => [n, unpack(p)]));
        const model = new Model(run, params), noise = { pixel: random.uniform(784, generator(1)) };
        const c = model.condition(label), { x, seen } = model.input(grey, noise);
        return { x, c, ...model.forward(seen, eps[0], c, x), mean: model.mean(model.code(seen, c), c) };
    })()"""
    got = value(engine, script, run=stored, grey=grey, label=found["labels"][3], eps=eps)
    x, c = np.array([got["x"]], np.float32), np.array([got["c"]], np.float32)
    if run.config.pixels == "grey":
        np.testing.assert_allclose(x[0], grey, atol=1e-6)
    else:
        assert set(x[0]) == {0, 1}
        assert (x[0][grey == 0] == 0).all()
        assert (x[0][grey == 1] == 1).all()
    condition = {"condition": c} if c.size else {}
    want = {"mean": model.reconstruct(x, **condition)}
    if "prior" in stored:
        _, trace = model.forward(x, eps, **condition)
        want |= {"heads": trace.heads, "z": trace.z, "outputs": trace.outputs}
        nll, kl = trace.nll[0], trace.kl[0]
    else:
        terms, kept = model.forward(x)
        want |= {"heads": [kept.code], "z": kept.code, "outputs": kept.outputs}
        nll, kl = kept.nll[0], terms.kl if run.config.penalty == "l1" else 0
    for name, array in want.items():
        same = np.reshape(array, np.shape(got[name]))
        np.testing.assert_allclose(got[name], same, rtol=1e-4, atol=1e-4, err_msg=name)
    assert sum(got["nll"]) == pytest.approx(nll, rel=1e-5)
    assert sum(got["kl"]) == pytest.approx(kl, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("kind", ["mask", "salt-and-pepper", "gaussian"])
def test_the_page_corrupts_as_training_does(engine, kind):
    """The same noise gives the same corrupted image."""
    x, rng = np.random.default_rng(0).random((1, 400)), np.random.default_rng(1)
    noise = {"hit": rng.random(400).tolist(), "salt": rng.random(400).tolist()}
    noise["normal"] = np.random.default_rng(1).standard_normal(400).tolist()
    got = value(engine, f"corrupt(x, '{kind}', 0.4, noise)", x=x[0], noise=noise)
    np.testing.assert_allclose(got, corrupt(x, kind, 0.4, np.random.default_rng(1))[0], atol=1e-12)


@pytest.mark.parametrize(
    ("draws", "mean", "variance"),
    [
        ("random.uniform(20000)", 0.5, 1 / 12),
        ("random.normal(20000)", 0, 1),
        ("random.gumbel(20000)", 0.5772, 1.6449),
        ("PRIORS.laplace().sample(20000)", 0, 2),
        ("PRIORS.bernoulli().sample(20000)", 0.5, 0.25),
        ("PRIORS.categorical(4).sample(20000)", 0.25, 3 / 16),
        ("random.normal(20000, generator(7))", 0, 1),
    ],
)
def test_the_noise_has_its_mean_and_its_variance(engine, draws, mean, variance):
    """Five standard errors: a false alarm once in 200,000 runs; a mean off by 0.05 std is caught."""
    got = np.array(value(engine, draws))
    spread = np.sqrt(np.var((got - mean) ** 2) / len(got)) + 1e-4
    assert abs(got.mean() - mean) < 5 * np.sqrt(variance / len(got))
    assert abs(np.mean((got - mean) ** 2) - variance) < 5 * spread


# ------------------------------------------------------------------------------ the file


def test_the_file_is_small_and_needs_no_network():
    """784-400-20 with 500 images in 3 MB; an address in a name or in a label is written in another way."""
    mnist = data.load_mnist()
    labels = np.array(["HTTP://a", "</script>", "https", "x"])[mnist.y_test[:500] % 4]
    dataset = data.Dataset(mnist.x_train[:50], labels[:50], mnist.x_test[:500], labels, (28, 28))
    run = untrained(dataset, hidden=(400,), latent=20)
    html = explorer.page([run], ["http"], np.arange(500))
    assert len(html.encode()) < 3_000_000
    assert not re.search(r"http|src=|@import|url\(|\bfetch\b|\bimport\b *[('\"]", html, re.IGNORECASE)
    found = payload(html)
    assert found["labels"] == labels.tolist()
    assert found["runs"][0]["name"] == "http"
    np.testing.assert_array_equal(unpacked(found["images"]), mnist.x_test[:500].ravel())


def test_its_parts_are_installed():
    globs = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]
    for path in HERE.iterdir():
        assert path.suffix in (".py", "") or any(
            fnmatch.fnmatch(f"explorer/{path.name}", g) for g in globs["minivae"]
        )


@pytest.mark.parametrize("case", ["scale", "standardize", "negative", "colour"])
def test_images_of_other_ranges(tmp_path, case):
    """The grey of the page as the model's x: x = gain * grey + offset, to half a level of grey."""
    raw = np.random.default_rng(0).integers(0, 16, (40, 5, 4))
    raw = {"negative": raw / 8 - 1, "colour": raw[..., None] * [1, 2, 3]}.get(case, raw)
    np.save(tmp_path / "x.npy", raw)
    scaling = {"negative": "none", "standardize": case}.get(case, "scale")
    run = untrained(
        data.load_dataset(tmp_path / "x.npy", None, scaling), likelihood="gaussian", pixels="grey"
    )
    found = payload(explorer.page([run], ["a"], np.arange(4)))
    grey = unpacked(found["images"]).reshape(4, -1) / 255
    gain, offset = (unpacked(found["runs"][0][key]) for key in ("gain", "offset"))
    np.testing.assert_allclose(grey * gain + offset, run.data.x_test, atol=0.51 / 255 * gain.max())
    assert found["labels"] is None


# ------------------------------------------------------------------------------ what it refuses


def saved(folder, raw, labels=None, **settings):
    """A run folder of an untrained model of these images."""
    folder.mkdir()
    arrays = {"x": raw} if labels is None else {"x": raw, "y": labels}
    np.savez(folder.with_suffix(".npz"), **arrays)
    run = runs.Run(Config(data=str(folder.with_suffix(".npz")), hidden=(5,), latent=2, **settings))
    run.save(folder)
    return str(folder)


@pytest.mark.parametrize("model", ["vae", "cvae", "autoencoder"])
def test_its_test_numbers_are_those_of_evaluate(tmp_path, capsys, model):
    images = np.random.default_rng(0).integers(0, 255, (400, 6, 5), dtype=np.uint8)
    run = saved(tmp_path / "run", images, np.arange(400) % 3 * 1.0, model=model)
    samples = [] if model == "autoencoder" else ["--samples", "0"]
    assert cli.main(["evaluate", run, *samples]) == 0
    numbers = re.search(r"nll +([\d.]+)(?: \+ kl ([\d.]+))?", capsys.readouterr().out).groups()
    assert cli.main(["explore", run]) == 0
    found = payload((tmp_path / "run" / "explorer.html").read_text())
    assert set(found["labels"]) == {"0", "1", "2"}  # as the names of the classes, although they are floats
    found = found["runs"][0]["all"]
    assert [f"{found[key]:.2f}" for key in ("nll", "kl") if key in found] == [n for n in numbers if n]


def test_what_it_refuses(tmp_path, capsys):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 6, 5), dtype=np.uint8)
    one = saved(tmp_path / "one", images, np.arange(40) % 3, model="cvae")
    two = saved(tmp_path / "two", images, np.arange(40) % 4, model="cvae")
    wide = saved(tmp_path / "wide", images.reshape(40, 5, 6))
    table = {"likelihood": "gaussian", "standardize": True}
    table = saved(tmp_path / "table", rng.normal(size=(40, 7)), **table)
    fitted, notes = tmp_path / "fit", tmp_path / "notes.html"
    fitted.mkdir()
    (fitted / "config.json").write_text('{"model": "ppca"}')
    notes.write_text("mine")
    for words, message in {
        f"{table}": "table was trained on a table, and explore shows images",
        f"{one} {wide}": "one has 4 test images of 6 x 5 and",
        f"{one} {two}": "have different labels",
        f"{fitted}": "holds a fitted model without an encoder",
        f"{one} {tmp_path}/none": "does not exist",
        f"{one} --out {notes}": "was not written by minivae",
        f"{one} -n 5": "n must be at most 4",
    }.items():
        capsys.readouterr()
        assert cli.main(["explore", *words.split()]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert message in err
    assert notes.read_text() == "mine"
    assert not list(tmp_path.rglob("explorer.html"))
    for _ in range(2):  # the second time it replaces its own page
        assert cli.main(["explore", one, one]) == 0
    assert len(payload((tmp_path / "one" / "explorer.html").read_text())["runs"]) == 2

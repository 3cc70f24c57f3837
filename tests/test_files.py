"""A file is written whole and replaces only our own; a checkpoint fits or is refused in one sentence."""

import hashlib
import io
import json
import os
import shutil
import stat
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from runs import MOVING, SMALL, assert_same_run, quietly, resumed, steps

import minivae as mv
from minivae import files
from minivae.checkpoints import CHECKPOINT
from minivae.config import Config
from minivae.runs import Run
from minivae.training import new_folder


@pytest.fixture(scope="module")
def template(digits, tmp_path_factory):
    """A run of one epoch and three steps, with everything that a checkpoint can hold."""
    run = Run(replace(SMALL, samples=2, **MOVING), digits)
    folder = new_folder(run, tmp_path_factory.mktemp("template") / "run")
    steps(run, 10)
    run.save(folder)
    return folder


@pytest.fixture
def folder(template, tmp_path):
    return shutil.copytree(template, tmp_path / "run")


def old_format(path, arrays):
    """A checkpoint as the first version wrote it: with the SHA-256 of the file as the archive's comment."""
    buffer = io.BytesIO()
    np.savez(buffer, minivae=np.array(1), **arrays)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"0" * 64
    body = buffer.getvalue()[:-64]
    path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())


def test_an_older_run_folder_continues(folder, digits, tmp_path):
    """With a digest after the archive, without the two settings that came later, to the same bits."""
    older = shutil.copytree(folder, tmp_path / "older")
    quietly(resumed(folder, digits), folder)
    old_format(older / CHECKPOINT, files.load_arrays(older / CHECKPOINT))
    quietly(resumed(older, digits), older)
    assert_same_run(folder, older)
    config = json.loads((older / "config.json").read_text())
    del config["estimator"], config["baseline"]
    later = config | {"estimator": "pathwise", "baseline": "none"}
    assert Config.from_json(json.dumps(config), "") == Config.from_json(json.dumps(later), "")
    (older / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"does not match the checkpoint in baseline, estimator"):
        resumed(older, digits)


STATE = json.loads(json.dumps(np.random.default_rng(0).bit_generator.state))
NONSENSE = [
    *(({name: None}, name) for name in ("config", "data", "generator", "epoch", "order", "image_shape")),
    *(({name: np.float32([1.0])}, f"must hold {name}") for name in ("history", "sums", "elapsed_seconds")),
    ({"config": np.array("{")}, r"checkpoint.npz holds no config that can be used"),
    ({"config": np.array("[" * 100_000)}, r"checkpoint.npz holds no config"),
    ({"config": np.array("{}")}, "a config must have exactly"),
    ({"config": np.array(3)}, "must hold config"),
    ({"params/mu.W": None}, r"must hold params/mu.W, finite, of shape \(20, 2\)"),
    ({"params/mu.W": np.ones((20, 1), np.float32)}, r"must hold params/mu.W, finite, of shape \(20, 2\)"),
    ({"params/mu.W": np.ones((20, 2))}, "params/mu.W.* type float32; it holds float64"),
    ({"params/mu.W": np.ones((20, 2), ">f4")}, "params/mu.W.* type float32; it holds >f4"),
    ({"params/mu.W": np.ones((20, 2), int)}, "params/mu.W.* it holds int64"),
    ({"params/mu.b": np.full(2, np.nan, np.float32)}, "must hold params/mu.b, finite"),
    ({"optimizer/square/mu.W": None}, "must hold optimizer/square/mu.W"),
    ({"optimizer/square/mu.b": np.full(2, -1, np.float32)}, "do not fit"),
    ({"optimizer_steps": np.array(9)}, "do not fit"),
    ({"epoch": np.array(-1)}, "do not fit"),
    ({"epoch": np.array(10**15)}, "do not fit"),
    ({"epoch": np.array(2), "optimizer_steps": np.array(17)}, "do not fit"),
    ({"step": np.array(-3), "optimizer_steps": np.array(4)}, "do not fit"),
    ({"step": np.array(8), "optimizer_steps": np.array(15)}, "do not fit"),
    ({"order": np.zeros(330, np.uint32)}, "do not fit"),
    ({"order": np.arange(1, 331, dtype=np.uint32)}, "do not fit"),
    ({"order": np.arange(329, dtype=np.uint32)}, "do not fit"),
    ({"sums": np.full(3, np.inf)}, "must hold sums, finite"),
    ({"history": np.ones((2, 7))}, "do not fit"),
    ({"history": np.full((1, 7), 2.0)}, "do not fit"),
    ({"history": np.ones((1, 6))}, "must hold history"),
    ({"seconds": np.ones(2)}, "do not fit"),
    ({"seconds": np.array([-1.0])}, "do not fit"),
    ({"baseline": np.ones(3)}, "must hold baseline"),
    ({"generator": np.array("{}")}, "do not fit"),
    ({"generator": np.array("[" * 100_000)}, "do not fit"),
    ({"generator": np.array(json.dumps(STATE | {"state": {"state": -1, "inc": 3}}))}, "do not fit"),
    ({"generator": np.array(json.dumps(STATE | {"has_uint32": 0.5}))}, "do not fit"),
    ({"data": np.array("other")}, "the data in MNIST are not those"),
    ({"minivae": np.array(7)}, "has format 7, this minivae reads format 1"),
    ({"objects": np.array([{}], object)}, "is damaged"),
]


@pytest.mark.parametrize(("changes", "message"), NONSENSE, ids=[str(i) for i in range(len(NONSENSE))])
def test_a_checkpoint_with_nonsense_inside(folder, digits, changes, message):
    """A whole file that some other program could have written is refused in one sentence, in one place."""
    arrays = {"minivae": np.array(1)} | files.load_arrays(folder / CHECKPOINT) | changes
    with open(folder / CHECKPOINT, "wb") as file:
        np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(ValueError, match=message):
        resumed(folder, digits)


@pytest.mark.parametrize("shape", [(-28, -28), (14, 28), (10**9, 10**9), (0, 0)])
def test_a_model_is_loaded_with_the_shape_of_its_images(folder, shape):
    arrays = files.load_arrays(folder / CHECKPOINT) | {"image_shape": np.array(shape)}
    files.save_arrays(folder / CHECKPOINT, arrays)
    with pytest.raises(ValueError, match="image_shape does not fit its parameters"):
        mv.load_model(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"latent": 3}', "does not match the checkpoint in latent"),
        ('{"hidden": [21]}', "does not match the checkpoint in hidden"),
        ('{"new": 1}', "a config must have exactly"),
        *((text, r"config.json holds no config that") for text in ("", "{", "[1]", "3", "[" * 10**5)),
    ],
)  # fmt: skip
def test_a_config_that_does_not_match(folder, digits, text, message):
    path = folder / "config.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps(known | json.loads(text)) if text.startswith('{"') else text)
    for load in (mv.load_model, lambda folder: resumed(folder, digits)):
        with pytest.raises(ValueError, match=message):
            load(folder)
    path.unlink()  # as if killed before it was written
    resumed(folder, digits).save(folder)
    assert json.loads(path.read_text()) == known


def test_a_run_killed_while_it_was_prolonged(folder, digits):
    before = (folder / "config.json").read_bytes()
    resumed(folder, digits, epochs=9).save(folder)
    (folder / "config.json").write_bytes(before)
    assert resumed(folder, digits).config.epochs == 9


def test_missing_parts(folder, tmp_path, digits):
    with pytest.raises(ValueError, match=r"run folder .*nowhere does not exist"):
        Run.load(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"run folder .*pipe is not a folder"):
        Run.load(tmp_path / "pipe")
    with pytest.raises(ValueError, match="the data in MNIST are not those"):
        resumed(folder, digits._replace(x_train=digits.x_train[::-1]))
    (folder / CHECKPOINT).unlink()
    with pytest.raises(ValueError, match=r"checkpoint .* cannot be read: No such file"):
        resumed(folder, digits)


def test_damage_is_refused_or_harmless(folder):
    """One flipped bit anywhere, or a missing tail: an error in one sentence, or exactly the same arrays."""
    arrays = {"params/mu.W": np.arange(6.0).reshape(2, 3), "epoch": np.array(3), "config": np.array("{}")}
    path, refused = folder / "small.npz", 0
    files.save_arrays(path, arrays)
    whole = path.read_bytes()
    flipped = [whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1 :] for i in range(len(whole))]
    cut = [whole[:i] for i in range(0, len(whole), 7)]
    for content in (*flipped, *cut):
        path.write_bytes(content)
        try:
            got = files.load_arrays(path)
        except ValueError:
            refused += 1
            continue
        for name, array in arrays.items():
            if name in got:  # a damaged name is missing, which the reader of the entries refuses
                np.testing.assert_array_equal(got[name], array)
    assert refused > len(cut) + 0.6 * len(flipped)
    np.savez(path, a=np.ones(3))
    with pytest.raises(ValueError, match="is not a minivae checkpoint"):
        files.load_arrays(path)


# ------------------------------------------------------------------------------ files


OURS = b'{\n  "minivae": 1\n}'
FOREIGN = [
    b"",
    b"my notes\n",
    b"\x89PNG of another program",
    b'{"note": "about minivae"}',
    b",epoch,train_loss\n1",
]


@pytest.mark.parametrize("content", FOREIGN)
def test_foreign_files_are_never_replaced(tmp_path, content):
    target = tmp_path / "samples.png"
    target.write_bytes(content)
    with pytest.raises(ValueError, match="was not written by minivae"):
        files.write(target, OURS)
    assert target.read_bytes() == content


def test_links_and_folders_are_never_replaced(tmp_path):
    """Not even a link to a file of ours; and no temporary name can be guessed or is left."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "ours").write_bytes(OURS)
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "fifo")
    before = sorted(os.listdir(tmp_path))
    for name in ("folder", "link", "dangling", "fifo"):
        with pytest.raises(ValueError, match="was not written by minivae"):
            files.write(tmp_path / name, OURS + b"new")
    assert (tmp_path / "ours").read_bytes() == OURS
    assert sorted(os.listdir(tmp_path)) == before
    assert len({files.temporary(tmp_path) for _ in range(100)}) == 100


def test_a_link_with_a_temporary_name_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "guessed").symlink_to(tmp_path / "victim")
    monkeypatch.setattr(files, "temporary", lambda folder: tmp_path / "guessed")
    with pytest.raises(ValueError, match="cannot be written: File exists"):
        files.write(tmp_path / "a.json", OURS)
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    target = tmp_path / "a.json"
    files.write(target, OURS)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    target.chmod(0o600)
    files.write(target, OURS + b"\n")
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (OURS + b"\n", 0o600)
    assert os.listdir(tmp_path) == ["a.json"]

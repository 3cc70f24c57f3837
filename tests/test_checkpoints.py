"""A checkpoint is whole or refused; a file of somebody else's is never touched."""

import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from minivae import checkpoints, files

ARRAYS = {"params/mu.W": np.arange(6.0).reshape(2, 3), "epoch": np.array(3), "config": np.array("{}")}


@pytest.fixture
def path(tmp_path):
    checkpoints.save(tmp_path / "checkpoint.npz", ARRAYS)
    return tmp_path / "checkpoint.npz"


def test_round_trip(path):
    loaded = checkpoints.load(path)
    assert list(loaded) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
    with np.load(path, allow_pickle=False) as archive:  # and NumPy alone can read it
        assert int(archive["minivae"]) == checkpoints.FORMAT


def test_the_same_arrays_are_the_same_bytes(path, tmp_path):
    checkpoints.save(tmp_path / "again.npz", ARRAYS)
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_every_flipped_bit_is_seen(path):
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="checksum does not fit"):
            checkpoints.load(path)


def test_every_truncation_is_seen(path):
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="checksum does not fit"):
            checkpoints.load(path)


def test_missing_and_foreign(path, tmp_path):
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        checkpoints.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoints.load(tmp_path)
    np.savez(tmp_path / "foreign.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="is not a minivae checkpoint"):
        checkpoints.load(tmp_path / "foreign.npz")


def test_a_later_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT", 99)
    checkpoints.save(tmp_path / "later.npz", ARRAYS)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="has format 99, this minivae reads format 1"):
        checkpoints.load(tmp_path / "later.npz")


def test_pickles_are_not_loaded(tmp_path):
    checkpoints.save(tmp_path / "objects.npz", {"a": np.array([{}], object)})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        checkpoints.load(tmp_path / "objects.npz")


# ------------------------------------------------------------------------------ files


def test_a_full_disk_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match="cannot be written: No space left"):
        checkpoints.save(path, {"epoch": np.array(4)})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_real_limit_on_file_size_leaves_the_old_file(path):
    """The kernel itself refuses the bytes: the process may write no file beyond 4 kB."""
    before = path.read_bytes()
    script = (
        "import numpy as np, sys; from minivae import checkpoints\n"
        "try: checkpoints.save(sys.argv[1], {'a': np.zeros(10_000)})\n"
        "except ValueError as error: sys.exit(7)"
    )

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    assert subprocess.run([sys.executable, "-c", script, str(path)], preexec_fn=limit).returncode == 7
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"my notes\n",
        b"\x89PNG of another program",
        b'{"note": "about minivae"}',
        b",epoch,train_loss\n1",
    ],
)
def test_foreign_files_are_never_replaced(tmp_path, content):
    target = tmp_path / "samples.png"
    target.write_bytes(content)
    with pytest.raises(ValueError, match="was not written by minivae"):
        files.write(target, b"minivae")
    assert target.read_bytes() == content


def test_folders_and_links_in_the_way(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "link"):
        with pytest.raises(ValueError, match="was not written by minivae"):
            files.write(tmp_path / name, b"minivae")
    assert not (tmp_path / "nowhere").exists()


def test_our_own_files_are_replaced(tmp_path):
    target = tmp_path / "a.json"
    files.write(target, b'{\n  "minivae": 1\n}')
    files.write(target, b'{\n  "minivae": 2\n}')
    assert target.read_bytes() == b'{\n  "minivae": 2\n}'
    assert os.listdir(tmp_path) == ["a.json"]


def test_ctrl_c_while_writing_leaves_nothing_behind(path, monkeypatch):
    before = path.read_bytes()

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(path, ARRAYS)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]

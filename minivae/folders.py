"""A run folder: which files it has, and whether they belong together."""

import json
from pathlib import Path

from . import checkpoints
from .config import EARLIER, Config

CHECKPOINT = "checkpoint.npz"
CONFIG = "config.json"
METRICS = "metrics.csv"
# what every checkpoint holds beside params/ and optimizer/, and the kind of each
ENTRIES = {
    **dict.fromkeys(("config", "data", "generator"), "U"),
    **dict.fromkeys(("optimizer_steps", "epoch", "step", "image_shape"), "i"),
    **dict.fromkeys(("sums", "history", "seconds", "elapsed_seconds"), "f"),
    "order": "u",
}


def read(folder):
    """A folder's checkpoint and config, once they are known to belong together."""
    if not Path(folder).is_dir():
        raise ValueError(f"run folder {folder} does not exist")
    path = Path(folder, CHECKPOINT)
    arrays = checkpoints.load(path)
    for name, kind in ENTRIES.items():
        if name not in arrays or arrays[name].dtype.kind != kind:
            raise ValueError(f"checkpoint {path} lacks the entry {name}, or it is of a wrong type")
    try:
        config = Config.from_dict(json.loads(arrays["config"].item()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"checkpoint {path} holds no config that can be used: {error}") from None
    _same_config(Path(folder, CONFIG), config)
    return arrays, config


def _same_config(path, config):
    """Refuse a config.json that was edited: the checkpoint's parameters belong to its own config."""
    if not path.exists():
        return  # killed before it was written; the next save writes it
    try:
        given = EARLIER | dict(json.loads(path.read_bytes()))
        version = given.pop("minivae")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is not a config; delete it, and resuming writes it anew") from None
    if version != checkpoints.FORMAT:
        raise ValueError(f"{path} has format {version}, this minivae reads format {checkpoints.FORMAT}")
    wanted = config.as_dict()
    given["data"] = wanted["data"]  # a file may move; its content is known by its digest
    # a run killed between the two writes that prolong it has an older, smaller number here
    if isinstance(given.get("epochs"), int) and given["epochs"] < wanted["epochs"]:
        given["epochs"] = wanted["epochs"]
    wrong = sorted(k for k in wanted.keys() | given.keys() if given.get(k) != wanted.get(k))
    if wrong:
        hint = "; to prolong a run, resume it with --epochs" if wrong == ["epochs"] else ""
        raise ValueError(f"{path} does not match the checkpoint in {', '.join(wrong)}{hint}")

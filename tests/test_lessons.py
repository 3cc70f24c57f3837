"""Every lesson runs, prints the numbers on record, and uses only names that were introduced before."""

import ast
import re
import runpy
import tomllib
import warnings
from pathlib import Path

import pytest

from lessons import story
from minivae import plots

LESSONS = Path(story.__file__).parent
RECORDS = Path(__file__).parent / "lesson_numbers"
SCRIPTS = sorted(LESSONS.glob("[0-9][0-9]_*.py"))
ROOTS = ("minivae", "lessons.bugs", "lessons.lab")  # where a lesson's names come from


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_lesson_prints_its_numbers(script, tmp_path, monkeypatch, capsys):
    record = tomllib.loads((RECORDS / f"{script.name[:2]}.toml").read_text())  # name -> [value, tolerance]
    monkeypatch.setattr(story, "FIGURES", tmp_path)
    monkeypatch.setattr(plots, "to_png", lambda figure, dpi, draw=plots.to_png: draw(figure, 30))  # quick
    monkeypatch.chdir(tmp_path)  # a lesson runs from any folder
    story.told.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runpy.run_path(str(script), run_name="__main__")
    assert set(story.told) == set(record)
    for name, (value, tolerance) in record.items():
        assert story.told[name] == pytest.approx(value, rel=0, abs=tolerance), name
    text = capsys.readouterr().out
    for name in record:
        assert name in text
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn == {path.name for path in (LESSONS / "figures").glob(f"{script.name[:2]}_*.png")}


# ------------------------------------------------------------------------------ what a lesson may use


def introduced(script):
    """The names that a lesson says it introduces."""
    match = re.search(r"^# \*\*New names\*\*(.*?)^#\n", script.read_text(), re.MULTILINE | re.DOTALL)
    assert match, f"{script.name} does not say which names are new"
    return set(re.findall(r"`([\w.]+)`", match[1]))


def origin(module, name):
    """The dotted name that `from module import name` brings, without its package; None for other roots."""
    full = f"{module}.{name}"
    if any(f"{full}.".startswith(f"{root}.") for root in ROOTS):
        return full.partition(".")[2]
    return None


def used(script):
    """The dotted names that a lesson's code uses: mv.ops.gaussian_kl is ops.gaussian_kl."""
    tree = ast.parse(script.read_text())
    names, found = {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.asname or a.name: "" for a in node.names if a.name == "minivae"}
        if isinstance(node, ast.ImportFrom):
            names |= {a.asname or a.name: origin(node.module, a.name) for a in node.names}
    names = {name: source for name, source in names.items() if source is not None}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if id(node) in inner:
            continue
        parts = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in names:
            found.add(".".join([*names[node.id].split("."), *parts]).strip("."))
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_lesson_uses_only_names_introduced_before(script):
    known = set().union(*(introduced(earlier) for earlier in SCRIPTS if earlier <= script))
    assert used(script)
    for name in used(script):
        parents = {".".join(name.split(".")[:i]) for i in range(1, name.count(".") + 2)}
        assert parents & known, f"{script.name} uses {name}, which no lesson so far has introduced"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_lesson_uses_what_it_introduces(script):
    words = script.read_text().split("**New names**")[1].partition("\n#\n")[2]
    for name in introduced(script):
        assert name.rpartition(".")[2] in words, f"{script.name} introduces {name} and never uses it"

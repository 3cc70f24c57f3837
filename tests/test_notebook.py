"""A lesson as a notebook: valid JSON, the outputs of every cell, and cells that run one after the other."""

import base64
import json
import re
import sys
import types

import pytest

from lessons import cli, story, work
from minivae import files

LESSON = '''# %% [markdown]
# # 99. Try it
#
# The formula:
#
#     z = mu + std * eps
#
# %%
from lessons.story import beside, canvas, guess, number, save, say, section

section("1. Print")
guess("is it 4?")
beside("two and two", 2 + 2, 4, 0)


# %% [markdown]
# ## 2. Draw
# %%
def line():
    """A figure."""
    figure, axes = canvas()
    axes.plot([0, 1])
    return figure


number("before", 1.0)
save(line(), "line")
say("after")
'''


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """A small lesson, number 99, in place of the real ones."""
    path = tmp_path / "99_try_it.py"
    path.write_text(LESSON)
    monkeypatch.setattr(work, "scripts", lambda: {99: path})
    monkeypatch.chdir(tmp_path)
    return path


def written(tmp_path):
    """The notebook in the folder."""
    return json.loads((tmp_path / "99_try_it.ipynb").read_text("utf-8"))


def check_format(book):
    """The rules of nbformat 4.5 for what a lesson uses."""
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert set(book) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert set(book["metadata"]["kernelspec"]) >= {"name", "display_name"}
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    counts = []
    for cell in book["cells"]:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        code = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | code
        assert cell["cell_type"] in ("code", "markdown")
        assert isinstance(cell["source"], str)
        counts += [cell["execution_count"]] if code else []
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":
                assert set(output) == {"output_type", "name", "text"}
                assert output["name"] == "stdout"
            else:
                assert output["output_type"] == "display_data"
                assert set(output) == {"output_type", "data", "metadata"}
                assert base64.b64decode(output["data"]["image/png"]).startswith(b"\x89PNG")
    assert counts == list(range(1, len(counts) + 1))


def test_a_notebook_has_the_cells_of_the_lesson_with_their_outputs(lesson, tmp_path, capsys):
    save, columns = story.save, story.columns
    assert cli.main(["notebook", "99"]) == 0
    assert "99_try_it.ipynb" in capsys.readouterr().out
    assert (story.save, story.columns) == (save, columns)
    book = written(tmp_path)
    check_format(book)
    title, setup, first, draw, second = book["cells"]
    assert title["source"].startswith("# 99. Try it\n\nThe formula:\n\n    z = mu + std * eps")
    assert "inline()" in setup["source"]
    assert draw["source"] == "## 2. Draw"
    (told,) = first["outputs"]
    assert "Guess first: is it 4?" in told["text"]
    assert "press Enter" not in told["text"]
    before, figure, after = second["outputs"]
    assert "before" in before["text"]
    assert "image/png" in figure["data"]
    assert after["text"] == "after\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["99_try_it.ipynb", lesson.name]


def run_cells(book, monkeypatch):
    """Run the code cells one after the other, with a stand-in for IPython -> what was displayed."""
    shown, before_cell = [], []
    shell = types.SimpleNamespace(
        events=types.SimpleNamespace(register=lambda event, f: before_cell.append((event, f)))
    )
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    display = types.SimpleNamespace(Image=lambda png: png, display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(story, "save", story.save)  # put back after the test
    story.told.clear()
    space = {"__name__": "__main__"}
    for cell in book["cells"]:
        for _ in range((cell["cell_type"] == "code") * (1 if "inline" in cell["source"] else 2)):
            for event, f in before_cell:
                assert event == "pre_run_cell"
                f(None)
            exec(compile(cell["source"], "cell", "exec"), space)
    return shown


def test_code_cells_run_one_after_the_other_and_twice(lesson, tmp_path, monkeypatch, capsys):
    assert cli.main(["notebook", "99"]) == 0
    stored = written(tmp_path)
    capsys.readouterr()
    shown = run_cells(stored, monkeypatch)
    assert [png[:4] for png in shown] == [b"\x89PNG"] * 2
    assert capsys.readouterr().out.count("two and two") == 2


@pytest.mark.slow
def test_a_real_lesson_runs_as_a_notebook(tmp_path, monkeypatch, capsys):
    path = tmp_path / "four.ipynb"
    assert cli.main(["notebook", "4", "--out", str(path)]) == 0
    book = json.loads(path.read_text("utf-8"))
    check_format(book)
    outputs = [output for cell in book["cells"] for output in cell.get("outputs", [])]
    figures = [output for output in outputs if output["output_type"] == "display_data"]
    assert len(figures) == len(list(story.FIGURES.glob("04_*.png")))
    assert sum("Guess first" in output.get("text", "") for output in outputs) >= 3


def test_an_existing_notebook_is_replaced_only_if_asked(lesson, tmp_path, capsys):
    place = tmp_path / "99_try_it.ipynb"
    place.write_text("mine")
    assert cli.main(["notebook", "99"]) == 2
    assert capsys.readouterr().err == "python -m lessons: 99_try_it.ipynb exists: --overwrite replaces it\n"
    assert place.read_text() == "mine"
    assert cli.main(["notebook", "99", "--overwrite"]) == 0
    check_format(written(tmp_path))


BAD = {
    "another number": (["98"], "there is no lesson 98: they are numbered 1 to 99"),
    "another suffix": (["99", "--out", "x.py"], "the name of a notebook ends in .ipynb, got x.py"),
    "no name": (["99", "--out", ""], "the name of a notebook ends in .ipynb, got ."),
    "no folder": (["99", "--out", "no/x.ipynb"], "no/x.ipynb cannot be written: No such file or directory"),
    "a file for a folder": (["99", "--out", "99_try_it.py/x.ipynb"], "cannot be written: Not a directory"),
    "a folder": (["99", "--out", "folder.ipynb", "--overwrite"], "folder.ipynb exists: it is not a file"),
    "not writable": (
        ["99", "--out", "locked/x.ipynb"],
        "locked/x.ipynb cannot be written: Permission denied",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_before_the_lesson_runs(name, lesson, tmp_path, monkeypatch, capsys):
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "locked").mkdir()

    def locked(path, *args):  # a folder's mode does not stop root, who may run the tests
        if path.parent.name == "locked":
            raise PermissionError(13, "Permission denied")
        return open(path, *args)

    monkeypatch.setattr(files, "open", locked, raising=False)
    arguments, words = BAD[name]
    assert cli.main(["notebook", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("python -m lessons: ")
    assert printed.err.endswith(words + "\n")
    assert printed.err.count("\n") == 1


def test_a_lesson_that_stops_leaves_no_notebook(lesson, tmp_path, capsys):
    lesson.write_text(LESSON.replace("2 + 2", "2 + 3"))
    assert cli.main(["notebook", "99"]) == 2
    error = capsys.readouterr().err
    assert "99_try_it.py stops with AssertionError: two and two: 5.0 is not within 0" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [lesson.name]


def test_a_disk_error_while_writing_is_one_sentence(lesson, tmp_path, monkeypatch, capsys):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    assert cli.main(["notebook", "99"]) == 2
    assert capsys.readouterr().err == (
        "python -m lessons: 99_try_it.ipynb cannot be written: No space left on device\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == [lesson.name]

"""Write a lesson as a Jupyter notebook: its cells, with what they print and draw.

The file is plain JSON in nbformat 4.5. The lesson runs once, cell by cell, to fill in the outputs.
"""

import base64
import contextlib
import io
import json
import os
import re
from pathlib import Path

from minivae import files, plots

from . import story, work

SETUP = """# Run this notebook in the folder above lessons/. Figures appear below their cell.
from lessons import notebook

notebook.inline()"""
PYTHON = {"display_name": "Python 3", "language": "python", "name": "python3"}


def add_arguments(parser):
    """Arguments of the command."""
    parser.add_argument("number", type=int, help=f"of the lesson, 1 to {max(work.scripts())}")
    parser.add_argument("--out", metavar="FILE", help="default: the lesson's name, in this folder")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")


def run(options):
    """Carry out the command -> exit code."""
    script = work.scripts().get(options.number)
    if script is None:
        raise ValueError(f"there is no lesson {options.number}: they are numbered 1 to {max(work.scripts())}")
    path = Path(f"{script.stem}.ipynb" if options.out is None else options.out)
    if path.suffix != ".ipynb":
        raise ValueError(f"the name of a notebook ends in .ipynb, got {path}")
    if os.path.lexists(path) and not (options.overwrite and path.is_file()):
        hint = "--overwrite replaces it" if path.is_file() else "it is not a file"
        raise ValueError(f"{path} exists: {hint}")
    with files.replacing(path) as file:  # before the lesson runs: can a file be made here?
        print(f"running lesson {options.number}, to keep what it prints and draws ...", flush=True)
        file.write((json.dumps(notebook(script), indent=1, ensure_ascii=False) + "\n").encode())
    print(f"wrote {path}: open it in Jupyter, in the folder above lessons/")
    return 0


def cells(text):
    """(kind, source, first line) of every `# %%` cell: "markdown" without the comment signs, or "code"."""
    for match in re.finditer(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", text, re.MULTILINE):
        kind = "markdown" if "[markdown]" in match[1] else "code"
        source = re.sub("^# ?", "", match[2], flags=re.MULTILINE) if kind == "markdown" else match[2]
        if source.strip():
            yield kind, source.rstrip(), text.count("\n", 0, match.start(2))


class Recorder(io.TextIOBase):
    """Takes the place of stdout and of story.save, and keeps what a cell prints and draws, in order."""

    def __init__(self):
        self.outputs = []

    def write(self, text):
        """Printed text; what follows other text is one output with it."""
        if not (self.outputs and self.outputs[-1]["output_type"] == "stream"):
            self.outputs.append({"output_type": "stream", "name": "stdout", "text": ""})
        self.outputs[-1]["text"] += text
        return len(text)

    def save(self, figure, name, dpi=100):
        """A figure, which a script would write to a file."""
        data = {"image/png": base64.b64encode(plots.to_png(figure, dpi)).decode(), "text/plain": name}
        self.outputs.append({"output_type": "display_data", "data": data, "metadata": {}})


def notebook(script):
    """The notebook of a lesson as nested dicts and lists, with its outputs."""
    recorder, space, made, count = Recorder(), {"__name__": "__main__", "__file__": str(script)}, [], 0
    title, *rest = cells(script.read_text("utf-8"))
    as_told = story.save, story.columns
    story.save, story.columns = recorder.save, lambda: 80  # the lesson imports these
    story.told.clear()
    try:
        with contextlib.redirect_stdout(recorder):
            for kind, source, line in (title, ("code", SETUP, 0), *rest):
                cell = {"cell_type": kind, "id": f"cell-{len(made)}", "metadata": {}, "source": source}
                if kind == "code":
                    recorder.outputs, count = [], count + 1
                    if source != SETUP:  # at its lines of the script, for a traceback
                        exec(compile("\n" * line + source, str(script), "exec"), space)
                    cell |= {"execution_count": count, "outputs": recorder.outputs}
                made.append(cell)
    except Exception as error:
        raise ValueError(f"{script.name} stops with {type(error).__name__}: {error}") from error
    finally:
        story.save, story.columns = as_told
    metadata = {"kernelspec": PYTHON, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def inline():
    """In a notebook: figures appear below their cell, and a cell may be run more than once."""
    from IPython import get_ipython  # here: only a notebook has it
    from IPython.display import Image, display

    story.save = lambda figure, name, dpi=100: display(Image(plots.to_png(figure, dpi)))
    get_ipython().events.register("pre_run_cell", lambda *_: story.told.clear())

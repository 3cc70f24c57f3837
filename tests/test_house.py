"""The house rules: imports, sizes, names and phrases, and that the README tells the truth."""

import ast
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

import minivae

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minivae"
README = (ROOT / "README.md").read_text()
CODE = [*PACKAGE.rglob("*.py"), *(p for p in (ROOT / "lessons").rglob("*.py") if p.parent.name != "work")]
FILES = {str(path.relative_to(ROOT)): path for path in [*CODE, *(ROOT / "tests").rglob("*.py")]}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}
ORDER = re.findall(r"^    (\w+) {2,}\S.*$", minivae.__doc__.split("The same symbols")[0], re.MULTILINE)
# published recurrences and documented entry points: their parameters, without self
LONG = {"VAE.__init__": 12, "VAE.forward": 8, "VAE.loss_and_grads": 7, "closed_form_kl": 7, "adam_update": 9}
LONG |= {"monte_carlo_kl": 8, "quadratic_moments": 8, "verdict": 8, "compare": 10, "check": 7, "train": 7}
LONG |= {"_Case.__init__": 8, "moments": 7, "average_terms": 7, "importance_nll": 7, "sample": 8}
LONG |= {
    "refine": 7,
    "settings_of": 9,
    "check_pair": 7,
    "command": 7,
    "against": 8,
    "importance_nll_each": 7,
    "interpolate": 7,
    "Autoencoder.__init__": 12,
}
LONG |= {"tile_product": 13, "column": 13, "move_block": 7, "share": 10, "product": 8}
LONG |= {"finish": 7, "_backward": 13, "_gradients": 10, "_share": 7}  # compiled loops over addresses
ABSOLUTE = r"(^|[\s\"'(])/(home|root|tmp|work|Users)/"
PHRASES = (
    r"(derivative|gradient|slope)s? (of [^.]{1,20} )?by (mu|logvar|std|z|every parameter)\b",
    r"(?<![.\"])\bscatter(s|ed|ing)?\b(?!\()",
    *(r"\bis asked\b", r"\basked is\b", r"\bthe way (back|there)\b", r"\bheld (to|against)\b"),
    *(r"\bstands? (in|for)\b", r"\bat home\b", r"\bof old\b", r"\bdear\b", r"\bin ages\b"),
    *(r"\bwhoever\b", r"\bsomebody\b", r"\bnobody\b", r"\bto be looked at\b", r"\bis told so\b"),
)


def module_of(name):
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(name):
    """The modules of this tree that a file imports, anywhere in it."""
    package = module_of(name) if name.endswith("__init__.py") else module_of(name).rpartition(".")[0]
    modules = {module_of(other) for other in FILES}
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_reading_order_names_every_module():
    files = {p.stem for p in PACKAGE.glob("*.py")} | {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert set(ORDER) == files - {"__init__", "__main__"}


def test_imports_point_upwards_and_make_no_circle():
    graph = {module_of(name): set(imports(name)) - {module_of(name)} for name in FILES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
    for module, found in graph.items():
        top, lessons = module.split(".")[1:2], {name for name in found if name.startswith("lessons")}
        if module.startswith("minivae.") and top[0] in ORDER:
            above = {"minivae", *(f"minivae.{name}" for name in ORDER[: ORDER.index(top[0]) + 1])}
            inner = {".".join(name.split(".")[:2]) for name in found if name.split(".")[0] == "minivae"}
            assert inner <= above, f"{module} imports from below: {inner - above}"
            assert not lessons, f"{module} imports {lessons}"
        allowed = top == ["kernels"] or module.startswith("tests")
        assert allowed or not any(name.split(".")[0] == "numba" for name in found), module


STEP = """
model, adam = minivae.VAE(6, 2, (4,), backend="numpy"), minivae.Adam(backend="numpy")
adam.step(model.params, model.loss_and_grads([[1] * 6] * 3, [[1] * 2] * 3)[1])
"""


@pytest.mark.parametrize(("script", "heavy"), [("", {"numpy"}), (STEP, set())])
def test_importing_minivae_is_cheap(script, heavy):
    """It loads nothing at all; a training step on NumPy then loads no numba."""
    heavy = heavy | {"numba", "matplotlib", "tqdm"}
    script = f"import sys, minivae\n{script}\nprint({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_a_training_step_makes_few_calls():
    """Python calls inside minivae of one step of the default network with NumPy, and how many are checks."""
    model, adam = minivae.VAE(backend="numpy"), minivae.Adam(backend="numpy")
    x, eps, counts = np.zeros((8, 784), np.float32), np.ones((8, 20), np.float32), Counter()

    def count(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE) + os.sep):
            counts[Path(frame.f_code.co_filename).name] += 1

    for profile in (None, count):  # the first step makes the optimizer's arrays
        sys.setprofile(profile)
        adam.step(model.params, model.loss_and_grads(x, eps)[1])
        sys.setprofile(None)
    assert 30 < sum(counts.values()) <= 110, counts
    assert counts["arguments.py"] <= 30, counts


def functions(node, prefix=""):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield prefix + child.name, child
        yield from functions(child, f"{prefix}{child.name}." if isinstance(child, ast.ClassDef) else prefix)


@pytest.mark.parametrize("name", FILES)
def test_a_file_keeps_the_rules(name):
    """At most 300 lines, at most 6 parameters, no private name of another module, no banned phrase."""
    text = FILES[name].read_text()
    most = 420 if re.match(r"lessons/\d\d_", name) else 330 if name.startswith("tests") else 300
    assert text.count("\n") <= most  # a lesson is mostly prose
    assert not re.search(ABSOLUTE, text)
    for function, node in functions(TREES[name]):
        taken = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        taken = len(taken) - (taken[:1] in (["self"], ["cls"]))
        assert taken <= LONG.get(function, 6) or name.startswith("tests"), f"{function} takes {taken}"
    for node in ast.walk(TREES[name]):
        private = []
        if isinstance(node, ast.ImportFrom):
            private = [alias.name for alias in node.names if re.match(r"_[a-z]", alias.name)]
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") not in ("self", "cls"):
            private = re.findall(r"^_(?!_|replace$|asdict$|fields$|exit$|getframe$)\w+", node.attr)
        assert not private, f"line {node.lineno} uses {private[0]}"
    if not name.startswith("tests"):
        check_phrases(text)


def check_phrases(text):
    for phrase in PHRASES:
        found = re.search(phrase, re.sub(r"\s*\n\s*#?\s*", " ", text), re.IGNORECASE)
        assert not found, f"plainer English for {found[0]!r}"


def test_the_pages_keep_the_rules():
    for page in (README, (ROOT / "lessons" / "README.md").read_text(), (ROOT / "pyproject.toml").read_text()):
        check_phrases(page)
        assert not re.search(ABSOLUTE, page)
    for bad in (
        "the derivative by mu",
        "it scatters",
        "what is asked",
        "on the way\nback",
        "held against it",
    ):
        with pytest.raises(AssertionError, match="plainer"):
            check_phrases(bad)
    check_phrases('axes.scatter(x, y, label="scatter")')


def test_minivae_is_read_in_an_evening():
    lines = {name: FILES[name].read_text().count("\n") for name in FILES if name.startswith("minivae/")}
    assert sum(lines.values()) <= 9200
    assert sum(lines[name] for name in lines if "/kernels/" in name) <= 1099


def test_public_names_are_there_and_documented():
    for name in minivae.__all__:
        assert getattr(minivae, name) is not None
    assert set(minivae.__all__) <= set(dir(minivae))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        minivae.nonsense  # noqa: B018
    for name in [module_of(name) for name in FILES if name.startswith("minivae/") and "__main__" not in name]:
        module = importlib.import_module(name)
        assert module.__doc__, name
        for key, value in vars(module).items():
            if key.startswith("_") or not callable(value) or getattr(value, "__module__", "") != name:
                continue
            assert value.__doc__, f"{name}.{key} has no docstring"
            for part, method in vars(value).items() if isinstance(value, type) else ():
                plain = part.startswith("_") or part == "error" or not inspect.isfunction(method)
                assert plain or method.__doc__, f"{name}.{key}.{part} has no docstring"


def test_the_readme_counts_its_lines():
    """Each `file.py` (N lines) in the README within a tenth of the truth."""
    claims = re.findall(r"`((?:minivae|lessons)/[\w/]+\.py)` \((\d+) lines\)", README)
    assert claims
    for name, lines in claims:
        assert abs(FILES[name].read_text().count("\n") - int(lines)) <= int(lines) / 10, name


def test_the_readme_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fences = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert fences
    for code in fences:
        exec(compile(code, "README.md", "exec"), {})
    for picture in re.findall(r"savefig\(\"(.*?)\"\)", "".join(fences)):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("package", ["minivae", "lessons"])
def test_the_readme_commands_exist(package):
    parser = importlib.import_module(f"{package}.cli").parser()
    commands = re.findall(rf"python -m {package} ([^`\n#&|]+)", README.replace("--help", ""))
    assert commands
    for command in commands:
        parser.parse_args(command.split())

"""The house rules: who may import whom, what loading costs, and that the README tells the truth."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minivae

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minivae"
README = (ROOT / "README.md").read_text()


def reading_order():
    """The modules in the order in which the package's own documentation lists them."""
    return re.findall(r"^    (\w+) {2,}\S.*$", minivae.__doc__.split("One legend")[0], re.MULTILINE)


def imports(path):
    """Names of the minivae modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            upwards = path.parent if node.level == 1 else path.parent.parent
            if upwards != PACKAGE:
                continue  # within a folder of the package
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found.update(name.split(".")[0] for name in names)
    return found


def test_the_reading_order_names_every_module():
    files = {p.stem for p in PACKAGE.glob("*.py")} | {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert set(reading_order()) == files - {"__init__", "__main__"}


@pytest.mark.parametrize("module", reading_order())
def test_modules_import_only_from_those_above(module):
    folder = PACKAGE / module
    paths = folder.glob("*.py") if folder.is_dir() else [PACKAGE / f"{module}.py"]
    above = set(reading_order()[: reading_order().index(module)])
    for path in paths:
        assert imports(path) <= above, f"{path.name} imports from below: {imports(path) - above}"


def test_only_the_kernels_import_numba():
    for path in PACKAGE.rglob("*.py"):
        if re.search(r"^\s*(import|from) numba", path.read_text(), re.MULTILINE):
            assert path.parent.name == "kernels", path


def test_importing_minivae_loads_neither_numba_nor_matplotlib():
    script = "import sys, minivae; print(sorted({'numba', 'matplotlib', 'tqdm'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_public_names_are_there():
    for name in minivae.__all__:
        assert getattr(minivae, name) is not None
    assert set(minivae.__all__) <= set(dir(minivae))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        minivae.nonsense  # noqa: B018


def test_every_public_function_says_what_it_does():
    for name in reading_order():
        module = importlib.import_module(f"minivae.{name}")
        assert module.__doc__, name
        for key, value in vars(module).items():
            if (
                callable(value)
                and not key.startswith("_")
                and getattr(value, "__module__", "") == module.__name__
            ):
                assert value.__doc__, f"{name}.{key} has no docstring"
                for part, method in vars(value).items() if isinstance(value, type) else ():
                    if inspect.isfunction(method) and not part.startswith("_"):
                        assert method.__doc__ or part == "error", f"{name}.{key}.{part} has no docstring"


# ------------------------------------------------------------------------------ the README


def test_the_readme_counts_its_lines():
    """Each `file.py` (N lines) in the README within a tenth of the truth."""
    claims = re.findall(r"`minivae/(\w+\.py)` \((\d+) lines\)", README)
    assert claims
    for name, lines in claims:
        assert abs(len((PACKAGE / name).read_text().splitlines()) - int(lines)) <= int(lines) / 10, name


def test_the_readme_python_runs(tmp_path, monkeypatch):
    fences = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert fences
    monkeypatch.chdir(tmp_path)
    for code in fences:
        assert len(code.splitlines()) <= 15
        exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_the_readme_commands_exist():
    """Every `python -m minivae ...` in the README parses."""
    from minivae.options import parser

    commands = re.findall(r"python -m minivae ([^`\n#&|]+)", README.replace("--help", ""))
    assert len(commands) >= 4
    for command in commands:
        parser().parse_args(command.split())


def test_no_absolute_paths():
    pages = [*ROOT.glob("*.md"), ROOT / "lessons" / "README.md", ROOT / "pyproject.toml"]
    scripts = [path for path in (ROOT / "lessons").rglob("*.py") if path.parent.name != "work"]
    for path in [*PACKAGE.rglob("*.py"), *scripts, *pages]:
        assert not re.search(r"(^|[\s\"'(])/(home|root|tmp|work|Users)/", path.read_text()), path


def test_the_numpy_backend_needs_no_numba():
    script = """
import sys
import numpy as np
import minivae as mv
model, adam = mv.VAE(6, 2, (4,), backend="numpy"), mv.Adam(backend="numpy")
adam.step(model.params, model.loss_and_grads(np.ones((3, 6)), np.ones((3, 2)))[1])
print("numba" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"

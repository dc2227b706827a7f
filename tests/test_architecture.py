"""The layers import downwards only, the core needs torch alone, and the public surface is a list."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import calmix

ROOT = Path(calmix.__file__).parent
LAYERS = {
    "errors": 0,
    "core": 1, "metrics": 1, "posthoc": 1, "data": 1, "models": 1,
    "diagnose": 1.5,  # may import core
    "methods": 2, "evaluation": 2,
    "train": 3,
    "experiment": 4,
    "report": 5,
    "cli": 6,
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """The rooms of calmix that a file imports from, also inside functions."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        rooms |= {name.split(".")[1] for name in names if name.startswith("calmix.")}
    return rooms


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    for other in imports(path) - {room}:
        assert LAYERS[other] < LAYERS[room], f"{path.name} in {room} imports {other}"


def test_the_library_imports_torch_and_nothing_of_the_extras():
    code = "import sys, calmix; print([m for m in sys.modules if m in set(sys.argv[1:])])"
    heavy = [
        "lightning",
        "sklearn",
        "scipy",
        "pandas",
        "matplotlib",
        "jsonargparse",
        "rich",
        "jinja2",
        "PIL",
        "pyarrow",
    ]
    result = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_core_imports_torch_only():
    for path in (ROOT / "core").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        outside = {str(module).split(".")[0] for module in modules} - set(sys.stdlib_module_names)
        assert outside <= {"torch", "calmix"}, path.name


def test_the_surface_is_a_list():
    assert calmix.__all__ == sorted(calmix.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
    public = {name for name in vars(calmix) if not name.startswith("_")}
    rooms = {path.name.removesuffix(".py") for path in ROOT.iterdir()}
    assert set(calmix.__all__) == public - rooms


def test_the_methods_have_their_papers_names():
    ours = {"erm", "mixup", "mixup_idle", "sk_mixup_e"}
    papers = {"sk_mixup", "mixup_e", "input_mixup", "target_mixup", "manifold_mixup", "cutmix", "regmixup", "mit_l"}
    papers |= {"mit_a", "rankmixup", "near_mixup", "far_mixup", "c_mixup", "k_mixup"}
    assert set(calmix.METHODS) == ours | papers
    assert all(method.__name__ == name for name, method in calmix.METHODS.items())


def test_every_public_name_says_what_it_is():
    assert [name for name in calmix.__all__ if not (getattr(calmix, name).__doc__ or "").strip()] == []

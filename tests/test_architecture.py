"""The layers import downwards only, the core needs torch alone, no module is hidden, and the surface is a list."""

import ast
import importlib
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

import calmix

ROOT = Path(calmix.__file__).parent
LAYERS = {
    "errors": 0,
    "core": 1, "metrics": 1, "posthoc": 1, "data": 1, "models": 1,
    "diagnose": 1.5,  # may import core
    "methods": 2, "parts": 2, "evaluation": 2,
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
    together = {room} if room not in ("methods", "parts") else {"methods", "parts"}  # parts lists those of the methods
    for other in imports(path) - together:
        assert LAYERS[other] < LAYERS[room], f"{path.name} in {room} imports {other}"


def imported_files(path: Path) -> set[Path]:
    """The files of calmix that a file imports, also inside functions and for type checkers alone."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    files = {ROOT.parent / (name.replace(".", "/") + ".py") for name in names if name.startswith("calmix.")}
    return {file for file in files if file.exists()}


@pytest.mark.parametrize("rooms", [("core",), ("core", "methods", "parts.py"), ("metrics",), ("posthoc",), ("models",)])
def test_no_file_imports_itself_by_way_of_others(rooms: tuple[str, ...]):
    paths = [path for room in rooms for path in ([ROOT / room] if room.endswith(".py") else (ROOT / room).glob("*.py"))]
    try:
        TopologicalSorter({path: imported_files(path) for path in paths}).prepare()
    except CycleError as cycle:
        pytest.fail(" -> ".join(path.stem for path in cycle.args[1]))


FOUND = ["calmix", *(f"calmix.{room}" for room in ("core", "methods", "metrics", "posthoc", "models", "data"))]


@pytest.mark.parametrize("package", FOUND)
def test_no_module_is_hidden_by_a_function_of_its_name(package: str):
    folder = ROOT.parent / package.replace(".", "/")
    names = [path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "cli")]
    for name in names:
        importlib.import_module(f"{package}.{name}")
    home = importlib.import_module(package)
    assert [name for name in names if not isinstance(getattr(home, name), ModuleType)] == []


EXTRAS = ["lightning", "sklearn", "scipy", "pandas", "matplotlib", "jsonargparse", "rich", "jinja2", "PIL", "pyarrow"]


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import calmix; dir(calmix)", ["torch", "numpy", "calmix.errors"]),
        ("from calmix import *", EXTRAS),
        ("import calmix; calmix.metrics.ece, calmix.posthoc.Temperature, calmix.parts.Beta, calmix.models", EXTRAS),
    ],
)
def test_what_is_not_asked_for_is_not_loaded(code: str, unwanted: list[str]):
    code = f"import sys; {code}; print([m for m in {unwanted} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_core_imports_torch_only():
    for path in (ROOT / "core").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        outside = {str(module).split(".")[0] for module in modules} - set(sys.stdlib_module_names)
        assert outside <= {"torch", "calmix"}, path.name


SURFACE = [
    "Binary", "CalmixError", "Classification", "IndexedDataset", "METHODS", "MultiTask", "Multilabel", "PerRow",
    "Regression", "TrainingLoss", "c_mixup", "cutmix", "erm", "far_mixup", "folded", "input_mixup", "k_mixup",
    "manifold_mixup", "mit_a", "mit_l", "mixup", "mixup_e", "mixup_idle", "near_mixup", "rankmixup",
    "refresh_batch_norm", "regmixup", "scheduled", "sk_mixup", "sk_mixup_e", "sometimes", "target_mixup",
    "without_self_pairs",
]  # fmt: skip


def test_the_surface_is_a_list():
    assert sorted(vars(calmix)["__all__"]) == SURFACE
    files = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert dir(calmix) == sorted({*SURFACE, *files} - {"__init__", "cli"})
    assert all(getattr(calmix, name) is not None for name in dir(calmix))
    with pytest.raises(AttributeError, match="has no attribute 'mixupp'"):
        _ = calmix.mixupp  # pyright: ignore[reportAttributeAccessIssue]


def test_type_checkers_see_the_surface():
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)]
    seen = {
        (str(node.module), alias) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert all(alias.asname == alias.name for _, alias in seen)  # else it would not be exported
    names = {alias.name: module for module, alias in seen}
    assert names == calmix._MODULES | dict.fromkeys(calmix._SUBMODULES, "calmix")


def test_the_parts_are_a_list():
    public = {name for name, value in vars(calmix.parts).items() if not name.startswith("_")}
    assert set(calmix.parts.__all__) == public
    assert calmix.parts.__all__ == sorted(
        calmix.parts.__all__, key=lambda name: (not name.isupper(), name.islower(), name)
    )
    assert public & set(SURFACE) == set()


def test_the_methods_have_their_papers_names():
    ours = {"erm", "mixup", "mixup_idle", "sk_mixup_e"}
    papers = {"sk_mixup", "mixup_e", "input_mixup", "target_mixup", "manifold_mixup", "cutmix", "regmixup", "mit_l"}
    papers |= {"mit_a", "rankmixup", "near_mixup", "far_mixup", "c_mixup", "k_mixup"}
    assert set(calmix.METHODS) == ours | papers
    assert all(method.__name__ == name for name, method in calmix.METHODS.items())
    assert all(getattr(calmix, name) is method for name, method in calmix.METHODS.items())


def test_every_public_name_says_what_it_is():
    for module in (calmix, calmix.parts, calmix.metrics, calmix.posthoc, calmix.models):
        names = vars(module)["__all__"]
        assert [name for name in names if not (getattr(module, name).__doc__ or "").strip()] == []

"""The layers import downwards only, the core needs torch alone, no module is hidden, and the surface is a list."""

import ast
import importlib
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import get_origin

import pytest

import calmix

ROOT = Path(calmix.__file__).parent
LAYERS = {
    "errors": 0, "rows": 0, "listing": 0, "probabilities": 0, "reprs": 0, "threads": 0,
    "calls": 0.5, "reading": 0.5,
    "column_use": 0.75,
    "core": 1, "metrics": 1, "posthoc": 1, "data": 1, "models": 1,
    "methods": 2, "predictions": 2,
    "parts": 2.5,
    "results": 3,  # may import no more than what ALONE says
    "train": 4,
    "report": 5, "engines": 5,
    "studies": 6,
    "integrations": 6.25, "reproduction": 6.25,
    "cli": 7,
}  # fmt: skip
ALONE = {"results": {"errors", "reading", "column_use"}}  # rooms that may import less than what is below them


def imports(path: Path) -> set[str]:
    """The rooms of calmix that a file imports from, also inside functions."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        rooms |= {name.split(".")[1] for name in names if name.startswith("calmix.")}
    return rooms


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path):
    room = room_of(path)
    for other in imports(path) - {room}:
        assert LAYERS[other] < LAYERS[room], f"{path.name} in {room} imports {other}"
        assert other in ALONE.get(room, LAYERS), f"{path.name} in {room} imports {other}"


def test_every_room_has_its_layer():
    assert {room_of(path) for path in FILES} == set(LAYERS)


def test_no_study_imports_another():
    found = []
    for path in (ROOT / "studies").rglob("*.py"):
        own = path.relative_to(ROOT / "studies").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom) and node.module == "calmix.studies":
                names += [f"calmix.studies.{alias.name}" for alias in node.names]
            others = {name.split(".")[2] for name in names if name.startswith("calmix.studies.")} - {own}
            found += [f"{path.relative_to(ROOT)} imports {other}" for other in others]
    assert found == []


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


def test_no_file_imports_itself_by_way_of_others():
    """But for an evaluation, which writes its own page."""
    paths = [path for path in FILES if path.name != "__init__.py" and "evaluation" not in path.parts]
    try:
        TopologicalSorter({path: imported_files(path) for path in paths}).prepare()
    except CycleError as cycle:
        pytest.fail(" -> ".join(path.stem for path in cycle.args[1]))


PACKAGES = sorted(".".join(path.parent.relative_to(ROOT.parent).parts) for path in ROOT.rglob("__init__.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_hidden_by_a_function_of_its_name(package: str):
    folder = ROOT.parent / package.replace(".", "/")
    names = [path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "__main__", "listing")]
    for name in names:
        importlib.import_module(f"{package}.{name}")
    home = importlib.import_module(package)
    assert [name for name in names if not isinstance(getattr(home, name), ModuleType)] == []


EXTRAS = ["lightning", "sklearn", "scipy", "pandas", "matplotlib", "jsonargparse", "rich", "jinja2", "PIL", "pyarrow"]


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import calmix; dir(calmix)", ["torch", "numpy", "calmix.errors"]),
        (
            "import calmix; [getattr(calmix, n) for n in calmix._MODULES if n not in "
            "('compare', 'evaluate', 'tune', 'load', 'TrainingSettings')]",  # which train and draw
            EXTRAS,
        ),
        ("import calmix; calmix.metrics.ece, calmix.posthoc.Temperature, calmix.parts.Beta, calmix.models", EXTRAS),
        ("import calmix.results.store, calmix.results.files", ["torch", "lightning", "sklearn", "matplotlib"]),
        ("import calmix.report.page, calmix.report.terminal", ["torch", "lightning", "sklearn", "scipy.stats"]),
        (
            "import calmix.studies.evaluation.page, calmix.studies.evaluation.files",
            ["lightning", "sklearn", "scipy.stats"],
        ),
        ("import calmix.studies.comparison.compared", ["lightning", "sklearn", "scipy.stats"]),
        ("import calmix.cli", ["torch", "numpy", *EXTRAS]),
        ("import calmix.train", ["lightning", "matplotlib", "rich"]),
        ("import calmix.integrations", ["torch", "lightning", "transformers", "sklearn"]),
        ("import calmix.integrations.timm", ["timm", "torchvision", "lightning", "transformers"]),
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
    "Binary", "CalmixError", "Classification", "Dense", "IndexedDataset", "METHODS", "MultiTask", "Multilabel",
    "PerRow", "Regression", "TrainingLoss", "TrainingSettings", "auto", "c_mixup", "compare", "cutmix", "erm",
    "evaluate", "far_mixup", "folded", "input_mixup", "k_mixup", "load", "manifold_mixup", "mit_a", "mit_l", "mixup",
    "mixup_e", "mixup_idle", "near_mixup", "rankmixup", "refresh_batch_norm", "regmixup", "scheduled", "sk_mixup",
    "sk_mixup_e", "sometimes", "target_mixup", "tune", "with_whole_set", "without_self_pairs",
]  # fmt: skip


def test_the_surface_is_a_list():
    assert sorted(vars(calmix)["__all__"]) == SURFACE
    files = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    private = {
        "__init__",
        "calls",
        "cli",
        "column_use",
        "listing",
        "probabilities",
        "reading",
        "reprs",
        "rows",
        "threads",
    }
    assert dir(calmix) == sorted({*SURFACE, *files} - private)
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
    public = {name for name in vars(calmix.parts) if name[0].isalpha()}
    assert set(calmix.parts.__all__) == public
    assert calmix.parts.__all__ == sorted(
        calmix.parts.__all__, key=lambda name: (not name.isupper(), name.islower(), name)
    )
    assert public & set(SURFACE) == set()


def test_the_methods_have_their_papers_names():
    ours = {"auto", "erm", "mixup", "mixup_idle", "sk_mixup_e"}
    papers = {"sk_mixup", "mixup_e", "input_mixup", "target_mixup", "manifold_mixup", "cutmix", "regmixup", "mit_l"}
    papers |= {"mit_a", "rankmixup", "near_mixup", "far_mixup", "c_mixup", "k_mixup"}
    assert set(calmix.METHODS) == ours | papers
    assert all(method.__name__ == name for name, method in calmix.METHODS.items())
    assert all(getattr(calmix, name) is method for name, method in calmix.METHODS.items())


def test_every_public_name_says_what_it_is():
    rooms = calmix.parts, calmix.metrics, calmix.posthoc, calmix.models, calmix.train, calmix.predictions
    for module in (calmix, *rooms):
        names = vars(module)["__all__"]
        things = {name: getattr(module, name) for name in names}
        assert [
            name for name, thing in things.items() if not (get_origin(thing) or (thing.__doc__ or "").strip())
        ] == []


# ----------------------------------------------------------------------- no untyped mappings above the ground floor

UPPER = ("predictions", "results", "train", "engines", "report", "studies", "reproduction", "cli")
BORDERS = {
    "rows": "a row of a figure's CSV: numbers and words by column",
    "configure_optimizers": "Lightning asks for it",
    **dict.fromkeys(("state_dict", "load_state_dict", "get_extra_state", "set_extra_state"), "torch's own protocol"),
    "results_from_json": "what JSON holds, made a value or an error at once",
}


def untyped(annotation: ast.expr | None) -> bool:
    """Whether `dict[str, Any]` or `Mapping[str, Any]` stands in an annotation, or either without types."""
    if annotation is None:
        return False
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return untyped(ast.parse(annotation.value, mode="eval").body)
    for node in ast.walk(annotation):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("dict", "Mapping"):
            _, values = node.slice.elts if isinstance(node.slice, ast.Tuple) else (None, node.slice)
            if ast.unparse(values) == "Any":
                return True
    return isinstance(annotation, ast.Name) and annotation.id in ("dict", "Mapping")


def signatures(tree: ast.Module) -> list[tuple[str, ast.expr | None]]:
    """The annotations of what public functions and methods take and return, by the function's name."""
    found = []
    homes: list[ast.Module | ast.ClassDef] = [tree]
    homes += [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    for home in homes:
        for node in home.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                given = node.args
                every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
                found += [(node.name, argument.annotation) for argument in every if argument is not None]
                found.append((node.name, node.returns))
            elif isinstance(node, ast.AnnAssign) and isinstance(home, ast.ClassDef):
                found.append((f"{home.name}.{ast.unparse(node.target)}", node.annotation))
    return found


def test_an_untyped_mapping_is_seen():
    anyhow = ("dict[str, Any]", "Mapping[str, Any]", "list[dict[str, Any]]", "dict[str, Any] | None")
    for text in (*anyhow, "'dict[str, Any]'", "dict"):
        tree = ast.parse(f"def f(x: {text}): ...")
        assert [untyped(annotation) for _, annotation in signatures(tree)] == [True, False], text
    for text in ("dict[str, float]", "dict[str, NDArray[Any]]", "Any", "Mapping[str, Setting]", "Callable[..., Any]"):
        assert not any(untyped(annotation) for _, annotation in signatures(ast.parse(f"def f() -> {text}: ...")))


def test_no_untyped_mapping_crosses_a_border_of_the_upper_floors():
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in FILES
        if room_of(path) in UPPER
        for name, annotation in signatures(ast.parse(path.read_text(encoding="utf-8")))
        if untyped(annotation) and name not in BORDERS
    ]
    assert found == []


def test_a_name_that_needs_the_extra_says_so():
    """Without pandas, as after `pip install calmix`, the library works and `calmix.compare` says what to install."""
    code = """
import sys
sys.modules["pandas"] = None  # as if it were not installed
import calmix
calmix.TrainingLoss(calmix.mixup(), calmix.Classification(3))
try:
    calmix.compare
except ImportError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "calmix.compare needs pandas; install it with: pip install 'calmix[train]'"

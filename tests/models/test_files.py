"""Factories in files and modules of the user's own: found by their place, with errors that are advice."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from calmix.errors import CalmixError, SettingError, ShapeError, UnknownNameError
from calmix.models import build, check_outputs, digest_of, name_of, read_model
from calmix.models.files import NamedFactory, advice, own_files

NETS = """
import layers
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, outputs, depth):
        super().__init__()
        if depth > 3:
            raise ValueError(f"depth must be at most 3; got {depth}.")  # line 9
        self.body = nn.Sequential(*(nn.Linear(inputs, inputs) for _ in range(depth)))
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x):
        return layers.scale * self.head(self.body(x))

def wide(shape, num_classes, depth: int = 2, names=()):
    return Net(shape[0], num_classes, depth)

def anything(num_features, **options):
    from later import kind  # beside the file, when the network is made
    return kind(num_features, options["num_classes"])

def lonely(shape, width):
    return nn.Linear(shape[0], width)

class Family:
    @staticmethod
    def small(outputs):
        return nn.LazyLinear(outputs)

number = 3
made = nn.Linear(2, 2)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "layers.py").write_text("scale = 2\n")
    (tmp_path / "later.py").write_text("from torch.nn import Linear as kind\n")
    (tmp_path / "syntax.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "broken.py").write_text("\nimport no_such_library\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("layers", "later", "nets_of_mine"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("text", ["nets.py:wide(depth=3)", " ./nets.py : wide ( depth = 3 ) "])
def test_a_function_in_a_file_makes_the_network(folder: Path, text: str):
    factory = read_model(text)
    net = build(factory, (4,), 7)
    assert net(torch.zeros(2, 4)).shape == (2, 7)
    assert len(net.get_submodule("body")._modules) == 3
    assert name_of(factory) == "nets.py:wide(depth=3)"
    assert str(folder) not in sys.path


def test_options_are_read_and_not_evaluated(folder: Path):
    factory = read_model("nets.py:wide(names=('a', b'), depth=1)".replace("b')", "'b:c(1)')"))
    assert factory.options == (("names", ("a", "b:c(1)")), ("depth", 1))  # pyright: ignore
    assert build(read_model("nets.py:anything(num_classes=5)"), (4,), 7)(torch.zeros(2, 4)).shape == (2, 5)
    with pytest.raises(SettingError, match="cannot read a value"):
        read_model("nets.py:wide(names=__import__('os').system('true'))")


def test_a_method_of_a_class_and_a_lazy_layer(folder: Path):
    net = build(read_model("nets.py:Family.small"), (4,), 7)
    assert net(torch.zeros(2, 4)).shape == (2, 7)
    assert net.training


def test_a_function_in_a_module(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Of an installed one, and of one in the folder where the command was given, which scripts do not search."""
    (folder / "nets_of_mine.py").write_text(NETS)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    factory = read_model("nets_of_mine:wide(depth=1)")
    monkeypatch.chdir("/")
    assert build(factory, (4,), 7)(torch.zeros(2, 4)).shape == (2, 7)
    assert name_of(factory) == "nets_of_mine:wide(depth=1)"
    of_torch = read_model("torch.nn:Linear(in_features=4, out_features=7)")
    assert build(of_torch, (4,), 7)(torch.zeros(2, 4)).shape == (2, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("net.py:wide", r"there is no file net\.py in the folder .*; did you mean nets\.py\?"),
        ("./nets:wide", r"there is no file nets; write nets\.py\."),
        ("no/nets.py:wide", "there is no folder"),
        ("nets.py", r"names a file; name the function in it, too, e\.g\. nets\.py:make_network"),
        ("nets.wide", "write nets:wide"),
        ("nets.py:wyde", r"unknown function in nets\.py 'wyde'; did you mean 'wide'"),
        ("nets.py:zzzzz", "known: Net, wide, anything, lonely, Family"),
        ("nets.py:number", r"nets\.py:number is of the type int; name a function"),
        ("nets.py:made", r"nets\.py:made is of the type Linear; name a function"),
        ("nets.py:wide(dept=3)", "unknown option of wide 'dept'; did you mean 'depth'"),
        ("nets.py:wide(depth=deep)", "depth must be a int; got 'deep'"),
        ("nets.py:wide(3)", "options by name"),
        ("syntax.py:f", r"syntax\.py cannot be loaded: SyntaxError: .* \(syntax\.py, line 2\)\.$"),
        (
            "broken.py:f",
            r"broken\.py cannot be loaded: ModuleNotFoundError: .* 'no_such_library' \(broken\.py, line 2\)",
        ),
        ("broken:f", r"broken cannot be loaded: ModuleNotFoundError: .* 'no_such_library' \(broken\.py, line 2\)"),
        ("no_such.module:f", r"there is no module 'no_such\.module'.* install it, or give the path of a file"),
        ("qqq", "known: mlp, .*, a function of your own, such as nets.py:wide"),
    ],
)
def test_what_cannot_be_read_is_advice(folder: Path, text: str, message: str):
    with pytest.raises(CalmixError, match=message):
        read_model(text)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        (
            "nets.py:wide(depth=9)",
            (4,),
            r"nets\.py:wide\(depth=9\) fails: ValueError: depth must .* \(nets\.py, line 9\)",
        ),
        (
            "nets.py:lonely",
            (4,),
            r"lonely needs width; for rows of the shape \(4,\) a factory is given shape, outputs,",
        ),
        ("nets.py:anything", (2, 4), r"anything needs num_features; for rows of the shape \(2, 4\)"),
    ],
)
def test_a_factory_that_fails_says_why_and_where(folder: Path, text: str, shape: tuple[int, ...], message: str):
    with pytest.raises(SettingError, match=message):
        build(read_model(text), shape, 7)


def test_a_function_that_is_called_as_timm_s(folder: Path):
    """`create_model(model_name, pretrained=False, **options)`: what it is to make stands among the options."""
    code = """
from torch import nn

def create_model(model_name: str, pretrained: bool = False, checkpoint_path: str | None = None, **kwargs):
    assert not pretrained and set(kwargs) <= {"num_classes", "in_chans"}, kwargs
    classes, channels = kwargs.get("num_classes", 1000), kwargs.get("in_chans", 3)
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))
"""
    (folder / "timm_alike").mkdir()
    (folder / "timm_alike" / "__init__.py").write_text("from .models import create_model")
    (folder / "timm_alike" / "models.py").write_text(code)
    x, shape = torch.zeros(2, 1, 8, 8), (1, 8, 8)
    text = "timm_alike:create_model(model_name=resnet18, in_chans=1{})"
    factory = read_model(text.format(", num_classes=10"))
    check_outputs(build(factory, shape, 10), x, 10, factory)
    without = read_model(text.format(""))
    with pytest.raises(ShapeError, match=r"returns \(2, 1000\).*needs it as an option, num_classes=10\."):
        check_outputs(build(without, shape, 10), x, 10, without)
    for name in ("timm_alike", "timm_alike.models"):
        del sys.modules[name]


def test_a_lack_of_memory_is_no_fault_of_the_function():
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")):
        with pytest.raises(type(error)) as raised, advice("it fails"):
            raise error
        assert raised.value is error


def test_the_recipe_knows_the_text_of_the_file_and_of_what_it_imports(folder: Path):
    def digest() -> str:
        factory = read_model("nets.py:wide")
        torch.manual_seed(0)
        return digest_of(build(factory, (4,), 7), factory)

    first = digest()
    assert digest() == first
    (folder / "later.py").write_text("from torch.nn import Bilinear as kind\n")
    second = digest()
    (folder / "nets.py").write_text(NETS.replace("= 2, names", "= 1 + 1, names"))
    third = digest()
    (folder / "other.py").write_text("")  # which it does not import
    assert digest() == third
    assert len({first, second, third}) == 3


def test_imports_are_followed_within_the_folder_alone(folder: Path):
    package = folder / "mine"
    (package / "deep").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "a.py": "from .deep.b import f\nfrom . import c\nimport os, torch",
        "c.py": "import mine.a",
        "deep/__init__.py": "def broken(:",
        "deep/b.py": "from ..d import *",
        "d.py": "",
        "unused.py": "",
    }.items():
        (package / name).write_text(text)
    (folder / "start.py").write_text("def f():\n    from mine.a import f")
    names = ["start.py", *(f"mine/{n}.py" for n in ("__init__", "a", "c", "d", "deep/__init__", "deep/b"))]
    assert own_files(folder / "start.py", folder) == sorted(folder / name for name in names)


def test_another_process_loads_the_same_file_and_refuses_a_changed_one(folder: Path):
    factory = read_model("nets.py:wide(depth=1)")
    (folder / "factory").write_bytes(pickle.dumps(factory))
    code = (
        "import pickle, sys; from calmix.models import build; from calmix.errors import SettingError\n"
        "factory = pickle.load(open(sys.argv[1], 'rb'))\n"
        "try: print(type(build(factory, (4,), 7)).__name__)\n"
        "except SettingError as error: print(error)"
    )

    def elsewhere() -> str:
        command = [sys.executable, "-c", code, str(folder / "factory")]
        return subprocess.run(command, cwd="/", check=True, capture_output=True, text=True).stdout.strip()

    assert elsewhere() == "Net"
    (folder / "layers.py").write_text("scale = 3\n")
    assert elsewhere().endswith("or a file that it imports, has changed since the command began.")
    build(factory, (4,), 7)  # what is loaded stays


def test_two_texts_at_one_place_are_two_modules(folder: Path):
    first = read_model("nets.py:wide")
    (folder / "nets.py").write_text("from torch import nn\ndef wide(outputs):\n    return nn.Linear(4, 99)\n")
    assert build(read_model("nets.py:wide"), (4,), 7)(torch.zeros(2, 4)).shape == (2, 99)
    assert build(first, (4,), 7)(torch.zeros(2, 4)).shape == (2, 7)
    assert isinstance(first, NamedFactory)


def test_a_file_that_goes_away(folder: Path):
    factory = read_model("nets.py:wide")
    (folder / "nets.py").unlink()
    with pytest.raises(SettingError, match="there is no file"):
        read_model("nets.py:wide")
    assert isinstance(factory, NamedFactory)
    with pytest.raises(UnknownNameError, match="unknown model 'wide'"):
        read_model("wide")

"""What docs/integrations.md says of the examples and the code, and what is said where a framework is missing."""

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import calmix
from calmix import integrations

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "integrations.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_the_table_holds_every_example_and_counts_its_lines():
    rows = re.findall(r"\| (\d+) \| \[(\w+\.py)\]\(examples/\w+\.py\) \|$", TEXT, re.MULTILINE)
    for count, name in rows:
        lines = (ROOT / "docs" / "examples" / name).read_text(encoding="utf-8").splitlines()
        assert sum(line.endswith("  #") for line in lines) == int(count), name
    own = {path.name for path in (ROOT / "docs" / "examples").glob("*.py") if "calmix lines" in path.read_text()}
    assert {name for _, name in rows} == own


def test_the_blocks_run():
    pytest.importorskip("transformers")
    from lightning.pytorch import LightningModule
    from transformers import Trainer

    from calmix.integrations.transformers import CalmixTrainerMixin

    class ClassificationTask(nn.Module):
        def __init__(self, model: nn.Module, criterion: Any) -> None:
            super().__init__()
            self.trainable_module, self.criterion = model, criterion

    torch.manual_seed(0)
    last = nn.Linear(16, 10)
    model = nn.Sequential(nn.Flatten(), last)
    rows = [(torch.randn(1, 4, 4), k % 10) for k in range(40)]
    names: dict[str, Any] = {
        "calmix": calmix,
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "loader": [(torch.randn(8, 1, 4, 4), torch.randint(10, (8,)))] * 2,
        "dataset": rows,
        "DataLoader": DataLoader,
        "LightningModule": LightningModule,
        "CalmixTrainerMixin": CalmixTrainerMixin,
        "Trainer": Trainer,
        "ClassificationTask": ClassificationTask,
    }
    before = last.weight.detach().clone()
    plain, module, trainer, callback, loader, task = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(plain, names)
    assert not torch.equal(last.weight, before)
    exec(module, names)
    batch = names["loader"][0]
    assert torch.isfinite(names["Net"](model).training_step(batch, 0))
    exec(trainer.split("training_loss =")[0], names)
    assert issubclass(names["MixingTrainer"], Trainer)
    exec(callback, names)
    exec(loader, names)
    x, soft = next(iter(names["loader"]))
    assert soft.shape == (40, 10)
    exec(task, names)
    made = names["CalmixTask"](model, names["training_loss"])(x, soft)
    assert made["output"].shape == (40, 10)


@pytest.mark.parametrize(("name", "extra"), [("lightning", "train"), ("transformers", "transformers")])
def test_a_missing_framework_names_its_extra(name: str, extra: str, monkeypatch: pytest.MonkeyPatch):
    for module in [name, *(loaded for loaded in sys.modules if loaded.startswith(f"{name}."))]:
        monkeypatch.setitem(sys.modules, module, None)
    (folder,) = integrations.__path__
    with pytest.raises(
        ImportError, match=rf"^calmix.integrations.{name} needs {name}; .* pip install 'calmix\[{extra}\]'"
    ):
        runpy.run_path(str(Path(folder) / f"{name}.py"), run_name=f"calmix.integrations.{name}")
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(rf"^{extra} = \[", extras, re.MULTILINE)

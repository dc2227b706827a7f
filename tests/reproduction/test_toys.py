"""Made data: nothing is read, the network is the published one, and the command that draws surfaces is a real one."""

import re
import shlex
from pathlib import Path

import pytest
from torch import nn

from calmix.cli import COMMANDS, objects
from calmix.errors import SettingError
from calmix.models import name_of
from calmix.reproduction.named import experiment
from calmix.reproduction.table import SCALES
from calmix.train.running import try_step


@pytest.mark.parametrize("name", ["sk-mixup/two-moons", "sk-mixup/circles"])
@pytest.mark.parametrize("scale", SCALES)
def test_a_perceptron_of_20_and_20_learns_points_of_a_plane(name: str, scale: str):
    comparison = experiment(name, scale).comparison
    layers = [module for module in comparison.recipes[0].network().modules() if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(2, 20), (20, 20), (20, 2)]
    assert comparison.data.splits(0).train.shape == (2,)


@pytest.mark.parametrize("label", experiment("sk-mixup/circles", "smoke").comparison.methods)
def test_every_method_takes_its_steps(label: str):
    [recipe] = [one for one in experiment("sk-mixup/circles", "smoke").comparison.recipes[:8] if one.label == label]
    try_step(recipe)


def test_a_folder_would_be_ignored_and_is_refused():
    with pytest.raises(SettingError, match="two_moons is embedded and reads no folder"):
        experiment("sk-mixup/two-moons", "smoke", Path("data")).comparison.data.splits(0)


@pytest.mark.parametrize("scale", SCALES)
def test_the_command_that_draws_surfaces_trains_as_the_experiment_does(scale: str):
    asked = experiment("sk-mixup/circles", scale)
    [command] = re.findall(r"calmix (diagnose .*?); there", asked.deviations[0])
    name, *arguments = shlex.split(command)
    options = COMMANDS[name].parser().parse_args(arguments)
    model = objects.model_of(options)
    assert (options.data, options.train_size) == ("circles", asked.comparison.data.train_size)
    assert objects.settings_of(options) == asked.comparison.settings
    assert model is not None
    assert asked.comparison.model is not None
    assert name_of(model) == name_of(asked.comparison.model)
    assert options.seeds == asked.comparison.seeds

"""Networks of any row shape, and the choice between them."""

import pytest
import torch

from calmix.errors import SettingError, UnknownNameError
from calmix.models import MODELS, build, default_model, mlp, read_model, resnet, smooth_mlp


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 17, 29), (3, 96, 96)])
def test_images_of_any_size_and_channel_count(shape: tuple[int, ...]):
    net = build(default_model(shape), shape, 7)
    assert net(torch.randn(3, *shape)).shape == (3, 7)
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())


def test_tables_and_series_get_the_perceptron_and_so_may_images():
    assert default_model((5,)) is default_model((12, 3)) is mlp
    assert default_model((1, 8, 8)) is resnet
    for shape in ((5,), (12, 3), (1, 4, 4)):
        assert build(mlp, shape, 2)(torch.randn(3, *shape)).shape == (3, 2)


def test_the_smooth_perceptron_bends_between_its_rows():
    x = torch.randn(3, 5)
    for factory, bends in ((mlp, False), (smooth_mlp, True)):
        net = build(factory, (5,), 2)
        hessian = torch.autograd.functional.hessian(lambda row, net=net: net(row[None]).sum(), x[0])
        assert bool(hessian.abs().max() > 0) is bends


def test_names_and_errors_that_name_what_fits():
    assert {name: read_model(name) for name in MODELS} == MODELS
    with pytest.raises(SettingError, match="use 'mlp'"):
        build(resnet, (5,), 2)
    with pytest.raises(UnknownNameError, match="did you mean 'resnet'"):
        read_model("resnett")

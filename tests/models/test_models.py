"""Networks of any row shape, and the choice between them."""

import pytest
import torch

from calmix.errors import SettingError, UnknownNameError
from calmix.models import make_model


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 17, 29), (3, 96, 96)])
def test_images_of_any_size_and_channel_count(shape: tuple[int, ...]):
    net = make_model(None, shape, 7)
    assert net(torch.randn(3, *shape)).shape == (3, 7)
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())


def test_tables_get_the_perceptron_and_so_may_images():
    assert make_model(None, (5,), 2)(torch.randn(3, 5)).shape == (3, 2)
    assert make_model("mlp", (1, 4, 4), 2)(torch.randn(3, 1, 4, 4)).shape == (3, 2)


def test_the_smooth_perceptron_bends_between_its_rows():
    x = torch.randn(3, 5)
    for name, bends in (("mlp", False), ("smooth_mlp", True)):
        net = make_model(name, (5,), 2)
        hessian = torch.autograd.functional.hessian(lambda row, net=net: net(row[None]).sum(), x[0])
        assert bool(hessian.abs().max() > 0) is bends


def test_errors_name_what_fits():
    with pytest.raises(SettingError, match="use 'mlp'"):
        make_model("resnet", (5,), 2)
    with pytest.raises(UnknownNameError, match="did you mean 'resnet'"):
        make_model("resnett", (1, 8, 8), 2)

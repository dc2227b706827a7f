"""Networks of any row shape, the choice between them, and what each must do with every method."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix import METHODS, Classification, TrainingLoss
from calmix.core.embeddings import capture_embeddings
from calmix.core.mix import Mix, mixed_output
from calmix.core.site import stages
from calmix.errors import CalmixError, UnknownNameError
from calmix.models import MODELS, build, default_model, mlp, read_model, resnet, smooth_mlp
from calmix.models.preact import PreActBlock
from calmix.models.resnets import Basic, Bottleneck
from calmix.models.series import LSTNet, Recurrent, TemporalConvolution
from calmix.models.transformer import Attention, ViT

IMAGE, SERIES, TABLE = (1, 8, 8), (9, 2), (5,)
ROWS, CLASSES = 6, 3


@dataclass(frozen=True)
class Small:
    """A network as small as its family has it, and the shape of its rows."""

    text: str
    shape: tuple[int, ...] = IMAGE

    def __str__(self) -> str:
        return self.text

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        return build(read_model(self.text), self.shape, CLASSES)

    def rows(self) -> Tensor:
        return torch.randn(ROWS, *self.shape, generator=torch.Generator().manual_seed(1))


SMALL = (
    Small("mlp(width=8)", TABLE),
    Small("smooth_mlp(width=8)", TABLE),
    Small("dropout_mlp(width=8)", TABLE),
    Small("resnet(width=2)"),
    Small("resnet18(width=2)"),
    Small("resnet18(width=2, stem=imagenet)", (3, 33, 35)),
    Small("resnet34(width=2)"),
    Small("resnet50(width=2)"),
    Small("resnet101(width=1)"),
    Small("preact_resnet18(width=2)"),
    Small("preact_resnet34(width=2)"),
    Small("preact_resnet50(width=2, final_norm=True)"),
    Small("wide_resnet(depth=10, width=1)"),
    Small("lenet(width=2, hidden=8)"),
    Small("lenet(width=2, hidden=8, dropout=0)", (1, 40, 15)),
    Small("vgg11(width=8)"),
    Small("vgg11(width=1)", (1, 40, 15)),
    Small("vit(width=8, depth=2, heads=2, patch=4)"),
    Small("vit(width=8, depth=1, heads=1, pool=mean, patch=4)"),
    Small("lstm(width=4, depth=2)", SERIES),
    Small("gru(width=4, depth=2)", SERIES),
    Small("tcn(width=4)", SERIES),
    Small("lstnet(width=4, skip_width=2, window=3, skip=3)", SERIES),
    Small("lstnet(width=4, window=2, skip=0, dropout=0)", (9, CLASSES)),  # with an autoregression
    Small("lstnet(width=4, skip_width=2, window=3, skip=2, highway=5)", (9, CLASSES)),
)


def test_every_network_is_tried():
    assert {small.text.split("(")[0] for small in SMALL} == set(MODELS)


# ---------------------------------------- with every method, as its docstring says


@pytest.mark.parametrize("small", SMALL, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_a_step_of_every_method_reaches_every_weight(method: str, small: Small):
    if method == "cutmix" and len(small.shape) != 3:
        pytest.skip("boxes need images")
    net, x, y = small.build(), small.rows(), torch.arange(ROWS) % CLASSES
    training_loss = TrainingLoss(METHODS[method](), Classification(CLASSES), seed=3, data=(x, y))
    loss = training_loss(net, x, y, torch.arange(ROWS))
    loss.backward()
    assert torch.isfinite(loss)
    assert [name for name, weight in net.named_parameters() if weight.grad is None] == []
    moved = {int(net.get_buffer(name)) for name, _ in net.named_buffers() if name.endswith("num_batches_tracked")}
    assert moved <= {2 if method == "mixup_idle" else 1}  # passes that move them, whatever others the method has
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in net.modules())


def norms(net: nn.Module) -> list[nn.BatchNorm2d | nn.BatchNorm1d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)]


@pytest.mark.parametrize("small", SMALL, ids=str)
def test_the_embedding_is_what_the_head_sees(small: Small):
    net, x, seen = small.build().eval(), small.rows(), []
    net.get_submodule("head").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with capture_embeddings(net, None) as capture:
        found = capture.embedding(capture.model(x))
    assert torch.equal(found, seen[0])


@pytest.mark.parametrize("small", SMALL, ids=str)
def test_rows_can_be_mixed_after_every_stage(small: Small):
    """With lam = 0 after any of them, the output is the partner's, and with 1/2 that of neither."""
    net, x = small.build().eval(), small.rows()
    anchor, partner = torch.arange(ROWS), torch.arange(ROWS).roll(1)
    lam, plain = torch.zeros(ROWS), net(x)
    assert len(stages(net)) >= 2 or "depth" not in small.text
    for site in stages(net):
        mixed = mixed_output(net, x, Mix(anchor, partner, lam, lam, site))
        assert torch.allclose(mixed, plain[partner], atol=1e-5), site
        half = mixed_output(net, x, Mix(anchor, partner, lam + 0.5, lam + 0.5, site))
        assert not torch.allclose(half, plain[partner], atol=1e-5), site


@pytest.mark.parametrize("small", SMALL, ids=str)
@pytest.mark.parametrize("slope", [calmix.parts.Jacobian(), calmix.parts.JacobianAbs()], ids=str)
def test_every_network_can_be_differentiated_twice(small: Small, slope: calmix.parts.Jacobian):
    net, x, y = small.build(), small.rows(), torch.arange(ROWS) % CLASSES
    TrainingLoss(calmix.mixup_e(eta=10.0, slope=slope), Classification(CLASSES))(net, x, y).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in net.parameters() if weight.grad is not None)


# ---------------------------------------- what they are made of


@pytest.mark.parametrize(
    ("text", "side", "outputs", "count"),
    [
        ("resnet18", 224, 1000, 11_689_512),  # of torchvision
        ("resnet34", 224, 1000, 21_797_672),
        ("resnet50", 224, 1000, 25_557_032),
        ("resnet101", 224, 1000, 44_549_160),
        ("resnet18", 32, 10, 11_173_962),  # of the common code for CIFAR
        ("resnet50", 32, 10, 23_520_842),
        ("preact_resnet18", 32, 10, 11_171_146),
        ("preact_resnet18(final_norm=True)", 32, 10, 11_172_170),
        ("wide_resnet", 32, 10, 36_479_194),
        ("wide_resnet(depth=16, width=4)", 32, 10, 2_748_890),
        ("vgg11", 32, 10, 9_231_114),  # of the common code for CIFAR
        ("lenet", 32, 10, 1_302_550),  # 20 (75 + 1) + 20 (500 + 1) + 1000 (20 8 8 + 1) + 10 (1000 + 1)
        ("vit(width=192, depth=12, patch=16)", 224, 1000, 5_717_416),  # of ViT-Tiny
        ("vit(width=768, depth=12, heads=12, patch=16)", 224, 1000, 86_567_656),  # of ViT-B/16
    ],
)
def test_weights_are_as_many_as_published(text: str, side: int, outputs: int, count: int):
    with torch.device("meta"):
        net = build(read_model(text), (3, side, side), outputs)
    assert sum(weight.numel() for weight in net.parameters()) == count


def test_the_stem_follows_the_size_of_the_image():
    """`imagenet` quarters the resolution, as its two strides do; `cifar` keeps it."""
    for side, reduced in ((8, 8), (28, 28), (64, 64), (65, 17), (224, 56)):
        net = build(read_model("resnet18(width=1)"), (1, side, side + 4), 3).eval()
        assert net.get_submodule("stem")(torch.zeros(1, 1, side, side + 4)).shape[2] == reduced


def test_residual_blocks_add_what_their_papers_add():
    torch.manual_seed(0)
    x = torch.randn(3, 4, 5, 5)
    for width, stride in ((4, 1), (8, 2)):
        block = Basic(4, width, stride).eval()
        first, norm1, _, second, norm2 = block.body
        inner = norm2(second(norm1(first(x)).relu()))
        assert torch.equal(block(x), (inner + (x if stride == 1 else block.skip(x))).relu())
        pre = PreActBlock(4, width, stride, bottleneck=False, dropout=0.0).eval()
        first, norm2, _, second = pre.body
        rectified = pre.norm(x).relu()
        skipped = x if pre.skip is None else pre.skip(rectified)
        assert torch.equal(pre(x), second(norm2(first(rectified)).relu()) + skipped)
        assert (pre.skip is None) == (stride == 1)
    for block in (Bottleneck(4, 2, 2), PreActBlock(4, 2, 2, bottleneck=True, dropout=0.0)):
        strides = {m.kernel_size[0]: m.stride[0] for m in block.body if isinstance(m, nn.Conv2d)}
        assert strides == {1: 1, 3: 2}  # as torchvision has it


def test_attention_is_that_of_torch():
    torch.manual_seed(0)
    ours, theirs, x = Attention(8, 2), nn.MultiheadAttention(8, 2, batch_first=True), torch.randn(3, 5, 8)
    renamed = {"inputs.": "in_proj_", "outputs.": "out_proj."}
    weights = {
        f"{renamed[name[: name.index('.') + 1]]}{name.split('.')[1]}": w for name, w in ours.state_dict().items()
    }
    theirs.load_state_dict(weights)
    assert torch.allclose(ours(x), theirs(x, x, x)[0], atol=1e-6)


def test_a_patch_s_place_counts_and_the_head_sees_the_token_or_the_mean():
    torch.manual_seed(0)
    x = torch.randn(2, 1, 8, 8)
    moved = x.roll(4, 2)  # a patch up or down
    for pool in ("token", "mean"):
        net = ViT(IMAGE, 3, 4, 8, 2, 2, pool).eval()
        assert not torch.allclose(net(x), net(moved), atol=1e-4)
        with torch.no_grad():
            net.patches.places.zero_()
        assert torch.allclose(net(x), net(moved), atol=1e-6)
        assert (net.patches.token is not None) == (pool == "token")
        assert net.patches(x).shape == (2, 4 + (pool == "token"), 8)


def test_a_recurrent_network_is_torch_s_with_a_head():
    torch.manual_seed(0)
    net, x = Recurrent(nn.LSTM, 2, 3, width=4, depth=2), torch.randn(5, 9, 2)
    theirs = nn.LSTM(2, 4, num_layers=2, batch_first=True)
    for layer in (0, 1):
        for name, weight in net.get_submodule(f"body.{layer}.cell").named_parameters():
            getattr(theirs, name.replace("l0", f"l{layer}")).data = weight
    assert torch.allclose(net(x), net.head(theirs(x)[1][0][-1]), atol=1e-6)


def test_lstnet_is_its_formula():
    """Every step written out: filters, a GRU over all steps, one over each phase, the head, and the autoregression."""
    torch.manual_seed(0)
    time, channels, width, small, window, skip, highway = 13, 3, 4, 2, 4, 3, 5
    net = LSTNet((time, channels), channels, width, small, window, skip, highway).double().eval()
    weights, x = dict(net.named_parameters()), torch.randn(2, time, channels, dtype=torch.float64)
    filters, bias = weights["convolution.filters.weight"], weights["convolution.filters.bias"]

    def gru(name: str, steps: list[Tensor], size: int) -> Tensor:
        w, v, b, c = (
            weights[f"recurrence.{name}.{part}_l0"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h = torch.zeros(size, dtype=torch.float64)
        for step in steps:
            (r, z, new), (hr, hz, hn) = (w @ step + b).chunk(3), (v @ h + c).chunk(3)
            gate = torch.sigmoid(z + hz)
            h = (1 - gate) * torch.tanh(new + torch.sigmoid(r + hr) * hn) + gate * h
        return h

    for row, found in zip(x, net(x), strict=True):
        c = [
            torch.stack([(filters[f] * row[t : t + window].T).sum() + bias[f] for f in range(width)]).relu()
            for t in range(time - window + 1)
        ]
        assert len(c) == 10  # three whole periods of three are its last nine
        phases = [gru("skip_gru", [c[1 + phase + skip * k] for k in range(3)], small) for phase in range(skip)]
        states = torch.cat([gru("gru", c, width), *phases])
        told = sum((weights["recurrence.highway"][k] * row[time - highway + k] for k in range(highway)), torch.zeros(3))
        expected = net.head(states) + told + weights["recurrence.bias"]
        torch.testing.assert_close(found, expected)


def test_lstnet_drops_filters_and_states_and_never_its_autoregression():
    torch.manual_seed(0)
    net, x = LSTNet((30, 2), 2, width=8), torch.randn(3, 30, 2)
    assert not torch.equal(net(x), net(x))
    torch.nn.init.zeros_(net.head.weight)
    assert torch.equal(net(x), net(x))
    assert not torch.equal(net(x), net(x + 1))
    for shape, outputs, steps in (((168, 2), 2, 24), ((10, 2), 2, 10), ((168, 2), 3, None)):
        weights = dict(LSTNet(shape, outputs, width=2, skip=5).named_parameters())
        assert (len(weights["recurrence.highway"]) if "recurrence.highway" in weights else None) == steps


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 8), (40, 71), (33, 5), (64, 101)])
def test_plain_convolutions_take_images_of_any_size(height: int, width: int):
    for text in ("lenet(width=2, hidden=4)", "vgg11(width=1)"):
        net = build(read_model(text), (1, height, width), 7).eval()
        with torch.no_grad():
            assert net(torch.randn(2, 1, height, width)).shape == (2, 7)


def test_lenet_is_torch_s_functions_in_a_row():
    torch.manual_seed(0)
    net, x = build(read_model("lenet(width=3, hidden=5)"), (1, 9, 14), 4).eval(), torch.randn(2, 1, 9, 14)
    (w1, b1, w2, b2, w3, b3, w4, b4) = net.parameters()
    conv, pool = nn.functional.conv2d, nn.functional.max_pool2d
    z = pool(conv(x, w1, b1, padding=2), 2).relu()
    z = pool(conv(z, w2, b2, padding=2), 2).relu()
    torch.testing.assert_close(net(x), (z.flatten(1) @ w3.T + b3).relu() @ w4.T + b4)
    assert [type(m).__name__ for m in net.train().modules() if "Dropout" in type(m).__name__] == [
        "Dropout2d",
        "Dropout",
    ]


def test_vgg_11_has_eight_convolutions_and_pools_after_each_stage():
    net = build(read_model("vgg11(width=2)"), (1, 40, 71), 5).eval()
    widths = [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [2, 4, 8, 8, 16, 16, 16, 16]
    x, sides = torch.randn(1, 1, 40, 71), []
    for stage in range(1, 6):
        x = net.get_submodule(f"layer{stage}")(x)
        sides.append(tuple(x.shape[2:]))
    assert sides == [(20, 36), (10, 18), (5, 9), (3, 5), (2, 3)]  # rounded up


@pytest.mark.parametrize(("time", "kernel"), [(1, 3), (5, 3), (6, 3), (13, 3), (14, 3), (9, 2), (168, 3)])
def test_a_temporal_convolution_sees_the_whole_past_and_no_future(time: int, kernel: int):
    torch.manual_seed(0)
    net = TemporalConvolution((time, 2), 3, width=8, kernel=kernel).double().eval()
    x = torch.randn(1, time, 2, dtype=torch.float64, requires_grad=True)
    net(x).sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(2) > 0).all()
    depth = len(net.body)
    assert 1 + 2 * (kernel - 1) * (2**depth - 1) >= time
    assert depth == 1 or 1 + 2 * (kernel - 1) * (2 ** (depth - 1) - 1) < time
    if time > 1:
        later = x.detach().clone()
        later[:, -1] += 1
        before, after = (net.body(rows.transpose(1, 2)) for rows in (x, later))
        assert torch.equal(before[:, :, :-1], after[:, :, :-1])


def test_dropout_of_a_wide_network_is_there_when_asked_for():
    torch.manual_seed(0)
    net, x = build(read_model("wide_resnet(depth=10, width=1, dropout=0.5)"), IMAGE, 3), torch.randn(4, *IMAGE)
    assert not torch.equal(net(x), net(x))
    assert sum(isinstance(module, nn.Dropout) for module in net.modules()) == 3


# ---------------------------------------- names, shapes, advice


@pytest.mark.parametrize("name", [name for name in MODELS if "resnet" in name or name == "vit"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (4, 17, 29), (3, 96, 64)])
def test_images_of_any_size_and_channel_count(name: str, shape: tuple[int, int, int]):
    small = {"resnet": "(width=2)", "wide_resnet": "(depth=10, width=1)", "vit": "(width=6, depth=1)"}
    net = build(read_model(name + small.get(name, "(width=2)")), shape, 7).eval()
    with torch.no_grad():
        assert net(torch.randn(2, *shape)).shape == (2, 7)


def test_the_default_for_images_has_batch_norm():
    net = build(default_model(IMAGE), IMAGE, 7)
    assert norms(net)


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


def test_networks_can_be_copied():
    for small in SMALL[::4]:
        net, x = small.build().eval(), small.rows()
        assert torch.equal(copy.deepcopy(net)(x), net(x))


def test_names_and_errors_that_name_what_fits():
    assert {name: read_model(name) for name in MODELS} == MODELS
    with pytest.raises(UnknownNameError, match="did you mean 'resnet'"):
        read_model("resnett")


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("resnet", (5,), "use 'mlp'"),
        ("resnet50", (9, 2), r"'resnet50' is for images \(C, H, W\); these rows have the shape \(9, 2\)"),
        ("wide_resnet", (5,), "'wide_resnet' is for images"),
        ("preact_resnet34", (5,), "'preact_resnet34' is for images"),
        ("vit", (5,), "'vit' is for images"),
        ("lstm", (5,), r"'lstm' is for series \(time, channels\).*use 'mlp'"),
        ("tcn", (1, 8, 8), "'tcn' is for series.*use 'resnet'"),
        ("resnet18(stem=tiny)", IMAGE, "unknown stem 'tiny'"),
        ("resnet18(stem=3)", IMAGE, "stem must be a str; got 3"),
        ("resnet18(width=0)", IMAGE, "width must be at least 1; got 0"),
        ("preact_resnet18(width=0)", IMAGE, "width must be at least 1; got 0"),
        ("wide_resnet(depth=29)", IMAGE, "6 n . 4: 10, 16, 22, 28, 40, ...; got 29"),
        ("wide_resnet(depth=4)", IMAGE, "got 4"),
        ("wide_resnet(dropout=1)", IMAGE, "dropout must be at least 0 and below 1; got 1"),
        ("vit(patch=3)", IMAGE, "patch must divide both sides of the image, 8 and 8: one of 1, 2, 4, 8; got 3"),
        ("vit(heads=5)", IMAGE, "a multiple of its heads; got 192 and 5"),
        ("vit(pool=max)", IMAGE, "unknown pool 'max'"),
        ("vit(dropout=-1)", IMAGE, "dropout must be"),
        ("tcn(kernel=1)", SERIES, "kernel must be at least 2; got 1"),
        ("lstnet", (5,), "'lstnet' is for series"),
        ("lstnet", SERIES, "skip must be at most 4, the steps that a window of 6 leaves of 9, or 0"),
        ("lstnet(skip=-1)", SERIES, "or 0 for no second GRU; got -1"),
        ("lstnet(window=10)", SERIES, "window must be at most the 9 steps of the series; got 10"),
        ("lstnet(skip=0, highway=2)", SERIES, "2 channels and 3 outputs; leave highway out"),
        ("lstnet(skip=0, highway=10)", (9, 3), "highway must be at most the 9 steps"),
        ("lstnet(skip=0, dropout=1)", SERIES, "dropout must be"),
        ("lstnet(width=0)", SERIES, "width must be at least 1; got 0"),
        ("lenet", (5,), "'lenet' is for images"),
        ("lenet", (1, 3, 8), "3 x 8 pixels: use 'mlp'"),
        ("lenet(dropout=1)", IMAGE, "dropout must be"),
        ("lenet(hidden=0)", IMAGE, "hidden must be at least 1; got 0"),
        ("vgg11", (9, 2), "'vgg11' is for images"),
        ("vgg11(width=0)", IMAGE, "width must be at least 1; got 0"),
        ("gru(depth=0)", SERIES, "depth must be at least 1; got 0"),
        ("vit(depth=2.5)", IMAGE, "depth must be a int; got 2.5"),
    ],
)
def test_what_does_not_fit_is_advice(text: str, shape: tuple[int, ...], message: str):
    with pytest.raises(CalmixError, match=message):
        build(read_model(text), shape, 3)


def test_patches_follow_the_size_of_the_image():
    for shape in ((1, 8, 8), (3, 64, 64), (3, 96, 64), (3, 224, 224)):
        _, height, width = shape
        patch = ViT(shape, 3, width=3, depth=1).patches.embed.kernel_size[0]
        assert height % patch == width % patch == 0
        assert (height // patch) * (width // patch) <= 64
    assert ViT((4, 17, 29), 3, width=3, depth=1).patches.places.shape[1] == 1 + 17 * 29

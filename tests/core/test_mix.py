"""Blending rows, mixing at a site, and what is left behind (nothing)."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn

from calmix.core.mix import map_leaves
from calmix.errors import ShapeError, SiteError
from calmix.parts import Mix, blend, mixed_output, mixed_target


def mix_of(anchor: list[int], partner: list[int], lam: list[float], site: str | None = None) -> Mix:
    share = torch.tensor(lam)
    return Mix(torch.tensor(anchor), torch.tensor(partner), share, share, site)


MIX = mix_of([0, 1, 2, 0], [1, 2, 0, 0], [0.25, 0.5, 1.0, 0.0])  # m = 4 mixed of n = 3 rows


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 4), (3, 2, 4, 5), (3, 1, 2, 2, 2)])
def test_blend_is_the_convex_combination_for_any_rank(shape: tuple[int, ...]):
    x = torch.randn(shape, dtype=torch.float64)
    kept = x.clone()
    mixed = blend(x, MIX, MIX.lam_x)
    for row, (i, j, lam) in enumerate(zip([0, 1, 2, 0], [1, 2, 0, 0], [0.25, 0.5, 1.0, 0.0], strict=True)):
        assert torch.allclose(mixed[row], lam * x[i] + (1 - lam) * x[j], atol=1e-15)
    assert torch.equal(x, kept)
    assert mixed.dtype == x.dtype


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_lam_one_and_zero_give_the_rows_to_the_bit(dtype: torch.dtype):
    x = (100 * torch.randn(64, 7)).to(dtype)
    for lam in (1.0, 0.0):
        mix = mix_of(list(range(64)), list(range(63, -1, -1)), [lam] * 64)
        assert torch.equal(blend(x, mix, mix.lam_x), x if lam else x.flip(0))


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.sampled_from([torch.float16, torch.bfloat16]))
def test_half_precision_is_the_rounded_float32_result(lam: list[float], dtype: torch.dtype):
    x = torch.randn(len(lam), 5, generator=torch.Generator().manual_seed(len(lam))).to(dtype)
    mix = mix_of(list(range(len(lam))), list(range(len(lam)))[::-1], lam)
    assert torch.equal(blend(x, mix, mix.lam_x), blend(x.float(), mix, mix.lam_x).to(dtype))


# ------------------------------------------------------------------------------------- by whichever path

N, LONG = 6, 40_000  # rows, and entries of a row that is long enough to be blended by itself
LAYOUTS: dict[str, Callable[[torch.dtype], Tensor]] = {
    "vector": lambda dtype: noise(N).to(dtype),
    "matrix": lambda dtype: noise(N, 5).to(dtype),
    "images": lambda dtype: noise(N, 3, 4, 5).to(dtype),
    "channels last": lambda dtype: noise(N, 3, 4, 5).to(dtype, memory_format=torch.channels_last),
    "channels last, 3d": lambda dtype: noise(N, 3, 2, 4, 5).to(dtype, memory_format=torch.channels_last_3d),
    "one channel": lambda dtype: noise(N, 1, 4, 5).to(dtype, memory_format=torch.channels_last),
    "long rows": lambda dtype: noise(N, LONG).to(dtype),
    "long channels last": lambda dtype: noise(N, 4, 100, 100).to(dtype, memory_format=torch.channels_last),
    "every second row": lambda dtype: noise(2 * N, 5).to(dtype)[::2],
    "rows in the middle": lambda dtype: noise(N + 3, 5).to(dtype)[2:-1],
    "every second column": lambda dtype: noise(N, 10).to(dtype)[:, ::2],
    "transposed": lambda dtype: noise(5, N).to(dtype).T,
    "one row repeated": lambda dtype: noise(1, 5).to(dtype).expand(N, 5),
    "windows with gaps": lambda dtype: noise(40).to(dtype).as_strided((N, 5), (5, 2)),
    "images with gaps": lambda dtype: noise(80).to(dtype).as_strided((N, 2, 2, 2), (8, 8, 4, 2)),
    "permuted entries": lambda dtype: noise(N, 4, 5).to(dtype).transpose(1, 2),
}


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def some_mix(m: int) -> Mix:
    """m mixed rows of N, with lam = 0 and 1 among them."""
    rng = np.random.default_rng(m)
    lam = rng.random(m)
    lam[:2] = 1, 0
    return mix_of(rng.integers(N, size=m).tolist(), rng.integers(N, size=m).tolist(), lam.tolist())


def by_hand(rows: Tensor, mix: Mix) -> np.ndarray:
    lam = mix.lam_x.double().numpy().reshape(-1, *(1,) * (rows.ndim - 1))
    rows_64 = rows.detach().double().numpy()
    return lam * rows_64[mix.anchor] + (1 - lam) * rows_64[mix.partner]


def is_by_hand(mixed: Tensor, rows: Tensor, mix: Mix) -> bool:
    error = {torch.float16: 2e-3, torch.bfloat16: 2e-2, torch.float32: 1e-6, torch.float64: 1e-15}[rows.dtype]
    assert mixed.dtype == rows.dtype
    return np.allclose(mixed.detach().double().numpy(), by_hand(rows, mix), rtol=error, atol=error)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("m", "few"), [(4, 2**15), (N, 2**15), (11, 2**15), (11, 0)])
def test_every_path_gives_the_convex_combination(
    layout: str, dtype: torch.dtype, m: int, few: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("calmix.core.mix._FEW", few)
    rows, mix = LAYOUTS[layout](dtype), some_mix(m)
    kept = rows.clone()
    direct = blend(rows, mix, mix.lam_x)
    assert is_by_hand(direct, rows, mix)
    assert is_by_hand(blend(rows.clone().requires_grad_(), mix, mix.lam_x), rows, mix)
    buffer = torch.empty_like(direct)
    assert blend(rows, mix, mix.lam_x, out=buffer) is buffer
    assert is_by_hand(buffer, rows, mix)
    contiguous = torch.empty_like(direct, memory_format=torch.contiguous_format)
    assert is_by_hand(blend(rows, mix, mix.lam_x, out=contiguous), rows, mix)
    assert torch.equal(rows, kept)


@pytest.mark.parametrize(
    "layout", [layout for layout in LAYOUTS if layout != "one row repeated" and "gaps" not in layout]
)
def test_rows_can_be_overwritten_with_their_own_mixes(layout: str):
    """Also through another view of the same memory."""
    for view in (lambda rows: rows, lambda rows: rows[:]):
        rows, mix = LAYOUTS[layout](torch.float32).clone(), some_mix(N)
        kept = rows.clone()
        out = view(rows)
        assert blend(rows, mix, mix.lam_x, out=out) is out
        assert is_by_hand(rows, kept, mix)


def test_a_single_row_need_not_say_where_the_next_one_would_be():
    row, mix = noise(5).as_strided((1, 5), (1000, 1)), mix_of([0, 0], [0, 0], [0.3, 1.0])
    assert torch.allclose(blend(row, mix, mix.lam_x), row.expand(2, 5))


def test_a_buffer_is_filled_anew_in_every_step():
    rows, buffer = LAYOUTS["long rows"](torch.float32), torch.empty(11, LONG)
    for _ in range(2):
        for mix in (some_mix(11), replace(some_mix(11), lam_x=torch.rand(11))):
            assert is_by_hand(blend(rows, mix, mix.lam_x, out=buffer), rows, mix)


def test_buffers_that_do_not_fit_are_one_sentence():
    rows, mix = noise(N, 5), some_mix(4)
    for shape in ((N, 5), (4, 6), (4,), (1, 5)):
        with pytest.raises(ShapeError, match=r"out= must have the shape \(4, 5\); got"):
            blend(rows, mix, mix.lam_x, out=torch.empty(shape, dtype=torch.float64))
    with pytest.raises(ShapeError, match="rows that are one tensor; leave it out for a tree"):
        blend({"a": rows}, mix, mix.lam_x, out=torch.empty(4, 5))


@pytest.mark.parametrize("layout", ["matrix", "images", "channels last", "channels last, 3d", "long channels last"])
@pytest.mark.parametrize("m", [4, N])
def test_the_order_in_memory_is_kept(layout: str, m: int):
    rows, mix = LAYOUTS[layout](torch.float32), some_mix(m)
    assert blend(rows, mix, mix.lam_x).stride() == rows.stride()


@pytest.mark.parametrize("layout", ["matrix", "channels last", "long rows", "every second column"])
def test_compiled_it_is_the_same(layout: str):
    rows, mix = LAYOUTS[layout](torch.float32), some_mix(N)
    compiled = torch.compile(lambda rows, mix: blend(rows, mix, mix.lam_x), fullgraph=True, backend="aot_eager")
    assert is_by_hand(compiled(rows, mix), rows, mix)


@pytest.mark.parametrize("layout", ["matrix", "channels last", "long rows"])
def test_gradients_flow_to_both_rows_by_their_shares(layout: str):
    rows, mix = LAYOUTS[layout](torch.float64).requires_grad_(), some_mix(11)
    weight = noise(11, *rows.shape[1:]).flip(-1)
    (gradient,) = torch.autograd.grad((blend(rows, mix, mix.lam_x) * weight).sum(), rows)
    expected = torch.zeros_like(rows)
    for i, j, lam, w in zip(mix.anchor, mix.partner, mix.lam_x.double(), weight, strict=True):
        expected[i] += lam * w
        expected[j] += (1 - lam) * w
    assert torch.allclose(gradient, expected)


@pytest.mark.parametrize("site", [None, "0", "1"])
def test_weights_before_and_after_a_site_have_the_gradient_of_the_formula(site: str | None):
    net, x = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)).double(), noise(N, 5)
    mix = replace(some_mix(8), site=site)
    at, hidden = 0 if site is None else int(site) + 1, x
    hidden = net[:at](hidden)
    lam = mix.lam_x.double()[:, None]
    expected = net[at:](lam * hidden[mix.anchor] + (1 - lam) * hidden[mix.partner]).square().sum()
    ours = mixed_output(net, x, mix).square().sum()
    pairs = [torch.autograd.grad(loss, list(net.parameters())) for loss in (ours, expected)]
    assert all(torch.allclose(mine, other) and (mine != 0).any() for mine, other in zip(*pairs, strict=True))


@pytest.mark.parametrize("width", [5, LONG])
def test_gradients_flow_to_the_shares(width: int):
    rows, mix = noise(N, width), some_mix(7)
    lam = mix.lam_x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(blend(rows, mix, lam).sum(), lam)
    assert torch.allclose(gradient, (rows[mix.anchor] - rows[mix.partner]).sum(1))


shares = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=12)
numbers = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=12)


@given(numbers, shares, st.sampled_from([torch.float32, torch.float64]), st.booleans())
@example([1e6, -1e6], [1.0, 0.0], torch.float32, True)
def test_a_mixed_row_lies_between_its_two(values: list[float], lam: list[float], dtype: torch.dtype, gradient: bool):
    rows = torch.tensor(values, dtype=dtype)[:, None].expand(-1, 3).contiguous().requires_grad_(gradient)
    numbers = torch.arange(len(lam))
    mix = mix_of((numbers % len(values)).tolist(), ((numbers * 5 + 1) % len(values)).tolist(), lam)
    mixed, a, b = blend(rows, mix, mix.lam_x), rows[mix.anchor], rows[mix.partner]
    room = 4 * torch.finfo(dtype).eps * (a.abs() + b.abs())
    assert (mixed >= torch.minimum(a, b) - room).all()
    assert (mixed <= torch.maximum(a, b) + room).all()


@given(shares, st.booleans())
def test_swapping_the_two_rows_and_their_shares_changes_nothing(lam: list[float], gradient: bool):
    m = len(lam)
    rows, mix = noise(N, 4).requires_grad_(gradient), some_mix(max(m, 2))
    mix = Mix(mix.anchor[:m], mix.partner[:m], torch.tensor(lam).double(), torch.tensor(lam).double())
    swapped = Mix(mix.partner, mix.anchor, 1 - mix.lam_x, 1 - mix.lam_y)
    assert torch.allclose(blend(rows, mix, mix.lam_x), blend(rows, swapped, swapped.lam_x), rtol=0, atol=1e-14)


@given(shares, st.floats(-3, 3), st.floats(-3, 3))
def test_blending_is_linear_in_the_rows(lam: list[float], a: float, b: float):
    m = len(lam)
    first, second, mix = noise(N, 4), noise(N, 4).flip(0), some_mix(max(m, 2))
    mix = Mix(mix.anchor[:m], mix.partner[:m], torch.tensor(lam), torch.tensor(lam))
    together = a * blend(first, mix, mix.lam_x) + b * blend(second, mix, mix.lam_x)
    assert torch.allclose(blend(a * first + b * second, mix, mix.lam_x), together, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", ["matrix", "long rows", "long channels last"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once_and_at_the_end(layout: str, dtype: torch.dtype):
    rows, mix = LAYOUTS[layout](dtype), some_mix(11)
    exact = blend(rows.float(), mix, mix.lam_x).to(dtype)
    for kind in (dtype, torch.float32):
        buffer = torch.empty_like(exact, dtype=kind)
        for mixed in (blend(rows, mix, mix.lam_x), blend(rows, mix, mix.lam_x, out=buffer)):
            assert (mixed != exact).float().mean() < 1e-3  # but for ties


@pytest.mark.parametrize("size", [(4, 5), (150, 160)])
def test_a_share_for_every_entry_is_blended_entry_by_entry(size: tuple[int, int]):
    rows, mix = noise(N, 3, *size), some_mix(7)
    lam = torch.rand(7, 1, *size, dtype=torch.float64)
    expected = lam * rows[mix.anchor] + (1 - lam) * rows[mix.partner]
    for kind in (rows, rows.to(memory_format=torch.channels_last), rows.clone().requires_grad_()):
        assert torch.allclose(blend(kind, mix, lam), expected)
        assert torch.allclose(blend(kind, mix, lam.float()), expected, atol=1e-6)
        assert torch.allclose(blend(kind.detach(), mix, lam, out=torch.empty_like(expected)), expected)
    assert torch.allclose(blend(rows.bfloat16(), mix, lam).double(), expected, rtol=0.05, atol=0.05)
    mask = rows > 0
    either = (mask[mix.anchor] & (lam > 0.5)) | (mask[mix.partner] & (lam <= 0.5))
    assert torch.equal(blend(mask, mix, (lam > 0.5).double()), either)


def test_channels_last_is_kept():
    x = torch.randn(3, 4, 5, 6).to(memory_format=torch.channels_last)
    assert blend(x, MIX, MIX.lam_x).is_contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Clip:
    sound: Tensor
    mask: Tensor


Pair = namedtuple("Pair", ["left", "right"])


def test_trees_are_blended_leaf_by_leaf_and_keep_their_structure():
    sound, mask = torch.randn(3, 6), torch.tensor([[True, False], [False, False], [False, True]])
    tree = {"clip": Clip(sound, mask), "pair": Pair(sound, [sound * 2]), "plain": (sound,)}
    mixed = blend(tree, MIX, MIX.lam_x)
    assert isinstance(mixed["clip"], Clip)
    assert isinstance(mixed["pair"], Pair)
    assert torch.equal(mixed["pair"].right[0], 2 * mixed["plain"][0])
    # a mask is or-ed over the rows that have a share: the third mixed row has lam = 1, the fourth lam = 0
    assert mixed["clip"].mask.tolist() == [[True, False], [False, True], [False, True], [True, False]]


def test_integers_are_an_error_that_names_the_remedy():
    with pytest.raises(ShapeError, match=r"int64 cannot be blended.*\.float\(\).*site="):
        blend(torch.arange(3), MIX, MIX.lam_x)
    with pytest.raises(ShapeError, match="tensors, or dicts"):
        map_leaves(torch.clone, "text")


def test_mixed_target_uses_the_targets_share():
    mix = replace(MIX, lam_y=torch.tensor([0.75, 0.5, 0.0, 1.0]))
    assert mixed_target(torch.eye(3), mix).tolist() == [[0.75, 0.25, 0.0], [0, 0.5, 0.5], [1, 0, 0], [1, 0, 0]]


# -------------------------------------------------------------------------------------------- at a site


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))


def test_mixing_at_a_hidden_site_blends_that_module_s_output():
    net, x = network(), torch.randn(3, 4)
    by_hand = net[2](blend(net[1](net[0](x)), MIX, MIX.lam_x))
    assert torch.equal(mixed_output(net, x, replace(MIX, site="1")), by_hand)


def test_mixing_before_a_linear_network_is_mixing_after_it():
    net, x = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)).double(), torch.randn(3, 4, dtype=torch.float64)
    outputs = [mixed_output(net, x, replace(MIX, site=site)) for site in (None, "0", "1")]
    assert torch.allclose(outputs[0], outputs[1])
    assert torch.allclose(outputs[0], outputs[2])


def test_no_hook_survives_not_even_a_failing_step():
    net = network()
    mixed_output(net, torch.randn(3, 4), replace(MIX, site="1"))
    with pytest.raises(RuntimeError):
        mixed_output(net, torch.randn(3, 99), replace(MIX, site="1"))
    assert all(not module._forward_hooks for module in net.modules())


def test_unknown_and_unreached_sites_are_errors_that_help():
    with pytest.raises(SiteError, match=r"no module 'layer9'; its modules are: 0, 1, 2"):
        mixed_output(network(), torch.randn(3, 4), replace(MIX, site="layer9"))
    net = network()
    net.add_module("idle", nn.Identity())
    net.forward = net[0].forward
    with pytest.raises(SiteError, match="never reached the site 'idle'"):
        mixed_output(net, torch.randn(3, 4), replace(MIX, site="idle"))


def test_applying_a_mix_compiles_in_one_graph():
    def both(x: Tensor, target: Tensor, mix: Mix) -> tuple[Tensor, Tensor]:
        return blend(x, mix, mix.lam_x), mixed_target(target, mix)

    x, target = torch.randn(3, 4, 2), torch.eye(3)
    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    for ours, eager in zip(compiled(x, target, MIX), both(x, target, MIX), strict=True):
        assert torch.allclose(ours, eager, rtol=0, atol=1e-6)

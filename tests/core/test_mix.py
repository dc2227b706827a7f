"""Blending rows, mixing at a site, and what is left behind (nothing)."""

from collections import namedtuple
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from calmix import Mix, blend, mixed_output, mixed_target
from calmix.core.mix import map_leaves
from calmix.errors import ShapeError, SiteError


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

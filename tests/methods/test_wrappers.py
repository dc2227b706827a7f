"""Methods made from methods."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix import Classification, TrainingLoss, folded, scheduled, sometimes, with_whole_set, without_self_pairs
from calmix.core.method import Scheduled
from calmix.errors import SettingError, UnknownNameError
from calmix.methods.read import read_method
from calmix.methods.spaces import SPACES, space_of
from calmix.methods.table import METHODS
from calmix.methods.wrappers import with_options
from calmix.parts import Embedding, Method, Mix, Sometimes, WholeSet
from calmix.studies.tuning.points import first_options

N, SIDE = 16, 16


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 5), nn.Tanh(), nn.Linear(5, 4))


def mixes(method: Method | Scheduled, steps: int, seed: int = 0, n: int = N) -> list[Mix]:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(n, 1, SIDE, SIDE, generator=generator), torch.arange(n) % 4
    training_loss, net, made = TrainingLoss(method, Classification(4), seed), network(), []
    for _ in range(steps):
        training_loss(net, x, y)
        assert training_loss.mix is not None
        made.append(training_loss.mix)
    return made


def unmixed(share: Tensor) -> float:
    return float((share == 1).double().mean())


# --------------------------------------------------------------------------------------------- sometimes


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_a_share_of_the_batches_is_left_unmixed(p: float):
    made = mixes(sometimes(calmix.mixup(per_row=True), p), 600)
    shares = [unmixed(mix.lam_x) for mix in made]
    assert set(shares) == {0.0, 1.0}
    assert all(torch.equal(mix.lam_x, mix.lam_y) for mix in made)
    assert abs(sum(shares) / 600 - (1 - p)) < 4 * math.sqrt(p * (1 - p) / 600)


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_a_share_of_the_rows_is_left_unmixed(p: float):
    made = mixes(sometimes(calmix.mixup(per_row=True), p, per_row=True), 100)
    lam = torch.cat([mix.lam_x for mix in made])
    assert abs(unmixed(lam) - (1 - p)) < 4 * math.sqrt(p * (1 - p) / lam.numel())
    assert any(0 < unmixed(mix.lam_x) < 1 for mix in made)


@pytest.mark.parametrize("per_row", [False, True])
def test_cutmix_is_left_out_as_a_whole(per_row: bool):
    rows = 0
    for mix in mixes(sometimes(calmix.cutmix(), 0.5, per_row), 100):
        whole = (mix.lam_x == 1).flatten(1).all(1)
        assert torch.allclose(mix.lam_x.mean((1, 2, 3)), mix.lam_y)  # both or neither
        rows += int(whole.sum())
    assert 0.4 < rows / (100 * N) < 0.75  # some boxes are empty


def test_with_p_1_it_is_the_method():
    """The same numbers, after the one draw that decides."""
    for per_row in (False, True):
        method = calmix.mixup(per_row=True)
        x, y = torch.randn(N, 1, SIDE, SIDE), torch.arange(N) % 4
        step = method.step(network(), Classification(4), calmix.parts.Batch(x, y))
        anchor, generators = torch.arange(N), [torch.Generator().manual_seed(3) for _ in range(2)]
        torch.rand(N if per_row else 1, generator=generators[1])
        always = sometimes(method, 1.0, per_row).coefficient(step, anchor, anchor, generators[0])[0]
        assert torch.equal(always, method.coefficient(step, anchor, anchor, generators[1])[0])


def test_an_unmixed_batch_is_plain_training():
    x, y, net = torch.randn(N, 1, SIDE, SIDE), torch.arange(N) % 4, network()
    plain = TrainingLoss(calmix.erm(), Classification(4))(net, x, y)
    training_loss = TrainingLoss(sometimes(calmix.sk_mixup(), 1e-9), Classification(4))
    assert torch.equal(training_loss(net, x, y), plain)


# ------------------------------------------------------------------------------------------------ folded


@pytest.mark.parametrize(
    "method",
    [
        calmix.mixup(per_row=True),
        calmix.sk_mixup(),
        calmix.manifold_mixup(per_row=True),
        calmix.rankmixup(per_row=True),
    ],
)
def test_folded_shares_are_at_least_a_half(method: Method):
    for before, after in zip(mixes(method, 20), mixes(folded(method), 20), strict=True):
        assert torch.equal(after.lam_x, torch.maximum(before.lam_x, 1 - before.lam_x))
        assert torch.equal(after.lam_x, after.lam_y)
        assert torch.equal(after.partner, before.partner)


@pytest.mark.parametrize(
    "method",
    [
        folded(calmix.cutmix(per_row=True)),
        folded(sometimes(calmix.cutmix(per_row=True), 0.9, per_row=True)),
        sometimes(folded(calmix.cutmix(per_row=True)), 0.9, per_row=True),
    ],
)
def test_folded_cutmix_pastes_at_most_half_of_the_image(method: Method):
    pasted = torch.cat([1 - mix.lam_x.mean((1, 2, 3)) for mix in mixes(method, 40)])
    counted = torch.cat([1 - mix.lam_y for mix in mixes(method, 40)])
    assert torch.allclose(pasted, counted, atol=1e-6)  # the boxes are folded, and the targets with them
    assert pasted.max() <= 0.5
    assert (pasted > 0).double().mean() > 0.4
    assert max(float((1 - mix.lam_y).max()) for mix in mixes(calmix.cutmix(per_row=True), 40)) > 0.5


@pytest.mark.parametrize("wrapper", [sometimes, folded])
def test_pairs_that_must_be_taken_apart_again_are_refused(wrapper):
    for method in (calmix.mit_l(), calmix.mit_a()):
        with pytest.raises(SettingError, match="one lam, which mit cannot take apart again"):
            wrapper(method)


# ------------------------------------------------------------------------------------ without self-pairs


@pytest.mark.parametrize("n", [2, 3, 5, 16])
def test_no_row_meets_itself_and_each_is_a_partner_once(n: int):
    for mix in mixes(without_self_pairs(calmix.mixup()), 50, n=n):
        assert torch.equal(mix.anchor, torch.arange(n))
        assert torch.equal(mix.partner.sort().values, mix.anchor)
        assert (mix.partner != mix.anchor).all()
    if n > 3:
        assert any((mix.partner == mix.anchor).any() for mix in mixes(calmix.mixup(), 50, n=n))


def test_a_row_that_is_alone_still_meets_itself():
    assert mixes(without_self_pairs(calmix.mixup()), 3, n=1)[0].partner.tolist() == [0]


def test_every_other_row_is_equally_likely():
    partner = torch.stack([mix.partner for mix in mixes(without_self_pairs(calmix.mixup()), 2000, n=5)])
    for row in range(5):
        frequency = partner[:, row].bincount(minlength=5) / 2000
        assert frequency[row] == 0
        assert (frequency[torch.arange(5) != row] - 0.25).abs().max() < 0.05


def test_methods_that_do_not_shuffle_are_refused_by_name():
    for method in (calmix.k_mixup(), calmix.near_mixup(), calmix.mit_l(), calmix.erm()):
        with pytest.raises(
            SettingError, match=r"for methods that shuffle; this one pairs by (Optim|Quant|Twice|SelfPairs)"
        ):
            without_self_pairs(method)


# --------------------------------------------------------------------------------------------- scheduled


def test_a_schedule_switches_at_its_epoch():
    schedule = scheduled(scheduled(calmix.mixup(), 2, calmix.cutmix()), 5, calmix.sk_mixup())
    expected = [calmix.mixup()] * 2 + [calmix.cutmix()] * 3 + [calmix.sk_mixup()] * 2
    assert [schedule.at(epoch) for epoch in range(7)] == expected
    assert [scheduled(calmix.mixup(), 1).at(epoch) for epoch in (0, 1)] == [calmix.mixup(), calmix.erm()]
    assert calmix.mixup().at(7) == calmix.mixup()
    for until in (-1, 0, 0.0, 1.0, 1.5, -0.5):
        with pytest.raises(SettingError, match=f"whole number of epochs, at least 1, or a share .* got {until}"):
            scheduled(calmix.mixup(), until)


@pytest.mark.parametrize(("epochs", "mixed"), [(1, 1), (2, 1), (3, 2), (10, 6), (30, 18)])
def test_a_share_of_the_epochs_is_mixed_and_at_least_one(epochs: int, mixed: int):
    schedule = scheduled(calmix.sk_mixup(), 20, scheduled(calmix.mixup(), 0.6)).planned(epochs).then
    assert [schedule.at(epoch) for epoch in range(epochs)] == [calmix.mixup()] * mixed + [calmix.erm()] * (
        epochs - mixed
    )
    assert calmix.mixup().planned(epochs) == calmix.mixup()


def test_a_share_needs_the_number_of_epochs():
    with pytest.raises(
        SettingError, match=r"until 0.8 of the epochs needs their number.*TrainingLoss\(..., epochs=30\)"
    ):
        TrainingLoss(scheduled(calmix.mixup(), 0.8), Classification(4))
    later = scheduled(calmix.mixup(), 3, scheduled(calmix.mixup(), 0.5))
    with pytest.raises(SettingError, match=r"until 0\.5 of the epochs needs their number"):
        TrainingLoss(later, Classification(4))


@pytest.mark.parametrize("wrapper", [sometimes, folded, without_self_pairs, with_whole_set])
def test_other_wrappers_go_inside_a_schedule(wrapper: Callable[[Any], Method]):
    with pytest.raises(SettingError, match=rf"{wrapper.__name__} takes one method, and got Scheduled.*scheduled\("):
        wrapper(scheduled(calmix.mixup(), 3))


def test_the_training_loss_follows_its_epoch_and_keeps_it_in_its_state():
    x, y, net = torch.randn(N, 1, SIDE, SIDE), torch.arange(N) % 4, network()
    training_loss = TrainingLoss(scheduled(calmix.mixup(), 3), Classification(4))
    plain = TrainingLoss(calmix.erm(), Classification(4))(net, x, y)
    seen = []
    for epoch in range(5):
        training_loss.epoch = epoch
        loss = training_loss(net, x, y)
        seen.append(sorted(training_loss.terms))
        assert torch.equal(loss, plain) == (epoch >= 3)
    assert seen == [["mixed"]] * 3 + [["clean"]] * 2
    resumed = TrainingLoss(scheduled(calmix.mixup(), 3), Classification(4))
    assert resumed.epoch == 0
    resumed.load_state_dict(training_loss.state_dict())
    assert resumed.epoch == 4
    assert torch.equal(resumed(net, x, y), plain)


def test_after_a_method_that_remembers_another_may_remember_elsewhere_and_mixup_remembers_nothing():
    x, y, index, net = torch.randn(N, 1, SIDE, SIDE), torch.arange(N) % 4, torch.arange(N), network()
    here, there = (calmix.sk_mixup(space=calmix.parts.Remembered(site)) for site in ("1", "2"))
    training_loss = TrainingLoss(scheduled(here, 1, then=scheduled(there, 2, then=calmix.mixup())), Classification(4))
    kept = []
    for epoch in range(4):
        training_loss.epoch = epoch
        training_loss(net, x, y, index)
        kept.append({site: t.clone() for site, t in training_loss.state_dict()["_extra_state"]["memory"].items()})
    assert [list(tables) for tables in kept] == [["1"], ["1", "2"], ["1", "2"], ["1", "2"]]
    for site in ("1", "2"):
        assert torch.equal(kept[1][site].nan_to_num(), kept[3][site].nan_to_num())


# ----------------------------------------------------------------------------------------------- as text


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("sometimes(method=mixup, p=0.8)", sometimes(calmix.mixup(), 0.8)),
        ("sometimes(method=cutmix(per_row=True), per_row=True)", sometimes(calmix.cutmix(per_row=True), 0.5, True)),
        ("folded(method=sk_mixup(tau_std=1))", folded(calmix.sk_mixup(tau_std=1))),
        ("without_self_pairs(method=mixup)", without_self_pairs(calmix.mixup())),
        ("with_whole_set(method=sk_mixup(tau_max=5))", with_whole_set(calmix.sk_mixup(tau_max=5))),
        ("scheduled(method=mixup, until=80)", scheduled(calmix.mixup(), 80)),
        (
            "scheduled(method=sometimes(method=mixup), until=2, then=scheduled(method=folded(method=mixup), until=4))",
            scheduled(sometimes(calmix.mixup()), 2, scheduled(folded(calmix.mixup()), 4)),
        ),
        (
            "mixup_e(coefficient=Sometimes(coefficient=Beta(alpha=2), p=0.5))",
            calmix.mixup_e(coefficient=Sometimes(calmix.parts.Beta(2), 0.5)),
        ),
    ],
)
def test_wrapped_methods_are_read_from_text(text: str, method: Method | Scheduled):
    assert read_method(text) == method


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sometimes", r"sometimes needs method; write sometimes\(method=\.\.\.\)"),
        ("scheduled(method=mixup)", r"scheduled needs until"),
        ("sometimes(method=Beta())", "method must be one of the methods; got Beta"),
        ("sometimes(method=scheduled(method=mixup, until=3))", "method must be one of the methods; got Scheduled"),
        ("sometimes(method=mixup, p=0)", "p must be a number above 0 and at most 1; got 0"),
        ("scheduled(method=mixup, until=-1)", "until must be a whole number of epochs"),
    ],
)
def test_wrappers_that_cannot_be_read_are_one_sentence(text: str, message: str):
    with pytest.raises(SettingError, match=message):
        read_method(text)
    with pytest.raises(UnknownNameError, match="unknown part 'mixupp'; did you mean 'mixup"):
        read_method("folded(method=mixupp())")


# ---------------------------------------------------------------------------------------- other options


DERIVED = {"near_mixup", "far_mixup"}  # whose option is two fields of a part


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("name", sorted({*SPACES} - DERIVED))
def test_options_of_a_value_are_those_of_its_function(name: str, regression: bool):
    for options in first_options(space_of(name, regression), 6, seed=1):
        own = {option: value for option, value in options.items() if option != "until"}
        assert with_options(METHODS[name](), **own) == METHODS[name](**own)


@pytest.mark.parametrize("name", sorted(DERIVED))
def test_an_option_that_no_part_has_is_refused(name: str):
    with pytest.raises(SettingError, match="has the option 'quantile', so it cannot be searched here"):
        with_options(METHODS[name](), quantile=0.3)


def test_options_leave_what_the_experiment_chose():
    whole = with_options(with_whole_set(calmix.sk_mixup(0.0001, 0.5)), tau_max=2.0)
    assert whole == with_whole_set(calmix.sk_mixup(2.0, 0.5))
    hidden = replace(calmix.sk_mixup(space=Embedding("hidden")), site="hidden")
    assert with_options(hidden, tau_std=0.9) == replace(
        calmix.sk_mixup(tau_std=0.9, space=Embedding("hidden")), site="hidden"
    )
    assert isinstance(whole.pairing, WholeSet)

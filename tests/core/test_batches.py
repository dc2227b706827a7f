"""Batches as people have them: trees, several targets, series, masks, ids, half precision, parts and single rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import calmix
from calmix import METHODS, Classification, MultiTask, PerRow, Regression, TrainingLoss
from calmix.core.tree import cat_rows, leaves, map_leaves, take_rows
from calmix.errors import SettingError, ShapeError, SiteError
from calmix.parts import Jacobian, JacobianAbs, Logit, LogitDetached, Mix, Slope, blend, mixed_target

N = 12
IMAGE = (1, 3, 2)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


def batch(n: int = N, shape: tuple[int, ...] = IMAGE) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, *shape, generator=generator), torch.arange(n) % 3


def after_a_step(
    method: calmix.parts.Method, task: calmix.parts.Task, net: nn.Module, x: Any, y: Any
) -> tuple[Tensor, Any]:
    """The loss and the training loss after a step on a batch that is the whole training set."""
    training_loss = TrainingLoss(method, task, seed=3, data=(x, y))
    return training_loss(net, x, y, torch.arange(len(leaves(y)[0]))), training_loss


# ---------------------------------------------------------------------------------------------------- trees


@dataclass(frozen=True)
class Pair:
    left: Any
    right: Any


def test_trees_are_mapped_side_by_side_and_their_rows_taken_and_joined():
    tree = {"a": Pair(torch.arange(4), (torch.eye(4),)), "b": [torch.ones(4, dtype=torch.bool)]}
    assert [leaf.shape for leaf in leaves(tree)] == [(4,), (4, 4), (4,)]
    parts = take_rows(tree, slice(1)), take_rows(tree, torch.tensor([1, 2, 3]))
    whole = cat_rows(*parts)
    assert isinstance(whole["a"], Pair)
    assert all(torch.equal(*pair) for pair in zip(leaves(whole), leaves(tree), strict=True))
    assert all((leaf == 0).all() for leaf in leaves(map_leaves(torch.ne, tree, whole)))


# ------------------------------------------------------------------------------------------ several targets


class Named(nn.Module):
    """A network whose outputs have names."""

    def __init__(self, net: nn.Module, **heads: nn.Module) -> None:
        super().__init__()
        self.net, self.heads = net, nn.ModuleDict(heads)

    def forward(self, x: Any) -> dict[str, Tensor]:
        z = self.net(x)
        return {name: head(z) for name, head in self.heads.items()} or {"kind": z}


ONE = MultiTask({"kind": Classification(3)})
WITHOUT_CLASSES = sorted(METHODS.keys() - {"rankmixup", "auto"})


@pytest.mark.parametrize("name", WITHOUT_CLASSES)
def test_one_task_with_a_name_is_that_task_in_every_method(name: str):
    x, y = batch()
    alone, of_alone = after_a_step(METHODS[name](), Classification(3), network(), x, y)
    named, of_named = after_a_step(METHODS[name](), ONE, Named(network()), x, {"kind": y})
    assert torch.equal(alone, named)
    assert torch.equal(of_alone.accuracy(), of_named.accuracy())


@pytest.mark.parametrize("slope", [Jacobian(), JacobianAbs(), Logit(), LogitDetached()])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_mixup_e_takes_one_named_task_for_that_task(slope: Slope, share: float):
    (x, y), method = batch(), calmix.mixup_e(slope=slope, share=share)
    alone, _ = after_a_step(method, Classification(3), network(), x, y)
    named, _ = after_a_step(method, ONE, Named(network()), x, {"kind": y})
    assert torch.equal(alone, named)


def two_heads() -> Named:
    torch.manual_seed(1)
    body = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh())
    return Named(body, kind=nn.Linear(8, 3), size=nn.Linear(8, 1))


TWO = MultiTask({"kind": Classification(3), "size": Regression()}, weights={"size": 0.25})


class Only(nn.Module):
    """One of the outputs."""

    def __init__(self, net: Named, name: str) -> None:
        super().__init__()
        self.net, self.name = net, name

    def forward(self, x: Any) -> Tensor:
        return self.net(x)[self.name]


@pytest.mark.parametrize("slope", [Jacobian(threshold=1e6), Logit(threshold=1e6), LogitDetached()])
def test_the_terms_of_two_tasks_are_the_weighted_sums_of_their_own(slope: Slope):
    """The penalty too, which for the thresholds out of reach is linear in the tasks."""
    x, y = batch()
    objective = calmix.parts.DirectionalPenalty(0.1, 1.0, slope, rescale=False)
    method = replace(calmix.mixup_e(), objective=objective)
    size, net = torch.rand(N), two_heads()
    _, both = after_a_step(method, TWO, net, x, {"kind": y, "size": size})
    _, kind = after_a_step(method, Classification(3), Only(net, "kind"), x, y)
    _, sizes = after_a_step(method, Regression(), Only(net, "size"), x, size)
    assert sorted(both.terms) == ["mixed", "slope"]
    for term, value in both.terms.items():
        assert torch.allclose(value, kind.terms[term] + 0.25 * sizes.terms[term], atol=1e-6)


@pytest.mark.parametrize("name", WITHOUT_CLASSES)
def test_two_tasks_train_every_parameter_with_every_method(name: str):
    (x, y), net = batch(), two_heads()
    loss, training_loss = after_a_step(METHODS[name](), TWO, net, x, {"kind": y, "size": torch.rand(N)})
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    assert 0 <= training_loss.accuracy() <= 1
    training_loss.eval()
    y = {"kind": y, "size": torch.rand(N)}
    plain = F.cross_entropy(net(x)["kind"], y["kind"]) + 0.25 * F.mse_loss(net(x)["size"][:, 0], y["size"])
    assert torch.allclose(training_loss(net, x, y), plain)


def test_heads_on_the_same_features_share_their_embedding():
    x, net = batch()[0], two_heads()
    assert torch.equal(calmix.parts.CleanPass(net, x).embedding(), net.net(x))
    apart = Named(nn.Flatten(), kind=nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)), size=nn.Linear(6, 1))
    with pytest.raises(SiteError, match=r"several nn\.Linear could be"):
        calmix.parts.CleanPass(apart, x).embedding()


def test_rankmixup_ranks_one_task_s_classes_and_every_row_of_it():
    x, y = batch()
    with pytest.raises(SettingError, match="ranks the confidences of classes; the task MultiTask"):
        after_a_step(calmix.rankmixup(), ONE, Named(network()), x, {"kind": y})
    with pytest.raises(SettingError, match="leave out rows without one"):
        after_a_step(calmix.rankmixup(), Classification(3, ignore_index=0), network(), x, y)


def test_targets_of_another_length_are_an_error():
    (x, y), net = batch(), two_heads()
    with pytest.raises(ShapeError, match="same number of rows"):
        TrainingLoss(calmix.mixup(), TWO)(net, x, {"kind": y, "size": torch.rand(N - 1)})


def test_a_data_set_of_rows_with_several_targets_is_the_tensors_of_them():
    (x, y), size = batch(), torch.rand(N)
    tensors = calmix.parts.TrainingSet((x, {"kind": y, "size": size}))
    rows = calmix.parts.TrainingSet([(x[i], {"kind": y[i], "size": size[i]}) for i in range(N)])
    index = torch.tensor([3, 0, 3])
    assert len(tensors) == len(rows) == N
    for ours, theirs in (
        (tensors.fetch(index).y, rows.fetch(index).y),
        (tensors.targets(TWO, torch.device("cpu")), rows.targets(TWO, torch.device("cpu"))),
    ):
        assert torch.equal(ours["kind"], theirs["kind"])
        assert torch.equal(ours["size"], theirs["size"])


# ----------------------------------------------------------------------------------------- any loss of a row

LOSSES_ONLY = sorted(METHODS.keys() - {"rankmixup", "auto", "mixup_e", "sk_mixup_e", "c_mixup"})


def cross_entropy(output: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(output, y, reduction="none")


@pytest.mark.parametrize("name", LOSSES_ONLY)
def test_mixed_losses_are_mixed_targets_for_the_cross_entropy(name: str):
    x, y = batch()
    of_targets, _ = after_a_step(METHODS[name](), Classification(3), network(), x, y)
    of_losses, training_loss = after_a_step(METHODS[name](), PerRow(cross_entropy), network(), x, y)
    assert torch.allclose(of_losses, of_targets)
    assert training_loss.accuracy() is None


def test_in_eval_any_loss_is_itself():
    (x, y), net = batch(), network().eval()
    assert torch.allclose(
        TrainingLoss(calmix.mixup(), PerRow(cross_entropy)).eval()(net, x, y), F.cross_entropy(net(x), y)
    )


def test_methods_that_need_more_than_the_loss_say_so():
    x, y = batch()
    with pytest.raises(SettingError, match="use a method that takes the loss alone"):
        after_a_step(calmix.mixup_e(), PerRow(cross_entropy), network(), x, y)
    with pytest.raises(ShapeError, match="distances between rows need floating values"):
        after_a_step(calmix.c_mixup(), PerRow(cross_entropy), network(), x, y)


def test_distances_between_targets_of_any_loss_are_those_of_its_values():
    x, values = batch()[0], torch.rand(N, 2)
    step = calmix.c_mixup().step(network(), PerRow(cross_entropy), calmix.parts.Batch(x, values))
    assert torch.equal(calmix.parts.Targets()(step), values)


def test_a_tree_of_targets_goes_to_the_loss_as_it_came():
    def within(output: Tensor, y: Pair) -> Tensor:
        return (F.relu(y.left - output[:, 0]) + F.relu(output[:, 0] - y.right)).double()

    x, low = batch()[0], torch.rand(N)
    training_loss = TrainingLoss(calmix.mixup(per_row=True), PerRow(within))
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 1))
    loss, mix = training_loss(net, x, Pair(low, low + 1)), training_loss.mix
    assert mix is not None
    output = net(blend(x, mix, mix.lam_x))
    halves = [within(output, Pair(low[row], low[row] + 1)) for row in (mix.anchor, mix.partner)]
    assert torch.allclose(loss, (mix.lam_y * halves[0] + (1 - mix.lam_y) * halves[1]).mean())


# --------------------------------------------------------------------------------------------------- series


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"cutmix", "rankmixup", "auto"}))
def test_series_of_targets_are_their_flattened_values_in_every_method(name: str):
    """(n, t, d) in and out is the same as (n, t d), but for the mean over what a network emits."""
    x, y = torch.randn(N, 3, 2), torch.randn(N, 3, 2)
    torch.manual_seed(0)
    flat = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 6))

    class Series(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat = flat

        def forward(self, x: Tensor) -> Tensor:
            return self.flat(x.flatten(1)).view(-1, 3, 2)

    space = {"space": calmix.parts.Targets()} if name in ("near_mixup", "far_mixup") else {}
    of_series, _ = after_a_step(METHODS[name](**space), Regression(2), Series(), x, y)
    of_values, _ = after_a_step(METHODS[name](**space), Regression(6), flat, x.flatten(1), y.flatten(1))
    assert torch.allclose(of_series, of_values)


class Pooled(nn.Module):
    """The mean over the times that a mask keeps -> logits."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        kept = x["mask"][..., None]
        return self.head((x["values"] * kept).sum(1) / kept.sum(1))


def test_padded_sequences_mix_their_values_and_or_their_masks():
    lengths = torch.tensor([1, 5, 3])
    mask = torch.arange(5) < lengths[:, None]
    x = {"values": torch.randn(3, 5, 4) * mask[..., None], "mask": mask}
    training_loss = TrainingLoss(calmix.mixup(per_row=True), Classification(3), seed=2)
    net = Pooled()
    loss, mix = training_loss(net, x, torch.tensor([0, 1, 2])), training_loss.mix
    assert mix is not None
    longer = torch.maximum(lengths[mix.anchor], lengths[mix.partner])
    lam = mix.lam_x[:, None]
    assert not torch.equal(mix.anchor, mix.partner)
    sums = x["values"].sum(1)
    output = net.head((lam * sums[mix.anchor] + (1 - lam) * sums[mix.partner]) / longer[:, None])
    target = mixed_target(torch.eye(3), mix)
    assert torch.allclose(loss, F.cross_entropy(output, target))


# ----------------------------------------------------------------------------------------------- token ids


class Embed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 4, padding_idx=0)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        return {"values": self.table(ids), "mask": ids != 0}


def test_token_ids_are_mixed_by_their_embeddings_and_masks():
    torch.manual_seed(0)
    embed, pooled = Embed(), Pooled()
    net = nn.Sequential()
    net.add_module("embed", embed)
    net.add_module("pooled", pooled)
    ids = torch.tensor([[3, 4, 0, 0], [5, 6, 7, 0], [8, 0, 0, 0]])
    training_loss = TrainingLoss(calmix.manifold_mixup(sites=("embed",)), Classification(3), seed=1)
    loss, mix = training_loss(net, ids, torch.tensor([0, 1, 2])), training_loss.mix
    assert mix is not None
    lam = mix.lam_x[:, None, None]
    values = lam * embed.table(ids[mix.anchor]) + (1 - lam) * embed.table(ids[mix.partner])
    by_hand = {"values": values, "mask": (ids[mix.anchor] != 0) | (ids[mix.partner] != 0)}
    assert torch.allclose(loss, F.cross_entropy(pooled(by_hand), mixed_target(torch.eye(3), mix)))
    with pytest.raises(ShapeError, match="site="):
        TrainingLoss(calmix.mixup(), Classification(3))(net, ids, torch.tensor([0, 1, 2]))


# ------------------------------------------------------------------------------------------- one-hot or ids


@pytest.mark.parametrize("name", sorted(METHODS))
def test_one_hot_rows_and_class_ids_are_the_same_in_every_method(name: str):
    x, y = batch()
    of_ids, _ = after_a_step(METHODS[name](), Classification(3), network(), x, y)
    of_rows, _ = after_a_step(METHODS[name](), Classification(3), network(), x, F.one_hot(y, 3).float())
    assert torch.equal(of_ids, of_rows)


# -------------------------------------------------------------------------------------- rows without a label

UNLABELLED = Classification(3, ignore_index=-100)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"rankmixup"}))
def test_a_batch_that_is_all_labelled_is_as_if_labels_could_not_be_missing(name: str):
    x, y = batch()
    plain, _ = after_a_step(METHODS[name](), Classification(3), network(), x, y)
    labelled, _ = after_a_step(METHODS[name](), UNLABELLED, network(), x, y)
    assert torch.allclose(plain, labelled)


@pytest.mark.parametrize("joint", [True, False])
def test_clean_and_mixed_rows_are_averaged_over_their_own_labels(joint: bool):
    x, y = batch()
    y = torch.where(torch.arange(N) < 5, -100, y)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    method = replace(calmix.mixup(per_row=True), objective=calmix.parts.CleanAndMixedLoss(joint=joint))
    _, training_loss = after_a_step(method, UNLABELLED, net, x, y)
    mix = training_loss.mix
    target = mixed_target(UNLABELLED.target(y), mix)
    mixed = -(target * net(blend(x, mix, mix.lam_x)).log_softmax(1)).sum() / target.sum()
    assert torch.allclose(training_loss.terms["clean"], F.cross_entropy(net(x), y))
    assert torch.allclose(training_loss.terms["mixed"], mixed)


def test_the_penalty_of_mixup_e_is_plain_training_on_the_labelled_rows():
    """The gradient of its detached version is that of the clean cross-entropy, unlabelled rows and all."""
    x, y = batch()
    y, net = torch.where(torch.arange(N) < 5, -100, y), nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    objective = calmix.parts.DirectionalPenalty(eta=0.3, alpha=1.0, slope=LogitDetached(), rescale=False)
    method = replace(calmix.mixup_e(), objective=objective)
    step, mix = method.draw(method.step(net, UNLABELLED, calmix.parts.Batch(x, y)))
    slopes = torch.autograd.grad(objective(step, mix).terms["slope"], list(net.parameters()))
    plain = torch.autograd.grad(0.3 / 3 * F.cross_entropy(net(x), y), list(net.parameters()))
    assert all(torch.allclose(*pair, atol=1e-7) for pair in zip(slopes, plain, strict=True))


# --------------------------------------------------------------------- parts of a batch, precision, one row


def accumulated(net: nn.Module, losses: Iterable[Tensor]) -> list[Tensor]:
    """The gradients after a backward for each loss."""
    net.zero_grad()
    for loss in losses:
        loss.backward()
    return [p.grad.clone() for p in net.parameters() if p.grad is not None]


def test_gradients_of_half_batches_add_up_to_those_of_the_batch_with_both_mixes():
    (x, y), net, n = batch(), nn.Sequential(nn.Flatten(), nn.Linear(6, 3)), N // 2
    training_loss, mixes = TrainingLoss(calmix.mixup(per_row=True), Classification(3)), []

    def of_halves() -> Iterator[Tensor]:
        for half in (slice(n), slice(n, N)):
            yield training_loss(net, x[half], y[half]) / 2
            mixes.append(training_loss.mix)

    parts = accumulated(net, of_halves())
    first, second = mixes
    lam = torch.cat([first.lam_x, second.lam_x])
    both = Mix(torch.cat([first.anchor, second.anchor + n]), torch.cat([first.partner, second.partner + n]), lam, lam)
    step = calmix.mixup().step(net, Classification(3), calmix.parts.Batch(x, y))
    whole = accumulated(net, calmix.parts.MixedLoss()(step, both).terms.values())
    assert len(whole) == 2
    assert all(torch.allclose(*pair, atol=1e-7) for pair in zip(parts, whole, strict=True))
    assert not torch.equal(first.lam_x, second.lam_x)


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_autocast_rows_keep_their_dtype_and_targets_and_losses_are_float32(name: str, dtype: torch.dtype):
    (x, y), net, seen = batch(), network(), []
    exact, _ = after_a_step(METHODS[name](), Classification(3), network(), x, y)
    net.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        loss, training_loss = after_a_step(METHODS[name](), Classification(3), net, x.to(dtype), y)
        assert net(x).dtype == torch.bfloat16
    loss.backward()
    assert set(seen[:-1]) == {dtype}
    assert loss.dtype == training_loss.mix.lam_y.dtype == training_loss.outcome.target.dtype == torch.float32
    assert {term.dtype for term in training_loss.terms.values()} == {torch.float32}
    assert float(loss.detach()) == pytest.approx(float(exact.detach()), abs=0.05)
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in net.parameters())


@pytest.mark.parametrize("task", [PerRow(cross_entropy), ONE], ids=["PerRow", "MultiTask"])
def test_under_autocast_any_task_loses_in_float32(task: calmix.parts.Task):
    (x, y), named = batch(), task == ONE
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = after_a_step(
            calmix.mixup(), task, Named(network()) if named else network(), x, {"kind": y} if named else y
        )
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("name", ["mixup", "manifold_mixup", "sk_mixup", "c_mixup", "near_mixup", "k_mixup"])
def test_a_last_batch_of_one_row_is_plain_training(name: str):
    x, y = batch(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    loss, _ = after_a_step(METHODS[name](), Classification(3), net, x, y)
    assert torch.allclose(loss, F.cross_entropy(net(x), y))
    of_losses, _ = after_a_step(calmix.mixup(), PerRow(cross_entropy), net, x, y)
    assert torch.allclose(of_losses, F.cross_entropy(net(x), y))

"""A training that several processes share: who sees which rows, what is reduced, what is refused, and what is kept."""

import os
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from calmix import auto, erm, mixup, sk_mixup
from calmix.core.method import Method
from calmix.data import Fixed, NamedSet, Split
from calmix.engines import processes
from calmix.engines.processes import default_workers
from calmix.errors import CalmixError, SettingError
from calmix.results.records import Epoch
from calmix.train import Checkpoints, Recipe, TrainingSettings, sharing, train
from calmix.train.batches import Batches
from calmix.train.sharing import Place, check_shares, joined, launched
from tests.processes import needs_ranks

WINE = NamedSet("wine").splits(0)
ROWS = 96  # to train on: batches of 48, of 24 a rank
SPLITS = replace(WINE, train=WINE.train.part(slice(ROWS)))
SETTINGS = TrainingSettings(epochs=2, batch_size=48, devices=2)


def recipe_of(method: Method, settings: TrainingSettings = SETTINGS, label: str = "tried") -> Recipe:
    return Recipe(Fixed(SPLITS), label, method, settings=settings)


def weights_of(network: nn.Module) -> list[Tensor]:
    return [value.detach() for value in network.parameters()]


def rows(n: int) -> Split:
    return Split(torch.arange(n).float()[:, None], torch.arange(n))


# --------------------------------------------------------------------------------------------- who sees which rows


@pytest.mark.parametrize(("n", "size", "ranks"), [(96, 48, 2), (97, 10, 2), (50, 50, 3), (40, 7, 3)])
def test_ranks_see_other_rows_and_as_many_in_every_batch(n: int, size: int, ranks: int):
    shares = [list(Batches(rows(n), size, seed=3, rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert len({tuple(len(y) for _, y, _ in share) for share in shares}) == 1
    seen = [int(i) for share in shares for _, _, index in share for i in index]
    assert len(seen) == len(set(seen)) == n - n % ranks
    assert all(sum(len(share[b][1]) for share in shares) <= size for b in range(len(shares[0])))


def test_the_shares_of_a_batch_are_the_batch_of_a_process_alone():
    alone = Batches(rows(96), 48, seed=3)  # so as many steps in an epoch
    shares = [Batches(rows(96), 48, seed=3, rank=rank, ranks=2) for rank in (0, 1)]
    for _ in range(2):  # epochs
        for (_, _, whole), *parts in zip(alone, *shares, strict=True):
            assert sorted(whole.tolist()) == sorted(i for _, _, part in parts for i in part.tolist())


def test_the_rows_left_out_are_others_in_each_epoch():
    shares = [Batches(rows(7), 7, seed=3, rank=rank, ranks=3) for rank in range(3)]
    left = set()
    for _ in range(20):
        left |= set(range(7)) - {int(i) for share in shares for _, _, index in share for i in index}
    assert left == set(range(7))


@pytest.mark.parametrize("n", [5, 96, 97])
def test_rows_that_come_in_one_order_come_exactly_once(n: int):
    shares = [list(Batches(rows(n), 4, rank=rank, ranks=2)) for rank in (0, 1)]
    assert len(shares[0]) == len(shares[1])  # DDP exchanges something with each
    assert sorted(int(i) for share in shares for _, _, index in share for i in index) == list(range(n))


# ---------------------------------------------------------------------------------------------- two processes


@needs_ranks
def test_plain_training_on_two_devices_is_that_on_one():
    alone, shared = (train(recipe_of(erm(), replace(SETTINGS, devices=devices, select="best"))) for devices in (1, 2))
    torch.testing.assert_close(weights_of(shared.model), weights_of(alone.model), rtol=1e-4, atol=1e-6)
    for one, other in zip(alone.history, shared.history, strict=True):
        assert one.train == pytest.approx(other.train, rel=1e-5)
        assert one.validation == pytest.approx(other.validation, rel=1e-5)  # of all rows, each once
    assert not torch.distributed.is_initialized()


@needs_ranks
def test_a_run_that_was_stopped_goes_on_on_every_rank(tmp_path: Path):
    """Dropout, augmented rows or not: what each rank draws follows from rank 0's file."""

    class Halt(Exception):
        pass

    def halt(epoch: Epoch, model: nn.Module) -> None:
        if epoch.number == 2:
            raise Halt

    recipe = Recipe(Fixed(SPLITS), "tried", sk_mixup(remember=True), _Dropping, replace(SETTINGS, epochs=3))
    whole = train(recipe)
    checkpoints = Checkpoints(tmp_path, minutes=1e-9)  # after every step
    with pytest.raises(Halt):
        train(recipe, halt, checkpoints)
    path = checkpoints.path("tried", 0)
    assert path.exists()
    found = checkpoints.read(recipe)
    assert found is not None
    assert (found.epoch, found.batch) == (1, 1)  # in the middle of the second epoch
    resumed = train(recipe, checkpoints=checkpoints)
    for one, other in zip(weights_of(whole.model), weights_of(resumed.model), strict=True):
        assert torch.equal(one, other)
    assert [epoch.train for epoch in whole.history] == [epoch.train for epoch in resumed.history]


class _Dropping(nn.Sequential):
    """A network with randomness of its own."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(nn.Linear(num_features, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, num_classes))


@needs_ranks
def test_a_rank_that_fails_says_why_and_one_that_dies_is_named(tmp_path: Path):
    for do, reason in (("raise", r"rank 1 of 2 failed: ValueError: these rows"), ("die", r"rank 1 of 2 died")):
        with pytest.raises(CalmixError, match=reason):
            train(replace(recipe_of(mixup()), model=_failing(do)))


def _failing(do: str) -> type[nn.Module]:
    return {"raise": _Raising, "die": _Dying}[do]


class _Raising(nn.Linear):
    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)

    def forward(self, input: Tensor) -> Tensor:
        if self.training and torch.distributed.is_initialized() and torch.distributed.get_rank() == 1:
            self.fail()
        return super().forward(input)

    def fail(self) -> None:
        raise ValueError("these rows\nare not mine")


class _Dying(_Raising):
    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_rank_that_torchrun_started_says_what_to_do_where_it_loses_another(monkeypatch: pytest.MonkeyPatch):
    def lose(*given: object, **named: object) -> None:
        raise RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer")

    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *given, **named: None)
    monkeypatch.setattr(torch.distributed, "barrier", lose)
    monkeypatch.setattr(sharing, "_meeting", lambda place: {})
    place = Place(rank=1, ranks=2)
    advice = "rank 1 of 2 lost another one, .* with torchrun --max-restarts and calmix --resume"
    with pytest.raises(CalmixError, match=advice), joined(place, "cpu"):
        pass
    with pytest.raises(ValueError, match="an own fault"), joined(place, "cpu"):
        raise ValueError("an own fault")


def test_ranks_that_were_started_anew_meet_anew(monkeypatch: pytest.MonkeyPatch):
    """Else they would try to reach the processes that died."""
    kept = torch.distributed.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    said = iter([(kept, 0, 2)] * 2)
    monkeypatch.setattr(sys.modules["torch.distributed.rendezvous"], "rendezvous", lambda *given: said)
    place = Place(rank=0, ranks=2, per_machine=2)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    sharing._meeting(place)["store"].set("address", "of one that died")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert not sharing._meeting(place)["store"].check(["address"])
    assert sharing._meeting(replace(place, per_machine=1)) == {"init_method": "env://"}


@needs_ranks
def test_a_strength_follows_the_validation_rows_of_all_ranks():
    few = Recipe(Fixed(SPLITS), "auto", auto(), settings=replace(SETTINGS, epochs=1, learning_rate=1e-9))
    alone, shared = (
        train(replace(few, settings=replace(few.settings, devices=devices, epochs=2))) for devices in (1, 2)
    )
    strengths = [trained.history[1].train["strength"] for trained in (alone, shared)]  # after the first epoch
    assert strengths[0] == pytest.approx(strengths[1], rel=1e-3)
    assert strengths[0] != 0.2


# ------------------------------------------------------------------------------------------------------- settings


def test_one_device_is_what_it_was_and_several_are_another_run():
    assert "devices" not in repr(TrainingSettings(devices=1))
    assert "devices=2" in repr(SETTINGS)
    assert asdict(TrainingSettings())["devices"] == 1
    with pytest.raises(SettingError, match="devices must be at least 1; got 0"):
        TrainingSettings(devices=0)


def test_what_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(
        SettingError, match="2 devices need batches with two rows or more for each; 96 training rows in batches of 3"
    ):
        check_shares(SPLITS, replace(SETTINGS, batch_size=3))
    with pytest.raises(SettingError, match="100 devices need batches with two rows or more"):
        check_shares(SPLITS, replace(SETTINGS, devices=100, batch_size=1000))
    with pytest.raises(SettingError, match="2 devices need as many validation rows; there are 1"):
        check_shares(replace(SPLITS, validation=SPLITS.validation.part(slice(1))), SETTINGS)
    check_shares(SPLITS, replace(SETTINGS, batch_size=4))
    check_shares(SPLITS, replace(SETTINGS, batch_size=1, devices=1))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(SettingError, match="devices is 2, and PyTorch sees 1 GPU here"):
        check_shares(SPLITS, TrainingSettings(batch_size=48, devices=2, device="cuda"))


def test_the_place_is_what_torchrun_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert launched() is None
    said = {"RANK": 3, "WORLD_SIZE": 4, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 1}
    for name, value in said.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert launched() == Place(rank=3, ranks=4, local=1, per_machine=2, machine=1)
    with pytest.raises(SettingError, match="torchrun started 4 processes, and devices is 2"):
        check_shares(SPLITS, SETTINGS)


def test_fewer_runs_at_a_time_where_each_takes_several_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "_cores", lambda: 8)
    cpu = TrainingSettings(device="cpu")
    assert [default_workers(99, replace(cpu, devices=devices, threads=2)) for devices in (1, 2, 4)] == [4, 2, 1]

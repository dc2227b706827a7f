"""Batches, augmentation, and the training loop: paired, deterministic, selected without the test split."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

import calmix
from calmix.core.control import log_temperature
from calmix.core.loss import TrainingLoss
from calmix.data import AllData, Fixed, Split, Splits, load
from calmix.data.splits import About
from calmix.errors import CalmixError, SettingError
from calmix.parts import Method, Scheduled
from calmix.results.records import Epoch
from calmix.train import Recipe, Trained, TrainingSettings, predict, train
from calmix.train.augment import crop_and_flip
from calmix.train.batches import Batches, rows_at_a_time
from calmix.train.module import Module
from calmix.train.running import try_step

WINE = load("wine")


def trained(
    method: Method | Scheduled,
    settings: TrainingSettings,
    splits: Splits = WINE,
    model: Callable[..., nn.Module] | None = None,
    seed: int = 0,
) -> Trained:
    return train(Recipe(Fixed(splits), "tried", method, model, settings, seed))


def rows(n: int) -> Split:
    return Split(torch.arange(n).float()[:, None], torch.arange(n))


@given(st.integers(1, 200), st.integers(1, 64))
def test_an_epoch_sees_every_row_once_in_nearly_equal_batches(n: int, size: int):
    batches = Batches(rows(n), size, seed=3)
    sizes = [len(y) for _, y, _ in batches]
    assert len(sizes) == len(batches)
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert sorted(int(i) for _, _, index in batches for i in index) == list(range(n))


@pytest.mark.parametrize(
    ("shape", "cpu", "cuda"), [((8,), 1024, 1024), ((3, 32, 32), 42, 1024), ((3, 224, 224), 1, 27), ((10**7,), 1, 1)]
)
def test_a_network_is_asked_about_half_a_megabyte_of_rows_on_a_cpu(shape: tuple[int, ...], cpu: int, cuda: int):
    split = Split(torch.empty(1, *shape, device="meta"), torch.zeros(1))
    assert (rows_at_a_time(split, "cpu"), rows_at_a_time(split, "cuda")) == (cpu, cuda)


def test_weights_draw_rows_in_proportion():
    """30 rows of one class and 10 of another come equally often; of 40,000 rows, within 5 standard errors."""
    split = Split(torch.zeros(40, 1), torch.tensor([0] * 30 + [1] * 10))
    batches = Batches(split, 8, 3, torch.where(split.y == 0, 1 / 30, 1 / 10).double())
    drawn = torch.cat([index for _ in range(1000) for _, _, index in batches])
    assert len(drawn) == 40_000  # as many as there are rows, each epoch
    counts = drawn.bincount(minlength=40).double()
    expected = 40_000 * torch.where(split.y == 0, 1 / 60, 1 / 20)
    assert ((counts - expected).abs() < 5 * expected.sqrt()).all()


@pytest.mark.parametrize(("count", "most"), [(50, 50), (50, 60), (50, 7), (2001, 1000), (3, 1)])
def test_some_rows_lie_evenly_over_all(count: int, most: int):
    """Each is in the middle of a stretch of rows, one as long as the others."""
    k = min(count, most)
    assert Batches(rows(count), 8).places(most).tolist() == [(2 * i + 1) * count // (2 * k) for i in range(k)]


def test_some_rows_are_those_that_are_trained_on():
    weights = torch.tensor([0.0, 1, 3, 0, 4, 0], dtype=torch.float64)
    assert Batches(rows(6), 2, 3, weights).places(6).tolist() == [1, 2, 4]
    assert Batches(rows(6), 2, 3, weights).places(2).tolist() == [1, 4]
    assert Batches(rows(6), 2, 3, weights).places(1).tolist() == [2]


def test_orders_differ_by_epoch_and_agree_by_seed():
    def order(batches: Batches) -> list[int]:
        return [int(i) for _, _, index in batches for i in index]

    one, same, other = Batches(rows(50), 8, 1), Batches(rows(50), 8, 1), Batches(rows(50), 8, 2)
    first = order(one)
    assert first == order(same)
    assert first != order(one)
    assert first != order(other)
    assert order(Batches(rows(50), 8)) == list(range(50))


def test_crop_and_flip_shifts_and_mirrors_each_image():
    x = torch.arange(2.0 * 3 * 6 * 7).reshape(2, 3, 6, 7)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
    out = crop_and_flip(x, torch.Generator().manual_seed(1), padding=2)
    assert out.shape == x.shape
    for image in range(2):
        candidates = [padded[image, :, i : i + 6, j : j + 7] for i in range(5) for j in range(5)]
        candidates += [candidate.flip(2) for candidate in candidates]
        assert any(torch.equal(out[image], candidate) for candidate in candidates)


def test_every_shift_is_as_likely_and_half_of_the_images_are_mirrored():
    x = torch.arange(30.0).reshape(1, 1, 5, 6)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")[0, 0]
    shifted = [padded[i : i + 5, j : j + 6] for i in range(3) for j in range(3)]
    candidates = torch.stack([*shifted, *(image.flip(1) for image in shifted)])  # (18, 5, 6)
    out = crop_and_flip(x.expand(3600, 1, 5, 6), torch.Generator().manual_seed(0), padding=1)
    found = (out == candidates).flatten(2).all(2)  # (3600, 18)
    assert (found.sum(1) == 1).all()
    assert stats.chisquare(found.sum(0)).pvalue > 1e-3


def test_crop_and_flip_draws_for_each_image_of_a_batch():
    x = torch.arange(48.0).reshape(1, 1, 6, 8).expand(64, 1, 6, 8)
    out = crop_and_flip(x, torch.Generator().manual_seed(0))
    assert len({tuple(image.flatten().tolist()) for image in out}) > 30


@pytest.mark.parametrize("method", [calmix.erm(), calmix.sk_mixup_e()])
def test_training_learns_and_is_deterministic(method: Method):
    runs = [trained(method, TrainingSettings(epochs=30), seed=4) for _ in range(2)]
    outputs = [predict(run.model, WINE.test) for run in runs]
    assert torch.equal(outputs[0], outputs[1])
    assert float((outputs[0].argmax(1) == WINE.test.y).float().mean()) > 0.8
    assert runs[0].history == runs[1].history
    assert [epoch.number for epoch in runs[0].history] == list(range(1, 31))
    assert runs[0].history[-1].train["loss"] < runs[0].history[0].train["loss"]
    assert runs[0].epoch == 30


def test_what_comes_back_is_in_evaluation_mode_with_the_data_and_the_task_it_was_trained_on():
    run = trained(calmix.mixup(), TrainingSettings(epochs=1))
    assert not any(module.training for module in run.model.modules())
    assert run.splits is WINE
    assert run.task == calmix.Classification(3)
    assert run.seconds > 0


def test_the_order_of_the_rows_follows_from_the_seed_whatever_the_method(monkeypatch: pytest.MonkeyPatch):
    """Also where a method draws more numbers than another: each stream has a generator of its own."""
    seen: list[list[int]] = []
    forward = TrainingLoss.forward

    def spy(self, model, x, y, index: Any = None):  # pyright: ignore
        if model.training:
            seen[-1].extend(index.tolist())
        return forward(self, model, x, y, index)

    monkeypatch.setattr(TrainingLoss, "forward", spy)
    for method, seed in ((calmix.erm(), 0), (calmix.regmixup(), 0), (calmix.erm(), 1)):
        seen.append([])
        trained(method, TrainingSettings(epochs=2), seed=seed)
    plain, mixed, other = seen
    assert len(plain) == 2 * len(WINE.train)
    assert plain == mixed
    assert plain != other


def pictures() -> Splits:
    """Images of noise, in which no crop is another one's, in four splits of 12."""
    generator = torch.Generator().manual_seed(0)
    parts = [Split(torch.randn(12, 3, 8, 8, generator=generator), torch.arange(12) % 2) for _ in range(4)]
    about = About("noise", "classification", "image", ("a", "b"), (), natural=True, source="drawn")
    return Splits(*parts, about=about)


def test_natural_images_are_cropped_and_flipped_anew_in_training_and_nowhere_else(monkeypatch: pytest.MonkeyPatch):
    splits, seen, judged = pictures(), [], []
    forward = TrainingLoss.forward

    def spy(self, model, x, y, index: Any = None):  # pyright: ignore
        if model.training:
            seen.append(x[index.argsort()])
        else:
            judged.append(x)
        return forward(self, model, x, y, index)

    monkeypatch.setattr(TrainingLoss, "forward", spy)
    trained(calmix.erm(), TrainingSettings(epochs=2, batch_size=12), splits)
    assert len(seen) == len(judged) == 2
    assert all(torch.equal(x, splits.validation.x) for x in judged)  # not the test split, either
    for one, other in ((seen[0], splits.train.x), (seen[1], splits.train.x), (seen[0], seen[1])):
        assert (one != other).flatten(1).any(1).sum() >= 8
    for image, x in zip(seen[0], splits.train.x, strict=True):
        assert torch.isin(image, x).all()


def test_order_mixes_and_augmentation_have_seeds_of_their_own(monkeypatch: pytest.MonkeyPatch):
    seeds: list[int] = []

    def spying(init: Any, position: int) -> Any:
        def spy(self: Any, *arguments: Any, **options: Any) -> None:
            seeds.append(arguments[position])
            init(self, *arguments, **options)

        return spy

    monkeypatch.setattr(TrainingLoss, "__init__", spying(TrainingLoss.__init__, 2))
    monkeypatch.setattr(Module, "__init__", spying(Module.__init__, 4))
    monkeypatch.setattr(Batches, "__init__", spying(Batches.__init__, -1))
    splits = pictures()
    trained(calmix.mixup(), TrainingSettings(epochs=1), splits=splits)
    at_a_time = rows_at_a_time(splits.validation, "cpu")
    seeds = [seed for seed in seeds if seed != at_a_time]
    assert len(seeds) == len(set(seeds)) == 3


def test_each_epoch_is_told_with_the_network_as_it_then_is():
    told: list[tuple[Epoch, torch.Tensor]] = []
    recipe = Recipe(Fixed(WINE), "mixup", calmix.mixup(), settings=TrainingSettings(epochs=3))
    run = train(recipe, lambda epoch, model: told.append((epoch, model.get_parameter("head.weight").detach().clone())))
    assert tuple(epoch for epoch, _ in told) == run.history
    assert not torch.equal(told[0][1], told[1][1])
    assert torch.equal(told[2][1], run.model.get_parameter("head.weight"))


def test_listening_changes_nothing():
    recipe = Recipe(Fixed(WINE), "mixup", calmix.mixup(), settings=TrainingSettings(epochs=2))
    alone, heard = train(recipe), train(recipe, lambda epoch, model: torch.rand(3))
    assert alone.history == heard.history


def with_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(13, 8), nn.Dropout(), nn.Linear(8, 3))


def test_dropout_follows_from_the_seed_whatever_was_drawn_before():
    runs = []
    for _ in range(2):
        torch.rand(1)
        runs.append(trained(calmix.erm(), TrainingSettings(epochs=1), model=with_dropout))
    assert runs[0].history == runs[1].history


def test_predictions_are_made_in_evaluation_mode():
    model = with_dropout().train()
    assert torch.equal(predict(model, WINE.test), predict(model, WINE.test))
    assert torch.equal(predict(model, WINE.test), model.eval()(WINE.test.x))


def test_the_global_generator_is_given_back():
    def noisy() -> nn.Module:
        return nn.Sequential(nn.Linear(13, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3)).eval()

    before = torch.get_rng_state()
    trained(calmix.mixup(), TrainingSettings(epochs=1, refresh_batch_norm=True), model=noisy)
    assert torch.equal(before, torch.get_rng_state())


def test_the_best_epoch_is_the_one_of_the_lowest_validation_loss():
    settings = TrainingSettings(epochs=25, select="best", schedule="constant", learning_rate=0.2)
    best = trained(calmix.mixup(), settings)
    losses = [epoch.validation["loss"] for epoch in best.history]
    assert best.epoch == 1 + losses.index(min(losses)) < 25
    task = calmix.Classification(3)
    again = task.loss(predict(best.model, WINE.validation), task.target(WINE.validation.y))
    assert float(again.mean()) == pytest.approx(min(losses), abs=1e-5)


def test_a_long_run_is_validated_about_twenty_times():
    history = trained(calmix.erm(), TrainingSettings(epochs=60)).history
    assert [epoch.number for epoch in history] == list(range(1, 61))
    assert [epoch.number for epoch in history if epoch.validation] == list(range(3, 61, 3))


def test_honest_train_accuracy_is_in_the_history_and_below_one_when_mixing_half_and_half():
    history = trained(calmix.mixup(alpha=1e6), TrainingSettings(epochs=20)).history
    assert 0.5 < history[-1].train["accuracy"] < 0.8  # two of three pairs differ in class, and then 1/2 is the most


@pytest.mark.parametrize(("select", "validations"), [("best", 40), ("last", 20)])
def test_to_select_the_best_every_epoch_is_validated_else_twenty(select: str, validations: int):
    run = trained(calmix.erm(), TrainingSettings(epochs=40, batch_size=200, select=select))
    judged = {epoch.number: epoch.validation["loss"] for epoch in run.history if epoch.validation}
    assert len(judged) == validations
    assert run.epoch == (min(judged, key=lambda number: judged[number]) if select == "best" else 40)


@pytest.mark.parametrize(
    ("name", "expected"), [("SGD", {"momentum": 0.9, "nesterov": True}), ("AdamW", {"betas": (0.9, 0.999)})]
)
def test_the_optimizer_is_the_one_of_the_settings(name: str, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    made: list[torch.optim.Optimizer] = []
    init = getattr(torch.optim, name).__init__

    def spy(self: Any, *arguments: Any, **options: Any) -> None:
        made.append(self)
        init(self, *arguments, **options)

    monkeypatch.setattr(getattr(torch.optim, name), "__init__", spy)
    options = {"optimizer": name.lower(), "learning_rate": 0.03, "weight_decay": 0.07, "schedule": "constant"}
    trained(calmix.erm(), TrainingSettings(epochs=1, **options))
    (optimizer,) = made
    settings = {"lr": 0.03, "weight_decay": 0.07, **expected}
    assert {key: optimizer.param_groups[0][key] for key in settings} == settings


@pytest.mark.parametrize("norm", [0.01, 0.25])
def test_a_longer_gradient_is_clipped_to_the_largest_norm(norm: float):
    """The first step of Nesterov's momentum is 1 + 0.9 times the learning rate times the gradient."""
    splits = load("diabetes")
    settings = TrainingSettings(
        epochs=1, batch_size=len(splits.train), schedule="constant", learning_rate=0.1, weight_decay=0.0
    )

    def step(largest: float | None) -> torch.Tensor:
        recipe = Recipe(Fixed(splits), "erm", calmix.erm(), settings=replace(settings, max_grad_norm=largest))
        before, after = recipe.network(), train(recipe).model
        return nn.utils.parameters_to_vector(after.parameters()) - nn.utils.parameters_to_vector(before.parameters())

    whole = step(0.0)
    gradient = (whole.norm() / 0.19).item()
    assert gradient > norm
    assert step(norm).norm().item() == pytest.approx(0.19 * norm, rel=1e-4)
    assert torch.allclose(step(norm) / norm, whole / gradient, atol=1e-5)
    assert torch.equal(step(2 * gradient), whole)


def test_gradients_of_regressions_are_clipped_by_default_and_of_classes_not(monkeypatch: pytest.MonkeyPatch):
    def weights(largest: float | None, splits: Splits) -> torch.Tensor:
        settings = TrainingSettings(epochs=2, learning_rate=0.01, max_grad_norm=largest)
        return nn.utils.parameters_to_vector(trained(calmix.erm(), settings, splits).model.parameters())

    for splits, default, other in [(load("diabetes"), 1.0, 0.0), (WINE, 0.0, 1.0)]:
        steep = replace(splits, train=Split(3 * splits.train.x, splits.train.y))
        assert torch.equal(weights(None, steep), weights(default, steep))
        assert not torch.equal(weights(None, steep), weights(other, steep))


def test_a_scheduled_method_is_told_the_epoch():
    method = calmix.scheduled(calmix.mixup(), until=2, then=calmix.scheduled(calmix.regmixup(), until=3))
    history = trained(method, TrainingSettings(epochs=4)).history
    assert [set(epoch.train) - {"loss", "accuracy"} for epoch in history] == [
        {"mixed"},
        {"mixed"},
        {"clean", "mixed"},
        {"clean"},
    ]


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant"])
def test_the_learning_rate_follows_its_schedule_step_by_step(schedule: str, monkeypatch: pytest.MonkeyPatch):
    rates: list[float] = []

    class Recorded(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "SGD", Recorded)
    trained(calmix.erm(), TrainingSettings(epochs=3, batch_size=10, schedule=schedule, learning_rate=0.2))
    steps = len(rates)
    assert steps == 3 * -(-len(WINE.train) // 10)
    if schedule == "cosine":
        expected = [0.1 * (1 + math.cos(math.pi * t / steps)) for t in range(steps)]
    elif schedule == "constant":
        expected = [0.2] * steps
    else:
        up = int(0.3 * steps - 1) + 1  # torch's rise to the peak, from a 25th of it
        assert rates.index(max(rates)) == up
        assert (rates[0], max(rates)) == pytest.approx((0.2 / 25, 0.2), rel=1e-2)
        assert rates[-1] < 1e-4
        return
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant"])
def test_every_optimizer_and_schedule_trains(optimizer: str, schedule: str):
    run = trained(calmix.erm(), TrainingSettings(epochs=8, optimizer=optimizer, schedule=schedule))
    assert run.history[-1].train["accuracy"] > 0.9


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(13), nn.Linear(13, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(x))


def test_refreshed_batch_norm_holds_the_statistics_of_clean_rows():
    x = WINE.train.x
    means = {}
    for refresh in (False, True):
        settings = TrainingSettings(epochs=3, batch_size=16, refresh_batch_norm=refresh)
        means[refresh] = trained(calmix.mixup(alpha=1e6), settings, model=Normed).model.get_buffer("norm.running_var")
    # x is standardised; half-and-half mixing halves its variance, and the refreshed statistics are of x itself
    within_batches = x.var(0)
    assert torch.allclose(means[True], within_batches, rtol=0.15)
    assert (means[False] < 0.85 * within_batches).sum() > 10


@pytest.mark.parametrize("remember", [False, True])
def test_half_precision_trains_on_the_cpu(remember: bool):
    history = trained(calmix.sk_mixup(remember=remember), TrainingSettings(epochs=5, precision="bf16")).history
    assert history[-1].train["loss"] < history[0].train["loss"]


def test_divergence_is_one_sentence():
    clip, adamw = r", or clip gradients \(max_grad_norm 1\)", ", or take the optimizer adamw"
    for optimizer, largest, ways in [
        ("sgd", 0.0, clip + adamw),
        ("adamw", 0.0, clip),
        ("sgd", None, adamw),
        ("adamw", None, ""),
    ]:
        settings = TrainingSettings(30, optimizer=optimizer, learning_rate=1e20, max_grad_norm=largest)
        said = rf"^training diverged in epoch \d+ .* lower the learning rate \(it was 1e\+20\){ways}\.$"
        with pytest.raises(SettingError, match=said):
            trained(calmix.erm(), settings, load("diabetes"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"batch_size": -3}, "batch_size must be at least 1; got -3"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number; got 0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"max_grad_norm": -1.0}, "max_grad_norm must be at least 0"),
        ({"max_grad_norm": 1e-40}, "max_grad_norm must lie between 1e-30 and 1e\\+30"),
        ({"optimizer": "adamv"}, "unknown optimizer 'adamv'; did you mean 'adamw'"),
        ({"schedule": "cosinus"}, "unknown schedule 'cosinus'; did you mean 'cosine'"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"precision": "8"}, "unknown precision '8'"),
        ({"precision": "16", "device": "cpu"}, "precision '16' needs a GPU"),
    ],
)
def test_settings_out_of_range_are_one_sentence(settings: dict, message: str):
    with pytest.raises(CalmixError, match=message):
        TrainingSettings(**settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_one_sentence():
    with pytest.raises(SettingError, match="PyTorch sees no GPU here"):
        TrainingSettings(device="cuda")


# ------------------------------------------------------------------------------------------- strengths that move


def strengths(found: Trained) -> list[float]:
    return [epoch.train["strength"] for epoch in found.history if "strength" in epoch.train]


def with_validation(rows: int) -> Splits:
    """Wine, validated on so many rows, in an order by class."""
    some = torch.arange(rows) % len(WINE.train)
    some = some[WINE.train.y[some].argsort(stable=True)]
    noise = 2 * torch.randn(rows, 13, generator=torch.Generator().manual_seed(0))
    return replace(WINE, validation=Split(WINE.train.x[some] + noise, WINE.train.y[some]))


def followed(splits: Splits, settings: TrainingSettings) -> tuple[list[float], list[float], list[bool]]:
    """The strengths of 40 epochs, what they should be, and whether the network was too sure of the training rows."""
    count = min(1000, len(splits.validation))
    places = (2 * torch.arange(count) + 1) * len(splits.validation) // (2 * count)
    x, y = splits.validation.x[places], splits.validation.y[places]
    expected, too_sure = [0.7], list[bool]()
    method = calmix.auto(calmix.mixup(alpha=0.7))
    control = method.control
    assert control is not None

    def follow(epoch: Epoch, network: nn.Module) -> None:
        network = copy.deepcopy(network).eval()
        of_training = network(splits.train.x), splits.train.y
        expected.append(control.stronger(expected[-1], network(x), y, of_training))
        too_sure.append(log_temperature(*of_training, 0.5) > 0)

    found = train(Recipe(Fixed(splits), "tried", method, settings=settings), follow)
    return strengths(found), expected[:32], too_sure[:32]  # plain training ends the run


@pytest.mark.parametrize(("select", "rows"), [("last", 18), ("best", 18), ("last", 2500), ("best", 2500)])
def test_the_strength_of_an_epoch_follows_from_what_the_network_said_before_it(select: str, rows: int):
    """Of at most a thousand rows, evenly taken, whether or not the epoch has a point of the curve."""
    settings = TrainingSettings(epochs=40, select=select, learning_rate=0.003)
    found, expected, _ = followed(with_validation(rows), settings)
    assert found == pytest.approx(expected, rel=1e-4)
    assert len(set(found)) > 20  # it moves, and is not at a bound for long


def test_the_strength_follows_from_what_the_network_said_of_training_rows_too():
    """Large steps towards labels of which some are wrong make it too sure, now and then, of the training rows, too."""
    splits = with_validation(18)
    wrong = torch.rand(len(splits.train), generator=torch.Generator().manual_seed(1)) < 0.4
    y = torch.where(wrong, (splits.train.y + 1) % 3, splits.train.y)
    settings = TrainingSettings(epochs=40, learning_rate=0.3, batch_size=8)
    found, expected, too_sure = followed(replace(splits, train=Split(splits.train.x, y)), settings)
    assert found == pytest.approx(expected, rel=1e-3)
    assert len(set(found)) > 20
    assert sum(too_sure) > 5


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_a_thousand_training_rows_are_shown_and_none_of_weight_0(precision: str, monkeypatch: pytest.MonkeyPatch):
    """As validation rows are: in the same precision."""
    shown, observe = [], TrainingLoss.observe

    def spy(self, logits, labels, of_training: Any = None):  # pyright: ignore
        shown.append((logits.dtype, of_training))
        observe(self, logits, labels, of_training)

    monkeypatch.setattr(TrainingLoss, "observe", spy)
    odd = torch.arange(3000) % 2
    train = Split(WINE.train.x[torch.arange(3000) % len(WINE.train)], odd)
    splits = replace(WINE, train=train, train_weights=1.0 - odd)
    trained(calmix.auto(), TrainingSettings(epochs=1, precision=precision), splits)
    ((of_validation, (output, labels)),) = shown
    assert output.dtype == of_validation == (torch.bfloat16 if precision == "bf16" else torch.float32)
    assert torch.equal(labels.cpu(), torch.zeros(1000).long())


def test_the_curve_has_the_points_and_the_rows_of_every_method():
    splits, settings = with_validation(2500), TrainingSettings(epochs=40, learning_rate=1e-30, weight_decay=0)
    runs = [trained(method, settings, splits) for method in (calmix.erm(), calmix.auto())]
    plain, own = ([epoch for epoch in run.history if epoch.validation] for run in runs)
    assert [epoch.number for epoch in own] == [epoch.number for epoch in plain] == list(range(2, 41, 2))
    assert [epoch.validation for epoch in own] == [epoch.validation for epoch in plain]  # of untrained networks
    assert all("strength" not in epoch.train for epoch in plain)


def test_wrong_labels_make_it_mix_more_and_certain_ones_less():
    """Of three labels in ten that are wrong: a network that learns them by heart is over-confident."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 8, generator=generator)
    y = (x[:, 0] > 0).long()
    wrong = torch.where(torch.rand(600, generator=generator) < 0.3, 1 - y, y)
    parts = {
        "train": slice(0, 300),
        "validation": slice(300, 400),
        "calibration": slice(400, 500),
        "test": slice(500, 600),
    }
    ends = []
    for labels in (wrong, y):
        about = replace(WINE.about, classes=("low", "high"))
        splits = replace(WINE, about=about, **{name: Split(x[part], labels[part]) for name, part in parts.items()})
        ends.append(strengths(trained(calmix.auto(), TrainingSettings(epochs=60), splits))[-1])
    assert ends[0] > 3
    assert ends[1] < 0.1


def test_where_all_validation_rows_are_trained_on_it_is_refused():
    recipe = Recipe(AllData(Fixed(WINE)), "tried", calmix.scheduled(calmix.auto(), until=1))
    for refusing in (train, try_step):
        with pytest.raises(SettingError, match="auto sets its strength by what the network says of validation rows"):
            refusing(recipe)


def test_a_loss_that_is_not_finite_is_said_as_in_every_method():
    with pytest.raises(SettingError, match="training diverged in epoch"):
        trained(calmix.auto(), TrainingSettings(epochs=5, learning_rate=1e20))


@pytest.mark.parametrize("patience", [1, 3])
def test_with_patience_a_run_is_the_beginning_of_the_longer_one(patience: int):
    settings = TrainingSettings(epochs=25, select="best", schedule="constant", learning_rate=0.2)
    recipe = Recipe(Fixed(WINE), "mixup", calmix.mixup(), settings=settings)
    longer = train(recipe).history
    losses = [epoch.validation["loss"] for epoch in longer]
    end = next(n for n in range(1, 26) if n - 1 - losses.index(min(losses[:n])) == patience)
    stopped = train(recipe, patience=patience)
    assert [epoch.train for epoch in stopped.history] == [epoch.train for epoch in longer[:end]]
    assert stopped.epoch == end - patience < 25 - patience


def test_patience_is_about_the_best_epoch():
    recipe = Recipe(Fixed(WINE), "mixup", calmix.mixup())
    with pytest.raises(SettingError, match="patience waits for a better epoch, and the last one is kept; take select="):
        train(recipe, patience=3)
    with pytest.raises(SettingError, match="patience must be at least 1; got 0"):
        train(replace(recipe, settings=TrainingSettings(select="best")), patience=0)

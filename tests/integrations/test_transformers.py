"""A Trainer of Hugging Face Transformers whose loss is a TrainingLoss."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import SequentialSampler

import calmix
from calmix.core.control import log_temperature
from calmix.errors import CalmixError, DataError, SettingError, ShapeError

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
)

from calmix.integrations.transformers import CalmixTrainerMixin

N, T = 48, 6
_draw = torch.Generator().manual_seed(0)
IDS = torch.randint(1, 50, (N, T), generator=_draw)
LENGTHS = torch.randint(2, T + 1, (N,), generator=_draw)
MASK = (torch.arange(T) < LENGTHS[:, None]).long()
IDS *= MASK
Y = (IDS[:, 0] > 25).long()
TEXTS = [{"input_ids": i, "attention_mask": m, "labels": int(y)} for i, m, y in zip(IDS, MASK, Y, strict=True)]
PIXELS = torch.randn(N, 1, 4, 4, generator=_draw)
IMAGES = [{"pixel_values": x, "labels": int(y)} for x, y in zip(PIXELS, Y, strict=True)]
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "num_labels": 2,
    "initializer_range": 0.3,
}


class InOrder(CalmixTrainerMixin, Trainer):
    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        rows: Any = self.train_dataset
        return SequentialSampler(rows)


def bert() -> BertForSequenceClassification:
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(vocab_size=50, max_position_embeddings=8, **SIZES))


def vit() -> ViTForImageClassification:
    torch.manual_seed(0)
    return ViTForImageClassification(ViTConfig(image_size=4, patch_size=2, num_channels=1, **SIZES))


def sure_vit() -> ViTForImageClassification:
    """One that is too sure of its training rows at first."""
    model = vit()
    model.classifier.get_parameter("weight").data.mul_(8)
    return model


def loss_of(method: Any, **options: Any) -> calmix.TrainingLoss:
    return calmix.TrainingLoss(method, calmix.Classification(2), seed=1, **options)


def trainer(folder: Path, model: nn.Module, rows: list[Any], method: Any = None, **options: Any) -> InOrder:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    own = {name: options.pop(name) for name in ("training_loss", "eval_dataset", "data_collator") if name in options}
    if "training_loss" not in own:
        own["training_loss"] = loss_of(method)
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 16,
        "max_grad_norm": 0.0,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_strategy": "epoch",
        "dataloader_pin_memory": False,
    }
    args = TrainingArguments(**{**settings, **options})
    return InOrder(model=model, args=args, train_dataset=rows, optimizers=(optimizer, schedule), **own)


class OfTexts(nn.Module):
    """The plain loop's way to call BERT with embedded tokens."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        return self.model(inputs_embeds=x["values"], attention_mask=x["mask"].long()).logits


class OfImages(OfTexts):
    def forward(self, x: Any) -> Tensor:
        return self.model(x).logits


def plain_loop(model: Any, method: Any, epochs: int = 2, size: int = 16, parts: int = 1) -> None:
    texts = isinstance(model, BertForSequenceClassification)
    network = OfTexts(model) if texts else OfImages(model)
    training_loss = loss_of(method)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()
    for epoch in range(epochs):
        training_loss.epoch = epoch
        for rows in torch.arange(N).split(size * parts):
            for part in rows.split(size):
                values = model.get_input_embeddings()(IDS[part]) if texts else None
                x = {"values": values, "mask": MASK[part].bool()} if texts else PIXELS[part]
                (training_loss(network, x, Y[part]) / len(rows.split(size))).backward()
            optimizer.step()
            optimizer.zero_grad()


def same(one: Any, other: Any) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)


METHODS = {
    "erm": calmix.erm(),
    "sk_mixup": calmix.sk_mixup(),
    "mixup_e": calmix.mixup_e(),
    "scheduled": calmix.scheduled(calmix.mixup(), until=1),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("make", [bert, vit])
def test_results_are_those_of_a_plain_loop(make: Any, name: str, tmp_path: Path):
    model, other = make(), make()
    trainer(tmp_path, model, TEXTS if make is bert else IMAGES, METHODS[name]).train()
    plain_loop(other, METHODS[name])
    assert same(model, other)
    assert not same(model, make())


@pytest.mark.parametrize("make", [bert, vit])
def test_without_mixing_it_is_the_trainer_s_own_training(make: Any, tmp_path: Path):
    class Plain(Trainer):
        _get_train_sampler = InOrder._get_train_sampler

    rows, model, other = TEXTS if make is bert else IMAGES, make(), make()
    parts = {bert: 1, vit: 2}[make]  # the Trainer's own loss of BERT is not divided by the number of parts
    own = trainer(tmp_path, model, rows, calmix.erm(), gradient_accumulation_steps=parts)
    own.train()
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    plain = Plain(model=other, args=own.args, train_dataset=rows, optimizers=(optimizer, schedule))
    plain.train()
    assert same(model, other)
    assert plain.state.log_history[0]["loss"] == pytest.approx(own.state.log_history[0]["loss"], abs=1e-5)


def test_the_gradients_of_parts_are_those_of_a_plain_loop_with_parts(tmp_path: Path):
    model, other = bert(), bert()
    trainer(
        tmp_path, model, TEXTS, calmix.mixup(), per_device_train_batch_size=8, gradient_accumulation_steps=4
    ).train()
    plain_loop(other, calmix.mixup(), size=8, parts=4)  # the last step of an epoch has two parts
    assert same(model, other)


def test_texts_are_mixed_where_they_are_embedded_and_masks_are_ored(tmp_path: Path):
    seen: list[dict[str, Any]] = []
    model = bert()
    model.register_forward_pre_hook(lambda _m, _args, kwargs: seen.append(kwargs), with_kwargs=True)
    own = trainer(tmp_path, model, TEXTS[:16], calmix.mixup(), num_train_epochs=1)
    own.train()
    mix = own.training_loss.mix
    assert mix is not None
    (given,) = seen
    embedded = bert().get_input_embeddings()(IDS[:16])
    lam = mix.lam_x[:, None, None]
    assert torch.allclose(given["inputs_embeds"], lam * embedded[mix.anchor] + (1 - lam) * embedded[mix.partner])
    assert torch.equal(given["attention_mask"], MASK[:16][mix.anchor] | MASK[:16][mix.partner])
    assert given["attention_mask"].dtype == torch.long
    assert "input_ids" not in given


def test_what_all_rows_have_in_common_is_not_mixed(tmp_path: Path):
    with_types = [{**row, "token_type_ids": torch.ones(T, dtype=torch.long)} for row in TEXTS]
    model, other = bert(), bert()
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda _m, _a, kwargs: seen.append(kwargs["token_type_ids"]), with_kwargs=True)
    trainer(tmp_path, model, with_types, calmix.regmixup(), num_train_epochs=1).train()
    assert {tuple(types.shape) for types in seen} == {(32, T)}  # clean and mixed rows
    assert all((types == 1).all() for types in seen)
    trainer(tmp_path, other, TEXTS, calmix.regmixup(), num_train_epochs=1).train()
    assert not same(model, other)


def test_modules_have_the_names_that_they_have_in_the_model(tmp_path: Path):
    space = calmix.parts.Embedding("bert.pooler")
    own = trainer(tmp_path, bert(), TEXTS, calmix.sk_mixup(space=space), num_train_epochs=1)
    own.train()
    images = trainer(tmp_path, vit(), IMAGES, calmix.manifold_mixup(sites=("vit.embeddings",)), num_train_epochs=1)
    images.train()
    assert images.training_loss.mix is not None
    assert images.training_loss.mix.site == "vit.embeddings"


def test_remembered_methods_are_told_the_rows_by_their_entry_index(tmp_path: Path):
    indexed = [{**row, "index": position} for position, row in enumerate(TEXTS)]
    method = calmix.sk_mixup(remember=True)
    own = trainer(tmp_path, bert(), indexed, method)
    own.train()
    assert own.training_loss._memory.sites == (None,)
    with pytest.raises(SettingError, match="training rows") as raised:
        trainer(tmp_path, bert(), TEXTS, method).train()
    assert "'index'" in str(raised.value)


def test_evaluations_give_the_plain_loss_and_the_logits(tmp_path: Path):
    model = bert()
    own = trainer(tmp_path, model, TEXTS, calmix.mixup())
    found = own.predict(TEXTS)  # pyright: ignore[reportArgumentType]
    model.eval()
    with torch.no_grad():
        made = model(input_ids=IDS, attention_mask=MASK, labels=Y)
    assert torch.allclose(torch.as_tensor(found.predictions), made.logits, atol=1e-6)
    assert found.metrics is not None
    assert found.metrics["test_loss"] == pytest.approx(float(made.loss), abs=1e-5)


def strengths(own: Trainer) -> list[Any]:
    return [entry.get("strength") for entry in own.state.log_history if "loss" in entry]


def test_auto_observes_the_evaluation_and_the_training_rows_of_every_epoch(tmp_path: Path):
    model, epochs, too_sure = sure_vit(), 5, []
    own = trainer(
        tmp_path, model, IMAGES[:32], eval_dataset=IMAGES[32:], training_loss=loss_of(calmix.auto(), epochs=epochs),
        num_train_epochs=epochs, eval_strategy="epoch",
    )  # fmt: skip
    own.train()
    other, training_loss = sure_vit(), loss_of(calmix.auto(), epochs=epochs)
    network = OfImages(other)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    for epoch in range(epochs):
        training_loss.epoch = epoch
        expected = training_loss.strength
        assert strengths(own)[epoch] == (None if expected is None else pytest.approx(expected, rel=1e-3))
        other.train()
        for rows in torch.arange(32).split(16):
            training_loss(network, PIXELS[rows], Y[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
        other.eval()
        of_training = other(PIXELS[:32]).logits, Y[:32]
        too_sure.append(log_temperature(*of_training, 0.5) > 0)
        training_loss.observe(other(PIXELS[32:]).logits, Y[32:], of_training)
    assert any(too_sure)
    assert same(model, other)
    assert len(set(strengths(own))) == epochs


def test_texts_with_entries_in_common_are_asked_of_as_in_an_evaluation(tmp_path: Path):
    with_types = [{**row, "token_type_ids": torch.ones(T, dtype=torch.long)} for row in TEXTS]
    model, seen = bert(), []

    def note(module: nn.Module, _args: Any, kwargs: Any) -> None:
        if not module.training:
            seen.append((kwargs["input_ids"], kwargs["token_type_ids"].unique().tolist(), torch.is_grad_enabled()))

    model.register_forward_pre_hook(note, with_kwargs=True)
    own = trainer(
        tmp_path, model, with_types[:32], eval_dataset=with_types[32:], training_loss=loss_of(calmix.auto()),
        num_train_epochs=1, eval_strategy="epoch",
    )  # fmt: skip
    own.train()
    asked, types, graphs = zip(*seen, strict=True)
    assert torch.equal(torch.cat(asked[:2]), IDS[:32])
    assert types == ([1],) * len(types)
    assert not any(graphs)


def test_when_training_has_ended_no_training_rows_are_asked_of(tmp_path: Path):
    model, seen = vit(), []
    own = trainer(
        tmp_path, model, IMAGES[:32], eval_dataset=IMAGES[32:], training_loss=loss_of(calmix.auto()),
        num_train_epochs=1, eval_strategy="epoch", eval_delay=2,
    )  # fmt: skip
    own.train()
    model.register_forward_pre_hook(lambda _m, _a, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True)
    own.evaluate()
    assert torch.equal(torch.cat(seen), PIXELS[32:])


def test_auto_observes_all_evaluation_sets_together_and_no_other_rows(tmp_path: Path):
    def run(eval_dataset: Any) -> list[Any]:
        own = trainer(
            tmp_path, vit(), IMAGES[:32], eval_dataset=eval_dataset, training_loss=loss_of(calmix.auto()),
            num_train_epochs=3, eval_strategy="epoch",
        )  # fmt: skip
        own.evaluate()
        assert own.training_loss.strength == 0.2  # of a network that is not being trained
        own.train()
        before = own.training_loss.strength
        own.evaluate()
        own.evaluate(IMAGES[:32])  # pyright: ignore[reportArgumentType]
        assert own.training_loss.strength == before
        return strengths(own)

    assert run({"one": IMAGES[32:40], "two": IMAGES[40:]}) == pytest.approx(run(IMAGES[32:]), rel=1e-3)


def test_logs_hold_the_terms_as_means(tmp_path: Path):
    own = trainer(tmp_path, bert(), TEXTS, calmix.mixup_e(), num_train_epochs=1)
    own.train()
    entry = own.state.log_history[0]
    assert entry["mixed"] + entry["slope"] == pytest.approx(entry["loss"], abs=1e-4)
    assert 0 < entry["accuracy"] <= 1
    assert "strength" not in entry


def test_a_run_that_goes_on_is_one_that_was_not_stopped(tmp_path: Path):
    def run(folder: Path, **options: Any) -> InOrder:
        return trainer(
            folder, bert(), TEXTS[:32], eval_dataset=TEXTS[32:], training_loss=loss_of(calmix.auto(), epochs=4),
            num_train_epochs=4, eval_strategy="epoch", save_strategy="epoch", **options,
        )  # fmt: skip

    whole = run(tmp_path / "whole")
    whole.train()
    again = run(tmp_path / "again")
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
    assert strengths(again) == strengths(whole)
    assert same(again.model, whole.model)
    newest = run(tmp_path / "whole", max_steps=9)
    newest.train(resume_from_checkpoint=True)
    assert newest.training_loss._steps == 9


def test_a_checkpoint_of_another_trainer_is_refused(tmp_path: Path):
    (tmp_path / "checkpoint-3").mkdir()
    with pytest.raises(DataError, match=r"holds no training_loss\.pt"):
        trainer(tmp_path, bert(), TEXTS, calmix.mixup()).train(resume_from_checkpoint=True)
    (tmp_path / "checkpoint-3" / "training_loss.pt").write_bytes(b"no")
    with pytest.raises(DataError, match=r"training_loss\.pt cannot be read"):
        trainer(tmp_path, bert(), TEXTS, calmix.mixup()).train(resume_from_checkpoint=True)


PAIRS = [{**row, "token_type_ids": torch.arange(T) % (2 + k % 2)} for k, row in enumerate(TEXTS)]
BYTES = [{**row, "pixel_values": (row["pixel_values"] * 9).byte()} for row in IMAGES]
NAMELESS = [{"input_ids": row["input_ids"], "attention_mask": row["attention_mask"]} for row in TEXTS]
MISTAKES: dict[str, tuple[Any, list[Any], dict[str, Any], type[CalmixError], str]] = {
    "no labels": (bert, NAMELESS, {}, ShapeError, "must have an entry 'labels'; got one with input_ids, attention"),
    "texts in pairs": (bert, PAIRS, {}, ShapeError, "'token_type_ids' are integers that differ from row to row"),
    "images of bytes": (vit, BYTES, {}, ShapeError, "'pixel_values' are integers that differ"),
    "smoothing": (
        bert, TEXTS, {"label_smoothing_factor": 0.1}, SettingError, r"Classification\(..., label_smoothing=0.1\)",
    ),
    "no evaluation": (bert, TEXTS, {"training_loss": loss_of(calmix.auto())}, SettingError, "eval_strategy='epoch'"),
    "a method": (bert, TEXTS, {"training_loss": calmix.mixup()}, SettingError, "must be a calmix.TrainingLoss; got"),
    "a wrong number of classes": (
        bert, TEXTS, {"training_loss": calmix.TrainingLoss(calmix.mixup(), calmix.Classification(3))}, ShapeError,
        "check the width of the last layer and the task",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_the_sentence_that_helps(mistake: str, tmp_path: Path):
    make, rows, options, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        trainer(tmp_path, make(), rows, calmix.mixup(), **options).train()


def test_a_loss_function_that_would_be_ignored_is_refused(tmp_path: Path):
    args = TrainingArguments(output_dir=str(tmp_path), report_to=[], use_cpu=True)
    with pytest.raises(SettingError, match="compute_loss_func would be ignored"):
        InOrder(model=bert(), args=args, compute_loss_func=len, training_loss=loss_of(calmix.mixup()))

"""Hugging Face Transformers: a small BERT, untrained, on texts; by sk_mixup, mixup_e and auto.

Data: sentences from the documentation of Python functions that are on every machine with PyTorch. The classes are the
packages that the sentences are from: numpy, torch, and Python's own library. The vocabulary are the 1,000 most frequent
words of the training sentences. The calmix lines are marked with #.

    python docs/examples/transformers_text.py
"""

import inspect
import random
import re
import tempfile
from collections import Counter
from importlib import import_module

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import calmix
from calmix.integrations.transformers import CalmixTrainerMixin  #

PACKAGES = {
    "numpy": ["numpy", "numpy.linalg", "numpy.ma", "numpy.fft", "numpy.polynomial.polynomial"],
    "torch": ["torch", "torch.nn.functional", "torch.linalg", "torch.special", "torch.distributions"],
    "python": [
        "argparse",
        "asyncio",
        "datetime",
        "decimal",
        "email",
        "logging",
        "os",
        "shutil",
        "socket",
        "statistics",
    ],
}
WORDS, LENGTH, EACH, EPOCHS = 1000, 24, 500, 4


class MixingTrainer(CalmixTrainerMixin, Trainer):  #
    pass


def sentences(modules: list[str]) -> list[list[str]]:
    """The sentences, as lists of words, of whatever in the modules has a documentation; each once."""
    found: dict[tuple[str, ...], None] = {}
    for module in map(import_module, modules):
        for _, thing in sorted(vars(module).items()):
            text = inspect.getdoc(thing) if inspect.isroutine(thing) or inspect.isclass(thing) else None
            for sentence in re.split(r"(?<=[.:])\s+", text or ""):
                words = tuple(re.findall(r"[a-z]+", sentence.lower()))
                if 6 <= len(words) <= LENGTH:
                    found[words] = None
    return [list(words) for words in found]


def data() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Rows to train on, and a quarter of all to evaluate on."""
    chosen = random.Random(0)
    rows = [(words, k) for k, names in enumerate(PACKAGES.values()) for words in chosen.sample(sentences(names), EACH)]
    chosen.shuffle(rows)
    held_out, training = rows[: len(rows) // 4], rows[len(rows) // 4 :]
    frequent = Counter(word for words, _ in training for word in words).most_common(WORDS)
    ids = {word: number for number, (word, _) in enumerate(frequent, start=2)}  # 0: padding, 1: another word

    def encoded(words: list[str], label: int) -> dict[str, object]:
        padding = [0] * (LENGTH - len(words))
        known = [ids.get(word, 1) for word in words]
        return {"input_ids": known + padding, "attention_mask": [1] * len(words) + padding, "labels": label}

    return [encoded(*row) for row in training], [encoded(*row) for row in held_out]


def main(method: calmix.parts.Method) -> dict[str, float]:
    """Train by a method; return what the last evaluation found."""
    training, held_out = data()
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=WORDS + 2, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=LENGTH, num_labels=len(PACKAGES), initializer_range=0.1,
        )
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = MixingTrainer(
            model=model,
            args=TrainingArguments(
                folder, num_train_epochs=EPOCHS, per_device_train_batch_size=32, per_device_eval_batch_size=200,
                learning_rate=3e-3, eval_strategy="epoch", save_strategy="no", use_cpu=True, report_to=[],
                disable_tqdm=True, log_level="error", dataloader_pin_memory=False,
            ),
            train_dataset=training,
            eval_dataset=held_out,
            compute_metrics=lambda made: {"accuracy": float((made.predictions.argmax(1) == made.label_ids).mean())},
            training_loss=calmix.TrainingLoss(method, calmix.Classification(3), seed=0, epochs=EPOCHS),  #
        )  # fmt: skip
        trainer.train()
        return trainer.evaluate()


if __name__ == "__main__":
    for method in (calmix.sk_mixup(), calmix.mixup_e(), calmix.auto()):
        found = main(method)
        print(f"accuracy {found['eval_accuracy']:.3f}, NLL {found['eval_loss']:.3f}: {method}")

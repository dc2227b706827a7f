"""Hugging Face Transformers: a small vision transformer, untrained, on images; by sk_mixup, mixup_e and auto.

Data: the 1,797 handwritten digits of scikit-learn, 8 x 8 pixels. The calmix lines are marked with #.

    python docs/examples/transformers_images.py
"""

import tempfile

import torch
from sklearn.datasets import load_digits
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

import calmix
from calmix.integrations.transformers import CalmixTrainerMixin  #

EPOCHS = 5


class MixingTrainer(CalmixTrainerMixin, Trainer):  #
    pass


def main(method: calmix.parts.Method) -> dict[str, float]:
    """Train by a method; return what the last evaluation found."""
    images, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    rows = [{"pixel_values": x, "labels": int(y)} for x, y in zip(pixels, labels, strict=True)]
    torch.manual_seed(0)
    model = ViTForImageClassification(
        ViTConfig(
            image_size=8, patch_size=2, num_channels=1, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=64, num_labels=10, initializer_range=0.15, hidden_dropout_prob=0.0,
        )
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = MixingTrainer(
            model=model,
            args=TrainingArguments(
                folder, num_train_epochs=EPOCHS, per_device_train_batch_size=32, per_device_eval_batch_size=200,
                learning_rate=5e-3, eval_strategy="epoch", save_strategy="no", use_cpu=True, report_to=[],
                disable_tqdm=True, log_level="error", dataloader_pin_memory=False,
            ),
            train_dataset=rows[400:],
            eval_dataset=rows[:400],
            compute_metrics=lambda made: {"accuracy": float((made.predictions.argmax(1) == made.label_ids).mean())},
            training_loss=calmix.TrainingLoss(method, calmix.Classification(10), seed=0, epochs=EPOCHS),  #
        )  # fmt: skip
        trainer.train()
        return trainer.evaluate()


if __name__ == "__main__":
    for method in (calmix.sk_mixup(), calmix.mixup_e(), calmix.auto()):
        found = main(method)
        print(f"accuracy {found['eval_accuracy']:.3f}, NLL {found['eval_loss']:.3f}: {method}")

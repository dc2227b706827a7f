"""A class for every pixel: a small U-Net; images and their labels are mixed as the boxes of cutmix, or as a whole.

Data: the handwritten digits of scikit-learn, two in an image of 8 x 16 pixels. A pixel with ink has the class of its
digit, the others the class 10, background. The calmix lines are marked with #.

    python docs/examples/segmentation.py
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import calmix
from calmix.parts import Embedding


class UNet(nn.Module):
    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.middle = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(width, 4 * width, 3, padding=1), nn.BatchNorm2d(4 * width), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(4 * width, 4 * width, 3, padding=1), nn.BatchNorm2d(4 * width), nn.ReLU(),
            nn.Upsample(scale_factor=4),
        )  # fmt: skip
        self.up = nn.Sequential(nn.Conv2d(5 * width, 2 * width, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(2 * width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down(x)
        return self.head(self.up(torch.cat([fine, self.middle(fine)], 1)))


def data() -> tuple[Tensor, Tensor]:
    """Images (n, 1, 8, 16) and class ids (n, 8, 16)."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).view(-1, 8, 8) / 16
    y = torch.where(x > 0.25, torch.tensor(labels)[:, None, None], 10)
    one, other = torch.arange(len(x) - 1), torch.arange(1, len(x))
    return torch.cat([x[one], x[other]], 2)[:, None], torch.cat([y[one], y[other]], 2)


def main(method: calmix.parts.Method, epochs: int = 5) -> tuple[float, float]:
    """Train by a method; return the accuracy on inked pixels of test images, and the NLL of all their pixels."""
    x, y = data()
    torch.manual_seed(0)
    net = UNet(classes=11)
    training_loss = calmix.TrainingLoss(method, calmix.Dense(11), seed=0)  #
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    for _ in range(epochs):
        for rows in (401 + torch.randperm(len(x) - 401)).split(64):  # no digit of 400 is of a test image, too
            optimizer.zero_grad()
            training_loss(net, x[rows], y[rows]).backward()  #
            optimizer.step()
    net.eval()
    with torch.no_grad():
        logits, target = net(x[:400]), y[:400]
        ink = target < 10
        accuracy = (logits.argmax(1) == target)[ink].float().mean()
        return float(accuracy), float(nn.functional.cross_entropy(logits, target))


if __name__ == "__main__":
    for method in (calmix.erm(), calmix.mixup(), calmix.cutmix(), calmix.sk_mixup(space=Embedding("middle"))):
        accuracy, nll = main(method)
        print(f"accuracy of inked pixels {accuracy:.3f}, NLL {nll:.3f}: {method}")

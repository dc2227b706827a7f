"""CutMix: whose pixels are where, and what they count for."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix import Classification, TrainingLoss
from calmix.errors import ShapeError
from calmix.parts import Boxes, Coefficient, Folded, Method, SimilarityKernel

N, H, W = 10, 7, 9


@dataclass(frozen=True)
class Given:
    """The shares that were given."""

    lam: tuple[float, ...]

    def __call__(
        self, step: calmix.parts.Step, anchor: Tensor, partner: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        lam = torch.tensor(self.lam)
        return lam, lam


def images(channels: int = 2) -> tuple[Tensor, Tensor]:
    """Image i is i everywhere, so that every pixel tells whose it is."""
    return torch.arange(float(N)).view(N, 1, 1, 1).expand(N, channels, H, W).clone(), torch.arange(N)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * H * W, 4), nn.Tanh(), nn.Linear(4, N))


def drawn(method: Method, seed: int = 0) -> tuple[Tensor, calmix.parts.Mix, Tensor]:
    """The pasted images (N, 2, H, W), the mix and the mixed targets."""
    x, y = images()
    step = method.step(network(), Classification(N), calmix.parts.Batch(x, y))
    step, mix = method.draw(step, torch.Generator().manual_seed(seed))
    return calmix.parts.blend(x, mix, mix.lam_x), mix, calmix.parts.mixed_target(step.target, mix)


def boxes_of(coefficient: Coefficient, per_row: bool = False, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Where the partner is (N, H, W), and lam_y."""
    x, y = images()
    step = calmix.cutmix().step(network(), Classification(N), calmix.parts.Batch(x, y))
    rows = torch.arange(N)
    lam_x, lam_y = Boxes(coefficient, per_row)(step, rows, rows.flip(0), torch.Generator().manual_seed(seed))
    assert lam_x.shape == (N, 1, H, W)
    return lam_x[:, 0].numpy() == 0, lam_y.numpy()


@pytest.mark.parametrize("per_row", [False, True])
def test_the_partner_s_pixels_fill_one_box_and_the_anchor_s_the_rest(per_row: bool):
    cut = 0
    for seed in range(20):
        pasted, mix, target = drawn(calmix.cutmix(per_row=per_row), seed)
        for row in range(N):
            a, b = int(mix.anchor[row]), int(mix.partner[row])
            inside = pasted[row] == b
            assert ((pasted[row] == a) | inside).all()
            if a == b:
                continue
            ys, xs = torch.where(inside[0])
            box = torch.zeros_like(inside)
            if len(ys):
                cut += 1
                box[:, ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
            assert torch.equal(inside, box)  # the same in every channel
            assert float(target[row, b]) == pytest.approx(len(ys) / (H * W), abs=1e-6)
            assert float(target[row, a]) == pytest.approx(1 - len(ys) / (H * W), abs=1e-6)
    assert cut > 50


def published(lam: float, row: int, column: int) -> np.ndarray:
    """rand_bbox of the authors' code around a centre, as a mask."""
    inside = np.zeros((H, W), dtype=bool)
    height, width = int(H * np.sqrt(1 - lam)), int(W * np.sqrt(1 - lam))
    top, bottom = np.clip([row - height // 2, row + height // 2], 0, H)
    left, right = np.clip([column - width // 2, column + width // 2], 0, W)
    inside[top:bottom, left:right] = True
    return inside


@pytest.mark.parametrize("per_row", [False, True])
def test_boxes_are_the_published_ones_around_centres_drawn_uniformly(per_row: bool):
    lam = (0.0, 0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9, 0.97, 1.0)
    possible = [[[published(share, r, c) for c in range(W)] for r in range(H)] for share in lam]
    centres = set()
    for seed in range(200):
        inside, lam_y = boxes_of(Given(lam), per_row, seed)
        matches = [
            {(r, c) for r in range(H) for c in range(W) if (possible[row][r][c] == inside[row]).all()}
            for row in range(N)
        ]
        assert all(matches)
        assert np.allclose(lam_y, 1 - inside.mean((1, 2)))
        if not per_row:  # one centre for all rows
            (centre,) = set.intersection(*matches)
            centres.add(centre)
    assert per_row or len(centres) > 0.9 * H * W


def test_one_box_a_batch_or_one_a_row():
    same, _ = boxes_of(calmix.parts.Beta(1.0))
    assert (same == same[0]).all()
    differ, _ = boxes_of(calmix.parts.Beta(1.0, per_row=True), per_row=True)
    assert len({box.tobytes() for box in differ}) > N / 2
    assert calmix.cutmix(per_row=True).coefficient == Boxes(calmix.parts.Beta(1.0, per_row=True), per_row=True)


def test_the_share_is_that_of_the_area_unless_the_border_clips_it():
    inside, _ = boxes_of(Given((0.0,) * N))
    assert (inside.mean((1, 2)) <= 1).all()
    clipped = [1 - boxes_of(Given((0.5,) * N), seed=seed)[1][0] for seed in range(300)]
    assert max(clipped) <= 0.5  # of what is asked for, rounded down
    whole = (2 * (int(H * 0.5**0.5) // 2)) * (2 * (int(W * 0.5**0.5) // 2)) / (H * W)
    assert max(clipped) == pytest.approx(whole)
    assert min(clipped) < whole / 2


def test_the_similarity_kernel_gives_similar_pairs_larger_boxes():
    x, y = images()
    step = calmix.cutmix().step(network(), Classification(N), calmix.parts.Batch(x, y))
    kernel = Folded(SimilarityKernel(tau_std=0.3, space=calmix.parts.Inputs()))
    anchor = torch.zeros(N, dtype=torch.int64)
    partner = torch.tensor([1] * 5 + [9] * 5)  # one step away, and nine
    pasted = []
    for seed in range(60):
        _, lam_y = Boxes(kernel, per_row=True)(step, anchor, partner, torch.Generator().manual_seed(seed))
        pasted.append(1 - lam_y)
    near, far = torch.stack(pasted).mean(0).view(2, 5).mean(1)
    assert near > 10 * far


def test_a_step_with_the_kernel_trains():
    net, (x, y) = network(), images()
    training_loss = TrainingLoss(calmix.cutmix(per_row=True, coefficient=SimilarityKernel()), Classification(N))
    training_loss(net, x, y).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize(
    ("x", "given"),
    [
        (torch.randn(4, 6), r"rows of the shape \(6,\)"),
        (torch.randn(4, 6, 2), r"rows of the shape \(6, 2\)"),
        ({"a": torch.randn(4, 1, 2, 2)}, "dict"),
    ],
)
def test_rows_that_are_not_images_are_one_sentence_that_names_mixup(x: object, given: str):
    with pytest.raises(ShapeError, match=rf"boxes into images \(C, H, W\); got {given}: use mixup instead"):
        TrainingLoss(calmix.cutmix(), Classification(N))(network(), x, torch.arange(4))


def test_boxes_do_not_fit_hidden_rows_and_say_so():
    _, mix, _ = drawn(calmix.cutmix())
    with pytest.raises(ShapeError, match=r"does not fit rows of .*; mix the inputs: site=None"):
        calmix.parts.blend(torch.randn(N, 2, H, W + 1), mix, mix.lam_x)
    with pytest.raises(ShapeError, match="does not fit rows"):
        calmix.parts.blend(torch.randn(N, 4), mix, mix.lam_x)

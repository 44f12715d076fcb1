"""Random transforms: what they draw, and that a seed repeats it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from image_files import array_of, both, pixels
from PIL import Image

import gpugrad as gg
from gpugrad.data import DataLoader
from gpugrad.data import transforms as T
from gpugrad.errors import ShapeError


def pipeline() -> T.Compose:
    """Every random transform."""
    return T.Compose(
        [
            T.RandomCrop(12, padding=2, padding_mode="reflect"),
            T.RandomResizedCrop(10),
            T.RandomHorizontalFlip(),
            T.RandomVerticalFlip(),
            T.RandomRotation(20),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            T.RandomGrayscale(0.2),
            T.RandomChoice([T.Grayscale(3), T.Lambda(Image.Image.copy)], p=[1, 2]),
            T.RandomOrder([T.RandomCrop(9), T.RandomGrayscale()]),
            T.ToTensor(),
            T.RandomErasing(value="random"),
        ]
    )


class Pictures:
    """A data set of 12 transformed pictures."""

    def __init__(self) -> None:
        self.transform = pipeline()

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> gg.Tensor:
        return self.transform(Image.fromarray(pixels(12, 12, seed=index)))


def test_one_seed_gives_the_same_images() -> None:
    image = Image.fromarray(pixels(12, 12))
    runs = []
    for seed in (1, 1, 2):
        gg.manual_seed(seed)
        runs.append([pipeline()(image).numpy().tobytes() for _ in range(8)])
    assert runs[0] == runs[1] != runs[2]
    assert len(set(runs[0])) == 8


def test_workers_do_not_change_the_images() -> None:
    runs = []
    for workers in (0, 2):
        gg.manual_seed(1)
        loader = DataLoader(Pictures(), 3, shuffle=True, num_workers=workers)
        runs.append([batch.numpy() for _ in range(2) for batch in loader])
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_random_crop() -> None:
    array = pixels(6, 7)
    padded = np.pad(array, ((2, 2), (2, 2), (0, 0)))
    for image in both(array):
        seen = set()
        for _ in range(60):
            part = array_of(T.RandomCrop((5, 6), padding=2)(image))
            places = [
                (i, j)
                for i in range(6)
                for j in range(6)
                if (padded[i : i + 5, j : j + 6] == part).all()
            ]
            assert len(places) == 1
            seen.update(places)
        assert {i for i, _ in seen} == set(range(6)) == {j for _, j in seen}
        assert array_of(T.RandomCrop(9, pad_if_needed=True)(image)).shape == (9, 9, 3)
        np.testing.assert_array_equal(array_of(T.RandomCrop((6, 7))(image)), array)
        with pytest.raises(ShapeError, match="size 9 x 9 is larger than the image, 8 x 9 with"):
            T.RandomCrop(9, padding=1)(image)


def test_random_resized_crop() -> None:
    areas, ratios = [], []
    for _ in range(400):
        size = T.RandomResizedCrop.get_params(Image.new("L", (400, 300)), (0.1, 0.4), (0.5, 2.0))
        top, left, h, w = size
        assert 0 <= top <= 300 - h and 0 <= left <= 400 - w
        areas.append(h * w / (300 * 400))
        ratios.append(w / h)
    assert 0.095 < min(areas) < 0.12 and 0.35 < max(areas) < 0.405
    assert 0.49 < min(ratios) < 0.56 and 1.8 < max(ratios) < 2.02
    # Even in the logarithm, which spans 2 log 2: its mean 0 deviates by 0.02 in 400 draws.
    assert abs(np.mean(np.log(ratios))) < 0.1
    assert T.RandomResizedCrop((5, 6))(Image.fromarray(pixels(20, 20))).size == (6, 5)
    # Nothing of that proportion fits: the middle is taken.
    flat = Image.new("L", (100, 10))
    assert T.RandomResizedCrop.get_params(flat, (0.9, 1.0), (1.0, 1.0)) == (0, 45, 10, 10)


def test_random_erasing() -> None:
    x = gg.ones(3, 20, 30)
    shares, ratios = [], []
    for _ in range(300):
        y = T.RandomErasing(p=1.0, scale=(0.05, 0.2), ratio=(0.25, 1.0))(x)
        gone = y[0].numpy() == 0
        rows, columns = np.flatnonzero(gone.any(1)), np.flatnonzero(gone.any(0))
        h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert gone.sum() == h * w == (y.numpy() == 0).sum() / 3
        shares.append(h * w / 600)
        ratios.append(h / w)
    assert 0.03 < min(shares) < 0.07 and 0.17 < max(shares) < 0.23
    assert 0.2 < min(ratios) < 0.4 and 0.8 < max(ratios) <= 1.0  # height / width
    assert x.min().item() == 1
    assert T.RandomErasing(p=0.0)(x) is x
    coloured = T.RandomErasing(p=1.0, value=(7, 8, 9), inplace=True)(x)
    assert coloured is x and x.amax((1, 2)).tolist() == [7, 8, 9]


def test_chances() -> None:
    image = Image.fromarray(pixels(2, 2))
    flipped = sum(T.RandomHorizontalFlip(0.3)(image) is not image for _ in range(500))
    assert 109 < flipped < 191  # 150 expected, with a deviation of 10
    applied = sum(T.RandomApply([T.Pad(1)], 0.3)(image) is not image for _ in range(500))
    assert 109 < applied < 191
    choice = T.RandomChoice([T.Pad(1), T.Pad(2)], p=[3, 1])
    wide = sum(choice(image).size == (4, 4) for _ in range(400))
    assert 265 < wide < 335  # 300 expected, with a deviation of 8.7
    angles = {T.RandomRotation((5, 6))(image).tobytes() for _ in range(3)}
    assert angles
    assert T.RandomGrayscale(1.0)(image).mode == "RGB"


def test_compose_prints_and_pickles() -> None:
    transform = T.Compose([T.Resize(8), T.ToTensor(), T.Normalize((0.5,), (0.5,))])
    assert repr(transform) == (
        "Compose(\n    Resize(size=8, interpolation=bilinear, max_size=None, antialias=True)\n"
        "    ToTensor()\n    Normalize(mean=(0.5,), std=(0.5,))\n)"
    )
    again = pickle.loads(pickle.dumps(transform))
    image = Image.fromarray(pixels(9, 9))
    np.testing.assert_array_equal(again(image).numpy(), transform(image).numpy())

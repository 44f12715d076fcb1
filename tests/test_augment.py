"""Augmentation of batches on a device, against what can be worked out by hand or by colorsys."""

from __future__ import annotations

import colorsys
import pickle
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad.data import Augmented, DataLoader, TensorDataset, augment, colour
from gpugrad.errors import ArgumentError, DTypeError, ShapeError

Array = np.ndarray[Any, Any]


@pytest.fixture(params=["cpu", "kernels"])
def device(request: pytest.FixtureRequest, kernel_device: str) -> str:
    """The CPU, and where this session runs the kernels."""
    return "cpu" if request.param == "cpu" else kernel_device


def pictures(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> Array:
    """Random images."""
    rng = np.random.default_rng(seed)
    if dtype == "uint8":
        return rng.integers(0, 256, shape, np.uint8)
    return rng.random(shape).astype(dtype)


# ---- crop and flip -------------------------------------------------------------------------------

NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge"}


@pytest.mark.parametrize("mode", list(NUMPY_MODES))
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_crops_are_windows_of_the_padded_image(device: str, mode: str, dtype: str) -> None:
    x = pictures((48, 3, 6, 7), dtype)
    crop = augment.RandomCrop((5, 6), padding=2, padding_mode=mode, flip=0.5)
    y = crop(gg.tensor(x, device=device))
    assert y.shape == (48, 3, 5, 6) and str(y.dtype) == dtype and str(y.device) == device
    border = ((0, 0), (0, 0), (2, 2), (2, 2))
    padded = np.pad(x, border, mode=NUMPY_MODES[mode])  # type: ignore[call-overload]
    seen = set()
    for image, source in zip(y.numpy(), padded, strict=True):
        found = [
            (top, left, flipped)
            for top in range(6)
            for left in range(6)
            for flipped in (False, True)
            if (
                image[:, :, :: -1 if flipped else 1] == source[:, top : top + 5, left : left + 6]
            ).all()
        ]
        assert len(found) == 1  # of 72, and the images are noise: no other one fits by chance
        seen.update(found)
    # 48 draws of 72 places: 35 different ones on average, 25 or fewer never.
    assert len(seen) > 25
    assert {top for top, _, _ in seen} == set(range(6)) == {left for _, left, _ in seen}
    assert {flipped for _, _, flipped in seen} == {False, True}


def test_flips(device: str) -> None:
    x = gg.tensor(pictures((400, 1, 2, 3)), device=device)
    y = augment.RandomHorizontalFlip(0.25)(x).numpy()
    same = (y == x.numpy()).all((1, 2, 3))
    mirrored = (y == x.numpy()[..., ::-1]).all((1, 2, 3))
    assert (same | mirrored).all()
    assert 65 < mirrored.sum() < 135  # 100 expected, with a deviation of 8.7
    assert (augment.RandomHorizontalFlip(1.0)(x).numpy() == x.numpy()[..., ::-1]).all()
    assert (augment.RandomHorizontalFlip(0.0)(x).numpy() == x.numpy()).all()


def full(*, generator: gg.Generator | None = None) -> augment.Compose:
    """Everything at once."""
    return augment.Compose(
        [
            augment.RandomCrop(8, padding=2, padding_mode="reflect", generator=generator),
            augment.RandomHorizontalFlip(generator=generator),
            augment.ColorJitter(0.4, 0.4, 0.4, 0.1, generator=generator),
            augment.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]),
            augment.Cutout(4, generator=generator),
            augment.MixUp(10, generator=generator),
        ]
    )


def test_one_seed_gives_the_same_images_everywhere(kernel_device: str) -> None:
    x, y = pictures((16, 3, 8, 8)), np.arange(16) % 10
    results = []
    for device in ("cpu", "cpu", kernel_device):
        gg.manual_seed(5)
        batch = full()(gg.tensor(x, device=device), gg.tensor(y, device=device))
        results.append([each.numpy() for each in batch])
    for first, second in zip(results[0], results[1], strict=True):
        np.testing.assert_array_equal(first, second)
    for first, second in zip(results[0], results[2], strict=True):
        # Colours of 8 bits are cut, not rounded: a sum of another order may differ by 1 of 255.
        np.testing.assert_allclose(first, second, rtol=0, atol=1.01 / 255 / 0.2)
    gg.manual_seed(6)
    assert (full()(gg.tensor(x), gg.tensor(y))[0].numpy() != results[0][0]).any()


def test_a_generator_of_its_own() -> None:
    x, y = gg.tensor(pictures((4, 3, 8, 8))), gg.arange(4)
    before = gg.get_rng_state().tolist()
    draws = [full(generator=gg.Generator().manual_seed(3))(x, y)[0].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*draws)
    assert gg.get_rng_state().tolist() == before


# ---- cutout, normalise -------------------------------------------------------------------------


def test_cutout(device: str) -> None:
    x = gg.tensor(pictures((300, 2, 8, 6)) // 2, device=device)
    y = augment.Cutout(4, fill=255)(x).numpy()
    areas = []
    for image, source in zip(y, x.numpy(), strict=True):
        hidden = image[0] == 255
        np.testing.assert_array_equal(hidden, image[1] == 255)
        np.testing.assert_array_equal(image[:, ~hidden], source[:, ~hidden])
        rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
        assert np.ptp(rows) < 4 and np.ptp(columns) < 4
        assert hidden[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        areas.append(int(hidden.sum()))
    # Along an axis of n the square of 4 shows 2, 3, 4, ..., 4, 3 pixels for centres 0 to n - 1.
    assert min(areas) == 4 and max(areas) == 16
    # Whole squares: (5 / 8) (3 / 6) = 0.31, with a deviation of 0.027.
    assert abs(np.mean(np.equal(areas, 16)) - 5 / 16) < 0.11


def test_normalise(device: str) -> None:
    mean, std = [0.5, 0.25], [0.2, 0.4]
    x = pictures((3, 2, 4, 4))
    m, s = (np.reshape(v, (1, 2, 1, 1)) for v in (mean, std))
    for batch, value in ((x, x / 255), (x.astype(np.float32) / 255, x / 255)):
        y = augment.Normalize(mean, std)(gg.tensor(batch, device=device))
        assert y.dtype == gg.float32
        # A product and a difference of values up to 4, each rounded to half of 2^-21.
        np.testing.assert_allclose(y.numpy(), (value - m) / s, rtol=0, atol=2**-20)
    half = augment.Normalize(mean, std, dtype=gg.float16)(gg.tensor(x, device=device))
    assert half.dtype == gg.float16
    np.testing.assert_allclose(half.numpy(), (x / 255 - m) / s, rtol=2**-11, atol=2**-20)
    assert augment.Normalize(mean, std)(gg.tensor(x).double()).dtype == gg.float64


# ---- colours -----------------------------------------------------------------------------------


def test_brightness_contrast_saturation_by_hand(device: str) -> None:
    x = gg.tensor(np.float32([0.2, 0.4, 0.6, 0.8, 0.1, 0.3]).reshape(1, 3, 1, 2), device=device)
    red, green, blue = x.numpy().reshape(3, 2).astype(np.float64)
    luma = 0.2989 * red + 0.587 * green + 0.114 * blue
    expected = {
        colour.brightness: [1.5 * c for c in (red, green, blue)],
        colour.contrast: [1.5 * c - 0.5 * luma.mean() for c in (red, green, blue)],
        colour.saturation: [1.5 * c - 0.5 * luma for c in (red, green, blue)],
    }
    for function, channels in expected.items():
        wanted = np.clip(channels, 0, 1).reshape(1, 3, 1, 2)
        # About five roundings of values up to 1.2.
        np.testing.assert_allclose(function(x, 1.5).numpy(), wanted, rtol=0, atol=2**-21)
        np.testing.assert_allclose(function(x, 1.0).numpy(), x.numpy(), rtol=0, atol=2**-22)
    assert (colour.brightness(x, 0.0).numpy() == 0).all()
    np.testing.assert_allclose(colour.grey(x).numpy().reshape(2), luma, rtol=0, atol=2**-22)


@pytest.mark.parametrize("shift", [-0.5, -0.2, 0.0, 0.1, 0.37])
def test_hue_is_that_of_colorsys(device: str, shift: float) -> None:
    x = pictures((2, 3, 5, 7), "float32")
    x[0, :, 0, 0] = 0.5  # grey, black and white have no hue
    x[0, :, 0, 1], x[0, :, 0, 2] = 0.0, 1.0
    y = colour.hue(gg.tensor(x, device=device), shift).numpy()
    for n, i, j in np.ndindex(2, 5, 7):
        h, s, v = colorsys.rgb_to_hsv(*x[n, :, i, j].astype(np.float64))
        expected = colorsys.hsv_to_rgb((h + shift) % 1, s, v)
        # The hue, up to 6 sixths, is off by a few times 2^-22; times a span of at most 1.
        np.testing.assert_allclose(y[n, :, i, j], expected, rtol=0, atol=2**-19)


def test_colours_of_8_bits(device: str) -> None:
    x = gg.tensor(pictures((4, 3, 5, 5)), device=device)
    wide = x.float() / 255
    for function in (colour.brightness, colour.contrast, colour.saturation, colour.hue):
        y = function(x, 0.4)
        assert y.dtype == gg.uint8
        # Cut to whole numbers, less than 1 below; before that grey was, which counts 0.6.
        difference = function(wide, 0.4).numpy() * 255 - y.numpy()
        assert np.abs(difference).max() < 1.6
    np.testing.assert_array_equal(colour.hue(x, 0.0).numpy(), x.numpy())
    np.testing.assert_array_equal(colour.contrast(x, 1.0).numpy(), x.numpy())


def test_grey_images_have_no_colour() -> None:
    x = gg.tensor(pictures((2, 1, 3, 3), "float32"))
    assert colour.hue(x, 0.3) is x and colour.saturation(x, 0.3) is x
    assert colour.contrast(x, 0.5).shape == x.shape
    assert colour.grey(x, 3).shape == (2, 3, 3, 3)


def test_jitter_draws_for_each_image(device: str) -> None:
    x = gg.tensor(pictures((64, 3, 2, 2), "float32") * 0.5 + 0.1, device=device)
    y = augment.ColorJitter(brightness=0.5)(x).numpy()
    factors = y / x.numpy()
    one = factors[:, :1, :1, :1]
    np.testing.assert_allclose(factors, np.broadcast_to(one, factors.shape), rtol=2**-21)
    assert 0.5 <= one.min() < 0.6 and 1.4 < one.max() <= 1.5
    assert len(np.unique(one)) == 64
    still = augment.ColorJitter()(x)
    np.testing.assert_array_equal(still.numpy(), x.numpy())


# ---- mixup -------------------------------------------------------------------------------------


def test_mixup(device: str) -> None:
    x, labels = pictures((6, 3, 2, 2), "float32"), np.array([3, 1, 4, 1, 5, 9])
    mix = augment.MixUp(10, alpha=1.0)
    y, q = mix(gg.tensor(x, device=device), gg.tensor(labels, device=device))
    assert mix.order is not None and 0 < mix.lam < 1
    order = mix.order.numpy()
    assert sorted(order) == list(range(6))
    a, b = mix.lam, 1 - mix.lam
    np.testing.assert_allclose(y.numpy(), a * x + b * x[order], rtol=0, atol=2**-22)
    one_hot = np.eye(10)[labels]
    np.testing.assert_allclose(q.numpy(), a * one_hot + b * one_hot[order], rtol=0, atol=2**-23)
    logits = gg.tensor(pictures((6, 10), "float32", seed=1), device=device)
    soft = F.cross_entropy(logits, q).item()
    first, second = (F.cross_entropy(logits, gg.tensor(t, device=device)).item()
                     for t in (labels, labels[order]))  # fmt: skip
    assert soft == pytest.approx(a * first + b * second, rel=1e-6)


def test_mixup_draws_from_a_beta_distribution() -> None:
    x, y = gg.zeros(2, 1, 1, 1), gg.zeros(2, dtype=gg.int64)
    mix = augment.MixUp(2, alpha=0.4)
    lam = []
    for _ in range(2000):
        mix(x, y)
        lam.append(mix.lam)
    # Mean 1/2; variance 1 / (4 (2 alpha + 1)) = 0.139, so the mean deviates by 0.0083.
    assert abs(np.mean(lam) - 0.5) < 0.034
    assert abs(np.var(lam) - 1 / (4 * 1.8)) < 0.01


# ---- with a loader -----------------------------------------------------------------------------


def test_augmented_loader(kernel_device: str) -> None:
    x, y = gg.tensor(pictures((10, 3, 8, 8))), gg.arange(10)
    loader = DataLoader(TensorDataset(x, y), 4)
    crops = Augmented(loader, augment.RandomCrop(6), device=kernel_device)
    assert len(crops) == 3 and crops.dataset is loader.dataset
    batches = list(crops)
    assert [tuple(images.shape) for images, _ in batches] == [(4, 3, 6, 6)] * 2 + [(2, 3, 6, 6)]
    assert {str(each.device) for batch in batches for each in batch} == {kernel_device}
    assert [int(i) for _, labels in batches for i in labels.cpu()] == list(range(10))
    mixed = next(iter(Augmented(loader, full())))
    assert mixed[0].dtype == gg.float32 and mixed[1].shape == (4, 10)
    assert not mixed[0].requires_grad


def test_empty_batches(device: str) -> None:
    x, y = gg.zeros(0, 3, 8, 8, device=device), gg.zeros(0, dtype=gg.int64, device=device)
    images, q = full()(x, y)
    assert images.shape == (0, 3, 8, 8) and q.shape == (0, 10)


# ---- bad input -----------------------------------------------------------------------------------

X = gg.zeros(2, 3, 8, 8)
A = augment
BAD = [
    (lambda: A.RandomCrop(0), ArgumentError, "RandomCrop: size = 0; expected a whole number above"),
    (lambda: A.RandomCrop((4, 4, 4)), ArgumentError, r"size = (4, 4, 4); expected"),
    (lambda: A.RandomCrop(4, -1), ArgumentError, "padding = -1; expected a whole number, not neg"),
    (lambda: A.RandomCrop(4, 1, "edge"), ArgumentError, "'edge'; expected one of zeros, reflect,"),
    (lambda: A.RandomCrop(4, flip=2.0), ArgumentError, "p = 2.0; a probability lies in [0, 1]"),
    (lambda: A.RandomCrop(9)(X), ShapeError, "(9, 9) is larger than the images, (8, 8) with a pad"),
    (lambda: A.RandomCrop(8, 8, "reflect")(X), ShapeError, "padding = 8 with 'reflect' must be sm"),
    (lambda: A.RandomCrop(4)(X[0]), ShapeError, "images (N, C, H, W), got shape (3, 8, 8)"),
    (lambda: A.RandomCrop(4)(X.numpy()), DTypeError, "RandomCrop: expected a tensor, got a ndarr"),
    (lambda: A.RandomHorizontalFlip(-0.1), ArgumentError, "RandomHorizontalFlip: p = -0.1; a prob"),
    (lambda: A.Cutout(0), ArgumentError, "Cutout: size = 0; expected a whole number above 0"),
    (lambda: A.Normalize([0.5], [0.0]), ArgumentError, "and no 0 in std"),
    (lambda: A.Normalize([0.5], [1, 2]), ArgumentError, "expected as many values in both"),
    (lambda: A.Normalize([0, 0], [1, 1])(X), ShapeError, "have 2 values, the images 3 channels"),
    (lambda: A.ColorJitter(-1), ArgumentError, "brightness = -1; it must not be negative"),
    (lambda: A.ColorJitter(hue=0.7), ArgumentError, "hue = 0.7; its values must lie in [-0.5,"),
    (lambda: A.ColorJitter(0.1)(X[:, :2]), ShapeError, "1 or 3 channels, got (2, 2, 8, 8)"),
    (lambda: A.MixUp(10, 0.0), ArgumentError, "MixUp: alpha = 0.0; it must be above 0"),
    (lambda: A.MixUp(10)(X), ArgumentError, "call it with (x, y)"),
    (lambda: A.MixUp(9)(X.byte(), gg.arange(2)), DTypeError, "Put Normalize before MixUp"),
    (lambda: A.Compose([A.MixUp(10)])(X), ArgumentError, "MixUp mixes labels, and got none"),
    (lambda: Augmented([], A.Cutout), ArgumentError, "expected an augmentation, such as Compose("),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), BAD, ids=map(str, range(len(BAD))))
def test_bad_input(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)


def test_normalize_is_pickled_after_use() -> None:
    normalize = augment.Normalize((0.5,), (0.5,))
    x = gg.rand(2, 1, 3, 3)
    expected = normalize(x)
    assert gg.equal(pickle.loads(pickle.dumps(normalize))(x), expected)

"""Models: torchvision's names and sizes, arguments, files, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import models
from gpugrad.errors import ArgumentError, ShapeError

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def keys(prefix: str, names: tuple[str, ...] = ("weight", "bias")) -> set[str]:
    return {f"{prefix}.{name}" for name in names}


def conv_bn(conv: str, bn: str) -> set[str]:
    """A convolution without bias and its normalisation."""
    return {f"{conv}.weight"} | keys(bn, NORM)


def resnet_keys(depths: tuple[int, ...], convs: int, first_downsample: bool) -> set[str]:
    found = conv_bn("conv1", "bn1") | keys("fc")
    for stage, depth in enumerate(depths, 1):
        for block in range(depth):
            at = f"layer{stage}.{block}"
            for i in range(1, convs + 1):
                found |= conv_bn(f"{at}.conv{i}", f"{at}.bn{i}")
            if block == 0 and (stage > 1 or first_downsample):
                found |= conv_bn(f"{at}.downsample.0", f"{at}.downsample.1")
    return found


def vgg_keys(convs: str, bn: bool) -> set[str]:
    """`convs`: positions of the convolutions among the features."""
    found = keys("classifier.0") | keys("classifier.3") | keys("classifier.6")
    for i in map(int, convs.split()):
        found |= keys(f"features.{i}") | (keys(f"features.{i + 1}", NORM) if bn else set())
    return found


def googlenet_keys() -> set[str]:
    parts = ["conv1", "conv2", "conv3", "aux1.conv", "aux2.conv"]
    for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        at = f"inception{block}"
        parts += [f"{at}.branch1", f"{at}.branch4.1"]
        parts += [f"{at}.branch{i}.{j}" for i in (2, 3) for j in (0, 1)]
    found = keys("fc")
    for aux in ("aux1", "aux2"):
        found |= keys(f"{aux}.fc1") | keys(f"{aux}.fc2")
    for part in parts:
        found |= conv_bn(f"{part}.conv", f"{part}.bn")
    return found


# As published: the positions of convolutions among VGG's features are those of torchvision's files.
EXPECTED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "resnet18": ({"width": 4}, resnet_keys((2, 2, 2, 2), 2, False)),
    "resnet34": ({"width": 4}, resnet_keys((3, 4, 6, 3), 2, False)),
    "resnet50": ({"width": 4}, resnet_keys((3, 4, 6, 3), 3, True)),
    "vgg11": ({}, vgg_keys("0 3 6 8 11 13 16 18", False)),
    "vgg13": ({}, vgg_keys("0 2 5 7 10 12 15 17 20 22", False)),
    "vgg16": ({}, vgg_keys("0 2 5 7 10 12 14 17 19 21 24 26 28", False)),
    "vgg19": ({}, vgg_keys("0 2 5 7 10 12 14 16 19 21 23 25 28 30 32 34", False)),
    "vgg11_bn": ({}, vgg_keys("0 4 8 11 15 18 22 25", True)),
    "vgg13_bn": ({}, vgg_keys("0 3 7 10 14 17 21 24 28 31", True)),
    "vgg16_bn": ({}, vgg_keys("0 3 7 10 14 17 20 24 27 30 34 37 40", True)),
    "vgg19_bn": ({}, vgg_keys("0 3 7 10 14 17 20 23 27 30 33 36 40 43 46 49", True)),
    "googlenet": ({"width": 16}, googlenet_keys()),
}
PARAMETERS = {  # in torchvision's documentation
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "googlenet": 6_624_904,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_names_are_torchvisions(name: str) -> None:
    config, expected = EXPECTED[name]
    if name.startswith("vgg"):
        config = {"width": 4, "hidden": 8, "pool": 1}
    assert set(models.create(name, **config).state_dict()) == expected


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters stay as they were allocated: their shapes are what is asked for."""
    for name in ("uniform_", "normal_", "trunc_normal_"):
        monkeypatch.setattr(gg.nn.init, name, lambda tensor, *args, **kwargs: tensor)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", PARAMETERS)
def test_sizes_are_torchvisions(name: str) -> None:
    model = models.create(name)
    found = sum(p.numel() for key, p in model.named_parameters() if not key.startswith("aux"))
    assert found == PARAMETERS[name]


@pytest.mark.usefixtures("undrawn")
def test_shapes_of_published_weights() -> None:
    """Some that would load with a wrong architecture of the same size."""
    state = models.ResNet50().state_dict()
    assert state["conv1.weight"].shape == (64, 3, 7, 7)
    assert state["layer2.0.conv2.weight"].shape == (128, 128, 3, 3)
    assert state["layer2.0.downsample.0.weight"].shape == (512, 256, 1, 1)
    state = models.VGG16().state_dict()
    assert state["features.28.weight"].shape == (512, 512, 3, 3)
    assert state["classifier.0.weight"].shape == (4096, 25088)
    state = models.GoogLeNet().state_dict()
    assert state["inception3a.branch3.1.conv.weight"].shape == (32, 16, 3, 3)
    assert state["aux1.fc1.weight"].shape == (1024, 2048)


# ---- answers ---------------------------------------------------------------------------------

SMALL: dict[str, tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]] = {
    "lenet": ({"size": 32, "in_channels": 3}, (2, 3, 32, 32), (2, 10)),
    "cnn": ({}, (2, 1, 28, 28), (2, 10)),
    "resnet18": ({"width": 4, "num_classes": 7}, (2, 3, 64, 64), (2, 7)),
    "resnet34": ({"width": 4, "stem": "cifar"}, (2, 3, 32, 32), (2, 1000)),
    "resnet50": ({"width": 4, "stem": "cifar", "num_classes": 5}, (2, 3, 32, 32), (2, 5)),
    "vgg11": ({"width": 4, "hidden": 8, "pool": 1}, (2, 3, 32, 32), (2, 1000)),
    "vgg16_bn": ({"width": 4, "hidden": 8, "pool": 2}, (2, 3, 64, 64), (2, 1000)),
    "googlenet": ({"width": 16, "num_classes": 6, "stem": "cifar"}, (2, 3, 32, 32), (2, 6)),
    "autoencoder": ({}, (2, 1, 28, 28), (2, 1, 28, 28)),
    "conv_autoencoder": ({"in_channels": 3, "size": 32}, (2, 3, 32, 32), (2, 3, 32, 32)),
    "unet": ({"num_classes": 4, "width": 4}, (2, 3, 16, 24), (2, 4, 16, 24)),
    "airbench": ({"widths": [24, 24, 24]}, (2, 3, 32, 32), (2, 10)),
}


@pytest.mark.parametrize("name", SMALL)
def test_answers_and_files(name: str, tmp_path: Path) -> None:
    """The shape that is promised; a saved model gives the same answer."""
    config, shape, expected = SMALL[name]
    model = models.create(name, **config)
    x = gg.rand(*shape)
    model.eval()
    with gg.no_grad():
        y = model(x)
    assert y.shape == expected
    models.save_model(tmp_path / "m", model)
    saved = models.load_model(tmp_path / "m")
    assert saved.config == model.config
    with gg.no_grad():
        np.testing.assert_array_equal(saved.model(x).numpy(), y.numpy())


KERNEL_CASES = {
    "lenet": (2, 1, 28, 28),
    "resnet18": (2, 3, 16, 16),
    "conv_autoencoder": (2, 3, 32, 32),
    "unet": (2, 3, 8, 8),
    "airbench": (2, 3, 32, 32),
}


@pytest.mark.parametrize("name", KERNEL_CASES)
def test_on_the_kernels(name: str, kernel_device: str) -> None:
    """The CUDA kernels give the CPU's answers and gradients, on channels-last images, in float64:
    apart by rounding, 2^-53, times less than 1e5 for the depth (test_models.py of parity)."""
    config = {"stem": "cifar", "width": 4} if name == "resnet18" else SMALL[name][0]
    config = {} if name == "lenet" else config
    x = np.random.default_rng(0).random(KERNEL_CASES[name])
    found = []
    for device in ("cpu", kernel_device):
        gg.manual_seed(0)
        model = models.create(name, **config).to(gg.float64).to(device)
        y = model(gg.tensor(x, device=device).to(memory_format=gg.channels_last))
        (y * y).mean().backward()
        gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
        found.append({k: v.numpy() for k, v in {"answer": y.detach(), **gradients}.items()})
    exact, ours = found
    scale = float(np.median([np.abs(each).max() for each in exact.values()]))
    for key, value in exact.items():
        atol = 1e5 * 2**-53 * max(scale, np.abs(value).max())
        np.testing.assert_allclose(ours[key], value, rtol=0, atol=atol, err_msg=key)


def test_googlenet_helps_training() -> None:
    model = models.GoogLeNet(num_classes=3, width=16, stem="cifar")
    outputs = model(gg.rand(2, 3, 32, 32))
    assert [tuple(each.shape) for each in outputs] == [(2, 3)] * 3
    assert outputs._fields == ("logits", "aux_logits2", "aux_logits1")
    plain = models.GoogLeNet(num_classes=3, width=16, stem="cifar", aux_logits=False)
    assert plain(gg.rand(2, 3, 32, 32)).shape == (2, 3)


def test_zero_init_residual() -> None:
    """Each block starts as relu of its shortcut."""
    model = models.ResNet18(width=4, stem="cifar", zero_init_residual=True)
    block = model.layer1[0]
    x = gg.rand(2, 4, 8, 8)
    np.testing.assert_array_equal(block(x).detach().numpy(), x.numpy())


def test_whitening() -> None:
    """Patches of the pictures it was made of come out uncorrelated, with variance near 1."""
    gg.manual_seed(0)
    model = models.Airbench(widths=[24, 24, 24])
    noise = gg.randn(64, 3, 32, 32)
    images = noise + gg.cat([noise[..., 1:], noise[..., :1]], -1)  # neighbours alike
    model.init_whitening(images, eps=0.0)
    y = model.whiten(images).detach().numpy()
    assert not model.whiten.weight.requires_grad
    rows = y.transpose(1, 0, 2, 3).reshape(24, -1)
    np.testing.assert_allclose(rows[12:], -rows[:12])
    np.testing.assert_allclose(rows[:12] @ rows[:12].T / rows.shape[1], np.eye(12), atol=1e-4)


def test_airbench_starts_as_the_identity() -> None:
    model = models.Airbench()
    weight = model.group2.conv1.weight.detach().numpy()
    expected = np.zeros((64, 64, 3, 3))
    expected[np.arange(64), np.arange(64), 1, 1] = 1
    np.testing.assert_array_equal(weight[:64], expected)
    assert np.abs(weight[64:]).min() > 0
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    norms = [f"group{i}.norm{j}.weight" for i in (1, 2, 3) for j in (1, 2)]
    assert frozen == ["whiten.weight", *norms]


def test_wrong_arguments() -> None:
    with pytest.raises(ArgumentError, match=r"ResNet18: stem = 'tiny'; known are 'imagenet', 'cif"):
        models.ResNet18(stem="tiny")
    with pytest.raises(ArgumentError, match=r"LeNet: size = 30; known are 28, 32\."):
        models.LeNet(size=30)
    with pytest.raises(ArgumentError, match=r"LeNet: activation = 'gelu'; known are 'relu', 'tanh"):
        models.LeNet(activation="gelu")
    with pytest.raises(ArgumentError, match=r"CNN: size = 3; two poolings need pictures of 4 x 4"):
        models.CNN(size=3)
    with pytest.raises(ArgumentError, match=r"ConvAutoencoder: size = 30; .* a multiple of 4"):
        models.ConvAutoencoder(size=30)
    with pytest.raises(ArgumentError, match=r"Airbench: widths = \[64, 32, 64\]; needs three"):
        models.Airbench(widths=[64, 32, 64])
    with pytest.raises(ArgumentError, match=r"UNet: depth = 0; it must be 1 or more"):
        models.UNet(depth=0)
    with pytest.raises(ArgumentError, match=r"'resnet18' cannot be made with .*depth"):
        models.create("resnet18", depth=3)
    with pytest.raises(ShapeError, match=r"\(1, 3, 20, 16\); height and width must be multiples"):
        models.UNet()(gg.zeros(1, 3, 20, 16))
    with pytest.raises(ShapeError, match=r"expected \(n, 3, h, w\), got shape \(2, 1, 8, 8\)"):
        models.Airbench().init_whitening(gg.zeros(2, 1, 8, 8))


def test_dirac() -> None:
    weight = gg.nn.Parameter(gg.ones(4, 2, 3, 3))
    gg.nn.init.dirac_(weight, groups=2)
    expected = np.zeros((4, 2, 3, 3))
    expected[[0, 1, 2, 3], [0, 1, 0, 1], 1, 1] = 1
    np.testing.assert_array_equal(weight.detach().numpy(), expected)
    with pytest.raises(ShapeError, match="needs 3, 4 or 5 axes"):
        gg.nn.init.dirac_(gg.zeros(2, 2))
    with pytest.raises(ArgumentError, match="4 output channels cannot be 3 groups"):
        gg.nn.init.dirac_(gg.zeros(4, 2, 3), groups=3)


def test_googlenet_takes_imagenets_normalisation() -> None:
    """transform_input: pixels normalised by ImageNet's mean and deviation, as by 0.5 and 0.5."""
    gg.manual_seed(0)
    options = {"num_classes": 3, "aux_logits": False, "width": 8}
    plain = models.GoogLeNet(**options).eval()
    other = models.GoogLeNet(**options, transform_input=True).eval()
    other.load_state_dict(plain.state_dict())
    pixels = gg.rand(1, 3, 32, 32)
    mean, std = (
        gg.tensor(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    expected, got = plain((pixels - 0.5) / 0.5), other((pixels - mean) / std)
    np.testing.assert_allclose(
        got.detach().numpy(), expected.detach().numpy(), rtol=1e-3, atol=1e-5
    )

"""Ready-made models, by class and by name."""

from gpugrad.models.airbench import Airbench
from gpugrad.models.autoencoder import Autoencoder, ConvAutoencoder
from gpugrad.models.cnn import CNN
from gpugrad.models.files import SavedModel, load_model, save_model
from gpugrad.models.googlenet import GoogLeNet, googlenet
from gpugrad.models.lenet import LeNet
from gpugrad.models.mlp import MLP
from gpugrad.models.registry import create, name_of, names, register
from gpugrad.models.resnet import ResNet18, ResNet34, ResNet50, resnet18, resnet34, resnet50
from gpugrad.models.unet import UNet
from gpugrad.models.vgg import (
    VGG11,
    VGG13,
    VGG16,
    VGG19,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)

__all__ = [
    "CNN",
    "MLP",
    "VGG11",
    "VGG13",
    "VGG16",
    "VGG19",
    "Airbench",
    "Autoencoder",
    "ConvAutoencoder",
    "GoogLeNet",
    "LeNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "SavedModel",
    "UNet",
    "create",
    "googlenet",
    "load_model",
    "name_of",
    "names",
    "register",
    "resnet18",
    "resnet34",
    "resnet50",
    "save_model",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]

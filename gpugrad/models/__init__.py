"""Ready-made models, by class and by name."""

from gpugrad.models.airbench import Airbench
from gpugrad.models.auto import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    is_pretrained,
    load_pretrained,
)
from gpugrad.models.autoencoder import Autoencoder, ConvAutoencoder
from gpugrad.models.bert import BertModel
from gpugrad.models.bert_config import BertConfig
from gpugrad.models.bert_heads import (
    BertForMaskedLM,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from gpugrad.models.click import DeepFM, WideDeep
from gpugrad.models.cnn import CNN
from gpugrad.models.files import SavedModel, load_model, save_model
from gpugrad.models.googlenet import GoogLeNet, googlenet
from gpugrad.models.gpt2 import GPT2Model
from gpugrad.models.gpt2_config import GPT2Config
from gpugrad.models.gpt2_lm import GPT2LMHeadModel
from gpugrad.models.language_model import LSTMLanguageModel
from gpugrad.models.lenet import LeNet
from gpugrad.models.mlp import MLP
from gpugrad.models.outputs import ModelOutput
from gpugrad.models.pretrained import Pretrained
from gpugrad.models.registry import create, name_of, names, register
from gpugrad.models.resnet import ResNet18, ResNet34, ResNet50, resnet18, resnet34, resnet50
from gpugrad.models.seq2seq import Seq2Seq
from gpugrad.models.text_classifier import (
    GRUClassifier,
    LSTMClassifier,
    RNNClassifier,
    TextClassifier,
)
from gpugrad.models.text_cnn import TextCNN
from gpugrad.models.transformer_classifier import TransformerClassifier
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
    "AutoConfig",
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForMaskedLM",
    "AutoModelForPreTraining",
    "AutoModelForQuestionAnswering",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "Autoencoder",
    "BertConfig",
    "BertForMaskedLM",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "ConvAutoencoder",
    "DeepFM",
    "GPT2Config",
    "GPT2LMHeadModel",
    "GPT2Model",
    "GRUClassifier",
    "GoogLeNet",
    "LSTMClassifier",
    "LSTMLanguageModel",
    "LeNet",
    "ModelOutput",
    "Pretrained",
    "RNNClassifier",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "SavedModel",
    "Seq2Seq",
    "TextCNN",
    "TextClassifier",
    "TransformerClassifier",
    "UNet",
    "WideDeep",
    "create",
    "googlenet",
    "is_pretrained",
    "load_model",
    "load_pretrained",
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

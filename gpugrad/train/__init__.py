"""Training: a small loop, and parts that listen to it."""

from gpugrad.train.checkpoint import Checkpoint, resume
from gpugrad.train.evaluate import accuracy, evaluate
from gpugrad.train.hooks import Evaluate, Hook, JsonLog, Schedule, StopOnNonFinite
from gpugrad.train.meters import Mean
from gpugrad.train.progress import Progress
from gpugrad.train.trainer import Trainer

__all__ = [
    "Checkpoint",
    "Evaluate",
    "Hook",
    "JsonLog",
    "Mean",
    "Progress",
    "Schedule",
    "StopOnNonFinite",
    "Trainer",
    "accuracy",
    "evaluate",
    "resume",
]

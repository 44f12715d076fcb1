"""The command line: `gpugrad train mnist|cifar10|sentiment|lm`, `gpugrad pretrain bert`, `gpugrad
finetune bert`, `gpugrad predict FILE.png|TEXT`, `gpugrad generate FOLDER`, `gpugrad doctor`.

Exit status: 0 done, 1 `doctor` found something broken, 2 wrong input (one clear message, no
traceback unless GPUGRAD_TRACEBACK=full), 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from gpugrad.cli_text import add_finetune, add_generate, add_pretrain, add_text_training
from gpugrad.cli_values import (
    NO_CAPTURE,
    OPTIMIZER_NAMES,
    PRECISION,
    PRECISIONS,
    PROFILE,
    not_negative,
    positive,
    positive_int,
    seed,
    setting,
)
from gpugrad.errors import DataError, GpugradError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit status."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 2
    try:
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("\ngpugrad: interrupted, nothing half-written", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as in `gpugrad ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (GpugradError, OSError) as error:
        if os.environ.get("GPUGRAD_TRACEBACK") == "full":
            raise
        print(f"gpugrad: error: {error}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    """All commands and options."""
    parser = argparse.ArgumentParser(
        prog="gpugrad",
        description="Train and use models with gpugrad.",
        epilog="GPUGRAD_DATA names the folder of data sets; GPUGRAD_TRACEBACK=full shows "
        "tracebacks of errors.",
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="command")
    _add_train(commands)
    add_pretrain(commands)
    add_finetune(commands)
    _add_predict(commands)
    add_generate(commands)
    _add_doctor(commands)
    return parser


def _version() -> str:
    from gpugrad import __version__

    return f"gpugrad {__version__}"


# ---- train -----------------------------------------------------------------------------------

_DATA_SETS = {  # name: (what it is, models with a recipe, the default one first; --data)
    "mnist": (
        "handwritten digits; the data is inside the package",
        "mlp lenet cnn autoencoder conv_autoencoder",
        "folder with another copy of the four files",
    ),
    "cifar10": (
        "photographs of ten kinds, 32 x 32",
        "cnn mlp lenet resnet18 resnet34 resnet50 vgg11 vgg13 vgg16 vgg19 vgg11_bn vgg13_bn "
        "vgg16_bn vgg19_bn googlenet airbench autoencoder conv_autoencoder",
        "folder with the publisher's folder or archive (default: GPUGRAD_DATA)",
    ),
}


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = commands.add_parser("train", help="train a model")
    sets = train.add_subparsers(dest="dataset", metavar="task", required=True)
    for name, (text, models, data) in _DATA_SETS.items():
        _add_training(sets.add_parser(name, help=text, description=_TRAINING), name, models, data)
    add_text_training(sets)


_TRAINING = "Options that are not given are those of the model's recipe."


def _add_training(parser: argparse.ArgumentParser, name: str, models: str, data: str) -> None:
    add = parser.add_argument
    default = models.split()[0]
    add("--model", metavar="MODEL", default=default, help=f"{models} (default: {default})")
    add("--epochs", type=positive_int, help="passes over the training set")
    add("--batch-size", type=positive_int, help="images in a step")
    add("--lr", type=positive, help="learning rate")
    add("--optimizer", metavar="NAME", help=OPTIMIZER_NAMES)
    add("--weight-decay", type=not_negative, help="weight decay")
    add("--schedule", choices=["cosine", "constant", "triangle"], help="of the learning rate")
    add("--precision", choices=PRECISIONS, help=PRECISION)
    add(
        "--config",
        metavar="NAME=VALUE",
        type=setting,
        action="append",
        default=[],
        help="an argument of the model, such as width=32; may be repeated",
    )
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--seed", type=seed, default=0, help="equal seeds give equal bits (default: %(default)s)")
    add("--no-capture", dest="capture", action="store_const", const=False, help=NO_CAPTURE)
    add("--profile", metavar="FILE", nargs="?", const="", help=PROFILE)
    add("--data", metavar="DIR", help=data)
    add("--output", metavar="FILE", help=f"model file (default: {name}-MODEL.safetensors)")
    add("--checkpoint", metavar="FILE", help="written after each epoch, to resume from")
    add("--resume", metavar="FILE", help="go on from this checkpoint, and keep it up to date")
    add("--log", metavar="FILE", help="append the numbers of each epoch as a JSON line")
    parser.set_defaults(run=_train)


def _train(args: argparse.Namespace) -> int:
    from gpugrad.train.images import Options, train_images

    if args.dataset == "mnist":
        from gpugrad.train.mnist import DATA, RECIPES
    else:
        from gpugrad.train.cifar10 import DATA, RECIPES
    names = Options.__dataclass_fields__
    given = {name: getattr(args, name) for name in names} | {"config": dict(args.config)}
    train_images(DATA, RECIPES, Options(**given))
    return 0


# ---- predict ---------------------------------------------------------------------------------


def _add_predict(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    predict = commands.add_parser(
        "predict",
        help="say which digit or thing a picture shows, or what a text is",
        description="Prints the three most probable classes, the best first. Pictures of any size; "
        "a digit dark on bright or bright on dark. A text where --model is a folder.",
    )
    predict.add_argument(
        "input", metavar="FILE.png|TEXT", help="picture of one digit or one thing; or a text"
    )
    predict.add_argument(
        "--model",
        metavar="FILE|DIR",
        default="mnist-mlp.safetensors",
        help="model file or folder written by `gpugrad train` (default: %(default)s)",
    )
    predict.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    predict.set_defaults(run=_predict)


def _predict(args: argparse.Namespace) -> int:
    if os.path.isdir(args.model) or (" " in args.input and not os.path.isfile(args.input)):
        from gpugrad.train.predict_text import predict_text

        found = predict_text(args.input, args.model, args.device)
    else:
        from gpugrad.train.predict import predict

        if not os.path.exists(args.input) and "." not in args.input:
            raise DataError(
                f"{args.input}: no such file.\n  To classify a text, name the folder of its model: "
                "--model DIR."
            )
        found = predict(args.input, args.model, args.device)
    for name, chance in found[:3]:
        print(f"{name}  {100 * chance:6.2f} %")
    return 0


# ---- doctor ----------------------------------------------------------------------------------


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser(
        "doctor", help="show what is installed, what works, and how to fix what does not"
    )
    doctor.add_argument(
        "--device", help="a device that must work (cuda: a missing GPU is an error then)"
    )
    doctor.set_defaults(run=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    from gpugrad.doctor import run

    return run(args.device)

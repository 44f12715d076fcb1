"""The commands on text: train sentiment, train lm, pretrain, finetune, generate."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from gpugrad.cli_values import (
    NO_CAPTURE,
    OPTIMIZER_NAMES,
    PRECISION,
    PRECISIONS,
    PROFILE,
    count,
    not_negative,
    positive,
    positive_int,
    seed,
    setting,
    share,
)

_Parsers = argparse._SubParsersAction  # the type of what add_subparsers gives
_RECIPE = "Options that are not given are those of the model's recipe."
_TOKENIZER = "wordpiece, bpe, words, characters, or a folder that has one"


def add_text_training(sets: _Parsers[argparse.ArgumentParser]) -> None:
    """`gpugrad train sentiment` and `gpugrad train lm`."""
    sentiment = sets.add_parser(
        "sentiment",
        help="texts to classes, such as positive and negative",
        description=f"{_RECIPE} Writes a model folder for `gpugrad predict TEXT`.",
    )
    _add_options(sentiment, "lstm gru rnn cnn transformer bert", "sentiment-MODEL", _sentiment)
    _add_table(sentiment, required=False)
    lm = sets.add_parser(
        "lm",
        help="a language model, which writes text",
        description=f"{_RECIPE} Writes a model folder for `gpugrad generate`.",
    )
    _add_options(lm, "gpt gpt_medium lstm", "lm-MODEL", _language)
    lm.add_argument(
        "--data",
        metavar="NAME|FILE",
        default="shakespeare",
        help="shakespeare (in the package), wikitext2, or a text file (default: %(default)s)",
    )


def add_pretrain(commands: _Parsers[argparse.ArgumentParser]) -> None:
    """`gpugrad pretrain bert`."""
    pretrain = commands.add_parser("pretrain", help="train a model on plain text, for fine-tuning")
    kinds = pretrain.add_subparsers(dest="model", metavar="model", required=True)
    bert = kinds.add_parser(
        "bert",
        help="masked tokens and next sentences",
        description=f"{_RECIPE} In the corpus an empty line, or a title as Wikipedia has it, ends "
        "a document.",
    )
    _add_options(bert, "", "pretrained-bert", _pretrain)
    bert.add_argument(
        "--corpus",
        dest="data",
        metavar="NAME|FILE",
        required=True,
        help="a text file, wikitext2, or texts that are each a document: those to train on of imdb "
        "or sst2 (labels are not used), or a .csv, .tsv or .jsonl file (folder of named ones by "
        "--root or GPUGRAD_DATA)",
    )
    bert.add_argument("--text-column", metavar="NAME", help="column of a table's texts")
    bert.add_argument(
        "--pretrained",
        metavar="DIR",
        help="go on from this model, by its tokenizer, as on a task's own texts before "
        "fine-tuning; writes adapted-bert (default: a new model)",
    )


def add_finetune(commands: _Parsers[argparse.ArgumentParser]) -> None:
    """`gpugrad finetune bert`."""
    finetune = commands.add_parser("finetune", help="train a pre-trained model on a task")
    kinds = finetune.add_subparsers(dest="model", metavar="model", required=True)
    bert = kinds.add_parser("bert", help="texts to classes", description=_RECIPE)
    _add_options(bert, "", "finetuned-bert", _finetune)
    _add_table(bert, required=True)
    bert.add_argument(
        "--pretrained",
        metavar="DIR",
        default="pretrained-bert",
        help="folder of the pre-trained model (default: %(default)s)",
    )
    bert.add_argument(
        "--from-scratch",
        action="store_true",
        help="its configuration and tokenizer, but new parameters, to compare with",
    )
    bert.add_argument(
        "--reinit-layers",
        type=count,
        metavar="N",
        help="new parameters for the last N layers and the pooler, which serve what the model was "
        "pre-trained on; for few labels (default: all are kept)",
    )


def add_generate(commands: _Parsers[argparse.ArgumentParser]) -> None:
    """`gpugrad generate`."""
    generate = commands.add_parser(
        "generate", help="write text with a language model", description="Prints as it goes."
    )
    add = generate.add_argument
    add("folder", metavar="MODEL_DIR", help="folder written by `gpugrad train lm`")
    add("--prompt", metavar="TEXT", default="\n", help="what to go on from (default: a new line)")
    add("--tokens", type=positive_int, default=500, help="how many (default: %(default)s)")
    add(
        "--temperature",
        type=not_negative,
        default=1.0,
        help="0: always the most probable token; higher: freer (default: %(default)s)",
    )
    add("--top-k", type=count, default=0, help="of the k most probable tokens (default: all)")
    add("--top-p", type=share, default=1.0, help="of the fewest that reach this probability")
    add("--seed", type=seed, default=0, help="equal seeds give equal text (default: %(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    generate.set_defaults(run=_generate)


# ---- options -----------------------------------------------------------------------------------


def _add_options(
    parser: argparse.ArgumentParser,
    models: str,
    output: str,
    run: Callable[[argparse.Namespace], int],
) -> None:
    add = parser.add_argument
    if models:
        default = models.split()[0]
        add("--model", metavar="MODEL", default=default, help=f"{models} (default: {default})")
    add("--root", metavar="DIR", help="folder of named data sets (default: GPUGRAD_DATA)")
    add("--encoding", default="utf-8", help="of text files (default: %(default)s)")
    add("--tokenizer", metavar="KIND|DIR", help=_TOKENIZER)
    add("--vocab-size", type=positive_int, help="tokens of a new tokenizer, at most")
    add("--max-length", type=positive_int, help="tokens of a text, at most")
    add("--epochs", type=positive_int, help="passes over the training set")
    add("--batch-size", type=positive_int, help="texts in a step")
    add("--lr", type=positive, help="learning rate, the highest of a schedule")
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
        help="an argument of the model, such as hidden_size=256; may be repeated",
    )
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--seed", type=seed, default=0, help="equal seeds give equal bits (default: %(default)s)")
    add("--no-capture", dest="capture", action="store_const", const=False, help=NO_CAPTURE)
    add("--profile", metavar="FILE", nargs="?", const="", help=PROFILE)
    add("--output", metavar="DIR", help=f"the model's folder (default: {output})")
    add("--checkpoint", metavar="FILE", help="written after each epoch, to resume from")
    add("--resume", metavar="FILE", help="go on from this checkpoint, and keep it up to date")
    add("--log", metavar="FILE", help="append the numbers of each epoch as a JSON line")
    parser.set_defaults(run=run)


def _add_table(parser: argparse.ArgumentParser, *, required: bool) -> None:
    add = parser.add_argument
    add(
        "--data",
        metavar="NAME|FILE",
        required=required,
        default=None if required else "imdb",
        help="imdb, sst2, or a .csv, .tsv or .jsonl file with a text and a label in each row"
        + ("" if required else " (default: %(default)s)"),
    )
    add("--test", metavar="FILE", help="file to test on (default: a tenth of the data)")
    add("--text-column", metavar="NAME", help="column of the texts")
    add("--label-column", metavar="NAME", help="column of the labels")
    add(
        "--drop-stop-words",
        action="store_true",
        help="leave out the, is, and, ... of English texts (needs NLTK and its data)",
    )
    add("--lemmatize", action="store_true", help="English words by their lemma (needs NLTK)")


# ---- what they run -----------------------------------------------------------------------------


def _run(args: argparse.Namespace, job: str) -> int:
    from gpugrad.train import language, pretraining, sentiment
    from gpugrad.train.text import TextOptions

    jobs: dict[str, Callable[[TextOptions], float]] = {
        "sentiment": sentiment.train_sentiment,
        "finetune": sentiment.finetune,
        "lm": language.train_language_model,
        "pretrain": pretraining.pretrain,
    }
    given = {name: value for name, value in vars(args).items() if name in _names(TextOptions)}
    jobs[job](TextOptions(**{**given, "config": dict(args.config)}))
    return 0


def _names(options: type) -> dict[str, object]:
    fields: dict[str, object] = options.__dataclass_fields__  # type: ignore[attr-defined]
    return fields


def _sentiment(args: argparse.Namespace) -> int:
    return _run(args, "sentiment")


def _finetune(args: argparse.Namespace) -> int:
    return _run(args, "finetune")


def _language(args: argparse.Namespace) -> int:
    return _run(args, "lm")


def _pretrain(args: argparse.Namespace) -> int:
    return _run(args, "pretrain")


def _generate(args: argparse.Namespace) -> int:
    from gpugrad.train.generate import generate, printed

    generate(
        args.folder,
        args.prompt,
        tokens=args.tokens,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        seed=args.seed,
        device=args.device,
        write=printed,
    )
    print()
    return 0

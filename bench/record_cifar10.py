"""How long `gpugrad train cifar10 --model airbench` trains, and what it reaches.

    python bench/record_cifar10.py --results DIR [--data DIR] [--runs 5] [--precision bf16]

Counted are the seconds of all epochs, the capture of the step included, without the evaluation
between them, as Jordan (2024) counts; the first run of the process warms up and does not count.
Each run has a seed of its own. Writes DIR/record_cifar10.json: what goals.py holds against 94 % and
1.5 seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import fmean, median
from typing import Any

from facts import facts

from gpugrad.train import cifar10
from gpugrad.train.images import train_images
from gpugrad.train.job import Options

MODEL = "airbench"


def run(seed: int, folder: Path, options: dict[str, Any]) -> dict[str, float]:
    """One training: its test accuracy (percent) and its seconds."""
    log = folder / f"{seed}.jsonl"
    output = str(folder / "model.safetensors")
    chosen = Options(MODEL, seed=seed, output=output, log=str(log), **options)
    accuracy = train_images(cifar10.DATA, cifar10.RECIPES, chosen)
    epochs = [json.loads(line) for line in log.read_text().splitlines()]
    return {"accuracy": 100 * accuracy, "seconds": sum(epoch["seconds"] for epoch in epochs)}


def records(runs: int, options: dict[str, Any]) -> dict[str, Any]:
    """Of all runs but the first, and their mean accuracy and median time."""
    with tempfile.TemporaryDirectory() as folder:
        found = [run(seed, Path(folder), options) for seed in range(runs + 1)][1:]
    accuracy, seconds = ([each[key] for each in found] for key in ("accuracy", "seconds"))
    return {
        "options": options,
        "runs": found,
        "accuracy": fmean(accuracy),
        "seconds": median(seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--results", type=Path, required=True, help="folder of the result file")
    add("--data", help="folder of CIFAR-10 (default: GPUGRAD_DATA)")
    add("--runs", type=int, default=5)
    add("--device", default="cuda")
    add("--precision", default="bf16")
    add("--epochs", type=int, help="default: the recipe's")
    args = parser.parse_args()
    options = {"device": args.device, "precision": args.precision, "data": args.data}
    found = records(args.runs, options | {"epochs": args.epochs})
    del found["options"]["data"]
    args.results.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**facts(args.device), "record": found}, indent=1)
    (args.results / "record_cifar10.json").write_text(text + "\n")
    print(f"{MODEL}: {found['accuracy']:.2f} % in {found['seconds']:.2f} s ({args.runs} runs)")


if __name__ == "__main__":
    main()

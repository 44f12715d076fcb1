"""The usual text programs run with only their import lines changed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from text_files import sentences, write_sst2

import gpugrad as gg
from gpugrad.models import BertForPreTraining
from gpugrad.text import train_tokenizer

PROGRAMS = Path(__file__).parent / "programs"
FIRST, LAST = "# ---- imports ----\n", "# ---- end of imports ----\n"

# The one warning that the second program gives, as the original one does.
NEW_HEAD = "ignore:BertForSequenceClassification.from_pretrained("

OURS = {
    "text_classifier": """\
import gpugrad as torch
import gpugrad.nn as nn
import gpugrad.optim as optim
from gpugrad.nn.utils.rnn import pad_sequence
from gpugrad.utils.data import DataLoader, Dataset, random_split
""",
    "bert_finetuning": """\
import gpugrad as torch
from gpugrad.nn.utils import clip_grad_norm_
from gpugrad.optim import AdamW
from gpugrad.optim.lr_scheduler import LambdaLR
from gpugrad.utils.data import DataLoader, Dataset
from gpugrad.models import BertForSequenceClassification
from gpugrad.text import BertTokenizer
""",
}


def changed_program(name: str) -> str:
    """The program with the lines between the two marks replaced."""
    text = (PROGRAMS / f"{name}.py").read_text()
    head, rest = text.split(FIRST)
    imports, body = rest.split(LAST)
    lines = [line for line in imports.splitlines() if line]
    assert lines and all(re.match(r"(import|from) (torch|transformers)", line) for line in lines)
    return head + FIRST + OURS[name] + LAST + body


def bound(text: str) -> set[str]:
    """The names that a program's imports bind."""
    return {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize("name", OURS)
def test_only_imports_name_pytorch(name: str) -> None:
    assert bound(changed_program(name)) == bound((PROGRAMS / f"{name}.py").read_text())


def run(name: str, folder: Path, *arguments: str) -> list[str]:
    """The lines that the changed program prints."""
    program = folder / f"{name}.py"
    program.write_text(changed_program(name))
    command = [sys.executable, "-W", "error", "-W", NEW_HEAD, str(program)]
    done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def accuracies(line: str) -> tuple[float, float]:
    found = re.fullmatch(r"Accuracy: ([\d.]+) %, of the saved model ([\d.]+) %", line)
    assert found is not None, line
    return float(found[1]), float(found[2])


def losses(lines: list[str]) -> list[float]:
    return [float(line.split()[-1]) for line in lines if line.startswith("Epoch ")]


def test_text_classifier(tmp_path: Path) -> None:
    data = write_sst2(tmp_path, train=400)
    lines = run("text_classifier", tmp_path, str(data / "train.tsv"), "4")
    found = losses(lines)
    # It starts at about log 2, and guessing stays there.
    assert len(found) == 4 and found[0] > 0.3 and found[-1] < 0.1
    trained, loaded = accuracies(lines[-1])
    assert trained == loaded > 95
    assert any(line.startswith("  (lstm): LSTM(128, 256, batch_first=True)") for line in lines)
    words = len({word for text in sentences(400)[0] for word in text.split()} - {"."}) + 2
    count = words * 128 + 4 * 256 * (128 + 256 + 2) + 2 * 256 + 2
    assert f"{count} parameters" in lines
    assert set(gg.load(tmp_path / "text_classifier.pth")) == {
        "embedding.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_ih_l0",
        "lstm.bias_hh_l0", "fc.weight", "fc.bias",
    }  # fmt: skip


def test_bert_finetuning(tmp_path: Path) -> None:
    data = write_sst2(tmp_path, train=320)
    tokenizer = train_tokenizer("wordpiece", sentences(320)[0])
    gg.manual_seed(0)
    model = BertForPreTraining(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    model.save_pretrained(tmp_path / "pretrained")
    tokenizer.save_pretrained(tmp_path / "pretrained")
    lines = run("bert_finetuning", tmp_path, str(data / "train.tsv"), "pretrained", "8")
    found = losses(lines)
    assert len(found) == 8 and found[-1] < found[0] / 2
    trained, loaded = accuracies(lines[-2])
    assert trained == loaded > 90
    assert lines[-1] == "positive True"
    names = {path.name for path in (tmp_path / "finetuned").iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json", "vocab.txt"}

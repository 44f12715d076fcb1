"""README keeps its word: the support table is today's, its example and its figures run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from support_table import README, updated

sys.path.append(str(Path(__file__).parents[1] / "bench"))
import performance


def test_support_table_is_current() -> None:
    text = README.read_text()
    assert updated(text) == text, "run `python tests/support_table.py`"


def test_speed_is_that_of_the_result_files() -> None:
    text = README.read_text()
    assert performance.updated(text) == text, "run `python bench/performance.py`"


def test_speed_table(tmp_path: Path) -> None:
    """Losses are counted and named; files without measurements do not matter."""
    cost = {"flop": 0.0, "bytes": 1.0}
    duels = [
        {"name": f"rows[{name}]", "rival": "PyTorch", "suite": "rows", "cost": cost}
        | {"ours": ours, "theirs": 2.0, "ratio": 2 / ours}
        for name, ours in (("softmax", 8.0), ("copy", 0.5))
    ]
    found = {"commit": "abc", "machine": "A GPU", "duels": duels}
    (tmp_path / "gpu").mkdir()
    (tmp_path / "gpu" / "rows.json").write_text(json.dumps(found))
    (tmp_path / "gpu" / "facts.json").write_text("{}")
    last = performance.table(performance.results(tmp_path)).splitlines()[-1]
    assert last == "| A GPU (abc) | rows | PyTorch | 1.00 | 2 | 1 | 1 | softmax 0.25, copy 4.00 |"
    assert performance.table([]) == "Nothing has been measured."
    assert performance.reached(tmp_path) == ""
    (tmp_path / "gpu" / "rows.json").write_text(json.dumps(found | {"device": "cuda"}))
    goals = performance.reached(tmp_path).splitlines()
    assert goals[1] == "Goals on A GPU (abc):"
    assert goals[-1].startswith("| GPT-2 124M") and goals[-1].endswith("| - | not measured |")


def test_example_runs(capsys) -> None:
    """The first Python block of README, as it stands."""
    (example, *_) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)
    exec(compile(example, "README.md", "exec"), {})
    assert "accuracy" in capsys.readouterr().out

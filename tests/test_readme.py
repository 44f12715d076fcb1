"""README keeps its word: the support table is today's, its example and its figures run."""

from __future__ import annotations

import re

from support_table import README, updated


def test_support_table_is_current() -> None:
    text = README.read_text()
    assert updated(text) == text, "run `python tests/support_table.py`"


def test_example_runs(capsys) -> None:
    """The first Python block of README, as it stands."""
    (example, *_) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)
    exec(compile(example, "README.md", "exec"), {})
    assert "accuracy" in capsys.readouterr().out

"""The result files, SUITE.json in a folder for each machine: written after every test, so that a
run that was cut short goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from duel import OURS, Cost, Duel


def duels_of(result: dict[str, Any]) -> list[Duel]:
    """Those of a result file."""
    given = [{k: v for k, v in each.items() if k != "ratio"} for each in result["duels"]]
    return [Duel(**{**each, "cost": Cost(**each["cost"])}) for each in given]


MOST_ATTEMPTS = 2
"""Of a test that does not end: the first may have been cut off by the clock."""


class Store:
    """The files of one folder, for one commit: what another commit left is written over."""

    def __init__(self, folder: Path, facts: dict[str, object]) -> None:
        self.folder, self.facts = folder, facts
        self._known: dict[str, dict[str, Any]] = {}
        self._touched: set[str] = set()  # suites that ran

    def _of(self, suite: str) -> dict[str, Any]:
        if suite not in self._known:
            path = self.folder / f"{suite}.json"
            found = json.loads(path.read_text()) if path.exists() else {}
            if any(found.get(key) != self.facts[key] for key in ("commit", "machine", "versions")):
                found = {"duels": []}
            self._known[suite] = {"failed": {}, "begun": {}, **found, **self.facts}
        return self._known[suite]

    def has(self, suite: str, name: str) -> bool:
        """Was the test measured, by this commit on this machine, seen to fail, or begun in vain as
        often as it may be?"""
        found = self._of(suite)
        if name in found["begun"]:
            return found["begun"][name] >= MOST_ATTEMPTS
        failed = OURS in found["failed"].get(name, ())
        return failed or any(each["name"] == name for each in found["duels"])

    def begin(self, suite: str, name: str) -> None:
        """Until `add` is called, a test that hangs, kills its process, or was cut off."""
        attempts = self._of(suite)["begun"].get(name, 0) + 1
        self._put(suite, name, [], {OURS: "did not end"})
        self._known[suite]["begun"][name] = attempts
        self._write(suite)

    def failed(self, suite: str) -> bool:
        """Did a test of the suite fail, or not end?"""
        return any(OURS in said for said in self._of(suite)["failed"].values())

    def add(self, suite: str, name: str, duels: list[Duel], failed: dict[str, str]) -> None:
        """A test's duels, and those that failed with what they said. Writes the file."""
        self._put(suite, name, duels, failed)
        self._write(suite)

    def _put(self, suite: str, name: str, duels: list[Duel], failed: dict[str, str]) -> None:
        self._touched.add(suite)
        found = self._of(suite)
        others = [each for each in found["duels"] if each["name"] != name]
        found["duels"] = others + [duel.as_dict() for duel in duels]
        found["failed"] = {k: v for k, v in found["failed"].items() if k != name}
        if failed:
            found["failed"][name] = failed
        found["begun"].pop(name, None)

    def note(self, **facts: object) -> None:
        """What is only known at the end, into the files of the suites that ran."""
        for suite in self._touched:
            self._known[suite] |= facts
            self._write(suite)

    def _write(self, suite: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._known[suite], indent=1)
        (self.folder / f"{suite}.json").write_text(text + "\n")

"""What kernels became, and the table of what they may become: parsing and comparing.

The facts come from cuobjdump (check_cuda.py runs it): registers, stack, local and static shared
memory from ``-res-usage``, and how often each opcode of OPCODES stands in the ``-sass`` listing.
The table is kernels.txt: a person writes its ``named`` and ``stack`` lines, ``check_cuda.py
--update`` writes its rows, and the person reads the diff. What fails:

- a kernel, named or not, with a stack frame or local memory (so every spill), unless a ``stack``
  line lets it;
- a kernel, named or not, with other static shared memory or opcodes than its row says: exactly as
  many, but at least as many vector accesses, because unrolling may add some;
- more registers than the row's, rounded up to GRAIN;
- a row without its kernel, a named kernel without its row, a ``named`` line without any kernel;
- a tensor core or an asynchronous copy in a kernel that nobody named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path

#: A warp gets registers in units of 8 a thread: within a unit nothing changes on the machine.
GRAIN = 8

#: Name in the table -> the parts of a SASS opcode that count, first part first.
OPCODES: dict[str, tuple[str, ...]] = {
    "HMMA": ("HMMA",),  # mma.sync: float16, bfloat16, tf32
    "IMMA": ("IMMA",),  # mma.sync: int8
    "DMMA": ("DMMA",),
    "QMMA": ("QMMA",),  # mma.sync: fp8 (sm_120)
    "HGMMA": ("HGMMA",),  # wgmma: float16, bfloat16, tf32
    "IGMMA": ("IGMMA",),  # wgmma: int8
    "QGMMA": ("QGMMA",),  # wgmma: fp8
    "WGWAIT": ("WARPGROUP", "DEPBAR"),  # one for each HGMMA means that ptxas serialised them
    "LDSM": ("LDSM",),  # ldmatrix
    "STSM": ("STSM",),  # stmatrix
    "LDGSTS": ("LDGSTS",),  # cp.async
    "UTMALDG": ("UTMALDG",),  # TMA load
    "UTMASTG": ("UTMASTG",),  # TMA store
    "UTMAREDG": ("UTMAREDG",),  # TMA reduction
    "LDL": ("LDL",),  # local memory
    "STL": ("STL",),
    "LDG.128": ("LDG", "128"),  # global memory, 16 bytes a lane
    "STG.128": ("STG", "128"),
}
VECTORS = ("LDG.128", "STG.128")
LOCAL = ("LDL", "STL")
#: Instructions that only a named kernel may have.
GUARDED = tuple(name for name in OPCODES if name not in VECTORS + LOCAL)

#: C++'s names of types -> the short ones of the table.
TYPES = {
    "unsigned char": "uint8",
    "signed char": "int8",
    "unsigned short": "uint16",
    "unsigned int": "uint32",
    "unsigned long": "uint64",
    "long": "int64",
}

_FIRST_PARTS = {parts[0] for parts in OPCODES.values()}
_WANTED = re.compile(rf"/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?((?:{'|'.join(_FIRST_PARTS)})[.\w]*)")


@dataclass(frozen=True)
class Facts:
    """What one kernel became on one architecture."""

    registers: int
    shared: int
    stack: int = 0
    counts: dict[str, int] = field(default_factory=dict)


#: (kernel, architecture) -> facts; the kernel by its short name, the architecture as in "90a".
Rows = dict[tuple[str, str], Facts]


@dataclass
class Table:
    """kernels.txt: the lines a person writes, and the rows."""

    compiler: str
    named: dict[str, str]  # pattern -> why
    stack: dict[str, str]
    rows: Rows

    def is_named(self, kernel: str) -> bool:
        return any(fnmatchcase(kernel, pattern) for pattern in self.named)

    def may_use_stack(self, kernel: str) -> bool:
        return any(fnmatchcase(kernel, pattern) for pattern in self.stack)


# ---- from cuobjdump ------------------------------------------------------------------------------


def read_resources(text: str) -> Rows:
    """``cuobjdump -res-usage``: facts by mangled name and architecture, without opcodes."""
    usage = re.compile(
        r"arch = sm_(?P<arch>\w+)|Function (?P<name>\S+):\s+"
        r"REG:(?P<reg>\d+) STACK:(?P<stack>\d+) SHARED:(?P<shared>\d+) LOCAL:(?P<local>\d+)"
    )
    rows: Rows = {}
    architecture = ""
    for found in usage.finditer(text):
        if found["arch"]:
            architecture = found["arch"]
            continue
        stack = int(found["stack"]) + int(found["local"])
        rows[found["name"], architecture] = Facts(int(found["reg"]), int(found["shared"]), stack)
    return rows


def count_opcodes(lines: Iterable[str]) -> dict[str, Counter[str]]:
    """``cuobjdump -sass`` of one architecture: how often OPCODES occur, by mangled name."""
    functions: dict[str, Counter[str]] = {}
    counts: Counter[str] = Counter()
    for line in lines:
        if (found := _WANTED.search(line)) is not None:
            first, *rest = found[1].split(".")
            for name, (base, *parts) in OPCODES.items():
                if first == base and all(part in rest for part in parts):
                    counts[name] += 1
        elif "Function : " in line:
            counts = functions.setdefault(line.split(" : ")[1].strip(), Counter())
    return functions


def short_name(demangled: str) -> str:
    """``void gg::(anonymous namespace)::f<float, 2>(int)`` -> ``f<float, 2>``."""
    name = demangled.replace("(anonymous namespace)::", "").replace("gg::", "")
    name = re.sub(r"\((?:unsigned )?(?:int|long|bool|char|short)\)(?=[-\w])", "", name)
    for long, short in TYPES.items():
        name = re.sub(rf"\b{long}\b", short, name)
    name = name.removeprefix("void ").replace("> >", ">>").replace("> >", ">>")
    depth = 0
    for i, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            return name[:i]
    return name


def with_short_names(rows: Rows, demangled: dict[str, str]) -> Rows:
    """Rows by short name; kernels of one name in several files get the file's as well."""
    short = {name: short_name(demangled[name]) for name, _ in rows}
    seen = Counter(short.values())
    for name, text in short.items():
        if seen[text] > 1:
            file = re.search(r"_GLOBAL__N__[0-9a-f]{8}_\d+_(\w+?)_cu_", name)
            short[name] = f"{text} in {file[1]}.cu" if file else name
    return {(short[name], architecture): facts for (name, architecture), facts in rows.items()}


# ---- the table -----------------------------------------------------------------------------------

_ROW = re.compile(r"\s+(?P<arch>\d+\w?)\s+(?P<reg>\d+)\s+(?P<shared>\d+)(?P<ops>.*)")


def read_table(text: str) -> Table:
    """The table; raises ValueError with the line that makes no sense.

    A kernel's name stands at the left, its rows below it, indented.
    """
    table = Table("", {}, {}, {})
    kernel = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        key, *rest = re.split(r"\s{2,}", line, maxsplit=2)
        if key == "compiler" and len(rest) == 1:
            table.compiler = rest[0]
        elif key in ("named", "stack") and len(rest) == 2:
            (table.named if key == "named" else table.stack)[rest[0]] = rest[1]
        elif kernel and (found := _ROW.fullmatch(line)) is not None:
            facts = Facts(int(found["reg"]), int(found["shared"]), 0, _read_counts(found["ops"]))
            table.rows[kernel, found["arch"]] = facts
        elif key and not rest and key not in ("compiler", "named", "stack"):
            kernel = line
        else:
            raise ValueError(f"line {number} makes no sense: {line}")
    return table


def _read_counts(text: str) -> dict[str, int]:
    words = text.split()
    if unknown := set(words[::2]) - OPCODES.keys():
        raise ValueError(f"unknown opcodes {sorted(unknown)}")
    return {name: int(count) for name, count in zip(words[::2], words[1::2], strict=True)}


def write_table(text: str, compiler: str, rows: Rows, architectures: Iterable[str]) -> str:
    """The table's text with new rows for these architectures; a person's lines stay."""
    table = read_table(text)
    head = text.splitlines()[: 1 + _last_line_by_hand(text)]
    head = [f"compiler  {compiler}" if line.startswith("compiler") else line for line in head]
    built = set(architectures)
    kept = {key: facts for key, facts in table.rows.items() if key[1] not in built}
    kept |= {key: facts for key, facts in rows.items() if table.is_named(key[0])}
    lines = ["", "# architecture  registers  shared  opcodes"]
    for kernel, of_kernel in groupby(sorted(kept.items(), key=lambda row: _order(row[0])), _kernel):
        lines.append(kernel)
        for (_, architecture), facts in of_kernel:
            ops = "  ".join(f"{op} {n}" for op in OPCODES if (n := facts.counts.get(op, 0)))
            row = f"{architecture:>8}  {facts.registers:3}  {facts.shared:5}  {ops}"
            lines.append(row.rstrip())
    return "\n".join(head + lines) + "\n"


def _last_line_by_hand(text: str) -> int:
    by_hand = ("compiler", "named", "stack")
    return max((i for i, s in enumerate(text.splitlines()) if s.startswith(by_hand)), default=-1)


def _kernel(row: tuple[tuple[str, str], Facts]) -> str:
    return row[0][0]


def _order(key: tuple[str, str]) -> tuple[str, int, str]:
    return key[0], int(re.sub(r"\D", "", key[1])), key[1]


# ---- the comparison ------------------------------------------------------------------------------


def units(registers: int) -> int:
    return -(-registers // GRAIN) * GRAIN


def local_memory(table: Table, rows: Rows) -> list[str]:
    """Kernels that keep values outside registers without leave."""
    return [
        f"{kernel} sm_{arch}: {facts.stack} bytes of stack or local memory, "
        f"{facts.counts.get('LDL', 0)} loads and {facts.counts.get('STL', 0)} stores of it"
        for (kernel, arch), facts in sorted(rows.items(), key=lambda row: _order(row[0]))
        if (facts.stack or any(facts.counts.get(op) for op in LOCAL))
        and not table.may_use_stack(kernel)
    ]


def _differences(wanted: Facts, got: Facts) -> Iterable[str]:
    """What is worse or other than the row says."""
    if units(got.registers) > units(wanted.registers):
        yield f"{got.registers} registers, the table has {wanted.registers}"
    if got.shared != wanted.shared:
        yield f"{got.shared} bytes of shared memory, the table has {wanted.shared}"
    for op in OPCODES:
        is_, was = got.counts.get(op, 0), wanted.counts.get(op, 0)
        if is_ < was if op in VECTORS else is_ != was:
            yield f"{op} {is_}, the table has {was}"


def unexpected(table: Table, rows: Rows, architectures: Iterable[str]) -> list[str]:
    """All that fails, a line each; rows of architectures that were not built are left alone."""
    built = set(architectures)
    found = local_memory(table, rows)
    expected = {key: facts for key, facts in table.rows.items() if key[1] in built}
    for kernel, arch in sorted(expected.keys() | rows.keys(), key=_order):
        wanted, got = expected.get((kernel, arch)), rows.get((kernel, arch))
        label = f"{kernel} sm_{arch}: "
        if got is None:
            found.append(f"{label}is in the table, but not in the module")
        elif wanted is not None:
            found += [label + text for text in _differences(wanted, got)]
        elif table.is_named(kernel):
            found.append(f"{label}is named, but has no row")
        elif guarded := [op for op in GUARDED if got.counts.get(op)]:
            found.append(f"{label}has {', '.join(guarded)}, but no 'named' line matches it")
    for pattern in table.named:
        if not any(fnmatchcase(kernel, pattern) for kernel, _ in rows):
            found.append(f"named  {pattern}: matches no kernel of the module")
    return found


def improved(table: Table, rows: Rows) -> list[str]:
    """Kernels that now need fewer registers: no failure, but worth an --update."""
    return [
        f"{kernel} sm_{arch}: {rows[kernel, arch].registers} registers, "
        f"the table has {facts.registers}"
        for (kernel, arch), facts in table.rows.items()
        if (kernel, arch) in rows and units(rows[kernel, arch].registers) < units(facts.registers)
    ]


TABLE = Path(__file__).with_name("kernels.txt")

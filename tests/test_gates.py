"""The compile gates themselves, on recorded output of cuobjdump with planted changes.

The samples in data/gates are three small kernels: ``gemm_mma`` and ``copy_vectors`` for sm_80,
``gemm_hopper`` for sm_90a. A gate that lets a planted change through fails here, without nvcc.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAMPLES = Path(__file__).parent / "data" / "gates"

_spec = importlib.util.spec_from_file_location("gates", ROOT / ".ci" / "gates.py")
assert _spec is not None and _spec.loader is not None
gates = importlib.util.module_from_spec(_spec)
sys.modules["gates"] = gates  # dataclasses look their module up
_spec.loader.exec_module(gates)

BUILT = ["80", "90a"]
GEMM = "gemm_mma<bf16, 128>"
DEMANGLED = {
    "gemm_mma": "void gg::(anonymous namespace)::gemm_mma<gg::bf16, 128>(uint4 const*, float*)",
    "gemm_hopper": "gg::(anonymous namespace)::gemm_hopper(uint4, unsigned long, float*)",
    "copy_vectors": "gg::(anonymous namespace)::copy_vectors(uint4 const*, uint4*)",
}
TABLE = """# by hand

compiler  V13.0.88

named  gemm_*  matmul
stack  polynomial_*  its argument reduction indexes a table

# architecture  registers  shared  opcodes
gemm_hopper
     90a   30   2056  HGMMA 2  WGWAIT 1  STSM 1  UTMALDG 1  UTMASTG 1
gemm_mma<bf16, 128>
      80   18   1024  HMMA 2  LDSM 1  LDGSTS 1  STG.128 1
"""


def sample(name: str) -> str:
    return (SAMPLES / f"{name}.txt").read_text()


def kernels(usage: str | None = None, listing: str | None = None) -> gates.Rows:
    """The samples' facts, as check_cuda.py gathers them."""
    rows = gates.read_resources(usage or sample("res-usage"))
    counts = gates.count_opcodes((listing or sample("sass")).splitlines())
    long = {name: next(d for key, d in DEMANGLED.items() if key in name) for name, _ in rows}
    complete = {key: replace(facts, counts=dict(counts[key[0]])) for key, facts in rows.items()}
    return gates.with_short_names(complete, long)


def unexpected(
    usage: tuple[str, str] = ("", ""), listing: tuple[str, str] = ("", ""), table: str = TABLE
) -> list[str]:
    """What fails after a text of the samples was changed."""
    changed = []
    for name, (old, new) in (("res-usage", usage), ("sass", listing)):
        text = sample(name)
        assert old in text, "the planted change changes nothing"
        changed.append(text.replace(old, new, 1) if old else text)
    return gates.unexpected(gates.read_table(table), kernels(*changed), BUILT)


def test_samples_are_as_the_table_says() -> None:
    assert unexpected() == []


def test_facts() -> None:
    rows = kernels()
    assert rows.keys() == {(GEMM, "80"), ("copy_vectors", "80"), ("gemm_hopper", "90a")}
    assert rows[GEMM, "80"] == gates.Facts(
        18, 1024, 0, {"HMMA": 2, "LDSM": 1, "LDGSTS": 1, "STG.128": 1}
    )
    assert rows["copy_vectors", "80"].counts == {"LDG.128": 1, "STG.128": 1}
    wgmma = {"HGMMA": 2, "WGWAIT": 1, "STSM": 1, "UTMALDG": 1, "UTMASTG": 1}
    assert rows["gemm_hopper", "90a"].counts == wgmma


@pytest.mark.parametrize(
    ("demangled", "short"),
    [
        (DEMANGLED["gemm_mma"], GEMM),
        ("void gg::f<gg::Fold<float> >(gg::Walk<2>, void (*)(int))", "f<Fold<float>>"),
        ("void gg::g<(gg::Swizzle)3, (bool)1, -(int)2>(int)", "g<(Swizzle)3, 1, -2>"),
        ("gg::long_runs<unsigned long, long>(int)", "long_runs<uint64, int64>"),
        ("void gg::h<(int)256, unsigned char>(int)", "h<256, uint8>"),
    ],
)
def test_short_names(demangled: str, short: str) -> None:
    assert gates.short_name(demangled) == short


def test_kernels_of_one_name_are_told_apart_by_file() -> None:
    names = [f"_ZN2gg36_GLOBAL__N__0123abcd_9_{file}_cu_89bf5fbd4keepEv" for file in ("a", "b_c")]
    rows = {(name, "80"): gates.Facts(8, 0) for name in names}
    found = gates.with_short_names(rows, dict.fromkeys(names, "gg::keep()"))
    assert found.keys() == {("keep in a.cu", "80"), ("keep in b_c.cu", "80")}


#: A change in the samples, and the line that must be printed.
HMMA = "HMMA.16816.F32.BF16 R12, R8, R6, R12"
PLANTED = {
    "spill": (
        ("REG:18 STACK:0", "REG:18 STACK:64"),
        (HMMA, "@P0 STL.64 [R1+0x8], R6"),
        f"{GEMM} sm_80: 64 bytes of stack or local memory, 0 loads and 1 stores of it",
    ),
    "local memory": (
        ("REG:10 STACK:0 SHARED:0 LOCAL:0", "REG:10 STACK:0 SHARED:0 LOCAL:16"),
        ("", ""),
        "copy_vectors sm_80: 16 bytes of stack or local memory, 0 loads and 0 stores of it",
    ),
    "missing HMMA": (
        ("", ""),
        (HMMA, "FFMA R12, R8, R6, R12"),
        f"{GEMM} sm_80: HMMA 1, the table has 2",
    ),
    "one LDSM too many": (
        ("", ""),
        (HMMA, "LDSM.16.MT88.4 R12, [R6]"),
        f"{GEMM} sm_80: LDSM 2, the table has 1",
    ),
    "cp.async became a load": (
        ("", ""),
        ("LDGSTS.E.BYPASS.128 [R5], [R2.64]", "LDG.E R5, [R2.64]"),
        f"{GEMM} sm_80: LDGSTS 0, the table has 1",
    ),
    "narrow store": (
        ("", ""),
        ("STG.E.128 [R2.64], R12", "STG.E.64 [R2.64], R12"),
        f"{GEMM} sm_80: STG.128 0, the table has 1",
    ),
    "registers": (
        ("REG:18", "REG:25"),
        ("", ""),
        f"{GEMM} sm_80: 25 registers, the table has 18",
    ),
    "shared memory": (
        ("SHARED:2056", "SHARED:4104"),
        ("", ""),
        "gemm_hopper sm_90a: 4104 bytes of shared memory, the table has 2056",
    ),
    "serialised wgmma": (
        ("", ""),
        ("FADD R25, R24, R25", "WARPGROUP.DEPBAR.LE gsb0, 0x0"),
        "gemm_hopper sm_90a: WGWAIT 2, the table has 1",
    ),
    "tensor core in a kernel nobody named": (
        ("", ""),
        ("LDG.E.128 R4, [R4.64]", "@!P1 IMMA.16832.S8.S8 R4, R4.ROW, R4.COL, R4"),
        "copy_vectors sm_80: has IMMA, but no 'named' line matches it",
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_change_fails(planted: str) -> None:
    usage, listing, line = PLANTED[planted]
    assert line in unexpected(usage, listing)


def test_missing_kernel_fails() -> None:
    rows = {key: facts for key, facts in kernels().items() if key[0] != GEMM}
    assert gates.unexpected(gates.read_table(TABLE), rows, BUILT) == [
        f"{GEMM} sm_80: is in the table, but not in the module"
    ]


def test_named_kernel_without_row_fails() -> None:
    assert unexpected(table=TABLE.replace("named  gemm_*", "named  *")) == [
        "copy_vectors sm_80: is named, but has no row"
    ]


def test_name_of_no_kernel_fails() -> None:
    table = TABLE.replace("stack  ", "named  conv_*  convolution\nstack  ")
    assert unexpected(table=table) == ["named  conv_*: matches no kernel of the module"]


def test_what_may_pass() -> None:
    """Registers within a unit, more vectors, allowed stack, architectures that were not built."""
    assert unexpected(("REG:18", "REG:24")) == []
    assert unexpected(listing=(HMMA + " ;", HMMA + " ;\n /*0134*/ STG.E.128 [R2], R4 ;")) == []
    allowed = TABLE.replace("polynomial_*", "copy_*")
    assert unexpected(("REG:10 STACK:0", "REG:10 STACK:32"), table=allowed) == []
    assert unexpected(table=TABLE + "gemm_fp8\n  120  40  0  QMMA 8\n") == []


def test_fewer_registers_are_said_and_pass() -> None:
    table = gates.read_table(TABLE.replace("90a   30", "90a   40"))
    assert gates.unexpected(table, kernels(), BUILT) == []
    assert gates.improved(table, kernels()) == [
        "gemm_hopper sm_90a: 30 registers, the table has 40"
    ]


def test_update_writes_what_then_passes() -> None:
    stale = TABLE.replace("18   1024  HMMA 2", "99  1  HMMA 7") + "gemm_old\n  80  8  0\n"
    stale += "gemm_fp8\n  120  40  0  QMMA 8\n"
    text = gates.write_table(stale, "V13.2.1", kernels(), BUILT)
    assert text.startswith("# by hand\n\ncompiler  V13.2.1\n\nnamed  gemm_*  matmul\nstack")
    assert "gemm_old" not in text and "copy_vectors" not in text and "gemm_fp8" in text
    assert gates.unexpected(gates.read_table(text), kernels(), BUILT) == []
    assert gates.write_table(text, "V13.2.1", kernels(), BUILT) == text


@pytest.mark.parametrize("line", ["   80  18", "named  gemm_*", "a  b", "   80  8  0  HMNA 2"])
def test_senseless_table_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"makes no sense|unknown opcodes"):
        gates.read_table(TABLE + line + "\n")


def test_the_table_of_the_repository() -> None:
    """It can be read, names what it has rows for, and has a row for each of its names."""
    table = gates.read_table(gates.TABLE.read_text())
    assert table.compiler.startswith("V")
    assert all(table.is_named(kernel) for kernel, _ in table.rows)
    kernels = {kernel for kernel, _ in table.rows}
    for pattern in table.named:
        assert any(gates.fnmatchcase(kernel, pattern) for kernel in kernels), pattern

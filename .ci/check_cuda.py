"""Holds the built _cuda against what was promised. Needs cuobjdump (extra [dev]), no GPU.

    python .ci/check_cuda.py            # compares with .ci/kernels.txt; gates.py says what fails
    python .ci/check_cuda.py --update   # rewrites the table's rows; read the diff, then commit
    python .ci/check_cuda.py --module build/_cuda.so

Device code for every architecture of built_for(); no kernel with spills or local memory; and each
named kernel's registers, shared memory and opcodes as its row says. About 10 s for each
architecture, as many at once as there are cores.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import gates

#: Failures printed at most.
SHOWN = 60


def cuobjdump_command(*options: str) -> list[str]:
    """The command, with PyPI's cuobjdump and nvdisasm where they are installed."""
    wheels = Path(sysconfig.get_path("purelib"), "nvidia", "cu13", "bin")
    if str(wheels) not in os.environ["PATH"]:
        os.environ["PATH"] = f"{wheels}{os.pathsep}{os.environ['PATH']}"
    program = shutil.which("cuobjdump")
    if program is None:
        sys.exit("cuobjdump is missing: pip install 'gpugrad[dev]'")
    return [program, *options]


def cuobjdump(*options: str, cwd: str | None = None) -> str:
    command = cuobjdump_command(*options)
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd).stdout


def architectures(module: str) -> list[str]:
    """Architectures with device code in the module, in ascending order."""
    found = set(re.findall(r"\.sm_(\w+)\.cubin", cuobjdump("--list-elf", module)))
    return sorted(found, key=lambda name: int(re.sub(r"\D", "", name)))


def check_promised(module: str, built: list[str], promised: str) -> None:
    """Exits if built_for() promises an architecture that the module lacks."""
    ptx = set(re.findall(r"\.sm_(\w+)\.ptx", cuobjdump("--list-ptx", module)))
    wanted = promised.split(",")
    missing = [a for a in wanted if a.removesuffix("+ptx") not in (ptx if "+" in a else built)]
    if missing:
        sys.exit(f"no device code for {missing}, promised by built_for(): {promised}")


def opcodes(module: str, architecture: str) -> dict[str, Counter[str]]:
    """Streams the disassembly, some 100 MB of text, through the counter."""
    command = cuobjdump_command("-sass", "-arch", f"sm_{architecture}", module)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        counts = gates.count_opcodes(process.stdout)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with status {process.returncode}")
    return counts


def demangled(names: list[str]) -> dict[str, str]:
    text = "\n".join(names)
    done = subprocess.run(["c++filt"], input=text, check=True, capture_output=True, text=True)
    return dict(zip(names, done.stdout.splitlines(), strict=True))


def compiler_version(module: str) -> str:
    """ptxas's version, from the notes of one of the module's cubins."""
    with tempfile.TemporaryDirectory() as folder:
        cuobjdump("-xelf", ".1.sm_", str(Path(module).resolve()), cwd=folder)
        for cubin in Path(folder).iterdir():
            if found := re.search(rb"Cuda compilation tools, [^\0]*?(V[\d.]+)", cubin.read_bytes()):
                return found[1].decode()
    return "unknown"


def kernels_of(module: str, built: list[str]) -> gates.Rows:
    """Facts of all kernels of the module by short name."""
    rows = gates.read_resources(cuobjdump("-res-usage", module))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        listings = pool.map(lambda architecture: opcodes(module, architecture), built)
        counted = dict(zip(built, listings, strict=True))
    complete = {
        (name, arch): replace(facts, counts=dict(counted[arch][name]))
        for (name, arch), facts in rows.items()
    }
    return gates.with_short_names(complete, demangled(sorted({name for name, _ in rows})))


def update(table: gates.Table, compiler: str, rows: gates.Rows, built: list[str]) -> None:
    """Rewrites the rows. Local memory is not a matter of rows: a person must allow it."""
    if bad := gates.local_memory(table, rows):
        sys.exit("not updated; kernels with spills or local memory:\n  " + "\n  ".join(bad))
    text = gates.write_table(gates.TABLE.read_text(), compiler, rows, built)
    gates.TABLE.write_text(text)
    named = sum(1 for row in gates.read_table(text).rows if row[1] in built)
    print(f"{gates.TABLE}: {named} rows written; see git diff")


def compare(table: gates.Table, compiler: str, rows: gates.Rows, built: list[str]) -> None:
    if better := gates.improved(table, rows):
        print("fewer registers than in the table (--update records it):")
        print("  " + "\n  ".join(better))
    if bad := gates.unexpected(table, rows, built):
        if len(bad) > SHOWN:
            bad[SHOWN:] = [f"... and {len(bad) - SHOWN} more"]
        if compiler != table.compiler:
            bad.append(f"(the table is of ptxas {table.compiler}, this module of {compiler})")
        sys.exit(
            f"not as {gates.TABLE.name} says:\n  " + "\n  ".join(bad) + "\n"
            "mend the kernel; or, if the change is meant, python .ci/check_cuda.py --update"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="rewrite the table's rows")
    parser.add_argument("--module", help="a _cuda to look at instead of the installed one")
    options = parser.parse_args()
    start = time.monotonic()
    module, promised = options.module, ""
    if module is None:
        from gpugrad import _cuda

        module, promised = _cuda.__file__, _cuda.built_for()
    if not Path(module).is_file():
        sys.exit(f"--module {module}: no such file")
    built = architectures(module)
    if promised:
        check_promised(module, built, promised)
    rows = kernels_of(module, built)
    if not rows:
        sys.exit("cuobjdump lists no kernel at all")
    table, compiler = gates.read_table(gates.TABLE.read_text()), compiler_version(module)
    (update if options.update else compare)(table, compiler, rows, built)
    named = sum(1 for kernel, _ in rows if table.is_named(kernel))
    size = Path(module).stat().st_size / 2**20
    print(
        f"_cuda: sm_{', sm_'.join(built)}; {len(rows)} kernels ({named} with a row), none spills; "
        f"{size:.1f} MiB; {time.monotonic() - start:.0f} s"
    )


if __name__ == "__main__":
    main()

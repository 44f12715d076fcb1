#!/usr/bin/env bash
# Evidence from a real GPU: build, tests, compute-sanitizer, benchmarks, kernel laboratory. Needs no
# network.
#
#   bash bench/gpu_report.sh            # every part that has no result for this commit yet
#   bash bench/gpu_report.sh tests      # or: build facts memcheck racecheck lab, or a suite of bench/
#
# Each part takes less than ten minutes and leaves its file in bench/results/<gpu>/, with commit,
# versions and clocks; `python bench/performance.py` then writes README's table. Needs nvcc, Python
# 3.11 or newer with CuPy and the packages of pyproject.toml. COMMIT names the commit where there is
# no git.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
export COMMIT=${COMMIT:-$(git rev-parse --short HEAD)}
suites=$(cd bench && ls test_*.py | sed "s/test_\(.*\)\.py/\1/")
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1 | tr ' ' '-' | tr -cd '[:alnum:]-')
results=bench/results/$gpu
site=build/gpu-report
mkdir -p "$results"
export PYTHONPATH="$PWD/$site${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONSAFEPATH=1  # the folder gpugrad of the source tree must not hide what was built

part_build() {
  GPUGRAD_CUDA=ON GPUGRAD_SIM=ON "$python" -m pip install -q --no-build-isolation --no-deps \
    --no-index --upgrade --target "$site" . 2>&1 | tee "$results/build.log"
  "$python" -m gpugrad doctor | tee "$results/doctor.txt"
}

part_facts() {
  "$python" bench/facts.py --device cuda | tee "$results/facts.json"
}

part_tests() {
  "$python" -m pytest tests/contract tests/test_simulated.py --device cuda \
    --junit-xml "$results/tests.xml" 2>&1 | tee "$results/tests.txt"
}

# Without CuPy's memory pool each array is its own allocation, so that overruns are seen.
sanitize() {
  GPUGRAD_TEST_POOL=off compute-sanitizer --tool "$1" --error-exitcode 9 \
    "$python" -m pytest tests/test_simulated.py --device cuda -k "float32" \
    2>&1 | tee "$results/$1.txt"
}

part_memcheck() { sanitize memcheck; }
part_racecheck() { sanitize racecheck; }

# bench/test_<suite>.py
part_suite() {
  "$python" -m pytest "bench/test_$1.py" --device cuda --results="$results" \
    2>&1 | tee "$results/$1.txt"
}

# The ladder at 4096 cubed in turns with cuBLAS; also leaves bench/results/lab_<gpu>.json, and its
# figures in the headers of bench/lab/*.cu.
part_lab() {
  "$python" bench/lab/run.py --all --device cuda --write --table 2>&1 | tee "$results/lab.txt"
}

for part in "${@:-build facts tests memcheck racecheck $suites lab}"; do
  for name in $part; do
    done_mark=$results/.done-$name-$COMMIT
    if [ $# -eq 0 ] && [ "$name" != build ] && [ -e "$done_mark" ]; then
      echo "== $name: done for $COMMIT"
      continue
    fi
    echo "== $name"
    if [ -e "bench/test_$name.py" ]; then part_suite "$name"; else "part_$name"; fi
    touch "$done_mark"
  done
done

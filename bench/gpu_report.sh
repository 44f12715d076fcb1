#!/usr/bin/env bash
# Evidence from a real GPU: build, tests, compute-sanitizer, benchmarks, kernel laboratory. Needs no
# network.
#
#   bash bench/gpu_report.sh            # every part that has no result for this commit yet
#   bash bench/gpu_report.sh tests      # or: build facts memcheck racecheck bench lab
#
# Each part takes less than ten minutes and leaves its file in bench/results/<gpu>/, with commit,
# versions and clocks in facts.json. Needs nvcc, Python 3.11 or newer with CuPy and the packages of
# pyproject.toml. COMMIT names the commit where there is no git.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
commit=${COMMIT:-$(git rev-parse --short HEAD)}
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
  "$python" bench/facts.py "$commit" > "$results/facts.json"
  cat "$results/facts.json"
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

part_bench() {
  "$python" -m pytest bench --device cuda --benchmark-json "$results/bench.json" \
    --ratios "$results/ratios.txt" 2>&1 | tee "$results/bench.txt"
}

# The ladder at 4096 cubed in turns with cuBLAS; also leaves bench/results/lab_<gpu>.json, and its
# figures in the headers of bench/lab/*.cu.
part_lab() {
  "$python" bench/lab/run.py --all --device cuda --write --table 2>&1 | tee "$results/lab.txt"
}

for part in "${@:-build facts tests memcheck racecheck bench lab}"; do
  for name in $part; do
    done_mark=$results/.done-$name-$commit
    if [ $# -eq 0 ] && [ "$name" != build ] && [ -e "$done_mark" ]; then
      echo "== $name: done for $commit"
      continue
    fi
    echo "== $name"
    "part_$name"
    touch "$done_mark"
  done
done

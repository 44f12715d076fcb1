#!/usr/bin/env bash
# Evidence from a real GPU: build, tests, compute-sanitizer, benchmarks, kernel laboratory, goals.
# Needs no network.
#
#   bash bench/gpu_report.sh            # goes on with what has no result for this commit yet
#   bash bench/gpu_report.sh matmul     # these parts only, and again: a name in the list `parts`
#   bash bench/gpu_report.sh --list     # their names
#
# Runs for at most nine minutes, then says so and ends with 3: call it until it ends with 0. What is
# right comes first, then what is fast. Each part leaves its file in bench/results/<gpu>/, with
# commit, versions and clocks; a suite of bench/ adds to its file test by test, and goes on there.
# `python bench/performance.py` then writes README's tables. A failed part is named at the end.
# What is right: `hardware`, does the GPU do what the simulator says; `contract`, every kernel
# against the specification, in minutes; one that fails or hangs takes no other test along.
#
# Needs nvcc, Python 3.11 or newer with CuPy and the packages of pyproject.toml; PyTorch for most
# rivals. COMMIT names the commit where there is no git, RESULTS another folder (one from another
# machine is gone on with), SITE one for the build, MINUTES another limit, GPUGRAD_DATA the folder
# with CIFAR-10.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
first="matmul attention rows optimizers steps convolutions quantised layers"
suites="$first $(ls bench/test_*.py | sed 's|bench/test_\(.*\)\.py|\1|' |
  grep -vxE "${first// /|}" | tr '\n' ' ')"
parts="build doctor facts hardware contract captures cases memcheck_float32 memcheck_bfloat16
  memcheck_optim racecheck synccheck initcheck $suites record lab goals"
if [ "${1:-}" = --list ]; then
  printf '%s\n' $parts
  exit
fi

COMMIT=${COMMIT:-$("$python" bench/facts.py --commit)}
export COMMIT
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
gpu=$(tr ' ' '-' <<<"$gpu" | tr -cd '[:alnum:]-')
results=${RESULTS:-bench/results/$gpu}
limit=$((60 * ${MINUTES:-9}))
site=${SITE:-$PWD/build/gpu-report}
mkdir -p "$results" "$site"
# The folder gpugrad of the source tree must not hide what was built.
export COLUMNS=240 PYTHONSAFEPATH=1
export PYTHONPATH="$site:$PWD/bench:$PWD/bench/lab${PYTHONPATH:+:$PYTHONPATH}"

left() { echo $((limit - SECONDS)); }

# Not longer than there is time: 124 is the end of the time, not a failure.
within() { timeout --kill-after=10 "$(left)" "$@"; }

# A warning, of a package of another version, is none of a kernel's faults.
tests() { within "$python" -m pytest -p no:cacheprovider -q -W default --tb=short "$@"; }

# Many at once: most of their time is the specification's, on the CPU.
surviving() { tests -n "$(($(nproc) * 3 / 4 + 1))" -p surviving "$@"; }

part_build() {
  GPUGRAD_CUDA=ON GPUGRAD_SIM=ON within "$python" -m pip install -q --no-build-isolation --no-deps \
    --no-index --upgrade --target "$site" . 2>&1 | tee "$results/build.log"
}

part_doctor() { within "$python" -m gpugrad doctor; }

part_facts() { "$python" bench/facts.py --device cuda >"$results/facts.json"; }

# Each fact of Hopper that kernels stand on, alone: what fails here explains what fails later.
part_hardware() { within "$python" tests/sim/on_gpu.py; }

part_contract() { surviving tests/contract -k cuda; }

part_captures() { surviving tests/test_capture*.py -k cuda; }

part_cases() { surviving tests/test_simulated.py --device cuda -k "test_case["; }

# Without CuPy's memory pool each array is its own allocation, so that overruns are seen.
sanitize() {
  local tool=$1
  shift
  export GPUGRAD_TEST_POOL=off
  within compute-sanitizer --tool "$tool" --error-exitcode 9 "$python" -m pytest \
    -p no:cacheprovider -q -W default --tb=short "$@"
}

# compute-sanitizer slows kernels 10 to 100 times: the families whose kernels differ, once each.
cases="matmul or conv2d or attention or softmax or layer_norm or batch_norm or cross_entropy \
or gather or embedding or sort or cumsum or max_pool"
few="matmul or attention or softmax or layer_norm or conv2d_window"

# tool, dtype, cases
sanitize_cases() {
  sanitize "$1" tests/test_simulated.py --device cuda -k "test_case[ and $2 and ($3)"
}

part_memcheck_float32() { sanitize_cases memcheck float32 "$cases"; }
part_memcheck_bfloat16() { sanitize_cases memcheck bfloat16 "$cases"; }
part_memcheck_optim() { sanitize memcheck tests/contract/test_contract_optim.py -k cuda; }
part_racecheck() { sanitize_cases racecheck bfloat16 "$few"; }
part_synccheck() { sanitize_cases synccheck bfloat16 "$few"; }
part_initcheck() { sanitize_cases initcheck bfloat16 "$few"; }

# bench/test_<suite>.py: what has a result for this commit is not measured again.
# 20 (conftest.py) is the end of its time, or of the process's context: a kernel that failed takes
# it along.
stopped=20
part_suite() {
  local status=$stopped
  while [ $status = $stopped ] && [ "$(left)" -gt 30 ]; do
    status=0
    within "$python" -m pytest "bench/test_$1.py" -p no:cacheprovider -q --device cuda \
      --results="$results" --seconds "$(($(left) - 20))" || status=$?
  done
  return $status
}

# gpugrad train cifar10: 94 %, and in how many seconds.
part_record() {
  if [ -z "${GPUGRAD_DATA:-}" ]; then
    echo "not measured: GPUGRAD_DATA names no folder with CIFAR-10"
  else
    within "$python" bench/record_cifar10.py --results "$results"
  fi
}

# The ladder at 4096 cubed in turns with cuBLAS; also leaves bench/results/lab_<gpu>.json, and its
# figures in the headers of bench/lab/*.cu.
part_lab() { within "$python" bench/lab/run.py --all --device cuda --write --table; }

part_goals() { "$python" bench/goals.py "$results"; }

call() { if [ -e "bench/test_$1.py" ]; then part_suite "$1"; else "part_$1"; fi; }

failed=""
begun=0
for name in ${*:-$parts}; do
  mark=$results/.done-$name-$COMMIT
  if [ "$name" = build ]; then mark=$site/.done-$COMMIT; fi  # another machine has to build again
  if [ $# -eq 0 ] && [ "$name" != goals ] && [ -e "$mark" ]; then
    failed+=$(cat "$mark")
    continue
  fi
  if [ "$(left)" -lt 30 ]; then
    echo "== the time is up before $name: run it again"
    exit 3
  fi
  echo "== $name ($(left) s left)"
  status=0
  # Inside of || bash does not heed -e: each part chains what must not fail.
  (call "$name") >"$results/$name.txt" 2>&1 || status=$?
  tail -n 8 "$results/$name.txt"
  begun=$((begun + 1))
  if [ $begun = 1 ] && { [ $status = 124 ] || [ $status = 137 ]; }; then
    status=1  # it had all the time there is
  fi
  case $status in
    0) : >"$mark" ;;
    "$stopped" | 124 | 137)
      echo "== the time was up in $name: run it again"
      exit 3
      ;;
    *)
      grep -aE '^(FAILED|ERROR) |lost the GPU' "$results/$name.txt" | head -n 40 || true
      echo "== $name failed ($status); see $results/$name.txt"
      if [ "$name" = build ]; then exit 1; fi
      echo " $name" >"$mark"
      failed+=" $name"
      ;;
  esac
done
if [ -n "$failed" ]; then echo "== failed:$failed"; else echo "== all done for $COMMIT"; fi

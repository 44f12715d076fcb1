// Launches, indices, barriers and shared memory, in whatever order threads run.

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <numeric>
#include <thread>

#include "check.h"
#include "device/grid.h"

using namespace gg;

// ---- indices and launches ----------------------------------------------------------------------

__global__ void write_indices(int* y) {
  const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int threads = blockDim.x * blockDim.y * blockDim.z;
  y[block * threads + thread_rank()] = block * 1000 + warp_id() * 32 + lane_id();
}

CASE(indices) {
  const dim3 grid(3, 2, 2), block(5, 4, 3);
  std::vector<int> y(12 * 60, -1);
  launch(write_indices, grid, block, 0, nullptr, y.data());
  for (int b = 0; b < 12; b++) {
    for (int t = 0; t < 60; t++) CHECK_EQ(y[b * 60 + t], b * 1000 + t);
  }
}

CASE(empty_grid_starts_nothing) {
  launch(write_indices, 0, 32, 0, nullptr, nullptr);
  launch(write_indices, dim3(4, 0), 32, 0, nullptr, nullptr);
}

template <class T>
__global__ void scale_by(T* x, int n, double factor) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = static_cast<T>(x[i] * factor);
}

CASE(arguments_are_converted) {
  std::vector<float> x(100, 3.0f);
  launch(scale_by<float>, {4u}, 32, 0, nullptr, x.data(), int64_t{100}, 2);
  for (float v : x) CHECK_EQ(v, 6.0f);
}

// ---- barriers and shared memory ----------------------------------------------------------------

template <class T>
__global__ void reverse_block(const T* x, T* y) {
  GG_SHARED(tile, T[256]);
  T* dynamic = shared_dynamic<T>();
  const unsigned i = threadIdx.x, n = blockDim.x, base = blockIdx.x * n;
  tile[i] = x[base + i];
  __syncthreads();
  dynamic[i] = tile[n - 1 - i];
  __syncthreads();
  y[base + i] = dynamic[i] + (dynamic[n - 1 - i] - dynamic[n - 1 - i]);
}

CASE(barrier_and_shared_memory) {
  for (unsigned n : {1u, 31u, 32u, 33u, 200u, 256u}) {
    std::vector<float> x(n * 5), y(n * 5);
    std::iota(x.begin(), x.end(), 0.0f);
    launch(reverse_block<float>, 5, n, n * sizeof(float), nullptr, x.data(), y.data());
    for (unsigned b = 0; b < 5; b++) {
      for (unsigned i = 0; i < n; i++) CHECK_EQ(y[b * n + i], x[b * n + n - 1 - i]);
    }
  }
}

__global__ void read_unwritten(float* y, bool* aligned) {
  GG_SHARED(a, float[4]);
  GG_SHARED(b, float[4]);
  float* dynamic = shared_dynamic<float>();
  y[blockIdx.x] = a[1] + b[2];
  aligned[blockIdx.x] = reinterpret_cast<uintptr_t>(dynamic) % 1024 == 0;
  a[1] = b[2] = dynamic[3] = 1.0f;
}

CASE(shared_memory_starts_as_nan_in_every_block) {
  float y[8] = {};
  bool aligned[8] = {};
  launch(read_unwritten, 8, 1, 64, nullptr, y, aligned);
  for (int i = 0; i < 8; i++) CHECK(std::isnan(y[i]) && aligned[i]);
}

__global__ void use_all_shared(int* y) {
  int* s = shared_dynamic<int>();
  GG_SHARED(last, int[256]);
  s[threadIdx.x] = threadIdx.x;
  last[threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x == 0) *y = s[255] + last[0];
}

CASE(all_shared_memory_of_each_architecture) {
  constexpr int limits[][2] = {{75, 64}, {86, 99}, {90, 227}, {80, 163}};  // the default last
  for (const auto& [architecture, limit] : limits) {
    sim::set_architecture(architecture);
    CHECK_EQ(max_shared_bytes(), limit * 1024);
    int y = 0;
    launch(use_all_shared, 1, 256, limit * 1024 - 1024, nullptr, &y);
    CHECK_EQ(y, 256);
    CHECK_THROWS([&] { launch(use_all_shared, 1, 256, limit * 1024 - 1023, nullptr, &y); },
                 "shared memory; the limit is " + std::to_string(limit * 1024));
  }
}

__global__ void early_exit(int* y) {
  if (threadIdx.x >= 40) return;
  GG_SHARED(sum, int);
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, 1);
  __syncthreads();
  y[threadIdx.x] = sum;
}

CASE(barrier_counts_threads_that_have_not_exited) {
  int y[40] = {};
  launch(early_exit, 1, 100, 0, nullptr, y);
  for (int v : y) CHECK_EQ(v, 40);
}

__global__ void count_odd(int* y) {
  const int odd = threadIdx.x % 2;
  y[threadIdx.x] = __syncthreads_count(odd) + 1000 * __syncthreads_or(threadIdx.x == 77) +
                   10000 * __syncthreads_and(odd) + 20000 * __syncthreads_and(1);
}

CASE(barriers_with_votes) {
  int y[90] = {};
  launch(count_odd, 1, 90, 0, nullptr, y);
  for (int v : y) CHECK_EQ(v, 45 + 1000 + 20000);
}

__global__ void grid_phases(int* cells, int* sums) {
  const int me = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
  for (int phase = 0; phase < 3; phase++) {
    cells[me] = me + phase;
    grid_sync();
    int sum = 0;
    for (int i = 0; i < n; i++) sum += cells[i];
    sums[phase * n + me] = sum;
    grid_sync();
  }
}

CASE(cooperative_grid) {
  std::vector<int> cells(6 * 48), sums(3 * 6 * 48);
  const int n = 6 * 48;
  launch_cooperative(grid_phases, 6, 48, 0, nullptr, cells.data(), sums.data());
  for (int i = 0; i < 3 * n; i++) CHECK_EQ(sums[i], n * (n - 1) / 2 + i / n * n);
}

// ---- the host's side ---------------------------------------------------------------------------

#if !defined(__SANITIZE_THREAD__)  // TSan takes no new threads after fork, and one at a time here

CASE(launches_from_several_threads) {
  std::vector<std::thread> threads;
  std::vector<std::vector<float>> data(4, std::vector<float>(4096, 1.0f));
  for (auto& x : data) {
    threads.emplace_back([&x] {
      for (int i = 0; i < 20; i++) launch(scale_by<float>, 64, 64, 0, nullptr, x.data(), 4096, 2);
    });
  }
  for (std::thread& t : threads) t.join();
  for (auto& x : data) {
    for (float v : x) CHECK_EQ(v, 1048576.0f);
  }
}

CASE(launches_after_fork) {
  std::vector<float> x(1 << 16, 1.0f);
  gg::sim::set_schedule("forward", "eager", 0, 2);
  launch(scale_by<float>, 1024, 64, 0, nullptr, x.data(), 1 << 16, 3);
  const pid_t child = fork();
  if (child == 0) {
    launch(scale_by<float>, 1024, 64, 0, nullptr, x.data(), 1 << 16, 2);
    _exit(x[0] == 6.0f && x.back() == 6.0f ? 0 : 1);
  }
  int status = -1;
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK_EQ(status, 0);
  CHECK_EQ(x[0], 3.0f);
}

#endif

CASE(schedule_texts_are_checked) {
  using sim::set_schedule;
  CHECK_THROWS([] { set_schedule("backward", "eager", 0, 1); }, "order is 'backward'", "'reverse'");
  CHECK_THROWS([] { set_schedule("random", "late", 0, 1); }, "async_mode is 'late'", "'lazy'");
  CHECK_THROWS([] { set_schedule("random", "lazy", 0, -1); }, "workers is -1");
  set_schedule(nullptr, "", 0, 0);
}

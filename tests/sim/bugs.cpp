// Bugs that programmers write, each beside its corrected twin.
//
//   bugs CASE [order]    prints "right", "wrong" or the simulator's error, unless a sanitizer stops
//                        it first. The faulty line carries "BUG:" and the case's name, so that
//                        test_simulator.py knows which line a report must name.

#include <cmath>
#include <memory>

#include "check.h"

using namespace gg;

constexpr int kThreads = 64;

// A thread reads what another wrote, without a barrier between.
template <bool fixed>
__global__ void missing_barrier(const float* x, float* y) {
  GG_SHARED(tile, float[kThreads]);
  const int i = threadIdx.x;
  tile[i] = x[i];
  if (fixed) __syncthreads();
  y[i] = tile[(i * 37 + 11) % kThreads];  // BUG: missing_barrier
}

// The tile is refilled while others still read it.
template <bool fixed>
__global__ void early_refill(const float* x, float* y) {
  GG_SHARED(tile, float[kThreads]);
  const int i = threadIdx.x;
  float sum = 0;
  for (int step = 0; step < 4; step++) {
    tile[i] = x[i] + step;  // BUG: early_refill
    __syncthreads();
    sum += tile[(i * 37 + 11) % kThreads];
    if (fixed) __syncthreads();
  }
  y[i] = sum - 3 * x[(i * 37 + 11) % kThreads] - 6;
}

// Lanes of a warp exchange through shared memory as if they ran in lockstep.
template <bool fixed>
__global__ void missing_syncwarp(const float* x, float* y) {
  GG_SHARED(cell, float[kThreads]);
  const int i = threadIdx.x;
  cell[i] = x[i];
  if (fixed) __syncwarp();
  y[i] = cell[i ^ 31];  // BUG: missing_syncwarp
}

template <bool fixed>
__global__ void global_read_out_of_bounds(const float* x, float* y) {
  const int i = threadIdx.x;
  const int next = fixed && i == kThreads - 1 ? i : i + 1;
  y[i] = x[next] - x[next] + x[i];  // BUG: global_read_out_of_bounds
}

template <bool fixed>
__global__ void shared_write_out_of_bounds(const float* x, float* y) {
  GG_SHARED(before, float[kThreads]);
  GG_SHARED(after, float[kThreads]);
  float* p = before;
  const int i = threadIdx.x;
  p[fixed ? i : i + 16] = x[i];  // BUG: shared_write_out_of_bounds
  after[i] = x[i];
  __syncthreads();
  y[i] = after[i];
}

template <bool fixed>
__global__ void shared_index_out_of_bounds(const float* x, float* y) {
  GG_SHARED(tile, float[4][kThreads]);
  const int i = threadIdx.x;
  tile[0][fixed ? i : i + 1] = x[i];  // BUG: shared_index_out_of_bounds
  __syncthreads();
  y[i] = fixed ? tile[0][i] : x[i];
}

// Lanes past the end leave before a shuffle that names them.
template <bool fixed>
__global__ void lane_left(const float* x, float* y, int n) {
  const int i = threadIdx.x;
  if (!fixed && i >= n) return;
  const float v = warp_sum(i < n ? x[i] : 0.0f);  // BUG: lane_left
  if (i < n) y[i] = v * 0 + x[i];
}

// Blocks add to one word without an atomic: the simulator's result is right, the program is not.
template <bool fixed>
__global__ void blocks_add(const float*, float*, int* count) {
  if (threadIdx.x != 0) return;
  if (fixed) {
    atomicAdd(count, 1);
  } else {
    *count += 1;  // BUG: blocks_add
  }
}

// The last block reads what others wrote, with nothing to order the two.
template <bool fixed>
__global__ void missing_fence(const float* x, float* y, float* partial, int* ticket) {
  if (threadIdx.x != 0) return;
  partial[blockIdx.x] = x[blockIdx.x];
  if (fixed) __threadfence();
  if (atomicAdd(ticket, 1) != static_cast<int>(gridDim.x) - 1) return;
  if (fixed) __threadfence();
  for (unsigned i = 0; i < gridDim.x; i++) y[i] = partial[i];  // BUG: missing_fence
}

struct Data {
  std::unique_ptr<float[]> x{new float[kThreads]}, y{new float[kThreads]};
  Data() {
    for (int i = 0; i < kThreads; i++) x[i] = static_cast<float>(i), y[i] = NAN;
  }
  /// y[i] is x[from(i)].
  template <class F>
  void check(int n, F from) const {
    bool right = true;
    for (int i = 0; i < n; i++) right &= y[i] == x[from(i)];
    puts(right ? "right" : "wrong");
  }
};

static int turned(int i) {
  return (i * 37 + 11) % kThreads;
}
static int same(int i) {
  return i;
}

#define BOTH(name, body)          \
  CASE(name) {                    \
    Data d;                       \
    constexpr bool fixed = false; \
    body                          \
  }                               \
  CASE(name##_fixed) {            \
    Data d;                       \
    constexpr bool fixed = true;  \
    body                          \
  }

// clang-format off
BOTH(missing_barrier, {
  launch(missing_barrier<fixed>, 1, kThreads, 0, nullptr, d.x.get(), d.y.get());
  d.check(kThreads, turned);
})
BOTH(early_refill, {
  launch(early_refill<fixed>, 1, kThreads, 0, nullptr, d.x.get(), d.y.get());
  d.check(kThreads, turned);
})
BOTH(missing_syncwarp, {
  launch(missing_syncwarp<fixed>, 1, kThreads, 0, nullptr, d.x.get(), d.y.get());
  d.check(kThreads, [](int i) { return i ^ 31; });
})
BOTH(global_read_out_of_bounds, {
  launch(global_read_out_of_bounds<fixed>, 1, kThreads, 0, nullptr, d.x.get(), d.y.get());
  d.check(kThreads, same);
})
BOTH(shared_write_out_of_bounds, {
  launch(shared_write_out_of_bounds<fixed>, 1, kThreads, 0, nullptr, d.x.get(), d.y.get());
  d.check(kThreads, same);
})
BOTH(shared_index_out_of_bounds, {
  launch(shared_index_out_of_bounds<fixed>, 1, kThreads, 0, nullptr, d.x.get(), d.y.get());
  d.check(kThreads, same);
})
BOTH(lane_left, {
  launch(lane_left<fixed>, 1, 32, 0, nullptr, d.x.get(), d.y.get(), 30);
  d.check(30, same);
})
BOTH(blocks_add, {
  int count = 0;
  launch(blocks_add<fixed>, 50, 32, 0, nullptr, d.x.get(), d.y.get(), &count);
  puts(count == 50 ? "right" : "wrong");
})
BOTH(missing_fence, {
  int ticket = 0;
  float partial[8];
  launch(missing_fence<fixed>, 8, 32, 0, nullptr, d.x.get(), d.y.get(), partial, &ticket);
  d.check(8, same);
})
// clang-format on

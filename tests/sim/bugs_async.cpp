// More planted bugs, as in bugs.cpp: of asynchronous copies, ldmatrix and named barriers. Warp 0
// reads what warp 1 wrote, and the other way round.

#include <memory>

#include "check.h"

using namespace gg;

constexpr int kThreads = 64, kSteps = 6;

// A tile is 64 rows of 16 bytes, one for each thread.
using Tile = uint32_t[kThreads][4];

__device__ const uint32_t* row_to_read(const Tile& tile) {
  return tile[threadIdx.x ^ 32];
}

__device__ void add_to(uint32_t* y, const uint32_t (&r)[4]) {
  for (int i = 0; i < 4; i++) y[threadIdx.x * 4 + i] += r[i];
}

__device__ void put_row(Tile& tile, const uint32_t* x) {
  for (int i = 0; i < 4; i++) tile[threadIdx.x][i] = x[threadIdx.x * 4 + i];
}

// ---- ldmatrix ----------------------------------------------------------------------------------

// Fragments are loaded before others have written their rows.
template <bool fixed>
__global__ void matrix_read_early(const uint32_t* x, uint32_t* y) {
  GG_SHARED(tile, Tile);
  uint32_t r[4];
  put_row(tile, x);
  if (fixed) __syncthreads();
  ldmatrix<4>(r, row_to_read(tile));  // BUG: matrix_read_early
  add_to(y, r);
}

// The tile is refilled before others have loaded their fragments.
template <bool fixed>
__global__ void matrix_refilled_early(const uint32_t* x, uint32_t* y) {
  GG_SHARED(tile, Tile);
  for (int step = 0; step < kSteps; step++) {
    put_row(tile, x + step * kThreads * 4);
    __syncthreads();
    uint32_t r[4];
    ldmatrix<4>(r, row_to_read(tile));  // BUG: matrix_refilled_early
    add_to(y, r);
    if (fixed) __syncthreads();
  }
}

// ---- cp.async ----------------------------------------------------------------------------------

__device__ void copy_row(Tile& tile, const uint32_t* x, int step) {
  if (step < kSteps) cp_async<16>(tile[threadIdx.x], x + (step * kThreads + threadIdx.x) * 4);
  cp_async_commit();
}

// A ring of three tiles. The wait leaves one group too many incomplete.
template <bool fixed>
__global__ void wait_one_short(const uint32_t* x, uint32_t* y) {
  GG_SHARED(tiles, Tile[3]);
  copy_row(tiles[0], x, 0);
  copy_row(tiles[1], x, 1);
  for (int step = 0; step < kSteps; step++) {
    cp_async_wait<fixed ? 1 : 2>();
    __syncthreads();
    copy_row(tiles[(step + 2) % 3], x, step + 2);
    uint32_t r[4];
    ldmatrix<4>(r, row_to_read(tiles[step % 3]));  // BUG: wait_one_short
    add_to(y, r);
  }
  cp_async_wait<0>();
}

// The slot of the step before is refilled while the other warp may still read it.
template <bool fixed>
__global__ void slot_refilled(const uint32_t* x, uint32_t* y) {
  GG_SHARED(tiles, Tile[3]);
  copy_row(tiles[0], x, 0);
  copy_row(tiles[1], x, 1);
  for (int step = 0; step < kSteps; step++) {
    cp_async_wait<1>();
    if (fixed) __syncthreads();
    copy_row(tiles[(step + 2) % 3], x, step + 2);
    if (!fixed) __syncthreads();
    uint32_t r[4];
    ldmatrix<4>(r, row_to_read(tiles[step % 3]));  // BUG: slot_refilled
    add_to(y, r);
  }
  cp_async_wait<0>();
}

// Each thread has waited for its own copies only.
template <bool fixed>
__global__ void wait_without_barrier(const uint32_t* x, uint32_t* y) {
  GG_SHARED(tile, Tile);
  copy_row(tile, x, 0);
  cp_async_wait<0>();
  if (fixed) __syncthreads();
  uint32_t r[4];
  ldmatrix<4>(r, row_to_read(tile));  // BUG: wait_without_barrier
  add_to(y, r);
}

// ---- named barriers ----------------------------------------------------------------------------

using Half = uint32_t[32][4];

__device__ void put_half(Half& tile, const uint32_t* x, int step) {
  const uint32_t* row = x + (step * kThreads + 32 + threadIdx.x) * 4;
  for (int i = 0; i < 4; i++) tile[threadIdx.x][i] = row[i];
}

__device__ void take_half(Half& tile, uint32_t* y) {
  uint32_t r[4];
  ldmatrix<4>(r, tile[lane_id()]);
  add_to(y - 128, r);
}

// Warp 0 fills a tile for warp 1, step by step, without waiting until it is empty again.
template <bool fixed>
__global__ void never_empty(const uint32_t* x, uint32_t* y) {
  GG_SHARED(tile, Half);
  for (int step = 0; step < kSteps; step++) {
    if (warp_id() == 0) {
      if (fixed && step > 0) barrier_sync(2, 64);
      put_half(tile, x, step);
      barrier_arrive(1, 64);  // BUG: never_empty
    } else {
      barrier_sync(1, 64);
      take_half(tile, y);
      if (fixed && step + 1 < kSteps) barrier_arrive(2, 64);
    }
  }
}

// Warp 0 says that the tile is full before it is.
template <bool fixed>
__global__ void arrive_too_early(const uint32_t* x, uint32_t* y) {
  GG_SHARED(tile, Half);
  if (warp_id() == 0) {
    if (!fixed) barrier_arrive(1, 64);
    put_half(tile, x, 0);  // BUG: arrive_too_early
    if (fixed) barrier_arrive(1, 64);
  } else {
    barrier_sync(1, 64);
    take_half(tile, y);
  }
}

// ---- running them ------------------------------------------------------------------------------

struct Sums {
  std::unique_ptr<uint32_t[]> x{new uint32_t[kSteps * kThreads * 4]};
  std::unique_ptr<uint32_t[]> y{new uint32_t[kThreads * 4]()};

  Sums() {
    for (int i = 0; i < kSteps * kThreads * 4; i++) x[i] = static_cast<uint32_t>(i * i);
  }
  /// y is the sum of the first steps' fragments; `threads` of them, of the other half's rows.
  void check(int steps, int threads = kThreads) const {
    bool right = true;
    for (int i = 0; i < threads * 4; i++) {
      const int thread = i / 4 ^ 32, lane = thread % 32;
      uint32_t sum = 0;
      for (int step = 0; step < steps; step++) {
        const int row = step * kThreads + thread / 32 * 32 + i % 4 * 8 + lane / 4;
        sum += x[row * 4 + lane % 4];
      }
      right &= y[i] == sum;
    }
    puts(right ? "right" : "wrong");
  }
};

#define BOTH(name, steps, threads)                                      \
  CASE(name) {                                                          \
    Sums d;                                                             \
    launch(name<false>, 1, kThreads, 0, nullptr, d.x.get(), d.y.get()); \
    d.check(steps, threads);                                            \
  }                                                                     \
  CASE(name##_fixed) {                                                  \
    Sums d;                                                             \
    launch(name<true>, 1, kThreads, 0, nullptr, d.x.get(), d.y.get());  \
    d.check(steps, threads);                                            \
  }

BOTH(matrix_read_early, 1, kThreads)
BOTH(matrix_refilled_early, kSteps, kThreads)
BOTH(wait_one_short, kSteps, kThreads)
BOTH(slot_refilled, kSteps, kThreads)
BOTH(wait_without_barrier, 1, kThreads)
BOTH(never_empty, kSteps, 32)
BOTH(arrive_too_early, 1, 32)

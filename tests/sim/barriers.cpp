// Named barriers: groups of warps that wait for one another, producers that do not wait.

#include "check.h"

using namespace gg;

#if defined(__SANITIZE_THREAD__)
constexpr int kMost = 128;  // TSan: 0.8 MB for each thread
#else
constexpr int kMost = 1024;
#endif

// Each pair of warps sums up its own 64 numbers, at its own pace.
__global__ void pairs(const int* x, int* y) {
  GG_SHARED(cell, int[kMost]);
  const int i = threadIdx.x, pair = i / 64;
  int value = x[i];
  for (int round = 0; round <= pair; round++) {
    cell[i] = value;
    barrier_sync(1 + pair % 15, 64);
    value += cell[i ^ 32];
    barrier_sync(1 + pair % 15, 64);
  }
  y[i] = value;
}

CASE(pairs_of_warps_do_not_wait_for_others) {
  constexpr int n = kMost < 15 * 64 ? kMost : 15 * 64;
  std::vector<int> x(n), y(n);
  for (int i = 0; i < n; i++) x[i] = i;
  launch(pairs, 1, n, 0, nullptr, x.data(), y.data());
  for (int i = 0; i < n; i++) {
    const int both = x[i] + x[i ^ 32];
    CHECK_EQ(y[i], both << (i / 64));
  }
}

// A warp fills two cells in turn, three warps empty them.
constexpr int kFull = 1, kEmpty = 3, kWarps = 4;

__global__ void produce_and_consume(const int* x, int* y, int n) {
  GG_SHARED(cell, int[2][32]);
  const int lane = lane_id();
  if (warp_id() == 0) {
    for (int i = 0; i < n; i++) {
      if (i >= 2) barrier_sync(kEmpty + i % 2, 32 * kWarps);
      cell[i % 2][lane] = x[i * 32 + lane];
      barrier_arrive(kFull + i % 2, 32 * kWarps);
    }
  } else {
    for (int i = 0; i < n; i++) {
      barrier_sync(kFull + i % 2, 32 * kWarps);
      y[(i * 3 + warp_id() - 1) * 32 + lane] = cell[i % 2][31 - lane] * warp_id();
      if (i + 2 < n) barrier_arrive(kEmpty + i % 2, 32 * kWarps);
    }
  }
  __syncthreads();
}

CASE(producer_arrives_and_goes_on) {
  constexpr int n = 9;
  int x[n * 32], y[n * 3 * 32];
  for (int i = 0; i < n * 32; i++) x[i] = i * 31 % 257;
  launch(produce_and_consume, 1, 32 * kWarps, 0, nullptr, x, y, n);
  for (int i = 0; i < n * 3 * 32; i++) {
    const int step = i / 96, warp = i / 32 % 3 + 1;
    CHECK_EQ(y[i], x[step * 32 + 31 - i % 32] * warp);
  }
}

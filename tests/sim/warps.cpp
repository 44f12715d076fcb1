// Warp operations and reductions, in whatever order threads run.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "check.h"

using namespace gg;

#if defined(__SANITIZE_THREAD__)
constexpr bool kTsan = true;
#else
constexpr bool kTsan = false;
#endif

// ---- warp operations ---------------------------------------------------------------------------

template <class T>
__global__ void shuffles(T* y) {
  const T v = static_cast<T>(threadIdx.x);
  T* row = y + threadIdx.x * 8;
  row[0] = __shfl_sync(kFullMask, v, 7);
  row[1] = __shfl_sync(kFullMask, v, 3, 8);
  row[2] = __shfl_up_sync(kFullMask, v, 2);
  row[3] = __shfl_up_sync(kFullMask, v, 1, 4);
  row[4] = __shfl_down_sync(kFullMask, v, 5);
  row[5] = __shfl_down_sync(kFullMask, v, 3, 16);
  row[6] = __shfl_xor_sync(kFullMask, v, 21);
  row[7] = __shfl_xor_sync(kFullMask, v, 6, 8);
}

template <class T>
void check_shuffles() {
  std::vector<T> y(64 * 8);
  launch(shuffles<T>, 1, 64, 0, nullptr, y.data());
  for (int t = 0; t < 64; t++) {
    const int base = t / 32 * 32, lane = t % 32;
    const int wanted[8] = {base + 7,
                           t / 8 * 8 + 3,
                           lane < 2 ? t : t - 2,
                           t % 4 == 0 ? t : t - 1,
                           lane + 5 > 31 ? t : t + 5,
                           lane % 16 + 3 > 15 ? t : t + 3,
                           base + (lane ^ 21),
                           t ^ 6};
    for (int i = 0; i < 8; i++) CHECK_EQ(y[t * 8 + i], wanted[i]);
  }
}

CASE(all_shuffles) {
  check_shuffles<int>();
  check_shuffles<float>();
  check_shuffles<double>();
  check_shuffles<unsigned long long>();
}

__global__ void votes(unsigned* y) {
  const int lane = lane_id();
  unsigned* row = y + threadIdx.x * 6;
  row[0] = __ballot_sync(kFullMask, lane % 3 == 0);
  row[1] = __any_sync(kFullMask, lane == 31) + 2 * __any_sync(kFullMask, lane > 31);
  row[2] = __all_sync(kFullMask, lane < 32) + 2 * __all_sync(kFullMask, lane < 31);
  row[3] = __match_any_sync(kFullMask, lane % 4);
  if (lane < 16) {
    row[4] = __ballot_sync(0x0000ffffu, lane & 1);
  } else {
    row[4] = __ballot_sync(0xffff0000u, lane & 1);
  }
  __syncwarp();
  row[5] = __popc(row[4]) + __ffs(0x10) + __clz(1);
}

CASE(all_votes) {
  unsigned y[64 * 6];
  launch(votes, 1, 64, 0, nullptr, y);
  for (int t = 0; t < 64; t++) {
    CHECK_EQ(y[t * 6], 0x49249249u);
    CHECK_EQ(y[t * 6 + 1], 1u);
    CHECK_EQ(y[t * 6 + 2], 1u);
    CHECK_EQ(y[t * 6 + 3], 0x11111111u << (t % 4));
    CHECK_EQ(y[t * 6 + 4], t % 32 < 16 ? 0x0000aaaau : 0xaaaa0000u);
    CHECK_EQ(y[t * 6 + 5], 8u + 5u + 31u);
  }
}

__global__ void exchange_in_warp(int* y) {
  GG_SHARED(cell, int[32]);
  cell[threadIdx.x] = threadIdx.x;
  __syncwarp();
  y[threadIdx.x] = cell[31 - threadIdx.x];
}

CASE(syncwarp_orders_shared_memory) {
  int y[32];
  launch(exchange_in_warp, 1, 32, 0, nullptr, y);
  for (int i = 0; i < 32; i++) CHECK_EQ(y[i], 31 - i);
}

struct Best {
  double value;
  int64_t index;
  int32_t seen;
};

// The last of a sequence wins, which only a reduction in index order gets right.
struct KeepRight {
  GG_HD int operator()(int a, int b) const { return b >= 0 ? b : a; }
};

struct BestOp {
  GG_HD Best operator()(Best a, Best b) const {
    Best r = b.value > a.value ? b : a;
    r.seen = a.seen + b.seen;
    return r;
  }
};

__global__ void reductions(const float* x, float* sums, Best* best, int* last) {
  const int i = threadIdx.x;
  const float v = x[i];
  const float identity = -INFINITY;
  sums[i * 4] = block_reduce(v, SumOp(), 0.0f);
  sums[i * 4 + 1] = block_reduce(v, MaxOp(), identity);
  sums[i * 4 + 2] = warp_sum(v) + warp_min(v);
  sums[i * 4 + 3] = warp_max(v);
  best[i] = block_reduce(Best{v, i, 1}, BestOp(), Best{-INFINITY, -1, 0});
  last[i] = block_reduce(i % 50 == 7 ? i : -1, KeepRight(), -1);
}

CASE(warp_and_block_reductions) {
  for (int n : {32, 96, 256, kTsan ? 128 : 1024}) {  // TSan: 0.8 MB for each thread
    std::vector<float> x(n), sums(n * 4);
    std::vector<Best> best(n);
    std::vector<int> last(n);
    for (int i = 0; i < n; i++) x[i] = static_cast<float>(i * 7919 % 1009);
    launch(reductions, 1, n, 0, nullptr, x.data(), sums.data(), best.data(), last.data());
    const auto top = std::max_element(x.begin(), x.end());
    for (int i = 0; i < n; i++) {
      const auto warp = x.begin() + i / 32 * 32;
      const float warp_total = std::accumulate(warp, warp + 32, 0.0f);
      CHECK_EQ(sums[i * 4], std::accumulate(x.begin(), x.end(), 0.0f));
      CHECK_EQ(sums[i * 4 + 1], *top);
      CHECK_EQ(sums[i * 4 + 2], warp_total + *std::min_element(warp, warp + 32));
      CHECK_EQ(sums[i * 4 + 3], *std::max_element(warp, warp + 32));
      CHECK_EQ(best[i].index, top - x.begin());
      CHECK_EQ(best[i].seen, n);
      CHECK_EQ(last[i], (n - 8) / 50 * 50 + 7);
    }
  }
}

__global__ void reduce_nan(const float* x, float* y) {
  y[threadIdx.x] = warp_max(x[threadIdx.x]) + warp_min(x[threadIdx.x]);
}

CASE(nan_wins_max_and_min) {
  float x[32], y[32];
  for (int nan = 0; nan < 32; nan++) {
    for (int i = 0; i < 32; i++) x[i] = i == nan ? NAN : static_cast<float>(i);
    launch(reduce_nan, 1, 32, 0, nullptr, x, y);
    for (float v : y) CHECK(std::isnan(v));
  }
}

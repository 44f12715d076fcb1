// cp.async: bytes, groups and waits; a multi-stage pipeline of ldmatrix and mma; dependent
// launches. In every async mode: see --async.

#include <numeric>

#include "check.h"

using namespace gg;

// ---- bytes -------------------------------------------------------------------------------------

template <int Bytes>
__global__ void copy_some(const unsigned char* x, unsigned char* y) {
  GG_SHARED(tile, unsigned char[32 * 16]);
  const int i = threadIdx.x, bytes = i % (Bytes + 1);
  alignas(16) static const unsigned char never_read[1] = {};
  cp_async<Bytes>(tile + i * Bytes, bytes ? x + i * Bytes : never_read + 1, bytes);
  cp_async_commit();
  cp_async_wait<0>();
  for (int b = 0; b < Bytes; b++) y[i * Bytes + b] = tile[i * Bytes + b];
}

template <int Bytes>
static void check_bytes() {
  alignas(16) unsigned char x[32 * Bytes], y[32 * Bytes];
  for (int i = 0; i < 32 * Bytes; i++) x[i] = static_cast<unsigned char>(i % 251 + 1);
  launch(copy_some<Bytes>, 1, 32, 0, nullptr, x, y);
  for (int i = 0; i < 32 * Bytes; i++) {
    const bool inside = i % Bytes < i / Bytes % (Bytes + 1);
    CHECK_EQ(y[i], inside ? x[i] : 0);
  }
}

CASE(copies_fill_with_zeros) {
  check_bytes<4>();
  check_bytes<8>();
  check_bytes<16>();
}

// ---- groups ------------------------------------------------------------------------------------

// Thread i's copies, one group each, are used as they come; another thread's after a barrier.
__global__ void take_turns(const int* x, int* y) {
  GG_SHARED(cell, int[4][64]);
  const int i = threadIdx.x;
  for (int g = 0; g < 4; g++) {
    cp_async<4>(&cell[g][i], &x[g * 64 + i]);
    cp_async_commit();
  }
  cp_async_wait<2>();
  y[i] = cell[0][i] + cell[1][i];
  cp_async_commit();  // an empty group
  cp_async_wait<1>();
  y[i] += cell[2][i] + cell[3][i];
  __syncthreads();
  for (int g = 0; g < 4; g++) y[i] += 1000 * cell[g][63 - i];
  cp_async_wait<0>();
}

CASE(groups_complete_in_order) {
  int x[256], y[64];
  for (int i = 0; i < 256; i++) x[i] = i * i % 997;
  for (int repeat = 0; repeat < 3; repeat++) {
    launch(take_turns, 1, 64, 0, nullptr, x, y);
    for (int i = 0; i < 64; i++) {
      int wanted = 0;
      for (int g = 0; g < 4; g++) wanted += x[g * 64 + i] + 1000 * x[g * 64 + 63 - i];
      CHECK_EQ(y[i], wanted);
    }
  }
}

__global__ void copy_much(const int* x, int* y, int n) {
  int* tile = shared_dynamic<int>();
  for (int i = threadIdx.x; i < n; i += 32) cp_async<4>(tile + i, x + i);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += 32) y[i] = tile[n - 1 - i];
}

CASE(as_many_copies_as_shared_memory_holds) {
  constexpr int n = 163 * 256;
  std::vector<int> x(n), y(n);
  std::iota(x.begin(), x.end(), 0);
  launch(copy_much, 1, 32, n * 4, nullptr, x.data(), y.data(), n);
  for (int i = 0; i < n; i++) CHECK_EQ(y[i], n - 1 - i);
}

// ---- a pipeline --------------------------------------------------------------------------------

// d [64, 32] = a [64, k] b [32, k]^T on four warps, in three stages of 16 columns.
constexpr int kStages = 3;

__device__ void load_stage(f16* tile, const f16* a, const f16* b, int step, int k) {
  for (int i = threadIdx.x; i < 96 * 2; i += blockDim.x) {
    const int row = i / 2, column = step * 16 + i % 2 * 8;
    const f16* source = row < 64 ? a + row * k : b + (row - 64) * k;
    const int bytes = column + 8 <= k ? 16 : column < k ? (k - column) * 2 : 0;
    cp_async<16>(tile + row * 24 + i % 2 * 8, bytes ? source + column : a, bytes);
  }
}

__device__ void multiply_stage(const f16* tile, float (&sum)[1][4][4]) {
  const int lane = lane_id();
  uint32_t a[1][4], b[4][2];
  ldmatrix<4>(a[0], tile + (warp_id() * 16 + lane % 16) * 24 + lane / 16 * 8);
  for (int j = 0; j < 4; j += 2) {
    uint32_t r[4];
    ldmatrix<4>(r, tile + (64 + j * 8 + lane / 16 * 8 + lane % 8) * 24 + lane / 8 % 2 * 8);
    b[j][0] = r[0], b[j][1] = r[1], b[j + 1][0] = r[2], b[j + 1][1] = r[3];
  }
  mma_tile<MmaM16N8K16<f16>>(sum, a, b);
}

__global__ void pipeline(const f16* a, const f16* b, float* d, int k) {
  GG_SHARED(tiles, f16[kStages][96 * 24]);
  const int steps = (k + 15) / 16;
  for (int s = 0; s < kStages - 1; s++) {
    if (s < steps) load_stage(tiles[s], a, b, s, k);
    cp_async_commit();
  }
  float sum[1][4][4] = {};
  for (int step = 0; step < steps; step++) {
    cp_async_wait<kStages - 2>();
    __syncthreads();
    const int next = step + kStages - 1;
    if (next < steps) load_stage(tiles[next % kStages], a, b, next, k);
    cp_async_commit();
    multiply_stage(tiles[step % kStages], sum);
  }
  cp_async_wait<0>();
  for (int j = 0; j < 4; j++) {
    for (int r = 0; r < 4; r++) {
      const int row = warp_id() * 16 + lane_id() / 4 + r / 2 * 8;
      d[row * 32 + j * 8 + lane_id() % 4 * 2 + r % 2] = sum[0][j][r];
    }
  }
}

static void check_pipeline(int k) {
  std::vector<f16> a(64 * k), b(32 * k);
  for (int i = 0; i < 64 * k; i++) a[i] = from_float<f16>(static_cast<float>(i * 7 % 13 - 6));
  for (int i = 0; i < 32 * k; i++) b[i] = from_float<f16>(static_cast<float>(i * 5 % 11 - 5));
  std::vector<float> d(64 * 32);
  launch(pipeline, 1, 128, 0, nullptr, a.data(), b.data(), d.data(), k);
  for (int row = 0; row < 64; row++) {
    for (int column = 0; column < 32; column++) {
      float sum = 0;
      for (int i = 0; i < k; i++) sum += to_float(a[row * k + i]) * to_float(b[column * k + i]);
      CHECK_EQ(d[row * 32 + column], sum);
    }
  }
}

CASE(three_stage_pipeline) {
  for (int k : {8, 16, 40, 96}) check_pipeline(k);
}

// ---- dependent launches ------------------------------------------------------------------------

__global__ void produce(int* x) {
  grid_dependency_launch();
  x[threadIdx.x] = threadIdx.x * 3;
}

__global__ void consume(const int* x, int* y) {
  grid_dependency_wait();
  y[threadIdx.x] = x[63 - threadIdx.x];
}

CASE(dependent_launch) {
  int x[64], y[64];
  launch(produce, 1, 64, 0, nullptr, x);
  launch_dependent(consume, 1, 64, 0, nullptr, x, y);
  for (int i = 0; i < 64; i++) CHECK_EQ(y[i], (63 - i) * 3);
  launch(consume, 1, 64, 0, nullptr, x, y);  // the wait is allowed anywhere
  launch_dependent(consume, 0, 64, 0, nullptr, x, y);
}

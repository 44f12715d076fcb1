// float32 as three tf32 products on wgmma: how operands are split, and a warpgroup's main loop.
//
//   a b = a_high b_high + a_low b_high + a_high b_low (+ a_low b_low, which is left out)
//
// a is split in registers: a_high is a rounded to nearest tf32 (11 significant bits), and a_low,
// the rest, has either sign. b must be in shared memory, where wgmma reads the upper bits of each
// float and ignores the lowest 13: so b_high is b truncated, as it lies there, and only b_low is
// written, by warps that do nothing else, in the order b has (they need not know the swizzle).
//
// Errors of a product, in units of 2^-23 of its factors' binades:
//   a_low        at most 2^-11 with 12 bits, of which wgmma cuts off one:  at most 1, rms 0.5
//   b_low        below 2^-10 with 13 bits, rounded to 11:                  at most 2, rms 0.94
//   a_low b_low  left out; no bias, since a_low has either sign:           at most 4, rms 1.33
// together 1.7 rms, or 0.73 for a product's own 2^-23, at random (but for 0.38 by which b_low's
// ties go up). float32's sum of k products errs by 0.15 sqrt(k) for each if they are of like size,
// by less if few large ones matter: from k = 192 on (gemm_hopper.cu) by more in all cases tried.
//
// Sums: wgmma truncates its float sums toward zero, at every instruction, and that adds up. So
// products are summed in fresh registers over 16 of k only: first the low ones, which are 2^-11 of
// the whole, then the high ones, in two instructions. These sums are added to the float32 sums with
// ordinary rounding, while the products of the warpgroup's other 64 columns run. (Where all
// products are positive, truncation still takes half of 2^-23.)
//
// Near the smallest float, low parts would fall below the smallest tf32, 2^-136. So a's parts and
// b_low are held 2^13 times as large, whereby the parts of every float are tf32 numbers:
//   (2^13 a_high) b_high + (2^13 a_low) b_high + a_high (2^13 b_low) = 2^13 a b
// What overflows by it (|a| or |a b| from 2^115 on, |b| from 2^125) gives a sum that is not finite,
// which gemm_overflow.cuh forms again.
#pragma once

#include "device/matrix.h"
#include "kernels/hopper_mainloop.cuh"

namespace gg {

constexpr float kTf32x3Scale = 0x1p13f;

/// Where a ring's stages lie: M rows of a, N of b, N of b_low, 32 of k each.
template <int M, int N>
struct Tf32x3Stages {
  static constexpr int kLoaded = kTmaTileBytes<M> + kTmaTileBytes<N>;  // by TMA
  static constexpr int kBytes = kLoaded + kTmaTileBytes<N>;
  char* base;

  __device__ __forceinline__ char* a(int stage) const { return base + stage * kBytes; }
  __device__ __forceinline__ char* b(int stage) const { return a(stage) + kTmaTileBytes<M>; }
  __device__ __forceinline__ char* b_low(int stage) const { return a(stage) + kLoaded; }
};

template <int Stages>
struct Tf32x3Ring : RingBarriers<Stages> {
  Mbarrier split[Stages];  ///< b_low is there: one arrival for each warp that writes it
};

// ---- b -----------------------------------------------------------------------------------------

/// 2^13 b_low, of which wgmma reads the upper bits: they are rounded to nearest. Of NaN or infinity
/// it may be anything, as b_high still is one of the two.
GG_DEVICE float tf32x3_low(float b) {
  const float high = bits_float(float_bits(b) & ~0x1fffu);
  return bits_float(float_bits((b - high) * kTf32x3Scale) + 0x1000u);
}

/// b_low = 2^13 the low parts of a tile of R rows. By `Threads` threads, of which this is number t.
template <int R, int Threads>
GG_DEVICE void split_tile(const char* b, char* b_low, int t) {
  using Unit = Vec<float, 4>;
  constexpr int bytes = sizeof(Unit);
#pragma unroll
  for (int i = 0; i < kTmaTileBytes<R>; i += Threads * bytes) {
    Unit v = load_vec<4>(reinterpret_cast<const float*>(b + i + t * bytes));
#pragma unroll
    for (int e = 0; e < 4; e++) v[e] = tf32x3_low(v[e]);
    store_vec(reinterpret_cast<float*>(b_low + i + t * bytes), v);
  }
}

// ---- a -----------------------------------------------------------------------------------------

constexpr int kTf32x3Steps = 2;                  // instructions, of 8 k, for a fresh sum
constexpr int kTf32x3Bytes = 32 * kTf32x3Steps;  // of k

/// a's parts of so much k, as wgmma takes them from registers.
struct Tf32x3Fragments {
  uint32_t high[kTf32x3Steps][4], low[kTf32x3Steps][4];  ///< 2^13 times
  uint32_t plain[kTf32x3Steps][4];                       ///< high as it is

  /// a: a tile; at: what address() gave, for the first k of the tile.
  __device__ __forceinline__ void load(const char* a, int at GG_WHERE) {
#pragma unroll
    for (int s = 0; s < kTf32x3Steps; s++) {
      uint32_t x[4];
      ldmatrix(x, a + (at ^ s * 32) GG_PASS_WHERE);
#pragma unroll
      for (int i = 0; i < 4; i++) split(bits_float(x[i]), high[s][i], low[s][i], plain[s][i]);
    }
  }

  /// Where in a K-major tile is this lane's row for ldmatrix. Of the warp's 16 rows matrices 0 and
  /// 1 are the upper and the lower 8, 16 bytes of k; 2 and 3 the next 16 bytes. The place of other
  /// k follows by XOR, because so does the swizzle.
  static __device__ __forceinline__ int address() {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int row = 16 * warp + lane / 8 % 2 * 8 + lane % 8;
    return row * kTmaRowBytes + (lane / 16 ^ lane % 8) * 16;
  }

 private:
  /// NaN may become zero in `high`: it stays in `low`.
  static __device__ __forceinline__ void split(float x, uint32_t& high, uint32_t& low,
                                               uint32_t& plain) {
    const float scaled = x * kTf32x3Scale;
    high = (float_bits(scaled) + 0x1000u) & ~0x1fffu;
    low = float_bits(scaled - bits_float(high));
    plain = float_bits(bits_float(high) / kTf32x3Scale);
  }
};

// ---- the main loop -----------------------------------------------------------------------------

/// Starts fresh = 2^13 a b over kTf32x3Bytes of k. b, b_low: descriptors.
template <int N>
GG_DEVICE void start_tf32x3(float (&fresh)[N / 2], const Tf32x3Fragments& a, uint64_t b,
                            uint64_t b_low) {
#pragma unroll
  for (int s = 0; s < kTf32x3Steps; s++) {
    wgmma<tf32, N>(fresh, a.low[s], wgmma_advance(b, 32 * s), s > 0);
  }
#pragma unroll
  for (int s = 0; s < kTf32x3Steps; s++) {
    wgmma<tf32, N>(fresh, a.plain[s], wgmma_advance(b_low, 32 * s), true);
  }
#pragma unroll
  for (int s = 0; s < kTf32x3Steps; s++) {
    wgmma<tf32, N>(fresh, a.high[s], wgmma_advance(b, 32 * s), true);
  }
  wgmma_commit();
}

/// sums = the sum of a b over the next `steps` (at least 1) stages: a warpgroup's 64 rows of a. The
/// columns are two halves, whose products take turns: one's run while the other's are added.
///
/// Where a loop reads the sums of products, ptxas keeps these asynchronous only if none is under
/// way from one turn to the next (else its warning C7514: serialized). So all are waited for there,
/// and new ones started at once: what these need has been loaded before.
template <int M, int N, int Stages>
GG_DEVICE void multiply_tf32x3(Tf32x3Ring<Stages>& ring, RingPosition<Stages>& at,
                               const Tf32x3Stages<M, N>& tiles, int64_t steps, float (&sums)[N / 2],
                               ReleaseStage release) {
  constexpr int kHalf = N / 2;
  const int rows = Tf32x3Fragments::address();
  Tf32x3Fragments a[2];       // of both groups of a stage's k
  float fresh[2][kHalf / 2];  // of both halves
#pragma unroll
  for (int i = 0; i < N / 2; i++) sums[i] = 0;
  const auto begin_stage = [&] {
    ring_wait(ring, at);
    a[0].load(tiles.a(at.stage), rows);
    mbarrier_wait(&ring.split[at.stage], at.parity);
  };
  const auto start = [&](int group, int half) {
    const int place = group * kTf32x3Bytes + half * kTmaTileBytes<kHalf>;
    const uint64_t b = tile_descriptor<Major::k>(tiles.b(at.stage));
    const uint64_t b_low = tile_descriptor<Major::k>(tiles.b_low(at.stage));
    wgmma_fence();
    start_tf32x3<kHalf>(fresh[half], a[group], wgmma_advance(b, place),
                        wgmma_advance(b_low, place));
  };
  const auto finish = [&](int half) {  // its products are complete
    wgmma_pin(fresh[half]);
#pragma unroll
    for (int i = 0; i < kHalf / 2; i++) sums[half * kHalf / 2 + i] += fresh[half][i] / kTf32x3Scale;
  };
  begin_stage();
#pragma unroll 1
  for (int64_t step = 0; step < steps; step++) {
    start(0, 0);
    start(0, 1);
    a[1].load(tiles.a(at.stage), rows ^ kTf32x3Bytes);
    wgmma_wait<1>();
    finish(0);
    start(1, 0);
    wgmma_wait<1>();
    finish(1);
    start(1, 1);
    wgmma_wait<1>();
    finish(0);
    at.advance();
    if (step + 1 < steps) begin_stage();
    wgmma_wait<0>();
    finish(1);
    release(ring, at.back(1));
  }
}

}  // namespace gg

// The consumer's side of a matrix product: wgmma over the tiles that come round in a ring.
//
// A warpgroup owns 64 rows and N columns of the result: N / 2 floats in each thread, in wgmma's
// layout (device/wgmma.h; hopper_accumulator.cuh takes it apart).
#pragma once

#include "kernels/hopper_pipeline.cuh"
#include "kernels/hopper_tiles.cuh"

namespace gg {

/// d += a b over the 64 positions of k of a tile, and makes it a group.
/// a: 64 rows of a tile; b: a tile of N rows. Between wgmma_fence and wgmma_wait.
template <class T, int N, Major MajorA, Major MajorB>
GG_DEVICE void wgmma_tile(float (&d)[N / 2], const char* a, const char* b) {
  constexpr bool TransA = MajorA == Major::mn, TransB = MajorB == Major::mn;
  const uint64_t da = tile_descriptor<MajorA>(a), db = tile_descriptor<MajorB>(b);
#pragma unroll
  for (int i = 0; i < kTmaTileK / 16; i++) {
    wgmma<T, N, TransA, TransB>(d, wgmma_advance(da, i * kTmaTileStep<MajorA>),
                                wgmma_advance(db, i * kTmaTileStep<MajorB>), true);
  }
  wgmma_commit();
}

/// Where a ring's stages lie: a tile of M rows, then one of N rows, for each.
template <int M, int N>
struct StageTiles {
  static constexpr int kBytes = kTmaTileBytes<M> + kTmaTileBytes<N>;
  char* base;

  __device__ __forceinline__ char* a(int stage) const { return base + stage * kBytes; }
  __device__ __forceinline__ char* b(int stage) const { return a(stage) + kTmaTileBytes<M>; }
};

/// d = the sum of a b over the next `steps` (at least 1) stages, of which this warpgroup multiplies
/// rows 64 w .. 64 w + 63 of a. One product is always under way while the next stage is waited for;
/// a stage is released once the product after it has been started.
///
/// The pins, and zeros instead of a first product that does not accumulate, are what ptxas needs to
/// keep products asynchronous (else its warning C7511: serialized).
template <class T, Major MajorA, Major MajorB, int M, int N, int Stages>
GG_DEVICE void multiply_stages(RingBarriers<Stages>& ring, RingPosition<Stages>& at,
                               const StageTiles<M, N>& tiles, int w, int64_t steps,
                               float (&d)[N / 2]) {
#pragma unroll
  for (int i = 0; i < N / 2; i++) d[i] = 0;
#pragma unroll 1
  for (int64_t i = 0; i < steps; i++, at.advance()) {
    ring_wait(ring, at);
    wgmma_pin(d);
    wgmma_fence();
    wgmma_tile<T, N, MajorA, MajorB>(d, tiles.a(at.stage) + w * kTmaTileBytes<kTmaSlab>,
                                     tiles.b(at.stage));
    wgmma_wait<1>();
    wgmma_pin(d);
    if (i > 0) ring_release(ring, at.back(1));
  }
  wgmma_wait<0>();
  wgmma_pin(d);
  ring_release(ring, at.back(1));
}

}  // namespace gg

// The consumer's side of a matrix product: wgmma over the tiles that come round in a ring.
//
// A warpgroup owns S slabs of 64 rows and N columns of the result: S N / 2 sums in each thread, one
// slab after another, each in wgmma's layout (device/wgmma.h; hopper_accumulator.cuh takes it
// apart). Sums are float, or int32 for 8-bit integers. Operands are of any type that wgmma takes: A
// is T, B is T unless another is named (fp8).
#pragma once

#include "kernels/hopper_pipeline.cuh"
#include "kernels/hopper_tiles.cuh"

namespace gg {

/// d += a b over the 128 bytes of k of a tile, and makes it a group.
/// a: 64 rows of a tile; b: a tile of N rows. Between wgmma_fence and wgmma_wait.
template <class T, int N, Major MajorA, Major MajorB, class B = T>
GG_DEVICE void wgmma_tile(WgmmaAcc<T> (&d)[N / 2], const char* a, const char* b) {
  constexpr bool TransA = MajorA == Major::mn, TransB = MajorB == Major::mn;
  const uint64_t da = tile_descriptor<MajorA>(a), db = tile_descriptor<MajorB, N>(b);
#pragma unroll
  for (int i = 0; i < kTmaRowBytes / 32; i++) {
    wgmma<T, N, TransA, TransB, B>(d, wgmma_advance(da, i * kTmaTileStep<MajorA>),
                                   wgmma_advance(db, i * kTmaTileStep<MajorB, N>), true);
  }
  wgmma_commit();
}

/// Where a ring's stages lie: a tile of M rows, then one of N rows, for each.
template <int M, int N>
struct StageTiles {
  static constexpr int kBytes = kTmaTileBytes<M> + kTmaTileBytes<N>;
  static constexpr int kLoaded = kBytes;  // by TMA
  char* base;

  __device__ __forceinline__ char* a(int stage) const { return base + stage * kBytes; }
  __device__ __forceinline__ char* b(int stage) const { return a(stage) + kTmaTileBytes<M>; }
};

/// One slab's sums.
template <int N, class Sum, int Sums>
GG_DEVICE auto& slab_sums(Sum (&d)[Sums], int slab) {
  return reinterpret_cast<Sum(&)[N / 2]>(d[slab * N / 2]);
}

/// Lets go of a stage in the blocks that share its tiles.
struct ReleaseStage {
  int blocks = 1;  ///< of the cluster

  template <int Stages>
  __device__ __forceinline__ void operator()(RingBarriers<Stages>& ring,
                                             RingPosition<Stages> at) const {
    if (blocks == 1) {
      ring_release(ring, at);
    } else {
      ring_release_cluster(ring, at, blocks);
    }
  }
};

struct DoNothing {
  __device__ __forceinline__ void operator()() const {}
};

/// d = the sum of a b over the next `steps` (at least 1) stages, of which this warpgroup multiplies
/// the rows of a from slab `slab` on. One product is always under way while the next stage is
/// waited for; a stage is released once the product after it has been started. started() is called
/// when the last product has been.
///
/// The pins, and zeros instead of a first product that does not accumulate, are what ptxas needs to
/// keep products asynchronous (else its warning C7511: serialized).
template <class T, Major MajorA, Major MajorB, class B = T, int M, int N, int Stages, int Sums,
          class Started = DoNothing>
GG_DEVICE void multiply_stages(RingBarriers<Stages>& ring, RingPosition<Stages>& at,
                               const StageTiles<M, N>& tiles, int slab, int64_t steps,
                               WgmmaAcc<T> (&d)[Sums], ReleaseStage release = {},
                               const Started& started = {}) {
  constexpr int kSlabs = 2 * Sums / N;
#pragma unroll
  for (int i = 0; i < Sums; i++) d[i] = 0;
#pragma unroll 1
  for (int64_t i = 0; i < steps; i++, at.advance()) {
    ring_wait(ring, at);
    wgmma_pin(d);
    wgmma_fence();
#pragma unroll
    for (int s = 0; s < kSlabs; s++) {
      wgmma_tile<T, N, MajorA, MajorB, B>(slab_sums<N>(d, s),
                                          tiles.a(at.stage) + (slab + s) * kTmaTileBytes<kTmaSlab>,
                                          tiles.b(at.stage));
    }
    wgmma_wait<kSlabs>();
    wgmma_pin(d);
    if (i > 0) release(ring, at.back(1));
  }
  started();
  wgmma_wait<0>();
  wgmma_pin(d);
  release(ring, at.back(1));
}

}  // namespace gg

// The loop over k of a tensor-core kernel: tiles of a and b go through shared memory, fragments
// through registers, and sums stay in registers.
//
//   mainloop_async    sm_80 and up: three stages of shared memory filled by cp.async, one barrier
//                     for each tile. With Math::kPrefetch the fragments of the next step are read
//                     while this one is multiplied; float32, whose fragments are converted in
//                     registers, has none left for that
//   mainloop_staged   sm_75: the next tile waits in registers while this one is multiplied
//
// Views are those of mma_tile.cuh or offer the same functions. On return nobody reads shared memory
// any more.
#pragma once

#include "kernels/mma_math.cuh"

namespace gg {

/// A block's tile of y and its warps' parts of it.
template <int M_, int N_, int WarpM_, int WarpN_>
struct BlockShape {
  static constexpr int kM = M_, kN = N_, kWarpM = WarpM_, kWarpN = WarpN_;
  static constexpr int kWarpsM = kM / kWarpM, kThreads = 32 * kWarpsM * (kN / kWarpN);
  static constexpr int kStageBytes = (kM + kN) * kTileBytes;
  static constexpr int kFragmentsM = kWarpM / 16, kFragmentsN = kWarpN / 8;
};

constexpr int kAsyncStages = 3;
constexpr int kStagedStages = 2;
constexpr int kSteps = kTileBytes / kStepBytes;

template <class Math, class Shape>
using WarpSums = typename Math::template Sums<Shape::kFragmentsM, Shape::kFragmentsN>;

/// Where a warp reads and a thread writes in a stage of shared memory.
template <class T, class Shape>
struct StageAccess {
  FragmentReader<T, Shape::kM, true> a;
  FragmentReader<T, Shape::kN, false> b;
  int put_a, put_b;

  __device__ __forceinline__ StageAccess(bool a_along_k, bool b_along_k)
      : a(a_along_k, warp() % Shape::kWarpsM * Shape::kWarpM),
        b(b_along_k, warp() / Shape::kWarpsM * Shape::kWarpN) {
    const TileChunks<T, Shape::kM, Shape::kThreads> chunks_a(a_along_k);
    const TileChunks<T, Shape::kN, Shape::kThreads> chunks_b(b_along_k);
    put_a = tile_offset<T, Shape::kM>(a_along_k, chunks_a.line, chunks_a.chunk);
    put_b = tile_offset<T, Shape::kN>(b_along_k, chunks_b.line, chunks_b.chunk) +
            Shape::kM * kTileBytes;
  }

  static __device__ __forceinline__ int warp() { return static_cast<int>(threadIdx.x) / 32; }

  template <int M, int N>
  __device__ __forceinline__ void read(Fragments<M, N>& f, const char* stage,
                                       int step GG_WHERE) const {
    f.read(a, b, stage, stage + Shape::kM * kTileBytes, step GG_PASS_WHERE);
  }
};

/// sums += a b over `tiles` tiles of k (at least one). shared: kAsyncStages stages.
template <class Math, class Shape, class ViewA, class ViewB>
GG_DEVICE void mainloop_async(ViewA& a, ViewB& b,
                              const StageAccess<typename Math::Element, Shape>& access, int tiles,
                              char* shared, WarpSums<Math, Shape>& sums) {
  constexpr int bytes = Shape::kStageBytes;
  const auto copy = [&](int stage) {
    copy_tile_async<Shape::kThreads>(a, shared + stage * bytes + access.put_a);
    copy_tile_async<Shape::kThreads>(b, shared + stage * bytes + access.put_b);
  };
#pragma unroll
  for (int s = 0; s < kAsyncStages - 1; s++) {
    if (s < tiles) copy(s);
    cp_async_commit();
  }
  cp_async_wait<kAsyncStages - 2>();
  __syncthreads();
  Fragments<Shape::kFragmentsM, Shape::kFragmentsN> now, next;
  if constexpr (Math::kPrefetch) access.read(now, shared, 0);
  int from = 0, to = kAsyncStages - 1;
#pragma unroll 1
  for (int t = 0; t < tiles; t++) {
    const char* const stage = shared + from * bytes;
    if constexpr (Math::kPrefetch) {
      access.read(next, stage, 1);
    } else {
      access.read(now, stage, 0);
    }
    // The stage that everyone left before the last barrier.
    if (t + kAsyncStages - 1 < tiles) copy(to);
    cp_async_commit();
    to = to + 1 == kAsyncStages ? 0 : to + 1;
    from = from + 1 == kAsyncStages ? 0 : from + 1;
    Math::multiply(sums, now);
    if constexpr (!Math::kPrefetch) {
      access.read(now, stage, 1);
      Math::multiply(sums, now);
    }
    cp_async_wait<kAsyncStages - 2>();
    __syncthreads();
    if constexpr (Math::kPrefetch) {
      if (t + 1 < tiles) access.read(now, shared + from * bytes, 0);
      Math::multiply(sums, next);
    }
  }
}

/// The same without cp.async. shared: kStagedStages stages.
template <class Math, class Shape, class ViewA, class ViewB>
GG_DEVICE void mainloop_staged(ViewA& a, ViewB& b,
                               const StageAccess<typename Math::Element, Shape>& access, int tiles,
                               char* shared, WarpSums<Math, Shape>& sums) {
  using T = typename Math::Element;
  ChunkWords held_a[ViewA::kCount], held_b[ViewB::kCount];
  const auto load = [&] {
    load_chunks<T>(a, held_a);
    load_chunks<T>(b, held_b);
  };
  const auto store = [&](char* stage) {
    store_chunks<Shape::kThreads>(held_a, stage + access.put_a);
    store_chunks<Shape::kThreads>(held_b, stage + access.put_b);
    __syncthreads();
  };
  load();
  store(shared);
#pragma unroll 1
  for (int t = 0; t < tiles; t++) {
    if (t + 1 < tiles) load();
    const char* const stage = shared + t % kStagedStages * Shape::kStageBytes;
#pragma unroll
    for (int step = 0; step < kSteps; step++) {
      Fragments<Shape::kFragmentsM, Shape::kFragmentsN> now;
      access.read(now, stage, step);
      Math::multiply(sums, now);
    }
    if (t + 1 < tiles) store(shared + (t + 1) % kStagedStages * Shape::kStageBytes);
  }
  __syncthreads();
}

}  // namespace gg

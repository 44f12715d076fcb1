// The Hopper GEMM's kernel, for every type of operands: gemm_hopper.cu has what it computes.
//
// Math is a HopperMath, whose with_loop(g, job, f) calls f with the main loop that a launch has:
// one for each combination of types and majors, all in one kernel.
#pragma once

#include <algorithm>

#include "kernels/gemm_cost.cuh"
#include "kernels/gemm_hopper.cuh"
#include "kernels/hopper_mainloop.cuh"
#include "kernels/hopper_store.cuh"

namespace gg {

/// The types of a product whose operands have elements of so many bytes: of accumulators, of the
/// sums that the epilogue takes, and of a and b as Epilogue's T.
template <int Bytes, class Accumulator, class Sums, class Operand>
struct HopperMath {
  static constexpr int kBytes = Bytes;
  using Sum = Accumulator;
  using Total = Sums;
  using Inputs = Operand;
};

constexpr int kHopperConsumerWarps = 8;
constexpr int kHopperConsumers = 32 * kHopperConsumerWarps, kHopperThreads = kHopperConsumers + 128;

// Of the 168 for each thread that a block of 384 starts with.
constexpr int kHopperProducerRegisters = 40, kHopperConsumerRegisters = 232;

/// A warp's way from accumulators to y: boxes for TMA stores, or staging where it does not store.
constexpr int kHopperWarpBytes = kStoreBoxes * kStoreBoxBytes;
static_assert(sizeof(QuadStaging) <= kHopperWarpBytes);

/// A block's tile, and how two warpgroups share the work: 64 rows each of one tile (cooperative),
/// or every other tile (ping-pong).
template <int N, bool PingPong>
struct HopperShape {
  static constexpr int kM = 128, kN = N, kThreads = kHopperThreads;
  static constexpr bool kPingPong = PingPong, kStores = true;       // may write y by TMA
  static constexpr int kSums = (PingPong ? kM : kM / 2) * N / 128;  // of a thread
  static constexpr int kReleases = PingPong ? 4 : 8;  // warps of a block that multiply a stage
  using Stages = StageTiles<kM, kN>;
  static constexpr int kWarpBytes = kHopperConsumerWarps * kHopperWarpBytes;
  static constexpr int kStages = (226 * 1024 - kWarpBytes) / Stages::kBytes;  // 1 KiB: barriers
  static constexpr int kSharedBytes = kStages * Stages::kBytes + kWarpBytes;
  using Ring = RingBarriers<kStages>;
  using Position = RingPosition<kStages>;
};

/// What a launch decides, beside the problem.
struct HopperJob {
  unsigned m_tiles;   ///< rows of tiles; where clusters have two blocks, pairs of such rows
  unsigned n_tiles;   ///< columns of tiles
  unsigned matrices;  ///< batch * splits
  int blocks;         ///< of a cluster, neighbours along m, which share b's tiles
  DType a, b;         ///< their types
  bool store;         ///< y is written by TMA: hopper_store.cuh

  GG_HD unsigned tiles() const { return m_tiles * n_tiles * matrices; }
};

struct HopperMaps {
  TensorMap a, b, y;
};

// ---- tiles -------------------------------------------------------------------------------------

constexpr unsigned kHopperGroup = 16;  // rows of tiles that blocks running at once go down

struct HopperTile {
  int row, column;
  int64_t batch, split, k, k_end;
  unsigned turn;  ///< how many this block had before
  bool last;      ///< of this block
};

template <class Shape>
GG_DEVICE HopperTile hopper_tile(const GemmProblem& g, const HopperJob& job, unsigned index) {
  const unsigned per_matrix = job.m_tiles * job.n_tiles, matrix = index / per_matrix;
  const unsigned blocks = static_cast<unsigned>(job.blocks), group = kHopperGroup / blocks;
  index -= matrix * per_matrix;
  const unsigned first = index / (group * job.n_tiles) * group;
  const unsigned rows = job.m_tiles - first < group ? job.m_tiles - first : group;
  index -= first * job.n_tiles;
  HopperTile t;
  t.row = static_cast<int>((first + index % rows) * blocks + blockIdx.x % blocks) * Shape::kM;
  t.column = static_cast<int>(index / rows) * Shape::kN;
  t.split = matrix % static_cast<unsigned>(g.split.count);
  t.batch = matrix / static_cast<unsigned>(g.split.count);
  t.k = t.split * g.split.k;
  t.k_end = t.k + g.split.k < g.k ? t.k + g.split.k : g.k;
  return t;
}

/// f(tile) for each tile of this block. Blocks of a cluster have as many, one below the other;
/// where y has no such rows, what they load is zeros, and nothing of it is written.
template <class Shape, class F>
GG_DEVICE void for_each_tile(const GemmProblem& g, const HopperJob& job, F f) {
  const unsigned blocks = static_cast<unsigned>(job.blocks), step = gridDim.x / blocks;
  unsigned turn = 0;
  for (unsigned i = blockIdx.x / blocks; i < job.tiles(); i += step) {
    HopperTile t = hopper_tile<Shape>(g, job, i);
    t.turn = turn++;
    t.last = i + step >= job.tiles();
    f(t);
  }
}

/// Batch coordinates of array k of the batch layout: 0 along axes it repeats over.
GG_DEVICE TileBatch tile_batch(const GemmProblem& g, int k, int64_t index) {
  TileBatch batch{};
#pragma unroll
  for (int axis = kTmaBatchAxes - 1; axis >= 0; axis--) {
    if (axis >= g.batch.ndim) continue;
    const int64_t outer = axis > 0 ? g.batch.divide(index, axis) : 0;
    const int64_t c = index - outer * g.batch.length[axis];
    if (g.batch.stride[k][axis] != 0) batch.c[axis] = static_cast<int>(c);
    index = outer;
  }
  return batch;
}

// ---- both sides of the ring --------------------------------------------------------------------

GG_DEVICE Major major(const GemmOperand& operand) {
  return operand.k == 1 ? Major::k : Major::mn;
}

/// One thread: fills the ring with every stage of every tile.
template <class Math, class Shape>
GG_DEVICE void produce(const GemmProblem& g, const HopperJob& job, const HopperMaps& maps,
                       typename Shape::Ring& ring, const typename Shape::Stages& stages) {
  constexpr int kK = kTmaRowBytes / Math::kBytes;
  constexpr bool only_k = Math::kBytes != 2;  // the other order is not even compiled
  const Major major_a = only_k ? Major::k : major(g.a), major_b = only_k ? Major::k : major(g.b);
  const int rank = static_cast<int>(blockIdx.x) % job.blocks;
  typename Shape::Position at;
  tma_prefetch(&maps.a);
  tma_prefetch(&maps.b);
  for_each_tile<Shape>(g, job, [&](const HopperTile& t) {
    const TileBatch batch_a = tile_batch(g, 0, t.batch), batch_b = tile_batch(g, 1, t.batch);
#pragma unroll 1
    for (int64_t k = t.k; k < t.k_end; k += kK, at.advance()) {
      Mbarrier* const full = ring_acquire(ring, at, Shape::Stages::kLoaded);
      const int k0 = static_cast<int>(k);
      load_tile<Shape::kM>(stages.a(at.stage), &maps.a, full, major_a, t.row, k0, batch_a);
      load_shared_tile<Shape::kN>(stages.b(at.stage), &maps.b, full, major_b, t.column, k0, batch_b,
                                  rank, job.blocks);
    }
  });
}

/// Writes a warp's rows of a tile: 16 of each of the slabs from `slab` on.
template <class Math, class Shape>
GG_DEVICE void finish(const GemmProblem& g, const HopperJob& job, const HopperMaps& maps,
                      const HopperTile& t, int slab, const typename Math::Sum (&d)[Shape::kSums],
                      StoreBoxes& boxes, QuadStagingOf<typename Math::Total>& staging) {
  using Total = typename Math::Total;
  using Inputs = typename Math::Inputs;
  const int top = t.row + kTmaSlab * slab + static_cast<int>(threadIdx.x) % 128 / 32 * 16;
  if (job.store) {
    const TileBatch batch = tile_batch(g, 2, t.batch);
    return store_tile<Shape::kN, Inputs>(g, &maps.y, boxes, top, t.column, batch, d);
  }
  const Epilogue<Total, Inputs> epilogue(g, t.batch, t.split);
  for_each_quad<2 * Shape::kSums>(d, staging, [&](int row, int i, const Total(&sums)[4][4]) {
    const int column = t.column + i % Shape::kN;
    if (column >= g.n) return;
    epilogue.write(top + i / Shape::kN * kTmaSlab + row, kQuadRowStep, column, sums);
  });
}

/// A warpgroup: multiplies its share of the tiles and writes it.
///
/// Ping-pong: named barrier 1 + w lets warpgroup w begin a tile once the other has started all
/// products of the tile before, so that these have the tensor cores for themselves and the other's
/// epilogue runs under them.
template <class Math, class Shape>
GG_DEVICE void consume(const GemmProblem& g, const HopperJob& job, const HopperMaps& maps,
                       typename Shape::Ring& ring, const typename Shape::Stages& stages,
                       char* warps) {
  constexpr int kK = kTmaRowBytes / Math::kBytes;
  const int warp = static_cast<int>(threadIdx.x) / 32, w = warp / 4;
  const int slab = Shape::kPingPong ? 0 : w;
  char* const own = warps + warp * kHopperWarpBytes;
  auto& staging = *reinterpret_cast<QuadStagingOf<typename Math::Total>*>(own);
  StoreBoxes boxes(own);
  typename Shape::Position at;
  for_each_tile<Shape>(g, job, [&](const HopperTile& t) {
    const int64_t steps = (t.k_end - t.k + kK - 1) / kK;
    if constexpr (Shape::kPingPong) {
      if (static_cast<int>(t.turn % 2) != w) return at.skip(steps);
      if (t.turn > 0) barrier_sync(1 + w, kHopperConsumers);
    }
    const auto started = [&] {
      if (Shape::kPingPong && !t.last) barrier_arrive(2 - w, kHopperConsumers);
    };
    typename Math::Sum d[Shape::kSums];
    Math::with_loop(g, job, [&](auto loop) {
      loop(ring, at, stages, slab, steps, d, ReleaseStage{job.blocks}, started);
    });
    finish<Math, Shape>(g, job, maps, t, slab, d, boxes, staging);
  });
  if (job.store) boxes.finish();
}

/// multiply_stages, compiled for a type and the way a and b lie.
template <class T, Major A = Major::k, Major B = Major::k>
struct HopperLoop {
  template <int Stages, int M, int N, int Sums, class Started>
  __device__ __forceinline__ void operator()(RingBarriers<Stages>& ring, RingPosition<Stages>& at,
                                             const StageTiles<M, N>& tiles, int slab, int64_t steps,
                                             WgmmaAcc<T> (&d)[Sums], ReleaseStage release,
                                             const Started& started) const {
    multiply_stages<T, A, B>(ring, at, tiles, slab, steps, d, release, started);
  }
};

template <class Math, class Shape>
__global__ void __launch_bounds__(kHopperThreads, 1)
    gemm_hopper(const __grid_constant__ GemmProblem g, const __grid_constant__ HopperMaps maps,
                const HopperJob job) {
  if constexpr (kDeviceHasHopper) {
    GG_SHARED(ring, typename Shape::Ring);
    const typename Shape::Stages stages{shared_dynamic<char>()};
    run_cluster_pipeline<kHopperConsumers, kHopperConsumerRegisters, kHopperProducerRegisters>(
        ring, Shape::kReleases, job.blocks,
        [&] { consume<Math, Shape>(g, job, maps, ring, stages, stages.a(Shape::kStages)); },
        [&] { produce<Math, Shape>(g, job, maps, ring, stages); });
  } else {
    __trap();  // the host does not launch it
  }
}

// ---- host --------------------------------------------------------------------------------------

/// a or b, as TMA is told.
inline TileSource tile_source(const GemmProblem& g, int operand) {
  const GemmOperand& o = operand == 0 ? g.a : g.b;
  TileSource s{o.data, operand == 0 ? g.m : g.n, g.k, o.row, o.k, g.batch.ndim, {}, {}};
  for (int i = 0; i < g.batch.ndim; i++) {
    s.batch_length[i] = g.batch.length[i];
    s.batch_stride[i] = g.batch.length[i] == 1 ? 0 : g.batch.stride[operand][i];
  }
  return s;
}

/// Blocks and tiles are counted in 32 bits: tiles are at most so many, times 64 splits, and 2 for
/// clusters.
constexpr int64_t kHopperMaxTiles = int64_t{1} << 23;

/// Whether y's tiles, of m x n, and its batch axes are few enough.
inline bool hopper_size_fits(const GemmProblem& g, int64_t m, int64_t n) {
  if (g.most_axes > kTmaBatchAxes || g.batch.ndim > kTmaBatchAxes) return false;
  using gemm_cost::ceil_div;
  return ceil_div(g.m, m) * ceil_div(g.n, n) <= kHopperMaxTiles / g.batch.size;
}

using HopperKernel = void(GemmProblem, HopperMaps, HopperJob);

/// Starts a kernel whose blocks have Shape's tiles, in clusters of so many blocks. a, b: types of
/// the operands, both of which TMA reads as `type`.
template <class Shape>
void launch_hopper(HopperKernel* kernel, Stream stream, const GemmProblem& g, int cluster, DType a,
                   DType b, TensorType type) {
  const auto tiles = [](int64_t length, int64_t side) {
    return static_cast<unsigned>(gemm_cost::ceil_div(length, side));
  };
  const HopperJob job{tiles(g.m, int64_t{Shape::kM} * cluster),
                      tiles(g.n, Shape::kN),
                      static_cast<unsigned>(g.batch.size * g.split.count),
                      cluster,
                      a,
                      b,
                      Shape::kStores && store_fits(g)};
  const HopperMaps maps{tile_map<Shape::kM>(type, tile_source(g, 0)),
                        tile_map<Shape::kN>(type, tile_source(g, 1), cluster),
                        job.store ? store_map<Shape::kN>(g) : TensorMap{}};
  const auto size = static_cast<unsigned>(cluster);
  const unsigned resident = static_cast<unsigned>(multiprocessors()) / size;
  const unsigned blocks = size * std::min(job.tiles(), std::max(resident, 1u));
  constexpr int threads = Shape::kThreads, bytes = Shape::kSharedBytes;
  if (cluster == 1) {
    launch(kernel, blocks, threads, bytes, stream, g, maps, job);
  } else {
    launch_cluster(kernel, blocks, threads, size, bytes, stream, g, maps, job);
  }
}

template <class Math, class Shape>
void launch_hopper_tile(Stream stream, const GemmProblem& g, int cluster, DType a, DType b,
                        TensorType type) {
  launch_hopper<Shape>(gemm_hopper<Math, Shape>, stream, g, cluster, a, b, type);
}

/// gemm_hopper_tf32.cu, gemm_hopper_tf32x3.cu, gemm_hopper_int8.cu. Each type's tiles are in
/// gemm_hopper_fits.
void launch_gemm_hopper_tf32(Stream stream, const GemmProblem& g, const GemmPlan& plan);
void launch_gemm_hopper_tf32x3(Stream stream, const GemmProblem& g, const GemmPlan& plan);
void launch_gemm_hopper_int8(Stream stream, const GemmProblem& g, const GemmPlan& plan,
                             DType inputs);

}  // namespace gg

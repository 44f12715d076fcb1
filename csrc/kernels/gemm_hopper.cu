// GEMM on Hopper's own tensor-core path: TMA, mbarrier, wgmma. sm_90a.
//
//   y = act(alpha scale (a b) + bias + residual + beta y)    ops.h has the contract
//
// a and b are float16 or bfloat16 in any orientation, each with one contiguous axis, base and other
// strides multiples of 16 bytes, up to three batch axes; m, n and k need not be multiples of
// anything, since TMA reads zeros outside. y, residual and bias have any strides.
//
// A block computes 128 x 256 tiles of y, 64 of k at a time. One thread keeps a ring of 4 stages
// filled by TMA (48 KiB each); two warpgroups multiply 64 x 256 each from shared memory, straight
// from the order the operands have in memory. There is a block for each multiprocessor; it takes
// tiles until none is left, and loads the next tile while it writes the last. Tiles go down groups
// of 16 rows of tiles, so that blocks running at once share operands in L2.
//
// Accumulates in float32, y = unless beta != 0. Deterministic: a sum's order depends on the shape
// alone; where k is split, gemm_split.cu adds in index order.
//
// 2 m n k FLOP. A tile reads 48 KiB for 4.2 MFLOP from L2. Bound: tensor peak for large m, n, k
// (1024 clocks of wgmma for each stage). Reached: not measured.

#include "kernels/gemm_hopper.cuh"

#include <algorithm>

#include "core/built_for.h"
#include "kernels/gemm_epilogue.cuh"
#include "kernels/hopper_accumulator.cuh"
#include "kernels/hopper_mainloop.cuh"

namespace gg {
namespace {

constexpr int kM = kGemmHopperM, kN = kGemmHopperN;
constexpr int kStages = 4;
constexpr int kConsumerWarps = kM / 16;
constexpr int kConsumers = 32 * kConsumerWarps, kThreads = kConsumers + 128;
constexpr unsigned kGroup = 16;  // 16 x 8 tiles, what 128 blocks have at once, are 2048 x 2048 of y

// Of the 168 for each thread that a block of 384 starts with.
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;

using Ring = RingBarriers<kStages>;
using Position = RingPosition<kStages>;
using Stages = StageTiles<kM, kN>;

struct HopperGrid {
  unsigned m_tiles, n_tiles, matrices;  ///< matrices: batch * splits

  GG_HD unsigned tiles() const { return m_tiles * n_tiles * matrices; }
};

struct HopperTile {
  int row, column;
  int64_t batch, split, k, k_end;
};

GG_DEVICE HopperTile hopper_tile(const GemmProblem& g, const HopperGrid& grid, unsigned index) {
  const unsigned per_matrix = grid.m_tiles * grid.n_tiles, matrix = index / per_matrix;
  index -= matrix * per_matrix;
  const unsigned first = index / (kGroup * grid.n_tiles) * kGroup;
  const unsigned rows = grid.m_tiles - first < kGroup ? grid.m_tiles - first : kGroup;
  index -= first * grid.n_tiles;
  HopperTile t;
  t.row = static_cast<int>(first + index % rows) * kM;
  t.column = static_cast<int>(index / rows) * kN;
  t.split = matrix % static_cast<unsigned>(g.split.count);
  t.batch = matrix / static_cast<unsigned>(g.split.count);
  t.k = t.split * g.split.k;
  t.k_end = t.k + g.split.k < g.k ? t.k + g.split.k : g.k;
  return t;
}

/// f(tile) for each tile of this block.
template <class F>
GG_DEVICE void for_each_tile(const GemmProblem& g, const HopperGrid& grid, F f) {
  for (unsigned i = blockIdx.x; i < grid.tiles(); i += gridDim.x) f(hopper_tile(g, grid, i));
}

/// Batch coordinates of an operand: 0 along axes it repeats over.
GG_DEVICE TileBatch tile_batch(const GemmProblem& g, int operand, int64_t index) {
  TileBatch batch{};
#pragma unroll
  for (int axis = kTmaBatchAxes - 1; axis >= 0; axis--) {
    if (axis >= g.batch.ndim) continue;
    const int64_t outer = axis > 0 ? g.batch.divide(index, axis) : 0;
    const int64_t c = index - outer * g.batch.length[axis];
    if (g.batch.stride[operand][axis] != 0) batch.c[axis] = static_cast<int>(c);
    index = outer;
  }
  return batch;
}

GG_DEVICE Major major(const GemmOperand& operand) {
  return operand.k == 1 ? Major::k : Major::mn;
}

/// One thread: fills the ring with every stage of every tile.
GG_DEVICE void produce(const GemmProblem& g, const HopperGrid& grid, const TensorMap* map_a,
                       const TensorMap* map_b, Ring& ring, const Stages& stages) {
  const Major major_a = major(g.a), major_b = major(g.b);
  Position at;
  for_each_tile(g, grid, [&](const HopperTile& t) {
    const TileBatch batch_a = tile_batch(g, 0, t.batch), batch_b = tile_batch(g, 1, t.batch);
#pragma unroll 1
    for (int64_t k = t.k; k < t.k_end; k += kTmaTileK, at.advance()) {
      Mbarrier* const full = ring_acquire(ring, at, Stages::kBytes);
      const int k0 = static_cast<int>(k);
      load_tile<kM>(stages.a(at.stage), map_a, full, major_a, t.row, k0, batch_a);
      load_tile<kN>(stages.b(at.stage), map_b, full, major_b, t.column, k0, batch_b);
    }
  });
}

/// A warpgroup: multiplies its 64 rows of every tile and writes them.
template <class T>
GG_DEVICE void consume(const GemmProblem& g, const HopperGrid& grid, Ring& ring,
                       const Stages& stages, QuadStaging (&staging)[kConsumerWarps]) {
  const int warp = static_cast<int>(threadIdx.x) / 32, w = warp / 4;
  Position at;
  for_each_tile(g, grid, [&](const HopperTile& t) {
    const int64_t steps = (t.k_end - t.k + kTmaTileK - 1) / kTmaTileK;
    float d[kN / 2];
    if (major(g.a) == Major::k && major(g.b) == Major::k) {
      multiply_stages<T, Major::k, Major::k>(ring, at, stages, w, steps, d);
    } else if (major(g.a) == Major::k) {
      multiply_stages<T, Major::k, Major::mn>(ring, at, stages, w, steps, d);
    } else if (major(g.b) == Major::k) {
      multiply_stages<T, Major::mn, Major::k>(ring, at, stages, w, steps, d);
    } else {
      multiply_stages<T, Major::mn, Major::mn>(ring, at, stages, w, steps, d);
    }
    const Epilogue<float, T> epilogue(g, t.batch, t.split);
    for_each_quad<kN>(d, staging[warp], [&](int row, int column, const float (&sums)[4][4]) {
      if (t.column + column >= g.n) return;
      epilogue.write(t.row + 16 * warp + row, kQuadRowStep, t.column + column, sums);
    });
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    gemm_hopper(const __grid_constant__ GemmProblem g, const __grid_constant__ TensorMap map_a,
                const __grid_constant__ TensorMap map_b, const HopperGrid grid) {
  if constexpr (kDeviceHasHopper) {
    GG_SHARED(ring, Ring);
    GG_SHARED(staging, QuadStaging[kConsumerWarps]);
    const Stages stages{shared_dynamic<char>()};
    run_pipeline<kConsumers, kConsumerRegisters, kProducerRegisters>(
        ring, [&] { consume<T>(g, grid, ring, stages, staging); },
        [&] { produce(g, grid, &map_a, &map_b, ring, stages); });
  } else {
    __trap();  // the host does not launch it
  }
}

// ---- host --------------------------------------------------------------------------------------

/// Sides below these leave most of a tile empty.
constexpr int64_t kMinSide = 64, kMinK = 64;
constexpr int64_t kMaxTiles = int64_t{1} << 24;  // times at most 64 splits

int64_t tiles(int64_t length, int64_t side) {
  return (length + side - 1) / side;
}

TileSource tile_source(const GemmProblem& g, int operand) {
  const GemmOperand& o = operand == 0 ? g.a : g.b;
  TileSource s{o.data, operand == 0 ? g.m : g.n, g.k, o.row, o.k, g.batch.ndim, {}, {}};
  for (int i = 0; i < g.batch.ndim; i++) {
    s.batch_length[i] = g.batch.length[i];
    s.batch_stride[i] = g.batch.length[i] == 1 ? 0 : g.batch.stride[operand][i];
  }
  return s;
}

template <class T>
void launch_for(Stream stream, const GemmProblem& g, TensorType type) {
  const TensorMap map_a = tile_map<kM>(type, tile_source(g, 0));
  const TensorMap map_b = tile_map<kN>(type, tile_source(g, 1));
  const HopperGrid grid{static_cast<unsigned>(tiles(g.m, kM)),
                        static_cast<unsigned>(tiles(g.n, kN)),
                        static_cast<unsigned>(g.batch.size) * static_cast<unsigned>(g.split.count)};
  const unsigned blocks = std::min(grid.tiles(), static_cast<unsigned>(multiprocessors()));
  launch(gemm_hopper<T>, blocks, kThreads, kStages * Stages::kBytes, stream, g, map_a, map_b, grid);
}

}  // namespace

bool gemm_hopper_fits(const GemmProblem& g, DType inputs, int architecture) {
  if (!runs_hopper_code(GG_BUILT_FOR, architecture)) return false;
  if (inputs != DType::f16 && inputs != DType::bf16) return false;
  if (g.m < kMinSide || g.n < kMinSide || g.k < kMinK) return false;
  if (g.batch.ndim > kTmaBatchAxes) return false;
  if (tiles(g.m, kM) * tiles(g.n, kN) > kMaxTiles / g.batch.size) return false;
  return tile_source_fits(tile_source(g, 0)) && tile_source_fits(tile_source(g, 1));
}

void launch_gemm_hopper(Stream stream, const GemmProblem& g, DType inputs) {
  if (inputs == DType::f16) return launch_for<f16>(stream, g, TensorType::f16);
  launch_for<bf16>(stream, g, TensorType::bf16);
}

}  // namespace gg

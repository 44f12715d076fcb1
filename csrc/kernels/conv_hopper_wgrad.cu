// The weight gradient of convolutions on Hopper: TMA im2col, mbarrier, wgmma. sm_90a.
//
//   partial[split][k][tap][c] = sum over a slice of positions of dy[position, k] x[window, tap, c]
//
// x and dy are channels-last, float16 or bfloat16, positions at multiples of 16 bytes (conv.cu
// copies others first); one group. c is padded to a multiple of 64 in the partial sums.
//
// A block computes 128 channels of dy x 4 slabs of columns, each a tap and 64 channels of x, for 64
// positions at a time: neither operand is transposed on the way (MN-major tiles of
// hopper_tiles.cuh). Ring, warpgroups and the order of work are those of gemm_hopper.cu.
//
// Accumulates in float32; partial sums are added in index order (conv_sum.cu). Deterministic.
// 2 size(dy) c taps FLOP. Bound: tensor peak where k is a multiple of 128. Reached: not measured.

#include <algorithm>

#include "kernels/conv_hopper.cuh"
#include "kernels/hopper_accumulator.cuh"

namespace gg {
namespace {

constexpr int kM = 128, kN = 256;
constexpr int kStages = 4;
constexpr int kConsumerWarps = kM / 16;
constexpr int kConsumers = 32 * kConsumerWarps, kThreads = kConsumers + 128;

// Of the 168 for each thread that a block of 384 starts with.
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;

using Ring = RingBarriers<kStages>;
using Position = RingPosition<kStages>;
using Stages = StageTiles<kM, kN>;

struct WgradTile {
  int row, column, split;
  int64_t first, last;  ///< positions
};

/// f(tile) for each tile of this block. Tiles of the same positions follow one another.
template <class F>
GG_DEVICE void for_each_tile(const GemmProblem& g, F f) {
  const auto m_tiles = static_cast<unsigned>((g.m + kM - 1) / kM);
  const auto n_tiles = static_cast<unsigned>((g.n + kN - 1) / kN);
  const unsigned tiles = m_tiles * n_tiles * static_cast<unsigned>(g.split.count);
  for (unsigned i = blockIdx.x; i < tiles; i += gridDim.x) {
    WgradTile t;
    t.column = static_cast<int>(i % n_tiles) * kN;
    t.row = static_cast<int>(i / n_tiles % m_tiles) * kM;
    t.split = static_cast<int>(i / n_tiles / m_tiles);
    t.first = t.split * g.split.k;
    t.last = t.first + g.split.k < g.k ? t.first + g.split.k : g.k;
    f(t);
  }
}

/// One thread: fills the ring with every stage of every tile.
GG_DEVICE void produce(const ConvMma& c, const TensorMap* map_x, const TensorMap* map_dy,
                       Ring& ring, const Stages& stages) {
  const GemmProblem& g = c.p.gemm;
  Position at;
  for_each_tile(g, [&](const WgradTile& t) {
    const int left = static_cast<int>(g.n) - t.column;  // columns; slabs behind are not loaded
    const int slabs = (left < kN ? left : kN) / kTmaSlab;
#pragma unroll 1
    for (int64_t k = t.first; k < t.last; k += kTmaHalfK, at.advance()) {
      const int bytes = kTmaTileBytes<kM> + slabs * kTmaTileBytes<kTmaSlab>;
      Mbarrier* const full = ring_acquire(ring, at, bytes);
      load_tile<kM>(stages.a(at.stage), map_dy, full, Major::mn, t.row, static_cast<int>(k), {});
      const ConvPosition position(c, k);
      WindowStep step(c.p, t.column / kTmaSlab);
#pragma unroll 1
      for (int s = 0; s < slabs; s++, step.advance(c.p)) {
        load_window(stages.b(at.stage) + s * kTmaTileBytes<kTmaSlab>, map_x, full, c.p, position,
                    step);
      }
    }
  });
}

/// A warpgroup: multiplies its 64 rows of every tile and writes them.
template <class T>
GG_DEVICE void consume(const ConvMma& c, Ring& ring, const Stages& stages,
                       QuadStaging (&staging)[kConsumerWarps]) {
  const GemmProblem& g = c.p.gemm;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  Position at;
  for_each_tile(g, [&](const WgradTile& t) {
    float d[kN / 2];
    const int64_t steps = (t.last - t.first + kTmaHalfK - 1) / kTmaHalfK;
    multiply_stages<T, Major::mn, Major::mn>(ring, at, stages, warp / 4, steps, d);
    const Epilogue<float, T> partial(g, 0, t.split);
    for_each_quad<kN>(d, staging[warp], [&](int row, int column, const float (&sums)[4][4]) {
      if (t.column + column >= g.n) return;
      partial.write_partial(t.row + 16 * warp + row, kQuadRowStep, t.column + column, sums);
    });
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    conv_hopper_wgrad(const __grid_constant__ ConvMma c, const __grid_constant__ TensorMap map_x,
                      const __grid_constant__ TensorMap map_dy) {
  if constexpr (kDeviceHasHopper) {
    GG_SHARED(ring, Ring);
    GG_SHARED(staging, QuadStaging[kConsumerWarps]);
    const Stages stages{shared_dynamic<char>()};
    run_pipeline<kConsumers, kConsumerRegisters, kProducerRegisters>(
        ring, [&] { consume<T>(c, ring, stages, staging); },
        [&] { produce(c, &map_x, &map_dy, ring, stages); });
  } else {
    __trap();  // the host does not launch it
  }
}

/// dy's positions, one pitch apart, as the rows of one matrix.
TileSource position_source(const ConvProblem& p) {
  return {p.y.data, p.k, p.n * p.positions(), 1, p.y.at[kConvAxes - 1], 0, {}, {}};
}

}  // namespace

bool conv_hopper_wgrad_fits(const ConvProblem& p, int architecture) {
  return runs_hopper_code(GG_BUILT_FOR, architecture) && window_map_fits(p) &&
         tile_source_fits(position_source(p));
}

void launch_conv_hopper_wgrad(Stream stream, const ConvMma& c) {
  const GemmProblem& g = c.p.gemm;
  const TensorType type = tensor_type(c.p.dtype);
  const TensorMap map_x = window_map(c.p, type, kTmaHalfK);
  const TensorMap map_dy = tile_map<kM>(type, position_source(c.p));
  const int64_t tiles = (g.m + kM - 1) / kM * ((g.n + kN - 1) / kN) * g.split.count;
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(tiles, multiprocessors()));
  const auto run = [&](auto kernel) {
    launch(kernel, blocks, kThreads, kStages * Stages::kBytes, stream, c, map_x, map_dy);
  };
  if (c.p.dtype == DType::f16) return run(conv_hopper_wgrad<f16>);
  run(conv_hopper_wgrad<bf16>);
}

}  // namespace gg

// Convolution on Hopper's own tensor-core path: TMA im2col, mbarrier, wgmma. sm_90a.
//
//   y = epilogue(sum over tap, channel of x w): fprop, and each phase of dgrad (conv_problem.cuh)
//
// x is channels-last and w [k][tap][c], float16 or bfloat16, positions and channels at multiples of
// 16 bytes (conv.cu copies others first); one group. y, residual and bias have any strides.
//
// A block computes 256 positions x 128 channels of y, 64 channels of one tap at a time. One thread
// keeps a ring of 4 stages filled (48 KiB each): windows by TMA's im2col, so that no thread
// computes an address. Two warpgroups multiply 128 x 128 each from shared memory. There is a block
// for each multiprocessor; it takes tiles until none is left, and loads the next while it writes
// the last. Tiles of the same positions follow one another and share x in L2.
//
// Accumulates in float32, y = unless beta != 0. Deterministic: a sum's order depends on the shape
// alone; where it is split, conv_sum.cu adds in index order.
//
// 2 size(y) c taps FLOP; a stage is 48 KiB for 4.2 MFLOP. Bound: tensor peak where c is a multiple
// of 64 and k of 128. Reached: not measured.

#include <algorithm>

#include "kernels/conv_hopper.cuh"
#include "kernels/hopper_accumulator.cuh"

namespace gg {
namespace {

constexpr int kM = 256, kN = 128;
constexpr int kStages = 4;
constexpr int kConsumerWarps = 8;
constexpr int kConsumers = 32 * kConsumerWarps, kThreads = kConsumers + 128;

// Of the 168 for each thread that a block of 384 starts with.
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;

using Ring = RingBarriers<kStages>;
using Position = RingPosition<kStages>;
using Stages = StageTiles<kM, kN>;

struct ConvTileOf {
  int64_t row;
  int column, split, first, steps;  ///< steps of k from `first` on
};

/// f(tile) for each tile of this block.
template <class F>
GG_DEVICE void for_each_tile(const GemmProblem& g, F f) {
  const auto m_tiles = static_cast<unsigned>((g.m + kM - 1) / kM);
  const auto n_tiles = static_cast<unsigned>((g.n + kN - 1) / kN);
  const unsigned tiles = m_tiles * n_tiles * static_cast<unsigned>(g.split.count);
  const int steps = static_cast<int>(g.k / kTmaHalfK),
            part = static_cast<int>(g.split.k / kTmaHalfK);
  for (unsigned i = blockIdx.x; i < tiles; i += gridDim.x) {
    ConvTileOf t;
    t.column = static_cast<int>(i % n_tiles) * kN;
    t.row = static_cast<int64_t>(i / n_tiles % m_tiles) * kM;
    t.split = static_cast<int>(i / n_tiles / m_tiles);
    t.first = t.split * part;
    t.steps = steps - t.first < part ? steps - t.first : part;
    f(t);
  }
}

/// One thread: fills the ring with every stage of every tile.
GG_DEVICE void produce(const ConvMma& c, const TensorMap* map_x, const TensorMap* map_w, Ring& ring,
                       const Stages& stages) {
  Position at;
  for_each_tile(c.p.gemm, [&](const ConvTileOf& t) {
    const ConvPosition position(c, t.row);
    WindowStep step(c.p, t.first);
#pragma unroll 1
    for (int i = 0; i < t.steps; i++, at.advance(), step.advance(c.p)) {
      Mbarrier* const full = ring_acquire(ring, at, Stages::kBytes);
      load_window(stages.a(at.stage), map_x, full, c.p, position, step);
      load_tile<kN>(stages.b(at.stage), map_w, full, Major::k, t.column, step.channel,
                    {{step.tap, 0, 0}});
    }
  });
}

/// A warpgroup: multiplies its 128 rows of every tile and writes them.
template <class T>
GG_DEVICE void consume(const ConvMma& c, Ring& ring, const Stages& stages,
                       QuadStaging (&staging)[kConsumerWarps]) {
  const int warp = static_cast<int>(threadIdx.x) / 32, w = warp / 4;
  Position at;
  for_each_tile(c.p.gemm, [&](const ConvTileOf& t) {
    constexpr int kSlabs = kM / kTmaSlab / 2;  // of a warpgroup
    float d[kSlabs * kN / 2];
    multiply_stages<T, Major::k, Major::k>(ring, at, stages, kSlabs * w, t.steps, d);
    auto& slab = slab_sums<kN>(d, 0);
    const auto epilogue = conv_epilogue<float, T>(c.p, 0, t.split);
    int64_t first = t.row + kSlabs * kTmaSlab * w + 16 * (warp % 4);
#pragma unroll 1
    for (int s = 0; s < kSlabs; s++, first += kTmaSlab) {
      for_each_quad<kN>(slab, staging[warp], [&](int row, int column, const float (&sums)[4][4]) {
        if (t.column + column >= c.p.gemm.n) return;
        write_rows(epilogue, first + row, kQuadRowStep, t.column + column, sums);
      });
#pragma unroll
      for (int i = 0; i < kN / 2; i++) slab[i] = d[i + kN / 2];  // the code above is there once
    }
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    conv_hopper(const __grid_constant__ ConvMma c, const __grid_constant__ TensorMap map_x,
                const __grid_constant__ TensorMap map_w) {
  if constexpr (kDeviceHasHopper) {
    GG_SHARED(ring, Ring);
    GG_SHARED(staging, QuadStaging[kConsumerWarps]);
    const Stages stages{shared_dynamic<char>()};
    run_pipeline<kConsumers, kConsumerRegisters, kProducerRegisters>(
        ring, [&] { consume<T>(c, ring, stages, staging); },
        [&] { produce(c, &map_x, &map_w, ring, stages); });
  } else {
    __trap();  // the host does not launch it
  }
}

/// w [k][tap][c], a matrix [k, c] for each tap.
TileSource filter_source(const ConvProblem& p) {
  const int64_t tap = padded_channels(p.c, p.dtype);
  return {p.w.data, p.k, p.c, p.w.k, 1, 1, {p.taps()}, {p.taps() > 1 ? tap : 0}};
}

}  // namespace

bool conv_hopper_fits(const ConvProblem& p, int architecture) {
  return runs_hopper_code(GG_BUILT_FOR, architecture) && window_map_fits(p) &&
         tile_source_fits(filter_source(p));
}

void launch_conv_hopper(Stream stream, const ConvMma& c) {
  const GemmProblem& g = c.p.gemm;
  const TensorType type = tensor_type(c.p.dtype);
  const TensorMap map_x = window_map(c.p, type, kM), map_w = tile_map<kN>(type, filter_source(c.p));
  const int64_t tiles = (g.m + kM - 1) / kM * ((g.n + kN - 1) / kN) * g.split.count;
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(tiles, multiprocessors()));
  const auto run = [&](auto kernel) {
    launch(kernel, blocks, kThreads, kStages * Stages::kBytes, stream, c, map_x, map_w);
  };
  if (c.p.dtype == DType::f16) return run(conv_hopper<f16>);
  run(conv_hopper<bf16>);
}

}  // namespace gg

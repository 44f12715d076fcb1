// float32 GEMM on Hopper's tensor cores, three tf32 products for each: TMA, mbarrier, wgmma.
// sm_90a.
//
//   y = act(alpha row_scale scale (a b) + bias + residual + beta y)    ops.h has the contract
//
// a and b are float32, contiguous along k (gemm.cu copies others first), base and other strides
// multiples of 16 bytes, up to three batch axes; m, n and k need not be multiples of anything. y,
// residual and bias have any strides.
//
// A block computes tiles of 128 x 128, 32 of k at a time (a stage), with three kinds of warps: one
// thread keeps a ring of 4 stages filled by TMA; four warps write b's low parts beside b; two
// warpgroups split a in registers and multiply, 64 rows each (gemm_hopper_tf32x3.cuh, with the
// errors). There is a block for each multiprocessor; it takes tiles until none is left, and loads
// and splits the next one while it writes the last.
//
// Its error is no larger than that of float32 FMA (tests/contract/test_gemm_hopper_tf32x3).
// Infinity, NaN and overflow are those of float32 FMA (gemm_overflow.cuh). Accumulates in float32.
// y = unless beta != 0. Deterministic: a sum's order depends on shapes, layouts and the
// machine; where k is split, gemm_split.cu adds in index order.
//
// 6 m n k tensor FLOP. By arithmetic a stage takes 1536 clocks of wgmma, and beside them 32 KiB
// from L2 (21 bytes a clock, 16 in clusters of two, which share b), 1408 clocks of shared memory at
// 128 bytes (wgmma reads b and b_low 96 KiB, TMA writes 32, splitting moves 32, a's fragments 16),
// and 850 instructions of each scheduler. Bound: a third of tf32's tensor peak, 341
// multiply-adds a clock and multiprocessor, where CUDA cores do 128. Reached: not measured.

#include "kernels/gemm_hopper_tf32x3.cuh"

#include "kernels/gemm_hopper_kernel.cuh"
#include "kernels/gemm_overflow.cuh"

namespace gg {
namespace {

using Tf32x3Math = HopperMath<4, float, float, float>;

constexpr int kSplitters = 128;  // threads that write b's low parts

struct Shape {
  static constexpr int kM = 128, kN = 128;
  static constexpr bool kStores = false;  // y is not written by TMA
  static constexpr int kThreads = kHopperConsumers + kSplitters + 128;
  static constexpr int kStages = 4;
  static constexpr int kK = kTmaK<float>;
  using Stages = Tf32x3Stages<kM, kN>;
  static constexpr int kSharedBytes = kStages * Stages::kBytes;
  using Ring = Tf32x3Ring<kStages>;
  using Position = RingPosition<kStages>;
};

/// Warpgroups: two multiply, one splits b, one loads. Of the 128 registers for each thread that a
/// block of 512 starts with:
constexpr int kConsumerRegisters = 216, kSplitterRegisters = 40, kProducerRegisters = 40;
static_assert(2 * kConsumerRegisters + kSplitterRegisters + kProducerRegisters == 4 * 128);

GG_DEVICE int64_t stages_of(const HopperTile& t) {
  return (t.k_end - t.k + Shape::kK - 1) / Shape::kK;
}

/// A warpgroup: writes b's low parts in every stage. (It waits for no empty stage: a full one has
/// been empty.)
GG_DEVICE void split_b(const GemmProblem& g, const HopperJob& job, Shape::Ring& ring,
                       const Shape::Stages& stages) {
  const int thread = static_cast<int>(threadIdx.x) - kHopperConsumers;
  Shape::Position at;
  for_each_tile<Shape>(g, job, [&](const HopperTile& t) {
#pragma unroll 1
    for (int64_t left = stages_of(t); left > 0; left--, at.advance()) {
      ring_wait(ring, at);
      split_tile<Shape::kN, kSplitters>(stages.b(at.stage), stages.b_low(at.stage), thread);
      fence_proxy_async();
      __syncwarp();
      if (thread % 32 == 0) mbarrier_arrive(&ring.split[at.stage]);
    }
  });
}

/// A warpgroup: multiplies its 64 rows of every tile and writes them.
GG_DEVICE void multiply(const GemmProblem& g, const HopperJob& job, Shape::Ring& ring,
                        const Shape::Stages& stages, QuadStaging* staging) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  Shape::Position at;
  for_each_tile<Shape>(g, job, [&](const HopperTile& t) {
    float sums[Shape::kN / 2];
    multiply_tf32x3(ring, at, stages, stages_of(t), sums, ReleaseStage{job.blocks});
    const Epilogue<float, float> epilogue(g, t.batch, t.split);
    for_each_quad<Shape::kN>(sums, staging[warp], [&](int r, int c, float (&quad)[4][4]) {
      const int row = t.row + 16 * warp + r, column = t.column + c;
      if (column >= g.n) return;
      if (!g.split.partial) replace_overflow(g, t.batch, row, kQuadRowStep, column, quad);
      epilogue.write(row, kQuadRowStep, column, quad);
    });
  });
}

__global__ void __launch_bounds__(Shape::kThreads, 1)
    gemm_hopper_tf32x3(const __grid_constant__ GemmProblem g,
                       const __grid_constant__ HopperMaps maps, const HopperJob job) {
  if constexpr (kDeviceHasHopper) {
    GG_SHARED(ring, Shape::Ring);
    GG_SHARED(staging, QuadStaging[kHopperConsumerWarps]);
    const Shape::Stages stages{shared_dynamic<char>()};
    if (threadIdx.x == 0) {
      for (Mbarrier& split : ring.split) mbarrier_init(&split, kSplitters / 32);
      ring_init(ring, kHopperConsumerWarps * job.blocks);
    }
    job.blocks == 1 ? __syncthreads() : cluster_sync();
    if (threadIdx.x < kHopperConsumers) {
      registers_increase<kConsumerRegisters>();
      multiply(g, job, ring, stages, staging);
    } else if (threadIdx.x < kHopperConsumers + kSplitters) {
      registers_decrease<kSplitterRegisters>();
      split_b(g, job, ring, stages);
    } else {
      registers_decrease<kProducerRegisters>();
      if (threadIdx.x == kHopperConsumers + kSplitters) {
        produce<Tf32x3Math, Shape>(g, job, maps, ring, stages);
      }
    }
    if (job.blocks > 1) cluster_sync();  // the other still writes and arrives here
  } else {
    __trap();  // the host does not launch it
  }
}

}  // namespace

void launch_gemm_hopper_tf32x3(Stream stream, const GemmProblem& g, const GemmPlan& plan) {
  launch_hopper<Shape>(gemm_hopper_tf32x3, stream, g, plan.cluster, DType::f32, DType::f32,
                       TensorType::f32);
}

}  // namespace gg

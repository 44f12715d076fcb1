// GEMM of 8-bit floats on Hopper's tensor cores: TMA, mbarrier, wgmma m64n128k32. sm_90a.
//
//   y = act(alpha row_scale scale (a b) + bias + residual + beta y)    ops.h has the contract
//
// a and b are e4m3 or e5m2, contiguous along k, base and other strides multiples of 16 bytes, up to
// three batch axes; m, n and k need not be multiples of anything. y is float16, bfloat16 or
// float32, with any strides.
//
// A block computes tiles of 128 x 128, 128 of k at a time: gemm_hopper_kernel.cuh's cooperative
// kernel but for the main loop. wgmma keeps few bits of a sum of 8-bit floats (device/wgmma.h), so
// each 128 of k are summed apart by it and then added in float32: an error then grows with the
// magnitude of 128 terms instead of k. That takes two register tiles, which is why the tile is not
// larger; two warpgroups, one adding while the other multiplies, keep the tensor cores busy.
// gemm_cost.cuh says how k is split and whether clusters of two blocks share b's tiles.
//
// Sums in float32. y = unless beta != 0. Deterministic: a sum's order depends on shapes, layouts
// and the machine; where k is split, gemm_split.cu adds in index order.
//
// 2 m n k FLOP. By arithmetic, for 128 of k: 512 clocks of wgmma; 24 KiB from L2, 48 bytes a clock;
// 128 of each scheduler's issue slots for the additions. Bound: 8-bit tensor peak, or L2. Reached:
// not measured.

#include "core/built_for.h"
#include "kernels/gemm_float8.cuh"
#include "kernels/gemm_hopper_kernel.cuh"

namespace gg {
namespace {

using Shape = HopperShape<128, false>;

/// d = a b over the next `steps` stages: 64 rows of a from `slab` on.
template <class A, class B>
struct Float8Loop {
  template <class Started>
  __device__ __forceinline__ void operator()(Shape::Ring& ring, Shape::Position& at,
                                             const Shape::Stages& stages, int slab, int64_t steps,
                                             float (&d)[Shape::kSums], ReleaseStage release,
                                             const Started&) const {
#pragma unroll
    for (int i = 0; i < Shape::kSums; i++) d[i] = 0;
#pragma unroll 1
    for (int64_t step = 0; step < steps; step++, at.advance()) {
      float part[Shape::kSums];
#pragma unroll
      for (int i = 0; i < Shape::kSums; i++) part[i] = 0;
      ring_wait(ring, at);
      wgmma_pin(part);
      wgmma_fence();
      wgmma_tile<A, Shape::kN, Major::k, Major::k, B>(
          part, stages.a(at.stage) + slab * kTmaTileBytes<kTmaSlab>, stages.b(at.stage));
      wgmma_wait<0>();
      wgmma_pin(part);
      release(ring, at);
#pragma unroll
      for (int i = 0; i < Shape::kSums; i++) d[i] += part[i];
    }
  }
};

struct Float8Math : HopperMath<1, float, float, void> {
  template <class A, class F>
  static __device__ __forceinline__ void with_right(DType b, const F& f) {
    b == DType::f8e5m2 ? f(Float8Loop<A, f8e5m2>()) : f(Float8Loop<A, f8e4m3>());
  }

  template <class F>
  static __device__ __forceinline__ void with_loop(const GemmProblem&, const HopperJob& job,
                                                   const F& f) {
    job.a == DType::f8e5m2 ? with_right<f8e5m2>(job.b, f) : with_right<f8e4m3>(job.b, f);
  }
};

/// 0.75, as 3xTF32's: register additions keep the schedulers busy beside the tensor cores.
constexpr GemmTile kTile{GemmKernel::hopper, Shape::kM, Shape::kN, 0.75};

}  // namespace

bool gemm_hopper_float8_fits(const GemmProblem& g, int architecture) {
  if (!runs_hopper_code(GG_BUILT_FOR, architecture)) return false;
  return hopper_size_fits(g, Shape::kM, Shape::kN) && gemm_hopper_reads(g, 0, DType::f8e4m3) &&
         gemm_hopper_reads(g, 1, DType::f8e4m3);
}

GemmPlan plan_gemm_hopper_float8(GemmProblem& g, GemmDevice device) {
  // To the cost model it is an 8-bit product like any other.
  const auto way = gemm_cost::hopper::best_way(g, kTile, GemmMath::s8, DType::f8e4m3, device);
  GemmPlan plan{};
  plan.kernel = GemmKernel::hopper, plan.m = kTile.m, plan.n = kTile.n;
  plan.cluster = way.cluster;
  plan.split_k = gemm_cost::round_up(gemm_cost::ceil_div(g.k, way.splits), kTmaRowBytes);
  plan.splits = static_cast<int>(gemm_cost::ceil_div(g.k, plan.split_k));
  g.split.k = plan.split_k, g.split.count = plan.splits;
  if (plan.splits > 1) plan.partial_bytes = plan.splits * g.partial_size() * 4;
  return plan;
}

void launch_gemm_hopper_float8(Stream stream, const GemmProblem& g, const GemmPlan& plan, DType a,
                               DType b) {
  launch_hopper_tile<Float8Math, Shape>(stream, g, plan.cluster, a, b, TensorType::u8);
}

}  // namespace gg

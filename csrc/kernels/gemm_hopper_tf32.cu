// The Hopper GEMM (gemm_hopper.cu) of float32 rounded to tf32: m64n256k8 and m64n128k8.
//
// a and b are contiguous along k. TMA rounds them to 10 fraction bits, to nearest with ties to
// even; sums are float32. Bound: tensor peak, half of float16's. Reached: not measured.

#include "kernels/gemm_hopper_kernel.cuh"

namespace gg {
namespace {

struct Tf32Math : HopperMath<4, float, float, float> {
  template <class F>
  static __device__ __forceinline__ void with_loop(const GemmProblem&, const HopperJob&,
                                                   const F& f) {
    f(HopperLoop<tf32>());
  }
};

}  // namespace

void launch_gemm_hopper_tf32(Stream stream, const GemmProblem& g, const GemmPlan& plan) {
  const auto run = [&](auto shape) {
    launch_hopper_tile<Tf32Math, decltype(shape)>(stream, g, plan.cluster, DType::f32, DType::f32,
                                                  TensorType::tf32);
  };
  plan.ping_pong ? run(HopperShape<128, true>()) : run(HopperShape<256, false>());
}

}  // namespace gg

// The Hopper GEMM (gemm_hopper.cu) of int8, uint8 and bool: m64n256k32 and m64n128k32.
//
// a and b are contiguous along k. Sums are int32, which wraps; y is of a's and b's type, int32 or
// float32. bool: any(a and b); a and b hold 0 and 1. Bound: tensor peak, twice float16's. Reached:
// not measured.

#include "kernels/gemm_hopper_kernel.cuh"

namespace gg {
namespace {

struct ByteMath : HopperMath<1, int32_t, uint32_t, uint8_t> {
  template <class F>
  static __device__ __forceinline__ void with_loop(const GemmProblem&, const HopperJob& job,
                                                   const F& f) {
    job.a == DType::i8 ? f(HopperLoop<int8_t>()) : f(HopperLoop<uint8_t>());
  }
};

}  // namespace

void launch_gemm_hopper_int8(Stream stream, const GemmProblem& g, const GemmPlan& plan,
                             DType inputs) {
  const auto run = [&](auto shape) {
    launch_hopper_tile<ByteMath, decltype(shape)>(stream, g, plan.cluster, inputs, inputs,
                                                  TensorType::u8);
  };
  plan.ping_pong ? run(HopperShape<128, true>()) : run(HopperShape<256, false>());
}

}  // namespace gg

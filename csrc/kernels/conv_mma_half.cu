// float16 and bfloat16 convolutions on tensor cores: m16n8k16 (sm_80 and up), m16n8k8 (float16 on
// sm_75). conv_mma.cuh has the kernels.

#include "kernels/conv_mma.cuh"

namespace gg {

using Large = BlockShape<128, 128, 64, 64>;

void launch_conv_mma_f16(Stream stream, const ConvMma& c, bool wgrad, bool large) {
  if (gemm_device().code < 80) return launch_conv_math<HalfMath75, Large>(stream, c, wgrad, large);
  launch_conv_math<HalfMath<f16>, Large>(stream, c, wgrad, large);
}

void launch_conv_mma_bf16(Stream stream, const ConvMma& c, bool wgrad, bool large) {
  launch_conv_math<HalfMath<bf16>, Large>(stream, c, wgrad, large);
}

}  // namespace gg

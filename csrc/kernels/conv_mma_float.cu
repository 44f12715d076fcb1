// float32 convolutions on tensor cores, as one tf32 product or as three (mma_math.cuh): m16n8k8
// (sm_80 and up). With three, a warp has 64 x 32 of the large tile, because it holds two sums for
// each element. conv_mma.cuh has the kernels.

#include "kernels/conv_mma.cuh"

namespace gg {

void launch_conv_mma_tf32(Stream stream, const ConvMma& c, bool wgrad, bool large) {
  launch_conv_math<Tf32Math, BlockShape<128, 128, 64, 64>>(stream, c, wgrad, large);
}

void launch_conv_mma_tf32x3(Stream stream, const ConvMma& c, bool wgrad, bool large) {
  launch_conv_math<Tf32x3Math, BlockShape<128, 128, 64, 32>>(stream, c, wgrad, large);
}

}  // namespace gg

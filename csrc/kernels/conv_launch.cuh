// How conv.cu plans and starts the kernels of convolutions. Host only.
#pragma once

#include "kernels/conv_views.cuh"
#include "kernels/gemm_launch.cuh"

namespace gg {

enum class ConvKernel : int8_t { simt, depthwise, stem, mma };

/// A block's tile of the matrix product: 64 x 64 or 128 x 128 of mma.sync, or Hopper's own, 256 x
/// 128 (wgrad: 128 x 256).
enum class ConvTile : int8_t { small, large, hopper };

/// Which kernel a problem runs on, and what it needs of the workspace.
struct ConvPlan {
  ConvKernel kernel = ConvKernel::simt;
  GemmMath math = GemmMath::fma;
  ConvTile tile = ConvTile::small;
  int splits = 1;                                 ///< of the sums
  int64_t split_k = 0;                            ///< of k, in one split
  int64_t x_bytes = 0, w_bytes = 0, y_bytes = 0;  ///< of copies; 0: used where it lies
  int64_t rest_bytes = 0;                         ///< partial sums, or a kernel's own workspace

  int64_t workspace() const { return x_bytes + w_bytes + y_bytes + rest_bytes; }
};

/// Multiply-adds per clock and multiprocessor (gemm_plan.cu).
double gemm_peak(GemmMath math, int architecture);

/// Depends on shapes, strides, alignment and dtype, not on the epilogue. wgrad: of fprop's problem
/// with y = dy.
ConvPlan plan_conv(const ConvProblem& p, bool wgrad, MatmulPrecision precision, GemmDevice device);

/// Channels of a group padded to whole chunks of 16 bytes.
int64_t padded_channels(int64_t channels, DType dtype);

/// x, w (and y for wgrad) become copies at the addresses that are not null, for the caller to make:
/// images [n, position, group, channel], filters [group, k, tap, c], channels padded.
void set_packed(ConvProblem& p, void* x, void* w, void* y);

/// A planned problem for the kernels: x, w and y lie as these want them. partial: null without.
ConvMma conv_mma_problem(const ConvProblem& p, const ConvPlan& plan, bool wgrad, void* partial);

// conv_mma_*.cu
using LaunchConvMma = void(Stream stream, const ConvMma& c, bool wgrad, bool large);
LaunchConvMma launch_conv_mma_f16, launch_conv_mma_bf16, launch_conv_mma_tf32,
    launch_conv_mma_tf32x3;

// conv_hopper.cu, conv_hopper_wgrad.cu
void launch_conv_hopper(Stream stream, const ConvMma& c);
void launch_conv_hopper_wgrad(Stream stream, const ConvMma& c);

/// Can they take p as it stands (wgrad: with the distance of positions in p.y.at[2])?
bool conv_hopper_fits(const ConvProblem& p, int architecture);
bool conv_hopper_wgrad_fits(const ConvProblem& p, int architecture);

/// conv_sum.cu: adds the partial sums of a gather and writes y.
void launch_conv_split_sum(Stream stream, const ConvMma& c);
/// conv_sum.cu: adds the partial sums of wgrad and writes `dw`.
void launch_conv_wgrad_sum(Stream stream, const ConvMma& c, const ConvFilter& dw);

}  // namespace gg

// Which kernel a matrix product runs on: a table of tiles with a cost model. Host only.
//
// Costs are predictions in clock cycles from published peaks; nothing is measured or tuned at run
// time, so the same arrays always take the same kernel and give the same bits.
#pragma once

#include "kernels/gemm_problem.cuh"

namespace gg {

enum class GemmKernel : int8_t { tile, skinny_dot, skinny_sweep, mma, hopper };

/// What multiplies: fma on CUDA cores, or a tensor-core instruction.
enum class GemmMath : int8_t { fma, f16, bf16, tf32, tf32x3, s8, u8 };

/// A block's tile of y.
struct GemmTile {
  GemmKernel kernel;
  int m, n;
  double efficiency;       ///< of the unit's peak, once the multiprocessor is full
  bool ping_pong = false;  ///< hopper: each of a block's two warpgroups has a tile of its own
};

/// Every tile there is; gemm_cost.cuh has what each costs. Of equal costs the first one is taken.
///   hopper: gemm_hopper_fits says which math and layouts a tile is built for: 16-bit types have
///           all five, tf32 and 8-bit types those of 256 and 128 columns. 0.85: large products
///           reach 757 to 830 of 989 TFLOP/s (DeepGEMM; kernels and rounds take the rest). Smaller
///           tiles read more from shared memory and L2, but fill the machine where y is small, and
///           128 x 32 and 64 take products of few columns; ping-pong hides the writing of y, which
///           tells where k is short. 128 x 128 without it is 3xTF32's only tile: 0.75, as it keeps
///           shared memory nearly as busy as the tensor cores (gemm_hopper_tf32x3.cu).
///   tile:   FLOP for each byte of shared memory grow with the side. 128 is built for float32 only.
///   mma:    a warp's 64 x 64 needs half the shared-memory reads of its 32 x 32. 128 x 256 needs
///           three quarters of what 128 x 128 reads from L2, which A100 feels; for 16-bit types
///           from sm_80.
constexpr GemmTile kGemmTiles[] = {
    {GemmKernel::hopper, 128, 256, 0.85},       {GemmKernel::hopper, 128, 192, 0.85},
    {GemmKernel::hopper, 128, 64, 0.85},        {GemmKernel::hopper, 128, 32, 0.85},
    {GemmKernel::tile, 128, 128, 0.85},         {GemmKernel::tile, 64, 64, 0.60},
    {GemmKernel::tile, 32, 32, 0.35},           {GemmKernel::mma, 128, 256, 0.85},
    {GemmKernel::mma, 128, 128, 0.80},          {GemmKernel::mma, 64, 64, 0.50},
    {GemmKernel::hopper, 128, 128, 0.85, true}, {GemmKernel::hopper, 128, 128, 0.75},
};

struct GemmPlan {
  GemmKernel kernel;
  GemmMath math;
  int m, n;             ///< tile; 0 for skinny kernels
  bool ping_pong;       ///< of the tile
  int cluster;          ///< hopper: blocks (1 or 2), neighbours along m, that share b's tiles
  bool transposed;      ///< y^T = b^T a^T is computed
  bool pack_a, pack_b;  ///< copied to the workspace first, as tensor cores want it
  int splits;           ///< of k
  int64_t split_k;      ///< k of one split
  int64_t pack_a_bytes, pack_b_bytes, partial_bytes;  ///< of the workspace, in this order

  int64_t workspace() const { return pack_a_bytes + pack_b_bytes + partial_bytes; }
};

/// The machine a plan is for.
struct GemmDevice {
  int architecture, multiprocessors;
  int code = architecture;  ///< what the kernels that run there were compiled for: built_for.h
};

/// Settles g's orientation and chooses the kernel. Depends on shapes, strides and alignment of a, b
/// and y, not on the epilogue.
GemmPlan plan_gemm(GemmProblem& g, DType inputs, MatmulPrecision precision, GemmDevice device);

}  // namespace gg

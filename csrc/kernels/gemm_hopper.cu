// The Hopper GEMM: TMA, mbarrier, wgmma. sm_90a.
//
//   y = act(alpha row_scale scale (a b) + bias + residual + beta y)    ops.h has the contract
//
// a and b are of one type, base and strides multiples of 16 bytes, one axis contiguous, up to three
// batch axes; m, n and k need not be multiples of anything, since TMA reads zeros outside. float16
// and bfloat16 are taken in any orientation; float32 (as tf32), int8 and uint8 contiguous along k
// (gemm.cu copies others first). y, residual and bias have any strides.
//
// A block computes tiles of 128 x N of y, 128 bytes of k at a time (a stage). One thread keeps a
// ring of stages filled by TMA; two warpgroups multiply from shared memory, straight from the order
// the operands have in memory. A tile is theirs together, 64 rows each (cooperative), or they have
// every other tile, and one's epilogue runs under the other's products (ping-pong). There is a
// block for each multiprocessor; it takes tiles until none is left, and loads the next while it
// writes the last. Tiles go down groups of 16 rows of tiles, so that blocks running at once share
// operands in L2. Two neighbours along m can be a cluster: each loads half of b's tile for both
// (multicast). Where y's rows are contiguous and aligned and nothing of its size is added, it is
// stored by TMA (hopper_store.cuh), which also runs under the next tile.
//
// Accumulates in float32, tf32's operands rounded to nearest even by TMA; 8-bit types in int32,
// which wraps. y = unless beta != 0. Deterministic: a sum's order depends on shapes, layouts and
// the machine (they settle the plan, and with it how k is split), not on tile, cluster or epilogue;
// gemm_split.cu adds the parts in index order.
//
// 2 m n k FLOP. By arithmetic, for 16-bit types, tf32 and 8-bit types alike (bytes from L2 with
// clusters of 1 / 2):
//   tile                   bytes of a stage   clocks of wgmma   bytes/clock from L2   stages
//   128 x 256 cooperative  48 KiB             1024              48 / 32               4
//   128 x 192 cooperative  40 KiB              768              53 / 37               4
//   128 x 128 ping-pong    32 KiB              512              64 / 48               6
//   128 x  64 cooperative  24 KiB              256              96 / 80               8
//   128 x  32 cooperative  20 KiB              128             160 / 144              9
// Bound: tensor peak for large m, n, k as far as L2 gives that much; N = 64 and 32 are for narrow
// y: bandwidth. Reached: not measured.

#include <stdexcept>

#include "core/built_for.h"
#include "kernels/gemm_hopper_kernel.cuh"

namespace gg {
namespace {

// ---- 16-bit types ------------------------------------------------------------------------------

/// Both types and all four orientations share a kernel: the main loops are small beside the rest.
struct HalfMath : HopperMath<2, float, float, void> {
  template <class T, class F>
  static __device__ __forceinline__ void with_majors(const GemmProblem& g, const F& f) {
    if (major(g.a) == Major::k && major(g.b) == Major::k) {
      f(HopperLoop<T, Major::k, Major::k>());
    } else if (major(g.a) == Major::k) {
      f(HopperLoop<T, Major::k, Major::mn>());
    } else if (major(g.b) == Major::k) {
      f(HopperLoop<T, Major::mn, Major::k>());
    } else {
      f(HopperLoop<T, Major::mn, Major::mn>());
    }
  }

  template <class F>
  static __device__ __forceinline__ void with_loop(const GemmProblem& g, const HopperJob& job,
                                                   const F& f) {
    job.a == DType::f16 ? with_majors<f16>(g, f) : with_majors<bf16>(g, f);
  }
};

void launch_half(Stream stream, const GemmProblem& g, const GemmPlan& plan, DType inputs) {
  const TensorType type = inputs == DType::f16 ? TensorType::f16 : TensorType::bf16;
  const auto run = [&](auto shape) {
    launch_hopper_tile<HalfMath, decltype(shape)>(stream, g, plan.cluster, inputs, inputs, type);
  };
  if (plan.ping_pong) return run(HopperShape<128, true>());
  switch (plan.n) {
    case 256:
      return run(HopperShape<256, false>());
    case 192:
      return run(HopperShape<192, false>());
    case 64:
      return run(HopperShape<64, false>());
    default:
      return run(HopperShape<32, false>());
  }
}

// ---- what can be run ---------------------------------------------------------------------------

/// Of k for 3xTF32. gemm_plan.cu asks for 128 at least, which does for mma.sync: it rounds both
/// factors to nearest. wgmma truncates b and its own sums, so that sums of few large terms could
/// err more than float32's up to here.
constexpr int64_t kMinTf32x3 = 192;

/// The tile is one of those that are compiled for this math.
bool tile_is_built(GemmMath math, const GemmTile& tile) {
  if (tile.kernel != GemmKernel::hopper || tile.m != 128) return false;
  if (math == GemmMath::tf32x3) return tile.n == 128 && !tile.ping_pong;
  const bool half = math == GemmMath::f16 || math == GemmMath::bf16;
  if (!half && math != GemmMath::tf32 && math != GemmMath::s8 && math != GemmMath::u8) return false;
  if (tile.ping_pong) return tile.n == 128;
  return tile.n == 256 || (half && (tile.n == 192 || tile.n == 64 || tile.n == 32));
}

}  // namespace

bool gemm_hopper_reads(const GemmProblem& g, int operand, DType inputs) {
  if (g.batch.ndim > kTmaBatchAxes) return false;  // more than a TileSource has room for
  return tile_source_fits(tile_source(g, operand), dtype_size(inputs));
}

bool gemm_hopper_fits(const GemmProblem& g, GemmMath math, DType inputs, const GemmTile& tile,
                      int architecture) {
  if (!runs_hopper_code(GG_BUILT_FOR, architecture) || !tile_is_built(math, tile)) return false;
  if (math == GemmMath::tf32x3 && g.k < kMinTf32x3) return false;
  return hopper_size_fits(g, tile.m, tile.n) && gemm_hopper_reads(g, 0, inputs) &&
         gemm_hopper_reads(g, 1, inputs);
}

void launch_gemm_hopper(Stream stream, const GemmProblem& g, const GemmPlan& plan, DType inputs) {
  if (g.split.count > 1 && g.split.k * dtype_size(inputs) % kTmaRowBytes != 0) {
    throw std::invalid_argument("gemm on Hopper: k is split at multiples of " +
                                std::to_string(g.split.k) + " elements of " +
                                std::to_string(dtype_size(inputs)) +
                                " bytes; a split must be a multiple of 128 bytes");
  }
  switch (dtype_size(inputs)) {
    case 1:
      return launch_gemm_hopper_int8(stream, g, plan, inputs);
    case 2:
      return launch_half(stream, g, plan, inputs);
    default:
      return plan.math == GemmMath::tf32x3 ? launch_gemm_hopper_tf32x3(stream, g, plan)
                                           : launch_gemm_hopper_tf32(stream, g, plan);
  }
}

}  // namespace gg

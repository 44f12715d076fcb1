// Which of Hopper's tiles a matrix product is given, on H100 and H200: 132 multiprocessors.

#include <string>

#include "gemm_plans.h"

using namespace gg;

enum class Order { nn, nt };  // b [k, n], or the transpose of [n, k], as layers have it

struct HopperCase {
  DType dtype;
  int64_t batch, m, n, k;
  int tile_n;  // of 128 rows
  bool ping_pong;
  int cluster, splits;  // splits 0: some
  bool transposed;
  Order order = Order::nt;
};

static GemmPlan plan_hopper(const HopperCase& c, GemmDevice device = kHopper) {
  const Array a = matrix(c.dtype, c.batch * c.m, c.k), b = matrix(c.dtype, c.batch * c.k, c.n);
  const Array y = matrix(c.dtype == DType::i8 ? DType::i32 : c.dtype, c.batch * c.m, c.n);
  const auto batched = [&](Array x, int64_t rows) {
    x.ndim = 3;
    x.shape[2] = x.shape[1], x.stride[2] = x.stride[1], x.stride[1] = x.stride[0];
    x.shape[0] = c.batch, x.shape[1] = rows, x.stride[0] = rows * x.stride[1];
    return x;
  };
  Array right = batched(b, c.k);
  if (c.order == Order::nt) right.stride[1] = 1, right.stride[2] = c.k;
  GemmProblem g = gemm_problem(batched(a, c.m), right, batched(y, c.m), {});
  return plan_gemm(g, c.dtype, kTf32, device);
}

static void check_hopper(const HopperCase& c) {
  const GemmPlan p = plan_hopper(c);
  const bool right = p.kernel == GemmKernel::hopper && p.m == 128 && p.n == c.tile_n &&
                     p.ping_pong == c.ping_pong && p.cluster == c.cluster &&
                     (c.splits ? p.splits == c.splits : p.splits > 1) &&
                     p.transposed == c.transposed;
  if (right) return;
  std::string text = std::to_string(c.batch) + "x" + std::to_string(c.m) + "x" +
                     std::to_string(c.n) + "x" + std::to_string(c.k) + " of " +
                     dtype_name(c.dtype) + " is planned on kernel";
  for (const int value : {static_cast<int>(p.kernel), p.m, p.n, static_cast<int>(p.ping_pong),
                          p.cluster, p.splits, static_cast<int>(p.transposed)}) {
    text += " " + std::to_string(value);
  }
  throw check::Failure(text);
}

CASE(plans_hopper_squares) {
  const HopperCase cases[] = {
      // Large: the tile that asks least of shared memory and L2; clusters take L2's part further.
      {DType::bf16, 1, 8192, 8192, 8192, 256, false, 2, 1, false},
      {DType::f16, 1, 4096, 4096, 4096, 256, false, 2, 1, false},
      // 128 tiles, one for a multiprocessor: nothing to share b with.
      {DType::bf16, 1, 2048, 2048, 2048, 256, false, 1, 1, false},
      // 32 tiles of 256 columns would leave 100 multiprocessors idle; of 64 columns there are 128.
      {DType::bf16, 1, 1024, 1024, 1024, 64, false, 1, 1, false},
      // Too few in any case: the smallest.
      {DType::bf16, 1, 512, 512, 512, 32, false, 1, 1, false},
      {DType::bf16, 1, 256, 256, 256, 32, false, 1, 1, false},
      {DType::f32, 1, 8192, 8192, 8192, 256, false, 2, 1, false},
      {DType::f32, 1, 2048, 2048, 2048, 256, false, 1, 1, false},
      {DType::i8, 1, 1024, 1024, 1024, 128, true, 1, 1, false},
      {DType::i8, 1, 4096, 4096, 4096, 256, false, 2, 1, false},
      {DType::u8, 1, 4096, 4096, 4096, 256, false, 2, 1, false},
  };
  for (const HopperCase& c : cases) check_hopper(c);
}

CASE(plans_hopper_rounds) {
  const HopperCase cases[] = {
      // 576 columns are three times 192; 768 four times: 256 tiles in two rounds, of 256 columns
      // 192 in as many.
      {DType::bf16, 1, 8192, 576, 7168, 192, false, 2, 0, false},
      {DType::bf16, 1, 8192, 768, 768, 192, false, 2, 1, false},
      // k is short: writing takes as long as multiplying, and ping-pong hides it.
      {DType::bf16, 1, 4096, 4096, 256, 128, true, 2, 1, false},
      {DType::bf16, 1, 4096, 4096, 16, 128, true, 2, 1, false},
      {DType::i8, 1, 8192, 4096, 1024, 128, true, 2, 1, false},
      {DType::f32, 1, 8192, 768, 768, 128, true, 2, 1, false},
      // A gradient of weights: few tiles, long k.
      {DType::bf16, 1, 768, 768, 8192, 256, false, 1, 0, false},
      {DType::bf16, 1, 128, 128, 65536, 64, false, 1, 64, false},
      // Batches.
      {DType::bf16, 16, 1024, 1024, 1024, 256, false, 2, 1, false},
      {DType::f16, 64, 512, 512, 64, 128, true, 2, 1, false},
      {DType::bf16, 64, 512, 64, 512, 64, false, 2, 1, false},
      // Tiny: rounds are mostly latency, which ping-pong halves.
      {DType::bf16, 1024, 64, 64, 64, 128, true, 1, 1, false},
      {DType::bf16, 4096, 32, 32, 32, 128, true, 1, 1, false},
  };
  for (const HopperCase& c : cases) check_hopper(c);
}

/// Few rows: b's columns lie along the tile's 128 rows, and k is split until all multiprocessors
/// read.
CASE(plans_hopper_skinny) {
  const HopperCase cases[] = {
      {DType::bf16, 1, 16, 4096, 4096, 32, false, 1, 4, true},
      {DType::bf16, 1, 64, 4096, 4096, 64, false, 1, 4, true},
      {DType::bf16, 1, 16, 16384, 4096, 32, false, 1, 1, true},
      {DType::bf16, 1, 4096, 16, 4096, 32, false, 1, 4, false},
      {DType::i8, 1, 1, 16384, 4096, 128, true, 1, 1, false},
  };
  for (const HopperCase& c : cases) check_hopper(c);
  // Reading b takes as long as any kernel's products: within a hundredth of Hopper's clocks, and
  // half as many partial sums.
  check_plan(plan_hopper({DType::f32, 1, 64, 4096, 4096, 0, false, 0, 0, false}), GemmKernel::mma,
             GemmMath::tf32, 64);
}

/// tf32 and 8-bit operands must be contiguous along k; 16-bit ones may lie either way.
CASE(plans_hopper_packing) {
  const auto planned = [](DType dtype, int64_t side) {
    return plan_hopper({dtype, 1, side, side, side, 0, false, 0, 0, false, Order::nn});
  };
  for (const auto& [dtype, bytes] : {std::pair{DType::f32, 4}, std::pair{DType::i8, 1}}) {
    const GemmPlan p = planned(dtype, 4096);
    CHECK(p.kernel == GemmKernel::hopper && !p.pack_a && p.pack_b);
    CHECK_EQ(p.workspace(), int64_t{4096} * 4096 * bytes);
  }
  CHECK(planned(DType::bf16, 4096).kernel == GemmKernel::hopper);
  CHECK_EQ(planned(DType::bf16, 4096).workspace(), 0);
  // Small: the copy would take longer than mma.sync takes for all, which reads b as it lies.
  check_plan(planned(DType::f32, 256), GemmKernel::mma, GemmMath::tf32, 64);
  // Rows at odd multiples of 2 bytes are copied whatever the type.
  const GemmPlan odd = planned(DType::bf16, 4095);
  CHECK(odd.kernel == GemmKernel::hopper && odd.pack_a && odd.pack_b);
}

// ---- 8-bit floats on Hopper ---------------------------------------------------------------------

/// Blocks share b only where that costs no round: 130, 132 and 4 x 33 tiles are one round on 132
/// multiprocessors, and would be two on 66 pairs, since three rows of tiles take two pairs.
CASE(plans_float8_in_as_few_rounds) {
  struct Case {
    int64_t m, n, k;
    int cluster, splits;
  };
  const Case cases[] = {{640, 3328, 4096, 1, 1},
                        {384, 5632, 7168, 1, 1},
                        {384, 1408, 8192, 1, 4},
                        {8192, 8192, 8192, 2, 1}};
  for (const Case& c : cases) {
    const Array a = matrix(DType::f8e4m3, c.m, c.k), y = matrix(DType::f32, c.m, c.n);
    Array b = matrix(DType::f8e4m3, c.k, c.n);
    b.stride[0] = 1, b.stride[1] = c.k;
    GemmProblem g = gemm_problem(a, b, y, {}, false);
    const GemmPlan p = plan_gemm_hopper_float8(g, kHopper);
    CHECK_EQ(p.cluster, c.cluster);
    CHECK_EQ(p.splits, c.splits);
    CHECK_EQ(p.split_k % 128, c.splits == 1 ? c.k % 128 : 0);
    CHECK_EQ(p.workspace(), c.splits == 1 ? 0 : int64_t{4} * c.splits * c.m * c.n);
  }
}

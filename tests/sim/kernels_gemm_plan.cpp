// Which kernel a matrix product is given: the choices of csrc/kernels/gemm_plan.cu on the GPUs it
// knows, by shape, dtype, layout and precision.

#include "host_array.h"
#include "kernels/gemm_plan.cuh"

using namespace gg;

constexpr GemmDevice kTuring{75, 68}, kA100{80, 108}, kGeForce{86, 82}, kHopper{90, 132};
constexpr auto kExact = MatmulPrecision::exact, kHigh = MatmulPrecision::high,
               kTf32 = MatmulPrecision::tf32;

/// a [m, k] and b [k, n] of that dtype, row-major and aligned, without memory: plans do not look.
static Array matrix(DType dtype, int64_t rows, int64_t columns) {
  Array a;
  a.dtype = dtype, a.ndim = 2;
  a.shape[0] = rows, a.shape[1] = columns;
  a.stride[0] = columns, a.stride[1] = 1;
  return a;
}

static GemmPlan plan(DType dtype, int64_t m, int64_t n, int64_t k, GemmDevice device,
                     MatmulPrecision precision = kExact) {
  GemmProblem g = gemm_problem(matrix(dtype, m, k), matrix(dtype, k, n), matrix(dtype, m, n), {});
  return plan_gemm(g, dtype, precision, device);
}

static void check_plan(const GemmPlan& p, GemmKernel kernel, GemmMath math, int side) {
  CHECK_EQ(static_cast<int>(p.kernel), static_cast<int>(kernel));
  CHECK_EQ(static_cast<int>(p.math), static_cast<int>(math));
  if (side) CHECK_EQ(p.m, side);
}

CASE(plans_halves_on_tensor_cores) {
  check_plan(plan(DType::f16, 4096, 4096, 4096, kTuring), GemmKernel::mma, GemmMath::f16, 128);
  check_plan(plan(DType::f16, 4096, 4096, 4096, kA100), GemmKernel::mma, GemmMath::f16, 128);
  check_plan(plan(DType::bf16, 4096, 4096, 4096, kA100), GemmKernel::mma, GemmMath::bf16, 128);
  check_plan(plan(DType::bf16, 256, 256, 256, kA100), GemmKernel::mma, GemmMath::bf16, 64);
  CHECK_EQ(plan(DType::bf16, 4096, 4096, 4096, kA100).n, 256);
  CHECK_EQ(plan(DType::f16, 4096, 4096, 4096, kTuring).n, 128);
  // sm_75 has no bfloat16.
  check_plan(plan(DType::bf16, 4096, 4096, 4096, kTuring), GemmKernel::tile, GemmMath::fma, 64);
}

CASE(plans_bytes_on_tensor_cores) {
  const GemmPlan p = plan(DType::i8, 1024, 1024, 1024, kA100);
  check_plan(p, GemmKernel::mma, GemmMath::s8, 0);
  CHECK(!p.pack_a);  // along k
  CHECK(p.pack_b);   // ldmatrix does not transpose bytes
  CHECK_EQ(p.pack_b_bytes, 1024 * 1024);
  check_plan(plan(DType::u8, 1024, 1024, 1024, kTuring), GemmKernel::mma, GemmMath::u8, 0);
  check_plan(plan(DType::boolean, 1024, 1024, 1024, kA100), GemmKernel::mma, GemmMath::u8, 0);
  check_plan(plan(DType::i32, 1024, 1024, 1024, kA100), GemmKernel::tile, GemmMath::fma, 32);
}

CASE(plans_precision_of_float32) {
  const auto large = [](GemmDevice device, MatmulPrecision precision) {
    return plan(DType::f32, 2048, 2048, 2048, device, precision);
  };
  check_plan(large(kA100, kExact), GemmKernel::tile, GemmMath::fma, 128);
  check_plan(large(kA100, kTf32), GemmKernel::mma, GemmMath::tf32, 128);
  check_plan(large(kA100, kHigh), GemmKernel::mma, GemmMath::tf32x3, 128);
  check_plan(large(kHopper, kHigh), GemmKernel::mma, GemmMath::tf32x3, 128);
  // A third of GeForce's tf32 rate is less than its float32 rate.
  check_plan(large(kGeForce, kHigh), GemmKernel::tile, GemmMath::fma, 128);
  check_plan(large(kTuring, kHigh), GemmKernel::tile, GemmMath::fma, 128);
  check_plan(large(kTuring, kTf32), GemmKernel::tile, GemmMath::fma, 128);
  // Below k = 128 three products can have the larger error.
  check_plan(plan(DType::f32, 2048, 2048, 127, kA100, kHigh), GemmKernel::tile, GemmMath::fma, 0);
  check_plan(plan(DType::f32, 2048, 2048, 128, kA100, kHigh), GemmKernel::mma, GemmMath::tf32x3, 0);
  check_plan(plan(DType::f64, 512, 512, 512, kA100, kTf32), GemmKernel::tile, GemmMath::fma, 64);
}

// A GPU newer than every machine code in the module runs the oldest PTX, whose tensor-core kernels
// for sm_80 only trap.
CASE(plans_for_the_code_that_runs) {
  constexpr GemmDevice later{103, 148, 75};
  check_plan(plan(DType::bf16, 4096, 4096, 4096, later), GemmKernel::tile, GemmMath::fma, 64);
  check_plan(plan(DType::f16, 4096, 4096, 4096, later), GemmKernel::mma, GemmMath::f16, 128);
  CHECK_EQ(plan(DType::f16, 4096, 4096, 4096, later).n, 128);
  check_plan(plan(DType::f32, 2048, 2048, 2048, later, MatmulPrecision::tf32), GemmKernel::tile,
             GemmMath::fma, 128);
}

CASE(plans_few_rows_or_columns) {
  const GemmPlan row = plan(DType::f16, 1, 4096, 4096, kA100);
  check_plan(row, GemmKernel::skinny_sweep, GemmMath::fma, 0);
  CHECK(!row.transposed);
  const GemmPlan column = plan(DType::f16, 4096, 1, 4096, kA100);
  check_plan(column, GemmKernel::skinny_dot, GemmMath::fma, 0);
  CHECK(column.transposed);
  // Few columns and a long k: k is split, so that all multiprocessors read.
  CHECK(plan(DType::f32, 4, 16, 1 << 20, kA100).splits > 32);
  CHECK_EQ(plan(DType::f32, 4, 1 << 16, 4096, kA100).splits, 1);
}

CASE(plans_split_k) {
  const GemmPlan p = plan(DType::f16, 128, 128, 65536, kA100);
  CHECK(p.splits >= 16);
  CHECK_EQ(p.split_k % 64, 0);
  CHECK(p.split_k * p.splits >= 65536);
  CHECK(p.split_k * (p.splits - 1) < 65536);
  CHECK_EQ(p.workspace(), int64_t{p.splits} * 128 * 128 * 4);
  CHECK_EQ(plan(DType::f16, 4096, 4096, 4096, kA100).splits, 1);
  CHECK_EQ(plan(DType::f16, 128, 128, 256, kA100).splits, 1);
  CHECK(plan(DType::f32, 64, 64, 65536, kA100).splits >= 16);
}

CASE(plans_packing) {
  // 1000 columns of 2 bytes: rows at multiples of 16 bytes. 1001: not.
  CHECK(!plan(DType::f16, 512, 1000, 512, kA100).pack_b);
  const GemmPlan odd = plan(DType::f16, 512, 1001, 512, kA100);
  CHECK(odd.kernel == GemmKernel::mma && odd.pack_b && !odd.pack_a);
  CHECK_EQ(odd.workspace(), 1001 * 512 * 2);
  const GemmPlan hopper = plan(DType::f16, 4096, 4097, 4096, kHopper);
  CHECK(hopper.kernel == GemmKernel::hopper && hopper.pack_b && !hopper.pack_a);
  // Small and odd: copying would take longer than multiplying on CUDA cores.
  check_plan(plan(DType::f16, 20, 21, 21, kA100), GemmKernel::tile, GemmMath::fma, 64);
}

/// What the cases of kernels_gemm.cpp count on.
CASE(plans_in_the_simulator) {
  const GemmDevice simulator{80, 4}, turing{75, 4};
  for (const DType t : {DType::f16, DType::bf16}) {
    const GemmPlan wide = plan(t, 390, 264, 40, simulator);
    CHECK(wide.kernel == GemmKernel::mma && wide.n == 256);
    const GemmPlan large = plan(t, 260, 120, 40, simulator);
    CHECK(large.kernel == GemmKernel::mma && large.n == 128);
    CHECK_EQ(plan(t, 37, 72, 264, simulator).n, 64);
    CHECK(plan(t, 20, 24, 4096, simulator).splits > 1);
  }
  CHECK(plan(DType::f16, 130, 264, 300, {90, 4}).kernel == GemmKernel::hopper);
  CHECK(plan(DType::bf16, 260, 257, 300, {90, 4}).kernel == GemmKernel::hopper);  // two of 130 rows
  for (const GemmDevice device : {simulator, turing}) {
    CHECK_EQ(plan(DType::f16, 260, 120, 40, turing).n, 128);
    CHECK_EQ(plan(DType::i8, 260, 120, 80, device).n, 128);
    CHECK_EQ(plan(DType::i8, 37, 72, 264, device).n, 64);
  }
  check_plan(plan(DType::f32, 260, 120, 40, simulator, kTf32), GemmKernel::mma, GemmMath::tf32,
             128);
  check_plan(plan(DType::f32, 37, 72, 264, simulator, kTf32), GemmKernel::mma, GemmMath::tf32, 64);
  check_plan(plan(DType::f32, 260, 120, 140, simulator, kHigh), GemmKernel::mma, GemmMath::tf32x3,
             128);
  check_plan(plan(DType::f32, 65, 130, 140, simulator, kHigh), GemmKernel::mma, GemmMath::tf32x3,
             64);
  check_plan(plan(DType::f32, 128, 128, 256, simulator, kHigh), GemmKernel::mma, GemmMath::tf32x3,
             0);
}

CASE(plans_do_not_depend_on_the_epilogue) {
  const Host<f16> a({3, 40, 64}), b({64, 24}), y({3, 40, 24}), residual({3, 1, 24}), bias({24});
  GemmEpilogue e;
  e.residual = residual, e.bias = bias, e.beta = 1, e.act = Activation::gelu;
  for (const bool fold : {true, false}) {
    GemmProblem plain = gemm_problem(a, b, y, {}, fold), full = gemm_problem(a, b, y, e, false);
    CHECK_EQ(plain.m, fold ? 120 : 40);
    CHECK_EQ(full.m, 40);
    const int64_t bytes = plan_gemm(full, DType::f16, kExact, kA100).workspace();
    CHECK(gemm_workspace(a, b, y, kExact) >= bytes);
  }
}

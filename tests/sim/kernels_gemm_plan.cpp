// Which kernel a matrix product is given: the choices of csrc/kernels/gemm_plan.cu on the GPUs it
// knows, by shape, dtype, layout and precision.

#include <array>
#include <set>

#include "gemm_plans.h"

using namespace gg;

static GemmPlan plan(DType dtype, int64_t m, int64_t n, int64_t k, GemmDevice device,
                     MatmulPrecision precision = kExact) {
  GemmProblem g = gemm_problem(matrix(dtype, m, k), matrix(dtype, k, n), matrix(dtype, m, n), {});
  return plan_gemm(g, dtype, precision, device);
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
  check_plan(large(kHopper, kHigh), GemmKernel::hopper, GemmMath::tf32x3, 128);
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

// ---- what holds for every plan ------------------------------------------------------------------

/// f(g, dtype, precision, device) for many products.
template <class F>
static void many_products(F f) {
  const int64_t sides[] = {1, 7, 16, 64, 100, 130, 777, 1024, 4096, 9000};
  const DType dtypes[] = {DType::f16, DType::bf16, DType::f32, DType::f64, DType::i8, DType::i32};
  for (const DType dtype : dtypes) {
    for (const int64_t m : sides) {
      for (const int64_t n : sides) {
        for (const int64_t k : {1, 40, 100, 264, 768, 4096, 65536, 1 << 28}) {
          for (const int turned : {0, 1, 2, 4, 7}) {
            Array a = matrix(dtype, m, k), b = matrix(dtype, k, n), y = matrix(dtype, m, n);
            if (turned & 1) a.stride[0] = 1, a.stride[1] = m;
            if (turned & 2) b.stride[0] = 1, b.stride[1] = k;
            if (turned & 4) y.stride[0] = 1, y.stride[1] = m;
            for (const GemmDevice device : {kTuring, kA100, kHopper, GemmDevice{90, 4}}) {
              for (const MatmulPrecision precision : {kHigh, kTf32}) {
                f(gemm_problem(a, b, y, {}), dtype, precision, device);
              }
            }
          }
        }
      }
    }
  }
}

/// k is covered by splits that are whole stages; the workspace has what is copied and the sums.
CASE(plans_are_consistent) {
  many_products([](GemmProblem g, DType dtype, MatmulPrecision precision, GemmDevice device) {
    const GemmPlan p = plan_gemm(g, dtype, precision, device);
    CHECK(p.splits >= 1 && p.splits <= 64);
    CHECK(p.split_k * p.splits >= g.k && p.split_k * (p.splits - 1) < g.k);
    CHECK(g.split.count == p.splits && g.split.k == p.split_k);
    const int64_t sum = dtype == DType::f64 ? 8 : 4, element = dtype_size(dtype);
    CHECK_EQ(p.partial_bytes, p.splits > 1 ? p.splits * g.m * ((g.n + 3) / 4 * 4) * sum : 0);
    const int64_t pitch = (g.k * element + 15) / 16 * 16;
    CHECK_EQ(p.pack_a_bytes, p.pack_a ? g.m * pitch : 0);
    CHECK_EQ(p.pack_b_bytes, p.pack_b ? g.n * pitch : 0);
    CHECK(p.kernel == GemmKernel::mma || p.kernel == GemmKernel::hopper ||
          p.workspace() == p.partial_bytes);
    CHECK(p.cluster == 1 || (p.cluster == 2 && p.kernel == GemmKernel::hopper && g.m > p.m));
    if (p.kernel != GemmKernel::hopper) return;
    CHECK_EQ(device.architecture, 90);
    CHECK(p.splits == 1 || p.split_k * element % 128 == 0);
    if (p.pack_a) set_packed(g, 0, static_cast<int>(element), nullptr);
    if (p.pack_b) set_packed(g, 1, static_cast<int>(element), nullptr);
    const GemmTile tile{p.kernel, p.m, p.n, 1, p.ping_pong};
    CHECK(gemm_hopper_fits(g, p.math, dtype, tile, 90));
  });
}

CASE(plans_use_every_tile) {
  std::set<const GemmTile*> used;
  many_products([&](GemmProblem g, DType dtype, MatmulPrecision precision, GemmDevice device) {
    const GemmPlan p = plan_gemm(g, dtype, precision, device);
    for (const GemmTile& tile : kGemmTiles) {
      if (tile.kernel == p.kernel && tile.m == p.m && tile.n == p.n &&
          tile.ping_pong == p.ping_pong) {
        used.insert(&tile);
      }
    }
  });
  for (const GemmTile& tile : kGemmTiles) CHECK(used.count(&tile) == 1);
}

/// What the cases of kernels_gemm.cpp and tests/contract/test_contract_gemm.py count on.
CASE(plans_in_the_simulator) {
  for (const auto& [m, n, k] : {std::array{21, 512, 144}, std::array{12, 1000, 160}}) {
    const GemmPlan swapped = plan(DType::bf16, m, n, k, {90, 4});
    CHECK(swapped.kernel == GemmKernel::hopper && swapped.transposed && swapped.n == 32);
  }
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

/// a [2, 3, 3, 2, 128, 2048], b in that order transposed, y, and a residual that repeats over its
/// second and last batch axis, which keeps all four apart.
struct FourAxes {
  Array a, b, y;
  GemmEpilogue epilogue;

  explicit FourAxes(DType inputs, DType output) {
    a = batched(inputs, 128, 2048), b = batched(inputs, 128, 2048), y = batched(output, 128, 128);
    std::swap(b.shape[4], b.shape[5]);
    std::swap(b.stride[4], b.stride[5]);
    epilogue.residual = y;
    epilogue.residual.shape[1] = epilogue.residual.shape[3] = 1;
    epilogue.residual.stride[0] = 3 * 128 * 128, epilogue.residual.stride[2] = 128 * 128;
  }

  static Array batched(DType dtype, int64_t rows, int64_t columns) {
    Array x = matrix(dtype, rows, columns);
    x.ndim = 6;
    const int64_t shape[] = {2, 3, 3, 2, rows, columns};
    int64_t step = 1;
    for (int i = 5; i >= 0; i--) x.shape[i] = shape[i], x.stride[i] = step, step *= shape[i];
    return x;
  }
};

/// The workspace is asked for without the residual: a plan may not change with one.
CASE(plans_do_not_depend_on_the_axes_a_residual_keeps_apart) {
  for (const int processors : {90, 132}) {
    const GemmDevice device{90, processors};
    for (const auto& [inputs, precision] :
         {std::pair{DType::f32, kHigh}, std::pair{DType::f32, kTf32}, std::pair{DType::f16, kExact},
          std::pair{DType::i8, kExact}}) {
      const FourAxes x(inputs, inputs == DType::i8 ? DType::i32 : inputs);
      GemmProblem plain = gemm_problem(x.a, x.b, x.y, {});
      GemmProblem full = gemm_problem(x.a, x.b, x.y, x.epilogue);
      CHECK_EQ(plain.batch.ndim, 1);
      CHECK_EQ(full.batch.ndim, 4);
      const GemmPlan p = plan_gemm(plain, inputs, precision, device);
      const GemmPlan q = plan_gemm(full, inputs, precision, device);
      CHECK(p.kernel == q.kernel);
      CHECK_EQ(p.splits, q.splits);
      CHECK_EQ(p.workspace(), q.workspace());
    }
    // 8-bit floats: neither with nor without it, so that both take the way round by 16 bits.
    const FourAxes x(DType::f8e4m3, DType::f16);
    CHECK(!gemm_hopper_float8_fits(gemm_problem(x.a, x.b, x.y, {}, false), 90));
    CHECK(!gemm_hopper_float8_fits(gemm_problem(x.a, x.b, x.y, x.epilogue, false), 90));
  }
}

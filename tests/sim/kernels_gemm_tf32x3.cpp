// The Hopper GEMM of float32 by three tf32 products on small shapes, against plain loops, with
// clusters of one and of two blocks, and with asynchronous work completing at once, at its wait,
// and at random. What its errors are is in tests/contract/test_gemm_hopper_tf32x3.py.

#include <array>

#include "gemm_hopper_ways.h"

using namespace gg;

namespace {

constexpr GemmTile kTile{GemmKernel::hopper, 128, 128, 1};

using Floats = Matrix<float>;

/// What gemm() would run on an H100 of that many multiprocessors.
GemmPlan planned(const Array& a, const Array& b, const Array& y, int multiprocessors) {
  GemmProblem g = gemm_problem(a, b, y, {});
  return plan_gemm(g, DType::f32, MatmulPrecision::high, {90, multiprocessors});
}

bool fits(const GemmProblem& g, int architecture = 90) {
  return gemm_hopper_fits(g, GemmMath::tf32x3, DType::f32, kTile, architecture);
}

/// The problem as the kernel gets it; k is not split.
GemmProblem problem(const Array& a, const Array& b, const Array& y,
                    const GemmEpilogue& epilogue = {}) {
  GemmProblem g = gemm_problem(a, b, y, epilogue);
  set_access(g, DType::f32);
  g.exact_overflow = true;
  CHECK(fits(g));
  return g;
}

void launch(const GemmProblem& g, int cluster) {
  GemmPlan plan{};
  plan.kernel = GemmKernel::hopper, plan.math = GemmMath::tf32x3, plan.cluster = cluster;
  plan.m = kTile.m, plan.n = kTile.n, plan.splits = g.split.count, plan.split_k = g.split.k;
  launch_gemm_hopper(nullptr, g, plan, DType::f32);
}

double exact_sum(const Array& a, const Array& b, int64_t batch, int64_t row, int64_t column) {
  const float* const x = a.as<float>() + batch * a.stride[0] + row * a.stride[1];
  const float* const y = b.as<float>() + batch * b.stride[0] + column * b.stride[2];
  double sum = 0;
  for (int64_t k = 0; k < a.shape[2]; k++) sum += double(x[k * a.stride[2]]) * y[k * b.stride[1]];
  return sum;
}

/// y = a b as float32 has it, of which every `step`-th element is checked.
void check_exact(const Array& a, const Array& b, const Host<float>& y, int64_t step) {
  const int64_t m = a.shape[1], n = b.shape[2];
  const double scale = std::sqrt(static_cast<double>(a.shape[2]));
  for (int64_t i = 0; i < y.size; i += step) {
    check_near<float>("y", i, y[i], exact_sum(a, b, i / (m * n), i / n % m, i % n), scale);
  }
}

/// a b, by blocks alone and in clusters, which give the same bits.
void check_multiply(const Array& a, const Array& b, int64_t step = 1) {
  const Host<float> y({a.shape[0], a.shape[1], b.shape[2]}), other(y.shape);
  launch(problem(a, b, y), 1);
  check_exact(a, b, y, step);
  launch(problem(a, b, other), 2);
  for (int64_t i = 0; i < y.size; i++) CHECK_EQ(y[i], other[i]);
}

}  // namespace

/// gemm() takes this kernel: for the sizes of tests/contract/test_gemm_hopper_tf32x3.py on the
/// simulator's four multiprocessors; for large ones on a real H100's 132, in any orientation.
CASE(hopper_tf32x3_is_planned) {
  const int64_t sizes[][4] = {{1, 200, 300, 330}, {1, 264, 520, 192}, {1, 530, 392, 264},
                              {3, 136, 264, 200}, {3, 136, 256, 200}, {1, 256, 256, 192},
                              {1, 256, 256, 200}, {1, 256, 256, 512}, {1, 256, 256, 1024},
                              {1, 264, 264, 300}, {1, 264, 264, 512}, {6, 130, 130, 192}};
  for (const auto& [batch, m, n, k] : sizes) {
    const Floats a(m, k, false, 1, batch), b(k, n, true, 2, batch);
    const GemmPlan plan = planned(a.array, b.array, Host<float>({batch, m, n}), 4);
    CHECK(plan.kernel == GemmKernel::hopper && plan.math == GemmMath::tf32x3);
    CHECK(plan.n == 128 && !plan.ping_pong);
  }
  for (int turned = 0; turned < 4; turned++) {
    const Floats a(2048, 2048, turned & 1), b(2048, 2048, turned & 2);
    const GemmPlan plan = planned(a.array, b.array, a.array, 132);
    CHECK(plan.kernel == GemmKernel::hopper && plan.math == GemmMath::tf32x3);
    CHECK(plan.pack_a + plan.pack_b == (turned & 1 ? 1 : 0) + (turned & 2 ? 0 : 1));
  }
}

/// gemm() launches what was planned.
CASE(hopper_tf32x3_is_launched) {
  const Hopper hopper;
  const Floats a(264, 300, false, 1), b(300, 264, true, 2);
  const Host<float> y({1, 264, 264}), expected(y.shape);
  const MatmulPrecision high = MatmulPrecision::high;
  const int64_t bytes = gemm_workspace(a.array, b.array, y, high);
  gemm(nullptr, a.array, b.array, y, {}, high, workspace(bytes));
  launch(problem(a.array, b.array, expected), 1);
  for (int64_t i = 0; i < y.size; i++) CHECK_EQ(y[i], expected[i]);
}

/// Tails in m, n and k, and a block without rows in the second cluster; k is longer than the ring
/// of 4 stages of 32.
CASE(hopper_tf32x3_tails) {
  in_every_async_mode([] {
    const Floats a(300, 202, false, 1), b(202, 140, true, 2);
    check_multiply(a.array, b.array, 3);
  });
}

/// One tile, of which most is outside; the ring goes round almost three times.
CASE(hopper_tf32x3_one_tile) {
  in_every_async_mode([] {
    const Floats a(72, 32 * 11, false, 1), b(32 * 11, 66, true, 2);
    check_multiply(a.array, b.array);
  });
}

/// More tiles than blocks: a block goes on to its next tile in the middle of the ring.
CASE(hopper_tf32x3_more_tiles_than_blocks) {
  in_every_async_mode([] {
    const Floats a(530, 196, false, 1), b(196, 264, true, 2);
    check_multiply(a.array, b.array, 13);
  });
}

/// Batches of both operands, and one matrix for all of them.
CASE(hopper_tf32x3_batches) {
  in_every_async_mode([] {
    const int64_t batch = 3, m = 136, n = 140, k = 192;
    const Floats a(m, k, false, 1, batch), b(k, n, true, 2, batch);
    const Floats one(k, n, true, 3);
    check_multiply(a.array, b.array, 17);
    check_multiply(a.array, repeated(one.array, 0, batch), 17);
  });
}

/// k split between blocks, whose partial sums another kernel adds.
CASE(hopper_tf32x3_split_k) {
  in_every_async_mode([] {
    const Floats a(120, 500, false, 1), b(500, 120, true, 2);
    const Host<float> y({1, 120, 120});
    GemmProblem g = problem(a.array, b.array, y);
    g.split.k = 192, g.split.count = 3;  // the last one is shorter, and ends in a tail
    const Host<float> partial({3 * g.partial_size()});
    g.split.partial = partial.data.get();
    for (int cluster = 1; cluster <= 2; cluster++) {
      launch(g, cluster);
      launch_gemm_split_sum(nullptr, g, DType::f32);
      check_exact(a.array, b.array, y, 7);
    }
  });
}

/// Infinity, and sums that only the split overflows, in one tile with others.
CASE(hopper_tf32x3_overflow) {
  in_every_async_mode([] {
    const Floats a(72, 196, false, 1), b(196, 72, true, 2);
    a.memory.data[3 * 196 + 5] = INFINITY;
    for (int64_t k = 0; k < 196; k++) a.memory.data[9 * 196 + k] *= 1e36f;
    const Host<float> y({1, 72, 72});
    launch(problem(a.array, b.array, y), 1);
    for (int64_t i = 0; i < y.size; i++) {
      if (i / 72 == 3) {
        CHECK(std::isinf(y[i]));
      } else {
        const double wanted = exact_sum(a.array, b.array, 0, i / 72, i % 72);
        check_near<float>("y", i, y[i], wanted, i / 72 == 9 ? 14e36 : 14);
      }
    }
  });
}

/// What it does not take: short k, operands that are not contiguous along k, other machines.
CASE(hopper_tf32x3_refuses) {
  const Floats a(200, 192, false, 1), b(192, 300, true, 2), turned(192, 300, false, 2);
  const Floats short_a(200, 188, false, 1), short_b(188, 300, true, 2);
  const Host<float> y({1, 200, 300});
  const GemmProblem g = gemm_problem(a.array, b.array, y, {});
  CHECK(fits(g));
  for (int other : {75, 80, 89, 100, 120}) CHECK(!fits(g, other));
  CHECK(!fits(gemm_problem(a.array, turned.array, y, {})));
  CHECK(!fits(gemm_problem(short_a.array, short_b.array, y, {})));
}

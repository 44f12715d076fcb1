// The Hopper GEMM (TMA, mbarrier, wgmma) on small shapes, against plain loops, with asynchronous
// work completing at once, at its wait, and at random.

#include <array>

#include "as_hopper.h"
#include "host_array.h"
#include "kernels/gemm_hopper.cuh"
#include "kernels/gemm_launch.cuh"

using namespace gg;

namespace {

/// What gemm() would run on an H100 of that many multiprocessors.
GemmKernel planned(const Array& a, const Array& b, const Array& y, int multiprocessors) {
  GemmProblem g = gemm_problem(a, b, y, {});
  return plan_gemm(g, a.dtype, MatmulPrecision::exact, {90, multiprocessors}).kernel;
}

/// The problem as the kernel gets it; k is not split.
GemmProblem fitting(const Array& a, const Array& b, const Array& y, const GemmEpilogue& epilogue) {
  GemmProblem g = gemm_problem(a, b, y, epilogue);
  plan_gemm(g, a.dtype, MatmulPrecision::exact, {90, multiprocessors()});
  CHECK(gemm_hopper_fits(g, a.dtype, 90));
  g.split = {nullptr, g.split.pitch, g.k, 1};
  return g;
}

/// gemm on the Hopper kernel, whatever the cost model thinks of so small a product.
void run(const Array& a, const Array& b, const Array& y, const GemmEpilogue& epilogue = {}) {
  launch_gemm_hopper(nullptr, fitting(a, b, y, epilogue), a.dtype);
}

/// A [rows, columns] matrix whose rows, or columns (turned), are contiguous and padded to `pitch`.
template <class T>
struct Matrix {
  Host<T> memory;
  Array array;

  Matrix(int64_t rows, int64_t columns, bool turned, int64_t seed = 0, int64_t batch = 1)
      : memory({batch, turned ? columns : rows, pitch(turned ? rows : columns)},
               [=](int64_t i) { return noise(i + 100000 * seed); }),
        array(memory) {
    array.shape[2] = turned ? rows : columns;
    if (turned) array = transposed(array, 1, 2);
  }

  static int64_t pitch(int64_t n) { return (n + 7) / 8 * 8; }  // 16 bytes
};

double at(const Array& x, std::initializer_list<int64_t> index) {
  int64_t offset = 0;
  int axis = 0;
  for (int64_t i : index) offset += i * x.stride[axis++];
  if (x.dtype == DType::f32) return x.as<float>()[offset];
  if (x.dtype == DType::f16) return convert<double>(x.as<f16>()[offset]);
  return convert<double>(x.as<bf16>()[offset]);
}

double sum_at(const Array& a, const Array& b, int64_t batch, int64_t row, int64_t column) {
  double sum = 0;
  for (int64_t k = 0; k < a.shape[2]; k++) {
    sum += at(a, {batch, row, k}) * at(b, {batch, k, column});
  }
  return sum;
}

/// y = a b, of which every `step`-th element is checked.
template <class T>
void check_product(const Array& a, const Array& b, const Host<T>& y, int64_t step) {
  const int64_t m = a.shape[1], n = b.shape[2];
  const double scale = 2 * std::sqrt(static_cast<double>(a.shape[2]));
  for (int64_t i = 0; i < y.size; i += step) {
    check_near<T>("y", i, y[i], sum_at(a, b, i / (m * n), i / n % m, i % n), scale);
  }
}

/// The same for every orientation of a and b.
template <class T>
void check_orientations(int64_t m, int64_t n, int64_t k, int64_t step) {
  for (int turned = 0; turned < 4; turned++) {
    const Matrix<T> a(m, k, turned & 1, 1), b(k, n, turned & 2, 2);
    const Host<T> y({1, m, n});
    run(a.array, b.array, y);
    check_product(a.array, b.array, y, step);
  }
}

}  // namespace

/// gemm() takes this kernel: for the sizes of tests/contract/test_gemm_hopper.py, where kernels
/// have no name, on the simulator's four multiprocessors; for large ones on a real H100's 132.
CASE(hopper_gemm_is_planned) {
  const int64_t sizes[][4] = {{1, 200, 300, 130}, {1, 264, 520, 64},  {1, 264, 520, 328},
                              {1, 530, 520, 72},  {3, 136, 264, 72},  {3, 136, 256, 72},
                              {6, 130, 130, 64},  {1, 150, 270, 128}, {1, 200, 300, 264},
                              {1, 200, 304, 136}, {6, 136, 136, 64}};
  for (const auto& [batch, m, n, k] : sizes) {
    const Matrix<f16> a(m, k, false, 1, batch), b(k, n, false, 2, batch);
    CHECK(planned(a.array, b.array, Host<f16>({batch, m, n}), 4) == GemmKernel::hopper);
  }
  for (const auto& [m, n, k] : {std::array{150, 270, 128}, std::array{200, 300, 264}}) {
    const Matrix<bf16> a(m, k, false), b(k, n, false);
    CHECK(planned(a.array, b.array, Host<float>({1, m, n}), 4) == GemmKernel::hopper);
  }
  const Matrix<bf16> large(4096, 4096, false);
  CHECK(planned(large.array, large.array, large.array, 132) == GemmKernel::hopper);
}

/// gemm() launches what was planned.
CASE(hopper_gemm_is_launched) {
  const Hopper hopper;
  const Matrix<f16> a(200, 130, false, 1), b(130, 300, false, 2);
  const Host<f16> y({1, 200, 300}), expected({1, 200, 300});
  const MatmulPrecision exact = MatmulPrecision::exact;
  gemm(nullptr, a.array, b.array, y, {}, exact, workspace(0));
  run(a.array, b.array, expected);
  for (int64_t i = 0; i < y.size; i++) CHECK_EQ(y[i], expected[i]);
}

/// Tails in m, n and k; k shorter than the ring; one tile for each block.
CASE(hopper_gemm_tails) {
  in_every_async_mode([] { check_orientations<bf16>(200, 300, 130, 1); });
}

/// A ring that goes round several times.
CASE(hopper_gemm_long_k) {
  in_every_async_mode([] { check_orientations<f16>(200, 300, 64 * 11, 7); });
}

/// More tiles than blocks: a block goes on to its next tile in the middle of the ring.
CASE(hopper_gemm_more_tiles_than_blocks) {
  in_every_async_mode([] {
    const Matrix<f16> a(530, 72, false, 1), b(72, 520, false, 2);
    const Host<f16> y({1, 530, 520});
    run(a.array, b.array, y);
    check_product(a.array, b.array, y, 7);
  });
}

/// More rows of tiles than a group has.
CASE(hopper_gemm_second_group) {
  const Hopper hopper;
  sim::set_schedule(nullptr, "random", 7, 1);
  const int64_t m = 128 * 16 + 40, n = 264, k = 64;
  const Matrix<bf16> a(m, k, true, 1), b(k, n, true, 2);
  const Host<bf16> y({1, m, n});
  run(a.array, b.array, y);
  check_product(a.array, b.array, y, 37);
}

/// Batches of both operands, and one matrix for all of them.
CASE(hopper_gemm_batches) {
  in_every_async_mode([] {
    const int64_t batch = 3, m = 136, n = 264, k = 72;
    const Matrix<bf16> a(m, k, true, 1, batch), b(k, n, false, 2, batch);
    const Host<bf16> y({batch, m, n});
    const Array one = repeated(Matrix<bf16>(b).array, 0, batch);
    for (const Array& right : {b.array, one}) {
      run(a.array, right, y);
      check_product(a.array, right, y, 5);
    }
  });
}

/// Everything that may follow the sums, into float32 that is added to.
CASE(hopper_gemm_epilogue) {
  in_every_async_mode([] {
    const int64_t m = 150, n = 270, k = 128;
    const Matrix<f16> a(m, k, false, 1), b(k, n, true, 2);
    const Host<float> y({1, m, n}, noise), before({1, m, n}, noise), bias({n}, noise),
        residual({1, m, n}, [](int64_t i) { return noise(i + 9); }), scale({n}, noise);
    run(a.array, b.array, y, {scale, bias, residual, 0.5, -2, Activation::relu});
    for (int64_t i = 0; i < y.size; i++) {
      const int64_t row = i / n, column = i % n;
      const double sum = 0.5 * scale[column] * sum_at(a.array, b.array, 0, row, column);
      const double wanted = sum + bias[column] + residual[i] - 2 * before[i];
      check_near<float>("y", i, y[i], std::max(wanted, 0.0), 23);
    }
  });
}

/// One block, one tile, of which most is outside; the ring goes round almost three times.
CASE(hopper_gemm_one_tile) {
  in_every_async_mode([] {
    const Matrix<f16> a(72, 64 * 11, true, 1), b(64 * 11, 96, false, 2);
    const Host<f16> y({1, 72, 96});
    run(a.array, b.array, y);
    check_product(a.array, b.array, y, 1);
  });
}

/// k split between blocks, whose partial sums another kernel adds.
CASE(hopper_gemm_split_k) {
  in_every_async_mode([] {
    const Matrix<bf16> a(120, 500, false, 1), b(500, 250, false, 2);
    const Host<float> y({1, 120, 250});
    GemmProblem g = fitting(a.array, b.array, y, {});
    g.split.k = 192, g.split.count = 3;  // the last one is shorter, and ends in a tail
    const Host<float> partial({3 * g.partial_size()});
    g.split.partial = partial.data.get();
    launch_gemm_hopper(nullptr, g, DType::bf16);
    launch_gemm_split_sum(nullptr, g, DType::bf16);
    check_product(a.array, b.array, y, 7);
  });
}

/// What TMA cannot read is not taken as it stands (gemm() may copy it first), nor what other
/// machines would have to run.
CASE(hopper_gemm_refuses) {
  const Hopper hopper;
  const int64_t m = 200, n = 300, k = 152;
  const Matrix<f16> memory(m, 2 * k, false, 1), b(k, n, false, 2);
  const Host<f16> y({1, m, n});
  Array a = memory.array;
  a.shape[2] = k;
  const GemmProblem g = gemm_problem(a, b.array, y, {});
  CHECK(gemm_hopper_fits(g, DType::f16, 90));
  for (int other : {75, 80, 89, 100, 120}) CHECK(!gemm_hopper_fits(g, DType::f16, other));
  CHECK(!gemm_hopper_fits(g, DType::f32, 90));
  const auto refused = [&](const Array& left, const Array& right, const Array& out) {
    return !gemm_hopper_fits(gemm_problem(left, right, out, {}), DType::f16, 90);
  };
  Array shifted = a, gaps = a;
  shifted.data = shifted.as<f16>() + 1;  // not aligned to 16 bytes
  gaps.stride[2] = 2;                    // not contiguous along any axis
  for (const Array& left : {shifted, gaps, backwards(a, 1)}) {
    CHECK(refused(left, b.array, y));
    const MatmulPrecision exact = MatmulPrecision::exact;
    gemm(nullptr, left, b.array, y, {}, exact, workspace(gemm_workspace(left, b.array, y, exact)));
    check_product(left, b.array, y, 7);
  }
  Array odd_rows = a, odd_matrices = a, short_rows = a, two = y, few = y;
  odd_rows.stride[1] += 4;
  CHECK(refused(odd_rows, b.array, y));
  odd_matrices.shape[0] = two.shape[0] = 2, odd_matrices.stride[0] += 4;
  CHECK(refused(odd_matrices, b.array, two));
  short_rows.shape[1] = few.shape[1] = 40;
  CHECK(refused(short_rows, b.array, few));
}

// The Hopper GEMM (TMA, mbarrier, wgmma) on small shapes, against plain loops, with asynchronous
// work completing at once, at its wait, and at random. Each case first makes sure that the plan is
// the Hopper kernel: nothing here may pass by falling back to another one.

#include <array>

#include "host_array.h"
#include "kernels/gemm_hopper.cuh"
#include "kernels/gemm_launch.cuh"

using namespace gg;

namespace {

/// An H100 for as long as this lives.
struct Hopper {
  int before = sim::architecture();
  Hopper() { sim::set_architecture(90); }
  ~Hopper() { sim::set_architecture(before); }
};

bool planned_on_hopper(const Array& a, const Array& b, const Array& y) {
  GemmProblem g = gemm_problem(a, b, y, {});
  const GemmPlan plan = plan_gemm(g, a.dtype, MatmulPrecision::exact, {90, multiprocessors()});
  return plan.kernel == GemmKernel::hopper;
}

void run(const Array& a, const Array& b, const Array& y, const GemmEpilogue& epilogue = {}) {
  const MatmulPrecision exact = MatmulPrecision::exact;
  gemm(nullptr, a, b, y, epilogue, exact, workspace(gemm_workspace(a, b, y, exact)));
}

/// f in each of the ways in which TMA and wgmma may complete, in the order of the command line.
template <class F>
void in_every_async_mode(F f) {
  const Hopper hopper;
  for (const char* mode : {"eager", "lazy", "random"}) {
    sim::set_schedule(nullptr, mode, 7, 1);
    f();
  }
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
    CHECK(planned_on_hopper(a.array, b.array, y));
    run(a.array, b.array, y);
    check_product(a.array, b.array, y, step);
  }
}

}  // namespace

/// The sizes of tests/contract/test_gemm_hopper.py, where the kernel has no name.
CASE(hopper_gemm_is_planned) {
  const int64_t sizes[][4] = {{1, 200, 300, 130}, {1, 264, 520, 64},  {1, 264, 520, 328},
                              {1, 530, 520, 72},  {3, 136, 264, 72},  {3, 136, 256, 72},
                              {6, 130, 130, 64},  {1, 150, 270, 128}, {1, 200, 300, 264},
                              {1, 200, 304, 136}, {6, 136, 136, 64}};
  for (const auto& [batch, m, n, k] : sizes) {
    const Matrix<f16> a(m, k, false, 1, batch), b(k, n, false, 2, batch);
    CHECK(planned_on_hopper(a.array, b.array, Host<f16>({batch, m, n})));
  }
  for (const auto& [m, n, k] : {std::array{150, 270, 128}, std::array{200, 300, 264}}) {
    const Matrix<bf16> a(m, k, false), b(k, n, false);
    CHECK(planned_on_hopper(a.array, b.array, Host<float>({1, m, n})));
  }
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
    CHECK(planned_on_hopper(a.array, b.array, y));
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
  CHECK(planned_on_hopper(a.array, b.array, y));
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
      CHECK(planned_on_hopper(a.array, right, y));
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
    CHECK(planned_on_hopper(a.array, b.array, y));
    run(a.array, b.array, y, {scale, bias, residual, 0.5, -2, Activation::relu});
    for (int64_t i = 0; i < y.size; i++) {
      const int64_t row = i / n, column = i % n;
      const double sum = 0.5 * scale[column] * sum_at(a.array, b.array, 0, row, column);
      const double wanted = sum + bias[column] + residual[i] - 2 * before[i];
      check_near<float>("y", i, y[i], std::max(wanted, 0.0), 23);
    }
  });
}

// Where the simulator's four multiprocessors are the machine, a plan gives neither of the following
// to this kernel: they are launched by hand.

GemmProblem fitting(const Array& a, const Array& b, const Array& y) {
  GemmProblem g = gemm_problem(a, b, y, {});
  plan_gemm(g, a.dtype, MatmulPrecision::exact, {90, 4});
  CHECK(gemm_hopper_fits(g, a.dtype, 90));
  return g;
}

/// One block, one tile, of which most is outside; the ring goes round almost three times.
CASE(hopper_gemm_one_tile) {
  in_every_async_mode([] {
    const Matrix<f16> a(72, 64 * 11, true, 1), b(64 * 11, 96, false, 2);
    const Host<f16> y({1, 72, 96});
    GemmProblem g = fitting(a.array, b.array, y);
    g.split = {nullptr, g.split.pitch, g.k, 1};
    launch_gemm_hopper(nullptr, g, DType::f16);
    check_product(a.array, b.array, y, 1);
  });
}

/// k split between blocks, whose partial sums another kernel adds.
CASE(hopper_gemm_split_k) {
  in_every_async_mode([] {
    const Matrix<bf16> a(120, 500, false, 1), b(500, 250, false, 2);
    const Host<float> y({1, 120, 250});
    GemmProblem g = fitting(a.array, b.array, y);
    g.split.k = 192, g.split.count = 3;  // the last one is shorter, and ends in a tail
    const Host<float> partial({3 * g.partial_size()});
    g.split.partial = partial.data.get();
    launch_gemm_hopper(nullptr, g, DType::bf16);
    launch_gemm_split_sum(nullptr, g, DType::bf16);
    check_product(a.array, b.array, y, 7);
  });
}

/// What TMA cannot read goes to another kernel and is right all the same.
CASE(hopper_gemm_refuses) {
  const Hopper hopper;
  const int64_t m = 200, n = 300, k = 152;
  const Matrix<f16> memory(m, 2 * k, false, 1), b(k, n, false, 2);
  const Host<f16> y({1, m, n});
  Array a = memory.array;
  a.shape[2] = k;
  CHECK(planned_on_hopper(a, b.array, y));
  Array shifted = a, gaps = a;
  shifted.data = shifted.as<f16>() + 1;  // not aligned to 16 bytes
  gaps.stride[2] = 2;                    // not contiguous along any axis
  for (const Array& left : {shifted, gaps, backwards(a, 1)}) {
    CHECK(!planned_on_hopper(left, b.array, y));
    run(left, b.array, y);
    check_product(left, b.array, y, 7);
  }
  GemmProblem g = gemm_problem(a, b.array, y, {});
  CHECK(plan_gemm(g, DType::f16, MatmulPrecision::exact, {80, 4}).kernel != GemmKernel::hopper);
}

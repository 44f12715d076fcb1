// What the Hopper GEMM does with its sums: every epilogue, by TMA stores and without, and sums of
// parts of k.

#include "gemm_hopper_ways.h"

using namespace gg;

namespace {

GemmEpilogue epilogue_of(const Array& scale, const Array& bias, double alpha, Activation act) {
  GemmEpilogue e;
  e.scale = scale, e.bias = bias, e.alpha = alpha, e.act = act;
  return e;
}

}  // namespace

/// Everything that TMA stores take: scales of rows and columns, bias of columns.
CASE(hopper_gemm_stored_epilogue) {
  const int64_t m = 72, n = 270, k = 64;
  const Matrix<f16> a(m, k, false, 1), b(k, n, true, 2);
  const Host<float> bias({n}, noise), scale({n}, noise), rows({m}, noise);
  GemmEpilogue epilogue = epilogue_of(scale, bias, 0.5, Activation::gelu);
  epilogue.row_scale = rows;
  in_turns(2, [&](int turn) {
    on_all_ways<float>(a.array, b.array, epilogue, turn, [&](const Array& y) {
      for (int64_t i = 0; i < m * n; i += 7) {
        const int64_t row = i / n, column = i % n;
        const double factor = 0.5 * rows[row] * scale[column];
        const double x = factor * sum_at(a.array, b.array, 0, row, column) + bias[column];
        const double wanted = x * 0.5 * std::erfc(-x / std::sqrt(2.0));
        check_near<float>("y", i, y.as<float>()[row * y.stride[1] + column], wanted, 46);
      }
    });
  });
}

/// The same into y whose columns are contiguous: a transposed problem, of whose rows bias is.
CASE(hopper_gemm_stored_columns) {
  const int64_t m = 72, n = 136, k = 40;
  const Matrix<f16> a(m, k, false, 1), b(k, n, true, 2);
  const Host<f16> bias({n}, noise), y({1, m, n});
  const Host<float> scale({n}, noise);
  const GemmEpilogue epilogue = epilogue_of(scale, bias, 1, Activation::relu);
  in_turns(2, [&](int turn) {
    run(a.array, b.array, y, epilogue);
    for (const Way& way : ways(2, turn)) {
      const Matrix<f16> turned(m, n, true);
      GemmProblem g = gemm_problem(a.array, b.array, turned.array, epilogue);
      transpose(g);
      set_access(g, DType::f16);
      launch_on(way, g, DType::f16);
      check_same<f16>(turned.array, y, way);
    }
  });
}

/// Everything that may follow the sums, into float32 that is added to.
CASE(hopper_gemm_epilogue) {
  in_turns(3, [](int turn) {
    const int64_t m = 150, n = 270, k = 72;
    const Matrix<f16> a(m, k, false, 1), b(k, n, true, 2);
    const Host<float> y({1, m, n}, noise), before({1, m, n}, noise), bias({n}, noise),
        residual({1, m, n}, [](int64_t i) { return noise(i + 9); }), scale({n}, noise);
    GemmEpilogue epilogue = epilogue_of(scale, bias, 0.5, Activation::relu);
    epilogue.residual = residual, epilogue.beta = -2;
    run(a.array, b.array, y, epilogue, ways(2, 0)[turn]);
    for (int64_t i = 0; i < y.size; i += 3) {
      const int64_t row = i / n, column = i % n;
      const double sum = 0.5 * scale[column] * sum_at(a.array, b.array, 0, row, column);
      const double wanted = sum + bias[column] + residual[i] - 2 * before[i];
      check_near<float>("y", i, y[i], std::max(wanted, 0.0), 23);
    }
  });
}

/// k split between blocks, whose partial sums another kernel adds.
CASE(hopper_gemm_split_k) {
  const Matrix<bf16> a(120, 500, false, 1), b(500, 120, false, 2);
  in_turns(2, [&](int turn) {
    for (const Way& way : ways(2, turn)) {
      const Host<float> y({1, 120, 120});
      GemmProblem g = fitting(a.array, b.array, y, {}, way);
      g.split.k = 192, g.split.count = 3;  // the last one is shorter, and ends in a tail
      const Host<float> partial({3 * g.partial_size()});
      g.split.partial = partial.data.get();
      launch_on(way, g, DType::bf16);
      launch_gemm_split_sum(nullptr, g, DType::bf16);
      check_product<float>(a.array, b.array, y, 17);
    }
  });
}

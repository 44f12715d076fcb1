// gemm on small shapes, against plain loops: every kernel, layout, epilogue, and architecture.

#include "host_array.h"

using namespace gg;

// ---- problems ----------------------------------------------------------------------------------

enum class Turn { rows, columns, strided, offset };  // how a matrix lies in memory

/// A matrix [batch, rows, columns], and the same as an Array in that memory layout.
template <class T>
struct Matrix {
  Host<T> dense, memory;
  Array array;

  Matrix(const Shape& s, Turn turn, int seed)
      : dense(s, [=](int64_t i) { return value(i + seed); }), memory(memory_shape(s, turn)) {
    array = memory;
    if (turn == Turn::columns) array = transposed(array, 1, 2);
    if (turn == Turn::strided) array.stride[2] = 2, array.shape[2] = s[2];
    if (turn == Turn::offset) {
      array.data = memory.data.get() + 1;
      array.shape[2] = s[2];
    }
    for (int64_t i = 0; i < dense.size; i++) {
      const int64_t b = i / (s[1] * s[2]), r = i / s[2] % s[1], c = i % s[2];
      array.as<T>()[b * array.stride[0] + r * array.stride[1] + c * array.stride[2]] =
          dense.data[i];
    }
  }

  static double value(int64_t i) {
    const double x = noise(i);
    if constexpr (std::is_floating_point_v<T> || is_half<T>) return x;
    if constexpr (std::is_same_v<T, bool>) return x > 1.9;
    return std::floor(60 * x) + (std::is_unsigned_v<T> ? 128 : 0);
  }
  static Shape memory_shape(const Shape& s, Turn turn) {
    if (turn == Turn::columns) return {s[0], s[2], s[1]};
    if (turn == Turn::strided) return {s[0], s[1], 2 * s[2]};
    return {s[0], s[1], s[2] + (turn == Turn::offset ? 1 : 0)};
  }
};

struct GemmSizes {
  int64_t batch, m, n, k;
};

struct Settings {
  Turn a = Turn::rows, b = Turn::rows, y = Turn::rows;
  bool scale = false, bias = false, residual = false;
  double alpha = 1, beta = 0;
  Activation act = Activation::none;
  MatmulPrecision precision = MatmulPrecision::exact;
};

double activated(Activation act, double x) {
  return act == Activation::relu ? std::max(x, 0.0) : x;
}

/// How far sums of k products of T may be off. Products of [-2, 2): a random walk of k roundings;
/// tensor cores truncate a sum of up to 4 sqrt(k) once for every 8 of k.
template <class T>
double sum_error(const Settings& s, int64_t k) {
  if (!is_float<T>) return 0;
  const double terms = static_cast<double>(k), root = std::sqrt(terms);
  if (std::is_same_v<T, double>) return 0x1p-48 * (4 + root);
  // tf32: two factors rounded to 11 bits
  const bool tf32 = std::is_same_v<T, float> && s.precision == MatmulPrecision::tf32;
  return (tf32 ? 0x1p-7 : 0x1p-19) * (4 + root) + (terms / 8 + 1) * 0x1p-23 * 4 * root;
}

/// Half an ulp of y.
template <class Y>
double rounding(double y) {
  const double unit = std::is_same_v<Y, f16>    ? 0x1p-11
                      : std::is_same_v<Y, bf16> ? 0x1p-8
                      : is_float<Y>             ? 0x1p-23
                                                : 0;
  return unit * std::fabs(y) + (is_float<Y> ? 1e-7 : 0);
}

/// One element of y by a plain loop, wrapped to Y if that is an integer.
template <class T, class Y>
double expected(const Matrix<T>& a, const Matrix<T>& b, GemmSizes z, int64_t i, const Settings& s,
                const Host<float>& scale, const Host<Y>& bias, double residual, double before) {
  const int64_t batch = i / (z.m * z.n), row = i / z.n % z.m, column = i % z.n;
  double sum = 0;
  for (int64_t k = 0; k < z.k; k++) {
    sum += a.dense[(batch * z.m + row) * z.k + k] * b.dense[k * z.n + column];
  }
  double y = s.alpha * (s.scale ? scale[column] : 1) * sum + s.beta * before;
  if (s.bias) y += bias[column];
  if (s.residual) y += residual;
  if (std::is_same_v<Y, bool>) return sum != 0;
  if constexpr (std::is_integral_v<Y>) return static_cast<Y>(static_cast<int64_t>(y));
  return activated(s.act, y);
}

template <class T, class Y = T>
void check_gemm(GemmSizes z, const Settings& s = {}) {
  const Matrix<T> a({z.batch, z.m, z.k}, s.a, 1), b({1, z.k, z.n}, s.b, 1000);
  const Matrix<Y> y({z.batch, z.m, z.n}, s.y, 77), residual({z.batch, z.m, z.n}, s.y, 99);
  const Host<float> scale({z.n}, [](int64_t i) { return 1 + noise(i) / 4; });
  const Host<Y> bias({z.n}, [](int64_t i) { return std::floor(8 * noise(i + 5)); });
  GemmEpilogue e;
  if (s.scale) e.scale = scale;
  if (s.bias) e.bias = bias;
  if (s.residual) e.residual = residual.array;
  e.alpha = s.alpha, e.beta = s.beta, e.act = s.act;
  const Host<uint8_t> space = workspace(gemm_workspace(a.array, b.array, y.array, s.precision));
  gemm(nullptr, a.array, b.array, y.array, e, s.precision, space);
  for (int64_t i = 0; i < y.dense.size; i++) {
    const int64_t at = i / (z.m * z.n) * y.array.stride[0] + i / z.n % z.m * y.array.stride[1] +
                       i % z.n * y.array.stride[2];
    const double got = convert<double>(y.array.template as<Y>()[at]);
    const double wanted = expected(a, b, z, i, s, scale, bias, residual.dense[i], y.dense[i]);
    const double allowed = std::fabs(s.alpha) * sum_error<T>(s, z.k) + rounding<Y>(wanted);
    if (std::fabs(got - wanted) <= allowed) continue;
    throw check::Failure("gemm " + std::to_string(z.batch) + "x" + std::to_string(z.m) + "x" +
                         std::to_string(z.n) + "x" + std::to_string(z.k) + " y[" +
                         std::to_string(i) + "] is " + std::to_string(got) + ", expected " +
                         std::to_string(wanted));
  }
}

constexpr Turn kTurns[] = {Turn::rows, Turn::columns, Turn::strided, Turn::offset};

/// Runs f once for each architecture whose kernels differ.
template <class F>
void each_architecture(F f) {
  for (const int architecture : {75, 80}) {
    sim::set_architecture(architecture);
    f();
  }
}

// ---- cases -------------------------------------------------------------------------------------

CASE(matrix_products) {
  for (const GemmSizes& z : {GemmSizes{1, 1, 1, 1}, GemmSizes{1, 5, 3, 0}, GemmSizes{2, 17, 33, 5},
                             GemmSizes{1, 64, 64, 64}, GemmSizes{1, 130, 70, 37},
                             GemmSizes{3, 1, 40, 65}, GemmSizes{1, 40, 1, 100}}) {
    for (const Turn turn : {Turn::rows, Turn::columns}) {
      check_gemm<float>(z, {.a = turn});
      check_gemm<float>(z, {.a = turn, .b = Turn::columns});
    }
    check_gemm<double>(z);
    check_gemm<int16_t>(z);
    check_gemm<int64_t>(z, {.b = Turn::columns});
  }
}

template <class T, class Y = T>
static void check_mma(MatmulPrecision precision = MatmulPrecision::exact) {
  each_architecture([&] {
    for (const Turn a : kTurns) {
      for (const Turn b : kTurns) {
        check_gemm<T, Y>({1, 37, 72, 264}, {.a = a, .b = b, .precision = precision});
      }
    }
    check_gemm<T, Y>({1, 65, 130, 140}, {.a = Turn::columns, .precision = precision});
    check_gemm<T, Y>({1, 66, 24, 200}, {.b = Turn::columns, .precision = precision});
  });
}

CASE(tensor_cores_f16) {
  check_mma<f16>();
  check_mma<f16, float>();
}

CASE(tensor_cores_bf16) {
  check_mma<bf16, float>();
}

CASE(tensor_cores_tf32) {
  check_mma<float>(MatmulPrecision::tf32);
}

CASE(tensor_cores_tf32x3) {
  check_mma<float>(MatmulPrecision::high);
}

CASE(tensor_cores_int8) {
  check_mma<int8_t, int32_t>();
  check_mma<uint8_t, float>();
  check_mma<int8_t>();
  check_mma<bool>();
}

/// Several large tiles, ragged on all sides: 128 x 256 where there are such, and 128 x 128
/// (kernels_gemm_plan.cpp holds which).
CASE(large_tiles) {
  for (const GemmSizes& z : {GemmSizes{1, 390, 264, 40}, GemmSizes{1, 260, 120, 40}}) {
    each_architecture([&] {
      check_gemm<f16>(z, {.b = Turn::columns});
      check_gemm<f16, float>(z, {.a = Turn::columns});
      check_gemm<int8_t, int32_t>({1, z.m, z.n, 80}, {.b = Turn::columns});
    });
    check_gemm<bf16>(z);
    check_gemm<bf16>(z, {.a = Turn::columns, .b = Turn::columns});
    check_gemm<float>(z);
    check_gemm<float>(z, {.precision = MatmulPrecision::tf32});
    check_gemm<float>({1, z.m, z.n, 140}, {.precision = MatmulPrecision::high});
  }
}

CASE(batches) {
  each_architecture([] {
    check_gemm<f16>({3, 40, 24, 64}, {.b = Turn::columns, .y = Turn::columns, .residual = true});
    check_gemm<f16>({3, 40, 24, 264}, {.a = Turn::offset, .y = Turn::offset});
    check_gemm<int8_t, float>({2, 40, 24, 300}, {.a = Turn::columns, .y = Turn::columns});
  });
}

/// Operands that TMA cannot read are copied first.
CASE(batches_packed_for_hopper) {
  sim::set_architecture(90);
  check_gemm<f16>({2, 130, 264, 300}, {.a = Turn::offset, .b = Turn::strided});
  check_gemm<bf16, float>({2, 130, 257, 300}, {.b = Turn::columns, .residual = true});
  sim::set_architecture(80);
}

template <class T, class Y = T>
static void check_epilogues(GemmSizes z) {
  for (const Turn y : kTurns) {
    check_gemm<T, Y>(z, {.y = y, .bias = true, .alpha = 2, .beta = 3});
    check_gemm<T, Y>(z, {.y = y, .residual = true, .beta = 1});
    if (!is_float<Y>) continue;
    check_gemm<T, Y>(z, {.y = y,
                         .scale = true,
                         .bias = true,
                         .residual = true,
                         .alpha = -0.5,
                         .beta = 0.5,
                         .act = Activation::relu});
  }
}

CASE(epilogues) {
  check_epilogues<float>({2, 19, 35, 40});
  check_epilogues<f16>({2, 19, 35, 40});
  check_epilogues<bf16, float>({1, 19, 36, 64});
  check_epilogues<double>({1, 9, 35, 40});
  check_epilogues<int8_t, int32_t>({1, 19, 36, 256});
  check_epilogues<uint8_t, float>({1, 19, 36, 256});
  check_epilogues<int32_t>({1, 19, 35, 20});
  check_epilogues<float>({1, 3, 35, 40});
}

CASE(split_k) {
  for (const Turn y : {Turn::rows, Turn::columns}) {
    const Settings s{.y = y, .bias = true, .residual = true, .beta = 2};
    check_gemm<f16>({1, 20, 24, 4096}, s);
    check_gemm<float>({1, 20, 26, 4096}, s);
    check_gemm<double>({1, 20, 26, 2048}, s);
    check_gemm<int8_t, int32_t>({1, 20, 24, 4096}, s);
    check_gemm<int64_t>({1, 20, 25, 2048}, s);
    check_gemm<f16>({1, 3, 5, 16400}, s);
    check_gemm<float>({1, 4, 40, 8200}, s);
  }
}

CASE(beta_zero_does_not_read) {
  const Host<float> a({2, 3}, noise), b({3, 2}, noise), y({2, 2}, [](int64_t) { return NAN; });
  gemm(nullptr, a, b, y, {}, MatmulPrecision::exact, {});
  for (int64_t i = 0; i < 4; i++) CHECK(std::isfinite(y[i]));
}

/// 3xTF32 forms sums that are not finite again, and exactly as float32 does. (Row 2 overflows on
/// the way to sums some of which are finite.)
CASE(infinities_in_three_products) {
  const int64_t m = 128, n = 128, k = 256;
  const Host<float> a({m, k}, noise), b({k, n}, noise), exact({m, n}), high({m, n});
  a.data[3] = INFINITY, a.data[k + 5] = NAN, a.data[2 * k] = 3.4e38f, a.data[2 * k + 1] = 3.4e38f;
  b.data[3 * n + 7] = 0, b.data[9 * n + 4] = -INFINITY;
  for (const auto& [y, precision] :
       {std::pair{exact, MatmulPrecision::exact}, std::pair{high, MatmulPrecision::high}}) {
    gemm(nullptr, a, b, y, {}, precision, workspace(gemm_workspace(a, b, y, precision)));
  }
  int64_t infinite = 0;
  for (int64_t i = 0; i < m * n; i++) {
    infinite += std::isinf(high[i]);
    if (std::isfinite(exact[i])) {
      check_near<float>("high", i, high[i], exact[i], 16);
    } else if (i / n != 2 || !std::isfinite(high[i])) {
      CHECK(high[i] == exact[i] || (std::isnan(high[i]) && std::isnan(exact[i])));
    }
  }
  CHECK(infinite > 100);
}

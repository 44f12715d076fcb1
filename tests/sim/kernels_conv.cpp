// Convolutions on small shapes, against plain loops: every kernel, layout and epilogue.

#include <array>

#include "host_array.h"
#include "kernels/conv_launch.cuh"

using namespace gg;

namespace {

// ---- problems ----------------------------------------------------------------------------------

enum class Memory { rows, last, gaps };  // how images lie: NCHW, channels last, and with gaps

/// [N, C, height, width], and the same as an Array in that memory.
template <class T>
struct Image {
  Host<T> dense, memory;
  Array array;

  Image(const Shape& s, Memory lies, int seed)
      : dense(s, [=](int64_t i) { return noise(i + seed); }), memory(memory_shape(s, lies)) {
    array = memory;
    if (lies == Memory::last) array = transposed(transposed(array, 1, 3), 2, 3);
    if (lies == Memory::gaps) array.stride[3] = 2, array.shape[3] = s[3];
    for (int64_t i = 0; i < dense.size; i++) array.as<T>()[place(i)] = dense.data[i];
  }

  static Shape memory_shape(const Shape& s, Memory lies) {
    if (lies == Memory::last) return {s[0], s[2], s[3], s[1]};
    return {s[0], s[1], s[2], s[3] * (lies == Memory::gaps ? 2 : 1)};
  }

  /// Where element i of the shape lies.
  int64_t place(int64_t i) const {
    int64_t at = 0;
    for (int d = 3; d >= 0; i /= array.shape[d--]) at += i % array.shape[d] * array.stride[d];
    return at;
  }
  double got(int64_t i) const { return convert<double>(array.as<T>()[place(i)]); }
};

struct Case {
  int64_t n, c, k, height, width, rows, columns;  // rows, columns: of taps
  int64_t stride = 1, padding = 1, dilation = 1, groups = 1;

  static int64_t windows(int64_t in, int64_t taps, const Case& z) {
    return (in + 2 * z.padding - z.dilation * (taps - 1) - 1) / z.stride + 1;
  }
  Shape x() const { return {n, c, height, width}; }
  Shape w() const { return {k, c / groups, rows, columns}; }
  Shape y() const { return {n, k, windows(height, rows, *this), windows(width, columns, *this)}; }
  ConvWindow window() const {
    return {{stride, stride}, {padding, padding}, {dilation, dilation}, groups};
  }
};

struct Settings {
  Memory x = Memory::rows, w = Memory::rows, y = Memory::rows;
  bool bias = false, residual = false;
  MatmulPrecision precision = MatmulPrecision::exact;
};

/// Calls f(element of x, of w, of y) for each product of the convolution.
template <class F>
void each_product(const Case& z, F f) {
  const Shape x = z.x(), w = z.w(), y = z.y();
  for (int64_t i = 0; i < volume(y) * z.rows * z.columns; i++) {
    const int64_t at = i / (z.rows * z.columns), r = i / z.columns % z.rows, q = i % z.columns;
    const int64_t n = at / (y[1] * y[2] * y[3]), k = at / (y[2] * y[3]) % y[1];
    const int64_t row = at / y[3] % y[2] * z.stride - z.padding + r * z.dilation;
    const int64_t column = at % y[3] * z.stride - z.padding + q * z.dilation;
    if (row < 0 || row >= z.height || column < 0 || column >= z.width) continue;
    for (int64_t c = 0; c < w[1]; c++) {
      const int64_t channel = k / (z.k / z.groups) * w[1] + c;
      f(((n * z.c + channel) * z.height + row) * z.width + column,
        ((k * w[1] + c) * z.rows + r) * z.columns + q, at);
    }
  }
}

/// Sums of products, and of their magnitudes and number.
struct Sums {
  std::vector<double> sum, magnitude;
  explicit Sums(const Shape& s) : sum(volume(s)), magnitude(volume(s)) {}

  void add(int64_t i, double a, double b) { sum[i] += a * b, magnitude[i] += std::fabs(a * b); }
};

/// A sum of float32 products is off by a random walk of roundings; tensor cores truncate; tf32
/// rounds two factors to 11 bits.
template <class T>
double allowed(const Settings& s, double magnitude, double wanted) {
  if (std::is_same_v<T, double>) return 0x1p-48 * (magnitude + 1);
  const bool tf32 = std::is_same_v<T, float> && s.precision == MatmulPrecision::tf32;
  const double unit = std::is_same_v<T, f16> ? 0x1p-11 : std::is_same_v<T, bf16> ? 0x1p-8 : 0;
  return (tf32 ? 0x1p-9 : 0x1p-18) * (magnitude + 1) + unit * std::fabs(wanted);
}

template <class T>
void check_sums(const char* op, const Case& z, const Settings& s, const Image<T>& got,
                const Sums& sums, const std::function<double(int64_t, double)>& finish) {
  for (int64_t i = 0; i < got.dense.size; i++) {
    const double value = got.got(i), wanted = finish(i, sums.sum[i]);
    if (std::fabs(value - wanted) <= allowed<T>(s, sums.magnitude[i], wanted)) continue;
    throw check::Failure(std::string(op) + " of c " + std::to_string(z.c) + ", k " +
                         std::to_string(z.k) + ", groups " + std::to_string(z.groups) + ": [" +
                         std::to_string(i) + "] is " + std::to_string(value) + ", expected " +
                         std::to_string(wanted));
  }
}

template <class T>
void check_fprop(const Case& z, const Settings& s) {
  const Image<T> x(z.x(), s.x, 1), w(z.w(), s.w, 1000), y(z.y(), s.y, 7), r(z.y(), s.y, 99);
  const Host<T> bias({z.k}, [](int64_t i) { return noise(i + 5); });
  Sums sums(z.y());
  each_product(z,
               [&](int64_t xi, int64_t wi, int64_t yi) { sums.add(yi, x.dense[xi], w.dense[wi]); });
  GemmEpilogue e;
  if (s.bias) e.bias = bias, e.act = Activation::relu;
  if (s.residual) e.residual = r.array;
  const Host<uint8_t> space =
      workspace(conv_fprop_workspace(x.array, w.array, y.array, z.window(), s.precision));
  conv_fprop(nullptr, x.array, w.array, y.array, z.window(), e, s.precision, space);
  const int64_t plane = volume(z.y()) / std::max<int64_t>(z.n * z.k, 1);
  check_sums<T>("fprop", z, s, y, sums, [&](int64_t i, double sum) {
    if (s.residual) sum += r.dense[i];
    return s.bias ? std::max(sum + bias[i / plane % z.k], 0.0) : sum;
  });
}

template <class T>
void check_gradients(const Case& z, const Settings& s) {
  const Image<T> x(z.x(), s.x, 1), w(z.w(), s.w, 1000), dy(z.y(), s.y, 77);
  const Image<T> dx(z.x(), s.x, 3), dw(z.w(), s.w, 4);
  Sums x_sums(z.x()), w_sums(z.w());
  each_product(z, [&](int64_t xi, int64_t wi, int64_t yi) {
    x_sums.add(xi, w.dense[wi], dy.dense[yi]);
    w_sums.add(wi, x.dense[xi], dy.dense[yi]);
  });
  const ConvWindow window = z.window();
  const auto same = [](int64_t, double sum) { return sum; };
  Host<uint8_t> space =
      workspace(conv_dgrad_workspace(dy.array, w.array, dx.array, window, s.precision));
  conv_dgrad(nullptr, dy.array, w.array, dx.array, window, {}, s.precision, space);
  check_sums<T>("dgrad", z, s, dx, x_sums, same);
  space = workspace(conv_wgrad_workspace(x.array, dy.array, dw.array, window, s.precision));
  conv_wgrad(nullptr, x.array, dy.array, dw.array, window, s.precision, space);
  check_sums<T>("wgrad", z, s, dw, w_sums, same);
}

template <class T>
void check_conv(const Case& z, const Settings& s = {}) {
  check_fprop<T>(z, s);
  check_gradients<T>(z, s);
}

/// Runs f once for each architecture whose kernels differ.
template <class F>
void each_architecture(F f) {
  for (const int architecture : {75, 80, 90}) {
    sim::set_architecture(architecture);
    f();
  }
  sim::set_architecture(80);
}

}  // namespace

// ---- cases -------------------------------------------------------------------------------------

constexpr Settings kLast{.x = Memory::last, .w = Memory::last, .y = Memory::last};

CASE(convolutions_without_tensor_cores) {
  for (const Case& z :
       {Case{2, 11, 9, 7, 6, 3, 2}, Case{1, 16, 70, 9, 8, 3, 3, 2},
        Case{1, 4, 3, 5, 5, 1, 3, 3, 2, 2}, Case{2, 12, 20, 5, 4, 2, 2, 1, 0, 2, 2}}) {
    check_conv<float>(z);
    check_conv<float>(z, kLast);
    check_conv<double>(z, {.x = Memory::gaps, .y = Memory::last});
  }
}

/// Many positions: wgrad's are split between blocks.
CASE(convolutions_of_many_positions) {
  check_conv<float>({2, 2, 5, 40, 33, 3, 3}, {.y = Memory::last});
  check_conv<double>({2, 2, 5, 40, 33, 3, 3}, {.x = Memory::last});
}

CASE(convolutions_by_depth) {
  for (const Settings& s : {Settings{}, kLast, Settings{.x = Memory::last, .bias = true},
                            Settings{.y = Memory::last, .residual = true}}) {
    check_conv<float>({2, 16, 16, 9, 7, 3, 3, 2, 1, 1, 16}, s);
    check_conv<f16>({1, 72, 72, 5, 6, 3, 5, 1, 2, 1, 72}, s);
    check_conv<bf16>({1, 8, 8, 6, 5, 7, 5, 1, 3, 1, 8}, s);  // 35 taps: twice
    check_conv<double>({1, 5, 10, 6, 5, 3, 2, 1, 1, 2, 5}, s);
    check_conv<f16>({2, 12, 8, 6, 5, 3, 3, 1, 1, 1, 4}, s);  // groups of three and two
  }
  check_conv<float>({1, 4, 4, 40, 40, 3, 3, 1, 1, 1, 4}, kLast);  // many positions
}

CASE(convolutions_of_first_layers) {
  for (const Settings& s : {Settings{}, kLast, Settings{.x = Memory::gaps, .y = Memory::last}}) {
    Settings tf32 = s;
    tf32.precision = MatmulPrecision::tf32, tf32.bias = true;
    check_conv<f16>({2, 3, 10, 19, 18, 3, 3}, s);
    check_conv<bf16>({1, 1, 70, 12, 17, 5, 5, 1, 0}, s);
    check_conv<float>({1, 3, 6, 25, 21, 7, 7, 2, 3}, tf32);
    check_conv<f16>({1, 4, 16, 13, 9, 7, 7, 1, 3}, s);  // 196 weights: two parts
  }
}

CASE(convolutions_on_tensor_cores) {
  each_architecture([] {
    for (const Settings& s : {Settings{}, kLast, Settings{.y = Memory::last, .residual = true}}) {
      check_conv<f16>({2, 16, 24, 9, 7, 3, 3}, s);
      check_conv<bf16>({1, 32, 48, 5, 6, 3, 3, 1, 1, 1, 2}, s);
      for (const MatmulPrecision precision : {MatmulPrecision::tf32, MatmulPrecision::high}) {
        Settings f32 = s;
        f32.precision = precision;
        check_conv<float>({1, 20, 33, 8, 6, 3, 2, 2}, f32);
      }
    }
  });
}

/// Large tiles, ragged, and sums that are split.
CASE(convolutions_in_large_tiles) {
  each_architecture([] {
    check_conv<f16>({2, 40, 136, 13, 12, 3, 3}, kLast);
    check_fprop<bf16>({1, 264, 72, 3, 3, 3, 3}, kLast);
  });
}

/// TMA and wgmma, with tails along every side (conv_plans_hopper_in_the_simulator: it is taken).
CASE(convolutions_on_hopper) {
  sim::set_architecture(90);
  check_conv<f16>({1, 64, 136, 17, 17, 3, 3}, kLast);
  check_fprop<bf16>({1, 60, 136, 40, 27, 3, 3, 2}, {.y = Memory::last, .bias = true});
  sim::set_architecture(80);
}

/// Windows of one element: matrix products.
CASE(convolutions_that_are_products) {
  check_conv<f16>({2, 20, 24, 5, 6, 1, 1, 1, 0}, kLast);
  check_conv<float>({2, 20, 24, 5, 6, 1, 1, 1, 0}, {.bias = true, .residual = true});
}

CASE(empty_convolutions) {
  check_conv<float>({0, 4, 8, 5, 5, 3, 3});
  check_conv<f16>({2, 0, 8, 5, 5, 3, 3});
  check_conv<float>({2, 8, 0, 5, 5, 3, 3});
}

/// The problem of fprop, without memory: choices do not look at it.
template <class T>
static ConvPlan plan(const Case& z, bool wgrad, const Settings& s = kLast) {
  const Image<T> x(z.x(), s.x, 1), w(z.w(), s.w, 2), y(z.y(), s.y, 3);
  const ConvArrays a{wgrad ? ConvKind::wgrad : ConvKind::fprop, x.array, w.array, y.array};
  return plan_conv(conv_problem(a, z.window(), {}), wgrad, s.precision, gemm_device());
}

CASE(special_convolutions_are_chosen) {
  for (const bool wgrad : {false, true}) {
    const auto chosen = [&](ConvPlan p, ConvKernel k) {
      CHECK_EQ(static_cast<int>(p.kernel), static_cast<int>(k));
    };
    chosen(plan<f16>({2, 16, 32, 9, 7, 3, 3, 1, 1, 1, 16}, wgrad), ConvKernel::depthwise);
    chosen(plan<float>({2, 16, 16, 9, 7, 3, 3, 1, 1, 1, 4}, wgrad), ConvKernel::depthwise);
    chosen(plan<bf16>({1, 3, 64, 20, 20, 7, 7, 2, 3}, wgrad), ConvKernel::stem);
    chosen(plan<float>({1, 3, 64, 20, 20, 7, 7, 2, 3}, wgrad), ConvKernel::simt);
    chosen(plan<double>({1, 16, 64, 9, 9, 3, 3}, wgrad), ConvKernel::simt);
  }
}

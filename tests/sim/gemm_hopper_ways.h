// Ways to run the Hopper GEMM: on every tile, with clusters of one and of two blocks, whatever the
// cost model thinks. One way is held against plain loops; the others give the same bits.
#pragma once

#include "as_hopper.h"
#include "host_array.h"
#include "kernels/gemm_hopper.cuh"
#include "kernels/gemm_launch.cuh"

namespace gg {

// ---- ways to multiply --------------------------------------------------------------------------

/// A tile of the plan's table, and a cluster.
struct Way {
  int n;
  bool ping_pong;
  int cluster;

  GemmTile tile() const { return {GemmKernel::hopper, 128, n, 1, ping_pong}; }
};

constexpr Way kWide{256, false, 1};

/// Every tile there is for operands of so many bytes; clusters of one and two alternate, the other
/// way round in the next turn.
inline std::vector<Way> ways(int bytes, int turn) {
  std::vector<Way> all;
  const auto add = [&](int n, bool ping_pong) {
    all.push_back({n, ping_pong, 1 + (static_cast<int>(all.size()) + turn) % 2});
  };
  add(256, false);
  add(128, true);
  if (bytes != 2) return all;
  for (int n : {192, 64, 32}) add(n, false);
  return all;
}

inline GemmMath math_of(DType inputs) {
  switch (inputs) {
    case DType::f16:
      return GemmMath::f16;
    case DType::bf16:
      return GemmMath::bf16;
    case DType::f32:
      return GemmMath::tf32;
    default:
      return inputs == DType::i8 ? GemmMath::s8 : GemmMath::u8;
  }
}

/// The problem as the kernel gets it; k is not split.
inline GemmProblem fitting(const Array& a, const Array& b, const Array& y,
                           const GemmEpilogue& epilogue, const Way& way) {
  GemmProblem g = gemm_problem(a, b, y, epilogue);
  set_access(g, a.dtype);
  CHECK(gemm_hopper_fits(g, math_of(a.dtype), a.dtype, way.tile(), 90));
  return g;
}

inline void launch_on(const Way& way, const GemmProblem& g, DType inputs) {
  GemmPlan plan{};
  plan.kernel = GemmKernel::hopper, plan.math = math_of(inputs);
  plan.m = 128, plan.n = way.n, plan.ping_pong = way.ping_pong, plan.cluster = way.cluster;
  plan.splits = g.split.count, plan.split_k = g.split.k;
  launch_gemm_hopper(nullptr, g, plan, inputs);
}

/// gemm on that way, whatever the cost model thinks of it.
inline void run(const Array& a, const Array& b, const Array& y, const GemmEpilogue& epilogue = {},
                const Way& way = kWide) {
  launch_on(way, fitting(a, b, y, epilogue, way), a.dtype);
}

// ---- operands and results ----------------------------------------------------------------------

/// Numbers that T has: whole ones for integers, else any.
template <class T>
double number_of(int64_t i) {
  if constexpr (std::is_same_v<T, uint8_t>) return std::floor((noise(i) + 2) * 63.9);
  if constexpr (std::is_integral_v<T>) return std::floor(noise(i) * 63.9);
  return noise(i);
}

/// A [batch, rows, columns] matrix whose rows, or columns (turned), are contiguous and padded to
/// multiples of 16 bytes.
template <class T>
struct Matrix {
  Host<T> memory;
  Array array;

  Matrix(int64_t rows, int64_t columns, bool turned, int64_t seed = 0, int64_t batch = 1)
      : memory({batch, turned ? columns : rows, pitch(turned ? rows : columns)},
               [=](int64_t i) { return number_of<T>(i + 100000 * seed); }),
        array(memory) {
    array.shape[2] = turned ? rows : columns;
    if (turned) array = transposed(array, 1, 2);
  }

  static int64_t pitch(int64_t n) {
    constexpr int64_t chunk = 16 / sizeof(T);
    return (n + chunk - 1) / chunk * chunk;
  }
};

/// A float rounded to 10 fraction bits, to nearest even, as the tensor map's type says.
inline double as_tf32(float x) {
  const double scale = std::ldexp(1.0, 10 - std::ilogb(x == 0 ? 1 : x));
  return std::nearbyint(double(x) * scale) / scale;
}

/// An operand's element as the product takes it.
inline double at(const Array& x, int64_t batch, int64_t row, int64_t column) {
  const int64_t offset = batch * x.stride[0] + row * x.stride[1] + column * x.stride[2];
  switch (x.dtype) {
    case DType::f32:
      return as_tf32(x.as<float>()[offset]);
    case DType::f16:
      return convert<double>(x.as<f16>()[offset]);
    case DType::bf16:
      return convert<double>(x.as<bf16>()[offset]);
    case DType::i8:
      return x.as<int8_t>()[offset];
    default:
      return x.as<uint8_t>()[offset];
  }
}

inline double sum_at(const Array& a, const Array& b, int64_t batch, int64_t row, int64_t column) {
  double sum = 0;
  for (int64_t k = 0; k < a.shape[2]; k++) sum += at(a, batch, row, k) * at(b, batch, k, column);
  return sum;
}

/// y [batch, m, n]: m and n are a's and b's, rows may be padded.
template <class Y>
Array output(const Host<Y>& y, const Array& b) {
  Array view = y;
  view.shape[2] = b.shape[2];
  return view;
}

/// y = a b, of which every `step`-th element is checked.
template <class Y>
void check_product(const Array& a, const Array& b, const Array& y, int64_t step) {
  const int64_t m = a.shape[1], n = b.shape[2];
  const double scale = 2 * std::sqrt(static_cast<double>(a.shape[2]));
  for (int64_t i = 0; i < y.shape[0] * m * n; i += step) {
    const int64_t batch = i / (m * n), row = i / n % m, column = i % n;
    const double got =
        convert<double>(y.as<Y>()[batch * y.stride[0] + row * y.stride[1] + column * y.stride[2]]);
    const double wanted = sum_at(a, b, batch, row, column);
    if constexpr (std::is_floating_point_v<Y> || is_half<Y>) {
      check_near<Y>("y", i, got, wanted, is_floating(a.dtype) ? scale : 0);
    } else {
      CHECK_EQ(convert<Y>(static_cast<int64_t>(got)), static_cast<Y>(static_cast<int64_t>(wanted)));
    }
  }
}

/// Both hold the same bits where y has elements.
template <class Y>
void check_same(const Array& y, const Array& wanted, const Way& way) {
  for (int64_t i = 0; i < y.size(); i++) {
    const int64_t column = i % y.shape[2], row = i / y.shape[2] % y.shape[1];
    const int64_t batch = i / y.shape[2] / y.shape[1];
    const auto element = [&](const Array& x) {
      return x.as<Y>() + batch * x.stride[0] + row * x.stride[1] + column * x.stride[2];
    };
    if (memcmp(element(y), element(wanted), sizeof(Y)) == 0) continue;
    throw check::Failure("other bits at [" + std::to_string(row) + ", " + std::to_string(column) +
                         "] with tiles of " + std::to_string(way.n) + " columns, clusters of " +
                         std::to_string(way.cluster));
  }
}

/// y and what TMA must leave alone: its rows are padded to `pitch` by numbers of their own.
template <class Y>
Host<Y> padded(int64_t batch, int64_t m, int64_t pitch) {
  return Host<Y>({batch, m, pitch}, [](int64_t i) { return number_of<Y>(i + 5); });
}

template <class Y>
void check_padding(const Host<Y>& y, int64_t n) {
  const int64_t pitch = y.shape[2];
  for (int64_t i = 0; i < y.size; i++) {
    if (i % pitch >= n) CHECK_EQ(y[i], convert<double>(convert<Y>(number_of<Y>(i + 5))));
  }
}

/// a b on all ways of a turn, by TMA stores (rows of y at multiples of 16 bytes) or without; f(y)
/// checks the first result.
template <class Y, class F>
void on_all_ways(const Array& a, const Array& b, const GemmEpilogue& epilogue, int turn, F f) {
  const int64_t batch = a.shape[0], m = a.shape[1], n = b.shape[2];
  const int64_t aligned = Matrix<Y>::pitch(n) + 16, odd = aligned + 1;
  const auto product = [&](const Way& way, int64_t pitch) {
    const Host<Y> y = padded<Y>(batch, m, pitch);
    run(a, b, output(y, b), epilogue, way);
    check_padding(y, n);
    return y;
  };
  const Host<Y> first = product(kWide, odd);
  f(output(first, b));
  for (const Way& way : ways(dtype_size(a.dtype), turn)) {
    check_same<Y>(output(product(way, aligned), b), output(first, b), way);
  }
  const Way other{128, true, 2};
  check_same<Y>(output(product(other, odd), b), output(first, b), other);
}

template <class Y>
void check_ways(const Array& a, const Array& b, int turn, int64_t step = 1) {
  on_all_ways<Y>(a, b, {}, turn, [&](const Array& y) { check_product<Y>(a, b, y, step); });
}

/// f(turn) in each of the ways in which asynchronous work may complete, a turn for each.
template <class F>
void in_turns(int turns, F f) {
  const Hopper hopper;
  constexpr const char* modes[] = {"lazy", "random", "eager"};
  for (int turn = 0; turn < turns; turn++) {
    sim::set_schedule(nullptr, modes[turn % 3], static_cast<uint64_t>(turn) + 7, 1);
    f(turn);
  }
}

}  // namespace gg

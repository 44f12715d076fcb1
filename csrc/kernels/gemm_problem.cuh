// What a GEMM kernel is told, and the epilogue all of them share:
//
//   y = act(alpha * sum + bias + beta * y)   for N neighbouring columns of one row.
//
// Sums are float for float16, bfloat16 and float32, double for float64. Integers come as unsigned
// types of their width: products and sums wrap, so the sign does not matter until the result is
// read. bool is uint8_t with `boolean` set: y = any(a and b).
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/array.h"
#include "core/functors.h"
#include "core/index.h"
#include "core/math.h"
#include "device/device.h"

namespace gg {

/// a or b: its rows are a's rows (m) or b's columns (n). Strides are in elements.
struct GemmOperand {
  const void* data;
  int64_t row, k;
  bool along_k;  ///< k is the faster axis in memory, not rows
  bool vector;   ///< groups of four along the faster axis are contiguous and aligned
};

struct GemmProblem {
  GemmOperand a, b;  ///< [batch..., m, k] and [batch..., k, n]
  void* y;           ///< [batch..., m, n]
  const void* bias;  ///< [m] or [n], or null
  int64_t m, n, k;
  int64_t y_m, y_n, bias_m, bias_n;  ///< strides; one of bias' is 0
  bool y_vector;                     ///< groups of four along n are contiguous and aligned
  bool boolean;
  Activation act;
  double alpha, beta;
  Layout<3> batch;  ///< batch axes of a, b, y
};

/// The type products are summed in.
template <class T, bool = std::is_integral_v<T>>
struct GemmSum {
  using type = Acc<T>;
};
template <class T>
struct GemmSum<T, true> {
  using type = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
};
template <class T>
using Sum = typename GemmSum<T>::type;

template <class T>
GG_DEVICE Sum<T> widen(T x) {
  if constexpr (std::is_integral_v<T>) {
    return x;
  } else {
    return convert<Sum<T>>(x);
  }
}

/// Four elements `step` apart; those from `count` on are 0 and not touched.
template <class T>
GG_DEVICE Vec<Sum<T>, 4> load4(const T* p, int64_t step, int count, bool vector) {
  Vec<Sum<T>, 4> values;
  if (vector && count >= 4) {
    const Vec<T, 4> whole = load_vec<4>(p);
#pragma unroll
    for (int i = 0; i < 4; i++) values[i] = widen(whole[i]);
  } else {
#pragma unroll
    for (int i = 0; i < 4; i++) values[i] = i < count ? widen(p[i * step]) : Sum<T>(0);
  }
  return values;
}

/// Row r + 1 becomes row r: a loop over rows then need not be unrolled, though registers cannot be
/// indexed at run time.
template <int M, int N, class A>
GG_DEVICE void shift_rows(A (&acc)[M][N]) {
#pragma unroll
  for (int i = 0; i + 1 < M; i++) {
#pragma unroll
    for (int j = 0; j < N; j++) acc[i][j] = acc[i + 1][j];
  }
}

template <class T>
GG_DEVICE T finished(const GemmProblem& g, Sum<T> value) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(g.boolean ? value != 0 : value);
  } else {
    return convert<T>(activate(g.act, value));
  }
}

/// Columns col .. col + count - 1 of a row (count <= N); y points at the batch's matrix.
template <int N, class T>
GG_DEVICE void finish(const GemmProblem& g, T* y, int64_t row, int64_t col, int64_t count,
                      const Sum<T>* sums) {
  // Through int64_t, so that negative factors of integers wrap.
  using Factor = std::conditional_t<std::is_integral_v<T>, int64_t, Sum<T>>;
  const auto alpha = static_cast<Sum<T>>(static_cast<Factor>(g.alpha));
  const auto beta = static_cast<Sum<T>>(static_cast<Factor>(g.beta));
  const T* const bias = static_cast<const T*>(g.bias) + row * g.bias_m + col * g.bias_n;
  T* const out = y + row * g.y_m + col * g.y_n;
  Vec<T, N> result;
#pragma unroll
  for (int i = 0; i < N; i++) {
    Sum<T> value = alpha * sums[i];
    if (g.bias && i < count) value += widen(bias[i * g.bias_n]);
    if (g.beta != 0 && i < count) value += beta * widen(out[i * g.y_n]);
    result[i] = finished<T>(g, value);
  }
  if (N > 1 && g.y_vector && count >= N) {
    store_vec(out, result);
    return;
  }
#pragma unroll
  for (int i = 0; i < N; i++) {
    if (i < count) out[i * g.y_n] = result[i];
  }
}

}  // namespace gg

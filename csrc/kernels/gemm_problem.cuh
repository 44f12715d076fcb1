// What a GEMM kernel is told. gemm_problem.cu makes it from arrays; all GEMM kernels take it.
//
// Sums are float for float16, bfloat16 and float32, double for float64. Integers are summed in
// unsigned types of at least 32 bits: products and sums wrap, so a sign matters only where an
// operand is widened and where the result is read.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/array.h"
#include "core/functors.h"
#include "core/index.h"
#include "device/device.h"
#include "ops/arrays.h"

namespace gg {

/// a or b: its rows are a's rows (m) or b's columns (n). Strides are in elements.
struct GemmOperand {
  const void* data;
  int64_t row, k;
  bool along_k;  ///< k is the faster axis in memory, not rows
  bool vector;   ///< every group of four (16-bit: eight) along the faster axis is one aligned load

  GG_HD int64_t fast() const { return along_k ? k : row; }
  GG_HD int64_t slow() const { return along_k ? row : k; }
};

/// y = act(alpha * row_scale * scale * sum + bias + residual + beta * y). Strides are in elements;
/// a row of the problem may be a column of the caller's y.
struct GemmOutput {
  void* y;                 ///< [batch..., m, n]
  const float* scale;      ///< of columns, or null
  const void* bias;        ///< or null
  const void* residual;    ///< [batch..., m, n], or null
  const float* row_scale;  ///< or null
  int64_t y_m, y_n, row_scale_m, scale_n, bias_m, bias_n, residual_m, residual_n;
  DType dtype;    ///< of y, bias and residual
  bool y_vector;  ///< groups of four along n are contiguous and aligned
  bool residual_vector;
  bool boolean;  ///< y = any(a and b)
  Activation act;
  double alpha, beta;
};

/// Partial sums of split k: [split][batch][m][pitch], of the sums' type, pitch a multiple of 4.
struct GemmSplit {
  void* partial;     ///< null: k is not split
  int64_t pitch, k;  ///< k that one split adds up
  int count;
};

struct GemmProblem {
  GemmOperand a, b;  ///< [batch..., m, k] and [batch..., k, n]
  GemmOutput out;
  GemmSplit split;
  int64_t m, n, k;
  bool exact_overflow;  ///< a sum that is not finite is formed again as `exact` forms it
  int most_axes;        ///< batch axes that a residual could keep apart, were there one
  Layout<4> batch;      ///< batch axes of a, b, y, residual

  /// Partial sums of one split.
  GG_HD int64_t partial_size() const { return batch.size * m * split.pitch; }
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
    return static_cast<Sum<T>>(x);  // int8_t: with its sign
  } else {
    return convert<Sum<T>>(x);
  }
}

// ---- host: gemm_problem.cu -------------------------------------------------------------------

/// Throws std::invalid_argument where the arrays break the contract of `gemm`.
void check_gemm(const Array& a, const Array& b, const Array& y, const GemmEpilogue& epilogue);

/// The problem as the arrays give it; set_access has not been called. fold: batch axes over one b
/// become rows where strides allow.
GemmProblem gemm_problem(const Array& a, const Array& b, const Array& y,
                         const GemmEpilogue& epilogue, bool fold = true);

/// y^T = b^T a^T: rows become columns.
void transpose(GemmProblem& g);

/// Operand k (0: a, 1: b) becomes a copy at `to`, for the caller to make: contiguous along k, rows
/// at multiples of 16 bytes, one matrix after another; batch axes along which it repeats stay so.
void set_packed(GemmProblem& g, int k, int element, void* to);

/// Decides how each array is read and written, once its place and strides are settled.
void set_access(GemmProblem& g, DType inputs);

/// Groups of `bytes` along an axis of stride `fast` are contiguous and aligned wherever a group
/// starts; k is the array's place in the batch layout.
bool groups_align(const GemmProblem& g, const void* data, int element, int64_t bytes, int64_t fast,
                  int64_t slow, int k);

}  // namespace gg

// What follows the sums, shared by all GEMM kernels:
//
//   y = act(alpha * row_scale * scale * sum + bias + residual + beta * y)
//
// for R rows of N neighbouring columns at a time: everything that is read is read before anything
// is written, so that R rows' loads are in flight together. Where k is split, sums go to the
// workspace instead and gemm_split.cu does the rest.
//
// Computed in float (float64: double) where y is floating, else in wrapping integers.
#pragma once

#include "core/math.h"
#include "kernels/gemm_problem.cuh"

namespace gg {

/// May y be of type Y (int8_t and bool as uint8_t) where a and b are of type T (void: of any)?
template <class T, class Y>
constexpr bool kWrites =
    std::is_void_v<T> || std::is_same_v<T, Y> || (is_half<T> && std::is_same_v<Y, float>);
template <class Y>
constexpr bool kWrites<uint8_t, Y> = sizeof(Y) != 2;
template <class Y>
constexpr bool kWrites<int8_t, Y> = sizeof(Y) != 2;

/// Calls f with a value of the type y has, of those that are computed in C from inputs of type T:
/// what cannot be is not compiled.
template <class T, class C, class F>
GG_DEVICE void with_output(DType dtype, F f) {
  const auto call = [&](auto y, bool is_it) {
    if constexpr (kWrites<T, decltype(y)>) {
      if (is_it) f(y);
    }
  };
  if constexpr (std::is_same_v<C, float>) {
    call(f16{}, dtype == DType::f16);
    call(bf16{}, dtype == DType::bf16);
    call(float{}, dtype == DType::f32);
  } else if constexpr (std::is_same_v<C, uint32_t>) {
    call(uint8_t{}, dtype == DType::i8 || dtype == DType::u8 || dtype == DType::boolean);
    call(uint16_t{}, dtype == DType::i16);
    call(uint32_t{}, dtype == DType::i32);
  } else {
    f(C{});
  }
}

/// Row r + 1 becomes row r: a loop over rows then need not be unrolled, though registers cannot be
/// indexed at run time.
template <int M, int N, class A>
GG_DEVICE void shift_rows(A (&x)[M][N]) {
#pragma unroll
  for (int i = 0; i + 1 < M; i++) {
#pragma unroll
    for (int j = 0; j < N; j++) x[i][j] = x[i + 1][j];
  }
}

/// Where one matrix of the batch, and one split of it, begins; in elements.
struct EpiloguePlace {
  int64_t y, residual, partial;
};

/// Where a row begins in y and in the residual: rows at equal distances (a convolution's are not).
/// column: the matrix's first in bias and scale.
struct MatrixRows {
  static constexpr int64_t column = 0;
  __device__ __forceinline__ int64_t y(const GemmProblem& g, int64_t row) const {
    return row * g.out.y_m;
  }
  __device__ __forceinline__ int64_t residual(const GemmProblem& g, int64_t row) const {
    return row * g.out.residual_m;
  }
};

GG_DEVICE EpiloguePlace epilogue_place(const GemmProblem& g, int64_t batch, int64_t split) {
  return {g.batch.offset(2, batch), g.batch.offset(3, batch),
          (split * g.batch.size + batch) * g.m * g.split.pitch};
}

/// Writes the sums (of type A) of one matrix of the batch. T is the type of a and b; void if it may
/// be any.
template <class A, class T = void, class Rows = MatrixRows>
class Epilogue {
 public:
  __device__ __forceinline__ Epilogue(const GemmProblem& g, EpiloguePlace at, Rows rows = {})
      : g_(g),
        rows_(rows),
        partial_(static_cast<A*>(g.split.partial)),
        y_(at.y),
        residual_(at.residual) {
    if (partial_) partial_ += at.partial;
  }
  __device__ __forceinline__ Epilogue(const GemmProblem& g, int64_t batch, int64_t split)
      : Epilogue(g, epilogue_place(g, batch, split)) {}

  /// Rows row + r * step (those below m), columns col .. col + N - 1 (those below n).
  template <int R, int N>
  __device__ __forceinline__ void write(int64_t row, int64_t step, int64_t col,
                                        const A (&sums)[R][N]) const {
    if (partial_) return write_partial(row, step, col, sums);
    if constexpr (std::is_same_v<A, uint32_t> && kWrites<T, float>) {
      if (g_.out.dtype == DType::f32) return finish<float>(row, step, col, sums);
    }
    finish<A>(row, step, col, sums);
  }

  /// The same to the workspace alone.
  template <int R, int N>
  __device__ __forceinline__ void write_partial(int64_t row, int64_t step, int64_t col,
                                                const A (&sums)[R][N]) const {
    constexpr int W = sizeof(A) * N > 16 ? 16 / sizeof(A) : N;
#pragma unroll
    for (int r = 0; r < R; r++, row += step) {
      if (row >= g_.m) return;
      A* const out = partial_ + row * g_.split.pitch + col;
#pragma unroll
      for (int i = 0; i < N; i += W) {
        Vec<A, W> v;
#pragma unroll
        for (int e = 0; e < W; e++) v[e] = sums[r][i + e];
        store_vec(out + i, v);  // the pitch leaves room for whole groups
      }
    }
  }

 private:
  /// sum += factor * N values `stride` apart, of which `count` exist.
  template <class Y, class C, int N>
  __device__ __forceinline__ void add_values(const Y* p, int64_t stride, int count, bool vector,
                                             C factor, C (&sum)[N]) const {
    if (vector && count >= N) {
      const Vec<Y, N> v = load_vec<N>(p);
#pragma unroll
      for (int i = 0; i < N; i++) sum[i] += factor * static_cast<C>(widen(v[i]));
      return;
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
      if (i < count) sum[i] += factor * static_cast<C>(widen(p[i * stride]));
    }
  }

  /// sum += bias + residual + beta * y
  template <class Y, class C, int N>
  __device__ __forceinline__ void add_terms(int64_t row, int64_t col, int count,
                                            C (&sum)[N]) const {
    const GemmOutput& o = g_.out;
    if (o.bias) {
      const Y* const bias =
          static_cast<const Y*>(o.bias) + row * o.bias_m + (rows_.column + col) * o.bias_n;
      add_values(bias, o.bias_n, count, false, C(1), sum);
    }
    if (o.residual) {
      const Y* const p = static_cast<const Y*>(o.residual) + residual_ + rows_.residual(g_, row);
      add_values(p + col * o.residual_n, o.residual_n, count, o.residual_vector, C(1), sum);
    }
    if (o.beta != 0) {
      const Y* const p = static_cast<const Y*>(o.y) + y_ + rows_.y(g_, row) + col * o.y_n;
      add_values(p, o.y_n, count, o.y_vector, factor<C>(o.beta), sum);
    }
  }

  template <class C, int R, int N>
  __device__ __forceinline__ void finish(int64_t row, int64_t step, int64_t col,
                                         const A (&sums)[R][N]) const {
    const int count = static_cast<int>(g_.n - col < N ? g_.n - col : N);
    C values[R][N] = {};
    if (g_.out.bias || g_.out.residual || g_.out.beta != 0) {
      with_output<T, C>(g_.out.dtype, [&](auto y) {
#pragma unroll
        for (int r = 0; r < R; r++) {
          const int64_t at = row + r * step;
          if (at < g_.m) add_terms<decltype(y)>(at, col, count, values[r]);
        }
      });
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
      if (row + r * step < g_.m) add_sums(row + r * step, col, count, sums[r], values[r]);
    }
#pragma unroll 1
    for (int r = 0; r < R && row < g_.m; r++, row += step) {  // one copy of the code for all rows
      activate_row(values[0]);
      with_output<T, C>(g_.out.dtype,
                        [&](auto y) { store<decltype(y)>(row, col, count, values[0]); });
      shift_rows(values);
    }
  }

  /// value += alpha * row_scale * scale * sum
  template <class C, int N>
  __device__ __forceinline__ void add_sums(int64_t row, int64_t col, int count, const A (&sums)[N],
                                           C (&value)[N]) const {
    const GemmOutput& o = g_.out;
    C alpha = factor<C>(o.alpha);
    if constexpr (std::is_floating_point_v<C>) {
      if (o.row_scale) alpha *= o.row_scale[row * o.row_scale_m];
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
      C scaled = alpha;
      if constexpr (std::is_floating_point_v<C>) {
        if (o.scale && i < count) scaled *= o.scale[(rows_.column + col + i) * o.scale_n];
      }
      value[i] += scaled * number<C>(sums[i]);
    }
  }

  template <class C, int N>
  __device__ __forceinline__ void activate_row(C (&value)[N]) const {
    if constexpr (std::is_floating_point_v<C>) {
      if (g_.out.act == Activation::none) return;
#pragma unroll
      for (int i = 0; i < N; i++) value[i] = activate(g_.out.act, value[i]);
    } else if (g_.out.boolean) {
#pragma unroll
      for (int i = 0; i < N; i++) value[i] = value[i] != 0;
    }
  }

  template <class Y, class C, int N>
  __device__ __forceinline__ void store(int64_t row, int64_t col, int count,
                                        const C (&value)[N]) const {
    Vec<Y, N> result;
#pragma unroll
    for (int i = 0; i < N; i++) {
      if constexpr (std::is_integral_v<Y>) {
        result[i] = static_cast<Y>(value[i]);  // wraps
      } else {
        result[i] = convert<Y>(value[i]);
      }
    }
    Y* const out = static_cast<Y*>(g_.out.y) + y_ + rows_.y(g_, row) + col * g_.out.y_n;
    if (g_.out.y_vector && count >= N) return store_vec(out, result);
#pragma unroll
    for (int i = 0; i < N; i++) {
      if (i < count) out[i * g_.out.y_n] = result[i];
    }
  }

  /// A sum as C; a 32-bit integer sum is read with its sign.
  template <class C>
  static __device__ __forceinline__ C number(A sum) {
    if constexpr (std::is_integral_v<A> && std::is_floating_point_v<C>) {
      return static_cast<C>(static_cast<std::make_signed_t<A>>(sum));
    } else {
      return static_cast<C>(sum);
    }
  }

  template <class C>
  static __device__ __forceinline__ C factor(double x) {
    // Through int64_t, so that negative factors of integers wrap.
    using Whole = std::conditional_t<std::is_integral_v<C>, int64_t, C>;
    return static_cast<C>(static_cast<Whole>(x));
  }

  const GemmProblem& g_;
  Rows rows_;
  A* partial_;
  int64_t y_, residual_;
};

}  // namespace gg

// Softmax and log-softmax along one axis of arrays of any strides, and their gradients.
//
//   y = exp(x - max) / sum exp(x - max)        dx = y (dy - sum dy y)
//   y = (x - max) - log sum exp(x - max)       dx = dy - exp(y) sum dy       (log)
//
// Accumulates in float32 (float64 for float64); y, dx =. A row of -inf alone gives NaN, as does one
// with inf or NaN. Deterministic: each row's partial sums join in a fixed order (kernels/rows.cuh).
//
// Each element is read once and written once (gradient: two reads) where rows fit: in registers (32
// elements a thread: 8192 of float32 along the last axis, 256 along others), else in shared memory
// (on sm_90 56,000 of float32, half as many for the gradient; along other axes 1/32 of that; less
// on other devices). Longer rows are read twice; their sum is formed while the maximum is still
// growing. Bound: memory bandwidth. Reached: not measured.

#include "core/row_checks.h"
#include "kernels/rows.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

/// Elements of a row that a thread holds: 8 for short rows, else 32 (16 of float64).
template <class T>
constexpr int kShort = 8;
template <class T>
constexpr int kLong = sizeof(T) == 8 ? 16 : 32;

template <class A, int V, int C>
GG_DEVICE A largest(const Vec<A, V> (&held)[C]) {
  A max = kLowest<A>;
#pragma unroll
  for (int c = 0; c < C; c++) {
#pragma unroll
    for (int v = 0; v < V; v++) max = held[c][v] > max ? held[c][v] : max;
  }
  return max;
}

template <class T, int Items>
__global__ void __launch_bounds__(kRowThreads, 2)
    softmax_held(const Rows<2> rows, const T* x, T* y, bool log) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>(), C = Items / V;
  for (int64_t group = blockIdx.x; group * rows.rows_per_block() < rows.outer.size;
       group += gridDim.x) {
    const Seat<V> seat(rows, group);
    const T* const from = x + rows.outer.offset(0, seat.row);
    Vec<A, V> held[C];
    A sum = 0;
#pragma unroll
    for (int c = 0; c < C; c++) {
      held[c] = seat.load(from, rows.stride[0], seat.first() + c * seat.step(), -kInfinity<A>);
    }
    const A max = join(rows, largest(held), MaxOp(), kLowest<A>);
#pragma unroll
    for (int c = 0; c < C; c++) {
#pragma unroll
      for (int v = 0; v < V; v++) {
        const A below = held[c][v] - max, power = std::exp(below);
        sum += power;
        held[c][v] = log ? below : power;
      }
    }
    sum = join(rows, sum, SumOp(), A(0));
    const A log_sum = std::log(sum);
    T* const to = y + rows.outer.offset(1, seat.row);
#pragma unroll
    for (int c = 0; c < C; c++) {
#pragma unroll
      for (int v = 0; v < V; v++) held[c][v] = log ? held[c][v] - log_sum : held[c][v] / sum;
      seat.store(to, rows.stride[1], seat.first() + c * seat.step(), held[c]);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads, 2)
    softmax_streamed(const Rows<2> rows, const T* x, T* y, bool log) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  for (int64_t group = blockIdx.x; group * rows.rows_per_block() < rows.outer.size;
       group += gridDim.x) {
    const Seat<V> seat(rows, group);
    const TwiceVisited<T, V> from(rows, seat, 0, x + rows.outer.offset(0, seat.row));
    ExpSum<A> exps;
    visit_row(seat, from.row, from.stride, -kInfinity<A>, [&](int64_t i, const Vec<A, V>& chunk) {
      exps.add(chunk);
      from.keep(seat, i, chunk);
    });
    exps.join_team(rows);
    const A log_sum = std::log(exps.sum);
    T* const to = y + rows.outer.offset(1, seat.row);
    for (int64_t i = seat.first(); i < seat.n; i += seat.step()) {
      Vec<A, V> chunk = seat.template load<false>(from.again(), from.again_stride(), i, A(0));
#pragma unroll
      for (int v = 0; v < V; v++) {
        const A below = chunk[v] - exps.max;
        chunk[v] = log ? below - log_sum : std::exp(below) / exps.sum;
      }
      seat.store(to, rows.stride[1], i, chunk);
    }
  }
}

/// What is summed over a row, and the gradient given that sum.
template <class A>
GG_DEVICE A summand(A dy, A y, bool log) {
  return log ? dy : dy * y;
}
template <class A>
GG_DEVICE A gradient(A dy, A y, A sum, bool log) {
  return log ? dy - std::exp(y) * sum : y * (dy - sum);
}

template <class T, int Items>
__global__ void __launch_bounds__(kRowThreads, 2)
    softmax_grad_held(const Rows<3> rows, const T* dy, const T* y, T* dx, bool log) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>(), C = Items / V;
  for (int64_t group = blockIdx.x; group * rows.rows_per_block() < rows.outer.size;
       group += gridDim.x) {
    const Seat<V> seat(rows, group);
    const T* const dy_row = dy + rows.outer.offset(0, seat.row);
    const T* const y_row = y + rows.outer.offset(1, seat.row);
    Vec<A, V> dys[C], ys[C];
#pragma unroll
    for (int c = 0; c < C; c++) {
      const int64_t i = seat.first() + c * seat.step();
      dys[c] = seat.load(dy_row, rows.stride[0], i, A(0));
      ys[c] = seat.load(y_row, rows.stride[1], i, A(0));
    }
    A sum = 0;
#pragma unroll
    for (int c = 0; c < C; c++) {
#pragma unroll
      for (int v = 0; v < V; v++) sum += summand(dys[c][v], ys[c][v], log);
    }
    sum = join(rows, sum, SumOp(), A(0));
    T* const to = dx + rows.outer.offset(2, seat.row);
#pragma unroll
    for (int c = 0; c < C; c++) {
#pragma unroll
      for (int v = 0; v < V; v++) dys[c][v] = gradient(dys[c][v], ys[c][v], sum, log);
      seat.store(to, rows.stride[2], seat.first() + c * seat.step(), dys[c]);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads, 2)
    softmax_grad_streamed(const Rows<3> rows, const T* dy, const T* y, T* dx, bool log) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  for (int64_t group = blockIdx.x; group * rows.rows_per_block() < rows.outer.size;
       group += gridDim.x) {
    const Seat<V> seat(rows, group);
    const TwiceVisited<T, V> dy_row(rows, seat, 0, dy + rows.outer.offset(0, seat.row));
    const TwiceVisited<T, V> y_row(rows, seat, 1, y + rows.outer.offset(1, seat.row));
    A sum = 0;
    visit_row(seat, dy_row.row, dy_row.stride, A(0), [&](int64_t i, const Vec<A, V>& dys) {
      const Vec<A, V> ys = seat.load(y_row.row, y_row.stride, i, A(0));
      dy_row.keep(seat, i, dys);
      y_row.keep(seat, i, ys);
#pragma unroll
      for (int v = 0; v < V; v++) sum += summand(dys[v], ys[v], log);
    });
    sum = join(rows, sum, SumOp(), A(0));
    T* const to = dx + rows.outer.offset(2, seat.row);
    for (int64_t i = seat.first(); i < seat.n; i += seat.step()) {
      Vec<A, V> dys = seat.template load<false>(dy_row.again(), dy_row.again_stride(), i, A(0));
      const Vec<A, V> ys = seat.template load<false>(y_row.again(), y_row.again_stride(), i, A(0));
#pragma unroll
      for (int v = 0; v < V; v++) dys[v] = gradient(dys[v], ys[v], sum, log);
      seat.store(to, rows.stride[2], i, dys);
    }
  }
}

}  // namespace

void softmax(Stream stream, const Array& x, const Array& y, int axis, bool log) {
  const char* const op = log ? "log_softmax" : "softmax";
  check_softmax(op, axis, x, {&y});
  if (x.size() == 0) return;
  Rows<2> rows = make_rows({x, y}, axis, 2);
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int64_t items = items_of(rows);
    auto* const kernel = items <= kShort<T>  ? softmax_held<T, kShort<T>>
                         : items <= kLong<T> ? softmax_held<T, kLong<T>>
                                             : softmax_streamed<T>;
    const size_t shared = items <= kLong<T> ? 0 : stage_rows<T>(rows, 1);
    launch(kernel, rows.grid(), kRowThreads, shared, stream, rows, x.as<const T>(), y.as<T>(), log);
  });
}

void softmax_grad(Stream stream, const Array& dy, const Array& y, const Array& dx, int axis,
                  bool log) {
  const char* const op = log ? "log_softmax_grad" : "softmax_grad";
  check_softmax(op, axis, dy, {&y, &dx});
  if (dy.size() == 0) return;
  Rows<3> rows = make_rows({dy, y, dx}, axis, 3);
  dispatch_floating(dy.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int64_t items = items_of(rows);
    auto* const kernel = items <= kShort<T>  ? softmax_grad_held<T, kShort<T>>
                         : items <= kLong<T> ? softmax_grad_held<T, kLong<T>>
                                             : softmax_grad_streamed<T>;
    const size_t shared = items <= kLong<T> ? 0 : stage_rows<T>(rows, 2);
    launch(kernel, rows.grid(), kRowThreads, shared, stream, rows, dy.as<const T>(),
           y.as<const T>(), dx.as<T>(), log);
  });
}

}  // namespace gg

// Softmax and log-softmax along one axis of arrays of any strides, and their gradients.
//
//   y = exp(x - max) / sum exp(x - max)        dx = y (dy - sum dy y)
//   y = (x - max) - log sum exp(x - max)       dx = dy - exp(y) sum dy       (log)
//
// Accumulates in float32 (float64 for float64); y, dx =. A row of -inf alone gives NaN, as does one
// with inf or NaN. Deterministic: each row's partial sums join in a fixed order (kernels/rows.cuh).
//
// Rows whose elements are near and fit registers (32 per thread; 8192 elements of float32) are read
// once: one read and one write (gradient: two reads) per element. Others are read twice, the second
// time from L2 where they fit: the sum is formed while the maximum is still growing.
// Bound: memory bandwidth. Reached: not measured.

#include "core/row_checks.h"
#include "kernels/rows.cuh"
#include "ops.h"

namespace gg {
namespace {

/// Elements of a row that a thread holds: 8 for short rows, else 32 (16 of float64).
template <class T>
constexpr int kShort = 8;
template <class T>
constexpr int kLong = sizeof(T) == 8 ? 16 : 32;

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
    A max = kLowest<A>, sum = 0;
#pragma unroll
    for (int c = 0; c < C; c++) {
      held[c] = seat.load(from, rows.stride[0], seat.first() + c * seat.step(), -kInfinity<A>);
    }
#pragma unroll
    for (int c = 0; c < C; c++) {
#pragma unroll
      for (int v = 0; v < V; v++) max = held[c][v] > max ? held[c][v] : max;
    }
    max = join(rows.team, max, MaxOp(), kLowest<A>);
#pragma unroll
    for (int c = 0; c < C; c++) {
#pragma unroll
      for (int v = 0; v < V; v++) {
        const A below = held[c][v] - max, power = std::exp(below);
        sum += power;
        held[c][v] = log ? below : power;
      }
    }
    sum = join(rows.team, sum, SumOp(), A(0));
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
    const T* const from = x + rows.outer.offset(0, seat.row);
    ExpSum<A> exps;
    for (int64_t i = seat.first(); i < seat.n; i += seat.step()) {
      exps.add(seat.load(from, rows.stride[0], i, -kInfinity<A>));
    }
    exps.join_team(rows.team);
    const A log_sum = std::log(exps.sum);
    T* const to = y + rows.outer.offset(1, seat.row);
    for (int64_t i = seat.first(); i < seat.n; i += seat.step()) {
      Vec<A, V> chunk = seat.load(from, rows.stride[0], i, A(0));
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
    sum = join(rows.team, sum, SumOp(), A(0));
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
    const T* const dy_row = dy + rows.outer.offset(0, seat.row);
    const T* const y_row = y + rows.outer.offset(1, seat.row);
    A sum = 0;
    for (int64_t i = seat.first(); i < seat.n; i += seat.step()) {
      const Vec<A, V> dys = seat.load(dy_row, rows.stride[0], i, A(0));
      const Vec<A, V> ys = seat.load(y_row, rows.stride[1], i, A(0));
#pragma unroll
      for (int v = 0; v < V; v++) sum += summand(dys[v], ys[v], log);
    }
    sum = join(rows.team, sum, SumOp(), A(0));
    T* const to = dx + rows.outer.offset(2, seat.row);
    for (int64_t i = seat.first(); i < seat.n; i += seat.step()) {
      Vec<A, V> dys = seat.load(dy_row, rows.stride[0], i, A(0));
      const Vec<A, V> ys = seat.load(y_row, rows.stride[1], i, A(0));
#pragma unroll
      for (int v = 0; v < V; v++) dys[v] = gradient(dys[v], ys[v], sum, log);
      seat.store(to, rows.stride[2], i, dys);
    }
  }
}

/// Elements of a row for each thread of its team, or "too many" where rows are streamed.
template <class T, int K>
int64_t held_items(const Rows<K>& rows) {
  if (rows.team == Team::warp) return (rows.n + 31) / 32;
  if (rows.team == Team::block) return (rows.n + kRowThreads - 1) / kRowThreads;
  return std::numeric_limits<int64_t>::max();
}

}  // namespace

void softmax(Stream stream, const Array& x, const Array& y, int axis, bool log) {
  const char* const op = log ? "log_softmax" : "softmax";
  check_softmax(op, axis, x, {&y});
  if (x.size() == 0) return;
  const Rows<2> rows = make_rows({x, y}, axis, 2);
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int64_t items = held_items<T>(rows);
    auto* const kernel = items <= kShort<T>  ? softmax_held<T, kShort<T>>
                         : items <= kLong<T> ? softmax_held<T, kLong<T>>
                                             : softmax_streamed<T>;
    launch(kernel, rows.grid(), kRowThreads, 0, stream, rows, x.as<const T>(), y.as<T>(), log);
  });
}

void softmax_grad(Stream stream, const Array& dy, const Array& y, const Array& dx, int axis,
                  bool log) {
  const char* const op = log ? "log_softmax_grad" : "softmax_grad";
  check_softmax(op, axis, dy, {&y, &dx});
  if (dy.size() == 0) return;
  const Rows<3> rows = make_rows({dy, y, dx}, axis, 3);
  dispatch_floating(dy.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int64_t items = held_items<T>(rows);
    auto* const kernel = items <= kShort<T>  ? softmax_grad_held<T, kShort<T>>
                         : items <= kLong<T> ? softmax_grad_held<T, kLong<T>>
                                             : softmax_grad_streamed<T>;
    launch(kernel, rows.grid(), kRowThreads, 0, stream, rows, dy.as<const T>(), y.as<const T>(),
           dx.as<T>(), log);
  });
}

}  // namespace gg

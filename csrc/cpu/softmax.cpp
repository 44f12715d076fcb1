// Softmax and log-softmax along any axis, and their gradients, on CPU threads. ops.h has the
// formulas; sums are formed in float32 (float64 for float64), each row by one thread.

#include "core/row_checks.h"
#include "cpu/exp_forms.h"
#include "cpu/rows.h"
#include "cpu/wide.h"
#include "ops/arrays.h"

namespace gg {
namespace {

/// Plain loops, so that they are compiled twice (wide.h); exp and its sum in one pass.
template <class A>
[[gnu::always_inline]] inline void softmax_line(const A* __restrict x, A* __restrict y, int64_t n,
                                                bool log) {
  constexpr int P = kPartial<A>;
  A top[P], sum[P] = {};
  for (int p = 0; p < P; p++) top[p] = std::numeric_limits<A>::lowest();
  int64_t i = 0;
  for (; i + P <= n; i += P) {
    for (int p = 0; p < P; p++) top[p] = larger_of(top[p], x[i + p]);
  }
  for (int p = 0; i + p < n; p++) top[p] = larger_of(top[p], x[i + p]);
  for (int p = 1; p < P; p++) top[0] = larger_of(top[0], top[p]);
  const A max = top[0];
  for (i = 0; i + P <= n; i += P) {
    for (int p = 0; p < P; p++) {
      const A e = exp_below(x[i + p] - max);
      y[i + p] = e;
      sum[p] += e;
    }
  }
  for (int p = 0; i + p < n; p++) {
    y[i + p] = exp_below(x[i + p] - max);
    sum[p] += y[i + p];
  }
  for (int half = P / 2; half > 0; half /= 2) {
    for (int p = 0; p < half; p++) sum[p] += sum[p + half];
  }
  if (log) {
    const A log_sum = std::log(sum[0]);
    for (i = 0; i < n; i++) y[i] = x[i] - max - log_sum;
  } else {
    const A scale = 1 / sum[0];
    for (i = 0; i < n; i++) y[i] *= scale;
  }
}

GG_WIDE void softmax_wide(const float* x, float* y, int64_t n, bool log) {
  softmax_line(x, y, n, log);
}

template <class A>
void softmax_row(const A* x, A* y, int64_t n, bool log) {
  static const bool wide = machine_is_wide();
  if constexpr (std::is_same_v<A, float>) {
    if (wide) return softmax_wide(x, y, n, log);
  }
  softmax_line(x, y, n, log);
}

template <class A>
void softmax_columns(Block<A> x, Block<A> y, int64_t n, int64_t count, bool log) {
  PerColumn<A> max, sum = {};
  columns_max(x, n, count, max);
  for (int64_t c = 0; c < n; c++) {
    const A* __restrict const from = x.at + c * x.pitch;
    A* __restrict const to = y.at + c * y.pitch;
    for (int64_t b = 0; b < count; b++) {
      to[b] = exp_below(from[b] - max[b]);
      sum[b] += to[b];
    }
  }
  for (int64_t b = 0; b < count; b++) sum[b] = log ? std::log(sum[b]) : 1 / sum[b];
  for (int64_t c = 0; c < n; c++) {
    const A* __restrict const from = x.at + c * x.pitch;
    A* __restrict const to = y.at + c * y.pitch;
    if (log) {
      for (int64_t b = 0; b < count; b++) to[b] = from[b] - max[b] - sum[b];
    } else {
      for (int64_t b = 0; b < count; b++) to[b] *= sum[b];
    }
  }
}

template <class A>
[[gnu::always_inline]] inline A gradient(A dy, A y, A sum, bool log) {
  return log ? dy - fast_exp(y) * sum : y * (dy - sum);
}

template <class A>
void softmax_grad_row(const A* __restrict dy, const A* __restrict y, A* __restrict dx, int64_t n,
                      bool log) {
  if (log) {
    const A sum = row_sum<A>(n, [&](int64_t i) { return dy[i]; });
    for (int64_t i = 0; i < n; i++) dx[i] = gradient(dy[i], y[i], sum, true);
  } else {
    const A sum = row_sum<A>(n, [&](int64_t i) { return dy[i] * y[i]; });
    for (int64_t i = 0; i < n; i++) dx[i] = gradient(dy[i], y[i], sum, false);
  }
}

template <class A>
void softmax_grad_columns(Block<A> dy, Block<A> y, Block<A> dx, int64_t n, int64_t count,
                          bool log) {
  PerColumn<A> sum;
  reduce_columns(n, count, A(0), sum, [=](A s, int64_t c, int64_t b) {
    const A d = dy.at[c * dy.pitch + b];
    return s + (log ? d : d * y.at[c * y.pitch + b]);
  });
  for (int64_t c = 0; c < n; c++) {
    const A* __restrict const dys = dy.at + c * dy.pitch;
    const A* __restrict const ys = y.at + c * y.pitch;
    A* __restrict const to = dx.at + c * dx.pitch;
    if (log) {
      for (int64_t b = 0; b < count; b++) to[b] = gradient(dys[b], ys[b], sum[b], true);
    } else {
      for (int64_t b = 0; b < count; b++) to[b] = gradient(dys[b], ys[b], sum[b], false);
    }
  }
}

}  // namespace

void softmax(Stream, const Array& x, const Array& y, int axis, bool log) {
  const char* const op = log ? "log_softmax" : "softmax";
  check_softmax(op, axis, x, {&y});
  if (x.size() == 0) return;
  const RowLayout<2> rows = row_layout({x, y}, axis);
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(rows.outer.size, row_grain(rows.n), [&](int64_t begin, int64_t end) {
      Blocks<T, 2> xs(rows, 0, x.as<T>()), ys(rows, 1, y.as<T>());
      for_each_block(rows, begin, end, [&](int64_t first, int64_t count) {
        const auto from = xs.load(first, count), to = ys.open(first, count);
        if (in_columns(rows)) {
          softmax_columns(from, to, rows.n, count, log);
        } else {
          softmax_row(from.at, to.at, rows.n, log);
        }
        ys.store();
      });
    });
  });
}

void softmax_grad(Stream, const Array& dy, const Array& y, const Array& dx, int axis, bool log) {
  const char* const op = log ? "log_softmax_grad" : "softmax_grad";
  check_softmax(op, axis, dy, {&y, &dx});
  if (dy.size() == 0) return;
  const RowLayout<3> rows = row_layout({dy, y, dx}, axis);
  dispatch_floating(dy.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(rows.outer.size, row_grain(rows.n), [&](int64_t begin, int64_t end) {
      Blocks<T, 3> dys(rows, 0, dy.as<T>()), ys(rows, 1, y.as<T>()), dxs(rows, 2, dx.as<T>());
      for_each_block(rows, begin, end, [&](int64_t first, int64_t count) {
        const auto d = dys.load(first, count), v = ys.load(first, count);
        const auto to = dxs.open(first, count);
        if (in_columns(rows)) {
          softmax_grad_columns(d, v, to, rows.n, count, log);
        } else {
          softmax_grad_row(d.at, v.at, to.at, rows.n, log);
        }
        dxs.store();
      });
    });
  });
}

}  // namespace gg

// Scans along the last axis on CPU threads: y[i] = x[0] o ... o x[i], o being sum, prod, max, min
// or logaddexp; in float32 for halves, in int64 for integers and bool, rounded once.
//
//   rows     elements of a row lie near each other: a vector of floats is scanned in three steps,
//            then joined with the carry, so that only the carry waits for what is before it
//   columns  neighbouring rows lie nearer: a line of up to 1024 rows after the other
//
// A row has one thread. Bytes: x once, y once. Bound: memory; logaddexp: arithmetic.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/checks.h"
#include "core/rows.h"
#include "cpu/fold.h"
#include "cpu/runs.h"
#include "cpu/typed_runs.h"
#include "ops/arrays.h"

namespace gg {
namespace {

/// log(exp a + exp b); NaN wins, infinities do not become NaN.
template <class T>
T log_add_exp(T a, T b) {
  if (a == b) return a + T(0.69314718055994530942);
  const T d = a - b;
  return d > 0 ? a + std::log1p(std::exp(-d)) : d <= 0 ? b + std::log1p(std::exp(d)) : d;
}

/// Calls f(join, start): what joins two numbers or two vectors, and join(start, x) = x.
template <class T, class F>
void with_join(Scan op, F f) {
  switch (op) {
    case Scan::sum:
      return f(
          [](auto a, auto b) {
            if constexpr (std::is_integral_v<T>) return BinaryMath<T>::add(a, b);
            if constexpr (!std::is_integral_v<T>) return a + b;
          },
          T(0));
    case Scan::prod:
      return f(
          [](auto a, auto b) {
            if constexpr (std::is_integral_v<T>) return BinaryMath<T>::mul(a, b);
            if constexpr (!std::is_integral_v<T>) return a * b;
          },
          T(1));
    case Scan::max:
      return f([](auto a, auto b) { return extreme<false>(a, b); }, fold_start<T>(Reduce::max));
    default:
      return f([](auto a, auto b) { return extreme<true>(a, b); }, fold_start<T>(Reduce::min));
  }
}

/// v moved up by `by` places, with starts below.
template <int by, class T, class V>
[[gnu::always_inline]] inline V moved(V v, V start) {
  if constexpr (sizeof(T) == 8) {
    if constexpr (by == 1) return __builtin_shufflevector(v, start, 4, 0, 1, 2);
    return __builtin_shufflevector(v, start, 4, 5, 0, 1);
  } else {
    if constexpr (by == 1) return __builtin_shufflevector(v, start, 8, 0, 1, 2, 3, 4, 5, 6);
    if constexpr (by == 2) return __builtin_shufflevector(v, start, 8, 9, 0, 1, 2, 3, 4, 5);
    return __builtin_shufflevector(v, start, 8, 9, 10, 11, 0, 1, 2, 3);
  }
}

/// y[i] = carry o x[0] o ... o x[i]; returns the last.
template <class T, class F>
T scan_run(const T* x, T* y, int64_t n, T carry, T start, F join) {
  int64_t i = 0;
  if constexpr (std::is_floating_point_v<T>) {
    using L = Lanes<T>;
    using V = typename L::Values;
    const V starts = start - V{};
    V carries = carry - V{};
    for (; i + L::n <= n; i += L::n) {
      V v = L::load(x + i);
      v = join(moved<1, T>(v, starts), v);
      v = join(moved<2, T>(v, starts), v);
      if constexpr (sizeof(T) == 4) v = join(moved<4, T>(v, starts), v);
      L::store(y + i, join(carries, v));
      carries = join(carries, v[L::n - 1] - V{});
    }
    carry = carries[0];
  }
  for (; i < n; i++) y[i] = carry = join(carry, x[i]);
  return carry;
}

template <class T>
class Scanning {
 public:
  Scanning(Scan op, const Array& x, const Array& y)
      : op_(op), x_(x.data), y_(y.data), read_(x.dtype), write_(y.dtype) {
    rows_ = row_layout({x, y}, x.ndim - 1);
    lines_ = !rows_.near && rows_.outer.length[rows_.outer.ndim - 1] >= 8;
  }

  void run() const {
    if (rows_.outer.size * rows_.n == 0) return;
    const int64_t grain = std::max<int64_t>(lines_ ? 64 : 1, 2 * kGrain / rows_.n);
    parallel_for(rows_.outer.size, grain, [&](int64_t begin, int64_t end) {
      if (lines_) {
        for_runs(rows_.outer, begin, end, [&](int64_t first, int64_t n) { scan_lines(first, n); });
      } else {
        for (int64_t row = begin; row < end; row++) scan_row(row);
      }
    });
  }

 private:
  void scan_row(int64_t row) const {
    const int64_t from = rows_.outer.offset(0, row), to = rows_.outer.offset(1, row);
    const int64_t step_x = rows_.stride[0], step_y = rows_.stride[1];
    T run_x[kRun], run_y[kRun];
    bool started = false;
    T carry = T(0);
    for (int64_t i = 0; i < rows_.n; i += kRun) {
      const int64_t n = std::min(kRun, rows_.n - i);
      const T* const in = read_(x_, from + i * step_x, step_x, run_x, n);
      T* const out = write_.place(y_, to + i * step_y, step_y, run_y);
      if constexpr (std::is_floating_point_v<T>) {
        if (op_ == Scan::logaddexp) {
          if (!started) carry = -std::numeric_limits<T>::infinity();
          for (int64_t k = 0; k < n; k++) out[k] = carry = log_add_exp(carry, in[k]);
        }
      }
      if (op_ != Scan::logaddexp) {
        with_join<T>(op_, [&](auto join, T start) {
          carry = scan_run(in, out, n, started ? carry : start, start, join);
        });
      }
      started = true;
      write_(out, y_, to + i * step_y, step_y, n);
    }
  }

  /// n neighbouring rows.
  void scan_lines(int64_t first, int64_t n) const {
    const int64_t from = rows_.outer.offset(0, first), to = rows_.outer.offset(1, first);
    const int64_t across_x = rows_.outer.inner(0), across_y = rows_.outer.inner(1);
    T run[kRun], total[kRun];
    for (int64_t i = 0; i < rows_.n; i++) {
      const T* const in = read_(x_, from + i * rows_.stride[0], across_x, run, n);
      if (i == 0) {
        std::copy_n(in, n, total);
      } else if (op_ == Scan::logaddexp) {
        if constexpr (std::is_floating_point_v<T>) {
          for (int64_t k = 0; k < n; k++) total[k] = log_add_exp(total[k], in[k]);
        }
      } else {
        fold_columns(folded(), total, in, n);
      }
      write_(total, y_, to + i * rows_.stride[1], across_y, n);
    }
  }

  Reduce folded() const {
    constexpr Reduce joins[] = {Reduce::sum, Reduce::prod, Reduce::max, Reduce::min};
    return joins[static_cast<int>(op_)];
  }

  const Scan op_;
  const void* const x_;
  void* const y_;
  const RunReader<T> read_;
  const RunWriter<T> write_;
  RowLayout<2> rows_;
  bool lines_ = false;
};

}  // namespace

void scan(Stream, Scan op, const Array& x, const Array& y) {
  check_same_shape("scan", "x", x, "y", y);
  GG_CHECK(x.ndim > 0, "scan", "x has no axis to walk along");
  const bool sums = op == Scan::sum || op == Scan::prod;
  check_dtype("scan", "y", y, sums && !is_floating(x.dtype) ? DType::i64 : x.dtype);
  if (op == Scan::logaddexp) check_floating("scan", "x", x);
  if (x.dtype == DType::f64) return Scanning<double>(op, x, y).run();
  if (is_floating(x.dtype)) return Scanning<float>(op, x, y).run();
  Scanning<int64_t>(op, x, y).run();
}

}  // namespace gg

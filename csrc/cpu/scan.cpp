// Scans along the last axis on CPU threads: y[i] = x[0] o ... o x[i], o being sum, prod, max, min
// or logaddexp; sums and products of floats in double, the rest of halves in float32, of integers
// and bool in int64; rounded once at each y.
//
//   rows     elements of a row lie near each other: a vector of a sum's, a maximum's or a minimum's
//            is scanned in two or three steps, then joined with the carry, so that only the carry
//            waits for what is before it. Products (and float64's sums) meet one after the other:
//            that of a few elements may overflow or vanish where no prefix does
//   columns  neighbouring rows lie nearer: a line of up to 1024 rows after the other
//
// A row has one thread. Bytes: x once, y once. Bound: memory; logaddexp: arithmetic.
#include <algorithm>
#include <cmath>
#include <cstring>
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

/// What sums and products are formed in.
template <class T>
using Total = std::conditional_t<std::is_floating_point_v<T>, double, T>;

/// Calls f(join, start): what joins two numbers or two vectors, and join(start, x) = x. Sums and
/// products of floating T have loops of their own.
template <class T, class F>
void with_join(Scan op, F f) {
  if constexpr (std::is_integral_v<T>) {
    if (op == Scan::sum) return f([](T a, T b) { return BinaryMath<T>::add(a, b); }, T(0));
    if (op == Scan::prod) return f([](T a, T b) { return BinaryMath<T>::mul(a, b); }, T(1));
  }
  if (op == Scan::max) {
    f([](auto a, auto b) { return extreme<false>(a, b); }, fold_start<T>(Reduce::max));
  } else {
    f([](auto a, auto b) { return extreme<true>(a, b); }, fold_start<T>(Reduce::min));
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

/// y[i] = carry + x[0] + ... + x[i], or that product; returns the last, not rounded.
template <class T>
double total_run(bool product, const T* x, T* y, int64_t n, double carry) {
  int64_t i = 0;
  if (product) {
    for (; i < n; i++) y[i] = static_cast<T>(carry *= x[i]);
    return carry;
  }
  if constexpr (std::is_same_v<T, float>) {  // no sum of four floats overflows in double
    using V = Lanes<double>::Values;
    typedef float Four __attribute__((vector_size(16)));
    V carries = carry - V{};
    for (; i + 4 <= n; i += 4) {
      Four four;
      std::memcpy(&four, x + i, sizeof(four));
      V v = __builtin_convertvector(four, V);
      v += moved<1, double>(v, V{});
      v += moved<2, double>(v, V{});
      four = __builtin_convertvector(carries + v, Four);
      std::memcpy(y + i, &four, sizeof(four));
      carries += v[3] - V{};
    }
    carry = carries[0];
  }
  for (; i < n; i++) y[i] = static_cast<T>(carry += x[i]);
  return carry;
}

template <class T>
class Scanning {
 public:
  Scanning(Scan op, const Array& x, const Array& y)
      : op_(op),
        totals_(kFloating && (op == Scan::sum || op == Scan::prod)),
        x_(x.data),
        y_(y.data),
        read_(x.dtype),
        write_(y.dtype) {
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
    T carry = T(0);
    Total<T> total = op_ == Scan::prod ? 1 : 0;
    for (int64_t i = 0; i < rows_.n; i += kRun) {
      const int64_t n = std::min(kRun, rows_.n - i);
      const T* const in = read_(x_, from + i * step_x, step_x, run_x, n);
      T* const out = write_.place(y_, to + i * step_y, step_y, run_y);
      if (totals_) {
        if constexpr (kFloating) total = total_run(op_ == Scan::prod, in, out, n, total);
      } else if (op_ == Scan::logaddexp) {
        if constexpr (kFloating) {
          if (i == 0) carry = -std::numeric_limits<T>::infinity();
          for (int64_t k = 0; k < n; k++) out[k] = carry = log_add_exp(carry, in[k]);
        }
      } else {
        with_join<T>(op_, [&](auto join, T start) {
          carry = scan_run(in, out, n, i > 0 ? carry : start, start, join);
        });
      }
      write_(out, y_, to + i * step_y, step_y, n);
    }
  }

  /// n neighbouring rows.
  void scan_lines(int64_t first, int64_t n) const {
    const int64_t from = rows_.outer.offset(0, first), to = rows_.outer.offset(1, first);
    const int64_t across_x = rows_.outer.inner(0), across_y = rows_.outer.inner(1);
    T run[kRun], joined[kRun];
    Total<T> total[kRun];
    if (totals_) std::fill_n(total, n, Total<T>(op_ == Scan::prod ? 1 : 0));
    for (int64_t i = 0; i < rows_.n; i++) {
      const T* const in = read_(x_, from + i * rows_.stride[0], across_x, run, n);
      if (totals_) {
        for (int64_t k = 0; k < n; k++) {
          total[k] = op_ == Scan::prod ? total[k] * in[k] : total[k] + in[k];
          joined[k] = static_cast<T>(total[k]);
        }
      } else if (i == 0) {
        std::copy_n(in, n, joined);
      } else if (op_ == Scan::logaddexp) {
        if constexpr (kFloating) {
          for (int64_t k = 0; k < n; k++) joined[k] = log_add_exp(joined[k], in[k]);
        }
      } else {
        fold_columns(folded(), joined, in, n);
      }
      write_(joined, y_, to + i * rows_.stride[1], across_y, n);
    }
  }

  Reduce folded() const {
    constexpr Reduce joins[] = {Reduce::sum, Reduce::prod, Reduce::max, Reduce::min};
    return joins[static_cast<int>(op_)];
  }

  static constexpr bool kFloating = std::is_floating_point_v<T>;

  const Scan op_;
  const bool totals_;  ///< a sum or product of floats
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

// attention_rows.h: each loop for the module's instructions and for AVX-512.
#include "cpu/attention_rows.h"

#include <limits>

#include "cpu/exp_forms.h"
#include "cpu/wide.h"

namespace gg {
namespace {

#define GG_LOOP [[gnu::always_inline]] inline

/// A stripe as one value.
template <class A>
struct Stripe {
  typedef A Values __attribute__((vector_size(kStripe * sizeof(A))));
  typedef A Half __attribute__((vector_size(kStripe / 2 * sizeof(A))));

  GG_LOOP static Values load(const A* from) {
    Values v;
    __builtin_memcpy(&v, from, sizeof(v));
    return v;
  }
  GG_LOOP static Values all(A x) { return Values{} + x; }
  GG_LOOP static Values larger(Values a, Values b) { return a > b ? a : b; }

  /// The sum of all, halves first.
  GG_LOOP static A sum(Values v) {
    const Half h = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                   __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    const auto q =
        __builtin_shufflevector(h, h, 0, 1, 2, 3) + __builtin_shufflevector(h, h, 4, 5, 6, 7);
    return (q[0] + q[2]) + (q[1] + q[3]);
  }
  GG_LOOP static A largest(Values v) {
    const Half a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
    const Half b = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    const Half h = a > b ? a : b;
    const auto c = __builtin_shufflevector(h, h, 0, 1, 2, 3);
    const auto d = __builtin_shufflevector(h, h, 4, 5, 6, 7);
    const auto q = c > d ? c : d;
    const A x = q[0] > q[2] ? q[0] : q[2], y = q[1] > q[3] ? q[1] : q[3];
    return x > y ? x : y;
  }
};

struct Softmax {
  template <class A>
  GG_LOOP static A run(A* __restrict s, int64_t n, RowSoftmax<A>& row) {
    using S = Stripe<A>;
    constexpr A none = -std::numeric_limits<A>::infinity();
    typename S::Values most = S::all(row.top);
    for (int64_t i = 0; i < n; i += kStripe) most = S::larger(S::load(s + i), most);
    const A top = S::largest(most);
    const A base = top == none ? A(0) : top;  // all hidden: exp(-infinity) is 0
    for (int64_t i = 0; i < n; i++) s[i] = exp_below(s[i] - base);
    typename S::Values sums = {};
    for (int64_t i = 0; i < n; i += kStripe) sums += S::load(s + i);
    const A correction = exp_below(row.top - base);
    row.total = row.total * correction + S::sum(sums);
    row.top = top;
    return correction;
  }
};

struct Gradient {
  template <class A>
  GG_LOOP static void run(A* __restrict s, A* __restrict dp, const A* __restrict z, int64_t n,
                          A lse, A delta) {
    if (z) {
      for (int64_t i = 0; i < n; i++) {
        const A p = exp_below(s[i] - lse);
        s[i] = p * z[i];
        dp[i] = p * (dp[i] * z[i] - delta);
      }
    } else {
      for (int64_t i = 0; i < n; i++) {
        const A p = exp_below(s[i] - lse);
        s[i] = p;
        dp[i] = p * (dp[i] - delta);
      }
    }
  }
};

struct Multiply {
  template <class A>
  GG_LOOP static void run(A* __restrict s, const A* __restrict z, int64_t n) {
    for (int64_t i = 0; i < n; i++) s[i] *= z[i];
  }
};

struct Scale {
  template <class A>
  GG_LOOP static void run(A* __restrict s, A by, int64_t n) {
    for (int64_t i = 0; i < n; i++) s[i] *= by;
  }
};

struct Dot {
  template <class A>
  GG_LOOP static A run(const A* x, const A* y, int64_t n) {
    using S = Stripe<A>;
    typename S::Values sums = {};
    int64_t i = 0;
    for (; i + kStripe <= n; i += kStripe) sums += S::load(x + i) * S::load(y + i);
    A sum = S::sum(sums);
    for (; i < n; i++) sum += x[i] * y[i];
    return sum;
  }
};

#undef GG_LOOP

template <class A>
struct Narrow {
  static A softmax(A* s, int64_t n, RowSoftmax<A>& row) { return Softmax::run(s, n, row); }
  static void gradient(A* s, A* dp, const A* z, int64_t n, A lse, A delta) {
    Gradient::run(s, dp, z, n, lse, delta);
  }
  static void multiply(A* s, const A* z, int64_t n) { Multiply::run(s, z, n); }
  static void scale(A* s, A by, int64_t n) { Scale::run(s, by, n); }
  static A dot(const A* x, const A* y, int64_t n) { return Dot::run(x, y, n); }
};

template <class A>
struct Wide512 {
  GG_WIDE static A softmax(A* s, int64_t n, RowSoftmax<A>& row) { return Softmax::run(s, n, row); }
  GG_WIDE static void gradient(A* s, A* dp, const A* z, int64_t n, A lse, A delta) {
    Gradient::run(s, dp, z, n, lse, delta);
  }
  GG_WIDE static void multiply(A* s, const A* z, int64_t n) { Multiply::run(s, z, n); }
  GG_WIDE static void scale(A* s, A by, int64_t n) { Scale::run(s, by, n); }
  GG_WIDE static A dot(const A* x, const A* y, int64_t n) { return Dot::run(x, y, n); }
};

template <class A, template <class> class Loops>
constexpr AttentionRowLoops<A> table() {
  return {Loops<A>::softmax, Loops<A>::gradient, Loops<A>::multiply, Loops<A>::scale,
          Loops<A>::dot};
}

}  // namespace

template <class A>
const AttentionRowLoops<A>& attention_row_loops() {
  static const AttentionRowLoops<A> loops =
      machine_is_wide() ? table<A, Wide512>() : table<A, Narrow>();
  return loops;
}

template const AttentionRowLoops<float>& attention_row_loops<float>();
template const AttentionRowLoops<double>& attention_row_loops<double>();

}  // namespace gg

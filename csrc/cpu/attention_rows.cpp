// attention_rows.h: each loop for the module's instructions and for AVX-512.
#include "cpu/attention_rows.h"

#include <limits>

#include "cpu/exp.h"
#include "cpu/wide.h"

namespace gg {
namespace {

#define GG_LOOP [[gnu::always_inline]] inline

/// exp x for x <= 0 that is 0 where the result is no normal number: no gradual underflow, which
/// machines are slow at. Else as fast_exp.
template <class A>
GG_LOOP A exp_below(A x) {
  constexpr bool single = std::is_same_v<A, float>;
  using Bits = std::conditional_t<single, uint32_t, uint64_t>;
  constexpr int fraction = single ? 23 : 52, terms = single ? 7 : 13;
  constexpr Bits bias = single ? 127 : 1023;
  constexpr A lowest = single ? A(-87) : A(-708);
  constexpr A round = A(1.5) * static_cast<A>(Bits{1} << fraction);  // x + round - round is rint x
  constexpr A log2e = A(1.4426950408889634074);
  constexpr A ln2_high = single ? A(0.693359375) : A(0.693147180369123816490);
  constexpr A ln2_low = single ? A(-2.12194440054690583e-4) : A(1.90821492927058770002e-10);

  const A y = lowest > x ? lowest : x;  // in this order NaN stays
  const A shifted = std::fma(y, log2e, round), n = shifted - round;
  const A r = std::fma(n, -ln2_low, std::fma(n, -ln2_high, y));
  const Bits exponent = std::bit_cast<Bits>(shifted) - std::bit_cast<Bits>(round) + bias;
  const A power = exp_series<0, terms>(r) * std::bit_cast<A>(exponent << fraction);
  return lowest > x ? A(0) : power;
}

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

struct Dropout {
  template <class A>
  GG_LOOP static void run(PhiloxStream stream, uint32_t threshold, A kept, uint64_t first,
                          int64_t n, A* __restrict z) {
    constexpr int kBatch = 32;  // counters at a time, each four elements
    uint32_t words[4][kBatch];
    A batch[4 * kBatch];
    const int64_t lead = static_cast<int64_t>(first % 4);
    for (int64_t done = -lead; done < n; done += 4 * kBatch) {
      const uint64_t group = first / 4 + static_cast<uint64_t>((done + lead) / 4);
      for (int i = 0; i < kBatch; i++) {
        const PhiloxWords w = philox(stream, group + static_cast<uint64_t>(i));
        for (int k = 0; k < 4; k++) words[k][i] = w.w[k];
      }
      for (int i = 0; i < kBatch; i++) {
        for (int k = 0; k < 4; k++) batch[4 * i + k] = words[k][i] >> 8 >= threshold ? kept : A(0);
      }
      const int64_t skip = done < 0 ? lead : 0, end = n - done < 4 * kBatch ? n - done : 4 * kBatch;
      for (int64_t i = skip; i < end; i++) z[done + i] = batch[i];
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
  static void dropout(PhiloxStream stream, uint32_t threshold, A kept, uint64_t first, int64_t n,
                      A* z) {
    Dropout::run(stream, threshold, kept, first, n, z);
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
  GG_WIDE static void dropout(PhiloxStream stream, uint32_t threshold, A kept, uint64_t first,
                              int64_t n, A* z) {
    Dropout::run(stream, threshold, kept, first, n, z);
  }
  GG_WIDE static void multiply(A* s, const A* z, int64_t n) { Multiply::run(s, z, n); }
  GG_WIDE static void scale(A* s, A by, int64_t n) { Scale::run(s, by, n); }
  GG_WIDE static A dot(const A* x, const A* y, int64_t n) { return Dot::run(x, y, n); }
};

template <class A, template <class> class Loops>
constexpr AttentionRowLoops<A> table() {
  return {Loops<A>::softmax,  Loops<A>::gradient, Loops<A>::dropout,
          Loops<A>::multiply, Loops<A>::scale,    Loops<A>::dot};
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

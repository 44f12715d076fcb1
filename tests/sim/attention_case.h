// Attention on small arrays, and by plain loops, for the cases of kernels_attention*.cpp.
#pragma once

#include "host_array.h"
#include "ops/attention.h"

namespace gg {

constexpr int64_t kBatch = 1, kGroups = 1;

/// Where query i may see key j.
using Seen = std::function<bool(int64_t i, int64_t j)>;

/// Arrays of one check: one group of keys for all heads of queries.
template <class T>
struct Attention {
  int64_t m, n, d, heads;
  Host<T> q, k, v, dy, o, dq, dk, dv;
  Host<Acc<T>> lse, dbias;

  Attention(int64_t m, int64_t n, int64_t d, int64_t heads = 2)
      : m(m),
        n(n),
        d(d),
        heads(heads),
        q({kBatch, heads, m, d}, [](int64_t i) { return noise(i); }),
        k({kBatch, kGroups, n, d}, [](int64_t i) { return noise(i + 1000); }),
        v({kBatch, kGroups, n, d}, [](int64_t i) { return noise(i + 2000); }),
        dy({kBatch, heads, m, d}, [](int64_t i) { return noise(i + 3000); }),
        o({kBatch, heads, m, d}),
        dq({kBatch, heads, m, d}),
        dk({kBatch, kGroups, n, d}),
        dv({kBatch, kGroups, n, d}),
        lse({kBatch, heads, m}),
        dbias({kBatch, heads, m, n}) {}

  double dot(const Host<T>& a, int64_t row, const Host<T>& b, int64_t other) const {
    double sum = 0;
    for (int64_t c = 0; c < d; c++) sum += a[row * d + c] * b[other * d + c];
    return sum;
  }

  void run(const AttentionOptions& options, bool bias) {
    const auto precision = MatmulPrecision::exact;
    attention(nullptr, q, k, v, options, precision, o, lse,
              workspace(attention_workspace(q, k, o)));
    attention_grad(nullptr, dy, q, k, v, o, lse, options, precision, dq, dk, dv,
                   bias ? dbias.array() : Array{}, workspace(attention_grad_workspace(q, k)));
  }

  /// Probabilities of query `row` of head h; 0 where hidden.
  std::vector<double> probabilities(int64_t row, const AttentionOptions& options, const Seen& seen,
                                    const Host<Acc<T>>* bias) const {
    std::vector<double> p(static_cast<size_t>(n));
    double total = 0;
    for (int64_t j = 0; j < n; j++) {
      if (!seen(row % m, j)) continue;
      const double score = options.scale * dot(q, row, k, j) + (bias ? (*bias)[row * n + j] : 0);
      total += p[static_cast<size_t>(j)] = std::exp(score);
    }
    for (double& x : p) x = total > 0 ? x / total : 0;
    return p;
  }

  void check(const AttentionOptions& options, const Seen& seen, const Host<Acc<T>>* bias) const {
    std::vector<double> sum_k(static_cast<size_t>(n * d)), sum_v(sum_k);
    for (int64_t row = 0; row < heads * m; row++) {
      const std::vector<double> p = probabilities(row, options, seen, bias);
      double delta = 0;
      for (int64_t c = 0; c < d; c++) delta += dy[row * d + c] * o[row * d + c];
      std::vector<double> y(static_cast<size_t>(d)), grad(y);
      for (int64_t j = 0; j < n; j++) {
        const double weight = p[static_cast<size_t>(j)];
        const double ds = weight * (dot(dy, row, v, j) - delta);
        if (bias) check_near<T>("dbias", row * n + j, dbias[row * n + j], ds, 8);
        for (int64_t c = 0; c < d; c++) {
          y[static_cast<size_t>(c)] += weight * v[j * d + c];
          grad[static_cast<size_t>(c)] += options.scale * ds * k[j * d + c];
          sum_k[static_cast<size_t>(j * d + c)] += options.scale * ds * q[row * d + c];
          sum_v[static_cast<size_t>(j * d + c)] += weight * dy[row * d + c];
        }
      }
      for (int64_t c = 0; c < d; c++) {
        check_near<T>("o", row * d + c, o[row * d + c], y[static_cast<size_t>(c)], 4);
        check_near<T>("dq", row * d + c, dq[row * d + c], grad[static_cast<size_t>(c)], 16);
      }
    }
    for (int64_t i = 0; i < n * d; i++) {
      check_near<T>("dk", i, dk[i], sum_k[static_cast<size_t>(i)], 16);
      check_near<T>("dv", i, dv[i], sum_v[static_cast<size_t>(i)], 16);
    }
  }
};

inline AttentionOptions scaled(int64_t d) {
  AttentionOptions options;
  options.scale = 1 / std::sqrt(static_cast<double>(d));
  return options;
}

}  // namespace gg

// Attention kernels on small shapes, against plain loops.

#include "host_array.h"
#include "ops/attention.h"

using namespace gg;

namespace {

constexpr int64_t kBatch = 1, kHeads = 2, kGroups = 1;

/// Where query i may see key j.
using Seen = std::function<bool(int64_t i, int64_t j)>;

/// Arrays of one check: one group of keys for two heads of queries.
template <class T>
struct Attention {
  int64_t m, n, d;
  Host<T> q, k, v, dy, o, dq, dk, dv;
  Host<Acc<T>> lse, dbias;

  Attention(int64_t m, int64_t n, int64_t d)
      : m(m),
        n(n),
        d(d),
        q({kBatch, kHeads, m, d}, [](int64_t i) { return noise(i); }),
        k({kBatch, kGroups, n, d}, [](int64_t i) { return noise(i + 1000); }),
        v({kBatch, kGroups, n, d}, [](int64_t i) { return noise(i + 2000); }),
        dy({kBatch, kHeads, m, d}, [](int64_t i) { return noise(i + 3000); }),
        o({kBatch, kHeads, m, d}),
        dq({kBatch, kHeads, m, d}),
        dk({kBatch, kGroups, n, d}),
        dv({kBatch, kGroups, n, d}),
        lse({kBatch, kHeads, m}),
        dbias({kBatch, kHeads, m, n}) {}

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
    for (int64_t row = 0; row < kHeads * m; row++) {
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

AttentionOptions scaled(int64_t d) {
  AttentionOptions options;
  options.scale = 1 / std::sqrt(static_cast<double>(d));
  return options;
}

/// Causal and plain, for each kernel of a head size.
template <class T>
void check_dense(std::initializer_list<int64_t> sizes, int64_t m = 37, int64_t n = 40) {
  for (const int64_t d : sizes) {
    for (const bool causal : {false, true}) {
      Attention<T> a(m, n, d);
      AttentionOptions options = scaled(d);
      if (causal) options.right = 0;
      a.run(options, false);
      a.check(options, [=](int64_t i, int64_t j) { return !causal || j <= i; }, nullptr);
    }
  }
}

}  // namespace

CASE(attention_float32) {
  check_dense<float>({24, 65, 130});
}

CASE(attention_of_few_queries) {
  check_dense<float>({40}, 3, 600);
  check_dense<bf16>({136}, 1, 70);
}

CASE(attention_float64) {
  check_dense<double>({20});
}

CASE(attention_bfloat16_on_cuda_cores) {
  sim::set_architecture(75);
  check_dense<bf16>({36});
  sim::set_architecture(80);
}

CASE(attention_float16) {
  check_dense<f16>({64}, 140, 75);
  check_dense<f16>({200});
}

CASE(attention_float16_on_turing) {
  sim::set_architecture(75);
  check_dense<f16>({40, 128});
  sim::set_architecture(80);
}

CASE(attention_bfloat16) {
  check_dense<bf16>({48});
  check_dense<bf16>({128}, 20, 140);
}

/// Sequences of 5, 0 and 20 queries and 9, 3 and 22 keys, and a bias that wants its gradient.
template <class T>
void check_packed_with_bias() {
  const int32_t q_ends[] = {0, 5, 5, 25}, k_ends[] = {0, 9, 12, 34};
  Attention<T> a(25, 34, 12);
  Host<int32_t> q_offsets({4}, [&](int64_t i) { return q_ends[i]; });
  Host<int32_t> k_offsets({4}, [&](int64_t i) { return k_ends[i]; });
  Host<float> bias({kBatch, kHeads, 25, 34}, [](int64_t i) { return noise(i + 5); });
  AttentionOptions options = scaled(12);
  options.q_offsets = q_offsets;
  options.k_offsets = k_offsets;
  options.bias = bias;
  a.run(options, true);
  a.check(options, [](int64_t i, int64_t j) { return i < 5 ? j < 9 : j >= 12; }, &bias);
}

CASE(attention_packed_with_bias) {
  check_packed_with_bias<float>();
  check_packed_with_bias<f16>();
}

/// No key of the first sample's is seen: zeros, and lse of -infinity.
CASE(attention_without_keys) {
  Attention<float> a(6, 10, 8);
  Host<int32_t> lengths({1});
  AttentionOptions options = scaled(8);
  options.k_lengths = lengths;
  a.run(options, false);
  a.check(options, [](int64_t, int64_t) { return false; }, nullptr);
  for (int64_t i = 0; i < a.lse.size; i++) CHECK(std::isinf(a.lse[i]) && a.lse[i] < 0);
}

/// What dropout keeps in o it keeps in dv: with equal probabilities and v = 1, o counts the kept,
/// and with dO = 1 dv counts them for each key; both counts are of one mask.
template <class T>
void check_dropout() {
  Attention<T> a(20, 30, 4);
  for (int64_t i = 0; i < a.q.size; i++) a.q.data[i] = convert<T>(0.0f);
  for (int64_t i = 0; i < a.v.size; i++) a.v.data[i] = convert<T>(1.0f);
  for (int64_t i = 0; i < a.dy.size; i++) a.dy.data[i] = convert<T>(1.0f);
  Host<int64_t> state({2}, [](int64_t i) { return i + 3; });
  AttentionOptions options;
  options.state = state;
  options.dropout = 0.5;
  a.run(options, false);
  double kept = 0, again = 0;
  for (int64_t i = 0; i < a.o.size; i += a.d) kept += a.o[i];
  for (int64_t i = 0; i < a.dv.size; i += a.d) again += a.dv[i];
  CHECK(kept > 0 && kept != 20 * kHeads);
  check_near<T>("sum of dv", 0, again, kept, 40);
}

CASE(attention_dropout) {
  check_dropout<float>();
  check_dropout<bf16>();
}

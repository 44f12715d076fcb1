// Attention kernels on small shapes, against plain loops.

#include "attention_case.h"

using namespace gg;

namespace {

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
  Host<float> bias({kBatch, a.heads, 25, 34}, [](int64_t i) { return noise(i + 5); });
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
  CHECK(kept > 0 && kept != 20 * a.heads);
  check_near<T>("sum of dv", 0, again, kept, 40);
}

CASE(attention_dropout) {
  check_dropout<float>();
  check_dropout<bf16>();
}

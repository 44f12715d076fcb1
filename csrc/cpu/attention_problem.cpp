// attention_problem.h: sequences, bias and masks.
#include "cpu/attention_problem.h"

namespace gg {

std::vector<AttentionSequence> attention_sequences(const Array& q, const Array& k,
                                                   const AttentionOptions& options) {
  std::vector<AttentionSequence> sequences;
  const int64_t m = q.shape[2], n = k.shape[2];
  const auto add = [&](int64_t b, int64_t q0, int64_t q1, int64_t k0, int64_t k1, int64_t all) {
    const int64_t shift = options.align_end ? (k1 - k0) - (q1 - q0) : 0;
    sequences.push_back({b, q0, q1 - q0, k0, k1 - k0, all, shift});
  };
  if (options.q_offsets) {
    const int32_t* const qs = options.q_offsets.as<int32_t>();
    const int32_t* const ks = options.k_offsets.as<int32_t>();
    for (int64_t i = 0; i + 1 < options.q_offsets.shape[0]; i++) {
      const int64_t q0 = std::clamp<int64_t>(qs[i], 0, m), k0 = std::clamp<int64_t>(ks[i], 0, n);
      const int64_t k1 = std::clamp<int64_t>(ks[i + 1], k0, n);
      add(0, q0, std::clamp<int64_t>(qs[i + 1], q0, m), k0, k1, k1 - k0);
    }
    return sequences;
  }
  for (int64_t b = 0; b < q.shape[0]; b++) {
    int64_t length = n;
    if (options.k_lengths) {
      length = options.k_lengths.as<int32_t>()[b * options.k_lengths.stride[0]];
    }
    add(b, 0, m, 0, std::clamp<int64_t>(length, 0, n), n);
  }
  return sequences;
}

namespace {

/// s += bias, in the type computed in.
template <class S, class A>
void add_values(const S* bias, int64_t step, A* s, int64_t n) {
  if (step == 1) {
    for (int64_t j = 0; j < n; j++) s[j] += static_cast<A>(convert<Wide<S>>(bias[j]));
  } else {
    for (int64_t j = 0; j < n; j++) s[j] += static_cast<A>(convert<Wide<S>>(bias[j * step]));
  }
}

template <class A>
void hide_masked(const bool* seen, int64_t step, A* s, int64_t n) {
  constexpr A none = -std::numeric_limits<A>::infinity();
  for (int64_t j = 0; j < n; j++) s[j] = seen[j * step] ? s[j] : none;
}

}  // namespace

template <class A>
HeadOptions<A>::HeadOptions(const AttentionOptions& options, int64_t heads, int64_t m, int64_t n,
                            int64_t b, int64_t h)
    : bias_(options.bias),
      dropout_(options.dropout > 0),
      first_(static_cast<uint64_t>((b * heads + h) * m * n)),
      keys_(n) {
  if (bias_) {
    const int64_t at[4] = {b, h, 0, 0};
    int64_t strides[4] = {};
    for (int axis = 4 - bias_.ndim, i = 0; i < bias_.ndim; axis++, i++) {
      strides[axis] = bias_.shape[i] == 1 ? 0 : bias_.stride[i];
      bias_at_ += at[axis] * strides[axis];
    }
    bias_row_ = strides[2], bias_step_ = strides[3];
  }
  if (!dropout_) return;
  stream_ = philox_stream(options.state.as<int64_t>(), options.call);
  threshold_ = unit_threshold(options.dropout);
  kept_ = options.dropout < 1 ? static_cast<A>(1 / (1 - options.dropout)) : A(0);
}

template <class A>
void HeadOptions<A>::add_bias(int64_t i, int64_t begin, int64_t end, A* s) const {
  if (!bias_ || begin >= end) return;
  const int64_t at = bias_at_ + i * bias_row_ + begin * bias_step_;
  if (bias_.dtype == DType::boolean) {
    return hide_masked(bias_.as<bool>() + at, bias_step_, s, end - begin);
  }
  dispatch_floating(bias_.dtype, [&](auto tag) {
    using S = typename decltype(tag)::type;
    add_values(bias_.as<S>() + at, bias_step_, s, end - begin);
  });
}

template class HeadOptions<float>;
template class HeadOptions<double>;

}  // namespace gg

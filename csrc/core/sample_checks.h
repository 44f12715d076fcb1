// What sample is asked, checked: shared by csrc/kernels/sample.cu and csrc/cpu/sample.cpp.
#pragma once

#include <cmath>

#include "core/checks.h"
#include "core/philox.h"

namespace gg {

struct SampleOptions {
  double temperature;
  int64_t top_k;  ///< 0: all
  double top_p;
};

/// Bits of the uniform number of a row.
constexpr int kSampleBits = 24;

/// The uniform number of row b of a draw.
GG_HD double sample_uniform(PhiloxStream stream, int64_t b) {
  const PhiloxWords words = philox(stream, static_cast<uint64_t>(b / 4));
  return unit_from_word(words.w[b % 4], kSampleBits);
}

inline void check_sample(const Array& logits, const SampleOptions& options, const Array& state,
                         const Array& y) {
  const char* const op = "sample";
  check_floating(op, "logits", logits);
  GG_CHECK(logits.ndim == 2 && (logits.shape[0] == 0 || logits.shape[1] > 0), op,
           "logits must be [B, V] with V > 0, got ", logits);
  GG_CHECK(options.temperature >= 0 && std::isfinite(options.temperature), op,
           "temperature must be finite and at least 0, got ", options.temperature);
  GG_CHECK(options.top_k >= 0, op, "top_k must be at least 0 (0: all), got ", options.top_k);
  GG_CHECK(options.top_p > 0 && options.top_p <= 1, op, "top_p must be in (0, 1], got ",
           options.top_p);
  check_dtype(op, "state", state, DType::i64);
  check_shape(op, "state", state, {2});
  check_contiguous(op, "state", state);
  check_dtype(op, "y", y, DType::i64);
  check_shape(op, "y", y, {logits.shape[0]});
}

}  // namespace gg

// What attention and its gradient share on the CPU: sequences, which keys a query sees, rows of
// arrays, and what is added to scores.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "core/attention_checks.h"
#include "core/philox.h"
#include "cpu/attention_rows.h"
#include "cpu/conv_scratch.h"
#include "cpu/conv_transpose.h"
#include "cpu/philox_words.h"
#include "cpu/runs.h"
#include "cpu/tile_product.h"

namespace gg {

/// Queries q0 .. q0 + m - 1 and keys k0 .. k0 + n - 1 of sample b meet; the keys up to k0 + all are
/// padding.
struct AttentionSequence {
  int64_t b, q0, m, k0, n, all, shift;
};

std::vector<AttentionSequence> attention_sequences(const Array& q, const Array& k,
                                                   const AttentionOptions& options);

/// A range of keys of a sequence.
struct KeyRange {
  int64_t begin, end;
};

/// The keys that query i of a sequence sees by position. Both ends ascend with i.
inline KeyRange keys_of(const AttentionSequence& s, const AttentionOptions& options, int64_t i) {
  const int64_t at = i + s.shift;
  const int64_t begin = options.left < 0 ? 0 : std::clamp<int64_t>(at - options.left, 0, s.n);
  const int64_t end = options.right < 0 ? s.n : std::clamp<int64_t>(at + options.right + 1, 0, s.n);
  return {begin, std::max(begin, end)};
}

/// The keys that any of `count` queries from `first` on sees.
inline KeyRange keys_of(const AttentionSequence& s, const AttentionOptions& options, int64_t first,
                        int64_t count) {
  return {keys_of(s, options, first).begin, keys_of(s, options, first + count - 1).end};
}

/// That part of a range that lies in [first, first + n), relative to first, in whole stripes.
inline KeyRange stripes(KeyRange range, int64_t first, int64_t n) {
  const int64_t begin = std::max(range.begin, first) - first;
  const int64_t end = std::min(range.end, first + n) - first;
  if (begin >= end) return {0, 0};
  return {begin / kStripe * kStripe, (end + kStripe - 1) / kStripe * kStripe};
}

/// Rows of one head of an array [B, H, M, D].
template <class T>
class HeadRows {
 public:
  using A = Wide<T>;

  HeadRows(const Array& a, int64_t b, int64_t h)
      : data_(a.as<T>() + b * a.stride[0] + h * a.stride[1]),
        row_(a.stride[2]),
        step_(a.shape[3] == 1 ? 1 : a.stride[3]),
        n_(a.shape[3]) {}

  /// Rows first .. first + count - 1 times `by`, `pitch` apart, with zeros up to `width`.
  void read(int64_t first, int64_t count, A* to, int64_t pitch, int64_t width, A by = 1) const {
    for (int64_t i = 0; i < count; i++, to += pitch) {
      put(view(first + i, to), to, by);
      for (int64_t j = n_; j < width; j++) to[j] = 0;
    }
  }

  /// Row i where it lies, if it lies as it is computed, else in `buffer`.
  const A* view(int64_t i, A* buffer) const {
    const T* const from = data_ + i * row_;
    if constexpr (std::is_same_v<T, A>) {
      if (step_ == 1) return from;
    }
    read_run(from, step_, buffer, n_);
    return buffer;
  }
  void write(int64_t i, const A* from) const { write_run(from, data_ + i * row_, step_, n_); }

  /// [vectors][n][lanes]: column j of n rows from `first` on in lane j % lanes of vector j / lanes,
  /// zeros up to whole stripes.
  void read_columns(int64_t first, int64_t count, int64_t lanes, A* to) const {
    const int64_t whole = (count + kStripe - 1) / kStripe * kStripe;
    for (int64_t j = 0; j < whole; j += lanes, to += n_ * lanes) {
      const int64_t some = std::clamp<int64_t>(count - j, 0, lanes);
      if (some < lanes) std::fill(to, to + n_ * lanes, A(0));
      transpose(data_ + (first + j) * row_, row_, step_, some, n_, to, lanes);
    }
  }

 private:
  void put(const A* from, A* to, A by) const {
#pragma GCC ivdep
    for (int64_t j = 0; j < n_; j++) to[j] = from[j] * by;  // from may be to
  }

  T* data_;
  int64_t row_, step_, n_;
};

/// What is added to scores of one head, and dropout's factors.
template <class A>
class HeadOptions {
 public:
  HeadOptions(const AttentionOptions& options, int64_t heads, int64_t m, int64_t n, int64_t b,
              int64_t h);

  /// Scores of query i and keys begin .. end - 1 (of all), `s` those of key begin: adds the bias,
  /// hides what a mask hides.
  void add_bias(int64_t i, int64_t begin, int64_t end, A* s) const;
  bool has_bias() const { return static_cast<bool>(bias_); }

  bool drops() const { return dropout_; }
  /// Factors of query i and keys begin .. begin + n - 1.
  void factors(int64_t i, int64_t begin, int64_t n, A* z) const {
    const uint64_t at = first_ + static_cast<uint64_t>(i * keys_ + begin);
    for_words(stream_, at, n, z,
              [this](uint32_t word, int64_t) { return word >> 8 >= threshold_ ? kept_ : A(0); });
  }

 private:
  const Array& bias_;
  int64_t bias_at_ = 0, bias_row_ = 0, bias_step_ = 0;  ///< in elements
  bool dropout_;
  PhiloxStream stream_{};
  uint32_t threshold_ = 0;
  A kept_ = 1;
  uint64_t first_;
  int64_t keys_;
};

/// Hides what lies beside [begin, end) among `range` of a row of scores.
template <class A>
void hide_beside(int64_t begin, int64_t end, KeyRange range, A* s) {
  constexpr A none = -std::numeric_limits<A>::infinity();
  begin = std::clamp(begin, range.begin, range.end);
  end = std::clamp(end, begin, range.end);
  std::fill(s + range.begin, s + begin, none);
  std::fill(s + end, s + range.end, none);
}

}  // namespace gg

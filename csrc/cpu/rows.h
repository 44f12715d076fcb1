// Rows on the CPU: whatever an array's dtype and strides, it is worked on in the type it is
// computed in (float for halves), in one of two forms:
//
//   rows     elements of a row are near: one row at a time, as n contiguous values
//   columns  neighbouring rows are near (the axis is not the last), or rows are too short to be
//            vectors: up to 64 rows at a time, as n lines of contiguous values, one of each row, so
//            that loops over rows vectorise
//
// Arrays that lie so already are used in place; others pass through a small buffer.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "core/parallel.h"
#include "core/rows.h"
#include "cpu/convert.h"
#include "cpu/exp.h"

namespace gg {

constexpr int64_t kColumns = 64;
constexpr int64_t kShortRow = 32;
constexpr int64_t kElementsPerTask = 32768;

/// Rows that a thread takes at once.
inline int64_t row_grain(int64_t n) {
  return std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(n, 1));
}

/// Are these rows worked on as columns?
template <int K>
bool in_columns(const RowLayout<K>& rows) {
  const bool vectorises = rows.outer.length[rows.outer.ndim - 1] >= 8;
  return vectorises && (!rows.near || rows.n <= kShortRow);
}

/// A row, or a block of up to kColumns rows side by side: element c of row b is at[c * pitch + b].
template <class A>
struct Block {
  A* at;
  int64_t pitch;
};

/// Array k of a layout, a block at a time.
template <class T, int K>
class Blocks {
 public:
  using A = Wide<T>;

  Blocks(const RowLayout<K>& rows, int k, T* data)
      : rows_(rows),
        k_(k),
        data_(data),
        columns_(in_columns(rows)),
        along_(rows.stride[k]),
        across_(columns_ ? rows.outer.inner(k) : 0),
        in_place_(std::is_same_v<T, A> && (columns_ ? across_ : along_) == 1) {
    const int64_t width = columns_ ? kColumns : 1;
    if (!in_place_) buffer_.resize(static_cast<size_t>(width * rows.n));
  }

  /// Rows first .. first + count - 1, whose values are not read.
  Block<A> open(int64_t first, int64_t count) {
    from_ = data_ + rows_.outer.offset(k_, first);
    count_ = count;
    if (in_place_) return {reinterpret_cast<A*>(from_), along_};
    return {buffer_.data(), columns_ ? kColumns : 1};
  }

  /// Opens and reads them.
  Block<A> load(int64_t first, int64_t count) {
    const Block<A> block = open(first, count);
    if (in_place_) return block;
    if (!columns_) {
      read_line(from_, along_, block.at, rows_.n);
    } else {
      for (int64_t c = 0; c < rows_.n; c++) {
        read_line(from_ + c * along_, across_, block.at + c * kColumns, count);
      }
    }
    return block;
  }

  /// Writes the opened rows back.
  void store() const {
    if (in_place_) return;
    if (!columns_) {
      write_line(buffer_.data(), from_, along_, rows_.n);
    } else {
      for (int64_t c = 0; c < rows_.n; c++) {
        write_line(buffer_.data() + c * kColumns, from_ + c * along_, across_, count_);
      }
    }
  }

 private:
  static void read_line(const T* x, int64_t stride, A* line, int64_t n) {
    if (stride == 1) return widen(x, line, n);
    for (int64_t i = 0; i < n; i++) line[i] = convert<A>(x[i * stride]);
  }

  static void write_line(const A* line, T* y, int64_t stride, int64_t n) {
    if (stride == 1) return narrow(line, y, n);
    for (int64_t i = 0; i < n; i++) y[i * stride] = convert<T>(line[i]);
  }

  const RowLayout<K>& rows_;
  const int k_;
  T* const data_;
  const bool columns_;            // the form
  const int64_t along_, across_;  // strides; across_ from column to column
  const bool in_place_;
  T* from_ = nullptr;
  int64_t count_ = 0;
  std::vector<A> buffer_;
};

/// f(first, count) over the blocks of rows begin .. end - 1: single rows, or columns that lie on
/// one innermost axis.
template <int K, class F>
void for_each_block(const RowLayout<K>& rows, int64_t begin, int64_t end, F f) {
  if (!in_columns(rows)) {
    for (int64_t row = begin; row < end; row++) f(row, int64_t{1});
    return;
  }
  const int64_t length = rows.outer.length[rows.outer.ndim - 1];
  for (int64_t first = begin, count; first < end; first += count) {
    count = std::min({kColumns, end - first, length - first % length});
    f(first, count);
  }
}

// ---- reductions of a row ---------------------------------------------------------------------
//
// kPartial results are kept side by side, so that loops vectorise, and joined as a tree.

template <class A>
constexpr int kPartial = 128 / sizeof(A);

/// f(p, i) with p = i % kPartial, for every i below n.
template <class A, class F>
inline void for_each_partial(int64_t n, F f) {
  constexpr int P = kPartial<A>;
  int64_t i = 0;
  for (; i + P <= n; i += P) {
    for (int p = 0; p < P; p++) f(p, i + p);
  }
  for (int p = 0; i + p < n; p++) f(p, i + p);
}

/// Sum of f(i).
template <class A, class F>
inline A row_sum(int64_t n, F f) {
  A partial[kPartial<A>] = {};
  for_each_partial<A>(n, [&](int p, int64_t i) { partial[p] += f(i); });
  for (int half = kPartial<A> / 2; half > 0; half /= 2) {
    for (int p = 0; p < half; p++) partial[p] += partial[p + half];
  }
  return partial[0];
}

template <class A>
inline A larger_of(A a, A b) {
  return b > a ? b : a;
}

/// The largest number, or the lowest finite one if all are -inf or NaN: x - max is then never
/// inf - inf but for x = inf.
template <class A>
inline A row_max(const A* x, int64_t n) {
  A partial[kPartial<A>];
  for (A& p : partial) p = std::numeric_limits<A>::lowest();
  for_each_partial<A>(n, [&](int p, int64_t i) { partial[p] = larger_of(partial[p], x[i]); });
  for (int half = kPartial<A> / 2; half > 0; half /= 2) {
    for (int p = 0; p < half; p++) partial[p] = larger_of(partial[p], partial[p + half]);
  }
  return partial[0];
}

// ---- reductions of columns -------------------------------------------------------------------

/// One number for each of a block's rows.
template <class A>
using PerColumn = A[kColumns];

/// result[b] = start, then f(result[b], c, b) for c = 0 .. n - 1.
template <class A, class F>
inline void reduce_columns(int64_t n, int64_t count, A start, A* __restrict result, F f) {
  for (int64_t b = 0; b < count; b++) result[b] = start;
  for (int64_t c = 0; c < n; c++) {
    for (int64_t b = 0; b < count; b++) result[b] = f(result[b], c, b);
  }
}

template <class A>
inline void columns_max(Block<A> x, int64_t n, int64_t count, A* max) {
  reduce_columns(n, count, std::numeric_limits<A>::lowest(), max,
                 [=](A m, int64_t c, int64_t b) { return larger_of(m, x.at[c * x.pitch + b]); });
}

}  // namespace gg

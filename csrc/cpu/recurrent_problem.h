// What a recurrent layer and its gradient share on the CPU: the order of steps, rows of arrays, and
// the slices of samples that threads take.
#pragma once

#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "core/recurrent_checks.h"
#include "cpu/conv_scratch.h"
#include "cpu/flush.h"
#include "cpu/recurrent_cell.h"
#include "cpu/runs.h"
#include "cpu/tile_product.h"

namespace gg {

/// Parts of a row of hidden units in scratch.
inline int64_t cell_pitch(int64_t n) {
  return (n + kCellLanes - 1) / kCellLanes * kCellLanes;
}

/// Row (t, b) of an array [T, B, n], or row b of [B, n], dense or not, in the type computed in.
template <class T>
class SequenceRows {
 public:
  using A = Wide<T>;

  explicit SequenceRows(const Array& a) : data_(a ? a.as<T>() : nullptr) {
    if (!a) return;
    n_ = a.shape[a.ndim - 1];
    element_ = n_ == 1 ? 1 : a.stride[a.ndim - 1];
    row_ = a.stride[a.ndim - 2];
    step_ = a.ndim == 3 ? a.stride[0] : 0;
  }

  explicit operator bool() const { return data_; }
  T* at(int64_t t, int64_t b) const { return data_ + t * step_ + b * row_; }
  void read(int64_t t, int64_t b, A* to) const { read_run(at(t, b), element_, to, n_); }
  void write(int64_t t, int64_t b, const A* from) const { write_run(from, at(t, b), element_, n_); }
  void zero(int64_t t, int64_t b) const {
    T* const to = at(t, b);
    for (int64_t j = 0; j < n_; j++) to[j * element_] = T{};
  }

  /// Asks for a row that will be read a step later: rows of one step are far apart.
  void prefetch(int64_t t, int64_t b) const {
    if (!data_) return;
    const char* const from = reinterpret_cast<const char*>(at(t, b));
    const int64_t bytes = n_ * element_ * static_cast<int64_t>(sizeof(T));
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 2);
  }

  /// Where it lies, if it lies as it is computed, else in `buffer`.
  const A* view(int64_t t, int64_t b, A* buffer) const {
    if constexpr (std::is_same_v<T, A>) {
      if (element_ == 1) return at(t, b);
    }
    read(t, b, buffer);
    return buffer;
  }

 private:
  T* data_;
  int64_t n_ = 0, element_ = 1, row_ = 0, step_ = 0;
};

/// [R, k] of any strides, packed for products with its transpose (b[i, j] = w[j, i]) or with
/// itself (b[i, j] = w[i, j]).
template <class A>
int64_t packed_bytes(const PackedColumns<A>& columns) {
  return ConvScratch<A>::padded(columns.elements()) * static_cast<int64_t>(sizeof(A));
}

template <class T>
void pack_transposed(const Array& w, const PackedColumns<Wide<T>>& columns, Wide<T>* to) {
  columns.pack(w.as<T>(), w.stride[1], w.stride[0], to);
}

template <class T>
void pack_as_is(const Array& w, const PackedColumns<Wide<T>>& columns, Wide<T>* to) {
  columns.pack(w.as<T>(), w.stride[0], w.stride[1], to);
}

/// f(first, last) for slices of the samples, on threads. A sample's results do not depend on its
/// slice. Subnormal numbers count as zeros.
template <class F>
void for_each_slice(int64_t batch, F f) {
  constexpr int64_t kMostRows = 64;  // whose states stay in the second cache
  const int64_t threads = num_threads();
  const int64_t rows = std::min(kMostRows, (batch + threads - 1) / threads);
  parallel_for(batch, rows, [&](int64_t begin, int64_t end) {
    const FlushSubnormals flush;
    for (int64_t first = begin; first < end; first += kMostRows) {
      f(first, std::min(end, first + kMostRows));
    }
  });
}

/// Steps that sample b has.
inline int64_t sample_steps(const Array& lengths, int64_t steps, int64_t b) {
  if (!lengths) return steps;
  return std::clamp<int64_t>(lengths.as<int64_t>()[b * lengths.stride[0]], 0, steps);
}

inline int64_t most_steps(const Array& lengths, int64_t steps, int64_t first, int64_t last) {
  int64_t most = 0;
  for (int64_t b = first; b < last; b++) most = std::max(most, sample_steps(lengths, steps, b));
  return most;
}

}  // namespace gg

// What the normalisations on the CPU share: moments, runs of elements, vectors of weights.
#pragma once

#include <vector>

#include "cpu/rows.h"
#include "cpu/runs.h"

namespace gg::norm {

/// Of `count` values: their mean and the sum of their squared distances from it.
template <class A>
struct Moments {
  A count = 0, mean = 0, m2 = 0;

  A average() const { return count > 0 ? mean : std::numeric_limits<A>::quiet_NaN(); }
};

/// The moments of both sets together (Chan, Golub & LeVeque 1979).
template <class A>
[[gnu::always_inline]] inline Moments<A> join(const Moments<A>& a, const Moments<A>& b) {
  const A count = a.count + b.count, share = count > 0 ? b.count / count : A(0);
  const A distance = b.mean - a.mean;
  return {count, a.mean + distance * share, a.m2 + b.m2 + distance * (a.count * share) * distance};
}

/// By two passes over a run that stays in the first cache.
template <class A>
Moments<A> run_moments(const A* x, int64_t n) {
  const A mean = row_sum<A>(n, [&](int64_t i) { return x[i]; }) / static_cast<A>(n);
  const A m2 = row_sum<A>(n, [&](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
  return {static_cast<A>(n), mean, m2};
}

/// The same about 0: m2 is the sum of squares.
template <class A>
Moments<A> run_squares(const A* x, int64_t n) {
  return {static_cast<A>(n), 0, row_sum<A>(n, [&](int64_t i) { return x[i] * x[i]; })};
}

/// A run of up to kRun elements of one array in the type they are computed in: where they lie, if
/// they lie so, else in a buffer.
template <class T>
class Run {
 public:
  using A = Wide<T>;

  /// n elements `stride` apart.
  const A* read(const T* x, int64_t stride, int64_t n) {
    if constexpr (std::is_same_v<T, A>) {
      if (stride == 1) return x;
    }
    read_run(x, stride, buffer_, n);
    return buffer_;
  }

  /// Elements begin .. begin + n - 1 of array k of a layout.
  template <int K>
  const A* read(const Layout<K>& layout, int k, const T* x, int64_t begin, int64_t n) {
    if (on_one_line(layout, begin, n)) return read(x + layout.offset(k, begin), layout.inner(k), n);
    for_runs(layout, begin, begin + n, [&](int64_t first, int64_t m) {
      read_run(x + layout.offset(k, first), layout.inner(k), buffer_ + (first - begin), m);
    });
    return buffer_;
  }

  /// Where to put n elements that `write`, called with the same arguments, brings to y.
  A* open(T* y, int64_t stride) {
    if constexpr (std::is_same_v<T, A>) {
      if (stride == 1) return y;
    }
    return buffer_;
  }
  void write(T* y, int64_t stride, int64_t n) {
    if (std::is_same_v<T, A> && stride == 1) return;
    write_run(buffer_, y, stride, n);
  }

  template <int K>
  A* open(const Layout<K>& layout, int k, T* y, int64_t begin, int64_t n) {
    if (!on_one_line(layout, begin, n)) return buffer_;
    return open(y + layout.offset(k, begin), layout.inner(k));
  }
  template <int K>
  void write(const Layout<K>& layout, int k, T* y, int64_t begin, int64_t n) {
    if (on_one_line(layout, begin, n)) {
      return write(y + layout.offset(k, begin), layout.inner(k), n);
    }
    for_runs(layout, begin, begin + n, [&](int64_t first, int64_t m) {
      write_run(buffer_ + (first - begin), y + layout.offset(k, first), layout.inner(k), m);
    });
  }

  A* buffer() { return buffer_; }

 private:
  template <int K>
  static bool on_one_line(const Layout<K>& layout, int64_t begin, int64_t n) {
    const int64_t length = layout.length[layout.ndim - 1];
    return length >= n && begin % length + n <= length;
  }

  alignas(64) A buffer_[kRun];
};

/// f(first, n) over [begin, end) in runs: parts of long lines, and several short lines at once.
template <int K, class F>
inline void for_packed_runs(const Layout<K>& layout, int64_t begin, int64_t end, F f) {
  constexpr int64_t kLong = 256;
  if (layout.length[layout.ndim - 1] >= kLong) return for_runs(layout, begin, end, f);
  for (; begin < end; begin += kRun) f(begin, std::min(kRun, end - begin));
}

/// The values of a vector of n elements, of any floating dtype; `otherwise` where there is none.
template <class A>
std::vector<A> values_of(const Array& vector, int64_t n, A otherwise) {
  std::vector<A> values(static_cast<size_t>(n), otherwise);
  if (!vector) return values;
  dispatch_floating(vector.dtype, [&](auto tag) {
    using S = typename decltype(tag)::type;
    const S* const from = vector.as<const S>();
    for (int64_t i = 0; i < n; i++) values[i] = convert<A>(from[i * vector.stride[0]]);
  });
  return values;
}

/// Writes the first values to a vector of any floating dtype, if there is one.
template <class A>
inline void put_values(const std::vector<A>& values, const Array& vector) {
  if (!vector) return;
  dispatch_floating(vector.dtype, [&](auto tag) {
    using S = typename decltype(tag)::type;
    S* const to = vector.as<S>();
    for (int64_t i = 0; i < vector.shape[0]; i++) to[i * vector.stride[0]] = convert<S>(values[i]);
  });
}

/// The same number for each element of a run; `const A*` is one for each.
template <class A>
struct Same {
  A value;
  A operator[](int64_t) const { return value; }
};

}  // namespace gg::norm

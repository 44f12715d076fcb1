// Element-wise work a run of up to kRun elements at a time, each in the type it is computed in.
#pragma once

#include <algorithm>
#include <type_traits>

#include "core/index.h"
#include "cpu/convert.h"

namespace gg {

/// Elements that a thread takes at once.
constexpr int64_t kGrain = 1 << 14;

/// n elements of x, `stride` apart (0: one value), in the type they are computed in.
template <class S>
void read_run(const S* x, int64_t stride, Wide<S>* run, int64_t n) {
  if (stride == 1) return widen(x, run, n);
  for (int64_t i = 0; i < n; i++) run[i] = convert<Wide<S>>(x[i * stride]);
}

template <class S, class T>
void write_run(const T* run, S* y, int64_t stride, int64_t n) {
  if constexpr (std::is_same_v<Wide<S>, T>) {
    if (stride == 1) return narrow(run, y, n);
  }
  for (int64_t i = 0; i < n; i++) y[i * stride] = convert<S>(run[i]);
}

/// Calls f(first, n) for stretches of [begin, end) along the innermost axis, at most a run long.
template <int K, class F>
void for_runs(const Layout<K>& layout, int64_t begin, int64_t end, F f) {
  const int64_t length = layout.length[layout.ndim - 1];
  while (begin < end) {
    const int64_t n = std::min({length - begin % length, end - begin, kRun});
    f(begin, n);
    begin += n;
  }
}

}  // namespace gg

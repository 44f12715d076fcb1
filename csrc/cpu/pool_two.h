// The commonest pool: 2x2 windows side by side over rows of float32 without gaps. One pass, with
// no line dealt into phases.
#pragma once

#include "cpu/pool_lines.h"

namespace gg {

/// NaN wins, then the first of equals.
template <class A, class Number>
inline void take(A& best, Number& index, A value, int64_t tap) {
  if (!(value <= best) && best == best) {
    best = value;
    index = static_cast<Number>(tap);
  }
}

template <class A>
inline void take_lanes(typename Lanes<A>::Values& best, typename Lanes<A>::Numbers& index,
                       typename Lanes<A>::Values value, int64_t tap) {
  using Numbers = typename Lanes<A>::Numbers;
  const Numbers more = ~(value <= best) & (best == best);
  best = more ? value : best;
  index = more ? Numbers{} + static_cast<typename Lanes<A>::Index>(tap) : index;
}

/// Are these 2x2 windows that cover [N, C, 2 h, 2 w] images exactly, their rows and planes in
/// order?
inline bool two_by_two(const Windows& w, const Image& x, const Image& y, const Image& index) {
  for (int i = 1; i < 3; i++) {
    const WindowAxis& a = w.axis[i];
    if (a.adaptive || a.taps != 2 || a.kernel != 2 || a.stride != 2 || a.padding != 0 ||
        a.dilation != 1 || a.size != 2 * a.out) {
      return false;
    }
  }
  return w.axis[0].size == 1 && w.axis[0].out == 1 && w.axis[0].kernel == 1 &&
         w.axis[0].padding == 0 && x.axis[2] == 1 && y.axis[2] == 1 && index.axis[2] == 1;
}

/// n windows of the rows a and b.
inline void max_two(const float* a, const float* b, float* y, uint8_t* index, int64_t n) {
  using L = Lanes<float>;
  int64_t o = 0;
  for (; o + 8 <= n; o += 8) {
    const auto a0 = L::load(a + 2 * o), a1 = L::load(a + 2 * o + 8);
    const auto b0 = L::load(b + 2 * o), b1 = L::load(b + 2 * o + 8);
    auto best = __builtin_shufflevector(a0, a1, 0, 2, 4, 6, 8, 10, 12, 14);
    L::Numbers taken{};
    take_lanes<float>(best, taken, __builtin_shufflevector(a0, a1, 1, 3, 5, 7, 9, 11, 13, 15), 1);
    take_lanes<float>(best, taken, __builtin_shufflevector(b0, b1, 0, 2, 4, 6, 8, 10, 12, 14), 2);
    take_lanes<float>(best, taken, __builtin_shufflevector(b0, b1, 1, 3, 5, 7, 9, 11, 13, 15), 3);
    L::store(y + o, best);
    L::store_numbers(index + o, taken);
  }
  for (; o < n; o++) {
    float best = a[2 * o];
    uint8_t taken = 0;
    take(best, taken, a[2 * o + 1], 1);
    take(best, taken, b[2 * o], 2);
    take(best, taken, b[2 * o + 1], 3);
    y[o] = best;
    index[o] = taken;
  }
}

/// The gradient of the rows a and b.
inline void give_two(const float* dy, const uint8_t* index, float* a, float* b, int64_t n) {
  using L = Lanes<float>;
  int64_t o = 0;
  for (; o + 8 <= n; o += 8) {
    const auto given = L::load(dy + o);
    const auto taken = L::load_numbers(index + o);
    const L::Values none{};
    float* const rows[2] = {a, b};
    for (int row = 0; row < 2; row++) {
      const auto even = taken == 2 * row ? given : none, odd = taken == 2 * row + 1 ? given : none;
      L::store(rows[row] + 2 * o, __builtin_shufflevector(even, odd, 0, 8, 1, 9, 2, 10, 3, 11));
      L::store(rows[row] + 2 * o + 8,
               __builtin_shufflevector(even, odd, 4, 12, 5, 13, 6, 14, 7, 15));
    }
  }
  for (; o < n; o++) {
    for (int t = 0; t < 2; t++) {
      a[2 * o + t] = index[o] == t ? dy[o] : 0;
      b[2 * o + t] = index[o] == t + 2 ? dy[o] : 0;
    }
  }
}

/// f(y row, index row, x rows, windows in a row) over all rows of windows, in parallel.
template <class F>
void for_each_two(const Windows& w, const Image& x, const Image& y, const Image& index, F f) {
  const int64_t height = w.axis[1].out, width = w.axis[2].out;
  parallel_for(y.images * y.channels * height, line_grain(width, 4),
               [&](int64_t begin, int64_t end) {
                 for_each_place(begin, end, y.channels, 1, height, 1, [&](const Place& p) {
                   f(y.offset(p.n, p.c, 0, p.y, 0), index.offset(p.n, p.c, 0, p.y, 0),
                     x.offset(p.n, p.c, 0, 2 * p.y, 0), width);
                 });
               });
}

}  // namespace gg

// What rotary is asked, checked: shared by csrc/kernels/rotary.cu and csrc/cpu/rotary.cpp.
#pragma once

#include "core/checks.h"
#include "core/index.h"

namespace gg {

struct RotaryProblem {
  Layout<4> rows;   ///< x, y, cos, sin over x's leading axes
  int64_t step[4];  ///< and along the last one
  int64_t half;     ///< pairs of a row
  int64_t width;    ///< elements of a row
  bool interleaved;
  bool inverse;

  /// Where the first (second) elements of pairs lie: at(i) = first + i * apart, in elements.
  GG_HD int64_t apart() const { return interleaved ? 2 : 1; }
  GG_HD int64_t second() const { return interleaved ? 1 : half; }
};

inline RotaryProblem rotary_problem(const Array& x, const Array& cos, const Array& sin,
                                    bool interleaved, bool inverse, const Array& y) {
  const char* const op = "rotary";
  check_floating(op, "x", x);
  check_same_dtype(op, "x", x, "y", y);
  check_same_shape(op, "x", x, "y", y);
  check_dtype(op, "cos", cos, accumulation(x.dtype));
  check_dtype(op, "sin", sin, accumulation(x.dtype));
  check_same_shape(op, "cos", cos, "sin", sin);
  const int last = x.ndim - 1;
  bool fits = last >= 0 && cos.ndim >= 1 && cos.ndim <= x.ndim;
  for (int i = 1; fits && i < cos.ndim; i++) {
    const int64_t length = cos.shape[cos.ndim - 1 - i];
    fits = length == 1 || length == x.shape[last - i];
  }
  fits = fits && 2 * cos.shape[cos.ndim - 1] <= x.shape[last];
  GG_CHECK(fits, op,
           "cos and sin must be [..., r / 2] with r at most x's last axis, and broadcast to its "
           "others; got x ",
           x, ", cos ", cos);
  RotaryProblem p{};
  const Array* const arrays[] = {&x, &y, &cos, &sin};
  for (int axis = 0; axis < last; axis++) {
    p.rows.push(x.shape[axis], {x.stride[axis], y.stride[axis], broadcast_stride(cos, x, axis),
                                broadcast_stride(sin, x, axis)});
  }
  p.rows.sort();
  p.rows.finish();
  for (int k = 0; k < 4; k++) p.step[k] = arrays[k]->stride[arrays[k]->ndim - 1];
  p.half = cos.shape[cos.ndim - 1];
  p.width = x.shape[last];
  p.interleaved = interleaved;
  p.inverse = inverse;
  return p;
}

}  // namespace gg

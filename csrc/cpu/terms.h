// sum_of: sums of squares and exponentials, in one pass. What _cuda and _sim do in three operations
// (backends/native.py), for whose memory the CPU has no bandwidth to spare.
#pragma once

#include <cstdint>

#include "core/functors.h"
#include "ops/types.h"

namespace gg {

/// y = sum of f(x - centre) over the axes where y's length is 1 (y has x's ndim); f is square or
/// exp. x floating; y of the accumulation dtype; centre of y's shape, x's dtype or y's; or none.
void sum_of(Stream stream, Unary f, const Array& x, const Array& centre, const Array& y,
            const Array& workspace);
int64_t sum_of_workspace(const Array& x, const Array& y);

/// y[i] = f(x[i] - centre[i across]); y may be x. T is float or double.
template <class T>
using TermsOf = void (*)(const T* x, const T* centre, int64_t across, T* y, int64_t n);

/// Null unless f is square or exp.
template <class T>
TermsOf<T> terms_of(Unary f);

}  // namespace gg

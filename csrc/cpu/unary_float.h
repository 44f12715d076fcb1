// float32's functors that have forms without library calls, a run at a time.
#pragma once

#include <cstdint>

#include "core/functors.h"

namespace gg {

/// y[i] = f(x[i]; p0, p1), y may be x. False, and nothing done, where f has no such form.
bool map_float_run(Unary op, const float* x, float* y, int64_t n, float p0, float p1);

}  // namespace gg

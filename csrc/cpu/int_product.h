// int_product: matrix products of integers. _cpu's own; _cuda and _sim have them in gemm, for whose
// other dtypes NumPy's BLAS is fast.
#pragma once

#include "ops/types.h"

namespace gg {

/// y = a b: a [..., m, k], b [..., k, n], y [..., m, n] of one integer dtype, or y int32 beside
/// int8 or uint8. Any strides; batch axes of a and b broadcast to y's. Sums wrap in y's dtype.
///   2 m n k operations; a machine's bound is that of its instructions (int_tile.h).
void int_product(Stream stream, const Array& a, const Array& b, const Array& y);

}  // namespace gg

// The kernel contract: arrays, matrices, rows. ops.h states the conventions. All three modules,
// unless it says otherwise.
#pragma once

#include "ops/types.h"

namespace gg {

// ---- element-wise ----------------------------------------------------------------------------

/// y = f(x; p0, p1). y has x's shape, and x's dtype or bool for predicates.
///   Transcendental functions take floating dtypes only; csrc/core/functors.h is the list.
void unary(Stream stream, Unary op, const Array& x, const Array& y, double p0, double p1);

/// y = f(a, b); a and b broadcast, have one dtype, or one of them is a number of that dtype.
///   y has that dtype, or bool for comparisons and logic. _cpu: floating only.
void binary(Stream stream, Binary op, const Operand& a, const Operand& b, const Array& y);

/// y = x, cast to y's dtype; x broadcasts. Float to integer truncates toward zero, anything to bool
/// is != 0. To 8-bit floats everything goes by way of float32; float8_e4m3fn then overflows to 448,
/// float8_e5m2 to infinity. Reads and writes each byte once.
void copy(Stream stream, const Array& x, const Array& y);

/// y = c ? a : b; c is bool; all broadcast; a, b, y have one dtype (or a, b are numbers).
void where(Stream stream, const Array& c, const Operand& a, const Operand& b, const Array& y);

// ---- reductions ------------------------------------------------------------------------------

/// y = f over the axes where y's length is 1 (y has x's ndim).
///   sum, prod: float16/bfloat16/float32 accumulate in float32, float64 in float64, integers and
///   bool in int64; y has x's dtype, or int64 for integers and bool. mean: floating only.
///   max, min: y has x's dtype; NaN wins. argmax, argmin: y int64, the first of equals, NaN wins,
///   index counts the reduced axes in row-major order. any, all: y bool.
///   max, min, argmax, argmin of nothing throw. Partial results are combined in index order.
void reduce(Stream stream, Reduce op, const Array& x, const Array& y, const Array& workspace);
int64_t reduce_workspace(Reduce op, const Array& x, const Array& y);

/// y [..., n]: y[i] = x[0] o x[1] o ... o x[i] along the last axis, o being sum, prod, max, min or
/// logaddexp (log(exp a + exp b); floating only).
///   sum, prod: accumulation and dtype as of `reduce`. max, min, logaddexp: y has x's dtype, NaN
///   wins. Parts of a row are combined in index order.
void scan(Stream stream, Scan op, const Array& x, const Array& y);

// ---- order -----------------------------------------------------------------------------------

/// y [..., n] = x sorted along the last axis, index int64 [..., n] = where each came from. Stable
/// both ways: equals keep their order. NaN is above all numbers, -0 equals 0. Any dtype; n below
/// 2^31. y may be none.
void sort(Stream stream, const Array& x, bool descending, const Array& y, const Array& index,
          const Array& workspace);
int64_t sort_workspace(const Array& x);

// ---- gather and scatter ----------------------------------------------------------------------

/// y[j..., r...] = x[indices[0][j...], ..., indices[k-1][j...], r...]
///   indices: k int64 arrays of one shape J, over the first k axes of x; negative counts from the
///   end. y [J..., rest of x's axes].
void gather(Stream stream, const Array& x, const Arrays& indices, const Array& y,
            const Array& flag);

/// x[indices[0][j...], ..., indices[k-1][j...], r...] = or o= values[j..., r...], by `op`: set,
/// add, mul, max, min.
///   Reads and writes x. Duplicate positions: set keeps the last, the others join them with x's
///   element in row-major order of j (more than 32 of one position: in slices of fixed bounds).
///   Positions are sorted first (stable), so there are no float atomics. values broadcast to
///   [J..., rest]. Sums and products of float16/bfloat16 are formed in float32 and rounded once;
///   integers wrap; NaN wins; of bool add and max are `or`, mul and min `and`.
void scatter(Stream stream, Scatter op, const Array& values, const Arrays& indices, const Array& x,
             const Array& workspace, const Array& flag);
int64_t scatter_workspace(const Arrays& indices, const Array& x);

#if !defined(GG_CPU)  // NumPy does these on the CPU, at par or better

/// y = value.
void fill(Stream stream, const Array& y, const Scalar& value);

/// Positions of true elements of a bool array, in row-major order: y int64 [count, ndim].
///   The caller has counted them (y.shape[0]).
void nonzero(Stream stream, const Array& mask, const Array& y, const Array& workspace);
int64_t nonzero_workspace(const Array& mask);

/// y[i] = how many elements of a sorted row are below x[i] (right: below or equal), NaN above all
/// numbers: where x[i] would go. rows [n] or [..., n], sorted along the last axis; x [..., m] with
/// the same leading axes, or any shape where rows has one axis; y int64 of x's shape; rows and x of
/// one dtype. log2(n) reads an element.
void search_sorted(Stream stream, const Array& rows, const Array& x, bool right, const Array& y);

// ---- matmul ----------------------------------------------------------------------------------

/// y = act(alpha * row_scale * scale * (a b) + bias + residual + beta * y)
///   a [..., m, k], b [..., k, n], one dtype, or both 8-bit floats; y [..., m, n]; any strides, so
///   transposes are views; stride 0 or length 1 broadcasts batch axes of a and b.
///   y's dtype: that of a and b; or float32 for float16 and bfloat16 (a gradient is accumulated in
///   float32 with beta = 1); or int32 or float32 for int8 and uint8. For 8-bit floats it is
///   float16, bfloat16 or float32.
///   float16, bfloat16, float32 and 8-bit floats accumulate in float32, float64 in float64,
///   integers wrap (int8 and uint8 in 32 bits, others in their own type). One rounding, at the end.
///   beta == 0 overwrites y without reading it. k == 0 gives act(bias + residual + beta y).
///   act: none, relu, gelu, gelu_tanh, silu, sigmoid, tanh; act and scales need a floating y.
///   `precision` is how float32 is multiplied: exact (float32 FMA), high (3xTF32: error no larger
///   than exact's, tensor cores where that is faster), tf32 (one tf32 product: 11 bits of each
///   factor). Other dtypes ignore it. tf32 without tensor cores is computed exactly.
///   Deterministic: where k is split between blocks, partial sums are added in index order.
///   2 m n k FLOP.
void gemm(Stream stream, const Array& a, const Array& b, const Array& y,
          const GemmEpilogue& epilogue, MatmulPrecision precision, const Array& workspace);
int64_t gemm_workspace(const Array& a, const Array& b, const Array& y, MatmulPrecision precision);

#endif  // !GG_CPU

// ---- softmax and cross-entropy ---------------------------------------------------------------

/// y = exp(x - logsumexp x) along axis, or x - logsumexp x if log. Floating. One read per element
/// where the row fits registers or shared memory, else two.
void softmax(Stream stream, const Array& x, const Array& y, int axis, bool log);

/// softmax: dx = y (dy - sum(dy y)); log: dx = dy - exp(y) sum(dy); sums along axis.
void softmax_grad(Stream stream, const Array& dy, const Array& y, const Array& dx, int axis,
                  bool log);

/// Softmax cross-entropy of logits against class indices, with t = target[n, l]:
///   lse  = logsumexp over c of x[n, c, l]
///   loss = (1 - s) w[t] (lse - x[n, t, l]) + (s / C) sum over c of w[c] (lse - x[n, c, l])
///   target_weight = w[t];   all three 0 (lse kept) where t == ignore_index.
///   x [N, C, L] floating; target [N, L] int64; weight [C] or none (ones), of the accumulation
///   dtype; loss, lse, target_weight [N, L] in the accumulation dtype (float32; float64 for
///   float64). s is label_smoothing. t outside [0, C) and not ignore_index is flagged, counts 0.
void cross_entropy(Stream stream, const Array& x, const Array& target, const Array& weight,
                   const Array& loss, const Array& lse, const Array& target_weight,
                   int64_t ignore_index, double label_smoothing, const Array& flag);

/// dx[n, c, l] = dloss[n, l] ( p_c ((1 - s) w[t] + (s / C) sum w) - (1 - s) w[t] [c = t]
///                            - (s / C) w[c] ),  p = exp(x - lse); 0 where t is ignored or illegal.
///   dloss [N, L] broadcasts (stride 0 for a mean), accumulation dtype; dx has x's dtype.
void cross_entropy_grad(Stream stream, const Array& dloss, const Array& x, const Array& target,
                        const Array& weight, const Array& lse, const Array& dx,
                        int64_t ignore_index, double label_smoothing);

}  // namespace gg

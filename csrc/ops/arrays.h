// The kernel contract: arrays, matrices, rows. ops.h states the conventions.
#pragma once

#include "ops/types.h"

namespace gg {

// ---- element-wise ----------------------------------------------------------------------------

/// y = f(x; p0, p1). y has x's shape, and x's dtype or bool for predicates. All three modules.
///   Transcendental functions take floating dtypes only; csrc/core/functors.h is the list.
void unary(Stream stream, Unary op, const Array& x, const Array& y, double p0, double p1);

/// y = f(a, b); a and b broadcast, have one dtype, or one of them is a number of that dtype.
///   y has that dtype, or bool for comparisons and logic. All three modules; _cpu floating only.
void binary(Stream stream, Binary op, const Operand& a, const Operand& b, const Array& y);

#if !defined(GG_CPU)  // NumPy does these on the CPU, at par or better

/// y = value.
void fill(Stream stream, const Array& y, const Scalar& value);

/// y = x, cast to y's dtype; x broadcasts. Float to integer truncates toward zero, anything to bool
/// is != 0. Reads and writes each byte once.
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

// ---- matmul ----------------------------------------------------------------------------------

/// y = act(alpha * scale * (a b) + bias + residual + beta * y)
///   a [..., m, k], b [..., k, n], one dtype; y [..., m, n]; any strides, so transposes are views;
///   stride 0 or length 1 broadcasts batch axes of a and b.
///   y's dtype:  that of a and b; or float32 for float16 and bfloat16 (a gradient is accumulated in
///   float32 with beta = 1); or int32 or float32 for int8 and uint8.
///   float16, bfloat16, float32 accumulate in float32, float64 in float64, integers wrap (int8 and
///   uint8 in 32 bits, others in their own type). One rounding, at the end. beta == 0 overwrites y
///   without reading it. k == 0 gives act(bias + residual + beta y).
///   act: none, relu, gelu, gelu_tanh, silu, sigmoid, tanh; act and scale need a floating y.
///   `precision` is how float32 is multiplied: exact (float32 FMA), high (3xTF32: error no larger
///   than exact's, tensor cores where that is faster), tf32 (one tf32 product: 11 bits of each
///   factor). Other dtypes ignore it. tf32 without tensor cores is computed exactly.
///   Deterministic: where k is split between blocks, partial sums are added in index order.
///   2 m n k FLOP.
void gemm(Stream stream, const Array& a, const Array& b, const Array& y,
          const GemmEpilogue& epilogue, MatmulPrecision precision, const Array& workspace);
int64_t gemm_workspace(const Array& a, const Array& b, const Array& y, MatmulPrecision precision);

// ---- gather and scatter ----------------------------------------------------------------------

/// y[j..., r...] = x[indices[0][j...], ..., indices[k-1][j...], r...]
///   indices: k int64 arrays of one shape J, over the first k axes of x; negative counts from the
///   end. y [J..., rest of x's axes].
void gather(Stream stream, const Array& x, const Arrays& indices, const Array& y,
            const Array& flag);

/// Positions of true elements of a bool array, in row-major order: y int64 [count, ndim].
///   The caller has counted them (y.shape[0]).
void nonzero(Stream stream, const Array& mask, const Array& y, const Array& workspace);
int64_t nonzero_workspace(const Array& mask);

/// y [..., n] = sums of x along the last axis up to and including each position; dtype as `sum`.
void cumsum(Stream stream, const Array& x, const Array& y);

#endif  // !GG_CPU

/// x[indices[0][j...], ..., indices[k-1][j...], r...] = or += values[j..., r...]. All three
/// modules.
///   Reads and writes x. Duplicate positions: += adds in row-major order of j (more than 32 of one
///   position: in slices of fixed bounds); = keeps the last.
///   Positions are sorted first (stable), so there are no float atomics. values broadcast to
///   [J..., rest]. Sums of float16/bfloat16 are formed in float32 and rounded once.
void scatter(Stream stream, const Array& values, const Arrays& indices, const Array& x,
             bool accumulate, const Array& workspace, const Array& flag);
int64_t scatter_workspace(const Arrays& indices, const Array& x);

// ---- softmax and cross-entropy: all three modules --------------------------------------------

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

// The kernel contract: convolution, pooling, resampling. ops.h states the conventions.
#pragma once

#include "ops/types.h"

namespace gg {

// ---- convolution: all three modules -----------------------------------------------------------
//
// Images are [N, C, spatial...] with one, two or three spatial axes, in any strides; channels-last
// memory is read and written as it is, others are repacked in the workspace where a kernel wants
// that. Floating dtypes, one for all arrays. 2 * size(y) * (C / groups) * taps FLOP each.

/// Along each spatial axis, output o meets input o * stride - padding + t * dilation at tap t.
/// `padding` is that before the first element; y's shape says how many windows there are, so what
/// is padded behind may differ. Outside x there are zeros.
struct ConvWindow {
  Sizes stride, padding, dilation;
  int64_t groups = 1;
};

/// y[n, k, o] = act(alpha scale[k] sum + bias[k] + residual[n, k, o] + beta y[n, k, o]), where
///   sum over c, t of w[k, c, t] x[n, c0 + c, o * stride - padding + t * dilation]
///   x [N, C, in...], w [K, C / groups, taps...], y [N, K, out...]; group g of K / groups outputs
///   reads the channels from c0 = g C / groups on. Epilogue, accumulation and `precision`: gemm's,
///   with K in place of n; y has x's dtype.
void conv_fprop(Stream stream, const Array& x, const Array& w, const Array& y,
                const ConvWindow& window, const GemmEpilogue& epilogue, MatmulPrecision precision,
                const Array& workspace);
int64_t conv_fprop_workspace(const Array& x, const Array& w, const Array& y,
                             const ConvWindow& window, MatmulPrecision precision);

/// dx[n, c, i] = act(alpha scale[c] sum + bias[c] + residual + beta dx), where sum is over the k, o
///   and t that meet x[n, c, i] in conv_fprop, of w[k, c - c0, t] dy[n, k, o]: the transposed
///   convolution. The epilogue's vectors are [C]. A gather: only taps that meet i are read.
void conv_dgrad(Stream stream, const Array& dy, const Array& w, const Array& dx,
                const ConvWindow& window, const GemmEpilogue& epilogue, MatmulPrecision precision,
                const Array& workspace);
int64_t conv_dgrad_workspace(const Array& dy, const Array& w, const Array& dx,
                             const ConvWindow& window, MatmulPrecision precision);

/// dw[k, c, t] = sum over n, o of dy[n, k, o] x[n, c0 + c, o * stride - padding + t * dilation].
///   Partial sums of slices of n and o are added in index order.
void conv_wgrad(Stream stream, const Array& x, const Array& dy, const Array& dw,
                const ConvWindow& window, MatmulPrecision precision, const Array& workspace);
int64_t conv_wgrad_workspace(const Array& x, const Array& dy, const Array& dw,
                             const ConvWindow& window, MatmulPrecision precision);

// ---- pooling: all three modules ---------------------------------------------------------------

/// Windows of x [N, C, in...] (one to three spatial axes), as ConvWindow has them; taps outside x
/// do not count. An empty `kernel` is adaptive: window o covers floor(o in / out) up to, not
/// including, ceil((o + 1) in / out), and the other members are empty.
struct PoolWindow {
  Sizes kernel, stride, padding, dilation;
};

/// y[n, c, o] = max over the window; index[n, c, o] = its tap, row-major in the window (adaptive:
/// in
///   a window of ceil(in / out) + 1 taps along each axis, or of in taps if that is fewer). NaN
///   wins, then the first of equals. Floating or integer x; index uint8 if a window has at most 256
///   taps, else int32; y and index [N, C, out...].
void max_pool(Stream stream, const Array& x, const Array& y, const Array& index,
              const PoolWindow& window);

/// dx[n, c, i] = sum of dy[n, c, o] over the windows o whose maximum i is, o ascending. A gather.
void max_pool_grad(Stream stream, const Array& dy, const Array& index, const Array& dx,
                   const PoolWindow& window);

/// y[n, c, o] = sum over the window / d. d is `divisor` if that is not 0, else the taps inside x,
/// or
///   with count_include_pad those inside x and its padding (before and behind). Floating.
void avg_pool(Stream stream, const Array& x, const Array& y, const PoolWindow& window,
              bool count_include_pad, int64_t divisor);

/// dx[n, c, i] = sum of dy[n, c, o] / d(o) over the windows o that hold i, o ascending. A gather.
void avg_pool_grad(Stream stream, const Array& dy, const Array& dx, const PoolWindow& window,
                   bool count_include_pad, int64_t divisor);

// ---- resampling: all three modules ------------------------------------------------------------

/// Along `axis`:  y[.., o, ..] = sum over j from offsets[o] to offsets[o + 1] - 1, ascending, of
///   weight[j] x[.., index[j], ..].  A sparse matrix by rows: interpolation, its gradient (the
///   transposed matrix), padding by reflection, ...  offsets int32 [length + 1] and index int32
///   [terms] are legal (the caller made them); weight [terms] has the accumulation dtype. Floating;
///   x and y have one dtype, or one of them the accumulation dtype, so that passes along several
///   axes round once.
void resample(Stream stream, const Array& x, const Array& offsets, const Array& index,
              const Array& weight, const Array& y, int axis);

/// y[n, c, i, j] = x[n, c, r(top[n] + i), s(left[n] + j)], j counted from the right where flip[n].
///   x [N, C, H, W] and y [N, C, h, w] of one dtype, any; top, left int64 [N]; flip bool [N]. r and
///   s take positions outside x to zero (zeros), the nearest edge (replicate), or mirror them at
///   the edges, once and without repeating these (reflect).
void crop(Stream stream, const Array& x, const Array& top, const Array& left, const Array& flip,
          const Array& y, Border border);

/// y[n, (c, t), l] = x[n, c, o(l) * stride - padding + t * dilation], zero outside x (im2col).
///   x [N, C, in...], y [N, C taps, windows], both row-major in their taps and windows; `out` is
///   the number of windows along each axis. Any dtype.
void unfold(Stream stream, const Array& x, const Array& y, const PoolWindow& window,
            const Sizes& out);

/// x[n, c, i] = sum of y[n, (c, t), l] over the (t, l) that meet i, l ascending: the adjoint of
/// unfold. Floating. A gather.
void fold(Stream stream, const Array& y, const Array& x, const PoolWindow& window,
          const Sizes& out);

}  // namespace gg

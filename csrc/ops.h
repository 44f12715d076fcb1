// The kernel contract: every raw operation, once.
//
// Implemented by _cuda (csrc/kernels by nvcc), _sim (the same files by g++ on csrc/sim) and, for
// the part marked so, _cpu (csrc/cpu). The specification of each is the function of the same name
// in gpugrad/backends/reference. bind.cpp gives them to Python under these names.
//
// Conventions, unless a comment says otherwise:
//   - Outputs are overwritten (=), never accumulated into, and never read.
//   - Arrays have any strides; inputs broadcast to the output's shape where it says "broadcast".
//   - float16 and bfloat16 are computed and accumulated in float32 and rounded once.
//   - An output may be the very same array as an input of element-wise operations, else no overlap.
//   - Size 0 is legal everywhere and does nothing beyond what the mathematics says.
//   - Nothing is allocated. Workspaces are asked for by size, in bytes, through *_workspace.
//   - Deterministic: same inputs, same bits, whatever the schedule. No float atomics.
//   - Shapes and dtypes are checked; a violation throws std::invalid_argument naming the operation.
//   - `flag` is int64[4] on the device, zero when all is well. An index out of range writes
//     {code, index, limit, axis} once (first wins) and the kernel goes on with a legal index.
#pragma once

#include <cstdint>
#include <vector>

#include "core/array.h"
#include "core/functors.h"

namespace gg {

using Stream = void*;  // cudaStream_t; _sim and _cpu run at once and ignore it
using Arrays = std::vector<Array>;

using Sizes = std::vector<int64_t>;  // one number for each spatial axis

enum class FlagCode : int64_t { none = 0, gather = 1, scatter = 2, cross_entropy = 3 };

/// What follows the sums of gemm and of convolutions. Every array may be none. `scale` is float32
/// [1] or [n], on the device; `bias` is [n]; `residual` broadcasts to y. bias and residual have y's
/// dtype.
struct GemmEpilogue {
  Array scale, bias, residual;
  double alpha = 1, beta = 0;
  Activation act = Activation::none;
};

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

// ---- normalisation: all three modules ---------------------------------------------------------
//
// Floating. mean, rstd and what is formed on the way have the accumulation dtype (float32; float64
// for float64). weight, bias, dweight, dbias are [C] (or [D]) of x's dtype or the accumulation
// dtype, each or none (ones, zeros). Variances are biased, by Welford's method or a second pass,
// never by E[x^2] - mean^2; rstd = 1 / sqrt(variance + eps). Partial sums combine in a fixed order.

/// Rows x [M, D]: mean, rstd [M]; y = (x - mean) rstd weight + bias.
///   mean none: RMSNorm, where rstd = 1 / sqrt(mean of x^2 + eps) and mean counts as 0.
void layer_norm(Stream stream, const Array& x, const Array& weight, const Array& bias,
                const Array& y, const Array& mean, const Array& rstd, double eps);

/// With h = (x - mean) rstd and g = dy weight:  dx = rstd (g - mean(g) - h mean(g h)), means over D
///   (RMSNorm: without mean(g));  dweight = sum of dy h, dbias = sum of dy, over M; each or none.
void layer_norm_grad(Stream stream, const Array& dy, const Array& x, const Array& weight,
                     const Array& mean, const Array& rstd, const Array& dx, const Array& dweight,
                     const Array& dbias, const Array& workspace);
int64_t layer_norm_grad_workspace(const Array& x, const Array& dweight, const Array& dbias);

/// x [N, C, ...], groups of C / G channels: mean, rstd [N, G] over a group's elements;
///   y = (x - mean) rstd weight[c] + bias[c].
void group_norm(Stream stream, const Array& x, const Array& weight, const Array& bias,
                const Array& y, const Array& mean, const Array& rstd, double eps);

/// As layer_norm_grad, with means over a group's elements and sums over N and positions.
void group_norm_grad(Stream stream, const Array& dy, const Array& x, const Array& weight,
                     const Array& mean, const Array& rstd, const Array& dx, const Array& dweight,
                     const Array& dbias, const Array& workspace);
int64_t group_norm_grad_workspace(const Array& x, const Array& rstd);

/// x [N, C, ...]: mean, rstd [C] over N and positions, n values for each channel. And, where
///   running_mean and running_var [C] (accumulation dtype) are not none,
///   running = (1 - momentum) running + momentum (mean, or variance * n / (n - 1)).
void batch_norm_stats(Stream stream, const Array& x, const Array& mean, const Array& rstd,
                      const Array& running_mean, const Array& running_var, double momentum,
                      double eps, const Array& workspace);
int64_t batch_norm_stats_workspace(const Array& x);

/// y = act((x - mean[c]) rstd[c] weight[c] + bias[c] + residual); act none or relu; residual like
/// x,
///   or none.
void batch_norm_apply(Stream stream, const Array& x, const Array& mean, const Array& rstd,
                      const Array& weight, const Array& bias, const Array& residual, Activation act,
                      const Array& y);

/// dz = dy where y > 0 else 0 (relu), or dy (none; y may be none).  dresidual = dz, or none.
///   dbias = sum of dz, dweight = sum of dz h, h = (x - mean) rstd; each or none.
///   dx = weight rstd (dz - mean(dz) - h mean(dz h)), means over N and positions; where `fixed`
///   (mean and rstd did not come from x), dx = weight rstd dz.
void batch_norm_grad(Stream stream, const Array& dy, const Array& x, const Array& y,
                     const Array& mean, const Array& rstd, const Array& weight, Activation act,
                     bool fixed, const Array& dx, const Array& dweight, const Array& dbias,
                     const Array& dresidual, const Array& workspace);
int64_t batch_norm_grad_workspace(const Array& x);

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

// ---- random: all three modules, the same bits on each ------------------------------------------
//
// Philox4x32-10 (Salmon et al. 2011). `state` is int64[2] on the device: {seed, base}. Element i in
// row-major order draws from counter {lo(c), hi(c), lo(base + call), hi(base + call)} and key
// {lo(seed), hi(seed)}, where c = i / 4 (word i % 4) for one word per element and c = i / 2 (words
// 2 (i % 2), +1) for float64 uniforms; normals take a whole counter for a pair (c = i / 2).
// `call` numbers the draws of a generator; a captured graph advances `base` on the device instead.

/// y = low + (high - low) u, u in [0, 1): 24 bits for float32, 53 for float64, 11 for float16,
/// 8 for bfloat16; formed in float64 and rounded (halves by way of float32), never reaching high.
/// Integer y: low + (word * (high - low) >> 32), for spans below 2^32 (bias at most span / 2^32).
void uniform(Stream stream, const Array& state, int64_t call, double low, double high,
             const Array& y);

/// y = mean + std z, z standard normal by Box-Muller in float64 with the polynomials of
/// csrc/core/philox.h (no libm, no fused multiply-add: equal bits on every device).
void normal(Stream stream, const Array& state, int64_t call, double mean, double std,
            const Array& y);

/// y = 1 with probability p[i], else 0: u < p with a 24-bit u. p broadcasts or is a number.
void bernoulli(Stream stream, const Array& state, int64_t call, const Operand& p, const Array& y);

/// y = x / (1 - p) where a 24-bit u >= p, else 0. The same (state, call) gives the same mask, so
/// the gradient is this operation applied to dy, and no mask is stored.
void dropout(Stream stream, const Array& state, int64_t call, double p, const Array& x,
             const Array& y);

/// y int64 [n] = a permutation of 0..n-1: an eight-round Feistel network over the next power of
/// four (at least 64), keyed by Philox, walked until the image is below n (Mitchell et al. 2022).
/// Parallel, no sort.
void permutation(Stream stream, const Array& state, int64_t call, const Array& y);

// ---- optimizers: all three modules ------------------------------------------------------------
//
// One launch for up to 256 arrays; a longer list takes more launches and still counts one step.
// `hyper` is float64[2] on the device: {learning rate, steps done}; the operation adds 1 to steps
// done. `ticket` is int32[1] on the device, 0 at rest. Parameters and gradients are contiguous,
// floating, of one dtype; state buffers have the accumulation dtype. Reads and writes params and
// state. t = steps done + 1.

/// g = grad (negated if maximize) + weight_decay p;  with momentum mu != 0:
///   buf = g when t == 1, else mu buf + (1 - dampening) g;  g = nesterov ? g + mu buf : buf
/// p -= lr g.   momenta is empty when mu == 0.  (PyTorch's SGD.)
void sgd_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& momenta,
              const Array& hyper, const Array& ticket, double momentum, double dampening,
              double weight_decay, bool nesterov, bool maximize);

/// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  mhat = m / (1 - b1^t);  vhat = v / (1 - b2^t)
/// p -= lr mhat / (sqrt(vhat) + eps).  Kingma & Ba 2015. vmax (not empty: AMSGrad) keeps max v and
/// replaces it. weight_decay is added to g, or, if decoupled (AdamW, Loshchilov & Hutter 2019),
/// p -= lr weight_decay p first.
void adam_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& m,
               const Arrays& v, const Arrays& vmax, const Array& hyper, const Array& ticket,
               double beta1, double beta2, double eps, double weight_decay, bool decoupled,
               bool maximize);

/// v = alpha v + (1 - alpha) g^2;  centered (avg not empty): avg = alpha avg + (1 - alpha) g,
/// d = sqrt(v - avg^2) + eps, else d = sqrt(v) + eps;  momentum (buf not empty): buf = mu buf +
/// g/d, p -= lr buf, else p -= lr g / d.  (PyTorch's RMSprop; Hinton's lecture 6e; Graves 2013.)
void rmsprop_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& v,
                  const Arrays& avg, const Arrays& buf, const Array& hyper, const Array& ticket,
                  double alpha, double eps, double weight_decay, double momentum, bool maximize);

/// norm [1], accumulation dtype = (sum |x|^ord over every element of every array)^(1/ord); ord may
/// be infinity. Per-block partial sums in the workspace, added in index order. Every array must be
/// contiguous.
void global_norm(Stream stream, const Arrays& xs, double ord, const Array& norm,
                 const Array& workspace);
int64_t global_norm_workspace(const Arrays& xs);

/// x *= factor[0] for every array of the list (factor on the device, accumulation dtype). Every
/// array must be contiguous.
void scale(Stream stream, const Arrays& xs, const Array& factor);

}  // namespace gg

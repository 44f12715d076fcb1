// The kernel contract: normalisation. ops.h states the conventions.
#pragma once

#include "ops/types.h"

namespace gg {

// ---- normalisation: all three modules ---------------------------------------------------------
//
// Floating. mean, rstd and what is formed on the way have the accumulation dtype (float32; float64
// for float64). weight, bias, dweight, dbias are [C] (or [D]) of x's dtype or the accumulation
// dtype, each or none (ones, zeros). Variances are biased, by Welford's method or a second pass,
// never by E[x^2] - mean^2; rstd = 1 / sqrt(variance + eps). Partial sums combine in a fixed order.

/// Rows x [M, D]: mean, rstd [M]; y = (x - mean) rstd weight + bias.
///   mean none: RMSNorm, where rstd = 1 / sqrt(mean of x^2 + eps) and mean counts as 0.
///   residual, sum [M, D], or both none: sum = x + residual, rounded, takes the place of x.
void layer_norm(Stream stream, const Array& x, const Array& residual, const Array& weight,
                const Array& bias, const Array& sum, const Array& y, const Array& mean,
                const Array& rstd, double eps);

/// With h = (x - mean) rstd and g = dy weight:  dx = rstd (g - mean(g) - h mean(g h)) + dsum, means
///   over D (RMSNorm: without mean(g));  dweight = sum of dy h, dbias = sum of dy, over M; each or
///   none.  dsum [M, D] or none: the gradient of `sum`, where x is that.
void layer_norm_grad(Stream stream, const Array& dy, const Array& x, const Array& weight,
                     const Array& mean, const Array& rstd, const Array& dsum, const Array& dx,
                     const Array& dweight, const Array& dbias, const Array& workspace);
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

}  // namespace gg

// The kernel contract: random numbers, optimizers. ops.h states the conventions.
#pragma once

#include "ops/types.h"

namespace gg {

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
// done. `ticket` is int32[1] on the device, 0 at rest, or int32[2]: where the second is not 0 (see
// unscale) the step is skipped: nothing is written, nothing counted. Parameters and gradients are
// contiguous, floating, of one dtype; state buffers have the accumulation dtype. Reads and writes
// params and state. t = steps done + 1.
//
// Of float16 and bfloat16, params may be twice as long as grads: the second half are the master
// weights, float32. A step then reads and writes these in the parameters' place, and writes the
// parameters, rounded.

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

/// sum += g^2;  p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(sum) + eps).  (Adagrad; Duchi et al.
/// 2011.)  Here and below g = grad (negated if maximize) + weight_decay p.
void adagrad_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& sum,
                  const Array& hyper, const Array& ticket, double lr_decay, double eps,
                  double weight_decay, bool maximize);

/// v = rho v + (1 - rho) g^2;  d = sqrt(u + eps) / sqrt(v + eps) g;  u = rho u + (1 - rho) d^2;
/// p -= lr d.  (Adadelta; Zeiler 2012.)
void adadelta_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& v,
                   const Arrays& u, const Array& hyper, const Array& ticket, double rho, double eps,
                   double weight_decay, bool maximize);

/// m = b1 m + (1 - b1) g;  u = max(b2 u, |g| + eps);  p -= lr / (1 - b1^t) m / u.  (Adamax; Kingma
/// & Ba 2015, section 7.)
void adamax_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& m,
                 const Arrays& u, const Array& hyper, const Array& ticket, double beta1,
                 double beta2, double eps, double weight_decay, bool maximize);

/// Adam with Nesterov's momentum (Dozat 2016): mu_t = b1 (1 - 0.96^(t momentum_decay) / 2);
///   p -= lr ((1 - mu_t) g / (1 - M_t) + mu_(t+1) m / (1 - M_(t+1))) / (sqrt(vhat) + eps),
/// m and v as Adam's, M_t = mu_1 ... mu_t. hyper is float64[3]: {learning rate, steps done, M of
/// the steps done}; the operation multiplies the third. weight_decay as adam_step's.
void nadam_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& m,
                const Arrays& v, const Array& hyper, const Array& ticket, double beta1,
                double beta2, double eps, double weight_decay, double momentum_decay,
                bool decoupled, bool maximize);

/// Rectified Adam (Liu et al. 2020): r = 2 / (1 - b2) - 1, r_t = r - 2 t b2^t / (1 - b2^t);
///   p -= lr mhat rect sqrt(1 - b2^t) / (sqrt(v) + eps) where r_t > 5, else p -= lr mhat;
///   rect = sqrt((r_t - 4) (r_t - 2) r / ((r - 4) (r - 2) r_t)). m, v, weight_decay as adam_step's.
void radam_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& m,
                const Arrays& v, const Array& hyper, const Array& ticket, double beta1,
                double beta2, double eps, double weight_decay, bool decoupled, bool maximize);

/// p -= lr weight_decay p;  p -= lr sign(b1 m + (1 - b1) g);  m = b2 m + (1 - b2) g, g without
/// weight decay.  (Lion; Chen et al. 2023.)
void lion_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& m,
               const Array& hyper, const Array& ticket, double beta1, double beta2,
               double weight_decay, bool maximize);

/// norm [1], accumulation dtype = (sum |x|^ord over every element of every array)^(1/ord); ord may
/// be infinity. Per-block partial sums in the workspace, added in index order. Every array must be
/// contiguous.
void global_norm(Stream stream, const Arrays& xs, double ord, const Array& norm,
                 const Array& workspace);
int64_t global_norm_workspace(const Arrays& xs);

/// x *= factor[0] for every array of the list (factor on the device, accumulation dtype). Every
/// array must be contiguous.
void scale(Stream stream, const Arrays& xs, const Array& factor);

/// x *= 1 / scale[0] for every array of the list, and found[0] = 1 where an x is infinite or NaN
/// (else found stays). scale float32 [1], found int32 [1], both on the device; the reciprocal is
/// formed in float64 and rounded to the accumulation dtype. Every array must be contiguous.
void unscale(Stream stream, const Arrays& xs, const Array& scale, const Array& found);

/// The scale of the next step. Where found[0] is not 0: scale *= backoff, good = 0. Else good += 1,
/// and at `interval` good steps in a row scale *= growth (unless that is infinite), good = 0.
/// scale float32 [1], good and found int32 [1], on the device; products in float64, rounded.
void update_scale(Stream stream, const Array& scale, const Array& good, const Array& found,
                  double growth, double backoff, int64_t interval);

}  // namespace gg

// Optimizer updates of one element, shared by csrc/kernels/optim*.cu and csrc/cpu/optim*.cpp.
//
// Each optimizer is three things: Options (the numbers of the call), a Rule<A> (what all elements
// of a step share, formed in float64 from the options and `hyper`, then rounded to A) and
// update(rule, mask, g, p, s0, s1, s2), which changes p and the state of one element. hyper is
// {learning rate, steps done}. A is the accumulation dtype: float for float16, bfloat16 and
// float32, double for float64. The semantics are PyTorch's; ops/updates.h has the formulas.
// More of them: core/optim_adaptive.h.
#pragma once

#include <cmath>
#include <cstdint>

#include "device/qualifiers.h"

namespace gg {

/// x^n for n >= 0 by squaring: the same bits on every device.
GG_HD double integer_power(double x, int64_t n) {
  double result = 1;
  for (; n > 0; n >>= 1) {
    if (n & 1) result *= x;
    x *= x;
  }
  return result;
}

/// t, the number of the step that is being done: 1, 2, ...
GG_HD int64_t step_number(const double* hyper) {
  return static_cast<int64_t>(hyper[1]) + 1;
}

/// Counts a step.
template <class Options>
GG_HD void advance(const Options&, double* hyper) {
  hyper[1] += 1;
}

// ---- SGD ---------------------------------------------------------------------------------------

/// State: the momentum buffer (mask 1) or none.
struct SgdOptions {
  static constexpr int kBuffers = 1;
  double momentum, dampening, weight_decay;
  bool nesterov, maximize;
};

template <class A>
struct SgdRule {
  A lr, momentum, take, weight_decay, sign;
  bool nesterov, first;
};

template <class A>
GG_HD SgdRule<A> make_rule(const SgdOptions& o, const double* hyper) {
  return {static_cast<A>(hyper[0]),
          static_cast<A>(o.momentum),
          static_cast<A>(1 - o.dampening),
          static_cast<A>(o.weight_decay),
          static_cast<A>(o.maximize ? -1 : 1),
          o.nesterov,
          step_number(hyper) == 1};
}

template <class A>
GG_HD void update(const SgdRule<A>& rule, int mask, A g, A& p, A& buf, A&, A&) {
  g = rule.sign * g + rule.weight_decay * p;
  if (mask & 1) {
    buf = rule.first ? g : rule.momentum * buf + rule.take * g;
    g = rule.nesterov ? g + rule.momentum * buf : buf;
  }
  p -= rule.lr * g;
}

// ---- Adam --------------------------------------------------------------------------------------

/// State: m and v (mask 3), and vmax for AMSGrad (mask 7).
struct AdamOptions {
  static constexpr int kBuffers = 3;
  double beta1, beta2, eps, weight_decay;
  bool decoupled, maximize;
};

template <class A>
struct AdamRule {
  A beta1, take1, beta2, take2, step, root_correction, eps, keep, weight_decay, sign;
};

/// step = lr / (1 - beta1^t), root_correction = 1 / sqrt(1 - beta2^t); keep = 1 - lr weight_decay
/// if decoupled.
template <class A>
GG_HD AdamRule<A> make_rule(const AdamOptions& o, const double* hyper) {
  const double lr = hyper[0];
  const int64_t t = step_number(hyper);
  return {static_cast<A>(o.beta1),
          static_cast<A>(1 - o.beta1),
          static_cast<A>(o.beta2),
          static_cast<A>(1 - o.beta2),
          static_cast<A>(lr / (1 - integer_power(o.beta1, t))),
          static_cast<A>(1 / std::sqrt(1 - integer_power(o.beta2, t))),
          static_cast<A>(o.eps),
          static_cast<A>(o.decoupled ? 1 - lr * o.weight_decay : 1.0),
          static_cast<A>(o.decoupled ? 0.0 : o.weight_decay),
          static_cast<A>(o.maximize ? -1 : 1)};
}

template <class A>
GG_HD void update(const AdamRule<A>& rule, int mask, A g, A& p, A& m, A& v, A& vmax) {
  g = rule.sign * g + rule.weight_decay * p;
  m = rule.beta1 * m + rule.take1 * g;
  v = rule.beta2 * v + rule.take2 * (g * g);
  A second = v;
  if (mask & 4) second = vmax = vmax >= v ? vmax : v;  // NaN in v stays
  const A denominator = std::sqrt(second) * rule.root_correction + rule.eps;
  p = rule.keep * p - rule.step * (m / denominator);
}

// ---- RMSprop -----------------------------------------------------------------------------------

/// State: v (mask 1), avg if centered (mask 2), the momentum buffer if there is one (mask 4).
struct RmspropOptions {
  static constexpr int kBuffers = 3;
  double alpha, eps, weight_decay, momentum;
  bool maximize;
};

template <class A>
struct RmspropRule {
  A lr, alpha, take, eps, weight_decay, momentum, sign;
};

template <class A>
GG_HD RmspropRule<A> make_rule(const RmspropOptions& o, const double* hyper) {
  return {static_cast<A>(hyper[0]),           static_cast<A>(o.alpha),
          static_cast<A>(1 - o.alpha),        static_cast<A>(o.eps),
          static_cast<A>(o.weight_decay),     static_cast<A>(o.momentum),
          static_cast<A>(o.maximize ? -1 : 1)};
}

template <class A>
GG_HD void update(const RmspropRule<A>& rule, int mask, A g, A& p, A& v, A& avg, A& buf) {
  g = rule.sign * g + rule.weight_decay * p;
  v = rule.alpha * v + rule.take * (g * g);
  A variance = v;
  if (mask & 2) {
    avg = rule.alpha * avg + rule.take * g;
    variance = v - avg * avg;
    variance = variance < 0 ? 0 : variance;  // rounding; NaN stays
  }
  A step = g / (std::sqrt(variance) + rule.eps);
  if (mask & 4) step = buf = rule.momentum * buf + step;
  p -= rule.lr * step;
}

// ---- scale of the loss -------------------------------------------------------------------------

/// update_scale of ops/updates.h.
GG_HD void next_scale(float& scale, int& good, bool found, double growth, double backoff,
                      int64_t interval) {
  if (found) {
    scale = static_cast<float>(scale * backoff);
    good = 0;
  } else if (good + int64_t{1} == interval) {
    const float larger = static_cast<float>(scale * growth);
    if (std::isfinite(larger)) scale = larger;
    good = 0;
  } else {
    good++;
  }
}

// ---- norm --------------------------------------------------------------------------------------

enum class NormKind : int { sum, sum_squares, sum_powers, max, min };

/// (sum |x|^ord)^(1/ord) as term, join and root; ord = +-infinity: max and min |x|. NaN stays.
template <class A>
struct NormRule {
  NormKind kind;
  double ord;

  GG_HD A identity() const { return kind == NormKind::min ? static_cast<A>(HUGE_VAL) : A(0); }

  GG_HD A term(A x) const {
    if (kind == NormKind::sum_squares) return x * x;
    const A magnitude = std::fabs(x);
    return kind == NormKind::sum_powers ? std::pow(magnitude, static_cast<A>(ord)) : magnitude;
  }

  template <class B>
  GG_HD B join(B a, B b) const {
    if (kind == NormKind::max) return a > b || a != a ? a : b;
    if (kind == NormKind::min) return a < b || a != a ? a : b;
    return a + b;
  }

  GG_HD double root(double total) const {
    if (kind == NormKind::sum_squares) return std::sqrt(total);
    return kind == NormKind::sum_powers ? std::pow(total, 1 / ord) : total;
  }
};

template <class A>
NormRule<A> make_norm(double ord) {
  if (ord == 1) return {NormKind::sum, ord};
  if (ord == 2) return {NormKind::sum_squares, ord};
  if (std::isinf(ord)) return {ord > 0 ? NormKind::max : NormKind::min, ord};
  return {NormKind::sum_powers, ord};
}

}  // namespace gg

// Further optimizers whose step is one formula of an element: Adagrad to Lion.
//
// As in core/optim.h, but the six share one Options and one Rule and are told apart by `kind`, so
// that a GPU compiles one kernel for all of them; every thread of a launch takes the same branch.
// FixedOptions and FixedRule have the kind in their type, for loops that a compiler shall
// vectorise.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/optim.h"
#include "device/qualifiers.h"

namespace gg {

/// State buffers: Adagrad sum, Lion m (mask 1); Adadelta v and u, Adamax m and u, NAdam and RAdam
/// m and v (mask 3).
enum class Adaptive : int { adagrad, adadelta, adamax, nadam, radam, lion };

constexpr int mask_of(Adaptive kind) {
  return kind == Adaptive::adagrad || kind == Adaptive::lion ? 1 : 3;
}

/// beta2 is Adadelta's rho; decay is Adagrad's lr_decay and NAdam's momentum_decay.
struct AdaptiveOptions {
  static constexpr int kBuffers = 2;

  Adaptive kind;
  double beta1, beta2, eps, weight_decay, decay;
  bool decoupled, maximize;
};

/// step multiplies the state's part of the update, grad_step NAdam's gradient; keep = 1 - lr
/// weight_decay if decoupled; rectified: RAdam divides by the root of v.
template <class A>
struct AdaptiveRule {
  Adaptive kind;
  bool rectified;
  A step, grad_step, beta1, take1, beta2, take2, root_correction, eps, keep, weight_decay, sign;
};

/// NAdam's momentum of step t: beta1 (1 - 0.96^(t decay) / 2).
GG_HD double nadam_momentum(const AdaptiveOptions& o, int64_t t) {
  constexpr double kLog096 = -0.040821994520255166;
  return o.beta1 * (1 - 0.5 * std::exp(kLog096 * (static_cast<double>(t) * o.decay)));
}

/// NAdam: hyper[2] is the product of the momenta so far.
template <class A>
GG_HD void set_nadam(const AdaptiveOptions& o, const double* hyper, AdaptiveRule<A>& rule) {
  const int64_t t = step_number(hyper);
  const double mu = nadam_momentum(o, t), next = nadam_momentum(o, t + 1);
  const double product = hyper[2] * mu;
  rule.grad_step = static_cast<A>(hyper[0] * (1 - mu) / (1 - product));
  rule.step = static_cast<A>(hyper[0] * next / (1 - product * next));
}

/// RAdam: the variance of the second moment is known well enough once `length` is above 5.
template <class A>
GG_HD void set_radam(const AdaptiveOptions& o, const double* hyper, AdaptiveRule<A>& rule) {
  const int64_t t = step_number(hyper);
  const double power = integer_power(o.beta2, t), correction = 1 - power;
  const double most = 2 / (1 - o.beta2) - 1;
  const double length = most - 2 * static_cast<double>(t) * power / correction;
  rule.rectified = length > 5;
  double step = hyper[0] / (1 - integer_power(o.beta1, t));
  if (rule.rectified) {
    const double above = (length - 4) * (length - 2) * most;
    const double below = (most - 4) * (most - 2) * length;
    step *= std::sqrt(above / below * correction);
  }
  rule.step = static_cast<A>(step);
}

template <class A>
GG_HD AdaptiveRule<A> make_rule(const AdaptiveOptions& o, const double* hyper) {
  const double lr = hyper[0];
  const int64_t t = step_number(hyper);
  AdaptiveRule<A> rule{o.kind,
                       false,
                       static_cast<A>(lr),
                       A(0),
                       static_cast<A>(o.beta1),
                       static_cast<A>(1 - o.beta1),
                       static_cast<A>(o.beta2),
                       static_cast<A>(1 - o.beta2),
                       static_cast<A>(1 / std::sqrt(1 - integer_power(o.beta2, t))),
                       static_cast<A>(o.eps),
                       static_cast<A>(o.decoupled ? 1 - lr * o.weight_decay : 1.0),
                       static_cast<A>(o.decoupled ? 0.0 : o.weight_decay),
                       static_cast<A>(o.maximize ? -1 : 1)};
  if (o.kind == Adaptive::adagrad) {
    rule.step = static_cast<A>(lr / (1 + static_cast<double>(t - 1) * o.decay));
  } else if (o.kind == Adaptive::adamax) {
    rule.step = static_cast<A>(lr / (1 - integer_power(o.beta1, t)));
  } else if (o.kind == Adaptive::nadam) {
    set_nadam(o, hyper, rule);
  } else if (o.kind == Adaptive::radam) {
    set_radam(o, hyper, rule);
  }
  return rule;
}

GG_HD void advance(const AdaptiveOptions& o, double* hyper) {
  if (o.kind == Adaptive::nadam) hyper[2] *= nadam_momentum(o, step_number(hyper));
  hyper[1] += 1;
}

// ---- the kind as a type ------------------------------------------------------------------------

template <Adaptive Kind>
struct FixedOptions {
  AdaptiveOptions options;
};

template <Adaptive Kind, class A>
struct FixedRule {
  AdaptiveRule<A> rule;
};

template <class A, Adaptive Kind>
GG_HD FixedRule<Kind, A> make_rule(const FixedOptions<Kind>& o, const double* hyper) {
  return {make_rule<A>(o.options, hyper)};
}

template <Adaptive Kind>
GG_HD void advance(const FixedOptions<Kind>& o, double* hyper) {
  advance(o.options, hyper);
}

/// The two moments of Adamax's, NAdam's and RAdam's kind. NaN stays in both.
template <Adaptive Kind, class A>
GG_HD void moments(const AdaptiveRule<A>& rule, A g, A& m, A& second) {
  m = rule.beta1 * m + rule.take1 * g;
  if constexpr (Kind == Adaptive::adamax) {
    const A floor = std::fabs(g) + rule.eps, decayed = rule.beta2 * second;
    second = decayed >= floor || decayed != decayed ? decayed : floor;
  } else {
    second = rule.beta2 * second + rule.take2 * (g * g);
  }
}

template <Adaptive Kind, class A>
GG_HD void update(const FixedRule<Kind, A>& fixed, int, A g, A& p, A& s0, A& s1, A&) {
  const AdaptiveRule<A>& rule = fixed.rule;
  g = rule.sign * g + rule.weight_decay * p;
  p = rule.keep * p;
  if constexpr (Kind == Adaptive::adagrad) {
    s0 += g * g;
    p -= rule.step * (g / (std::sqrt(s0) + rule.eps));
  } else if constexpr (Kind == Adaptive::adadelta) {
    s0 = rule.beta2 * s0 + rule.take2 * (g * g);
    const A d = std::sqrt(s1 + rule.eps) / std::sqrt(s0 + rule.eps) * g;
    s1 = rule.beta2 * s1 + rule.take2 * (d * d);
    p -= rule.step * d;
  } else if constexpr (Kind == Adaptive::lion) {
    const A d = rule.beta1 * s0 + rule.take1 * g;
    s0 = rule.beta2 * s0 + rule.take2 * g;
    p -= rule.step * (d > 0 ? A(1) : d < 0 ? A(-1) : d);  // NaN stays
  } else {
    moments<Kind>(rule, g, s0, s1);
    if constexpr (Kind == Adaptive::adamax) p -= rule.step * (s0 / s1);
    if constexpr (Kind == Adaptive::nadam) {
      const A root = std::sqrt(s1) * rule.root_correction + rule.eps;
      p -= (rule.grad_step * g + rule.step * s0) / root;
    }
    if constexpr (Kind == Adaptive::radam) {
      p -= rule.step * (s0 / (rule.rectified ? std::sqrt(s1) + rule.eps : A(1)));
    }
  }
}

/// f(rule), with the kind as a type where it is a number.
template <class Rule, class F>
GG_HD void with_kind(const Rule& rule, F f) {
  f(rule);
}

template <class A, class F>
GG_HD void with_kind(const AdaptiveRule<A>& rule, F f) {
  switch (rule.kind) {
    case Adaptive::adagrad:
      return f(FixedRule<Adaptive::adagrad, A>{rule});
    case Adaptive::adadelta:
      return f(FixedRule<Adaptive::adadelta, A>{rule});
    case Adaptive::adamax:
      return f(FixedRule<Adaptive::adamax, A>{rule});
    case Adaptive::nadam:
      return f(FixedRule<Adaptive::nadam, A>{rule});
    case Adaptive::radam:
      return f(FixedRule<Adaptive::radam, A>{rule});
    default:
      return f(FixedRule<Adaptive::lion, A>{rule});
  }
}

}  // namespace gg

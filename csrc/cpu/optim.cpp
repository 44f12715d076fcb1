// SGD, Adam and RMSprop steps (cpu/optim_step.h); the norm and the scaling of lists; the loss
// scale.
#include <atomic>

#include "cpu/optim_step.h"

namespace gg {
namespace {

/// Terms of a span joined: 16 interleaved partial results a run, then in float64.
/// The kind is a constant here, so that each gets its own plain loop.
template <NormKind Kind, class T>
double span_norm(double ord, const T* x, int64_t n) {
  using A = Acc<T>;
  constexpr int kLanes = 16;
  const NormRule<A> rule{Kind, ord};
  double total = rule.identity();
  A run[kRun];
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t count = std::min(n - begin, kRun);
    widen(x + begin, run, count);
    for (int64_t i = 0; i < count; i++) run[i] = rule.term(run[i]);
    A lanes[kLanes];
    for (A& lane : lanes) lane = rule.identity();
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      for (int k = 0; k < kLanes; k++) lanes[k] = rule.join(lanes[k], run[i + k]);
    }
    for (; i < count; i++) lanes[0] = rule.join(lanes[0], run[i]);
    for (const A lane : lanes) total = rule.join(total, static_cast<double>(lane));
  }
  return total;
}

template <class T>
double span_norm(const NormRule<Acc<T>>& rule, const T* x, int64_t n) {
  switch (rule.kind) {
    case NormKind::sum:
      return span_norm<NormKind::sum>(rule.ord, x, n);
    case NormKind::sum_squares:
      return span_norm<NormKind::sum_squares>(rule.ord, x, n);
    case NormKind::sum_powers:
      return span_norm<NormKind::sum_powers>(rule.ord, x, n);
    case NormKind::max:
      return span_norm<NormKind::max>(rule.ord, x, n);
    default:
      return span_norm<NormKind::min>(rule.ord, x, n);
  }
}

/// x *= factor for n numbers of the accumulation dtype; whether all were finite: x - x is 0, or
/// NaN, which is not equal to it.
template <class A>
bool scale_run(A* x, int64_t n, A factor) {
  unsigned bad = 0;
  for (int64_t i = 0; i < n; i++) {
    bad |= static_cast<unsigned>(x[i] - x[i] != 0);
    x[i] *= factor;
  }
  return bad == 0;
}

template <class T>
bool scale_span(T* x, int64_t n, Acc<T> factor) {
  if constexpr (!is_half<T>) return scale_run(x, n, factor);
  Acc<T> run[kRun];
  bool finite = true;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t count = std::min(n - begin, kRun);
    widen(x + begin, run, count);
    finite = scale_run(run, count, factor) && finite;
    narrow(run, x + begin, count);
  }
  return finite;
}

/// Whether all elements of the list were finite.
template <class T>
bool scale_all(const Arrays& xs, Acc<T> by) {
  std::atomic<bool> finite = true;
  for_spans(spans_of(xs), [&](int64_t, const Span& span) {
    T* const x = xs[span.array].as<T>() + span.begin;
    if (!scale_span(x, span.end - span.begin, by)) finite = false;
  });
  return finite;
}

}  // namespace

void sgd_step(Stream, const Arrays& params, const Arrays& grads, const Arrays& momenta,
              const Array& hyper, const Array& ticket, double momentum, double dampening,
              double weight_decay, bool nesterov, bool maximize) {
  step<0, 1>({"sgd_step", params, grads, {&momenta}, {"momenta"}, hyper, ticket},
             SgdOptions{momentum, dampening, weight_decay, nesterov, maximize});
}

void adam_step(Stream, const Arrays& params, const Arrays& grads, const Arrays& m, const Arrays& v,
               const Arrays& vmax, const Array& hyper, const Array& ticket, double beta1,
               double beta2, double eps, double weight_decay, bool decoupled, bool maximize) {
  step<3, 7>({"adam_step", params, grads, {&m, &v, &vmax}, {"m", "v", "vmax"}, hyper, ticket},
             AdamOptions{beta1, beta2, eps, weight_decay, decoupled, maximize});
}

void rmsprop_step(Stream, const Arrays& params, const Arrays& grads, const Arrays& v,
                  const Arrays& avg, const Arrays& buf, const Array& hyper, const Array& ticket,
                  double alpha, double eps, double weight_decay, double momentum, bool maximize) {
  step<1, 3, 5, 7>(
      {"rmsprop_step", params, grads, {&v, &avg, &buf}, {"v", "avg", "buf"}, hyper, ticket},
      RmspropOptions{alpha, eps, weight_decay, momentum, maximize});
}

void global_norm(Stream, const Arrays& xs, double ord, const Array& norm, const Array& workspace) {
  const DType dtype = check_norm(xs, ord, norm);
  check_workspace("global_norm", workspace, global_norm_workspace(xs));
  dispatch_floating(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto rule = make_norm<Acc<T>>(ord);
    const std::vector<Span> spans = spans_of(xs);
    double* const partial = workspace.as<double>();
    for_spans(spans, [&](int64_t i, const Span& span) {
      const T* x = xs[span.array].as<T>() + span.begin;
      partial[i] = span_norm(rule, x, span.end - span.begin);
    });
    double total = spans.empty() ? 0 : partial[0];
    for (size_t i = 1; i < spans.size(); i++) total = rule.join(total, partial[i]);
    *norm.as<Acc<T>>() = static_cast<Acc<T>>(rule.root(total));
  });
}

int64_t global_norm_workspace(const Arrays& xs) {
  return static_cast<int64_t>(spans_of(xs).size() * sizeof(double));
}

void scale(Stream, const Arrays& xs, const Array& factor) {
  dispatch_floating(check_scale(xs, factor), [&](auto tag) {
    using T = typename decltype(tag)::type;
    scale_all<T>(xs, *factor.as<Acc<T>>());
  });
}

void unscale(Stream, const Arrays& xs, const Array& scale, const Array& found) {
  dispatch_floating(check_unscale(xs, scale, found), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const double by = 1 / static_cast<double>(*scale.as<float>());
    if (!scale_all<T>(xs, static_cast<Acc<T>>(by))) *found.as<int>() = 1;
  });
}

void update_scale(Stream, const Array& scale, const Array& good, const Array& found, double growth,
                  double backoff, int64_t interval) {
  check_update_scale(scale, good, found, interval);
  next_scale(*scale.as<float>(), *good.as<int>(), *found.as<int>() != 0, growth, backoff, interval);
}

}  // namespace gg

// Optimizer steps on CPU threads: lists are cut into spans, each span is one vectorised loop.
//
// Reads and writes every parameter and state element once: bandwidth-bound from a few megabytes,
// below that bound by the square root and division of Adam. Built with -fno-math-errno: a square
// root that may set errno keeps its loop scalar, and Adam four times slower.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/checks.h"
#include "core/optim.h"
#include "core/optim_lists.h"
#include "core/parallel.h"
#include "cpu/convert.h"
#include "device/types.h"
#include "ops/updates.h"

namespace gg {
namespace {

/// Elements of a span, and of a list that is not worth waking threads for.
constexpr int64_t kSpan = 1 << 15, kSmallList = 1 << 18;

struct Span {
  size_t array;
  int64_t begin, end;
};

std::vector<Span> spans_of(const Arrays& arrays) {
  std::vector<Span> spans;
  for (size_t i = 0; i < arrays.size(); i++) {
    const int64_t n = arrays[i].size();
    for (int64_t begin = 0; begin < n; begin += kSpan) {
      spans.push_back({i, begin, std::min(n, begin + kSpan)});
    }
  }
  return spans;
}

/// f(span index, span) for every span of the list.
template <class F>
void for_spans(const std::vector<Span>& spans, F f) {
  int64_t total = 0;
  for (const Span& span : spans) total += span.end - span.begin;
  const int64_t count = static_cast<int64_t>(spans.size());
  parallel_for(count, total < kSmallList ? count : 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) f(i, spans[i]);
  });
}

// ---- steps -------------------------------------------------------------------------------------

template <class A>
struct States {
  A* data[kStates];
};

/// The loop over n elements; p, g and the states do not overlap.
template <int Mask, class A, class Rule>
void update_run(const Rule rule, A* __restrict p, const A* __restrict g, const States<A>& states,
                int64_t n) {
  A* __restrict s0 = states.data[0];
  A* __restrict s1 = states.data[1];
  A* __restrict s2 = states.data[2];
  for (int64_t i = 0; i < n; i++) {
    A x = p[i], a = 0, b = 0, c = 0;
    if constexpr (Mask & 1) a = s0[i];
    if constexpr (Mask & 2) b = s1[i];
    if constexpr (Mask & 4) c = s2[i];
    update(rule, Mask, g[i], x, a, b, c);
    if constexpr (Mask & 1) s0[i] = a;
    if constexpr (Mask & 2) s1[i] = b;
    if constexpr (Mask & 4) s2[i] = c;
    p[i] = x;
  }
}

/// A span: at once, or for halves a run at a time through float.
template <int Mask, class T, class A, class Rule>
void update_span(const Rule& rule, T* p, const T* g, States<A> states, int64_t n) {
  if constexpr (!is_half<T>) {
    update_run<Mask>(rule, p, g, states, n);
  } else {
    float wide_p[kRun], wide_g[kRun];
    for (int64_t begin = 0; begin < n; begin += kRun) {
      const int64_t count = std::min(n - begin, kRun);
      widen(p + begin, wide_p, count);
      widen(g + begin, wide_g, count);
      update_run<Mask>(rule, wide_p, wide_g, states, count);
      narrow(wide_p, p + begin, count);
      for (float*& state : states.data) state += state ? count : 0;
    }
  }
}

template <int Mask, class T, class Options>
void run_step(const StepLists& lists, const Options& options) {
  using A = Acc<T>;
  double* const hyper = lists.hyper.as<double>();
  const auto rule = make_rule<A>(options, hyper[0], static_cast<int64_t>(hyper[1]) + 1);
  for_spans(spans_of(lists.params), [&](int64_t, const Span& span) {
    States<A> states{};
    for (int k = 0; k < kStates; k++) {
      if (lists.uses(k)) states.data[k] = lists.state<A>(k, span.array) + span.begin;
    }
    T* const p = lists.params[span.array].as<T>() + span.begin;
    const T* const g = lists.grads[span.array].as<T>() + span.begin;
    update_span<Mask>(rule, p, g, states, span.end - span.begin);
  });
  hyper[1] += 1;
}

/// Masks: the sets of state buffers this optimizer can have.
template <int... Masks, class Options>
void step(const StepLists& lists, const Options& options) {
  check_lists(lists);
  check_mask(lists, {Masks...});
  if (lists.params.empty()) {
    lists.hyper.as<double>()[1] += 1;
    return;
  }
  dispatch_floating(lists.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    ((lists.mask() == Masks ? run_step<Masks, T>(lists, options) : void()), ...);
  });
}

// ---- norm and scale ----------------------------------------------------------------------------

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

template <class T>
void scale_span(T* x, int64_t n, Acc<T> factor) {
  if constexpr (!is_half<T>) {
    for (int64_t i = 0; i < n; i++) x[i] *= factor;
    return;
  }
  Acc<T> run[kRun];
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t count = std::min(n - begin, kRun);
    widen(x + begin, run, count);
    for (int64_t i = 0; i < count; i++) run[i] *= factor;
    narrow(run, x + begin, count);
  }
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
    const Acc<T> by = *factor.as<Acc<T>>();
    for_spans(spans_of(xs), [&](int64_t, const Span& span) {
      scale_span(xs[span.array].as<T>() + span.begin, span.end - span.begin, by);
    });
  });
}

}  // namespace gg

// Lists of arrays on CPU threads, cut into spans; and the optimizer step over such a list, each
// span one vectorised loop.
//
// A step reads and writes every parameter and state element once: bandwidth-bound from a few
// megabytes, below that bound by the square root and division of Adam. Built with -fno-math-errno:
// a square root that may set errno keeps its loop scalar, and Adam four times slower.
#pragma once

#include <algorithm>
#include <vector>

#include "core/checks.h"
#include "core/optim.h"
#include "core/optim_lists.h"
#include "core/parallel.h"
#include "cpu/convert.h"
#include "device/types.h"
#include "ops/updates.h"

namespace gg {

/// Elements of a span, and of a list that is not worth waking threads for.
constexpr int64_t kSpan = 1 << 15, kSmallList = 1 << 18;

struct Span {
  size_t array;
  int64_t begin, end;
};

inline std::vector<Span> spans_of(const Arrays& arrays) {
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

/// A span: at once, or for halves a run at a time through float, in the master weights if there
/// are any.
template <int Mask, class T, class A, class Rule>
void update_span(const Rule& rule, T* p, [[maybe_unused]] A* master, const T* g, States<A> states,
                 int64_t n) {
  if constexpr (!is_half<T>) {
    update_run<Mask>(rule, p, g, states, n);
  } else {
    float wide_p[kRun], wide_g[kRun];
    for (int64_t begin = 0; begin < n; begin += kRun) {
      const int64_t count = std::min(n - begin, kRun);
      float* const weights = master ? master + begin : wide_p;
      if (!master) widen(p + begin, wide_p, count);
      widen(g + begin, wide_g, count);
      update_run<Mask>(rule, weights, wide_g, states, count);
      narrow(weights, p + begin, count);
      for (float*& state : states.data) state += state ? count : 0;
    }
  }
}

template <int Mask, class T, class Options>
void run_step(const StepLists& lists, const Options& options) {
  using A = Acc<T>;
  double* const hyper = lists.hyper.as<double>();
  const auto rule = make_rule<A>(options, hyper);
  for_spans(spans_of(lists.grads), [&](int64_t, const Span& span) {
    States<A> states{};
    for (int k = 0; k < kStates; k++) {
      if (lists.uses(k)) states.data[k] = lists.state<A>(k, span.array) + span.begin;
    }
    T* const p = lists.params[span.array].as<T>() + span.begin;
    A* const master = lists.master<A>(span.array);
    const T* const g = lists.grads[span.array].as<T>() + span.begin;
    update_span<Mask>(rule, p, master ? master + span.begin : nullptr, g, states,
                      span.end - span.begin);
  });
  advance(options, hyper);
}

/// Masks: the sets of state buffers this optimizer can have.
template <int... Masks, class Options>
void step(const StepLists& lists, const Options& options) {
  check_lists(lists);
  check_mask(lists, {Masks...});
  if (lists.skip() && *lists.skip() != 0) return;
  if (lists.params.empty()) {
    advance(options, lists.hyper.as<double>());
    return;
  }
  dispatch_floating(lists.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    ((lists.mask() == Masks ? run_step<Masks, T>(lists, options) : void()), ...);
  });
}

}  // namespace gg

// What an optimizer step is given: lists of arrays, checked. Host only, shared by the modules.
#pragma once

#include "core/array.h"
#include "core/checks.h"
#include "core/optim.h"
#include "ops/updates.h"

namespace gg {

/// Most state buffers of one parameter.
constexpr int kStates = 3;

struct StepLists {
  const char* op;
  const Arrays& params;
  const Arrays& grads;
  const Arrays* states[kStates];  ///< null: this optimizer has no such state; empty: not used
  const char* names[kStates];
  const Array& hyper;
  const Array& ticket;
  int64_t numbers = 2;  ///< in hyper

  size_t count() const { return grads.size(); }

  bool uses(int k) const { return states[k] && !states[k]->empty(); }

  /// The mask of core/optim.h.
  int mask() const { return uses(0) | uses(1) << 1 | uses(2) << 2; }

  /// Data of state k of parameter i, or null.
  template <class A>
  A* state(int k, size_t i) const {
    return uses(k) ? (*states[k])[i].template as<A>() : nullptr;
  }

  /// Master weights of parameter i, or null.
  template <class A>
  A* master(size_t i) const {
    return params.size() > count() ? params[count() + i].template as<A>() : nullptr;
  }

  /// Whether to skip the step: a number on the device, or null.
  int* skip() const { return ticket.size() == 2 ? ticket.as<int>() + 1 : nullptr; }

  DType dtype() const { return params.empty() ? DType::f32 : params[0].dtype; }
};

/// Contiguous, of the dtype and with as many elements as the parameter it belongs to.
inline void check_companion(const char* op, const char* name, const Array& a, DType dtype,
                            const Array& param) {
  check_dtype(op, name, a, dtype);
  check_contiguous(op, name, a);
  GG_CHECK(a.size() == param.size(), op, name, " ", a, " does not fit its parameter ", param);
}

inline void check_lists(const StepLists& lists) {
  const char* op = lists.op;
  check_dtype(op, "hyper", lists.hyper, DType::f64);
  check_shape(op, "hyper", lists.hyper, {lists.numbers});
  check_contiguous(op, "hyper", lists.hyper);
  check_dtype(op, "ticket", lists.ticket, DType::i32);
  check_contiguous(op, "ticket", lists.ticket);
  GG_CHECK(lists.ticket.size() == 1 || lists.ticket.size() == 2, op,
           "ticket must have one or two elements, got ", lists.ticket);
  const size_t n = lists.count(), given = lists.params.size();
  GG_CHECK(given == n || given == 2 * n, op, given, " params, but ", n, " grads");
  GG_CHECK(given == n || accumulation(lists.dtype()) != lists.dtype(), op,
           "only float16 and bfloat16 have master weights, not ", lists.dtype());
  for (size_t i = 0; i < n; i++) {
    check_floating(op, "params", lists.params[i]);
    check_companion(op, "params", lists.params[i], lists.dtype(), lists.params[i]);
    check_companion(op, "grads", lists.grads[i], lists.dtype(), lists.params[i]);
    if (given == n) continue;
    check_companion(op, "master weights", lists.params[n + i], accumulation(lists.dtype()),
                    lists.params[i]);
  }
  for (int k = 0; k < kStates; k++) {
    if (!lists.uses(k)) continue;
    const Arrays& state = *lists.states[k];
    GG_CHECK(state.size() == n, op, n, " params, but ", state.size(), " of ", lists.names[k]);
    for (size_t i = 0; i < n; i++) {
      check_companion(op, lists.names[k], state[i], accumulation(lists.dtype()), lists.params[i]);
    }
  }
}

/// The optimizer needs its state buffers in one of these sets (empty lists of parameters: any).
inline void check_mask(const StepLists& lists, std::initializer_list<int> masks) {
  bool legal = lists.params.empty();
  for (int mask : masks) legal = legal || lists.mask() == mask;
  GG_CHECK(legal, lists.op, "a list of state buffers is missing or too many");
}

/// Lists of global_norm and scale: contiguous, floating, of one dtype. Returns the dtype.
inline DType check_arrays(const char* op, const Arrays& xs) {
  const DType dtype = xs.empty() ? DType::f32 : xs[0].dtype;
  for (const Array& x : xs) {
    check_floating(op, "xs", x);
    check_companion(op, "xs", x, dtype, x);
  }
  return dtype;
}

/// Returns the dtype of the list (of the norm, if the list is empty).
inline DType check_norm(const Arrays& xs, double ord, const Array& norm) {
  check_arrays("global_norm", xs);
  GG_CHECK(ord != 0 && ord == ord, "global_norm", "ord must be a number other than 0, got ", ord);
  check_floating("global_norm", "norm", norm);
  const DType dtype = xs.empty() ? norm.dtype : xs[0].dtype;
  check_dtype("global_norm", "norm", norm, accumulation(dtype));
  GG_CHECK(norm.size() == 1, "global_norm", "norm must have one element, got ", norm);
  return dtype;
}

inline void check_number(const char* op, const char* name, const Array& a, DType dtype) {
  check_dtype(op, name, a, dtype);
  GG_CHECK(a.size() == 1, op, name, " must have one element, got ", a);
}

inline DType check_unscale(const Arrays& xs, const Array& scale, const Array& found) {
  check_number("unscale", "scale", scale, DType::f32);
  check_number("unscale", "found", found, DType::i32);
  return check_arrays("unscale", xs);
}

inline void check_update_scale(const Array& scale, const Array& good, const Array& found,
                               int64_t interval) {
  check_number("update_scale", "scale", scale, DType::f32);
  check_number("update_scale", "good", good, DType::i32);
  check_number("update_scale", "found", found, DType::i32);
  GG_CHECK(interval > 0, "update_scale", "interval must be above 0, got ", interval);
}

inline DType check_scale(const Arrays& xs, const Array& factor) {
  const DType dtype = check_arrays("scale", xs);
  if (!xs.empty()) check_dtype("scale", "factor", factor, accumulation(dtype));
  GG_CHECK(factor && factor.size() == 1, "scale", "factor must have one element, got ", factor);
  return dtype;
}

}  // namespace gg

// Integer atomics and fences. Relaxed, as CUDA's are: they order nothing else. There are none for
// floats, on purpose: their sums would depend on the order threads run in.
#pragma once

#include "sim/runtime.h"

namespace gg::sim {

template <class T>
concept Atomic = std::is_same_v<T, int> || std::is_same_v<T, unsigned> ||
                 std::is_same_v<T, long long> || std::is_same_v<T, unsigned long long>;

/// old = *p; *p = f(old); returns old.
template <class T, class F>
T atomic_update(T* p, F f) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(p, &old, f(old), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}

}  // namespace gg::sim

template <gg::sim::Atomic T>
T atomicAdd(T* p, std::type_identity_t<T> value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
template <gg::sim::Atomic T>
T atomicSub(T* p, std::type_identity_t<T> value) {
  return __atomic_fetch_sub(p, value, __ATOMIC_RELAXED);
}
template <gg::sim::Atomic T>
T atomicAnd(T* p, std::type_identity_t<T> value) {
  return __atomic_fetch_and(p, value, __ATOMIC_RELAXED);
}
template <gg::sim::Atomic T>
T atomicOr(T* p, std::type_identity_t<T> value) {
  return __atomic_fetch_or(p, value, __ATOMIC_RELAXED);
}
template <gg::sim::Atomic T>
T atomicXor(T* p, std::type_identity_t<T> value) {
  return __atomic_fetch_xor(p, value, __ATOMIC_RELAXED);
}
template <gg::sim::Atomic T>
T atomicExch(T* p, std::type_identity_t<T> value) {
  return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}
template <gg::sim::Atomic T>
T atomicMax(T* p, std::type_identity_t<T> value) {
  return gg::sim::atomic_update(p, [value](T old) { return old < value ? value : old; });
}
template <gg::sim::Atomic T>
T atomicMin(T* p, std::type_identity_t<T> value) {
  return gg::sim::atomic_update(p, [value](T old) { return value < old ? value : old; });
}
template <gg::sim::Atomic T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> value,
            gg::sim::Where where = gg::sim::Where::current()) {
  if (!__atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_RELAXED,
                                   __ATOMIC_RELAXED)) {
    gg::sim::watch_spin(p, "atomicCAS", where);
  }
  return expected;
}

inline void __threadfence() {
  gg::sim::fence();
}
inline void __threadfence_block() {
  gg::sim::fence();
}
inline void __threadfence_system() {
  gg::sim::fence();
}

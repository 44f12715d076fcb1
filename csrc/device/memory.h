// Memory order between blocks, and waiting for another block.
#pragma once

#include <type_traits>

#include "device/platform.h"

namespace gg {

/// Inside every loop that waits for another thread's write. The simulator schedules lanes
/// cooperatively: a spin loop without it is reported.
GG_DEVICE void spin_pause(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::spin_pause(where);
#else
  __nanosleep(20);
#endif
}

/// Reads a 32- or 64-bit integer; what its writer did before store_release is visible after it.
template <class T>
GG_DEVICE T load_acquire(const T* p GG_WHERE) {
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
#if GG_SIMULATOR
  return sim::load_acquire(p, where);
#else
  if constexpr (sizeof(T) == 4) {
    unsigned value;
    asm volatile("ld.acquire.gpu.b32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
    return static_cast<T>(value);
  } else {
    unsigned long long value;
    asm volatile("ld.acquire.gpu.b64 %0, [%1];" : "=l"(value) : "l"(p) : "memory");
    return static_cast<T>(value);
  }
#endif
}

/// Writes a 32- or 64-bit integer after everything this thread wrote before.
template <class T>
GG_DEVICE void store_release(T* p, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
#if GG_SIMULATOR
  __atomic_store_n(p, value, __ATOMIC_RELEASE);
#else
  if constexpr (sizeof(T) == 4) {
    asm volatile("st.release.gpu.b32 [%0], %1;" ::"l"(p), "r"(static_cast<unsigned>(value))
                 : "memory");
  } else {
    asm volatile("st.release.gpu.b64 [%0], %1;" ::"l"(p),
                 "l"(static_cast<unsigned long long>(value))
                 : "memory");
  }
#endif
}

}  // namespace gg

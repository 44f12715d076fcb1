// Shared memory.
//
//   GG_SHARED(tile, float[16][65]);             a static array (at most 48 KiB in a kernel)
//   auto* rows = shared_dynamic<float>();       what launch() was given as shared_bytes
//
// Both work in templates. Neither is initialised; the simulator fills them with 0xff bytes (NaN for
// floating types, -1 for integers), so that reading before writing shows.
#pragma once

#include <type_traits>

#include "device/platform.h"

#if GG_SIMULATOR
#define GG_SHARED(name, ...)                                                              \
  static constexpr char name##_key = 0;                                                   \
  auto& name = *static_cast<std::type_identity_t<__VA_ARGS__>*>(::gg::sim::shared_static( \
      &name##_key, #name, sizeof(std::type_identity_t<__VA_ARGS__>),                      \
      alignof(std::type_identity_t<__VA_ARGS__>), ::gg::sim::Where::current()))
#else
#define GG_SHARED(name, ...) __shared__ __align__(16) std::type_identity_t<__VA_ARGS__> name
#endif

namespace gg {

/// The block's dynamic shared memory, aligned to 1024 bytes.
template <class T>
GG_DEVICE T* shared_dynamic() {
#if GG_SIMULATOR
  return static_cast<T*>(sim::shared_dynamic());
#else
  extern __shared__ __align__(1024) unsigned char gg_shared_dynamic[];
  return reinterpret_cast<T*>(gg_shared_dynamic);
#endif
}

}  // namespace gg

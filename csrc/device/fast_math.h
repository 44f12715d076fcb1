// One instruction where C++ gives several. Not part of device.h: few kernels want them.
//
// PTX ISA, "Floating point instructions: ex2" and "Data movement and conversion instructions: cvt".
#pragma once

#include "device/platform.h"
#include "device/types.h"

namespace gg {

/// 2^x to 2 ulp; results below 2^-126 are 0. 2^-infinity = 0, NaN stays NaN.
GG_DEVICE float exp2_approx(float x) {
#if GG_SIMULATOR
  return exp2f(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

/// Two floats rounded to T, f16 or bf16, in one register: `low` in the lower bits.
template <class T>
GG_DEVICE uint32_t pack_pair(float low, float high) {
  static_assert(is_half<T>, "pack_pair rounds to f16 or bf16");
#if !GG_SIMULATOR && GG_ARCH_AT_LEAST(80)
  uint32_t pair;
  if constexpr (std::is_same_v<T, f16>) {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  }
  return pair;
#else
  return from_float<T>(low).bits | static_cast<uint32_t>(from_float<T>(high).bits) << 16;
#endif
}

}  // namespace gg

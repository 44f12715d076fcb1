// Moving registers between the warps of a block, so that producers give theirs to consumers.
// PTX ISA, Miscellaneous Instructions: setmaxnreg. sm_90a; traps elsewhere.
#pragma once

#include "device/platform.h"

namespace gg {

namespace detail {
template <int N>
constexpr bool is_register_count = N >= 24 && N <= 256 && N % 8 == 0;
}

/// Raises this warpgroup's registers for each thread to N; waits until others have given them. All
/// four warps call it. N is a multiple of 8 from 24 to 256. The simulator does not count registers.
template <int N>
GG_DEVICE void registers_increase() {
  static_assert(detail::is_register_count<N>);
#if !GG_HOPPER
  __trap();
#elif !GG_SIMULATOR
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
#endif
}

/// Gives back all registers of this warpgroup above N for each thread.
template <int N>
GG_DEVICE void registers_decrease() {
  static_assert(detail::is_register_count<N>);
#if !GG_HOPPER
  __trap();
#elif !GG_SIMULATOR
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
#endif
}

}  // namespace gg

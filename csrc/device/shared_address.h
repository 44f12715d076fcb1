// Addresses as PTX instructions for shared memory take them.
#pragma once

#include "device/platform.h"

#if GG_SIMULATOR
#include "sim/hopper.h"
#endif

namespace gg {

#if !GG_SIMULATOR
/// The 32-bit address of p in the shared window; for instructions in csrc/device.
GG_DEVICE uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
#endif

/// How 16-byte units are permuted in a tile of shared memory, for TMA and wgmma alike: address bits
/// 4 and up are XORed with bits 7 and up (3 bits for k128, 2 for k64, 1 for k32). The value is the
/// length in bytes of a tile's row.
enum class Swizzle : int { none = 0, k32 = 32, k64 = 64, k128 = 128 };

}  // namespace gg

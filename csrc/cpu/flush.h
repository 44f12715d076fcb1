// Subnormal numbers as zeros, for as long as an object of this class lives, on its thread. Machines
// take a hundred cycles for an operation on one, and gradients of long sequences pass through them
// on their way to zero.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace gg {

class FlushSubnormals {
 public:
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

#if defined(__SSE2__)
  FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kResults | kOperands); }
  ~FlushSubnormals() { _mm_setcsr(before_); }

 private:
  static constexpr uint32_t kResults = 0x8000, kOperands = 0x0040;
  uint32_t before_;
#else
  FlushSubnormals() {}
#endif
};

}  // namespace gg

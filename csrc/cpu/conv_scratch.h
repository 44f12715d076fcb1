// Memory of a thread for its tiles: grows to the largest asked for, and stays.
#pragma once

#include <cstdint>
#include <vector>

namespace gg {

/// Two cache lines more than asked, aligned to one: vectors do not straddle lines without need.
template <class A>
class ConvScratch {
 public:
  explicit ConvScratch(int64_t elements) {
    const size_t bytes = static_cast<size_t>(elements) * sizeof(A) + 64;
    if (memory().size() < bytes) memory().resize(bytes);
    next_ = reinterpret_cast<A*>((reinterpret_cast<uintptr_t>(memory().data()) + 63) / 64 * 64);
  }

  /// The next n elements, at a cache line's start.
  A* take(int64_t n) {
    A* const at = next_;
    next_ += padded(n);
    return at;
  }

  static int64_t padded(int64_t n) {
    constexpr int64_t line = 64 / sizeof(A);
    return (n + line - 1) / line * line;
  }

 private:
  static std::vector<unsigned char>& memory() {
    static thread_local std::vector<unsigned char> own;
    return own;
  }

  A* next_;
};

}  // namespace gg

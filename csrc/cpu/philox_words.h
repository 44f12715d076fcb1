// Many counters of Philox at a time, for draws of which an element needs one word.
#pragma once

#include "core/philox.h"

namespace gg {

constexpr int kPhiloxCounters = 64;  ///< at a time
constexpr int kPhiloxWords = 4 * kPhiloxCounters;

/// words[4 i + k]: word k of counter first + i, as philox() has them.
void philox_words(PhiloxStream stream, uint64_t first, uint32_t (&words)[kPhiloxWords]);

/// y[i - first] = f(word of element i, i - first) for elements first .. first + n - 1 of a draw.
template <class T, class F>
void for_words(PhiloxStream stream, uint64_t first, int64_t n, T* y, F f) {
  uint32_t words[kPhiloxWords];
  const int64_t lead = static_cast<int64_t>(first % 4);
  for (int64_t done = -lead; done < n; done += kPhiloxWords) {
    philox_words(stream, first / 4 + static_cast<uint64_t>((done + lead) / 4), words);
    const int64_t begin = done < 0 ? lead : 0, left = n - done;
    const int64_t end = left < kPhiloxWords ? left : kPhiloxWords;
#pragma GCC ivdep
    for (int64_t i = begin; i < end; i++) y[done + i] = f(words[i], done + i);
  }
}

}  // namespace gg

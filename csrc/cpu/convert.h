// Runs of elements to and from the type they are computed in, vectorised: float for float16 and
// bfloat16, themselves for the rest.
#pragma once

#include <cstdint>
#include <type_traits>

#include "device/types.h"

namespace gg {

/// What floating T is computed in.
template <class T>
using Wide = std::conditional_t<is_half<T>, float, T>;

/// Elements worth converting at a time: they stay in the first cache.
constexpr int64_t kRun = 1024;

template <class T>
inline void widen(const T* x, Wide<T>* y, int64_t n) {
  int64_t i = 0;
#if defined(__F16C__) && defined(__AVX__)
  if constexpr (std::is_same_v<T, f16>) {
    for (; i + 8 <= n; i += 8) {
      const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
      _mm256_storeu_ps(y + i, _mm256_cvtph_ps(bits));
    }
  }
#endif
  for (; i < n; i++) y[i] = convert<Wide<T>>(x[i]);
}

template <class T>
inline void narrow(const Wide<T>* x, T* y, int64_t n) {
  int64_t i = 0;
#if defined(__F16C__) && defined(__AVX__)
  if constexpr (std::is_same_v<T, f16>) {
    for (; i + 8 <= n; i += 8) {
      const __m128i bits = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i), bits);
    }
  }
#endif
  for (; i < n; i++) y[i] = convert<T>(x[i]);
}

}  // namespace gg

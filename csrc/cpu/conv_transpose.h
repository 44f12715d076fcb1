// Transposition of small matrices on their way into a tile.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/convert.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace gg {

#if defined(__AVX2__)
/// y[j * y_pitch + i] = word j of 32 bits at x + i * x_pitch, for i, j below 8.
template <class X, class Y>
inline void transpose_8x8(const X* x, int64_t x_pitch, Y* y, int64_t y_pitch) {
  static_assert(sizeof(Y) == 4);
  __m256 a[8], b[8];
  for (int i = 0; i < 4; i++) {  // row i beside row i + 4, four columns at a time
    const float* low = reinterpret_cast<const float*>(x + i * x_pitch);
    const float* high = reinterpret_cast<const float*>(x + (i + 4) * x_pitch);
    a[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
    a[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low + 4)),
                                    _mm_loadu_ps(high + 4), 1);
  }
  for (int i = 0; i < 8; i += 4) {
    const __m256 t0 = _mm256_unpacklo_ps(a[i], a[i + 1]);
    const __m256 t1 = _mm256_unpackhi_ps(a[i], a[i + 1]);
    const __m256 t2 = _mm256_unpacklo_ps(a[i + 2], a[i + 3]);
    const __m256 t3 = _mm256_unpackhi_ps(a[i + 2], a[i + 3]);
    b[i] = _mm256_shuffle_ps(t0, t2, 0x44);
    b[i + 1] = _mm256_shuffle_ps(t0, t2, 0xee);
    b[i + 2] = _mm256_shuffle_ps(t1, t3, 0x44);
    b[i + 3] = _mm256_shuffle_ps(t1, t3, 0xee);
  }
  for (int j = 0; j < 8; j++) _mm256_storeu_ps(reinterpret_cast<float*>(y + j * y_pitch), b[j]);
}
#endif

/// y[j * y_pitch + i] = x[i * x_pitch + j * x_step] for i < rows and j < columns.
template <class T>
void transpose(const T* x, int64_t x_pitch, int64_t x_step, int64_t rows, int64_t columns,
               Wide<T>* y, int64_t y_pitch) {
  int64_t whole_rows = 0, whole_columns = 0;
#if defined(__AVX2__)
  if constexpr (std::is_same_v<T, float>) {
    if (x_step == 1) whole_rows = rows / 8 * 8, whole_columns = columns / 8 * 8;
    for (int64_t i = 0; i < whole_rows; i += 8) {
      for (int64_t j = 0; j < whole_columns; j += 8) {
        transpose_8x8(x + i * x_pitch + j, x_pitch, y + j * y_pitch + i, y_pitch);
      }
    }
  }
#endif
  for (int64_t i = 0; i < rows; i++) {
    const T* row = x + i * x_pitch;
    for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; j++) {
      y[j * y_pitch + i] = convert<Wide<T>>(row[j * x_step]);
    }
  }
}

}  // namespace gg

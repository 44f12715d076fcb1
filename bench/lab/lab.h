// What every version of the ladder shares: the problem, and the entry that run.py calls.
//
//   y = a b;  a [m, k], b [k, n], y [m, n], row after row.
//
// Rows are `pitch` elements apart, a multiple of 16 bytes, and the memory itself is aligned. What
// lies between a row's end and the next row is 0 in a and b, and may be overwritten in y: so a
// version may move 16 bytes at a time and has only to ask whether their first element is inside.
#pragma once

#include <exception>
#include <string>

#include "device/device.h"

namespace gg::lab {

template <class T>
struct Problem {
  const T* a;
  const T* b;
  T* y;
  int m, n, k;
  int64_t a_pitch, b_pitch, y_pitch;
};

/// Runs a version and returns what went wrong, or null. sizes: m, n, k and the three pitches.
template <class T>
const char* enter(void (*matmul)(Stream, const Problem<T>&), const void* a, const void* b, void* y,
                  const int64_t* sizes, Stream stream) {
  static std::string error;
  try {
    matmul(stream, {static_cast<const T*>(a), static_cast<const T*>(b), static_cast<T*>(y),
                    static_cast<int>(sizes[0]), static_cast<int>(sizes[1]),
                    static_cast<int>(sizes[2]), sizes[3], sizes[4], sizes[5]});
    return nullptr;
  } catch (const std::exception& e) {
    error = e.what();
    return error.c_str();
  }
}

constexpr unsigned blocks(int length, int tile) {
  return static_cast<unsigned>((length + tile - 1) / tile);
}

}  // namespace gg::lab

/// At the end of a version's file: its element type.
#define LAB_ENTRY(T)                                                               \
  extern "C" __attribute__((visibility("default"))) const char* lab_matmul(        \
      const void* a, const void* b, void* y, const int64_t* sizes, void* stream) { \
    return gg::lab::enter<T>(gg::lab::matmul, a, b, y, sizes, stream);             \
  }

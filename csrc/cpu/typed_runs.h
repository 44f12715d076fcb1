// Runs of elements of any dtype in one of a few types to compute in. Readers and writers are chosen
// at run time, a run at a time, so that what works on runs has few instances.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/array.h"

namespace gg {

/// Reads elements of one dtype as T: of halves, 8-bit floats and float32 as float; of float64 as
/// double; of integers and bool as int64_t, or those of up to 32 bits as int32_t; of any dtype but
/// the 8-bit floats as uint8_t, which is x != 0.
template <class T>
struct RunReader {
  using Read = void (*)(const void* x, int64_t stride, T* run, int64_t n);

  Read read = nullptr;
  int64_t itemsize = 0;
  bool same = false;  ///< the dtype is T's own

  explicit RunReader(DType dtype);

  /// n elements from `offset` on, `stride` apart (0: one value): in place where they lie so, else
  /// in `run`.
  const T* operator()(const void* x, int64_t offset, int64_t stride, T* run, int64_t n) const {
    const std::byte* const from = static_cast<const std::byte*>(x) + offset * itemsize;
    if (same && stride == 1) return reinterpret_cast<const T*>(from);
    read(from, stride, run, n);
    return run;
  }
};

/// Writes elements of T, converted as `copy` does. uint8_t is truth, for bool alone.
template <class T>
struct RunWriter {
  using Write = void (*)(const T* run, void* y, int64_t stride, int64_t n);

  Write write = nullptr;
  int64_t itemsize = 0;
  bool same = false;

  explicit RunWriter(DType dtype);

  /// Where n elements to be written from `offset` on may be formed: in place, or in `run`.
  T* place(void* y, int64_t offset, int64_t stride, T* run) const {
    std::byte* const to = static_cast<std::byte*>(y) + offset * itemsize;
    return same && stride == 1 ? reinterpret_cast<T*>(to) : run;
  }

  void operator()(const T* run, void* y, int64_t offset, int64_t stride, int64_t n) const {
    std::byte* const to = static_cast<std::byte*>(y) + offset * itemsize;
    if (static_cast<const void*>(run) != to) write(run, to, stride, n);
  }
};

}  // namespace gg

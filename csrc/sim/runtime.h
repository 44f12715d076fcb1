// The simulator's functions behind the CUDA names and the device primitives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <stdexcept>
#include <type_traits>

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};

namespace gg::sim {

using Where = std::source_location;

/// What launch() throws when a kernel misuses the machine. The text begins with file:line.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Geometry {
  uint3 block_index;
  dim3 block, grid;
};

/// The part of a GPU thread that kernels read.
struct Thread {
  uint3 thread_index;
  unsigned lane;    ///< in its warp
  unsigned linear;  ///< in its block, x fastest
  const Geometry* geometry;
};

/// The GPU thread running on this CPU thread; null outside kernels. initial-exec: one instruction
/// to read it, also in a shared library (whose thread-locals must then stay small).
extern thread_local constinit Thread* self __attribute__((tls_model("initial-exec")));

/// Ends the launch with an error at `where`, printf-style.
[[noreturn]] void fail(Where where, const char* format, ...) __attribute__((format(printf, 2, 3)));

// ---- launch ----------------------------------------------------------------------------------

struct Launch {
  dim3 grid, block;
  size_t shared_bytes;
  bool cooperative;  ///< all blocks run at once
  Where where;
  const void* kernel = nullptr;  ///< its address, for reports
  bool dependent = false;        ///< its threads must call grid_dependency_wait
  dim3 cluster = 1;              ///< blocks that form a cluster
};

/// Runs body(argument) once for each GPU thread, and returns when all are done.
void launch(const Launch& launch, void (*body)(const void*), const void* argument);

// ---- synchronisation -------------------------------------------------------------------------

/// __syncthreads; `count` gets the number of threads that passed a nonzero predicate.
int barrier(bool predicate, const char* name, Where where);
void sync_warp(unsigned mask, Where where);
void grid_sync(Where where);
void fence();

/// Lets other lanes run; for loops that wait for another thread.
void spin_pause(Where where);
/// Called by reads that may belong to a spin loop; reports one without spin_pause.
void watch_spin(const void* address, const char* name, Where where);

template <class T>
T load_acquire(const T* p, Where where) {
  watch_spin(p, "load_acquire", where);
  return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

// ---- warp operations -------------------------------------------------------------------------

/// Replaces value[0..words) by that of lane `source` (-1: this one); 0xff bytes if it is not in
/// mask.
void shuffle_words(unsigned mask, uint64_t* value, unsigned words, int source, const char* name,
                   Where where);
unsigned ballot(unsigned mask, bool predicate, const char* name, Where where);
/// The lanes of mask whose value equals this lane's.
unsigned match(unsigned mask, uint64_t value, const char* name, Where where);

template <class T>
T shuffle(unsigned mask, T value, int source, const char* name, Where where) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 64);
  uint64_t words[(sizeof(T) + 7) / 8] = {};
  memcpy(words, &value, sizeof(T));
  shuffle_words(mask, words, sizeof words / 8, source, name, where);
  memcpy(&value, words, sizeof(T));
  return value;
}

// ---- shared memory ---------------------------------------------------------------------------

/// The block's object for a GG_SHARED declaration; `key` tells declarations apart.
void* shared_static(const void* key, const char* name, size_t bytes, size_t alignment, Where where);
void* shared_dynamic();

// ---- checks ----------------------------------------------------------------------------------

inline void check_alignment(const void* p, size_t alignment, const char* name, Where where) {
  if (reinterpret_cast<uintptr_t>(p) % alignment != 0) [[unlikely]] {
    fail(where, "%s: address %p is not aligned to %zu bytes", name, p, alignment);
  }
}

}  // namespace gg::sim

// parallel_for: loops of csrc/cpu over a small persistent pool of threads.
//
// The range is cut into chunks whose bounds depend on n and grain alone, never on the number of
// threads, so results that depend on the cut (partial sums) are the same on every machine. A loop
// inside a loop, and a loop met while another Python thread holds the pool, runs inline.
//
// Threads: GPUGRAD_NUM_THREADS, default the CPUs this process may keep busy (cpus.h). They start on
// first use; a forked child starts its own.
#pragma once

#include <cstdint>
#include <type_traits>

namespace gg {

/// Threads a loop may use, the caller included.
int num_threads();

/// Most chunks a loop is cut into: enough to balance any machine this runs on.
constexpr int64_t kMaxChunks = 256;

/// Elements of one chunk: at least grain, and at most kMaxChunks of them.
constexpr int64_t chunk_size(int64_t n, int64_t grain) {
  const int64_t least = (n + kMaxChunks - 1) / kMaxChunks;
  const int64_t size = grain > 1 ? grain : 1;
  return least > size ? least : size;
}

namespace detail {
using ChunkFunction = void (*)(void* context, int64_t begin, int64_t end);
void parallel_run(int64_t n, int64_t chunk, ChunkFunction function, void* context);
}  // namespace detail

/// Calls f(begin, end) for every chunk of [0, n), each once; returns when all are done. Inline when
/// n <= grain. An exception thrown by f is thrown again here, that of the first chunk first.
template <class F>
void parallel_for(int64_t n, int64_t grain, F f) {
  if (n <= 0) return;
  if (n <= grain) return static_cast<void>(f(int64_t{0}, n));
  detail::parallel_run(
      n, chunk_size(n, grain),
      [](void* context, int64_t begin, int64_t end) {
        (*static_cast<std::remove_reference_t<F>*>(context))(begin, end);
      },
      &f);
}

}  // namespace gg

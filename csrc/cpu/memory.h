// Memory of large NumPy arrays, kept for the next ones: new pages cost more than most operations.
#pragma once

#include <cstdint>
#include <vector>

namespace gg {

/// What NumPy asks for memory (NEP 49: PyDataMem_Handler, version 1); lives as long as the process.
const void* numpy_memory_handler();

/// Bytes kept at most, 0: none; those beyond it are freed.
void keep_memory(int64_t limit);

/// Bytes kept now.
int64_t kept_memory();

/// {bytes in arrays, the most there were, bytes with those kept, the most there were,
///  arrays' blocks, blocks kept, bytes of the largest of these}
using MemoryCounts = std::vector<int64_t>;

/// Of all arrays that `numpy_memory_handler` gave memory, NumPy's own cache of small ones included.
/// What there is now is exact while no other thread allocates. The peaks are taken in steps of less
/// than 64 KiB for each thread: exact ones would need an atomic addition for each array, however
/// small, to a number that all threads share.
MemoryCounts memory_counts();

/// The most there were counts from now on.
void reset_memory_peaks();

}  // namespace gg

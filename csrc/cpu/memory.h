// Memory of large NumPy arrays, kept for the next ones: new pages cost more than most operations.
#pragma once

#include <cstdint>

namespace gg {

/// What NumPy asks for memory (NEP 49: PyDataMem_Handler, version 1); lives as long as the process.
const void* numpy_memory_handler();

/// Bytes kept at most, 0: none; those beyond it are freed.
void keep_memory(int64_t limit);

/// Bytes kept now.
int64_t kept_memory();

}  // namespace gg

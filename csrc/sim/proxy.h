// Ordinary writes to shared memory that TMA and wgmma cannot see yet.
//
// A thread's writes become visible to the asynchronous proxy when that thread calls
// fence_proxy_async(). Writes are known only in the builds that report them (csrc/sim/counters);
// elsewhere nothing is ever dirty.
#pragma once

#include <cstddef>
#include <memory>

#include "sim/runtime.h"

namespace gg::sim {

struct Block;
struct Product;

/// Who wrote each 4 bytes of a block's shared memory last, and after how many fences.
struct ProxyState {
  static constexpr size_t kCells = (256 << 10) / 4;
  struct Cell {
    uint32_t writer;  ///< Lane::number + 1; 0: nobody since the asynchronous proxy
    uint32_t fences;
  };
  std::unique_ptr<Cell[]> cells;  ///< null: no writes reported
};

/// The running thread has written shared memory, its own block's or another's.
void proxy_generic_write(const void* shared, size_t bytes);

/// A description of the first byte that somebody wrote without a fence; null if there is none.
/// Fences count up to now, or, of the threads that issued `product`, up to then.
const char* proxy_dirty(const Block& block, const void* shared, size_t bytes,
                        const Product* product = nullptr);

/// The asynchronous proxy has written these bytes itself.
void proxy_async_write(Block& block, const void* shared, size_t bytes);

void proxy_begin_block(Block& block);

}  // namespace gg::sim

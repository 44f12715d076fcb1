// Stable radix sort of keys with the numbers 0..n-1 they came with: what callers see. See
// radix_sort.cu.
#pragma once

#include <cstdint>

#include "device/platform.h"

namespace gg {

constexpr int kSortThreads = 256;
constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;

/// Keys a lane owns, so a tile is 256 * 8 keys.
constexpr int kSortOwn = 8;
constexpr int kSortTile = kSortThreads * kSortOwn;

/// Buffers of a sort of `rows` rows of n keys each, cut from one workspace. Key: uint32_t or
/// uint64_t.
template <class Key>
struct SortBuffers {
  Key* keys[2];  ///< [rows][n]
  uint32_t* order[2];
  uint32_t* counts;  ///< [rows][kDigits][tiles]
  uint32_t* totals;  ///< [rows][kDigits]

  static int64_t tiles(int64_t n) { return (n + kSortTile - 1) / kSortTile; }

  static int64_t bytes(int64_t n, int64_t rows = 1) {
    return rows * (2 * n * static_cast<int64_t>(sizeof(Key) + sizeof(uint32_t)) +
                   (tiles(n) + 1) * kDigits * static_cast<int64_t>(sizeof(uint32_t)));
  }

  SortBuffers(void* workspace, int64_t n, int64_t rows = 1) {
    keys[0] = static_cast<Key*>(workspace);
    keys[1] = keys[0] + rows * n;
    order[0] = reinterpret_cast<uint32_t*>(keys[1] + rows * n);
    order[1] = order[0] + rows * n;
    counts = order[1] + rows * n;
    totals = counts + rows * tiles(n) * kDigits;
  }
};

template <class Key>
struct Sorted {
  Key* keys;
  const uint32_t* order;  ///< where in its row each came from; null: as they were
};

/// Most rows sorted at once: blocks of one launch along y.
constexpr int64_t kMostSortRows = 65535;

/// Sorts each row of buffers.keys[0], whose keys are at most `largest`. n is below 2^32.
template <class Key>
Sorted<Key> radix_sort(Stream stream, const SortBuffers<Key>& buffers, int64_t n, uint64_t largest,
                       int64_t rows = 1);

}  // namespace gg

// Stable radix sort of keys with the numbers 0..n-1 they came with, lowest digit first.
//
// A pass sorts by 8 bits in three launches: each block counts the digits of its tile; one block per
// digit turns the counts into sums over the tiles before; each block moves its tile. Within a tile
// a warp owns neighbouring keys and goes through them 32 at a time: lanes of equal digit find each
// other by __match_any_sync and rank themselves by lane, so equal keys keep their order and nothing
// depends on the schedule. Bytes of a pass: keys twice, numbers once, both written once.
#pragma once

#include "device/device.h"
#include "kernels/scan.cuh"

namespace gg {

constexpr int kSortThreads = 256, kSortWarps = kSortThreads / kWarp;
constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;
static_assert(kDigits == kSortThreads, "a thread stands for a digit");

/// Keys a lane owns, so a tile is 256 * 8 keys.
constexpr int kSortOwn = 8;
constexpr int kSortTile = kSortThreads * kSortOwn;

/// One pass: from (keys, order) to (keys_out, order_out) by the digit at `shift`.
template <class Key>
struct SortPass {
  const Key* keys;
  const uint32_t* order;  ///< null: the numbers are 0..n-1 still
  Key* keys_out;
  uint32_t* order_out;
  uint32_t* counts;  ///< [kDigits][tiles]
  uint32_t* totals;  ///< [kDigits]
  int64_t n;
  uint32_t tiles;
  int shift;
};

template <class Key>
GG_DEVICE int digit_of(Key key, int shift) {
  return static_cast<int>(key >> shift) & (kDigits - 1);
}

/// First key of this lane's warp and lane: warp w owns keys w * 256 .. of the tile, round k
/// takes 32.
GG_DEVICE int64_t first_key() {
  return int64_t{kSortTile} * blockIdx.x + warp_id() * (kWarp * kSortOwn) + lane_id();
}

template <class Key>
__global__ void __launch_bounds__(kSortThreads) sort_count(const SortPass<Key> pass) {
  GG_SHARED(count, uint32_t[kDigits]);
  count[threadIdx.x] = 0;
  __syncthreads();
  const int64_t first = first_key();
  for (int k = 0; k < kSortOwn; k++) {
    const int64_t i = first + k * kWarp;
    if (i < pass.n) atomicAdd(&count[digit_of(pass.keys[i], pass.shift)], 1u);
  }
  __syncthreads();
  pass.counts[int64_t{threadIdx.x} * pass.tiles + blockIdx.x] = count[threadIdx.x];
}

/// Block d: counts[d][t] = sum of counts[d][0 .. t-1], totals[d] = sum of all.
template <class Key>
__global__ void __launch_bounds__(kSortThreads) sort_sum(const SortPass<Key> pass) {
  uint32_t* const row = pass.counts + int64_t{blockIdx.x} * pass.tiles;
  uint32_t before = 0;
  for (uint32_t begin = 0; begin < pass.tiles; begin += kSortThreads) {
    const uint32_t t = begin + threadIdx.x;
    const auto sum = block_exclusive_sum(t < pass.tiles ? row[t] : 0u);
    if (t < pass.tiles) row[t] = before + sum.before;
    before += sum.total;
  }
  if (threadIdx.x == 0) pass.totals[blockIdx.x] = before;
}

/// Rank of this lane's digit among the same digits of its warp before it; counts them into `count`.
GG_DEVICE uint32_t rank_in_warp(uint32_t* count, int digit, bool valid) {
  const unsigned peers = __match_any_sync(kFullMask, valid ? digit : kDigits);
  const unsigned before = peers & ((1u << lane_id()) - 1);
  const uint32_t earlier = valid ? count[digit] : 0;
  __syncwarp();
  if (valid && before == 0) count[digit] = earlier + static_cast<uint32_t>(__popc(peers));
  __syncwarp();
  return earlier + static_cast<uint32_t>(__popc(before));
}

template <class Key>
__global__ void __launch_bounds__(kSortThreads) sort_move(const SortPass<Key> pass) {
  GG_SHARED(count, uint32_t[kSortWarps][kDigits]);
  const int digit_of_thread = static_cast<int>(threadIdx.x), warp = warp_id();
  for (int w = 0; w < kSortWarps; w++) count[w][digit_of_thread] = 0;
  __syncthreads();
  const int64_t first = first_key();
  Key key[kSortOwn];
  uint32_t rank[kSortOwn];
#pragma unroll
  for (int k = 0; k < kSortOwn; k++) {
    const int64_t i = first + k * kWarp;
    key[k] = i < pass.n ? pass.keys[i] : Key(0);
    rank[k] = rank_in_warp(count[warp], digit_of(key[k], pass.shift), i < pass.n);
  }
  __syncthreads();
  // From counts to places: digits below, tiles before, warps before.
  uint32_t place = block_exclusive_sum(pass.totals[digit_of_thread]).before;
  place += pass.counts[int64_t{digit_of_thread} * pass.tiles + blockIdx.x];
  for (int w = 0; w < kSortWarps; w++) {
    const uint32_t mine = count[w][digit_of_thread];
    count[w][digit_of_thread] = place;
    place += mine;
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < kSortOwn; k++) {
    const int64_t i = first + k * kWarp;
    if (i >= pass.n) continue;
    const uint32_t at = count[warp][digit_of(key[k], pass.shift)] + rank[k];
    pass.keys_out[at] = key[k];
    pass.order_out[at] = pass.order ? pass.order[i] : static_cast<uint32_t>(i);
  }
}

/// Buffers of a sort of n keys, cut from one workspace.
template <class Key>
struct SortBuffers {
  Key* keys[2];
  uint32_t* order[2];
  uint32_t* counts;
  uint32_t* totals;

  static int64_t tiles(int64_t n) { return (n + kSortTile - 1) / kSortTile; }

  static int64_t bytes(int64_t n) {
    return 2 * n * static_cast<int64_t>(sizeof(Key) + sizeof(uint32_t)) +
           (tiles(n) + 1) * kDigits * static_cast<int64_t>(sizeof(uint32_t));
  }

  SortBuffers(void* workspace, int64_t n) {
    keys[0] = static_cast<Key*>(workspace);
    keys[1] = keys[0] + n;
    order[0] = reinterpret_cast<uint32_t*>(keys[1] + n);
    order[1] = order[0] + n;
    counts = order[1] + n;
    totals = counts + tiles(n) * kDigits;
  }
};

template <class Key>
struct Sorted {
  const Key* keys;
  const uint32_t* order;  ///< null: as they were
};

/// Sorts buffers.keys[0], whose keys are at most `largest`.
template <class Key>
Sorted<Key> radix_sort(Stream stream, const SortBuffers<Key>& buffers, int64_t n,
                       uint64_t largest) {
  const unsigned tiles = static_cast<unsigned>(SortBuffers<Key>::tiles(n));
  int from = 0;
  const uint32_t* order = nullptr;
  for (int shift = 0; shift < 64 && largest >> shift != 0; shift += kDigitBits) {
    const SortPass<Key> pass{buffers.keys[from],
                             order,
                             buffers.keys[1 - from],
                             buffers.order[1 - from],
                             buffers.counts,
                             buffers.totals,
                             n,
                             tiles,
                             shift};
    launch(sort_count<Key>, tiles, kSortThreads, 0, stream, pass);
    launch(sort_sum<Key>, kDigits, kSortThreads, 0, stream, pass);
    launch(sort_move<Key>, tiles, kSortThreads, 0, stream, pass);
    from = 1 - from;
    order = buffers.order[from];
  }
  return {buffers.keys[from], order};
}

}  // namespace gg

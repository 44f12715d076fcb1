// Stable radix sort of rows of keys with the numbers 0..n-1 they came with, lowest digit first.
//
// A pass sorts by 8 bits in three launches: each block counts the digits of its tile; a warp or a
// block per digit and row turns the counts into sums over the tiles before; each block sorts its
// tile in shared memory and moves it from there. Within a tile a warp owns neighbouring keys and
// goes through them 32 at a time: lanes of equal digit find each other by __match_any_sync and rank
// themselves by lane, so equal keys keep their order and nothing depends on the schedule. Rows are
// sorted side by side, a row of tiles for each y of the grid. The buffers are overwritten.
//
// Bytes of a pass: keys twice, numbers once, both written once. Bound: bandwidth. Reached: not
// measured.
#include "kernels/radix_sort.cuh"

#include "device/device.h"
#include "kernels/scan.cuh"

namespace gg {
namespace {

constexpr int kSortWarps = kSortThreads / kWarp;
static_assert(kDigits == kSortThreads, "a thread stands for a digit");

/// Up to here a warp sums the counts of a digit, beyond a block: few tiles, many blocks.
constexpr unsigned kTilesOfWarp = 64;

/// One pass: from (keys, order) to (keys_out, order_out) by the digit at `shift`.
template <class Key>
struct SortPass {
  const Key* keys;
  const uint32_t* order;  ///< null: the numbers are 0..n-1 still
  Key* keys_out;
  uint32_t* order_out;
  uint32_t* counts;
  uint32_t* totals;
  int64_t n;
  uint32_t tiles;
  int shift;

  /// The same of one row, the one of this block.
  __device__ SortPass row() const {
    const int64_t row = blockIdx.y;
    SortPass own = *this;
    own.keys += row * n;
    if (order) own.order += row * n;
    own.keys_out += row * n;
    own.order_out += row * n;
    own.counts += row * kDigits * tiles;
    own.totals += row * kDigits;
    return own;
  }
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
__global__ void __launch_bounds__(kSortThreads) sort_count(const SortPass<Key> rows) {
  const SortPass<Key> pass = rows.row();
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

/// For each digit d of a row: counts[d][t] = sum of counts[d][0 .. t-1], totals[d] = sum of all.
/// `threads` of them have a digit: a warp or the block.
__global__ void __launch_bounds__(kSortThreads)
    sort_sum(uint32_t* counts, uint32_t* totals, uint32_t tiles, uint32_t threads) {
  const uint32_t of_row = (kSortThreads * blockIdx.x + threadIdx.x) / threads;
  const int64_t digit = int64_t{kDigits} * blockIdx.y + of_row;
  const uint32_t rank = threadIdx.x % threads;
  uint32_t* const own = counts + digit * tiles;
  uint32_t before = 0;
  for (uint32_t begin = 0; begin < tiles; begin += threads) {
    const uint32_t t = begin + rank, count = t < tiles ? own[t] : 0;
    const auto sum = threads == kWarp ? warp_exclusive_sum(count) : block_exclusive_sum(count);
    if (t < tiles) own[t] = before + sum.before;
    before += sum.total;
  }
  if (rank == 0) totals[digit] = before;
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

/// A tile on its way: sorted here first, so that neighbours go to neighbours.
template <class Key>
struct SortedTile {
  uint32_t count[kSortWarps][kDigits];  ///< of a warp's keys; then where the first of them goes
  uint32_t shift[kDigits];              ///< from a place in the tile to one in the row, wrapping
  Key key[kSortTile];
  uint32_t order[kSortTile];
};

/// From counts to places: digits below, then warps before; in the row, tiles before as well.
template <class Key>
GG_DEVICE void place_digits(const SortPass<Key>& pass, SortedTile<Key>& tile) {
  const int digit = static_cast<int>(threadIdx.x);
  uint32_t own = 0;
  for (int w = 0; w < kSortWarps; w++) own += tile.count[w][digit];
  const uint32_t begin = block_exclusive_sum(own).before;
  uint32_t place = begin;
  for (int w = 0; w < kSortWarps; w++) {
    const uint32_t of_warp = tile.count[w][digit];
    tile.count[w][digit] = place;
    place += of_warp;
  }
  const uint32_t below = block_exclusive_sum(pass.totals[digit]).before;
  tile.shift[digit] = below + pass.counts[int64_t{digit} * pass.tiles + blockIdx.x] - begin;
}

template <class Key>
__global__ void __launch_bounds__(kSortThreads) sort_move(const SortPass<Key> rows) {
  const SortPass<Key> pass = rows.row();
  GG_SHARED(tile, SortedTile<Key>);
  const int warp = warp_id();
  for (int w = 0; w < kSortWarps; w++) tile.count[w][threadIdx.x] = 0;
  __syncthreads();
  const int64_t first = first_key();
  Key key[kSortOwn];
  uint32_t rank[kSortOwn];
#pragma unroll
  for (int k = 0; k < kSortOwn; k++) {
    const int64_t i = first + k * kWarp;
    key[k] = i < pass.n ? pass.keys[i] : Key(0);
    rank[k] = rank_in_warp(tile.count[warp], digit_of(key[k], pass.shift), i < pass.n);
  }
  __syncthreads();
  place_digits(pass, tile);
  __syncthreads();
#pragma unroll
  for (int k = 0; k < kSortOwn; k++) {
    const int64_t i = first + k * kWarp;
    if (i >= pass.n) continue;
    const uint32_t at = tile.count[warp][digit_of(key[k], pass.shift)] + rank[k];
    tile.key[at] = key[k];
    tile.order[at] = pass.order ? pass.order[i] : static_cast<uint32_t>(i);
  }
  __syncthreads();
  const int64_t left = pass.n - int64_t{kSortTile} * blockIdx.x;
  for (uint32_t at = threadIdx.x; at < kSortTile && at < left; at += kSortThreads) {
    const uint32_t to = at + tile.shift[digit_of(tile.key[at], pass.shift)];
    pass.keys_out[to] = tile.key[at];
    pass.order_out[to] = tile.order[at];
  }
}

}  // namespace

template <class Key>
Sorted<Key> radix_sort(Stream stream, const SortBuffers<Key>& buffers, int64_t n, uint64_t largest,
                       int64_t rows) {
  const unsigned tiles = static_cast<unsigned>(SortBuffers<Key>::tiles(n));
  const unsigned along_y = static_cast<unsigned>(rows);
  const unsigned threads = tiles <= kTilesOfWarp ? kWarp : kSortThreads;
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
    launch(sort_count<Key>, dim3(tiles, along_y), kSortThreads, 0, stream, pass);
    launch(sort_sum, dim3(kDigits * threads / kSortThreads, along_y), kSortThreads, 0, stream,
           buffers.counts, buffers.totals, tiles, threads);
    launch(sort_move<Key>, dim3(tiles, along_y), kSortThreads, 0, stream, pass);
    from = 1 - from;
    order = buffers.order[from];
  }
  return {buffers.keys[from], order};
}

template Sorted<uint32_t> radix_sort(Stream, const SortBuffers<uint32_t>&, int64_t, uint64_t,
                                     int64_t);
template Sorted<uint64_t> radix_sort(Stream, const SortBuffers<uint64_t>&, int64_t, uint64_t,
                                     int64_t);

}  // namespace gg

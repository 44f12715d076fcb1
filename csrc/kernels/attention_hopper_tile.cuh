// Rows of a head in shared memory as TMA writes them, and attention's products on them by wgmma.
// sm_90a.
//
// A tile is R rows by kD 16-bit elements, kD 64 or 128: one slab of R x 128 bytes for each 64
// columns (a K-major tile of hopper_tiles.cuh). Rows outside of the head and columns from D on are
// read as zero. One tile is an operand of both kinds of product:
//
//   scores = x y^T     x and y from shared memory, k is D: K-major both
//   sums += p y        p from registers, k is the rows of y: MN-major, for y's columns are
//                      contiguous
//
// A warpgroup has 64 rows of scores and sums, a warp 16 of them; in a warp wgmma's layout is that
// of mma.sync (device/wgmma.h), so that scores[8 pair + 4 half + e] is what
// attention_mma_scores.cuh calls element e of a half of a pair, with one group of rows.
#pragma once

#include "kernels/attention_mma_grid.cuh"
#include "kernels/attention_mma_scores.cuh"
#include "kernels/hopper_pipeline.cuh"
#include "kernels/hopper_tiles.cuh"

namespace gg {

constexpr int kHopperGroups = 2;                 // warpgroups that compute
constexpr int kHopperRows = 64 * kHopperGroups;  // of a block's own tile
constexpr int kHopperWarps = 4 * kHopperGroups;  // that compute
constexpr int kHeadConsumers = 32 * kHopperWarps;
constexpr int kHeadThreads = kHeadConsumers + 128;

constexpr int kHopperSlots = 4;  // of the ring that tiles come round in
using HopperRing = RingBarriers<kHopperSlots>;
using HopperPosition = RingPosition<kHopperSlots>;

/// The named barrier at which the warps of a warpgroup meet once all of its products have ended.
GG_DEVICE int end_of(int w) {
  return 1 + kHopperGroups + w;
}

/// f(Tag of p's dtype, D as it is padded).
template <class F>
void with_padded_size(const AttentionProblem& p, const F& f) {
  const auto sized = [&](auto type) {
    if (p.d <= 64) return f(type, std::integral_constant<int, 64>());
    f(type, std::integral_constant<int, 128>());
  };
  p.dtype == DType::bf16 ? sized(Tag<bf16>()) : sized(Tag<f16>());
}

template <int R, int kD>
constexpr int kHeadTileBytes = R * kRowBytes<kD>;

/// Scores of a warpgroup as attention_mma_scores.cuh and attention_mma_tile.cuh take them.
template <int M>
GG_DEVICE auto& by_pairs(float (&d)[M]) {
  return reinterpret_cast<float (&)[M / 8][1][2][4]>(d);
}

/// Starts copying rows row .. row + R - 1 of a head. By one thread.
template <int R, int kD>
GG_DEVICE void load_head_tile(char* tile, const TensorMap* map, Mbarrier* full, int row,
                              int64_t head, int64_t batch) {
  const TileBatch at{{static_cast<int>(head), static_cast<int>(batch), 0}};
#pragma unroll
  for (int slab = 0; slab < kD / 64; slab++) {
    load_tile<R>(tile + slab * kTmaTileBytes<R>, map, full, Major::k, row, slab * 64, at);
  }
}

/// Rows from `first` on of a tile that has arrived become 0. By a warp.
template <int R, int kD>
GG_DEVICE void clear_rows(char* tile, int first) {
  const int bytes = (R - first) * kTmaRowBytes;
#pragma unroll 1
  for (int slab = 0; slab < kD / 64; slab++) {
    char* const from = tile + slab * kTmaTileBytes<R> + first * kTmaRowBytes;
#pragma unroll 1
    for (int i = 16 * lane_id(); i < bytes; i += 16 * kWarp) {
      store_vec(reinterpret_cast<uint32_t*>(from + i), Vec<uint32_t, 4>{});
    }
  }
  fence_proxy_async();
}

/// What a warp does so that rows of a tile are 0 before consumers see it: padding may hold NaN,
/// which neither a mask nor a probability of 0 keeps out of a product. load(barrier) starts copies
/// of `bytes`, by one thread; clear() is called by the warp when they have arrived.
template <class Load, class Clear>
GG_DEVICE void load_then_clear(Mbarrier* arrived, unsigned parity, Mbarrier* full, int bytes,
                               const Load& load, const Clear& clear) {
  if (lane_id() == 0) {
    mbarrier_expect_tx(arrived, bytes);
    load(arrived);
  }
  mbarrier_wait(arrived, parity);
  clear();
  __syncwarp();
  if (lane_id() == 0) mbarrier_arrive(full);
}

/// Waits until a slot of a ring is empty. By a warp: all of its lanes may write there, and none
/// gets so far ahead that another would wait for a phase that is long over.
GG_DEVICE void wait_until_empty(HopperRing& ring, HopperPosition at) {
  mbarrier_wait(&ring.empty[at.stage], at.parity ^ 1);
  __syncwarp();
}

/// Starts d = x y^T: 64 rows of x by the N of y.
template <class T, int N, int kD>
GG_DEVICE void start_scores(float (&d)[N / 2], const char* x, const char* y) {
  const uint64_t a = tile_descriptor<Major::k>(x), b = tile_descriptor<Major::k>(y);
#pragma unroll
  for (int i = 0; i < kD / 16; i++) {
    const int slab = i / 4, step = i % 4 * kTmaTileStep<Major::k>;
    wgmma<T, N>(d, wgmma_advance(a, slab * kTmaTileBytes<64> + step),
                wgmma_advance(b, slab * kTmaTileBytes<N> + step), i > 0);
  }
  wgmma_commit();
}

/// Starts sums += p y: 64 rows of p by the R rows of y.
template <class T, int R, int kD>
GG_DEVICE void start_sums(float (&sums)[kD / 2], const uint32_t (&p)[R / 16][4], const char* y) {
  const uint64_t b = wgmma_descriptor(y, kTmaTileBytes<R>, 8 * kTmaRowBytes, Swizzle::k128);
#pragma unroll
  for (int i = 0; i < R / 16; i++) {
    wgmma<T, kD, true>(sums, p[i], wgmma_advance(b, i * kTmaTileStep<Major::mn>), true);
  }
  wgmma_commit();
}

/// Rounds scores to what start_sums takes.
template <class T, int M>
GG_DEVICE void pack_scores(uint32_t (&p)[M / 8][4], const float (&s)[M]) {
#pragma unroll
  for (int i = 0; i < M / 2; i++) p[i / 4][i % 4] = pack_pair<T>(s[2 * i], s[2 * i + 1]);
}

/// wgmma_pin of p: products that read it have ended.
template <int M>
GG_DEVICE void wgmma_pin(uint32_t (&p)[M][4]) {
  wgmma_pin(reinterpret_cast<uint32_t (&)[4 * M]>(p));
}

// ---- host --------------------------------------------------------------------------------------

/// x [B, heads, rows, d] with rows contiguous.
inline TileSource head_source(const AttentionProblem& p, const AttentionTensor& x, int64_t heads,
                              int64_t rows) {
  const int64_t head = heads > 1 ? x.head : 0, batch = p.batch > 1 ? x.batch : 0;
  return {x.data, rows, p.d, x.row, 1, 2, {heads, p.batch}, {head, batch}};
}

/// The maps of load_head_tile<R>: of q or dO, and of k or v.
template <int R>
TensorMap query_map(const AttentionProblem& p, const AttentionTensor& x) {
  const TensorType type = p.dtype == DType::f16 ? TensorType::f16 : TensorType::bf16;
  return tile_map<R>(type, head_source(p, x, p.heads, p.m));
}
template <int R>
TensorMap key_map(const AttentionProblem& p, const AttentionTensor& x) {
  const TensorType type = p.dtype == DType::f16 ? TensorType::f16 : TensorType::bf16;
  return tile_map<R>(type, head_source(p, x, p.groups, p.n));
}

}  // namespace gg

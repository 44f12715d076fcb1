// Tiles of operands in shared memory, as TMA writes them and wgmma reads them.
//
// A tile is R rows (of m or n) by 128 bytes of k: 64 positions of a 16-bit type, 32 of tf32, 128 of
// an 8-bit one. It is R * 128 bytes, aligned to 1024. In shared memory it keeps the order it has in
// global memory, so nothing is ever transposed:
//
//   K-major, k contiguous:       one box; R a multiple of 8. Row r is 128 bytes at 128 r.
//   MN-major, rows contiguous:   16-bit types alone, as wgmma; R is 32 or a multiple of 64. R / 64
//                                boxes of 8 KiB, one for each 64 rows. In a box the 64 rows of one
//                                k are 128 bytes at 128 k (where R is 32: 64 bytes at 64 k).
//
// Both in the 128-byte swizzle: 16-byte unit u of the 128 bytes at 128 i is at u ^ (i % 8), so that
// neither side has bank conflicts. (R = 32, MN-major: in the 64-byte swizzle.) Rows 64 w ..
// 64 w + 63 of either begin at byte 8192 w.
//
// A tensor map has 5 dimensions: k and rows (the contiguous one first), then up to three batch
// axes. What lies outside of k and of the rows is read as zero: tails need no code. Another source,
// such as im2col, only needs another function in the place of load_tile.
//
// tf32's tiles are float in memory, which TMA rounds to 10 fraction bits on the way, to nearest
// with ties to even (TensorType::tf32); wgmma alone would cut the rest off.
#pragma once

#include "device/device.h"
#include "device/hopper.h"

namespace gg {

constexpr int kTmaRowBytes = 128;  // of the swizzle's pattern
constexpr int kTmaSlab = 64;       // rows of wgmma's m, and of a box with rows contiguous
constexpr int kTmaBatchAxes = 3;

/// Positions of k in a tile.
template <class T>
constexpr int kTmaK = kTmaRowBytes / static_cast<int>(sizeof(T));
constexpr int kTmaHalfK = kTmaK<uint16_t>;  // of 16-bit types

template <int R>
constexpr int kTmaTileBytes = R * kTmaRowBytes;

/// Rows of a box with rows contiguous, and the bytes that they are at one k.
template <int R>
constexpr int kTmaBoxRows = R < kTmaSlab ? R : kTmaSlab;
template <int R>
constexpr int kTmaBoxRowBytes = 2 * kTmaBoxRows<R>;

enum class Major { k, mn };  ///< the axis that is contiguous

/// Batch coordinates; 0 along axes that the operand does not have or repeats over.
struct TileBatch {
  int c[kTmaBatchAxes];
};

/// Starts the copies of one tile: R rows from `row` on, 128 bytes of k from position k on. By one
/// thread.
template <int R>
GG_DEVICE void load_tile(char* tile, const TensorMap* map, Mbarrier* full, Major major, int row,
                         int k, const TileBatch& batch) {
  const int* c = batch.c;
  if (major == Major::k) {
    tma_load(tile, map, full, k, row, c[0], c[1], c[2]);
    return;
  }
#pragma unroll
  for (int r = 0; r < R; r += kTmaSlab) {
    tma_load(tile + kTmaTileBytes<1> * r, map, full, row + r, k, c[0], c[1], c[2]);
  }
}

/// One block's part of a tile that all `blocks` (1 or 2) of a cluster get, so that each reads only
/// 1 / blocks of it from L2: as many rows, or (MN-major) positions of k. The map is
/// tile_map<R>(..., blocks). By one thread of each block.
template <int R>
GG_DEVICE void load_shared_tile(char* tile, const TensorMap* map, Mbarrier* full, Major major,
                                int row, int k, const TileBatch& batch, int rank, int blocks) {
  if (blocks == 1) return load_tile<R>(tile, map, full, major, row, k, batch);
  const int* c = batch.c;
  constexpr uint16_t everyone = 3;
  if (major == Major::k) {
    tma_load_multicast(tile + rank * kTmaTileBytes<R> / 2, map, full, everyone, k,
                       row + rank * R / 2, c[0], c[1], c[2]);
    return;
  }
  tile += rank * kTmaHalfK / 2 * kTmaBoxRowBytes<R>;
#pragma unroll
  for (int r = 0; r < R; r += kTmaSlab) {
    tma_load_multicast(tile + kTmaTileBytes<1> * r, map, full, everyone, row + r,
                       k + rank * kTmaHalfK / 2, c[0], c[1], c[2]);
  }
}

/// What wgmma must know of a tile of R rows, or of rows of it that begin at `slab`: the first 32
/// bytes of k. Groups of 8 rows (MN-major: 8 k) follow one another.
template <Major M, int R = kTmaSlab>
GG_DEVICE uint64_t tile_descriptor(const char* slab) {
  if constexpr (M == Major::k) {
    return wgmma_descriptor(slab, 0, 8 * kTmaRowBytes, Swizzle::k128);
  } else {
    constexpr auto swizzle = static_cast<Swizzle>(kTmaBoxRowBytes<R>);
    return wgmma_descriptor(slab, kTmaTileBytes<kTmaSlab>, 8 * kTmaBoxRowBytes<R>, swizzle);
  }
}

/// Bytes from there to the next 32 bytes (MN-major: 16 positions) of k.
template <Major M, int R = kTmaSlab>
constexpr int kTmaTileStep = M == Major::k ? 32 : 16 * kTmaBoxRowBytes<R>;

// ---- host --------------------------------------------------------------------------------------

/// A matrix operand, or a batch of them. Strides are in elements; a batch stride of 0 repeats.
struct TileSource {
  const void* data;
  int64_t rows, k;
  int64_t row_stride, k_stride;
  int batch_axes;
  int64_t batch_length[kTmaBatchAxes], batch_stride[kTmaBatchAxes];

  Major major() const { return k_stride == 1 ? Major::k : Major::mn; }
  int64_t outer_stride() const { return major() == Major::k ? row_stride : k_stride; }
};

/// A stride of elements of so many bytes that TMA takes: a multiple of 16 bytes, below 2^40.
inline bool tma_stride_fits(int64_t stride, int bytes) {
  return stride > 0 && stride * bytes % 16 == 0 && stride < (int64_t{1} << 40) / bytes;
}

/// TMA's rules for elements of so many bytes: one axis contiguous (k, unless they have 16 bits);
/// data at a multiple of 16 bytes, and all other strides as tma_stride_fits says; coordinates of 32
/// bits.
inline bool tile_source_fits(const TileSource& s, int bytes = 2) {
  constexpr int64_t limit = int64_t{1} << 31;
  if (s.k_stride != 1 && (s.row_stride != 1 || bytes != 2)) return false;
  if (reinterpret_cast<uintptr_t>(s.data) % 16 != 0) return false;
  if (!tma_stride_fits(s.outer_stride(), bytes)) return false;
  if (s.rows < 1 || s.k < 1 || s.rows >= limit || s.k >= limit) return false;
  for (int i = 0; i < s.batch_axes; i++) {
    if (s.batch_stride[i] != 0 && !tma_stride_fits(s.batch_stride[i], bytes)) return false;
    if (s.batch_length[i] >= limit) return false;
  }
  return true;
}

/// The map of load_tile<R>, or of load_shared_tile<R> with so many blocks. Types of 8 bits: u8.
template <int R>
TensorMap tile_map(TensorType type, const TileSource& s, int blocks = 1) {
  const bool k_major = s.major() == Major::k;
  const int bytes = tensor_type_bytes(type);
  int64_t dims[5] = {k_major ? s.k : s.rows, k_major ? s.rows : s.k, 1, 1, 1};
  int64_t strides[4];
  for (int64_t& stride : strides)
    stride = s.outer_stride() * bytes;  // of absent axes: any legal one
  const int k_box[5] = {kTmaRowBytes / bytes, R / blocks, 1, 1, 1};
  const int row_box[5] = {kTmaBoxRows<R>, kTmaHalfK / blocks, 1, 1, 1};
  for (int i = 0; i < s.batch_axes; i++) {
    if (s.batch_stride[i] == 0) continue;
    dims[2 + i] = s.batch_length[i];
    strides[1 + i] = s.batch_stride[i] * bytes;
  }
  const auto swizzle = k_major ? Swizzle::k128 : static_cast<Swizzle>(kTmaBoxRowBytes<R>);
  return tensor_map_tiled(type, 5, s.data, dims, strides, k_major ? k_box : row_box, swizzle);
}

}  // namespace gg

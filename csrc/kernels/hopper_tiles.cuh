// Tiles of 16-bit operands in shared memory, as TMA writes them and wgmma reads them.
//
// A tile is R rows (of m or n; R a multiple of 64) by 64 positions of k, R * 128 bytes, aligned to
// 1024. In shared memory it keeps the order it has in global memory, so nothing is ever transposed:
//
//   K-major, k contiguous:       one box. Row r is 128 bytes at 128 r.
//   MN-major, rows contiguous:   R / 64 boxes of 8 KiB, one for each 64 rows. In a box the 64 rows
//                                of one k are 128 bytes at 128 k.
//
// Both in the 128-byte swizzle: 16-byte unit u of the 128 bytes at 128 i is at u ^ (i % 8), so that
// neither side has bank conflicts. Rows 64 w .. 64 w + 63 of either begin at byte 8192 w.
//
// A tensor map has 5 dimensions: k and rows (the contiguous one first), then up to three batch
// axes. What lies outside of k and of the rows is read as zero: tails need no code. Another source,
// such as im2col, only needs another function in the place of load_tile.
#pragma once

#include "device/device.h"
#include "device/hopper.h"

namespace gg {

constexpr int kTmaTileK = 64;      // positions of k in a stage: 128 bytes, the swizzle's width
constexpr int kTmaRowBytes = 128;  // of the swizzle's pattern
constexpr int kTmaSlab = 64;       // rows of wgmma's m, and of a box with rows contiguous
constexpr int kTmaBatchAxes = 3;

template <int R>
constexpr int kTmaTileBytes = R * kTmaRowBytes;

enum class Major { k, mn };  ///< the axis that is contiguous

/// Batch coordinates; 0 along axes that the operand does not have or repeats over.
struct TileBatch {
  int c[kTmaBatchAxes];
};

/// Starts the copies of one tile, R rows from `row` on at k .. k + 63. By one thread.
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
    tma_load(tile + kTmaTileBytes<kTmaSlab> * r / kTmaSlab, map, full, row + r, k, c[0], c[1],
             c[2]);
  }
}

/// What wgmma must know of rows of a tile that begin at `slab`, its first 16 positions of k.
template <Major M>
GG_DEVICE uint64_t tile_descriptor(const char* slab) {
  constexpr int eight = 8 * kTmaRowBytes;  // K-major: 8 rows; MN-major: 8 k
  if constexpr (M == Major::k) return wgmma_descriptor(slab, 0, eight, Swizzle::k128);
  return wgmma_descriptor(slab, kTmaTileBytes<kTmaSlab>, eight, Swizzle::k128);
}

/// Bytes from there to the next 16 positions of k.
template <Major M>
constexpr int kTmaTileStep = M == Major::k ? 32 : 16 * kTmaRowBytes;

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

/// TMA's rules for 16-bit elements: one axis contiguous; data and all other strides multiples of 16
/// bytes, positive and below 2^40 bytes; coordinates of 32 bits.
inline bool tile_source_fits(const TileSource& s) {
  constexpr int64_t bytes = 2, limit = int64_t{1} << 31;
  const auto legal = [](int64_t stride) {
    return stride > 0 && stride * bytes % 16 == 0 && stride < (int64_t{1} << 40) / bytes;
  };
  if (s.k_stride != 1 && s.row_stride != 1) return false;
  if (reinterpret_cast<uintptr_t>(s.data) % 16 != 0 || !legal(s.outer_stride())) return false;
  if (s.rows < 1 || s.k < 1 || s.rows >= limit || s.k >= limit) return false;
  for (int i = 0; i < s.batch_axes; i++) {
    if (s.batch_stride[i] != 0 && !legal(s.batch_stride[i])) return false;
    if (s.batch_length[i] >= limit) return false;
  }
  return true;
}

/// The map of load_tile<R>.
template <int R>
TensorMap tile_map(TensorType type, const TileSource& s) {
  const bool k_major = s.major() == Major::k;
  int64_t dims[5] = {k_major ? s.k : s.rows, k_major ? s.rows : s.k, 1, 1, 1};
  int64_t strides[4];
  for (int64_t& stride : strides) stride = s.outer_stride() * 2;  // of absent axes: any legal one
  const int box[5] = {kTmaSlab, k_major ? R : kTmaTileK, 1, 1, 1};
  for (int i = 0; i < s.batch_axes; i++) {
    if (s.batch_stride[i] == 0) continue;
    dims[2 + i] = s.batch_length[i];
    strides[1 + i] = s.batch_stride[i] * 2;
  }
  return tensor_map_tiled(type, 5, s.data, dims, strides, box, Swizzle::k128);
}

}  // namespace gg

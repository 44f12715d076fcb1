// A tile of an operand in shared memory: `rows` rows (of a, or columns of b) x 64 bytes of k, read
// by tensor-core instructions. Two layouts, chosen at run time by the operand's faster axis:
//
//   along k      [row][64 bytes]    chunk c of row r lies at c ^ (r / 2 % 4)
//   along rows   [k][rows]          chunk c of line k lies at c ^ (k % 8)        16-bit elements
//                                                           c ^ 2 (k % 4)        32-bit elements
//
// A chunk is 16 bytes, the unit of copies. The XOR spreads what eight lanes of an ldmatrix, or the
// 32 lanes of a 4-byte load, read at once over all 32 banks; copies write whole lines. Both are
// free of bank conflicts. Either way thread t copies chunks t, t + threads, ...: chunk t + i *
// threads lies i * threads chunks after chunk t, because the XOR repeats every 8 lines.
#pragma once

#include "device/cp_async.h"
#include "device/device.h"
#include "device/matrix.h"
#include "device/mma.h"

namespace gg {

constexpr int kTileBytes = 64;  ///< of k, in a tile
constexpr int kStepBytes = 32;  ///< of k, in one mma
constexpr int kChunk = 16;

/// Elements of k in a tile, and in a step.
template <class T>
constexpr int kTileK = kTileBytes / static_cast<int>(sizeof(T));

/// Byte offset of a chunk. along_k: of `line` = row, chunk of k. Else: of `line` = k, chunk of
/// rows.
template <class T, int Rows>
GG_DEVICE int tile_offset(bool along_k, int line, int chunk) {
  if (along_k) return line * kTileBytes + (chunk ^ (line >> 1 & 3)) * kChunk;
  const int flip = sizeof(T) == 2 ? line & 7 : 2 * (line & 3);
  return line * Rows * static_cast<int>(sizeof(T)) + (chunk ^ flip) * kChunk;
}

/// What a thread copies of each tile: chunk t of Rows x 64 bytes, and every `Threads`-th after it.
template <class T, int Rows, int Threads>
struct TileChunks {
  static constexpr int kCount = Rows * kTileBytes / kChunk / Threads;
  int line, chunk;  ///< of the first
  int line_step;    ///< lines from one to the next

  __device__ __forceinline__ explicit TileChunks(bool along_k) {
    const int t = static_cast<int>(threadIdx.x);
    const int in_line = along_k ? kTileBytes / kChunk : Rows * static_cast<int>(sizeof(T)) / kChunk;
    line = t / in_line, chunk = t % in_line, line_step = Threads / in_line;
  }
};

/// A matrix in global memory, one tile after another along k: where a thread's chunks are and how
/// many of their 16 bytes exist (the rest reads as 0). Other sources of tiles (a convolution's
/// windows) offer the same three functions.
template <class T, int Rows, int Threads>
class MatrixView {
 public:
  using Chunks = TileChunks<T, Rows, Threads>;
  static constexpr int kCount = Chunks::kCount;

  /// data: row `row0` at k = 0; rows and k: what is left from there. slow: stride, in elements, of
  /// the axis that is not contiguous.
  __device__ __forceinline__ MatrixView(const T* data, int64_t slow, bool along_k, int64_t rows,
                                        int64_t k) {
    constexpr int size = sizeof(T);
    const Chunks mine(along_k);
    next_ = reinterpret_cast<const char*>(data) + mine.line * slow * size + mine.chunk * kChunk;
    line_bytes_ = mine.line_step * slow * size;
    line_step_ = mine.line_step;
    const int rows_left = static_cast<int>(rows < Rows ? rows : Rows), k_left = static_cast<int>(k);
    lines_left_ = (along_k ? rows_left : k_left) - mine.line;
    bytes_left_ = (along_k ? k_left : rows_left) * size - mine.chunk * kChunk;
    advance_ = along_k ? kTileBytes : kTileK<T> * slow * size;
    fewer_lines_ = along_k ? 0 : kTileK<T>;
    fewer_bytes_ = along_k ? kTileBytes : 0;
  }

  /// Chunk i: its address, and how many of its bytes exist.
  __device__ __forceinline__ const char* address(int i) const { return next_ + i * line_bytes_; }
  __device__ __forceinline__ int bytes(int i) const {
    const int valid = bytes_left_ < 0 ? 0 : bytes_left_ < kChunk ? bytes_left_ : kChunk;
    return i * line_step_ < lines_left_ ? valid : 0;
  }

  /// On to the next tile along k.
  __device__ __forceinline__ void advance() {
    next_ += advance_, lines_left_ -= fewer_lines_, bytes_left_ -= fewer_bytes_;
  }

 private:
  const char* next_;
  int64_t line_bytes_, advance_;
  int line_step_, lines_left_, bytes_left_, fewer_lines_, fewer_bytes_;
};

/// Starts copying the view's present tile (cp.async, sm_80 and up), and goes on to the next.
/// `to`: this thread's first chunk in the shared tile.
template <int Threads, class View>
GG_DEVICE void copy_tile_async(View& view, char* to GG_WHERE) {
#pragma unroll
  for (int i = 0; i < View::kCount; i++) {
    const int bytes = view.bytes(i);
    cp_async<kChunk>(to + i * Threads * kChunk, view.address(i), bytes GG_PASS_WHERE);
  }
  view.advance();
}

using ChunkWords = Vec<uint32_t, 4>;

/// The same by way of registers, for sm_75: load here, store_chunks when the tile is free.
template <class T, class View>
GG_DEVICE void load_chunks(View& view, ChunkWords (&held)[View::kCount]) {
#pragma unroll
  for (int i = 0; i < View::kCount; i++) {
    const int bytes = view.bytes(i);
    held[i] = {};
    if (bytes == kChunk) {
      held[i] = load_vec<4>(reinterpret_cast<const uint32_t*>(view.address(i)));
    } else if (bytes > 0) {
      const T* const from = reinterpret_cast<const T*>(view.address(i));
      T elements[kChunk / sizeof(T)] = {};
#pragma unroll
      for (int e = 0; e < kChunk / static_cast<int>(sizeof(T)); e++) {
        if (e * static_cast<int>(sizeof(T)) < bytes) elements[e] = from[e];
      }
      memcpy(&held[i], elements, kChunk);
    }
  }
  view.advance();
}

template <int Threads, int Count>
GG_DEVICE void store_chunks(const ChunkWords (&held)[Count], char* to) {
#pragma unroll
  for (int i = 0; i < Count; i++) {
    store_vec(reinterpret_cast<uint32_t*>(to + i * Threads * kChunk), held[i]);
  }
}

}  // namespace gg

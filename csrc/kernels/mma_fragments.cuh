// From a tile in shared memory (mma_tile.cuh) to the registers of an mma.
//
// A step is 32 bytes of k: k16 of 16-bit, k8 of 32-bit, k32 of 8-bit elements. The registers of its
// fragments lie in 8-row by 16-byte matrices, so ldmatrix serves every element size where the tile
// is along k, and ldmatrix_trans where it is along rows and elements have 16 bits. 32-bit elements
// along rows are read one by one. 8-bit elements must be along k.
#pragma once

#include "kernels/mma_tile.cuh"

namespace gg {

/// Reads fragments of the warp's rows: of a (IsA: groups of 16 rows, 4 registers each) or of b
/// (groups of 16 columns: 2 registers for each 8).
template <class T, int Rows, bool IsA>
class FragmentReader {
 public:
  /// row0: the warp's first row in the tile, a multiple of the rows it reads.
  __device__ __forceinline__ FragmentReader(bool along_k, int row0) : along_k_(along_k) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (sizeof(T) == 4 && !along_k) {
      // Element (row g, k t) of the fragment; g = lane / 4, t = lane % 4.
      const int row = row0 + lane / 4;
      first_ = tile_offset<T, Rows>(false, lane % 4, row / 4) + row % 4 * 4;
      return;
    }
    // Lane l gives row l % 8 of matrix l / 8. The four matrices are two groups of 8 rows by two
    // chunks of k: a has its rows first (registers 0 and 1), b its k.
    const int low = lane / 8 % 2, high = lane / 16;
    const int row_half = IsA ? low : high, k_half = IsA ? high : low;
    first_ = along_k ? tile_offset<T, Rows>(true, row0 + 8 * row_half + lane % 8, k_half)
                     : tile_offset<T, Rows>(false, 8 * k_half + lane % 8, row0 / 8 + row_half);
  }

  /// r[group] for 16 rows each, of step `step`: registers 0..3 are those of ldmatrix.x4.
  template <int Groups>
  __device__ __forceinline__ void read(const char* tile, int step,
                                       uint32_t (&r)[Groups][4] GG_WHERE) const {
    if (along_k_) {
      const char* const at = tile + (first_ ^ (step * kStepBytes));
#pragma unroll
      for (int i = 0; i < Groups; i++) ldmatrix(r[i], at + i * 16 * kTileBytes GG_PASS_WHERE);
    } else if constexpr (sizeof(T) == 2) {
      const char* const at = tile + step * 16 * kPitch;
#pragma unroll
      for (int i = 0; i < Groups; i++) {
        ldmatrix_trans(r[i], at + (first_ ^ (2 * i * kChunk)) GG_PASS_WHERE);
      }
    } else if constexpr (sizeof(T) == 4) {
      const char* const at = tile + step * 8 * kPitch;
#pragma unroll
      for (int i = 0; i < Groups; i++) read_words(at, i, r[i]);
    }
  }

 private:
  static constexpr int kPitch = Rows * static_cast<int>(sizeof(T));

  /// Register q of 16 rows: 8 rows further for `row_half`, 4 k further for `k_half`.
  __device__ __forceinline__ void read_words(const char* at, int group, uint32_t (&r)[4]) const {
#pragma unroll
    for (int q = 0; q < 4; q++) {
      const int row_half = IsA ? q % 2 : q / 2, k_half = IsA ? q / 2 : q % 2;
      const int flip = (2 * group + row_half) * 2 * kChunk;
      r[q] = load_vec<1>(
          reinterpret_cast<const uint32_t*>(at + k_half * 4 * kPitch + (first_ ^ flip)))[0];
    }
  }

  int first_;
  bool along_k_;
};

/// The fragments of one step for a warp's 16 M rows of a and 8 N columns of b.
template <int M, int N>
struct Fragments {
  uint32_t a[M][4], b[N][2];

  template <class ReaderA, class ReaderB>
  __device__ __forceinline__ void read(const ReaderA& reader_a, const ReaderB& reader_b,
                                       const char* tile_a, const char* tile_b, int step GG_WHERE) {
    uint32_t pairs[N / 2][4];
    reader_a.read(tile_a, step, a GG_PASS_WHERE);
    reader_b.read(tile_b, step, pairs GG_PASS_WHERE);
#pragma unroll
    for (int i = 0; i < 2 * N; i++) b[i / 2][i % 2] = pairs[i / 4][i % 4];
  }
};

}  // namespace gg

// What the kernels of first layers share: tiles of 8 x 16 positions, and x's patch under one.
//
// Tensor cores multiply 32-bit units: two neighbouring half elements, or one float as tf32. The
// patch holds what a tile's windows see, [row][column, channel], zeros outside x.
#pragma once

#include "kernels/conv_simt.cuh"

namespace gg {

constexpr int kStemThreads = 128;
constexpr int kStemWarps = kStemThreads / kWarp;
constexpr int kStemTileY = 8, kStemTileX = 16;
constexpr int kStemColumns = 64;  ///< output channels to a block

template <class T>
using StemBits = std::conditional_t<is_half<T>, uint16_t, uint32_t>;
template <class T>
struct StemProduct {
  using Op = MmaM16N8K16<T>;
};
template <>
struct StemProduct<float> {
  using Op = MmaM16N8K8Tf32;
};
template <class T>
using StemMma = typename StemProduct<T>::Op;
template <class T>
constexpr int kStemUnit = is_half<T> ? 2 : 1;  ///< elements of a unit

struct Stem {
  ConvProblem p;
  FastDivision by_c;
  int height, width, pitch;  ///< of the patch: rows, elements of one, their distance (even)
  int low_y, low_x;          ///< where the first position's patch begins in x
  int span;                  ///< elements from one position to the next along x
  int row_units, units;      ///< fprop: of a row of taps; of all, padded to whole products
  int64_t tiles;
  int tiles_y, tiles_x;
  bool y_by_channel, y_vector;  ///< y's channels are its faster axis; 16 bytes are one access
  int blocks;                   ///< that walk the tiles, for each 64 channels
};

struct StemTile {
  int64_t n;
  int y, x;  ///< its first position

  __device__ static StemTile find(const Stem& s, int64_t tile) {
    const int64_t row = tile / s.tiles_x, n = row / s.tiles_y;
    return {n, static_cast<int>(row - n * s.tiles_y) * kStemTileY,
            static_cast<int>(tile - row * s.tiles_x) * kStemTileX};
  }
};

template <class T>
GG_DEVICE StemBits<T> stem_bits(T x) {
  if constexpr (is_half<T>) {
    return x.bits;
  } else {
    return to_tf32(x);
  }
}

/// Calls put(row, element of that row, bits) for the whole patch of a tile, a warp to a row.
template <class T, class Put>
GG_DEVICE void load_patch(const Stem& s, const StemTile& tile, Put put) {
  const ConvProblem& p = s.p;
  const int y0 = tile.y * p.axis[1].step + s.low_y, x0 = tile.x * p.axis[2].step + s.low_x;
  const T* const image = static_cast<const T*>(p.x.data) + tile.n * p.x.n;
  const int c = static_cast<int>(p.c);
  for (int row = threadIdx.x / kWarp; row < s.height; row += kStemWarps) {
    const int y = y0 + row;
    const bool row_inside = static_cast<unsigned>(y) < static_cast<unsigned>(p.axis[1].in);
    const T* const line = image + y * p.x.at[1];
#pragma unroll 4
    for (int i = threadIdx.x % kWarp; i < s.width; i += kWarp) {
      const int column = static_cast<int>(s.by_c.quotient(i)), x = x0 + column;
      StemBits<T> bits = 0;
      if (row_inside && static_cast<unsigned>(x) < static_cast<unsigned>(p.axis[2].in)) {
        bits = stem_bits(line[x * p.x.at[2] + (i - column * c) * p.x.c]);
      }
      put(row, i, bits);
    }
  }
}

}  // namespace gg

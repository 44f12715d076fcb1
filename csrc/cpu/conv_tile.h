// The inner loop of every convolution on the CPU: a block of accumulators in registers.
//
//   c[m][v][l] = or += sum over i < k of a[i][m] * b[v][at[i] + l]
//
// with m below `rows`, v below the number of vectors and l below the lanes of a vector. a is packed
// [k][rows], or lies as [rows][kTilePlane] for `planar` tiles, as [k][kTilePlane] for those
// `across`. b is read where it lies: one pointer for each vector, and one table of offsets for all.
// So a window over an image needs no im2col: its taps are offsets into the image itself.
//
// Two sets: conv_tile.cpp for the instructions the module is built for, conv_tile_avx512.cpp for
// AVX-512, chosen at run time. Sums of one element are formed in index order, each step fused.
#pragma once

#include <cstdint>

namespace gg {

constexpr int kMaxTileRows = 14;
constexpr int kMaxTileVectors = 8;

/// From row to row of planar a: a constant, so that a row needs no register; an odd number of cache
/// lines, so that rows do not compete for one set of the cache. k is at most kMaxPlanarSteps.
constexpr int kTilePlane = 528, kMaxPlanarSteps = 512;

template <class A>
using ConvTile = void (*)(int64_t k, const A* a, const int64_t* at, const A* const* b, A* c,
                          int64_t pitch, bool add);

/// The tiles of one instruction set, by their rows; [0] is not used.
template <class A>
struct ConvTiles {
  int lanes = 0;
  int max_rows = 0;
  int vectors[kMaxTileRows + 1] = {};
  ConvTile<A> tile[kMaxTileRows + 1] = {};
  ConvTile<A> planar[kMaxTileRows + 1] = {};
  ConvTile<A> planar_one[kMaxTileRows + 1] = {};  ///< one vector beside, whatever the rows
  ConvTile<A> across[kMaxTileRows + 1] = {};

  int columns(int rows) const { return vectors[rows] * lanes; }
};

/// The best this machine runs.
template <class A>
const ConvTiles<A>& conv_tiles();

/// Of AVX-512, or nullptr where the compiler has none.
template <class A>
const ConvTiles<A>* conv_tiles_avx512();

}  // namespace gg

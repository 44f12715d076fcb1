// The inner loop of integer matrix products: conv_tile.h's, over groups of integers.
//
//   c[m][v][l] = or += sum over i < k of a[i][m] . b[v][at[i] + l]
//
// a is packed [k][rows]. A group is as many neighbours along k as one lane of an instruction
// multiplies and adds; c's elements are 32 bits wide for Quads and Pairs. All sums wrap, so none
// depends on the order of its terms.
#pragma once

#include "cpu/conv_tile.h"

namespace gg {

/// Four of 8 bits: of a without sign, of b with one. AVX-512 alone has this in one instruction.
enum class Quads : int32_t {};
/// Two of 16 bits, with sign.
enum class Pairs : int32_t {};

/// One for each of kIntHeights; the last one that is not null is the fastest for many rows.
constexpr int kIntHeights = 4;

/// The tiles of one instruction set for G: Quads, Pairs, int32_t or int64_t.
template <class G>
struct IntTiles {
  int lanes = 0;               ///< beside each other lie two vectors of so many
  int rows[kIntHeights] = {};  ///< ascending from 1
  ConvTile<G> tile[kIntHeights] = {};

  int columns() const { return 2 * lanes; }
  int most_rows() const { return rows[kIntHeights - 1]; }
};

/// The best this machine runs; none for Quads where there is no AVX-512 with VNNI.
template <class G>
const IntTiles<G>* int_tiles();

/// Of AVX-512, compiled for it whatever the module is built for; null where the compiler has none.
template <class G>
const IntTiles<G>* int_tiles_avx512();

}  // namespace gg

// The tiles of int_tile.h, over a class Vector<G> as conv_tile_body.h has it, with its most rows.
// The including file may have switched instruction sets: no other header here.
#include "cpu/conv_tile_body.h"

namespace gg {
namespace {

template <class G>
constexpr IntTiles<G> all_int_tiles() {
  constexpr int rows = Vector<G>::rows;
  return {Vector<G>::lanes,
          {1, 2, rows / 3 * 2, rows},
          {conv_tile<1, 2, 1, 1, G>, conv_tile<2, 2, 1, 2, G>,
           conv_tile<rows / 3 * 2, 2, 1, rows / 3 * 2, G>, conv_tile<rows, 2, 1, rows, G>}};
}

}  // namespace
}  // namespace gg

// A matrix in the order conv_tile.h reads it: blocks of rows, in each one step of k after another.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/conv_tile.h"

namespace gg {

/// Rows cut into blocks of equal height, as few as fit the registers.
struct RowBlocks {
  int64_t rows, blocks;
  int height;

  RowBlocks(int64_t rows, int most) : rows(rows) {
    blocks = (rows + most - 1) / most;
    height = blocks ? static_cast<int>((rows + blocks - 1) / blocks) : 1;
    blocks = (rows + height - 1) / height;
  }

  int64_t count(int64_t block) const { return std::min<int64_t>(height, rows - block * height); }
  int64_t elements(int64_t k) const { return blocks * height * k; }
};

}  // namespace gg

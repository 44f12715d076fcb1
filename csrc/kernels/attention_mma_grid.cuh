// Which tile of which head a block has, and how many blocks that takes.
#pragma once

#include <algorithm>

#include "core/index.h"
#include "kernels/attention_problem.cuh"

namespace gg {

/// Blocks of one launch: `tiles` of each head, for heads first .. of the B x heads there are.
struct AttentionGrid {
  int64_t first, heads;
  WideDivision by_heads;
  int tiles;
  bool reversed;  ///< the last tile first: causal queries have most to do there
};

struct AttentionPlace {
  int64_t batch, head;
  int tile;

  __device__ __forceinline__ explicit AttentionPlace(const AttentionGrid& grid)
      : AttentionPlace(grid, blockIdx.x) {}

  __device__ __forceinline__ AttentionPlace(const AttentionGrid& grid, unsigned block) {
    const unsigned tiles = static_cast<unsigned>(grid.tiles), own = block / tiles;
    const int number = static_cast<int>(block - own * tiles);
    tile = grid.reversed ? grid.tiles - 1 - number : number;
    batch = grid.by_heads.quotient(grid.first + own, grid.heads);
    head = grid.first + own - batch * grid.heads;
  }
};

/// start(grid, blocks) for every launch: a grid has up to 2^31 - 1 blocks.
template <class Start>
void for_each_attention_grid(int64_t batch, int64_t heads, int64_t tiles, bool reversed,
                             const Start& start) {
  const int64_t most = std::max<int64_t>(0x7fffffff / tiles, 1);
  for (int64_t first = 0; first < batch * heads; first += most) {
    AttentionGrid grid{first, heads, {}, static_cast<int>(tiles), reversed};
    grid.by_heads.reciprocal = 1 / static_cast<double>(heads);
    start(grid, static_cast<unsigned>(std::min(most, batch * heads - first) * tiles));
  }
}

}  // namespace gg

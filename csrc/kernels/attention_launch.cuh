// How attention.cu starts the kernels of the other files, and how those choose their grids. Host
// only.
#pragma once

#include <algorithm>

#include "core/built_for.h"
#include "kernels/attention_simt.cuh"

namespace gg {

// attention_simt.cu, attention_simt_grad.cu
void launch_attention_simt(Stream stream, const AttentionProblem& p);
void launch_attention_grad_simt(Stream stream, const AttentionProblem& p);

// attention_decode.cu: forward, few queries
constexpr int kDecodeQueries = 4;  ///< of a head, at most
bool attention_decode_takes(const AttentionProblem& p);
int64_t attention_decode_workspace(const Array& q, const Array& k);
void launch_attention_decode(Stream stream, const AttentionProblem& p, void* workspace);

/// Grids are one axis of up to 2^31 - 1 blocks; more blocks take more launches.
template <class Launch>
void for_each_launch(int64_t blocks, Launch launch_from) {
  constexpr int64_t most = 0x7fffffff;
  for (int64_t first = 0; first < blocks; first += most) {
    launch_from(first, static_cast<unsigned>(std::min(blocks - first, most)));
  }
}

/// What a SIMT kernel's blocks share out, and how many matrices of rows lie in shared memory.
struct SimtGrid {
  int64_t rows, heads;
  int residents;
};

/// As many warps for a block as rows and shared memory allow, and blocks for all rows.
template <class Tile>
void launch_simt(Stream stream, const AttentionProblem& p,
                 void (*kernel)(AttentionProblem, SimtLaunch), const SimtGrid& grid) {
  const int64_t limit = max_shared_bytes();
  int warps = static_cast<int>(
      std::clamp<int64_t>((grid.rows + Tile::kWarpRows - 1) / Tile::kWarpRows, 1, kSimtWarps));
  const auto bytes = [&] { return Tile::bytes(warps, grid.residents); };
  while (warps > 1 && static_cast<int64_t>(bytes()) > limit) warps--;
  const int64_t tiles = row_tiles(p, grid.rows, warps * Tile::kWarpRows);
  const bool async = code_architecture(GG_BUILT_FOR, architecture()) >= 80;
  for_each_launch(tiles * grid.heads * p.batch, [&](int64_t first, unsigned count) {
    const SimtLaunch start{first, static_cast<int>(tiles), async};
    launch(kernel, count, warps * kWarp, bytes(), stream, p, start);
  });
}

}  // namespace gg

// wgrad of first layers on tensor cores.
//
// A block has 64 output channels, up to 160 weights of each, and every `blocks`-th tile; the sum
// runs over a tile's positions, a row of 16 at a time. Halves of neighbouring positions lie
// together in the patch, which holds each element beside that of the next position.
#pragma once

#include "kernels/conv_stem.cuh"

namespace gg {

constexpr int kStemWeights = 5;  ///< groups of eight to a warp
constexpr int kStemBlockWeights = 8 * kStemWeights * kStemWarps;
constexpr int kStemPitch = kStemColumns + 8;  ///< of dy's tile

/// Shared memory of a block: dy [position][channel], then the patch, a word for each element.
template <class T>
GG_HD int stem_wgrad_bytes(const Stem& s) {
  const int dy = kStemTileY * kStemTileX * kStemPitch * static_cast<int>(sizeof(T));
  return dy + 4 * s.height * s.pitch;
}

/// Copies dy of a tile, zeros where there are no positions or channels.
template <class T>
GG_DEVICE void stage_dy(const Stem& s, const StemTile& tile, int64_t k0, StemBits<T>* dy) {
  constexpr int W = 16 / static_cast<int>(sizeof(T));
  const ConvProblem& p = s.p;
  const T* const image = static_cast<const T*>(p.y.data) + tile.n * p.y.n + k0 * p.y.c;
  const int t = threadIdx.x, height = p.axis[1].out - tile.y, width = p.axis[2].out - tile.x;
  const int64_t channels = p.k - k0;
  if (s.y_vector && channels >= kStemColumns) {
    constexpr int chunks = kStemColumns / W;
#pragma unroll 4
    for (int e = t; e < kStemTileY * kStemTileX * chunks; e += kStemThreads) {
      const int c = e % chunks * W, at = e / chunks, y = at / kStemTileX, x = at % kStemTileX;
      Vec<T, W> v = {};
      if (y < height && x < width) {
        v = load_vec<W>(image + (tile.y + y) * p.y.at[1] + (tile.x + x) * p.y.at[2] + c);
      }
      Vec<StemBits<T>, W> bits;
#pragma unroll
      for (int i = 0; i < W; i++) bits[i] = stem_bits(v[i]);
      store_vec(dy + at * kStemPitch + c, bits);
    }
    return;
  }
#pragma unroll 4
  for (int e = t; e < kStemTileY * kStemTileX * kStemColumns; e += kStemThreads) {
    int c = e % kStemColumns, at = e / kStemColumns;
    if (!s.y_by_channel) c = e / kStemTileX % kStemColumns;
    if (!s.y_by_channel) at = e / (kStemTileX * kStemColumns) * kStemTileX + e % kStemTileX;
    const int y = at / kStemTileX, x = at % kStemTileX;
    StemBits<T> bits = 0;
    if (y < height && x < width && c < channels) {
      bits = stem_bits(image[(tile.y + y) * p.y.at[1] + (tile.x + x) * p.y.at[2] + c * p.y.c]);
    }
    dy[at * kStemPitch + c] = bits;
  }
}

/// The patch, as pairs of what neighbouring positions see (floats: alone).
template <class T>
GG_DEVICE void stage_pairs(const Stem& s, const StemTile& tile, uint32_t* patch) {
  auto* const halves = reinterpret_cast<StemBits<T>*>(patch);
  load_patch<T>(s, tile, [&](int row, int i, StemBits<T> bits) {
    const int at = row * s.pitch + i;
    halves[kStemUnit<T> * at] = bits;
    if constexpr (is_half<T>) {
      if (i >= s.span) halves[2 * (at - s.span) + 1] = bits;
    }
  });
}

/// Where in the patch the weight numbered (tap, channel) reads for the first position.
GG_DEVICE int stem_offset(const Stem& s, int64_t weight) {
  const ConvProblem& p = s.p;
  if (weight >= p.taps() * p.c) return 0;
  const int c = static_cast<int>(p.c), tap = static_cast<int>(weight) / c;
  const ConvAxis &rows = p.axis[1], &columns = p.axis[2];
  const int y = tap / columns.taps * rows.tap_step, x = tap % columns.taps * columns.tap_step;
  return (rows.offset - s.low_y + y) * s.pitch + (columns.offset - s.low_x + x) * c +
         static_cast<int>(weight) % c;
}

/// a [64 channels, 32 bytes of positions] of dy, from position `at` of the tile on.
template <class T>
GG_DEVICE void load_dy(const StemBits<T>* dy, int at, uint32_t (&a)[4][4]) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int m = 0; m < 4; m++) {
    if constexpr (is_half<T>) {
      const int position = at + lane / 16 * 8 + lane % 8, c = 16 * m + lane / 8 % 2 * 8;
      ldmatrix_trans(a[m], dy + position * kStemPitch + c);
    } else {
#pragma unroll
      for (int r = 0; r < 4; r++) {
        const int position = at + lane % 4 + 4 * (r / 2), c = 16 * m + lane / 4 + 8 * (r % 2);
        a[m][r] = dy[position * kStemPitch + c];
      }
    }
  }
}

/// acc += dy x over a tile. `weights`: groups of eight that this warp has.
template <class T>
GG_DEVICE void multiply_stem_wgrad(const Stem& s, const StemTile& tile, const StemBits<T>* dy,
                                   const uint32_t* patch, int weights,
                                   const int (&offset)[kStemWeights],
                                   float (&acc)[kStemWeights][4][1][4]) {
  constexpr int E = kStemUnit<T>, kPositions = 8 * E;
  const int t = threadIdx.x % 4;
  const int height = s.p.axis[1].out - tile.y, width = s.p.axis[2].out - tile.x;
#pragma unroll 1
  for (int at = 0; at < kStemTileY * kStemTileX; at += kPositions) {
    const int y = at / kStemTileX, x = at % kStemTileX + E * t;
    if (y >= height) break;
    uint32_t a[4][4], mask[2];
    load_dy<T>(dy, at, a);
    const uint32_t* const from = patch + y * s.p.axis[1].step * s.pitch + x * s.span;
#pragma unroll
    for (int r = 0; r < 2; r++) {  // 0 * infinity would be NaN where there is no position
      const int left = width - x - 4 * E * r;
      mask[r] = left >= E ? ~0u : left == 1 ? 0xffffu : 0u;
    }
#pragma unroll
    for (int j = 0; j < kStemWeights; j++) {
      if (j >= weights) break;
      const uint32_t b[1][2] = {
          {from[offset[j]] & mask[0], from[offset[j] + 4 * E * s.span] & mask[1]}};
      mma_tile<StemMma<T>>(acc[j], a, b);
    }
  }
}

/// partial [block][k][tap][c] = the sums over each block's tiles.
template <class T>
__global__ void __launch_bounds__(kStemThreads, 3)
    conv_stem_wgrad(const __grid_constant__ Stem s, float* partial) {
  if constexpr (kDeviceHas80) {
    const ConvProblem& p = s.p;
    auto* const dy = shared_dynamic<StemBits<T>>();
    auto* const patch = reinterpret_cast<uint32_t*>(dy + kStemTileY * kStemTileX * kStemPitch);
    const int64_t terms = p.taps() * p.c;
    const int64_t parts = (terms + kStemBlockWeights - 1) / kStemBlockWeights;
    const int64_t split = blockIdx.x % s.blocks, other = blockIdx.x / s.blocks;
    const int64_t k0 = other / parts * kStemColumns, first = other % parts * kStemBlockWeights;
    const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
    int offset[kStemWeights], weights = 0;
#pragma unroll
    for (int j = 0; j < kStemWeights; j++) {
      const int64_t weight = first + 8 * (j * kStemWarps + warp);
      weights += weight < terms;
      offset[j] = stem_offset(s, weight + lane / 4);
    }
    float acc[kStemWeights][4][1][4] = {};
    for (int64_t i = split; i < s.tiles; i += s.blocks) {
      const StemTile tile = StemTile::find(s, i);
      __syncthreads();
      stage_dy<T>(s, tile, k0, dy);
      stage_pairs<T>(s, tile, patch);
      __syncthreads();
      multiply_stem_wgrad<T>(s, tile, dy, patch, weights, offset, acc);
    }
#pragma unroll
    for (int j = 0; j < kStemWeights; j++) {
#pragma unroll
      for (int e = 0; e < 16; e++) {
        const int64_t k = k0 + e / 4 * 16 + lane / 4 + e % 4 / 2 * 8;
        const int64_t weight = first + 8 * (j * kStemWarps + warp) + lane % 4 * 2 + e % 2;
        if (k < p.k && weight < terms) {
          partial[(split * p.k + k) * terms + weight] = acc[j][e / 4][0][e % 4];
        }
      }
    }
  }
}

}  // namespace gg

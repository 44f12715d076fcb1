// fprop of first layers on tensor cores.
//
// k is (tap row, (tap column, channel)), the latter contiguous in x's patch, so that a unit of k is
// one 32-bit word of shared memory and only a row's end is padded, not each pixel's channels.
// Halves of odd addresses come from a second copy of the patch, shifted by one.
//
// A block keeps the weights of 64 output channels and walks tiles; a warp has two rows of a tile.
#pragma once

#include "kernels/conv_stem.cuh"

namespace gg {

/// A unit of k: its distance in the patch in words, and which of its bits count.
struct StemUnit {
  int offset;
  uint32_t mask;
};

/// Shared memory of a block, in 32-bit words.
template <class T>
struct StemShared {
  static constexpr int kSumPitch = kStemColumns + 8;
  static constexpr int kCopies = is_half<T> ? 2 : 1;

  uint32_t *weights, *patch;  ///< [channel][unit], rows 16 bytes past a multiple of 32
  StemUnit* units;
  float* sums;  ///< of a warp: [16][kSumPitch]
  int patch_words;

  static GG_HD int weight_pitch(const Stem& s) { return s.units + 4; }
  static GG_HD int words_of_patch(const Stem& s) {
    return s.height * s.pitch / kStemUnit<T> + 8;  // a row's end may be read beyond
  }
  static GG_HD int words(const Stem& s) {
    return kStemColumns * weight_pitch(s) + kStemWarps * 16 * kSumPitch + 2 * s.units +
           kCopies * words_of_patch(s);
  }
  __device__ explicit StemShared(const Stem& s) : patch_words(words_of_patch(s)) {
    weights = shared_dynamic<uint32_t>();
    sums = reinterpret_cast<float*>(weights + kStemColumns * weight_pitch(s));
    units = reinterpret_cast<StemUnit*>(sums + kStemWarps * 16 * kSumPitch);
    patch = reinterpret_cast<uint32_t*>(units + s.units);
    sums += threadIdx.x / kWarp * 16 * kSumPitch;
  }
};

/// The table of units, and the weights of the channels from n0 on; zeros where there are none.
template <class T>
GG_DEVICE void stage_stem(const Stem& s, int64_t n0, const StemShared<T>& shared) {
  constexpr int E = kStemUnit<T>;
  const ConvProblem& p = s.p;
  const ConvAxis &rows = p.axis[1], &columns = p.axis[2];
  const int c = static_cast<int>(p.c), pitch = shared.weight_pitch(s);
  const int first_row = rows.tap_step < 0 ? (1 - rows.taps) * rows.tap_step : 0;
  auto* const weights = reinterpret_cast<StemBits<T>*>(shared.weights);
  for (int u = threadIdx.x; u < s.units; u += kStemThreads) {
    const int row = u / s.row_units, in_row = u % s.row_units * E;
    uint32_t mask = 0;
#pragma unroll 1
    for (int e = 0; e < E; e++) {
      const int column = (in_row + e) / c, channel = (in_row + e) % c;
      const bool exists = row < rows.taps && column < columns.taps;
      if (exists) mask |= E == 1 ? ~0u : 0xffffu << (16 * e);
      const int tap = columns.tap_step < 0 ? columns.taps - 1 - column : column;
      const T* const w = static_cast<const T*>(p.w.data) + n0 * p.w.k + row * p.w.tap[1] +
                         tap * p.w.tap[2] + channel * p.w.c;
#pragma unroll 4
      for (int n = 0; n < kStemColumns; n++) {
        const bool is_weight = exists && n0 + n < p.k;
        weights[(n * pitch + u) * E + e] = is_weight ? stem_bits(w[n * p.w.k]) : StemBits<T>(0);
      }
    }
    const int at = row < rows.taps ? (first_row + row * rows.tap_step) * s.pitch + in_row : 0;
    shared.units[u] = {at / E, mask};
  }
}

template <class T>
GG_DEVICE void stage_patch(const Stem& s, const StemTile& tile, const StemShared<T>& shared) {
  auto* const patch = reinterpret_cast<StemBits<T>*>(shared.patch);
  load_patch<T>(s, tile, [&](int row, int i, StemBits<T> bits) {
    const int at = row * s.pitch + i;
    patch[at] = bits;
    if constexpr (is_half<T>) {
      if (at > 0) patch[2 * shared.patch_words + at - 1] = bits;
    }
  });
}

/// A warp's sums of two rows of the tile: acc[j][row][half of 16 channels].
template <class T>
GG_DEVICE void multiply_stem(const Stem& s, const StemShared<T>& shared, int channels,
                             float (&acc)[4][2][2][4]) {
  constexpr int E = kStemUnit<T>;
  const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  const int row = threadIdx.x / kWarp * 2, pitch = shared.weight_pitch(s);
  const int start = g * s.span, odd = start % E;
  const int next_row = s.p.axis[1].step * s.pitch / E, eight = 8 * s.span / E;
  const uint32_t* const x = shared.patch + odd * shared.patch_words + row * next_row + start / E;
  const uint32_t* w = shared.weights + (lane % 8 + lane / 16 * 8) * pitch + lane / 8 % 2 * 4;
#pragma unroll 1
  for (int u = 0; u < s.units; u += 8, w += 8) {
    const StemUnit first = shared.units[u + t], second = shared.units[u + 4 + t];
    uint32_t a[2][4];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      a[i][0] = x[i * next_row + first.offset] & first.mask;
      a[i][1] = x[i * next_row + eight + first.offset] & first.mask;
      a[i][2] = x[i * next_row + second.offset] & second.mask;
      a[i][3] = x[i * next_row + eight + second.offset] & second.mask;
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
      if (16 * j >= channels) break;
      uint32_t r[4];
      ldmatrix(r, w + 16 * j * pitch);
      const uint32_t b[2][2] = {{r[0], r[1]}, {r[2], r[3]}};
      mma_tile<StemMma<T>>(acc[j], a, b);
    }
  }
}

/// Writes one row of the tile: 16 positions from y's row m on, of which `count` exist.
template <class T>
GG_DEVICE void write_stem(const Stem& s, const StemShared<T>& shared, int64_t m, int count,
                          int64_t n0, int i, const float (&acc)[4][2][2][4]) {
  constexpr int P = StemShared<T>::kSumPitch;
  const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  __syncwarp();
#pragma unroll
  for (int j = 0; j < 8; j++) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const float (&sum)[4] = acc[j / 2][i][j % 2];
      store_vec(&shared.sums[(g + 8 * h) * P + 8 * j + 2 * t],
                Vec<float, 2>{sum[2 * h], sum[2 * h + 1]});
    }
  }
  __syncwarp();
  const auto epilogue = conv_epilogue<float, T>(s.p, 0, 0);
#pragma unroll 1
  for (int e = lane; e < 16 * kStemColumns / 4; e += kWarp) {
    const int x = s.y_by_channel ? e / 16 : e % 16, c = (s.y_by_channel ? e % 16 : e / 16) * 4;
    if (x >= count || n0 + c >= s.p.k) continue;
    const Vec<float, 4> v = load_vec<4>(&shared.sums[x * P + c]);
    const float sums[1][4] = {{v[0], v[1], v[2], v[3]}};
    epilogue.write(m + x, 1, n0 + c, sums);
  }
}

template <class T>
__global__ void __launch_bounds__(kStemThreads, 4) conv_stem(const __grid_constant__ Stem s) {
  if constexpr (kDeviceHas80) {
    const StemShared<T> shared(s);
    const int64_t n0 = int64_t{blockIdx.x} / s.blocks * kStemColumns, k_left = s.p.k - n0;
    const int channels = k_left < kStemColumns ? static_cast<int>(k_left) : kStemColumns;
    const int row = threadIdx.x / kWarp * 2, height = s.p.axis[1].out, width = s.p.axis[2].out;
    stage_stem(s, n0, shared);
    for (int64_t i = blockIdx.x % s.blocks; i < s.tiles; i += s.blocks) {
      const StemTile tile = StemTile::find(s, i);
      __syncthreads();
      stage_patch(s, tile, shared);
      __syncthreads();
      float acc[4][2][2][4] = {};
      multiply_stem(s, shared, channels, acc);
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const int y = tile.y + row + r;
        if (y >= height) break;
        const int64_t m = (tile.n * height + y) * width + tile.x;
        write_stem(s, shared, m, width - tile.x, n0, r, acc);
      }
    }
  }
}

}  // namespace gg

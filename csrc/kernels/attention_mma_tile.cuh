// Tiles of q, k, v and dO in shared memory, and the products of attention on them by mma.sync.
//
// A tile is rows x kD 16-bit elements, D padded to kD with zeros. Chunk c (16 bytes) of row r lies
// at c ^ (r % 8): the eight rows of an ldmatrix, transposed or not, lie in different banks, and
// copies write whole lines.
//
// A warp owns 16 Groups rows of the block's own tile. Its 32-bit sums are float[pair][group][2][4]:
// columns 16 pair .. + 15 as two accumulators of m16n8. In a warp, element e of half h of a pair is
//   row 16 group + lane / 4 + 8 (e / 2), column 16 pair + 8 h + 2 (lane % 4) + e % 2
// which, rounded to 16 bits, is the fragment of a that the next product wants: probabilities never
// leave their registers (Dao 2023, FlashAttention-2).
#pragma once

#include "device/device.h"
#include "device/fast_math.h"
#include "kernels/attention_problem.cuh"

namespace gg {

/// Static shared memory of a kernel that has dynamic memory, too: that begins at a multiple of
/// 1024.
constexpr int padded_static(size_t bytes) {
  return static_cast<int>((bytes + 1023) / 1024 * 1024);
}

constexpr int kAttentionThreads = 128;
constexpr int kAttentionWarps = kAttentionThreads / 32;

template <int kD>
constexpr int kRowBytes = 2 * kD;

/// Byte offset of a chunk.
template <int kD>
GG_DEVICE int chunk_offset(int row, int chunk) {
  return row * kRowBytes<kD> + ((chunk ^ (row & 7)) << 4);
}

// ---- global memory to a tile -------------------------------------------------------------------

/// The rows of one head: `row` and `column` elements apart.
template <class T>
struct HeadRows {
  const T* data;
  int64_t row, column;
  int d;
  bool vector;  ///< chunks are contiguous and aligned
};

template <class T>
GG_DEVICE HeadRows<T> head_rows(const AttentionTensor& x, int64_t batch, int64_t head, int d) {
  const T* const data = static_cast<const T*>(x.data) + x.offset(batch, head, 0);
  return {data, x.row, x.column, d, x.vector};
}

/// One chunk by way of registers; elements beyond `valid` are 0.
template <class T>
GG_DEVICE void copy_chunk(char* to, const T* from, int64_t column, int valid, bool vector) {
  Vec<uint32_t, 4> words = {};
  if (vector && valid == 8) {
    words = load_vec<4>(reinterpret_cast<const uint32_t*>(from));
  } else {
    T elements[8] = {};
#pragma unroll
    for (int e = 0; e < 8; e++) {
      if (e < valid) elements[e] = from[e * column];
    }
    memcpy(&words, elements, 16);
  }
  store_vec(reinterpret_cast<uint32_t*>(to), words);
}

/// Starts copying rows first .. first + Rows - 1 into a tile; rows from `end` on are 0. Complete
/// after cp_async_wait and a barrier.
template <int kD, int Rows, bool Async, class T>
GG_DEVICE void load_rows(char* tile, const HeadRows<T>& from, int first, int end) {
  constexpr int chunks = kD / 8, step = kAttentionThreads / chunks, count = Rows / step;
  const int chunk = static_cast<int>(threadIdx.x) % chunks;
  const int line = static_cast<int>(threadIdx.x) / chunks, lines = end - first - line;
  const int left = from.d - 8 * chunk, valid = left < 0 ? 0 : left < 8 ? left : 8;
  const int64_t next = step * from.row;
  const T* at = from.data + (first + line) * from.row + 8 * chunk * from.column;
  const auto to = [&](int i) { return tile + chunk_offset<kD>(line + i * step, chunk); };
  if (!Async || !from.vector) {
#pragma unroll 1
    for (int i = 0; i < count; i++, at += next) {
      copy_chunk(to(i), at, from.column, i * step < lines ? valid : 0, from.vector);
    }
  } else if (valid == 8 && lines > (count - 1) * step) {  // all there: a third of the instructions
#pragma unroll
    for (int i = 0; i < count; i++, at += next) cp_async<16>(to(i), at);
  } else {
#pragma unroll 1
    for (int i = 0; i < count; i++, at += next) {
      cp_async<16>(to(i), at, i * step < lines ? 2 * valid : 0);
    }
  }
}

/// Waits for this thread's copies, and for everybody's.
template <bool Async>
GG_DEVICE void wait_for_tiles() {
  if constexpr (Async) cp_async_wait<0>();
  __syncthreads();
}

template <bool Async>
GG_DEVICE void close_copies() {
  if constexpr (Async) cp_async_commit();
}

// ---- fragments and products --------------------------------------------------------------------

/// Where each lane's ldmatrix begins in 16 rows of a tile. In shared memory, to be read again for
/// each product: else compilers keep the addresses of all its steps in registers over the loop.
struct LanePlaces {
  int rows[32];     ///< as fragments of a, or transposed as those of b, whose k are the tile's rows
  int columns[32];  ///< as fragments of b, whose k are the tile's columns

  template <int kD>
  __device__ __forceinline__ void fill() {
    const int lane = static_cast<int>(threadIdx.x);
    if (lane >= 32) return;
    rows[lane] = chunk_offset<kD>(lane % 16, lane / 16);
    columns[lane] = chunk_offset<kD>(lane % 8 + lane / 16 * 8, lane / 8 % 2);
  }
};

/// d += a b for 16 Groups rows, 16 columns, k16. Turing: float16 by two products of k8.
template <class T, bool Turing, int Groups>
GG_DEVICE void multiply(float (&d)[Groups][2][4], const uint32_t (&a)[Groups][4],
                        const uint32_t (&words)[4]) {
  if constexpr (Turing) {
#pragma unroll
    for (int k = 0; k < 2; k++) {
      uint32_t half_a[Groups][2], half_b[2][1] = {{words[k]}, {words[2 + k]}};
#pragma unroll
      for (int g = 0; g < Groups; g++) half_a[g][0] = a[g][2 * k], half_a[g][1] = a[g][2 * k + 1];
      mma_tile<MmaM16N8K8<T>>(d, half_a, half_b);
    }
  } else {
    const uint32_t b[2][2] = {{words[0], words[1]}, {words[2], words[3]}};
    mma_tile<MmaM16N8K16<T>>(d, a, b);
  }
}

/// d = rows columns^T: own rows (16 Groups of them) against the 16 Pairs rows of a streamed tile.
template <class T, bool Turing, int kD, int Pairs, int Groups>
GG_DEVICE void row_products(float (&d)[Pairs][Groups][2][4], const char* own, const char* streamed,
                            const LanePlaces& places) {
  const int own_at = places.rows[lane_id()], streamed_at = places.columns[lane_id()];
#pragma unroll
  for (int i = 0; i < Pairs * Groups * 8; i++) (&d[0][0][0][0])[i] = 0;
#pragma unroll
  for (int step = 0; step < kD / 16; step++) {
    uint32_t a[Groups][4];
#pragma unroll
    for (int g = 0; g < Groups; g++) {
      ldmatrix(a[g], own + (own_at ^ (step * 32)) + g * 16 * kRowBytes<kD>);
    }
#pragma unroll
    for (int pair = 0; pair < Pairs; pair++) {
      uint32_t b[4];
      ldmatrix(b, streamed + (streamed_at ^ (step * 32)) + pair * 16 * kRowBytes<kD>);
      multiply<T, Turing>(d[pair], a, b);
    }
  }
}

/// sums += p y: p [own rows, 16 Pairs] in registers, y the streamed tile's columns from `column0`,
/// a multiple of 64.
template <class T, bool Turing, int kD, int Pairs, int Columns, int Groups>
GG_DEVICE void add_products(float (&sums)[Columns][Groups][2][4],
                            const float (&p)[Pairs][Groups][2][4], const char* streamed,
                            const LanePlaces& places, int column0) {
  const int streamed_at = places.rows[lane_id()];
#pragma unroll
  for (int step = 0; step < Pairs; step++) {
    uint32_t a[Groups][4];
#pragma unroll
    for (int g = 0; g < Groups; g++) {
#pragma unroll
      for (int r = 0; r < 4; r++) {
        const float* const from = &p[step][g][r / 2][r % 2 * 2];
        a[g][r] = pack_pair<T>(from[0], from[1]);
      }
    }
    const char* const rows = streamed + step * 16 * kRowBytes<kD> + 2 * column0;
#pragma unroll
    for (int pair = 0; pair < Columns; pair++) {
      uint32_t b[4];
      ldmatrix_trans(b, rows + (streamed_at ^ (pair * 32)));
      multiply<T, Turing>(sums[pair], a, b);
    }
  }
}

// ---- sums to global memory ---------------------------------------------------------------------

/// Writes factor[row] * sums, rounded, to rows row0 .. of y (below `end`) and columns column0 ...,
/// turned through `space`: 16 Groups rows of a tile that only this warp reads.
template <class T, int kD, int Columns, int Groups>
GG_DEVICE void store_rows(const HeadRows<T>& y, char* space, int row0, int end, int column0,
                          const float (&sums)[Columns][Groups][2][4],
                          const float (&factor)[2 * Groups]) {
  const int lane = lane_id();
  __syncwarp();
#pragma unroll
  for (int pair = 0; pair < Columns; pair++) {
#pragma unroll
    for (int i = 0; i < Groups * 4; i++) {
      const int g = i / 4, half = i / 2 % 2, low = i % 2, row = 16 * g + lane / 4 + 8 * low;
      const float* const from = &sums[pair][g][half][2 * low];
      const float f = factor[2 * g + low];
      Vec<uint32_t, 1> word;
      word[0] = pack_pair<T>(from[0] * f, from[1] * f);
      store_vec(reinterpret_cast<uint32_t*>(space + chunk_offset<kD>(row, 2 * pair + half) +
                                            lane % 4 * 4),
                word);
    }
  }
  __syncwarp();
  constexpr int chunks = 2 * Columns;
#pragma unroll 2
  for (int i = lane; i < 16 * Groups * chunks; i += 32) {
    const int row = i / chunks, chunk = i % chunks, column = column0 + 8 * chunk;
    if (row0 + row >= end || column >= y.d) continue;
    const auto words =
        load_vec<4>(reinterpret_cast<const uint32_t*>(space + chunk_offset<kD>(row, chunk)));
    T* const to = const_cast<T*>(y.data) + (row0 + row) * y.row + column * y.column;
    if (y.vector && column + 8 <= y.d) {
      store_vec(reinterpret_cast<uint32_t*>(to), words);
      continue;
    }
    T elements[8];
    memcpy(elements, &words, 16);
#pragma unroll
    for (int e = 0; e < 8; e++) {
      if (column + e < y.d) to[e * y.column] = elements[e];
    }
  }
}

}  // namespace gg

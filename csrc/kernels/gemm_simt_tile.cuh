// The tiled SIMT GEMM kernel.
//
// A block of 2 S threads computes an S x S tile of y, 8 G of k at a time. A warp is 4 x 8 threads;
// a thread owns QM x QN squares of 4 x 4 elements, 16 rows and 32 columns apart, so that a warp
// reads its operands from shared memory in 128-byte lines. Operands are loaded into registers
// while the previous slice is multiplied, and stored to the other of two shared buffers: one
// barrier for each slice.
//
// A thread loads groups of four elements along whichever axis of the operand is faster in memory.
// Either way the slice lands in shared memory as [k][row], rows padded by 4: with two threads
// along k for each of 16 rows, the four transposed stores are free of bank conflicts (32-bit).
#pragma once

#include "kernels/gemm_epilogue.cuh"

namespace gg {

/// Four elements `step` apart; those from `count` on are 0 and not touched.
template <class T>
GG_DEVICE Vec<Sum<T>, 4> load4(const T* p, int64_t step, int count, bool vector) {
  Vec<Sum<T>, 4> values;
  if (vector && count >= 4) {
    const Vec<T, 4> whole = load_vec<4>(p);
#pragma unroll
    for (int i = 0; i < 4; i++) values[i] = widen(whole[i]);
  } else {
#pragma unroll
    for (int i = 0; i < 4; i++, p += step) values[i] = i < count ? widen(*p) : Sum<T>(0);
  }
  return values;
}

/// Moves one operand's slices from global to shared memory.
template <class T, int S, int G>
struct TileLoader {
  static constexpr int kPitch = S + 4;

  const GemmOperand& operand;
  const T* next;  // this thread's first group in the next slice; its others are 8 apart along k
  int k, put;     // of that group, in the tile; and where it goes
  int rows_left;  // from there to the operand's end
  Vec<Sum<T>, 4> values[G];

  __device__ TileLoader(const GemmOperand& operand, int64_t offset, int64_t row0, int64_t rows)
      : operand(operand) {
    const int t = threadIdx.x;
    const int row = operand.along_k ? t / 2 : t % (S / 4) * 4;
    k = operand.along_k ? t % 2 * 4 : t / (S / 4);
    rows_left = static_cast<int>(rows - row0 < S ? rows - row0 : S) - row;
    put = k * kPitch + row;
    next =
        static_cast<const T*>(operand.data) + offset + (row0 + row) * operand.row + k * operand.k;
  }

  /// Rows beyond the end and positions from k_left on read as 0.
  __device__ void load(int k_left) {
    k_left -= k;
#pragma unroll
    for (int g = 0; g < G; g++, next += 8 * operand.k, k_left -= 8) {
      if (operand.along_k) {
        values[g] = load4(next, operand.k, rows_left > 0 ? k_left : 0, operand.vector);
      } else {
        values[g] = load4(next, operand.row, k_left > 0 ? rows_left : 0, operand.vector);
      }
    }
  }

  __device__ void store(Sum<T> (*slice)[kPitch]) const {
    Sum<T>* to = slice[0] + put;
#pragma unroll
    for (int g = 0; g < G; g++, to += 8 * kPitch) {
      if (operand.along_k) {
#pragma unroll
        for (int i = 0; i < 4; i++) to[i * kPitch] = values[g][i];
      } else {
        store_vec(to, values[g]);
      }
    }
  }
};

/// acc += a b over one slice; the loop over k ends early where a whole slab of 8 is beyond it.
template <int QM, int QN, int G, class A, int PA, int PB>
GG_DEVICE void multiply_slice(const A (*a)[PA], const A (*b)[PB], int row, int col, int k_left,
                              A (&acc)[4 * QM][4 * QN]) {
#pragma unroll
  for (int slab = 0; slab < G; slab++) {
    if (slab > 0 && 8 * slab >= k_left) break;
#pragma unroll
    for (int k = 8 * slab; k < 8 * slab + 8; k++) {
      Vec<A, 4> av[QM], bv[QN];
#pragma unroll
      for (int q = 0; q < QM; q++) av[q] = load_vec<4>(&a[k][row + 16 * q]);
#pragma unroll
      for (int q = 0; q < QN; q++) bv[q] = load_vec<4>(&b[k][col + 32 * q]);
#pragma unroll
      for (int i = 0; i < 4 * QM; i++) {
#pragma unroll
        for (int j = 0; j < 4 * QN; j++) acc[i][j] += av[i / 4][i % 4] * bv[j / 4][j % 4];
      }
    }
  }
}

/// bool sums are any(): they must not grow until they wrap to 0.
template <int M, int N, class A>
GG_DEVICE void clamp_to_one(A (&acc)[M][N]) {
#pragma unroll
  for (int i = 0; i < M; i++) {
#pragma unroll
    for (int j = 0; j < N; j++) acc[i][j] = acc[i][j] != A(0);
  }
}

/// The thread's next four columns, row by row, come to the front: a loop over them then need not be
/// unrolled, though registers cannot be indexed at run time.
template <int M, int N, class A>
GG_DEVICE void shift_fours(A (&acc)[M][N]) {
#pragma unroll
  for (int i = 0; i < M * N - 4; i++) acc[i / N][i % N] = acc[(i + 4) / N][(i + 4) % N];
}

/// Writes a thread's part of the tile, with the epilogue in the program once.
template <int QM, int QN, class A, class T>
GG_DEVICE void write_tile(const GemmProblem& g, const Epilogue<A, T>& epilogue, int64_t row,
                          int64_t col, A (&acc)[4 * QM][4 * QN]) {
#pragma unroll 1
  for (int i = 0; i < 4 * QM * QN; i++) {
    const int r = i / QN, q = i % QN;
    const int64_t m = row + r / 4 * 16 + r % 4, n = col + 32 * q;
    const A sums[1][4] = {{acc[0][0], acc[0][1], acc[0][2], acc[0][3]}};
    if (m < g.m && n < g.n) epilogue.write(m, 1, n, sums);
    shift_fours(acc);
  }
}

struct SimtPlace {
  int64_t m0, n0, split, batch;  ///< of the tile
  EpiloguePlace epilogue;
};

/// Which tile block number `block` computes; tiles of a column of tiles follow one another.
template <int S>
GG_DEVICE SimtPlace simt_place(const GemmProblem& g, int64_t block) {
  const int64_t m_tiles = (g.m + S - 1) / S, n_tiles = (g.n + S - 1) / S;
  const int64_t m0 = block % m_tiles * S;
  block /= m_tiles;
  const int64_t n0 = block % n_tiles * S;
  block /= n_tiles;
  const int64_t split = block % g.split.count, batch = block / g.split.count;
  return {m0, n0, split, batch, epilogue_place(g, batch, split)};
}

/// Blocks that should fit a multiprocessor: 128 registers for a thread, 170 for 8-byte sums.
template <class T, int S>
constexpr int kTileBlocks = (sizeof(Sum<T>) == 8 ? 192 : 256) / S;

template <class T, int S, int QM, int QN, int G>
__global__ void __launch_bounds__(2 * S, kTileBlocks<T, S>)
    gemm_tile(const __grid_constant__ GemmProblem g, int64_t first_block) {
  constexpr int K = 8 * G, P = S + 4;
  GG_SHARED(a_tiles, Sum<T>[2][K][P]);
  GG_SHARED(b_tiles, Sum<T>[2][K][P]);
  GG_SHARED(place, SimtPlace);  // for the epilogue: until then registers are scarce

  const SimtPlace at = simt_place<S>(g, first_block + blockIdx.x);
  if (threadIdx.x == 0) place = at;
  const int64_t k0 = at.split * g.split.k, k_end = g.k - k0 < g.split.k ? g.k - k0 : g.split.k;
  TileLoader<T, S, G> a(g.a, g.batch.offset(0, at.batch) + k0 * g.a.k, at.m0, g.m),
      b(g.b, g.batch.offset(1, at.batch) + k0 * g.b.k, at.n0, g.n);
  constexpr int m_warps = S / (16 * QM);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int row = warp % m_warps * 16 * QM + lane / 8 * 4;
  const int col = warp / m_warps * 32 * QN + lane % 8 * 4;

  Sum<T> acc[4 * QM][4 * QN] = {};
  a.load(k_end < K ? static_cast<int>(k_end) : K);
  b.load(k_end < K ? static_cast<int>(k_end) : K);
  int buffer = 0;
  for (int64_t k_left = k_end; k_left > 0; k_left -= K, buffer ^= 1) {
    const int k_now = k_left < K ? static_cast<int>(k_left) : K;
    a.store(a_tiles[buffer]);
    b.store(b_tiles[buffer]);
    __syncthreads();
    if (k_left > K) {
      const int k_next = k_left < 2 * K ? static_cast<int>(k_left) - K : K;
      a.load(k_next);
      b.load(k_next);
    }
    multiply_slice<QM, QN, G>(a_tiles[buffer], b_tiles[buffer], row, col, k_now, acc);
    if constexpr (std::is_same_v<T, uint8_t>) {
      if (g.out.boolean) clamp_to_one(acc);
    }
  }
  __syncthreads();  // place is written, also where k is 0
  write_tile<QM, QN>(g, Epilogue<Sum<T>, T>(g, place.epilogue), place.m0 + row, place.n0 + col,
                     acc);
}

}  // namespace gg

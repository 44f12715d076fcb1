// From the accumulators of mma to y.
//
// A lane of an mma holds pairs of columns, which would be written as 16-byte pieces of a row. So a
// warp turns 16 rows at a time through shared memory of its own, and each lane then has four
// neighbouring columns: whole 32-byte sectors are written, and the epilogue is in the program once.
#pragma once

#include "kernels/gemm_overflow.cuh"
#include "kernels/mma_mainloop.cuh"

namespace gg {

/// Rows of a warp's turning space are 8 floats longer than they need: stores of pairs and loads of
/// fours are free of bank conflicts.
template <class Shape>
constexpr int kTurnPitch = Shape::kWarpN + 8;

template <class Shape>
constexpr int kTurnBytes = Shape::kThreads / 32 * 16 * kTurnPitch<Shape> * 4;

/// Accumulators of the warp's next 16 rows, to shared memory.
template <int Pitch, int N, class Sum, class A>
GG_DEVICE void turn_in(const Sum (&d)[N][4], A* space) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int j = 0; j < N; j++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      Vec<A, 2> pair;
      pair[0] = static_cast<A>(d[j][2 * half]), pair[1] = static_cast<A>(d[j][2 * half + 1]);
      store_vec(space + (lane / 4 + 8 * half) * Pitch + 8 * j + lane % 4 * 2, pair);
    }
  }
}

/// Gives the block's tile, whose first row and column are m0 and n0, to `write(row, step, col,
/// sums)`, rows row + r * step and four columns from col (below n) at a time, through `shared`
/// (kTurnBytes).
template <class Shape, class A, int M, int N, class Sum, class Write>
GG_DEVICE void turn_sums(int64_t m0, int64_t n0, int64_t n, A* shared, Sum (&d)[M][N][4],
                         const Write& write) {
  constexpr int pitch = kTurnPitch<Shape>, lanes = Shape::kWarpN / 4, step = 32 / lanes, R = 4;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  A* const space = shared + warp * 16 * pitch;
  // Unsigned, unlike in StageAccess: else the compiler keeps its value over the main loop, where
  // registers are scarce.
  const unsigned warp_row = threadIdx.x / 32 % Shape::kWarpsM;
  int64_t row = m0 + warp_row * Shape::kWarpM + lane / lanes;
  const int64_t col = n0 + warp / Shape::kWarpsM * Shape::kWarpN + lane % lanes * 4;
#pragma unroll 1
  for (int i = 0; i < M; i++) {
    turn_in<pitch>(d[0], space);
    __syncwarp();
#pragma unroll 1
    for (int r = 0; r < 16; r += R * step, row += R * step) {
      A sums[R][4];
      const A* const from = space + (r + lane / lanes) * pitch + lane % lanes * 4;
#pragma unroll
      for (int e = 0; e < R; e++) {
        const Vec<A, 4> v = load_vec<4>(from + e * step * pitch);
        for (int c = 0; c < 4; c++) sums[e][c] = v[c];
      }
      if (col < n) write(row, step, col, sums);
    }
    __syncwarp();
#pragma unroll
    for (int e = 0; e < 4 * N * (M - 1); e++) {  // a loop cannot index registers at run time
      d[e / (4 * N)][e / 4 % N][e % 4] = d[e / (4 * N) + 1][e / 4 % N][e % 4];
    }
  }
}

/// Writes the block's tile of a GEMM. T: the type of a and b.
template <class T, class Shape, bool Overflow, class A, int M, int N, class Sum>
GG_DEVICE void write_sums(const GemmProblem& g, int64_t batch, int64_t split, int64_t m0,
                          int64_t n0, A* shared, Sum (&d)[M][N][4]) {
  const Epilogue<A, T> epilogue(g, batch, split);
  turn_sums<Shape>(m0, n0, g.n, shared, d, [&](int64_t row, int64_t step, int64_t col, auto& sums) {
    if constexpr (Overflow) {
      if (g.exact_overflow && !g.split.partial) replace_overflow(g, batch, row, step, col, sums);
    }
    epilogue.write(row, step, col, sums);
  });
}

}  // namespace gg

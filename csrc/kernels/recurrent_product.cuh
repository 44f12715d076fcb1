// The matrix product of one step of a recurrent layer: few samples, many columns, and a chain of
// steps that wait for one another.
//
//   sums[b, f, u] = a[b, :] . w[row(f, u), :]        a: states [B, k], w: weights, k along rows
//
// A block has 32 samples and N fragments of 8 columns: the N gates of 8 units, or 8 N units. Its
// warps share k; partial sums meet in shared memory, where the step's own arithmetic finds them
// (sum_parts, in order of k). Operands go from L2 straight to registers, 16 bytes of k a lane: a
// lane's k need not be those the mma names, as long as a and w agree, so neither shared memory nor
// ldmatrix is on the way. The first chunks of w are loaded by the constructor, before the kernel
// waits for the step ahead of it: only a is read within the chain.
//
//   MmaProduct<Math, N>     tensor cores, sm_80 and up; Math of mma_math.cuh
//   FmaProduct<T, N>        float32 "exact", float64, and what sm_75 computes
//
// Rows of a and w begin at multiples of 16 bytes and hold whole chunks of 64 bytes (k is padded
// with zeros). Bytes of a step, from L2: w for each 32 samples, a for each 8 N columns.
#pragma once

#include "device/device.h"
#include "kernels/mma_math.cuh"

namespace gg {

constexpr int kStepRows = 32;   ///< samples of a block
constexpr int kStepUnits = 8;   ///< columns of a fragment
constexpr int kStepChunk = 64;  ///< bytes of k that four lanes load at once

/// k rounded up to whole chunks of T.
template <class T>
constexpr int64_t padded_k(int64_t k) {
  constexpr int64_t chunk = kStepChunk / static_cast<int64_t>(sizeof(T));
  return (k + chunk - 1) / chunk * chunk;
}

template <class T>
struct StepFactors {
  const T *a, *w;
  int64_t a_pitch, w_pitch;  ///< elements from a row to the next
  int64_t rows, units;       ///< of the whole result
  int64_t gate_rows;         ///< rows of w from a fragment to the next: 0 where fragments are units
  int64_t k;                 ///< padded; 0: the sums are 0
  int fragments;             ///< in use

  /// Units of a block of N fragments.
  GG_HD int block_units(int n) const { return gate_rows ? kStepUnits : n * kStepUnits; }
};

/// The block's place in the result. A block's rows, and what they have of k, are counted from its
/// first: 32 bits will do.
struct StepPlace {
  int64_t row0, unit0;
  int unit_step;    ///< from a fragment to the next
  int rows, units;  ///< left from there, at most what a block has

  StepPlace() = default;

  template <class T>
  __device__ __forceinline__ StepPlace(const StepFactors<T>& p, int n) {
    const int wide = p.block_units(n);
    row0 = int64_t{blockIdx.x} * kStepRows, unit0 = int64_t{blockIdx.y} * wide;
    unit_step = p.gate_rows ? 0 : kStepUnits;
    rows = static_cast<int>(p.rows - row0 < kStepRows ? p.rows - row0 : kStepRows);
    units = static_cast<int>(p.units - unit0 < wide ? p.units - unit0 : wide);
  }

  /// Where row `row` of a begins, in 16 bytes from the block's first; beyond the last it repeats.
  template <class T>
  __device__ __forceinline__ uint32_t a_offset(const StepFactors<T>& p, int row) const {
    return static_cast<uint32_t>(row < rows ? row : rows - 1) * vectors<T>(p.a_pitch);
  }
  /// The same for the row of w of unit u of fragment f.
  template <class T>
  __device__ __forceinline__ uint32_t w_offset(const StepFactors<T>& p, int f, int u) const {
    const int unit = f * unit_step + u;
    const uint32_t row = static_cast<uint32_t>(f * p.gate_rows) + (unit < units ? unit : units - 1);
    return row * vectors<T>(p.w_pitch);
  }

 private:
  template <class T>
  static __device__ __forceinline__ uint32_t vectors(int64_t pitch) {
    return static_cast<uint32_t>(pitch) / (16 / static_cast<uint32_t>(sizeof(T)));
  }
};

/// Row-major partial sums [warps, 32, 8 N]; rows are 8 longer, so that a warp's pairs of an mma
/// hit all banks.
template <int N>
constexpr int kStepPitch = 8 * N + 8;

template <class A>
constexpr int kStepWarps = sizeof(A) == 8 ? 4 : 8;

template <class A, int N>
using StepParts = A[kStepWarps<A>][kStepRows][kStepPitch<N>];

template <class A, int N>
GG_DEVICE A sum_parts(const StepParts<A, N>& parts, int row, int column) {
  A sum = parts[0][row][column];
#pragma unroll
  for (int w = 1; w < kStepWarps<A>; w++) sum += parts[w][row][column];
  return sum;
}

/// The part of `count` chunks that a warp multiplies.
struct WarpChunks {
  int begin, count;

  __device__ __forceinline__ WarpChunks(int64_t all, int warps) {
    const int64_t warp = threadIdx.x / 32;
    begin = static_cast<int>(warp * all / warps);
    count = static_cast<int>((warp + 1) * all / warps) - begin;
  }
};

template <class Math_, int N_>
class MmaProduct {
 public:
  using Math = Math_;
  using T = typename Math::Element;
  using A = float;
  static constexpr int N = N_, kThreads = 32 * kStepWarps<A>;
  static constexpr bool kRuns = kDeviceHas80;
  /// Two blocks share a multiprocessor, so that the next step's weights arrive during this one.
  static constexpr int kBlocks = sizeof(T) == 2 ? 2 : 1;

  __device__ __forceinline__ MmaProduct(const StepFactors<T>& p, const StepPlace& at)
      : a_(p.a + at.row0 * p.a_pitch),
        w_(p.w + at.unit0 * p.w_pitch),
        fragments_(p.fragments),
        chunks_(p.k * sizeof(T) / kStepChunk, kStepWarps<A>) {
    const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4;
    const uint32_t first = chunks_.begin * 4 + lane % 4;
#pragma unroll
    for (int r = 0; r < 4; r++) a_offset_[r] = at.a_offset(p, 8 * r + g) + first;
#pragma unroll
    for (int f = 0; f < N; f++) {
      w_offset_[f] = at.w_offset(p, f < fragments_ ? f : 0, g) + first;
    }
#pragma unroll
    for (int i = 0; i < kHeld; i++) load_w(i, i);
  }

  __device__ __forceinline__ void run(StepParts<A, N>& parts) {
    typename Math::template Sums<2, N> sums;
#pragma unroll
    for (int i = 0; i < kHeld; i++) load_a(i, i);
#pragma unroll 1
    for (int c = 0; c < chunks_.count; c += kHeld) {
#pragma unroll
      for (int i = 0; i < kHeld; i++) {
        if (c + i >= chunks_.count) break;
        multiply(sums, i);
        load_a(i, c + i + kHeld);
        load_w(i, c + i + kHeld);
      }
    }
    Math::finish(sums);
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int e = 0; e < 4 * N; e++) {  // pairs of columns
      const int i = e / (2 * N), f = e / 2 % N, half = e % 2;
      Vec<A, 2> pair;
      pair[0] = sums.d[i][f][2 * half], pair[1] = sums.d[i][f][2 * half + 1];
      store_vec(&parts[warp][16 * i + 8 * half + lane / 4][8 * f + lane % 4 * 2], pair);
    }
  }

 private:
  using Words = Vec<uint32_t, 4>;
  static constexpr int kHeld = 2;

  static __device__ __forceinline__ Words load(const T* p, uint32_t offset) {
    return load_vec<4>(reinterpret_cast<const uint32_t*>(p) + uint64_t{offset} * 4);
  }
  __device__ __forceinline__ void load_a(int slot, int chunk) {
    if (chunk >= chunks_.count) return;
#pragma unroll
    for (int r = 0; r < 4; r++) held_a_[slot][r] = load(a_, a_offset_[r] + 4 * chunk);
  }
  __device__ __forceinline__ void load_w(int slot, int chunk) {
    if (chunk >= chunks_.count) return;
#pragma unroll
    for (int f = 0; f < N; f++) {
      held_w_[slot][f] = {};
      if (f < fragments_) held_w_[slot][f] = load(w_, w_offset_[f] + 4 * chunk);
    }
  }
  /// A chunk is two steps: words 0 and 1 of each lane, then 2 and 3.
  template <class S>
  __device__ __forceinline__ void multiply(S& sums, int slot) {
#pragma unroll
    for (int s = 0; s < 4; s += 2) {
      Fragments<2, N> now;
#pragma unroll
      for (int q = 0; q < 8; q++) {
        now.a[q / 4][q % 4] = held_a_[slot][q / 4 * 2 + q % 2][s + q / 2 % 2];
      }
#pragma unroll
      for (int q = 0; q < 2 * N; q++) now.b[q / 2][q % 2] = held_w_[slot][q / 2][s + q % 2];
      Math::multiply(sums, now);
    }
  }

  const T *a_, *w_;
  int fragments_;
  WarpChunks chunks_;
  uint32_t a_offset_[4], w_offset_[N];
  Words held_a_[kHeld][4], held_w_[kHeld][N];
};

/// A lane has 4 rows, 8 apart, and 2 N columns, 4 apart, of the warp's part of k.
template <class T_, int N_>
class FmaProduct {
 public:
  using T = T_;
  using A = Acc<T>;
  static constexpr int N = N_, kThreads = 32 * kStepWarps<A>, kBlocks = 1;
  static constexpr bool kRuns = true;

  __device__ __forceinline__ FmaProduct(const StepFactors<T>& p, const StepPlace& at)
      : a_(p.a + at.row0 * p.a_pitch),
        w_(p.w + at.unit0 * p.w_pitch),
        chunks_(p.k / V, kStepWarps<A>) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int r = 0; r < 4; r++) a_offset_[r] = at.a_offset(p, 8 * r + lane / 4) + chunks_.begin;
#pragma unroll
    for (int c = 0; c < 2 * N; c++) {
      const int f = c / 2 < p.fragments ? c / 2 : 0;
      w_offset_[c] = at.w_offset(p, f, c % 2 * 4 + lane % 4) + chunks_.begin;
    }
  }

  __device__ __forceinline__ void run(StepParts<A, N>& parts) {
    A sums[4][2 * N] = {};
#pragma unroll 1
    for (int chunk = 0; chunk < chunks_.count; chunk++) {
      Vec<T, V> a[4], w[2 * N];
#pragma unroll
      for (int r = 0; r < 4; r++) a[r] = load_vec<V>(a_ + uint64_t{a_offset_[r] + chunk} * V);
#pragma unroll
      for (int c = 0; c < 2 * N; c++) w[c] = load_vec<V>(w_ + uint64_t{w_offset_[c] + chunk} * V);
#pragma unroll
      for (int i = 0; i < V; i++) {
#pragma unroll
        for (int e = 0; e < 8 * N; e++) {
          const int r = e / (2 * N), c = e % (2 * N);
          sums[r][c] += convert<A>(a[r][i]) * convert<A>(w[c][i]);
        }
      }
    }
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int e = 0; e < 8 * N; e++) {
      const int r = e / (2 * N), c = e % (2 * N);
      parts[warp][8 * r + lane / 4][4 * c + lane % 4] = sums[r][c];
    }
  }

 private:
  static constexpr int V = 16 / static_cast<int>(sizeof(T));
  const T *a_, *w_;
  WarpChunks chunks_;
  uint32_t a_offset_[4], w_offset_[2 * N];
};

}  // namespace gg

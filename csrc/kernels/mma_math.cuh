// What a warp does with the fragments of one step: one class for each way to multiply.
//
//   typename Math::template Sums<M, N> sums;      all zero
//   Math::multiply(sums, fragments);              sums += a b over 32 bytes of k
//   Math::finish(sums);                           then sums.d[i][j] are the accumulators of mma
//
// Element is what tiles hold; kArchitecture the oldest GPU that runs it; kPrefetch: the main loop
// reads the fragments of the next step early.
#pragma once

#include "kernels/mma_fragments.cuh"

namespace gg {

template <class Sum, int M, int N>
struct PlainSums {
  Sum d[M][N][4] = {};
};

template <class T, class Op>
struct PlainMath {
  using Element = T;
  using Sum = typename Op::Sum;
  static constexpr int kArchitecture = 80;
  static constexpr bool kPrefetch = true;
  template <int M, int N>
  using Sums = PlainSums<Sum, M, N>;

  template <int M, int N>
  static __device__ __forceinline__ void multiply(Sums<M, N>& sums, Fragments<M, N>& f GG_WHERE) {
    mma_tile<Op>(sums.d, f.a, f.b GG_PASS_WHERE);
  }
  template <class S>
  static __device__ __forceinline__ void finish(S&) {}
};

template <class T>
using HalfMath = PlainMath<T, MmaM16N8K16<T>>;
template <class T>
using ByteMath = PlainMath<T, MmaM16N8K32<T>>;

/// Registers 2 q and 2 q + 1 of a, and q of b: the half of a step that m16n8k8 multiplies.
template <int M, int N>
GG_DEVICE void halve(const Fragments<M, N>& f, int q, uint32_t (&a)[M][2], uint32_t (&b)[N][1]) {
#pragma unroll
  for (int i = 0; i < M; i++) a[i][0] = f.a[i][2 * q], a[i][1] = f.a[i][2 * q + 1];
#pragma unroll
  for (int j = 0; j < N; j++) b[j][0] = f.b[j][q];
}

/// float16 on sm_75: m16n8k8, twice.
struct HalfMath75 {
  using Element = f16;
  using Sum = float;
  static constexpr int kArchitecture = 75;
  template <int M, int N>
  using Sums = PlainSums<Sum, M, N>;

  template <int M, int N>
  static __device__ __forceinline__ void multiply(Sums<M, N>& sums, Fragments<M, N>& f GG_WHERE) {
#pragma unroll
    for (int q = 0; q < 2; q++) {
      uint32_t a[M][2], b[N][1];
      halve(f, q, a, b);
      mma_tile<MmaM16N8K8<f16>>(sums.d, a, b GG_PASS_WHERE);
    }
  }
  template <class S>
  static __device__ __forceinline__ void finish(S&) {}
};

/// 8-bit integers on sm_75: m8n8k16, for two halves of the rows and two of k.
template <class T>
struct ByteMath75 {
  using Element = T;
  using Sum = int32_t;
  static constexpr int kArchitecture = 75;
  template <int M, int N>
  struct Sums {
    Sum d[M][N][4];
    Sum half[2 * M][N][2] = {};  ///< 8 rows each, in order
  };

  template <int M, int N>
  static __device__ __forceinline__ void multiply(Sums<M, N>& sums, Fragments<M, N>& f GG_WHERE) {
#pragma unroll
    for (int q = 0; q < 2; q++) {
      uint32_t a[2 * M][1], b[N][1];
#pragma unroll
      for (int i = 0; i < 2 * M; i++) a[i][0] = f.a[i / 2][2 * q + i % 2];
#pragma unroll
      for (int j = 0; j < N; j++) b[j][0] = f.b[j][q];
      mma_tile<MmaM8N8K16<T>>(sums.half, a, b GG_PASS_WHERE);
    }
  }

  template <int M, int N>
  static __device__ __forceinline__ void finish(Sums<M, N>& sums) {
#pragma unroll
    for (int i = 0; i < M; i++) {
#pragma unroll
      for (int j = 0; j < N; j++) {
#pragma unroll
        for (int e = 0; e < 4; e++) sums.d[i][j][e] = sums.half[2 * i + e / 2][j][e % 2];
      }
    }
  }
};

/// float32 as one tf32 product: both factors rounded to 11 bits.
struct Tf32Math {
  using Element = float;
  using Sum = float;
  static constexpr int kArchitecture = 80;
  static constexpr bool kPrefetch = false;
  template <int M, int N>
  using Sums = PlainSums<Sum, M, N>;

  template <int Count, int Registers>
  static __device__ __forceinline__ void round(uint32_t (&x)[Count][Registers]) {
#pragma unroll
    for (int i = 0; i < Count * Registers; i++) {
      uint32_t& bits = x[i / Registers][i % Registers];
      bits = to_tf32(bits_float(bits));
    }
  }

  template <int M, int N>
  static __device__ __forceinline__ void multiply(Sums<M, N>& sums, Fragments<M, N>& f GG_WHERE) {
    round(f.a);
    round(f.b);
    mma_tile<MmaM16N8K8Tf32>(sums.d, f.a, f.b GG_PASS_WHERE);
  }
  template <class S>
  static __device__ __forceinline__ void finish(S&) {}
};

/// float32 as three tf32 products (Ootomo & Yokota 2022): x = high + low 2^-11, both tf32.
///   a b ~ high high + 2^-11 (high low + low high);  low low is below half an ulp of float32.
/// Tensor cores truncate, so high products are summed over one step of k only, in fresh
/// accumulators, and added to the sum with ordinary rounding. The low products' own sum is 2^-11 of
/// the whole: there truncation does not matter. Low parts are held 2^11 times as large, so that
/// they do not vanish where x is near the smallest float.
struct Tf32x3Math {
  using Element = float;
  using Sum = float;
  static constexpr int kArchitecture = 80;
  static constexpr bool kPrefetch = false;
  static constexpr float kScale = 0x1p11f;
  template <int M, int N>
  struct Sums {
    Sum d[M][N][4] = {};
    Sum low[M][N][4] = {};  ///< 2^11 times
  };

  /// High is x rounded to 11 bits, to nearest, by integer arithmetic: to_tf32 without its care for
  /// NaN, which here may turn into zero because the low part stays NaN. Low goes to the mma as it
  /// is: of its 12 bits 11 are used, and the last is lost however it is rounded.
  template <int Count>
  static __device__ __forceinline__ void split(const uint32_t (&x)[Count], uint32_t (&high)[Count],
                                               uint32_t (&low)[Count]) {
#pragma unroll
    for (int i = 0; i < Count; i++) {
      high[i] = (x[i] + 0x1000u) & ~0x1fffu;
      low[i] = float_bits((bits_float(x[i]) - bits_float(high[i])) * kScale);
    }
  }

  template <int M, int N>
  static __device__ __forceinline__ void multiply(Sums<M, N>& sums, Fragments<M, N>& f GG_WHERE) {
    using Op = MmaM16N8K8Tf32;
    uint32_t high_b[N][2], low_b[N][2];
#pragma unroll
    for (int j = 0; j < N; j++) split(f.b[j], high_b[j], low_b[j]);
#pragma unroll
    for (int i = 0; i < M; i++) {
      uint32_t high_a[1][4], low_a[1][4];
      split(f.a[i], high_a[0], low_a[0]);
      Sum fresh[1][N][4] = {};
      auto& low = reinterpret_cast<Sum(&)[1][N][4]>(sums.low[i]);
      mma_tile<Op>(low, low_a, high_b GG_PASS_WHERE);
      mma_tile<Op>(fresh, high_a, high_b GG_PASS_WHERE);
      mma_tile<Op>(low, high_a, low_b GG_PASS_WHERE);
#pragma unroll
      for (int e = 0; e < 4 * N; e++) sums.d[i][e / 4][e % 4] += fresh[0][e / 4][e % 4];
    }
  }

  template <int M, int N>
  static __device__ __forceinline__ void finish(Sums<M, N>& sums) {
#pragma unroll
    for (int e = 0; e < 4 * M * N; e++) {
      sums.d[e / (4 * N)][e / 4 % N][e % 4] += sums.low[e / (4 * N)][e / 4 % N][e % 4] / kScale;
    }
  }
};

}  // namespace gg

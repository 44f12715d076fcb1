// Tensor-core products of a warp, d += a b. All 32 lanes call.
//
//   mma_m16n8k16<bf16>(d, a, b);                     one product
//   mma_tile<MmaM16N8K16<bf16>>(d, a, b);            d[M][N][4], a[M][4], b[N][2]: M x N products
//
// a is [m, k], b is [k, n], d is [m, n]. With g = lane / 4, t = lane % 4, and e elements in a
// 32-bit register (tf32 1, 16-bit types 2, 8-bit types 4; the lowest index in the lowest bits), a
// lane holds of
//   a   in a[r]      row g + 8 (r % 2), columns e t + 4 e (r / 2) ...      (m = 8: row g)
//   b   in b[r]      rows e t + 4 e r ...,  column g
//   d   in d[r]      row g + 8 (r / 2), column 2 t + r % 2
// which is what ldmatrix gives for a stored row by row and b stored column by column.
//
// Floating products are exact and added in float with truncation, as tensor cores do (Fasi, Higham,
// Mikaitis, Pranesh 2021): an error of up to one unit in the last place per product, toward zero.
// Integer sums wrap.
//
// PTX ISA, "Matrix multiply-accumulate operation using mma instruction". Each traps on an
// architecture older than the one it needs.
#pragma once

#include "device/platform.h"
#include "device/types.h"

namespace gg {

/// f16 or bf16, float sums. sm_80 and up.
template <class T>
struct MmaM16N8K16 {
  static_assert(is_half<T>, "mma_m16n8k16 multiplies f16 or bf16");
  using Sum = float;
  static constexpr int kM = 16, kN = 8, kK = 16, kA = 4, kB = 2, kD = 4, kArchitecture = 80;
#if GG_SIMULATOR
  static constexpr sim::MmaShape kShape{"mma_m16n8k16", kM, kK, sim::mma_type<T>, kArchitecture};
#else
  static __device__ __forceinline__ void run(Sum (&d)[kD], const uint32_t (&a)[kA],
                                             const uint32_t (&b)[kB]) {
#if !GG_ARCH_AT_LEAST(80)
    __trap();
#else
    if constexpr (std::is_same_v<T, f16>) {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
          "{%8, %9}, {%0, %1, %2, %3};"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    } else {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, "
          "%7}, {%8, %9}, {%0, %1, %2, %3};"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
#endif
  }
#endif
};

/// f16, float sums. sm_75 and up.
template <class T = f16>
struct MmaM16N8K8 {
  static_assert(std::is_same_v<T, f16>, "mma_m16n8k8 multiplies f16");
  using Sum = float;
  static constexpr int kM = 16, kN = 8, kK = 8, kA = 2, kB = 1, kD = 4, kArchitecture = 75;
#if GG_SIMULATOR
  static constexpr sim::MmaShape kShape{"mma_m16n8k8", kM, kK, sim::mma_type<T>, kArchitecture};
#else
  static __device__ __forceinline__ void run(Sum (&d)[kD], const uint32_t (&a)[kA],
                                             const uint32_t (&b)[kB]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(b[0]));
  }
#endif
};

/// tf32: floats whose low 13 bits are ignored (to_tf32 rounds them away), float sums. sm_80 and up.
struct MmaM16N8K8Tf32 {
  using Sum = float;
  static constexpr int kM = 16, kN = 8, kK = 8, kA = 4, kB = 2, kD = 4, kArchitecture = 80;
#if GG_SIMULATOR
  static constexpr sim::MmaShape kShape{"mma_m16n8k8_tf32", kM, kK, sim::MmaType::tf32,
                                        kArchitecture};
#else
  static __device__ __forceinline__ void run(Sum (&d)[kD], const uint32_t (&a)[kA],
                                             const uint32_t (&b)[kB]) {
#if !GG_ARCH_AT_LEAST(80)
    __trap();
#else
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
  }
#endif
};

/// int8_t or uint8_t, int32 sums. sm_80 and up.
template <class T>
struct MmaM16N8K32 {
  static_assert(std::is_same_v<T, int8_t> || std::is_same_v<T, uint8_t>);
  using Sum = int32_t;
  static constexpr int kM = 16, kN = 8, kK = 32, kA = 4, kB = 2, kD = 4, kArchitecture = 80;
#if GG_SIMULATOR
  static constexpr sim::MmaShape kShape{"mma_m16n8k32", kM, kK, sim::mma_type<T>, kArchitecture};
#else
  static __device__ __forceinline__ void run(Sum (&d)[kD], const uint32_t (&a)[kA],
                                             const uint32_t (&b)[kB]) {
#if !GG_ARCH_AT_LEAST(80)
    __trap();
#else
    if constexpr (std::is_same_v<T, int8_t>) {
      asm volatile(
          "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
          "{%8, %9}, {%0, %1, %2, %3};"
          : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    } else {
      asm volatile(
          "mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
          "{%8, %9}, {%0, %1, %2, %3};"
          : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
#endif
  }
#endif
};

/// int8_t or uint8_t, int32 sums. sm_75 and up.
template <class T>
struct MmaM8N8K16 {
  static_assert(std::is_same_v<T, int8_t> || std::is_same_v<T, uint8_t>);
  using Sum = int32_t;
  static constexpr int kM = 8, kN = 8, kK = 16, kA = 1, kB = 1, kD = 2, kArchitecture = 75;
#if GG_SIMULATOR
  static constexpr sim::MmaShape kShape{"mma_m8n8k16", kM, kK, sim::mma_type<T>, kArchitecture};
#else
  static __device__ __forceinline__ void run(Sum (&d)[kD], const uint32_t (&a)[kA],
                                             const uint32_t (&b)[kB]) {
    if constexpr (std::is_same_v<T, int8_t>) {
      asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                   : "+r"(d[0]), "+r"(d[1])
                   : "r"(a[0]), "r"(b[0]));
    } else {
      asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.u8.u8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                   : "+r"(d[0]), "+r"(d[1])
                   : "r"(a[0]), "r"(b[0]));
    }
  }
#endif
};

/// M x N products at once: d[i][j] += a[i] b[j]. In the simulator the warp meets once for all of
/// them, which is 2.4 times faster there than a product at a time.
template <class Op, int M, int N>
GG_DEVICE void mma_tile(typename Op::Sum (&d)[M][N][Op::kD], const uint32_t (&a)[M][Op::kA],
                        const uint32_t (&b)[N][Op::kB] GG_WHERE) {
#if GG_SIMULATOR
  sim::mma(Op::kShape, &d[0][0][0], &a[0][0], &b[0][0], M, N, where);
#else
#pragma unroll
  for (int i = 0; i < M; i++) {
#pragma unroll
    for (int j = 0; j < N; j++) {
      const int column = i % 2 ? N - 1 - j : j;  // back and forth: the last b is used again at once
      Op::run(d[i][column], a[i], b[column]);
    }
  }
#endif
}

namespace detail {
template <class Op>
GG_DEVICE void mma_one(typename Op::Sum (&d)[Op::kD], const uint32_t (&a)[Op::kA],
                       const uint32_t (&b)[Op::kB] GG_WHERE) {
#if GG_SIMULATOR
  sim::mma(Op::kShape, d, a, b, 1, 1, where);
#else
  Op::run(d, a, b);
#endif
}
}  // namespace detail

template <class T>
GG_DEVICE void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4],
                            const uint32_t (&b)[2] GG_WHERE) {
  detail::mma_one<MmaM16N8K16<T>>(d, a, b GG_PASS_WHERE);
}

template <class T>
GG_DEVICE void mma_m16n8k8(float (&d)[4], const uint32_t (&a)[2], const uint32_t (&b)[1] GG_WHERE) {
  detail::mma_one<MmaM16N8K8<T>>(d, a, b GG_PASS_WHERE);
}

GG_DEVICE void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4],
                                const uint32_t (&b)[2] GG_WHERE) {
  detail::mma_one<MmaM16N8K8Tf32>(d, a, b GG_PASS_WHERE);
}

template <class T>
GG_DEVICE void mma_m16n8k32(int32_t (&d)[4], const uint32_t (&a)[4],
                            const uint32_t (&b)[2] GG_WHERE) {
  detail::mma_one<MmaM16N8K32<T>>(d, a, b GG_PASS_WHERE);
}

template <class T>
GG_DEVICE void mma_m8n8k16(int32_t (&d)[2], const uint32_t (&a)[1],
                           const uint32_t (&b)[1] GG_WHERE) {
  detail::mma_one<MmaM8N8K16<T>>(d, a, b GG_PASS_WHERE);
}

/// f rounded to tf32, a float with 10 fraction bits: to nearest, ties away from zero. The bits of
/// that float. PTX ISA, "Data movement and conversion instructions: cvt" (cvt.rna.tf32.f32).
GG_DEVICE uint32_t to_tf32(float f) {
#if !GG_SIMULATOR && GG_ARCH_AT_LEAST(80)
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(f));
  return bits;
#else
  const uint32_t bits = float_bits(f);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits | 0x400000u) & ~0x1fffu;  // NaN stays NaN
  if ((bits & 0x7fffffffu) == 0x7f800000u) return bits;
  return (bits + 0x1000u) & ~0x1fffu;
#endif
}

}  // namespace gg

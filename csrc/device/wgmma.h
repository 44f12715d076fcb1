// Matrix products of a warpgroup: four warps, the first one's index a multiple of 4.
//
//   D[64][N] = A[64][K] B[K][N] (+ D)     K is 32 bytes: 16 f16/bf16, 8 tf32, 32 of 8 bits
//
//   wgmma_fence();                        // before the first, and after touching d or a
//   wgmma<bf16, 128>(d, a, b, k > 0);     // asynchronous; the false of k == 0 stands for d = 0
//   wgmma_commit();                       // closes a group
//   wgmma_wait<0>();  wgmma_pin(d);       // now d may be read, and the tiles overwritten
//
// D: thread t of the warpgroup holds, for i < N / 2, row 16 (t / 32) + t % 32 / 4 + 8 (i / 2 % 2)
// and column 8 (i / 4) + 2 (t % 4) + i % 2.
// A in registers: a[j] are the 4 bytes of row 16 (t / 32) + t % 32 / 4 + 8 (j % 2) at byte
// 4 (t % 4) + 16 (j / 2) of K, as in mma.sync's m16 fragments.
//
// A and B in shared memory are described by wgmma_descriptor. Both are K-major by default (K
// contiguous: A[64][K] row-major, B[N][K] row-major); TransA and TransB, for 16-bit types, say that
// M or N is contiguous. With a swizzle of s bytes a tile as TMA writes it is rows of s bytes, 8 of
// which make a pattern that starts at a multiple of 8 s. Then
//   K-major:   a row is s bytes of K of one m or n; stride_bytes lies between groups of 8 rows;
//              leading_bytes is not used. The next K step starts 32 bytes on in the row.
//   MN-major:  a row is s bytes of M or N at one k; leading_bytes lies between tiles of s / 2
//              elements of M or N; stride_bytes between groups of 8 k.
// Without a swizzle the unit is 8 rows of 16 bytes, contiguous: leading_bytes lies between units
// along K, stride_bytes between units along M or N.
//
// Sums of an instruction in float: products are exact, but they and d are cut off 25 bits below the
// largest exponent among them (a product's is the sum of its factors'), toward zero, then added,
// and the sum is truncated to float. Of fp8, 13 bits below, and the sum keeps 13 fraction bits.
// This is what H100s were found to do (Xie et al. 2025, MMA-Sim; DeepSeek-V3's report;
// SageAttention2); the simulator does so too, and tests/sim/on_gpu.py asks a GPU. A kernel that
// needs more adds groups of products up itself. Integer sums wrap.
//
// PTX ISA, Asynchronous Warpgroup Level Matrix Instructions. sm_90a; traps elsewhere.
#pragma once

#include "device/shared_address.h"
#include "device/types.h"

#if !GG_SIMULATOR && GG_HOPPER
#include "device/wgmma_operands.h"
#endif

namespace gg {

/// tf32 as an operand's type: float bits, of which the low 13 are ignored.
struct tf32 {
  float value;
};

template <class T>
constexpr bool is_wgmma_integer = std::is_same_v<T, int8_t> || std::is_same_v<T, uint8_t>;

template <class A>
using WgmmaAcc = std::conditional_t<is_wgmma_integer<A>, int32_t, float>;

namespace detail {

template <class T>
struct WgmmaTypeOf;
#if GG_SIMULATOR
#define GG_WGMMA_TYPE(T, ptx)                                   \
  template <>                                                   \
  struct WgmmaTypeOf<T> {                                       \
    static constexpr sim::WgmmaType kind = sim::WgmmaType::ptx; \
  };
#else
#define GG_WGMMA_TYPE(T, ptx)            \
  template <>                            \
  struct WgmmaTypeOf<T> {                \
    static constexpr char name[] = #ptx; \
  };
#endif
GG_WGMMA_TYPE(f16, f16)
GG_WGMMA_TYPE(bf16, bf16)
GG_WGMMA_TYPE(tf32, tf32)
GG_WGMMA_TYPE(f8e4m3, e4m3)
GG_WGMMA_TYPE(f8e5m2, e5m2)
GG_WGMMA_TYPE(int8_t, s8)
GG_WGMMA_TYPE(uint8_t, u8)
#undef GG_WGMMA_TYPE

template <class T>
constexpr bool is_fp8 = std::is_same_v<T, f8e4m3> || std::is_same_v<T, f8e5m2>;

template <class A, class B, int N, bool TransA, bool TransB>
GG_DEVICE constexpr void check_wgmma() {
  static_assert(N >= 8 && N <= 256 && N % 8 == 0, "N is 8, 16, ..., 256");
  static_assert(!is_wgmma_integer<A> || N <= 32 || N % 16 == 0,
                "8-bit integers: N is 8, 16, 24, 32, 48, ..., 256");
  static_assert(std::is_same_v<A, B> || (is_fp8<A> && is_fp8<B>) ||
                    (is_wgmma_integer<A> && is_wgmma_integer<B>),
                "A and B are of one type, or both fp8, or both 8-bit integers");
  static_assert(is_half<A> || (!TransA && !TransB), "only 16-bit types can be transposed");
}

#if !GG_SIMULATOR && GG_HOPPER

// The parts of an instruction's text that depend on types: K and the accumulator's type ...
template <class A>
struct WgmmaShape {
  static constexpr char text[] = "k32.f32.";
};
template <class A>
  requires is_half<A>
struct WgmmaShape<A> {
  static constexpr char text[] = "k16.f32.";
};
template <>
struct WgmmaShape<tf32> {
  static constexpr char text[] = "k8.f32.";
};
template <class A>
  requires is_wgmma_integer<A>
struct WgmmaShape<A> {
  static constexpr char text[] = "k32.s32.";
};

// ... and what follows the scale of d: signs of A and B (not for integers), then transpositions
// (16-bit types; A in registers has none).
template <class A, int TransA, int TransB>
struct WgmmaTail {
  static constexpr char text[] = ", 1, 1";
};
template <class A, int TransA, int TransB>
  requires is_half<A>
struct WgmmaTail<A, TransA, TransB> {
  static constexpr char text[] = {',', ' ',          '1', ',', ' ',          '1', ',',
                                  ' ', '0' + TransA, ',', ' ', '0' + TransB, 0};
};
template <class A, int TransB>
  requires is_half<A>
struct WgmmaTail<A, -1, TransB> {
  static constexpr char text[] = {',', ' ', '1', ',', ' ', '1', ',', ' ', '0' + TransB, 0};
};
template <class A, int TransA, int TransB>
  requires is_wgmma_integer<A>
struct WgmmaTail<A, TransA, TransB> {
  static constexpr char text[] = "";
};

template <int N>
struct WgmmaN;

// The operands i0, i1, ... after the accumulators: three texts that complete the instruction's
// name, A, B, whether to add to d, and the text of the tail.
#define GG_WGMMA_NAME(n, i0, i1, i2) \
  "wgmma.mma_async.sync.aligned.m64n" #n "%" #i0 "%" #i1 ".%" #i2 " {" GG_WGMMA_TEXT_##n "}, "
#define GG_WGMMA_SHARED(n, c, i0, i1, i2, i3, i4, i5, i6)                                        \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #i5                                          \
               ", 0;\n" GG_WGMMA_NAME(n, i0, i1, i2) "%" #i3 ", %" #i4 ", p%" #i6 ";\n}"         \
               : GG_WGMMA_D_##n(c)                                                               \
               : "C"(WgmmaShape<A>::text), "C"(WgmmaTypeOf<A>::name), "C"(WgmmaTypeOf<B>::name), \
                 "l"(a), "l"(b), "r"(accumulate), "C"(WgmmaTail<A, TransA, TransB>::text))
#define GG_WGMMA_REGISTERS(n, c, i0, i1, i2, i3, i4, i5, i6, i7, i8, i9)                         \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #i8                                          \
               ", 0;\n" GG_WGMMA_NAME(n, i0, i1, i2) "{%" #i3 ", %" #i4 ", %" #i5 ", %" #i6      \
                                                     "}, %" #i7 ", p%" #i9 ";\n}"                \
               : GG_WGMMA_D_##n(c)                                                               \
               : "C"(WgmmaShape<A>::text), "C"(WgmmaTypeOf<A>::name), "C"(WgmmaTypeOf<B>::name), \
                 "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate),            \
                 "C"(WgmmaTail<A, -1, TransB>::text))

#define GG_WGMMA_CASE(n, i0, i1, i2, i3, i4, i5, i6, i7, i8, i9)                            \
  template <>                                                                               \
  struct WgmmaN<n> {                                                                        \
    template <class A, class B, int TransA, int TransB>                                     \
    static __device__ __forceinline__ void run(float (&d)[n / 2], uint64_t a, uint64_t b,   \
                                               int accumulate) {                            \
      GG_WGMMA_SHARED(n, "+f", i0, i1, i2, i3, i4, i5, i6);                                 \
    }                                                                                       \
    template <class A, class B, int TransA, int TransB>                                     \
    static __device__ __forceinline__ void run(int32_t (&d)[n / 2], uint64_t a, uint64_t b, \
                                               int accumulate) {                            \
      GG_WGMMA_SHARED(n, "+r", i0, i1, i2, i3, i4, i5, i6);                                 \
    }                                                                                       \
    template <class A, class B, int TransB>                                                 \
    static __device__ __forceinline__ void run(float (&d)[n / 2], const uint32_t (&a)[4],   \
                                               uint64_t b, int accumulate) {                \
      GG_WGMMA_REGISTERS(n, "+f", i0, i1, i2, i3, i4, i5, i6, i7, i8, i9);                  \
    }                                                                                       \
    template <class A, class B, int TransB>                                                 \
    static __device__ __forceinline__ void run(int32_t (&d)[n / 2], const uint32_t (&a)[4], \
                                               uint64_t b, int accumulate) {                \
      GG_WGMMA_REGISTERS(n, "+r", i0, i1, i2, i3, i4, i5, i6, i7, i8, i9);                  \
    }                                                                                       \
  };
GG_WGMMA_FOR_EACH_N(GG_WGMMA_CASE)
#undef GG_WGMMA_CASE
#undef GG_WGMMA_REGISTERS
#undef GG_WGMMA_SHARED
#undef GG_WGMMA_NAME

#endif

}  // namespace detail

/// A tile in shared memory; offsets as at the head of this file, multiples of 16 below 2^18.
GG_DEVICE uint64_t wgmma_descriptor(const void* shared, int leading_bytes, int stride_bytes,
                                    Swizzle swizzle GG_WHERE) {
#if GG_SIMULATOR
  return sim::wgmma_descriptor(shared, static_cast<unsigned>(leading_bytes),
                               static_cast<unsigned>(stride_bytes), static_cast<int>(swizzle),
                               where);
#else
  // PTX ISA, Matrix Descriptor Format: units of 16 bytes; mode 1, 2, 3 for 128, 64, 32 bytes.
  const uint64_t mode = swizzle == Swizzle::k128  ? 1
                        : swizzle == Swizzle::k64 ? 2
                        : swizzle == Swizzle::k32 ? 3
                                                  : 0;
  return (shared_address(shared) & 0x3ffffu) >> 4 |
         static_cast<uint64_t>((leading_bytes & 0x3ffff) >> 4) << 16 |
         static_cast<uint64_t>((stride_bytes & 0x3ffff) >> 4) << 32 | mode << 62;
#endif
}

/// The descriptor of the same tile `bytes` further on, a multiple of 16.
GG_DEVICE uint64_t wgmma_advance(uint64_t descriptor, int bytes) {
  return descriptor + static_cast<uint64_t>(bytes / 16);
}

/// D = A B (+ D if accumulate) with both operands in shared memory.
template <class A, int N, bool TransA = false, bool TransB = false, class B = A>
GG_DEVICE void wgmma(WgmmaAcc<A> (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate GG_WHERE) {
  detail::check_wgmma<A, B, N, TransA, TransB>();
#if GG_SIMULATOR
  sim::wgmma({detail::WgmmaTypeOf<A>::kind, detail::WgmmaTypeOf<B>::kind, N, TransA, TransB,
              accumulate, reinterpret_cast<uint32_t*>(d), nullptr, a, b},
             where);
#elif GG_HOPPER
  detail::WgmmaN<N>::template run<A, B, TransA, TransB>(d, a, b, accumulate);
#else
  __trap();
#endif
}

/// The same with A in registers, which may not be touched before wgmma_wait either. (The simulator
/// copies them here, and so does not see it if they are.)
template <class A, int N, bool TransB = false, class B = A>
GG_DEVICE void wgmma(WgmmaAcc<A> (&d)[N / 2], const uint32_t (&a)[4], uint64_t b,
                     bool accumulate GG_WHERE) {
  detail::check_wgmma<A, B, N, false, TransB>();
#if GG_SIMULATOR
  sim::wgmma({detail::WgmmaTypeOf<A>::kind, detail::WgmmaTypeOf<B>::kind, N, false, TransB,
              accumulate, reinterpret_cast<uint32_t*>(d), a, 0, b},
             where);
#elif GG_HOPPER
  detail::WgmmaN<N>::template run<A, B, TransB>(d, a, b, accumulate);
#else
  __trap();
#endif
}

/// Orders the warp's earlier accesses to registers before its next wgmma.
GG_DEVICE void wgmma_fence(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::wgmma_fence(where);
#elif GG_HOPPER
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#else
  __trap();
#endif
}

/// Makes a group of the warpgroup's products since the last one.
GG_DEVICE void wgmma_commit(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::wgmma_commit(where);
#elif GG_HOPPER
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#else
  __trap();
#endif
}

/// Returns when all but the newest N groups are complete.
template <int N>
GG_DEVICE void wgmma_wait(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::wgmma_wait(N, where);
#elif GG_HOPPER
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
#else
  __trap();
#endif
}

/// Keeps the compiler from moving accesses to accumulators across this point, which it may do
/// because it does not know that a product runs on until wgmma_wait. No instruction.
template <class T, int M>
GG_DEVICE void wgmma_pin([[maybe_unused]] T (&d)[M]) {
#if !GG_SIMULATOR && GG_HOPPER
#pragma unroll
  for (int i = 0; i < M; i++) {
    if constexpr (std::is_same_v<T, float>) {
      asm volatile("" : "+f"(d[i])::"memory");
    } else {
      asm volatile("" : "+r"(d[i])::"memory");
    }
  }
#endif
}

}  // namespace gg

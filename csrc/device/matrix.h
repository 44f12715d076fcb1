// Matrices of 8 x 8 16-bit elements between shared memory and a warp's registers.
//
// A row is 16 consecutive bytes, at a multiple of 16. Lane 8 i + j says where row j of matrix i is;
// for N matrices the addresses of lanes 8 N and up are not used, but on sm_75 they must be valid.
// All 32 lanes call.
//
// Fragment: lane l holds in r[i] the elements (l / 4, 2 (l % 4)) and (l / 4, 2 (l % 4) + 1) of
// matrix i, the first in the low half. The _trans forms transpose: lane l holds the elements
// (2 (l % 4), l / 4) and (2 (l % 4) + 1, l / 4). Both are fragments of mma (device/mma.h).
//
// PTX ISA, "Warp-level matrix load instruction: ldmatrix" and "... store instruction: stmatrix".
#pragma once

#include <cstring>

#include "device/vec.h"

#if !GG_SIMULATOR
#include "device/shared_address.h"
#endif

namespace gg {
namespace detail {

#if GG_SIMULATOR
// Each lane's own access is made here, in code that sanitizers see.
template <int N>
void load_matrices(uint32_t (&r)[N], const void* row, sim::MatrixMove move, sim::Where where) {
  static_assert(N == 1 || N == 2 || N == 4, "ldmatrix loads 1, 2 or 4 matrices");
  using Row = Word<16>::type;
  uint32_t words[4] = {};
  if (sim::self->lane < 8 * N || sim::architecture() < 80) sim::check_matrix_row(row, move, where);
  if (sim::self->lane < 8 * N) {
    const Row mine = *static_cast<const Row*>(row);
    memcpy(words, &mine, 16);
  }
  sim::exchange_matrices(words, r, N, move, where);
}

template <int N>
void store_matrices(void* row, const uint32_t (&r)[N], sim::MatrixMove move, sim::Where where) {
  static_assert(N == 1 || N == 2 || N == 4, "stmatrix stores 1, 2 or 4 matrices");
  using Row = Word<16>::type;
  uint32_t words[4] = {}, fragments[N];
  for (int i = 0; i < N; i++) fragments[i] = r[i];
  if (sim::self->lane < 8 * N) sim::check_matrix_row(row, move, where);
  sim::exchange_matrices(words, fragments, N, move, where);
  if (sim::self->lane >= 8 * N) return;
  Row mine;
  memcpy(&mine, words, 16);
  *static_cast<Row*>(row) = mine;
}
#endif

}  // namespace detail

/// Loads N = 1, 2 or 4 matrices. sm_75 and up.
template <int N>
GG_DEVICE void ldmatrix(uint32_t (&r)[N], const void* row GG_WHERE) {
#if GG_SIMULATOR
  detail::load_matrices<N>(r, row, sim::MatrixMove::load, where);
#else
  static_assert(N == 1 || N == 2 || N == 4, "ldmatrix loads 1, 2 or 4 matrices");
  const uint32_t address = shared_address(row);
  if constexpr (N == 1) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                 : "=r"(r[0])
                 : "r"(address)
                 : "memory");
  } else if constexpr (N == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  }
#endif
}

/// The same, each matrix transposed. sm_75 and up.
template <int N>
GG_DEVICE void ldmatrix_trans(uint32_t (&r)[N], const void* row GG_WHERE) {
#if GG_SIMULATOR
  detail::load_matrices<N>(r, row, sim::MatrixMove::load_trans, where);
#else
  static_assert(N == 1 || N == 2 || N == 4, "ldmatrix loads 1, 2 or 4 matrices");
  const uint32_t address = shared_address(row);
  if constexpr (N == 1) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(r[0])
                 : "r"(address)
                 : "memory");
  } else if constexpr (N == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  }
#endif
}

/// Stores N = 1, 2 or 4 matrices. sm_90 and up; traps below.
template <int N>
GG_DEVICE void stmatrix(void* row, const uint32_t (&r)[N] GG_WHERE) {
  static_assert(N == 1 || N == 2 || N == 4, "stmatrix stores 1, 2 or 4 matrices");
#if GG_SIMULATOR
  detail::store_matrices<N>(row, r, sim::MatrixMove::store, where);
#elif !GG_ARCH_AT_LEAST(90)
  __trap();
#else
  const uint32_t address = shared_address(row);
  if constexpr (N == 1) {
    asm volatile("stmatrix.sync.aligned.m8n8.x1.shared.b16 [%0], {%1};" ::"r"(address), "r"(r[0])
                 : "memory");
  } else if constexpr (N == 2) {
    asm volatile("stmatrix.sync.aligned.m8n8.x2.shared.b16 [%0], {%1, %2};" ::"r"(address),
                 "r"(r[0]), "r"(r[1])
                 : "memory");
  } else {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
                 "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
                 : "memory");
  }
#endif
}

/// The same, each matrix transposed. sm_90 and up; traps below.
template <int N>
GG_DEVICE void stmatrix_trans(void* row, const uint32_t (&r)[N] GG_WHERE) {
  static_assert(N == 1 || N == 2 || N == 4, "stmatrix stores 1, 2 or 4 matrices");
#if GG_SIMULATOR
  detail::store_matrices<N>(row, r, sim::MatrixMove::store_trans, where);
#elif !GG_ARCH_AT_LEAST(90)
  __trap();
#else
  const uint32_t address = shared_address(row);
  if constexpr (N == 1) {
    asm volatile("stmatrix.sync.aligned.m8n8.x1.trans.shared.b16 [%0], {%1};" ::"r"(address),
                 "r"(r[0])
                 : "memory");
  } else if constexpr (N == 2) {
    asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1, %2};" ::"r"(address),
                 "r"(r[0]), "r"(r[1])
                 : "memory");
  } else {
    asm volatile(
        "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
        "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
        : "memory");
  }
#endif
}

}  // namespace gg

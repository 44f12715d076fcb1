// Loops of one source compiled twice: for the instructions the module is built for, and for
// AVX-512, chosen at run time. A loop is an always_inline function; GG_WIDE stands before the
// function that holds it for AVX-512. (Without its 64-bit products, DQ, which are slow: compilers
// take them for Philox's products of 32 bits. A lambda does not take over that attribute: none in
// there.)
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GG_WIDE [[gnu::target("avx512f,avx512bw,avx512vl,prefer-vector-width=512")]]
#else
#define GG_WIDE
#endif

namespace gg {

/// Does this machine run what GG_WIDE compiles?
inline bool machine_is_wide() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

}  // namespace gg

// Loads and stores that say how long caches should keep the data.
//
// PTX ISA, "Cache operators", "Cache eviction priority hints" and "prefetch, prefetchu".
#pragma once

#include "device/vec.h"

namespace gg {

namespace detail {

#if GG_SIMULATOR
template <class Word>
Word load_streaming(const Word* p) {
  return *p;
}
template <class Word>
void store_streaming(Word* p, const Word& word) {
  *p = word;
}
#else
GG_DEVICE size_t global_address(const void* p) {
  return __cvta_generic_to_global(p);
}

GG_DEVICE unsigned char load_streaming(const unsigned char* p) {
  unsigned value;
  asm volatile("ld.global.L1::no_allocate.u8 %0, [%1];" : "=r"(value) : "l"(global_address(p)));
  return static_cast<unsigned char>(value);
}
GG_DEVICE unsigned short load_streaming(const unsigned short* p) {
  unsigned short value;
  asm volatile("ld.global.L1::no_allocate.u16 %0, [%1];" : "=h"(value) : "l"(global_address(p)));
  return value;
}
GG_DEVICE unsigned load_streaming(const unsigned* p) {
  unsigned value;
  asm volatile("ld.global.L1::no_allocate.u32 %0, [%1];" : "=r"(value) : "l"(global_address(p)));
  return value;
}
GG_DEVICE uint2 load_streaming(const uint2* p) {
  uint2 value;
  asm volatile("ld.global.L1::no_allocate.v2.u32 {%0, %1}, [%2];"
               : "=r"(value.x), "=r"(value.y)
               : "l"(global_address(p)));
  return value;
}
GG_DEVICE uint4 load_streaming(const uint4* p) {
  uint4 value;
  asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(global_address(p)));
  return value;
}

GG_DEVICE void store_streaming(unsigned char* p, unsigned char v) {
  asm volatile("st.global.cs.u8 [%0], %1;" ::"l"(global_address(p)), "r"(unsigned{v}) : "memory");
}
GG_DEVICE void store_streaming(unsigned short* p, unsigned short v) {
  asm volatile("st.global.cs.u16 [%0], %1;" ::"l"(global_address(p)), "h"(v) : "memory");
}
GG_DEVICE void store_streaming(unsigned* p, unsigned v) {
  asm volatile("st.global.cs.u32 [%0], %1;" ::"l"(global_address(p)), "r"(v) : "memory");
}
GG_DEVICE void store_streaming(uint2* p, uint2 v) {
  asm volatile("st.global.cs.v2.u32 [%0], {%1, %2};" ::"l"(global_address(p)), "r"(v.x), "r"(v.y)
               : "memory");
}
GG_DEVICE void store_streaming(uint4* p, uint4 v) {
  asm volatile("st.global.cs.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(global_address(p)), "r"(v.x),
               "r"(v.y), "r"(v.z), "r"(v.w)
               : "memory");
}
#endif

}  // namespace detail

/// As load_vec, for global memory that is read once: not kept in L1. Not .nc: the compiler moves
/// such loads above grid_dependency_wait.
template <int N, class T>
GG_DEVICE Vec<T, N> load_vec_streaming(const T* p GG_WHERE) {
  using V = Vec<T, N>;
  using Word = typename detail::Word<alignof(V)>::type;
#if GG_SIMULATOR
  sim::check_alignment(p, alignof(V), "load_vec_streaming", where);
#endif
  V result;
  const Word* source = reinterpret_cast<const Word*>(p);
#pragma unroll
  for (size_t i = 0; i < sizeof(V) / sizeof(Word); i++) {
    const Word word = detail::load_streaming(source + i);
    memcpy(reinterpret_cast<char*>(&result) + i * sizeof(Word), &word, sizeof(Word));
  }
  return result;
}

/// As store_vec, for global memory that is not read again soon: evicted first.
template <class T, int N>
GG_DEVICE void store_vec_streaming(T* p, const Vec<T, N>& value GG_WHERE) {
  using V = Vec<T, N>;
  using Word = typename detail::Word<alignof(V)>::type;
#if GG_SIMULATOR
  sim::check_alignment(p, alignof(V), "store_vec_streaming", where);
#endif
  Word* target = reinterpret_cast<Word*>(p);
#pragma unroll
  for (size_t i = 0; i < sizeof(V) / sizeof(Word); i++) {
    Word word;
    memcpy(&word, reinterpret_cast<const char*>(&value) + i * sizeof(Word), sizeof(Word));
    detail::store_streaming(target + i, word);
  }
}

/// Asks for the cache line of p, in global memory, to be brought into L2. p is a valid address.
GG_DEVICE void prefetch_l2([[maybe_unused]] const void* p) {
#if !GG_SIMULATOR
  asm volatile("prefetch.global.L2 [%0];" ::"l"(detail::global_address(p)));
#endif
}

}  // namespace gg

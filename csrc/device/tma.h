// TMA: copies of boxes between global and shared memory that run beside the threads.
//
// One thread starts a copy. Loads report their bytes to an mbarrier (mbarrier.h). Stores and
// reductions are gathered in groups: tma_store_commit() closes one, tma_store_wait<N>() waits until
// at most N are under way; a thread that stores must wait (at least with _read) before it exits.
//
// c... are the box's first coordinates, contiguous dimension first, as many as the map's rank; they
// may lie outside the tensor. A box in shared memory is packed, contiguous dimension fastest, in
// the map's swizzle, and aligned to 128 bytes (with a swizzle, to 8 of its rows).
// PTX ISA, Data Movement and Conversion Instructions: cp.async.bulk.tensor,
// cp.reduce.async.bulk.tensor, cp.async.bulk, prefetch.tensormap. sm_90a; traps elsewhere.
#pragma once

#include "device/mbarrier.h"
#include "device/tensor_map.h"

namespace gg {

/// A map, with file and line of the call it is named in.
struct TmaMap {
  const TensorMap* map;
#if GG_SIMULATOR
  sim::Where where;
#endif
  __device__ __forceinline__ TmaMap(const TensorMap* m GG_WHERE)
      : map(m)
#if GG_SIMULATOR
        ,
        where(where)
#endif
  {
  }
};

/// The position of a filter's element, W first: added to the coordinates of every pixel. The
/// instruction has 16 bits for all of them: w is 0 to 65535 with a map of rank 3, w and h are 0 to
/// 255 with rank 4, and w, h and d 0 to 31 with rank 5.
struct TmaOffsets {
  uint16_t w = 0, h = 0, d = 0;
};

namespace detail {

#if GG_SIMULATOR
template <class... C>
sim::TmaCoordinates tma_at(C... c) {
  return {static_cast<int>(sizeof...(C)), {static_cast<int>(c)...}, {}};
}
#elif GG_HOPPER

// An instruction for each rank. INSTRUCTION(rank, list) is an asm statement whose operands %0 to %3
// are its own and whose last are the coordinates c[], written `list` in its text.
#define GG_TMA_C1 "r"(c[0])
#define GG_TMA_C2 GG_TMA_C1, "r"(c[1])
#define GG_TMA_C3 GG_TMA_C2, "r"(c[2])
#define GG_TMA_C4 GG_TMA_C3, "r"(c[3])
#define GG_TMA_C5 GG_TMA_C4, "r"(c[4])
#define GG_TMA_RANKS_3_TO_5(rank, INSTRUCTION)                               \
  if constexpr (rank == 3) INSTRUCTION("3d", "{%4, %5, %6}", GG_TMA_C3);     \
  if constexpr (rank == 4) INSTRUCTION("4d", "{%4, %5, %6, %7}", GG_TMA_C4); \
  if constexpr (rank == 5) INSTRUCTION("5d", "{%4, %5, %6, %7, %8}", GG_TMA_C5)
#define GG_TMA_RANKS_1_TO_5(rank, INSTRUCTION)                       \
  if constexpr (rank == 1) INSTRUCTION("1d", "{%4}", GG_TMA_C1);     \
  if constexpr (rank == 2) INSTRUCTION("2d", "{%4, %5}", GG_TMA_C2); \
  GG_TMA_RANKS_3_TO_5(rank, INSTRUCTION)

// Shared address, map, mbarrier, blocks of the cluster.
#define GG_TMA_LOAD_OPERANDS(...) \
  ::"r"(to), "l"(map), "r"(signal), "h"(mask), __VA_ARGS__ : "memory"
#define GG_TMA_LOAD(rank, list, ...)                                                        \
  asm volatile("cp.async.bulk.tensor." rank                                                 \
               ".shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, " list \
               "], [%2];" GG_TMA_LOAD_OPERANDS(__VA_ARGS__))
#define GG_TMA_LOAD_MULTICAST(rank, list, ...)                             \
  asm volatile("cp.async.bulk.tensor." rank                                \
               ".shared::cluster.global.tile.mbarrier::complete_tx::bytes" \
               ".multicast::cluster [%0], [%1, " list                      \
               "], [%2], %3;" GG_TMA_LOAD_OPERANDS(__VA_ARGS__))

template <bool Multicast, class... C>
GG_DEVICE void tma_load(uint32_t to, const TensorMap* map, uint32_t signal, uint16_t mask,
                        C... coordinates) {
  const int c[] = {static_cast<int>(coordinates)...};
  if constexpr (Multicast) {
    GG_TMA_RANKS_1_TO_5(sizeof...(C), GG_TMA_LOAD_MULTICAST);
  } else {
    GG_TMA_RANKS_1_TO_5(sizeof...(C), GG_TMA_LOAD);
  }
}

// The offsets follow the coordinates: as many as there are spatial dimensions.
#define GG_TMA_IM2COL(rank, list, ...)                                                            \
  asm volatile("cp.async.bulk.tensor." rank                                                       \
               ".shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, " list     \
               "], [%2], " GG_TMA_OFFSETS ";" ::"r"(to),                                          \
               "l"(map), "r"(signal), "h"(offsets.w), __VA_ARGS__, "h"(offsets.h), "h"(offsets.d) \
               : "memory")

template <class... C>
GG_DEVICE void tma_load_im2col(uint32_t to, const TensorMap* map, uint32_t signal,
                               TmaOffsets offsets, C... coordinates) {
  const int c[] = {static_cast<int>(coordinates)...};
#define GG_TMA_OFFSETS "{%3}"
  if constexpr (sizeof...(C) == 3) GG_TMA_IM2COL("3d", "{%4, %5, %6}", GG_TMA_C3);
#undef GG_TMA_OFFSETS
#define GG_TMA_OFFSETS "{%3, %8}"
  if constexpr (sizeof...(C) == 4) GG_TMA_IM2COL("4d", "{%4, %5, %6, %7}", GG_TMA_C4);
#undef GG_TMA_OFFSETS
#define GG_TMA_OFFSETS "{%3, %9, %10}"
  if constexpr (sizeof...(C) == 5) GG_TMA_IM2COL("5d", "{%4, %5, %6, %7, %8}", GG_TMA_C5);
#undef GG_TMA_OFFSETS
}

// Shared address, map, and the reduction's name.
#define GG_TMA_STORE(rank, list, ...)                                                        \
  asm volatile("cp.async.bulk.tensor." rank ".global.shared::cta.tile.bulk_group [%1, " list \
               "], [%0];" ::"r"(from),                                                       \
               "l"(map), "r"(0), "r"(0), __VA_ARGS__                                         \
               : "memory")
#define GG_TMA_REDUCE(rank, list, ...)                                                     \
  asm volatile("cp.reduce.async.bulk.tensor." rank                                         \
               ".global.shared::cta.%2.tile.bulk_group [%1, " list "], [%0];" ::"r"(from), \
               "l"(map), "C"(Op::name), "r"(0), __VA_ARGS__                                \
               : "memory")

template <class Op, class... C>
GG_DEVICE void tma_store(const TensorMap* map, uint32_t from, C... coordinates) {
  const int c[] = {static_cast<int>(coordinates)...};
  if constexpr (Op::reduces) {
    GG_TMA_RANKS_1_TO_5(sizeof...(C), GG_TMA_REDUCE);
  } else {
    GG_TMA_RANKS_1_TO_5(sizeof...(C), GG_TMA_STORE);
  }
}
#endif

// What a store does with what is there.
#if GG_SIMULATOR
#define GG_TMA_OPERATION(Name, operation)                   \
  struct Name {                                             \
    static constexpr auto kind = sim::TmaReduce::operation; \
  };
#else
#define GG_TMA_OPERATION(Name, operation)           \
  struct Name {                                     \
    static constexpr char name[] = #operation;      \
    static constexpr bool reduces = name[0] != 'n'; \
  };
#endif
GG_TMA_OPERATION(TmaNone, none)
GG_TMA_OPERATION(TmaAdd, add)
GG_TMA_OPERATION(TmaMin, min)
GG_TMA_OPERATION(TmaMax, max)
#undef GG_TMA_OPERATION

template <class Op, class... C>
GG_DEVICE void tma_put(TmaMap map, const void* shared, C... c) {
#if GG_SIMULATOR
  sim::tma_store(&map.map->data, shared, tma_at(c...), Op::kind, map.where);
#elif GG_HOPPER
  tma_store<Op>(map.map, shared_address(shared), c...);
#else
  __trap();
#endif
}

}  // namespace detail

// ---- loads -------------------------------------------------------------------------------------

/// Loads the box at c... into shared memory; its bytes (also those outside the tensor, which become
/// zero) are reported to barrier.
template <class... C>
GG_DEVICE void tma_load(void* shared, TmaMap map, Mbarrier* barrier, C... c) {
  static_assert(sizeof...(C) >= 1 && sizeof...(C) <= 5);
#if GG_SIMULATOR
  sim::tma_load(shared, &map.map->data, barrier, detail::tma_at(c...), false, false, 0, map.where);
#elif GG_HOPPER
  detail::tma_load<false>(shared_address(shared), map.map, shared_address(barrier), 0, c...);
#else
  __trap();
#endif
}

/// The same into every block of the cluster whose bit is set in mask, at the same place in its
/// shared memory; each block's barrier at the same place gets the bytes of its copy.
template <class... C>
GG_DEVICE void tma_load_multicast(void* shared, TmaMap map, Mbarrier* barrier, uint16_t mask,
                                  C... c) {
  static_assert(sizeof...(C) >= 1 && sizeof...(C) <= 5);
#if GG_SIMULATOR
  sim::tma_load(shared, &map.map->data, barrier, detail::tma_at(c...), false, true, mask,
                map.where);
#elif GG_HOPPER
  detail::tma_load<true>(shared_address(shared), map.map, shared_address(barrier), mask, c...);
#else
  __trap();
#endif
}

/// Loads map.pixels pixels of map.channels channels (a packed box of that shape). c... are channel,
/// (w, (h, (d,))) and image of the first pixel, before the filter's offset. Pixels follow one
/// another along w by the map's step, then h, then d, then the image, each between its corners; the
/// first pixel's (w, h, d) lies between them too: lower to dims - 1 + upper.
template <class... C>
GG_DEVICE void tma_load_im2col(void* shared, TmaMap map, Mbarrier* barrier, TmaOffsets offsets,
                               C... c) {
  static_assert(sizeof...(C) >= 3 && sizeof...(C) <= 5);
#if GG_SIMULATOR
  sim::TmaCoordinates at = detail::tma_at(c...);
  at.offset[0] = offsets.w;
  at.offset[1] = offsets.h;
  at.offset[2] = offsets.d;
  sim::tma_load(shared, &map.map->data, barrier, at, true, false, 0, map.where);
#elif GG_HOPPER
  detail::tma_load_im2col(shared_address(shared), map.map, shared_address(barrier), offsets, c...);
#else
  __trap();
#endif
}

/// Copies `bytes` contiguous bytes; bytes and both addresses are multiples of 16.
GG_DEVICE void bulk_load(void* shared, const void* global, int bytes, Mbarrier* barrier GG_WHERE) {
#if GG_SIMULATOR
  sim::bulk_load(shared, global, static_cast<unsigned>(bytes), barrier, where);
#elif GG_HOPPER
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(shared)),
      "l"(__cvta_generic_to_global(global)), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
#else
  __trap();
#endif
}

/// Fetches a map into the cache of descriptors, ahead of its first use.
GG_DEVICE void tma_prefetch(TmaMap map) {
#if GG_SIMULATOR
  sim::tma_prefetch(&map.map->data, map.where);
#elif GG_HOPPER
  asm volatile("prefetch.tensormap [%0];" ::"l"(map.map) : "memory");
#else
  __trap();
#endif
}

// ---- stores ------------------------------------------------------------------------------------

/// Stores the box in shared memory to the tensor at c...; what lies outside the tensor is left out.
/// fence_proxy_async (proxy.h) comes between the threads' writes to shared memory and this.
template <class... C>
GG_DEVICE void tma_store(TmaMap map, const void* shared, C... c) {
  static_assert(sizeof...(C) >= 1 && sizeof...(C) <= 5);
  detail::tma_put<detail::TmaNone>(map, shared, c...);
}

/// tensor += box, element by element and atomically; integers wrap. For floats the result depends
/// on the order of blocks: deterministic only where one block at a time adds to an element.
template <class... C>
GG_DEVICE void tma_reduce_add(TmaMap map, const void* shared, C... c) {
  static_assert(sizeof...(C) >= 1 && sizeof...(C) <= 5);
  detail::tma_put<detail::TmaAdd>(map, shared, c...);
}

/// tensor = min(tensor, box); integers and 16-bit floats. Of a number and NaN it is the number.
template <class... C>
GG_DEVICE void tma_reduce_min(TmaMap map, const void* shared, C... c) {
  static_assert(sizeof...(C) >= 1 && sizeof...(C) <= 5);
  detail::tma_put<detail::TmaMin>(map, shared, c...);
}

/// tensor = max(tensor, box); integers and 16-bit floats. Of a number and NaN it is the number.
template <class... C>
GG_DEVICE void tma_reduce_max(TmaMap map, const void* shared, C... c) {
  static_assert(sizeof...(C) >= 1 && sizeof...(C) <= 5);
  detail::tma_put<detail::TmaMax>(map, shared, c...);
}

/// Copies `bytes` contiguous bytes from shared to global memory, as part of the thread's group.
GG_DEVICE void bulk_store(void* global, const void* shared, int bytes GG_WHERE) {
#if GG_SIMULATOR
  sim::bulk_store(global, shared, static_cast<unsigned>(bytes), where);
#elif GG_HOPPER
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(
                   __cvta_generic_to_global(global)),
               "r"(shared_address(shared)), "r"(bytes)
               : "memory");
#else
  __trap();
#endif
}

/// Makes a group of this thread's stores since the last one.
GG_DEVICE void tma_store_commit(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::tma_commit(where);
#elif GG_HOPPER
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#else
  __trap();
#endif
}

/// Returns when all but the newest N groups of this thread are complete.
template <int N>
GG_DEVICE void tma_store_wait(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::tma_wait(N, false, where);
#elif GG_HOPPER
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(N) : "memory");
#else
  __trap();
#endif
}

/// Returns when all but the newest N groups have read their shared memory, which may be written
/// again.
template <int N>
GG_DEVICE void tma_store_wait_read(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::tma_wait(N, true, where);
#elif GG_HOPPER
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
#else
  __trap();
#endif
}

}  // namespace gg

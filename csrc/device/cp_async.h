// Copies from global to shared memory that do not pass through registers. sm_80 and up; traps
// below.
//
//   cp_async<16>(&tile[...], source, inside ? 16 : 0);
//   cp_async_commit();           // closes a group: this thread's copies since the last one
//   cp_async_wait<1>();          // all groups but the newest 1 are complete, for this thread
//   __syncthreads();             // ... and for the block
//
// Until it has waited (and synchronised with whoever else reads or wrote there), a thread may
// neither read the destination nor write source or destination. A thread waits for all its copies
// before it exits. Copies after the last commit are waited for by none.
//
// PTX ISA, "Data movement and conversion instructions: non-bulk copy: cp.async".
#pragma once

#include "device/vec.h"

#if !GG_SIMULATOR
#include "device/shared_address.h"
#endif

namespace gg {

namespace detail {
#if GG_SIMULATOR
// The accesses of a copy are made here, in code that sanitizers see: in the thread that asked for
// it, at the copy or at the wait. `bytes` are read, the rest is zero.
template <int Bytes>
void copy_word(void* to, const void* from, int bytes) {
  using Word = typename Word<Bytes>::type;
  Word word = {};
  if (bytes == Bytes) {
    word = *static_cast<const Word*>(from);
  } else {
    unsigned char part[Bytes] = {};
    for (int i = 0; i < bytes; i++) part[i] = static_cast<const unsigned char*>(from)[i];
    memcpy(&word, part, Bytes);
  }
  *static_cast<Word*>(to) = word;
}

inline void complete(const sim::Copy& copy) {
  if (copy.size == 16) return copy_word<16>(copy.to, copy.from, copy.bytes);
  if (copy.size == 8) return copy_word<8>(copy.to, copy.from, copy.bytes);
  copy_word<4>(copy.to, copy.from, copy.bytes);
}

// What a copy still to come writes may appear at any time: until then it is a NaN.
template <int Bytes>
void spoil(void* to) {
  using Word = typename Word<Bytes>::type;
  Word word;
  memset(&word, 0xff, Bytes);
  *static_cast<Word*>(to) = word;
}
#endif
}  // namespace detail

/// Copies Bytes = 4, 8 (through L1) or 16 (past L1), both addresses multiples of Bytes. Reads the
/// first `bytes` (0 to Bytes) and writes zeros for the rest; with 0 the source is not looked at.
template <int Bytes>
GG_DEVICE void cp_async(void* shared, const void* global, int bytes GG_WHERE) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp_async copies 4, 8 or 16 bytes");
#if GG_SIMULATOR
  if (sim::issue_copy({shared, global, Bytes, bytes}, where)) {
    detail::copy_word<Bytes>(shared, global, bytes);
  } else {
    detail::spoil<Bytes>(shared);
    sim::hide_destination(shared, Bytes);
  }
#elif !GG_ARCH_AT_LEAST(80)
  __trap();
#else
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "r"(bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "n"(Bytes), "r"(bytes)
                 : "memory");
  }
#endif
}

/// Copies all Bytes.
template <int Bytes>
GG_DEVICE void cp_async(void* shared, const void* global GG_WHERE) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp_async copies 4, 8 or 16 bytes");
#if GG_SIMULATOR
  cp_async<Bytes>(shared, global, Bytes, where);
#elif !GG_ARCH_AT_LEAST(80)
  __trap();
#else
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global))
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "n"(Bytes)
                 : "memory");
  }
#endif
}

/// Closes the group of copies since the last commit; it may be empty.
GG_DEVICE void cp_async_commit(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::commit_copies(where);
#elif !GG_ARCH_AT_LEAST(80)
  __trap();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most N of this thread's groups, the newest, are incomplete.
template <int N>
GG_DEVICE void cp_async_wait(GG_WHERE_ONLY) {
  static_assert(N >= 0);
#if GG_SIMULATOR
  sim::Copy copy;
  while (sim::next_copy(N, copy, where)) detail::complete(copy);
#elif !GG_ARCH_AT_LEAST(80)
  __trap();
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

}  // namespace gg

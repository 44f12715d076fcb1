// What g++ -fsanitize=thread calls at each access of a kernel, in place of ThreadSanitizer's own
// library: each is told to the counters, and atomics are carried out.

#include "sim/counters/requests.h"

using gg::sim::Access;
using gg::sim::record;
using gg::sim::record_range;

// The call's own address: the return address is the instruction after it.
#define GG_HERE gg::sim::Place{static_cast<const char*>(__builtin_return_address(0)) - 1}

// clang-format off
#define GG_ACCESS(n)                                                                       \
  void __tsan_read##n(void* p) { record(GG_HERE, p, n, Access::load); }                    \
  void __tsan_write##n(void* p) { record(GG_HERE, p, n, Access::store); }                  \
  void __tsan_unaligned_read##n(void* p) { record(GG_HERE, p, n, Access::load); }          \
  void __tsan_unaligned_write##n(void* p) { record(GG_HERE, p, n, Access::store); }        \
  void __tsan_volatile_read##n(void* p) { record(GG_HERE, p, n, Access::load); }           \
  void __tsan_volatile_write##n(void* p) { record(GG_HERE, p, n, Access::store); }

#define GG_UPDATE(bits, T, name)                                                           \
  T __tsan_atomic##bits##_##name(volatile T* p, T value, int) {                            \
    record(GG_HERE, const_cast<T*>(p), sizeof(T), Access::atomic);                         \
    return __atomic_##name(p, value, __ATOMIC_SEQ_CST);                                    \
  }

#define GG_COMPARE_EXCHANGE(bits, T, strength, weak)                                       \
  bool __tsan_atomic##bits##_compare_exchange_##strength(volatile T* p, void* expected,    \
                                                         T value, int, int) {              \
    record(GG_HERE, const_cast<T*>(p), sizeof(T), Access::atomic);                         \
    return __atomic_compare_exchange_n(p, static_cast<T*>(expected), value, weak,          \
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                \
  }

#define GG_ATOMICS(bits, T)                                                                \
  T __tsan_atomic##bits##_load(const volatile T* p, int) {                                 \
    record(GG_HERE, const_cast<T*>(p), sizeof(T), Access::load);                           \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                           \
  }                                                                                        \
  void __tsan_atomic##bits##_store(volatile T* p, T value, int) {                          \
    record(GG_HERE, const_cast<T*>(p), sizeof(T), Access::store);                          \
    __atomic_store_n(p, value, __ATOMIC_SEQ_CST);                                          \
  }                                                                                        \
  T __tsan_atomic##bits##_exchange(volatile T* p, T value, int) {                          \
    record(GG_HERE, const_cast<T*>(p), sizeof(T), Access::atomic);                         \
    return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);                                \
  }                                                                                        \
  GG_UPDATE(bits, T, fetch_add)                                                            \
  GG_UPDATE(bits, T, fetch_sub)                                                            \
  GG_UPDATE(bits, T, fetch_and)                                                            \
  GG_UPDATE(bits, T, fetch_or)                                                             \
  GG_UPDATE(bits, T, fetch_xor)                                                            \
  GG_COMPARE_EXCHANGE(bits, T, strong, false)                                              \
  GG_COMPARE_EXCHANGE(bits, T, weak, true)
// clang-format on

extern "C" {

GG_ACCESS(1)
GG_ACCESS(2)
GG_ACCESS(4)
GG_ACCESS(8)
GG_ACCESS(16)

void __tsan_read_range(void* p, size_t bytes) {
  record_range(GG_HERE, p, bytes, Access::load);
}
void __tsan_write_range(void* p, size_t bytes) {
  record_range(GG_HERE, p, bytes, Access::store);
}

GG_ATOMICS(8, unsigned char)
GG_ATOMICS(16, unsigned short)
GG_ATOMICS(32, unsigned int)
GG_ATOMICS(64, unsigned long)

void __tsan_atomic_thread_fence(int) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
void __tsan_atomic_signal_fence(int) {}

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void**) {}
void __tsan_vptr_update(void**, void*) {}
}

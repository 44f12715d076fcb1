// The simulator's words to AddressSanitizer and ThreadSanitizer; nothing in a plain build.
//
// ASan: all files are built with -fsanitize=address. TSan: kernels are built with
// -fsanitize=thread, the simulator's own files without it but with -DGG_TSAN, so that its inner
// workings are invisible and only what CUDA promises (barriers, fences) orders GPU threads. For the
// same reason nothing here may call memcpy, new or delete while a GPU thread runs: TSan intercepts
// those.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(GG_TSAN)
#include <sanitizer/tsan_interface.h>
extern "C" void __tsan_read_range(void*, unsigned long);
extern "C" void __tsan_write_range(void*, unsigned long);
#endif

namespace gg::sim {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAsan = true;
inline void poison(const void* p, size_t bytes) {
  __asan_poison_memory_region(p, bytes);
}
inline void unpoison(const void* p, size_t bytes) {
  __asan_unpoison_memory_region(p, bytes);
}
inline bool region_is_poisoned(const void* p, size_t bytes) {
  return __asan_region_is_poisoned(const_cast<void*>(p), bytes) != nullptr;
}
inline void asan_leave_stack(void** save, const void* bottom, size_t bytes) {
  __sanitizer_start_switch_fiber(save, bottom, bytes);
}
inline void asan_enter_stack(void* saved, const void** old_bottom, size_t* old_bytes) {
  __sanitizer_finish_switch_fiber(saved, old_bottom, old_bytes);
}
#else
constexpr bool kAsan = false;
inline void poison(const void*, size_t) {}
inline void unpoison(const void*, size_t) {}
inline bool region_is_poisoned(const void*, size_t) {
  return false;
}
inline void asan_leave_stack(void**, const void*, size_t) {}
inline void asan_enter_stack(void*, const void**, size_t*) {}
#endif

#if defined(GG_TSAN)
constexpr bool kTsan = true;
inline void release(void* tag) {
  __tsan_release(tag);
}
inline void acquire(void* tag) {
  __tsan_acquire(tag);
}
/// Accesses of the simulator on behalf of a GPU thread or an engine.
inline void tsan_read(const void* p, size_t bytes) {
  __tsan_read_range(const_cast<void*>(p), bytes);
}
inline void tsan_write(void* p, size_t bytes) {
  __tsan_write_range(p, bytes);
}
inline void* tsan_create() {
  return __tsan_create_fiber(0);
}
inline void tsan_destroy(void* fiber) {
  __tsan_destroy_fiber(fiber);
}
inline void* tsan_current() {
  return __tsan_get_current_fiber();
}
inline void tsan_switch(void* fiber) {
  __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync);
}
#else
constexpr bool kTsan = false;
inline void release(void*) {}
inline void acquire(void*) {}
inline void tsan_read(const void*, size_t) {}
inline void tsan_write(void*, size_t) {}
inline void* tsan_create() {
  return nullptr;
}
inline void tsan_destroy(void*) {}
inline void* tsan_current() {
  return nullptr;
}
inline void tsan_switch(void*) {}
#endif

}  // namespace gg::sim

// Fibers: stacks with a saved place of execution, and the switch between them.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "sim/sanitizer.h"

#if !defined(__x86_64__) || defined(GG_UCONTEXT)  // GG_UCONTEXT: to test the fallback
#include <ucontext.h>
#endif

namespace gg::sim {

struct Fiber {
#if defined(__x86_64__) && !defined(GG_UCONTEXT)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
  char* stack = nullptr;  ///< lowest address
  size_t stack_bytes = 0;
  void* fake_stack = nullptr;  ///< ASan's
  void* tsan = nullptr;        ///< TSan's
};

/// Leaves `from` (a fiber or a CPU thread's own stack) and goes on in `to`.
void switch_fiber(Fiber& from, Fiber& to);

/// The same, never to come back.
[[noreturn]] void abandon_fiber(Fiber& from, Fiber& to);

/// The first thing a fiber's function does.
void entered_fiber();

/// Fills in what sanitizers want to know of the calling CPU thread's own stack.
void describe_thread(Fiber& thread);

/// Fibers that all run one function, which never returns. Memory is mapped in slabs, kept for ever.
class FiberPool {
 public:
  explicit FiberPool(void (*function)()) : function_(function) {}
  ~FiberPool();
  FiberPool(const FiberPool&) = delete;
  FiberPool& operator=(const FiberPool&) = delete;

  /// A fiber that is not running a GPU thread; null if there is no memory for its stack.
  Fiber* take();
  void give_back(Fiber* fiber) { free_.push_back(fiber); }

  /// Fiber number i, made when first asked for. Not to be mixed with take().
  Fiber* at(size_t i);

  /// Makes a fiber forget where it was, and takes it back; for after a launch that failed.
  void restart(Fiber* fiber);

 private:
  bool grow();
  void start(Fiber& fiber);

  void (*function_)();
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_;
  struct Slab {
    void* memory;
    size_t bytes;
  };
  std::vector<Slab> slabs_;
};

}  // namespace gg::sim

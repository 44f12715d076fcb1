#include "sim/fiber.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

namespace gg::sim {

// ---- the switch --------------------------------------------------------------------------------

#if defined(__x86_64__) && !defined(GG_UCONTEXT)

// Saves the registers a callee must keep on the old stack, and takes them from the new one. Some
// 8 ns; swapcontext costs 250, because it asks the kernel for the signal mask.
extern "C" void gg_sim_switch(void** save, void* load);
asm(R"(
.text
.globl gg_sim_switch
.hidden gg_sim_switch
.type gg_sim_switch, @function
gg_sim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
.size gg_sim_switch, . - gg_sim_switch
)");

static void jump(Fiber& from, Fiber& to) {
  gg_sim_switch(&from.stack_pointer, to.stack_pointer);
}

static void prepare(Fiber& fiber, void (*function)()) {
  const uintptr_t top = reinterpret_cast<uintptr_t>(fiber.stack) + fiber.stack_bytes;
  void** p = reinterpret_cast<void**>(top & ~uintptr_t{63});
  *--p = nullptr;  // the return address of `function`: unwinders stop here
  *--p = reinterpret_cast<void*>(function);
  for (int i = 0; i < 6; i++) *--p = nullptr;
  fiber.stack_pointer = p;
}

#else

static void jump(Fiber& from, Fiber& to) {
  swapcontext(&from.context, &to.context);
}

static void prepare(Fiber& fiber, void (*function)()) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = fiber.stack_bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, function, 0);
}

#endif

void switch_fiber(Fiber& from, Fiber& to) {
  asan_leave_stack(&from.fake_stack, to.stack, to.stack_bytes);
  tsan_switch(to.tsan);
  jump(from, to);
  asan_enter_stack(from.fake_stack, nullptr, nullptr);
}

void abandon_fiber(Fiber& from, Fiber& to) {
  asan_leave_stack(nullptr, to.stack, to.stack_bytes);
  tsan_switch(to.tsan);
  jump(from, to);
  abort();
}

void entered_fiber() {
  asan_enter_stack(nullptr, nullptr, nullptr);
}

void describe_thread(Fiber& thread) {
  if (kTsan) thread.tsan = tsan_current();
  if (!kAsan) return;
  static thread_local void* stack = nullptr;
  static thread_local size_t bytes = 0;
  if (stack == nullptr) {
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &stack, &bytes);
    pthread_attr_destroy(&attributes);
  }
  thread.stack = static_cast<char*>(stack);
  thread.stack_bytes = bytes;
}

// ---- the pool ----------------------------------------------------------------------------------

constexpr size_t kPage = 4096;
constexpr size_t kStackBytes = (kAsan || kTsan ? 256 : 64) * size_t{1024};
constexpr size_t kSlabFibers = 32;

FiberPool::~FiberPool() {
  for (auto& fiber : fibers_) {
    if (kTsan) tsan_destroy(fiber->tsan);
  }
  for (const Slab& slab : slabs_) munmap(slab.memory, slab.bytes);
}

void FiberPool::start(Fiber& fiber) {
  prepare(fiber, function_);
  fiber.fake_stack = nullptr;
  if (kTsan) fiber.tsan = tsan_create();
}

// Stacks are shifted against one another: at equal offsets in their pages they would all fall into
// the same few cache sets, which makes switching 2-3 times slower.
bool FiberPool::grow() {
  constexpr size_t pitch = kPage + kStackBytes;  // a guard page below each stack
  void* memory = mmap(nullptr, kSlabFibers * pitch, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return false;
  slabs_.push_back({memory, kSlabFibers * pitch});
  for (size_t i = 0; i < kSlabFibers; i++) {
    char* guard = static_cast<char*>(memory) + i * pitch;
    mprotect(guard, kPage, PROT_NONE);
    auto fiber = std::make_unique<Fiber>();
    fiber->stack = guard + kPage;
    fiber->stack_bytes = kStackBytes - i * 192;
    start(*fiber);
    free_.push_back(fiber.get());
    fibers_.push_back(std::move(fiber));
  }
  return true;
}

Fiber* FiberPool::take() {
  if (free_.empty() && !grow()) return nullptr;
  Fiber* fiber = free_.back();
  free_.pop_back();
  return fiber;
}

Fiber* FiberPool::at(size_t i) {
  while (fibers_.size() <= i) {
    if (!grow()) return nullptr;
  }
  return fibers_[i].get();
}

void FiberPool::restart(Fiber* fiber) {
  unpoison(fiber->stack, fiber->stack_bytes);
  if (kTsan) tsan_destroy(fiber->tsan);
  start(*fiber);
  free_.push_back(fiber);
}

}  // namespace gg::sim

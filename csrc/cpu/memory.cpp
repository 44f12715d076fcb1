// See memory.h. A freed block of at least 256 KiB goes to a shelf of its size, sizes being rounded
// up to eight in each power of two, and the next array of that size takes it from there. Where all
// that is kept reaches the limit, everything is freed: sizes that are no longer used go with it.
//
// A thread that finds the shelves taken uses malloc and free: nobody waits (but who sets the limit,
// and not for ever), and a forked child whose parent held them does not hang.
#include "cpu/memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gg {
namespace {

constexpr size_t kLeast = size_t{1} << 18;  // smaller blocks malloc keeps itself
constexpr size_t kHugePage = size_t{1} << 21;

/// The shelf's size for `bytes`, rounded up or down.
size_t rounded_up(size_t bytes) {
  const size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

size_t rounded_down(size_t bytes) {
  const size_t step = std::bit_floor(bytes) / 8;
  return bytes / step * step;
}

class Shelves {
 public:
  /// A block of at least `size` bytes, which is a shelf's size; null if there is none.
  void* take(size_t size) {
    const Guard guard(busy_);
    if (!guard.entered) return nullptr;
    const auto shelf = blocks_.find(size);
    if (shelf == blocks_.end() || shelf->second.empty()) return nullptr;
    void* const block = shelf->second.back();
    shelf->second.pop_back();
    kept_ -= size;
    return block;
  }

  /// False if the block is not wanted.
  bool put(void* block, size_t size) {
    const Guard guard(busy_);
    if (!guard.entered || size > limit_) return false;
    if (kept_ + size > limit_) clear();
    try {
      blocks_[size].push_back(block);
    } catch (const std::bad_alloc&) {  // must not pass through NumPy's C functions
      return false;
    }
    kept_ += size;
    return true;
  }

  /// Waits for whoever is at the shelves, but a second at most: a fork may have left nobody.
  void limit(size_t bytes) {
    limit_ = bytes;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    do {
      const Guard guard(busy_);
      if (guard.entered) {
        if (kept_ > bytes) clear();
        return;
      }
      std::this_thread::yield();
    } while (std::chrono::steady_clock::now() < until);
  }

  size_t kept() const { return kept_; }

  /// {blocks kept, bytes of the largest}; zeros while another thread is at the shelves.
  std::pair<size_t, size_t> count() {
    const Guard guard(busy_);
    size_t all = 0, largest = 0;
    if (!guard.entered) return {all, largest};
    for (const auto& [size, blocks] : blocks_) {
      all += blocks.size();
      if (!blocks.empty()) largest = std::max(largest, size);
    }
    return {all, largest};
  }

 private:
  struct Guard {
    explicit Guard(std::atomic_flag& flag) : busy(flag), entered(!flag.test_and_set()) {}
    ~Guard() {
      if (entered) busy.clear();
    }
    std::atomic_flag& busy;
    const bool entered;
  };

  void clear() {
    for (auto& [size, blocks] : blocks_) {
      for (void* const block : blocks) std::free(block);
      blocks.clear();
    }
    kept_ = 0;
  }

  std::atomic_flag busy_;
  std::unordered_map<size_t, std::vector<void*>> blocks_;
  std::atomic<size_t> kept_{0}, limit_{0};
};

/// Never destroyed: arrays may outlive static objects.
Shelves& shelves() {
  static Shelves* const all = new Shelves;
  return *all;
}

/// What NumPy's arrays hold, in all threads; bytes are those of the blocks.
struct Counts {
  std::atomic<int64_t> told{0};  ///< bytes held, of what threads have told; peaks are taken of it
  std::atomic<int64_t> held_most{0}, reserved_most{0};

  static void raise(std::atomic<int64_t>& most, int64_t now) {
    int64_t before = most.load(std::memory_order_relaxed);
    while (before < now && !most.compare_exchange_weak(before, now)) {
    }
  }

  void raise_to(int64_t held) {
    raise(held_most, held);
    raise(reserved_most, held + static_cast<int64_t>(shelves().kept()));
  }
} counts;

/// What a thread has taken less what it has given back: one thread writes, all read. Another goes
/// on with it when the thread has ended; none is ever freed, so a reader needs no lock.
class Account {
 public:
  /// Counts in this thread's account. Destructors of its thread_local objects may free arrays after
  /// it has let go of that: then in one that it takes for the moment.
  static void count(int64_t bytes, int64_t blocks) {
    if (ended) return Owner().account->add(bytes, blocks);
    static thread_local const Owner owner;
    owner.account->add(bytes, blocks);
  }

  /// {bytes, blocks} of all threads.
  static std::pair<int64_t, int64_t> sum() {
    int64_t bytes = 0, blocks = 0;
    for (const Account* a = first; a != nullptr; a = a->next_) {
      bytes += a->bytes_;
      blocks += a->blocks_;
    }
    return {bytes, blocks};
  }

 private:
  static constexpr int64_t kStep = 1 << 16;

  /// Small arrays cost no atomic addition: a peak is told in steps of 64 KiB.
  void add(int64_t bytes, int64_t blocks) {
    const int64_t now = bytes_.load(std::memory_order_relaxed) + bytes;
    bytes_.store(now, std::memory_order_relaxed);
    blocks_.store(blocks_.load(std::memory_order_relaxed) + blocks, std::memory_order_relaxed);
    if (now - told_ < kStep && told_ - now < kStep) return;
    counts.raise_to(counts.told += now - told_);
    told_ = now;
  }

  struct Owner {
    Account* const account = taken();
    ~Owner() {
      account->free_ = true;
      ended = true;
    }
  };

  /// One whose thread has ended, or a new one.
  static Account* taken() {
    for (Account* a = first; a != nullptr; a = a->next_)
      if (a->free_.exchange(false)) return a;
    auto* const made = new Account;
    made->next_ = first;
    while (!first.compare_exchange_weak(made->next_, made)) {
    }
    return made;
  }

  static inline std::atomic<Account*> first{nullptr};
  static inline thread_local bool ended = false;

  std::atomic<int64_t> bytes_{0}, blocks_{0};
  int64_t told_ = 0;
  std::atomic<bool> free_{false};
  Account* next_ = nullptr;
};

/// Gives the block back, counted.
void* counted(void* block) {
  if (block != nullptr) Account::count(static_cast<int64_t>(malloc_usable_size(block)), 1);
  return block;
}

/// In huge pages where the system gives them on request.
void* new_block(size_t size) {
  void* const block = std::aligned_alloc(64, (size + 63) / 64 * 64);
  if (block == nullptr || size < 2 * kHugePage) return block;
  const uintptr_t page = 4096,
                  first = (reinterpret_cast<uintptr_t>(block) + page - 1) / page * page;
  madvise(reinterpret_cast<void*>(first), size - page, MADV_HUGEPAGE);  // of no help is no harm
  return block;
}

void* allocate(void*, size_t bytes) {
  if (bytes < kLeast) return counted(std::malloc(bytes));
  const size_t size = rounded_up(bytes);
  void* const kept = shelves().take(size);
  return counted(kept != nullptr ? kept : new_block(size));
}

void* allocate_zeros(void*, size_t count, size_t bytes) {
  size_t total;
  if (__builtin_mul_overflow(count, bytes, &total)) return nullptr;
  if (total < kLeast) return counted(std::calloc(count, bytes));
  const size_t size = rounded_up(total);
  void* const kept = shelves().take(size);
  return counted(kept != nullptr ? std::memset(kept, 0, total) : std::calloc(1, size));
}

void* resize(void*, void* block, size_t bytes) {
  const size_t before = block == nullptr ? 0 : malloc_usable_size(block);
  void* const moved = std::realloc(block, bytes < kLeast ? bytes : rounded_up(bytes));
  if (moved != nullptr && block != nullptr) Account::count(-static_cast<int64_t>(before), -1);
  return counted(moved);
}

/// What a block holds is asked of malloc: arrays may have been resized since.
void release(void*, void* block, size_t) {
  if (block == nullptr) return;
  const size_t holds = malloc_usable_size(block);
  Account::count(-static_cast<int64_t>(holds), -1);
  if (holds < kLeast || !shelves().put(block, rounded_down(holds))) std::free(block);
}

/// numpy/ndarraytypes.h: PyDataMem_Handler.
struct Handler {
  char name[127];
  uint8_t version;
  void* context;
  void* (*malloc)(void*, size_t);
  void* (*calloc)(void*, size_t, size_t);
  void* (*realloc)(void*, void*, size_t);
  void (*free)(void*, void*, size_t);
};

}  // namespace

const void* numpy_memory_handler() {
  static Handler handler{"gpugrad", 1, nullptr, allocate, allocate_zeros, resize, release};
  return &handler;
}

void keep_memory(int64_t limit) {
  shelves().limit(limit > 0 ? static_cast<size_t>(limit) : 0);
}

int64_t kept_memory() {
  return static_cast<int64_t>(shelves().kept());
}

MemoryCounts memory_counts() {
  const auto [held, blocks] = Account::sum();
  counts.raise_to(held);
  const auto [kept_blocks, largest] = shelves().count();
  return {held,
          counts.held_most,
          held + kept_memory(),
          counts.reserved_most,
          blocks,
          static_cast<int64_t>(kept_blocks),
          static_cast<int64_t>(largest)};
}

void reset_memory_peaks() {
  const int64_t held = Account::sum().first;
  counts.held_most = held;
  counts.reserved_most = held + kept_memory();
}

}  // namespace gg

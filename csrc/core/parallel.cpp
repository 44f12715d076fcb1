#include "core/parallel.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/cpus.h"

namespace gg {
namespace {

int configured_threads() {
  const char* text = std::getenv("GPUGRAD_NUM_THREADS");
  const int asked = text ? std::atoi(text) : 0;
  return std::min(asked > 0 ? asked : usable_cpus(), 256);
}

constexpr int64_t kMaxShares = 64;

/// Neighbouring chunks of a loop, handed out one by one.
struct alignas(64) Share {
  std::atomic<int64_t> next;
  int64_t end;
};

/// One loop. Each thread has a share of the chunks, the same one of the next loop over as many:
/// what it touched there may still lie in its core's cache. Done with it, it helps with the others.
struct Loop {
  const int64_t n, chunk, chunks;
  const detail::ChunkFunction function;
  void* const context;
  int64_t shares = 1;
  Share share[kMaxShares] = {};
  int64_t failed_chunk = -1;  // guarded by error_mutex
  std::exception_ptr error = {};
  std::mutex error_mutex = {};

  void share_among(int64_t threads) {
    shares = std::min({threads, chunks, kMaxShares});
    for (int64_t s = 0; s < shares; s++) {
      share[s].next.store(s * chunks / shares, std::memory_order_relaxed);
      share[s].end = (s + 1) * chunks / shares;
    }
  }

  void work(int64_t thread) {
    for (int64_t s = 0; s < shares; s++) {
      Share& from = share[(thread + s) % shares];
      for (int64_t c; (c = from.next.fetch_add(1, std::memory_order_relaxed)) < from.end;) call(c);
    }
  }

 private:
  void call(int64_t c) {
    try {
      function(context, c * chunk, std::min(n, (c + 1) * chunk));
    } catch (...) {
      std::lock_guard lock(error_mutex);
      if (failed_chunk < 0 || c < failed_chunk) failed_chunk = c, error = std::current_exception();
    }
  }
};

thread_local bool inside_loop = false;

/// Waits for done() for some 50 us and no longer: to wake a sleeping thread costs more than many a
/// loop, and the next one mostly follows at once.
template <class F>
void spin_until(F done) {
#if defined(__x86_64__)
  for (int i = 0; i < 1000 && !done(); i++) __builtin_ia32_pause();
#else
  static_cast<void>(done);
#endif
}

class Pool {
 public:
  Pool() : workers_(configured_threads() - 1), spins_(workers_ > 0 && workers_ < usable_cpus()) {}

  /// False if the pool is busy with another Python thread's loop.
  bool run(Loop& loop) {
    std::unique_lock busy(busy_, std::try_to_lock);
    if (!busy) return false;
    start_threads();
    loop.share_among(workers_ + 1);
    {
      std::lock_guard lock(mutex_);
      loop_ = &loop;
      wanted_ = static_cast<int>(std::min<int64_t>(workers_, loop.chunks - 1));
    }
    wake_.notify_all();
    loop.work(0);
    std::unique_lock lock(mutex_);
    wanted_ = 0;  // late wakers find nothing; those inside are waited for
    if (spins_ && active_ > 0) {
      lock.unlock();
      spin_until([&] { return active_ == 0; });
      lock.lock();
    }
    done_.wait(lock, [&] { return active_ == 0; });
    return true;
  }

  int workers() const { return workers_; }

 private:
  void start_threads() {
    try {
      for (; started_ < workers_; started_++) {
        std::thread(&Pool::serve, this, started_ + 1).detach();  // sleeps until the process ends
      }
    } catch (const std::system_error&) {
      started_ = workers_;  // the system gives no more: the caller and those started do the work
    }
  }

  void serve(int number) {
    inside_loop = true;
    std::unique_lock lock(mutex_);
    for (;;) {
      if (spins_) {
        lock.unlock();
        spin_until([&] { return wanted_ > 0; });
        lock.lock();
      }
      wake_.wait(lock, [&] { return wanted_ > 0; });
      Loop& loop = *loop_;
      wanted_--;
      active_++;
      lock.unlock();
      loop.work(number);
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  const int workers_;
  const bool spins_;  // there is a CPU for each thread
  int started_ = 0;   // guarded by busy_, as is the caller's side of a loop
  std::mutex busy_, mutex_;
  std::condition_variable wake_, done_;
  Loop* loop_ = nullptr;                      // while threads are wanted
  std::atomic<int> wanted_ = 0, active_ = 0;  // changed under mutex_
};

std::atomic<Pool*> the_pool{nullptr};
std::mutex pool_mutex;

/// Pools are never destroyed: their threads may outlive static destructors, and after fork the
/// child drops the parent's, whose threads it does not have.
Pool& pool() {
  if (Pool* p = the_pool.load(std::memory_order_acquire)) return *p;
  std::lock_guard lock(pool_mutex);
  if (!the_pool.load()) {
    static const int registered =
        pthread_atfork([] { pool_mutex.lock(); }, [] { pool_mutex.unlock(); },
                       [] {
                         pool_mutex.unlock();
                         inside_loop = false;
                         the_pool.store(nullptr);
                       });
    static_cast<void>(registered);
    the_pool.store(new Pool, std::memory_order_release);
  }
  return *the_pool.load();
}

/// A worker thread, or a caller whose loop is running.
struct InsideLoop {
  InsideLoop() { inside_loop = true; }
  ~InsideLoop() { inside_loop = false; }
};

bool run_in_pool(Loop& loop) {
  if (inside_loop || loop.chunks < 2 || pool().workers() == 0) return false;
  const InsideLoop guard;
  return pool().run(loop);
}

}  // namespace

int num_threads() {
  return pool().workers() + 1;
}

void detail::parallel_run(int64_t n, int64_t chunk, ChunkFunction function, void* context) {
  Loop loop{n, chunk, (n + chunk - 1) / chunk, function, context};
  if (!run_in_pool(loop)) {
    loop.share_among(1);
    loop.work(0);
  }
  if (loop.error) std::rethrow_exception(loop.error);
}

}  // namespace gg

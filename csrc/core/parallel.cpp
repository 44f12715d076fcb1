#include "core/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace gg {
namespace {

int allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

int configured_threads() {
  const char* text = std::getenv("GPUGRAD_NUM_THREADS");
  const int asked = text ? std::atoi(text) : 0;
  return std::min(asked > 0 ? asked : allowed_cpus(), 256);
}

/// One loop: chunks are handed out by a counter, so an idle thread takes the next.
struct Loop {
  int64_t n, chunk, chunks;
  detail::ChunkFunction function;
  void* context;
  std::atomic<int64_t> next{0};
  int64_t failed_chunk = -1;  // guarded by error_mutex
  std::exception_ptr error;
  std::mutex error_mutex;

  void work() {
    for (int64_t c; (c = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) {
      try {
        function(context, c * chunk, std::min(n, (c + 1) * chunk));
      } catch (...) {
        std::lock_guard lock(error_mutex);
        if (failed_chunk < 0 || c < failed_chunk)
          failed_chunk = c, error = std::current_exception();
      }
    }
  }
};

thread_local bool inside_loop = false;

class Pool {
 public:
  Pool() : workers_(configured_threads() - 1) {}

  /// False if the pool is busy with another Python thread's loop.
  bool run(Loop& loop) {
    std::unique_lock busy(busy_, std::try_to_lock);
    if (!busy) return false;
    start_threads();
    {
      std::lock_guard lock(mutex_);
      loop_ = &loop;
      wanted_ = static_cast<int>(std::min<int64_t>(workers_, loop.chunks - 1));
    }
    wake_.notify_all();
    loop.work();
    std::unique_lock lock(mutex_);
    loop_ = nullptr;  // late wakers find nothing; those inside are waited for
    done_.wait(lock, [&] { return active_ == 0; });
    return true;
  }

  int workers() const { return workers_; }

 private:
  void start_threads() {
    try {
      for (; started_ < workers_; started_++) {
        std::thread([this] { serve(); }).detach();  // they sleep until the process ends
      }
    } catch (const std::system_error&) {
      started_ = workers_;  // the system gives no more: the caller and those started do the work
    }
  }

  void serve() {
    inside_loop = true;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return loop_ && wanted_ > 0; });
      Loop& loop = *loop_;
      wanted_--;
      active_++;
      lock.unlock();
      loop.work();
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  const int workers_;
  int started_ = 0;  // guarded by busy_, as is the caller's side of a loop
  std::mutex busy_, mutex_;
  std::condition_variable wake_, done_;
  Loop* loop_ = nullptr;
  int wanted_ = 0, active_ = 0;
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
  Loop loop{n, chunk, (n + chunk - 1) / chunk, function, context, {}, -1, {}, {}};
  if (!run_in_pool(loop)) loop.work();
  if (loop.error) std::rethrow_exception(loop.error);
}

}  // namespace gg

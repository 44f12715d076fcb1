#include "sim/workers.h"

#include <utility>

namespace gg::sim {

Workers::~Workers() {
  {
    std::lock_guard guard(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::loop(unsigned index) {
  uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stop_ || (generation_ != seen && index <= wanted_); });
    if (stop_) return;
    seen = generation_;
    lock.unlock();
    job_(index);
    lock.lock();
    if (--running_ == 0) done_.notify_all();
  }
}

void Workers::start(unsigned count, std::function<void(unsigned)> job) {
  {
    std::lock_guard guard(mutex_);
    while (threads_.size() < count) {
      const unsigned index = static_cast<unsigned>(threads_.size()) + 1;
      threads_.emplace_back([this, index] { loop(index); });
    }
    job_ = std::move(job);
    wanted_ = running_ = count;
    generation_++;
  }
  wake_.notify_all();
}

void Workers::wait() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return running_ == 0; });
}

}  // namespace gg::sim

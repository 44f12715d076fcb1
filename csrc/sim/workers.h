// CPU threads that stay alive between launches.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace gg::sim {

class Workers {
 public:
  Workers() = default;
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Starts job(1) ... job(count) on that many threads. One job at a time.
  void start(unsigned count, std::function<void(unsigned)> job);
  /// Returns when they are done.
  void wait();

 private:
  void loop(unsigned index);

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  std::function<void(unsigned)> job_;
  unsigned wanted_ = 0, running_ = 0;
  uint64_t generation_ = 0;
  bool stop_ = false;
};

}  // namespace gg::sim

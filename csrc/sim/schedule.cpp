#include "sim/schedule.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "sim/config.h"
#include "sim/primitives.h"
#include "sim/sanitizer.h"

namespace gg::sim {
namespace {

constexpr int kMaxWorkers = 64;

int default_workers() {
  return static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
}

bool given(const char* text) {
  return text != nullptr && *text != '\0';
}

template <class E>
E parse(const char* what, const char* text, const char* const (&names)[3]) {
  for (int i = 0; i < 3; i++) {
    if (names[i] == std::string(text)) return static_cast<E>(i);
  }
  throw std::invalid_argument(std::string("simulator schedule: ") + what + " is '" + text +
                              "'; it must be '" + names[0] + "', '" + names[1] + "' or '" +
                              names[2] + "'");
}

Schedule parse_schedule(Schedule s, const char* order, const char* async_mode, uint64_t seed,
                        int workers) {
  if (given(order)) s.order = parse<Order>("order", order, {"forward", "reverse", "random"});
  if (given(async_mode)) {
    s.async = parse<Async>("async_mode", async_mode, {"eager", "lazy", "random"});
  }
  if (workers < 0 || workers > kMaxWorkers) {
    throw std::invalid_argument("simulator schedule: workers is " + std::to_string(workers) +
                                "; it must be 1 to " + std::to_string(kMaxWorkers) +
                                ", or 0 for one for each core");
  }
  s.seed = seed;
  s.workers = workers == 0 ? default_workers() : workers;
  if (kTsan) s.workers = 1;  // TSan follows GPU threads as fibers of one CPU thread
  return s;
}

long long environment_number(const char* name) {
  const char* text = std::getenv(name);
  if (!given(text)) return 0;
  char* end = nullptr;
  const long long value = std::strtoll(text, &end, 10);
  if (*end == '\0' && value >= 0) return value;
  throw std::invalid_argument(std::string(name) + " is '" + text +
                              "'; it must be a whole number, 0 or more");
}

Schedule from_environment() {
  return parse_schedule(Schedule{}, std::getenv("GPUGRAD_SIM_ORDER"),
                        std::getenv("GPUGRAD_SIM_ASYNC"),
                        static_cast<uint64_t>(environment_number("GPUGRAD_SIM_SEED")),
                        static_cast<int>(environment_number("GPUGRAD_SIM_WORKERS")));
}

int check_architecture(long long n) {
  for (int known : {75, 80, 86, 89, 90, 100, 120}) {
    if (n == known) return known;
  }
  throw std::invalid_argument("simulator: architecture is " + std::to_string(n) +
                              "; it must be 75, 80, 86, 89, 90, 100 or 120");
}

int architecture_from_environment() {
  const char* name = "GPUGRAD_SIM_ARCHITECTURE";
  return given(std::getenv(name)) ? check_architecture(environment_number(name)) : 80;
}

struct State {
  std::mutex mutex;
  Schedule schedule = from_environment();
  uint64_t launches = 0;
  std::atomic<int> architecture = architecture_from_environment();
};

State& state() {
  static State s;
  return s;
}

}  // namespace

void set_schedule(const char* order, const char* async_mode, uint64_t seed, int workers) {
  State& s = state();
  std::lock_guard guard(s.mutex);
  s.schedule = parse_schedule(s.schedule, order, async_mode, seed, workers);
  s.launches = 0;
}

void set_architecture(int architecture) {
  state().architecture.store(check_architecture(architecture), std::memory_order_relaxed);
}

int architecture() {
  return state().architecture.load(std::memory_order_relaxed);
}

size_t max_shared() {
  switch (architecture()) {
    case 75:
      return 64 << 10;
    case 80:
      return 163 << 10;
    case 86:
    case 89:
    case 120:
      return 99 << 10;
    default:
      return 227 << 10;
  }
}

void need_architecture(int least, const char* name, Where where) {
  const int present = architecture();
  if (present >= least) return;
  fail(where, "%s needs sm_%d; the simulated GPU is sm_%d (sim::set_architecture)", name, least,
       present);
}

Schedule next_schedule(uint64_t& launch_seed) {
  State& s = state();
  std::lock_guard guard(s.mutex);
  launch_seed = s.schedule.seed * 0x9e3779b97f4a7c15u + ++s.launches * 0xd1b54a32d192ed03u;
  return s.schedule;
}

}  // namespace gg::sim

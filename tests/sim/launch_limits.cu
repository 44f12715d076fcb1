// Two threads launch one kernel with different sizes of shared memory, against the runtime of
// launch_limits_runtime.cpp, which refuses a launch with more than its kernel was told last. Prints
// how many launches were refused (test_hopper.py).

#include <cstdio>
#include <thread>

#include "device/launch.h"

int refusals();

static void kernel(int) {}  // never run

static void launches(size_t shared_bytes) {
  for (int i = 0; i < 50; i++) {
    try {
      gg::launch(kernel, 1, 32, shared_bytes, nullptr, i);
    } catch (const std::exception&) {
    }
  }
}

int main() {
  std::thread less(launches, 60'000);
  launches(100'000);
  less.join();
  printf("%d of 100 refused\n", refusals());
}

// Named test cases in a plain C++ program.
//
//   program [--order forward|reverse|random] [--async eager|lazy|random] [--seed n] [--workers n]
//           [case ...]
//
// Without names it runs all cases; --list only names them. Prints "ok NAME" or "FAILED NAME: why"
// for each; the exit status is the number of failures. Built by nvcc the cases run on a GPU
// (on_gpu.py), which has no schedules.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "device/device.h"

#if GG_SIMULATOR
#include "sim/schedule.h"
#endif

namespace check {

struct Case {
  const char* name;
  void (*run)();
};

inline std::vector<Case>& cases() {
  static std::vector<Case> list;
  return list;
}

struct Register {
  Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] inline void failed(const char* file, int line, const std::string& what) {
  throw Failure(std::string(file) + ":" + std::to_string(line) + ": " + what);
}

/// The error that f throws contains each of the texts.
template <class F>
void throws(const char* file, int line, std::vector<std::string> texts, F f) {
  try {
    f();
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& e) {
    const std::string error = e.what();
    for (const std::string& text : texts) {
      if (error.find(text) == std::string::npos) {
        failed(file, line, "expected '" + text + "' in: " + error);
      }
    }
    return;
  }
  failed(file, line, "expected an error with '" + texts[0] + "', got none");
}

#define CASE(name)                                             \
  static void name();                                          \
  static const check::Register name##_registered{#name, name}; \
  static void name()
#define CHECK(condition) \
  if (!(condition)) check::failed(__FILE__, __LINE__, "not true: " #condition)
#define CHECK_EQ(a, b)                                               \
  if (auto a_ = (a), b_ = static_cast<decltype(a_)>(b); !(a_ == b_)) \
  check::failed(                                                     \
      __FILE__, __LINE__,                                            \
      "not equal: " #a " is " + std::to_string(a_) + ", " #b " is " + std::to_string(b_))
#define CHECK_THROWS(function, ...) check::throws(__FILE__, __LINE__, {__VA_ARGS__}, function)

inline bool run(const Case& c) {
  try {
    c.run();
    printf("ok %s\n", c.name);
    return true;
  } catch (const std::exception& e) {
    printf("FAILED %s: %s\n", c.name, e.what());
    return false;
  }
}

inline int main(int argc, char** argv) {
  [[maybe_unused]] const char *order = "forward", *async_mode = "eager";
  [[maybe_unused]] uint64_t seed = 1;
  [[maybe_unused]] int workers = 1;
  std::vector<std::string> names;
  for (int i = 1; i < argc; i++) {
    const std::string argument = argv[i];
    if (argument == "--order" && i + 1 < argc) {
      order = argv[++i];
    } else if (argument == "--async" && i + 1 < argc) {
      async_mode = argv[++i];
    } else if (argument == "--seed" && i + 1 < argc) {
      seed = strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--workers" && i + 1 < argc) {
      workers = atoi(argv[++i]);
    } else if (argument == "--list") {
      for (const Case& c : cases()) printf("%s\n", c.name);
      return 0;
    } else {
      names.push_back(argument);
    }
  }
  int failures = 0, done = 0;
  for (const Case& c : cases()) {
    bool wanted = names.empty();
    for (const std::string& name : names) wanted |= name == c.name;
    if (!wanted) continue;
#if GG_SIMULATOR
    gg::sim::set_schedule(order, async_mode, seed, workers);
#endif
    failures += !run(c);
    done++;
  }
  if (done == 0) printf("FAILED: no case of that name\n");
  return done == 0 ? 1 : failures;
}

}  // namespace check

// Runs the kernels of tables and positions on arrays as large as it takes to see how they use
// memory, and prints the counts. test_text_budgets.py has what each may use.

#include <cstdlib>

#include "host_array.h"
#include "sim/counters/counters.h"

using namespace gg;

namespace {

const bool is_hopper = (sim::set_architecture(90), true);

/// An array at a multiple of 256 bytes, as cudaMalloc's.
template <class T>
Host<T> device_array(const Shape& shape, const std::function<double(int64_t)>& f = noise) {
  Host<T> a(shape);
  const size_t bytes = (a.size * sizeof(T) + 255) / 256 * 256;
  a.data = std::shared_ptr<T[]>(static_cast<T*>(aligned_alloc(256, bytes)), free);
  for (int64_t i = 0; i < a.size; i++) a.data[i] = convert<T>(f(i));
  return a;
}

/// Counts what `run` does; it reads and writes so many bytes at the least.
template <class F>
void count(int64_t read, int64_t written, F run) {
  sim::reset_counters();
  run();
  printf("NOTE read %ld\nNOTE written %ld\n", read, written);
  sim::print_counters();
}

template <class T>
int64_t bytes(const Host<T>& a) {
  return a.size * static_cast<int64_t>(sizeof(T));
}

constexpr int64_t kVocabulary = 1000;

/// `each` neighbours of one index, all over the vocabulary.
Host<int64_t> tokens(int64_t count, int64_t each = 1) {
  return device_array<int64_t>(
      {count}, [=](int64_t j) { return static_cast<double>(j / each * 617 % kVocabulary); });
}

template <class T>
void count_embedding(int64_t positions, int64_t width) {
  const Host<T> weight = device_array<T>({kVocabulary, width}),
                y = device_array<T>({positions, width});
  const Host<int64_t> index = tokens(positions), flag({4});
  count(bytes(y), bytes(y), [&] { embedding(nullptr, weight, index, y, flag); });
}

template <class T>
void count_embedding_grad(int64_t positions, int64_t width, int64_t each) {
  const Host<T> dy = device_array<T>({positions, width}),
                dweight = device_array<T>({kVocabulary, width});
  const Host<int64_t> index = tokens(positions, each);
  const Host<uint8_t> space = device_array<uint8_t>({embedding_grad_workspace(index, dweight)});
  const int64_t rows = bytes(dy) / each;
  count(bytes(dy), rows,
        [&] { embedding_grad(nullptr, dy, index, Array(), Array(), dweight, -1, false, space); });
}

template <class T>
void count_rotary(bool interleaved) {
  const Host<T> x = device_array<T>({8, 32, 128}), y = device_array<T>({8, 32, 128});
  const Host<float> angle = device_array<float>({32, 64});
  count(bytes(x), bytes(y), [&] { rotary(nullptr, x, angle, angle, interleaved, false, y); });
}

template <class T>
void count_bags(int64_t bags, int64_t length, int64_t width) {
  const Host<T> weight = device_array<T>({kVocabulary, width}), y = device_array<T>({bags, width});
  const Host<int64_t> index = tokens(bags * length), bag({bags * length}), number({bags}),
                      flag({4});
  const auto offset = [=](int64_t b) { return static_cast<double>(b * length); };
  const Host<int64_t> offsets({bags + 1}, offset);
  count(bytes(y) * length, bytes(y), [&] {
    embedding_bag(nullptr, weight, index, offsets, Array(), Reduce::sum, -1, y, bag, number,
                  Array(), flag);
  });
}

}  // namespace

// clang-format off
CASE(embedding_256) { count_embedding<float>(500, 256); }
CASE(embedding_100_bf16) { count_embedding<bf16>(500, 100); }
CASE(embedding_33_f16) { count_embedding<f16>(500, 33); }
CASE(embedding_grad_each) { count_embedding_grad<float>(500, 256, 1); }
CASE(embedding_grad_runs) { count_embedding_grad<f16>(4000, 128, 400); }
CASE(rotary_halves_bf16) { count_rotary<bf16>(false); }
CASE(rotary_interleaved) { count_rotary<float>(true); }
CASE(bags_of_32) { count_bags<float>(64, 32, 128); }
// clang-format on

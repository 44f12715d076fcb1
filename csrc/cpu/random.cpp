// Random numbers on CPU threads: the draws of core/draws.h, group after group, so the bits are
// those of the kernels whatever the number of threads.
#include "core/draws.h"
#include "core/parallel.h"
#include "core/philox.h"
#include "cpu/philox_words.h"
#include "ops/updates.h"

namespace gg {
namespace {

/// Groups that one thread draws before another is worth waking.
constexpr int64_t kGrain = 1 << 13;

/// The group's elements of the second array.
struct SecondOnHost {
  const Layout<2>& layout;
  int64_t first;
  int count;
  bool contiguous;

  template <class T>
  void fetch(const T* base, T (&values)[kGroup]) const {
    if (contiguous && count == kGroup) {
      for (int k = 0; k < kGroup; k++) values[k] = base[first + k];
      return;
    }
    for (int k = 0; k < count; k++) values[k] = base[layout.offset(1, first + k)];
  }
};

template <class Draw>
void run(const char* op, const Draw& draw, const Array& state, int64_t call, const Array& y,
         const Array& second) {
  using T = typename Draw::Stored;
  check_state(op, state);
  const PhiloxStream stream = philox_stream(state.as<int64_t>(), call);
  const Layout<2> layout = draw_layout(y, second);
  const bool dense = layout.ndim == 1 && layout.inner(0) == 1;
  const bool second_dense = layout.ndim == 1 && layout.inner(1) == 1;
  T* const out = y.as<T>();
  parallel_for((layout.size + kGroup - 1) / kGroup, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; group++) {
      const int64_t first = group * kGroup;
      const int count = static_cast<int>(std::min<int64_t>(layout.size - first, kGroup));
      T values[kGroup];
      draw(stream, static_cast<uint64_t>(group), SecondOnHost{layout, first, count, second_dense},
           values);
      if (dense && count == kGroup) {
        for (int k = 0; k < kGroup; k++) out[first + k] = values[k];
      } else {
        for (int k = 0; k < count; k++) out[layout.offset(0, first + k)] = values[k];
      }
    }
  });
}

/// Counters whose normals are formed together.
constexpr int kBatch = 64;

/// The normals of kBatch counters: philox_normal taken apart into loops that vectorise.
void normal_batch(PhiloxStream stream, uint64_t first, double (&z)[2 * kBatch]) {
  uint64_t a[kBatch], b[kBatch];
  double r[kBatch], cosine[kBatch], sine[kBatch];
  for (int i = 0; i < kBatch; i++) {
    const PhiloxWords words = philox(stream, first + static_cast<uint64_t>(i));
    a[i] = philox_pair(words, 0);
    b[i] = philox_pair(words, 1);
  }
  for (int i = 0; i < kBatch; i++) r[i] = philox_radius(a[i]);
  for (int i = 0; i < kBatch; i++) {
    const Pair direction = philox_direction(b[i]);
    cosine[i] = direction.first;
    sine[i] = direction.second;
  }
  for (int i = 0; i < kBatch; i++) {
    z[2 * i] = r[i] * cosine[i];
    z[2 * i + 1] = r[i] * sine[i];
  }
}

/// Contiguous y.
template <class T>
void run_normal(const NormalDraw<T>& draw, PhiloxStream stream, T* y, int64_t n) {
  constexpr int64_t kSpan = 2 * kBatch;
  parallel_for((n + kSpan - 1) / kSpan, 2 * kGrain / kSpan, [&](int64_t begin, int64_t end) {
    double z[kSpan];
    for (int64_t batch = begin; batch < end; batch++) {
      normal_batch(stream, static_cast<uint64_t>(batch * kBatch), z);
      const int64_t first = batch * kSpan, count = std::min(kSpan, n - first);
      for (int64_t i = 0; i < count; i++) y[first + i] = draw.value(z[i]);
    }
  });
}

/// x and y dense and alike: elements in order.
template <class T>
void run_dropout(const DropoutDraw<T>& draw, PhiloxStream stream, T* y, int64_t n) {
  const T* const x = draw.x;
  const uint32_t threshold = draw.threshold;
  const Acc<T> keep = draw.keep;
  parallel_for((n + kPhiloxWords - 1) / kPhiloxWords, 4 * kGrain / kPhiloxWords,
               [&](int64_t begin, int64_t end) {
                 const int64_t first = begin * kPhiloxWords, last = std::min(n, end * kPhiloxWords);
                 for_words(stream, static_cast<uint64_t>(first), last - first, y + first,
                           [=](uint32_t word, int64_t i) {
                             const Acc<T> value = convert<Acc<T>>(x[first + i]) / keep;
                             return convert<T>(word >> 8 >= threshold ? value : Acc<T>(0));
                           });
               });
}

}  // namespace

void uniform(Stream, const Array& state, int64_t call, double low, double high, const Array& y) {
  with_uniform(low, high, y, [&](const auto& draw) { run("uniform", draw, state, call, y, {}); });
}

void normal(Stream, const Array& state, int64_t call, double mean, double std, const Array& y) {
  with_normal(mean, std, y, [&](const auto& draw) {
    using T = typename std::decay_t<decltype(draw)>::Stored;
    if (!y.contiguous()) return run("normal", draw, state, call, y, {});
    check_state("normal", state);
    run_normal(draw, philox_stream(state.as<int64_t>(), call), y.as<T>(), y.size());
  });
}

void bernoulli(Stream, const Array& state, int64_t call, const Operand& p, const Array& y) {
  with_bernoulli(p, y, [&](const auto& draw) { run("bernoulli", draw, state, call, y, p.array); });
}

void dropout(Stream, const Array& state, int64_t call, double p, const Array& x, const Array& y) {
  with_dropout(p, x, y, [&](const auto& draw) {
    const Layout<2> layout = draw_layout(y, x);
    const bool dense = layout.ndim == 1 && layout.inner(0) == 1 && layout.inner(1) == 1;
    if (!dense) return run("dropout", draw, state, call, y, x);
    check_state("dropout", state);
    using T = typename std::decay_t<decltype(draw)>::Stored;
    run_dropout(draw, philox_stream(state.as<int64_t>(), call), y.as<T>(), y.size());
  });
}

void permutation(Stream, const Array& state, int64_t call, const Array& y) {
  check_permutation(state, y);
  const int64_t n = y.size();
  const Feistel network = feistel(philox_stream(state.as<int64_t>(), call), n);
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      y.as<int64_t>()[i * y.stride[0]] = feistel_image(network, i);
    }
  });
}

}  // namespace gg

// Bags of rows of a table on CPU threads: the sum, mean or maximum of weight[index[j], :] over the
// positions j of each bag, in the order of j.
#include "core/embedding_checks.h"
#include "cpu/embedding.h"
#include "cpu/runs.h"
#include "ops/text.h"

namespace gg {
namespace {

template <class T>
struct Bags {
  using A = Wide<T>;

  const Array &weight, &index, &offsets, &scale;
  Reduce mode;
  int64_t padding;
  const Array &y, &bag, &count, &winner;

  int64_t index_of(int64_t j) const { return index.as<const int64_t>()[j * index.stride[0]]; }
  bool counts(int64_t v) const { return v >= 0 && v < weight.shape[0] && v != padding; }

  /// Calls f(j, v) for the positions of bag b that count.
  template <class F>
  void for_counted(int64_t b, F f) const {
    const int64_t* const at = offsets.as<const int64_t>() + b * offsets.stride[0];
    const int64_t end = std::min(at[offsets.stride[0]], index.shape[0]);
    for (int64_t j = std::max<int64_t>(at[0], 0); j < end; j++) {
      if (const int64_t v = index_of(j); counts(v)) f(j, v);
    }
  }

  /// Which bag positions are in, and how many count.
  int64_t label(int64_t b) const {
    const int64_t* const at = offsets.as<const int64_t>() + b * offsets.stride[0];
    const int64_t end = std::min(at[offsets.stride[0]], index.shape[0]);
    int64_t number = 0;
    for (int64_t j = std::max<int64_t>(at[0], 0); j < end; j++) {
      const bool yes = counts(index_of(j));
      bag.as<int64_t>()[j * bag.stride[0]] = yes ? b : -1;
      number += yes;
    }
    count.as<int64_t>()[b * count.stride[0]] = number;
    return number;
  }

  const A* row(int64_t v, int64_t begin, int64_t n, A* run) const {
    const T* const from = weight.as<const T>() + v * weight.stride[0] + begin * weight.stride[1];
    if constexpr (std::is_same_v<T, A>) {
      if (weight.stride[1] == 1) return from;
    }
    read_run(from, weight.stride[1], run, n);
    return run;
  }

  /// n columns of bag b from `begin` on: their sum, or mean.
  void add(int64_t b, int64_t number, int64_t begin, int64_t n, A* __restrict sum) const {
    A run[kRun];
    for_counted(b, [&](int64_t j, int64_t v) {
      const A* const x = row(v, begin, n, run);
      if (scale) {
        const A factor = convert<A>(scale.as<const T>()[j * scale.stride[0]]);
        for (int64_t i = 0; i < n; i++) sum[i] += factor * x[i];
      } else {
        for (int64_t i = 0; i < n; i++) sum[i] += x[i];
      }
    });
    if (mode != Reduce::mean || number == 0) return;
    for (int64_t i = 0; i < n; i++) sum[i] /= static_cast<A>(number);
  }

  /// The same for their maximum: the first of equals wins, NaN over all.
  void choose(int64_t b, int64_t begin, int64_t n, A* most) const {
    A run[kRun];
    int64_t from[kRun];
    std::fill(from, from + n, -1);
    for_counted(b, [&](int64_t, int64_t v) {
      const A* const x = row(v, begin, n, run);
      for (int64_t i = 0; i < n; i++) {
        if (from[i] < 0 || x[i] > most[i] || (x[i] != x[i] && most[i] == most[i])) {
          most[i] = x[i];
          from[i] = v;
        }
      }
    });
    int64_t* const to = winner.as<int64_t>() + b * winner.stride[0] + begin * winner.stride[1];
    for (int64_t i = 0; i < n; i++) to[i * winner.stride[1]] = from[i];
  }

  void run(int64_t b) const {
    A values[kRun];
    const int64_t number = label(b), width = weight.shape[1];
    for (int64_t begin = 0; begin < width; begin += kRun) {
      const int64_t n = std::min(kRun, width - begin);
      std::fill(values, values + n, A(0));
      if (winner) {
        choose(b, begin, n, values);
      } else {
        add(b, number, begin, n, values);
      }
      write_run(values, y.as<T>() + b * y.stride[0] + begin * y.stride[1], y.stride[1], n);
    }
  }
};

}  // namespace

void embedding_bag(Stream, const Array& weight, const Array& index, const Array& offsets,
                   const Array& scale, Reduce mode, int64_t padding, const Array& y,
                   const Array& bag, const Array& count, const Array& winner, const Array& flag) {
  check_embedding_bag(weight, index, offsets, scale, mode, y, bag, count, winner, flag);
  Layout<1> positions;
  positions.push(index.shape[0], {index.stride[0]});
  positions.finish();
  flag_first(positions, index.as<const int64_t>(), weight.shape[0], flag);
  const int64_t bags = count.shape[0], terms = index.shape[0] / std::max<int64_t>(bags, 1) + 1;
  dispatch_floating(weight.dtype, [&](auto tag) {
    const Bags<typename decltype(tag)::type> all{weight,  index, offsets, scale, mode,
                                                 padding, y,     bag,     count, winner};
    parallel_for(bags, row_grain(terms * weight.shape[1]), [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; b++) all.run(b);
    });
  });
}

}  // namespace gg

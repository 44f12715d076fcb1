// What a reduction is, and how its elements are combined. See reduce.cu.
#pragma once

#include "core/math.h"
#include "kernels/lanes.cuh"

namespace gg {

/// What a reduction kernel is told.
struct Reduction {
  Reduce op;      ///< sum, prod, max, min; argmax if an index is wanted
  bool truth;     ///< any, all: of x != 0
  bool mirrored;  ///< argmin: argmax of -x
  bool mean;
  bool vectors;  ///< rows: groups of `width` neighbours are aligned
  int width;
  DType x_dtype, y_dtype;
  int threads;  ///< rows: threads of a row (1 to 32, or kBlock); columns: threads side by side
  int64_t outputs, count;
  int64_t splits, chunk;  ///< `count` is cut into `splits` chunks, each reduced by itself
  Layout<2> kept;         ///< x, y
  Layout<1> reduced;      ///< x
  const void* x;
  void* y;
  void* partials;  ///< [outputs, splits] states if splits > 1
};

// ---- policies: how elements are combined -------------------------------------------------------

constexpr int kReduceLanes = 16;  // most elements that a thread takes at a time

template <class T>
GG_DEVICE T merge_values(Reduce op, T a, T b) {
  switch (op) {
    case Reduce::sum:
      return BinaryMath<T>::add(a, b);
    case Reduce::prod:
      return BinaryMath<T>::mul(a, b);
    case Reduce::max:
      return larger(a, b);
    default:
      return smaller(a, b);
  }
}

/// Loses to everything in max; its mirror image loses in min.
template <class T>
constexpr T kLowest = std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity()
                                                  : std::numeric_limits<T>::lowest();

constexpr int64_t kNoIndex = std::numeric_limits<int64_t>::max();

/// Reverses the order of values: the largest becomes the smallest.
template <class T>
GG_DEVICE T mirror(T x) {
  if constexpr (std::is_floating_point_v<T>) {
    return -x;
  } else {
    return ~x;
  }
}

/// Reductions to a value: sum, prod, max, min.
template <class T>
struct Fold {
  using Type = T;
  static constexpr int kTake = sizeof(T) == 4 ? kReduceLanes : 8;  ///< what registers allow
  struct State {
    T value;
  };

  static __device__ State identity(const Reduction& r) {
    if (r.op == Reduce::sum) return {T(0)};
    if (r.op == Reduce::prod) return {T(1)};
    if (r.truth) return {r.op == Reduce::max ? T(0) : T(1)};
    return {r.op == Reduce::max ? kLowest<T> : mirror(kLowest<T>)};
  }
  static __device__ State merge(const Reduction& r, State a, State b) {
    return {merge_values(r.op, a.value, b.value)};
  }
  /// Adds N values, as a tree; their indices do not matter.
  template <int N, class At>
  static __device__ void take(const Reduction& r, State& state, const T (&v)[N], At) {
    switch (r.op) {
      case Reduce::sum:
        state.value = BinaryMath<T>::add(state.value, tree<Reduce::sum>(v));
        break;
      case Reduce::prod:
        state.value = BinaryMath<T>::mul(state.value, tree<Reduce::prod>(v));
        break;
      case Reduce::max:
        state.value = larger(state.value, tree<Reduce::max>(v));
        break;
      default:
        state.value = smaller(state.value, tree<Reduce::min>(v));
        break;
    }
  }
  template <Reduce op, int N>
  static __device__ T tree(const T (&v)[N]) {
    T t[N];
#pragma unroll
    for (int i = 0; i < N; i++) t[i] = v[i];
#pragma unroll
    for (int width = 1; width < N; width *= 2) {
#pragma unroll
      for (int i = 0; i + width < N; i += 2 * width) t[i] = merge_values(op, t[i], t[i + width]);
    }
    return t[0];
  }
  static __device__ T finish(const Reduction& r, State state) {
    if constexpr (std::is_floating_point_v<T>) {
      if (r.mean) return state.value / static_cast<T>(r.count);
    }
    return state.value;
  }
};

/// The index of the largest: the first of equals; NaN is larger than all.
template <class T>
struct Pick {
  using Type = T;
  static constexpr int kTake = 8;
  struct State {
    T value;
    int64_t index;
  };

  static __device__ State identity(const Reduction&) { return {kLowest<T>, kNoIndex}; }
  static __device__ bool beats(T value, int64_t index, const State& best) {
    const bool nan = value != value, best_nan = best.value != best.value;
    if (nan != best_nan) return nan;
    return value > best.value || ((nan || value == best.value) && index < best.index);
  }
  static __device__ State merge(const Reduction&, State a, State b) {
    return beats(b.value, b.index, a) ? b : a;
  }
  template <int N, class At>
  static __device__ void take(const Reduction&, State& state, const T (&v)[N], At at) {
#pragma unroll
    for (int i = 0; i < N; i++) {
      if (beats(v[i], at(i), state)) state = {v[i], at(i)};
    }
  }
  static __device__ int64_t finish(const Reduction&, State state) { return state.index; }
};

}  // namespace gg

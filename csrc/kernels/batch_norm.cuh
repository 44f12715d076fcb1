// What the normalisation kernels share: moments, and weights of a dtype known at run time.
#pragma once

#include "core/norm_checks.h"
#include "device/cache.h"
#include "kernels/lanes.cuh"
#include "kernels/rows.cuh"

namespace gg {

// ---- moments -----------------------------------------------------------------------------------

/// Of `count` values: their mean and the sum of their squared distances from it.
template <class A>
struct Moments {
  A count, mean, m2;
};

/// The moments of both sets together (Chan, Golub & LeVeque 1979).
struct JoinMoments {
  template <class A>
  GG_HD Moments<A> operator()(const Moments<A>& a, const Moments<A>& b) const {
    const A count = a.count + b.count, share = count > 0 ? b.count / count : A(0);
    const A distance = b.mean - a.mean;
    return {count, a.mean + distance * share,
            a.m2 + b.m2 + distance * (a.count * share) * distance};
  }
};

/// Joins the first `count` values of v to `all`: theirs by two passes.
template <class A, int V>
GG_DEVICE void add_moments(Moments<A>& all, const A (&v)[V], int count) {
  A sum = 0, m2 = 0;
#pragma unroll
  for (int i = 0; i < V; i++) sum += i < count ? v[i] : A(0);
  const A mean = sum * (A(1) / static_cast<A>(count));
#pragma unroll
  for (int i = 0; i < V; i++) m2 += i < count ? (v[i] - mean) * (v[i] - mean) : A(0);
  if (count > 0) all = JoinMoments()(all, Moments<A>{static_cast<A>(count), mean, m2});
}

template <class A>
GG_DEVICE A not_a_number() {
  return kInfinity<A> - kInfinity<A>;
}

template <class A>
GG_DEVICE A average(const Moments<A>& all) {
  return all.count > 0 ? all.mean : not_a_number<A>();
}

template <class A>
GG_DEVICE A reciprocal_deviation(const Moments<A>& all, A eps) {
  return A(1) / std::sqrt(all.m2 / all.count + eps);
}

// ---- weights -----------------------------------------------------------------------------------

/// A vector of x's dtype T or its accumulation dtype; `otherwise` where there is none.
struct Weights {
  const void* data;
  int64_t stride;
  bool wide;     ///< accumulation dtype
  bool vectors;  ///< 16 bytes at a time
  float otherwise;
};

inline Weights make_weights(const Array& a, DType x, float otherwise) {
  if (!a) return {nullptr, 0, true, false, otherwise};
  const int64_t stride = a.shape[0] == 1 ? 1 : a.stride[0];
  const bool aligned = reinterpret_cast<uintptr_t>(a.data) % 16 == 0;
  return {a.data, stride, a.dtype == accumulation(x), aligned && stride == 1, otherwise};
}

/// Element i, in the type it is computed in.
template <class T>
GG_DEVICE Acc<T> weight_at(const Weights& w, int64_t i) {
  using A = Acc<T>;
  if (!w.data) return static_cast<A>(w.otherwise);
  if (w.wide) return static_cast<const A*>(w.data)[i * w.stride];
  return convert<A>(static_cast<const T*>(w.data)[i * w.stride]);
}

/// Elements at[0], at[1], ...; V neighbours from at[0] on where `run`, else one by one where they
/// differ (`several`).
template <class T, int V>
GG_DEVICE void load_weights(const Weights& w, const int64_t (&at)[V], bool run, bool several,
                            Acc<T> (&to)[V]) {
  using A = Acc<T>;
  if (!w.data || !(run || several)) {
    const A one = weight_at<T>(w, at[0]);
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = one;
  } else if (run && w.vectors && at[0] % V == 0) {
    if (w.wide) {
      const Vec<A, V> raw = load_vec<V>(static_cast<const A*>(w.data) + at[0]);
#pragma unroll
      for (int v = 0; v < V; v++) to[v] = raw[v];
    } else {
      const Vec<T, V> raw = load_vec<V>(static_cast<const T*>(w.data) + at[0]);
#pragma unroll
      for (int v = 0; v < V; v++) to[v] = convert<A>(raw[v]);
    }
  } else {
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = weight_at<T>(w, run ? at[0] + v : at[v]);
  }
}

/// A vector of any floating dtype, for kernels that know only the type A computed in.
struct AnyVector {
  void* data;
  int64_t stride;
  DType dtype;
};

inline AnyVector any_vector(const Array& a) {
  if (!a) return {nullptr, 0, DType::f32};
  return {a.data, a.stride[0], a.dtype};
}

template <class A>
GG_DEVICE A value_at(const AnyVector& w, int64_t i, A otherwise) {
  if (!w.data) return otherwise;
  A value = 0;
  with_storage<A>(w.dtype, [&](auto stored) {
    value = convert<A>(static_cast<const decltype(stored)*>(w.data)[i * w.stride]);
  });
  return value;
}

/// Writes an element, where there is a vector.
template <class A>
GG_DEVICE void put_value(const AnyVector& w, int64_t i, A value) {
  if (!w.data) return;
  with_storage<A>(w.dtype, [&](auto stored) {
    using S = decltype(stored);
    static_cast<S*>(w.data)[i * w.stride] = convert<S>(value);
  });
}

// ---- elements of K arrays ----------------------------------------------------------------------

/// Can every array but those that are none be moved `width` elements at a time along a layout?
template <int K>
bool all_in_vectors(const Layout<K>& layout, const Array* const (&arrays)[K], int width) {
  for (int k = 0; k < K; k++) {
    if (!*arrays[k]) continue;
    const int itemsize = dtype_size(arrays[k]->dtype);
    if (!walks_in_vectors(layout, k, arrays[k]->data, width, itemsize)) return false;
  }
  return true;
}

/// V elements of array k: i, i + step, ..., the first `count` of them (0 for the others). As one
/// vector where `vector`.
template <class T, int V, int K>
GG_DEVICE void load_elements(const Layout<K>& layout, int k, const T* data, int64_t i, int64_t step,
                             int count, bool vector, Acc<T> (&to)[V]) {
  const bool whole = vector && count == V;
  int64_t at[V];
  locate(layout, k, i, step, whole ? 1 : count, layout.size, at);
  if (whole) {
    const Vec<T, V> raw = load_vec_streaming<V>(data + at[0]);
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = convert<Acc<T>>(raw[v]);
  } else {
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = v < count ? convert<Acc<T>>(data[at[v]]) : Acc<T>(0);
  }
}

template <class T, int V, int K>
GG_DEVICE void store_elements(const Layout<K>& layout, int k, T* data, int64_t i, int64_t step,
                              int count, bool vector, const Acc<T> (&from)[V]) {
  const bool whole = vector && count == V;
  int64_t at[V];
  locate(layout, k, i, step, whole ? 1 : count, layout.size, at);
  if (whole) {
    Vec<T, V> raw;
#pragma unroll
    for (int v = 0; v < V; v++) raw[v] = convert<T>(from[v]);
    store_vec(data + at[0], raw);
  } else {
#pragma unroll
    for (int v = 0; v < V; v++) {
      if (v < count) data[at[v]] = convert<T>(from[v]);
    }
  }
}

/// How many of first, first + step, ... (at most `most`) are below n.
GG_DEVICE int count_below(int64_t first, int64_t step, int most, int64_t n) {
  int count = 0;
#pragma unroll
  for (int v = 0; v < most; v++) count += first + v * step < n ? 1 : 0;
  return count;
}

}  // namespace gg

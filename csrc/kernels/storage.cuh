// How a thread's values are stored: of a type known to the compiler, or, where a kernel for each
// would take longer to build than it saves, of one of several, chosen at each access.
#pragma once

#include "core/checks.h"
#include "device/device.h"

namespace gg {

/// The dtype of a C++ type.
template <class T>
constexpr DType dtype_of = DType::boolean;
template <>
inline constexpr DType dtype_of<uint8_t> = DType::u8;
template <>
inline constexpr DType dtype_of<int8_t> = DType::i8;
template <>
inline constexpr DType dtype_of<int16_t> = DType::i16;
template <>
inline constexpr DType dtype_of<int32_t> = DType::i32;
template <>
inline constexpr DType dtype_of<int64_t> = DType::i64;
template <>
inline constexpr DType dtype_of<f16> = DType::f16;
template <>
inline constexpr DType dtype_of<bf16> = DType::bf16;
template <>
inline constexpr DType dtype_of<float> = DType::f32;

/// V values of T side by side.
template <class T, int Values>
struct Stored {
  static constexpr int V = Values;
  using A = std::conditional_t<is_float<T>, Acc<T>, T>;

  static __device__ void load(const void* data, int64_t at, DType, A (&values)[V]) {
    const Vec<T, V> vector = load_vec<V>(static_cast<const T*>(data) + at);
#pragma unroll
    for (int v = 0; v < V; v++) values[v] = convert<A>(vector[v]);
  }
  static __device__ void store(void* data, int64_t at, DType, const A (&values)[V]) {
    Vec<T, V> vector;
#pragma unroll
    for (int v = 0; v < V; v++) vector[v] = convert<T>(values[v]);
    store_vec(static_cast<T*>(data) + at, vector);
  }
};

/// V values side by side, of one of several types.
template <class Computed, int Values, class... Types>
struct OneOf {
  static constexpr int V = Values;
  using A = Computed;

  static __device__ void load(const void* data, int64_t at, DType dtype, A (&values)[V]) {
#pragma unroll
    for (int v = 0; v < V; v++) values[v] = 0;
    (load_if<Types>(data, at, dtype, values), ...);
  }
  static __device__ void store(void* data, int64_t at, DType dtype, const A (&values)[V]) {
    (store_if<Types>(data, at, dtype, values), ...);
  }

 private:
  template <class T>
  static __device__ void load_if(const void* data, int64_t at, DType dtype, A (&values)[V]) {
    if (dtype != dtype_of<T>) return;
    const Vec<T, V> vector = load_vec<V>(static_cast<const T*>(data) + at);
#pragma unroll
    for (int v = 0; v < V; v++) values[v] = convert<A>(vector[v]);
  }
  template <class T>
  static __device__ void store_if(void* data, int64_t at, DType dtype, const A (&values)[V]) {
    if (dtype != dtype_of<T>) return;
    Vec<T, V> vector;
#pragma unroll
    for (int v = 0; v < V; v++) vector[v] = convert<T>(values[v]);
    store_vec(static_cast<T*>(data) + at, vector);
  }
};

template <int V>
using AnyFloat = OneOf<float, V, float, f16, bf16>;
using AnyInteger = OneOf<int64_t, 1, uint8_t, int8_t, int16_t, int32_t, int64_t>;

}  // namespace gg

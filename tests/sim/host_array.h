// Arrays for the kernel cases: memory of exactly their size, so that AddressSanitizer sees the
// edge.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "check.h"
#include "ops.h"

namespace gg {

using Shape = std::vector<int64_t>;

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, bool>) return DType::boolean;
  if constexpr (std::is_same_v<T, uint8_t>) return DType::u8;
  if constexpr (std::is_same_v<T, int8_t>) return DType::i8;
  if constexpr (std::is_same_v<T, int16_t>) return DType::i16;
  if constexpr (std::is_same_v<T, int32_t>) return DType::i32;
  if constexpr (std::is_same_v<T, int64_t>) return DType::i64;
  if constexpr (std::is_same_v<T, f16>) return DType::f16;
  if constexpr (std::is_same_v<T, bf16>) return DType::bf16;
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, double>) return DType::f64;
}

inline int64_t volume(const Shape& shape) {
  int64_t n = 1;
  for (int64_t s : shape) n *= s;
  return n;
}

/// Owns row-major memory; used as an Array wherever one is asked for.
template <class T>
struct Host {
  Shape shape;
  int64_t size;
  std::shared_ptr<T[]> data;

  explicit Host(const Shape& s) : shape(s), size(volume(s)), data(new T[size]()) {}
  Host(const Shape& s, const std::function<double(int64_t)>& f) : Host(s) {
    for (int64_t i = 0; i < size; i++) data[i] = convert<T>(f(i));
  }

  double operator[](int64_t i) const { return convert<double>(data[i]); }

  operator Array() const {
    Array a;
    a.data = data.get();
    a.dtype = dtype_of<T>();
    a.ndim = static_cast<int>(shape.size());
    int64_t stride = 1;
    for (int d = a.ndim - 1; d >= 0; d--) {
      a.shape[d] = shape[d];
      a.stride[d] = stride;
      stride *= shape[d];
    }
    return a;
  }
  Array array() const { return *this; }
};

/// Repeatable numbers in [-2, 2) that do not follow a short pattern.
inline double noise(int64_t i) {
  uint64_t x = static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15u + 0x1234567;
  x = (x ^ x >> 31) * 0xbf58476d1ce4e5b9u;
  return static_cast<double>(x >> 40) / (1 << 22) - 2.0;
}

inline Array transposed(Array a, int i, int j) {
  std::swap(a.shape[i], a.shape[j]);
  std::swap(a.stride[i], a.stride[j]);
  return a;
}

/// Strides of 0 along axis i, which had length 1.
inline Array repeated(Array a, int i, int64_t n) {
  a.shape[i] = n;
  a.stride[i] = 0;
  return a;
}

inline Array backwards(Array a, int i) {
  a.data = static_cast<char*>(a.data) + (a.shape[i] - 1) * a.stride[i] * dtype_size(a.dtype);
  a.stride[i] = -a.stride[i];
  return a;
}

inline Operand operand(const Array& a) {
  return {a, {}};
}
inline Operand number(double f) {
  return {{}, {f, static_cast<int64_t>(f), false}};
}

/// How far a correct result may be from the sum in double, relative to the numbers that went in.
template <class T>
constexpr double tolerance() {
  if constexpr (std::is_same_v<T, f16>) return 2e-3;
  if constexpr (std::is_same_v<T, bf16>) return 1.6e-2;
  if constexpr (std::is_same_v<T, float>) return 2e-5;
  return 1e-11;
}

template <class T>
void check_near(const char* what, int64_t i, double got, double wanted, double scale = 1) {
  const double allowed = tolerance<T>() * (std::fabs(wanted) + scale);
  if (std::fabs(got - wanted) <= allowed || (std::isnan(got) && std::isnan(wanted)) ||
      got == wanted) {
    return;
  }
  throw check::Failure(std::string(what) + "[" + std::to_string(i) + "] is " + std::to_string(got) +
                       ", expected " + std::to_string(wanted));
}

inline Host<uint8_t> workspace(int64_t bytes) {
  return Host<uint8_t>({bytes});
}

}  // namespace gg

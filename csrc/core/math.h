// The bodies of the functors listed in core/functors.h, one function under each functor's name.
//
// T is the type a functor computes in: float (float16, bfloat16, float32), double, an integer type
// for itself, or bool. Integers wrap, and no argument is undefined behaviour. Used by the kernels,
// by the GEMM epilogues and by csrc/cpu, so that a functor has one definition on every device.
#pragma once

#include <type_traits>

#include "core/functors.h"
#include "core/math_binary.h"
#include "core/math_unary.h"
#include "device/qualifiers.h"

namespace gg {

template <class T>
GG_HD constexpr bool accepts(Domain domain) {
  if (domain == Domain::any) return true;
  if (domain == Domain::floating) return std::is_floating_point_v<T>;
  if (domain == Domain::number) return !std::is_same_v<T, bool>;
  return !std::is_floating_point_v<T>;
}

/// A few instructions: worth one copy for each element a thread holds.
GG_HD constexpr bool is_light(Unary op) {
  switch (op) {
    case Unary::neg:
    case Unary::abs:
    case Unary::sign:
    case Unary::square:
    case Unary::relu:
    case Unary::leaky_relu:
    case Unary::clamp:
    case Unary::hardsigmoid:
    case Unary::hardswish:
    case Unary::floor:
    case Unary::ceil:
    case Unary::round:
    case Unary::trunc:
    case Unary::isnan:
    case Unary::isinf:
    case Unary::isfinite:
    case Unary::signbit:
    case Unary::logical_not:
    case Unary::bitwise_not:
      return true;
    default:
      return false;
  }
}

GG_HD constexpr bool is_light(Binary op) {
  switch (op) {
    case Binary::div:
    case Binary::floor_divide:
    case Binary::remainder:
    case Binary::pow:
    case Binary::fmod:
    case Binary::atan2:
    case Binary::hypot:
    case Binary::gcd:
    case Binary::gelu_grad:
    case Binary::gelu_tanh_grad:
    case Binary::silu_grad:
      return false;
    default:
      return true;
  }
}

/// Drops the first Step of N values and appends y: a loop that does so after each step reaches all
/// of them while every index stays a constant, so the values stay in registers.
template <int Step, class T, int N>
GG_HD void rotate(T (&x)[N], const T (&y)[Step]) {
#pragma unroll
  for (int i = 0; i < N - Step; i++) x[i] = x[i + Step];
#pragma unroll
  for (int i = 0; i < Step; i++) x[N - Step + i] = y[i];
}

// Each case is there only for the types the functor accepts; elsewhere the values stay as they
// are, and the host checks the domain before.
#define GG_UNARY_same(name) UnaryMath<T>::name(x[i], p0, p1)
#define GG_UNARY_boolean(name) static_cast<T>(UnaryMath<T>::name(x[i]))
#define GG_UNARY_CASE(name, domain, result)                                              \
  case Unary::name:                                                                      \
    if constexpr (accepts<T>(Domain::domain)) {                                          \
      constexpr int step = is_light(Unary::name) ? N : Step;                             \
      _Pragma("unroll 1") for (int done = 0; done < N; done += step) {                   \
        T y[step];                                                                       \
        _Pragma("unroll") for (int i = 0; i < step; i++) y[i] = GG_UNARY_##result(name); \
        rotate(x, y);                                                                    \
      }                                                                                  \
    }                                                                                    \
    break;

/// x[i] = f(x[i]; p0, p1), one choice for N values. Predicates give 0 or 1. The code has N copies
/// of light functors and Step copies of the others, so that code and compile time stay small.
template <int Step, class T, int N>
GG_HD void map_unary(Unary op, T (&x)[N], [[maybe_unused]] T p0, [[maybe_unused]] T p1) {
  switch (op) { GG_UNARY_LIST(GG_UNARY_CASE) }
}

#define GG_BINARY_CASE(name, domain, result)                           \
  case Binary::name:                                                   \
    if constexpr (accepts<T>(Domain::domain)) {                        \
      constexpr int step = is_light(Binary::name) ? N : Step;          \
      _Pragma("unroll 1") for (int done = 0; done < N; done += step) { \
        T y[step], used[step];                                         \
        _Pragma("unroll") for (int i = 0; i < step; i++) {             \
          y[i] = static_cast<T>(BinaryMath<T>::name(a[i], b[i]));      \
          used[i] = b[i];                                              \
        }                                                              \
        rotate(a, y);                                                  \
        rotate(b, used);                                               \
      }                                                                \
    }                                                                  \
    break;

/// a[i] = f(a[i], b[i]), as map_unary. b keeps its values.
template <int Step, class T, int N>
GG_HD void map_binary(Binary op, T (&a)[N], T (&b)[N]) {
  switch (op) { GG_BINARY_LIST(GG_BINARY_CASE) }
}

#undef GG_UNARY_same
#undef GG_UNARY_boolean
#undef GG_UNARY_CASE
#undef GG_BINARY_CASE

template <class T>
GG_HD T apply_unary(Unary op, T x, T p0 = T(0), T p1 = T(0)) {
  T values[1] = {x};
  map_unary<1>(op, values, p0, p1);
  return values[0];
}

template <class T>
GG_HD bool test_unary(Unary op, T x) {
  return apply_unary(op, x) != T(0);
}

template <class T>
GG_HD T apply_binary(Binary op, T a, T b) {
  T values[1] = {a};
  T others[1] = {b};
  map_binary<1>(op, values, others);
  return values[0];
}

template <class T>
GG_HD bool test_binary(Binary op, T a, T b) {
  return apply_binary(op, a, b) != T(0);
}

/// A GEMM's epilogue. Integer types take none and relu only; the host checks that.
template <class T>
GG_HD T activate(Activation activation, T x) {
  using Math = UnaryMath<T>;
  const T none = T(0);
  if (activation == Activation::none) return x;
  if (activation == Activation::relu) return Math::relu(x, none, none);
  if constexpr (std::is_floating_point_v<T>) {
    switch (activation) {
      case Activation::gelu:
        return Math::gelu(x, none, none);
      case Activation::gelu_tanh:
        return Math::gelu_tanh(x, none, none);
      case Activation::silu:
        return Math::silu(x, none, none);
      case Activation::sigmoid:
        return Math::sigmoid(x, none, none);
      case Activation::tanh:
        return Math::tanh(x, none, none);
      default:
        break;
    }
  }
  return x;
}

}  // namespace gg

// Checks of arguments, and the way from a run-time dtype to a C++ type. Host only.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "core/array.h"

namespace gg {

struct f16;   // device/types.h
struct bf16;  // device/types.h

// ---- text ------------------------------------------------------------------------------------

inline void append(std::string& text, const char* s) {
  text += s;
}
inline void append(std::string& text, const std::string& s) {
  text += s;
}
inline void append(std::string& text, DType t) {
  text += dtype_name(t);
}
inline void append(std::string& text, bool b) {
  text += b ? "true" : "false";
}

template <class N, std::enable_if_t<std::is_arithmetic_v<N>, int> = 0>
void append(std::string& text, N number) {
  text += std::to_string(number);
}

/// "(2, 3)", "(4,)", "()": as Python prints shapes.
inline std::string shape_text(const int64_t* shape, int ndim) {
  std::string text = "(";
  for (int i = 0; i < ndim; i++) {
    text += std::to_string(shape[i]);
    if (ndim == 1 || i + 1 < ndim) text += i + 1 < ndim ? ", " : ",";
  }
  return text + ")";
}

inline std::string shape_text(const Array& a) {
  return shape_text(a.shape, a.ndim);
}

/// "float32 (2, 3)", or "none".
inline void append(std::string& text, const Array& a) {
  if (!a) {
    text += "none";
    return;
  }
  append(text, a.dtype);
  text += ' ';
  text += shape_text(a);
}

inline void append(std::string& text, const Operand& a) {
  if (a.is_scalar()) {
    text += "a number";
  } else {
    append(text, a.array);
  }
}

template <class... Parts>
[[noreturn]] void fail(const char* op, const Parts&... parts) {
  std::string text = op;
  text += ": ";
  (append(text, parts), ...);
  throw std::invalid_argument(text);
}

/// GG_CHECK(n == m, "gemm", "inner sizes differ: a ", a, ", b ", b);
/// Parts are strings, numbers, dtypes, arrays (dtype and shape) and operands.
#define GG_CHECK(condition, op, ...)               \
  do {                                             \
    if (!(condition)) ::gg::fail(op, __VA_ARGS__); \
  } while (0)

// ---- common checks ---------------------------------------------------------------------------

constexpr bool is_integer(DType t) {
  return t >= DType::u8 && t <= DType::i64;
}

/// What `sum` accumulates in: float32 for halves and float32, float64, int64 for the rest.
constexpr DType accumulation(DType t) {
  if (t == DType::f64) return DType::f64;
  return is_floating(t) ? DType::f32 : DType::i64;
}

inline bool same_shape(const Array& a, const Array& b) {
  if (a.ndim != b.ndim) return false;
  for (int i = 0; i < a.ndim; i++) {
    if (a.shape[i] != b.shape[i]) return false;
  }
  return true;
}

/// Do a's axes, aligned at the right, equal y's or have length 1?
inline bool broadcasts_to(const Array& a, const Array& y) {
  if (a.ndim > y.ndim) return false;
  for (int i = 1; i <= a.ndim; i++) {
    int64_t length = a.shape[a.ndim - i];
    if (length != y.shape[y.ndim - i] && length != 1) return false;
  }
  return true;
}

inline void check_present(const char* op, const char* name, const Array& a) {
  GG_CHECK(a, op, name, " is missing");
}

inline void check_dtype(const char* op, const char* name, const Array& a, DType expected) {
  GG_CHECK(a && a.dtype == expected, op, name, " must be ", expected, ", got ", a);
}

inline void check_floating(const char* op, const char* name, const Array& a) {
  GG_CHECK(a && is_floating(a.dtype), op, name,
           " must be float16, bfloat16, float32 or float64, got ", a);
}

inline void check_same_dtype(const char* op, const char* a_name, const Array& a, const char* b_name,
                             const Array& b) {
  GG_CHECK(a && b && a.dtype == b.dtype, op, a_name, " and ", b_name, " must have one dtype, got ",
           a, " and ", b);
}

inline void check_same_shape(const char* op, const char* a_name, const Array& a, const char* b_name,
                             const Array& b) {
  GG_CHECK(a && b && same_shape(a, b), op, a_name, " and ", b_name, " must have one shape, got ", a,
           " and ", b);
}

inline void check_shape(const char* op, const char* name, const Array& a,
                        std::initializer_list<int64_t> expected) {
  bool same = a && a.ndim == static_cast<int>(expected.size());
  for (int i = 0; same && i < a.ndim; i++) same = a.shape[i] == expected.begin()[i];
  GG_CHECK(same, op, name, " must have shape ",
           shape_text(expected.begin(), static_cast<int>(expected.size())), ", got ", a);
}

inline void check_contiguous(const char* op, const char* name, const Array& a) {
  GG_CHECK(a && a.contiguous(), op, name, " must be contiguous (row-major), got ", a,
           "; pass its contiguous()");
}

inline void check_broadcasts(const char* op, const char* name, const Array& a, const Array& y) {
  GG_CHECK(a && broadcasts_to(a, y), op, name, " ", a, " does not broadcast to the output's shape ",
           shape_text(y));
}

inline void check_workspace(const char* op, const Array& workspace, int64_t bytes) {
  if (bytes == 0) return;
  int64_t given = workspace ? workspace.size() * dtype_size(workspace.dtype) : 0;
  GG_CHECK(given >= bytes && workspace.contiguous(), op, "workspace must be contiguous and hold ",
           bytes, " bytes, got ", given, "; ask ", op, "_workspace for the size");
}

// ---- dispatch --------------------------------------------------------------------------------

template <class T>
struct Tag {
  using type = T;
};

/// f(Tag<T>{}) with T the floating C++ type of the dtype; others throw in the name of op.
///   dispatch_floating(x.dtype, [&](auto tag) { using T = typename decltype(tag)::type; ... });
template <class F>
void dispatch_floating(DType t, F&& f, const char* op = "dispatch_floating") {
  switch (t) {
    case DType::f16:
      return f(Tag<f16>{});
    case DType::bf16:
      return f(Tag<bf16>{});
    case DType::f32:
      return f(Tag<float>{});
    case DType::f64:
      return f(Tag<double>{});
    default:
      fail(op, "expected float16, bfloat16, float32 or float64, got ", t);
  }
}

/// The same over the integers (not bool).
template <class F>
void dispatch_integer(DType t, F&& f, const char* op = "dispatch_integer") {
  switch (t) {
    case DType::u8:
      return f(Tag<uint8_t>{});
    case DType::i8:
      return f(Tag<int8_t>{});
    case DType::i16:
      return f(Tag<int16_t>{});
    case DType::i32:
      return f(Tag<int32_t>{});
    case DType::i64:
      return f(Tag<int64_t>{});
    default:
      fail(op, "expected an integer dtype, got ", t);
  }
}

/// The same over integers and floating types (not bool).
template <class F>
void dispatch_number(DType t, F&& f, const char* op = "dispatch_number") {
  GG_CHECK(t != DType::boolean, op, "expected an integer or floating dtype, got bool");
  if (is_floating(t)) {
    dispatch_floating(t, f, op);
  } else {
    dispatch_integer(t, f, op);
  }
}

/// The same over all ten dtypes.
template <class F>
void dispatch_all(DType t, F&& f) {
  if (t == DType::boolean) return f(Tag<bool>{});
  dispatch_number(t, f);
}

/// For operations that only move elements: the unsigned integer of the dtype's size, so that
/// ten dtypes need four instances.
template <class F>
void dispatch_width(DType t, F&& f) {
  switch (dtype_size(t)) {
    case 1:
      return f(Tag<uint8_t>{});
    case 2:
      return f(Tag<uint16_t>{});
    case 4:
      return f(Tag<uint32_t>{});
    default:
      return f(Tag<uint64_t>{});
  }
}

}  // namespace gg

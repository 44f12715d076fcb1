// Checks of arguments, and the way from a run-time dtype to a C++ type. Host only.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "core/array.h"

namespace gg {

struct f16;   // device/types.h
struct bf16;  // device/types.h

// ---- errors ----------------------------------------------------------------------------------

/// Prints as Python prints shapes: "(2, 3)", "(4,)", "()".
struct ShapeText {
  const int64_t* shape;
  int ndim;
};

inline ShapeText shape_text(const int64_t* shape, int ndim) {
  return {shape, ndim};
}

inline ShapeText shape_text(const Array& a) {
  return {a.shape, a.ndim};
}

class Part;

/// Throws std::invalid_argument: the operation, a colon, the parts.
[[noreturn]] void fail(const char* op, std::initializer_list<Part> parts);

/// A part of an error's text, which refers to what it was made of. Every file checks arguments, so
/// nothing here is a template that need not be, and std::string stays out.
class Part {
 public:
  Part(const char* text) : kind_(Kind::text) { value_.text = text; }
  Part(bool b) : Part(b ? "true" : "false") {}
  Part(DType t) : kind_(Kind::dtype) { value_.dtype = t; }
  Part(double d) : kind_(Kind::real) { value_.real = d; }
  Part(ShapeText s) : kind_(Kind::shape) { value_.shape = s; }
  Part(const Array& a) : kind_(Kind::array) { value_.array = &a; }  // "float32 (2, 3)", or "none"
  Part(const Operand& a) : Part(a.array) {
    if (a.is_scalar()) *this = "a number";
  }
  template <class N, std::enable_if_t<std::is_integral_v<N>, int> = 0>
  Part(N number) : kind_(Kind::number) {
    value_.number = static_cast<int64_t>(number);
  }

 private:
  friend void fail(const char* op, std::initializer_list<Part> parts);

  enum class Kind { text, number, real, dtype, shape, array } kind_;
  union {
    const char* text;
    int64_t number;
    double real;
    DType dtype;
    ShapeText shape;
    const Array* array;
  } value_;
};

template <class... Parts>
[[noreturn]] void fail(const char* op, const Parts&... parts) {
  fail(op, {Part(parts)...});
}

/// GG_CHECK(n == m, "gemm", "inner sizes differ: a ", a, ", b ", b);
/// Parts are texts, numbers, dtypes, shapes, arrays (dtype and shape) and operands.
#define GG_CHECK(condition, op, ...)                 \
  do {                                               \
    if (!(condition)) ::gg::fail(op, {__VA_ARGS__}); \
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

void check_present(const char* op, const char* name, const Array& a);
void check_dtype(const char* op, const char* name, const Array& a, DType expected);
void check_floating(const char* op, const char* name, const Array& a);
/// Throws for 8-bit floats, which are moved, cast and multiplied by gemm, and that is all.
void check_not_float8(const char* op, const char* name, const Array& a);
void check_same_dtype(const char* op, const char* a_name, const Array& a, const char* b_name,
                      const Array& b);
void check_same_shape(const char* op, const char* a_name, const Array& a, const char* b_name,
                      const Array& b);
void check_shape(const char* op, const char* name, const Array& a,
                 std::initializer_list<int64_t> expected);
void check_contiguous(const char* op, const char* name, const Array& a);
void check_broadcasts(const char* op, const char* name, const Array& a, const Array& y);
void check_workspace(const char* op, const Array& workspace, int64_t bytes);

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

/// The same over all dtypes but the 8-bit floats, which nothing computes with.
template <class F>
void dispatch_all(DType t, F&& f) {
  if (t == DType::boolean) return f(Tag<bool>{});
  dispatch_number(t, f);
}

/// For operations that only move elements: the unsigned integer of the dtype's size, so that
/// twelve dtypes need four instances.
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

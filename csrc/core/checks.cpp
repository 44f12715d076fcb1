// What failed checks say.
#include "core/checks.h"

#include <stdexcept>
#include <string>

namespace gg {
namespace {

std::string text_of(const ShapeText& s) {
  std::string text = "(";
  for (int i = 0; i < s.ndim; i++) {
    text += std::to_string(s.shape[i]);
    if (s.ndim == 1 || i + 1 < s.ndim) text += i + 1 < s.ndim ? ", " : ",";
  }
  return text + ")";
}

std::string text_of(const Array& a) {
  if (!a) return "none";
  std::string text = dtype_name(a.dtype);
  text += ' ';
  return text += text_of(shape_text(a));
}

}  // namespace

void fail(const char* op, std::initializer_list<Part> parts) {
  std::string text = op;
  text += ": ";
  for (const Part& part : parts) {
    switch (part.kind_) {
      case Part::Kind::text:
        text += part.value_.text;
        break;
      case Part::Kind::number:
        text += std::to_string(part.value_.number);
        break;
      case Part::Kind::real:
        text += std::to_string(part.value_.real);
        break;
      case Part::Kind::dtype:
        text += dtype_name(part.value_.dtype);
        break;
      case Part::Kind::shape:
        text += text_of(part.value_.shape);
        break;
      case Part::Kind::array:
        text += text_of(*part.value_.array);
        break;
    }
  }
  throw std::invalid_argument(text);
}

void check_present(const char* op, const char* name, const Array& a) {
  GG_CHECK(a, op, name, " is missing");
}

void check_dtype(const char* op, const char* name, const Array& a, DType expected) {
  GG_CHECK(a && a.dtype == expected, op, name, " must be ", expected, ", got ", a);
}

void check_floating(const char* op, const char* name, const Array& a) {
  GG_CHECK(a && is_floating(a.dtype), op, name,
           " must be float16, bfloat16, float32 or float64, got ", a);
}

void check_not_float8(const char* op, const char* name, const Array& a) {
  GG_CHECK(!a || !is_float8(a.dtype), op, "is not implemented for 8-bit floats, got ", name, " ", a,
           "; cast to bfloat16 or float32 first");
}

void check_same_dtype(const char* op, const char* a_name, const Array& a, const char* b_name,
                      const Array& b) {
  GG_CHECK(a && b && a.dtype == b.dtype, op, a_name, " and ", b_name, " must have one dtype, got ",
           a, " and ", b);
}

void check_same_shape(const char* op, const char* a_name, const Array& a, const char* b_name,
                      const Array& b) {
  GG_CHECK(a && b && same_shape(a, b), op, a_name, " and ", b_name, " must have one shape, got ", a,
           " and ", b);
}

void check_shape(const char* op, const char* name, const Array& a,
                 std::initializer_list<int64_t> expected) {
  bool same = a && a.ndim == static_cast<int>(expected.size());
  for (int i = 0; same && i < a.ndim; i++) same = a.shape[i] == expected.begin()[i];
  GG_CHECK(same, op, name, " must have shape ",
           shape_text(expected.begin(), static_cast<int>(expected.size())), ", got ", a);
}

void check_contiguous(const char* op, const char* name, const Array& a) {
  GG_CHECK(a && a.contiguous(), op, name, " must be contiguous (row-major), got ", a,
           "; pass its contiguous()");
}

void check_broadcasts(const char* op, const char* name, const Array& a, const Array& y) {
  GG_CHECK(a && broadcasts_to(a, y), op, name, " ", a, " does not broadcast to the output's shape ",
           shape_text(y));
}

void check_workspace(const char* op, const Array& workspace, int64_t bytes) {
  if (bytes == 0) return;
  int64_t given = workspace ? workspace.size() * dtype_size(workspace.dtype) : 0;
  GG_CHECK(given >= bytes && workspace.contiguous(), op, "workspace must be contiguous and hold ",
           bytes, " bytes, got ", given, "; ask ", op, "_workspace for the size");
}

}  // namespace gg

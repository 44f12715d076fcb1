// How Python objects become the contract's types: arrays, numbers, names of functors.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>

#include "core/array.h"
#include "core/functors.h"
#include "ops.h"

namespace gg {

/// ml_dtypes registers these with NumPy, so they have no fixed numbers.
inline int numpy_bfloat16 = -1, numpy_float8_e4m3fn = -1, numpy_float8_e5m2 = -1;

inline DType dtype_of(int numpy_number) {
  using npy = pybind11::detail::npy_api::constants;
  switch (numpy_number) {
    case npy::NPY_BOOL_:
      return DType::boolean;
    case npy::NPY_UBYTE_:
      return DType::u8;
    case npy::NPY_BYTE_:
      return DType::i8;
    case npy::NPY_SHORT_:
      return DType::i16;
    case npy::NPY_INT_:
      return DType::i32;
    case npy::NPY_LONG_:
    case npy::NPY_LONGLONG_:
      return DType::i64;
    case 23:
      return DType::f16;  // NPY_HALF, which pybind11 does not name
    case npy::NPY_FLOAT_:
      return DType::f32;
    case npy::NPY_DOUBLE_:
      return DType::f64;
    default:
      break;
  }
  if (numpy_number == numpy_bfloat16) return DType::bf16;
  if (numpy_number == numpy_float8_e4m3fn) return DType::f8e4m3;
  if (numpy_number == numpy_float8_e5m2) return DType::f8e5m2;
  throw std::invalid_argument("array dtype is none of gpugrad's (NumPy type number " +
                              std::to_string(numpy_number) + ")");
}

inline int64_t element_stride(int64_t bytes, int itemsize) {
  if (bytes % itemsize != 0)
    throw std::invalid_argument("array strides are not whole elements; make a contiguous copy");
  return bytes / itemsize;
}

/// Fills shape and strides; at(i) gives axis i's length and stride in bytes.
template <class At>
void set_layout(Array& a, int64_t ndim, At at) {
  if (ndim > kMaxDims)
    throw std::invalid_argument("array has " + std::to_string(ndim) + " axes; the limit is " +
                                std::to_string(kMaxDims));
  a.ndim = static_cast<int>(ndim);
  for (int i = 0; i < a.ndim; i++) {
    const auto [length, bytes] = at(i);
    a.shape[i] = length;
    a.stride[i] = element_stride(bytes, dtype_size(a.dtype));
  }
}

#if defined(GG_CUDA)
/// A CuPy array: x.data.ptr, x.dtype.num, x.shape, x.strides.
inline bool load_array(pybind11::handle object, Array& a) {
  namespace py = pybind11;
  static PyObject* const names[] = {
      PyUnicode_InternFromString("data"), PyUnicode_InternFromString("ptr"),
      PyUnicode_InternFromString("dtype"), PyUnicode_InternFromString("shape"),
      PyUnicode_InternFromString("strides")};
  const auto get = [](py::handle from, int name) {
    PyObject* found = PyObject_GetAttr(from.ptr(), names[name]);
    if (!found) PyErr_Clear();
    return py::reinterpret_steal<py::object>(found);
  };
  const py::object data = get(object, 0);
  const py::object pointer = data ? get(data, 1) : py::object();
  if (!pointer) return false;
  a.data = reinterpret_cast<void*>(pointer.cast<uintptr_t>());
  a.dtype = dtype_of(py::reinterpret_borrow<py::dtype>(get(object, 2)).num());
  const auto shape = get(object, 3).cast<py::tuple>();
  const auto strides = get(object, 4).cast<py::tuple>();
  set_layout(a, static_cast<int64_t>(shape.size()), [&](int i) {
    return std::pair(shape[i].cast<int64_t>(), strides[i].cast<int64_t>());
  });
  return true;
}
#else
/// A NumPy array.
inline bool load_array(pybind11::handle object, Array& a) {
  namespace py = pybind11;
  if (!py::isinstance<py::array>(object)) return false;
  const auto array = py::reinterpret_borrow<py::array>(object);
  a.data = const_cast<void*>(array.data());
  a.dtype = dtype_of(array.dtype().num());
  const py::ssize_t* const shape = array.shape();
  const py::ssize_t* const strides = array.strides();
  set_layout(a, array.ndim(),
             [&](int i) { return std::pair<int64_t, int64_t>(shape[i], strides[i]); });
  return true;
}
#endif

inline bool load_scalar(pybind11::handle object, Scalar& s) {
  if (PyBool_Check(object.ptr()) || PyLong_Check(object.ptr())) {
    int overflow = 0;
    s.i = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
    if (overflow) throw std::invalid_argument("a Python integer does not fit int64");
    s.f = static_cast<double>(s.i);
    s.integral = true;
    return true;
  }
  if (!PyFloat_Check(object.ptr())) return false;
  s.f = PyFloat_AS_DOUBLE(object.ptr());
  return true;
}

/// Index of a name in a list of names; names are few, so a scan beats a hash.
template <class Names, class Get>
bool load_name(pybind11::handle object, const Names& names, Get get, int8_t& value) {
  if (!PyUnicode_Check(object.ptr())) return false;
  const char* const text = PyUnicode_AsUTF8(object.ptr());
  for (int8_t i = 0; i < static_cast<int8_t>(std::size(names)); i++) {
    if (std::strcmp(text, get(names[i])) == 0) {
      value = i;
      return true;
    }
  }
  throw std::invalid_argument(std::string("no operation is named '") + text + "'");
}

}  // namespace gg

namespace pybind11::detail {

template <>
struct type_caster<gg::Array> {
  PYBIND11_TYPE_CASTER(gg::Array, const_name("ArrayLike | None"));
  bool load(handle source, bool) { return source.is_none() || gg::load_array(source, value); }
};

template <>
struct type_caster<gg::Scalar> {
  PYBIND11_TYPE_CASTER(gg::Scalar, const_name("float | int"));
  bool load(handle source, bool) { return gg::load_scalar(source, value); }
};

template <>
struct type_caster<gg::Operand> {
  PYBIND11_TYPE_CASTER(gg::Operand, const_name("ArrayLike | float | int"));
  bool load(handle source, bool) {
    return gg::load_scalar(source, value.scalar) || gg::load_array(source, value.array);
  }
};

/// Enumerators are passed by name: the Python side never sees a number.
#define GG_ENUM_CASTER(Enum, names, get)                           \
  template <>                                                      \
  struct type_caster<gg::Enum> {                                   \
    PYBIND11_TYPE_CASTER(gg::Enum, const_name("str"));             \
    bool load(handle source, bool) {                               \
      int8_t index = 0;                                            \
      if (!gg::load_name(source, names, get, index)) return false; \
      value = static_cast<gg::Enum>(index);                        \
      return true;                                                 \
    }                                                              \
  };
GG_ENUM_CASTER(Unary, gg::kUnary, [](const gg::Functor& f) { return f.name; })
GG_ENUM_CASTER(Binary, gg::kBinary, [](const gg::Functor& f) { return f.name; })
GG_ENUM_CASTER(Reduce, gg::kReduce, [](const char* name) { return name; })
GG_ENUM_CASTER(Scan, gg::kScan, [](const char* name) { return name; })
GG_ENUM_CASTER(Scatter, gg::kScatter, [](const char* name) { return name; })
GG_ENUM_CASTER(Activation, gg::kActivation, [](const char* name) { return name; })
GG_ENUM_CASTER(MatmulPrecision, gg::kMatmulPrecision, [](const char* name) { return name; })
GG_ENUM_CASTER(Border, gg::kBorder, [](const char* name) { return name; })
GG_ENUM_CASTER(Cell, gg::kCell, [](const char* name) { return name; })
#undef GG_ENUM_CASTER

}  // namespace pybind11::detail

namespace gg {

/// Loads the items of a tuple into `fields`, each by its own caster. The last fields may be left
/// out.
template <class... Fields>
bool load_fields(pybind11::handle source, std::tuple<Fields&...> fields) {
  namespace py = pybind11;
  if (!PyTuple_Check(source.ptr()) ||
      PyTuple_GET_SIZE(source.ptr()) > Py_ssize_t{sizeof...(Fields)})
    return false;
  const auto load = [&](auto& field, Py_ssize_t i) {
    if (i >= PyTuple_GET_SIZE(source.ptr())) return true;
    py::detail::make_caster<std::remove_reference_t<decltype(field)>> caster;
    if (!caster.load(PyTuple_GET_ITEM(source.ptr(), i), true)) return false;
    field = py::detail::cast_op<std::remove_reference_t<decltype(field)>>(caster);
    return true;
  };
  Py_ssize_t i = 0;
  return std::apply([&](auto&... field) { return (load(field, i++) && ...); }, fields);
}

}  // namespace gg

namespace pybind11::detail {

/// Structures are passed as tuples of their fields.
#define GG_TUPLE_CASTER(Struct, text, ...)                                                        \
  template <>                                                                                     \
  struct type_caster<gg::Struct> {                                                                \
    PYBIND11_TYPE_CASTER(gg::Struct, const_name(text));                                           \
    bool load(handle source, bool) {                                                              \
      return gg::load_fields(source, [](gg::Struct& s) { return std::tie(__VA_ARGS__); }(value)); \
    }                                                                                             \
  };
GG_TUPLE_CASTER(GemmEpilogue,
                "tuple[ArrayLike | None, ArrayLike | None, ArrayLike | None, float, float, str, "
                "ArrayLike | None]",
                s.scale, s.bias, s.residual, s.alpha, s.beta, s.act, s.row_scale)
GG_TUPLE_CASTER(ConvWindow, "tuple[Sequence[int], Sequence[int], Sequence[int], int]", s.stride,
                s.padding, s.dilation, s.groups)
GG_TUPLE_CASTER(PoolWindow, "tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]",
                s.kernel, s.stride, s.padding, s.dilation)
GG_TUPLE_CASTER(AttentionOptions,
                "tuple[ArrayLike | None, ArrayLike | None, ArrayLike | None, ArrayLike | None, "
                "int, int, bool, float, float, ArrayLike | None, int]",
                s.bias, s.q_offsets, s.k_offsets, s.k_lengths, s.left, s.right, s.align_end,
                s.scale, s.dropout, s.state, s.call)
#undef GG_TUPLE_CASTER

}  // namespace pybind11::detail

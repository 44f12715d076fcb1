// Raw operations as Python functions. Arguments are positional. pybind11's casters read them, but
// not its cpp_function calls the operation: that takes four times as long to compile.
#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "bind_casters.h"
#include "ops/types.h"

namespace gg::binding {

/// What a bound function is called with as `self`; lives as long as the process.
struct Bound {
  std::string name, doc;
  PyMethodDef method;
  void (*operation)();
};

/// A type in signatures.
template <class T>
const char* type_text() {
  if constexpr (std::is_same_v<T, bool>) return "bool";
  if constexpr (std::is_same_v<T, Arrays>) return "list[ArrayLike]";
  if constexpr (std::is_same_v<T, Sizes>) return "Sequence[int]";
  if constexpr (std::is_integral_v<T>) return "int";
  if constexpr (std::is_floating_point_v<T>) return "float";
  if constexpr (std::is_class_v<T> || std::is_enum_v<T>) {
    static constexpr auto name = pybind11::detail::make_caster<T>::name;
    return name.text;
  }
}

struct WrongType {};

inline PyObject* wrong_arguments(const Bound& bound) {
  PyErr_Format(PyExc_TypeError, "wrong number or types of arguments for %s", bound.doc.c_str());
  return nullptr;
}

/// The C++ exception that is being handled, as a Python error.
inline PyObject* raise_python_error(const Bound& bound) {
  try {
    throw;
  } catch (const WrongType&) {
    wrong_arguments(bound);
  } catch (pybind11::error_already_set& error) {
    error.restore();
  } catch (const std::bad_alloc& error) {
    PyErr_SetString(PyExc_MemoryError, error.what());
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

/// A Python object as an argument, by its type's caster.
template <class T>
struct Argument {
  T value;

  explicit Argument(PyObject* object) {
    // Of an iterator the arrays would be gone before they are read.
    constexpr bool arrays = std::is_same_v<T, Arrays>;
    if (arrays && !PyList_Check(object) && !PyTuple_Check(object)) throw WrongType();
    pybind11::detail::make_caster<T> caster;
    if (!caster.load(object, true)) throw WrongType();
    value = pybind11::detail::cast_op<T&&>(std::move(caster));
  }
};

inline Stream stream_of(PyObject* object) {
  const size_t address = PyLong_AsSize_t(object);
  if (PyErr_Occurred()) throw pybind11::error_already_set();
  return reinterpret_cast<Stream>(address);
}

inline PyObject* none() {
  Py_RETURN_NONE;
}

template <class... Args>
PyObject* run(void (*operation)(Stream, Args...), Stream stream, Args... args) {
  {
    const pybind11::gil_scoped_release nogil;
    operation(stream, args...);
  }
  return none();
}

/// One for each signature. `streams`: a stream comes first, as an integer, and the GIL is free
/// while the operation runs; else the function's result is a number.
template <bool streams, class... Args, size_t... I>
PyObject* call(const Bound& bound, PyObject* const* args, std::index_sequence<I...>) {
  if constexpr (streams) {
    return run<Args...>(reinterpret_cast<void (*)(Stream, Args...)>(bound.operation),
                        stream_of(args[0]), Argument<std::decay_t<Args>>(args[I + 1]).value...);
  } else {
    return PyLong_FromLongLong(reinterpret_cast<int64_t (*)(Args...)>(bound.operation)(
        Argument<std::decay_t<Args>>(args[I]).value...));
  }
}

template <bool streams, class... Args>
PyObject* entry(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  const Bound& bound = *static_cast<const Bound*>(PyCapsule_GetPointer(self, nullptr));
  if (count != sizeof...(Args) + streams) return wrong_arguments(bound);
  try {
    return call<streams, Args...>(bound, args, std::index_sequence_for<Args...>());
  } catch (...) {
    return raise_python_error(bound);
  }
}

using Entry = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t);

inline void add(pybind11::module_& m, const char* name, Entry entry, void (*operation)(),
                const char* result, const std::vector<std::array<const char*, 2>>& parameters) {
  Bound* const bound = new Bound{name, std::string(name) + "(", {}, operation};
  for (size_t i = 0; i < parameters.size(); i++) {
    bound->doc += std::string(i ? ", " : "") + parameters[i][0] + ": " + parameters[i][1];
  }
  bound->doc += std::string(") -> ") + result;
  bound->method = {bound->name.c_str(),
                   reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(entry)),
                   METH_FASTCALL, bound->doc.c_str()};
  const pybind11::capsule self(static_cast<const void*>(bound));
  m.add_object(name, pybind11::reinterpret_steal<pybind11::object>(
                         PyCFunction_NewEx(&bound->method, self.ptr(), nullptr)));
}

/// Binds a raw operation; names are those of its parameters behind the stream.
template <class... Args, class... Names>
void bind(pybind11::module_& m, const char* name, void (*operation)(Stream, Args...),
          Names... names) {
  static_assert(sizeof...(Args) == sizeof...(Names));
  add(m, name, &entry<true, Args...>, reinterpret_cast<void (*)()>(operation), "None",
      {{"stream", "int"}, {names, type_text<std::decay_t<Args>>()}...});
}

/// Binds a function that asks for the size of an operation's workspace.
template <class... Args, class... Names>
void bind(pybind11::module_& m, const char* name, int64_t (*operation)(Args...), Names... names) {
  static_assert(sizeof...(Args) == sizeof...(Names));
  add(m, name, &entry<false, Args...>, reinterpret_cast<void (*)()>(operation), "int",
      {{names, type_text<std::decay_t<Args>>()}...});
}

}  // namespace gg::binding

// What Python would otherwise spend on every operation: its objects, and the front of apply.
#pragma once

using PyObject = struct _object;

namespace gg {

/// Adds TensorBase, NodeBase, apply and connect to a Python module; false with a Python error set.
bool add_engine(PyObject* module);

}  // namespace gg

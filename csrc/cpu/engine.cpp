// What Python would otherwise spend on every operation, however few numbers it computes:
//
//   TensorBase, NodeBase   gpugrad.Tensor and autograd's Node without their methods. Attributes are
//                          members of a C struct, as __slots__ are, and have their first values
//   apply                  the front of Function.apply: unpacks the inputs, calls forward, makes a
//                          tensor of the result, and records the node where that is wanted
//
// What is seldom (several results, views, changes in place, detect_nan, mixed devices) and how
// saved arrays are noted stays Python's: functions of (node, value, inputs, needed), which
// autograd/function.py and anomaly.py hand over by `connect`.
#define PY_SSIZE_T_CLEAN
#include "cpu/engine.h"

#include <Python.h>
#include <structmember.h>

#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace gg {
namespace {

struct Tensor {
  PyObject base;
  PyObject *array, *backend, *grad, *grad_fn, *requires_grad, *versions, *hooks, *accumulator,
      *view;
};

struct Node {
  PyObject base;
  PyObject *edges, *backend, *kernels, *saved, *seq, *shape, *hooks;
};

PyTypeObject *tensor_base, *node_base;

/// A reference that is given back at the end of its scope.
struct Ref {
  PyObject* p;
  explicit Ref(PyObject* object) : p(object) {}
  Ref(const Ref&) = delete;
  ~Ref() { Py_XDECREF(p); }
  PyObject* release() { return std::exchange(p, nullptr); }
};

void set(PyObject*& member, PyObject* value) {
  PyObject* before = std::exchange(member, Py_NewRef(value));
  Py_XDECREF(before);
}

// ---- the two types -----------------------------------------------------------------------------

/// T: a PyObject and, after it, nothing but references.
template <class T>
struct Type {
  static constexpr size_t kMembers = (sizeof(T) - sizeof(PyObject)) / sizeof(PyObject*);

  static PyObject** members(PyObject* self) { return reinterpret_cast<PyObject**>(self + 1); }

  static int traverse(PyObject* self, visitproc visit, void* arg) {
    for (size_t i = 0; i < kMembers; i++) Py_VISIT(members(self)[i]);
    Py_VISIT(Py_TYPE(self));
    return 0;
  }

  static int clear(PyObject* self) {
    for (size_t i = 0; i < kMembers; i++) Py_CLEAR(members(self)[i]);
    return 0;
  }

  static void dealloc(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear(self);
    type->tp_free(self);
    Py_DECREF(type);
  }

  static PyTypeObject* add(PyObject* module, const char* name, newfunc create, initproc init,
                           PyMemberDef* fields) {
    PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(create)},
                           {Py_tp_init, reinterpret_cast<void*>(init)},
                           {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                           {Py_tp_clear, reinterpret_cast<void*>(clear)},
                           {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
                           {Py_tp_members, fields},
                           {0, nullptr}};
    PyType_Spec spec = {name, sizeof(T), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};
    auto* type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
    return type && PyModule_AddType(module, type) == 0 ? type : nullptr;
  }
};

PyObject* new_tensor(PyTypeObject* type, PyObject*, PyObject*) {
  auto* x = reinterpret_cast<Tensor*>(type->tp_alloc(type, 0));
  if (!x) return nullptr;
  for (PyObject** member : {&x->grad, &x->grad_fn, &x->versions, &x->hooks, &x->accumulator})
    *member = Py_NewRef(Py_None);
  for (PyObject** member : {&x->requires_grad, &x->view}) *member = Py_NewRef(Py_False);
  return &x->base;
}

int init_tensor(PyObject* self, PyObject* args, PyObject* named) {
  static const char* names[] = {"array", "backend", "requires_grad", nullptr};
  PyObject *array, *backend = nullptr, *requires_grad = Py_False;
  if (named ? !PyArg_ParseTupleAndKeywords(args, named, "O|OO:Tensor", const_cast<char**>(names),
                                           &array, &backend, &requires_grad)
            : !PyArg_UnpackTuple(args, "Tensor", 1, 3, &array, &backend, &requires_grad))
    return -1;
  if (!backend || PyLong_CheckExact(backend)) {  // Tensor([1, 2]), Tensor(2, 3)
    PyErr_SetString(PyExc_TypeError,
                    "Tensor(...) takes a raw array and its backend.\n"
                    "  Of numbers, lists and arrays make a tensor with gg.tensor(...), of sizes "
                    "with gg.empty(...).");
    return -1;
  }
  auto* x = reinterpret_cast<Tensor*>(self);
  set(x->array, array);
  set(x->backend, backend);
  set(x->requires_grad, requires_grad);
  return 0;
}

PyObject* new_node(PyTypeObject* type, PyObject*, PyObject*) {
  auto* node = reinterpret_cast<Node*>(type->tp_alloc(type, 0));
  if (!node) return nullptr;
  for (PyObject** member : {&node->edges, &node->saved, &node->shape}) *member = PyTuple_New(0);
  node->seq = PyLong_FromLong(0);
  node->hooks = Py_NewRef(Py_None);
  return &node->base;
}

int init_node(PyObject*, PyObject*, PyObject*) {
  return 0;  // subclasses may take arguments
}

#define GG_MEMBER(T, name, field) {name, T_OBJECT_EX, offsetof(T, field), 0, nullptr}
PyMemberDef tensor_members[] = {GG_MEMBER(Tensor, "array", array),
                                GG_MEMBER(Tensor, "backend", backend),
                                GG_MEMBER(Tensor, "_grad", grad),
                                GG_MEMBER(Tensor, "grad_fn", grad_fn),
                                GG_MEMBER(Tensor, "_requires_grad", requires_grad),
                                GG_MEMBER(Tensor, "_versions", versions),
                                GG_MEMBER(Tensor, "_hooks", hooks),
                                GG_MEMBER(Tensor, "_accumulator", accumulator),
                                GG_MEMBER(Tensor, "_is_view", view),
                                {}};
PyMemberDef node_members[] = {
    GG_MEMBER(Node, "edges", edges),     GG_MEMBER(Node, "backend", backend),
    GG_MEMBER(Node, "kernels", kernels), GG_MEMBER(Node, "_saved", saved),
    GG_MEMBER(Node, "seq", seq),         GG_MEMBER(Node, "shape", shape),
    GG_MEMBER(Node, "hooks", hooks),     {}};

// ---- apply -------------------------------------------------------------------------------------

/// What `connect` hands over, by name.
enum Part {
  kTensor,
  kMode,
  kSequence,
  kAccumulator,
  kPack,
  kSeveral,
  kInplace,
  kShare,
  kMixed,
  kInspect
};
const char* const kParts[] = {"tensor",  "mode",    "sequence", "accumulator", "pack",
                              "several", "inplace", "share",    "mixed",       "inspect"};
PyObject* parts[std::size(kParts)];  // None until connected; kInspect while nobody watches, too

/// Attributes of Python's objects.
enum Name { kArray, kGrad, kKernels, kForward, kShape, kIsInplace, kMayShare };
const char* const kNames[] = {"array", "grad",    "kernels",   "forward",
                              "shape", "inplace", "_may_share"};
PyObject* names[std::size(kNames)];

/// Its place in `parts`; null with an error set where there is no such part.
PyObject** part_named(PyObject* name) {
  for (size_t i = 0; i < std::size(kParts); i++)
    if (PyUnicode_CompareWithASCIIString(name, kParts[i]) == 0) return &parts[i];
  PyErr_Format(PyExc_TypeError, "connect() got %R, which apply() does not call", name);
  return nullptr;
}

PyObject* connect(PyObject*, PyObject* unnamed, PyObject* given) {
  if (PyTuple_GET_SIZE(unnamed))
    return PyErr_Format(PyExc_TypeError, "connect() takes parts by name, got %R", unnamed);
  PyObject *name, *part;
  for (const bool found : {false, true})  // all names first: an error changes nothing
    for (Py_ssize_t i = 0; given && PyDict_Next(given, &i, &name, &part);) {
      PyObject** const place = part_named(name);
      if (!place) return nullptr;
      if (found) set(*place, part);
    }
  Py_RETURN_NONE;
}

/// Is an attribute true? -1 with an error set.
int is_true(PyObject* object, Name name) {
  const Ref value(PyObject_GetAttr(object, names[name]));
  return value.p ? PyObject_IsTrue(value.p) : -1;
}

/// One call of Function.apply; its methods give false or null with a Python error set.
struct Call {
  PyObject* cls;
  PyObject* const* inputs;
  Py_ssize_t count;
  Node* node = nullptr;
  int recording = -1;                ///< MODE.grad; -1: no one has asked yet
  bool needed = false;               ///< an input requires a gradient, and that is recorded
  std::vector<PyObject*> arguments;  ///< of forward: the node, arrays and values, the options

  ~Call() {
    for (PyObject* argument : arguments) Py_XDECREF(argument);
  }

  PyObject* hand_over(Part part, PyObject* value) const {
    const Ref function(Py_NewRef(parts[part]));  // another thread may connect another meanwhile
    const Ref all(PyTuple_New(count));
    if (!all.p) return nullptr;
    for (Py_ssize_t i = 0; i < count; i++) PyTuple_SET_ITEM(all.p, i, Py_NewRef(inputs[i]));
    PyObject* const given[] = {&node->base, value, all.p, needed ? Py_True : Py_False};
    return PyObject_Vectorcall(function.p, given, 4, nullptr);
  }

  bool tell(Part part, PyObject* value) const { return Ref(hand_over(part, value)).p != nullptr; }

  /// The raw array of an input. Subclasses may have it otherwise: lazy parameters refuse.
  static PyObject* array(Tensor* x) {
    if (reinterpret_cast<PyObject*>(Py_TYPE(&x->base)) == parts[kTensor] && x->array)
      return Py_NewRef(x->array);
    return PyObject_GetAttr(&x->base, names[kArray]);
  }

  /// Where the gradient of an input goes, None where it wants none.
  PyObject* edge(Tensor* x) {
    if (!x->requires_grad || x->requires_grad == Py_False) return Py_NewRef(Py_None);
    if (recording < 0 && (recording = is_true(parts[kMode], kGrad)) < 0) return nullptr;
    const int wanted = PyObject_IsTrue(x->requires_grad);
    if (wanted < 0) return nullptr;
    if (!recording || !wanted) return Py_NewRef(Py_None);
    needed = true;
    if (x->grad_fn && x->grad_fn != Py_None) return Py_NewRef(x->grad_fn);
    return PyObject_CallOneArg(parts[kAccumulator], &x->base);
  }

  /// Fills the node's edges, backend and kernels, and forward's arrays.
  bool unpack() {
    PyObject* backend = nullptr;
    const Ref edges(PyTuple_New(count));
    if (!edges.p) return false;
    for (Py_ssize_t i = 0; i < count; i++) {
      PyObject* to = nullptr;
      arguments.push_back(Py_NewRef(inputs[i]));
      if (PyObject_TypeCheck(inputs[i], tensor_base)) {
        auto* x = reinterpret_cast<Tensor*>(inputs[i]);
        if (backend && x->backend != backend) return tell(kMixed, cls) && false;
        if ((backend = x->backend)) set(node->backend, backend);  // array() may run Python
        Py_SETREF(arguments.back(), array(x));
        if (!arguments.back() || !(to = edge(x))) return false;
      }
      PyTuple_SET_ITEM(edges.p, i, to ? to : Py_NewRef(Py_None));
    }
    const Ref kernels(PyObject_GetAttr(backend ? backend : Py_None, names[kKernels]));
    if (!kernels.p) return false;
    set(node->edges, edges.p);
    set(node->kernels, kernels.p);
    return true;
  }

  /// The result as a tensor (or several), with its place in the graph.
  PyObject* wrap(PyObject* array) {
    if (PyTuple_CheckExact(array)) return hand_over(kSeveral, array);
    const int inplace = is_true(cls, kIsInplace), may_share = is_true(cls, kMayShare);
    if (inplace < 0 || may_share < 0) return nullptr;
    if (inplace) return hand_over(kInplace, array);
    Ref result(new_tensor(reinterpret_cast<PyTypeObject*>(parts[kTensor]), nullptr, nullptr));
    if (!result.p) return nullptr;
    auto* y = reinterpret_cast<Tensor*>(result.p);
    set(y->array, array);
    set(y->backend, node->backend);  // forward may have moved it (Transfer)
    if (may_share && !tell(kShare, result.p)) return nullptr;
    return needed && !record(y) ? nullptr : result.release();
  }

  bool record(Tensor* y) {
    const Ref seq(PyIter_Next(parts[kSequence])), shape(PyObject_GetAttr(y->array, names[kShape]));
    if (!seq.p || !shape.p) return false;
    set(node->seq, seq.p);
    set(node->shape, shape.p);
    set(y->grad_fn, &node->base);
    set(y->requires_grad, Py_True);
    const int saved = node->saved ? PyObject_IsTrue(node->saved) : 0;
    if (saved <= 0) return saved == 0;
    const Ref packed(hand_over(kPack, &y->base));
    if (packed.p) set(node->saved, packed.p);
    return packed.p != nullptr;
  }
};

PyObject* apply(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* option_names) {
  if (count < 1) return PyErr_Format(PyExc_TypeError, "apply() needs the class of an operation");
  Call call{.cls = args[0], .inputs = args + 1, .count = count - 1, .arguments = {}};
  const Py_ssize_t options = option_names ? PyTuple_GET_SIZE(option_names) : 0;
  call.arguments.reserve(count + options);
  PyObject* node = PyObject_CallNoArgs(call.cls);
  if (!node) return nullptr;
  call.arguments.push_back(node);
  if (!PyObject_TypeCheck(node, node_base))
    return PyErr_Format(PyExc_TypeError, "apply() needs the class of an operation, got %R",
                        args[0]);
  call.node = reinterpret_cast<Node*>(node);
  if (!call.unpack()) return nullptr;
  for (Py_ssize_t i = 0; i < options; i++) call.arguments.push_back(Py_NewRef(args[count + i]));
  const Ref array(
      PyObject_VectorcallMethod(names[kForward], call.arguments.data(), count, option_names));
  if (!array.p) return nullptr;
  if (parts[kInspect] != Py_None && !call.tell(kInspect, array.p)) return nullptr;
  return call.wrap(array.p);
}

PyMethodDef functions[] = {
    {"apply", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(apply)),
     METH_FASTCALL | METH_KEYWORDS, "apply(cls: type, *inputs: Any, **options: Any) -> Any"},
    {"connect", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(connect)),
     METH_VARARGS | METH_KEYWORDS, "connect(**parts: Any) -> None"},
    {}};

}  // namespace

bool add_engine(PyObject* module) {
  for (PyObject*& part : parts) part = Py_NewRef(Py_None);
  for (size_t i = 0; i < std::size(kNames); i++)
    if (!(names[i] = PyUnicode_InternFromString(kNames[i]))) return false;
  tensor_base = Type<Tensor>::add(module, "gpugrad._cpu._engine.TensorBase", new_tensor,
                                  init_tensor, tensor_members);
  node_base =
      Type<Node>::add(module, "gpugrad._cpu._engine.NodeBase", new_node, init_node, node_members);
  return tensor_base && node_base && PyModule_AddFunctions(module, functions) == 0;
}

}  // namespace gg

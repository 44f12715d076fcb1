// Python bindings of the kernel contract. Compiled once for each native module: the module's name
// is GG_MODULE (_cuda, _sim or _cpu), and everything else follows from ops.h.
//
// Arguments are positional in the order of ops.h. `stream` is an integer, arrays are NumPy arrays
// (CuPy arrays for _cuda) or None, functors are named by str, as in core/functors.h, and structures
// are tuples of their fields.

#include <pybind11/pybind11.h>

#include "bind_call.h"
#include "ops.h"

#if defined(GG_SIM)
#include "sim/schedule.h"
#elif defined(GG_CPU)
#include "core/cpus.h"
#include "cpu/engine.h"
#include "cpu/int_product.h"
#include "cpu/memory.h"
#include "cpu/terms.h"
#endif

namespace py = pybind11;
using namespace gg;
using gg::binding::bind;

#if !defined(GG_CPU)
static void bind_array_operations(py::module_& m) {
  bind(m, "fill", fill, "y", "value");
  bind(m, "gemm", gemm, "a", "b", "y", "epilogue", "precision", "workspace");
  bind(m, "gemm_workspace", gemm_workspace, "a", "b", "y", "precision");
  bind(m, "nonzero", nonzero, "mask", "y", "workspace");
  bind(m, "nonzero_workspace", nonzero_workspace, "mask");
  bind(m, "search_sorted", search_sorted, "rows", "x", "right", "y");
}
#endif

static void bind_functions(py::module_& m) {
  bind(m, "unary", unary, "op", "x", "y", "p0", "p1");
  bind(m, "binary", binary, "op", "a", "b", "y");
  bind(m, "copy", copy, "x", "y");
  bind(m, "where", where, "c", "a", "b", "y");
  bind(m, "reduce", reduce, "op", "x", "y", "workspace");
  bind(m, "reduce_workspace", reduce_workspace, "op", "x", "y");
  bind(m, "scan", scan, "op", "x", "y");
  bind(m, "sort", sort, "x", "descending", "y", "index", "workspace");
  bind(m, "sort_workspace", sort_workspace, "x");
  bind(m, "gather", gather, "x", "indices", "y", "flag");
  bind(m, "softmax", softmax, "x", "y", "axis", "log");
  bind(m, "softmax_grad", softmax_grad, "dy", "y", "dx", "axis", "log");
  bind(m, "cross_entropy", cross_entropy, "x", "target", "weight", "loss", "lse", "target_weight",
       "ignore_index", "label_smoothing", "flag");
  bind(m, "cross_entropy_grad", cross_entropy_grad, "dloss", "x", "target", "weight", "lse", "dx",
       "ignore_index", "label_smoothing");
  bind(m, "scatter", scatter, "op", "values", "indices", "x", "workspace", "flag");
  bind(m, "scatter_workspace", scatter_workspace, "indices", "x");
}

static void bind_convolutions(py::module_& m) {
  bind(m, "conv_fprop", conv_fprop, "x", "w", "y", "window", "epilogue", "precision", "workspace");
  bind(m, "conv_fprop_workspace", conv_fprop_workspace, "x", "w", "y", "window", "precision");
  bind(m, "conv_dgrad", conv_dgrad, "dy", "w", "dx", "window", "epilogue", "precision",
       "workspace");
  bind(m, "conv_dgrad_workspace", conv_dgrad_workspace, "dy", "w", "dx", "window", "precision");
  bind(m, "conv_wgrad", conv_wgrad, "x", "dy", "dw", "window", "precision", "workspace");
  bind(m, "conv_wgrad_workspace", conv_wgrad_workspace, "x", "dy", "dw", "window", "precision");
}

static void bind_images(py::module_& m) {
  bind(m, "max_pool", max_pool, "x", "y", "index", "window");
  bind(m, "max_pool_grad", max_pool_grad, "dy", "index", "dx", "window");
  bind(m, "avg_pool", avg_pool, "x", "y", "window", "count_include_pad", "divisor");
  bind(m, "avg_pool_grad", avg_pool_grad, "dy", "dx", "window", "count_include_pad", "divisor");
  bind(m, "resample", resample, "x", "offsets", "index", "weight", "y", "axis");
  bind(m, "crop", crop, "x", "top", "left", "flip", "y", "border");
  bind(m, "unfold", unfold, "x", "y", "window", "out");
  bind(m, "fold", fold, "y", "x", "window", "out");
}

static void bind_norms(py::module_& m) {
  bind(m, "layer_norm", layer_norm, "x", "residual", "weight", "bias", "sum", "y", "mean", "rstd",
       "eps");
  bind(m, "layer_norm_grad", layer_norm_grad, "dy", "x", "weight", "mean", "rstd", "dsum", "dx",
       "dweight", "dbias", "workspace");
  bind(m, "layer_norm_grad_workspace", layer_norm_grad_workspace, "x", "dweight", "dbias");
  bind(m, "group_norm", group_norm, "x", "weight", "bias", "y", "mean", "rstd", "eps");
  bind(m, "group_norm_grad", group_norm_grad, "dy", "x", "weight", "mean", "rstd", "dx", "dweight",
       "dbias", "workspace");
  bind(m, "group_norm_grad_workspace", group_norm_grad_workspace, "x", "rstd");
  bind(m, "batch_norm_stats", batch_norm_stats, "x", "mean", "rstd", "running_mean", "running_var",
       "momentum", "eps", "workspace");
  bind(m, "batch_norm_stats_workspace", batch_norm_stats_workspace, "x");
  bind(m, "batch_norm_apply", batch_norm_apply, "x", "mean", "rstd", "weight", "bias", "residual",
       "act", "y");
  bind(m, "batch_norm_grad", batch_norm_grad, "dy", "x", "y", "mean", "rstd", "weight", "act",
       "fixed", "dx", "dweight", "dbias", "dresidual", "workspace");
  bind(m, "batch_norm_grad_workspace", batch_norm_grad_workspace, "x");
}

static void bind_text(py::module_& m) {
  bind(m, "embedding", embedding, "weight", "index", "y", "flag");
  bind(m, "embedding_grad", embedding_grad, "dy", "index", "row", "scale", "dweight", "padding",
       "by_count", "workspace");
  bind(m, "embedding_grad_workspace", embedding_grad_workspace, "index", "dweight");
  bind(m, "embedding_renorm", embedding_renorm, "weight", "index", "max_norm", "ord", "workspace",
       "flag");
  bind(m, "embedding_renorm_workspace", embedding_renorm_workspace, "weight", "index");
  bind(m, "embedding_bag", embedding_bag, "weight", "index", "offsets", "scale", "mode", "padding",
       "y", "bag", "count", "winner", "flag");
  bind(m, "recurrent", recurrent, "cell", "gates", "w", "bias", "projection", "h0", "c0", "lengths",
       "reverse", "precision", "y", "hn", "cn", "saved", "workspace");
  bind(m, "recurrent_workspace", recurrent_workspace, "cell", "gates", "w", "projection", "saved");
  bind(m, "recurrent_grad", recurrent_grad, "cell", "dy", "dhn", "dcn", "w", "projection", "h0",
       "c0", "lengths", "reverse", "precision", "y", "saved", "dgates", "dinner", "doutput", "dh0",
       "dc0", "workspace");
  bind(m, "recurrent_grad_workspace", recurrent_grad_workspace, "cell", "dgates", "w",
       "projection");
  bind(m, "rotary", rotary, "x", "cos", "sin", "interleaved", "inverse", "y");
  bind(m, "sample", sample, "logits", "temperature", "top_k", "top_p", "state", "call", "y",
       "workspace");
  bind(m, "sample_workspace", sample_workspace, "logits");
}

static void bind_attention(py::module_& m) {
  bind(m, "attention", attention, "q", "k", "v", "options", "precision", "o", "lse", "workspace");
  bind(m, "attention_workspace", attention_workspace, "q", "k", "o");
  bind(m, "attention_grad", attention_grad, "d_o", "q", "k", "v", "o", "lse", "options",
       "precision", "dq", "dk", "dv", "dbias", "workspace");
  bind(m, "attention_grad_workspace", attention_grad_workspace, "q", "k");
}

static void bind_random(py::module_& m) {
  bind(m, "uniform", uniform, "state", "call", "low", "high", "y");
  bind(m, "normal", normal, "state", "call", "mean", "std", "y");
  bind(m, "bernoulli", bernoulli, "state", "call", "p", "y");
  bind(m, "dropout", dropout, "state", "call", "p", "x", "y");
  bind(m, "permutation", permutation, "state", "call", "y");
}

static void bind_optimizers(py::module_& m) {
  bind(m, "sgd_step", sgd_step, "params", "grads", "momenta", "hyper", "ticket", "momentum",
       "dampening", "weight_decay", "nesterov", "maximize");
  bind(m, "adam_step", adam_step, "params", "grads", "m", "v", "vmax", "hyper", "ticket", "beta1",
       "beta2", "eps", "weight_decay", "decoupled", "maximize");
  bind(m, "rmsprop_step", rmsprop_step, "params", "grads", "v", "avg", "buf", "hyper", "ticket",
       "alpha", "eps", "weight_decay", "momentum", "maximize");
  bind(m, "adagrad_step", adagrad_step, "params", "grads", "sum", "hyper", "ticket", "lr_decay",
       "eps", "weight_decay", "maximize");
  bind(m, "adadelta_step", adadelta_step, "params", "grads", "v", "u", "hyper", "ticket", "rho",
       "eps", "weight_decay", "maximize");
  bind(m, "adamax_step", adamax_step, "params", "grads", "m", "u", "hyper", "ticket", "beta1",
       "beta2", "eps", "weight_decay", "maximize");
  bind(m, "nadam_step", nadam_step, "params", "grads", "m", "v", "hyper", "ticket", "beta1",
       "beta2", "eps", "weight_decay", "momentum_decay", "decoupled", "maximize");
  bind(m, "radam_step", radam_step, "params", "grads", "m", "v", "hyper", "ticket", "beta1",
       "beta2", "eps", "weight_decay", "decoupled", "maximize");
  bind(m, "lion_step", lion_step, "params", "grads", "m", "hyper", "ticket", "beta1", "beta2",
       "weight_decay", "maximize");
  bind(m, "global_norm", global_norm, "xs", "ord", "norm", "workspace");
  bind(m, "global_norm_workspace", global_norm_workspace, "xs");
  bind(m, "scale", scale, "xs", "factor");
  bind(m, "unscale", unscale, "xs", "scale", "found");
  bind(m, "update_scale", update_scale, "scale", "good", "found", "growth", "backoff", "interval");
}

#if defined(GG_CPU)
/// NumPy's arrays of this context (contextvars) get their memory from cpu/memory.h from now on.
static void own_numpy_memory() {
  const py::object api = py::module_::import("numpy._core.multiarray").attr("_ARRAY_API");
  void** const functions = static_cast<void**>(PyCapsule_GetPointer(api.ptr(), nullptr));
  const auto set_handler = reinterpret_cast<PyObject* (*)(PyObject*)>(functions[304]);
  const py::capsule handler(numpy_memory_handler(), "mem_handler");
  py::reinterpret_steal<py::object>(set_handler(handler.ptr()));  // PyDataMem_SetHandler
  if (PyErr_Occurred()) throw py::error_already_set();
}

static void bind_host(py::module_& m) {
  m.def("usable_cpus", &usable_cpus, py::arg("cgroup") = "/sys/fs/cgroup",
        py::arg("groups") = "/proc/self/cgroup");
  m.def("own_numpy_memory", &own_numpy_memory);
  m.def("keep_memory", &keep_memory, py::arg("limit"));
  m.def("kept_memory", &kept_memory);
  m.def("memory_counts", &memory_counts);
  m.def("reset_memory_peaks", &reset_memory_peaks);
}
#endif

static void set_bfloat16(const py::dtype& dtype) {
  numpy_bfloat16 = dtype.num();
  const auto number = [ml_dtypes = py::module_::import("ml_dtypes")](const char* name) {
    return py::dtype::from_args(ml_dtypes.attr(name)).num();
  };
  numpy_float8_e4m3fn = number("float8_e4m3fn");
  numpy_float8_e5m2 = number("float8_e5m2");
}

PYBIND11_MODULE(GG_MODULE, m) {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    throw py::import_error(
        "gpugrad was built for x86-64-v3 (AVX2, FMA), which this CPU lacks. Rebuild with "
        "GPUGRAD_CPU_FLAGS=-march=native pip install .");
#endif
  m.doc() = "gpugrad's raw operations; csrc/ops.h documents each";
  m.def("set_bfloat16", &set_bfloat16, py::arg("dtype"));
  m.def("built_for", [] { return GG_BUILT_FOR; });
#if !defined(GG_CPU)
  bind_array_operations(m);
#endif
  bind_functions(m);
  bind_convolutions(m);
  bind_images(m);
  bind_norms(m);
  bind_text(m);
  bind_attention(m);
  bind_random(m);
  bind_optimizers(m);
#if defined(GG_CPU)
  bind_host(m);
  bind(m, "int_product", int_product, "a", "b", "y");
  bind(m, "sum_of", sum_of, "f", "x", "centre", "y", "workspace");
  bind(m, "sum_of_workspace", sum_of_workspace, "x", "y");
  if (!add_engine(m.def_submodule("_engine", "csrc/cpu/engine.cpp documents it").ptr()))
    throw py::error_already_set();
#endif
#if defined(GG_SIM)
  m.def("set_schedule", &sim::set_schedule, py::arg("order"), py::arg("async_mode"),
        py::arg("seed"), py::arg("workers"));
  m.def("set_architecture", &sim::set_architecture, py::arg("architecture"));
  m.def("architecture", &sim::architecture);
#endif
}

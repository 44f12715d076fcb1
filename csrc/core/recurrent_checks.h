// Checks of the recurrent layer and its gradient, the same for every module.
#pragma once

#include "core/checks.h"
#include "core/functors.h"

namespace gg {

/// Gates of a cell, side by side along the last axis of `gates`.
constexpr int64_t gate_count(Cell cell) {
  return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1;
}

/// Values for each hidden unit and step that the gradient needs beside y.
constexpr int64_t saved_count(Cell cell) {
  return cell == Cell::lstm ? 5 : cell == Cell::gru ? 4 : 0;
}

constexpr const char* cell_name(Cell cell) {
  return kCell[static_cast<int>(cell)];
}

/// T steps, B samples, H hidden units, R outputs, G gates.
struct RecurrentSizes {
  int64_t steps, batch, hidden, outputs, gates;
};

/// The last axis is dense: kernels read along it.
inline void check_dense(const char* op, const char* name, const Array& a) {
  const bool dense = !a || a.size() == 0 || a.shape[a.ndim - 1] == 1 || a.stride[a.ndim - 1] == 1;
  GG_CHECK(dense, op, name, " must be dense along its last axis, got ", a, " with a stride of ",
           a.stride[a.ndim - 1], " elements there; pass its contiguous()");
}

/// dtype, shape and, where there are three axes, the dense last one, of an array that may be none.
inline void check_recurrent_array(const char* op, const char* name, const Array& a, DType dtype,
                                  std::initializer_list<int64_t> shape) {
  if (!a) return;
  check_dtype(op, name, a, dtype);
  check_shape(op, name, a, shape);
  if (a.ndim == 3) check_dense(op, name, a);
}

/// An array that must be there exactly where `wanted`.
inline void check_wanted(const char* op, const char* name, const Array& a, bool wanted,
                         const char* reason) {
  GG_CHECK(static_cast<bool>(a) == wanted, op, name,
           wanted ? " is missing: " : " must be none: ", reason, wanted ? " has one" : " has none",
           "; got ", a);
}

/// Sizes of `gates` (or dgates) [T, B, G H] and w [G H, R], and what both directions have.
inline RecurrentSizes check_recurrent_sizes(const char* op, Cell cell, const char* gates_name,
                                            const Array& gates, const Array& w,
                                            const Array& projection) {
  check_floating(op, gates_name, gates);
  const int64_t count = gate_count(cell);
  GG_CHECK(gates.ndim == 3 && gates.shape[2] % count == 0, op, gates_name, " of ", cell_name(cell),
           " must be [T, B, ", count, " H], got ", gates);
  check_dense(op, gates_name, gates);
  const int64_t hidden = gates.shape[2] / count;
  check_dtype(op, "w", w, gates.dtype);
  GG_CHECK(w.ndim == 2 && w.shape[0] == gates.shape[2], op, "w of ", cell_name(cell), " must be [",
           count, " H, R] with the ", gates.shape[2], " rows of ", gates_name, " ", gates, ", got ",
           w);
  const int64_t outputs = w.shape[1];
  if (projection) {
    GG_CHECK(cell == Cell::lstm, op, "projection belongs to lstm, got ", cell_name(cell));
    check_recurrent_array(op, "projection", projection, gates.dtype, {outputs, hidden});
  } else {
    GG_CHECK(outputs == hidden, op, "w must have the ", hidden, " hidden units as columns, got ", w,
             "; an output of another size needs a projection");
  }
  return {gates.shape[0], gates.shape[1], hidden, outputs, count};
}

/// What both directions read: the first states, the lengths, what was saved.
inline void check_recurrent_states(const char* op, Cell cell, const RecurrentSizes& n, DType dtype,
                                   const Array& h0, const Array& c0, const Array& lengths,
                                   const Array& saved) {
  check_present(op, "h0", h0);
  check_recurrent_array(op, "h0", h0, dtype, {n.batch, n.outputs});
  check_wanted(op, "c0", c0, cell == Cell::lstm, cell_name(cell));
  check_recurrent_array(op, "c0", c0, dtype, {n.batch, n.hidden});
  check_recurrent_array(op, "lengths", lengths, DType::i64, {n.batch});
  if (saved_count(cell) == 0) check_wanted(op, "saved", saved, false, cell_name(cell));
  check_recurrent_array(op, "saved", saved, accumulation(dtype),
                        {n.steps, n.batch, saved_count(cell) * n.hidden});
}

inline RecurrentSizes check_recurrent(Cell cell, const Array& gates, const Array& w,
                                      const Array& bias, const Array& projection, const Array& h0,
                                      const Array& c0, const Array& lengths, const Array& y,
                                      const Array& hn, const Array& cn, const Array& saved) {
  const char* const op = "recurrent";
  const RecurrentSizes n = check_recurrent_sizes(op, cell, "gates", gates, w, projection);
  const DType dtype = gates.dtype;
  check_recurrent_states(op, cell, n, dtype, h0, c0, lengths, saved);
  check_recurrent_array(op, "bias", bias, dtype, {n.gates * n.hidden});
  check_present(op, "y", y);
  check_recurrent_array(op, "y", y, dtype, {n.steps, n.batch, n.outputs});
  check_present(op, "hn", hn);
  check_recurrent_array(op, "hn", hn, dtype, {n.batch, n.outputs});
  check_wanted(op, "cn", cn, cell == Cell::lstm, cell_name(cell));
  check_recurrent_array(op, "cn", cn, dtype, {n.batch, n.hidden});
  return n;
}

/// The inputs of recurrent_grad; the gradients it writes are check_recurrent_outputs'.
inline RecurrentSizes check_recurrent_grad(Cell cell, const Array& dy, const Array& dhn,
                                           const Array& dcn, const Array& w,
                                           const Array& projection, const Array& h0,
                                           const Array& c0, const Array& lengths, const Array& y,
                                           const Array& saved, const Array& dgates) {
  const char* const op = "recurrent_grad";
  const RecurrentSizes n = check_recurrent_sizes(op, cell, "dgates", dgates, w, projection);
  const DType dtype = dgates.dtype;
  check_recurrent_states(op, cell, n, dtype, h0, c0, lengths, saved);
  if (saved_count(cell) > 0) check_wanted(op, "saved", saved, true, cell_name(cell));
  check_present(op, "y", y);
  check_recurrent_array(op, "y", y, dtype, {n.steps, n.batch, n.outputs});
  check_recurrent_array(op, "dy", dy, dtype, {n.steps, n.batch, n.outputs});
  check_recurrent_array(op, "dhn", dhn, dtype, {n.batch, n.outputs});
  if (dcn) check_wanted(op, "dcn", dcn, cell == Cell::lstm, cell_name(cell));
  check_recurrent_array(op, "dcn", dcn, dtype, {n.batch, n.hidden});
  return n;
}

inline void check_recurrent_outputs(Cell cell, const RecurrentSizes& n, DType dtype,
                                    const Array& projection, const Array& dinner,
                                    const Array& doutput, const Array& dh0, const Array& dc0) {
  const char* const op = "recurrent_grad";
  check_wanted(op, "dinner", dinner, cell == Cell::gru, cell_name(cell));
  check_recurrent_array(op, "dinner", dinner, dtype, {n.steps, n.batch, n.gates * n.hidden});
  check_wanted(op, "doutput", doutput, static_cast<bool>(projection),
               projection ? "a layer with a projection" : "a layer without a projection");
  check_recurrent_array(op, "doutput", doutput, dtype, {n.steps, n.batch, n.outputs});
  check_present(op, "dh0", dh0);
  check_recurrent_array(op, "dh0", dh0, dtype, {n.batch, n.outputs});
  check_wanted(op, "dc0", dc0, cell == Cell::lstm, cell_name(cell));
  check_recurrent_array(op, "dc0", dc0, dtype, {n.batch, n.hidden});
}

}  // namespace gg

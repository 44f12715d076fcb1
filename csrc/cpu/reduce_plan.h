// How a reduction is cut into tasks, and which of the forms that reduce.cpp describes it takes.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "core/functors.h"
#include "core/index.h"
#include "cpu/convert.h"

namespace gg {

constexpr int64_t kTask = 1 << 15;     // elements worth a task
constexpr int64_t kTasks = 64;         // enough of them
constexpr int64_t kNumbers = 1 << 30;  // indices within a stretch fit 32 bits
constexpr int64_t kFewReduced = 32;    // too few for a row that does not lie so to be vectors
constexpr int64_t kVector = 8;         // elements of the longest vector of fold.h

struct Plan {
  Layout<3> kept;     ///< x, y, centre
  Layout<1> reduced;  ///< x
  Reduce op;          ///< sum, prod, max, min
  bool columns = false;
  bool dense = false;  ///< columns: reduced elements follow each other as one line of outputs each
  bool lines = false;  ///< rows: each within one run, as vectors
  bool arg = false, truth = false, mean = false, terms = false;
  int64_t outputs = 0, count = 0;
  int64_t block = 1, blocks = 1;  ///< outputs of a task
  int64_t splits = 1, chunk = 1;  ///< reduced elements of a task

  int64_t workspace() const { return splits > 1 ? outputs * splits * (arg ? 16 : 8) : 0; }
};

inline bool is_arg(Reduce op) {
  return op == Reduce::argmax || op == Reduce::argmin;
}

/// What `op` is to fold_run.
inline Reduce folded(Reduce op) {
  switch (op) {
    case Reduce::mean:
      return Reduce::sum;
    case Reduce::any:
    case Reduce::argmax:
      return Reduce::max;
    case Reduce::all:
    case Reduce::argmin:
      return Reduce::min;
    default:
      return op;
  }
}

inline void cut(Plan& p) {
  const bool near_outputs = std::abs(p.kept.inner(0)) < std::abs(p.reduced.inner(0));
  const int64_t side = p.kept.length[p.kept.ndim - 1];
  p.dense = !p.arg && !p.terms && near_outputs && p.kept.ndim == 1 && p.kept.inner(0) == 1 &&
            p.reduced.ndim == 1 && p.reduced.inner(0) == side && 2 * side <= kRun;
  p.lines = !p.arg && !p.truth && p.reduced.ndim == 1 && p.reduced.inner(0) == 1 &&
            p.count >= kVector && p.count <= kRun;
  p.columns = p.dense || (side >= 8 && (near_outputs || (p.count <= kFewReduced && !p.lines)));
  p.block = p.columns ? kRun : std::clamp<int64_t>(kTask / p.count, 1, kRun);
  p.blocks = (p.outputs + p.block - 1) / p.block;
  const int64_t work = std::min(p.block, p.outputs) * p.count / kTask;
  const int64_t wanted = std::clamp<int64_t>(kTasks / p.blocks, 1, std::max<int64_t>(work, 1));
  p.chunk = std::min((p.count + wanted - 1) / wanted, kNumbers);
  p.splits = (p.count + p.chunk - 1) / p.chunk;
}

/// `centre` of y's shape or none.
inline Plan make_plan(Reduce op, const Array& x, const Array& y, bool terms = false,
                      const Array& centre = {}) {
  Plan p;
  p.op = folded(op);
  p.arg = is_arg(op);
  p.truth = op == Reduce::any || op == Reduce::all;
  p.mean = op == Reduce::mean;
  p.terms = terms;
  for (int axis = 0; axis < x.ndim; axis++) {
    if (y.shape[axis] == 1) {
      p.reduced.push(x.shape[axis], {x.stride[axis]});
    } else {
      p.kept.push(x.shape[axis],
                  {x.stride[axis], y.stride[axis], (centre ? centre : y).stride[axis]});
    }
  }
  p.outputs = p.kept.size;
  p.count = p.reduced.size;
  if (p.outputs == 0) return p;
  p.kept.sort();
  p.kept.finish();
  if (!p.arg) p.reduced.sort();
  p.reduced.finish();
  if (p.count > 0) cut(p);
  return p;
}

}  // namespace gg

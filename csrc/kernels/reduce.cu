// Reductions over any axes of any strides: sum, mean, prod, max, min, argmax, argmin, any, all.
//
//   y[kept] = f over x[kept, reduced]
//
// float16, bfloat16 and float32 are combined in float32, float64 in float64, integers and bool in
// int64 (wrapping), and rounded once. y is overwritten.
//
// Axes are first sorted by stride and merged, kept and reduced ones apart (the reduced axes of
// argmax and argmin keep their order, because their index counts it). Then either
//   rows     neighbouring threads take neighbouring reduced elements: 1 to 32 threads or a block
//            for an output, in vectors of 16 bytes where rows are aligned; or
//   columns  neighbouring threads take neighbouring outputs, where these lie closer together.
// Where there are few outputs and many elements, the reduced elements are cut into chunks, whose
// results go through the workspace to a second kernel.
//
// Deterministic: each thread takes a fixed set of elements; threads, and chunks in index order,
// meet in fixed trees. The cut depends on shapes and strides alone, not on the device.
//
// Bytes: x once. Bound: bandwidth. Reached: not measured.
#include "kernels/reduce_kernels.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

constexpr int64_t kWantedBlocks = 512;  // fills the largest devices a few times

bool is_arg(Reduce op) {
  return op == Reduce::argmax || op == Reduce::argmin;
}

int64_t round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// The axes of x, those where y has length 1 as reduced, the others as kept.
void split_axes(const Array& x, const Array& y, bool keep_order, Reduction& r) {
  for (int axis = 0; axis < x.ndim; axis++) {
    const int64_t length = x.shape[axis];
    if (y.shape[axis] == 1) {
      r.reduced.push(length, {x.stride[axis]});
    } else {
      r.kept.push(length, {x.stride[axis], y.stride[axis]});
    }
  }
  r.outputs = r.kept.size;
  r.count = r.reduced.size;
  if (r.outputs == 0 || r.count == 0) return;
  r.kept.sort();
  if (!keep_order) r.reduced.sort();
  r.kept.finish();
  r.reduced.finish();
}

/// May rows be read in vectors of `width`?
bool rows_aligned(const Reduction& r, const Array& x, int width) {
  for (int axis = 0; axis < r.kept.ndim; axis++) {
    if (r.kept.length[axis] > 1 && r.kept.stride[0][axis] % width != 0) return false;
  }
  return walks_in_vectors(r.reduced, 0, x.data, width, dtype_size(x.dtype));
}

/// May V neighbouring outputs be read as one vector?
bool columns_aligned(const Reduction& r, const Array& x, int width) {
  for (int axis = 0; axis < r.reduced.ndim; axis++) {
    if (r.reduced.length[axis] > 1 && r.reduced.stride[0][axis] % width != 0) return false;
  }
  const bool whole = r.kept.length[r.kept.ndim - 1] % width == 0;
  return whole && walks_in_vectors(r.kept, 0, x.data, width, dtype_size(x.dtype));
}

/// Do neighbouring outputs lie closer together than neighbouring reduced elements?
bool prefers_columns(const Reduction& r) {
  if (r.count == 1 || r.kept.length[r.kept.ndim - 1] < 4) return false;
  return std::abs(r.kept.inner(0)) < std::abs(r.reduced.inner(0));
}

int power_of_two_from(int64_t n, int most) {
  int p = 1;
  while (p < n && p < most) p *= 2;
  return p;
}

/// Cuts the reduced elements so that `blocks` blocks become many, each with `least` or more.
void cut(Reduction& r, int64_t blocks, int64_t least) {
  const int64_t wanted = std::min(kWantedBlocks / std::max<int64_t>(blocks, 1), r.count / least);
  r.chunk = round_up((r.count + wanted - 1) / std::max<int64_t>(wanted, 1), least / 2);
  if (wanted <= 1) r.chunk = r.count;
  r.splits = (r.count + r.chunk - 1) / r.chunk;
}

struct Plan {
  Reduction reduction{};
  bool columns = false;
  int width = 1;  ///< columns: outputs a thread takes
  int64_t blocks = 0;
  int64_t workspace = 0;  ///< bytes
};

void plan_columns(const Array& x, bool arg, Plan& plan) {
  Reduction& r = plan.reduction;
  plan.columns = true;
  const int wide = accumulation(x.dtype) == DType::f32 ? 4 : 2;
  plan.width = !arg && columns_aligned(r, x, wide) ? wide : 1;
  r.threads = power_of_two_from((r.outputs + plan.width - 1) / plan.width, kWarp);
  const int64_t across = r.threads * plan.width;
  const int64_t tiles = (r.outputs + across - 1) / across;
  cut(r, tiles, 8 * kColumnRows * (kBlock / r.threads));
  plan.blocks = tiles * r.splits;
}

void plan_rows(const Array& x, Plan& plan) {
  Reduction& r = plan.reduction;
  const int64_t enough_for_block = r.outputs < 4096 ? 512 : 2048;
  r.width = width_of(dtype_size(x.dtype));
  r.vectors = rows_aligned(r, x, r.width);
  r.threads = r.count >= enough_for_block
                  ? kBlock
                  : power_of_two_from((r.count + kReduceLanes - 1) / kReduceLanes, kWarp);
  const int64_t rows = kBlock / r.threads;
  cut(r, (r.outputs + rows - 1) / rows, 2 * kBlock * kReduceLanes);
  if (r.splits > 1) r.threads = kBlock;
  plan.blocks = (r.outputs * r.splits * r.threads + kBlock - 1) / kBlock;
}

Plan make_plan(Reduce op, const Array& x, const Array& y) {
  Plan plan;
  Reduction& r = plan.reduction;
  const bool arg = is_arg(op);
  split_axes(x, y, arg, r);
  r.truth = op == Reduce::any || op == Reduce::all;
  r.mirrored = op == Reduce::argmin;
  r.mean = op == Reduce::mean;
  r.op = r.truth ? (op == Reduce::any ? Reduce::max : Reduce::min) : r.mean ? Reduce::sum : op;
  r.x_dtype = x.dtype;
  r.y_dtype = y.dtype;
  r.x = x.data;
  r.y = y.data;
  r.splits = 1;
  r.chunk = r.count;
  r.threads = 1;
  plan.blocks = (r.outputs + kBlock - 1) / kBlock;
  if (r.outputs == 0 || r.count == 0) return plan;
  if (prefers_columns(r)) {
    plan_columns(x, arg, plan);
  } else {
    plan_rows(x, plan);
  }
  const int64_t state = (arg ? 2 : 1) * 8;
  if (r.splits > 1) plan.workspace = r.outputs * r.splits * state;
  return plan;
}

template <template <class> class Policy, class T>
void launch_reduction(Stream stream, const Plan& plan) {
  using P = Policy<T>;
  const Reduction& r = plan.reduction;
  const unsigned grid = grid_for(plan.blocks, 1);
  constexpr bool arg = std::is_same_v<P, Pick<T>>;
  if (!plan.columns) {
    launch(reduce_rows<P>, grid, kBlock, 0, stream, r);
  } else if (arg || plan.width == 1) {
    launch(reduce_columns<P, 1>, grid, kBlock, 0, stream, r);
  } else if constexpr (!arg) {
    launch(reduce_columns < P, sizeof(T) == 8 ? 2 : 4 >, grid, kBlock, 0, stream, r);
  }
  if (r.splits == 1) return;
  launch(finish_reduction<P>, grid_for(r.outputs, kBlock / kWarp), kBlock, 0, stream, r);
}

template <template <class> class Policy>
void dispatch_reduction(Stream stream, const Plan& plan) {
  const DType dtype = accumulation(plan.reduction.x_dtype);
  if (dtype == DType::f64) return launch_reduction<Policy, double>(stream, plan);
  if (dtype == DType::f32) return launch_reduction<Policy, float>(stream, plan);
  launch_reduction<Policy, int64_t>(stream, plan);
}

DType result_dtype(Reduce op, DType x) {
  if (is_arg(op)) return DType::i64;
  if (op == Reduce::any || op == Reduce::all) return DType::boolean;
  const bool sums = op == Reduce::sum || op == Reduce::prod;
  return sums && !is_floating(x) ? DType::i64 : x;
}

void check_reduce(Reduce op, const Array& x, const Array& y) {
  const char* name = kReduce[static_cast<int>(op)];
  check_present(name, "x", x);
  if (op == Reduce::mean) check_floating(name, "x", x);
  check_dtype(name, "y", y, result_dtype(op, x.dtype));
  bool fits = x.ndim == y.ndim;
  int64_t count = 1;
  for (int axis = 0; fits && axis < x.ndim; axis++) {
    fits = y.shape[axis] == x.shape[axis] || y.shape[axis] == 1;
    if (y.shape[axis] == 1) count *= x.shape[axis];
  }
  GG_CHECK(fits, name, "y must have x's shape, or length 1 along reduced axes, got x ", x, ", y ",
           y);
  const bool needs_one = op == Reduce::max || op == Reduce::min || is_arg(op);
  GG_CHECK(!needs_one || count > 0 || y.size() == 0, name, "x ", x, " has no elements to reduce; ",
           name, " of nothing is not defined");
}

}  // namespace

int64_t reduce_workspace(Reduce op, const Array& x, const Array& y) {
  check_reduce(op, x, y);
  return make_plan(op, x, y).workspace;
}

void reduce(Stream stream, Reduce op, const Array& x, const Array& y, const Array& workspace) {
  check_not_float8("reduce", "x", x);
  check_reduce(op, x, y);
  Plan plan = make_plan(op, x, y);
  check_workspace("reduce", workspace, plan.workspace);
  plan.reduction.partials = workspace.data;
  if (is_arg(op)) {
    dispatch_reduction<Pick>(stream, plan);
  } else {
    dispatch_reduction<Fold>(stream, plan);
  }
}

}  // namespace gg

// How gather and scatter walk over an array by index: see places.h.
#include "cpu/places.h"

#include <atomic>
#include <cstdlib>
#include <utility>

#include "core/parallel.h"

namespace gg {
namespace {

/// An innermost axis shorter than this gives its place to a longer one.
constexpr int64_t kShortAxis = 16;

/// An index array whose value is first + i * slope at place i of one axis, all legal. axis -1: one
/// value.
struct Even {
  bool yes = false;
  int axis = -1;
  int64_t first = 0, slope = 0;
};

Even evenly(const Array& index, int64_t limit) {
  Even even;
  for (int axis = 0; axis < index.ndim; axis++) {
    if (index.shape[axis] == 1 || index.stride[axis] == 0) continue;
    if (even.axis >= 0) return {};
    even.axis = axis;
  }
  const int64_t* const data = index.as<const int64_t>();
  const auto is_legal = [=](int64_t i) { return i >= -limit && i < limit; };
  if (!is_legal(data[0])) return {};
  even.first = data[0];
  if (even.axis >= 0) {
    const int64_t n = index.shape[even.axis], step = index.stride[even.axis];
    if (!is_legal(data[step])) return {};
    even.slope = data[step] - data[0];
    for (int64_t i = 1; i < n; i++) {
      const int64_t at = data[i * step];
      const bool wraps = (at < 0) != (even.first < 0);
      if (!is_legal(at) || wraps || at - data[(i - 1) * step] != even.slope) return {};
    }
  }
  if (even.first < 0) even.first += limit;
  even.yes = true;
  return even;
}

/// The place of an index among `limit`; sets the sign bit of `wrong` where it is illegal.
inline uint64_t place_of(int64_t index, uint64_t limit, uint64_t& wrong) {
  const uint64_t at = static_cast<uint64_t>(index) + (static_cast<uint64_t>(index >> 63) & limit);
  wrong |= at | (limit - 1 - at);
  return at;
}

constexpr bool has_sign(uint64_t bits) {
  return bits >> 63 != 0;
}

/// What n indices, `step` apart, are: sign bits say that one is illegal, or negative.
struct Signs {
  uint64_t wrong = 0, negative = 0;

  void look(const int64_t* index, int64_t step, int64_t n, uint64_t limit) {
    if (step == 1) {
      for (int64_t i = 0; i < n; i++) look_at(index[i], limit);
    } else {
      for (int64_t i = 0; i < n; i++) look_at(index[i * step], limit);
    }
  }

 private:
  void look_at(int64_t index, uint64_t limit) {
    place_of(index, limit, wrong);
    negative |= static_cast<uint64_t>(index);
  }
};

/// place += where n indices, `step` apart, lead; illegal ones to 0. Are all legal?
bool add_places(const int64_t* index, int64_t step, int64_t n, uint64_t limit, int64_t stride,
                int64_t* place) {
  bool legal = true;
  for (int64_t i = 0; i < n; i++) {
    uint64_t wrong = 0;
    const uint64_t at = place_of(index[i * step], limit, wrong);
    place[i] += has_sign(wrong) ? 0 : static_cast<int64_t>(at) * stride;
    legal &= !has_sign(wrong);
  }
  return legal;
}

}  // namespace

IndexWalk::IndexWalk(const Arrays& indices, const Array& x, const Array& other) {
  const Array& index = indices[0];
  const int arrays = static_cast<int>(indices.size());
  Array full = index;  // the shape of J and a row
  for (int axis = arrays; axis < x.ndim; axis++) full.shape[full.ndim++] = x.shape[axis];
  int64_t stride_x[kMaxDims] = {};
  for (int axis = index.ndim; axis < full.ndim; axis++) {
    stride_x[axis] = x.stride[axis - index.ndim + arrays];
  }
  const Array* read[kMaxIndices];
  for (int a = 0; a < arrays; a++) {
    const Even even = evenly(indices[a], x.shape[a]);
    if (even.yes) {
      first_ += even.first * x.stride[a];
      if (even.axis >= 0) stride_x[even.axis] += even.slope * x.stride[a];
      continue;
    }
    data_[count_] = indices[a].as<const int64_t>();
    limit_[count_] = x.shape[a];
    step_[count_] = x.stride[a];
    read[count_++] = &indices[a];
  }
  for (int axis = 0; axis < full.ndim; axis++) {
    int64_t strides[2 + kMaxIndices] = {broadcast_stride(other, full, axis), stride_x[axis]};
    for (int a = 0; a < count_ && axis < index.ndim; a++) {
      strides[kIndex + a] = read[a]->stride[axis];
      if (strides[kIndex + a] != 0) lines_[a].push(index.shape[axis], {strides[kIndex + a]});
    }
    if (full.shape[axis] != 1) layout_.push(full.shape[axis], strides);
  }
  for (int a = 0; a < count_; a++) lines_[a].finish();
  layout_.finish();
}

void IndexWalk::put_inside(int axis) {
  for (; axis + 1 < layout_.ndim; axis++) layout_.swap_axes(axis, axis + 1);
}

/// Elements from one step along an axis to the next, in both arrays.
int64_t IndexWalk::distance(int axis) const {
  int64_t x = std::abs(layout_.stride[kX][axis]);
  for (int a = 0; a < count_; a++) {
    if (layout_.stride[kIndex + a][axis] != 0) x += std::abs(step_[a]);
  }
  return std::abs(layout_.stride[kOther][axis]) + x;
}

/// Is this an axis of x along which no index changes?
bool IndexWalk::is_row(int axis) const {
  for (int a = 0; a < count_; a++) {
    if (layout_.stride[kIndex + a][axis] != 0) return false;
  }
  return is_free(axis);
}

/// Finds the rows and the axis along which they run, once all axes are in order.
void IndexWalk::split() {
  layout_.finish();
  line_axis_ = layout_.ndim - 1;
  if (is_row(line_axis_)) row_ = layout_.length[line_axis_--];
  if (line_axis_ >= 0) line_ = layout_.length[line_axis_];
}

void IndexWalk::order_by_memory() {
  layout_.sort();
  layout_.finish();
  int inside = layout_.ndim - 1;
  if (!is_row(inside)) {
    for (int axis = inside - 1; axis >= 0 && layout_.length[inside] < kShortAxis; axis--) {
      if (layout_.length[axis] > layout_.length[inside]) inside = axis;
    }
    put_inside(inside);
  }
  split();
}

void IndexWalk::order_for_joins() {
  int free = 0;
  for (int axis = 0; axis < layout_.ndim; axis++) {
    if (!is_free(axis)) continue;
    int to = free++;  // frees stay in the order of their distance
    while (to > 0 && distance(to - 1) < distance(axis)) to--;
    for (int i = axis; i > to; i--) layout_.swap_axes(i, i - 1);
  }
  const auto cost = [&](int axis) {
    return std::pair(!is_row(axis) && layout_.length[axis] < kShortAxis, distance(axis));
  };
  int inside = layout_.ndim - 1;
  for (int axis = 0; axis < free; axis++) {
    if (cost(axis) <= cost(inside)) inside = axis;
  }
  put_inside(inside);
  split();
}

bool IndexWalk::legal() {
  std::atomic<bool> legal{true}, plain{true};
  for (int a = 0; a < count_; a++) {
    const Layout<1>& line = lines_[a];
    parallel_for(line.size, 2 * kGrain, [&](int64_t begin, int64_t end) {
      Signs signs;
      gg::for_runs(line, begin, end, [&](int64_t first, int64_t n) {
        signs.look(data_[a] + line.offset(0, first), line.inner(0), n, limit_[a]);
      });
      if (has_sign(signs.wrong)) legal = false;
      if (has_sign(signs.negative)) plain = false;
    });
  }
  plain_ = legal && plain;
  return legal;
}

Run IndexWalk::run(int64_t first, int64_t n, int64_t* buffer, bool* legal) const {
  static constexpr int64_t kZeros[kRun] = {};
  const auto step = [&](int k) { return line_axis_ >= 0 ? layout_.stride[k][line_axis_] : 0; };
  const auto at = [&](int k) { return layout_.offset(k, first * row_); };
  Run run{n, at(kOther), step(kOther), first_ + at(kX), step(kX), kZeros, 0, row_, 0, 0};
  if (row_ > 1) {
    run.row_other = layout_.inner(kOther);
    run.row_x = layout_.inner(kX);
  }
  int varying = 0, last = 0;  // arrays that vary along the run
  for (int a = 0; a < count_; a++) {
    if (step(kIndex + a) != 0) {
      varying++;
      last = a;
    } else if (!add_places(data_[a] + at(kIndex + a), 0, 1, limit_[a], step_[a], &run.x)) {
      *legal = false;
    }
  }
  if (varying == 0) return run;
  if (varying == 1 && step(kIndex + last) == 1) {
    run.index = data_[last] + at(kIndex + last);
    run.index_step = step_[last];
    Signs signs;
    if (!plain_) signs.look(run.index, 1, n, limit_[last]);
    if (!has_sign(signs.wrong | signs.negative)) return run;
  }
  for (int64_t i = 0; i < n; i++) buffer[i] = run.x + i * run.x_step;
  for (int a = 0; a < count_; a++) {
    const int64_t apart = step(kIndex + a);
    if (apart == 0) continue;
    const int64_t* const index = data_[a] + at(kIndex + a);
    if (!add_places(index, apart, n, limit_[a], step_[a], buffer)) *legal = false;
  }
  run.x = run.x_step = 0;
  run.index = buffer;
  run.index_step = 1;
  return run;
}

}  // namespace gg

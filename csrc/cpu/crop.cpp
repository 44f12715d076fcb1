// Crops of images, each at its own place, on CPU threads; ops.h has the formula.
#include "core/parallel.h"
#include "core/positions.h"
#include "core/resample_checks.h"
#include "cpu/runs.h"

namespace gg {
namespace {

/// Where the columns of an image's crop come from; -1: from outside.
void find_columns(int64_t left, bool flip, int64_t from, Border border, std::vector<int64_t>& at) {
  const int64_t n = static_cast<int64_t>(at.size());
  for (int64_t j = 0; j < n; j++) {
    at[static_cast<size_t>(j)] = bordered(left + (flip ? n - 1 - j : j), from, border);
  }
}

/// Elements of T along the columns; `step` apart where columns lie one after the other.
template <class T>
void copy_row(const T* x, int64_t x_step, T* y, int64_t y_step, const std::vector<int64_t>& at) {
  const int64_t n = static_cast<int64_t>(at.size());
  const bool whole = x && at.front() >= 0 && at.back() - at.front() == n - 1;
  if (whole && x_step == 1 && y_step == 1) return static_cast<void>(std::copy_n(x + at[0], n, y));
  for (int64_t j = 0; j < n; j++) y[j * y_step] = x && at[j] >= 0 ? x[at[j] * x_step] : T(0);
}

template <class T>
void crop_rows(const Array& x, const Array& top, const Array& left, const Array& flip,
               const Array& y, Border border) {
  const int64_t channels = y.shape[1], height = y.shape[2], width = y.shape[3];
  parallel_for(y.shape[0], std::max<int64_t>(1, kGrain / (channels * height * width)),
               [&](int64_t begin, int64_t end) {
                 std::vector<int64_t> columns(static_cast<size_t>(width));
                 for (int64_t n = begin; n < end; n++) {
                   find_columns(left.as<int64_t>()[n * left.stride[0]],
                                flip.as<bool>()[n * flip.stride[0]], x.shape[3], border, columns);
                   for (int64_t i = 0; i < height; i++) {
                     const int64_t row =
                         bordered(top.as<int64_t>()[n * top.stride[0]] + i, x.shape[2], border);
                     for (int64_t c = 0; c < channels; c++) {
                       const T* const from =
                           x.as<T>() + n * x.stride[0] + c * x.stride[1] + row * x.stride[2];
                       T* const to =
                           y.as<T>() + n * y.stride[0] + c * y.stride[1] + i * y.stride[2];
                       copy_row(row < 0 ? nullptr : from, x.stride[3], to, y.stride[3], columns);
                     }
                   }
                 }
               });
}

}  // namespace

void crop(Stream, const Array& x, const Array& top, const Array& left, const Array& flip,
          const Array& y, Border border) {
  check_crop(x, top, left, flip, y, border);
  if (y.size() == 0) return;
  dispatch_width(x.dtype, [&](auto tag) {
    crop_rows<typename decltype(tag)::type>(x, top, left, flip, y, border);
  });
}

}  // namespace gg

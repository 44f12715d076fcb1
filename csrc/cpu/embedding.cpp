// Rows of a table by index, on CPU threads, and the bound of their norms.
#include <atomic>
#include <cstring>

#include "core/embedding_checks.h"
#include "core/optim.h"
#include "cpu/embedding.h"
#include "cpu/runs.h"
#include "ops/text.h"

namespace gg {
namespace {

/// One row, element by element: W is the unsigned type of the dtype's width.
template <class W>
void copy_row(const W* from, int64_t from_stride, W* to, int64_t to_stride, int64_t n) {
  if (from_stride == 1 && to_stride == 1) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(W));
  } else {
    for (int64_t i = 0; i < n; i++) to[i * to_stride] = from[i * from_stride];
  }
}

/// Scales a row that is longer than max_norm.
template <class T>
void bound_row(T* row, int64_t stride, int64_t n, Wide<T> max_norm, const NormRule<Wide<T>>& rule,
               Wide<T>* run) {
  using A = Wide<T>;
  A sum = rule.identity();
  for (int64_t i = 0; i < n; i += kRun) {
    const int64_t length = std::min(kRun, n - i);
    read_run(row + i * stride, stride, run, length);
    for (int64_t k = 0; k < length; k++) sum = rule.join(sum, rule.term(run[k]));
  }
  const A norm = static_cast<A>(rule.root(static_cast<double>(sum)));
  if (!(norm > max_norm)) return;
  const A factor = max_norm / (norm + static_cast<A>(1e-7));
  for (int64_t i = 0; i < n; i++) {
    T* const at = row + i * stride;
    *at = convert<T>(convert<A>(*at) * factor);
  }
}

/// The rows that the legal indices name, each once, ascending.
std::vector<int64_t> named_rows(const Layout<1>& positions, const int64_t* index, int64_t limit) {
  std::vector<int64_t> rows;
  rows.reserve(static_cast<size_t>(positions.size));
  for (int64_t j = 0; j < positions.size; j++) {
    const int64_t v = index[positions.offset(0, j)];
    if (v >= 0 && v < limit) rows.push_back(v);
  }
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

}  // namespace

void embedding(Stream, const Array& weight, const Array& index, const Array& y, const Array& flag) {
  const Lookup p = check_embedding(weight, index, y, flag);
  const int64_t* const indices = index.as<const int64_t>();
  if (y.size() == 0 || p.limit == 0) return flag_first(p.positions, indices, p.limit, flag);
  std::atomic<bool> legal{true};
  dispatch_width(weight.dtype, [&](auto tag) {
    using W = typename decltype(tag)::type;
    parallel_for(p.positions.size, row_grain(p.width), [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; j++) {
        int64_t v = indices[p.positions.offset(0, j)];
        if (v < 0 || v >= p.limit) {
          legal = false;
          v = 0;
        }
        copy_row(weight.as<const W>() + v * weight.stride[0], weight.stride[1],
                 y.as<W>() + p.positions.offset(1, j), y.stride[y.ndim - 1], p.width);
      }
    });
  });
  if (!legal) flag_first(p.positions, indices, p.limit, flag);
}

int64_t embedding_renorm_workspace(const Array&, const Array&) {
  return 0;
}

void embedding_renorm(Stream, const Array& weight, const Array& index, double max_norm, double ord,
                      const Array&, const Array& flag) {
  const Layout<1> positions = check_embedding_renorm(weight, index, max_norm, ord, flag);
  const int64_t limit = weight.shape[0], width = weight.shape[1];
  flag_first(positions, index.as<const int64_t>(), limit, flag);
  const auto rows = named_rows(positions, index.as<const int64_t>(), limit);
  dispatch_floating(weight.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Wide<T>;
    const NormRule<A> rule = make_norm<A>(ord);
    const int64_t count = static_cast<int64_t>(rows.size());
    parallel_for(count, row_grain(width), [&](int64_t begin, int64_t end) {
      A run[kRun];
      for (int64_t i = begin; i < end; i++) {
        bound_row(weight.as<T>() + rows[i] * weight.stride[0], weight.stride[1], width,
                  static_cast<A>(max_norm), rule, run);
      }
    });
  });
}

}  // namespace gg

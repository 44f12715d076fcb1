// The gradient of an embedding on the CPU: dweight[v] = sum of scale[j] dy[row[j]] over index[j] =
// v.
//
// Positions are sorted by their row of dweight (stable, 11 bits a pass), so that each row has one
// owner and the cost does not depend on V but for the zeros. The terms of a row are cut into slices
// of kSlice: threads sum slices, each in the order of j, and the sums of a row's slices are added
// in order. So the result does not depend on the number of threads.
#include "core/embedding_checks.h"
#include "cpu/embedding.h"
#include "cpu/runs.h"
#include "ops/text.h"

namespace gg {
namespace {

constexpr int64_t kSlice = 512;
constexpr int kDigitBits = 11;

/// Row of dweight (upper half) and position j.
using Entry = uint64_t;

constexpr uint32_t target_of(Entry entry) {
  return static_cast<uint32_t>(entry >> 32);
}
constexpr int64_t position_of(Entry entry) {
  return static_cast<int64_t>(entry & UINT32_MAX);
}

/// Entries [first, last) of one row of dweight.
struct Slice {
  const Entry *first, *last;
  int64_t partial;  ///< where its sum goes; -1: it is the whole row
};

/// A row of dweight in several slices: partial sums [first, last).
struct LongRow {
  uint32_t target;
  int64_t count;  ///< terms
  int64_t first, last;
};

struct Plan {
  std::vector<Slice> slices;
  std::vector<LongRow> long_rows;
  int64_t partials = 0;
};

/// Entries sorted by target, in one of two buffers of n.
const Entry* sort_entries(Entry* from, Entry* to, int64_t n, int64_t limit) {
  for (int shift = 32; shift < 64 && limit >> (shift - 32) != 0; shift += kDigitBits) {
    int64_t places[1 << kDigitBits] = {};
    const auto digit = [=](Entry e) { return (e >> shift) & ((1 << kDigitBits) - 1); };
    for (int64_t i = 0; i < n; i++) places[digit(from[i])]++;
    int64_t before = 0;
    for (int64_t& place : places) before += std::exchange(place, before);
    for (int64_t i = 0; i < n; i++) to[places[digit(from[i])]++] = from[i];
    std::swap(from, to);
  }
  return from;
}

Plan make_plan(const Entry* entries, int64_t n) {
  Plan plan;
  for (int64_t begin = 0, end; begin < n; begin = end) {
    const uint32_t target = target_of(entries[begin]);
    for (end = begin + 1; end < n && target_of(entries[end]) == target;) end++;
    if (end - begin <= kSlice) {
      plan.slices.push_back({entries + begin, entries + end, -1});
      continue;
    }
    const int64_t first = plan.partials;
    for (int64_t i = begin; i < end; i += kSlice) {
      const Entry* const last = entries + std::min(i + kSlice, end);
      plan.slices.push_back({entries + i, last, plan.partials++});
    }
    plan.long_rows.push_back({target, end - begin, first, plan.partials});
  }
  return plan;
}

template <class T>
struct Gradient {
  using A = Wide<T>;

  const Array &dy, &scale, &dweight;
  GradTerms terms;
  bool by_count;

  /// sum = the terms of a slice, n columns from `begin` on.
  void sum_terms(const Slice& slice, int64_t begin, int64_t n, A* __restrict sum) const {
    A line[kRun];
    std::fill(sum, sum + n, A(0));
    for (const Entry* entry = slice.first; entry != slice.last; entry++) {
      const int64_t j = position_of(*entry);
      const T* const from =
          dy.as<const T>() + terms.row_of(j) * dy.stride[0] + begin * dy.stride[1];
      const A* term = line;
      bool in_place = false;
      if constexpr (std::is_same_v<T, A>) {
        in_place = dy.stride[1] == 1;
        if (in_place) term = from;
      }
      if (!in_place) read_run(from, dy.stride[1], line, n);
      if (scale) {
        const A factor = scale.as<const A>()[j * scale.stride[0]];
        for (int64_t i = 0; i < n; i++) sum[i] += factor * term[i];
      } else {
        for (int64_t i = 0; i < n; i++) sum[i] += term[i];
      }
    }
  }

  void write(uint32_t target, int64_t count, int64_t begin, int64_t n, A* sum) const {
    if (by_count) {
      for (int64_t i = 0; i < n; i++) sum[i] /= static_cast<A>(count);
    }
    T* const to = dweight.as<T>() + target * dweight.stride[0] + begin * dweight.stride[1];
    write_run(sum, to, dweight.stride[1], n);
  }

  void add_slice(const Slice& slice, A* partials) const {
    A sum[kRun];
    const int64_t width = dweight.shape[1];
    for (int64_t begin = 0; begin < width; begin += kRun) {
      const int64_t n = std::min(kRun, width - begin);
      if (slice.partial >= 0) {
        sum_terms(slice, begin, n, partials + slice.partial * width + begin);
      } else {
        sum_terms(slice, begin, n, sum);
        write(target_of(*slice.first), slice.last - slice.first, begin, n, sum);
      }
    }
  }

  void join_slices(const LongRow& row, A* partials) const {
    const int64_t width = dweight.shape[1];
    A* const sum = partials + row.first * width;
    for (int64_t p = row.first + 1; p < row.last; p++) {
      for (int64_t i = 0; i < width; i++) sum[i] += partials[p * width + i];
    }
    write(row.target, row.count, 0, width, sum);
  }

  void zero() const {
    const int64_t width = dweight.shape[1];
    parallel_for(dweight.shape[0], row_grain(width), [&](int64_t begin, int64_t end) {
      for (int64_t v = begin; v < end; v++) {
        T* const row = dweight.as<T>() + v * dweight.stride[0];
        if (dweight.stride[1] == 1) {
          std::fill(row, row + width, T{});
        } else {
          for (int64_t i = 0; i < width; i++) row[i * dweight.stride[1]] = T{};
        }
      }
    });
  }

  void run(const Plan& plan, int64_t terms_in_all) const {
    const int64_t width = dweight.shape[1], slices = static_cast<int64_t>(plan.slices.size());
    const int64_t elements = slices > 0 ? terms_in_all * width / slices : 1;
    std::vector<A> partials(plan.partials * width);
    parallel_for(slices, row_grain(elements), [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; s++) add_slice(plan.slices[s], partials.data());
    });
    for (const LongRow& row : plan.long_rows) join_slices(row, partials.data());
  }
};

}  // namespace

int64_t embedding_grad_workspace(const Array& index, const Array&) {
  return 2 * index.size() * static_cast<int64_t>(sizeof(Entry));
}

void embedding_grad(Stream, const Array& dy, const Array& index, const Array& row,
                    const Array& scale, const Array& dweight, int64_t padding, bool by_count,
                    const Array& workspace) {
  check_embedding_grad(dy, index, row, scale, dweight);
  check_workspace("embedding_grad", workspace, embedding_grad_workspace(index, dweight));
  if (dweight.size() == 0) return;
  const GradTerms terms = grad_terms(dy, index, row, dweight, padding);
  Entry* const entries = workspace ? workspace.as<Entry>() : nullptr;
  int64_t count = 0;
  for (int64_t j = 0; j < index.shape[0]; j++) {
    const uint32_t target = terms.target(j);
    if (target < terms.limit) entries[count++] = uint64_t{target} << 32 | static_cast<uint64_t>(j);
  }
  const Plan plan =
      make_plan(sort_entries(entries, entries + index.shape[0], count, terms.limit - 1), count);
  dispatch_floating(dy.dtype, [&](auto tag) {
    const Gradient<typename decltype(tag)::type> gradient{dy, scale, dweight, terms, by_count};
    gradient.zero();
    gradient.run(plan, count);
  });
}

}  // namespace gg

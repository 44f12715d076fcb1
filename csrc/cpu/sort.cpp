// Sorts rows along the last axis on CPU threads: values and where they came from, stable both ways.
//
// An element becomes an unsigned key that orders as it does (NaN above all, -0 as 0; complemented
// to descend), beside the number of its place. Long rows are sorted by the bytes of the keys, from
// the lowest (a radix sort: stable), leaving out bytes that all keys share; short rows by
// comparing key and number, which no two share. A row has one thread and one pair of buffers.
//
// Bytes, long rows: 2 n (key + number) for each byte of a key that differs. Bound: memory.
#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/checks.h"
#include "core/parallel.h"
#include "core/rows.h"
#include "cpu/convert.h"
#include "cpu/runs.h"
#include "ops/arrays.h"

namespace gg {
namespace {

constexpr int64_t kRadixRow = 192;  // shorter rows are faster sorted by comparing

template <class Key>
struct Entry {
  Key key;
  uint32_t number;

  bool operator<(const Entry& other) const {
    return key != other.key ? key < other.key : number < other.number;
  }
};

/// The key of x: as many bytes as x has, in the low bytes of Key.
template <class Key, class T>
Key key_of(T x) {
  if constexpr (is_half<T>) {
    return key_of<Key>(to_float(x));
  } else if constexpr (std::is_floating_point_v<T>) {
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    constexpr Bits sign = Bits{1} << (8 * sizeof(T) - 1);
    if (x != x) return static_cast<Key>(~Bits{0});
    const Bits bits = std::bit_cast<Bits>(x + T(0));  // -0 + 0 is 0
    return static_cast<Key>((bits & sign) != 0 ? ~bits : bits | sign);
  } else if constexpr (std::is_same_v<T, bool>) {
    return x;
  } else {
    using Bits = std::make_unsigned_t<T>;
    constexpr Bits flip = std::is_signed_v<T> ? Bits(1) << (8 * sizeof(T) - 1) : 0;
    return static_cast<Key>(static_cast<Bits>(static_cast<Bits>(x) ^ flip));
  }
}

/// Sorts n entries by their keys' bytes; leaves them in one of the buffers, which is returned.
template <class Key>
Entry<Key>* sort_by_bytes(Entry<Key>* from, Entry<Key>* to, int64_t n) {
  constexpr int bytes = sizeof(Key);
  uint32_t count[bytes][256] = {};
  for (int64_t i = 0; i < n; i++) {
    for (int b = 0; b < bytes; b++) count[b][from[i].key >> (8 * b) & 255]++;
  }
  for (int b = 0; b < bytes; b++) {
    uint32_t* const place = count[b];
    if (place[from[0].key >> (8 * b) & 255] == n) continue;
    uint32_t next = 0;
    for (int digit = 0; digit < 256; digit++) next += std::exchange(place[digit], next);
    for (int64_t i = 0; i < n; i++) to[place[from[i].key >> (8 * b) & 255]++] = from[i];
    std::swap(from, to);
  }
  return from;
}

template <class Key>
struct Buffers {
  std::vector<Entry<Key>> from, to;

  explicit Buffers(int64_t n)
      : from(static_cast<size_t>(n)), to(static_cast<size_t>(n >= kRadixRow ? n : 0)) {}
};

/// Sorts what lies in `from`; once for each type of key, not for each dtype.
template <class Key>
[[gnu::noinline]] Entry<Key>* sort_entries(Buffers<Key>& buffers, int64_t n) {
  Entry<Key>* const entries = buffers.from.data();
  if (n >= kRadixRow) return sort_by_bytes(entries, buffers.to.data(), n);
  std::sort(entries, entries + n);
  return entries;
}

template <class T, class Key>
void sort_row(const T* x, int64_t step_x, bool descending, T* y, int64_t step_y, int64_t* index,
              int64_t step_index, int64_t n, Buffers<Key>& buffers) {
  Entry<Key>* entries = buffers.from.data();
  const Key flip = descending ? static_cast<Key>(~Key{0}) : Key{0};
  for (int64_t i = 0; i < n; i++) {
    entries[i] = {static_cast<Key>(key_of<Key>(x[i * step_x]) ^ flip), static_cast<uint32_t>(i)};
  }
  entries = sort_entries(buffers, n);
  for (int64_t i = 0; i < n; i++) index[i * step_index] = entries[i].number;
  if (y == nullptr) return;
  for (int64_t i = 0; i < n; i++) y[i * step_y] = x[entries[i].number * step_x];
}

template <class T>
void sort_rows(const Array& x, bool descending, const Array& y, const Array& index) {
  using Key = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  const RowLayout<3> rows = row_layout({index, x, y ? y : index}, x.ndim - 1);
  const int64_t grain = std::max<int64_t>(1, kGrain / 4 / rows.n);
  parallel_for(rows.outer.size, grain, [&](int64_t begin, int64_t end) {
    Buffers<Key> buffers(rows.n);
    for (int64_t row = begin; row < end; row++) {
      const int64_t at = rows.outer.offset(0, row);
      sort_row(x.as<T>() + rows.outer.offset(1, row), rows.stride[1], descending,
               y ? y.as<T>() + rows.outer.offset(2, row) : nullptr, rows.stride[2],
               index.as<int64_t>() + at, rows.stride[0], rows.n, buffers);
    }
  });
}

void check_sort(const Array& x) {
  check_present("sort", "x", x);
  GG_CHECK(x.ndim > 0, "sort", "x has no axis to sort along");
  GG_CHECK(x.shape[x.ndim - 1] <= std::numeric_limits<int32_t>::max(), "sort", "x ", x,
           " has rows of more than 2^31 - 1 elements");
}

}  // namespace

/// Each thread has buffers of its own.
int64_t sort_workspace(const Array& x) {
  check_sort(x);
  return 0;
}

void sort(Stream, const Array& x, bool descending, const Array& y, const Array& index,
          const Array&) {
  check_sort(x);
  check_dtype("sort", "index", index, DType::i64);
  check_same_shape("sort", "x", x, "index", index);
  if (y) {
    check_same_dtype("sort", "x", x, "y", y);
    check_same_shape("sort", "x", x, "y", y);
  }
  if (x.size() == 0) return;
  dispatch_all(x.dtype,
               [&](auto tag) { sort_rows<typename decltype(tag)::type>(x, descending, y, index); });
}

}  // namespace gg

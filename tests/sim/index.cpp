// core/index.h beyond 2^31 elements, walked on the host: divisions, and the offsets of elements of
// shapes that no test has the memory for, against plain 64-bit arithmetic.

#include "core/index.h"

#include <random>

#include "check.h"

using namespace gg;

/// Numerators around every multiple that rounding could mistake, and random ones.
template <class Check>
static void around_multiples(int64_t divisor, int64_t limit, Check check) {
  std::mt19937_64 random(static_cast<uint64_t>(divisor));
  for (int64_t k : {int64_t{0}, int64_t{1}, int64_t{2}, limit / divisor / 2, limit / divisor}) {
    for (int64_t near = -2; near <= 2; near++) {
      const int64_t n = k * divisor + near;
      if (n >= 0 && n < limit) check(n);
    }
  }
  for (int i = 0; i < 2000; i++) {
    const int64_t n = static_cast<int64_t>(random() % static_cast<uint64_t>(limit));
    check(n);
    check(n / divisor * divisor);
    if (n >= divisor) check(n / divisor * divisor - 1);
  }
}

const int64_t kDivisors[] = {1,       2,
                             3,       5,
                             7,       10,
                             255,     256,
                             1000,    1023,
                             65535,   65537,
                             1000003, (1 << 30) - 1,
                             1 << 30, kMaxFastIndex};

CASE(fast_division_is_exact_below_2_to_31) {
  for (int64_t divisor : kDivisors) {
    const FastDivision division(static_cast<uint32_t>(divisor));
    around_multiples(divisor, kMaxFastIndex + 1, [&](int64_t n) {
      CHECK(division.quotient(static_cast<uint32_t>(n)) == n / divisor);
    });
  }
}

CASE(wide_division_is_exact_below_2_to_52) {
  const int64_t limit = int64_t{1} << 52;
  for (int64_t divisor : kDivisors) {
    for (int64_t more : {int64_t{1}, int64_t{3} << 20}) {
      WideDivision division;
      division.reciprocal = 1 / static_cast<double>(divisor * more);
      around_multiples(divisor * more, limit, [&](int64_t n) {
        CHECK(division.quotient(n, divisor * more) == n / (divisor * more));
      });
    }
  }
}

/// Offsets of a layout against a plain loop over the shape given, before any axis is merged.
static void check_offsets(const std::vector<int64_t>& lengths, const std::vector<int64_t>& strides,
                          bool sorted) {
  Layout<1> layout;
  for (size_t axis = 0; axis < lengths.size(); axis++) layout.push(lengths[axis], {strides[axis]});
  const int64_t size = layout.size;
  if (sorted) layout.sort();
  layout.finish();
  CHECK(layout.wide == (size > kMaxFastIndex));
  std::mt19937_64 random(7);
  for (int i = 0; i < 4000; i++) {
    int64_t index = static_cast<int64_t>(random() % static_cast<uint64_t>(size));
    if (i < 100) index = size - 1 - i;
    int64_t rest = index, expected = 0;
    for (size_t axis = lengths.size(); axis-- > 0;) {
      expected += rest % lengths[axis] * strides[axis];
      rest /= lengths[axis];
    }
    CHECK(layout.offset(0, index) == expected);
  }
}

CASE(offsets_beyond_2_to_31_elements) {
  check_offsets({3, 1 << 30, 5}, {int64_t{5} << 30, 5, 1}, false);  // one axis in the end
  check_offsets({70000, 70001}, {70003, 1}, false);                 // rows with a gap
  check_offsets({70000, 70001}, {1, 70000}, false);                 // transposed
  check_offsets({50000, 3, 50000}, {-150000, 50000, 1}, false);     // reversed rows
  check_offsets({1000, 1000, 1000, 7}, {0, 7, 7000, 1}, false);     // repeated, swapped
  check_offsets({1 << 20, 1 << 20}, {1 << 21, 2}, false);           // every second
  check_offsets({46341, 46341}, {46342, 1}, false);                 // just beyond 2^31
  check_offsets({46340, 46340}, {46341, 1}, false);                 // just below
}

CASE(sorting_keeps_every_element_once) {
  // Column-major: sorted, the layout is one gapless axis, whose offsets are the indices.
  Layout<1> layout;
  layout.push(70000, {1});
  layout.push(70001, {70000});
  layout.sort();
  layout.finish();
  CHECK(layout.ndim == 1 && layout.wide);
  for (int64_t index : {int64_t{0}, int64_t{1} << 31, int64_t{70000} * 70001 - 1}) {
    CHECK(layout.offset(0, index) == index);
  }
}

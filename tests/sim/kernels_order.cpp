// Scatter, scans, sort and search on small shapes, against plain loops.

#include <numeric>

#include "host_array.h"

using namespace gg;

// ---- scatter -----------------------------------------------------------------------------------

static double join(Scatter op, double a, double b) {
  if (op == Scatter::add) return a + b;
  if (op == Scatter::mul) return a * b;
  if (op == Scatter::max) return std::max(a, b);
  return op == Scatter::min ? std::min(a, b) : b;
}

/// Sign changes and numbers near 1, so that products neither grow nor vanish.
static double near_one(int64_t i) {
  return noise(i) < -1 ? -1 : 1 + noise(i) / 256;
}

template <class T>
static void check_scatter(Scatter op, int64_t n) {
  const auto draw = op == Scatter::mul ? near_one : noise;
  const Host<T> x({11, 3}, draw), values({n, 3}, [&](int64_t i) { return draw(i + 77); });
  const Host<int64_t> i({n}, [](int64_t k) { return k * k % 11; }), flag({4});
  const Host<uint8_t> space = workspace(scatter_workspace({i}, x));
  std::vector<double> wanted(33);
  for (int64_t k = 0; k < 33; k++) wanted[k] = x[k];
  for (int64_t k = 0; k < n; k++) {
    for (int64_t r = 0; r < 3; r++) {
      double& w = wanted[i.data[k] * 3 + r];
      w = join(op, w, values[k * 3 + r]);
    }
  }
  scatter(nullptr, op, values, {i}, x, space, flag);
  for (int64_t k = 0; k < x.size; k++) check_near<T>("scatter", k, x[k], wanted[k], 10);
  CHECK_EQ(flag[0], 0);
}

CASE(scatter_with_duplicates) {
  for (Scatter op : {Scatter::set, Scatter::add, Scatter::mul, Scatter::max, Scatter::min}) {
    for (int64_t n : {0, 1, 13}) check_scatter<float>(op, n);
    check_scatter<double>(op, 300);
  }
  for (Scatter op : {Scatter::set, Scatter::mul}) check_scatter<bf16>(op, 300);
  for (Scatter op : {Scatter::max, Scatter::min}) check_scatter<int8_t>(op, 300);
  check_scatter<float>(Scatter::add, 2500);
}

// ---- scans -------------------------------------------------------------------------------------

static double join(Scan op, double a, double b) {
  if (op == Scan::sum) return a + b;
  if (op == Scan::prod) return a * b;
  if (op == Scan::max) return std::max(a, b);
  if (op == Scan::min) return std::min(a, b);
  return std::max(a, b) + std::log1p(std::exp(-std::fabs(a - b)));
}

template <class T>
static void check_scan(Scan op, int64_t n) {
  const Host<T> x({3, n}, op == Scan::prod ? near_one : noise), y({3, n});
  scan(nullptr, op, x, y);
  for (int64_t row = 0; row < 3; row++) {
    double joined = 0;
    for (int64_t i = row * n; i < (row + 1) * n; i++) {
      joined = i == row * n ? x[i] : join(op, joined, x[i]);
      check_near<T>("scan", i, y[i], joined, 50);
    }
  }
}

constexpr Scan kScans[] = {Scan::sum, Scan::prod, Scan::max, Scan::min, Scan::logaddexp};

CASE(scans_of_a_warp_and_of_a_block) {
  for (Scan op : kScans) {
    for (int64_t n : {1, 33, 1000, 5000}) check_scan<float>(op, n);
    check_scan<f16>(op, 700);
    check_scan<double>(op, 700);
  }
}

CASE(scans_in_parts) {
  for (Scan op : kScans) check_scan<bf16>(op, 16390);
  for (Scan op : {Scan::max, Scan::min}) check_scan<int8_t>(op, 16390);
  check_scan<int64_t>(Scan::sum, 16390);
}

// ---- sort and search ---------------------------------------------------------------------------

template <class T>
static void check_sort(int64_t rows, int64_t n, bool descending) {
  const Host<T> x({n, rows}, noise), y({rows, n});
  const Host<int64_t> index({rows, n});
  const Array turned = transposed(x, 0, 1);
  sort(nullptr, turned, descending, y, index, workspace(sort_workspace(turned)));
  std::vector<int64_t> wanted(n);
  for (int64_t row = 0; row < rows; row++) {
    std::iota(wanted.begin(), wanted.end(), 0);
    std::stable_sort(wanted.begin(), wanted.end(), [&](int64_t a, int64_t b) {
      const double at_a = x[a * rows + row], at_b = x[b * rows + row];
      return descending ? at_a > at_b : at_a < at_b;
    });
    for (int64_t i = 0; i < n; i++) {
      CHECK_EQ(index.data[row * n + i], wanted[i]);
      CHECK_EQ(y[row * n + i], x[wanted[i] * rows + row]);
    }
  }
}

CASE(sort_short_rows) {
  for (int64_t n : {1, 2, 13, 64, 65, 700, 2048}) {
    check_sort<float>(3, n, false);
    check_sort<double>(3, n, true);
  }
  check_sort<int8_t>(900, 5, false);  // several tiles
}

CASE(sort_long_rows) {
  check_sort<int8_t>(33, 2049, true);  // more than are sorted at once
  check_sort<double>(1, 4100, true);
}

CASE(sort_without_values) {
  for (int64_t n : {100, 2500}) {
    const Host<uint8_t> x({2, n}, [](int64_t i) { return i % 7; });
    const Host<int64_t> index({2, n});
    sort(nullptr, x, false, {}, index, workspace(sort_workspace(x)));
    for (int64_t i = 1; i < n; i++) {
      const int64_t before = index.data[n + i - 1], after = index.data[n + i];
      const double gap = x[n + after] - x[n + before];
      CHECK(gap > 0 || (gap == 0 && before < after));
    }
  }
}

CASE(search_in_sorted_rows) {
  const Host<float> rows({3, 40}, [](int64_t i) { return i % 40 / 3; }),
      x({3, 9}, [](int64_t i) { return i % 9 * 2 - 1; });
  const Host<int64_t> y({3, 9});
  for (bool right : {false, true}) {
    search_sorted(nullptr, rows, x, right, y);
    for (int64_t i = 0; i < y.size; i++) {
      int64_t below = 0;
      for (int64_t k = 0; k < 40; k++) below += right ? rows[k] <= x[i] : rows[k] < x[i];
      CHECK_EQ(y[i], below);
    }
  }
}

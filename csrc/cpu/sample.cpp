// Draws from rows of logits on CPU threads, a row each. Candidates are parted, not sorted: the most
// probable k by selection, the fewest whose share suffices by bisection of the parted half.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/sample_checks.h"
#include "cpu/exp.h"
#include "cpu/rows.h"
#include "ops/text.h"

namespace gg {
namespace {

constexpr double kLowest = -std::numeric_limits<double>::infinity();

class Sampler {
 public:
  Sampler(const SampleOptions& options, int64_t n)
      : options_(options), n_(n), x_(n), p_(n), order_(n), stays_(n) {}

  template <class T>
  int64_t draw(const T* row, int64_t stride, double u) {
    for (int64_t i = 0; i < n_; i++) {
      const double x = convert<double>(row[i * stride]);
      x_[i] = x == x ? x : kLowest;
    }
    const int64_t top = std::max_element(x_.begin(), x_.end()) - x_.begin();
    if (x_[top] == kLowest) return 0;
    if (options_.temperature == 0) return top;
    set_shares(x_[top]);
    select();
    return invert(u);
  }

 private:
  /// p = exp((x - top) / temperature): 1 for the most probable.
  void set_shares(double top) {
    const double inverse = 1 / options_.temperature;
    for (int64_t i = 0; i < n_; i++) {
      const double e = fast_exp((x_[i] - top) * inverse);
      p_[i] = x_[i] == top ? 1 : x_[i] == kLowest ? 0 : e;
    }
  }

  /// Sets p to 0 for what does not stay.
  void select() {
    const bool some = options_.top_k > 0 && options_.top_k < n_;
    if (!some && options_.top_p == 1) return;
    std::iota(order_.begin(), order_.end(), int64_t{0});
    int64_t kept = n_;
    if (some) {
      kept = options_.top_k;
      part(0, kept, n_);
    }
    if (options_.top_p < 1) kept = fewest(kept);
    std::fill(stays_.begin(), stays_.end(), 0);
    for (int64_t k = 0; k < kept; k++) stays_[order_[k]] = 1;
    for (int64_t i = 0; i < n_; i++) p_[i] = stays_[i] ? p_[i] : 0;
  }

  /// Brings the `middle - low` most probable of order[low .. high) before the others.
  void part(int64_t low, int64_t middle, int64_t high) {
    std::nth_element(
        order_.begin() + low, order_.begin() + middle, order_.begin() + high,
        [this](int64_t a, int64_t b) { return x_[a] > x_[b] || (x_[a] == x_[b] && a < b); });
  }

  double sum(int64_t low, int64_t high) const {
    double total = 0;
    for (int64_t k = low; k < high; k++) total += p_[order_[k]];
    return total;
  }

  /// How many of the first `count`, from the most probable, it takes to reach top_p of their sum.
  int64_t fewest(int64_t count) {
    const double target = options_.top_p * sum(0, count);
    double before = 0;
    int64_t low = 0, high = count;
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      part(low, middle, high);
      const double part_sum = sum(low, middle);
      if (before + part_sum >= target) {
        high = middle;
      } else {
        before += part_sum;
        low = middle;
      }
    }
    return high;
  }

  /// The first index whose sum of p exceeds u times the whole.
  int64_t invert(double u) const {
    double total = 0;
    for (int64_t i = 0; i < n_; i++) total += p_[i];
    const double target = u * total;
    int64_t found = 0;
    double before = 0;
    for (int64_t i = 0; i < n_; i++) {
      if (p_[i] > 0) found = i;
      before += p_[i];
      if (before > target) break;
    }
    return found;
  }

  SampleOptions options_;
  int64_t n_;
  std::vector<double> x_, p_;
  std::vector<int64_t> order_;
  std::vector<char> stays_;
};

}  // namespace

int64_t sample_workspace(const Array&) {
  return 0;
}

void sample(Stream, const Array& logits, double temperature, int64_t top_k, double top_p,
            const Array& state, int64_t call, const Array& y, const Array&) {
  const SampleOptions options{temperature, top_k, top_p};
  check_sample(logits, options, state, y);
  const PhiloxStream stream = philox_stream(state.as<const int64_t>(), call);
  dispatch_floating(logits.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(logits.shape[0], row_grain(4 * logits.shape[1]), [&](int64_t begin, int64_t end) {
      Sampler sampler(options, logits.shape[1]);
      for (int64_t b = begin; b < end; b++) {
        const T* const row = logits.as<const T>() + b * logits.stride[0];
        y.as<int64_t>()[b * y.stride[0]] =
            sampler.draw(row, logits.stride[1], sample_uniform(stream, b));
      }
    });
  });
}

}  // namespace gg

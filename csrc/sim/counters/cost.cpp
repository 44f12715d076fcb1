#include <algorithm>
#include <array>
#include <bit>

#include "sim/counters/requests.h"

namespace gg::sim {
namespace {

constexpr unsigned kSector = 32, kBanks = 32, kWord = 4;

/// Numbers, few of them, of which the distinct ones are wanted.
struct Numbers {
  std::array<uintptr_t, 4 * kLanes> values;
  size_t count = 0;

  void add(uintptr_t value) { values[count++] = value; }
  void keep_distinct() {
    std::sort(values.begin(), values.begin() + count);
    count =
        static_cast<size_t>(std::unique(values.begin(), values.begin() + count) - values.begin());
  }
};

/// Bytes that at least one lane touches.
uint64_t distinct_bytes(const Request& r, unsigned bytes) {
  Numbers begins;
  for (unsigned lane = 0; lane < kLanes; lane++) {
    if (r.lanes >> lane & 1) begins.add(r.address[lane]);
  }
  begins.keep_distinct();
  uint64_t total = 0;
  for (size_t i = 0; i < begins.count; i++) {
    const bool last = i + 1 == begins.count;
    total += last ? bytes : std::min<uint64_t>(bytes, begins.values[i + 1] - begins.values[i]);
  }
  return total;
}

/// Wavefronts of the lanes from `begin` to `end`, which go together.
unsigned phase_wavefronts(const Request& r, unsigned bytes, unsigned begin, unsigned end) {
  Numbers words;
  for (unsigned lane = begin; lane < end; lane++) {
    if (!(r.lanes >> lane & 1)) continue;
    const uintptr_t last = (r.address[lane] + bytes - 1) / kWord;
    for (uintptr_t word = r.address[lane] / kWord; word <= last; word++) words.add(word);
  }
  words.keep_distinct();
  unsigned in_bank[kBanks] = {};
  for (size_t i = 0; i < words.count; i++) in_bank[words.values[i] % kBanks]++;
  return *std::max_element(in_bank, in_bank + kBanks);
}

}  // namespace

Cost global_cost(const Request& r, unsigned bytes) {
  Numbers sectors;
  for (unsigned lane = 0; lane < kLanes; lane++) {
    if (!(r.lanes >> lane & 1)) continue;
    const uintptr_t last = (r.address[lane] + bytes - 1) / kSector;
    for (uintptr_t sector = r.address[lane] / kSector; sector <= last; sector++) {
      sectors.add(sector);
    }
  }
  sectors.keep_distinct();
  const uint64_t distinct = distinct_bytes(r, bytes);
  return {sectors.count, (distinct + kSector - 1) / kSector, distinct};
}

Cost shared_cost(const Request& r, unsigned bytes) {
  const unsigned phase = bytes > 8 ? 8 : bytes > 4 ? 16 : 32;  // lanes that go together
  Cost cost{0, 0, distinct_bytes(r, bytes)};
  for (unsigned begin = 0; begin < kLanes; begin += phase) {
    const unsigned wavefronts = phase_wavefronts(r, bytes, begin, begin + phase);
    cost.cost += wavefronts;
    cost.ideal += wavefronts != 0;
  }
  return cost;
}

}  // namespace gg::sim

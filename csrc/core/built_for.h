// Which of the module's code a GPU runs.
#pragma once

#include <algorithm>
#include <string_view>

namespace gg {

/// One entry of GG_BUILT_FOR: "80", "90a" or "120f", or one of these with "+ptx".
struct BuiltFor {
  int number = 0;
  char suffix = '\0';  ///< 'a': this architecture alone; 'f': its family
  bool ptx = false;    ///< compiled by the driver

  constexpr explicit BuiltFor(std::string_view entry) {
    for (; !entry.empty() && entry[0] >= '0' && entry[0] <= '9'; entry.remove_prefix(1)) {
      number = 10 * number + (entry[0] - '0');
    }
    if (!entry.empty() && entry[0] != '+') suffix = entry[0];
    ptx = entry.find('+') != entry.npos;
  }

  constexpr bool runs_on(int device) const {
    if (number == device) return true;
    return number < device && suffix != 'a' && (ptx || number / 10 == device / 10);
  }
};

/// The architecture, at most `device`'s (10 * major + minor), that the code which runs there was
/// compiled for, by built = GG_BUILT_FOR, e.g. "80,80+ptx,90a": machine code if some fits, else the
/// newest PTX. A kernel's body may be empty where this is less than what the kernel needs, though
/// the GPU could run it. 0 if nothing fits; the simulator's code is for every architecture.
constexpr int code_architecture(std::string_view built, int device) {
  if (built == "sim") return device;
  int machine = 0, ptx = 0;
  for (size_t begin = 0; begin <= built.size();) {
    const size_t end = std::min(built.find(',', begin), built.size());
    const BuiltFor entry(built.substr(begin, end - begin));
    begin = end + 1;
    if (entry.number == 0 || !entry.runs_on(device)) continue;
    int& best = entry.ptx ? ptx : machine;
    best = std::max(best, entry.number);
  }
  return machine ? machine : ptx;
}

/// Does `device` run code for sm_90a, by built = GG_BUILT_FOR?
constexpr bool runs_hopper_code(std::string_view built, int device) {
  return device == 90 && (built == "sim" || built.find("90a") != built.npos);
}

static_assert(code_architecture("80,80+ptx,90a,120", 80) == 80);
static_assert(code_architecture("80,80+ptx,90a,120", 86) == 80);
static_assert(code_architecture("80,80+ptx,90a,120", 90) == 90);
static_assert(code_architecture("80,80+ptx,90a,120", 100) == 80);
static_assert(code_architecture("75,75+ptx,80,90a", 103) == 75);
static_assert(code_architecture("90a", 100) == 0);
static_assert(runs_hopper_code("80,90a", 90) && !runs_hopper_code("90", 90));

}  // namespace gg

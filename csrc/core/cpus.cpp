#include "core/cpus.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <thread>

namespace gg {
namespace {

int cpus_by_affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

/// CPUs that a quota pays for: `quota` of every `period` microseconds. No limit ("max", -1) and no
/// such file leave `cpus` as it is.
void limit(int& cpus, std::istream& quota_from, std::istream& period_from) {
  double quota = 0, period = 0;
  if (quota_from >> quota && period_from >> period && quota > 0 && period > 0)
    cpus = std::max(1, static_cast<int>(std::min<double>(cpus, quota / period)));
}

/// This process's groups, below the topmost ones: lines are "0::/a/b" and "4:cpu,cpuacct:/a/b".
struct Groups {
  std::string version_2, version_1;

  explicit Groups(const std::string& file) {
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
      const size_t names = line.find(':'), path = line.find(':', names + 1);
      if (path == line.npos) continue;
      std::string controllers = line.substr(names, path - names + 1);
      controllers.front() = controllers.back() = ',';
      if (controllers == ",,") version_2 = line.substr(path + 1);
      if (controllers.find(",cpu,") != line.npos) version_1 = line.substr(path + 1);
    }
  }
};

/// f(group) for a group and all above it.
template <class F>
void for_each_above(std::string group, F f) {
  for (f(group); !group.empty(); f(group)) {
    const size_t parent = group.rfind('/');
    group.resize(parent == group.npos ? 0 : parent);
  }
}

}  // namespace

int usable_cpus(const std::string& cgroup, const std::string& groups) {
  int cpus = cpus_by_affinity();
  const Groups own(groups);
  for_each_above(own.version_2, [&](const std::string& group) {
    std::ifstream both(cgroup + group + "/cpu.max");
    limit(cpus, both, both);
  });
  for_each_above(own.version_1, [&](const std::string& group) {
    const std::string folder = cgroup + "/cpu" + group;
    std::ifstream quota(folder + "/cpu.cfs_quota_us"), period(folder + "/cpu.cfs_period_us");
    limit(cpus, quota, period);
  });
  return cpus;
}

}  // namespace gg

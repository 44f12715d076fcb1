// How many CPUs this process may keep busy.
#pragma once

#include <string>

namespace gg {

/// Those it may run on (affinity), and no more than quotas of CPU time pay for: of the control
/// groups that `groups`, a file, names (version 2's and version 1's) and of all above them, by the
/// files in `cgroup`, a folder. A quota of 2.5 CPUs counts as 2: a thread more than it pays for has
/// all of them stopped in each period.
int usable_cpus(const std::string& cgroup = "/sys/fs/cgroup",
                const std::string& groups = "/proc/self/cgroup");

}  // namespace gg

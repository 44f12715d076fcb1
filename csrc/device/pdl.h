// Programmatic dependent launch: a kernel starts while the one before it drains.
//
//   first kernel:    ... grid_dependency_launch(); ...      others may be launched now
//   second kernel:   set up; grid_dependency_wait(); ...    the first is complete and visible
//
// The second is started by launch_dependent (device/launch.h); in any other kernel both do nothing.
// Every thread of a dependent kernel waits before it returns: a kernel that did not would end
// before its predecessor, and a third one would be let through too early. The simulator runs one
// kernel after the other, so it does not see a read of the predecessor's data before the wait.
//
// PTX ISA, "Parallel synchronization and communication instructions: griddepcontrol". sm_90 and up;
// below, where a launch waits for the one before anyway, nothing.
#pragma once

#include "device/platform.h"

namespace gg {

/// Returns when the kernels before this one have ended and what they wrote is visible.
GG_DEVICE void grid_dependency_wait() {
#if GG_SIMULATOR
  sim::grid_dependency_wait();
#elif GG_ARCH_AT_LEAST(90)
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel start when all blocks have called this or exited. It orders no memory.
GG_DEVICE void grid_dependency_launch() {
#if !GG_SIMULATOR && GG_ARCH_AT_LEAST(90)
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace gg

// Runs CUDA kernels on the CPU: what a kernel file sees of the simulator.
//
// Each GPU thread is a fiber, a block (or, for a cooperative launch, the whole grid) is a team on
// one CPU thread, and teams are shared out over a pool of CPU threads. Threads switch only where
// they synchronise. Misuse - deadlock, lanes meeting in different operations, an exited lane named
// in a mask, ... - throws sim::Error out of launch(), with file and line.
//
// What it cannot tell: time, occupancy and registers; weak memory order beyond races (those
// ThreadSanitizer sees); bugs of nvcc. A loop that waits for another thread must call spin_pause().
//
// Host compilers only; nothing of NVIDIA's is needed.
#pragma once

#include "sim/atomics.h"
#include "sim/intrinsics.h"
#include "sim/language.h"
#include "sim/primitives.h"
#include "sim/runtime.h"

// The Hopper GEMM, as gemm_plan.cu and gemm.cu see it. Host only.
#pragma once

#include "kernels/gemm_plan.cuh"

namespace gg {

constexpr int kGemmHopperM = 128, kGemmHopperN = 256;  // tile of a block

/// Whether gemm_hopper.cu can multiply g as it stands, orientation included: code and device are
/// sm_90a, a and b are of 16 bits with one contiguous axis and all else aligned to 16 bytes, at
/// most three batch axes are left, and no side is so short that most of a tile would be zeros.
bool gemm_hopper_fits(const GemmProblem& g, DType inputs, int architecture);

/// Runs it. g fits, and k is split at multiples of 64.
void launch_gemm_hopper(Stream stream, const GemmProblem& g, DType inputs);

}  // namespace gg

// The registers of a wgmma as inline asm wants them, for each N. Part of wgmma.h.
//
// GG_WGMMA_TEXT_<N> is the text of the N / 2 accumulators, GG_WGMMA_D_<N>(c) their operands with
// constraint c; each is that of the N below and four more. GG_WGMMA_FOR_EACH_N(X) expands
// X(N, i0, ..., i9) for every N, where i0 ... i9 are the numbers of the operands that follow the
// accumulators.
#pragma once

// clang-format off
#define GG_WGMMA_TEXT_8 "%0, %1, %2, %3"
#define GG_WGMMA_TEXT_16 GG_WGMMA_TEXT_8 ", %4, %5, %6, %7"
#define GG_WGMMA_TEXT_24 GG_WGMMA_TEXT_16 ", %8, %9, %10, %11"
#define GG_WGMMA_TEXT_32 GG_WGMMA_TEXT_24 ", %12, %13, %14, %15"
#define GG_WGMMA_TEXT_40 GG_WGMMA_TEXT_32 ", %16, %17, %18, %19"
#define GG_WGMMA_TEXT_48 GG_WGMMA_TEXT_40 ", %20, %21, %22, %23"
#define GG_WGMMA_TEXT_56 GG_WGMMA_TEXT_48 ", %24, %25, %26, %27"
#define GG_WGMMA_TEXT_64 GG_WGMMA_TEXT_56 ", %28, %29, %30, %31"
#define GG_WGMMA_TEXT_72 GG_WGMMA_TEXT_64 ", %32, %33, %34, %35"
#define GG_WGMMA_TEXT_80 GG_WGMMA_TEXT_72 ", %36, %37, %38, %39"
#define GG_WGMMA_TEXT_88 GG_WGMMA_TEXT_80 ", %40, %41, %42, %43"
#define GG_WGMMA_TEXT_96 GG_WGMMA_TEXT_88 ", %44, %45, %46, %47"
#define GG_WGMMA_TEXT_104 GG_WGMMA_TEXT_96 ", %48, %49, %50, %51"
#define GG_WGMMA_TEXT_112 GG_WGMMA_TEXT_104 ", %52, %53, %54, %55"
#define GG_WGMMA_TEXT_120 GG_WGMMA_TEXT_112 ", %56, %57, %58, %59"
#define GG_WGMMA_TEXT_128 GG_WGMMA_TEXT_120 ", %60, %61, %62, %63"
#define GG_WGMMA_TEXT_136 GG_WGMMA_TEXT_128 ", %64, %65, %66, %67"
#define GG_WGMMA_TEXT_144 GG_WGMMA_TEXT_136 ", %68, %69, %70, %71"
#define GG_WGMMA_TEXT_152 GG_WGMMA_TEXT_144 ", %72, %73, %74, %75"
#define GG_WGMMA_TEXT_160 GG_WGMMA_TEXT_152 ", %76, %77, %78, %79"
#define GG_WGMMA_TEXT_168 GG_WGMMA_TEXT_160 ", %80, %81, %82, %83"
#define GG_WGMMA_TEXT_176 GG_WGMMA_TEXT_168 ", %84, %85, %86, %87"
#define GG_WGMMA_TEXT_184 GG_WGMMA_TEXT_176 ", %88, %89, %90, %91"
#define GG_WGMMA_TEXT_192 GG_WGMMA_TEXT_184 ", %92, %93, %94, %95"
#define GG_WGMMA_TEXT_200 GG_WGMMA_TEXT_192 ", %96, %97, %98, %99"
#define GG_WGMMA_TEXT_208 GG_WGMMA_TEXT_200 ", %100, %101, %102, %103"
#define GG_WGMMA_TEXT_216 GG_WGMMA_TEXT_208 ", %104, %105, %106, %107"
#define GG_WGMMA_TEXT_224 GG_WGMMA_TEXT_216 ", %108, %109, %110, %111"
#define GG_WGMMA_TEXT_232 GG_WGMMA_TEXT_224 ", %112, %113, %114, %115"
#define GG_WGMMA_TEXT_240 GG_WGMMA_TEXT_232 ", %116, %117, %118, %119"
#define GG_WGMMA_TEXT_248 GG_WGMMA_TEXT_240 ", %120, %121, %122, %123"
#define GG_WGMMA_TEXT_256 GG_WGMMA_TEXT_248 ", %124, %125, %126, %127"

#define GG_WGMMA_D_8(c) c(d[0]), c(d[1]), c(d[2]), c(d[3])
#define GG_WGMMA_D_16(c) GG_WGMMA_D_8(c), c(d[4]), c(d[5]), c(d[6]), c(d[7])
#define GG_WGMMA_D_24(c) GG_WGMMA_D_16(c), c(d[8]), c(d[9]), c(d[10]), c(d[11])
#define GG_WGMMA_D_32(c) GG_WGMMA_D_24(c), c(d[12]), c(d[13]), c(d[14]), c(d[15])
#define GG_WGMMA_D_40(c) GG_WGMMA_D_32(c), c(d[16]), c(d[17]), c(d[18]), c(d[19])
#define GG_WGMMA_D_48(c) GG_WGMMA_D_40(c), c(d[20]), c(d[21]), c(d[22]), c(d[23])
#define GG_WGMMA_D_56(c) GG_WGMMA_D_48(c), c(d[24]), c(d[25]), c(d[26]), c(d[27])
#define GG_WGMMA_D_64(c) GG_WGMMA_D_56(c), c(d[28]), c(d[29]), c(d[30]), c(d[31])
#define GG_WGMMA_D_72(c) GG_WGMMA_D_64(c), c(d[32]), c(d[33]), c(d[34]), c(d[35])
#define GG_WGMMA_D_80(c) GG_WGMMA_D_72(c), c(d[36]), c(d[37]), c(d[38]), c(d[39])
#define GG_WGMMA_D_88(c) GG_WGMMA_D_80(c), c(d[40]), c(d[41]), c(d[42]), c(d[43])
#define GG_WGMMA_D_96(c) GG_WGMMA_D_88(c), c(d[44]), c(d[45]), c(d[46]), c(d[47])
#define GG_WGMMA_D_104(c) GG_WGMMA_D_96(c), c(d[48]), c(d[49]), c(d[50]), c(d[51])
#define GG_WGMMA_D_112(c) GG_WGMMA_D_104(c), c(d[52]), c(d[53]), c(d[54]), c(d[55])
#define GG_WGMMA_D_120(c) GG_WGMMA_D_112(c), c(d[56]), c(d[57]), c(d[58]), c(d[59])
#define GG_WGMMA_D_128(c) GG_WGMMA_D_120(c), c(d[60]), c(d[61]), c(d[62]), c(d[63])
#define GG_WGMMA_D_136(c) GG_WGMMA_D_128(c), c(d[64]), c(d[65]), c(d[66]), c(d[67])
#define GG_WGMMA_D_144(c) GG_WGMMA_D_136(c), c(d[68]), c(d[69]), c(d[70]), c(d[71])
#define GG_WGMMA_D_152(c) GG_WGMMA_D_144(c), c(d[72]), c(d[73]), c(d[74]), c(d[75])
#define GG_WGMMA_D_160(c) GG_WGMMA_D_152(c), c(d[76]), c(d[77]), c(d[78]), c(d[79])
#define GG_WGMMA_D_168(c) GG_WGMMA_D_160(c), c(d[80]), c(d[81]), c(d[82]), c(d[83])
#define GG_WGMMA_D_176(c) GG_WGMMA_D_168(c), c(d[84]), c(d[85]), c(d[86]), c(d[87])
#define GG_WGMMA_D_184(c) GG_WGMMA_D_176(c), c(d[88]), c(d[89]), c(d[90]), c(d[91])
#define GG_WGMMA_D_192(c) GG_WGMMA_D_184(c), c(d[92]), c(d[93]), c(d[94]), c(d[95])
#define GG_WGMMA_D_200(c) GG_WGMMA_D_192(c), c(d[96]), c(d[97]), c(d[98]), c(d[99])
#define GG_WGMMA_D_208(c) GG_WGMMA_D_200(c), c(d[100]), c(d[101]), c(d[102]), c(d[103])
#define GG_WGMMA_D_216(c) GG_WGMMA_D_208(c), c(d[104]), c(d[105]), c(d[106]), c(d[107])
#define GG_WGMMA_D_224(c) GG_WGMMA_D_216(c), c(d[108]), c(d[109]), c(d[110]), c(d[111])
#define GG_WGMMA_D_232(c) GG_WGMMA_D_224(c), c(d[112]), c(d[113]), c(d[114]), c(d[115])
#define GG_WGMMA_D_240(c) GG_WGMMA_D_232(c), c(d[116]), c(d[117]), c(d[118]), c(d[119])
#define GG_WGMMA_D_248(c) GG_WGMMA_D_240(c), c(d[120]), c(d[121]), c(d[122]), c(d[123])
#define GG_WGMMA_D_256(c) GG_WGMMA_D_248(c), c(d[124]), c(d[125]), c(d[126]), c(d[127])

#define GG_WGMMA_FOR_EACH_N(X) \
  X(8, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13) \
  X(16, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17) \
  X(24, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21) \
  X(32, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25) \
  X(40, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29) \
  X(48, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33) \
  X(56, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37) \
  X(64, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41) \
  X(72, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45) \
  X(80, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49) \
  X(88, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53) \
  X(96, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57) \
  X(104, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61) \
  X(112, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65) \
  X(120, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69) \
  X(128, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73) \
  X(136, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77) \
  X(144, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81) \
  X(152, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85) \
  X(160, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89) \
  X(168, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93) \
  X(176, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97) \
  X(184, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101) \
  X(192, 96, 97, 98, 99, 100, 101, 102, 103, 104, 105) \
  X(200, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109) \
  X(208, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113) \
  X(216, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117) \
  X(224, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121) \
  X(232, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125) \
  X(240, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129) \
  X(248, 124, 125, 126, 127, 128, 129, 130, 131, 132, 133) \
  X(256, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137)
// clang-format on

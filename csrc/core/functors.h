// The functor lists: every element-wise, reduction and activation function, by name, once. The
// enums below, the names Python uses, and the bodies in core/math.h all follow these lists.
#pragma once

#include <cstdint>

namespace gg {

/// What a functor accepts. floating: float16, bfloat16, float32, float64. number: these and the
/// integers. integer: integers and bool. any: all dtypes.
enum class Domain : int8_t { floating, number, integer, any };

/// What a functor returns: its input's dtype, or bool.
enum class Result : int8_t { same, boolean };

// clang-format off
#define GG_UNARY_LIST(X)                                                                       \
  X(neg, number, same)        X(abs, number, same)         X(sign, number, same)               \
  X(square, number, same)     X(reciprocal, floating, same)                                    \
  X(sqrt, floating, same)     X(rsqrt, floating, same)                                         \
  X(exp, floating, same)      X(exp2, floating, same)      X(expm1, floating, same)            \
  X(log, floating, same)      X(log2, floating, same)      X(log10, floating, same)            \
  X(log1p, floating, same)                                                                     \
  X(sin, floating, same)      X(cos, floating, same)       X(tan, floating, same)              \
  X(asin, floating, same)     X(acos, floating, same)      X(atan, floating, same)             \
  X(sinh, floating, same)     X(cosh, floating, same)      X(tanh, floating, same)             \
  X(asinh, floating, same)    X(acosh, floating, same)     X(atanh, floating, same)            \
  X(erf, floating, same)      X(erfc, floating, same)      X(erfinv, floating, same)           \
  X(sigmoid, floating, same)  X(log_sigmoid, floating, same)                                   \
  X(relu, number, same)                                                                        \
  X(leaky_relu, floating, same)   /* p0: slope below zero */                                   \
  X(elu, floating, same)          /* p0 expm1(p1 x) below zero: alpha, input scale */          \
  X(softplus, floating, same)     /* p0: beta, p1: threshold */                                \
  X(gelu, floating, same)     X(gelu_tanh, floating, same)                                     \
  X(silu, floating, same)     X(mish, floating, same)                                          \
  X(hardsigmoid, floating, same)  /* s = clamp(x + 3, 0, 6) / 6 */                             \
  X(hardswish, floating, same)    /* x s */                                                    \
  X(clamp, number, same)          /* p0: min, p1: max; NaN stays */                            \
  X(floor, floating, same)    X(ceil, floating, same)                                          \
  X(round, floating, same)        /* half to even */                                           \
  X(trunc, floating, same)                                                                     \
  X(isnan, floating, boolean) X(isinf, floating, boolean)  X(isfinite, floating, boolean)      \
  X(signbit, number, boolean)     /* of -0.0 and negative NaNs too */                          \
  X(logical_not, any, boolean)    X(bitwise_not, integer, same)

#define GG_BINARY_LIST(X)                                                                      \
  X(add, any, same)           X(sub, number, same)         X(mul, any, same)                   \
  X(div, floating, same)                                                                       \
  X(floor_divide, number, same)   /* toward minus infinity; integer by zero gives 0 */         \
  X(remainder, number, same)      /* a - b floor(a / b), the sign of b */                      \
  X(pow, number, same)            /* integers wrap; negative exponents: 1/b truncated */       \
  X(maximum, any, same)       X(minimum, any, same)        /* NaN wins */                      \
  X(fmod, number, same)           /* a - b trunc(a / b), the sign of a; integer by zero: 0 */   \
  X(atan2, floating, same)    X(hypot, floating, same)     X(copysign, floating, same)         \
  X(gcd, integer, same)           /* not negative */                                           \
  X(shift_left, integer, same)    X(shift_right, integer, same)                                \
  /* ... by less than 0, the width or more: 0, or what the sign fills with */                  \
  X(eq, any, boolean)         X(ne, any, boolean)          X(lt, any, boolean)                 \
  X(le, any, boolean)         X(gt, any, boolean)          X(ge, any, boolean)                 \
  X(logical_and, any, boolean)    X(logical_or, any, boolean)  X(logical_xor, any, boolean)    \
  X(bitwise_and, integer, same)   X(bitwise_or, integer, same) X(bitwise_xor, integer, same)   \
  /* f'(x) dy, from (dy, y) where y determines it, else from (dy, x) */                        \
  X(relu_grad, floating, same)      /* (dy, y): dy where y > 0 */                              \
  X(sigmoid_grad, floating, same)   /* (dy, y): dy y (1 - y) */                                \
  X(tanh_grad, floating, same)      /* (dy, y): dy (1 - y^2) */                                \
  X(gelu_grad, floating, same)      X(gelu_tanh_grad, floating, same)  /* (dy, x) */           \
  X(silu_grad, floating, same)      /* (dy, x) */

#define GG_REDUCE_LIST(X)                                                                      \
  X(sum) X(mean) X(prod) X(max) X(min) X(argmax) X(argmin) X(any) X(all)

#define GG_SCAN_LIST(X) X(sum) X(prod) X(max) X(min) X(logaddexp)

#define GG_SCATTER_LIST(X) X(set) X(add) X(mul) X(max) X(min)

#define GG_ACTIVATION_LIST(X)                                                                  \
  X(none) X(relu) X(gelu) X(gelu_tanh) X(silu) X(sigmoid) X(tanh)

#define GG_PRECISION_LIST(X) X(exact) X(high) X(tf32)

#define GG_BORDER_LIST(X) X(zeros) X(reflect) X(replicate)

#define GG_CELL_LIST(X) X(rnn_tanh) X(rnn_relu) X(lstm) X(gru)
// clang-format on

#define GG_ENUMERATOR(name, ...) name,
enum class Unary : int8_t { GG_UNARY_LIST(GG_ENUMERATOR) };
enum class Binary : int8_t { GG_BINARY_LIST(GG_ENUMERATOR) };
enum class Reduce : int8_t { GG_REDUCE_LIST(GG_ENUMERATOR) };
/// What scan joins the elements with, and what scatter does with several of one position.
enum class Scan : int8_t { GG_SCAN_LIST(GG_ENUMERATOR) };
enum class Scatter : int8_t { GG_SCATTER_LIST(GG_ENUMERATOR) };
enum class Activation : int8_t { GG_ACTIVATION_LIST(GG_ENUMERATOR) };
/// How float32 matrices are multiplied; gemm in ops.h says what each means.
enum class MatmulPrecision : int8_t { GG_PRECISION_LIST(GG_ENUMERATOR) };
/// What lies around an image; crop in ops.h says what each means.
enum class Border : int8_t { GG_BORDER_LIST(GG_ENUMERATOR) };
/// Recurrent cells; recurrent in ops/text.h says what each computes.
enum class Cell : int8_t { GG_CELL_LIST(GG_ENUMERATOR) };
#undef GG_ENUMERATOR

struct Functor {
  const char* name;
  Domain domain;
  Result result;
};

#define GG_FUNCTOR(name, domain, result) {#name, Domain::domain, Result::result},
#define GG_NAME(name) #name,
constexpr Functor kUnary[] = {GG_UNARY_LIST(GG_FUNCTOR)};
constexpr Functor kBinary[] = {GG_BINARY_LIST(GG_FUNCTOR)};
constexpr const char* kReduce[] = {GG_REDUCE_LIST(GG_NAME)};
constexpr const char* kScan[] = {GG_SCAN_LIST(GG_NAME)};
constexpr const char* kScatter[] = {GG_SCATTER_LIST(GG_NAME)};
constexpr const char* kActivation[] = {GG_ACTIVATION_LIST(GG_NAME)};
constexpr const char* kMatmulPrecision[] = {GG_PRECISION_LIST(GG_NAME)};
constexpr const char* kBorder[] = {GG_BORDER_LIST(GG_NAME)};
constexpr const char* kCell[] = {GG_CELL_LIST(GG_NAME)};
#undef GG_FUNCTOR
#undef GG_NAME

}  // namespace gg

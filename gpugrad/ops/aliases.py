"""PyTorch's second names of operations: functions, methods and in-place methods alike."""

from . import arithmetic, compare, elementwise, linalg, rounding, scans, selection, views

absolute = elementwise.abs
negative = elementwise.neg
arcsin = elementwise.asin
arccos = elementwise.acos
arctan = elementwise.atan
arcsinh = elementwise.asinh
arccosh = elementwise.acosh
arctanh = elementwise.atanh

arctan2 = arithmetic.atan2
subtract = arithmetic.sub
multiply = arithmetic.mul
divide = arithmetic.div
true_divide = arithmetic.div

clip = selection.clamp
fix = rounding.trunc
sgn = rounding.sign
trapz = scans.trapezoid

ger = linalg.outer

greater = compare.gt
greater_equal = compare.ge
less = compare.lt
less_equal = compare.le
not_equal = compare.ne

swapaxes = views.transpose
swapdims = views.transpose
moveaxis = views.movedim

__all__ = [name for name in dir() if callable(globals()[name])]

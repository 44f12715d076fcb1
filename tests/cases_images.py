"""The cases of images: convolution, pooling, padding, normalisation, resampling.

Imported at the end of cases.py, whose list they join.
"""

from __future__ import annotations

from cases import call, case, family, functional, method
from inputs import away, distinct, integers, normal, together

# ---- convolution -------------------------------------------------------------------------------

family("convolution")

# ---- pooling -----------------------------------------------------------------------------------

family("pooling")

# ---- normalisation -----------------------------------------------------------------------------

family("normalisation")

# ---- resampling --------------------------------------------------------------------------------

family("resampling")

"""Arguments for the functions of shapes, indexing and order, made of a matrix [2, 2].

Part of the table in test_functions.py, which calls every function of the package.
"""

from __future__ import annotations

from typing import Any

import gpugrad as gg

INDEX = gg.tensor([0])

ARGUMENTS: dict[str, Any] = {
    **dict.fromkeys(
        ("hstack", "vstack", "row_stack", "dstack", "column_stack"), lambda x: ([x, x],)
    ),
    **dict.fromkeys(("tensor_split", "hsplit", "vsplit"), lambda x: (x, 2)),
    "dsplit": lambda x: (x.reshape(2, 1, 2), 2),
    "split_with_sizes": lambda x: (x, [1, 1]),
    **dict.fromkeys(("swapdims", "moveaxis"), lambda x: (x, 0, 1)),
    "narrow_copy": lambda x: (x, 0, 0, 1),
    "constant_pad_nd": lambda x: (x, (1, 1)),
    "broadcast_shapes": lambda x: (2, (1,)),
    **dict.fromkeys(("cartesian_prod", "meshgrid"), lambda x: (x[0], x[1])),
    "combinations": lambda x: (x[0],),
    "as_strided": lambda x: (x, (2,), (1,)),
    "as_strided_scatter": lambda x: (x, x[0], (2,), (1,)),
    "diagonal_scatter": lambda x: (x, x[0]),
    **dict.fromkeys(("select_scatter",), lambda x: (x, x[0], 0, 0)),
    "slice_scatter": lambda x: (x, x[:1], 0, 0, 1),
    "index_copy": lambda x: (x, 0, INDEX, x[:1]),
    "index_fill": lambda x: (x, 0, INDEX, 0.5),
    "index_reduce": lambda x: (x, 0, INDEX, x[:1], "prod"),
    "index_put": lambda x: (x, (INDEX,), x[:1]),
    "put": lambda x: (x, INDEX, x[0, :1]),
    "masked_scatter": lambda x: (x, x > 0.5, x.flip(0)),
    "scatter_reduce": lambda x: (x, 0, gg.tensor([[0, 1]]), x[:1], "amax"),
    **dict.fromkeys(("topk", "kthvalue"), lambda x: (x, 1)),
    "searchsorted": lambda x: (x, x),
    "bucketize": lambda x: (x, x[0]),
    "bincount": lambda x: (gg.tensor([1]), x[0, :1]),
    "unravel_index": lambda x: (INDEX, (2, 2)),
    "histogram": lambda x: (x, 2),
    "multinomial": lambda x: (x, 1),
}

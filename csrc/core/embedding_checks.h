// What the embedding operations are asked, checked: shared by csrc/kernels and csrc/cpu.
#pragma once

#include "core/checks.h"
#include "core/functors.h"
#include "core/index.h"
#include "ops/types.h"

namespace gg {

inline void check_index_flag(const char* op, const Array& flag) {
  check_dtype(op, "flag", flag, DType::i64);
  check_shape(op, "flag", flag, {4});
  check_contiguous(op, "flag", flag);
}

inline void check_table(const char* op, const Array& weight) {
  GG_CHECK(weight && weight.ndim == 2, op, "weight must be [V, D], got ", weight);
}

/// An int64 [n].
inline void check_positions(const char* op, const char* name, const Array& a, int64_t n) {
  check_dtype(op, name, a, DType::i64);
  check_shape(op, name, a, {n});
}

/// An index into a table, and y over the index's axes.
struct Lookup {
  Layout<2> positions;  ///< index, y
  int64_t limit;        ///< rows of the table
  int64_t width;        ///< elements of a row
};

/// weight [V, D], index int64 [J...], y [J..., D] of weight's dtype.
inline Lookup check_embedding(const Array& weight, const Array& index, const Array& y,
                              const Array& flag) {
  const char* const op = "embedding";
  check_table(op, weight);
  check_dtype(op, "index", index, DType::i64);
  check_same_dtype(op, "weight", weight, "y", y);
  check_index_flag(op, flag);
  bool fits = y.ndim == index.ndim + 1 && y.shape[y.ndim - 1] == weight.shape[1];
  for (int i = 0; fits && i < index.ndim; i++) fits = y.shape[i] == index.shape[i];
  GG_CHECK(fits, op, "y must have the shape of index and then weight's columns; got index ", index,
           ", weight ", weight, ", y ", y);
  Lookup lookup{{}, weight.shape[0], weight.shape[1]};
  for (int i = 0; i < index.ndim; i++) {
    lookup.positions.push(index.shape[i], {index.stride[i], y.stride[i]});
  }
  lookup.positions.finish();
  return lookup;
}

/// dy [R, D], index, row [T] (row and scale may be none), dweight [V, D].
inline void check_embedding_grad(const Array& dy, const Array& index, const Array& row,
                                 const Array& scale, const Array& dweight) {
  const char* const op = "embedding_grad";
  check_floating(op, "dy", dy);
  GG_CHECK(dweight && dweight.ndim == 2, op, "dweight must be [V, D], got ", dweight);
  check_same_dtype(op, "dy", dy, "dweight", dweight);
  GG_CHECK(dy.ndim == 2 && dy.shape[1] == dweight.shape[1], op,
           "dy must be [R, D] with dweight's D; got dy ", dy, ", dweight ", dweight);
  GG_CHECK(index && index.dtype == DType::i64 && index.ndim == 1, op,
           "index must be int64 [T], got ", index);
  const int64_t count = index.shape[0];
  if (row) {
    check_positions(op, "row", row, count);
  } else {
    GG_CHECK(dy.shape[0] == count, op, "without row, dy must have a row for each index; got dy ",
             dy, ", index ", index);
  }
  if (scale) {
    check_dtype(op, "scale", scale, accumulation(dy.dtype));
    check_shape(op, "scale", scale, {count});
  }
  GG_CHECK(count < int64_t{1} << 31, op, count, " positions; at most 2^31 - 1 at a time");
  GG_CHECK(dweight.shape[0] < int64_t{UINT32_MAX}, op, dweight.shape[0],
           " rows of dweight; at most 2^32 - 2");
}

/// Of the terms of a gradient: which row of dweight position j adds to, and from where.
struct GradTerms {
  const int64_t* index;
  const int64_t* row;  ///< none: j
  int64_t index_stride, row_stride;
  int64_t limit, rows;  ///< rows of dweight and of dy
  int64_t padding;

  GG_HD int64_t row_of(int64_t j) const { return row ? row[j * row_stride] : j; }

  /// `limit` where position j adds nothing.
  GG_HD uint32_t target(int64_t j) const {
    const int64_t v = index[j * index_stride], r = row_of(j);
    const bool counts = v >= 0 && v < limit && v != padding && r >= 0 && r < rows;
    return static_cast<uint32_t>(counts ? v : limit);
  }
};

inline GradTerms grad_terms(const Array& dy, const Array& index, const Array& row,
                            const Array& dweight, int64_t padding) {
  return {index.as<const int64_t>(),
          row.as<const int64_t>(),
          index.stride[0],
          row.stride[0],
          dweight.shape[0],
          dy.shape[0],
          padding};
}

/// index of any shape; its layout.
inline Layout<1> check_embedding_renorm(const Array& weight, const Array& index, double max_norm,
                                        double ord, const Array& flag) {
  const char* const op = "embedding_renorm";
  check_table(op, weight);
  check_floating(op, "weight", weight);
  check_dtype(op, "index", index, DType::i64);
  check_index_flag(op, flag);
  GG_CHECK(max_norm >= 0, op, "max_norm must not be negative, got ", max_norm);
  GG_CHECK(ord == ord && ord != 0, op, "ord must be a number other than 0, got ", ord);
  Layout<1> positions;
  for (int i = 0; i < index.ndim; i++) positions.push(index.shape[i], {index.stride[i]});
  positions.finish();
  return positions;
}

/// weight [V, D], index, scale [T], offsets [B + 1], y, winner [B, D], bag [T], count [B].
inline void check_embedding_bag(const Array& weight, const Array& index, const Array& offsets,
                                const Array& scale, Reduce mode, const Array& y, const Array& bag,
                                const Array& count, const Array& winner, const Array& flag) {
  const char* const op = "embedding_bag";
  check_table(op, weight);
  check_floating(op, "weight", weight);
  GG_CHECK(mode == Reduce::sum || mode == Reduce::mean || mode == Reduce::max, op,
           "mode must be sum, mean or max, got ", kReduce[static_cast<int>(mode)]);
  GG_CHECK(index && index.dtype == DType::i64 && index.ndim == 1, op,
           "index must be int64 [T], got ", index);
  GG_CHECK(offsets && offsets.dtype == DType::i64 && offsets.ndim == 1 && offsets.shape[0] > 0, op,
           "offsets must be int64 [B + 1], got ", offsets);
  GG_CHECK(weight.shape[0] < int64_t{UINT32_MAX}, op, weight.shape[0],
           " rows of weight; at most 2^32 - 2");
  const int64_t bags = offsets.shape[0] - 1, width = weight.shape[1];
  if (scale) {
    GG_CHECK(mode == Reduce::sum, op, "scale goes with mode sum, got ",
             kReduce[static_cast<int>(mode)]);
    check_same_dtype(op, "weight", weight, "scale", scale);
    check_shape(op, "scale", scale, {index.shape[0]});
  }
  check_same_dtype(op, "weight", weight, "y", y);
  check_shape(op, "y", y, {bags, width});
  check_positions(op, "bag", bag, index.shape[0]);
  check_positions(op, "count", count, bags);
  GG_CHECK(static_cast<bool>(winner) == (mode == Reduce::max), op,
           "winner goes with mode max, got mode ", kReduce[static_cast<int>(mode)], ", winner ",
           winner);
  if (winner) {
    check_dtype(op, "winner", winner, DType::i64);
    check_shape(op, "winner", winner, {bags, width});
  }
  check_index_flag(op, flag);
}

}  // namespace gg

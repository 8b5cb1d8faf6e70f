// What the making of a problem looks at; see scan.cpp.
#pragma once

#include "common.hpp"

namespace dm {

// Where the costs of each variable (n + 1) and then the table of each edge (m + 1) begin. False where a variable has no
// choices, an edge an end that is none or two that are the same, or there are too many cells.
bool find_starts(int64_t n, int64_t m, const int64_t* sizes, const int32_t* ends, int64_t* starts);

}  // namespace dm

DM_EXPORT int dm_scan_i64(
    int64_t n, int64_t m, const int64_t*, const int32_t*, const int64_t* starts, const int64_t* unary,
    const int64_t* pair, int64_t unary_batch, int64_t pair_batch, int64_t* magnitude);

DM_EXPORT int dm_scan_f64(
    int64_t n, int64_t m, const int64_t*, const int32_t*, const int64_t* starts, const double* unary,
    const double* pair, int64_t unary_batch, int64_t pair_batch, double* magnitude);

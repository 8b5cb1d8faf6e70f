// The price of an assignment: the judge of what all methods return, which shares nothing with any of them.
#pragma once

#include "common.hpp"

namespace dm {

// The cost of one choice per variable, of integers. Returns 1, or 0 where a cell is forbidden, or -1 where there is no
// such choice.
inline int evaluate(
    int64_t n, int64_t m, const int64_t* sizes, const int32_t* ends, const int64_t* starts, const int64_t* unary,
    const int64_t* pair, const int64_t* choice, int64_t* cost) {
    const int64_t *unary_starts = starts, *pair_starts = starts + n + 1;
    constexpr int64_t limit = Cost<int64_t>::limit;
    int64_t total = 0;  // magnitudes add up to less than 2**60, and it is not used where a cell is forbidden
    bool forbidden = false;
    for (int64_t i = 0; i < n; ++i) {
        if (choice[i] < 0 || choice[i] >= sizes[i]) return -1;
        const int64_t cell = unary[unary_starts[i] + choice[i]];
        if (cell >= limit) {
            forbidden = true;
        } else {
            total += cell;
        }
    }
    for (int64_t e = 0; e < m; ++e) {
        const int64_t i = ends[2 * e], j = ends[2 * e + 1];
        const int64_t cell = pair[pair_starts[e] + choice[i] * sizes[j] + choice[j]];
        if (cell >= limit) {
            forbidden = true;
        } else {
            total += cell;
        }
    }
    *cost = total;
    return !forbidden;
}

}  // namespace dm

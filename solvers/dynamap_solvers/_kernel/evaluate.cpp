#include "evaluate.hpp"

// dm::evaluate, for callers who have an assignment from elsewhere.
DM_EXPORT int dm_evaluate(
    int64_t n, int64_t m, const int64_t* sizes, const int32_t* ends, const int64_t* starts, const int64_t* unary,
    const int64_t* pair, const int64_t* choice, int64_t* cost) {
    return dm::evaluate(n, m, sizes, ends, starts, unary, pair, choice, cost);
}

// Bucket elimination (elimination.hpp) for every kind of costs, as the package calls it.
#include <algorithm>
#include <new>

#include "elimination.hpp"

namespace {

using dm::EliminationPlan;
using dm::Problem;
using dm::Scale;
using dm::Schedule;

#define DM_VARIANT(NAME, T, GIVEN, CLAMP, INDEX) \
    bool NAME(const Problem<GIVEN>& p, const EliminationPlan& plan, const Schedule& schedule, const std::vector<GIVEN>& own, \
              const Scale& scale, int level, int64_t threads, const int32_t* stop, GIVEN* objective, int32_t* choices) { \
        return dm::Elimination<T, GIVEN, CLAMP, INDEX>(p, plan, schedule, own, scale, level, threads, stop).run(objective, choices); \
    }
DM_VARIANT(small_free_narrow, int32_t, int64_t, false, uint8_t)
DM_VARIANT(small_free_wide, int32_t, int64_t, false, int32_t)
DM_VARIANT(small_clamped_narrow, int32_t, int64_t, true, uint8_t)
DM_VARIANT(small_clamped_wide, int32_t, int64_t, true, int32_t)
DM_VARIANT(free_narrow, int64_t, int64_t, false, uint8_t)
DM_VARIANT(free_wide, int64_t, int64_t, false, int32_t)
DM_VARIANT(clamped_narrow, int64_t, int64_t, true, uint8_t)
DM_VARIANT(clamped_wide, int64_t, int64_t, true, int32_t)
DM_VARIANT(float_narrow, double, double, false, uint8_t)  // infinity saturates by itself
DM_VARIANT(float_wide, double, double, false, int32_t)
#undef DM_VARIANT

template <typename T>
bool is_narrow(const Problem<T>& p) {
    return p.n == 0 || *std::max_element(p.sizes, p.sizes + p.n) <= 256;
}

template <typename T>
Schedule schedule_for(const Problem<T>& p, const EliminationPlan& plan, bool small, double slice_bytes) {
    return dm::schedule_elimination(plan, p.n, p.m, p.ends, p.sizes, small ? 4 : 8, is_narrow(p) ? 1 : 4, slice_bytes);
}

}  // namespace

// What eliminate_i64 and, where unary is null, eliminate_f64 take: room[0] gets the bytes a cost has in tables (4 or 8),
// room[1] the bytes of all tables and choices kept, for one thread. Returns 0, or 2 when out of memory.
DM_EXPORT int dm_eliminate_room(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int64_t* unary_starts,
    const int64_t* pair_starts, const int32_t* order, int has_forbidden, const int64_t* unary, const int64_t* pair,
    double slice_bytes, double* room) {
    const Problem<int64_t> p{n, m, ends, sizes, unary_starts, pair_starts, unary, pair, has_forbidden != 0};
    try {
        const EliminationPlan plan = dm::plan_elimination(n, m, ends, sizes, order);
        const bool small = unary != nullptr && scale_of(p, plan, p.own_costs()).bits >= 0;
        const int cost = small ? 4 : 8, choice = is_narrow(p) ? 1 : 4;
        room[0] = cost;
        if (plan.kept > 1e15 || !dm::has_large_tables(plan, cost, slice_bytes)) {
            room[1] = cost * (plan.peak + plan.most_rows) + choice * plan.kept;
        } else {
            room[1] = schedule_for(p, plan, small, slice_bytes).bytes(cost, choice);
        }
        return 0;
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

// Eliminates along an order with vector instructions up to a level (see bucket_levels.hpp) and up to so many threads;
// returns 0, 1 where *stop became nonzero meanwhile, 2 when out of memory.
DM_EXPORT int dm_eliminate_i64(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int64_t* unary_starts,
    const int64_t* pair_starts, const int32_t* order, int has_forbidden, const int64_t* unary, const int64_t* pair,
    int level, int64_t threads, double slice_bytes, const int32_t* stop, int64_t* objective, int32_t* choices) {
    const Problem<int64_t> p{n, m, ends, sizes, unary_starts, pair_starts, unary, pair, has_forbidden != 0};
    try {
        const EliminationPlan plan = dm::plan_elimination(n, m, ends, sizes, order);
        const std::vector<int64_t> own = p.own_costs();
        const Scale scale = scale_of(p, plan, own);
        const Schedule schedule = schedule_for(p, plan, scale.bits >= 0, slice_bytes);
        const auto run = [&](auto narrow, auto wide) {
            return (is_narrow(p) ? narrow : wide)(p, plan, schedule, own, scale, level, threads, stop, objective, choices) ? 0 : 1;
        };
        if (scale.bits >= 0) {
            return has_forbidden ? run(small_clamped_narrow, small_clamped_wide) : run(small_free_narrow, small_free_wide);
        }
        return has_forbidden ? run(clamped_narrow, clamped_wide) : run(free_narrow, free_wide);
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

DM_EXPORT int dm_eliminate_f64(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int64_t* unary_starts,
    const int64_t* pair_starts, const int32_t* order, const double* unary, const double* pair, int level, int64_t threads,
    double slice_bytes, const int32_t* stop, double* objective, int32_t* choices) {
    const Problem<double> p{n, m, ends, sizes, unary_starts, pair_starts, unary, pair, true};
    try {
        const EliminationPlan plan = dm::plan_elimination(n, m, ends, sizes, order);
        const Schedule schedule = schedule_for(p, plan, false, slice_bytes);
        const auto run = is_narrow(p) ? float_narrow : float_wide;
        return run(p, plan, schedule, p.own_costs(), Scale{}, level, threads, stop, objective, choices) ? 0 : 1;
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

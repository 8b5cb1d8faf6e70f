// A plan of reductions in one array, as _rules.StepArrays has it.
#pragma once

#include <cstdint>

#include "common.hpp"

namespace dm {

enum Rule : int32_t { kR0 = 0, kRI = 1, kRII = 2, kParallel = 3, kFixed = 4 };

// Four counts, then per step rule, vertex, what it makes and where its tables begin, then all neighbours and all
// tables, then what is left of the graph: vertices and the two ends of each table.
template <typename Int>  // int32_t, or const int32_t to read
struct Packed {
    enum Count { kSteps, kTouched, kLeft, kLeftTables, kCounts };

    Int *rule, *vertex, *produced, *first, *neighbours, *own, *left, *left_ends;

    explicit Packed(Int* at) {
        rule = at + kCounts;
        vertex = rule + at[kSteps];
        produced = vertex + at[kSteps];
        first = produced + at[kSteps];
        neighbours = first + at[kSteps] + 1;
        own = neighbours + at[kTouched];
        left = own + at[kTouched];
        left_ends = left + at[kLeft];
    }
};

}  // namespace dm

DM_EXPORT int dm_plan(
    int64_t n, int64_t m, const int64_t* sizes, const int32_t* ends, const int64_t*, const int32_t* fixed,
    int64_t fixed_count, int32_t* packed);

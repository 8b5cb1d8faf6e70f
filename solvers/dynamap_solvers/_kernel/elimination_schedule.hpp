// When each table of an elimination arises and where it lies: decided before any cost is looked at.
//
// Large tables are made slice by slice, so that they stay in cache and need not be there as a whole. A loop goes over the
// choices of one variable; its body are buckets that hang together and all have that variable in their scope, the last
// of them its root. Within, the variable counts as decided: of all tables but the root's there is only the slice at
// hand, which the next round overwrites. What the body takes in from other buckets has arisen before. Loops lie within
// each other until slices are small (loop fusion and tiling of tensor contractions; Lam et al., "Memory-optimal
// evaluation of expression trees involving large objects", 1999).
//
// Rounds of the outermost loops do not depend on each other: threads take them in turn.
#pragma once

#include <cstdint>
#include <vector>

#include "elimination_plan.hpp"

namespace dm {

struct Loop {
    int32_t variable, root;
    int level;                  // so many loops are around it
    bool completes;             // no loop around it has the same root: after it the root's table is all there
    std::vector<int32_t> body;  // as the items of a schedule
    // Outermost loops only: the best choices within are not kept, but found by a round of the loop once more, on the
    // way back, when all the root knows is decided.
    bool again = false;
};

struct Addition {  // of a table to one of the same parent that has all its axes
    int32_t into, from;
};

struct Schedule {
    std::vector<int32_t> items;  // in order: variables that leave, and ~l for loops[l]
    std::vector<Loop> loops;
    std::vector<int32_t> scope;  // of v, as in the plan, but by how axes lie in memory: loops' variables, outermost first
    std::vector<int32_t> fixed;  // so many of these v is in loops of
    std::vector<int32_t> open;   // so many of them its parent is too; of its table there is a slice of these
    std::vector<int32_t> digits; // axes after the fixed ones that are not in the block
    std::vector<std::vector<int32_t>> taken;       // variables whose tables a variable takes in
    std::vector<std::vector<Addition>> additions;  // once the table of a variable is there
    std::vector<int64_t> place;  // of tables: among those in no loop or, with open > 0, among a thread's own
    std::vector<int64_t> kept;   // where choices are kept: among all, or of loops gone through again in the loop's
    int64_t tables = 0, own = 0;            // cells of both places
    int64_t choices = 0, again = 0;         // choices kept, and of the loop with most that is gone through again
    int64_t spare = 0;                      // place among the own tables for a slice of a root, in such a loop
    int64_t rows = 0;                       // cells of originals at a time, at most

    // How far apart cells are along the axes from `from` on (`open`, or 0, or 1 in a loop gone through again). Slices of
    // outermost loops are kept apart, for writing past the end of one must not meet another thread.
    void strides(const EliminationPlan& plan, const int64_t* sizes, int32_t v, int32_t from, std::vector<int64_t>& out) const;

    // Bytes at the peak for one thread, with costs and choices of so many bytes.
    double bytes(int cost, int choice) const {
        return cost * (static_cast<double>(tables) + static_cast<double>(own) + static_cast<double>(rows)) +
               choice * (static_cast<double>(choices) + static_cast<double>(again));
    }
};

// Whether there is anything to cut into slices.
bool has_large_tables(const EliminationPlan& plan, int cost_bytes, double slice_bytes);

// cost_bytes and choice_bytes: of a cell; slice_bytes: tables are cut into slices no larger than this, where they can be.
// Throws std::bad_alloc where cells cannot be counted.
Schedule schedule_elimination(const EliminationPlan& plan, int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes,
                              int cost_bytes, int choice_bytes, double slice_bytes);

}  // namespace dm

// What eliminating along an order does to the graph, before any cost is looked at: which table arises from which, in
// what order they had best arise, and how many cells are alive at a time.
#pragma once

#include <cstdint>
#include <vector>

namespace dm {

// Cells that inner loops may read and write past a table; part of its size.
constexpr int64_t kSlack = 32;

struct EliminationPlan {
    // The same elimination depth first: a variable leaves right after the variables whose tables it takes in, so that
    // tables come and go as on a stack. Among these the one goes first whose own elimination needs most beyond what it
    // leaves behind (Liu 1986, "On the storage requirement in the out-of-core multifrontal method").
    std::vector<int32_t> order;
    std::vector<int32_t> position;  // in the order
    std::vector<int32_t> parent;    // who takes the table in; -1: nobody, it has one cell
    std::vector<int64_t> first;     // scope of v: first[v] .. first[v + 1] of `scope`, by when they leave
    std::vector<int32_t> scope;
    std::vector<double> cells;      // of the table that arises; in doubles, for they may be astronomical
    double work = 0;                // cells looked at: tables times the choices of the variable that leaves
    double kept = 0;                // cells of all tables
    double peak = 0;                // most cells of tables that arose alive at a time, slack included
    double largest = 0;
    double most_rows = 0;           // most cells of originals in one bucket, slack included
    int64_t width = 0;
};

// Edges with an end of one choice count as none.
EliminationPlan plan_elimination(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int32_t* order);

}  // namespace dm

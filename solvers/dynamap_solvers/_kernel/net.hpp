// The network that dual ascent and search work on: unary costs, pair tables and, optionally, triplets, all kept as one
// reparametrisation. Whatever is moved between them, the cost of every assignment stays
//     constant + sum of unary + sum of reduced pair cells + sum of triplet cells  (- multipliers times slack of the rows),
// and because every term is kept >= 0 the constant is a lower bound (Schlesinger 1976; Werner 2007).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common.hpp"

namespace dm::net {

using i64 = std::int64_t;

// Costs at or above BIG forbid. Finite costs add up to at most 2^55, so that three such terms never wrap and what
// forbids cannot be argued down below what is allowed.
constexpr i64 BIG = i64{1} << 58;

// Multipliers are fixed-point numbers with so many binary places; products with them are rounded so that the bound stays one.
constexpr int kPrice = 16;

struct Edge {
    int a, b;        // a < b; rows of the table are choices of a
    std::size_t t;   // table in T
    std::size_t ma;  // moved to end a so far: d_a entries in M
    std::size_t mb;  // moved to end b: d_b entries
    bool chord;      // carries no cost of its own, only what triplets move through it
};

// S(x, y, z) = q0(x, y) + q1(x, z) + q2(y, z) for i < j < k; its edges are ij, ik, jk.
struct Triplet {
    int v[3];
    int e[3];
    std::size_t q[3];
};

// How the choice of a variable that left follows from those of at most two others.
struct Gone {
    int variable;
    int other[2];                   // original indices, -1: none
    std::vector<int> other_values[2];
    std::vector<int> choice;        // original choice for each pair of positions in other_values
    std::shared_ptr<const Gone> next;
};

struct Net {
    int n = 0;
    i64 constant = 0;
    bool infeasible = false;
    std::vector<int> var;            // original variable
    std::vector<int> start;          // n + 1: choices of i are start[i] .. start[i + 1]
    std::vector<int> value;          // original choice
    std::vector<char> dead;          // choices that cannot be in an improving assignment
    std::vector<i64> U;
    std::vector<Edge> E;
    std::vector<i64> T, M;
    std::vector<Triplet> R;
    std::vector<i64> Q;
    // usage: variable i uses usage[choice] in rows row_lo[i] .. row_hi[i]
    std::vector<i64> usage;
    std::vector<int> row_lo, row_hi;
    std::vector<i64> capacity, lambda;  // multipliers in 2**-kPrice work units per unit of usage
    std::shared_ptr<const Gone> gone;
    int depth = 0;
    // adjacency, rebuilt by index()
    std::vector<int> low_start, low, up_start, up;      // edges by end, ascending in the other end
    std::vector<int> tri_start, tri;                    // per edge: 3 * triplet + position

    int size(int i) const { return start[i + 1] - start[i]; }
    bool has_rows() const { return !capacity.empty(); }
    void index();
};

// Sets the multipliers; the constant and the unaries change with them and stay sound.
void set_multipliers(Net& net, const std::vector<i64>& lambda);

// One sweep of sequential reweighted message passing (Kolmogorov 2015) over the network, forward or backward; returns
// the number of choices that died. label, if given, receives a rounding (n entries);
// marginal, if given, what each choice costs at least beyond the bound (as long as U).
int sweep(Net& net, bool forward, i64 cut, int* label, i64* marginal);

// The network without its dead choices, without variables of one choice and, where exact, without variables of
// degree <= 2.
Net compact(const Net& net, i64 cut, bool eliminate);

// Adds triplets along the short cycles where they would raise the bound most; returns how many were added.
int add_triplets(Net& net, int max_length, std::size_t max_cells);

}  // namespace dm::net

// What is eliminated, and how its costs become those of int32 tables where the costs prove that no sum leaves 32 bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "bucket.hpp"
#include "common.hpp"
#include "elimination_plan.hpp"

namespace dm {

template <typename T>
struct Problem {
    int64_t n, m;
    const int32_t* ends;
    const int64_t *sizes, *unary_starts, *pair_starts;
    const T *unary, *pair;
    bool has_forbidden;

    // Costs of the variables, with the tables of those that have one choice.
    std::vector<T> own_costs() const {
        std::vector<T> costs(unary, unary + unary_starts[n]);
        for (int64_t e = 0; e < m; ++e) {
            const int32_t i = ends[2 * e], j = ends[2 * e + 1];
            if (sizes[i] != 1 && sizes[j] != 1) continue;
            T* own = costs.data() + unary_starts[sizes[i] == 1 ? j : i];
            const T* cells = pair + pair_starts[e];
            for (int64_t k = 0; k < sizes[i] * sizes[j]; ++k) own[k] = plus<T, true>(own[k], cells[k]);
        }
        return costs;
    }
};

template <typename T>
struct Range {  // of the finite costs
    T low, spread;
};

template <typename T>
Range<T> range_of(const T* costs, int64_t count) {
    T low = Cost<T>::limit, high = -low;
    for (int64_t k = 0; k < count; ++k) {
        if (!Cost<T>::is_finite(costs[k])) continue;
        low = std::min(low, costs[k]);
        high = std::max(high, costs[k]);
    }
    return low > high ? Range<T>{0, 0} : Range<T>{low, high - low};
}

// How costs become those of int32 tables.
struct Scale {
    int bits = -1;  // room for a choice; -1: int32 does not do
    std::vector<Range<int64_t>> own, between;
    int32_t low_bits() const { return (int32_t{1} << bits) - 1; }
    int32_t of(int64_t cost, int64_t low) const {
        return cost < Cost<int64_t>::limit ? static_cast<int32_t>((cost - low) << bits) : Cost<int32_t>::forbidden;
    }
};

// A table that arises differs from cell to cell by no more than the originals between what is eliminated below it and
// what is not, for the same choices below would do with only these costing otherwise; less its first cell, no cell is
// larger in magnitude. A partial sum in a bucket is at most the sum of all its tables' and what is taken off, which is
// no larger. With forbidden cells the same choices might not do: then nothing is taken off, and everything together
// must fit.
inline Scale scale_of(const Problem<int64_t>& p, const EliminationPlan& plan, const std::vector<int64_t>& own_costs) {
    Scale scale;
    std::vector<double> inner(p.n, 0), outer(p.n, 0);  // spreads of originals to earlier and to later neighbours
    double total = 0, most = 0;
    for (int64_t i = 0; i < p.n; ++i) {
        scale.own.push_back(range_of(own_costs.data() + p.unary_starts[i], p.sizes[i]));
        total += static_cast<double>(scale.own[i].spread);
    }
    for (int64_t e = 0; e < p.m; ++e) {
        int32_t i = p.ends[2 * e], j = p.ends[2 * e + 1];
        scale.between.push_back({0, 0});
        if (p.sizes[i] == 1 || p.sizes[j] == 1) continue;
        if (plan.position[i] > plan.position[j]) std::swap(i, j);
        scale.between[e] = range_of(p.pair + p.pair_starts[e], p.sizes[i] * p.sizes[j]);
        const double spread = static_cast<double>(scale.between[e].spread);
        outer[i] += spread;
        inner[j] += spread;
        total += spread;
    }
    std::vector<double> below(p.n, 0);  // magnitudes of the tables a variable takes in
    for (const int32_t v : plan.order) {
        most = std::max(most, 2 * (static_cast<double>(scale.own[v].spread) + below[v] + outer[v]));
        if (plan.parent[v] >= 0) below[plan.parent[v]] += below[v] + outer[v] - inner[v];
    }
    int bits = 0;
    const int64_t choices = p.n == 0 ? 1 : *std::max_element(p.sizes, p.sizes + p.n);
    while ((int64_t{1} << bits) < choices) ++bits;
    const double room = p.has_forbidden ? Cost<int32_t>::limit : 2.0 * (int32_t{1} << 30) - 1;
    // One more cost than there is, for the choice in the low bits; doubles are off by far less.
    if (bits < 20 && ((p.has_forbidden ? total : most) + 1) * (int64_t{1} << bits) * 1.000001 < room) scale.bits = bits;
    return scale;
}

}  // namespace dm

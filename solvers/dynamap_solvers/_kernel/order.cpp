// Elimination orders of a graph by greedy heuristics, and what eliminating along an order takes.
//
// Greedy by the fewest cells of the table that arises, or by the fewest edges that are filled in (min-fill; Bodlaender &
// Koster, "Treewidth computations I. Upper bounds", Inf. Comput. 208, 2010) and then by cells; ties by a seeded random
// number.
#include <algorithm>
#include <cmath>
#include <new>
#include <queue>

#include "common.hpp"
#include "elimination_plan.hpp"

namespace {

uint64_t mix(uint64_t value) {  // splitmix64
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

struct Score {
    double first, second;
    uint64_t random;
    int32_t vertex;
    bool operator>(const Score& other) const {
        if (first != other.first) return first > other.first;
        if (second != other.second) return second > other.second;
        if (random != other.random) return random > other.random;
        return vertex > other.vertex;
    }
};

struct Orderer {
    std::vector<std::vector<int32_t>> adjacent;  // sorted, without repeats
    std::vector<double> bits;                    // log2 of the domain sizes
    std::vector<uint8_t> gone;
    bool by_fill;
    uint64_t seed;

    double weight(int32_t v) const {
        double sum = bits[v];
        for (const int32_t u : adjacent[v]) sum += bits[u];
        return sum;
    }

    double fill(int32_t v) const {
        int64_t missing = 0;
        const auto& around = adjacent[v];
        if (around.size() > 64) return 1e18;  // never the least, and dear to count
        for (size_t a = 0; a < around.size(); ++a) {
            const auto& other = adjacent[around[a]];
            for (size_t b = a + 1; b < around.size(); ++b) {
                missing += !std::binary_search(other.begin(), other.end(), around[b]);
            }
        }
        return static_cast<double>(missing);
    }

    Score score(int32_t v) const {
        const double cells = weight(v);
        const uint64_t random = mix(seed ^ static_cast<uint64_t>(v));
        if (by_fill) return {adjacent[v].size() < 2 ? 0 : fill(v), cells, random, v};
        return {cells, 0, random, v};
    }

    // Total log2-cells may not exceed `most`; false where they would.
    bool run(double most, int32_t* order) {
        const int32_t n = static_cast<int32_t>(adjacent.size());
        std::vector<Score> current(n);
        std::priority_queue<Score, std::vector<Score>, std::greater<Score>> queue;
        for (int32_t v = 0; v < n; ++v) queue.push(current[v] = score(v));
        double total = 0;
        std::vector<int32_t> joined;
        for (int32_t done = 0; done < n;) {
            const Score top = queue.top();
            queue.pop();
            const int32_t v = top.vertex;
            if (gone[v] || top.first != current[v].first || top.second != current[v].second) continue;
            total += std::exp2(weight(v));
            if (total > most) return false;
            order[done++] = v;
            gone[v] = 1;
            const std::vector<int32_t> around = std::move(adjacent[v]);
            adjacent[v].clear();
            for (const int32_t u : around) {
                auto& list = adjacent[u];
                joined.clear();
                std::set_union(list.begin(), list.end(), around.begin(), around.end(), std::back_inserter(joined));
                joined.erase(std::remove_if(joined.begin(), joined.end(), [&](int32_t w) { return w == u || w == v; }),
                             joined.end());
                list.assign(joined.begin(), joined.end());
            }
            // Fill counts change two steps away as well; those are looked at again only while lists are short.
            for (const int32_t u : around) refresh(u, current, queue);
            if (!by_fill) continue;
            for (const int32_t u : around) {
                if (adjacent[u].size() > 24) continue;
                for (const int32_t w : adjacent[u]) {
                    if (adjacent[w].size() <= 24) refresh(w, current, queue);
                }
            }
        }
        return true;
    }

    template <typename Queue>
    void refresh(int32_t v, std::vector<Score>& current, Queue& queue) {
        const Score now = score(v);
        if (now.first != current[v].first || now.second != current[v].second) queue.push(current[v] = now);
    }
};

}  // namespace

// Finds an order. Returns 0, 1 where its tables would have more than `most_cells` cells altogether, 2 out of memory.
DM_EXPORT int dm_order(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, int by_fill, uint64_t seed, double most_cells,
    int32_t* order) {
    try {
        Orderer orderer;
        orderer.by_fill = by_fill != 0;
        orderer.seed = mix(seed);
        orderer.adjacent.resize(n);
        orderer.gone.assign(n, 0);
        for (int64_t i = 0; i < n; ++i) orderer.bits.push_back(std::log2(static_cast<double>(sizes[i])));
        for (int64_t e = 0; e < m; ++e) {
            if (sizes[ends[2 * e]] == 1 || sizes[ends[2 * e + 1]] == 1) continue;  // such a table is a cost of one end
            orderer.adjacent[ends[2 * e]].push_back(ends[2 * e + 1]);
            orderer.adjacent[ends[2 * e + 1]].push_back(ends[2 * e]);
        }
        for (auto& list : orderer.adjacent) {
            std::sort(list.begin(), list.end());
            list.erase(std::unique(list.begin(), list.end()), list.end());
        }
        return orderer.run(most_cells, order) ? 0 : 1;
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

// Makes an order depth first and says what eliminating along it takes, before anything is allocated: out[0] cells of
// work (the variable's own axis included), out[1] cells of all tables that arise, out[2] most cells of these alive at a
// time, out[3] the width (largest neighbourhood), out[4] cells of the largest table, out[5] most cells of originals in
// one bucket. In doubles: they may be astronomical.
DM_EXPORT int dm_order_cost(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, int32_t* order, double* out) {
    try {
        const dm::EliminationPlan plan = dm::plan_elimination(n, m, ends, sizes, order);
        std::copy(plan.order.begin(), plan.order.end(), order);
        out[0] = plan.work;
        out[1] = plan.kept;
        out[2] = plan.peak;
        out[3] = static_cast<double>(plan.width);
        out[4] = plan.largest;
        out[5] = plan.most_rows;
        return 0;
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

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
        std::vector<std::vector<int32_t>> scopes(n);
        std::vector<double> made(n);  // cells of the table that arises
        for (int32_t done = 0; done < n;) {
            const Score top = queue.top();
            queue.pop();
            const int32_t v = top.vertex;
            if (gone[v] || top.first != current[v].first || top.second != current[v].second) continue;
            total += std::exp2(weight(v));
            if (total > most) return false;
            order[done++] = v;
            gone[v] = 1;
            made[v] = std::exp2(weight(v) - bits[v]);
            scopes[v] = std::move(adjacent[v]);
            adjacent[v].clear();
            const std::vector<int32_t>& around = scopes[v];
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
        post_order(scopes, made, order);
        return true;
    }

    // The same elimination depth first: a variable leaves after those whose tables it takes in, the subtree with the
    // most cells first. Scopes stay what they are; far fewer tables are alive at a time.
    static void post_order(
        const std::vector<std::vector<int32_t>>& scopes, const std::vector<double>& made, int32_t* order) {
        const int32_t n = static_cast<int32_t>(scopes.size());
        std::vector<int32_t> position(n), parent(n, -1);
        for (int32_t k = 0; k < n; ++k) position[order[k]] = k;
        std::vector<std::vector<int32_t>> children(n);
        std::vector<double> below(made);
        std::vector<int32_t> roots;
        for (int32_t k = 0; k < n; ++k) {
            const int32_t v = order[k];
            for (const int32_t u : scopes[v]) {
                if (parent[v] < 0 || position[u] < position[parent[v]]) parent[v] = u;
            }
            if (parent[v] < 0) {
                roots.push_back(v);
            } else {
                children[parent[v]].push_back(v);
                below[parent[v]] += below[v];
            }
        }
        std::vector<int32_t> stack(roots.rbegin(), roots.rend()), reversed;
        while (!stack.empty()) {
            const int32_t v = stack.back();
            stack.pop_back();
            reversed.push_back(v);
            std::stable_sort(children[v].begin(), children[v].end(), [&](int32_t a, int32_t b) { return below[a] > below[b]; });
            stack.insert(stack.end(), children[v].begin(), children[v].end());
        }
        std::reverse_copy(reversed.begin(), reversed.end(), order);
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

// What eliminating along an order takes, before anything is allocated: out[0] cells of work (the variable's own axis
// included), out[1] cells of all tables that arise, out[2] most cells of tables alive at a time (originals included),
// out[3] the width (largest neighbourhood), out[4] cells of the largest table. In doubles: they may be astronomical.
DM_EXPORT int dm_order_cost(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int32_t* order, double* out) {
    try {
        std::vector<int32_t> position(n);
        for (int64_t k = 0; k < n; ++k) position[order[k]] = static_cast<int32_t>(k);
        std::vector<std::vector<int32_t>> scope(n);      // neighbours that leave later, from all tables so far
        std::vector<double> held(n, 0);                  // cells of the tables in each bucket
        double alive = 0;
        for (int64_t e = 0; e < m; ++e) {
            int32_t i = ends[2 * e], j = ends[2 * e + 1];
            if (sizes[i] == 1 || sizes[j] == 1) continue;
            if (position[i] > position[j]) std::swap(i, j);
            scope[i].push_back(j);
            const double cells = static_cast<double>(sizes[i]) * static_cast<double>(sizes[j]);
            held[i] += cells;
            alive += cells;
        }
        std::fill(out, out + 5, 0.0);
        out[2] = alive;
        for (int64_t k = 0; k < n; ++k) {
            const int32_t v = order[k];
            auto& around = scope[v];
            std::sort(around.begin(), around.end(), [&](int32_t a, int32_t b) { return position[a] < position[b]; });
            around.erase(std::unique(around.begin(), around.end()), around.end());
            double cells = 1;
            for (const int32_t u : around) cells *= static_cast<double>(sizes[u]);
            out[0] += cells * static_cast<double>(sizes[v]);
            out[1] += cells;
            alive += cells;
            out[2] = std::max(out[2], alive);
            out[3] = std::max(out[3], static_cast<double>(around.size()));
            out[4] = std::max(out[4], cells);
            alive -= held[v];
            if (!around.empty()) {
                const int32_t u = around[0];
                held[u] += cells;
                scope[u].insert(scope[u].end(), around.begin() + 1, around.end());
            } else {
                alive -= cells;
            }
            std::vector<int32_t>().swap(around);
        }
        return 0;
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

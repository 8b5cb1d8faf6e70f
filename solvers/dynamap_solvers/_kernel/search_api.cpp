// The search at the boundary: plain pointers, a handle per solve, nothing thrown.

#include <algorithm>
#include <new>

#include "search.hpp"

using dm::net::BIG;
using dm::net::i64;
using dm::net::Posed;
using dm::net::Search;
using dm::net::Settings;

namespace {

constexpr int kFailed = -1;

Posed pose(int64_t n, const int64_t* starts, const int64_t* unary, int64_t m, const int32_t* ends,
           const int64_t* pair_starts, const int64_t* pair, int64_t rows, const int64_t* capacity, const int32_t* row_lo,
           const int32_t* row_hi, const int64_t* usage) {
    Posed posed;
    posed.n = static_cast<int>(n);
    posed.start.assign(starts, starts + n + 1);
    posed.unary.resize(static_cast<std::size_t>(starts[n]));
    for (int64_t c = 0; c < starts[n]; ++c) posed.unary[c] = std::min(unary[c], BIG);
    std::vector<int> order(static_cast<std::size_t>(m));
    for (int64_t e = 0; e < m; ++e) order[e] = static_cast<int>(e);
    const auto low = [ends](int e) { return std::min(ends[2 * e], ends[2 * e + 1]); };
    const auto high = [ends](int e) { return std::max(ends[2 * e], ends[2 * e + 1]); };
    std::stable_sort(order.begin(), order.end(), [&](int p, int q) {
        return low(p) != low(q) ? low(p) < low(q) : high(p) < high(q);
    });
    for (std::size_t at = 0; at < order.size(); ++at) {
        const int e = order[at], a = low(e), b = high(e), da = posed.size(a), db = posed.size(b);
        const bool more = at > 0 && low(order[at - 1]) == a && high(order[at - 1]) == b;
        if (!more) {
            posed.links.push_back({a, b, posed.tables.size()});
            posed.tables.resize(posed.tables.size() + static_cast<std::size_t>(da) * db, 0);
        }
        i64* table = posed.tables.data() + posed.links.back().t;
        const int64_t* given = pair + pair_starts[e];
        const bool turned = ends[2 * e] != a;
        for (int x = 0; x < da; ++x)
            for (int y = 0; y < db; ++y) {
                const i64 cost = turned ? given[static_cast<std::size_t>(y) * da + x] : given[static_cast<std::size_t>(x) * db + y];
                i64& cell = table[static_cast<std::size_t>(x) * db + y];
                cell = cost >= BIG || cell >= BIG ? BIG : cell + cost;
            }
    }
    posed.side_start.assign(n + 1, 0);
    for (const Posed::Link& link : posed.links) ++posed.side_start[link.a + 1], ++posed.side_start[link.b + 1];
    for (int64_t i = 0; i < n; ++i) posed.side_start[i + 1] += posed.side_start[i];
    posed.side.resize(2 * posed.links.size());
    std::vector<int> at(posed.side_start.begin(), posed.side_start.end() - 1);
    for (std::size_t l = 0; l < posed.links.size(); ++l) {
        posed.side[at[posed.links[l].a]++] = static_cast<int>(2 * l);
        posed.side[at[posed.links[l].b]++] = static_cast<int>(2 * l + 1);
    }
    if (rows > 0) {
        posed.capacity.assign(capacity, capacity + rows);
        posed.row_lo.assign(row_lo, row_lo + n);
        posed.row_hi.assign(row_hi, row_hi + n);
        posed.usage.assign(usage, usage + starts[n]);
    }
    return posed;
}

}  // namespace

// Costs in work units, forbidden at 2**58 or more; nullptr where memory does not suffice.
DM_EXPORT void* dm_search_new(int64_t n, const int64_t* starts, const int64_t* unary, int64_t m, const int32_t* ends,
                              const int64_t* pair_starts, const int64_t* pair, int64_t rows, const int64_t* capacity,
                              const int32_t* row_lo, const int32_t* row_hi, const int64_t* usage, int64_t quantum,
                              int64_t seed, int64_t max_cycle, int64_t max_triplet_cells, int64_t sweeps_at_node,
                              double stall, int64_t only_root) {
    try {
        Settings settings;
        settings.quantum = quantum;
        settings.seed = static_cast<std::uint64_t>(seed);
        settings.max_cycle = static_cast<int>(max_cycle);
        settings.max_triplet_cells = static_cast<std::size_t>(max_triplet_cells);
        settings.sweeps_at_node = static_cast<int>(sweeps_at_node);
        settings.stall = stall;
        auto* search = new Search(
            pose(n, starts, unary, m, ends, pair_starts, pair, rows, capacity, row_lo, row_hi, usage), settings);
        search->stop_at_root(only_root != 0);
        return search;
    } catch (...) {
        return nullptr;
    }
}

DM_EXPORT void dm_search_free(void* handle) { delete static_cast<Search*>(handle); }

// 0: finished, 1: time is up, 2: the work is done, -1: out of memory (what was found and bounded so far holds).
DM_EXPORT int32_t dm_search_run(void* handle, double seconds, double remaining, double most_work) {
    try {
        return static_cast<int32_t>(static_cast<Search*>(handle)->run(seconds, remaining, most_work));
    } catch (...) {
        return kFailed;
    }
}

// 1: the assignment is allowed and the best so far.
DM_EXPORT int32_t dm_search_offer(void* handle, const int32_t* x) {
    try {
        auto* search = static_cast<Search*>(handle);
        return search->offer(std::vector<int>(x, x + search->posed().n)) ? 1 : 0;
    } catch (...) {
        return kFailed;
    }
}

// found, objective, bound, nodes, phase, open nodes, variables left, cells left, triplets, root bound, bound
// that the messages below prove; work units.
DM_EXPORT void dm_search_state(const void* handle, int64_t* out) {
    const auto* search = static_cast<const Search*>(handle);
    out[0] = search->found();
    out[1] = search->best_value();
    out[2] = search->bound();
    out[3] = search->nodes();
    out[4] = search->phase();
    out[5] = static_cast<int64_t>(search->open());
    out[6] = search->root().n;
    out[7] = static_cast<int64_t>(search->root().T.size());
    out[8] = static_cast<int64_t>(search->root().R.size());
    out[9] = search->root_bound();
    out[10] = search->certified();
}

DM_EXPORT void dm_search_best(const void* handle, int32_t* x) {
    const auto* search = static_cast<const Search*>(handle);
    std::copy(search->best().begin(), search->best().end(), x);
}

// Per choice whether it may still be in an assignment better than the best.
DM_EXPORT void dm_search_alive(const void* handle, int8_t* alive) {
    const auto* search = static_cast<const Search*>(handle);
    std::copy(search->alive().begin(), search->alive().end(), alive);
}

// What moved out of each merged edge (in ascending order of its ends) to its lower and upper end, and the multipliers
// of the rows, at the end of the root ascent; the number of messages, or 0 where the ascent has not ended.
DM_EXPORT int64_t dm_search_messages(const void* handle, int64_t* messages, int64_t* multipliers) {
    const auto* search = static_cast<const Search*>(handle);
    if (messages) std::copy(search->certificate().begin(), search->certificate().end(), messages);
    if (multipliers) std::copy(search->multipliers().begin(), search->multipliers().end(), multipliers);
    return static_cast<int64_t>(search->certificate().size());
}

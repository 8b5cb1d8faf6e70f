// Reduction of a graph by R0, RI and RII (Scholz & Eckstein 2002) with parallel edges merged: the plan, from the graph
// alone, and its pricing for any number of cost sets.
//
// The plan is linear in variables and edges by the argument of Valdes, Tarjan & Lawler (1982): a vertex is looked at
// again only after a table at it came or went, and a look merges parallel tables or stops at the third neighbour.
#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "common.hpp"

namespace {

enum Rule : int8_t { kR0 = 0, kRI = 1, kRII = 2, kParallel = 3, kFixed = 4 };

// Half-edges 2t and 2t+1 are the two ends of table t, in a doubly linked list per vertex.
struct Planner {
    Planner(int64_t variables, int64_t edges) : n(variables), m(edges) {}

    int64_t n, m;
    std::vector<int32_t> head, next, previous, end;  // end[h]: the vertex of half-edge h
    std::vector<int64_t> degree;                     // half-edges, parallel ones counted each
    std::vector<uint8_t> gone, queued;
    std::vector<uint8_t> bits;
    std::vector<std::vector<int32_t>> buckets;
    size_t lowest = 0;
    int64_t tables = 0;

    std::vector<int8_t> rule;
    std::vector<int32_t> vertex, produced, neighbours, own;
    std::vector<int64_t> first;

    void link(int32_t half, int32_t at) {
        end[half] = at;
        next[half] = head[at];
        previous[half] = -1;
        if (head[at] >= 0) previous[head[at]] = half;
        head[at] = half;
        ++degree[at];
    }

    void unlink(int32_t half) {
        const int32_t at = end[half];
        if (previous[half] >= 0) {
            next[previous[half]] = next[half];
        } else {
            head[at] = next[half];
        }
        if (next[half] >= 0) previous[next[half]] = previous[half];
        --degree[at];
    }

    int32_t add_table(int32_t i, int32_t j) {
        const int32_t table = static_cast<int32_t>(tables++);
        end.resize(2 * tables);
        next.resize(2 * tables);
        previous.resize(2 * tables);
        link(2 * table, i);
        link(2 * table + 1, j);
        return table;
    }

    void step(Rule what, int32_t who, int32_t makes) {
        rule.push_back(what);
        vertex.push_back(who);
        produced.push_back(makes);
        first.push_back(static_cast<int64_t>(own.size()));
    }

    void touch(int32_t who, int32_t table) {
        neighbours.push_back(who);
        own.push_back(table);
    }

    // Merge table `later` into `present`, both between i and j; the sum is a new table.
    int32_t merge(int32_t present, int32_t later, int32_t i, int32_t j) {
        for (int32_t table : {present, later}) {
            unlink(2 * table);
            unlink(2 * table + 1);
        }
        const int32_t sum = add_table(i, j);
        step(kParallel, -1, sum);
        touch(i, present);
        touch(j, later);
        return sum;
    }

    // Up to three different neighbours of a vertex, merging parallel tables on the way. Returns how many.
    int look(int32_t i, int32_t* other, int32_t* table) {
        int found = 0;
        for (int32_t half = head[i]; half >= 0;) {
            const int32_t following = next[half];
            const int32_t j = end[half ^ 1];
            int same = 0;
            while (same < found && other[same] != j) ++same;
            if (same < found) {
                table[same] = merge(table[same], half / 2, i, j);
                offer(j);
            } else {
                if (found == 2) return 3;
                other[found] = j;
                table[found] = half / 2;
                ++found;
            }
            half = following;
        }
        return found;
    }

    void offer(int32_t i) {
        if (gone[i] || queued[i]) return;
        // The cells that eliminating i at degree 2 would touch, to a power of two, as far as its list shows now.
        size_t bucket = 0;
        if (degree[i] > 1) {
            bucket = bits[i];
            int seen = 0;
            for (int32_t half = head[i]; half >= 0 && seen < 2; half = next[half], ++seen) bucket += bits[end[half ^ 1]];
        }
        queued[i] = 1;
        buckets[bucket].push_back(i);
        lowest = std::min(lowest, bucket);
    }

    void cut(int32_t i) {
        step(kFixed, i, -1);
        while (head[i] >= 0) {
            const int32_t half = head[i];
            touch(end[half ^ 1], half / 2);
            unlink(half);
            unlink(half ^ 1);
        }
        gone[i] = 1;
    }

    void examine(int32_t i) {
        int32_t other[3], table[3];
        const int found = look(i, other, table);
        if (found > 2) return;
        if (found == 2) {
            // The second table is the one whose rows get added: let it be the one that has the vertex first.
            if (end[2 * table[1]] != i && end[2 * table[0]] == i) {
                std::swap(other[0], other[1]);
                std::swap(table[0], table[1]);
            }
        }
        for (int k = 0; k < found; ++k) {
            unlink(2 * table[k]);
            unlink(2 * table[k] + 1);
        }
        gone[i] = 1;
        const int32_t makes = found == 2 ? add_table(other[0], other[1]) : -1;
        step(static_cast<Rule>(found), i, makes);
        for (int k = 0; k < found; ++k) touch(other[k], table[k]);
        for (int k = 0; k < found; ++k) offer(other[k]);
    }

    void run(const int32_t* ends, const int64_t* sizes, const int32_t* fixed, int64_t fixed_count) {
        head.assign(n, -1);
        degree.assign(n, 0);
        gone.assign(n, 0);
        queued.assign(n, 0);
        bits.resize(n);
        size_t widest = 0;
        for (int64_t i = 0; i < n; ++i) {
            int64_t size = sizes[i];
            uint8_t bit = 0;
            for (; size > 0; size >>= 1) ++bit;
            bits[i] = bit;
            widest = std::max<size_t>(widest, bit);
        }
        buckets.resize(3 * widest + 1);
        end.resize(2 * m);
        next.resize(2 * m);
        previous.resize(2 * m);
        end.reserve(4 * m + 2 * n);
        next.reserve(4 * m + 2 * n);
        previous.reserve(4 * m + 2 * n);
        tables = m;
        for (int64_t t = m - 1; t >= 0; --t) {  // backwards: the lists then run in order of tables
            link(static_cast<int32_t>(2 * t + 1), ends[2 * t + 1]);
            link(static_cast<int32_t>(2 * t), ends[2 * t]);
        }
        for (int64_t k = 0; k < fixed_count; ++k) {
            if (!gone[fixed[k]]) cut(fixed[k]);
        }
        for (int64_t i = n - 1; i >= 0; --i) {  // backwards: the buckets are stacks, so that 0 comes out first
            if (!gone[i] && degree[i] <= 2) offer(static_cast<int32_t>(i));
        }
        drain();
        // What is left has three neighbours everywhere or parallel tables that hide fewer.
        for (int64_t i = n - 1; i >= 0; --i) {
            if (!gone[i]) offer(static_cast<int32_t>(i));
        }
        drain();
        first.push_back(static_cast<int64_t>(own.size()));
        schedule();
    }

    // Puts the steps in depth-first order of who uses what they make, the larger subtree first: what is made is used
    // while it is still in cache, and few tables are alive at a time. Legal again, because every table that ever was at
    // a vertex has been turned into those it leaves with, which makes those steps its descendants.
    void schedule() {
        const int64_t steps = static_cast<int64_t>(rule.size());
        std::vector<int32_t> user(steps, -1), leaves(n, -1), maker(tables - m, -1), child(steps, -1), sibling(steps, -1);
        std::vector<int32_t> weight(steps, 1), order;
        for (int64_t s = 0; s < steps; ++s) {
            if (vertex[s] >= 0) leaves[vertex[s]] = static_cast<int32_t>(s);
            if (produced[s] >= 0) maker[produced[s] - m] = static_cast<int32_t>(s);
            for (int64_t k = first[s]; k < first[s + 1]; ++k) {
                if (own[k] >= m) user[maker[own[k] - m]] = static_cast<int32_t>(s);
            }
        }
        for (int64_t s = 0; s < steps; ++s) {
            if (rule[s] == kRI) user[s] = leaves[neighbours[first[s]]];
        }
        for (int64_t s = 0; s < steps; ++s) {
            const int32_t u = user[s];
            if (u < 0) continue;
            weight[u] += weight[s];
            int32_t& front = child[u];
            if (front >= 0 && weight[front] >= weight[s]) {
                sibling[s] = sibling[front];
                sibling[front] = static_cast<int32_t>(s);
            } else {
                sibling[s] = front;
                front = static_cast<int32_t>(s);
            }
        }
        order.reserve(steps);
        std::vector<int32_t> stack;
        for (int64_t s = steps - 1; s >= 0; --s) {  // backwards, as the whole is turned round at the end
            if (user[s] >= 0 || rule[s] == kFixed) continue;
            stack.push_back(static_cast<int32_t>(s));
            while (!stack.empty()) {
                const int32_t at = stack.back();
                stack.pop_back();
                order.push_back(at);
                for (int32_t c = child[at]; c >= 0; c = sibling[c]) stack.push_back(c);
            }
        }
        for (int64_t s = steps - 1; s >= 0; --s) {
            if (rule[s] == kFixed) order.push_back(static_cast<int32_t>(s));  // these come first
        }
        std::reverse(order.begin(), order.end());
        std::vector<int32_t> renumbered(tables - m, -1);
        Planner sorted(0, 0);
        sorted.rule.reserve(steps);
        sorted.vertex.reserve(steps);
        sorted.produced.reserve(steps);
        sorted.first.reserve(steps + 1);
        sorted.neighbours.reserve(own.size());
        sorted.own.reserve(own.size());
        int32_t made = static_cast<int32_t>(m);
        for (const int32_t s : order) {
            sorted.step(static_cast<Rule>(rule[s]), vertex[s], produced[s] < 0 ? -1 : made);
            if (produced[s] >= 0) renumbered[produced[s] - m] = made++;
            for (int64_t k = first[s]; k < first[s + 1]; ++k) {
                sorted.touch(neighbours[k], own[k] < m ? own[k] : renumbered[own[k] - m]);
            }
        }
        sorted.first.push_back(static_cast<int64_t>(sorted.own.size()));
        rule.swap(sorted.rule);
        vertex.swap(sorted.vertex);
        produced.swap(sorted.produced);
        first.swap(sorted.first);
        neighbours.swap(sorted.neighbours);
        own.swap(sorted.own);
    }

    void drain() {
        lowest = 0;
        while (lowest < buckets.size()) {
            if (buckets[lowest].empty()) {
                ++lowest;
                continue;
            }
            const int32_t i = buckets[lowest].back();
            buckets[lowest].pop_back();
            queued[i] = 0;
            if (!gone[i]) examine(i);
        }
    }
};

template <typename T>
struct View {  // a table with the strides of its two axes
    const T* cells;
    int64_t row, column;
};

using dm::Index4;
using dm::kLanes;
using dm::Lanes;

DM_INLINE int64_t padded(int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

// out[y, z] = min_x (left[y, x] + right[x, z]) for V * 4 columns z, and arg the first x that attains it. Rows of right,
// out and arg are `width` long, a multiple of 4; left has any strides.
template <typename T, int V, typename Index, bool WithArg>
DM_INLINE void min_plus(
    const View<T>& left, const T* right, int64_t dx, int64_t dy, int64_t width, T* out, Index* arg) {
    using Vec = Lanes<T>;
    const Vec forbidden = Vec{} + dm::Cost<T>::forbidden;
    for (int64_t y = 0; y < dy; ++y) {
        const T* a = left.cells + y * left.column;
        Vec best[V];
        Index4 index[V];
        for (int v = 0; v < V; ++v) {
            best[v] = *reinterpret_cast<const Vec*>(right + v * kLanes) + a[0];
            index[v] = Index4{};
        }
        for (int64_t x = 1; x < dx; ++x) {
            const T cell = a[x * left.row];
            const T* row = right + x * width;
            for (int v = 0; v < V; ++v) {
                const Vec candidate = *reinterpret_cast<const Vec*>(row + v * kLanes) + cell;
                if constexpr (WithArg) index[v] = candidate < best[v] ? Index4{} + x : index[v];
                best[v] = candidate < best[v] ? candidate : best[v];
            }
        }
        for (int v = 0; v < V; ++v) {
            *reinterpret_cast<Vec*>(out + y * width + v * kLanes) = best[v] < forbidden ? best[v] : forbidden;
            if constexpr (WithArg) {
                dm::store_narrow(arg + y * width + v * kLanes, index[v]);
            }
        }
    }
}

template <typename T, typename Index, bool WithArg>
DM_INLINE void series(
    const View<T>& left, const T* right, int64_t dx, int64_t dy, int64_t width, T* out, Index* arg) {
    // Up to 16 columns at a time stay in registers.
    for (int64_t z = 0; z < width; z += 4 * kLanes) {
        Index* at = WithArg ? arg + z : nullptr;
        switch ((width - z) / kLanes) {
            case 1:
                min_plus<T, 1, Index, WithArg>(left, right + z, dx, dy, width, out + z, at);
                break;
            case 2:
                min_plus<T, 2, Index, WithArg>(left, right + z, dx, dy, width, out + z, at);
                break;
            case 3:
                min_plus<T, 3, Index, WithArg>(left, right + z, dx, dy, width, out + z, at);
                break;
            default:
                min_plus<T, 4, Index, WithArg>(left, right + z, dx, dy, width, out + z, at);
        }
    }
}

struct Plan {
    int64_t n, m, steps;
    const int32_t* ends;
    const int64_t *sizes, *unary_starts, *pair_starts;
    const int8_t* rule;
    const int32_t *vertex, *produced;
    const int64_t* first;
    const int32_t *neighbours, *own;
};

// Prices one plan; the memory is kept from one cost set to the next.
template <typename T, typename Index, bool WithArg>
struct Pricer {
    Plan plan;
    int64_t widest = 1;
    std::vector<T> unary, right;
    std::vector<T*> made;             // table m + k
    std::vector<int32_t> made_first;  // the vertex of its rows
    std::vector<int64_t> made_width, made_cells;
    std::vector<Index> args;
    std::vector<int64_t> arg_starts;
    dm::Pool<T> pool;

    explicit Pricer(const Plan& given) : plan(given) {
        for (int64_t i = 0; i < plan.n; ++i) widest = std::max(widest, plan.sizes[i]);
        unary.resize(plan.unary_starts[plan.n]);
        right.resize(widest * padded(widest));
        int64_t count = 0;
        for (int64_t s = 0; s < plan.steps; ++s) count += plan.produced[s] >= 0;
        made.resize(count);
        made_first.resize(count);
        made_width.resize(count);
        made_cells.resize(count);
        if constexpr (WithArg) {
            arg_starts.resize(plan.steps + 1);
            int64_t at = 0;
            for (int64_t s = 0; s < plan.steps; ++s) {
                arg_starts[s] = at;
                if (plan.rule[s] > kRII) continue;
                int64_t cells = 1;
                for (int64_t k = plan.first[s]; k < plan.first[s + 1]; ++k) {
                    const int64_t size = plan.sizes[plan.neighbours[k]];
                    cells *= k + 1 < plan.first[s + 1] ? size : padded(size);
                }
                at += cells;
            }
            arg_starts[plan.steps] = at;
            args.resize(at);
        }
    }

    inline __attribute__((always_inline)) View<T> view(const T* pair, int32_t table, int32_t first_axis) const {
        const Plan& p = plan;
        if (table < p.m) {
            const T* cells = pair + p.pair_starts[table];
            const int64_t width = p.sizes[p.ends[2 * table + 1]];
            if (p.ends[2 * table] == first_axis) return {cells, width, 1};
            return {cells, 1, width};
        }
        const int64_t k = table - p.m;
        if (made_first[k] == first_axis) return {made[k], made_width[k], 1};
        return {made[k], 1, made_width[k]};
    }

    void release(int32_t table) {
        if (table >= plan.m) pool.give(made[table - plan.m], made_cells[table - plan.m]);
    }

    T* make(int64_t step, int32_t rows, int32_t columns) {
        const int64_t k = plan.produced[step] - plan.m;
        made_width[k] = padded(plan.sizes[columns]);
        made_cells[k] = plan.sizes[rows] * made_width[k];
        made_first[k] = rows;
        made[k] = pool.take(made_cells[k]);
        return made[k];
    }
};

template <typename T>
DM_INLINE void saturate_add(T& into, T value) {
    const T sum = into + value;
    into = sum < dm::Cost<T>::forbidden ? sum : dm::Cost<T>::forbidden;
}

template <typename T, typename Index, bool WithArg>
DM_INLINE T price(Pricer<T, Index, WithArg>& p, const T* unary_costs, const T* pair, int32_t* choices) {
    const Plan& plan = p.plan;
    std::memcpy(p.unary.data(), unary_costs, sizeof(T) * p.unary.size());
    T total = 0;
    T* right = p.right.data();
    for (int64_t s = 0; s < plan.steps; ++s) {
        // Originals lie anywhere in memory: ask for those of a later step while this one is worked on.
        if (s + 8 < plan.steps) {
            for (int64_t k = plan.first[s + 8]; k < plan.first[s + 9] && k < plan.first[s + 8] + 2; ++k) {
                const int32_t table = plan.own[k];
                if (table < plan.m) {
                    const char* from = reinterpret_cast<const char*>(pair + plan.pair_starts[table]);
                    const int64_t bytes = (plan.pair_starts[table + 1] - plan.pair_starts[table]) * sizeof(T);
                    for (int64_t b = 0; b < bytes && b < 4096; b += 64) __builtin_prefetch(from + b);
                }
            }
        }
        const int32_t* neighbours = plan.neighbours + plan.first[s];
        const int32_t* own = plan.own + plan.first[s];
        const int32_t i = plan.vertex[s];
        if (plan.rule[s] == kRII) {
            const int64_t dx = plan.sizes[i], dy = plan.sizes[neighbours[0]], dz = plan.sizes[neighbours[1]];
            const T* costs = p.unary.data() + plan.unary_starts[i];
            const View<T> first = p.view(pair, own[0], i), second = p.view(pair, own[1], i);
            const int64_t width = padded(dz);
            // The vertex's own costs go into the rows that are added up.
            for (int64_t x = 0; x < dx; ++x) {
                const T* from = second.cells + x * second.row;
                T* row = right + x * width;
                if (second.column == 1) {
                    for (int64_t z = 0; z < dz; ++z) row[z] = costs[x] + from[z];
                } else {
                    for (int64_t z = 0; z < dz; ++z) row[z] = costs[x] + from[z * second.column];
                }
                for (int64_t z = dz; z < width; ++z) row[z] = 0;
            }
            T* out = p.make(s, neighbours[0], neighbours[1]);
            series<T, Index, WithArg>(first, right, dx, dy, width, out, WithArg ? p.args.data() + p.arg_starts[s] : nullptr);
            p.release(own[0]);
            p.release(own[1]);
        } else if (plan.rule[s] == kParallel) {
            const int64_t dy = plan.sizes[neighbours[0]], dz = plan.sizes[neighbours[1]];
            const View<T> first = p.view(pair, own[0], neighbours[0]), second = p.view(pair, own[1], neighbours[0]);
            T* out = p.make(s, neighbours[0], neighbours[1]);
            for (int64_t y = 0; y < dy; ++y) {
                for (int64_t z = 0; z < dz; ++z) {
                    const T sum = first.cells[y * first.row + z * first.column] +
                                  second.cells[y * second.row + z * second.column];
                    out[y * padded(dz) + z] = sum < dm::Cost<T>::forbidden ? sum : dm::Cost<T>::forbidden;
                }
            }
            p.release(own[0]);
            p.release(own[1]);
        } else if (plan.rule[s] == kRI) {
            const int64_t dx = plan.sizes[i], dy = plan.sizes[neighbours[0]];
            const T* costs = p.unary.data() + plan.unary_starts[i];
            T* target = p.unary.data() + plan.unary_starts[neighbours[0]];
            const View<T> only = p.view(pair, own[0], i);
            for (int64_t y = 0; y < dy; ++y) {
                T best = costs[0] + only.cells[y * only.column];
                int64_t arg = 0;
                for (int64_t x = 1; x < dx; ++x) {
                    const T candidate = costs[x] + only.cells[x * only.row + y * only.column];
                    if (candidate < best) {
                        best = candidate;
                        arg = x;
                    }
                }
                saturate_add(target[y], best);
                if constexpr (WithArg) p.args[p.arg_starts[s] + y] = static_cast<Index>(arg);
            }
            p.release(own[0]);
        } else if (plan.rule[s] == kR0) {
            const T* costs = p.unary.data() + plan.unary_starts[i];
            const T* best = std::min_element(costs, costs + plan.sizes[i]);
            saturate_add(total, *best);
            if constexpr (WithArg) p.args[p.arg_starts[s]] = static_cast<Index>(best - costs);
        } else {
            saturate_add(total, p.unary[plan.unary_starts[i]]);
            for (int64_t k = 0; k < plan.first[s + 1] - plan.first[s]; ++k) {
                const View<T> table = p.view(pair, own[k], i);
                T* target = p.unary.data() + plan.unary_starts[neighbours[k]];
                for (int64_t y = 0; y < plan.sizes[neighbours[k]]; ++y) saturate_add(target[y], table.cells[y * table.column]);
                p.release(own[k]);
            }
        }
    }
    if constexpr (WithArg) {
        std::fill(choices, choices + plan.n, 0);
        for (int64_t s = plan.steps - 1; s >= 0; --s) {
            if (plan.rule[s] > kRII) continue;
            int64_t at = 0;
            for (int64_t k = plan.first[s]; k < plan.first[s + 1]; ++k) {
                const int64_t size = plan.sizes[plan.neighbours[k]];
                at = at * (k + 1 < plan.first[s + 1] ? size : padded(size)) + choices[plan.neighbours[k]];
            }
            choices[plan.vertex[s]] = static_cast<int32_t>(p.args[p.arg_starts[s] + at]);
        }
    }
    return total < dm::Cost<T>::limit ? total : dm::Cost<T>::forbidden;
}

// Costs of `batch` sets, `unary_stride` and `pair_stride` cells apart (0 where all share them).
template <typename T, typename Index, bool WithArg>
DM_INLINE void price_all(
    const Plan& plan, const T* unary, int64_t unary_stride, const T* pair, int64_t pair_stride, int64_t batch,
    T* objectives, int32_t* choices) {
    Pricer<T, Index, WithArg> pricer(plan);
    for (int64_t b = 0; b < batch; ++b) {
        objectives[b] = price<T, Index, WithArg>(
            pricer, unary + b * unary_stride, pair + b * pair_stride, WithArg ? choices + b * plan.n : nullptr);
    }
}

DM_CLONES void price_i64(const Plan& plan, const int64_t* unary, int64_t us, const int64_t* pair, int64_t ps,
                         int64_t batch, int64_t* objectives) {
    price_all<int64_t, uint8_t, false>(plan, unary, us, pair, ps, batch, objectives, nullptr);
}
DM_CLONES void assign_i64(const Plan& plan, const int64_t* unary, int64_t us, const int64_t* pair, int64_t ps,
                          int64_t batch, int64_t* objectives, int32_t* choices) {
    price_all<int64_t, uint8_t, true>(plan, unary, us, pair, ps, batch, objectives, choices);
}
DM_CLONES void assign_wide_i64(const Plan& plan, const int64_t* unary, int64_t us, const int64_t* pair, int64_t ps,
                               int64_t batch, int64_t* objectives, int32_t* choices) {
    price_all<int64_t, int32_t, true>(plan, unary, us, pair, ps, batch, objectives, choices);
}
DM_CLONES void price_f64(const Plan& plan, const double* unary, int64_t us, const double* pair, int64_t ps,
                         int64_t batch, double* objectives) {
    price_all<double, uint8_t, false>(plan, unary, us, pair, ps, batch, objectives, nullptr);
}
DM_CLONES void assign_f64(const Plan& plan, const double* unary, int64_t us, const double* pair, int64_t ps,
                          int64_t batch, double* objectives, int32_t* choices) {
    price_all<double, uint8_t, true>(plan, unary, us, pair, ps, batch, objectives, choices);
}
DM_CLONES void assign_wide_f64(const Plan& plan, const double* unary, int64_t us, const double* pair, int64_t ps,
                               int64_t batch, double* objectives, int32_t* choices) {
    price_all<double, int32_t, true>(plan, unary, us, pair, ps, batch, objectives, choices);
}

bool narrow(const Plan& plan) {
    for (int64_t i = 0; i < plan.n; ++i) {
        if (plan.sizes[i] > 256) return false;
    }
    return true;
}

}  // namespace

// Finds the plan. Returns a handle for dm_plan_copy and dm_plan_free, or null when out of memory.
// counts[0..3]: steps, touched tables, variables left in the core, tables left in it.
DM_EXPORT void* dm_plan(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int32_t* fixed, int64_t fixed_count,
    int64_t* counts) {
    try {
        auto planner = std::make_unique<Planner>(n, m);
        planner->run(ends, sizes, fixed, fixed_count);
        counts[0] = static_cast<int64_t>(planner->rule.size());
        counts[1] = static_cast<int64_t>(planner->own.size());
        counts[2] = std::count(planner->gone.begin(), planner->gone.end(), 0);
        counts[3] = 0;
        for (int64_t i = 0; i < n; ++i) {
            if (!planner->gone[i]) counts[3] += planner->degree[i];
        }
        counts[3] /= 2;
        return planner.release();
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

// Copies a plan out: steps long are rule, vertex, produced (first one longer), touched long are neighbours and own;
// core gets the variables that are left, ascending, core_ends their tables' ends, two each.
DM_EXPORT void dm_plan_copy(
    const void* handle, int8_t* rule, int32_t* vertex, int32_t* produced, int64_t* first, int32_t* neighbours,
    int32_t* own, int32_t* core, int32_t* core_ends) {
    const auto& p = *static_cast<const Planner*>(handle);
    std::copy(p.rule.begin(), p.rule.end(), rule);
    std::copy(p.vertex.begin(), p.vertex.end(), vertex);
    std::copy(p.produced.begin(), p.produced.end(), produced);
    std::copy(p.first.begin(), p.first.end(), first);
    std::copy(p.neighbours.begin(), p.neighbours.end(), neighbours);
    std::copy(p.own.begin(), p.own.end(), own);
    for (int64_t i = 0; i < p.n; ++i) {
        if (p.gone[i]) continue;
        *core++ = static_cast<int32_t>(i);
        for (int32_t half = p.head[i]; half >= 0; half = p.next[half]) {
            if (half % 2) continue;  // each table once, at its first end
            *core_ends++ = p.end[half];
            *core_ends++ = p.end[half + 1];
        }
    }
}

DM_EXPORT void dm_plan_free(void* handle) { delete static_cast<Planner*>(handle); }

// Prices a plan for `batch` cost sets: objectives (batch,), and choices (batch, n) unless that is null. Strides are in
// cells, 0 where all cost sets share the costs. Returns 0, or 1 when out of memory.
#define DM_PRICE(SUFFIX, T) \
    DM_EXPORT int dm_price_##SUFFIX( \
        int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int64_t* unary_starts, \
        const int64_t* pair_starts, int64_t steps, const int8_t* rule, const int32_t* vertex, const int32_t* produced, \
        const int64_t* first, const int32_t* neighbours, const int32_t* own, const T* unary, int64_t unary_stride, \
        const T* pair, int64_t pair_stride, int64_t batch, T* objectives, int32_t* choices) { \
        const Plan plan{n, m, steps, ends, sizes, unary_starts, pair_starts, rule, vertex, produced, first, neighbours, own}; \
        try { \
            if (choices == nullptr) { \
                price_##SUFFIX(plan, unary, unary_stride, pair, pair_stride, batch, objectives); \
            } else if (narrow(plan)) { \
                assign_##SUFFIX(plan, unary, unary_stride, pair, pair_stride, batch, objectives, choices); \
            } else { \
                assign_wide_##SUFFIX(plan, unary, unary_stride, pair, pair_stride, batch, objectives, choices); \
            } \
            return 0; \
        } catch (const std::bad_alloc&) { \
            return 1; \
        } \
    }
DM_PRICE(i64, int64_t)
DM_PRICE(f64, double)

// The pricing of a plan of reductions (plan.cpp) for any number of cost sets.
#include <algorithm>
#include <cstring>
#include <new>

#include "common.hpp"
#include "plan.hpp"

namespace {

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

struct Plan : dm::Packed<const int32_t> {
    Plan(int64_t variables, int64_t edges, const int64_t* sizes_, const int32_t* ends_, const int64_t* starts,
         const int32_t* packed)
        : Packed(packed), n(variables), m(edges), steps(packed[kSteps]), sizes(sizes_), ends(ends_),
          unary_starts(starts), pair_starts(starts + n + 1) {}

    int64_t n, m, steps;
    const int64_t* sizes;
    const int32_t* ends;
    const int64_t *unary_starts, *pair_starts;
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
                if (plan.rule[s] > dm::kRII) continue;
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
        if (plan.rule[s] == dm::kRII) {
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
        } else if (plan.rule[s] == dm::kParallel) {
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
        } else if (plan.rule[s] == dm::kRI) {
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
        } else if (plan.rule[s] == dm::kR0) {
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
            if (plan.rule[s] > dm::kRII) continue;
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

// Prices a plan for `batch` cost sets: objectives (batch,), and choices (batch, n) unless that is null. Strides are in
// cells, 0 where all cost sets share the costs. Returns 0, 1 when out of memory, or 2 where the plan cuts out a variable
// that has several choices.
#define DM_PRICE(SUFFIX, T) \
    DM_EXPORT int dm_price_##SUFFIX( \
        int64_t n, int64_t m, const int64_t* sizes, const int32_t* ends, const int64_t* starts, const T* unary, \
        const T* pair, int64_t unary_stride, int64_t pair_stride, int64_t batch, const int32_t* packed, T* objectives, \
        int32_t* choices) { \
        const Plan plan(n, m, sizes, ends, starts, packed); \
        for (int64_t s = 0; s < plan.steps; ++s) { \
            if (plan.rule[s] == dm::kFixed && sizes[plan.vertex[s]] != 1) return 2; \
        } \
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

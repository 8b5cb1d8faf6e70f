// Bucket elimination along an order (Dechter 1999): each variable leaves with all tables it is in, and what arises is a
// table over its neighbours, with the choice that attains each cell kept for the way back.
//
// Axes of every table go by elimination position, the variable that leaves first outermost. So in the bucket of a
// variable all tables that know the last-leaving neighbour have it innermost, and the inner loop runs along it.
#include <algorithm>
#include <cstring>
#include <new>

#include "common.hpp"

namespace {

using dm::Index4;
using dm::kLanes;
using dm::Lanes;
constexpr int kSlack = 16;    // inner loops may read and write this many cells past a table
constexpr int64_t kBlock = 32;  // the inner loop runs along as many last axes together as make this many cells

template <typename T>
struct Table {
    std::vector<int32_t> scope;  // by elimination position
    T* cells = nullptr;          // in the pool
    size_t size = 0;
};

template <typename Index>
struct Kept {  // what back-substitution needs of one variable
    std::vector<int32_t> scope;
    const Index* choice;  // in the pool
};

struct Problem {
    int64_t n, m;
    const int32_t* ends;
    const int64_t *sizes, *unary_starts, *pair_starts;
    const int32_t* order;
};

// One bucket: the tables of a variable with the strides of its neighbours in each.
template <typename T>
struct Bucket {
    int64_t size;                 // choices of the variable that leaves
    std::vector<int64_t> dims;    // of the neighbours, the innermost last
    struct Factor {
        const T* cells;
        int64_t own_stride;            // of the variable that leaves
        std::vector<int64_t> strides;  // of the neighbours, 0 where it does not know them
        int deepest;                   // the last neighbour it knows, -1 for none
    };
    std::vector<Factor> factors;
};

template <typename T, bool Clamp>
DM_INLINE T plus(T left, T right) {
    const T sum = left + right;
    if constexpr (Clamp) return sum < dm::Cost<T>::forbidden ? sum : dm::Cost<T>::forbidden;
    return sum;
}

template <typename T, bool Clamp, int V, typename Index>
DM_INLINE void inner(
    const T* partial, int64_t size, const T* const* rows, const int64_t* steps, int count, int64_t z, T* out, Index* arg) {
    using Vec = Lanes<T>;
    const Vec forbidden = Vec{} + dm::Cost<T>::forbidden;
    Vec best[V] = {};
    Index4 index[V] = {};
    for (int64_t x = 0; x < size; ++x) {
        Vec candidate[V] = {};
        for (int v = 0; v < V; ++v) candidate[v] = Vec{} + partial[x];
        for (int f = 0; f < count; ++f) {
            const T* row = rows[f] + x * steps[f] + z;
            for (int v = 0; v < V; ++v) {
                candidate[v] += *reinterpret_cast<const Vec*>(row + v * kLanes);
                if constexpr (Clamp) candidate[v] = candidate[v] < forbidden ? candidate[v] : forbidden;
            }
        }
        for (int v = 0; v < V; ++v) {
            if (x == 0) {
                best[v] = candidate[v];
                index[v] = Index4{};
            } else {
                index[v] = candidate[v] < best[v] ? Index4{} + x : index[v];
                best[v] = candidate[v] < best[v] ? candidate[v] : best[v];
            }
        }
    }
    for (int v = 0; v < V; ++v) {
        *reinterpret_cast<Vec*>(out + z + v * kLanes) = best[v];
        dm::store_narrow(arg + z + v * kLanes, index[v]);
    }
}

// Makes the last axes of a bucket one axis, in which every table that knows any of them knows all: tables that do not
// are repeated along the others. What was one long loop over a small axis becomes a short one over a long axis. The
// copies are listed in `copies`.
template <typename T>
DM_INLINE void join_last_axes(Bucket<T>& bucket, dm::Pool<T>& pool, std::vector<std::pair<T*, size_t>>& copies) {
    int depth = static_cast<int>(bucket.dims.size());
    int from = depth;
    int64_t block = 1;
    while (from > 0 && block < kBlock) block *= bucket.dims[--from];
    if (depth - from < 2) return;
    std::vector<int64_t> map(block);
    for (auto& factor : bucket.factors) {
        if (factor.deepest < from) continue;
        int64_t mine = 1, before = 1;  // cells of its part of the block, and of what is in front of that
        bool all = true;
        for (int a = from; a < depth; ++a) {
            if (factor.strides[a] != 0) {
                mine *= bucket.dims[a];
            } else {
                all = all && bucket.dims[a] == 1;
            }
        }
        for (int a = 0; a < from; ++a) before *= factor.strides[a] != 0 ? bucket.dims[a] : 1;
        before *= bucket.size;
        if (!all) {
            for (int64_t b = 0; b < block; ++b) {
                int64_t rest = b, at = 0;
                for (int a = depth - 1; a >= from; --a) {
                    at += rest % bucket.dims[a] * factor.strides[a];
                    rest /= bucket.dims[a];
                }
                map[b] = at;
            }
            copies.emplace_back(pool.take(before * block + kSlack), before * block + kSlack);
            T* copy = copies.back().first;
            for (int64_t p = 0; p < before; ++p) {
                for (int64_t b = 0; b < block; ++b) copy[p * block + b] = factor.cells[p * mine + map[b]];
            }
            factor.cells = copy;
            for (int a = 0; a < from; ++a) factor.strides[a] = factor.strides[a] / mine * block;
            factor.own_stride = factor.own_stride / mine * block;
        }
        factor.strides.resize(from);
        factor.strides.push_back(1);
        factor.deepest = from;
    }
    bucket.dims.resize(from);
    bucket.dims.push_back(block);
}

// Fills out and arg over all choices of the neighbours.
template <typename T, bool Clamp, typename Index>
DM_INLINE void reduce_bucket(Bucket<T>& bucket, T* out, Index* arg) {
    const int depth = static_cast<int>(bucket.dims.size());
    const int outer = depth - 1;  // digits that the odometer turns; the last runs in the inner loop
    const int64_t size = bucket.size;
    auto& factors = bucket.factors;
    std::sort(factors.begin(), factors.end(), [](const auto& a, const auto& b) { return a.deepest < b.deepest; });
    const int count = static_cast<int>(factors.size());
    std::vector<int> until(depth + 2, 0);  // factors with deepest < j are the first until[j + 1]
    for (int j = -1; j < depth; ++j) {
        int k = 0;
        while (k < count && factors[k].deepest <= j) ++k;
        until[j + 1] = k;
    }
    std::vector<T> partial(static_cast<size_t>(depth + 1) * size, 0);  // sums of what is determined at each depth
    std::vector<const T*> at(static_cast<size_t>(depth + 1) * count);
    std::vector<int64_t> digit(depth, 0), steps(count);
    for (int f = 0; f < count; ++f) {
        at[f] = factors[f].cells;
        steps[f] = factors[f].own_stride;
    }
    for (int64_t x = 0; x < size; ++x) {
        T sum = 0;
        for (int f = 0; f < until[0]; ++f) sum = plus<T, Clamp>(sum, at[f][x * steps[f]]);
        partial[x] = sum;
    }
    if (depth == 0) {
        const auto best = std::min_element(partial.begin(), partial.begin() + size);
        *out = *best;
        *arg = static_cast<Index>(best - partial.begin());
        return;
    }
    const int64_t width = bucket.dims[depth - 1];
    int changed = 0;
    for (;;) {
        for (int j = changed; j < outer; ++j) {
            const T* const* above = at.data() + static_cast<size_t>(j) * count;
            const T** here = at.data() + static_cast<size_t>(j + 1) * count;
            for (int f = until[j]; f < count; ++f) here[f] = above[f] + digit[j] * factors[f].strides[j];
            const T* sums = partial.data() + static_cast<size_t>(j) * size;
            T* sum = partial.data() + static_cast<size_t>(j + 1) * size;
            for (int64_t x = 0; x < size; ++x) {
                T value = sums[x];
                for (int f = until[j]; f < until[j + 1]; ++f) value = plus<T, Clamp>(value, here[f][x * steps[f]]);
                sum[x] = value;
            }
        }
        const T* sums = partial.data() + static_cast<size_t>(outer) * size;
        const T* const* rows = at.data() + static_cast<size_t>(outer) * count + until[outer];
        const int inner_count = count - until[outer];
        for (int64_t z = 0; z < width; z += 4 * kLanes) {
            switch ((width - z + kLanes - 1) / kLanes) {
                case 1:
                    inner<T, Clamp, 1>(sums, size, rows, steps.data() + until[outer], inner_count, z, out, arg);
                    break;
                case 2:
                    inner<T, Clamp, 2>(sums, size, rows, steps.data() + until[outer], inner_count, z, out, arg);
                    break;
                case 3:
                    inner<T, Clamp, 3>(sums, size, rows, steps.data() + until[outer], inner_count, z, out, arg);
                    break;
                default:
                    inner<T, Clamp, 4>(sums, size, rows, steps.data() + until[outer], inner_count, z, out, arg);
            }
        }
        out += width;  // what was written past the end of this row is the next one's to overwrite
        arg += width;
        int j = outer - 1;
        while (j >= 0 && ++digit[j] == bucket.dims[j]) digit[j--] = 0;
        if (j < 0) return;
        changed = j;
    }
}

template <typename T, bool Clamp, typename Index>
DM_INLINE bool eliminate(
    const Problem& p, const T* unary, const T* pair, const int32_t* stop, T* objective, int32_t* choices) {
    std::vector<int32_t> position(p.n);
    for (int64_t k = 0; k < p.n; ++k) position[p.order[k]] = static_cast<int32_t>(k);
    std::vector<T> costs(unary, unary + p.unary_starts[p.n]);
    dm::Pool<T> pool;
    dm::Pool<Index> choice_pool;
    std::vector<std::pair<T*, size_t>> copies;
    std::vector<std::vector<Table<T>>> buckets(p.n);
    for (int64_t e = 0; e < p.m; ++e) {
        int32_t i = p.ends[2 * e], j = p.ends[2 * e + 1];
        const T* cells = pair + p.pair_starts[e];
        const int64_t rows = p.sizes[i], columns = p.sizes[j];
        if (rows == 1 || columns == 1) {  // a variable with one choice: its table is its neighbour's own cost
            T* own = costs.data() + p.unary_starts[rows == 1 ? j : i];
            for (int64_t k = 0; k < rows * columns; ++k) own[k] = plus<T, true>(own[k], cells[k]);
            continue;
        }
        Table<T> table;
        table.size = rows * columns + kSlack;
        table.cells = pool.take(table.size);
        if (position[i] < position[j]) {
            std::memcpy(table.cells, cells, sizeof(T) * rows * columns);
        } else {
            for (int64_t x = 0; x < rows; ++x) {
                for (int64_t y = 0; y < columns; ++y) table.cells[y * rows + x] = cells[x * columns + y];
            }
            std::swap(i, j);
        }
        table.scope = {i, j};
        buckets[i].push_back(std::move(table));
    }
    std::vector<Kept<Index>> kept(p.n);
    T total = 0;
    std::vector<int32_t> scope;
    for (int64_t k = 0; k < p.n; ++k) {
        if (__atomic_load_n(stop, __ATOMIC_RELAXED)) return false;
        const int32_t v = p.order[k];
        std::vector<Table<T>> tables = std::move(buckets[v]);
        scope.clear();
        for (const auto& table : tables) scope.insert(scope.end(), table.scope.begin() + 1, table.scope.end());
        std::sort(scope.begin(), scope.end(), [&](int32_t a, int32_t b) { return position[a] < position[b]; });
        scope.erase(std::unique(scope.begin(), scope.end()), scope.end());
        Bucket<T> bucket;
        bucket.size = p.sizes[v];
        int64_t cells = 1;
        for (const int32_t u : scope) {
            bucket.dims.push_back(p.sizes[u]);
            cells *= p.sizes[u];
        }
        bucket.factors.push_back({costs.data() + p.unary_starts[v], 1, std::vector<int64_t>(scope.size(), 0), -1});
        for (const auto& table : tables) {
            typename Bucket<T>::Factor factor{table.cells, 1, std::vector<int64_t>(scope.size(), 0), -1};
            int64_t stride = 1;
            for (size_t a = table.scope.size(); a-- > 1;) {
                const auto axis = std::find(scope.begin(), scope.end(), table.scope[a]) - scope.begin();
                factor.strides[axis] = stride;
                factor.deepest = std::max(factor.deepest, static_cast<int>(axis));
                stride *= p.sizes[table.scope[a]];
            }
            factor.own_stride = stride;
            bucket.factors.push_back(std::move(factor));
        }
        Table<T> made;
        made.size = cells + kSlack;
        made.cells = pool.take(made.size);
        Index* choice = choice_pool.take(cells + kSlack);
        kept[v].choice = choice;
        kept[v].scope = scope;
        copies.clear();
        join_last_axes(bucket, pool, copies);
        reduce_bucket<T, Clamp, Index>(bucket, made.cells, choice);
        for (const auto& copy : copies) pool.give(copy.first, copy.second);
        for (const auto& table : tables) pool.give(table.cells, table.size);
        if (scope.empty()) {
            total = plus<T, true>(total, made.cells[0]);
            pool.give(made.cells, made.size);
        } else {
            made.scope = scope;
            buckets[scope[0]].push_back(std::move(made));
        }
    }
    for (int64_t k = p.n - 1; k >= 0; --k) {
        const int32_t v = p.order[k];
        int64_t at = 0;
        for (const int32_t u : kept[v].scope) at = at * p.sizes[u] + choices[u];
        choices[v] = static_cast<int32_t>(kept[v].choice[at]);
    }
    *objective = total < dm::Cost<T>::limit ? total : dm::Cost<T>::forbidden;
    return true;
}

#define DM_VARIANT(NAME, T, CLAMP, INDEX) \
    DM_CLONES bool NAME(const Problem& p, const T* unary, const T* pair, const int32_t* stop, T* objective, int32_t* choices) { \
        return eliminate<T, CLAMP, INDEX>(p, unary, pair, stop, objective, choices); \
    }
DM_VARIANT(free_narrow, int64_t, false, uint8_t)
DM_VARIANT(free_wide, int64_t, false, int32_t)
DM_VARIANT(clamped_narrow, int64_t, true, uint8_t)
DM_VARIANT(clamped_wide, int64_t, true, int32_t)
DM_VARIANT(float_narrow, double, false, uint8_t)  // infinity saturates by itself
DM_VARIANT(float_wide, double, false, int32_t)
#undef DM_VARIANT

bool narrow(const Problem& p) { return p.n == 0 || *std::max_element(p.sizes, p.sizes + p.n) <= 256; }

}  // namespace

// Eliminates along an order; returns 0, 1 where *stop became nonzero meanwhile, 2 when out of memory.
DM_EXPORT int dm_eliminate_i64(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int64_t* unary_starts,
    const int64_t* pair_starts, const int32_t* order, int has_forbidden, const int64_t* unary, const int64_t* pair,
    const int32_t* stop, int64_t* objective, int32_t* choices) {
    const Problem p{n, m, ends, sizes, unary_starts, pair_starts, order};
    try {
        const bool done = has_forbidden ? (narrow(p) ? clamped_narrow : clamped_wide)(p, unary, pair, stop, objective, choices)
                                        : (narrow(p) ? free_narrow : free_wide)(p, unary, pair, stop, objective, choices);
        return done ? 0 : 1;
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

DM_EXPORT int dm_eliminate_f64(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int64_t* unary_starts,
    const int64_t* pair_starts, const int32_t* order, const double* unary, const double* pair, const int32_t* stop,
    double* objective, int32_t* choices) {
    const Problem p{n, m, ends, sizes, unary_starts, pair_starts, order};
    try {
        return (narrow(p) ? float_narrow : float_wide)(p, unary, pair, stop, objective, choices) ? 0 : 1;
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

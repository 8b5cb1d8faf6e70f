// Bucket elimination along an order (Dechter 1999): each variable leaves with all tables it is in, and what arises is a
// table over its neighbours, with the choice that attains each cell kept for the way back.
//
// Axes of every table go by elimination position, the variable that leaves first outermost. So in the bucket of a
// variable all tables that know the last-leaving neighbour have it innermost, and the inner loop runs along it.
#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "common.hpp"

namespace {

constexpr int kLanes = 4;
constexpr int kSlack = 16;  // inner loops may read and write this many cells past a table
template <typename T>
using Lanes __attribute__((vector_size(kLanes * sizeof(T)), aligned(sizeof(T)))) = T;
typedef int64_t Index4 __attribute__((vector_size(4 * sizeof(int64_t))));

template <typename T>
struct Table {
    std::vector<int32_t> scope;  // by elimination position
    std::unique_ptr<T[]> own;
    const T* cells = nullptr;
};

template <typename Index>
struct Kept {  // what back-substitution needs of one variable
    std::vector<int32_t> scope;
    std::unique_ptr<Index[]> choice;
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
        for (int k = 0; k < kLanes; ++k) arg[z + v * kLanes + k] = static_cast<Index>(index[v][k]);
    }
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
    std::vector<std::vector<Table<T>>> buckets(p.n);
    for (int64_t e = 0; e < p.m; ++e) {
        int32_t i = p.ends[2 * e], j = p.ends[2 * e + 1];
        const T* cells = pair + p.pair_starts[e];
        const int64_t rows = p.sizes[i], columns = p.sizes[j];
        Table<T> table;
        table.own.reset(new T[rows * columns + kSlack]);
        if (position[i] < position[j]) {
            std::memcpy(table.own.get(), cells, sizeof(T) * rows * columns);
        } else {
            for (int64_t x = 0; x < rows; ++x) {
                for (int64_t y = 0; y < columns; ++y) table.own[y * rows + x] = cells[x * columns + y];
            }
            std::swap(i, j);
        }
        table.cells = table.own.get();
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
        bucket.factors.push_back({unary + p.unary_starts[v], 1, std::vector<int64_t>(scope.size(), 0), -1});
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
        made.own.reset(new T[cells + kSlack]);
        made.cells = made.own.get();
        kept[v].choice.reset(new Index[cells + kSlack]);
        kept[v].scope = scope;
        reduce_bucket<T, Clamp, Index>(bucket, made.own.get(), kept[v].choice.get());
        if (scope.empty()) {
            total = plus<T, true>(total, made.cells[0]);
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

// The pricing of a plan of reductions (plan.cpp) for any number of cost sets.
#include <algorithm>
#include <cstring>
#include <new>

#include "common.hpp"
#include "evaluate.hpp"
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

template <typename T>
DM_INLINE T saturated(T sum) {
    return sum < dm::Cost<T>::forbidden ? sum : dm::Cost<T>::forbidden;
}

template <typename T>
DM_INLINE void saturate_add(T& into, T value) {
    into = saturated(into + value);
}

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

// The same for four columns of one row: out[z] = min_x (costs[x] + cells[x * row + z]).
template <typename T, typename Index, bool WithArg>
DM_INLINE void min_plus_row(const T* costs, const T* cells, int64_t row, int64_t dx, T* out, Index* arg) {
    using Vec = Lanes<T>;
    Vec best = *reinterpret_cast<const Vec*>(cells) + costs[0];
    Index4 index{};
    for (int64_t x = 1; x < dx; ++x) {
        const Vec candidate = *reinterpret_cast<const Vec*>(cells + x * row) + costs[x];
        if constexpr (WithArg) index = candidate < best ? Index4{} + x : index;
        best = candidate < best ? candidate : best;
    }
    *reinterpret_cast<Vec*>(out) = best;
    if constexpr (WithArg) dm::store_narrow(arg, index);
}

// to[z] = from[z * stride] + value.
template <typename T>
DM_INLINE void add_to_row(const T* from, int64_t stride, T value, int64_t count, T* to) {
    using Vec = Lanes<T>;
    if (stride != 1 || count < kLanes) {
        for (int64_t z = 0; z < count; ++z) to[z] = from[z * stride] + value;
        return;
    }
    for (int64_t z = 0; z + kLanes < count; z += kLanes) {
        *reinterpret_cast<Vec*>(to + z) = *reinterpret_cast<const Vec*>(from + z) + value;
    }
    const int64_t last = count - kLanes;  // the last lanes may overlap those before
    *reinterpret_cast<Vec*>(to + last) = *reinterpret_cast<const Vec*>(from + last) + value;
}

// to[z] = first[z * stride] + second[z * other], saturated.
template <typename T>
DM_INLINE void add_rows(const T* first, int64_t stride, const T* second, int64_t other, int64_t count, T* to) {
    using Vec = Lanes<T>;
    if (stride != 1 || other != 1 || count < kLanes) {
        for (int64_t z = 0; z < count; ++z) to[z] = saturated(first[z * stride] + second[z * other]);
        return;
    }
    const Vec forbidden = Vec{} + dm::Cost<T>::forbidden;
    const auto lanes = [&](int64_t z) __attribute__((always_inline)) {
        const Vec sum = *reinterpret_cast<const Vec*>(first + z) + *reinterpret_cast<const Vec*>(second + z);
        *reinterpret_cast<Vec*>(to + z) = sum < forbidden ? sum : forbidden;
    };
    for (int64_t z = 0; z + kLanes < count; z += kLanes) lanes(z);
    lanes(count - kLanes);
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

// Four rows of four cells with the strides of their axes, one of which is 1.
template <typename T>
DM_INLINE void load_4x4(const T* cells, bool transposed, Lanes<T> (&rows)[4]) {
    for (int x = 0; x < 4; ++x) rows[x] = *reinterpret_cast<const Lanes<T>*>(cells + 4 * x);
    if (!transposed) return;
    const Index4 even = {0, 4, 2, 6}, odd = {1, 5, 3, 7}, low = {0, 1, 4, 5}, high = {2, 3, 6, 7};
    const Lanes<T> top[2] = {__builtin_shuffle(rows[0], rows[1], even), __builtin_shuffle(rows[0], rows[1], odd)};
    const Lanes<T> bottom[2] = {__builtin_shuffle(rows[2], rows[3], even), __builtin_shuffle(rows[2], rows[3], odd)};
    for (int x = 0; x < 2; ++x) {
        rows[x] = __builtin_shuffle(top[x], bottom[x], low);
        rows[x + 2] = __builtin_shuffle(top[x], bottom[x], high);
    }
}

// RII where all have four choices, in registers: out[y, z] = min_x (costs[x] + left[x, y] + rows[x, z]).
template <typename T, typename Index, bool WithArg>
DM_INLINE void series_4x4(const T* costs, const View<T>& left, const Lanes<T> (&rows)[4], T* out, Index* arg) {
    using Vec = Lanes<T>;
    const Vec forbidden = Vec{} + dm::Cost<T>::forbidden;
    for (int y = 0; y < 4; ++y) {
        const T* a = left.cells + y * left.column;
        Vec sums[4];
        for (int x = 0; x < 4; ++x) sums[x] = rows[x] + (costs[x] + a[x * left.row]);
        const auto second = sums[1] < sums[0], fourth = sums[3] < sums[2];  // -1 where it is so
        const Vec first_two = second ? sums[1] : sums[0], last_two = fourth ? sums[3] : sums[2];
        const auto last = last_two < first_two;
        const Vec best = last ? last_two : first_two;
        *reinterpret_cast<Vec*>(out + 4 * y) = best < forbidden ? best : forbidden;
        if constexpr (WithArg) dm::store_narrow(arg + 4 * y, last ? 2 - Index4(fourth) : -Index4(second));
    }
}

struct Plan : dm::Packed<const int32_t> {
    Plan(int64_t variables, int64_t edges, const int64_t* sizes_, const int32_t* ends_, const int64_t* starts,
         const int32_t* packed)
        : Packed(packed), n(variables), m(edges), steps(packed[kSteps]), sizes(sizes_), ends(ends_),
          unary_starts(starts), pair_starts(starts + n + 1) {
        for (int64_t i = 0; i < n; ++i) widest = std::max(widest, sizes[i]);
    }

    static constexpr int64_t kLargeCells = int64_t{1} << 15;  // what does not stay in cache from when it was checked

    int64_t n, m, steps, widest = 1;
    const int64_t* sizes;
    const int32_t* ends;
    const int64_t *unary_starts, *pair_starts;
    const bool is_large = pair_starts[m] > kLargeCells;  // so that what comes next is asked for early
};

// What pricing one step takes, found beforehand for all steps: the lookups go all over memory, but none waits for
// another there. A step has the tables own[0] (dx, dy) and own[1] (dx, dz), of which the first axis is the vertex that
// leaves, or for parallel tables the first end.
struct Work {
    int64_t costs;                  // where the vertex's costs begin
    int64_t args;                   // where its best choices begin, by the choices of its neighbours
    int64_t table[2];               // where the tables begin among the pair costs, ~k for the k-th table made
    int32_t row[2], column[2];      // strides of their axes
    int32_t dx, dy, dz;
    dm::Rule rule;
};

// Prices one plan; the memory is kept from one cost set to the next.
template <typename T, typename Index, bool WithArg>
class Pricer {
  public:
    explicit Pricer(const Plan& plan)
        : plan_(plan),
          memory_(dm::Memory::room<Work>(plan.steps) + dm::Memory::room<Made>(plan.steps) +
                  dm::Memory::room<T>(plan.unary_starts[plan.n])),
          work_(memory_.take<Work>(plan.steps)),
          made_(memory_.take<Made>(plan.steps)),
          unary_(memory_.take<T>(plan.unary_starts[plan.n])),
          found_(find_work()),
          more_(dm::Memory::room<Index>(found_.args) + dm::Memory::room<T>(found_.right)),
          args_(more_.take<Index>(found_.args)),
          right_(more_.take<T>(found_.right)) {}

    DM_INLINE_MEMBER T price(const T* unary_costs, const T* pair, int32_t* choices) {
        std::copy_n(unary_costs, plan_.unary_starts[plan_.n], unary_);
        T total = 0;
        for (int64_t s = 0; s < plan_.steps; ++s) {
            if (plan_.is_large && s + kAhead < plan_.steps) fetch(work_[s + kAhead], pair);
            const Work& work = work_[s];
            switch (work.rule) {
                case dm::kRII:
                    eliminate(work, pair, make(s));
                    break;
                case dm::kParallel:
                    add(work, pair, make(s));
                    break;
                case dm::kRI:
                    fold(work, pair);
                    break;
                case dm::kR0: {
                    const T* costs = unary_ + work.costs;
                    const T* best = std::min_element(costs, costs + work.dx);
                    saturate_add(total, *best);
                    if constexpr (WithArg) args_[work.args] = static_cast<Index>(best - costs);
                    break;
                }
                case dm::kFixed:
                    saturate_add(total, unary_[work.costs]);
                    spread(s, pair);
            }
        }
        if constexpr (WithArg) substitute(choices);
        return total < dm::Cost<T>::limit ? total : dm::Cost<T>::forbidden;
    }

  private:
    static constexpr int64_t kAhead = 6;  // steps

    struct Made {
        T* cells;
        int32_t rows, width;  // the vertex of its rows, and their length
        int64_t size;
    };

    const T* cells(const T* pair, int64_t table) const { return table >= 0 ? pair + table : made_[~table].cells; }

    // Where a table is and how it lies, with the vertex `rows` on the first axis.
    void find_table(int32_t table, int32_t rows, Work& work, int which) const {
        int32_t width, first;
        if (table < plan_.m) {
            work.table[which] = plan_.pair_starts[table];
            first = plan_.ends[2 * table];
            width = static_cast<int32_t>(plan_.sizes[plan_.ends[2 * table + 1]]);
        } else {
            work.table[which] = ~(table - plan_.m);
            first = made_[table - plan_.m].rows;
            width = made_[table - plan_.m].width;
        }
        work.row[which] = first == rows ? width : 1;
        work.column[which] = first == rows ? 1 : width;
    }

    DM_INLINE_MEMBER void fetch_lookups(int64_t s) const {
        if (plan_.vertex[s] >= 0) {
            dm::prefetch(plan_.sizes + plan_.vertex[s], 1);
            dm::prefetch(plan_.unary_starts + plan_.vertex[s], 1);
        }
        for (int64_t k = plan_.first[s]; k < plan_.first[s + 1]; ++k) {
            dm::prefetch(plan_.sizes + plan_.neighbours[k], 1);
            if (plan_.own[k] >= plan_.m) continue;
            dm::prefetch(plan_.ends + 2 * plan_.own[k], 1);
            dm::prefetch(plan_.pair_starts + plan_.own[k], 1);
        }
    }

    struct Found {
        int64_t args, right;  // how many best choices there are to keep, and cells of rows to add up at most
    };

    Found find_work() {
        int64_t args = 0, right = 0;
        for (int64_t s = 0; s < plan_.steps; ++s) {
            if (plan_.is_large && s + 2 * kAhead < plan_.steps) fetch_lookups(s + 2 * kAhead);
            Work& work = work_[s];
            const int32_t* neighbours = plan_.neighbours + plan_.first[s];
            const int32_t* own = plan_.own + plan_.first[s];
            const auto size = [this](int32_t i) { return static_cast<int32_t>(plan_.sizes[i]); };
            work.rule = static_cast<dm::Rule>(plan_.rule[s]);
            work.args = args;
            work.dx = work.dy = work.dz = 0;
            if (work.rule == dm::kParallel) {
                work.dx = size(neighbours[0]);
                work.dy = work.dz = size(neighbours[1]);
            } else {
                work.costs = plan_.unary_starts[plan_.vertex[s]];
                work.dx = size(plan_.vertex[s]);
                if (work.rule == dm::kRI || work.rule == dm::kRII) work.dy = size(neighbours[0]);
                if (work.rule == dm::kRII) work.dz = size(neighbours[1]);
            }
            const int32_t rows = work.rule == dm::kParallel ? neighbours[0] : plan_.vertex[s];
            if (work.dy) find_table(own[0], rows, work, 0);
            if (work.dz) find_table(own[1], rows, work, 1);
            if (work.rule == dm::kRI) work.table[1] = plan_.unary_starts[neighbours[0]];
            if (plan_.produced[s] >= 0) {
                const int32_t width = static_cast<int32_t>(padded(work.dz));
                const int64_t height = work.rule == dm::kParallel ? work.dx : work.dy;
                made_[plan_.produced[s] - plan_.m] = {nullptr, neighbours[0], width, height * width};
            }
            if (work.rule == dm::kR0) args += 1;
            if (work.rule == dm::kRI) {
                args += work.dy;
                right = std::max(right, padded(work.dy));
            }
            if (work.rule == dm::kRII) {
                args += work.dy * padded(work.dz);
                right = std::max(right, work.dx * padded(work.dz));
            }
        }
        return {WithArg ? args : 0, right};
    }

    // Costs lie anywhere in memory: asks for those of a later step while this one is worked on.
    DM_INLINE_MEMBER void fetch(const Work& work, const T* pair) const {
        if (work.rule != dm::kParallel) dm::prefetch(unary_ + work.costs, work.dx);
        if (work.dy && work.table[0] >= 0) dm::prefetch(pair + work.table[0], int64_t{work.dx} * work.dy);
        if (work.dz && work.table[1] >= 0) dm::prefetch(pair + work.table[1], int64_t{work.dx} * work.dz);
    }

    T* make(int64_t s) {
        Made& made = made_[plan_.produced[s] - plan_.m];
        return made.cells = pool_.take(made.size);
    }

    void release(int64_t table) {
        if (table < 0) pool_.give(made_[~table].cells, made_[~table].size);
    }

    DM_INLINE_MEMBER void eliminate(const Work& work, const T* pair, T* out) {
        const T* costs = unary_ + work.costs;
        const T* second = cells(pair, work.table[1]);
        const View<T> left{cells(pair, work.table[0]), work.row[0], work.column[0]};
        const int64_t width = padded(work.dz);
        Index* args = WithArg ? args_ + work.args : nullptr;
        if (work.dx == 4 && work.dy == 4 && work.dz == 4) {
            Lanes<T> rows[4];
            load_4x4<T>(second, work.column[1] != 1, rows);
            series_4x4<T, Index, WithArg>(costs, left, rows, out, args);
            release(work.table[0]);
            release(work.table[1]);
            return;
        }
        // The vertex's own costs go into the rows that are added up.
        for (int64_t x = 0; x < work.dx; ++x) {
            T* row = right_ + x * width;
            *reinterpret_cast<Lanes<T>*>(row + width - kLanes) = Lanes<T>{};  // where the row may end before
            add_to_row(second + x * work.row[1], work.column[1], costs[x], work.dz, row);
        }
        series<T, Index, WithArg>(left, right_, work.dx, work.dy, width, out, args);
        release(work.table[0]);
        release(work.table[1]);
    }

    DM_INLINE_MEMBER void add(const Work& work, const T* pair, T* out) {
        const T *first = cells(pair, work.table[0]), *second = cells(pair, work.table[1]);
        const int64_t width = padded(work.dy);
        for (int64_t y = 0; y < work.dx; ++y) {
            add_rows(first + y * work.row[0], work.column[0], second + y * work.row[1], work.column[1], work.dy,
                     out + y * width);
        }
        release(work.table[0]);
        release(work.table[1]);
    }

    DM_INLINE_MEMBER void fold(const Work& work, const T* pair) {
        const T *costs = unary_ + work.costs, *only = cells(pair, work.table[0]);
        T* target = unary_ + work.table[1];
        Index* args = WithArg ? args_ + work.args : nullptr;
        if (work.column[0] == 1 && work.dy >= kLanes) {
            const auto lanes = [&](int64_t y) __attribute__((always_inline)) {
                min_plus_row<T, Index, WithArg>(costs, only + y, work.row[0], work.dx, right_ + y, WithArg ? args + y : nullptr);
            };
            for (int64_t y = 0; y + kLanes < work.dy; y += kLanes) lanes(y);
            lanes(work.dy - kLanes);  // may overlap those before
            for (int64_t y = 0; y < work.dy; ++y) saturate_add(target[y], right_[y]);
        } else {
            for (int64_t y = 0; y < work.dy; ++y) {
                const T* cells_of_y = only + y * work.column[0];
                T best = costs[0] + cells_of_y[0];
                int64_t arg = 0;
                for (int64_t x = 1; x < work.dx; ++x) {
                    const T candidate = costs[x] + cells_of_y[x * work.row[0]];
                    const bool less = candidate < best;  // no branch: nobody can foretell it
                    best = less ? candidate : best;
                    arg = less ? x : arg;
                }
                saturate_add(target[y], best);
                if constexpr (WithArg) args[y] = static_cast<Index>(arg);
            }
        }
        release(work.table[0]);
    }

    // A variable with one choice, cut out first: its tables are originals.
    DM_INLINE_MEMBER void spread(int64_t s, const T* pair) {
        for (int64_t k = plan_.first[s]; k < plan_.first[s + 1]; ++k) {
            const int32_t j = plan_.neighbours[k];
            const T* only = pair + plan_.pair_starts[plan_.own[k]];
            for (int64_t y = 0; y < plan_.sizes[j]; ++y) saturate_add(unary_[plan_.unary_starts[j] + y], only[y]);
        }
    }

    DM_INLINE_MEMBER void substitute(int32_t* choices) const {
        std::fill(choices, choices + plan_.n, 0);
        for (int64_t s = plan_.steps - 1; s >= 0; --s) {
            const Work& work = work_[s];
            const int32_t* neighbours = plan_.neighbours + plan_.first[s];
            if (plan_.is_large && s >= kAhead) {
                const int64_t from = work_[s - kAhead].args;
                dm::prefetch(args_ + from, work_[s - kAhead + 1].args - from);
            }
            int64_t at = work.args;
            if (work.rule > dm::kRII) continue;
            if (work.rule == dm::kRI) at += choices[neighbours[0]];
            if (work.rule == dm::kRII) at += choices[neighbours[0]] * padded(work.dz) + choices[neighbours[1]];
            choices[plan_.vertex[s]] = static_cast<int32_t>(args_[at]);
        }
    }

    const Plan& plan_;
    dm::Memory memory_;
    Work* work_;
    Made* made_;  // table m + k
    T* unary_;
    Found found_;
    dm::Memory more_;
    Index* args_;
    T* right_;
    dm::Pool<T> pool_;
};

// Costs of `batch` sets, `unary_stride` and `pair_stride` cells apart (0 where all share them).
template <typename T, typename Index, bool WithArg>
DM_INLINE void price_all(
    const Plan& plan, const T* unary, int64_t unary_stride, const T* pair, int64_t pair_stride, int64_t batch,
    T* objectives, int32_t* choices) {
    Pricer<T, Index, WithArg> pricer(plan);
    for (int64_t b = 0; b < batch; ++b) {
        objectives[b] = pricer.price(
            unary + b * unary_stride, pair + b * pair_stride, WithArg ? choices + b * plan.n : nullptr);
    }
}

// Wide choices, which are rare, are compiled once.
DM_CLONES void price_i64(const Plan& plan, const int64_t* unary, int64_t us, const int64_t* pair, int64_t ps,
                         int64_t batch, int64_t* objectives) {
    price_all<int64_t, uint8_t, false>(plan, unary, us, pair, ps, batch, objectives, nullptr);
}
DM_CLONES void assign_i64(const Plan& plan, const int64_t* unary, int64_t us, const int64_t* pair, int64_t ps,
                          int64_t batch, int64_t* objectives, int32_t* choices) {
    price_all<int64_t, uint8_t, true>(plan, unary, us, pair, ps, batch, objectives, choices);
}
void assign_wide_i64(const Plan& plan, const int64_t* unary, int64_t us, const int64_t* pair, int64_t ps,
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
void assign_wide_f64(const Plan& plan, const double* unary, int64_t us, const double* pair, int64_t ps,
                     int64_t batch, double* objectives, int32_t* choices) {
    price_all<double, int32_t, true>(plan, unary, us, pair, ps, batch, objectives, choices);
}

}  // namespace

// Prices a plan for `batch` cost sets: objectives (batch,), and choices (batch, n) unless that is null. Strides are in
// cells, 0 where all cost sets share the costs. Returns 0, 1 when out of memory, or 2 where the plan cuts out a
// variable that has several choices.
#define DM_PRICE(SUFFIX, T) \
    DM_EXPORT int dm_price_##SUFFIX( \
        int64_t n, int64_t m, const int64_t* sizes, const int32_t* ends, const int64_t* starts, const T* unary, \
        const T* pair, int64_t unary_stride, int64_t pair_stride, int64_t batch, const int32_t* packed, T* objectives, \
        int32_t* choices) { \
        const Plan plan(n, m, sizes, ends, starts, packed); \
        for (int64_t s = 0; s < plan.steps; ++s) { \
            if (plan.rule[s] == dm::kFixed && sizes[plan.vertex[s]] != 1) return 2; \
        } \
        if (plan.widest > std::numeric_limits<int32_t>::max()) return 1; \
        try { \
            if (choices == nullptr) { \
                price_##SUFFIX(plan, unary, unary_stride, pair, pair_stride, batch, objectives); \
            } else if (plan.widest <= 256) { \
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

// Plan, objective, choices and their price at once, for one cost set without fixed vertices. `out` has the objective, its
// price by the judge (of integers; 0 for floats), n choices, and then the plan as of dm_plan. Returns 1 when solved, 0
// where the graph does not reduce to nothing, or -1 when out of memory.
template <typename T, typename Price>
int reduce_at_once(
    int64_t n, int64_t m, const int64_t* sizes, const int32_t* ends, const int64_t* starts, const T* unary, const T* pair,
    int64_t* out, Price price) {
    int64_t* choices = out + 2;
    int32_t* packed = reinterpret_cast<int32_t*>(choices + n);
    const int whole = dm_plan(n, m, sizes, ends, starts, nullptr, -1, packed);
    if (whole != 1) return whole;
    // The choices arise as int32 in the upper half of their places and spread from the front.
    int32_t* narrow = reinterpret_cast<int32_t*>(choices) + n;
    const int failed = price(narrow, packed, reinterpret_cast<T*>(out));
    if (failed) return -1;
    for (int64_t i = 0; i < n; ++i) {
        int32_t choice;
        std::memcpy(&choice, narrow + i, sizeof(choice));
        const int64_t wide = choice;
        std::memcpy(choices + i, &wide, sizeof(wide));
    }
    return 1;
}

DM_EXPORT int dm_reduce_i64(
    int64_t n, int64_t m, const int64_t* sizes, const int32_t* ends, const int64_t* starts, const int64_t* unary,
    const int64_t* pair, int64_t* out) {
    const auto price = [&](int32_t* choices, const int32_t* packed, int64_t* objective) {
        return dm_price_i64(n, m, sizes, ends, starts, unary, pair, 0, 0, 1, packed, objective, choices);
    };
    const int done = reduce_at_once(n, m, sizes, ends, starts, unary, pair, out, price);
    if (done == 1 && out[0] < dm::Cost<int64_t>::limit) {
        if (dm::evaluate(n, m, sizes, ends, starts, unary, pair, out + 2, out + 1) != 1) return -1;
    }
    return done;
}

DM_EXPORT int dm_reduce_f64(
    int64_t n, int64_t m, const int64_t* sizes, const int32_t* ends, const int64_t* starts, const double* unary,
    const double* pair, int64_t* out) {
    const auto price = [&](int32_t* choices, const int32_t* packed, double* objective) {
        return dm_price_f64(n, m, sizes, ends, starts, unary, pair, 0, 0, 1, packed, objective, choices);
    };
    out[1] = 0;
    return reduce_at_once(n, m, sizes, ends, starts, unary, pair, out, price);
}

// Bucket elimination along an order (Dechter 1999): each variable leaves with all tables it is in, and what arises is a
// table over its neighbours, with the choice that attains each cell kept for the way back.
//
// Axes of every table go by elimination position, the variable that leaves last innermost; so all tables of a bucket
// have what they share of the block innermost, in the same order. Only the variable that leaves first, which is the one
// that takes the table in, stands right before the block: what is added up for its choices lies together in memory.
//
// Depth first, tables come and go as on a stack: those of even depth grow from one end of one piece of memory, those of
// odd depth from the other, and a table arises on one stack while those it takes in are on top of the other.
//
// Where the costs prove that no sum leaves 32 bits, tables are int32.
#include <algorithm>
#include <new>

#include "bucket_levels.hpp"
#include "common.hpp"
#include "elimination_plan.hpp"

namespace {

using dm::EliminationPlan;
using dm::kSlack;

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
            for (int64_t k = 0; k < sizes[i] * sizes[j]; ++k) own[k] = dm::plus<T, true>(own[k], cells[k]);
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
    T low = dm::Cost<T>::limit, high = -low;
    for (int64_t k = 0; k < count; ++k) {
        if (!dm::Cost<T>::is_finite(costs[k])) continue;
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
        return cost < dm::Cost<int64_t>::limit ? static_cast<int32_t>((cost - low) << bits) : dm::Cost<int32_t>::forbidden;
    }
};

// A table that arises differs from cell to cell by no more than the originals between what is eliminated below it and
// what is not, for the same choices below would do with only these costing otherwise; less its first cell, no cell is
// larger in magnitude. A partial sum in a bucket is at most the sum of all its tables' and what is taken off, which is
// no larger. With forbidden cells the same choices might not do: then nothing is taken off, and everything together
// must fit.
Scale scale_of(const Problem<int64_t>& p, const EliminationPlan& plan, const std::vector<int64_t>& own_costs) {
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
    const double room = p.has_forbidden ? dm::Cost<int32_t>::limit : 2.0 * (int32_t{1} << 30) - 1;
    // One more cost than there is, for the choice in the low bits; doubles are off by far less.
    if (bits < 20 && ((p.has_forbidden ? total : most) + 1) * (int64_t{1} << bits) * 1.000001 < room) scale.bits = bits;
    return scale;
}

size_t counted(double cells) {
    if (cells > 1e15) throw std::bad_alloc();
    return static_cast<size_t>(cells);
}

// One piece of memory with a stack at each end.
template <typename T>
class TwoStacks {
  public:
    explicit TwoStacks(size_t cells) : memory_(cells * sizeof(T)) {
        top_[0] = static_cast<T*>(memory_.get());
        top_[1] = top_[0] + cells;
    }
    T* push(int side, int64_t cells) {
        if (side == 1) return top_[1] -= cells;
        T* table = top_[0];
        top_[0] += cells;
        return table;
    }
    void pop(int side, int64_t cells) { top_[side] += side == 1 ? cells : -cells; }

  private:
    dm::Memory memory_;
    T* top_[2];
};

// to += from, whose cells have these strides along the axes of `to`, which lies row by row. Axes that lie in `from` as
// they do in `to`, or are unknown to it, are gone along together.
template <typename T, bool Clamp>
void add_strided(T* to, const T* from, const std::vector<int64_t>& dims, const std::vector<int64_t>& strides) {
    size_t outer = dims.size();
    int64_t run = 1;
    const bool splat = outer > 0 && strides[outer - 1] == 0;
    while (outer > 0 && strides[outer - 1] == (splat ? 0 : run)) run *= dims[--outer];
    std::vector<int64_t> digits(outer, 0);
    for (;;) {
        const T value = *from;
        if (splat) {
            for (int64_t z = 0; z < run; ++z) to[z] = dm::plus<T, Clamp>(to[z], value);
        } else {
            for (int64_t z = 0; z < run; ++z) to[z] = dm::plus<T, Clamp>(to[z], from[z]);
        }
        to += run;
        size_t a = outer;
        while (a > 0) {
            --a;
            from += strides[a];
            if (++digits[a] < dims[a]) break;
            from -= strides[a] * dims[a];
            digits[a] = 0;
            if (a == 0) return;
        }
        if (outer == 0) return;
    }
}

template <typename T, typename Given, bool Clamp, typename Index>
class Elimination {
  public:
    Elimination(const Problem<Given>& problem, const EliminationPlan& plan, const std::vector<Given>& own, const Scale& scale,
                int level)
        : reduce_(dm::best_reduce<T, Clamp, Index>(level)), p_(problem), plan_(plan), own_(own), scale_(scale), tables_(counted(plan.peak)),
          choices_((counted(plan.kept) + kSlack) * sizeof(Index)), depth_(p_.n, 0), table_(p_.n, nullptr) {
        for (int64_t k = p_.n; k-- > 0;) {
            const int32_t v = plan.order[k];
            if (plan.parent[v] >= 0) depth_[v] = depth_[plan.parent[v]] + 1;
        }
        later_.resize(p_.n);
        for (int64_t e = 0; e < p_.m; ++e) {
            const int32_t i = p_.ends[2 * e], j = p_.ends[2 * e + 1];
            if (p_.sizes[i] == 1 || p_.sizes[j] == 1) continue;
            later_[plan.position[i] < plan.position[j] ? i : j].push_back(static_cast<int32_t>(e));
        }
        taken_in_.resize(p_.n);
        held_.assign(p_.n, 0);
        axis_.resize(p_.n);
        scope_ = plan.scope;
        for (int64_t v = 0; v < p_.n; ++v) digits_.push_back(lay_out(scope_.begin() + plan.first[v], scope_.begin() + plan.first[v + 1]));
    }

    // False where it was stopped.
    bool run(const int32_t* stop, Given* objective, int32_t* chosen) {
        Index* arg = static_cast<Index*>(choices_.get());
        Given total = 0;
        for (const int32_t v : plan_.order) {
            if (__atomic_load_n(stop, __ATOMIC_RELAXED)) return false;
            const Given alone = eliminate(v, arg);
            total = dm::plus<Given, true>(total, alone);
            arg += static_cast<int64_t>(plan_.cells[v]);
        }
        for (int64_t k = p_.n; k-- > 0;) {
            const int32_t v = plan_.order[k];
            arg -= static_cast<int64_t>(plan_.cells[v]);
            int64_t at = 0;
            for (int64_t s = plan_.first[v]; s < plan_.first[v + 1]; ++s) {
                at = at * p_.sizes[scope_[s]] + chosen[scope_[s]];
            }
            chosen[v] = static_cast<int32_t>(arg[at]);
        }
        *objective = total < dm::Cost<Given>::limit ? total : dm::Cost<Given>::forbidden;
        return true;
    }

  private:
    const dm::Reduce<T, Clamp, Index> reduce_;
    const Problem<Given>& p_;
    const EliminationPlan& plan_;
    const std::vector<Given>& own_;
    const Scale& scale_;
    TwoStacks<T> tables_;
    dm::Memory choices_;
    std::vector<int32_t> depth_;
    std::vector<T*> table_;                        // that arose from a variable
    std::vector<std::vector<int32_t>> later_;      // edges to neighbours that leave later
    std::vector<std::vector<int32_t>> taken_in_;   // variables whose tables a variable takes in
    std::vector<int64_t> held_;                    // cells of these on their stack, with those of tables added to others
    std::vector<int32_t> scope_, digits_;          // axes as they lie in memory, and how many are not in the block
    std::vector<int64_t> axis_;                    // of the variables in the present scope
    dm::Bucket<T, Clamp, Index> bucket_;
    std::vector<T> rows_;                          // of the edges
    std::vector<int64_t> dims_, strides_;

    int64_t cells_of(int32_t v) const { return static_cast<int64_t>(plan_.cells[v]) + kSlack; }

    using Axis = std::vector<int32_t>::iterator;

    // Orders the axes of a table; how many come before the block.
    int32_t lay_out(Axis begin, Axis end) const {
        Axis from = end;
        int64_t block = 1;
        while (from - begin > 1 && block < dm::kBlock) {
            const int64_t more = block * p_.sizes[*(from - 1)];
            if (block > 1 && more > dm::kMostBuffered / 16) break;
            block = more;
            --from;
        }
        if (from == end || (from - begin == 1 && block < dm::kBlock)) return 0;  // so few cells are all in the block
        std::rotate(begin, begin + 1, from);
        return static_cast<int32_t>(from - begin);
    }

    // What every assignment pays, as far as it comes out here.
    Given eliminate(int32_t v, Index* arg) {
        const int32_t* scope = scope_.data() + plan_.first[v];
        const int64_t width = plan_.first[v + 1] - plan_.first[v];
        dims_.resize(width);
        for (int64_t a = 0; a < width; ++a) {
            dims_[a] = p_.sizes[scope[a]];
            axis_[scope[a]] = a;
        }
        bucket_.begin(p_.sizes[v], dims_, digits_[v]);
        Given alone = add_costs(v);
        add_edges(v, width, &alone);
        for (const int32_t c : taken_in_[v]) {
            int64_t stride = 1, own = 0;
            strides_.assign(width, 0);
            for (int64_t s = plan_.first[c + 1]; s-- > plan_.first[c];) {
                (scope_[s] == v ? own : strides_[axis_[scope_[s]]]) = stride;
                stride *= p_.sizes[scope_[s]];
            }
            bucket_.add(table_[c], own, strides_.data());
        }
        const int side = depth_[v] & 1;
        table_[v] = tables_.push(side, cells_of(v));
        const T taken = reduce_(bucket_, table_[v], arg, low_bits());
        tables_.pop(1 - side, held_[v]);
        const int32_t parent = plan_.parent[v];
        if (parent >= 0) {
            hand_over(v, parent);
        } else {
            alone = dm::plus<Given, true>(alone, given(table_[v][0]));
            tables_.pop(side, cells_of(v));
        }
        return dm::plus<Given, true>(alone, given(taken));
    }

    // Puts a table that arose among those its parent takes in. Where one of two has all the axes of the other, they are
    // added up at once, if that is less work than to add the other for every cell of the parent's bucket: many children
    // of one bag know the same few of its variables.
    void hand_over(int32_t v, int32_t parent) {
        std::vector<int32_t>& others = taken_in_[parent];
        for (const int32_t c : others) {
            if (!pays(v, c, parent) || !find_strides(c, v)) continue;
            add_up(c, table_[v]);
            return tables_.pop(depth_[v] & 1, cells_of(v));
        }
        held_[parent] += cells_of(v);
        const auto goes = [&](int32_t c) {
            if (!pays(c, v, parent) || !find_strides(v, c)) return false;
            add_up(v, table_[c]);
            return true;
        };
        others.erase(std::remove_if(others.begin(), others.end(), goes), others.end());
        others.push_back(v);
    }

    // Whether adding table c in the bucket of its parent would look at more cells than adding it to table `into`.
    bool pays(int32_t c, int32_t into, int32_t parent) {
        if (plan_.cells[into] < plan_.cells[c]) return false;
        const int32_t *begin = scope_.data() + plan_.first[c], *end = scope_.data() + plan_.first[c + 1];
        const int32_t* axis = scope_.data() + plan_.first[parent];
        double cells = static_cast<double>(p_.sizes[parent]), until = 0;
        for (int64_t a = 0; a < plan_.first[parent + 1] - plan_.first[parent]; ++a) {
            cells *= static_cast<double>(p_.sizes[axis[a]]);
            if (std::find(begin, end, axis[a]) != end) until = cells;
        }
        return until > plan_.cells[into];
    }

    // Where the cells of table c lie by the axes of table `into`; false where that does not have all of them.
    bool find_strides(int32_t into, int32_t c) {
        const int32_t *begin = scope_.data() + plan_.first[into], *end = scope_.data() + plan_.first[into + 1];
        strides_.assign(end - begin, 0);
        int64_t stride = 1;
        for (int64_t s = plan_.first[c + 1]; s-- > plan_.first[c]; stride *= p_.sizes[scope_[s]]) {
            const int32_t* found = std::find(begin, end, scope_[s]);
            if (found == end) return false;
            strides_[found - begin] = stride;
        }
        return true;
    }

    // Adds cells that lie as strides_ say to table `into`.
    void add_up(int32_t into, const T* cells) {
        const int32_t* scope = scope_.data() + plan_.first[into];
        dims_.clear();
        for (size_t a = 0; a < strides_.size(); ++a) dims_.push_back(p_.sizes[scope[a]]);
        add_strided<T, Clamp>(table_[into], cells, dims_, strides_);
    }

    T low_bits() const {
        if constexpr (dm::kPacked<T>) return scale_.low_bits();
        return 0;
    }

    Given given(T sum) const {
        if constexpr (dm::kPacked<T>) return sum >= dm::Cost<T>::limit && Clamp ? dm::Cost<Given>::forbidden : Given{sum >> scale_.bits};
        return sum;
    }

    Given add_costs(int32_t v) {
        const Given* own = own_.data() + p_.unary_starts[v];
        if constexpr (!dm::kPacked<T>) {
            std::copy(own, own + p_.sizes[v], bucket_.own.begin());
            return 0;
        } else {
            const int64_t low = scale_.own[v].low;
            for (int64_t x = 0; x < p_.sizes[v]; ++x) bucket_.own[x] = scale_.of(own[x], low);
            return low;
        }
    }

    // The originals, rows by the choices of v.
    void add_edges(int32_t v, int64_t width, Given* alone) {
        const int64_t size = p_.sizes[v];
        size_t cells = 0;
        for (const int32_t e : later_[v]) cells += size * p_.sizes[other(e, v)] + kSlack;
        rows_.resize(cells);
        T* to = rows_.data();
        for (const int32_t e : later_[v]) {
            const int32_t u = other(e, v);
            const int64_t columns = p_.sizes[u];
            const bool turned = p_.ends[2 * e] == u;
            const int64_t row = turned ? 1 : columns, column = turned ? size : 1;
            const Given* from = p_.pair + p_.pair_starts[e];
            for (int64_t x = 0; x < size; ++x) {
                for (int64_t y = 0; y < columns; ++y) {
                    const Given cost = from[x * row + y * column];
                    if constexpr (dm::kPacked<T>) {
                        to[x * columns + y] = scale_.of(cost, scale_.between[e].low);
                    } else {
                        to[x * columns + y] = cost;
                    }
                }
            }
            if constexpr (dm::kPacked<T>) *alone += scale_.between[e].low;
            strides_.assign(width, 0);
            strides_[axis_[u]] = 1;
            bucket_.add(to, columns, strides_.data());
            to += size * columns + kSlack;
        }
    }

    int32_t other(int32_t e, int32_t v) const { return p_.ends[2 * e] == v ? p_.ends[2 * e + 1] : p_.ends[2 * e]; }
};

#define DM_VARIANT(NAME, T, GIVEN, CLAMP, INDEX) \
    bool NAME(const Problem<GIVEN>& p, const EliminationPlan& plan, const std::vector<GIVEN>& own, const Scale& scale, \
              int level, const int32_t* stop, GIVEN* objective, int32_t* choices) { \
        return Elimination<T, GIVEN, CLAMP, INDEX>(p, plan, own, scale, level).run(stop, objective, choices); \
    }
DM_VARIANT(small_free_narrow, int32_t, int64_t, false, uint8_t)
DM_VARIANT(small_free_wide, int32_t, int64_t, false, int32_t)
DM_VARIANT(small_clamped_narrow, int32_t, int64_t, true, uint8_t)
DM_VARIANT(small_clamped_wide, int32_t, int64_t, true, int32_t)
DM_VARIANT(free_narrow, int64_t, int64_t, false, uint8_t)
DM_VARIANT(free_wide, int64_t, int64_t, false, int32_t)
DM_VARIANT(clamped_narrow, int64_t, int64_t, true, uint8_t)
DM_VARIANT(clamped_wide, int64_t, int64_t, true, int32_t)
DM_VARIANT(float_narrow, double, double, false, uint8_t)  // infinity saturates by itself
DM_VARIANT(float_wide, double, double, false, int32_t)
#undef DM_VARIANT

template <typename T>
bool is_narrow(const Problem<T>& p) {
    return p.n == 0 || *std::max_element(p.sizes, p.sizes + p.n) <= 256;
}

}  // namespace

// Whether eliminate_i64 has int32 tables (1) or int64 ones (0); -1 when out of memory.
DM_EXPORT int dm_eliminate_is_small(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int64_t* unary_starts,
    const int64_t* pair_starts, const int32_t* order, int has_forbidden, const int64_t* unary, const int64_t* pair) {
    const Problem<int64_t> p{n, m, ends, sizes, unary_starts, pair_starts, unary, pair, has_forbidden != 0};
    try {
        return scale_of(p, dm::plan_elimination(n, m, ends, sizes, order), p.own_costs()).bits >= 0;
    } catch (const std::bad_alloc&) {
        return -1;
    }
}

// Eliminates along an order with vector instructions up to a level (see bucket_levels.hpp); returns 0, 1 where *stop became nonzero meanwhile, 2 when out of memory.
DM_EXPORT int dm_eliminate_i64(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int64_t* unary_starts,
    const int64_t* pair_starts, const int32_t* order, int has_forbidden, const int64_t* unary, const int64_t* pair,
    int level, const int32_t* stop, int64_t* objective, int32_t* choices) {
    const Problem<int64_t> p{n, m, ends, sizes, unary_starts, pair_starts, unary, pair, has_forbidden != 0};
    try {
        const EliminationPlan plan = dm::plan_elimination(n, m, ends, sizes, order);
        const std::vector<int64_t> own = p.own_costs();
        const Scale scale = scale_of(p, plan, own);
        const auto run = [&](auto narrow, auto wide) {
            return (is_narrow(p) ? narrow : wide)(p, plan, own, scale, level, stop, objective, choices) ? 0 : 1;
        };
        if (scale.bits >= 0) {
            return has_forbidden ? run(small_clamped_narrow, small_clamped_wide) : run(small_free_narrow, small_free_wide);
        }
        return has_forbidden ? run(clamped_narrow, clamped_wide) : run(free_narrow, free_wide);
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

DM_EXPORT int dm_eliminate_f64(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int64_t* unary_starts,
    const int64_t* pair_starts, const int32_t* order, const double* unary, const double* pair, int level,
    const int32_t* stop, double* objective, int32_t* choices) {
    const Problem<double> p{n, m, ends, sizes, unary_starts, pair_starts, unary, pair, true};
    try {
        const EliminationPlan plan = dm::plan_elimination(n, m, ends, sizes, order);
        const auto run = is_narrow(p) ? float_narrow : float_wide;
        return run(p, plan, p.own_costs(), Scale{}, level, stop, objective, choices) ? 0 : 1;
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

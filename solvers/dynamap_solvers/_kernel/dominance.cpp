// Soft dead-end elimination (Goldstein, Biophys. J. 66, 1994; for cost functions Larrosa & Schiex 2003): choice a of a
// variable goes where another choice b, still there, is never dearer:
//     c[a] - c[b] + sum over neighbours of min_y (T[a, y] - T[b, y]) >= 0.
// A cell forbidden for a costs nothing to skip; one forbidden for b and not for a speaks against b.
#include <algorithm>
#include <new>

#include "common.hpp"

namespace {

template <typename T>
struct Dominance {
    int64_t n, m;
    const int32_t* ends;
    const int64_t *sizes, *unary_starts, *pair_starts;
    const T *unary, *pair;
    const int64_t* usage;  // or null
    uint8_t* alive;
    int64_t* drops;  // triples
    int64_t count = 0;

    std::vector<int64_t> first;     // edges of each variable
    std::vector<int64_t> incident;  // 2 * edge + side
    std::vector<int64_t> best_y;    // per incident edge and choice: where the choice is cheapest

    struct Side {
        const T* cells;
        int64_t own, other;  // strides
        int32_t neighbour;
    };

    Side side(int64_t code) const {
        const int64_t e = code / 2;
        const T* cells = pair + pair_starts[e];
        const int64_t width = sizes[ends[2 * e + 1]];
        if (code % 2 == 0) return {cells, width, 1, ends[2 * e + 1]};
        return {cells, 1, width, ends[2 * e]};
    }

    void drop(int64_t i, int64_t choice, int64_t by) {
        alive[unary_starts[i] + choice] = 0;
        drops[3 * count] = i;
        drops[3 * count + 1] = choice;
        drops[3 * count + 2] = by;
        ++count;
    }

    bool dominates(int64_t i, int64_t a, int64_t b, const std::vector<Side>& sides, int64_t stride) const {
        const T* costs = unary + unary_starts[i];
        if (usage != nullptr && usage[unary_starts[i] + b] > usage[unary_starts[i] + a]) return false;
        T sum = costs[a] - costs[b];
        // What a's favourite cells say is an upper bound: most pairs fail here, without a look at the whole rows.
        T upper = sum;
        for (size_t k = 0; k < sides.size(); ++k) {
            const int64_t y = best_y[k * stride + a];
            const T of_b = sides[k].cells[b * sides[k].own + y * sides[k].other];
            if (!dm::Cost<T>::is_finite(of_b)) return false;
            upper += sides[k].cells[a * sides[k].own + y * sides[k].other] - of_b;
        }
        if (upper < 0) return false;
        for (const Side& s : sides) {
            const uint8_t* left = alive + unary_starts[s.neighbour];
            const T* row_a = s.cells + a * s.own;
            const T* row_b = s.cells + b * s.own;
            bool any = false;
            T least = 0;
            for (int64_t y = 0; y < sizes[s.neighbour]; ++y) {
                const T of_a = row_a[y * s.other], of_b = row_b[y * s.other];
                if (!left[y] || !dm::Cost<T>::is_finite(of_a)) continue;
                if (!dm::Cost<T>::is_finite(of_b)) return false;
                const T difference = of_a - of_b;
                if (!any || difference < least) least = difference;
                any = true;
            }
            sum += least;
        }
        return sum >= 0;
    }

    // Strikes out what it can of one variable; whether anything went.
    bool look(int64_t i) {
        const int64_t size = sizes[i];
        const T* costs = unary + unary_starts[i];
        uint8_t* mine = alive + unary_starts[i];
        std::vector<Side> sides;
        for (int64_t k = first[i]; k < first[i + 1]; ++k) sides.push_back(side(incident[k]));
        best_y.resize(sides.size() * size);
        bool went = false;
        for (int64_t a = 0; a < size; ++a) {
            if (!mine[a]) continue;
            bool possible = dm::Cost<T>::is_finite(costs[a]);
            for (size_t k = 0; k < sides.size() && possible; ++k) {
                const Side& s = sides[k];
                const uint8_t* left = alive + unary_starts[s.neighbour];
                int64_t best = -1;
                for (int64_t y = 0; y < sizes[s.neighbour]; ++y) {
                    const T cell = s.cells[a * s.own + y * s.other];
                    if (left[y] && dm::Cost<T>::is_finite(cell) && (best < 0 || cell < s.cells[a * s.own + best * s.other])) best = y;
                }
                possible = best >= 0;
                best_y[k * size + a] = best;
            }
            if (!possible) {
                drop(i, a, -1);
                went = true;
            }
        }
        for (int64_t a = 0; a < size; ++a) {
            if (!mine[a]) continue;
            for (int64_t b = 0; b < size; ++b) {
                if (b == a || !mine[b] || !dominates(i, a, b, sides, size)) continue;
                drop(i, a, b);
                went = true;
                break;
            }
        }
        return went;
    }

    void run(const int32_t* stop) {
        first.assign(n + 1, 0);
        for (int64_t k = 0; k < 2 * m; ++k) ++first[ends[k] + 1];
        for (int64_t i = 0; i < n; ++i) first[i + 1] += first[i];
        incident.resize(2 * m);
        std::vector<int64_t> at(first.begin(), first.end() - 1);
        for (int64_t k = 0; k < 2 * m; ++k) incident[at[ends[k]]++] = k;
        std::vector<int32_t> queue(n);
        std::vector<uint8_t> queued(n, 1);
        for (int64_t i = 0; i < n; ++i) queue[i] = static_cast<int32_t>(i);
        for (size_t head = 0; head < queue.size(); ++head) {
            if (__atomic_load_n(stop, __ATOMIC_RELAXED)) return;  // what went so far went rightly
            const int32_t i = queue[head];
            queued[i] = 0;
            if (sizes[i] == 1 || !look(i)) continue;
            for (int64_t k = first[i]; k < first[i + 1]; ++k) {
                const int32_t j = ends[incident[k] ^ 1];
                if (!queued[j]) {
                    queued[j] = 1;
                    queue.push_back(j);
                }
            }
        }
    }
};

template <typename T>
int run(int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int64_t* unary_starts,
        const int64_t* pair_starts, const T* unary, const T* pair, const int64_t* usage, const int32_t* stop,
        uint8_t* alive, int64_t* drops, int64_t* count) {
    try {
        Dominance<T> dominance{n, m, ends, sizes, unary_starts, pair_starts, unary, pair, usage, alive, drops, 0, {}, {}, {}};
        dominance.run(stop);
        *count = dominance.count;
        return 0;
    } catch (const std::bad_alloc&) {
        return 2;
    }
}

}  // namespace

// Strikes out choices until nothing changes or *stop is set: alive (flat over all choices) is read and changed, drops
// gets (variable, choice, by) in order, by being -1 for forbidden ones. usage is null where there is no resource, else
// 0 for variables that never use it. Returns 0, or 2 when out of memory.
DM_EXPORT int dm_dominance_i64(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int64_t* unary_starts,
    const int64_t* pair_starts, const int64_t* unary, const int64_t* pair, const int64_t* usage, const int32_t* stop,
    uint8_t* alive, int64_t* drops, int64_t* count) {
    return run(n, m, ends, sizes, unary_starts, pair_starts, unary, pair, usage, stop, alive, drops, count);
}

DM_EXPORT int dm_dominance_f64(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int64_t* unary_starts,
    const int64_t* pair_starts, const double* unary, const double* pair, const int64_t* usage, const int32_t* stop,
    uint8_t* alive, int64_t* drops, int64_t* count) {
    return run(n, m, ends, sizes, unary_starts, pair_starts, unary, pair, usage, stop, alive, drops, count);
}

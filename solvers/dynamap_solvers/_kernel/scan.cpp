// What the making of a problem looks at, in one pass each: the graph and where its tables begin, and the costs. Here it
// is only found out whether all is well; what is wrong is found and said in Python.
#include "scan.hpp"

#include <algorithm>
#include <cmath>

namespace {

// The largest finite magnitude of some cells, -1 where a value is one that must not be.
DM_INLINE int64_t scan_segment(const int64_t* cells, int64_t count, bool* forbids) {
    constexpr int64_t limit = dm::Cost<int64_t>::limit;
    constexpr int64_t forbidden = dm::Cost<int64_t>::forbidden;
    // Usual tables are all finite; their least and largest say everything.
    int64_t low = 0, high = 0;
    for (int64_t k = 0; k < count; ++k) {
        low = cells[k] < low ? cells[k] : low;
        high = cells[k] > high ? cells[k] : high;
    }
    if (low <= -limit) return -1;
    if (high >= limit) {
        *forbids = true;
        high = 0;
        for (int64_t k = 0; k < count; ++k) {
            if (cells[k] >= limit) {
                if (cells[k] != forbidden) return -1;
            } else if (cells[k] > high) {
                high = cells[k];
            }
        }
    }
    return -low > high ? -low : high;
}

DM_INLINE double scan_segment(const double* cells, int64_t count, bool* forbids) {
    double largest = 0.0;
    for (int64_t k = 0; k < count; ++k) {
        const double cell = cells[k];
        if (std::isnan(cell) || cell == -std::numeric_limits<double>::infinity()) return -1.0;
        if (std::isinf(cell)) {
            *forbids = true;
        } else {
            largest = std::max(largest, std::fabs(cell));
        }
    }
    return largest;
}

// What the costs of one kind, of all variables or of all edges, add to what is known.
template <typename T>
struct Found {
    T magnitude = 0, total = 0;  // the largest finite magnitude, and those of all segments together
    bool forbids = false;
};

template <typename T>
DM_INLINE bool scan(const T* costs, const int64_t* starts, int64_t segments, int64_t batch, Found<T>* found) {
    std::vector<T> largest(batch > 1 ? segments : 0);  // over the cost sets, where there are several
    for (int64_t b = 0; b < batch; ++b) {
        for (int64_t s = 0; s < segments; ++s) {
            const T* cells = costs + b * starts[segments] + starts[s];
            T magnitude = scan_segment(cells, starts[s + 1] - starts[s], &found->forbids);
            if (magnitude < 0) return false;
            if (batch > 1) {
                largest[s] = magnitude = std::max(largest[s], magnitude);
                if (b + 1 < batch) continue;
            }
            found->magnitude = std::max(found->magnitude, magnitude);
            found->total += magnitude;  // of integers below 2**60 both, so that it does not wrap
            if (found->total >= dm::Cost<T>::limit) return false;
        }
    }
    return true;
}

template <typename T>
DM_INLINE int scan_both(
    int64_t n, int64_t m, const int64_t* starts, const T* unary, const T* pair, int64_t unary_batch, int64_t pair_batch,
    T* magnitude) {
    try {
        Found<T> found;
        if (!scan(unary, starts, n, unary_batch, &found)) return -1;
        if (!scan(pair, starts + n + 1, m, pair_batch, &found)) return -1;
        *magnitude = found.magnitude;
        return found.forbids;
    } catch (const std::bad_alloc&) {
        return -1;
    }
}

}  // namespace

bool dm::find_starts(int64_t n, int64_t m, const int64_t* sizes, const int32_t* ends, int64_t* starts) {
    int64_t *unary_starts = starts, *pair_starts = starts + n + 1;
    bool wrong = false;
    unary_starts[0] = pair_starts[0] = 0;
    for (int64_t i = 0; i < n; ++i) {
        wrong |= sizes[i] < 1 || __builtin_add_overflow(unary_starts[i], sizes[i], &unary_starts[i + 1]);
    }
    for (int64_t e = 0; e < m; ++e) {
        const uint32_t i = static_cast<uint32_t>(ends[2 * e]), j = static_cast<uint32_t>(ends[2 * e + 1]);
        if (i >= n || j >= n || i == j) return false;
        int64_t cells;
        wrong |= __builtin_mul_overflow(sizes[i], sizes[j], &cells) ||
                 __builtin_add_overflow(pair_starts[e], cells, &pair_starts[e + 1]);
    }
    return !wrong;
}

// dm::find_starts; returns 1 if all is well.
DM_EXPORT int dm_structure(int64_t n, int64_t m, const int64_t* sizes, const int32_t* ends, int64_t* starts) {
    return dm::find_starts(n, m, sizes, ends, starts);
}

// The largest finite magnitude of all costs. Returns whether any cell is forbidden, or -1 where a value is one that
// must not be (see _costs.largest_finite), where the largest of all segments add up to too much, or memory is out.
DM_EXPORT DM_CLONES int dm_scan_i64(
    int64_t n, int64_t m, const int64_t*, const int32_t*, const int64_t* starts, const int64_t* unary,
    const int64_t* pair, int64_t unary_batch, int64_t pair_batch, int64_t* magnitude) {
    return scan_both(n, m, starts, unary, pair, unary_batch, pair_batch, magnitude);
}

DM_EXPORT DM_CLONES int dm_scan_f64(
    int64_t n, int64_t m, const int64_t*, const int32_t*, const int64_t* starts, const double* unary,
    const double* pair, int64_t unary_batch, int64_t pair_batch, double* magnitude) {
    return scan_both(n, m, starts, unary, pair, unary_batch, pair_batch, magnitude);
}

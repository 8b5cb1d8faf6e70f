// One pass over costs: the largest finite magnitude of each segment, and whether a value is one that must not be.
#include <algorithm>
#include <cmath>

#include "common.hpp"

namespace {

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

template <typename T>
DM_INLINE int scan(const T* costs, const int64_t* starts, int64_t segments, int64_t batch, T* largest) {
    bool forbids = false;
    const int64_t width = starts[segments];
    std::fill(largest, largest + segments, T{0});
    for (int64_t b = 0; b < batch; ++b) {
        for (int64_t s = 0; s < segments; ++s) {
            const T found = scan_segment(costs + b * width + starts[s], starts[s + 1] - starts[s], &forbids);
            if (found < 0 || largest[s] < 0) {
                largest[s] = T{-1};
            } else if (found > largest[s]) {
                largest[s] = found;
            }
        }
    }
    return forbids;
}

}  // namespace

// Per segment the largest finite magnitude over all cost sets; -1 where a value is bad (see _costs.largest_finite).
// Returns whether any cell is forbidden.
DM_EXPORT DM_CLONES int dm_scan_i64(
    const int64_t* costs, const int64_t* starts, int64_t segments, int64_t batch, int64_t* largest) {
    return scan(costs, starts, segments, batch, largest);
}

DM_EXPORT DM_CLONES int dm_scan_f64(
    const double* costs, const int64_t* starts, int64_t segments, int64_t batch, double* largest) {
    return scan(costs, starts, segments, batch, largest);
}

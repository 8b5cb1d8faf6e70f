// A table added to another.
#pragma once

#include <cstdint>
#include <vector>

#include "bucket.hpp"

namespace dm {

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
            for (int64_t z = 0; z < run; ++z) to[z] = plus<T, Clamp>(to[z], value);
        } else {
            for (int64_t z = 0; z < run; ++z) to[z] = plus<T, Clamp>(to[z], from[z]);
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

}  // namespace dm

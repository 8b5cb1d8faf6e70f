// The reduction of a bucket (bucket_reduce.inc) for every level of vector instructions, and the choice among them. Each
// is compiled by itself, beside the others: bucket_plain.cpp, bucket_v3.cpp, bucket_v4.cpp.
#pragma once

#include "bucket.hpp"

namespace dm {

template <typename T, typename Index>
using Reduce = T (*)(const Bucket<T>&, Workspace<T>&, T*, Index*, T);

#define DM_LEVEL(NAME) \
    namespace NAME { \
    template <typename T, bool Clamp, typename Index> \
    T reduce(const Bucket<T>& bucket, Workspace<T>& work, T* out, Index* arg, T low_bits); \
    }
DM_LEVEL(plain)
DM_LEVEL(v3)
DM_LEVEL(v4)
#undef DM_LEVEL

// The widest this machine has, of the levels up to `most`: 0 plain, 1 AVX2, 2 AVX-512. Wide choices have the plain one
// only: with more than 256 of them, what takes the time is the number of tables' cells, not their sums.
template <typename T, bool Clamp, typename Index>
Reduce<T, Index> best_reduce(int most) {
#ifdef DM_LEVELS
    if constexpr (sizeof(Index) == 1) {
        if (most >= 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
            return v4::reduce<T, Clamp, Index>;
        }
        if (most >= 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma")) {
            return v3::reduce<T, Clamp, Index>;
        }
    }
#endif
    (void)most;
    return plain::reduce<T, Clamp, Index>;
}

}  // namespace dm

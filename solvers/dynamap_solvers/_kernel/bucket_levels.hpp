// bucket_reduce.inc for every level of vector instructions, and the choice among them.
#pragma once

#include "bucket.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DM_LEVELS 1
#endif

namespace dm {

namespace plain {
constexpr int kBytes = 16, kRegisters = 16;
constexpr bool kPermutes = false;
#define DM_ENTRY
#define DM_TARGET inline __attribute__((always_inline))
#include "bucket_reduce.inc"
#undef DM_TARGET
#undef DM_ENTRY
}  // namespace plain

#ifdef DM_LEVELS
namespace v3 {
constexpr int kBytes = 32, kRegisters = 16;
constexpr bool kPermutes = false;
#define DM_ENTRY __attribute__((target("arch=x86-64-v3")))
#define DM_TARGET inline __attribute__((always_inline, target("arch=x86-64-v3")))
#include "bucket_reduce.inc"
#undef DM_TARGET
#undef DM_ENTRY
}  // namespace v3

namespace v4 {
constexpr int kBytes = 64, kRegisters = 32;
constexpr bool kPermutes = true;
#define DM_ENTRY __attribute__((target("arch=x86-64-v4,prefer-vector-width=512")))
#define DM_TARGET inline __attribute__((always_inline, target("arch=x86-64-v4,prefer-vector-width=512")))
#include "bucket_reduce.inc"
#undef DM_TARGET
#undef DM_ENTRY
}  // namespace v4
#endif

template <typename T, bool Clamp, typename Index>
using Reduce = T (*)(const Bucket<T>&, Workspace<T>&, T*, Index*, T);

// The widest this machine has, of the levels up to `most`: 0 plain, 1 AVX2, 2 AVX-512.
template <typename T, bool Clamp, typename Index>
Reduce<T, Clamp, Index> best_reduce(int most) {
#ifdef DM_LEVELS
    if (most >= 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        return v4::reduce<T, Clamp, Index>;
    }
    if (most >= 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma")) {
        return v3::reduce<T, Clamp, Index>;
    }
#endif
    (void)most;
    return plain::reduce<T, Clamp, Index>;
}

}  // namespace dm

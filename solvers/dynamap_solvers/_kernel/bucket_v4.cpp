// The reduction of a bucket for machines with AVX-512.
#include "bucket.hpp"

#ifdef DM_LEVELS
namespace dm::v4 {

constexpr int kBytes = 64, kRegisters = 32;
constexpr bool kPermutes = true;
#define DM_ENTRY __attribute__((target("arch=x86-64-v4,prefer-vector-width=512")))
#define DM_TARGET inline __attribute__((always_inline, target("arch=x86-64-v4,prefer-vector-width=512")))
#include "bucket_reduce.inc"

#define DM_INSTANTIATE(T, CLAMP, INDEX) template T reduce<T, CLAMP, INDEX>(const Bucket<T>&, Workspace<T>&, T*, INDEX*, T);
DM_NARROW_KINDS(DM_INSTANTIATE)

}  // namespace dm::v4
#endif

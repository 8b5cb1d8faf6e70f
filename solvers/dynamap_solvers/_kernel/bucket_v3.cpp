// The reduction of a bucket for machines with AVX2.
#include "bucket.hpp"

#ifdef DM_LEVELS
namespace dm::v3 {

constexpr int kBytes = 32, kRegisters = 16;
constexpr bool kPermutes = false;
#define DM_ENTRY __attribute__((target("arch=x86-64-v3")))
#define DM_TARGET inline __attribute__((always_inline, target("arch=x86-64-v3")))
#include "bucket_reduce.inc"

#define DM_INSTANTIATE(T, CLAMP, INDEX) template T reduce<T, CLAMP, INDEX>(const Bucket<T>&, Workspace<T>&, T*, INDEX*, T);
DM_NARROW_KINDS(DM_INSTANTIATE)

}  // namespace dm::v3
#endif

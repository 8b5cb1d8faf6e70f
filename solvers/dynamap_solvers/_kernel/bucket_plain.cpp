// The reduction of a bucket for any machine.
#include "bucket.hpp"

namespace dm::plain {

constexpr int kBytes = 16, kRegisters = 16;
constexpr bool kPermutes = false;
#define DM_ENTRY
#define DM_TARGET inline __attribute__((always_inline))
#include "bucket_reduce.inc"

#define DM_INSTANTIATE(T, CLAMP, INDEX) template T reduce<T, CLAMP, INDEX>(const Bucket<T>&, Workspace<T>&, T*, INDEX*, T);
DM_NARROW_KINDS(DM_INSTANTIATE)
DM_WIDE_KINDS(DM_INSTANTIATE)

}  // namespace dm::plain

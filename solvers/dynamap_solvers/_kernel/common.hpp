// What all parts of the kernel share: the exported interface, the saturating costs, scratch memory.
//
// Rules: no global mutable state, nothing thrown across the boundary (a function that may run out of memory catches
// and says so by its return value), plain pointers and sizes at the boundary. Costs are int64 with forbidden cells at
// 2**61, or double with forbidden cells at infinity; see _structure.py for why sums cannot wrap.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#define DM_EXPORT extern "C" __attribute__((visibility("default")))

// Hot loops are compiled for several levels of vector instructions; the loader picks one. Elsewhere: as it comes.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define DM_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DM_CLONES
#endif
#define DM_INLINE static inline __attribute__((always_inline))
#define DM_INLINE_MEMBER inline __attribute__((always_inline))

namespace dm {

template <typename T>
struct Cost;

template <>
struct Cost<int64_t> {
    static constexpr int64_t forbidden = int64_t{1} << 61;
    static constexpr int64_t limit = int64_t{1} << 60;
    static bool is_finite(int64_t value) { return value < limit; }
};

template <>
struct Cost<double> {
    static constexpr double forbidden = std::numeric_limits<double>::infinity();
    static constexpr double limit = std::numeric_limits<double>::infinity();
    static bool is_finite(double value) { return value < limit; }
};

// Four costs side by side; compilers turn each operation into one or two vector instructions.
constexpr int64_t kLanes = 4;
template <typename T>
using Lanes __attribute__((vector_size(kLanes * sizeof(T)), aligned(sizeof(T)))) = T;
typedef int64_t Index4 __attribute__((vector_size(4 * sizeof(int64_t))));

template <typename Index>
DM_INLINE void store_narrow(Index* to, Index4 index) {
    typedef Index Narrow __attribute__((vector_size(4 * sizeof(Index))));
    const Narrow narrow = __builtin_convertvector(index, Narrow);
    std::memcpy(to, &narrow, sizeof(narrow));
}

// Asks for cells that will be read soon. Inline, for compilers take a call that only prefetches for one without effect.
template <typename T>
DM_INLINE void prefetch(const T* cells, int64_t count) {
    const char* from = reinterpret_cast<const char*>(cells);
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
    for (int64_t b = 0; b < bytes && b < 4096; b += 64) __builtin_prefetch(from + b);
}

// A piece of memory as it comes, taken off array by array; in huge pages where it is large: page faults would cost more
// than the work.
class Memory {
  public:
    // What `count` of a kind take.
    template <typename T>
    static size_t room(int64_t count) {
        return (static_cast<size_t>(count) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    }

    explicit Memory(size_t bytes) {
        const size_t alignment = bytes >= kLarge ? kHugePage : kAlignment;
        memory_ = static_cast<char*>(std::aligned_alloc(alignment, (bytes / alignment + 1) * alignment));
        if (memory_ == nullptr) throw std::bad_alloc();
        at_ = memory_;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (bytes >= kLarge) madvise(memory_, bytes, MADV_HUGEPAGE);
#endif
    }
    Memory(Memory&& other) noexcept : memory_(other.memory_), at_(other.at_) { other.memory_ = nullptr; }
    Memory(const Memory&) = delete;
    ~Memory() { std::free(memory_); }

    void* get() const { return memory_; }

    template <typename T>
    T* take(int64_t count) {
        T* array = reinterpret_cast<T*>(at_);
        at_ += room<T>(count);
        return array;
    }

  private:
    static constexpr size_t kAlignment = 64, kLarge = size_t{1} << 22, kHugePage = size_t{1} << 21;
    char *memory_, *at_;
};

// Tables of few sizes come and go by the hundred thousand: freed ones are used again, last in first out, so that they
// are still in cache. A free one holds the address of the next of its size.
template <typename T>
class Pool {
  public:
    T* take(size_t cells) {
        const unsigned bin = bin_of(cells);
        if (free_[bin] != nullptr) {
            T* table = free_[bin];
            std::memcpy(&free_[bin], table, sizeof(T*));
            return table;
        }
        const size_t size = size_of(bin);
        if (size > left_) {
            const size_t chunk = size > next_chunk_ ? size : next_chunk_;
            if (next_chunk_ < kLargestChunk) next_chunk_ *= 2;
            chunks_.emplace_back(Memory::room<T>(chunk));
            at_ = chunks_.back().template take<T>(chunk);
            left_ = chunk;
        }
        T* table = at_;
        at_ += size;
        left_ -= size;
        return table;
    }

    void give(T* table, size_t cells) {
        T*& first = free_[bin_of(cells)];
        std::memcpy(table, &first, sizeof(T*));
        first = table;
    }

  private:
    static constexpr size_t kLargestChunk = size_t{1} << 16;
    // Four sizes between each power of two and the next, so that at most a fifth of a table is wasted.
    static size_t size_of(unsigned bin) { return (size_t{4} + bin % 4) << (bin / 4); }
    static unsigned bin_of(size_t cells) {
        cells = std::max(cells, kLeast);
        const unsigned bits = 64 - __builtin_clzll(cells - 1);
        const unsigned shift = bits > 3 ? bits - 3 : 0;
        return 4 * shift + static_cast<unsigned>((cells + (size_t{1} << shift) - 1) >> shift) - 4;
    }
    static constexpr size_t kLeast = sizeof(T*) / sizeof(T) > 4 ? sizeof(T*) / sizeof(T) : 4;
    T* free_[256] = {};
    std::vector<Memory> chunks_;
    T* at_ = nullptr;
    size_t left_ = 0, next_chunk_ = size_t{1} << 10;  // cells; small problems touch little new memory
};

}  // namespace dm

// What all parts of the kernel share: the exported interface, the saturating costs, scratch memory.
//
// Rules: no global mutable state, nothing thrown across the boundary (a function that may run out of memory catches
// and says so by its return value), plain pointers and sizes at the boundary. Costs are int64 with forbidden cells at
// 2**61, or double with forbidden cells at infinity; see _structure.py for why sums cannot wrap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#define DM_EXPORT extern "C" __attribute__((visibility("default")))

// Hot loops are compiled for several levels of vector instructions; the loader picks one. Elsewhere: as it comes.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define DM_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DM_CLONES
#endif
#define DM_INLINE static inline __attribute__((always_inline))

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

// Tables of few sizes come and go by the hundred thousand: freed ones are used again, last in first out, so that they
// are still in cache.
template <typename T>
class Pool {
  public:
    T* take(size_t cells) {
        const unsigned bin = bin_of(cells);
        if (!free_[bin].empty()) {
            T* table = free_[bin].back();
            free_[bin].pop_back();
            return table;
        }
        const size_t size = size_t{1} << bin;
        if (size > left_) {
            const size_t chunk = size > kChunk ? size : kChunk;
            chunks_.emplace_back(new T[chunk]);  // not initialised
            at_ = chunks_.back().get();
            left_ = chunk;
        }
        T* table = at_;
        at_ += size;
        left_ -= size;
        return table;
    }

    void give(T* table, size_t cells) { free_[bin_of(cells)].push_back(table); }

  private:
    struct Delete {
        void operator()(T* table) const { delete[] table; }
    };
    struct Owner {
        explicit Owner(T* table) : table_(table) {}
        Owner(Owner&& other) noexcept : table_(other.table_) { other.table_ = nullptr; }
        Owner(const Owner&) = delete;
        ~Owner() { delete[] table_; }
        T* get() const { return table_; }
        T* table_;
    };
    static constexpr size_t kChunk = size_t{1} << 16;
    static unsigned bin_of(size_t cells) {
        unsigned bin = 0;
        while ((size_t{1} << bin) < cells) ++bin;
        return bin;
    }
    std::vector<T*> free_[64];
    std::vector<Owner> chunks_;
    T* at_ = nullptr;
    size_t left_ = 0;
};

}  // namespace dm

// One bucket of an elimination: the tables a variable is in are added up and the least over its choices is taken, a
// table of its neighbours, with the choice that attains each cell.
//
// The last axes of the neighbours, some 64 cells together, are the block: all work on it is done in vectors. The axes
// before it are digits that an odometer turns. A table is added where the last digit it knows is turned, so that the
// innermost step adds up little more than the tables that know the last digit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "common.hpp"
#include "elimination_plan.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DM_LEVELS 1
#endif

// The kinds of tables and of kept choices. (Doubles saturate by themselves: at infinity.)
#define DM_NARROW_KINDS(KIND) \
    KIND(int32_t, false, uint8_t) KIND(int32_t, true, uint8_t) \
    KIND(int64_t, false, uint8_t) KIND(int64_t, true, uint8_t) KIND(double, false, uint8_t)
#define DM_WIDE_KINDS(KIND) \
    KIND(int32_t, false, int32_t) KIND(int32_t, true, int32_t) \
    KIND(int64_t, false, int32_t) KIND(int64_t, true, int32_t) KIND(double, false, int32_t)

namespace dm {

// int32 tables hold costs times a power of two above the number of choices, less an offset: the low bits of a sum have
// room for the choice, so that the least of a few sums says which it is. Other tables hold costs as they are.
template <>
struct Cost<int32_t> {
    static constexpr int32_t forbidden = int32_t{1} << 29;
    static constexpr int32_t limit = int32_t{1} << 28;
};

template <typename T>
constexpr bool kPacked = std::is_same_v<T, int32_t>;

constexpr int64_t kBlock = 64;                          // cells
constexpr int64_t kMostBuffered = int64_t{1} << 18;     // cells of a block for all choices: they shall stay in cache
constexpr int64_t kVectorBytes = 64;
constexpr int64_t kMostRows = 8;                         // worked on together

template <typename T, bool Clamp>
DM_INLINE T plus(T left, T right) {
    const T sum = left + right;
    if constexpr (Clamp) return sum < Cost<T>::forbidden ? sum : Cost<T>::forbidden;
    return sum;
}

template <typename T>
struct Factor {
    enum class Kind { scalar, part, whole };  // knows none, some or all axes of the block
    int32_t source;  // which of the tables it is
    int64_t own;     // stride of the variable that leaves
    int deepest;     // the last digit it knows, -1 for none
    Kind kind;
    bool near;       // part: all its cells of the block lie within two vectors
    int64_t run;     // part: so many cells of the block in a row are side by side in it too, or
    bool splat;      // one cell again and again
    size_t strides;  // of the digits: where they begin in the bucket's
    size_t map;      // part: likewise, where its cell of each cell of the block is
};

// What a reduction works on; kept from one to the next.
template <typename T>
struct Workspace {
    // Per depth (the number of digits that are set) and choice, sums of scalars and of blocks determined there; per
    // depth and factor, its cells at the digits so far.
    std::vector<T> sums, buffers, expanded;
    std::vector<const T*> blocks, at;
    std::vector<int64_t> digits;
    std::vector<const T*> rows, now;  // what the innermost step adds up, and how far apart choices are in it
    std::vector<int64_t> steps;
    std::vector<const int32_t*> maps_of;
    int until_splat = 0;  // rows that are one cell again and again come from here on
};

template <typename T>
struct Bucket {
    static constexpr int64_t kLanes = kVectorBytes / sizeof(T);

    int64_t size = 0, block = 1, padded = 0;
    int depth = 0;  // digits
    std::vector<int64_t> dims;
    std::vector<Factor<T>> factors;
    std::vector<int64_t> strides;
    std::vector<int32_t> maps;
    std::vector<T> own;      // costs of the variable that leaves
    std::vector<int> until;  // factors with deepest < j are the first until[j]

    // What is added next belongs to a variable with `choices`, the first `digits` of its neighbours' axes being digits.
    void begin(int64_t choices, const std::vector<int64_t>& axes, int digits_before_block) {
        size = choices;
        dims = axes;
        depth = digits_before_block;
        block = 1;
        for (size_t a = depth; a < axes.size(); ++a) block *= axes[a];
        padded = (block + kLanes - 1) / kLanes * kLanes;
        factors.clear();
        strides.clear();
        maps.clear();
        own.assign(size, 0);
    }

    // A table: its stride per choice, and per axis, 0 where it does not know it. Where it lies is said when the bucket is
    // reduced.
    void add(int32_t source, int64_t own_stride, const int64_t* by_axis) {
        using Kind = typename Factor<T>::Kind;
        Factor<T> factor{source, own_stride, -1, Kind::scalar, false, 1, false, strides.size(), maps.size()};
        strides.insert(strides.end(), by_axis, by_axis + depth);
        for (int j = 0; j < depth; ++j) {
            if (by_axis[j] != 0) factor.deepest = j;
        }
        bool whole = true;
        int64_t stride = 1, last = 0;
        for (int a = static_cast<int>(dims.size()); a-- > depth;) {
            if (by_axis[a] != 0) factor.kind = Kind::part;
            whole = whole && (by_axis[a] == stride || dims[a] == 1);
            stride *= dims[a];
            last += by_axis[a] * (dims[a] - 1);
        }
        if (factor.kind == Kind::part && whole) factor.kind = Kind::whole;
        if (factor.kind == Kind::part) {
            factor.near = last < 2 * kLanes;
            find_runs(by_axis, factor);
            spread_out(by_axis);
        }
        factors.push_back(factor);
    }

    // Whether the innermost step adds it from where it lies.
    bool is_direct(const Factor<T>& factor) const {
        return factor.kind == Factor<T>::Kind::whole && factor.deepest == depth - 1;
    }

    // Puts the factors in the order they are worked on in, when all are added.
    void arrange() {
        const auto key = [&](const Factor<T>& factor) { return 2 * factor.deepest + is_direct(factor); };
        std::stable_sort(factors.begin(), factors.end(), [&](const auto& f, const auto& g) { return key(f) < key(g); });
        until.assign(depth + 1, 0);
        for (const auto& factor : factors) {
            for (int j = factor.deepest + 1; j <= depth; ++j) ++until[j];
        }
    }

    // Makes room for a reduction; the first cells of the factors are to be put in `at`.
    void make_room(Workspace<T>& work) const {
        const size_t count = factors.size(), levels = depth + 1;
        const auto grow = [](auto& array, size_t cells) {
            if (array.size() < cells) array.resize(cells);
        };
        grow(work.at, levels * count);
        grow(work.sums, levels * size);
        grow(work.buffers, levels * size * padded);
        grow(work.expanded, padded + kLanes);
        grow(work.rows, count + 1);
        grow(work.now, (count + 1) * kMostRows);
        grow(work.steps, count + 1);
        grow(work.maps_of, count + 1);
        work.blocks.assign(levels, nullptr);
        work.digits.assign(depth, 0);
    }

  private:
    void find_runs(const int64_t* by_axis, Factor<T>& factor) const {
        int a = static_cast<int>(dims.size()) - 1;
        factor.splat = by_axis[a] == 0;
        for (; a >= depth && by_axis[a] == (factor.splat ? 0 : factor.run); --a) factor.run *= dims[a];
    }

    void spread_out(const int64_t* by_axis) {
        const size_t begin = maps.size();
        maps.resize(begin + padded, 0);
        int64_t run = 1;
        for (int a = static_cast<int>(dims.size()); a-- > depth; run *= dims[a]) {
            for (int64_t b = run; b < run * dims[a]; ++b) maps[begin + b] = static_cast<int32_t>(maps[begin + b - run] + by_axis[a]);
        }
    }
};

}  // namespace dm

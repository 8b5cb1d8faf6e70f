// The making of a problem from arrays in one call: where they lie, whether they are what they should be, where each
// variable's and edge's costs begin, and what is in them. Asked one by one from Python, that takes longer than solving a
// small problem.
#include "scan.hpp"

namespace {

// Py_buffer, a part of CPython's stable interface since 3.11.
struct PyBuffer {
    void* cells;
    void* object;
    intptr_t bytes, item_bytes;
    int is_readonly, axes;
    const char* format;
    intptr_t *shape, *strides, *suboffsets;
    void* internal;
};
using GetBuffer = int (*)(void*, PyBuffer*, int);
using ReleaseBuffer = void (*)(PyBuffer*);
constexpr int kStridesAndFormat = 0x1C;  // PyBUF_RECORDS_RO

struct Array {
    void* cells = nullptr;
    int64_t rows = 0;
    char kind = 0;  // 'l' int64, 'i' int32, 'd' float64; 0: something else, or not side by side
};

// Rows of `width` each. What Python raises stays raised.
Array look(GetBuffer get, ReleaseBuffer release, void* object, int axes, int64_t width) {
    PyBuffer buffer;
    Array array;
    if (get(object, &buffer, kStridesAndFormat) != 0) return array;
    const char code = buffer.format != nullptr && buffer.format[0] != 0 && buffer.format[1] == 0 ? buffer.format[0] : 0;
    const bool whole = code == 'i' || code == 'l' || code == 'q';
    bool dense = buffer.axes == axes;
    if (dense) {
        array.rows = buffer.shape[0];
        dense = array.rows <= 1 || buffer.strides[0] == width * buffer.item_bytes;
        if (axes == 2) dense = dense && buffer.shape[1] == width && buffer.strides[1] == buffer.item_bytes;
    }
    array.cells = buffer.cells;
    if (dense && whole) array.kind = buffer.item_bytes == 8 ? 'l' : buffer.item_bytes == 4 ? 'i' : '\0';
    if (dense && code == 'd') array.kind = 'd';
    release(&buffer);
    return array;
}

// Longer work must let others run meanwhile.
constexpr int64_t kMostAtOnce = int64_t{1} << 17;  // cells

}  // namespace

// Called with the interpreter's lock, for it looks at Python's arrays: `get` and `release` are PyObject_GetBuffer and
// PyBuffer_Release. `starts` has room for n + m + 2. Out come the magnitude (its bits), whether any cell is forbidden,
// and the addresses of sizes, edges, starts, unary and pair. Returns 1 where costs are integers, 2 where they are floats,
// and 0 where anything is not plain or wrong, or there are more cells than shall be looked at at once.
DM_EXPORT int dm_make(
    void* get_buffer, void* release_buffer, void* sizes_array, void* edges_array, void* starts_array, void* unary_array,
    void* pair_array, int64_t* out) {
    const auto get = reinterpret_cast<GetBuffer>(get_buffer);
    const auto release = reinterpret_cast<ReleaseBuffer>(release_buffer);
    Array arrays[5];
    void* const objects[5] = {sizes_array, edges_array, starts_array, unary_array, pair_array};
    for (int k = 0; k < 5; ++k) {
        arrays[k] = look(get, release, objects[k], k == 1 ? 2 : 1, k == 1 ? 2 : 1);
        if (arrays[k].kind == 0) return 0;
        out[2 + k] = reinterpret_cast<int64_t>(arrays[k].cells);
    }
    const auto& [sizes, edges, starts, unary, pair] = arrays;
    const int64_t n = sizes.rows, m = edges.rows;
    const bool plain = sizes.kind == 'l' && edges.kind == 'i' && starts.kind == 'l' && starts.rows == n + m + 2 &&
                       unary.kind == pair.kind && unary.kind != 'i' && n > 0 &&
                       n + m + unary.rows + pair.rows <= kMostAtOnce;
    if (!plain) return 0;
    const bool floats = unary.kind == 'd';
    int64_t* at = static_cast<int64_t*>(starts.cells);
    if (!dm::find_starts(n, m, static_cast<const int64_t*>(sizes.cells), static_cast<const int32_t*>(edges.cells), at)) {
        return 0;
    }
    if (at[n] != unary.rows || at[n + 1 + m] != pair.rows) return 0;
    const int forbids =
        floats ? dm_scan_f64(n, m, nullptr, nullptr, at, static_cast<const double*>(unary.cells),
                             static_cast<const double*>(pair.cells), 1, 1, reinterpret_cast<double*>(out))
               : dm_scan_i64(n, m, nullptr, nullptr, at, static_cast<const int64_t*>(unary.cells),
                             static_cast<const int64_t*>(pair.cells), 1, 1, out);
    if (forbids < 0) return 0;
    out[1] = forbids;
    return floats ? 2 : 1;
}

// Dual ascent: sequential reweighted message passing (SRMP; Kolmogorov 2015, "A new look at reweighted message
// passing", which is TRW-S where there are no triplets) in integers. Moves are exact, shares are rounded down and the
// rest stays where it is, so the constant only ever grows and is a lower bound at every moment.

#include <algorithm>
#include <cstring>

#include "net.hpp"

namespace dm::net {

namespace {

inline i64 clamp(i64 value) { return value < BIG ? value : BIG; }

// C[r][c] = min_k A(r, k) + B[k][c] with A(r, k) = A[r * row + k * col].
inline __attribute__((always_inline)) void min_plus(const i64* A, int row, int col, const i64* B, i64* C, int rows,
                                                    int inner, int cols) {
    for (int r = 0; r < rows; ++r) {
        i64* __restrict c_row = C + static_cast<std::size_t>(r) * cols;
        const i64 first = A[static_cast<std::size_t>(r) * row];
        for (int c = 0; c < cols; ++c) c_row[c] = first + B[c];
        for (int k = 1; k < inner; ++k) {
            const i64 a = A[static_cast<std::size_t>(r) * row + static_cast<std::size_t>(k) * col];
            const i64* __restrict b_row = B + static_cast<std::size_t>(k) * cols;
            for (int c = 0; c < cols; ++c) c_row[c] = std::min(c_row[c], a + b_row[c]);
        }
    }
}

// Moves to end b (or a) of the edge all that is common to its column (or row): afterwards each has a reduced cost of 0.
inline __attribute__((always_inline)) void pull_b(Net& net, const Edge& e, i64* scratch) {
    const int da = net.size(e.a), db = net.size(e.b);
    const i64* __restrict T = net.T.data() + e.t;
    const i64* __restrict ma = net.M.data() + e.ma;
    i64* __restrict mb = net.M.data() + e.mb;
    i64* __restrict u = net.U.data() + net.start[e.b];
    for (int y = 0; y < db; ++y) scratch[y] = T[y] - ma[0];
    for (int x = 1; x < da; ++x) {
        const i64 m = ma[x];
        const i64* __restrict row = T + static_cast<std::size_t>(x) * db;
        for (int y = 0; y < db; ++y) scratch[y] = std::min(scratch[y], row[y] - m);
    }
    for (int y = 0; y < db; ++y) {
        const i64 m = std::min(scratch[y], BIG);
        u[y] = std::min(u[y] + m - mb[y], BIG);
        mb[y] = m;
    }
}

inline __attribute__((always_inline)) void pull_a(Net& net, const Edge& e) {
    const int da = net.size(e.a), db = net.size(e.b);
    const i64* __restrict T = net.T.data() + e.t;
    const i64* __restrict mb = net.M.data() + e.mb;
    i64* __restrict ma = net.M.data() + e.ma;
    i64* __restrict u = net.U.data() + net.start[e.a];
    for (int x = 0; x < da; ++x) {
        const i64* __restrict row = T + static_cast<std::size_t>(x) * db;
        i64 least = BIG;
        for (int y = 0; y < db; ++y) least = std::min(least, row[y] - mb[y]);
        u[x] = std::min(u[x] + least - ma[x], BIG);
        ma[x] = least;
    }
}

struct Scratch {
    std::vector<i64> a, b;
    i64* first(std::size_t size) {
        if (a.size() < size) a.resize(size);
        return a.data();
    }
    i64* second(std::size_t size) {
        if (b.size() < size) b.resize(size);
        return b.data();
    }
};

// Moves to the edge at this position of the triplet all that is common to each of its cells.
inline __attribute__((always_inline)) void pull_triplet(Net& net, const Triplet& r, int position, Scratch& scratch) {
    const int di = net.size(r.v[0]), dj = net.size(r.v[1]), dk = net.size(r.v[2]);
    i64* q0 = net.Q.data() + r.q[0];
    i64* q1 = net.Q.data() + r.q[1];
    i64* q2 = net.Q.data() + r.q[2];
    i64* mine = net.Q.data() + r.q[position];
    std::size_t cells;
    i64* out;
    if (position == 0) {
        cells = static_cast<std::size_t>(di) * dj;
        out = scratch.first(cells);
        i64* turned = scratch.second(static_cast<std::size_t>(dj) * dk);
        for (int y = 0; y < dj; ++y)
            for (int z = 0; z < dk; ++z) turned[static_cast<std::size_t>(z) * dj + y] = q2[static_cast<std::size_t>(y) * dk + z];
        min_plus(q1, dk, 1, turned, out, di, dk, dj);
    } else if (position == 1) {
        cells = static_cast<std::size_t>(di) * dk;
        out = scratch.first(cells);
        min_plus(q0, dj, 1, q2, out, di, dj, dk);
    } else {
        cells = static_cast<std::size_t>(dj) * dk;
        out = scratch.first(cells);
        min_plus(q0, 1, dj, q1, out, dj, di, dk);
    }
    i64* __restrict T = net.T.data() + net.E[r.e[position]].t;
    for (std::size_t c = 0; c < cells; ++c) {
        const i64 m = std::min(out[c], BIG);
        T[c] = std::min(T[c] + m + mine[c], 2 * BIG);
        mine[c] = -m;
    }
}

// The edge takes from the triplets it changed hands with before, then gives equal shares to those that come later.
inline __attribute__((always_inline)) void serve_edge(Net& net, int edge, bool forward, Scratch& scratch) {
    const int from = net.tri_start[edge], to = net.tri_start[edge + 1];
    if (from == to) return;
    const int first = forward ? 0 : 2, last = forward ? 2 : 0;
    int ahead = 0, behind = 0;
    for (int at = from; at < to; ++at) {
        const int position = net.tri[at] % 3;
        if (position != first) {
            pull_triplet(net, net.R[net.tri[at] / 3], position, scratch);
            ++behind;
        }
        ahead += position != last;
    }
    if (!ahead) return;
    const i64 parts = std::max(ahead, behind) + 1;
    const Edge& e = net.E[edge];
    const int da = net.size(e.a), db = net.size(e.b);
    i64* __restrict T = net.T.data() + e.t;
    const i64* __restrict ma = net.M.data() + e.ma;
    const i64* __restrict mb = net.M.data() + e.mb;
    const std::size_t cells = static_cast<std::size_t>(da) * db;
    i64* __restrict share = scratch.first(cells);
    const double inverse = 1.0 / static_cast<double>(parts);
    for (int x = 0; x < da; ++x)
        for (int y = 0; y < db; ++y) {
            const std::size_t c = static_cast<std::size_t>(x) * db + y;
            const i64 reduced = T[c] - ma[x] - mb[y];
            // Any share in [0, reduced] is sound; the product in double precision is quicker than a division.
            const i64 part = static_cast<i64>(static_cast<double>(reduced) * inverse * 0.9999999999);
            const bool forbidden = reduced >= BIG / 2;
            share[c] = forbidden ? BIG : part;
            T[c] -= forbidden ? 0 : part * ahead;
        }
    for (int at = from; at < to; ++at) {
        const int position = net.tri[at] % 3;
        if (position == last) continue;
        i64* __restrict mine = net.Q.data() + net.R[net.tri[at] / 3].q[position];
        for (std::size_t c = 0; c < cells; ++c) mine[c] = std::min(mine[c] + share[c], BIG);
    }
}

inline __attribute__((always_inline)) int serve_variable(Net& net, int i, bool forward, i64 cut, i64* marginal) {
    const int size = net.size(i);
    i64* u = net.U.data() + net.start[i];
    char* dead = net.dead.data() + net.start[i];
    i64 least = BIG;
    int died = 0;
    for (int x = 0; x < size; ++x) least = std::min(least, dead[x] ? BIG : u[x]);
    if (least >= BIG / 2) {
        net.infeasible = true;
        return 0;
    }
    net.constant += least;
    const i64 room = cut - net.constant;  // what a choice may cost beyond the bound
    for (int x = 0; x < size; ++x) {
        u[x] -= least;
        if (!dead[x] && u[x] > room) {
            dead[x] = 1;
            ++died;
        }
        if (dead[x]) u[x] = BIG;
        if (marginal) marginal[net.start[i] + x] = u[x];
    }
    const int low = net.low_start[i + 1] - net.low_start[i], up = net.up_start[i + 1] - net.up_start[i];
    const int ahead = forward ? up : low;
    if (!ahead) return died;
    const i64 parts = std::max(low, up);
    const int* edges = forward ? net.up.data() + net.up_start[i] : net.low.data() + net.low_start[i];
    for (int x = 0; x < size; ++x) {
        const i64 part = dead[x] ? BIG : u[x] / parts;
        if (part == 0) continue;
        if (!dead[x]) u[x] -= part * ahead;
        for (int at = 0; at < ahead; ++at) {
            const Edge& e = net.E[edges[at]];
            i64& m = net.M[(forward ? e.ma : e.mb) + x];
            m = dead[x] ? -BIG : m - part;
        }
    }
    return died;
}

}  // namespace

DM_CLONES int sweep(Net& net, bool forward, i64 cut, int* label, i64* marginal) {
    Scratch scratch;
    std::vector<i64> score;
    int died = 0;
    for (int step = 0; step < net.n && !net.infeasible; ++step) {
        const int i = forward ? step : net.n - 1 - step;
        if (!forward)
            for (int at = net.up_start[i + 1] - 1; at >= net.up_start[i]; --at)
                serve_edge(net, net.up[at], false, scratch);
        if (forward) {
            i64* room = scratch.first(net.size(i));
            for (int at = net.low_start[i]; at < net.low_start[i + 1]; ++at) pull_b(net, net.E[net.low[at]], room);
        } else {
            for (int at = net.up_start[i]; at < net.up_start[i + 1]; ++at) pull_a(net, net.E[net.up[at]]);
        }
        if (label) {  // the choice that costs least given the labels so far and the messages from the rest
            const int size = net.size(i);
            score.assign(net.U.begin() + net.start[i], net.U.begin() + net.start[i + 1]);
            if (forward)
                for (int at = net.low_start[i]; at < net.low_start[i + 1]; ++at) {
                    const Edge& e = net.E[net.low[at]];
                    const i64* row = net.T.data() + e.t + static_cast<std::size_t>(label[e.a]) * size;
                    const i64 m = net.M[e.ma + label[e.a]];
                    for (int x = 0; x < size; ++x) score[x] = clamp(score[x] + clamp(row[x] - m - net.M[e.mb + x]));
                }
            else
                for (int at = net.up_start[i]; at < net.up_start[i + 1]; ++at) {
                    const Edge& e = net.E[net.up[at]];
                    const int width = net.size(e.b);
                    const i64* column = net.T.data() + e.t + label[e.b];
                    const i64 m = net.M[e.mb + label[e.b]];
                    for (int x = 0; x < size; ++x)
                        score[x] = clamp(score[x] + clamp(column[static_cast<std::size_t>(x) * width] - m - net.M[e.ma + x]));
                }
            int best = -1;
            for (int x = 0; x < size; ++x)
                if (!net.dead[net.start[i] + x] && (best < 0 || score[x] < score[best])) best = x;
            label[i] = std::max(best, 0);
        }
        died += serve_variable(net, i, forward, cut, marginal);
        if (forward)
            for (int at = net.up_start[i]; at < net.up_start[i + 1]; ++at)
                serve_edge(net, net.up[at], true, scratch);
    }
    return died;
}

namespace {

using wide = __int128;

i64 floor_price(wide lambda, i64 usage) { return static_cast<i64>((lambda * usage) >> kPrice); }

wide total_price(const Net& net, const std::vector<i64>& lambda) {
    wide total = 0;
    for (std::size_t r = 0; r < lambda.size(); ++r) total += static_cast<wide>(lambda[r]) * net.capacity[r];
    return total;
}

}  // namespace

void set_multipliers(Net& net, const std::vector<i64>& lambda) {
    const std::size_t rows = lambda.size();
    std::vector<wide> before(rows + 1, 0), after(rows + 1, 0);
    for (std::size_t r = 0; r < rows; ++r) {
        before[r + 1] = before[r] + net.lambda[r];
        after[r + 1] = after[r] + lambda[r];
    }
    const wide mask = (static_cast<wide>(1) << kPrice) - 1;
    net.constant += static_cast<i64>(total_price(net, net.lambda) >> kPrice);
    net.constant -= static_cast<i64>((total_price(net, lambda) + mask) >> kPrice);
    for (int i = 0; i < net.n; ++i) {
        wide old_price = 0, new_price = 0;
        if (net.row_lo[i] < net.row_hi[i]) {
            old_price = before[net.row_hi[i]] - before[net.row_lo[i]];
            new_price = after[net.row_hi[i]] - after[net.row_lo[i]];
        }
        if (old_price == new_price) continue;
        i64 least = BIG;
        for (int x = net.start[i]; x < net.start[i + 1]; ++x) {
            if (net.dead[x]) continue;
            net.U[x] += floor_price(new_price, net.usage[x]) - floor_price(old_price, net.usage[x]);
            least = std::min(least, net.U[x]);
        }
        if (least >= BIG / 2) continue;
        net.constant += least;
        for (int x = net.start[i]; x < net.start[i + 1]; ++x)
            if (!net.dead[x]) net.U[x] -= least;
    }
    net.lambda = lambda;
}

void Net::index() {
    const int m = static_cast<int>(E.size());
    std::vector<int> order(m);
    for (int e = 0; e < m; ++e) order[e] = e;
    std::sort(order.begin(), order.end(), [this](int p, int q) {
        return E[p].a != E[q].a ? E[p].a < E[q].a : E[p].b < E[q].b;
    });
    low_start.assign(n + 1, 0);
    up_start.assign(n + 1, 0);
    for (const Edge& e : E) {
        ++up_start[e.a + 1];
        ++low_start[e.b + 1];
    }
    for (int i = 0; i < n; ++i) {
        low_start[i + 1] += low_start[i];
        up_start[i + 1] += up_start[i];
    }
    low.resize(m);
    up.resize(m);
    std::vector<int> at_low(low_start.begin(), low_start.end() - 1), at_up(up_start.begin(), up_start.end() - 1);
    for (const int e : order) {
        up[at_up[E[e].a]++] = e;
        low[at_low[E[e].b]++] = e;
    }
    tri_start.assign(m + 1, 0);
    for (const Triplet& r : R)
        for (const int e : r.e) ++tri_start[e + 1];
    for (int e = 0; e < m; ++e) tri_start[e + 1] += tri_start[e];
    tri.resize(3 * R.size());
    std::vector<int> at(tri_start.begin(), tri_start.end() - 1);
    for (std::size_t r = 0; r < R.size(); ++r)
        for (int p = 0; p < 3; ++p) tri[at[R[r].e[p]]++] = static_cast<int>(3 * r) + p;
}

}  // namespace dm::net

// Assignments: pricing, repair of what exceeds the rows, local descent.

#include <algorithm>

#include "search.hpp"

namespace dm::net {

i64 Posed::evaluate(const std::vector<int>& x) const {
    i64 total = 0;
    for (int i = 0; i < n; ++i) {
        const i64 cost = unary[start[i] + x[i]];
        if (cost >= BIG / 2) return BIG;
        total += cost;
    }
    for (const Link& link : links) {
        const i64 cost = tables[link.t + static_cast<std::size_t>(x[link.a]) * size(link.b) + x[link.b]];
        if (cost >= BIG / 2) return BIG;
        total += cost;
    }
    if (has_rows()) {
        std::vector<i64> used;
        usage_by_row(x, used);
        for (std::size_t r = 0; r < capacity.size(); ++r)
            if (used[r] > capacity[r]) return BIG;
    }
    return total;
}

void Posed::usage_by_row(const std::vector<int>& x, std::vector<i64>& used) const {
    used.assign(capacity.size() + 1, 0);
    for (int i = 0; i < n; ++i)
        if (row_lo[i] < row_hi[i]) {
            used[row_lo[i]] += usage[start[i] + x[i]];
            used[row_hi[i]] -= usage[start[i] + x[i]];
        }
    for (std::size_t r = 1; r <= capacity.size(); ++r) used[r] += used[r - 1];
}

void Posed::conditional(int i, const std::vector<int>& x, std::vector<i64>& cost) const {
    const int d = size(i);
    cost.assign(unary.begin() + start[i], unary.begin() + start[i + 1]);
    for (int at = side_start[i]; at < side_start[i + 1]; ++at) {
        const Link& link = links[side[at] / 2];
        if (side[at] % 2) {
            const i64* row = tables.data() + link.t + static_cast<std::size_t>(x[link.a]) * d;
            for (int y = 0; y < d; ++y) cost[y] = std::min(cost[y] + row[y], BIG);
        } else {
            const int width = size(link.b);
            const i64* column = tables.data() + link.t + x[link.b];
            for (int y = 0; y < d; ++y) cost[y] = std::min(cost[y] + column[static_cast<std::size_t>(y) * width], BIG);
        }
    }
}

bool repair(const Posed& posed, std::vector<int>& x) {
    std::vector<i64> used, cost;
    posed.usage_by_row(x, used);
    const std::size_t rows = posed.capacity.size();
    for (int step = 0; step < 4 * posed.n + 100; ++step) {
        std::size_t worst = 0;
        i64 over = 0;
        for (std::size_t r = 0; r < rows; ++r)
            if (used[r] - posed.capacity[r] > over) over = used[r] - posed.capacity[r], worst = r;
        if (over == 0) return true;
        int chosen = -1, choice = -1;
        double least = 0;
        const int row = static_cast<int>(worst);
        for (int i = 0; i < posed.n; ++i) {
            if (!(posed.row_lo[i] <= row && row < posed.row_hi[i])) continue;
            const i64* u = posed.usage.data() + posed.start[i];
            bool any = false;
            for (int y = 0; y < posed.size(i); ++y) any |= u[y] < u[x[i]];
            if (!any) continue;
            posed.conditional(i, x, cost);
            for (int y = 0; y < posed.size(i); ++y) {
                if (u[y] >= u[x[i]] || cost[y] >= BIG / 2) continue;
                const double saved = static_cast<double>(std::min(u[x[i]] - u[y], over));
                const double price = static_cast<double>(cost[y] - std::min(cost[x[i]], BIG / 2)) / saved;
                if (chosen < 0 || price < least) chosen = i, choice = y, least = price;
            }
        }
        if (chosen < 0) return false;
        const i64 change = posed.usage[posed.start[chosen] + choice] - posed.usage[posed.start[chosen] + x[chosen]];
        for (int r = posed.row_lo[chosen]; r < posed.row_hi[chosen]; ++r) used[r] += change;
        x[chosen] = choice;
    }
    return false;
}

void descend(const Posed& posed, std::vector<int>& x, std::chrono::steady_clock::time_point deadline) {
    std::vector<i64> used, cost;
    if (posed.has_rows()) posed.usage_by_row(x, used);
    std::vector<int> queue;
    std::vector<char> queued(posed.n, 1);
    for (int i = 0; i < posed.n; ++i) queue.push_back(i);
    std::size_t head = 0;
    while (head < queue.size()) {
        const int i = queue[head++];
        queued[i] = 0;
        if ((head & 1023) == 0 && std::chrono::steady_clock::now() >= deadline) return;
        if (posed.size(i) < 2) continue;
        posed.conditional(i, x, cost);
        int best = x[i];
        i64 slack = BIG;
        if (posed.has_rows())
            for (int r = posed.row_lo[i]; r < posed.row_hi[i]; ++r) slack = std::min(slack, posed.capacity[r] - used[r]);
        for (int y = 0; y < posed.size(i); ++y) {
            if (cost[y] >= cost[best]) continue;
            if (posed.has_rows() && posed.usage[posed.start[i] + y] - posed.usage[posed.start[i] + x[i]] > slack) continue;
            best = y;
        }
        if (best == x[i]) continue;
        if (posed.has_rows()) {
            const i64 change = posed.usage[posed.start[i] + best] - posed.usage[posed.start[i] + x[i]];
            for (int r = posed.row_lo[i]; r < posed.row_hi[i]; ++r) used[r] += change;
        }
        x[i] = best;
        for (int at = posed.side_start[i]; at < posed.side_start[i + 1]; ++at) {
            const Posed::Link& link = posed.links[posed.side[at] / 2];
            const int other = posed.side[at] % 2 ? link.a : link.b;
            if (!queued[other]) queued[other] = 1, queue.push_back(other);
        }
    }
}

}  // namespace dm::net

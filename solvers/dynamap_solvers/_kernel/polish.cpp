// Better assignments: large neighbourhoods of the incumbent, each solved by the same branch and bound with everything
// else held as it is (Shaw 1998), on a network that message passing has already made informative.

#include <algorithm>

#include "search.hpp"

namespace dm::net {

void Search::look_up_incumbent() {
    if (pool_value_ == best_value_ && static_cast<int>(pool_label_.size()) == pool_.n) return;
    pool_label_.assign(pool_.n, -1);
    for (int i = 0; i < pool_.n; ++i)
        for (int x = pool_.start[i]; x < pool_.start[i + 1]; ++x)
            if (pool_.value[x] == best_[pool_.var[i]]) pool_label_[i] = x - pool_.start[i];
    pool_value_ = best_value_;
    waste_.assign(pool_.n, 0.0);
    for (int i = 0; i < pool_.n; ++i)
        if (pool_label_[i] >= 0) waste_[i] = static_cast<double>(pool_.U[pool_.start[i] + pool_label_[i]]);
    for (const Edge& e : pool_.E) {
        const int x = pool_label_[e.a], y = pool_label_[e.b];
        if (x < 0 || y < 0) continue;
        const i64 cell = pool_.T[e.t + static_cast<std::size_t>(x) * pool_.size(e.b) + y] - pool_.M[e.ma + x] - pool_.M[e.mb + y];
        waste_[e.a] += 0.5 * static_cast<double>(cell);
        waste_[e.b] += 0.5 * static_cast<double>(cell);
    }
    for (int i = 1; i < pool_.n; ++i) waste_[i] += waste_[i - 1];
}

// Variables to set free: a connected piece grown at random, or (forest) many that span no cycle among themselves.
std::vector<int> Search::neighbourhood(bool forest) {
    std::vector<int> chosen;
    std::vector<char> in(pool_.n, 0);
    for (int i = 0; i < pool_.n; ++i)
        if (pool_label_[i] < 0) in[i] = 1, chosen.push_back(i);
    const auto visit = [this](int i, auto&& see) {
        for (int at = pool_.low_start[i]; at < pool_.low_start[i + 1]; ++at) see(pool_.E[pool_.low[at]].a);
        for (int at = pool_.up_start[i]; at < pool_.up_start[i + 1]; ++at) see(pool_.E[pool_.up[at]].b);
    };
    if (forest) {
        std::vector<int> order(pool_.n), root(pool_.n);
        for (int i = 0; i < pool_.n; ++i) order[i] = root[i] = i;
        for (int i = pool_.n - 1; i > 0; --i) std::swap(order[i], order[random_.below(i + 1)]);
        const auto find = [&root](int i) {
            while (root[i] != i) i = root[i] = root[root[i]];
            return i;
        };
        std::vector<int> seen;
        for (const int i : order) {
            if (in[i]) continue;
            seen.clear();
            visit(i, [&](int j) {
                if (in[j]) seen.push_back(find(j));
            });
            std::sort(seen.begin(), seen.end());
            if (std::adjacent_find(seen.begin(), seen.end()) != seen.end()) continue;
            for (const int r : seen) root[r] = i;
            in[i] = 1;
            chosen.push_back(i);
        }
        std::sort(chosen.begin(), chosen.end());
        return chosen;
    }
    const int wanted = std::min(pool_.n, static_cast<int>(reach_));
    std::vector<int> border;
    int grown = 0;
    while (grown < wanted) {
        int i = -1;
        if (border.empty() || (pool_.has_rows() && random_.below(8) == 0)) {
            for (int tries = 0; tries < 50 && i < 0; ++tries) {
                int candidate = random_.below(pool_.n);
                if (waste_.back() > 0 && random_.below(4) > 0) {  // mostly where something is to be gained
                    const double at = waste_.back() * static_cast<double>(random_.next() >> 11) * 0x1p-53;
                    candidate = static_cast<int>(std::upper_bound(waste_.begin(), waste_.end(), at) - waste_.begin());
                    candidate = std::min(candidate, pool_.n - 1);
                }
                if (!in[candidate]) i = candidate;
            }
            if (i < 0) break;
        } else {
            const int at = random_.below(static_cast<int>(border.size()));
            i = border[at];
            border[at] = border.back();
            border.pop_back();
            if (in[i]) continue;
        }
        in[i] = 1;
        chosen.push_back(i);
        ++grown;
        visit(i, [&](int j) {
            if (!in[j]) border.push_back(j);
        });
    }
    std::sort(chosen.begin(), chosen.end());
    return chosen;
}

// The network of the chosen variables of pool_, all others at their labels.
Net Search::extract(const std::vector<int>& chosen) const {
    Net net;
    net.n = static_cast<int>(chosen.size());
    net.gone = pool_.gone;
    std::vector<int> place(pool_.n, -1);
    net.start.push_back(0);
    for (int at = 0; at < net.n; ++at) {
        const int i = chosen[at];
        place[i] = at;
        net.var.push_back(pool_.var[i]);
        for (int x = pool_.start[i]; x < pool_.start[i + 1]; ++x) {
            net.value.push_back(pool_.value[x]);
            net.U.push_back(pool_.U[x]);
            if (pool_.has_rows()) net.usage.push_back(pool_.usage[x]);
        }
        net.start.push_back(static_cast<int>(net.U.size()));
        if (pool_.has_rows()) net.row_lo.push_back(pool_.row_lo[i]), net.row_hi.push_back(pool_.row_hi[i]);
    }
    net.dead.assign(net.U.size(), 0);
    net.constant = pool_.constant;
    if (pool_.has_rows()) {
        net.lambda = pool_.lambda;
        net.capacity = pool_.capacity;
        std::vector<i64> used(net.capacity.size() + 1, 0);
        for (int i = 0; i < pool_.n; ++i) {
            if (place[i] >= 0 || pool_.row_lo[i] >= pool_.row_hi[i]) continue;
            const i64 u = pool_.usage[pool_.start[i] + pool_label_[i]];
            used[pool_.row_lo[i]] += u;
            used[pool_.row_hi[i]] -= u;
        }
        i64 total = 0;
        for (std::size_t r = 0; r < net.capacity.size(); ++r) net.capacity[r] -= total += used[r];
    }
    for (int i = 0; i < pool_.n; ++i)
        if (place[i] < 0) net.constant = std::min(net.constant + pool_.U[pool_.start[i] + pool_label_[i]], BIG);
    std::size_t messages = 0;
    for (const Edge& e : pool_.E) {
        const int da = pool_.size(e.a), db = pool_.size(e.b);
        const i64* T = pool_.T.data() + e.t;
        const i64* ma = pool_.M.data() + e.ma;
        const i64* mb = pool_.M.data() + e.mb;
        const auto reduced = [&](int x, int y) { return T[static_cast<std::size_t>(x) * db + y] - ma[x] - mb[y]; };
        if (place[e.a] < 0 && place[e.b] < 0) {
            net.constant = std::min(net.constant + reduced(pool_label_[e.a], pool_label_[e.b]), BIG);
        } else if (place[e.a] < 0) {
            i64* u = net.U.data() + net.start[place[e.b]];
            for (int y = 0; y < db; ++y) u[y] = std::min(u[y] + reduced(pool_label_[e.a], y), BIG);
        } else if (place[e.b] < 0) {
            i64* u = net.U.data() + net.start[place[e.a]];
            for (int x = 0; x < da; ++x) u[x] = std::min(u[x] + reduced(x, pool_label_[e.b]), BIG);
        } else {
            const bool turned = place[e.a] > place[e.b];
            Edge out;
            out.a = std::min(place[e.a], place[e.b]);
            out.b = std::max(place[e.a], place[e.b]);
            out.chord = false;
            out.t = net.T.size();
            out.ma = messages;
            out.mb = messages + net.size(out.a);
            messages += da + db;
            const int rows = net.size(out.a), columns = net.size(out.b);
            for (int x = 0; x < rows; ++x)
                for (int y = 0; y < columns; ++y) net.T.push_back(turned ? reduced(y, x) : reduced(x, y));
            net.E.push_back(out);
        }
    }
    net.M.assign(messages, 0);
    net.index();
    return net;
}

constexpr int kFirstPatience = 4;  // neighbourhoods in a row that make nothing better

void Search::polish_step() {
    // Where branching is hopeless, it is better to go on here; where few variables are left, to begin branching. Before
    // triplets have been tried, which may settle all, a little does.
    const bool triplets_come = !polished_once_ && !only_root_ && settings_.max_cycle >= 3 && !pool_.has_rows();
    const int patience = pool_.n > 3000       ? 2 * pool_.n
                         : polished_once_     ? 20
                         : triplets_come      ? kFirstPatience
                         : pool_.has_rows()   ? 200
                                              : std::min({200, 40 + pool_.n / 4, std::max(4, 2 * pool_.n - 40)});
    if (!found_ || pool_.n < 2 || fruitless_ >= patience) {
        polished_once_ = true;
        phase_ = Phase::tighten;
        return;
    }
    look_up_incumbent();
    work_ += 2.0 * static_cast<double>(pool_.T.size());
    const bool forest = !pool_.has_rows() && polished_ % 2 == 0;
    ++polished_;
    const i64 before = best_value_;
    Tree tree;
    tree.current = compact(extract(neighbourhood(forest)), cut_, true);
    tree.busy = !tree.current.infeasible && tree.current.constant <= cut_;
    const i64 limit = 150;
    while ((tree.busy || !tree.open.empty()) && tree.nodes < limit && Clock::now() < last_moment_) branch_step(tree, true);
    const bool whole = !tree.busy && tree.open.empty();
    if (!forest) reach_ = whole ? std::min(reach_ * 1.05 + 0.1, 1.0 * pool_.n) : std::max(reach_ * 0.9, 6.0);
    fruitless_ = best_value_ < before ? 0 : fruitless_ + 1;
}

}  // namespace dm::net

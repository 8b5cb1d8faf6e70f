// Prices of the rows: Lagrange multipliers that raise the bound, at the root and at the nodes of the tree.

#include <algorithm>
#include <cmath>

#include "search.hpp"

namespace dm::net {

constexpr i64 kPricedCells = 2'500'000'000;  // work spent on the multipliers of the root

// The price of the costliest choice stays far below what forbids.
static void limit_multipliers(const Net& net, std::vector<i64>& lambda) {
    double total = 0, most = 1;
    for (const i64 price : lambda) total += static_cast<double>(price);
    for (const i64 u : net.usage) most = std::max(most, static_cast<double>(u));
    const double ceiling = static_cast<double>(BIG >> 5) * (1 << kPrice) / most;
    if (total > ceiling)
        for (i64& price : lambda) price = static_cast<i64>(static_cast<double>(price) * (ceiling / total));
}

// One step in the multipliers along an averaged subgradient (volume algorithm, Barahona & Anbil 2000), towards a target
// a little above the best bound; the ambition grows while targets are met and halves where they are not.
void Search::move_multipliers() {
    Net& net = root_;
    const int rows = static_cast<int>(net.capacity.size());
    std::vector<i64> used(rows + 1, 0);
    for (int i = 0; i < net.n; ++i) {
        const i64 u = net.usage[net.start[i] + label_[i]];
        if (net.row_lo[i] < net.row_hi[i]) used[net.row_lo[i]] += u, used[net.row_hi[i]] -= u;
    }
    const double quantum = static_cast<double>(settings_.quantum);
    if (priced_ == 0) {
        direction_.assign(rows, 0.0);
        best_lambda_ = net.lambda;
        best_constant_ = milestone_ = net.constant;
        ambition_ = 0.1 * std::fabs(static_cast<double>(net.constant)) + quantum;
    }
    if (net.constant > best_constant_) {
        if (static_cast<double>(net.constant - milestone_) >= ambition_) {
            ambition_ *= 1.5;
            milestone_ = net.constant;
            since_best_ = 0;
        }
        best_constant_ = net.constant;
        best_lambda_ = net.lambda;
    }
    std::vector<i64> lambda = best_lambda_;
    if (priced_ > kPricedCells / static_cast<i64>(net.T.size() + 1) + 300) {
        pricing_ = false;
        set_multipliers(net, lambda);
        return;
    }
    if (++since_best_ > 60) {
        ambition_ /= 2;
        since_best_ = 0;
        milestone_ = best_constant_;
        lambda = best_lambda_;
        if (ambition_ < 0.05 * quantum || ambition_ < 1e-6 * std::fabs(static_cast<double>(best_constant_))) pricing_ = false;
        set_multipliers(net, lambda);
        ++priced_;
        return;
    }
    double norm = 0;
    i64 total = 0;
    for (int r = 0; r < rows; ++r) {
        total += used[r];
        const double g = static_cast<double>(total - net.capacity[r]);
        direction_[r] = priced_ == 0 ? g : 0.8 * direction_[r] + 0.2 * g;
        if (direction_[r] > 0 || net.lambda[r] > 0) norm += direction_[r] * direction_[r];
    }
    ++priced_;
    if (norm == 0) return;
    const double step = ambition_ / norm * (1 << kPrice);
    for (int r = 0; r < rows; ++r) {
        const double next = static_cast<double>(lambda[r]) + step * direction_[r];
        lambda[r] = next <= 0 ? 0 : static_cast<i64>(std::min(next, 1e15));
    }
    limit_multipliers(net, lambda);
    set_multipliers(net, lambda);
}

// Moves the multipliers of a node to where its own bound is highest, as far as so many steps get; false: pruned.
bool Search::reprice(Net& net, int steps) {
    const std::size_t rows = net.capacity.size();
    Net best = net;
    std::vector<double> direction(rows, 0.0);
    std::vector<int> label(net.n);
    double ambition = 0.3 * static_cast<double>(cut_ - net.constant);
    int failed = 0;
    for (int step = 0; step < steps && failed < 6; ++step) {
        sweep(net, true, cut_, label.data(), nullptr);
        if (net.infeasible || net.constant > cut_) return false;
        if (net.constant > best.constant) {
            best.constant = net.constant;
            best.U = net.U, best.M = net.M, best.T = net.T, best.Q = net.Q, best.lambda = net.lambda;
            failed = 0;
        } else {
            ++failed;
            ambition *= 0.6;
        }
        best.dead = net.dead;
        std::vector<i64> used(rows + 1, 0);
        for (int i = 0; i < net.n; ++i) {
            if (net.row_lo[i] >= net.row_hi[i]) continue;
            const i64 u = net.usage[net.start[i] + label[i]];
            used[net.row_lo[i]] += u;
            used[net.row_hi[i]] -= u;
        }
        double norm = 0;
        i64 total = 0;
        for (std::size_t r = 0; r < rows; ++r) {
            total += used[r];
            const double g = static_cast<double>(total - net.capacity[r]);
            direction[r] = step == 0 ? g : 0.7 * direction[r] + 0.3 * g;
            if (direction[r] > 0 || best.lambda[r] > 0) norm += direction[r] * direction[r];
        }
        if (norm == 0) break;
        std::vector<i64> lambda = best.lambda;
        const double length = ambition / norm * (1 << kPrice);
        for (std::size_t r = 0; r < rows; ++r) {
            const double next = static_cast<double>(lambda[r]) + length * direction[r];
            lambda[r] = next <= 0 ? 0 : static_cast<i64>(std::min(next, 1e15));
        }
        limit_multipliers(net, lambda);
        set_multipliers(net, lambda);
        if (net.constant > cut_) return false;
        sweep(net, false, cut_, nullptr, nullptr);
        if (net.infeasible || net.constant > cut_) return false;
        if (net.constant > best.constant) {
            best.constant = net.constant;
            best.U = net.U, best.M = net.M, best.T = net.T, best.Q = net.Q, best.lambda = net.lambda;
            best.dead = net.dead;
            failed = 0;
        }
    }
    best.dead = net.dead;
    for (std::size_t x = 0; x < best.U.size(); ++x)
        if (best.dead[x]) best.U[x] = BIG;
    net = std::move(best);
    return true;
}

}  // namespace dm::net

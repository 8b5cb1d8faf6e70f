#include "elimination_plan.hpp"

#include <algorithm>

#include "common.hpp"

namespace dm {

namespace {

// Sets order, position and peak. `children` are emptied.
void go_depth_first(EliminationPlan& plan, std::vector<std::vector<int32_t>>& children, const int32_t* order) {
    const int64_t n = static_cast<int64_t>(children.size());
    std::vector<double> need(n);  // most cells alive while the subtree of a variable leaves
    std::vector<int32_t> stack, reversed;
    for (int64_t k = 0; k < n; ++k) {
        const int32_t v = order[k];
        const auto beyond = [&](int32_t c) { return need[c] - plan.cells[c]; };
        std::stable_sort(children[v].begin(), children[v].end(), [&](int32_t a, int32_t b) { return beyond(a) > beyond(b); });
        double held = 0;
        for (const int32_t c : children[v]) {
            need[v] = std::max(need[v], held + need[c]);
            held += plan.cells[c] + kSlack;
        }
        need[v] = std::max(need[v], held + plan.cells[v] + kSlack);
        if (plan.parent[v] < 0) {
            stack.push_back(v);
            plan.peak = std::max(plan.peak, need[v]);
        }
    }
    while (!stack.empty()) {  // last first
        const int32_t v = stack.back();
        stack.pop_back();
        reversed.push_back(v);
        stack.insert(stack.end(), children[v].begin(), children[v].end());
        std::vector<int32_t>().swap(children[v]);
    }
    plan.order.assign(reversed.rbegin(), reversed.rend());
    plan.position.resize(n);
    for (int64_t k = 0; k < n; ++k) plan.position[plan.order[k]] = static_cast<int32_t>(k);
}

}  // namespace

EliminationPlan plan_elimination(
    int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, const int32_t* order) {
    EliminationPlan plan;
    std::vector<int32_t> position(n);
    for (int64_t k = 0; k < n; ++k) position[order[k]] = static_cast<int32_t>(k);
    std::vector<std::vector<int32_t>> later(n);  // by position: positions of neighbours that leave later
    std::vector<double> rows(n, 0);
    for (int64_t e = 0; e < m; ++e) {
        const int32_t i = ends[2 * e], j = ends[2 * e + 1];
        if (sizes[i] == 1 || sizes[j] == 1) continue;
        const int32_t a = std::min(position[i], position[j]), b = std::max(position[i], position[j]);
        later[a].push_back(b);
        rows[a] += static_cast<double>(sizes[i]) * static_cast<double>(sizes[j]) + kSlack;
    }
    plan.parent.assign(n, -1);
    plan.cells.assign(n, 1);
    plan.first.assign(n + 1, 0);
    std::vector<std::vector<int32_t>> children(n);
    for (int64_t k = 0; k < n; ++k) {
        const int32_t v = order[k];
        auto& around = later[k];
        std::sort(around.begin(), around.end());
        around.erase(std::unique(around.begin(), around.end()), around.end());
        for (const int32_t at : around) plan.cells[v] *= static_cast<double>(sizes[order[at]]);
        plan.work += plan.cells[v] * static_cast<double>(sizes[v]);
        plan.kept += plan.cells[v];
        plan.largest = std::max(plan.largest, plan.cells[v]);
        plan.most_rows = std::max(plan.most_rows, rows[k]);
        plan.width = std::max(plan.width, static_cast<int64_t>(around.size()));
        plan.first[v + 1] = static_cast<int64_t>(around.size());
        if (around.empty()) continue;
        plan.parent[v] = order[around[0]];
        children[plan.parent[v]].push_back(v);
        later[around[0]].insert(later[around[0]].end(), around.begin() + 1, around.end());
    }
    for (int64_t v = 0; v < n; ++v) plan.first[v + 1] += plan.first[v];
    plan.scope.resize(plan.first[n]);
    for (int64_t k = 0; k < n; ++k) {
        int64_t at = plan.first[order[k]];
        for (const int32_t next : later[k]) plan.scope[at++] = order[next];
    }
    go_depth_first(plan, children, order);
    return plan;
}

}  // namespace dm

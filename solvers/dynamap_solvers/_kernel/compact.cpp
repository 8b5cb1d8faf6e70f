// From a network with dead choices to a smaller one of the same optimum: fixed variables are folded into their
// neighbours and, where nothing but costs is at stake, variables of degree <= 2 are eliminated exactly (the reductions
// R0, RI and RII of Scholz & Eckstein 2002), each leaving a record of how its choice follows.

#include <algorithm>

#include "net.hpp"

namespace dm::net {

namespace {

struct Side {
    int other, edge;
};

struct Link {
    int a = 0, b = 0;
    std::vector<i64> cost;  // reduced, rows: choices of a
    bool chord = false, alive = true;
    int triplets = 0;
};

struct Three {
    int v[3], e[3];
    std::vector<i64> q[3];
    bool alive = true;
};

inline i64 add(i64 p, i64 q) { return std::min(p + q, BIG); }

class Work {
  public:
    Work(const Net& net, i64 cut) : net_(net), cut_(cut), gone_(net.gone), constant_(net.constant) {}

    Net run(bool eliminate) {
        Net out;
        out.depth = net_.depth;
        if (!load()) {
            out.infeasible = true;
            return out;
        }
        capacity_ = net_.capacity;
        for (int i = 0; i < net_.n; ++i)
            if (keep_[i].size() == 1) fix(i);
        if (!check_rows()) {
            out.infeasible = true;
            return out;
        }
        if (eliminate) eliminate_all();
        finish(out);
        return out;
    }

  private:
    const Net& net_;
    i64 cut_;
    std::shared_ptr<const Gone> gone_;
    i64 constant_;
    std::vector<std::vector<int>> keep_;  // per variable, its living choices (positions in net)
    std::vector<std::vector<i64>> U_;
    std::vector<std::vector<Side>> near_;
    std::vector<Link> links_;
    std::vector<Three> threes_;
    std::vector<std::vector<int>> threes_of_;  // per variable
    std::vector<char> left_;
    std::vector<i64> capacity_;
    std::vector<char> redundant_;

    bool load() {
        const int n = net_.n;
        keep_.resize(n);
        U_.resize(n);
        near_.resize(n);
        left_.assign(n, 0);
        threes_of_.resize(n);
        for (int i = 0; i < n; ++i) {
            for (int x = 0; x < net_.size(i); ++x)
                if (!net_.dead[net_.start[i] + x]) {
                    keep_[i].push_back(x);
                    U_[i].push_back(net_.U[net_.start[i] + x]);
                }
            if (keep_[i].empty()) return false;
        }
        std::vector<char> in_triplet(net_.E.size(), 0);
        for (const Triplet& r : net_.R)
            for (const int e : r.e) in_triplet[e] = 1;
        links_.resize(net_.E.size());
        for (std::size_t e = 0; e < net_.E.size(); ++e) {
            const Edge& edge = net_.E[e];
            Link& link = links_[e];
            link.a = edge.a;
            link.b = edge.b;
            link.chord = edge.chord;
            const int width = net_.size(edge.b);
            const std::vector<int>&rows = keep_[edge.a], &columns = keep_[edge.b];
            link.cost.resize(rows.size() * columns.size());
            bool any = false;
            std::size_t at = 0;
            for (std::size_t p = 0; p < rows.size(); ++p) {
                const i64* row = net_.T.data() + edge.t + static_cast<std::size_t>(rows[p]) * width;
                const i64 m = net_.M[edge.ma + rows[p]];
                const i64 room = cut_ - constant_ - U_[edge.a][p];
                for (std::size_t q = 0; q < columns.size(); ++q, ++at) {
                    i64 cost = row[columns[q]] - m - net_.M[edge.mb + columns[q]];
                    if (cost + U_[edge.b][q] > room) cost = BIG;
                    link.cost[at] = cost;
                    any |= cost != 0;
                }
            }
            if (!any && !in_triplet[e]) {
                link.alive = false;
                continue;
            }
            near_[edge.a].push_back({edge.b, static_cast<int>(e)});
            near_[edge.b].push_back({edge.a, static_cast<int>(e)});
        }
        for (const Triplet& r : net_.R) {
            Three three;
            static const int ends[3][2] = {{0, 1}, {0, 2}, {1, 2}};
            for (int p = 0; p < 3; ++p) {
                three.v[p] = r.v[p];
                three.e[p] = r.e[p];
                const std::vector<int>&rows = keep_[r.v[ends[p][0]]], &columns = keep_[r.v[ends[p][1]]];
                const int width = net_.size(r.v[ends[p][1]]);
                three.q[p].resize(rows.size() * columns.size());
                std::size_t at = 0;
                for (const int x : rows)
                    for (const int y : columns)
                        three.q[p][at++] = net_.Q[r.q[p] + static_cast<std::size_t>(x) * width + y];
                ++links_[r.e[p]].triplets;
                threes_of_[r.v[p]].push_back(static_cast<int>(threes_.size()));
            }
            threes_.push_back(std::move(three));
        }
        return true;
    }

    int original(int i, int position) const { return net_.value[net_.start[i] + keep_[i][position]]; }

    i64 use(int i, int position) const { return net_.usage[net_.start[i] + keep_[i][position]]; }

    // The cell of the link where end i takes x and the other end y.
    static i64& cell(Link& link, int i, int x, int y, int size_b) {
        return i == link.a ? link.cost[static_cast<std::size_t>(x) * size_b + y]
                           : link.cost[static_cast<std::size_t>(y) * size_b + x];
    }

    int size(int i) const { return static_cast<int>(keep_[i].size()); }

    void drop_link(int edge) {
        Link& link = links_[edge];
        link.alive = false;
        for (const int end : {link.a, link.b}) {
            std::vector<Side>& near = near_[end];
            for (std::size_t p = 0; p < near.size(); ++p)
                if (near[p].edge == edge) {
                    near[p] = near.back();
                    near.pop_back();
                    break;
                }
        }
    }

    void record(int i, const int other[2], std::vector<int> choice) {
        auto gone = std::make_shared<Gone>();
        gone->variable = net_.var[i];
        for (int p = 0; p < 2; ++p) {
            gone->other[p] = other[p] < 0 ? -1 : net_.var[other[p]];
            if (other[p] >= 0)
                for (int x = 0; x < size(other[p]); ++x) gone->other_values[p].push_back(original(other[p], x));
        }
        gone->choice = std::move(choice);
        gone->next = gone_;
        gone_ = std::move(gone);
        left_[i] = 1;
    }

    void spend(int i, i64 amount) {
        if (net_.has_rows())
            for (int r = net_.row_lo[i]; r < net_.row_hi[i]; ++r) capacity_[r] -= amount;
    }

    // Folds what a triplet costs, given that its variable v[p] has one choice, into the edge opposite.
    void fold_triplet(Three& three, int p) {
        const int dj = size(three.v[1]), dk = size(three.v[2]);
        const int opposite = p == 0 ? 2 : p == 1 ? 1 : 0;
        Link& link = links_[three.e[opposite]];
        const int rows = size(link.a), columns = size(link.b);
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < columns; ++c) {
                const int x = p == 0 ? 0 : r, y = p == 0 ? r : p == 1 ? 0 : c, z = p == 2 ? 0 : c;
                const i64 s = three.q[0][static_cast<std::size_t>(x) * dj + y] +
                              three.q[1][static_cast<std::size_t>(x) * dk + z] +
                              three.q[2][static_cast<std::size_t>(y) * dk + z];
                i64& cost = link.cost[static_cast<std::size_t>(r) * columns + c];
                cost = add(cost, s);
            }
        three.alive = false;
        for (const int e : three.e) --links_[e].triplets;
    }

    void fix(int i) {
        for (const int t : threes_of_[i]) {
            Three& three = threes_[t];
            if (!three.alive) continue;
            fold_triplet(three, three.v[0] == i ? 0 : three.v[1] == i ? 1 : 2);
        }
        while (!near_[i].empty()) {
            const Side side = near_[i].back();
            Link& link = links_[side.edge];
            for (int y = 0; y < size(side.other); ++y)
                U_[side.other][y] = add(U_[side.other][y], cell(link, i, 0, y, size(link.b)));
            drop_link(side.edge);
        }
        constant_ = add(constant_, U_[i][0]);
        if (net_.has_rows()) spend(i, use(i, 0));
        const int nobody[2] = {-1, -1};
        record(i, nobody, {original(i, 0)});
    }

    bool check_rows() {
        if (!net_.has_rows()) return true;
        const int rows = static_cast<int>(capacity_.size());
        std::vector<i64> least(rows + 1, 0), most(rows + 1, 0);
        for (int i = 0; i < net_.n; ++i) {
            if (left_[i] || net_.row_lo[i] >= net_.row_hi[i]) continue;
            i64 low = use(i, 0), high = low;
            for (int x = 1; x < size(i); ++x) {
                low = std::min(low, use(i, x));
                high = std::max(high, use(i, x));
            }
            least[net_.row_lo[i]] += low;
            least[net_.row_hi[i]] -= low;
            most[net_.row_lo[i]] += high;
            most[net_.row_hi[i]] -= high;
        }
        redundant_.assign(rows, 0);
        i64 low = 0, high = 0;
        for (int r = 0; r < rows; ++r) {
            low += least[r];
            high += most[r];
            if (low > capacity_[r]) return false;
            redundant_[r] = high <= capacity_[r];
        }
        return true;
    }

    bool may_leave(int i) const {
        if (!net_.has_rows()) return true;
        bool same = true;
        for (int x = 1; x < size(i); ++x) same &= use(i, x) == use(i, 0);
        if (same) return true;
        for (int r = net_.row_lo[i]; r < net_.row_hi[i]; ++r)
            if (!redundant_[r]) return false;
        return true;
    }

    void eliminate_all() {
        std::vector<int> queue;
        for (int i = net_.n - 1; i >= 0; --i)
            if (!left_[i] && near_[i].size() <= 2) queue.push_back(i);
        while (!queue.empty()) {
            const int i = queue.back();
            queue.pop_back();
            if (left_[i] || near_[i].size() > 2 || !may_leave(i)) continue;
            std::vector<Side> sides = near_[i];
            eliminate(i);
            for (const Side& side : sides)
                if (near_[side.other].size() <= 2) queue.push_back(side.other);
        }
    }

    void eliminate(int i) {
        i64 same = net_.has_rows() ? use(i, 0) : 0;
        for (int x = 1; net_.has_rows() && x < size(i); ++x) same = std::max(same, use(i, x));
        spend(i, same);  // all choices use the same, or the rows are redundant anyway
        const std::vector<i64>& u = U_[i];
        if (near_[i].empty()) {
            const int best = static_cast<int>(std::min_element(u.begin(), u.end()) - u.begin());
            constant_ = add(constant_, u[best]);
            const int nobody[2] = {-1, -1};
            record(i, nobody, {original(i, best)});
            return;
        }
        if (near_[i].size() == 1) {
            const Side side = near_[i][0];
            Link& link = links_[side.edge];
            std::vector<int> choice(size(side.other));
            for (int y = 0; y < size(side.other); ++y) {
                i64 least = 4 * BIG;
                int best = 0;
                for (int x = 0; x < size(i); ++x) {
                    const i64 cost = u[x] + cell(link, i, x, y, size(link.b));
                    if (cost < least) least = cost, best = x;
                }
                U_[side.other][y] = add(U_[side.other][y], least);
                choice[y] = original(i, best);
            }
            const int other[2] = {side.other, -1};
            drop_link(side.edge);
            record(i, other, std::move(choice));
            return;
        }
        Side first = near_[i][0], second = near_[i][1];
        if (first.other > second.other) std::swap(first, second);
        const int j = first.other, k = second.other, di = size(i), dj = size(j), dk = size(k);
        // Laid out so that the innermost loop runs along memory.
        std::vector<i64> to_k(static_cast<std::size_t>(di) * dk), out(static_cast<std::size_t>(dj) * dk, 4 * BIG);
        std::vector<int> choice(out.size(), 0);
        for (int x = 0; x < di; ++x)
            for (int z = 0; z < dk; ++z)
                to_k[static_cast<std::size_t>(x) * dk + z] = cell(links_[second.edge], i, x, z, size(links_[second.edge].b));
        Three* three = nullptr;
        for (const int t : threes_of_[i])
            if (threes_[t].alive) three = &threes_[t];
        for (int y = 0; y < dj; ++y)
            for (int x = 0; x < di; ++x) {
                const i64 base = u[x] + cell(links_[first.edge], i, x, y, size(links_[first.edge].b));
                for (int z = 0; z < dk; ++z) {
                    i64 cost = base + to_k[static_cast<std::size_t>(x) * dk + z];
                    if (three) cost += triplet_cell(*three, i, x, j, y, z);
                    const std::size_t at = static_cast<std::size_t>(y) * dk + z;
                    if (cost < out[at]) out[at] = cost, choice[at] = x;
                }
            }
        for (int& x : choice) x = original(i, x);
        if (three) {
            three->alive = false;
            for (const int e : three->e) --links_[e].triplets;
        }
        drop_link(first.edge);
        drop_link(second.edge);
        const int other[2] = {j, k};
        record(i, other, std::move(choice));
        for (const Side& side : near_[j])
            if (side.other == k) {
                Link& link = links_[side.edge];
                link.chord = false;
                for (std::size_t at = 0; at < out.size(); ++at) link.cost[at] = add(link.cost[at], out[at]);
                return;
            }
        Link link;
        link.a = j;
        link.b = k;
        for (i64& cost : out) cost = std::min(cost, BIG);
        if (std::all_of(out.begin(), out.end(), [](i64 cost) { return cost == 0; })) return;
        link.cost = std::move(out);
        near_[j].push_back({k, static_cast<int>(links_.size())});
        near_[k].push_back({j, static_cast<int>(links_.size())});
        links_.push_back(std::move(link));
    }

    i64 triplet_cell(const Three& three, int i, int x, int j, int y, int z) const {
        int at[3];
        for (int p = 0; p < 3; ++p) at[p] = three.v[p] == i ? x : three.v[p] == j ? y : z;
        const int dj = size(three.v[1]), dk = size(three.v[2]);
        return three.q[0][static_cast<std::size_t>(at[0]) * dj + at[1]] +
               three.q[1][static_cast<std::size_t>(at[0]) * dk + at[2]] +
               three.q[2][static_cast<std::size_t>(at[1]) * dk + at[2]];
    }

    void finish(Net& out) {
        std::vector<int> place(net_.n, -1);
        out.start.push_back(0);
        for (int i = 0; i < net_.n; ++i) {
            if (left_[i]) continue;
            place[i] = out.n++;
            out.var.push_back(net_.var[i]);
            for (int x = 0; x < size(i); ++x) {
                out.value.push_back(original(i, x));
                out.U.push_back(U_[i][x]);
                if (net_.has_rows()) out.usage.push_back(use(i, x));
            }
            out.start.push_back(static_cast<int>(out.U.size()));
            if (net_.has_rows()) {
                out.row_lo.push_back(net_.row_lo[i]);
                out.row_hi.push_back(net_.row_hi[i]);
            }
        }
        out.dead.assign(out.U.size(), 0);
        std::vector<int> edge_place(links_.size(), -1);
        std::size_t cells = 0, messages = 0;
        for (std::size_t e = 0; e < links_.size(); ++e) {
            const Link& link = links_[e];
            if (!link.alive) continue;
            Edge edge;
            edge.a = place[link.a];
            edge.b = place[link.b];
            edge.chord = link.chord;
            edge.t = cells;
            edge.ma = messages;
            edge.mb = messages + keep_[link.a].size();
            messages += keep_[link.a].size() + keep_[link.b].size();
            cells += link.cost.size();
            edge_place[e] = static_cast<int>(out.E.size());
            out.E.push_back(edge);
        }
        out.T.reserve(cells);
        for (const Link& link : links_)
            if (link.alive) out.T.insert(out.T.end(), link.cost.begin(), link.cost.end());
        out.M.assign(messages, 0);
        for (const Three& three : threes_) {
            if (!three.alive) continue;
            Triplet r;
            for (int p = 0; p < 3; ++p) {
                r.v[p] = place[three.v[p]];
                r.e[p] = edge_place[three.e[p]];
                r.q[p] = out.Q.size();
                out.Q.insert(out.Q.end(), three.q[p].begin(), three.q[p].end());
            }
            out.R.push_back(r);
        }
        out.constant = constant_;
        out.capacity = capacity_;
        out.lambda = net_.lambda;
        out.gone = gone_;
        out.index();
    }
};

}  // namespace

Net compact(const Net& net, i64 cut, bool eliminate) { return Work(net, cut).run(eliminate); }

}  // namespace dm::net

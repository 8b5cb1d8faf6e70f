// Tightening: triplets along short cycles on which the present reparametrisation is frustrated, that is, where the
// cheapest assignment of the cycle alone costs more than nothing (Sontag, Choe & Li 2012, "Efficiently searching for
// frustrated cycles in MAP inference"). A longer cycle is covered by a fan of triplets over chords without cost.

#include <algorithm>
#include <set>
#include <unordered_map>

#include "net.hpp"

namespace dm::net {

namespace {

struct Cycle {
    std::vector<int> v;
    double score;
};

class Finder {
  public:
    Finder(Net& net, int max_length) : net_(net), max_length_(max_length), near_(net.n), degree_(net.n, 0) {
        for (std::size_t e = 0; e < net.E.size(); ++e) {
            near_[net.E[e].a].push_back({net.E[e].b, static_cast<int>(e)});
            near_[net.E[e].b].push_back({net.E[e].a, static_cast<int>(e)});
            ++degree_[net.E[e].a];
            ++degree_[net.E[e].b];
            edge_of_[key(net.E[e].a, net.E[e].b)] = static_cast<int>(e);
        }
        for (auto& near : near_) std::sort(near.begin(), near.end());
        for (const Triplet& r : net.R) known_.insert({r.v[0], r.v[1], r.v[2]});
    }

    int add(std::size_t max_cells) {
        find();
        std::sort(found_.begin(), found_.end(), [](const Cycle& p, const Cycle& q) {
            return p.score != q.score ? p.score > q.score : p.v < q.v;
        });
        std::size_t cells = 0;
        for (const Triplet& r : net_.R) cells += work(r.v[0], r.v[1], r.v[2]);
        int added = 0;
        for (const Cycle& cycle : found_) {
            if (cells >= max_cells) break;
            const int length = static_cast<int>(cycle.v.size());
            if (length == 4) {  // both diagonals: the four triangles together are stronger than either pair
                for (int p = 0; p < 4; ++p)
                    added += triplet(cycle.v[p], cycle.v[(p + 1) % 4], cycle.v[(p + 2) % 4], cells);
                continue;
            }
            int centre = 0;
            for (int p = 1; p < length; ++p)
                if (net_.size(cycle.v[p]) < net_.size(cycle.v[centre])) centre = p;
            for (int p = 1; p + 1 < length; ++p)
                added += triplet(cycle.v[centre], cycle.v[(centre + p) % length], cycle.v[(centre + p + 1) % length], cells);
        }
        net_.index();
        return added;
    }

  private:
    Net& net_;
    int max_length_;
    std::vector<std::vector<std::pair<int, int>>> near_;
    std::vector<int> degree_;
    std::unordered_map<std::uint64_t, int> edge_of_;
    std::set<std::vector<int>> known_, seen_;
    std::vector<Cycle> found_;

    static std::uint64_t key(int a, int b) {
        return static_cast<std::uint64_t>(std::min(a, b)) << 32 | static_cast<std::uint64_t>(std::max(a, b));
    }

    std::size_t work(int i, int j, int k) const {
        return static_cast<std::size_t>(net_.size(i)) * net_.size(j) * net_.size(k);
    }

    int edge(int a, int b) {
        if (a > b) std::swap(a, b);
        const auto at = edge_of_.find(key(a, b));
        if (at != edge_of_.end()) return at->second;
        Edge e;
        e.a = a;
        e.b = b;
        e.chord = true;
        e.t = net_.T.size();
        net_.T.resize(net_.T.size() + static_cast<std::size_t>(net_.size(a)) * net_.size(b), 0);
        e.ma = net_.M.size();
        e.mb = e.ma + net_.size(a);
        net_.M.resize(net_.M.size() + net_.size(a) + net_.size(b), 0);
        net_.E.push_back(e);
        return edge_of_[key(a, b)] = static_cast<int>(net_.E.size()) - 1;
    }

    int triplet(int i, int j, int k, std::size_t& cells) {
        std::vector<int> v{i, j, k};
        std::sort(v.begin(), v.end());
        if (!known_.insert(v).second) return 0;
        Triplet r;
        for (int p = 0; p < 3; ++p) r.v[p] = v[p];
        static const int ends[3][2] = {{0, 1}, {0, 2}, {1, 2}};
        for (int p = 0; p < 3; ++p) {
            r.e[p] = edge(v[ends[p][0]], v[ends[p][1]]);
            r.q[p] = net_.Q.size();
            net_.Q.resize(net_.Q.size() + static_cast<std::size_t>(net_.size(v[ends[p][0]])) * net_.size(v[ends[p][1]]), 0);
        }
        net_.R.push_back(r);
        cells += work(v[0], v[1], v[2]);
        return 1;
    }

    void find() {
        std::vector<int> from(net_.n), depth(net_.n, -1), queue;
        for (int v = 0; v < net_.n; ++v) {
            const std::size_t degree = std::min<std::size_t>(near_[v].size(), 24);
            for (std::size_t p = 0; p < degree; ++p) {
                // breadth first from one neighbour, avoiding v, to all later neighbours
                queue.assign(1, near_[v][p].first);
                depth[queue[0]] = 0;
                from[queue[0]] = -1;
                for (std::size_t head = 0; head < queue.size() && queue.size() < 5000; ++head) {
                    const int at = queue[head];
                    if (depth[at] >= max_length_ - 2) break;
                    for (const auto& [next, e] : near_[at])
                        if (next != v && depth[next] < 0) depth[next] = depth[at] + 1, from[next] = at, queue.push_back(next);
                }
                for (std::size_t q = p + 1; q < degree; ++q) {
                    const int end = near_[v][q].first;
                    if (depth[end] < 0) continue;
                    std::vector<int> cycle{v};
                    for (int at = end; at >= 0; at = from[at]) cycle.push_back(at);
                    consider(cycle);
                }
                for (const int at : queue) depth[at] = -1;
            }
        }
    }

    // Reduced cost of the link p - q with its share of the unaries, rows: choices of p.
    void table(int p, int q, std::vector<i64>& out) const {
        const Edge& e = net_.E[edge_of_.at(key(p, q))];
        const int dp = net_.size(p), dq = net_.size(q);
        out.resize(static_cast<std::size_t>(dp) * dq);
        for (int x = 0; x < dp; ++x)
            for (int y = 0; y < dq; ++y) {
                const int row = e.a == p ? x : y, column = e.a == p ? y : x;
                const i64 reduced = net_.T[e.t + static_cast<std::size_t>(row) * net_.size(e.b) + column] -
                                    net_.M[e.ma + row] - net_.M[e.mb + column];
                out[static_cast<std::size_t>(x) * dq + y] =
                    std::min(BIG, reduced + net_.U[net_.start[p] + x] / degree_[p] + net_.U[net_.start[q] + y] / degree_[q]);
            }
    }

    void consider(const std::vector<int>& cycle) {
        std::vector<int> sorted = cycle;
        std::sort(sorted.begin(), sorted.end());
        const int length = static_cast<int>(cycle.size());
        if (length == 3 && known_.count(sorted)) return;
        if (!seen_.insert(sorted).second) return;
        const int d0 = net_.size(cycle[0]);
        std::vector<i64> path, link, next;
        table(cycle[0], cycle[1], path);
        for (int p = 1; p + 1 < length; ++p) {
            const int mid = net_.size(cycle[p]), far = net_.size(cycle[p + 1]);
            table(cycle[p], cycle[p + 1], link);
            next.assign(static_cast<std::size_t>(d0) * far, 2 * BIG);
            for (int x = 0; x < d0; ++x)
                for (int y = 0; y < mid; ++y) {
                    const i64 a = path[static_cast<std::size_t>(x) * mid + y];
                    for (int z = 0; z < far; ++z) {
                        i64& best = next[static_cast<std::size_t>(x) * far + z];
                        best = std::min(best, a + link[static_cast<std::size_t>(y) * far + z]);
                    }
                }
            for (i64& cost : next) cost = std::min(cost, BIG);
            path.swap(next);
        }
        table(cycle[0], cycle[length - 1], link);
        i64 least = 2 * BIG;
        for (std::size_t c = 0; c < link.size(); ++c) least = std::min(least, path[c] + link[c]);
        if (least > 0) found_.push_back({cycle, static_cast<double>(least)});
    }
};

}  // namespace

int add_triplets(Net& net, int max_length, std::size_t max_cells) { return Finder(net, max_length).add(max_cells); }

}  // namespace dm::net

// The search: root ascent, tighter relaxation, branch and bound. One object per solve, no state elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "net.hpp"

namespace dm::net {

// The problem as posed, in work units: parallel edges merged, ends ascending, forbidden cells at BIG.
struct Posed {
    int n = 0;
    std::vector<int> start;                      // n + 1
    std::vector<i64> unary;
    struct Link {
        int a, b;
        std::size_t t;
    };
    std::vector<Link> links;
    std::vector<i64> tables;
    std::vector<int> side_start, side;           // per variable: 2 * link + (1 if it is end b)
    std::vector<i64> usage;                      // per choice; empty without rows
    std::vector<int> row_lo, row_hi;
    std::vector<i64> capacity;

    int size(int i) const { return start[i + 1] - start[i]; }
    bool has_rows() const { return !capacity.empty(); }
    i64 evaluate(const std::vector<int>& x) const;  // BIG where not allowed
    // Adds to cost[y] what variable i costs with choice y next to its neighbours in x.
    void conditional(int i, const std::vector<int>& x, std::vector<i64>& cost) const;
    void usage_by_row(const std::vector<int>& x, std::vector<i64>& used) const;
};

struct Random {  // xorshift64*, Vigna 2016
    std::uint64_t state;
    explicit Random(std::uint64_t seed) : state(seed * 0x9E3779B97F4A7C15ULL + 0x106689D45497FDB5ULL) {}
    std::uint64_t next() {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return state * 0x2545F4914F6CDD1DULL;
    }
    int below(int count) { return static_cast<int>((next() >> 33) % static_cast<std::uint64_t>(count)); }
};

// Makes an assignment keep the rows, greedily by least cost per usage saved; false where it gets stuck.
bool repair(const Posed& posed, std::vector<int>& x);
// Improves an allowed assignment by single and pair moves until none helps (or the deadline).
void descend(const Posed& posed, std::vector<int>& x, std::chrono::steady_clock::time_point deadline);

struct Settings {
    i64 quantum = 1;         // an improvement is at least this much
    std::uint64_t seed = 0;
    int max_cycle = 0;       // longest cycle to cover with triplets
    std::size_t max_triplet_cells = 0;
    int sweeps_at_node = 0;
    double stall = 0;
};

class Search {
  public:
    Search(Posed posed, Settings settings);
    enum class Pause { finished, time, work };
    // Works for about so many seconds, of at most so many that are left in all, and until so much work is done in all.
    // What is done does not depend on how the time is sliced.
    Pause run(double seconds, double remaining, double most_work);
    bool offer(const std::vector<int>& x);  // an assignment from anywhere; true if it is the best so far

    const Posed& posed() const { return posed_; }
    bool found() const { return found_; }
    i64 best_value() const { return best_value_; }
    const std::vector<int>& best() const { return best_; }
    i64 bound() const;
    i64 root_bound() const { return root_bound_; }
    i64 nodes() const { return nodes_; }
    int phase() const { return static_cast<int>(phase_); }
    const Net& root() const { return root_; }
    const std::vector<char>& alive() const { return alive_; }
    std::size_t open() const { return tree_.open.size(); }
    const std::vector<i64>& certificate() const { return certificate_; }
    i64 certified() const { return certified_; }
    const std::vector<i64>& multipliers() const { return multipliers_; }
    void stop_at_root(bool only_root) { only_root_ = only_root; }

  private:
    using Clock = std::chrono::steady_clock;
    enum class Phase { ascent, prune, polish, tighten, branch, done };

    // Depth-first search below one network.
    struct Tree {
        std::vector<Net> open;
        Net current;
        bool busy = false;
        i64 nodes = 0, turn = 0;
    };

    Posed posed_;
    Settings settings_;
    Random random_;
    Phase phase_ = Phase::ascent;
    Net root_;
    bool found_ = false, only_root_ = false, rested_ = false;
    i64 best_value_ = BIG;
    std::vector<int> best_;
    i64 cut_ = BIG / 4;
    i64 root_bound_, bound_;
    i64 nodes_ = 0;
    double work_ = 0;  // cells looked at, about: unlike time, the same on every machine
    std::vector<char> alive_;
    std::vector<i64> certificate_, multipliers_;
    i64 certified_ = -BIG;  // the bound that they prove
    std::vector<int> label_;
    std::vector<i64> marginal_;
    // root ascent
    int iteration_ = 0, stalled_ = 0, rounds_ = 0, last_rounding_ = 0;
    i64 last_ = 0;
    double first_room_ = 0, stall_ = 0;
    int level_ = 0;
    bool polished_once_ = false;
    // ascent in the multipliers of the rows
    bool pricing_ = false;
    std::vector<double> direction_;
    std::vector<i64> best_lambda_;
    i64 best_constant_ = 0, milestone_ = 0;
    double ambition_ = 0;
    int since_best_ = 0, priced_ = 0;
    Clock::time_point deadline_, last_moment_;
    // search
    Tree tree_;
    // large neighbourhoods: what of the incumbent is left in pool_, how large a neighbourhood is worth it
    Net pool_;
    std::vector<int> pool_label_;
    i64 pool_value_ = BIG;
    std::vector<double> waste_;  // running sums of what the incumbent pays at each variable beyond the bound
    double reach_ = 12;
    int fruitless_ = 0, polished_ = 0;

    void build_root();
    void capture_certificate();
    void note_dead();
    bool ascent_step();
    void tighten_step();
    void branch_step(Tree& tree, bool inner);
    bool reprice(Net& net, int steps);
    void polish_step();
    void look_up_incumbent();
    std::vector<int> neighbourhood(bool forest);
    Net extract(const std::vector<int>& chosen) const;
    void move_multipliers();
    void round_label(const Net& net, bool deep);
    std::vector<int> lift(const Net& net, const std::vector<int>& label, bool from_best) const;
    void improve(std::vector<int> x, bool deep);
    void finish();
    bool first_tree_is_plain() const;
    i64 most_nodes() const;
    i64 cut() const { return cut_; }
};

}  // namespace dm::net

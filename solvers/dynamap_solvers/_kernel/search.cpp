// Branch and bound on dual bounds: the root is bounded by message passing, made smaller by what the incumbent rules
// out, tightened by triplets where a gap stays, and then searched depth first, each node warm-started from its parent.

#include "search.hpp"

#include <algorithm>
#include <cmath>

namespace dm::net {

constexpr i64 kTurn = 20;              // nodes between two jumps to the lowest bound
constexpr std::size_t kMostOpen = 20'000;  // beyond so many open nodes only depth first
constexpr std::size_t kMostOpenCells = 150'000'000;  // nor beyond so much memory (8 bytes each)
constexpr int kLevels = 4;  // how often the tree is given up for a better root
// Up to so many variables left the first tree gets so many nodes without triplets: it is often done before these are.
constexpr int kFew = 60;
constexpr i64 kFirstNodes = 5000;

Search::Search(Posed posed, Settings settings)
    : posed_(std::move(posed)), settings_(settings), random_(settings.seed), root_bound_(-BIG), bound_(-BIG) {
    stall_ = settings_.stall;
    build_root();
}

void Search::build_root() {
    Net& net = root_;
    net.n = posed_.n;
    net.var.resize(net.n);
    net.start = posed_.start;
    net.U = posed_.unary;
    net.value.resize(net.U.size());
    net.dead.assign(net.U.size(), 0);
    alive_.assign(net.U.size(), 1);
    for (int i = 0; i < net.n; ++i) {
        net.var[i] = i;
        i64 least = BIG;
        for (int x = 0; x < net.size(i); ++x) {
            net.value[net.start[i] + x] = x;
            least = std::min(least, net.U[net.start[i] + x]);
        }
        if (least >= BIG / 2) {
            net.infeasible = true;
            continue;
        }
        net.constant += least;
        for (int x = 0; x < net.size(i); ++x) {
            i64& u = net.U[net.start[i] + x];
            if (u >= BIG / 2)
                net.dead[net.start[i] + x] = 1, u = BIG;
            else
                u -= least;
        }
    }
    net.T = posed_.tables;
    std::size_t messages = 0;
    for (const Posed::Link& link : posed_.links) {
        Edge e;
        e.a = link.a;
        e.b = link.b;
        e.t = link.t;
        e.ma = messages;
        e.mb = messages + net.size(link.a);
        e.chord = false;
        messages += net.size(link.a) + net.size(link.b);
        net.E.push_back(e);
    }
    net.M.assign(messages, 0);
    for (const Edge& e : net.E) {  // one constant out of each table; it goes through the messages of end a
        const std::size_t cells = static_cast<std::size_t>(net.size(e.a)) * net.size(e.b);
        i64 least = BIG;
        for (std::size_t c = 0; c < cells; ++c) least = std::min(least, net.T[e.t + c]);
        if (least >= BIG / 2) {
            net.infeasible = true;
            continue;
        }
        net.constant += least;
        for (int x = 0; x < net.size(e.a); ++x) net.M[e.ma + x] = least;
    }
    if (posed_.has_rows()) {
        net.usage = posed_.usage;
        net.row_lo = posed_.row_lo;
        net.row_hi = posed_.row_hi;
        net.capacity = posed_.capacity;
        net.lambda.assign(posed_.capacity.size(), 0);
        pricing_ = true;
    }
    net.index();
    root_bound_ = bound_ = net.constant;
}

bool Search::first_tree_is_plain() const { return level_ == 0 && root_.n <= kFew && !posed_.has_rows(); }

i64 Search::most_nodes() const { return first_tree_is_plain() ? kFirstNodes : i64{150} << 2 * level_; }

i64 Search::bound() const {
    if (phase_ == Phase::done) return bound_;
    if (phase_ != Phase::branch) return root_bound_;
    i64 least = tree_.busy ? tree_.current.constant : BIG;
    for (const Net& net : tree_.open) least = std::min(least, net.constant);
    if (found_) least = std::min(least, best_value_);
    return std::max(least, root_bound_);
}

bool Search::offer(const std::vector<int>& x) {
    const i64 value = posed_.evaluate(x);
    if (value >= BIG / 2 || value >= best_value_) return false;
    best_value_ = value;
    best_ = x;
    found_ = true;
    cut_ = value - settings_.quantum;
    return true;
}

std::vector<int> Search::lift(const Net& net, const std::vector<int>& label, bool from_best) const {
    std::vector<int> x = from_best && found_ ? best_ : std::vector<int>(posed_.n, 0);
    for (int i = 0; i < net.n; ++i) x[net.var[i]] = net.value[net.start[i] + label[i]];
    for (const Gone* gone = net.gone.get(); gone; gone = gone->next.get()) {
        std::size_t at = 0;
        for (int p = 0; p < 2; ++p) {
            if (gone->other[p] < 0) continue;
            const std::vector<int>& values = gone->other_values[p];
            const auto place = std::find(values.begin(), values.end(), x[gone->other[p]]);
            at = at * values.size() + static_cast<std::size_t>(place - values.begin());
        }
        x[gone->variable] = gone->choice[at];
    }
    return x;
}

void Search::improve(std::vector<int> x, bool deep) {
    work_ += 2.0 * static_cast<double>(posed_.tables.size());
    if (posed_.has_rows() && !repair(posed_, x)) return;
    if (posed_.evaluate(x) >= BIG / 2) {
        if (deep) descend(posed_, x, last_moment_);
    } else {
        offer(x);
        descend(posed_, x, last_moment_);
    }
    offer(x);
}

void Search::round_label(const Net& net, bool deep) { improve(lift(net, label_, false), deep); }

void Search::capture_certificate() {
    Net& net = root_;
    certificate_ = net.M;
    multipliers_ = net.lambda;
    if (net.infeasible) return;
    // A choice that died of its neighbours would need a proof of its own: run the pass that strikes out forbidden
    // choices first where certificates matter.
    for (std::size_t x = 0; x < net.dead.size(); ++x)
        if (net.dead[x] && posed_.unary[x] < BIG / 2) return;
    certified_ = net.constant;
    // What dead choices pushed out was boundless; give them what keeps every reduced cell >= 0 instead.
    for (const Edge& e : net.E) {
        const int da = net.size(e.a), db = net.size(e.b);
        i64* ma = certificate_.data() + e.ma;
        i64* mb = certificate_.data() + e.mb;
        for (int x = 0; x < da; ++x) {
            if (!net.dead[net.start[e.a] + x]) continue;
            i64 least = 4 * BIG;
            for (int y = 0; y < db; ++y)
                if (!net.dead[net.start[e.b] + y])
                    least = std::min(least, net.T[e.t + static_cast<std::size_t>(x) * db + y] - mb[y]);
            ma[x] = std::min(least, BIG);
        }
        for (int y = 0; y < db; ++y) {
            if (!net.dead[net.start[e.b] + y]) continue;
            i64 least = 4 * BIG;
            for (int x = 0; x < da; ++x)
                least = std::min(least, net.T[e.t + static_cast<std::size_t>(x) * db + y] - ma[x]);
            mb[y] = std::min(least, BIG);
        }
    }
}

void Search::note_dead() {
    for (int i = 0; i < root_.n; ++i)
        for (int x = root_.start[i]; x < root_.start[i + 1]; ++x)
            if (root_.dead[x]) alive_[posed_.start[root_.var[i]] + root_.value[x]] = 0;
}

// One forward and one backward sweep of the root; true when it no longer pays.
bool Search::ascent_step() {
    Net& net = root_;
    work_ += 2.0 * static_cast<double>(net.T.size() + net.Q.size());
    const i64 cut = phase_ == Phase::ascent ? BIG / 4 : cut_;
    const bool rounding = net.has_rows() || iteration_ < 4 || iteration_ - last_rounding_ >= 10;
    label_.resize(net.n);
    sweep(net, true, cut, rounding ? label_.data() : nullptr, nullptr);
    if (net.infeasible) return true;
    if (rounding && (!net.has_rows() || iteration_ - last_rounding_ >= 10 || iteration_ < 2)) {
        round_label(net, iteration_ == 0);
        last_rounding_ = iteration_;
    }
    const bool pricing = net.has_rows() && phase_ == Phase::ascent && pricing_;
    if (pricing) move_multipliers();
    sweep(net, false, cut, nullptr, nullptr);
    if (net.infeasible) return true;
    root_bound_ = std::max(root_bound_, net.constant);
    const i64 gained = net.constant - last_;
    last_ = net.constant;
    ++iteration_;
    if (root_bound_ > cut_) return true;
    if (pricing) return false;
    const double room = static_cast<double>((found_ ? best_value_ : net.constant + std::llabs(net.constant) / 20) - net.constant);
    if (iteration_ == 1) first_room_ = room;
    if (static_cast<double>(gained) <= stall_ * std::max(room, 0.1 * first_room_))
        ++stalled_;
    else
        stalled_ = 0;
    return stalled_ >= 5;
}

void Search::finish() {
    bound_ = found_ ? best_value_ : BIG;
    phase_ = Phase::done;
    tree_ = Tree();
    pool_ = Net();
}

Search::Pause Search::run(double seconds, double remaining, double most_work) {
    const auto after = [](double span) {
        return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::min(span, 1e8)));
    };
    last_moment_ = after(remaining);
    deadline_ = std::min(after(seconds), last_moment_);
    while (phase_ != Phase::done && !rested_) {
        if (work_ >= most_work) return Pause::work;
        if (phase_ == Phase::ascent || phase_ == Phase::prune) {
            const bool over = ascent_step();
            if (over) {
                if (phase_ == Phase::ascent) capture_certificate();
                if (root_.infeasible || root_bound_ > cut_) {
                    note_dead();
                    finish();
                    break;
                }
                sweep(root_, true, cut_, nullptr, nullptr);
                if (!root_.infeasible) sweep(root_, false, cut_, nullptr, nullptr);
                note_dead();
                const std::size_t before = root_.T.size();
                if (!root_.infeasible) root_ = compact(root_, cut_, true);
                iteration_ = stalled_ = last_rounding_ = 0;
                last_ = root_.constant;
                if (root_.infeasible || root_.constant > cut_) {
                    finish();
                    break;
                }
                root_bound_ = std::max(root_bound_, root_.constant);
                // As long as it shrinks, ascend on what is left.
                if (root_.n > 0 && before > 0 && root_.T.size() <= before / 10 * 9) {
                    phase_ = Phase::prune;
                } else {
                    if (root_.R.empty()) pool_ = root_, pool_value_ = BIG;
                    fruitless_ = polished_ = 0;
                    phase_ = Phase::polish;
                }
            }
        } else if (phase_ == Phase::polish) {
            polish_step();
        } else if (phase_ == Phase::tighten) {
            tighten_step();
        } else {
            branch_step(tree_, false);
            if (!tree_.busy && tree_.open.empty()) {
                finish();
            } else if (level_ < kLevels && !posed_.has_rows() && settings_.max_cycle >= 3 && tree_.nodes > most_nodes()) {
                // Not so easy: back to the root for a better bound; the incumbent stays.
                ++level_;
                stall_ /= 4;
                rounds_ = 0;
                tree_ = Tree();
                iteration_ = stalled_ = last_rounding_ = 0;
                last_ = root_.constant;
                phase_ = Phase::prune;
            }
        }
        if (Clock::now() >= deadline_) break;
    }
    return phase_ == Phase::done || rested_ ? Pause::finished : Pause::time;
}

void Search::tighten_step() {
    const int added = only_root_ || root_.n == 0 || settings_.max_cycle < 3 || rounds_ >= 3 || first_tree_is_plain()
                          ? 0
                          : add_triplets(root_, settings_.max_cycle, settings_.max_triplet_cells);
    if (added > 0) {
        ++rounds_;
        phase_ = Phase::prune;
        return;
    }
    if (only_root_ && root_.n > 0) {
        rested_ = true;
        return;
    }
    if (!root_.R.empty() && found_) {
        // Chords of triplets keep variables from being eliminated: where they close little of the gap, the tree is
        // better off without them.
        const double gap = static_cast<double>(best_value_ - pool_.constant);
        if (static_cast<double>(root_.constant - pool_.constant) < 0.5 * gap) {
            settings_.max_cycle = 0;
            root_ = compact(pool_, cut_, true);
            if (root_.infeasible || root_.constant > cut_) {
                finish();
                return;
            }
        }
    }
    tree_.current = root_;
    tree_.busy = true;
    phase_ = Phase::branch;
}

// One node. An inner tree searches a neighbourhood of the incumbent: what its nets do not hold is as in the incumbent.
void Search::branch_step(Tree& tree, bool inner) {
    if (!tree.busy) {
        while (!tree.open.empty() && tree.open.back().constant > cut_) tree.open.pop_back();
        if (tree.open.empty()) return;
        // Depth first, but now and then from the lowest bound, which raises the bound of the whole.
        std::size_t cells = 0;
        if (!inner && tree.nodes >= tree.turn)
            for (const Net& net : tree.open) cells += net.T.size() + net.Q.size();
        if (!inner && tree.nodes >= tree.turn && tree.open.size() < kMostOpen && cells < kMostOpenCells) {
            tree.turn = tree.nodes + kTurn;
            const auto lowest = std::min_element(tree.open.begin(), tree.open.end(),
                                                 [](const Net& p, const Net& q) { return p.constant < q.constant; });
            std::swap(*lowest, tree.open.back());
        }
        tree.current = std::move(tree.open.back());
        tree.open.pop_back();
        tree.busy = true;
    }
    Net& net = tree.current;
    if (!inner) ++nodes_;
    const bool rounding = inner ? tree.nodes < 3 && posed_.n < 5000 : nodes_ < (posed_.has_rows() ? 3000 : 100) || nodes_ % 16 == 0;
    ++tree.nodes;
    bool first = true;
    while (true) {
        if (net.n == 0) {
            label_.clear();
            offer(lift(net, label_, inner));
            tree.busy = false;
            return;
        }
        label_.resize(net.n);
        marginal_.resize(net.U.size());
        int died = 0;
        for (int round = 0; round < settings_.sweeps_at_node; ++round) {
            const i64 before = net.constant;
            work_ += 2.0 * static_cast<double>(net.T.size() + net.Q.size());
            died += sweep(net, true, cut_, round == 0 && first && rounding ? label_.data() : nullptr, nullptr);
            if (!net.infeasible) died += sweep(net, false, cut_, nullptr, marginal_.data());
            if (net.infeasible || net.constant > cut_) {
                tree.busy = false;
                return;
            }
            if (static_cast<double>(net.constant - before) < 0.03 * static_cast<double>(cut_ - net.constant)) break;
        }
        if (first && net.has_rows() && found_) {
            if (!reprice(net, inner ? 3 : tree.nodes < 5 ? 200 : 12)) {
                tree.busy = false;
                return;
            }
            sweep(net, true, cut_, nullptr, nullptr);
            if (!net.infeasible) sweep(net, false, cut_, nullptr, marginal_.data());
            if (net.infeasible || net.constant > cut_) {
                tree.busy = false;
                return;
            }
        }
        if (first && rounding) improve(lift(net, label_, inner), false);
        first = false;
        std::size_t living = 0;
        for (const char dead : net.dead) living += !dead;
        if (living >= net.dead.size() * 9 / 10) break;
        net = compact(net, cut_, true);
        if (net.infeasible || net.constant > cut_) {
            tree.busy = false;
            return;
        }
    }
    // Branch where the second choice costs most beyond the bound, relative to how many are left.
    int chosen = -1, best = -1;
    double score = -1;
    for (int i = 0; i < net.n; ++i) {
        i64 least = 4 * BIG, second = 4 * BIG;
        int at = -1, count = 0;
        for (int x = net.start[i]; x < net.start[i + 1]; ++x) {
            if (net.dead[x]) continue;
            ++count;
            if (marginal_[x] < least)
                second = least, least = marginal_[x], at = x;
            else
                second = std::min(second, marginal_[x]);
        }
        if (count < 2) continue;
        const double degree = net.low_start[i + 1] - net.low_start[i] + net.up_start[i + 1] - net.up_start[i];
        const double s = (static_cast<double>(second) + 1e-3 * static_cast<double>(cut_ - net.constant)) * (1 + degree) / count;
        if (s > score) score = s, chosen = i, best = at;
    }
    if (chosen < 0) {  // every variable has one choice left
        net = compact(net, cut_, true);
        if (net.infeasible || net.constant > cut_) tree.busy = false;
        return;
    }
    Net other = net;
    other.dead[best] = 1;
    other.U[best] = BIG;
    for (int x = net.start[chosen]; x < net.start[chosen + 1]; ++x)
        if (x != best) net.dead[x] = 1, net.U[x] = BIG;
    ++net.depth;
    tree.open.push_back(compact(other, cut_, true));
    if (tree.open.back().infeasible) tree.open.pop_back();
    net = compact(net, cut_, true);
    if (net.infeasible || net.constant > cut_) tree.busy = false;
}

}  // namespace dm::net

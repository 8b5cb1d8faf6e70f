#include "elimination_schedule.hpp"

#include <algorithm>
#include <new>

#include "bucket.hpp"
#include "places.hpp"

namespace dm {

namespace {

constexpr double kLeastSlice = 64;  // cells; smaller tables are rather made as a whole
constexpr double kRatherLater = 2;  // a loop is left out where one further in covers so many times its work
constexpr double kToParent = 0.25;  // worth of a loop over the variable that takes the root's table in, from far apart
constexpr double kLeastLoop = 8;    // cells looked at for each byte of a slice; less is not worth the preparation

class Scheduler {
  public:
    Scheduler(const EliminationPlan& plan, int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes, int cost_bytes,
              int choice_bytes, double slice_bytes)
        : plan_(plan), n_(n), m_(m), ends_(ends), sizes_(sizes), cost_bytes_(cost_bytes), choice_bytes_(choice_bytes),
          slice_bytes_(slice_bytes) {}

    Schedule run(bool with_loops) {
        if (plan_.kept > 1e15) throw std::bad_alloc();
        s_ = Schedule{};
        s_.fixed.assign(n_, 0);
        s_.open.assign(n_, 0);
        nest_.assign(n_, -1);
        if (with_loops) {
            find_loops();
        } else {
            s_.items = plan_.order;
        }
        lay_out_all();
        decide_what_is_kept();
        s_.taken.resize(n_);
        s_.additions.resize(n_);
        s_.place.assign(n_, 0);
        shared_ = own_ = Places{};
        go_through(s_.items, 0);
        s_.tables = shared_.peak();
        s_.own = std::max(s_.own, own_.peak());
        count_rows();
        return std::move(s_);
    }

  private:
    const EliminationPlan& plan_;
    const int64_t n_, m_;
    const int32_t* ends_;
    const int64_t* sizes_;
    const int cost_bytes_, choice_bytes_;
    const double slice_bytes_;
    Schedule s_;
    std::vector<int32_t> nest_;     // innermost loop a variable is in, -1 for none
    std::vector<int32_t> around_;   // loop around a loop
    std::vector<int32_t> list_of_;  // of the variables under consideration: which list they are in
    int32_t lists_ = 0;
    std::vector<std::vector<int32_t>> children_;
    std::vector<int32_t> begin_;    // position of the first that leaves of those whose tables go into that of v
    std::vector<double> cover_;     // per axis of a scope: work of the body of a loop over it with this root
    struct Choice {
        int32_t variable;
        double cover;
    };
    std::vector<Choice> best_;  // loop with this root
    Places shared_, own_;
    std::vector<std::vector<int32_t>> held_;  // per level: tables given back when the loop ends
    std::vector<int64_t> strides_;

    bool is_large(double cells) const { return cells * cost_bytes_ > slice_bytes_; }

    const int32_t* axes(int32_t v) const { return plan_.scope.data() + plan_.first[v]; }
    int32_t width(int32_t v) const { return static_cast<int32_t>(plan_.first[v + 1] - plan_.first[v]); }
    bool knows(int32_t v, int32_t u) const { return std::find(axes(v), axes(v) + width(v), u) != axes(v) + width(v); }

    void find_loops() {
        children_.assign(n_, {});
        begin_ = plan_.position;
        for (const int32_t v : plan_.order) {
            const int32_t parent = plan_.parent[v];
            if (parent < 0) continue;
            children_[parent].push_back(v);
            begin_[parent] = std::min(begin_[parent], begin_[v]);
        }
        around_.clear();
        best_.assign(n_, {-1, 0});
        cover_.assign(plan_.scope.size(), 0);
        list_of_.assign(n_, -1);
        build(plan_.order, -1, 1, s_.items);
    }

    // Whether the body of a loop over u that has the parent of v goes on with v, when loops around cut tables into `cut`.
    bool goes_on(int32_t v, int32_t u, double cut) const {
        return plan_.cells[v] / cut >= kLeastSlice * static_cast<double>(sizes_[u]) && knows(v, u);
    }

    // Makes items of variables in the order they leave, which lie in loop `around`.
    void build(const std::vector<int32_t>& list, int32_t around, double cut, std::vector<int32_t>& items) {
        const int32_t id = lists_++;
        const double least = around < 0 ? kLeastLoop * slice_bytes_ : 0;
        for (const int32_t v : list) list_of_[v] = id;
        for (const int32_t v : list) {
            for (int32_t a = 0; a < width(v); ++a) {
                double& cover = cover_[plan_.first[v] + a] = plan_.cells[v] * static_cast<double>(sizes_[v]);
                for (const int32_t c : children_[v]) {
                    if (list_of_[c] != id || !goes_on(c, axes(v)[a], cut)) continue;
                    cover += cover_[plan_.first[c] + (std::find(axes(c), axes(c) + width(c), axes(v)[a]) - axes(c))];
                }
            }
        }
        for (const int32_t v : list) best_[v] = is_large(plan_.cells[v] / cut) ? best_loop(v, around) : Choice{-1, 0};
        std::vector<std::pair<int32_t, std::vector<int32_t>>> bodies;
        for (size_t k = list.size(); k-- > 0;) {
            const int32_t v = list[k];
            if (list_of_[v] != id) continue;
            const int32_t u = best_[v].cover > least ? best_[v].variable : -1;
            std::vector<int32_t> body{v};
            const int32_t mark = lists_++;
            double better = 0;  // cover a loop within the body could have
            if (u >= 0) list_of_[v] = mark;
            for (size_t j = k; u >= 0 && j-- > 0;) {
                const int32_t c = list[j];
                if (plan_.position[c] < begin_[v]) break;
                if (list_of_[c] != id || list_of_[plan_.parent[c]] != mark || !goes_on(c, u, cut)) continue;
                list_of_[c] = mark;
                body.push_back(c);
                better = std::max(better, best_[c].cover);
            }
            if (u < 0 || better > kRatherLater * best_[v].cover) {
                for (const int32_t c : body) list_of_[c] = id;
                items.push_back(v);
                continue;
            }
            std::reverse(body.begin(), body.end());
            const int32_t l = static_cast<int32_t>(s_.loops.size());
            const int level = around < 0 ? 0 : s_.loops[around].level + 1;
            s_.loops.push_back({u, v, level, around < 0 || s_.loops[around].root != v, {}});
            around_.push_back(around);
            for (const int32_t c : body) nest_[c] = l;
            items.push_back(~l);
            bodies.push_back({l, std::move(body)});
        }
        std::reverse(items.begin(), items.end());
        for (auto& [l, body] : bodies) {
            std::vector<int32_t> inner;
            build(body, l, cut * static_cast<double>(sizes_[s_.loops[l].variable]), inner);
            s_.loops[l].body = std::move(inner);
        }
    }

    // Whose choices to go over with v as the root: the body shall be as much work as can be. -1 for nobody's.
    Choice best_loop(int32_t v, int32_t around) const {
        Choice best{-1, 0};
        for (int32_t a = 0; a < width(v); ++a) {
            const int32_t u = axes(v)[a];
            if (!may_loop(v, u, around)) continue;
            const double cover = cover_[plan_.first[v] + a] * (u == plan_.parent[v] ? kToParent : 1);
            if (cover > best.cover) best = {u, cover};
        }
        return best;
    }

    // Blocks stay whole: all work on them is done in vectors.
    bool may_loop(int32_t v, int32_t u, int32_t around) const {
        if (sizes_[u] == 1 || is_in_loop_over(u, around)) return false;
        return !is_in_block(u, v, around) && !is_in_block(u, plan_.parent[v], nest_[plan_.parent[v]]);
    }

    bool is_in_block(int32_t u, int32_t v, int32_t around) const {
        int64_t block = 1;
        for (int32_t a = width(v); a-- > 0 && block < kBlock;) {
            if (is_in_loop_over(axes(v)[a], around)) continue;
            if (axes(v)[a] == u) return true;
            block *= sizes_[axes(v)[a]];
        }
        return false;
    }

    bool is_in_loop_over(int32_t u, int32_t loop) const {
        while (loop >= 0 && s_.loops[loop].variable != u) loop = around_[loop];
        return loop >= 0;
    }

    using Axis = std::vector<int32_t>::iterator;

    void lay_out_all() {
        s_.scope = plan_.scope;
        s_.digits.resize(n_);
        for (int64_t v = 0; v < n_; ++v) {
            const auto begin = s_.scope.begin() + plan_.first[v], end = s_.scope.begin() + plan_.first[v + 1];
            const int32_t loop = nest_[v], parent = plan_.parent[v];
            if (loop >= 0) {
                s_.fixed[v] = s_.loops[loop].level + 1;
                int32_t with = parent < 0 ? -1 : nest_[parent];
                for (int32_t l = loop; l >= 0; l = around_[l]) {
                    while (with >= 0 && s_.loops[with].level > s_.loops[l].level) with = around_[with];
                    if (with == l) {
                        s_.open[v] = s_.loops[l].level + 1;
                        break;
                    }
                }
            }
            // Loops' variables come first: its own, then those of the loops around where the table is taken in.
            const int32_t after = parent < 0 ? -1 : nest_[parent];
            to_front(begin, end, after);
            to_front(begin, end, loop);
            const auto is_free = [&](int32_t u) { return !is_in_loop_over(u, loop) && !is_in_loop_over(u, after); };
            const Axis free = std::find_if(begin, end, is_free);
            s_.digits[v] = lay_out(begin + s_.fixed[v], free, end);
        }
    }

    // Puts the variables of a loop and those around it to the front, as far as they are there, the outermost first.
    void to_front(Axis begin, Axis end, int32_t loop) const {
        for (; loop >= 0; loop = around_[loop]) {
            const Axis axis = std::find(begin, end, s_.loops[loop].variable);
            if (axis != end) std::rotate(begin, axis, axis + 1);
        }
    }

    // Orders the axes of a table that are not fixed, `free` being the first that no loop goes over; how many come before
    // the block.
    int32_t lay_out(Axis begin, Axis free, Axis end) const {
        Axis from = end;
        int64_t block = 1;
        while (from - begin > 1 && block < kBlock) {
            const int64_t more = block * sizes_[*(from - 1)];
            if (block > 1 && more > kMostBuffered / 16) break;
            block = more;
            --from;
        }
        if (from == end || (from - begin == 1 && block < kBlock)) return 0;  // so few cells are all in the block
        if (free < from) std::rotate(free, free + 1, from);
        return static_cast<int32_t>(from - begin);
    }

    int64_t room(int32_t v, int32_t from) {
        if (s_.fixed[v] == 0) return static_cast<int64_t>(plan_.cells[v]) + kSlack;
        s_.strides(plan_, sizes_, v, from, strides_);
        return (strides_.empty() ? 1 : strides_[0] * sizes_[s_.scope[plan_.first[v] + from]]) + kSlack;
    }

    void decide_what_is_kept() {
        s_.kept.assign(n_, 0);
        for (const int32_t item : s_.items) {
            if (item >= 0) {
                keep(item, 0, s_.choices);
                continue;
            }
            Loop& loop = s_.loops[~item];
            double inputs = 0, choices = 0;
            measure(loop, inputs, choices);
            const double once = choices / static_cast<double>(sizes_[loop.variable]);
            loop.again = cost_bytes_ * inputs + choice_bytes_ * once < choice_bytes_ * choices / 2;
            int64_t again = 0;
            keep_all(loop, loop.again ? 1 : 0, loop.again ? again : s_.choices);
            s_.again = std::max(s_.again, again);
        }
    }

    void keep(int32_t v, int32_t from, int64_t& end) {
        s_.kept[v] = end;
        end += room(v, from) - (s_.fixed[v] == 0 ? kSlack : 0);  // what is written past these is the next one's
    }

    void keep_all(const Loop& loop, int32_t from, int64_t& end) {
        for (const int32_t item : loop.body) {
            if (item >= 0) {
                keep(item, from, end);
            } else {
                keep_all(s_.loops[~item], from, end);
            }
        }
    }

    // Cells of the tables an outermost loop takes in from outside, and of all its own.
    void measure(const Loop& loop, double& inputs, double& choices) const {
        for (const int32_t item : loop.body) {
            if (item < 0) {
                measure(s_.loops[~item], inputs, choices);
                continue;
            }
            choices += plan_.cells[item];
            for (const int32_t c : children_[item]) {
                if (s_.open[c] == 0) inputs += plan_.cells[c];
            }
        }
    }

    void take(int32_t v) {
        if (plan_.cells[v] > 1e15) throw std::bad_alloc();
        s_.place[v] = (s_.open[v] == 0 ? shared_ : own_).take(room(v, s_.open[v]));
    }
    void give(int32_t v) { (s_.open[v] == 0 ? shared_ : own_).give(s_.place[v], room(v, s_.open[v])); }

    void go_through(const std::vector<int32_t>& items, int level) {
        if (static_cast<int>(held_.size()) <= level) held_.resize(level + 1);
        for (const int32_t item : items) {
            if (item >= 0) {
                if (s_.fixed[item] == s_.open[item]) take(item);
                for (const int32_t c : s_.taken[item]) {
                    if (s_.open[c] == level) {
                        give(c);
                    } else {
                        held_[s_.open[c]].push_back(c);
                    }
                }
                if (s_.fixed[item] == s_.open[item]) complete(item);
                continue;
            }
            const Loop& loop = s_.loops[~item];
            if (loop.completes) take(loop.root);
            if (level == 0) {
                own_ = Places{};
                if (loop.again) s_.spare = own_.take(room(loop.root, 1));
            }
            go_through(loop.body, level + 1);
            if (level == 0) s_.own = std::max(s_.own, own_.peak());
            for (const int32_t c : held_[level]) {
                if (!loop.again) give(c);
            }
            held_[level].clear();
            if (loop.completes) complete(loop.root);
        }
    }

    // Puts a table that is there among those its parent takes in. Where one of two has all the axes of the other, they
    // are added up at once, if that is less work than to add the other for every cell of the parent's bucket: many
    // children of one bag know the same few of its variables.
    void complete(int32_t v) {
        const int32_t parent = plan_.parent[v];
        if (parent < 0) return give(v);
        std::vector<int32_t>& others = s_.taken[parent];
        for (const int32_t c : others) {
            if (!goes_into(c, v, parent)) continue;
            s_.additions[v].push_back({c, v});
            return give(v);
        }
        const auto goes = [&](int32_t c) {
            if (!goes_into(v, c, parent)) return false;
            s_.additions[v].push_back({v, c});
            give(c);
            return true;
        };
        others.erase(std::remove_if(others.begin(), others.end(), goes), others.end());
        others.push_back(v);
    }

    // Whether to add table c to table `into` rather than in the bucket of their parent, at more cells.
    bool goes_into(int32_t into, int32_t c, int32_t parent) const {
        if (plan_.cells[into] < plan_.cells[c] || s_.open[into] != s_.open[c]) return false;
        double cells = static_cast<double>(sizes_[parent]), until = 0;
        for (int32_t a = 0; a < width(parent); ++a) {
            cells *= static_cast<double>(sizes_[axes(parent)[a]]);
            if (knows(c, axes(parent)[a])) until = cells;
        }
        return until > plan_.cells[into] &&
               std::all_of(axes(c), axes(c) + width(c), [&](int32_t u) { return knows(into, u); });
    }

    void count_rows() {
        std::vector<int64_t> rows(n_, 0);
        for (int64_t e = 0; e < m_; ++e) {
            const int32_t i = ends_[2 * e], j = ends_[2 * e + 1];
            if (sizes_[i] == 1 || sizes_[j] == 1) continue;
            rows[plan_.position[i] < plan_.position[j] ? i : j] += sizes_[i] * sizes_[j] + kSlack;
        }
        for (const int32_t item : s_.items) {
            s_.rows = std::max(s_.rows, item >= 0 ? rows[item] : rows_of(s_.loops[~item], rows));
        }
    }

    int64_t rows_of(const Loop& loop, const std::vector<int64_t>& rows) const {
        int64_t sum = 0;
        for (const int32_t item : loop.body) sum += item >= 0 ? rows[item] : rows_of(s_.loops[~item], rows);
        return sum;
    }
};

}  // namespace

void Schedule::strides(
    const EliminationPlan& plan, const int64_t* sizes, int32_t v, int32_t from, std::vector<int64_t>& out) const {
    const int32_t* axes = scope.data() + plan.first[v];
    const int64_t width = plan.first[v + 1] - plan.first[v];
    out.resize(width - from);
    int64_t stride = 1;
    for (int64_t a = width; a-- > from; stride *= sizes[axes[a]]) {
        if (a == 0 && fixed[v] > 0) stride += kSlack;
        out[a - from] = stride;
    }
}

bool has_large_tables(const EliminationPlan& plan, int cost_bytes, double slice_bytes) {
    return plan.largest * cost_bytes > slice_bytes;
}

Schedule schedule_elimination(const EliminationPlan& plan, int64_t n, int64_t m, const int32_t* ends, const int64_t* sizes,
                              int cost_bytes, int choice_bytes, double slice_bytes) {
    Scheduler scheduler(plan, n, m, ends, sizes, cost_bytes, choice_bytes, slice_bytes);
    if (has_large_tables(plan, cost_bytes, slice_bytes)) {
        Schedule sliced = scheduler.run(true);
        Schedule whole = scheduler.run(false);
        // On trees that branch much, what loops take in may be more than what they save.
        const bool saves = sliced.bytes(cost_bytes, choice_bytes) <= whole.bytes(cost_bytes, choice_bytes);
        return saves ? std::move(sliced) : std::move(whole);
    }
    return scheduler.run(false);
}

}  // namespace dm

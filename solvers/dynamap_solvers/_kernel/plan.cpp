// Reduction of a graph by R0, RI and RII (Scholz & Eckstein 2002) with parallel tables merged as they arise: the plan,
// from the graph alone.
//
// No vertex has a list of its tables. It has their number, the sum of their numbers and the sum of the squares: enough
// to tell which they are once there are one or two, and nothing to follow through memory. Whether two vertices have a
// table already is asked of a hash table. So a step looks at a handful of places that are known some steps before, and
// asked for then. Time is linear in variables and edges: each step takes a vertex or a table away.
#include "plan.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common.hpp"

namespace {

using dm::Rule;

class Planner {
  public:
    Planner(int64_t variables, int64_t edges)
        : n_(static_cast<int32_t>(variables)),
          m_(static_cast<int32_t>(edges)),
          slot_bits_(65 - __builtin_clzll(static_cast<uint64_t>(variables + edges) | 1)),
          memory_(dm::Memory::room<Vertex>(n_) + dm::Memory::room<Table>(m_ + 1) + dm::Memory::room<int32_t>(slots()) +
                  dm::Memory::room<Step>(n_ + m_) + dm::Memory::room<Pending>(n_ + m_)),
          vertices_(memory_.take<Vertex>(n_)),
          tables_(memory_.take<Table>(m_ + 1)),  // one more than there are: see `drain`
          slots_(memory_.take<int32_t>(slots())),
          steps_(memory_.take<Step>(n_ + m_)),  // each step but a vertex's last takes a table away
          pending_(memory_.take<Pending>(n_ + m_)) {}

    // Vertices to cut out first are given, or by a negative count all that have one choice.
    void run(const int64_t* sizes, const int32_t* ends, const int32_t* fixed, int64_t fixed_count) {
        std::fill(std::begin(buckets_), std::end(buckets_), kNone);
        std::fill(slots_, slots_ + slots(), kNone);
        bool any_fixed = fixed_count > 0;
        for (int32_t i = 0; i < n_; ++i) {
            vertices_[i] = {0, 0, 0, kNone, kNone, static_cast<int32_t>(64 - __builtin_clzll(sizes[i]))};
            are_alike_ &= vertices_[i].bits == vertices_[0].bits;
            any_fixed |= fixed_count < 0 && sizes[i] == 1;
        }
        if (any_fixed) {
            std::vector<int32_t> all;
            for (int32_t i = 0; fixed_count < 0 && i < n_; ++i) {
                if (sizes[i] == 1) all.push_back(i);
            }
            cut(ends, fixed_count < 0 ? all : std::vector<int32_t>(fixed, fixed + fixed_count));
        }
        join(ends);
        for (int32_t i = n_ - 1; i >= 0; --i) offer(i);  // backwards: the buckets are stacks, so that 0 comes out first
        drain();
    }

    // Writes the plan, or what is left where the graph does not reduce to nothing. Returns whether it does.
    bool write(int32_t* to) const {
        using Packed = dm::Packed<int32_t>;
        std::fill(to, to + Packed::kCounts, 0);
        for (int32_t i = 0; i < n_; ++i) to[Packed::kLeft] += vertices_[i].degree != kGone;
        if (to[Packed::kLeft] > 0) {
            to[Packed::kLeftTables] = write_left(Packed(to));
            return false;
        }
        to[Packed::kSteps] = count_;
        to[Packed::kTouched] = touched_;
        write_steps(Packed(to));
        return true;
    }

  private:
    static constexpr int32_t kNone = -1, kGone = -1, kBottom = -2;

    struct Vertex {
        uint64_t squares;  // of the numbers of its tables
        uint32_t sum;      // of the numbers
        int32_t degree;    // how many there are; kGone when it has left
        int32_t below;     // the next one down in the stack of its bucket, kBottom under the last; kNone where in none
        int32_t arrived;   // the last RI step into it
        int32_t bits;      // of its number of choices
    };
    struct Table {
        int32_t ends[2];  // the first is what its rows are choices of, kGone when it has left
        int32_t name;     // number of an edge as given, ~step of what a step made
        int32_t weight;   // of that step, 0 of an edge as given
    };
    struct Touched {
        int32_t neighbour, table;
    };
    struct Step {
        Rule rule;
        int32_t vertex;
        Touched touched[2];  // of kFixed, which may have more, the first says where they begin and end in cut_
        int32_t arrived;     // the last RI step into the vertex
        int32_t before;      // of RI the one before it into the same vertex; of others whether the second table is heavier
    };
    struct Soon {
        int32_t vertex, tables[2];
    };
    struct Pending {
        int32_t step, user;  // where in the plan it is named by the step that uses what it makes, kNone of RI and R0
    };

    int64_t slots() const { return int64_t{1} << slot_bits_; }

    int64_t slot_of(int32_t i, int32_t j) const {
        // Multiplied once, the edges of a regular graph could come to lie in a few long runs.
        uint64_t key = static_cast<uint64_t>(std::min(i, j)) << 32 | static_cast<uint32_t>(std::max(i, j));
        key *= 0x9E3779B97F4A7C15u;
        key = (key ^ key >> 32) * 0xD6E8FEB86659FD93u;
        return static_cast<int64_t>(key >> (64 - slot_bits_));
    }

    // The slot of the table between two vertices, kNone in it where there is none. Tables that have left stay in their
    // slots: nobody asks for their ends again, or they lie between other vertices now.
    int32_t& find(int32_t i, int32_t j) {
        int64_t at = slot_of(i, j);
        for (; slots_[at] >= 0; at = (at + 1) & (slots() - 1)) {
            const Table& table = tables_[slots_[at]];
            if ((table.ends[0] == i && table.ends[1] == j) || (table.ends[0] == j && table.ends[1] == i)) break;
        }
        return slots_[at];
    }

    static void add(Vertex& vertex, uint32_t table) {
        vertex.sum += table;
        vertex.squares += static_cast<uint64_t>(table) * table;
        ++vertex.degree;
    }
    static void take(Vertex& vertex, uint32_t table) {
        vertex.sum -= table;
        vertex.squares -= static_cast<uint64_t>(table) * table;
        --vertex.degree;
    }

    // The tables of a vertex that has one or two: (a - b)^2 = 2 (a^2 + b^2) - (a + b)^2, below 2**60, so that the root is
    // right to the nearest whole number.
    Soon tables_of(int32_t i) const {
        const Vertex& vertex = vertices_[i];
        const int32_t sum = static_cast<int32_t>(vertex.sum);
        if (vertex.degree != 2) return {i, {sum, sum}};
        const int64_t square = static_cast<int64_t>(2 * vertex.squares) - int64_t{sum} * sum;
        const int32_t apart = static_cast<int32_t>(std::sqrt(static_cast<double>(square)) + 0.5);
        return {i, {(sum - apart) / 2, (sum + apart) / 2}};
    }

    static int32_t other_end(const Table& table, int32_t i) { return table.ends[0] ^ table.ends[1] ^ i; }

    int32_t step(Rule rule, int32_t vertex, Touched first, Touched second, int32_t arrived, int32_t before) {
        steps_[count_] = {rule, vertex, {first, second}, arrived, before};
        return count_++;
    }

    // Cuts out vertices, whatever their degree.
    void cut(const int32_t* ends, const std::vector<int32_t>& fixed) {
        std::vector<int32_t> places(n_, kNone), starts(fixed.size() + 1);  // by vertex which one it is
        for (size_t k = fixed.size(); k-- > 0;) places[fixed[k]] = static_cast<int32_t>(k);
        const auto place = [&](int32_t t) {  // of the end that leaves first, kNone where none does
            const int32_t first = places[ends[2 * t]], second = places[ends[2 * t + 1]];
            return first < 0 ? second : second < 0 ? first : std::min(first, second);
        };
        for (int32_t t = 0; t < m_; ++t) {
            if (place(t) >= 0) ++starts[place(t) + 1];
        }
        for (size_t k = 0; k < fixed.size(); ++k) starts[k + 1] += starts[k];
        cut_.resize(starts.back());
        std::vector<int32_t> at(starts);
        for (int32_t t = 0; t < m_; ++t) {
            if (place(t) < 0) continue;
            cut_[at[place(t)]++] = {ends[2 * t] ^ ends[2 * t + 1] ^ fixed[place(t)], t};
        }
        for (size_t k = 0; k < fixed.size(); ++k) {
            if (places[fixed[k]] != static_cast<int32_t>(k)) continue;  // named twice
            step(dm::kFixed, fixed[k], {starts[k], starts[k + 1]}, {}, kNone, 0);
            touched_ += starts[k + 1] - starts[k];
            vertices_[fixed[k]].degree = kGone;
        }
    }

    // Puts the edges between vertices that are there into the graph.
    void join(const int32_t* ends) {
        for (int32_t t = 0; t < m_; ++t) {
            if (t + kAhead < m_) {
                const int32_t i = ends[2 * (t + kAhead)], j = ends[2 * (t + kAhead) + 1];
                dm::prefetch(slots_ + slot_of(i, j), 1);
                dm::prefetch(vertices_ + i, 1);
                dm::prefetch(vertices_ + j, 1);
            }
            const int32_t i = ends[2 * t], j = ends[2 * t + 1];
            tables_[t] = {{kGone, kGone}, t, 0};
            if (vertices_[i].degree == kGone || vertices_[j].degree == kGone) continue;
            int32_t& slot = find(i, j);
            if (slot == kNone) {
                tables_[t] = {{i, j}, t, 0};
                slot = t;
                add(vertices_[i], t);
                add(vertices_[j], t);
            } else {
                merge(tables_[slot], t, 0);
            }
        }
    }

    // Adds a table to the present one between the same vertices.
    void merge(Table& present, int32_t name, int32_t weight) {
        touched_ += 2;
        ++made_;
        const int32_t s = step(
            dm::kParallel, kNone, {present.ends[0], present.name}, {present.ends[1], name}, kNone, present.weight < weight);
        present.name = ~s;
        present.weight += weight + 1;
    }

    void offer(int32_t i) {
        Vertex& vertex = vertices_[i];
        if (vertex.below != kNone || vertex.degree == kGone || vertex.degree > 2) return;
        // The cells that eliminating it at degree 2 would touch, to a power of two.
        int32_t bucket = 0;
        if (vertex.degree == 2) {
            bucket = 1;
            if (!are_alike_) {
                const Soon soon = tables_of(i);
                bucket = vertex.bits + vertices_[other_end(tables_[soon.tables[0]], i)].bits +
                         vertices_[other_end(tables_[soon.tables[1]], i)].bits;
            }
        }
        vertex.below = buckets_[bucket] == kNone ? kBottom : buckets_[bucket];
        buckets_[bucket] = i;
        lowest_ = std::min(lowest_, bucket);
    }

    // The next vertex to look at, kNone where there is none. It counts as queued until it is looked at.
    int32_t pop() {
        while (lowest_ < kBuckets && buckets_[lowest_] == kNone) ++lowest_;
        if (lowest_ == kBuckets) return kNone;
        const int32_t i = buckets_[lowest_], below = vertices_[i].below;
        buckets_[lowest_] = below == kBottom ? kNone : below;
        if (below >= 0) dm::prefetch(vertices_ + below, 1);
        return i;
    }

    // Looks at one vertex after another. Those next in turn wait in a ring, where at every few steps what they lead to
    // is asked for; that may be out of date when their turn comes, which costs time and no more. Of a vertex without
    // tables it is the first one, which is there even where the graph has none.
    void drain() {
        if (m_ == 0) tables_[0] = {{0, 0}, 0, 0};
        Soon ring[kRing];
        for (uint32_t first = 0, end = 0;; ++first) {
            for (int32_t i; end - first < kRing && (i = pop()) != kNone; ++end) {
                const Soon soon = ring[end % kRing] = tables_of(i);
                dm::prefetch(tables_ + soon.tables[0], 1);
                dm::prefetch(tables_ + soon.tables[1], 1);
            }
            if (first == end) return;
            if (end - first == kRing) {
                const Soon& middle = ring[(first + 2 * kStage) % kRing];
                const int32_t j = other_end(tables_[middle.tables[0]], middle.vertex);
                const int32_t k = other_end(tables_[middle.tables[1]], middle.vertex);
                dm::prefetch(vertices_ + j, 1);
                dm::prefetch(vertices_ + k, 1);
                dm::prefetch(slots_ + slot_of(j, k), 1);
                const Soon& near = ring[(first + kStage) % kRing];
                const int32_t present = slots_[slot_of(other_end(tables_[near.tables[0]], near.vertex),
                                                       other_end(tables_[near.tables[1]], near.vertex))];
                if (present != kNone) dm::prefetch(tables_ + present, 1);
            }
            examine(ring[first % kRing]);
        }
    }

    void examine(Soon soon) {
        const int32_t i = soon.vertex;
        Vertex& vertex = vertices_[i];
        const auto is_in_date = [&] {
            const uint64_t a = soon.tables[0], b = soon.tables[1];
            return vertex.degree == 2 && a + b == vertex.sum && a * a + b * b == vertex.squares;
        };
        if (!is_in_date()) soon = tables_of(i);
        const int32_t degree = vertex.degree;
        vertex.degree = kGone;
        if (degree == 0) {
            step(dm::kR0, i, {}, {}, vertex.arrived, 0);
        } else if (degree == 1) {
            Table& table = tables_[soon.tables[0]];
            const int32_t j = other_end(table, i);
            ++touched_;
            vertices_[j].arrived = step(dm::kRI, i, {j, table.name}, {}, vertex.arrived, vertices_[j].arrived);
            table.ends[0] = kGone;
            take(vertices_[j], soon.tables[0]);
            offer(j);
        } else {
            series(i, soon.tables[0], soon.tables[1]);
        }
    }

    void series(int32_t i, int32_t a, int32_t b) {
        // The second table is the one whose rows get added: let it be the one that has the vertex first.
        if (tables_[b].ends[0] != i && tables_[a].ends[0] == i) std::swap(a, b);
        Table &first = tables_[a], &second = tables_[b];
        const int32_t j = other_end(first, i), k = other_end(second, i);
        touched_ += 2;
        ++made_;
        const int32_t s = step(
            dm::kRII, i, {j, first.name}, {k, second.name}, vertices_[i].arrived, first.weight < second.weight);
        const int32_t weight = first.weight + second.weight + 1;
        first.ends[0] = kGone;
        int32_t& slot = find(j, k);
        if (slot == kNone) {
            slot = b;
            second = {{j, k}, ~s, weight};
            add(vertices_[j], b);
            take(vertices_[j], a);
        } else {
            second.ends[0] = kGone;
            merge(tables_[slot], ~s, weight);
            take(vertices_[j], a);
            take(vertices_[k], b);
            offer(j);
            offer(k);
        }
    }

    // Writes the steps in depth-first order of who uses what they make, the larger subtree first, from the last step to
    // the first: what is made is used while it is still in cache, and few tables are alive at a time. Legal, because
    // every table that ever was at a vertex has been turned into those it leaves with, which makes those steps its
    // descendants.
    void write_steps(const dm::Packed<int32_t>& packed) const {
        int32_t k = count_, at = touched_, made = m_ + made_;
        packed.first[k] = at;
        Pending* top = pending_;
        const auto push = [&](int32_t s, int32_t user) {
            dm::prefetch(steps_ + s, 1);
            *top++ = {s, user};
        };
        const auto push_maker = [&](const Step& step, int t) {
            if (step.touched[t].table < 0) push(~step.touched[t].table, at + t);
        };
        const auto write = [&](const Step& step, const Touched* from, int32_t degree, int32_t produced) {
            packed.rule[--k] = step.rule;
            packed.vertex[k] = step.vertex;
            packed.produced[k] = produced;
            packed.first[k] = at -= degree;
            for (int32_t t = 0; t < degree; ++t) {
                packed.neighbours[at + t] = from[t].neighbour;
                packed.own[at + t] = from[t].table;  // of what a step makes the number follows
            }
        };
        for (int32_t root = count_ - 1; root >= 0; --root) {
            if (steps_[root].rule != dm::kR0) continue;
            push(root, kNone);
            while (top > pending_) {
                const Pending pending = *--top;
                const Step& step = steps_[pending.step];
                const int32_t degree = step.rule == dm::kParallel ? 2 : static_cast<int32_t>(step.rule);
                const int32_t produced = pending.user == kNone ? kNone : --made;
                if (pending.user != kNone) packed.own[pending.user] = produced;
                write(step, step.touched, degree, produced);
                for (int32_t s = step.arrived; s != kNone; s = steps_[s].before) push(s, kNone);
                if (degree == 1) push_maker(step, 0);
                if (degree == 2) {
                    push_maker(step, step.before);
                    push_maker(step, !step.before);
                }
            }
        }
        for (int32_t s = count_ - 1; s >= 0; --s) {  // these come first
            const Step& step = steps_[s];
            if (step.rule != dm::kFixed) continue;
            const auto [from, to] = step.touched[0];
            write(step, cut_.data() + from, to - from, kNone);
        }
    }

    int32_t write_left(const dm::Packed<int32_t>& packed) const {
        int32_t *at = packed.left, count = 0;
        packed.first[0] = 0;
        for (int32_t i = 0; i < n_; ++i) {
            if (vertices_[i].degree != kGone) *at++ = i;
        }
        for (int32_t t = 0; t < m_; ++t) {
            if (tables_[t].ends[0] == kGone) continue;
            ++count;
            *at++ = tables_[t].ends[0];
            *at++ = tables_[t].ends[1];
        }
        return count;
    }

    static constexpr int32_t kBuckets = 3 * 64 + 1;
    static constexpr int32_t kAhead = 12;  // edges
    static constexpr uint32_t kStage = 4, kRing = 3 * kStage;  // steps
    const int32_t n_, m_;
    const int slot_bits_;
    dm::Memory memory_;
    Vertex* vertices_;
    Table* tables_;
    int32_t* slots_;
    Step* steps_;
    Pending* pending_;
    std::vector<Touched> cut_;
    int32_t buckets_[kBuckets];
    int32_t lowest_ = kBuckets, count_ = 0, touched_ = 0, made_ = 0;
    bool are_alike_ = true;
};

}  // namespace

// Finds the plan and writes it into `packed`, which has room for 5 + 5 n + 10 m (see dm::Packed). Vertices to cut out
// are given, or by a negative count all that have one choice. Returns 1 if the graph reduces to nothing, 0 if not, and
// -1 when out of memory.
DM_EXPORT int dm_plan(
    int64_t n, int64_t m, const int64_t* sizes, const int32_t* ends, const int64_t*, const int32_t* fixed,
    int64_t fixed_count, int32_t* packed) {
    if (n + m > (int64_t{1} << 30)) return -1;
    try {
        Planner planner(n, m);
        planner.run(sizes, ends, fixed, fixed_count);
        return planner.write(packed);
    } catch (const std::bad_alloc&) {
        return -1;
    }
}

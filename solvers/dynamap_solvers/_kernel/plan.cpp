// Reduction of a graph by R0, RI and RII (Scholz & Eckstein 2002) with parallel edges merged: the plan, from the graph
// alone.
//
// It is linear in variables and edges by the argument of Valdes, Tarjan & Lawler (1982): a vertex is looked at again
// only after a table at it came or went, and a look merges parallel tables or stops at the third neighbour.
#include "plan.hpp"

#include <algorithm>

#include "common.hpp"

namespace {

using dm::Rule;

class Planner {
  public:
    Planner(int64_t variables, int64_t edges)
        : n_(static_cast<int32_t>(variables)),
          m_(static_cast<int32_t>(edges)),
          memory_(dm::Memory::room<Vertex>(n_) + dm::Memory::room<Table>(m_) + dm::Memory::room<Touched>(m_) +
                  dm::Memory::room<Step>(n_ + m_) + 2 * dm::Memory::room<int32_t>(n_ + m_)),
          vertices_(memory_.take<Vertex>(n_)),
          tables_(memory_.take<Table>(m_)),
          cut_(memory_.take<Touched>(m_)),
          steps_(memory_.take<Step>(n_ + m_)),  // each step but a vertex's last takes a table away
          order_(memory_.take<int32_t>(n_ + m_)),
          scratch_(memory_.take<int32_t>(n_ + m_)) {}

    void run(const int64_t* sizes, const int32_t* ends, const int32_t* fixed, int64_t fixed_count) {
        std::fill(std::begin(buckets_), std::end(buckets_), -1);
        for (int32_t i = 0; i < n_; ++i) {
            vertices_[i] = {-1, 0, -1, -1, static_cast<uint8_t>(64 - __builtin_clzll(sizes[i])), false, false};
        }
        for (int32_t t = m_ - 1; t >= 0; --t) {  // backwards: the lists then run in order of tables
            tables_[t].rows = 2 * t;
            tables_[t].name = t;
            link(2 * t + 1, ends[2 * t + 1]);
            link(2 * t, ends[2 * t]);
        }
        for (int64_t k = 0; k < fixed_count; ++k) {
            if (!vertices_[fixed[k]].gone) cut(fixed[k]);
        }
        for (int32_t i = 0; fixed_count < 0 && i < n_; ++i) {
            if (sizes[i] == 1) cut(i);
        }
        for (int32_t i = n_ - 1; i >= 0; --i) {  // backwards: the buckets are stacks, so that 0 comes out first
            if (vertices_[i].degree <= 2) offer(i);
        }
        drain();
        for (int32_t i = n_ - 1; i >= 0; --i) offer(i);  // parallel tables may hide that there are few neighbours
        drain();
    }

    // Writes the plan, or what is left where the graph does not reduce to nothing. Returns whether it does.
    bool write(int32_t* to) {
        using Packed = dm::Packed<int32_t>;
        std::fill(to, to + Packed::kCounts, 0);
        for (int32_t i = 0; i < n_; ++i) {
            if (vertices_[i].gone) continue;
            ++to[Packed::kLeft];
            to[Packed::kLeftTables] += vertices_[i].degree;
        }
        to[Packed::kLeftTables] /= 2;
        if (to[Packed::kLeft] > 0) {
            write_left(Packed(to));
            return false;
        }
        to[Packed::kSteps] = count_;
        to[Packed::kTouched] = touched_;
        sort();
        write_steps(Packed(to));
        return true;
    }

  private:
    struct Half {
        int32_t vertex, next, previous;
    };
    struct Table {  // its half-edges are 2 t and 2 t + 1, each in the doubly linked list of its vertex
        Half halves[2];
        int32_t rows;  // the half-edge of the vertex that its rows are choices of
        int32_t name;  // t of an edge as given, ~step of what a step made
    };
    struct Vertex {
        int32_t head, degree;  // of its half-edges, parallel ones counted each
        int32_t below;         // the next one down in the stack of its bucket
        int32_t arrived;       // the last RI step into it
        uint8_t bits;
        bool gone, queued;
    };
    struct Touched {
        int32_t neighbour, table;
    };
    struct Step {
        Rule rule;
        int32_t vertex, degree;
        Touched touched[2];  // of kFixed, which may have more, the first says where they begin in cut_
        int32_t child, sibling, weight;
    };

    Half& half(int32_t h) { return tables_[h / 2].halves[h % 2]; }

    void link(int32_t h, int32_t at) {
        Vertex& vertex = vertices_[at];
        half(h) = {at, vertex.head, -1};
        if (vertex.head >= 0) half(vertex.head).previous = h;
        vertex.head = h;
        ++vertex.degree;
    }

    // Lets the neighbours of `h` in its list point to others: forth to `to` and back to `from`.
    void bridge(const Half& h, int32_t from, int32_t to) {
        if (h.previous >= 0) {
            half(h.previous).next = to;
        } else {
            vertices_[h.vertex].head = to;
        }
        if (h.next >= 0) half(h.next).previous = from;
    }

    void unlink(int32_t h) {
        const Half& gone = half(h);
        bridge(gone, gone.previous, gone.next);
        --vertices_[gone.vertex].degree;
    }

    // Puts half-edge `h` into the list where `old` stands.
    void replace(int32_t old, int32_t h) {
        half(h) = half(old);
        bridge(half(h), h, h);
    }

    int32_t step(Rule rule, int32_t vertex, int32_t degree) {
        touched_ += degree;
        steps_[count_] = {rule, vertex, degree, {}, -1, -1, 1};
        return count_++;
    }

    // Notes that step `user` takes a table, and by it the step that made it.
    void take(int32_t user, int which, int32_t neighbour, int32_t table) {
        steps_[user].touched[which] = {neighbour, table};
        if (table < 0) adopt(user, ~table);
    }

    void adopt(int32_t user, int32_t made) {
        steps_[user].weight += steps_[made].weight;
        int32_t& front = steps_[user].child;  // the heaviest
        if (front >= 0 && steps_[front].weight > steps_[made].weight) {
            steps_[made].sibling = steps_[front].sibling;
            steps_[front].sibling = made;
        } else {
            steps_[made].sibling = front;
            front = made;
        }
    }

    // Merges the table of half-edge `later` into that of `present`, between the same vertices.
    void merge(int32_t present, int32_t later) {
        Table& table = tables_[present / 2];
        const int32_t s = step(dm::kParallel, -1, 2);
        take(s, 0, half(table.rows).vertex, table.name);
        take(s, 1, half(table.rows ^ 1).vertex, tables_[later / 2].name);
        unlink(later);
        unlink(later ^ 1);
        table.name = ~s;
    }

    // The half-edges to up to two neighbours of a vertex, with parallel tables merged on the way. Returns how many
    // there are, 3 for more.
    int look(int32_t i, int32_t* found) {
        int count = 0;
        for (int32_t h = vertices_[i].head, next; h >= 0; h = next) {
            next = half(h).next;
            const int32_t j = half(h ^ 1).vertex;
            int same = 0;
            while (same < count && half(found[same] ^ 1).vertex != j) ++same;
            if (same < count) {
                merge(found[same], h);
                offer(j);
            } else if (count == 2) {
                return 3;
            } else {
                found[count++] = h;
            }
        }
        return count;
    }

    void offer(int32_t i) {
        Vertex& vertex = vertices_[i];
        if (vertex.gone || vertex.queued) return;
        // The cells that eliminating i at degree 2 would touch, to a power of two, as far as its list shows now.
        int32_t bucket = 0;
        if (vertex.degree > 1) {
            const int32_t h = vertex.head;
            bucket = vertex.bits + vertices_[half(h ^ 1).vertex].bits + vertices_[half(half(h).next ^ 1).vertex].bits;
        }
        vertex.queued = true;
        vertex.below = buckets_[bucket];
        buckets_[bucket] = i;
        lowest_ = std::min(lowest_, bucket);
    }

    void cut(int32_t i) {
        const int32_t s = step(dm::kFixed, i, vertices_[i].degree);
        steps_[s].touched[0].neighbour = cuts_;
        for (int32_t h = vertices_[i].head; h >= 0; h = half(h).next) {
            cut_[cuts_++] = {half(h ^ 1).vertex, h / 2};
            unlink(h ^ 1);
        }
        vertices_[i].gone = true;
    }

    void examine(int32_t i) {
        int32_t found[2];
        const int degree = look(i, found);
        if (degree > 2) return;
        vertices_[i].gone = true;
        const int32_t s = step(static_cast<Rule>(degree), i, degree);
        for (int32_t made = vertices_[i].arrived, next; made >= 0; made = next) {
            next = steps_[made].sibling;
            adopt(s, made);
        }
        if (degree == 1) {
            const int32_t j = half(found[0] ^ 1).vertex;
            take(s, 0, j, tables_[found[0] / 2].name);
            unlink(found[0] ^ 1);
            steps_[s].sibling = vertices_[j].arrived;
            vertices_[j].arrived = s;
            offer(j);
        } else if (degree == 2) {
            // The second table is the one whose rows get added: let it be the one that has the vertex first.
            if (tables_[found[1] / 2].rows != found[1] && tables_[found[0] / 2].rows == found[0]) {
                std::swap(found[0], found[1]);
            }
            const int32_t j = half(found[0] ^ 1).vertex, k = half(found[1] ^ 1).vertex;
            take(s, 0, j, tables_[found[0] / 2].name);
            take(s, 1, k, tables_[found[1] / 2].name);
            replace(found[0] ^ 1, found[1]);
            tables_[found[1] / 2].rows = found[1];
            tables_[found[1] / 2].name = ~s;
            offer(j);
            offer(k);
        }
    }

    void drain() {
        for (lowest_ = 0; lowest_ < kBuckets;) {
            const int32_t i = buckets_[lowest_];
            if (i < 0) {
                ++lowest_;
                continue;
            }
            const int32_t below = buckets_[lowest_] = vertices_[i].below;
            if (below >= 0) {  // it comes out soon
                if (vertices_[below].head >= 0) dm::prefetch(tables_ + vertices_[below].head / 2, 1);
                if (vertices_[below].below >= 0) dm::prefetch(vertices_ + vertices_[below].below, 1);
            }
            vertices_[i].queued = false;
            examine(i);
        }
    }

    // Puts the steps in depth-first order of who uses what they make, the larger subtree first: what is made is used
    // while it is still in cache, and few tables are alive at a time. Legal, because every table that ever was at a
    // vertex has been turned into those it leaves with, which makes those steps its descendants.
    void sort() {
        int32_t *top = scratch_, *next = order_ + count_;  // filled from its end: users come before what they use
        for (int32_t s = count_ - 1; s >= 0; --s) {
            if (steps_[s].rule != dm::kR0) continue;
            *top++ = s;
            while (top > scratch_) {
                const int32_t at = *--top;
                *--next = at;
                for (int32_t c = steps_[at].child; c >= 0; c = steps_[c].sibling) {
                    *top++ = c;
                    if (steps_[c].child >= 0) dm::prefetch(steps_ + steps_[c].child, 1);
                }
            }
        }
        for (int32_t s = count_ - 1; s >= 0; --s) {
            if (steps_[s].rule == dm::kFixed) *--next = s;  // these come first
        }
    }

    void write_steps(const dm::Packed<int32_t>& packed) {
        int32_t* numbers = scratch_;  // by step the number of the table it makes
        int32_t number = m_, at = 0;
        for (int32_t k = 0; k < count_; ++k) {
            if (k + kAhead < count_) dm::prefetch(steps_ + order_[k + kAhead], 1);
            const Step& step = steps_[order_[k]];
            const bool makes = step.rule == dm::kRII || step.rule == dm::kParallel;
            packed.rule[k] = step.rule;
            packed.vertex[k] = step.vertex;
            packed.produced[k] = numbers[order_[k]] = makes ? number++ : -1;
            packed.first[k] = at;
            const Touched* touched = step.rule == dm::kFixed ? cut_ + step.touched[0].neighbour : step.touched;
            for (int32_t t = 0; t < step.degree; ++t, ++at) {
                packed.neighbours[at] = touched[t].neighbour;
                packed.own[at] = touched[t].table >= 0 ? touched[t].table : numbers[~touched[t].table];
            }
        }
        packed.first[count_] = at;
    }

    void write_left(const dm::Packed<int32_t>& packed) {
        int32_t *left = packed.left, *ends = packed.left_ends;
        packed.first[0] = 0;
        for (int32_t i = 0; i < n_; ++i) {
            if (vertices_[i].gone) continue;
            *left++ = i;
            for (int32_t h = vertices_[i].head; h >= 0; h = half(h).next) {
                if (h % 2) continue;  // each table once
                *ends++ = i;
                *ends++ = half(h ^ 1).vertex;
            }
        }
    }

    static constexpr int32_t kBuckets = 3 * 64 + 1;
    static constexpr int32_t kAhead = 8;  // steps
    int32_t n_, m_;
    dm::Memory memory_;
    Vertex* vertices_;
    Table* tables_;
    Touched* cut_;
    Step* steps_;
    int32_t *order_, *scratch_;
    int32_t buckets_[kBuckets];
    int32_t lowest_ = 0, count_ = 0, touched_ = 0, cuts_ = 0;
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

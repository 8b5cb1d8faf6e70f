// Bucket elimination along an order (Dechter 1999): each variable leaves with all tables it is in, and what arises is a
// table over its neighbours, with the choice that attains each cell kept for the way back.
//
// Axes of every table go by elimination position, the variable that leaves last innermost; so all tables of a bucket
// have what they share of the block innermost, in the same order. Only the variable that leaves first, which is the one
// that takes the table in, stands right before the block: what is added up for its choices lies together in memory.
// Large tables arise slice by slice, in loops over the choices of variables whose axes come before all others
// (elimination_schedule.hpp); threads share the rounds of the outermost loops. The outcome does not depend on how many.
//
// Where the costs prove that no sum leaves 32 bits, tables are int32.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "add_strided.hpp"
#include "bucket_levels.hpp"
#include "common.hpp"
#include "elimination_costs.hpp"
#include "elimination_schedule.hpp"
#include "threads.hpp"

namespace dm {

constexpr int64_t kThreadsBytes = int64_t{1} << 28;  // what tables of all threads but the first may take together

struct Offset {  // of a slice: so far for each step of a loop's variable
    int32_t variable;
    int64_t stride;
};

template <typename T, typename Given, bool Clamp, typename Index>
class Elimination {
  public:
    Elimination(const Problem<Given>& problem, const EliminationPlan& plan, const Schedule& schedule, const std::vector<Given>& own,
                const Scale& scale, int level, int64_t threads, const int32_t* stop)
        : reduce_(best_reduce<T, Clamp, Index>(level)), p_(problem), plan_(plan), s_(schedule), own_(own), scale_(scale),
          stop_(stop), tables_(schedule.tables * sizeof(T)), choices_((schedule.choices + kSlack) * sizeof(Index)) {
        later_.resize(p_.n);
        for (int64_t e = 0; e < p_.m; ++e) {
            const int32_t i = p_.ends[2 * e], j = p_.ends[2 * e + 1];
            if (p_.sizes[i] == 1 || p_.sizes[j] == 1) continue;
            later_[plan.position[i] < plan.position[j] ? i : j].push_back(static_cast<int32_t>(e));
        }
        axis_.resize(p_.n);
        workers_.emplace_back(new Worker(p_.n, s_.own));
        const int64_t bytes = s_.own * static_cast<int64_t>(sizeof(T));
        threads_ = std::min(threads, 1 + kThreadsBytes / std::max<int64_t>(bytes, 1));
        if (!s_.loops.empty()) loop_steps_.resize(p_.n);
    }

    // False where it was stopped.
    bool run(Given* objective, int32_t* chosen) {
        Given total = 0;
        Worker& worker = *workers_[0];
        worker.kept = static_cast<Index*>(choices_.get());
        for (const int32_t item : s_.items) {
            if (is_stopped()) return false;
            if (item >= 0) {
                prepare(item, step_);
                const int64_t taken = run_step(step_, worker);
                total = plus<Given, true>(total, plus<Given, true>(step_.alone, given_taken(taken)));
                complete(step_, worker);
                if (plan_.parent[item] < 0) total = plus<Given, true>(total, given(table(item, worker)[0]));
            } else {
                total = plus<Given, true>(total, run_outermost(s_.loops[~item]));
            }
        }
        if (is_stopped()) return false;
        go_back(chosen);
        *objective = total < Cost<Given>::limit ? total : Cost<Given>::forbidden;
        return !is_stopped();
    }

  private:
    struct Source {  // where a factor of a bucket lies
        int32_t child;  // table of it, or -1: originals
        size_t place;   // in `rows`
        size_t first, last;  // of its offsets
    };
    struct Adding {
        int32_t into, from;
        int64_t parts, to_part, from_part;  // slices of `into` that lie apart
        std::vector<int64_t> dims, strides;  // of one of them
    };
    struct Step {  // all there is to do for a variable, but for where slices lie
        int32_t variable;
        Bucket<T> bucket;
        std::vector<T> rows;  // of the originals
        std::vector<Source> sources;
        std::vector<Offset> offsets;  // of all sources
        std::vector<Offset> out, kept;
        std::vector<Adding> additions;
        Given alone;  // what every assignment pays, as far as it comes out here
    };
    struct Worker {  // what a thread has for itself
        Worker(int64_t n, int64_t cells) : own(cells * sizeof(T)), value(n, 0) {}
        Memory own;
        Workspace<T> work;
        std::vector<int32_t> value;  // of the variables of loops
        Index* kept = nullptr;       // where choices are kept, if they are
        const Loop* again = nullptr;  // the outermost loop that is gone through again
    };

    const Reduce<T, Index> reduce_;
    const Problem<Given>& p_;
    const EliminationPlan& plan_;
    const Schedule& s_;
    const std::vector<Given>& own_;
    const Scale& scale_;
    const int32_t* stop_;
    Memory tables_, choices_;
    int64_t threads_ = 1;
    std::vector<std::vector<int32_t>> later_;      // edges to neighbours that leave later
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<int64_t> axis_;                    // of the variables in the present scope; of loops' ones, -1
    Step step_;
    std::vector<std::unique_ptr<Step>> loop_steps_;
    std::vector<int64_t> dims_, strides_, stored_;

    bool is_stopped() const { return __atomic_load_n(stop_, __ATOMIC_RELAXED) != 0; }

    T* table(int32_t v, const Worker& worker) const {
        if (worker.again != nullptr && worker.again->root == v) return static_cast<T*>(worker.own.get()) + s_.spare;
        return static_cast<T*>(s_.open[v] == 0 ? tables_.get() : worker.own.get()) + s_.place[v];
    }

    static int64_t sum_of(const std::vector<Offset>& offsets, size_t first, size_t last, const Worker& worker) {
        int64_t sum = 0;
        for (size_t k = first; k < last; ++k) sum += worker.value[offsets[k].variable] * offsets[k].stride;
        return sum;
    }

    // Where the slice at hand of a table is that arises in loops, `level` of them and those around counted.
    T* slice(const Step& root, int level, const Worker& worker) const {
        const int32_t v = root.variable;
        const size_t skipped = worker.again != nullptr && worker.again->root == v;
        return table(v, worker) + sum_of(root.out, skipped, level - s_.open[v], worker);
    }

    // Eliminates a variable; what was taken off every cell.
    int64_t run_step(const Step& step, Worker& worker) const {
        const Bucket<T>& bucket = step.bucket;
        Workspace<T>& work = worker.work;
        bucket.make_room(work);
        for (size_t f = 0; f < bucket.factors.size(); ++f) {
            const Source& source = step.sources[bucket.factors[f].source];
            const T* cells = source.child >= 0 ? table(source.child, worker) : step.rows.data() + source.place;
            work.at[f] = cells + sum_of(step.offsets, source.first, source.last, worker);
        }
        const int32_t v = step.variable;
        Index* kept = worker.kept;
        if (kept != nullptr) kept += s_.kept[v] + sum_of(step.kept, worker.again != nullptr, step.kept.size(), worker);
        const T taken = reduce_(bucket, work, slice(step, s_.fixed[v], worker), kept, low_bits());
        return kPacked<T> ? static_cast<int64_t>(taken) : 0;
    }

    void complete(const Step& step, const Worker& worker) const {
        for (const Adding& adding : step.additions) {
            T* to = table(adding.into, worker);
            const T* from = table(adding.from, worker);
            for (int64_t part = 0; part < adding.parts; ++part) {
                add_strided<T, Clamp>(to + part * adding.to_part, from + part * adding.from_part, adding.dims, adding.strides);
            }
        }
    }

    // What was taken off every cell of the tables of a loop's body, in one round of the loop.
    int64_t run_round(const Loop& loop, int32_t value, Worker& worker) const {
        worker.value[loop.variable] = value;
        int64_t taken = 0;
        for (const int32_t item : loop.body) {
            if (is_stopped()) return 0;
            if (item < 0) {
                taken += run_loop(s_.loops[~item], worker);
                continue;
            }
            const Step& step = *loop_steps_[item];
            taken += run_step(step, worker);
            if (s_.fixed[item] == s_.open[item]) complete(step, worker);
        }
        return taken;
    }

    int64_t run_loop(const Loop& loop, Worker& worker) const {
        const Step& root = *loop_steps_[loop.root];
        int64_t first = 0;
        for (int64_t x = 0; x < p_.sizes[loop.variable]; ++x) {
            const int64_t taken = run_round(loop, static_cast<int32_t>(x), worker);
            if (x == 0) first = taken;
            put_back(root, loop.level, taken - first, worker);
        }
        if (loop.completes) complete(root, worker);
        return first;
    }

    // All rounds of a loop shall have taken the same off the root's table.
    void put_back(const Step& root, int level, int64_t more, const Worker& worker) const {
        if (!kPacked<T> || more == 0) return;
        T* cells = slice(root, level + 1, worker);
        const int64_t count = root.out[level - s_.open[root.variable]].stride;
        for (int64_t z = 0; z < count; ++z) cells[z] += static_cast<T>(more);
    }

    // What every assignment pays, as far as it comes out here.
    Given run_outermost(const Loop& loop) {
        Given alone = 0;
        prepare_all(loop, &alone);
        const int64_t rounds = p_.sizes[loop.variable];
        const int64_t threads = std::min(threads_, rounds);
        while (static_cast<int64_t>(workers_.size()) < threads) workers_.emplace_back(new Worker(p_.n, s_.own));
        for (const auto& worker : workers_) worker->kept = loop.again ? nullptr : static_cast<Index*>(choices_.get());
        std::vector<int64_t> taken(rounds, 0);
        in_turn(rounds, threads, [&](int64_t t, int64_t x) {
            taken[x] = run_round(loop, static_cast<int32_t>(x), *workers_[t]);
        });
        Worker& worker = *workers_[0];
        const Step& root = *loop_steps_[loop.root];
        for (int64_t x = 0; x < rounds; ++x) {
            worker.value[loop.variable] = static_cast<int32_t>(x);
            put_back(root, 0, taken[x] - taken[0], worker);
        }
        complete(root, worker);
        forget_all(loop);
        worker.kept = static_cast<Index*>(choices_.get());
        return plus<Given, true>(alone, given_taken(taken[0]));
    }

    void go_back(int32_t* chosen) {
        const Index* kept = static_cast<Index*>(choices_.get());
        for (size_t k = s_.items.size(); k-- > 0;) {
            const int32_t item = s_.items[k];
            if (item >= 0) {
                choose(item, 0, kept, chosen);
                continue;
            }
            const Loop& loop = s_.loops[~item];
            if (!loop.again) {
                choose_all(loop, 0, kept, chosen);
                continue;
            }
            Worker& worker = *workers_[0];
            const Memory again((s_.again + kSlack) * sizeof(Index));
            worker.kept = static_cast<Index*>(again.get());
            worker.again = &loop;
            Given alone = 0;
            prepare_all(loop, &alone);
            run_round(loop, chosen[loop.variable], worker);
            forget_all(loop);
            worker.again = nullptr;
            choose_all(loop, 1, worker.kept, chosen);
        }
    }

    void choose_all(const Loop& loop, int32_t from, const Index* kept, int32_t* chosen) {
        for (size_t k = loop.body.size(); k-- > 0;) {
            if (loop.body[k] >= 0) {
                choose(loop.body[k], from, kept, chosen);
            } else {
                choose_all(s_.loops[~loop.body[k]], from, kept, chosen);
            }
        }
    }

    void choose(int32_t v, int32_t from, const Index* kept, int32_t* chosen) {
        s_.strides(plan_, p_.sizes, v, from, strides_);
        int64_t at = s_.kept[v];
        for (size_t a = 0; a < strides_.size(); ++a) at += strides_[a] * chosen[s_.scope[plan_.first[v] + from + a]];
        chosen[v] = static_cast<int32_t>(kept[at]);
    }

    void prepare_all(const Loop& loop, Given* alone) {
        for (const int32_t item : loop.body) {
            if (item < 0) {
                prepare_all(s_.loops[~item], alone);
                continue;
            }
            loop_steps_[item].reset(new Step);
            prepare(item, *loop_steps_[item]);
            *alone = plus<Given, true>(*alone, loop_steps_[item]->alone);
        }
    }

    void forget_all(const Loop& loop) {
        for (const int32_t item : loop.body) {
            if (item < 0) {
                forget_all(s_.loops[~item]);
            } else {
                loop_steps_[item].reset();
            }
        }
    }

    void prepare(int32_t v, Step& step) {
        const int32_t* scope = s_.scope.data() + plan_.first[v];
        const int64_t fixed = s_.fixed[v], width = plan_.first[v + 1] - plan_.first[v] - fixed;
        step.variable = v;
        step.sources.clear();
        step.offsets.clear();
        dims_.resize(width);
        for (int64_t a = 0; a < fixed; ++a) axis_[scope[a]] = -1;
        for (int64_t a = 0; a < width; ++a) {
            dims_[a] = p_.sizes[scope[fixed + a]];
            axis_[scope[fixed + a]] = a;
        }
        step.bucket.begin(p_.sizes[v], dims_, s_.digits[v]);
        step.alone = add_costs(v, step.bucket);
        add_edges(v, width, step);
        for (const int32_t c : s_.taken[v]) {
            s_.strides(plan_, p_.sizes, c, s_.open[c], stored_);
            int64_t own = 0;
            strides_.assign(width, 0);
            const size_t first = step.offsets.size();
            const int32_t* axes = s_.scope.data() + plan_.first[c] + s_.open[c];
            for (size_t a = 0; a < stored_.size(); ++a) {
                if (axes[a] == v) {
                    own = stored_[a];
                } else if (axis_[axes[a]] < 0) {
                    step.offsets.push_back({axes[a], stored_[a]});
                } else {
                    strides_[axis_[axes[a]]] = stored_[a];
                }
            }
            step.bucket.add(static_cast<int32_t>(step.sources.size()), own, strides_.data());
            step.sources.push_back({c, 0, first, step.offsets.size()});
        }
        step.bucket.arrange();
        set_offsets(v, s_.open[v], step.out);
        set_offsets(v, 0, step.kept);
        prepare_additions(v, step);
    }

    // Of the axes of loops from `from` on.
    void set_offsets(int32_t v, int32_t from, std::vector<Offset>& offsets) {
        offsets.clear();
        if (s_.fixed[v] == from) return;
        s_.strides(plan_, p_.sizes, v, from, stored_);
        for (int32_t a = from; a < s_.fixed[v]; ++a) offsets.push_back({s_.scope[plan_.first[v] + a], stored_[a - from]});
    }

    void prepare_additions(int32_t v, Step& step) {
        step.additions.clear();
        for (const Addition& addition : s_.additions[v]) {
            const int32_t into = addition.into, from = addition.from;
            Adding adding{into, from, 1, 0, 0, {}, {}};
            const int32_t* begin = s_.scope.data() + plan_.first[into] + s_.open[into];
            const int32_t* end = s_.scope.data() + plan_.first[into + 1];
            for (const int32_t* axis = begin; axis < end; ++axis) adding.dims.push_back(p_.sizes[*axis]);
            adding.strides.assign(end - begin, 0);
            s_.strides(plan_, p_.sizes, from, s_.open[from], stored_);
            const int32_t* axes = s_.scope.data() + plan_.first[from] + s_.open[from];
            for (size_t a = 0; a < stored_.size(); ++a) adding.strides[std::find(begin, end, axes[a]) - begin] = stored_[a];
            if (s_.open[into] == 0 && s_.fixed[into] > 0) {
                s_.strides(plan_, p_.sizes, into, 0, stored_);
                adding.parts = adding.dims[0];
                adding.to_part = stored_[0];
                adding.from_part = adding.strides[0];
                adding.dims.erase(adding.dims.begin());
                adding.strides.erase(adding.strides.begin());
            }
            step.additions.push_back(std::move(adding));
        }
    }

    T low_bits() const {
        if constexpr (kPacked<T>) return scale_.low_bits();
        return 0;
    }

    Given given(T sum) const {
        if constexpr (kPacked<T>) return sum >= Cost<T>::limit && Clamp ? Cost<Given>::forbidden : Given{sum >> scale_.bits};
        return sum;
    }

    Given given_taken(int64_t taken) const {
        if constexpr (kPacked<T>) return taken >> scale_.bits;
        return 0;
    }

    Given add_costs(int32_t v, Bucket<T>& bucket) const {
        const Given* own = own_.data() + p_.unary_starts[v];
        if constexpr (!kPacked<T>) {
            std::copy(own, own + p_.sizes[v], bucket.own.begin());
            return 0;
        } else {
            const int64_t low = scale_.own[v].low;
            for (int64_t x = 0; x < p_.sizes[v]; ++x) bucket.own[x] = scale_.of(own[x], low);
            return low;
        }
    }

    // The originals, rows by the choices of v.
    void add_edges(int32_t v, int64_t width, Step& step) {
        const int64_t size = p_.sizes[v];
        size_t cells = 0, place = 0;
        for (const int32_t e : later_[v]) cells += size * p_.sizes[other(e, v)] + kSlack;
        step.rows.resize(cells);
        for (const int32_t e : later_[v]) {
            const int32_t u = other(e, v);
            const int64_t columns = p_.sizes[u];
            const bool turned = p_.ends[2 * e] == u;
            const int64_t row = turned ? 1 : columns, column = turned ? size : 1;
            const Given* from = p_.pair + p_.pair_starts[e];
            T* to = step.rows.data() + place;
            for (int64_t x = 0; x < size; ++x) {
                for (int64_t y = 0; y < columns; ++y) {
                    const Given cost = from[x * row + y * column];
                    if constexpr (kPacked<T>) {
                        to[x * columns + y] = scale_.of(cost, scale_.between[e].low);
                    } else {
                        to[x * columns + y] = cost;
                    }
                }
            }
            if constexpr (kPacked<T>) step.alone += scale_.between[e].low;
            strides_.assign(width, 0);
            const size_t first = step.offsets.size();
            if (axis_[u] < 0) {
                step.offsets.push_back({u, 1});
            } else {
                strides_[axis_[u]] = 1;
            }
            step.bucket.add(static_cast<int32_t>(step.sources.size()), columns, strides_.data());
            step.sources.push_back({-1, place, first, step.offsets.size()});
            place += size * columns + kSlack;
        }
    }

    int32_t other(int32_t e, int32_t v) const { return p_.ends[2 * e] == v ? p_.ends[2 * e + 1] : p_.ends[2 * e]; }
};

}  // namespace dm

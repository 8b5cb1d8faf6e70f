// Places for tables that come and go, found out before there are any.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace dm {

// Each gets the first hole that is large enough.
class Places {
  public:
    int64_t take(int64_t cells) {
        for (auto hole = holes_.begin(); hole != holes_.end(); ++hole) {
            if (hole->cells < cells) continue;
            const int64_t at = hole->at;
            hole->at += cells;
            hole->cells -= cells;
            if (hole->cells == 0) holes_.erase(hole);
            return at;
        }
        const int64_t at = end_;
        end_ += cells;
        peak_ = std::max(peak_, end_);
        return at;
    }

    void give(int64_t at, int64_t cells) {
        const auto before = [](const Hole& hole, int64_t place) { return hole.at < place; };
        auto next = std::lower_bound(holes_.begin(), holes_.end(), at, before);
        const bool joins = next != holes_.begin() && (next - 1)->at + (next - 1)->cells == at;
        if (joins) {
            (--next)->cells += cells;
        } else {
            next = holes_.insert(next, {at, cells});
        }
        if (next + 1 != holes_.end() && next->at + next->cells == (next + 1)->at) {
            next->cells += (next + 1)->cells;
            holes_.erase(next + 1);
        }
        if (holes_.back().at + holes_.back().cells == end_) {
            end_ = holes_.back().at;
            holes_.pop_back();
        }
    }

    int64_t peak() const { return peak_; }

  private:
    struct Hole {
        int64_t at, cells;
    };
    std::vector<Hole> holes_;  // in order
    int64_t end_ = 0, peak_ = 0;
};

}  // namespace dm

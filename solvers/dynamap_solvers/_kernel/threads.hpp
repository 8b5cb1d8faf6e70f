// Work that threads take in turn.
#pragma once

#include <atomic>
#include <cstdint>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace dm {

// Calls work(t, k) for all k < count, from this thread (t = 0) and up to threads - 1 more; returns when all is done.
// What one call throws ends all of them, and is thrown here as std::bad_alloc: there is nothing else it could be.
template <typename Work>
void in_turn(int64_t count, int64_t threads, const Work& work) {
    std::atomic<int64_t> next{0};
    std::atomic<bool> failed{false};
    const auto run = [&](int64_t t) {
        try {
            for (int64_t k = next++; k < count && !failed; k = next++) work(t, k);
        } catch (...) {
            failed = true;
        }
    };
    std::vector<std::thread> others;
    try {
        others.reserve(threads - 1);
        for (int64_t t = 1; t < threads && t < count; ++t) others.emplace_back(run, t);
    } catch (const std::system_error&) {  // no more threads to be had: fewer do it as well
    } catch (const std::bad_alloc&) {
    }
    run(0);
    for (std::thread& other : others) other.join();
    if (failed) throw std::bad_alloc();
}

}  // namespace dm

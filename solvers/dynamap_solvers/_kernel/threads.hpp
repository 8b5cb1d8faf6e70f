// Work that threads take in turn.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace dm {

constexpr size_t kOwnData = 96 * 1024;  // bytes; what is given back of so little stays with the process

// Calls work(t, k) for all k < count, from this thread (t = 0) and up to threads - 1 more; returns when all is done.
// What one call throws ends all of them, and is thrown here as std::bad_alloc: there is nothing else it could be.
template <typename Work>
void in_turn(int64_t count, int64_t threads, const Work& work) {
    std::atomic<int64_t> next{0};
    std::atomic<bool> failed{false};
    std::atomic<int64_t> begun{0};
    const auto run = [&](int64_t t) {
        (void)std::uncaught_exceptions();  // makes the thread's own data now
        ++begun;
        try {
            for (int64_t k = next++; k < count && !failed; k = next++) work(t, k);
        } catch (...) {
            failed = true;
        }
    };
    std::vector<std::thread> others;
    try {
        others.reserve(threads - 1);
        for (int64_t t = 1; t < threads && t < count; ++t) {
            // The C library ends the process where there is no memory for a thread's own data: there is, if this was.
            char* volatile probe = new char[kOwnData];  // volatile, or it would be left out
            delete[] probe;
            others.emplace_back(run, t);
            while (begun < t) std::this_thread::yield();
        }
    } catch (const std::system_error&) {  // no more threads to be had: fewer do it as well
    } catch (const std::bad_alloc&) {
    }
    run(0);
    for (std::thread& other : others) other.join();
    if (failed) throw std::bad_alloc();
}

}  // namespace dm

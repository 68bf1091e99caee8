#include "bench/machine.h"

#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "bench/clock.h"
#include "millrace/platform.h"

namespace millrace::bench {
namespace {

void stay_on(std::size_t which) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cores()[which % cores().size()], &one);
  ::sched_setaffinity(0, sizeof one, &one);
}

std::size_t half() { return std::max<std::size_t>(1, cores().size() / 2); }

struct alignas(line_bytes) word {
  std::atomic<std::uint64_t> value{0};
};

// Waits for the other's word, and now and then gives up the core, which both may be on.
bool await_word(const word& w, std::uint64_t wanted, const std::atomic<bool>& over) {
  for (unsigned turn = 1; w.value.load(std::memory_order_acquire) != wanted; ++turn) {
    if (turn % 4096 != 0) continue;
    if (over.load(std::memory_order_relaxed)) return false;
    ::sched_yield();
  }
  return true;
}

}  // namespace

const std::vector<unsigned>& cores() {
  static const std::vector<unsigned> allowed = [] {
    cpu_set_t set;
    ::sched_getaffinity(0, sizeof set, &set);
    std::vector<unsigned> found;
    for (unsigned core = 0; core != CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) found.push_back(core);
    }
    return found;
  }();
  return allowed;
}

void stay_on_first_half(std::uint32_t number) { stay_on(number % half()); }
void stay_on_second_half(std::uint32_t number) { stay_on(half() + number % half()); }
void stay_on_any(std::uint32_t number) { stay_on(number); }

bool take_rank(int rank) {
  const sched_param p{.sched_priority = rank};
  return ::sched_setscheduler(0, SCHED_FIFO, &p) == 0;
}

double line_round_trip(unsigned lines, std::chrono::microseconds duration) {
  constexpr std::uint64_t stretch = 16;
  struct two {
    word there;
    word back;
    std::atomic<bool> over{false};
  };
  const auto all = std::make_unique<two>();
  word& back = lines == 1 ? all->there : all->back;
  std::vector<double> stretches;
  // Odd values go there, even ones come back: so one line serves as well.
  std::thread other([&] {
    stay_on_second_half(0);
    for (std::uint64_t i = 1; await_word(all->there, i, all->over); i += 2) {
      back.value.store(i + 1, std::memory_order_release);
    }
  });
  std::thread self([&] {
    stay_on_first_half(0);
    const std::int64_t end = monotonic_ns() + std::chrono::nanoseconds(duration).count();
    std::uint64_t i = 1;
    for (std::int64_t from = monotonic_ns(); from < end;) {
      for (std::uint64_t n = 0; n != stretch; ++n, i += 2) {
        all->there.value.store(i, std::memory_order_release);
        await_word(back, i + 1, all->over);
      }
      const std::int64_t now = monotonic_ns();
      stretches.push_back(static_cast<double>(now - from) / static_cast<double>(stretch));
      from = now;
    }
    all->over.store(true, std::memory_order_relaxed);
  });
  self.join();
  other.join();
  std::nth_element(stretches.begin(), stretches.begin() + static_cast<std::ptrdiff_t>(stretches.size() / 2),
                   stretches.end());
  return stretches[stretches.size() / 2];
}

std::string describe_machine() {
  std::map<std::string, std::string> said;  // of each core the same
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos)
      said[line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1)] = line.substr(colon + 2);
  }
  std::string all = said.contains("model name") ? said["model name"] : "unknown processor";
  all += ", " + std::to_string(cores().size()) + (cores().size() == 1 ? " core" : " cores");
  if (said.contains("siblings") && said.contains("cpu cores")) {
    all += said["siblings"] == said["cpu cores"] ? " of one thread" : " that share theirs with others";
  }
  for (const auto& [name, key] : {std::pair("L1d", _SC_LEVEL1_DCACHE_SIZE), std::pair("L2", _SC_LEVEL2_CACHE_SIZE),
                                  std::pair("L3", _SC_LEVEL3_CACHE_SIZE)}) {
    if (const long bytes = ::sysconf(key); bytes > 0)
      all += std::string(", ") + name + " " + std::to_string(bytes / 1024) + " KiB";
  }
  if (said["flags"].find(" hypervisor") != std::string::npos) all += ", under a hypervisor";
  utsname kernel{};
  ::uname(&kernel);
  all += std::string(", Linux ") + kernel.release +
#if defined(__clang__)
         ", clang "
#else
         ", g++ "
#endif
         __VERSION__;
  const std::time_t now = std::time(nullptr);
  std::tm day{};
  ::gmtime_r(&now, &day);
  char date[16];
  return all.append(date, std::strftime(date, sizeof date, ", %Y-%m-%d", &day));
}

}  // namespace millrace::bench

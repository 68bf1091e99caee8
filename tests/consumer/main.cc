// A program of somebody else's: a child sends, its parent receives and adds up.
#include <millrace/mpmc_ring.h>
#include <millrace/shared_ring.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>

namespace {

struct reading {
  std::uint64_t number;
  double value;
};

using readings = millrace::shared_ring<millrace::mpmc_ring<reading>>;

constexpr std::uint64_t count = 1000;

// More readings than the ring holds, so that the sender has to wait.
int send(readings& ring) {
  auto mine = ring.attach();
  if (!mine) return 1;
  for (std::uint64_t i = 0; i < count; ++i) {
    const reading r{i, 0.5};
    if (mine->push(r) != millrace::status::ok) return 1;
  }
  mine->close();
  return 0;
}

bool receive(readings& ring) {
  auto mine = ring.attach();
  if (!mine) {
    std::fprintf(stderr, "%s\n", mine.error().message.c_str());
    return false;
  }
  reading r{};
  std::uint64_t next = 0;
  for (;;) {
    const millrace::status s = mine->pop_for(r, std::chrono::seconds(30));
    if (s == millrace::status::closed) break;
    if (s != millrace::status::ok || r.number != next || r.value != 0.5) return false;
    ++next;
  }
  return next == count;
}

}  // namespace

int main() {
  auto ring = readings::create(millrace::location::anonymous(), {.capacity = 64, .members = 2});
  if (!ring) {
    std::fprintf(stderr, "%s\n", ring.error().message.c_str());
    return 1;
  }
  const pid_t child = fork();
  if (child < 0) return 1;
  if (child == 0) _exit(send(*ring));

  const bool received = receive(*ring);
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0 || !received) return 1;
  std::printf("received %llu readings\n", static_cast<unsigned long long>(count));
  return 0;
}

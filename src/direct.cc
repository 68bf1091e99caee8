#include "millrace/direct.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <list>
#include <mutex>
#include <new>
#include <system_error>
#include <vector>

#include "millrace/event_count.h"
#include "millrace/futex.h"
#include "millrace/keeper.h"
#include "millrace/robust_mutex.h"
#include "refusal.h"

namespace millrace {
namespace {

constexpr std::string_view directory = "/dev/shm";
constexpr std::string_view prefix = "millrace.direct.";
constexpr std::size_t longest_name = 64;
constexpr int most_attempts = 64;  // against others that come and go

using name_text = std::array<char, longest_name>;

struct seat {
  std::atomic<std::uint64_t> holder{0};  // its number; 0: nobody's
  std::atomic<std::uint64_t> former{0};  // one that was killed, whose links have not been ended (D3)
  native::plain<name_text> name;
};

struct table {
  robust_mutex<native> lock;
  event_count<native> arrivals;
  std::atomic<std::uint64_t> arrived{0};  // how many have enrolled
  std::atomic<std::uint64_t> last_number;
};

// "EXCHANGE:P:1f:Q:20", whoever came first.
struct end_of_link {
  std::string name;
  std::uint64_t number = 0;
};
struct link_file {
  std::string file;
  std::array<end_of_link, 2> ends;

  bool is_of(std::uint64_t number) const { return ends[0].number == number || ends[1].number == number; }
  const end_of_link& other(std::uint64_t number) const { return ends[ends[0].number == number ? 1 : 0]; }
};

std::string hex(std::uint64_t number) {
  std::array<char, 16> digits;
  return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr};
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= longest_name &&
         std::ranges::none_of(name, [](unsigned char c) { return c < 0x20 || c == 0x7f || c == '/' || c == ':'; });
}

error bad_name(std::string_view name, const std::string& what) {
  return refused(errc::bad_argument, 0, "direct",
                 "expected the name of " + what + ", 1 to " + std::to_string(longest_name) +
                     " characters without '/', ':' and what does not print, found \"" +
                     in_one_line(std::string(name.substr(0, longest_name))) + "\"; use another");
}

// The links of an exchange that have a name. A file of another's making may be among them.
std::vector<link_file> links_in(const std::string& exchange_file) {
  std::vector<link_file> found;
  std::error_code ended;
  const std::string start = exchange_file + ':';
  for (std::filesystem::directory_iterator at(directory, ended), end; !ended && at != end; at.increment(ended)) {
    link_file f{at->path().filename(), {}};
    if (!f.file.starts_with(start)) continue;
    std::string_view rest = std::string_view(f.file).substr(start.size());
    bool sound = true;
    for (end_of_link& e : f.ends) {
      const std::size_t colon = rest.find(':');
      e.name = rest.substr(0, colon);
      rest = colon == rest.npos ? std::string_view() : rest.substr(colon + 1);
      const char* const stop = rest.data() + rest.size();
      const auto number = std::from_chars(rest.data(), stop, e.number, 16);
      rest = std::string_view(number.ptr, static_cast<std::size_t>(stop - number.ptr));
      if (rest.starts_with(':')) rest.remove_prefix(1);
      sound = sound && number.ec == std::errc();
    }
    if (sound && rest.empty()) found.push_back(std::move(f));
  }
  return found;
}

}  // namespace

struct exchange::state {
  state(shared_memory m, const geometry& g, traffic what, std::string own_name)
      : memory(std::move(m)), shape(g), carried(std::move(what)), name(std::move(own_name)) {}

  std::byte* at(std::size_t offset) const { return static_cast<std::byte*>(memory.base()) + offset; }
  roster<native> all() const { return {at(roster_offset()), shape.members}; }
  membership<native> who() const { return {all(), place}; }
  table& shared() const { return *reinterpret_cast<table*>(at(ring_offset(shape))); }
  seat& seat_of(std::uint32_t m) const { return reinterpret_cast<seat*>(&shared() + 1)[m]; }
  const std::string& file() const { return memory.where().name(); }

  static std::size_t bytes(const geometry& g) { return ring_offset(g) + sizeof(table) + g.members * sizeof(seat); }

  static void construct(void* base, const ring_description& d) {
    write_header(base, d);
    auto* const t = std::construct_at(reinterpret_cast<table*>(static_cast<std::byte*>(base) + ring_offset(d.shape)));
    for (std::uint32_t m = 0; m != d.shape.members; ++m) std::construct_at(reinterpret_cast<seat*>(t + 1) + m);
    // Where somebody has removed the file of an exchange in use, the old links are no links of this one.
    t->last_number.store(static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()),
                         std::memory_order_relaxed);
  }

  bool lock(deadline until) const {
    const lock_result got = shared().lock.lock_until(who(), until);
    if (got == lock_result::owner_died) shared().lock.make_consistent();  // D2
    return got != lock_result::timed_out;
  }
  void unlock() const { shared().lock.unlock(); }

  // Whether its name still is this exchange's. Under the lock, so that it stays so.
  bool named() const {
    struct stat own {};
    struct stat found {};
    return ::fstat(memory.descriptor(), &own) == 0 &&
           ::stat((std::string(directory) + '/' + file()).c_str(), &found) == 0 && own.st_ino == found.st_ino &&
           own.st_dev == found.st_dev;
  }

  // Whether the one of that number lives. If not it will never send again.
  bool lives(std::uint64_t whose) const {
    for (std::uint32_t m = 0; m != shape.members; ++m) {
      // acquire: pairs with sit_down, so that the holder's life is looked at (roster R3).
      if (seat_of(m).holder.load(std::memory_order_acquire) == whose) return !all().dead(m);
    }
    return false;
  }

  // The seat of the living one of that name, under the lock.
  std::optional<std::uint32_t> seat_of(std::string_view whose) const {
    for (std::uint32_t m = 0; m != shape.members; ++m) {
      if (seat_of(m).holder.load(std::memory_order_acquire) == 0) continue;
      name_text text;
      seat_of(m).name.read(text);
      if (std::string_view(text.data(), ::strnlen(text.data(), text.size())) == whose && !all().dead(m)) return m;
    }
    return std::nullopt;
  }

  // Of the keeper's thread, for one that was killed in that place.
  void settle(std::uint32_t m) const {
    shared().lock.settle({all(), m});
    if (const std::uint64_t dead = seat_of(m).holder.load(std::memory_order_relaxed); dead != 0) {
      seat_of(m).former.store(dead, std::memory_order_relaxed);
      seat_of(m).holder.store(0, std::memory_order_release);
    }
  }

  // Likewise, when anybody was killed.
  void alarm() {
    shared().lock.alarm();
    shared().arrivals.alarm();
    const std::lock_guard alone(guard);
    for (const link& l : links) {
      if (!lives(l.peer)) carried.end(l.rings);
    }
  }

  // Those of that number: ended, and without a name where nobody is left to ask for it.
  void end_links(std::uint64_t whose) const {
    for (const link_file& f : links_in(file())) {
      if (!f.is_of(whose)) continue;
      if (auto l = mapped(f, shared_memory::open(location::posix(f.file)))) carried.end(l->rings);
      if (!lives(f.other(whose).number)) (void)shared_memory::unlink(location::posix(f.file));
    }
  }

  // Under the lock.
  result<done> sit_down() {
    seat& mine = seat_of(place);
    if (const std::uint64_t dead = mine.former.load(std::memory_order_relaxed); dead != 0) {
      end_links(dead);
      mine.former.store(0, std::memory_order_relaxed);
    }
    for (const link_file& f : links_in(file())) {
      if (!lives(f.ends[0].number) && !lives(f.ends[1].number)) {
        (void)shared_memory::unlink(location::posix(f.file));
      }
    }
    if (const auto held = seat_of(name)) {
      const auto members = list_members(at(roster_offset()), shape.members);
      const auto holder = std::ranges::find(members, *held, &member::place);
      const std::string by =
          holder == members.end() ? "a living process" : "pid " + std::to_string(holder->process.pid);
      return refused(errc::exists, 0, memory.where().describe(),
                     "expected the name \"" + name + "\" to be free, found it held by " + by +
                         "; use another, or have that one leave");
    }
    name_text text{};
    name.copy(text.data(), text.size());
    mine.name.write(text);
    number = shared().last_number.fetch_add(1, std::memory_order_relaxed) + 1;
    mine.holder.store(number, std::memory_order_release);      // pairs with lives
    shared().arrived.fetch_add(1, std::memory_order_release);  // pairs with await_link
    return done{};
  }

  // Under the lock.
  void stand_up() {
    end_links(number);
    seat_of(place).holder.store(0, std::memory_order_release);
    for (std::uint32_t m = 0; m != shape.members; ++m) {
      if (seat_of(m).holder.load(std::memory_order_acquire) != 0 && !all().dead(m)) return;
    }
    if (!named()) return;
    for (const link_file& f : links_in(file())) (void)shared_memory::unlink(location::posix(f.file));
    (void)shared_memory::unlink(memory.where());
  }

  // Where the rings are in a link that was opened or made, once it is seen to be one.
  result<link> mapped(const link_file& f, result<shared_memory> m) const {
    if (!m) return m.error();
    const std::string object = m->where().describe();
    const auto sound = read_header(m->base(), m->size(), carried.link, object);
    if (!sound) return sound.error();
    const std::size_t rings = ring_offset(*sound);
    if (m->size() < rings + carried.bytes) return refused(errc::foreign, 0, object, "is cut off; unlink it");
    m->if_truncated([rings, cut_off = carried.cut_off](void* base) { cut_off(static_cast<std::byte*>(base) + rings); });
    void* const at = static_cast<std::byte*>(m->base()) + rings;
    return link{*std::move(m), at, f.other(number).number, f.ends[0].number == number};
  }

  result<link> make(std::string_view peer, std::uint64_t peers_number) const {
    std::array<end_of_link, 2> ends{end_of_link{name, number}, end_of_link{std::string(peer), peers_number}};
    if (peers_number < number) std::swap(ends[0], ends[1]);
    link_file f{file(), ends};
    for (const end_of_link& e : ends) f.file += ':' + e.name + ':' + hex(e.number);
    const geometry& g = carried.link.shape;
    return mapped(
        f, shared_memory::create(location::posix(f.file), ring_offset(g) + carried.bytes, mode, [this, &g](void* base) {
          write_header(base, carried.link);
          carried.construct(static_cast<std::byte*>(base) + ring_offset(g));
        }));
  }

  answer kept(result<link> made) {
    if (!made) return {status::refused, nullptr, made.error()};
    const std::lock_guard alone(guard);
    links.push_back(*std::move(made));
    link& l = links.back();
    // Behind the entry: from here on our keeper sees to it.
    if (!lives(l.peer)) carried.end(l.rings);
    return {status::ok, &l};
  }

  shared_memory memory;
  geometry shape;
  traffic carried;
  std::string name;
  mode_t mode = 0600;
  std::uint32_t place = 0;
  std::uint64_t number = 0;  // 0: not enrolled yet

  std::mutex guard;
  std::list<link> links;  // those open here

  std::unique_ptr<keeper> watch;  // goes first
};

exchange::exchange(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}

result<std::unique_ptr<exchange>> exchange::enroll(std::string_view name, const direct_options& options,
                                                   traffic carried) {
  if (!is_name(name)) return bad_name(name, "a process");
  if (!is_name(options.exchange)) return bad_name(options.exchange, "an exchange");
  if (const std::string why = refuse_unless_within("members", options.members, max_members); !why.empty()) {
    return refused(errc::bad_argument, 0, "direct", why);
  }
  if (const auto joined = join_barriers(); !joined) return joined.error();
  const location where = location::posix(std::string(prefix) + options.exchange);
  ring_description d = carried.link;
  d.kind = "direct";
  d.shape.members = options.members;
  for (int attempt = 0; attempt != most_attempts; ++attempt) {
    auto memory = shared_memory::open_or_create(where, state::bytes(d.shape), options.mode,
                                                [&d](void* base) { state::construct(base, d); });
    if (!memory) return memory.error();
    const auto sound = read_header(memory->base(), memory->size(), d, where.describe());
    if (!sound) return sound.error();
    if (memory->size() < state::bytes(d.shape)) {
      return refused(errc::foreign, 0, where.describe(), "is cut off; unlink it");
    }
    auto s = std::make_unique<state>(*std::move(memory), d.shape, carried, std::string(name));
    s->mode = options.mode;
    auto watch = keeper::start(
        s->at(roster_offset()), d.shape.members,
        {.alarm = [of = s.get()] { of->alarm(); }, .settle = [of = s.get()](std::uint32_t m) { of->settle(m); }},
        where.describe());
    if (!watch) return watch.error();
    s->watch = *std::move(watch);
    const auto place = s->watch->join();
    if (s->memory.cut_off()) {
      return refused(errc::foreign, 0, where.describe(), "somebody has truncated it; unlink it");
    }
    if (!place) {
      return refused(
          errc::limit, 0, where.describe(),
          "all " + std::to_string(d.shape.members) + " seats are taken; use another exchange, or have somebody leave");
    }
    s->place = *place;
    (void)s->lock(deadline::never());
    const bool named = s->named();  // the last one may have left since
    const result<done> seated = named ? s->sit_down() : result<done>(done{});
    s->unlock();
    if (!seated) return seated.error();
    if (!named) continue;
    s->shared().arrivals.notify();
    return std::unique_ptr<exchange>(new exchange(std::move(s)));
  }
  return refused(errc::limit, 0, where.describe(),
                 "was left by all and made anew " + std::to_string(most_attempts) + " times; try again");
}

exchange::~exchange() {
  state& s = *state_;
  if (!s.watch->mine()) return;  // our parent's
  (void)s.lock(deadline::never());
  if (s.memory.cut_off()) {
    for (const link& l : s.links) s.carried.end(l.rings);
  } else {
    s.stand_up();
  }
  s.unlock();
}

exchange::answer exchange::find(std::string_view peer, deadline until) {
  state& s = *state_;
  if (!is_name(peer)) return {status::refused, nullptr, bad_name(peer, "a process")};
  if (peer == s.name) {
    return {status::refused, nullptr,
            refused(errc::bad_argument, 0, s.memory.where().describe(),
                    "expected the name of another, found \"" + s.name + "\", which is one's own")};
  }
  if (!s.lock(until)) return {status::timed_out};
  std::optional<link_file> oldest;
  for (link_file& f : links_in(s.file())) {
    if (!f.is_of(s.number) || f.other(s.number).name != peer) continue;
    if (!oldest || f.other(s.number).number < oldest->other(s.number).number) oldest = std::move(f);
  }
  const auto there = oldest ? std::nullopt : s.seat_of(peer);
  answer a{status::empty};
  if (s.memory.cut_off()) {
    a = {status::corrupt, nullptr,
         refused(errc::foreign, 0, s.memory.where().describe(), "somebody has truncated it; unlink it")};
  } else if (oldest) {
    a = s.kept(s.mapped(*oldest, shared_memory::open(location::posix(oldest->file))));
  } else if (there) {
    a = s.kept(s.make(peer, s.seat_of(*there).holder.load(std::memory_order_relaxed)));
  }
  s.unlock();
  return a;
}

exchange::answer exchange::await_link(std::string_view peer, deadline until) {
  std::optional<std::uint64_t> looked;
  answer a{status::empty};
  a.why = await(state_->shared().arrivals, until, [&]() noexcept {
    const std::uint64_t arrived = state_->shared().arrived.load(std::memory_order_acquire);  // pairs with sit_down
    if (arrived == looked && !state_->memory.cut_off()) return status::empty;
    looked = arrived;
    a = find(peer, until);
    return a.why;
  });
  return a;
}

void exchange::forget(link* ended) {
  const location where = ended->memory.where();
  {
    const std::lock_guard alone(state_->guard);
    state_->links.remove_if([ended](const link& l) { return &l == ended; });
  }
  (void)shared_memory::unlink(where);
}

}  // namespace millrace

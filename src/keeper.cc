#include "millrace/keeper.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <utility>

#include "millrace/deadline.h"
#include "millrace/futex.h"
#include "refusal.h"

namespace millrace {
namespace {

using lives = roster<native>;
using word = std::atomic<std::uint32_t>;

static_assert(lives::alarmed == FUTEX_WAITERS && lives::died == FUTEX_OWNER_DIED && lives::id_mask == FUTEX_TID_MASK,
              "the kernel marks life words by its own rules");

constexpr std::size_t bells = 7;

// A word that the kernel marks, with one of what is known of the member beside it,
// as the kernel's list has steps of eight bytes.
struct cell {
  word marked{0};
  word note{0};
};
static_assert(sizeof(cell) == sizeof(lives::life) && sizeof(cell) == sizeof(robust_list));

// The rows of cells: claims, and then each bell.
constexpr std::size_t rows = 1 + bells;
enum note : std::size_t { joins, pid_namespace, identity_low, identity_high, listens };

// What follows the roster in the segment. The cells come first: they and the life
// words before them are one row for the list.
struct table {
  lives all;
  cell* cells;
  word* joined;  // futex: counts joins

  table(void* at, std::uint32_t members) noexcept
      : all(at, members),
        cells(reinterpret_cast<cell*>(static_cast<std::byte*>(at) + lives::bytes(members))),
        joined(reinterpret_cast<word*>(cells + rows * members)) {}

  word& life(std::uint32_t m) const noexcept { return all.life_of(m); }
  word& claim(std::uint32_t m) const noexcept { return cells[m].marked; }
  word& bell(std::size_t b, std::uint32_t m) const noexcept { return cells[(1 + b) * all.members() + m].marked; }
  word& noted(note n, std::uint32_t m) const noexcept { return cells[n * all.members() + m].note; }

  process_identity who(std::uint32_t m) const noexcept {
    const std::uint64_t low = noted(identity_low, m).load(std::memory_order_relaxed);
    const std::uint64_t high = noted(identity_high, m).load(std::memory_order_relaxed);
    return process_identity::unpack(high << 32 | low, noted(pid_namespace, m).load(std::memory_order_relaxed));
  }
};

bool is_dead(std::uint32_t life) noexcept { return (life & lives::died) != 0; }
bool has_holder(std::uint32_t life) noexcept { return (life & lives::id_mask) != 0; }
bool is_alive(std::uint32_t life) noexcept { return has_holder(life) && !is_dead(life); }

// Pages of this process; `advice` says what a child of fork finds in their place.
class pages {
 public:
  pages(std::size_t bytes, int sharing, int advice) noexcept
      : at_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0)), bytes_(bytes) {
    if (at_ != MAP_FAILED) ::madvise(at_, bytes_, advice);
  }
  pages(const pages&) = delete;
  pages& operator=(const pages&) = delete;
  ~pages() {
    if (at_ != MAP_FAILED) ::munmap(at_, bytes_);
  }

  void* at() const noexcept { return at_ != MAP_FAILED ? at_ : nullptr; }
  std::size_t size() const noexcept { return bytes_; }

 private:
  void* at_;
  std::size_t bytes_;
};

// This thread's robust list, in memory of this process alone. The kernel walks it,
// whatever the thread was doing: so each change is one store of a pointer, and the
// word that is about to be taken is *pending* meanwhile.
class own_list {
 public:
  // `first` is the word of node 0; words and nodes go in the same steps.
  own_list(void* memory, const void* first, std::size_t nodes) noexcept
      : head_(static_cast<robust_list_head*>(memory)), nodes_(reinterpret_cast<robust_list*>(head_ + 1)) {
    head_->list.next = &head_->list;
    head_->futex_offset = static_cast<const char*>(first) - reinterpret_cast<const char*>(nodes_);
    head_->list_op_pending = nullptr;
    std::fill_n(nodes_, nodes, robust_list{nullptr});
  }

  static std::size_t bytes(std::size_t nodes) noexcept {
    return sizeof(robust_list_head) + nodes * sizeof(robust_list);
  }

  // Where it is allowed: see `may_be_installed`.
  void install() const noexcept { ::syscall(SYS_set_robust_list, head_, sizeof *head_); }

  // Tried with the calling thread's own.
  static bool may_be_installed() noexcept {
    robust_list_head* own = nullptr;
    std::size_t bytes = 0;
    return ::syscall(SYS_get_robust_list, 0, &own, &bytes) == 0 && ::syscall(SYS_set_robust_list, own, bytes) == 0;
  }

  void pend(std::size_t node) noexcept { set(head_->list_op_pending, &nodes_[node]); }
  void settle() noexcept { set(head_->list_op_pending, nullptr); }

  void add(std::size_t node) noexcept {
    set(nodes_[node].next, head_->list.next);
    set(head_->list.next, &nodes_[node]);
  }

  void remove(std::size_t node) noexcept {
    robust_list* before = &head_->list;
    while (before->next != &nodes_[node]) {
      before = before->next;
      if (before == &head_->list) return;
    }
    set(before->next, nodes_[node].next);
  }

 private:
  // In program order, as seen by the kernel when it ends this thread.
  static void set(robust_list*& at, robust_list* to) noexcept {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::atomic_ref(at).store(to, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }

  robust_list_head* head_;
  robust_list* nodes_;
};

}  // namespace

struct keeper::state {
  enum class wish : std::uint8_t { join, leave, stop };

  state(void* at, std::uint32_t members, ring of, std::unique_ptr<pages> list_memory,
        std::unique_ptr<pages> mark_memory)
      : here(at, members),
        tasks(std::move(of)),
        memory(std::move(list_memory)),
        list(memory->at(), &here.life(0), nodes(members)),
        mark(std::move(mark_memory)),
        own(members, false),
        seen_dead(members, 0) {
    std::construct_at(static_cast<word*>(mark->at()), 1u);
  }

  // In a child of fork it is wiped. (The child may have our pid: in another PID
  // namespace, or when we have ended.)
  bool mine() const noexcept { return static_cast<const word*>(mark->at())->load(std::memory_order_relaxed) != 0; }

  static std::size_t nodes(std::uint32_t members) noexcept { return (1 + rows) * members; }

  // For the process's other threads: has the keeper's do something, one at a time.
  std::optional<std::uint32_t> ask(wish what, std::uint32_t place) {
    const std::lock_guard alone(asking);
    asked = what;
    asked_place = place;
    const std::uint32_t before = command.fetch_add(1, std::memory_order_release);  // pairs with run
    ::syscall(SYS_futex, &command, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    // Not std::atomic's wait: libstdc++'s notify has no fence before it looks whether anybody waits.
    while (replies.load(std::memory_order_acquire) == before) {  // pairs with run
      futex_wait(replies, before, deadline::never());
    }
    return answer;
  }

  void run() noexcept {
    ::prctl(PR_SET_NAME, "millrace keeper");
    id = static_cast<std::uint32_t>(::gettid()) | lives::alarmed;
    process = process_identity::self();
    list.install();
    for (;;) {
      const std::uint32_t commanded = command.load(std::memory_order_acquire);    // pairs with ask
      const std::uint32_t joined = here.joined->load(std::memory_order_acquire);  // pairs with have_others_look
      if (commanded != replies.load(std::memory_order_relaxed)) {
        const bool last = asked == wish::stop;
        if (asked == wish::join) answer = join();
        if (asked == wish::leave) leave(asked_place);
        if (asked == wish::stop) give_up_all();
        replies.store(commanded, std::memory_order_release);  // pairs with ask
        futex_wake_all(replies);
        if (last) return;
      }
      if (seat() != here.all.members() && choose_bell()) have_others_look();
      watch(commanded, joined);
    }
  }

  std::size_t places() const noexcept { return static_cast<std::size_t>(std::count(own.begin(), own.end(), true)); }

  std::optional<std::uint32_t> join() noexcept {
    if (places() == most_places) return std::nullopt;
    for (const bool free : {true, false}) {
      for (std::uint32_t m = 0; m != here.all.members(); ++m) {
        if (own[m]) continue;  // whatever its words say: it is in the list already
        const std::uint32_t claim = here.claim(m).load(std::memory_order_relaxed);
        const bool wanted = free ? claim == 0 : is_dead(claim);
        if (wanted && !is_alive(here.life(m).load(std::memory_order_relaxed)) && take(m, claim)) return m;
      }
    }
    return std::nullopt;
  }

  bool take(std::uint32_t m, std::uint32_t claim) noexcept {
    list.pend(node_of_claim(m));
    // acquire: pairs with give_back, or with the kernel's mark.
    const bool claimed = here.claim(m).compare_exchange_strong(claim, id, std::memory_order_acquire);
    if (claimed) list.add(node_of_claim(m));
    list.settle();
    if (!claimed) return false;
    // acquire: pairs with the kernel's mark, or with leave.
    const std::uint32_t before = here.life(m).load(std::memory_order_acquire);
    if (is_dead(before)) {
      native::await_end();
      tasks.settle(m);
      here.all.count(recovery::place_taken_over);
      // Nobody may have noticed yet; nobody will, now.
      here.all.report_death();
      tasks.alarm();
      here.life(m).store(0, std::memory_order_relaxed);
    }
    if (is_alive(before) || !live(m)) {  // K5
      give_back(m);
      return false;
    }
    own[m] = true;
    have_others_look();  // K3
    return true;
  }

  void have_others_look() noexcept {
    here.joined->fetch_add(1, std::memory_order_release);  // pairs with run
    futex_wake_all(*here.joined);
  }

  bool live(std::uint32_t m) noexcept {
    const std::uint64_t packed = process.pack();
    if (seat() == here.all.members()) (void)choose_bell();
    here.noted(listens, m).store(bell, std::memory_order_relaxed);
    here.noted(pid_namespace, m).store(process.pid_namespace, std::memory_order_relaxed);
    here.noted(identity_low, m).store(static_cast<std::uint32_t>(packed), std::memory_order_relaxed);
    here.noted(identity_high, m).store(static_cast<std::uint32_t>(packed >> 32), std::memory_order_relaxed);
    // release: whoever sees the new number does not see the mark of the one before us.
    here.noted(joins, m).fetch_add(1, std::memory_order_release);  // pairs with watch
    for (std::size_t b = 0; b != bells; ++b) list.add(node_of_bell(b, m));
    list.add(node_of_life(m));  // last in, first marked: whoever hears a bell finds it dead
    std::uint32_t nobody = 0;
    // release: pairs with dead and watch.
    if (!here.life(m).compare_exchange_strong(nobody, id, std::memory_order_release)) {
      unlist(m);
      return false;
    }
    for (std::size_t b = 0; b != bells; ++b) here.bell(b, m).store(id, std::memory_order_relaxed);
    return true;
  }

  void leave(std::uint32_t m) noexcept {
    own[m] = false;
    here.life(m).store(0, std::memory_order_release);  // pairs with take
    for (std::size_t b = 0; b != bells; ++b) here.bell(b, m).store(0, std::memory_order_relaxed);
    unlist(m);
    give_back(m);
    have_others_look();  // at what may have woken us, who look no more
  }

  void unlist(std::uint32_t m) noexcept {
    list.remove(node_of_life(m));
    for (std::size_t b = 0; b != bells; ++b) list.remove(node_of_bell(b, m));
  }

  void give_back(std::uint32_t m) noexcept {
    list.pend(node_of_claim(m));
    list.remove(node_of_claim(m));
    here.claim(m).store(0, std::memory_order_release);  // pairs with take
    list.settle();
  }

  void give_up_all() noexcept {
    for (std::uint32_t m = 0; m != here.all.members(); ++m) {
      if (own[m]) leave(m);
    }
  }

  // Tells of deaths, and sleeps until there may be another, or something to do. What
  // it finds alive is what it watches: nobody dies in between unnoticed.
  void watch(std::uint32_t commanded, std::uint32_t joined) noexcept {
    std::array<futex_waitv, FUTEX_WAITV_MAX> words{};
    unsigned count = 0;
    const auto add = [&](const word& w, std::uint32_t expected, std::uint32_t flags) noexcept {
      words[count++] = {expected, reinterpret_cast<std::uintptr_t>(&w), flags, 0};
    };
    add(command, commanded, FUTEX_32 | FUTEX_PRIVATE_FLAG);
    const std::uint32_t members = here.all.members();
    const std::uint32_t first = seat();
    // Without a place there is nobody here to be told.
    if (first != members) add(*here.joined, joined, FUTEX_32);
    bool news = false;
    for (std::uint32_t i = 1; first != members && i != members; ++i) {
      const std::uint32_t m = (first + i) % members;
      if (own[m]) continue;
      // acquire: the mark, if there is one, is of this joiner or a later one (see live).
      const std::uint32_t which = here.noted(joins, m).load(std::memory_order_acquire);
      const std::uint32_t life = here.life(m).load(std::memory_order_acquire);  // pairs with the kernel's mark
      if (is_dead(life)) {
        news = news || which != seen_dead[m];
        seen_dead[m] = which;
      } else if (is_alive(life) && count != 2 + most_watched) {
        // The life word is the eighth bell; and the one to watch if the others make no sense.
        const bool rings = bell != bells && here.bell(bell, m).load(std::memory_order_acquire) == life;
        add(rings ? here.bell(bell, m) : here.life(m), life, FUTEX_32);
      }
    }
    if (news) {
      native::await_end();  // what it did is done before it is reported (roster R2, R4)
      here.all.report_death();
      tasks.alarm();
    }
    ::syscall(SYS_futex_waitv, words.data(), count, 0, nullptr, 0);
  }

  // The one to which the fewest others listen (K2). Whether it is another than before.
  bool choose_bell() noexcept {
    std::array<std::uint32_t, bells + 1> others{};
    bool earlier = false;  // at our bell
    for (std::uint32_t m = 0; m != here.all.members(); ++m) {
      if (own[m] || !is_alive(here.life(m).load(std::memory_order_acquire))) continue;
      const std::uint32_t theirs = here.noted(listens, m).load(std::memory_order_relaxed) % others.size();
      ++others[theirs];
      earlier = earlier || (theirs == bell && m < seat());
    }
    const auto fewest = std::min_element(others.begin(), others.end());
    // Of two who have chosen the same at once, the later one chooses again.
    if (!earlier || others[bell] == *fewest) return false;
    bell = static_cast<std::uint32_t>(fewest - others.begin());
    for (std::uint32_t m = 0; m != here.all.members(); ++m) {
      if (own[m]) here.noted(listens, m).store(bell, std::memory_order_relaxed);
    }
    return true;
  }

  // The first place of ours, or as many as there are places.
  std::uint32_t seat() const noexcept {
    return static_cast<std::uint32_t>(std::find(own.begin(), own.end(), true) - own.begin());
  }

  static std::size_t node_of_life(std::uint32_t m) noexcept { return m; }
  std::size_t node_of_claim(std::uint32_t m) const noexcept { return here.all.members() + m; }
  std::size_t node_of_bell(std::size_t b, std::uint32_t m) const noexcept { return (2 + b) * here.all.members() + m; }

  static constexpr unsigned most_watched = 120;

  table here;
  ring tasks;
  std::unique_ptr<pages> memory;
  own_list list;
  std::unique_ptr<pages> mark;
  pthread_t thread{};
  std::uint32_t id = 0;  // what our life words hold
  process_identity process;
  std::vector<bool> own;                 // places
  std::uint32_t bell = 0;                // of each member, to which we listen
  std::vector<std::uint32_t> seen_dead;  // joins of a place whose last holder we know to be dead

  std::mutex asking;
  wish asked = wish::join;
  std::uint32_t asked_place = 0;
  std::optional<std::uint32_t> answer;
  word command{0};  // futex, this process's: how many wishes there were
  word replies{0};  // and how many are served
};

std::size_t keeper::bytes(std::uint32_t members) noexcept { return rows * members * sizeof(cell) + sizeof(word); }

void keeper::construct(void* at, std::uint32_t members) noexcept {
  auto* const cells = reinterpret_cast<cell*>(static_cast<std::byte*>(at) + lives::bytes(members));
  for (std::size_t i = 0; i != rows * members; ++i) std::construct_at(cells + i);
  std::construct_at(reinterpret_cast<word*>(cells + rows * members), 0u);
}

result<std::unique_ptr<keeper>> keeper::start(void* at, std::uint32_t members, ring of, const std::string& object) {
  const auto refused = [&](errc code, int e, const std::string& why) -> result<std::unique_ptr<keeper>> {
    return error{code, e, object, object + ": " + why};
  };
  if (::syscall(SYS_futex_waitv, nullptr, 0, 0, nullptr, 0) != 0 && errno != EINVAL) {
    const int e = errno;
    return refused(errc::system, e,
                   std::string("futex_waitv is refused (") + std::strerror(e) +
                       "): joining a ring needs Linux 5.16 or later and a seccomp filter that lets it pass");
  }
  if (!own_list::may_be_installed()) {
    const int e = errno;
    return refused(errc::system, e,
                   std::string("set_robust_list or get_robust_list is refused (") + std::strerror(e) +
                       "): joining a ring needs a seccomp filter that lets them pass");
  }
  // Shared, so that the OOM killer's reaper leaves it alone.
  auto list = std::make_unique<pages>(own_list::bytes(state::nodes(members)), MAP_SHARED, MADV_DONTFORK);
  auto mark = std::make_unique<pages>(sizeof(word), MAP_PRIVATE, MADV_WIPEONFORK);
  if (list->at() == nullptr || mark->at() == nullptr) {
    const int e = errno;
    if (const std::string why = too_many_mappings(); !why.empty()) return refused(errc::limit, e, why);
    return refused(errc::no_space, e,
                   "no " + std::to_string(list->size()) + " bytes for its list of members (" + std::strerror(e) +
                       "); raise the limit of address space (ulimit -v)");
  }
  auto made = std::make_unique<state>(at, members, std::move(of), std::move(list), std::move(mark));

  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);  // it touches the segment, too: see truncation_guard
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int e = ::pthread_create(
      &made->thread, nullptr,
      [](void* s) -> void* {
        static_cast<state*>(s)->run();
        return nullptr;
      },
      made.get());
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (e != 0) {
    if (const std::string why = too_many_mappings(); !why.empty()) return refused(errc::limit, e, why);
    return refused(errc::limit, e,
                   std::string("its keeper's thread cannot be started (") + std::strerror(e) +
                       "); raise the limit of processes (ulimit -u), or of address space (ulimit -v)");
  }
  return std::unique_ptr<keeper>(new keeper(std::move(made)));
}

keeper::keeper(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}

keeper::~keeper() {
  if (!mine()) {
    (void)state_.release();  // the parent's: its thread and its list are not here
    return;
  }
  state_->ask(state::wish::stop, 0);
  ::pthread_join(state_->thread, nullptr);
}

// The kernel walks 2048 nodes.
const std::size_t keeper::most_places = 2048 / (1 + rows) - 1;

std::size_t keeper::places() const {
  const std::lock_guard alone(state_->asking);  // the keeper's thread changes them when it is asked to
  return state_->places();
}

std::optional<std::uint32_t> keeper::join() { return state_->ask(state::wish::join, 0); }

void keeper::leave(std::uint32_t place) noexcept { state_->ask(state::wish::leave, place); }

bool keeper::mine() const noexcept { return state_->mine(); }

std::vector<member> list_members(void* at, std::uint32_t members) {
  const table here(at, members);
  std::vector<member> found;
  for (std::uint32_t m = 0; m != members; ++m) {
    const std::uint32_t life = here.life(m).load(std::memory_order_acquire);
    if (life != 0) found.push_back({m, here.who(m), is_dead(life)});
  }
  return found;
}

}  // namespace millrace

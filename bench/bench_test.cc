// That the harness finds what a queue does wrong, and reckons right. Nothing is timed here.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/contender.h"
#include "bench/histogram.h"
#include "bench/instructions.h"
#include "bench/json.h"
#include "bench/machine.h"
#include "bench/message.h"
#include "bench/must_show.h"
#include "bench/options.h"
#include "bench/placed.h"
#include "bench/print.h"
#include "bench/results.h"
#include "bench/stage.h"
#include "bench/statistics.h"
#include "bench/vyukov_ring.h"

namespace millrace::bench {
namespace {

using message = parcel<16>;

const contender mpmc{{.name = "mpmc_ring", .from = origin::ours}};
const contender spsc{{.name = "spsc_ring", .from = origin::ours, .one_to_one = true}};
const contender peer{{.name = "a \"peer\"", .from = origin::peer}};
const contender pipe{{.name = "pipe", .from = origin::kernel}};
const contender lines{{.name = "limit: bare lines", .from = origin::limit}};

enum class flaw { none, loses, doubles, both, tears, swaps, dies };

// A good ring, but for every 100th message of each producer.
template <flaw Flaw>
class flawed {
  using ring = vyukov_ring<message>;

 public:
  using value_type = message;

  flawed(const work& w, board&) : ring_(ring::bytes(w.capacity), w.capacity) {}

  struct port_type {
    typename placed<ring>::view at;
    std::uint64_t pushes = 0;
    std::optional<message> held{};

    bool try_push(const message& m) {
      if (Flaw == flaw::swaps && pushes + 1 == 50) {
        held = m;
      } else if (held) {
        if (!at->try_push(m)) return false;
        while (!at->try_push(*held)) {
        }
        held.reset();
      } else if (pushes + 1 == 100) {
        if (Flaw == flaw::dies) ::raise(SIGKILL);
        message other = m;
        if (Flaw == flaw::tears) other.words[0] = mark_of(0, 5);
        const int times = Flaw == flaw::loses || Flaw == flaw::both ? 0 : Flaw == flaw::doubles ? 2 : 1;
        for (int i = 0; i != times; ++i) {
          if (!at->try_push(other)) return i == 1;  // full: it is there once
        }
      } else if (Flaw == flaw::both && pushes + 1 == 50) {
        if (!at->try_push(m)) return false;
        while (!at->try_push(m)) {
        }
      } else if (!at->try_push(m)) {
        return false;
      }
      pushes = (pushes + 1) % 100;
      return true;
    }
    bool try_pop(message& m) { return at->try_pop(m); }
  };
  port_type port(const work& w, role) { return {ring_.seen_by(w)}; }

 private:
  placed<ring> ring_;
};

template <class Queue>
contender made_of() {
  using under_test = measured<Queue, false>;
  return {{.name = "under test", .from = origin::peer},
          [](const work& w, board& b) -> std::unique_ptr<queue> { return std::make_unique<under_test>(w, b); },
          [](const work& w) { return under_test::able(w); }};
}

// On which cores pushes and pops were made; in memory that the stage shares.
struct seats {
  std::atomic<std::uint64_t> pushes{0};
  std::atomic<std::uint64_t> pops{0};

  static std::uint64_t here() { return std::uint64_t{1} << ::sched_getcpu() % 64; }
};
seats* noted = nullptr;

class noting : public flawed<flaw::none> {
  using good = flawed<flaw::none>::port_type;

 public:
  using flawed::flawed;

  struct port_type : good {
    bool try_push(const message& m) {
      noted->pushes.fetch_or(seats::here());
      return good::try_push(m);
    }
    bool try_pop(message& m) {
      noted->pops.fetch_or(seats::here());
      return good::try_pop(m);
    }
  };
  port_type port(const work& w, role r) { return {flawed::port(w, r)}; }
};

template <flaw Flaw>
outcome run(place where, std::uint32_t each) {
  const contender who = made_of<flawed<Flaw>>();
  const work job{.where = where, .producers = each, .consumers = each, .bytes = sizeof(message), .capacity = 256};
  EXPECT_TRUE(who.can(job));
  for (std::chrono::milliseconds window{100};; window *= 2) {  // on a busy machine all may not have run at first
    const outcome o = perform(who, job, window, false, std::chrono::seconds(60));
    if (!o.failed.empty() || o.sent >= 400 * each || window > std::chrono::seconds(20)) return o;
  }
}

TEST(Harness, FindsNothingWrongWithARightQueue) {
  for (const place where : {place::threads, place::processes}) {
    for (const std::uint32_t each : {1U, 3U}) {
      const outcome o = run<flaw::none>(where, each);
      EXPECT_EQ(o.failed, "");
      EXPECT_FALSE(o.stuck);
      EXPECT_TRUE(o.right());
      EXPECT_GT(o.received, 0U);
      EXPECT_EQ(o.received, o.sent);
    }
  }
}

TEST(Harness, ATenthOfTheWindowDoesNotCount) {
  const outcome o = run<flaw::none>(place::threads, 1);
  EXPECT_GT(o.cold, 0U);
  EXPECT_LT(o.cold, o.received);
  EXPECT_DOUBLE_EQ(o.rate() * o.seconds, static_cast<double>(o.received - o.cold));
}

TEST(Harness, PlacesWorkersApartOrMixed) {
  if (cores().size() < 2) GTEST_SKIP() << "one core";
  void* const shared = ::mmap(nullptr, sizeof(seats), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const auto seats_of = [&](placement p) {
    noted = std::construct_at(static_cast<seats*>(shared));
    const work job{.cores = p, .producers = 2, .consumers = 2, .bytes = sizeof(message), .capacity = 256};
    EXPECT_EQ(perform(made_of<noting>(), job, std::chrono::seconds(1), false, std::chrono::seconds(60)).failed, "");
    return std::pair(noted->pushes.load(), noted->pops.load());
  };
  const auto [pushes_apart, pops_apart] = seats_of(placement::apart);
  EXPECT_EQ(pushes_apart & pops_apart, 0U);
  const auto [pushes_mixed, pops_mixed] = seats_of(placement::mixed);
  EXPECT_EQ(std::popcount(pushes_mixed), 2);
  EXPECT_EQ(pushes_mixed, pops_mixed);
  ::munmap(shared, sizeof(seats));
}

TEST(Harness, FindsALoss) { EXPECT_GT(run<flaw::loses>(place::processes, 2).lost, 0U); }

TEST(Harness, FindsADouble) { EXPECT_GT(run<flaw::doubles>(place::threads, 2).doubled, 0U); }

TEST(Harness, FindsALossThatADoubleMakesUpFor) {
  const outcome o = run<flaw::both>(place::processes, 1);
  EXPECT_FALSE(o.right());
}

TEST(Harness, FindsATornMessage) { EXPECT_GT(run<flaw::tears>(place::processes, 2).damaged, 0U); }

TEST(Harness, FindsDisorder) {
  const outcome o = run<flaw::swaps>(place::processes, 2);
  EXPECT_GT(o.reordered, 0U);
  EXPECT_TRUE(series({&mpmc, task::stream, {o}, {}}).wrong(o));
  EXPECT_FALSE(series({&peer, task::stream, {o}, {}}).wrong(o));
}

constexpr work alone{.what = task::alone, .consumers = 0, .bytes = sizeof(message), .capacity = 256};

TEST(Harness, AWorkerAloneChecksEachMessage) {
  const auto run_alone = [](const contender& who) {
    EXPECT_TRUE(who.can(alone));
    return perform(who, alone, std::chrono::milliseconds(100), false, std::chrono::seconds(60));
  };
  const outcome good = run_alone(made_of<flawed<flaw::none>>());
  EXPECT_EQ(good.failed, "");
  EXPECT_TRUE(good.right());
  EXPECT_GT(good.received, 0U);
  EXPECT_GT(run_alone(made_of<flawed<flaw::loses>>()).damaged, 0U);
  EXPECT_GT(run_alone(made_of<flawed<flaw::tears>>()).damaged, 0U);
}

// Whose push takes so many instructions more, and as many repeats of one.
template <int More>
class delayed {
 public:
  using value_type = message;

  delayed(const work&, board&) {}

  struct port_type {
    message kept{};

    bool try_push(const message& m) {
      asm volatile(".rept %c0\n nop\n .endr" : : "i"(More));
      std::byte from[More]{};
      std::byte to[More];
      const std::byte* source = from;
      std::byte* target = to;
      std::size_t count = More;
      asm volatile("rep movsb" : "+S"(source), "+D"(target), "+c"(count) : : "memory");
      kept = m;
      return true;
    }
    bool try_pop(message& m) {
      m = kept;
      return true;
    }
  };
  port_type port(const work&, role) { return {}; }
};

TEST(Harness, CountsInstructions) {
  const auto few_more = instructions_a_pair(made_of<delayed<8>>(), alone);
  const auto many_more = instructions_a_pair(made_of<delayed<108>>(), alone);
  ASSERT_TRUE(few_more && many_more);
  EXPECT_GT(*few_more, 8);
  EXPECT_NEAR(*many_more - *few_more, 100, 20);  // zeroing `from` takes some
}

TEST(Harness, OutlivesAQueueThatKills) {
  EXPECT_FALSE(run<flaw::dies>(place::threads, 1).failed.empty());
  EXPECT_FALSE(run<flaw::dies>(place::processes, 1).failed.empty());
}

TEST(Books, TheSumOfSquares) {
  std::uint64_t sum = 0;
  for (std::uint64_t n = 0; n != 1000; ++n) {
    EXPECT_EQ(checksum_of_all(n), 6 * sum);
    sum += n * n;
  }
}

TEST(Books, DisorderIsCounted) {
  account a;
  for (const std::uint64_t number : {0U, 1U, 3U, 2U, 4U}) a.add(number);
  EXPECT_EQ(a.count(), 5U);
  EXPECT_EQ(a.reordered(), 1U);
  EXPECT_EQ(a.checksum(), checksum_of_all(5));
}

TEST(Books, ALossAndADoubleDoNotCancelOut) {
  account a;
  for (const std::uint64_t number : {0U, 1U, 2U, 2U, 4U}) a.add(number);
  EXPECT_EQ(a.count(), 5U);
  EXPECT_NE(a.checksum(), checksum_of_all(5));
}

TEST(Statistics, MedianAndQuartiles) {
  EXPECT_FALSE(summary({}));
  const spread few = *summary({3, 1, 2});
  EXPECT_EQ(few.median, 2);
  EXPECT_EQ(few.low, 1);
  EXPECT_EQ(few.high, 3);
  const spread many = *summary({9, 1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(many.median, 5);
  EXPECT_EQ(many.low, 3);
  EXPECT_EQ(many.high, 7);
  EXPECT_EQ(summary({1, 2})->median, 1.5);
}

TEST(Statistics, RatiosAreOfTheSamePass) {
  // Of the medians it would be 2.
  const auto s = ratio({{10}, {20}, {90}}, {{1}, {20}, {10}});
  EXPECT_EQ(s->median, 9);
  EXPECT_EQ(ratio({{10}, std::nullopt, {30}}, {{10}, {1}, std::nullopt})->count, 1U);
  EXPECT_FALSE(ratio({{1}}, {{0}}));
}

TEST(Histogram, QuantilesWithinThreePercent) {
  histogram h;
  for (std::uint64_t v = 1; v <= 100'000; ++v) h.add(v);
  for (const double part : {0.5, 0.99, 0.999}) {
    EXPECT_NEAR(static_cast<double>(h.quantile(part)), part * 100'000, part * 100'000 * 0.032);
  }
  EXPECT_EQ(h.quantile(1), 100'000U);
  EXPECT_EQ(h.most(), 100'000U);
}

// Of three passes that took a second each.
series same(const contender& who, task what, const outcome& o) {
  series s{&who, what, {3, o}, {}};
  for (outcome& each : s.runs) {
    if (each.seconds == 0) each.seconds = 1;
    each.line_before = each.line_after = 100;
  }
  return s;
}

series stream_of(const contender& who, double rate) {
  outcome o;
  o.received = o.sent = static_cast<std::uint64_t>(rate);
  return same(who, task::stream, o);
}

series trips_of(const contender& who, std::uint64_t ns) {
  outcome o;
  o.trips.add(ns);
  return same(who, task::round_trip, o);
}

series idle_of(const contender& who, double seconds, double busy) {
  outcome o;
  o.seconds = seconds;
  o.receivers = busy;
  return same(who, task::idle, o);
}

void add_table(results& r, const std::string& key, const std::string& label, std::vector<series> all) {
  cell c{{label, {}}, std::move(all)};
  r.tables.push_back({{key, key, "mpmc_ring", {c.at}}, {c}});
}

results made_up() {
  results r;
  r.usual_line = 100;
  r.who = {mpmc, spsc, peer, pipe};
  return r;
}

// mpmc_ring and a peer wherever any is to be.
results made_up(double ours, double others) {
  results r = made_up();
  for (const char* key : {"threads", "processes", "threads-mixed", "processes-mixed"}) {
    add_table(r, key, "1P1C", {stream_of(mpmc, ours), stream_of(peer, others)});
  }
  return r;
}

finding about(const results& r, std::string_view what) {
  const std::vector<finding> all = judge(r);
  return *std::ranges::find_if(all, [&](const finding& f) { return f.promise.find(what) != std::string::npos; });
}

bool mentions(const finding& f, std::string_view what) { return f.measured.find(what) != std::string::npos; }

TEST(MustShow, MetOrNotOrNotMeasured) {
  EXPECT_EQ(about(made_up(3e6, 2e6), "any FIFO peer").is, verdict::met);
  const finding behind = about(made_up(1e6, 2e6), "any FIFO peer");
  EXPECT_EQ(behind.is, verdict::not_met);
  EXPECT_TRUE(mentions(behind, "0.50"));
  EXPECT_TRUE(mentions(behind, "4 of 4 pairs below"));
  EXPECT_EQ(about(made_up(3e6, 2e6), "Boost.Lockfree").is, verdict::not_measured);
}

TEST(MustShow, APartIsNotEverything) {
  results r = made_up(3e6, 2e6);
  r.tables.pop_back();
  const finding f = about(r, "any FIFO peer");
  EXPECT_EQ(f.is, verdict::not_measured);
  EXPECT_TRUE(mentions(f, "processes-mixed not run"));
  results slow = made_up(1e6, 2e6);
  slow.tables.pop_back();
  EXPECT_EQ(about(slow, "any FIFO peer").is, verdict::not_met);
}

TEST(MustShow, OneOfOursThatFailsMeetsNothing) {
  using breakage = void (*)(cell&);
  const std::vector<std::pair<std::string_view, breakage>> all{
      {"missing", [](cell& c) { c.all.erase(c.all.begin()); }},
      {"failed", [](cell& c) { c.all[0].runs[1].failed = "killed"; }},
      {"stuck", [](cell& c) { c.all[0].runs[2].stuck = true; }},
      {"wrong", [](cell& c) { c.all[0].runs[0].lost = 1; }}};
  for (const auto& [fault, broken] : all) {
    results r = made_up(3e6, 2e6);
    broken(r.tables[1].cells[0]);
    const finding f = about(r, "any FIFO peer");
    EXPECT_EQ(f.is, verdict::not_met) << fault;
    EXPECT_TRUE(mentions(f, fault)) << f.measured;
  }
}

TEST(MustShow, PairsThatCannotBeComparedAreCounted) {
  results r = made_up(3e6, 2e6);
  r.tables[0].cells[0].all[1].runs[1].failed = "killed";
  EXPECT_EQ(about(r, "any FIFO peer").is, verdict::met);
  EXPECT_TRUE(mentions(about(r, "any FIFO peer"), "3 of 4 pairs compared"));
  for (std::size_t i = 1; i != r.tables.size(); ++i) {
    for (outcome& o : r.tables[i].cells[0].all[1].runs) o.seconds = 0;  // no figure
  }
  EXPECT_EQ(about(r, "any FIFO peer").is, verdict::not_measured);
  EXPECT_TRUE(mentions(about(r, "any FIFO peer"), "0 of 4 pairs compared"));
}

TEST(MustShow, RoundTripsOfBothRings) {
  results both = made_up();
  add_table(both, "round-trip", "tries, spinning", {trips_of(mpmc, 110), trips_of(spsc, 90), trips_of(lines, 100)});
  EXPECT_EQ(about(both, "round trip, spinning").is, verdict::met);
  results one = made_up();
  add_table(one, "round-trip", "tries, spinning", {trips_of(spsc, 90), trips_of(lines, 100)});
  EXPECT_EQ(about(one, "round trip, spinning").is, verdict::not_met);
  one.who = {spsc};
  EXPECT_EQ(about(one, "round trip, spinning").is, verdict::not_measured);
  results unlimited = made_up();
  add_table(unlimited, "round-trip", "tries, spinning", {trips_of(mpmc, 110), trips_of(spsc, 90)});
  EXPECT_EQ(about(unlimited, "round trip, spinning").is, verdict::not_measured);
}

TEST(MustShow, TenSecondsOfSleepAreTenSeconds) {
  const auto sleepers = [](double seconds, double busy) {
    results r = made_up();
    add_table(r, "idle", "blocked", {idle_of(mpmc, seconds, busy), idle_of(spsc, 10, 0), idle_of(pipe, 10, 0)});
    return about(r, "blocked receiver");
  };
  EXPECT_EQ(sleepers(10, 1e-4).is, verdict::met);
  EXPECT_EQ(sleepers(10, 2e-3).is, verdict::not_met);
  EXPECT_EQ(sleepers(2, 1e-4).is, verdict::not_measured);
  EXPECT_TRUE(mentions(sleepers(2, 1e-4), "in 2.0 s"));
  EXPECT_EQ(sleepers(2, 2e-3).is, verdict::not_met);
}

TEST(MustShow, BatchesOnBothTopologies) {
  results r = made_up();
  for (const char* key : {"batches", "batches-2P2C"}) {
    EXPECT_EQ(about(r, "batches of 64").is, verdict::not_measured);
    const auto columns = [](double rate) { return std::vector<series>{stream_of(mpmc, rate)}; };
    add_table(r, key, "1", columns(1e6));
    r.tables.back().cells.push_back({{"64", {}}, columns(4e6)});
  }
  EXPECT_EQ(about(r, "batches of 64").is, verdict::met);
  r.tables[1].cells[1].all[0].runs[0].stuck = true;
  EXPECT_EQ(about(r, "batches of 64").is, verdict::not_met);
}

TEST(Results, ARunInAnotherStateOfTheMachineDoesNotCount) {
  results r = made_up(1000, 2000);
  series& s = r.tables[0].cells[0].all[0];
  s.runs.push_back(s.runs.front());
  s.runs.back().received = 50;
  s.runs.back().line_after = 480;
  EXPECT_FALSE(r.steady(s.runs.back()));
  EXPECT_EQ(r.figure(s)->count, 3U);
  EXPECT_EQ(r.figure(s)->low, 1000);
}

TEST(Results, WrongsAreNamed) {
  results r = made_up(1000, 2000);
  EXPECT_TRUE(wrongs(r).empty());
  r.tables[0].cells[0].all[1].runs[1].lost = 7;
  ASSERT_EQ(wrongs(r).size(), 1U);
  EXPECT_NE(wrongs(r)[0].find("7 lost"), std::string::npos);
}

TEST(Results, OursAnswerForTheOrder) {
  results r = made_up(1000, 2000);
  r.tables[0].cells[0].all[1].runs[1].reordered = 5;
  EXPECT_TRUE(wrongs(r).empty());
  r.tables[0].cells[0].all[0].runs[1].reordered = 5;
  ASSERT_EQ(wrongs(r).size(), 1U);
  EXPECT_EQ(about(r, "any FIFO peer").is, verdict::not_met);
}

TEST(Json, QuotesAndNumbers) {
  const results r = made_up(3e6, 2e6);
  const std::string text = to_json(r, judge(r));
  EXPECT_NE(text.find(R"("queue":"a \"peer\"")"), std::string::npos);
  EXPECT_NE(text.find(R"("base_to_it":{"median":1.5,)"), std::string::npos);
  EXPECT_EQ(std::ranges::count(text, '{'), std::ranges::count(text, '}'));
}

// What is printed on stderr, and the exit status.
std::pair<std::string, std::optional<int>> parsed(std::vector<const char*> arguments, request& r) {
  arguments.insert(arguments.begin(), "compare");
  testing::internal::CaptureStderr();
  constexpr traits first{.name = "one queue", .from = origin::ours};
  constexpr traits second{.name = "another", .from = origin::peer};
  const std::vector<contender> all{{first}, {second}};
  const std::optional<int> status = parse(static_cast<int>(arguments.size()), arguments.data(), all, r);
  return {testing::internal::GetCapturedStderr(), status};
}

TEST(Options, BadOnesGetOneLineAndStatusTwo) {
  const std::vector<std::vector<const char*>> all{
      {"--passes", "0"},    {"--passes", "many"},    {"--window", "-1"}, {"--window", "1e3"}, {"--only", "nothing"},
      {"--only"},           {"--queues", "a third"}, {"--json"},         {"--what"},          {"what"},
      {"--passes", "1\n2"}, {"--passes", ""}};
  for (const auto& arguments : all) {
    request r;
    const auto [said, status] = parsed(arguments, r);
    EXPECT_EQ(status, 2) << arguments.front();
    EXPECT_EQ(std::ranges::count(said, '\n'), 1) << said;
    EXPECT_TRUE(said.starts_with("compare: ")) << said;
  }
}

TEST(Options, OnlyTheQueuesThatAreNamed) {
  request r;
  EXPECT_EQ(parsed({"--queues", "another"}, r).second, std::nullopt);
  ASSERT_EQ(r.who.size(), 1U);
  EXPECT_EQ(r.who[0].name, "another");
  request all;
  EXPECT_EQ(parsed({"--quick"}, all).second, std::nullopt);
  EXPECT_EQ(all.who.size(), 2U);
}

TEST(Options, GoodOnes) {
  request r;
  EXPECT_EQ(parsed({"--quick", "--passes", "4", "--only", "threads,waiting", "--json", "x"}, r).second, std::nullopt);
  EXPECT_EQ(r.spend.passes, 4U);
  EXPECT_EQ(r.spend.window, quick.window);
  ASSERT_EQ(r.sections.size(), 2U);
  EXPECT_EQ(r.sections[1].key, "waiting");
  EXPECT_EQ(r.json, "x");
  request brief;
  request all;
  (void)parsed({"--quick"}, brief);
  (void)parsed({}, all);
  EXPECT_LT(brief.sections.size(), all.sections.size());
  EXPECT_EQ(all.sections.size(), plan().size());
}

}  // namespace
}  // namespace millrace::bench

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "verify/explain/explainable.h"
#include "verify/explain/recording.h"
#include "verify/explain/shortest.h"
#include "verify/explain/source.h"
#include "verify/explain/tell.h"
#include "verify/explain/trace.h"
#include "verify/races/zoo/table.h"
// Relacy's names come last.
#include "verify/model/scenario.h"

namespace verify::explain {

void PrintTo(const explainable& e, std::ostream* out) { *out << e.name; }

namespace {

// ---- The search.

// The cheapest failure of a search that gives nothing up, or none.
std::optional<cost> cheapest(const explainable& e, const search& how) {
  const std::unique_ptr<scenario> s = e.make();
  const mutated_header changed(e.change, e.change_in_source);
  recording r;
  std::optional<cost> best;
  std::string from;
  do {
    const stop stopped = run_on(*s, how, from);
    if (stopped.what == verdict::clean) break;
    const bool as_claimed = e.claim.empty() || (r.last().event != nullptr && e.claim == r.last().event);
    if (stopped.what == e.expected && as_claimed && (!best || r.price() < *best)) best = r.price();
    from = execution_after(stopped.at);
  } while (!from.empty());
  return best;
}

TEST(ExecutionAfterTest, IsTheNextChoiceNotYetTaken) {
  // Three choices: 0 of 2, 1 of 3, 1 of 2; each with its reason.
  EXPECT_EQ(execution_after("7 3 2 0 0 3 1 0 2 1 1 "), "8 2 2 0 0 3 2 0 ");
  EXPECT_EQ(execution_after("8 2 2 0 0 3 2 0 "), "9 1 2 1 0 ");
}

TEST(ExecutionAfterTest, IsNoneAfterTheLast) { EXPECT_EQ(execution_after("9 1 2 1 0 "), ""); }

TEST(ExecutionAfterTest, OfARandomExecutionIsTheNextNumber) { EXPECT_EQ(execution_after("41 "), "42 "); }

// Those that have few executions: of them all is known.
class SearchTest : public testing::TestWithParam<explainable> {
 protected:
  const explainable& e() const { return GetParam(); }
};

std::vector<explainable> by_hand() {
  std::vector<explainable> some = explainables();
  std::erase_if(some, [](const explainable& e) { return !e.ending; });
  return some;
}

const auto by_name = [](const auto& parameter) { return parameter.param.name; };

INSTANTIATE_TEST_SUITE_P(ByHand, SearchTest, testing::ValuesIn(by_hand()), by_name);

TEST_P(SearchTest, IsTheShortestOfASearchThatGivesNothingUp) {
  const auto found = shortest(e());
  ASSERT_TRUE(found);
  EXPECT_EQ(cheapest(e(), found->how), found->price);
  if (found->how.amount != 0) {
    EXPECT_EQ(cheapest(e(), preemptions(static_cast<unsigned>(found->how.amount - 1))), std::nullopt);
  }
}

TEST_P(SearchTest, IsNothingIfNothingIsBroken) {
  explainable mended = e();
  if (mended.change.what == mutation::kind::none) GTEST_SKIP() << "the code is broken as it stands";
  mended.change = {};
  EXPECT_FALSE(shortest(mended, 5'000));
}

TEST_P(SearchTest, SaysWhetherTheSearchWasCutShort) {
  const auto whole = shortest(e());
  ASSERT_TRUE(whole);
  EXPECT_NE(whole->found.find("all others ruled out"), std::string::npos) << whole->found;
  // Cut at ever more executions, it finds nothing, then something, then all.
  for (std::uint64_t most = 1; most != 1000; ++most) {
    const auto cut = shortest(e(), most);
    if (!cut) continue;
    EXPECT_GE(cut->price, whole->price);
    if (cut->found == whole->found) return;
    EXPECT_NE(cut->found.find("a shorter one may exist"), std::string::npos) << cut->found;
  }
  FAIL() << "the search needs more than 1000 executions: " << whole->found;
}

// Fails in any case, after a detour if the newest value is read, as a search tries first.
class detour : public scenario {
 public:
  detour() : scenario(2) {}
  void before() override { words_ = std::construct_at(reinterpret_cast<words*>(bytes_)); }
  void thread(unsigned index) override {
    if (index == 0) return words_->x.store(1, std::memory_order_relaxed);
    if (words_->x.load(std::memory_order_relaxed) == 1) {
      for (int i = 0; i != 5; ++i) (void)words_->y.load(std::memory_order_relaxed);
    }
    check(false, "it fails");
  }
  void after() override {}

 private:
  struct words {
    relacy_platform::atomic<std::uint32_t> x{0};
    relacy_platform::atomic<std::uint32_t> y{0};
  };
  alignas(words) std::byte bytes_[sizeof(words)];
  words* words_ = nullptr;
};

TEST(ShortestTest, IsNotTheFirstThatFails) {
  explainable e;
  e.name = "detour";
  e.expected = verdict::assertion;
  e.claim = "it fails";
  e.make = [] { return std::make_unique<detour>(); };
  EXPECT_EQ(shortest(e)->price, (cost{2, 0})) << "thread 1 before thread 0: a load and the claim";
}

// Fails only if the threads take turns.
class turns : public scenario {
 public:
  turns() : scenario(2) {}
  void before() override { word_ = std::construct_at(reinterpret_cast<word*>(bytes_)); }
  void thread(unsigned index) override {
    for (unsigned turn = index; turn < 8; turn += 2) {
      if (word_->fetch_add(1, std::memory_order_relaxed) != turn) return;
    }
    check(index == 0, "no turns are taken");
  }
  void after() override {}

 private:
  using word = relacy_platform::atomic<std::uint32_t>;
  alignas(word) std::byte bytes_[sizeof(word)];
  word* word_ = nullptr;
};

TEST(ShortestTest, OfManyPreemptionsIsFoundAtRandom) {
  explainable e;
  e.name = "turns";
  e.expected = verdict::assertion;
  e.claim = "no turns are taken";
  e.make = [] { return std::make_unique<turns>(); };
  const auto found = shortest(e, 10'000);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->price, (cost{9, 0}));
  EXPECT_NE(found->found.find("random"), std::string::npos) << found->found;
}

TEST(ShortestTest, OfARareFailureIsTheOneThatIsKnown) {
  explainable e;
  e.name = "turns";
  e.expected = verdict::assertion;
  e.claim = "no turns are taken";
  e.make = [] { return std::make_unique<turns>(); };
  ASSERT_FALSE(shortest(e, 10));
  e.fails_in = random_executions(10'000);
  const auto found = shortest(e, 10);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->price, (cost{9, 0}));
  EXPECT_NE(found->found.find("own search"), std::string::npos) << found->found;
}

// ---- The trace.

class ExplainTest : public testing::TestWithParam<explainable> {
 protected:
  const explainable& e() const { return GetParam(); }

  // Not the shortest of all, where that takes longer.
  const failing_execution& failure() const {
    static std::map<std::string, failing_execution> found;
    if (!found.contains(e().name)) found.emplace(e().name, shortest(e(), 20'000).value());
    return found.at(e().name);
  }
  trace told() const { return tell(e(), failure()); }
};

INSTANTIATE_TEST_SUITE_P(All, ExplainTest, testing::ValuesIn(explainables()), by_name);

TEST_P(ExplainTest, ReplaysStepForStep) { EXPECT_EQ(told().steps, told().steps); }

TEST_P(ExplainTest, DoesNotTellWhatDoesNotFail) {
  explainable other = e();
  other.expected = verdict::livelock;
  EXPECT_THROW(tell(other, failure()), std::runtime_error);
}

TEST_P(ExplainTest, EndsInTheFailure) {
  const trace t = told();
  ASSERT_FALSE(t.steps.empty());
  EXPECT_TRUE(t.steps.back().to_blame || e().expected == verdict::deadlock);
  if (e().expected == verdict::data_race) {
    EXPECT_EQ(std::ranges::count(t.steps, true, &trace_step::to_blame), 2);
  }
  EXPECT_NE(t.steps.back().remark.find(e().claim), std::string::npos) << t.steps.back().remark;
  EXPECT_FALSE(t.ending.empty());
}

// And not whoever happened to be the last to do anything.
TEST_P(ExplainTest, OfADeadlockBlamesThoseWhoDoNotGoOn) {
  if (e().expected != verdict::deadlock || e().ending) GTEST_SKIP() << "has another end, or words of its own";
  const trace t = told();
  std::map<std::size_t, const trace_step*> last;
  for (const trace_step& s : t.steps) last[s.column] = &s;
  std::size_t blamed = 0;
  for (const trace_step& s : t.steps) {
    const bool goes_no_further = last[s.column] == &s && (s.action.ends_with(": asleep") || s.action == "SIGKILL");
    const bool may_be_blamed = goes_no_further || s.stale;
    EXPECT_TRUE(s.to_blame ? may_be_blamed : !goes_no_further) << s.action;
    if (goes_no_further) ++blamed;
  }
  EXPECT_NE(blamed, 0u);
}

TEST_P(ExplainTest, QuotesTheLineOfEachStep) {
  const trace t = told();
  for (const trace_step& s : t.steps) {
    ASSERT_FALSE(s.code.empty()) << s.file << ":" << s.line << " " << s.action;
    // A line that does what the step says calls something, or follows a pointer.
    EXPECT_NE(s.code.find_first_of("(>"), std::string::npos) << s.file << ":" << s.line << " " << s.code;
  }
}

TEST_P(ExplainTest, MemoryChangesOnlyByWriting) {
  const trace t = told();
  picture before = t.start;
  for (const trace_step& s : t.steps) {
    const bool afterwards = s.column == t.columns.size() - 1;
    const auto as_it_was = [](picture p) {
      for (picture::slot& slot : p.slots) slot.fresh = false;
      return p;
    };
    if (!afterwards && (s.what == trace_step::kind::reads || s.what == trace_step::kind::other)) {
      EXPECT_EQ(as_it_was(s.after), as_it_was(before)) << s.action;
    }
    before = s.after;
  }
}

// ---- The zoo, whose table says what the model checker finds.

class ZooExplainTest : public testing::TestWithParam<millrace::races::bug> {};

INSTANTIATE_TEST_SUITE_P(Zoo, ZooExplainTest,
                         testing::ValuesIn(millrace::races::bugs().begin(), millrace::races::bugs().end()),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

TEST_P(ZooExplainTest, IsExplained) {
  const auto found = std::ranges::find(explainables(), GetParam().name, &explainable::name);
  ASSERT_NE(found, explainables().end());
  // A race may be told by the damage that it does.
  switch (GetParam().by(millrace::races::tool::relacy).what) {
    case millrace::races::finding::race:
      EXPECT_TRUE(found->expected == verdict::data_race || found->expected == verdict::assertion);
      break;
    case millrace::races::finding::damage:
      EXPECT_EQ(found->expected, verdict::assertion);
      break;
    case millrace::races::finding::hang:
      EXPECT_EQ(found->expected, verdict::deadlock);
      break;
    default:
      FAIL() << "the model checker finds nothing: nothing to explain";
  }
}

// ---- Mutants.

TEST(MutantTest, EachHasANameOfItsOwn) {
  std::set<std::string> names;
  for (const mutant& m : header_mutants()) EXPECT_TRUE(names.insert(m.name()).second) << m.name();
  EXPECT_GE(names.size(), 100u);
}

TEST(MutantTest, OneWithoutAPlaceInItsHeaderIsNamed) {
  const std::string file = "event_count.h";
  std::map<std::string, std::string> headers;
  for (const std::string_view name : library_headers()) headers.emplace(name, source_of(name));
  EXPECT_TRUE(misfits(headers).empty()) << misfits(headers).front();
  std::string& header = headers[file];
  const std::string gone = "Platform::wake_all(word_);";
  while (header.find(gone) != std::string::npos) header.erase(header.find(gone), gone.size());
  ASSERT_EQ(misfits(headers).size(), 2u);
  EXPECT_NE(misfits(headers).front().find(gone), std::string::npos) << misfits(headers).front();
}

TEST(MutantTest, ANameIsPlain) {
  EXPECT_EQ(as_name("mpmc_ring.h:7:release -> relaxed"), "mpmc_ring.h:7:release-relaxed");
  EXPECT_EQ(as_name("semaphore.h:7:(now & 1) != 0:false"), "semaphore.h:7:now-1-0:false");
}

// All of them, for the mutants of any.
TEST(MutantTest, WhatAModelSharesIsKnown) {
  for (const model& m : all_models()) {
    const auto s = m.make();
    recording r;
    (void)run_on(*s, random_executions(1), "");
    EXPECT_EQ(layout_of(m, s->threads()).variables.size(), r.objects().size()) << m.title();
  }
}

const mutant& mutant_of(std::string_view file, std::string_view text, std::string_view change) {
  const auto found = std::ranges::find_if(header_mutants(), [&](const mutant& m) {
    return m.file == file && m.change == change && m.text.find(text) != std::string::npos;
  });
  if (found == header_mutants().end()) throw std::invalid_argument(std::string("no such mutant: ").append(text));
  return *found;
}

struct expectation {
  const mutant& changed;
  verdict what;
  std::string_view in_ending;
  bool blames = true;  // steps; false: what is wrong is that nothing is done
};

TEST(MutantTest, IsToldWithItsKillersScenario) {
  for (const expectation& x : {
           expectation{mutant_of("mpmc_ring.h", "s.state.store(published(from, full_state", "release -> relaxed"),
                       verdict::data_race, "touch the same memory"},
           expectation{mutant_of("mpmc_ring.h", "position(t) == p", "true"), verdict::assertion, "The calls,"},
           expectation{mutant_of("event_count.h", "Platform::heavy_fence()", "left out"), verdict::deadlock,
                       "sleeps on epoch"},
           expectation{mutant_of("spsc_ring.h", "publish(here, i + 1)", "publish(here, i + 2)"), verdict::uninitialized,
                       "never written"},
           expectation{mutant_of("semaphore.h", "now + back.count, std::memory_order_release", "release -> relaxed"),
                       verdict::data_race, "touch the same memory"},
           expectation{mutant_of("broadcast_ring.h", "words_[i].store(w", "release -> relaxed"), verdict::assertion,
                       "a sender's messages come once"},
           expectation{mutant_of("select.h", "Platform::heavy_fence()", "left out"), verdict::deadlock,
                       "does not see it"},
           expectation{mutant_of("select.h", "size_ == 0", "false"), verdict::deadlock, "nobody is left", false},
           expectation{mutant_of("pollable.h", "Platform::wake_all(state_);", "left out"), verdict::deadlock,
                       "sleeps on state and epoch"},
       }) {
    const explainable e = of_mutant(x.changed);
    EXPECT_EQ(e.expected, x.what) << e.name;
    const auto found = shortest(e, 20'000);
    ASSERT_TRUE(found) << e.name;
    const trace t = tell(e, *found);
    EXPECT_NE(t.ending.find(x.in_ending), std::string::npos) << t.ending;
    EXPECT_NE(t.ending.find(x.changed.change), std::string::npos) << t.ending;
    EXPECT_EQ(tell(e, *found).steps, t.steps) << e.name;
    EXPECT_EQ(std::ranges::any_of(t.steps, &trace_step::to_blame), x.blames) << e.name;
  }
}

TEST(MutantTest, IsNothingIfTheHeaderIsAsItShips) {
  explainable mended = of_mutant(mutant_of("mpmc_ring.h", "position(t) == p", "true"));
  mended.change_in_source = no_mutant;
  EXPECT_FALSE(shortest(mended, 5'000));
}

const explainable& named(std::string_view name) { return *std::ranges::find(explainables(), name, &explainable::name); }

TEST(ExplainNamedTest, AStaleReadIsMarked) {
  for (const char* name : {"volatile", "wake_up"}) {
    const trace t = tell(named(name), *shortest(named(name)));
    const auto stale = std::ranges::find(t.steps, true, &trace_step::stale);
    ASSERT_NE(stale, t.steps.end()) << name;
    EXPECT_NE(as_text(t).find(stale->remark), std::string::npos);
  }
}

TEST(ExplainNamedTest, ALostMessageIsBuriedInItsSlot) {
  const trace t = tell(named("seq_cst"), *shortest(named("seq_cst")));
  std::vector<const trace_step*> blamed;
  for (const trace_step& s : t.steps) {
    if (s.to_blame && s.what == trace_step::kind::writes) blamed.push_back(&s);
  }
  ASSERT_EQ(blamed.size(), 2u);
  EXPECT_NE(blamed[0]->column, blamed[1]->column);
  EXPECT_EQ(blamed[0]->action.substr(0, 6), blamed[1]->action.substr(0, 6));
  EXPECT_EQ(blamed[0]->line, line_with("naive_ring.h", "buffer_[last_slot_].write(m);"));
}

TEST(SourceTest, ALineIsNamedByItsText) {
  EXPECT_EQ(source_line("event_count.h", line_with("event_count.h", "Platform::heavy_fence();")),
            "Platform::heavy_fence();");
  EXPECT_THROW(line_with("event_count.h", "std::uint32_t"), std::runtime_error);
  EXPECT_THROW(line_with("event_count.h", "no such text"), std::runtime_error);
  EXPECT_EQ(source_line("no_such_file.h", 1), "");
}

// ---- What is drawn.

// Why the text is not well-formed XML, or nothing.
std::string wrong_with(std::string_view xml) {
  std::vector<std::string> open;
  for (std::size_t at = 0; at < xml.size();) {
    const std::size_t tag = std::min(xml.find('<', at), xml.size());
    for (std::size_t a = xml.find('&', at); a < tag; a = xml.find('&', a + 1)) {
      const std::string_view entity = xml.substr(a, std::min(xml.find(';', a), xml.size()) - a);
      if (entity != "&amp" && entity != "&lt" && entity != "&gt" && entity != "&quot") {
        return fmt::format("& begins no entity: {}", xml.substr(a, 20));
      }
    }
    if (tag == xml.size()) break;
    std::size_t end = tag + 1;
    for (bool quoted = false; end < xml.size() && (quoted || xml[end] != '>'); ++end) {
      if (xml[end] == '"') quoted = !quoted;
      if (xml[end] == '<') return fmt::format("< within a tag: {}", xml.substr(tag, end - tag));
    }
    if (end == xml.size()) return fmt::format("no > ends {}", xml.substr(tag, 20));
    const std::string_view inside = xml.substr(tag + 1, end - tag - 1);
    const std::string name(inside.substr(0, inside.find_first_of(" \n")));
    if (inside.starts_with('/')) {
      if (open.empty() || "/" + open.back() != name) return fmt::format("<{}> closes nothing", name);
      open.pop_back();
    } else if (!inside.starts_with('!') && !inside.ends_with('/')) {
      open.push_back(name);
    }
    at = end + 1;
  }
  return open.empty() ? "" : fmt::format("<{}> is not closed", open.back());
}

TEST(WellFormedTest, SeesWhatIsWrong) {
  EXPECT_EQ(wrong_with("<a><b c=\"d>\"/>&lt;</a>"), "");
  EXPECT_NE(wrong_with("<a><b></a>"), "");
  EXPECT_NE(wrong_with("<a>"), "");
  EXPECT_NE(wrong_with("<a>& </a>"), "");
  EXPECT_NE(wrong_with("<a b=\"<\"/>"), "");
}

std::size_t count(std::string_view text, std::string_view what) {
  std::size_t times = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++times;
  return times;
}

TEST_P(ExplainTest, IsDrawnAsWellFormedSvg) {
  const trace t = told();
  const std::string svg = as_svg(t);
  EXPECT_EQ(wrong_with(svg), "");
  EXPECT_EQ(count(svg, "<rect class=\"box"), t.steps.size());
  for (const trace_step& s : t.steps) EXPECT_NE(svg.find(fmt::format("{}:{}", s.file, s.line)), std::string::npos);
}

TEST_P(ExplainTest, IsAPageThatRefersToNothingElse) {
  const trace t = told();
  const std::string html = as_html(t);
  EXPECT_EQ(wrong_with(html), "");
  for (const char* reference : {"http:", "https:", "src=", "url(", "@import", "<link", "//cdn"}) {
    EXPECT_EQ(html.find(reference), std::string::npos) << reference;
  }
  EXPECT_EQ(count(html, "href="), count(html, "href=\"#step-"));
  for (std::size_t i = 1; i <= t.steps.size(); ++i) {
    EXPECT_EQ(count(html, fmt::format("id=\"step-{}\"", i)), 1u);
    EXPECT_EQ(count(html, fmt::format("href=\"#step-{}\"", i)), 1u);
  }
  for (const char* key : {"ArrowLeft", "ArrowRight", "Home", "End"}) EXPECT_NE(html.find(key), std::string::npos);
}

// The one in the repository, which README shows.
TEST(DrawingTest, ThePictureShowsTheCodeAsItIs) {
  std::ostringstream picture;
  picture << std::ifstream("verify/explain/seq_cst.svg").rdbuf();
  EXPECT_TRUE(picture.str() == as_svg(tell(named("seq_cst"), *shortest(named("seq_cst")))))
      << "draw it anew: bazel run //verify/races:explain -- seq_cst --svg verify/explain/seq_cst.svg";
}

TEST(DrawingTest, TextIsEscaped) {
  trace t;
  t.columns = {"a<b"};
  t.what = "1 < 2 & \"3\"";
  trace_step step;
  step.action = "x < y && z";
  step.remark = "<i>";
  step.file = "f&g.h";
  step.code = "a<b>()";
  t.steps.push_back(step);
  t.ending = "</text>";
  EXPECT_EQ(wrong_with(as_svg(t)), "");
  EXPECT_EQ(wrong_with(as_html(t)), "");
}

TEST_P(ExplainTest, IsToldInARowAStepAndEndsInTheSentence) {
  const trace t = told();
  const std::string text = as_text(t);
  for (std::size_t i = 0; i != t.steps.size(); ++i) {
    const std::size_t row = text.find(fmt::format("\n{:>3}  ", i + 1));
    ASSERT_NE(row, std::string::npos) << text;
    const std::string line = text.substr(row + 1, text.find('\n', row + 1) - row - 1);
    EXPECT_NE(line.find(t.steps[i].action), std::string::npos) << line;
    EXPECT_NE(line.find(t.steps[i].code), std::string::npos) << line;
  }
  EXPECT_NE(text.find(t.ending), std::string::npos);
}

// ---- The program.

struct finished {
  int status;
  std::string output;
};

finished explain(const std::string& arguments) {
  std::FILE* const pipe = popen(("verify/explain/explain " + arguments + " 2>&1").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run verify/explain/explain");
  std::string output;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) output += static_cast<char>(c);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output};
}

TEST(ProgramTest, ListsEachByItsName) {
  const finished f = explain("--list");
  EXPECT_EQ(f.status, 0) << f.output;
  for (const explainable& e : explainables()) EXPECT_NE(f.output.find(e.name), std::string::npos) << f.output;
  for (const mutant& m : header_mutants()) EXPECT_NE(f.output.find(m.name()), std::string::npos) << f.output;
}

TEST(ProgramTest, SaysWhyThereIsNothingToTellOfAMutant) {
  const mutant& m = mutant_of("mpmc_ring.h", "m == found_dead", "false");
  const finished f = explain(m.name());
  EXPECT_EQ(f.status, 1);
  EXPECT_NE(f.output.find(m.reason), std::string::npos) << f.output;
}

TEST(ProgramTest, RefusesANameThatItDoesNotKnow) {
  const finished f = explain("nonsense");
  EXPECT_EQ(f.status, 2);
  EXPECT_NE(f.output.find("expected one of naive"), std::string::npos) << f.output;
  EXPECT_EQ(count(f.output, "\n"), 1u) << f.output;
}

TEST(ProgramTest, TakesAsMuchOfAMutantsNameAsTellsItFromTheOthers) {
  const mutant& m = mutant_of("mpmc_ring.h", "s.state.store(published(from, full_state", "release -> relaxed");
  const finished f = explain(fmt::format("':{}:release->rel'", m.line));
  EXPECT_EQ(f.status, 0) << f.output;
  EXPECT_NE(f.output.find(m.name()), std::string::npos) << f.output;
}

TEST(ProgramTest, RefusesAPartOfSeveralNames) {
  const finished f = explain("mpmc_ring.h");
  EXPECT_EQ(f.status, 2);
  EXPECT_NE(f.output.find("a part of "), std::string::npos) << f.output;
}

TEST(ProgramTest, WantsAName) { EXPECT_EQ(explain("").status, 2); }

TEST(ProgramTest, WritesWhereItsUserIs) {
  const std::filesystem::path here = std::filesystem::path(testing::TempDir()) / "explain_test";
  std::filesystem::create_directories(here);
  setenv("BUILD_WORKING_DIRECTORY", here.c_str(), 1);
  const finished f = explain("naive --svg race.svg --html race.html");
  EXPECT_EQ(f.status, 0) << f.output;
  for (const char* name : {"race.svg", "race.html"}) {
    std::ostringstream text;
    text << std::ifstream(here / name).rdbuf();
    EXPECT_EQ(wrong_with(text.str()), "") << name;
    EXPECT_NE(text.str().find("naive_ring.h"), std::string::npos) << name;
  }
  EXPECT_EQ(explain("naive --svg no/such/directory/race.svg").status, 2);
  unsetenv("BUILD_WORKING_DIRECTORY");
  std::filesystem::remove_all(here);
}

}  // namespace
}  // namespace verify::explain

// The checker's platform itself: does it allow what the machine allows, and no more?
#include <gtest/gtest.h>

#include "verify/model/scenario.h"

namespace verify {
namespace {

using word = relacy_platform::atomic<std::uint32_t>;
using enum std::memory_order;

struct words {
  word x{0};
  word y{0};
  relacy_platform::plain<message> datum;
};

// Two threads on two words and a datum; the last check is the subclass's.
class litmus : public scenario {
 public:
  litmus() : scenario(2) {}
  void before() override { words_ = std::construct_at(reinterpret_cast<words*>(bytes_)); }
  void after() override {}

 protected:
  words& w() noexcept { return *words_; }

 private:
  alignas(words) std::byte bytes_[sizeof(words)];
  words* words_ = nullptr;
};

// Each stores its word and looks at the other's: may both miss?
template <class First, class Second>
class store_buffering : public litmus {
 public:
  store_buffering(First first, Second second) : first_(first), second_(second) {}
  void thread(unsigned index) override {
    if (index == 0) {
      w().x.store(1, relaxed);
      first_();
      saw_y_ = w().y.load(relaxed);
    } else {
      w().y.store(1, relaxed);
      second_();
      saw_x_ = w().x.load(relaxed);
    }
  }
  void after() override { check(saw_x_ == 1 || saw_y_ == 1, "one of the two sees the other's store"); }

 private:
  First first_;
  Second second_;
  std::uint32_t saw_x_ = 0;
  std::uint32_t saw_y_ = 0;
};

void light() { relacy_platform::light_fence(); }
void heavy() { relacy_platform::heavy_fence(); }

TEST(LitmusTest, LightAndHeavyFenceForbidStoreBuffering) { expect_clean(store_buffering(light, heavy), exhaustive()); }

TEST(LitmusTest, TwoHeavyFencesForbidStoreBuffering) { expect_clean(store_buffering(heavy, heavy), exhaustive()); }

TEST(LitmusTest, TwoLightFencesAllowStoreBuffering) {
  expect_caught(store_buffering(light, light), exhaustive(), verdict::assertion);
}

// A message handed over by a flag of some order, or by a futex.
class message_passing : public litmus {
 public:
  message_passing(std::memory_order store, std::memory_order load) : store_(store), load_(load) {}
  void thread(unsigned index) override {
    if (index == 0) {
      w().datum.write(message::of(0, 1));
      w().x.store(1, store_);
      relacy_platform::wake_all(w().x);
    } else {
      while (w().x.load(load_) == 0) {
        (void)relacy_platform::wait(w().x, 0, millrace::deadline::never());
        relacy_platform::relax(0);
      }
      message m;
      w().datum.read(m);
      check(m.intact() && m.number() == 1, "the message has arrived");
    }
  }

 private:
  std::memory_order store_;
  std::memory_order load_;
};

TEST(LitmusTest, ReleaseAndAcquirePassAMessage) { expect_clean(message_passing(release, acquire), exhaustive()); }

TEST(LitmusTest, AWakeUpOrdersNothing) {
  expect_caught(message_passing(release, relaxed), exhaustive(), verdict::data_race);
  expect_caught(message_passing(relaxed, acquire), exhaustive(), verdict::data_race);
}

// A message written and read in place. Either side may let go of it too early.
class in_place_passing : public litmus {
 public:
  in_place_passing(bool writer_is_hasty, bool reader_is_hasty)
      : writer_is_hasty_(writer_is_hasty), reader_is_hasty_(reader_is_hasty) {}
  void thread(unsigned index) override {
    if (index == 0) {
      message& m = w().datum.begin_write();
      if (writer_is_hasty_) w().x.store(1, release);
      m = message::of(0, 1);
      w().datum.end_write();
      w().x.store(1, release);
      if (w().y.load(acquire) == 1) w().datum.write(message::of(0, 2));
    } else if (w().x.load(acquire) == 1) {
      const message& m = w().datum.begin_read();
      if (reader_is_hasty_) w().y.store(1, release);
      check(m.intact() && m.number() == 1, "the message has arrived");
      w().datum.end_read();
      w().y.store(1, release);
    }
  }

 private:
  bool writer_is_hasty_;
  bool reader_is_hasty_;
};

TEST(LitmusTest, AMessageIsPassedInPlace) { expect_clean(in_place_passing(false, false), exhaustive()); }

TEST(LitmusTest, ASlotPublishedBeforeItIsWrittenIsARace) {
  expect_caught(in_place_passing(true, false), exhaustive(), verdict::data_race);
}

TEST(LitmusTest, ASlotFreedWhileItIsReadIsARace) {
  expect_caught(in_place_passing(false, true), exhaustive(), verdict::data_race);
}

// A sleeper with a deadline that nobody wakes.
class nobody_wakes : public litmus {
 public:
  explicit nobody_wakes(millrace::deadline until) : until_(until) {}
  void thread(unsigned index) override {
    if (index == 0) return;
    while (relacy_platform::wait(w().x, 0, until_) != millrace::wait_result::timed_out) relacy_platform::relax(0);
  }

 private:
  millrace::deadline until_;
};

TEST(LitmusTest, AWaitWithADeadlineEnds) {
  expect_clean(nobody_wakes(millrace::deadline::at({})), random_executions(10'000));
}

TEST(LitmusTest, AWaitWithoutOneIsADeadlock) {
  expect_caught(nobody_wakes(millrace::deadline::never()), random_executions(10'000), verdict::deadlock);
}

// Words and loops of no ring: what the memory model itself shows and does not.
// Each is what two threads do, and what is claimed of the words afterwards.
struct program {
  std::function<void(words&)> first;
  std::function<void(words&)> second;
  std::function<bool(words&)> claim;
};

class running : public litmus {
 public:
  explicit running(program p) : program_(std::move(p)) {}
  void thread(unsigned index) override { (index == 0 ? program_.first : program_.second)(w()); }
  void after() override { check(program_.claim(w()), "the outcome is not the weak one"); }

 private:
  program program_;
};

// The machine may show any of these outcomes. Where a search to the end does not,
// the model is blind: the claim holds here, and nobody may rely on it.
void expect_shown(program p) { expect_caught(running(std::move(p)), exhaustive(), verdict::assertion); }
void expect_not_shown(program p) { expect_clean(running(std::move(p)), exhaustive()); }

// After `stores` stores to x are known to have been executed, the value of the
// first or a later one is read.
program reading_stale(std::uint32_t stores) {
  auto saw = std::make_shared<std::uint32_t>();
  return {[stores](words& w) {
            for (std::uint32_t i = 1; i <= stores; ++i) w.x.store(i, relaxed);
            w.y.store(1, relaxed);
          },
          [saw](words& w) {
            *saw = UINT32_MAX;
            if (w.y.load(relaxed) == 1) *saw = w.x.load(relaxed);
          },
          [saw](words&) { return *saw != 0; }};
}

// Not with Relacy as it comes, in which one store is as far back as this search looks.
TEST(LitmusTest, AReadMayBeSevenStoresOld) { expect_shown(reading_stale(7)); }

TEST(LitmusTest, NotShown_AReadEightStoresOld) { expect_not_shown(reading_stale(8)); }

// A datum, then x = 1 released, then x = 2 by the same thread, which is `second_store`.
class release_sequence : public litmus {
 public:
  explicit release_sequence(std::function<void(word&)> second_store) : second_store_(std::move(second_store)) {}
  void thread(unsigned index) override {
    if (index == 0) {
      w().datum.write(message::of(0, 1));
      w().x.store(1, release);
      second_store_(w().x);
    } else if (w().x.load(acquire) == 2) {
      message m;
      w().datum.read(m);
    }
  }

 private:
  std::function<void(word&)> second_store_;
};

// Not with Relacy as it comes, which has C++11's rule.
TEST(LitmusTest, AStoreEndsAReleaseSequence) {
  expect_caught(release_sequence([](word& x) { x.store(2, relaxed); }), exhaustive(), verdict::data_race);
}

TEST(LitmusTest, AReadModifyWriteContinuesAReleaseSequence) {
  expect_clean(release_sequence([](word& x) { x.fetch_add(1, relaxed); }), exhaustive());
}

// Two threads that count to eight together, in turns: one schedule of many.
class taking_turns : public litmus {
 public:
  void thread(unsigned index) override {
    for (unsigned turn = index; turn < 8; turn += 2) {
      if (w().x.fetch_add(1, relaxed) != turn) return;
    }
    check(index == 0, "no turns are taken");
  }
};

// Not with Relacy as it comes, whose generator never takes turns for so long.
TEST(LitmusTest, RandomExecutionsReachEachShortSchedule) {
  expect_caught(taking_turns(), random_executions(10'000), verdict::assertion);
}

// Each thread reads the value that the other stores afterwards.
TEST(LitmusTest, NotShown_LoadBuffering) {
  auto saw_x = std::make_shared<std::uint32_t>();
  auto saw_y = std::make_shared<std::uint32_t>();
  expect_not_shown({[saw_x](words& w) {
                      *saw_x = w.x.load(relaxed);
                      w.y.store(1, relaxed);
                    },
                    [saw_y](words& w) {
                      *saw_y = w.y.load(relaxed);
                      w.x.store(1, relaxed);
                    },
                    [saw_x, saw_y](words&) { return *saw_x == 0 || *saw_y == 0; }});
}

// Of two stores to one word the one executed last is the last there: no store is
// overtaken on its way to memory. First 2+2W, then S.
TEST(LitmusTest, NotShown_EachThreadsFirstStoreComesLast) {
  expect_not_shown({[](words& w) {
                      w.x.store(1, relaxed);
                      w.y.store(2, relaxed);
                    },
                    [](words& w) {
                      w.y.store(1, relaxed);
                      w.x.store(2, relaxed);
                    },
                    [](words& w) { return w.x.load(relaxed) != 1 || w.y.load(relaxed) != 1; }});
}

TEST(LitmusTest, NotShown_AStoreOvertakenByTheAnswerToALaterOne) {
  auto saw_y = std::make_shared<std::uint32_t>();
  expect_not_shown({[](words& w) {
                      w.x.store(2, relaxed);
                      w.y.store(1, relaxed);
                    },
                    [saw_y](words& w) {
                      *saw_y = w.y.load(relaxed);
                      w.x.store(1, relaxed);
                    },
                    [saw_y](words& w) { return *saw_y != 1 || w.x.load(relaxed) != 2; }});
}

// One thread stores y, then x; the other sees x by a relaxed load, and then, by a
// seq_cst one, no y. In C++ the order of all seq_cst accesses may have that last load
// before both stores; with acquire in place of relaxed it may not.
TEST(LitmusTest, NotShown_ASeqCstStoreThatWasReadComesLater) {
  auto saw_x = std::make_shared<std::uint32_t>();
  auto saw_y = std::make_shared<std::uint32_t>();
  expect_not_shown({[](words& w) {
                      w.y.store(1, seq_cst);
                      w.x.store(1, seq_cst);
                    },
                    [saw_x, saw_y](words& w) {
                      *saw_x = w.x.load(relaxed);
                      *saw_y = w.y.load(seq_cst);
                    },
                    [saw_x, saw_y](words&) { return *saw_x == 0 || *saw_y == 1; }});
}

// A load in its place may (see AReadMayBeSevenStoresOld).
TEST(LitmusTest, NotShown_AFailedCompareExchangeThatReadsAStaleValue) {
  auto saw = std::make_shared<std::uint32_t>();
  expect_not_shown({[](words& w) {
                      w.x.store(1, relaxed);
                      w.y.store(1, relaxed);
                    },
                    [saw](words& w) {
                      std::uint32_t expected = 5;
                      *saw = UINT32_MAX;
                      if (w.y.load(relaxed) == 1 && !w.x.compare_exchange_strong(expected, 6, relaxed, relaxed))
                        *saw = expected;
                    },
                    [saw](words&) { return *saw != 0; }});
}

}  // namespace
}  // namespace verify

// Mailboxes between real processes: created, listed, used and removed by whoever knows the name.
#include "millrace/mailbox.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "millrace/semaphore_ring.h"
#include "tests/support.h"

namespace millrace {
namespace {

using box = mailbox<std::uint64_t>;

class MailboxTest : public testing::Test {
 protected:
  static constexpr ring_options options{.capacity = 8, .members = 8};

  // What the listing says of ours.
  std::optional<mailbox_info> listed() const {
    const std::vector<mailbox_info> all = mailboxes();
    EXPECT_TRUE(std::ranges::is_sorted(all, {}, &mailbox_info::name));
    const auto at = std::ranges::find(all, name_, &mailbox_info::name);
    return at == all.end() ? std::nullopt : std::optional(*at);
  }

  const std::string name_ = "test-" + std::to_string(std::random_device{}());
  scratch at_{mailbox_location(name_)};
};

TEST_F(MailboxTest, WhatIsSentWaitsForWhoeverComes) {
  child sender([&] {
    auto mine = box::create(name_, options);
    auto end = mine ? mine->attach() : result<box::handle>(mine.error());
    return end && end->push(1) == status::ok && end->push(2) == status::ok;
  });
  ASSERT_TRUE(sender.succeeded());
  child receiver([&] {
    auto mine = box::open(name_);
    auto end = mine ? mine->attach() : result<box::handle>(mine.error());
    std::uint64_t m = 0;
    return end && end->try_pop(m) == status::ok && m == 1 && end->try_pop(m) == status::ok && m == 2 &&
           end->try_pop(m) == status::empty;
  });
  EXPECT_TRUE(receiver.succeeded());
}

TEST_F(MailboxTest, ANameThatCanNeverWorkIsRefusedWithOneThatCan) {
  for (const std::string& name : {std::string(), "/" + name_, "a/b" + name_, std::string(238, 'x'),
                                  std::string("a\0b", 3), std::string("a\nb")}) {
    const auto expect_refused = [&name](const auto& made) {
      ASSERT_FALSE(made) << name;
      EXPECT_EQ(made.error().code, errc::bad_argument);
      const std::string& message = made.error().message;
      EXPECT_TRUE(message.starts_with("mailbox:")) << message;
      EXPECT_NE(message.find("1 to 237 characters with no '/', not even a leading one"), std::string::npos) << message;
      EXPECT_NE(message.find("found " + std::to_string(name.size())), std::string::npos) << message;
      EXPECT_TRUE(message.ends_with("use a name such as \"orders\"")) << message;
      EXPECT_TRUE(std::ranges::none_of(message, [](unsigned char c) { return c < 32; })) << message;
    };
    expect_refused(box::create(name, options));
    expect_refused(box::open(name));
    expect_refused(box::open_or_create(name, options));
    expect_refused(box::remove(name));
  }
  const std::string longest(237, 'x');
  const auto none = box::open(longest);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, errc::not_found) << none.error().message;
}

TEST_F(MailboxTest, ManySendAndEachMessageGoesToOneReceiver) {
  constexpr std::uint64_t each = 500;
  auto mine = box::create(name_, options);
  ASSERT_TRUE(mine) << mine.error().message;
  shared<std::atomic<std::uint64_t>> received;
  shared<std::atomic<std::uint64_t>> sum;
  const auto send = [&] {
    auto theirs = box::open(name_);
    auto end = theirs->attach();
    for (std::uint64_t i = 1; i <= each; ++i) {
      if (end->push(i) != status::ok) return false;
    }
    return true;
  };
  const auto receive = [&] {
    auto theirs = box::open_or_create(name_, options);
    auto end = theirs->attach();
    for (std::uint64_t m; end->pop(m) == status::ok;) {
      ++*received;
      *sum += m;
    }
    return true;
  };
  child first(send);
  child second(send);
  child third(receive);
  child fourth(receive);
  EXPECT_TRUE(first.succeeded());
  EXPECT_TRUE(second.succeeded());
  EXPECT_TRUE(box::remove(name_));  // the receivers have what was sent, and then its end
  EXPECT_TRUE(third.succeeded());
  EXPECT_TRUE(fourth.succeeded());
  EXPECT_EQ(*received, 2 * each);
  EXPECT_EQ(*sum, each * (each + 1));
}

TEST_F(MailboxTest, IsListedFromItsCreationToItsRemoval) {
  EXPECT_FALSE(listed());
  auto mine = box::create(name_, {.capacity = 8, .members = 4, .mode = 0640});
  ASSERT_TRUE(mine) << mine.error().message;
  const auto info = listed();
  ASSERT_TRUE(info);
  EXPECT_EQ(info->owner, ::geteuid());
  EXPECT_EQ(info->mode, 0640u);
  EXPECT_EQ(info->holds, "mpmc_ring of 8 x unsigned long (8 bytes) for 4 members");
  ASSERT_TRUE(box::remove(name_));
  EXPECT_FALSE(listed());
}

TEST_F(MailboxTest, OneOfAnothersMakingIsListedWithWhatIsWrong) {
  std::ofstream(at_.path()) << "not a mailbox";
  const auto info = listed();
  ASSERT_TRUE(info);
  EXPECT_NE(info->holds.find(name_), std::string::npos) << info->holds;
  EXPECT_FALSE(box::open(name_));
}

TEST_F(MailboxTest, AnotherSegmentIsListedAsWhatItIs) {
  for (const std::size_t bytes : {8u, 4096u}) {
    ASSERT_TRUE(shared_memory::create(*at_, bytes, 0600, [](void*) {}));
    const auto info = listed();
    ASSERT_TRUE(info);
    EXPECT_TRUE(info->holds.starts_with("no ring")) << info->holds;
    ASSERT_TRUE(shared_memory::unlink(*at_));
  }
}

TEST_F(MailboxTest, WhatNoMailboxCanBeCalledIsNotListed) {
  const std::string path = at_.path() + "\n";
  std::ofstream(path) << "";
  for (const mailbox_info& m : mailboxes()) EXPECT_FALSE(m.name.starts_with(name_)) << m.name;
  EXPECT_EQ(::unlink(path.c_str()), 0);
}

TEST_F(MailboxTest, WhoWaitsIsToldOfTheRemoval) {
  auto mine = box::create(name_, options);
  ASSERT_TRUE(mine) << mine.error().message;
  shared<std::atomic<int>> ready;
  child waiting([&] {
    auto theirs = box::open(name_);
    auto end = theirs->attach();
    ++*ready;
    std::uint64_t m;
    return end->pop(m) == status::closed && end->push(1) == status::closed;
  });
  ASSERT_TRUE(reached([&] { return *ready == 1; }));
  EXPECT_TRUE(box::remove(name_));
  EXPECT_TRUE(waiting.succeeded());
}

// Without the name's lock one of them takes away the name of a mailbox that it has not closed.
TEST_F(MailboxTest, OfThoseWhoRemoveOneAtOnceOneDoes) {
  constexpr int times = 100;
  shared<std::atomic<int>> removed;
  const auto remove = [&] {
    while (*removed < times) *removed += box::remove(name_) ? 1 : 0;
    return true;
  };
  child first(remove);
  child second(remove);
  for (int i = 0; i != times; ++i) {
    std::optional<box> mine;
    ASSERT_TRUE(reached([&] {
      auto made = box::create(name_, options);
      if (made) mine.emplace(*std::move(made));
      return mine.has_value();
    }));
    auto end = mine->attach();
    ASSERT_TRUE(end) << end.error().message;
    std::uint64_t m = 0;
    ASSERT_EQ(end->pop_for(m, std::chrono::seconds(30)), status::closed) << "of mailbox " << i;
  }
  EXPECT_TRUE(first.succeeded());
  EXPECT_TRUE(second.succeeded());
  EXPECT_EQ(*removed, times);
}

TEST_F(MailboxTest, AKilledReceiverTakesNothingWithIt) {
  auto mine = box::create(name_, options);
  ASSERT_TRUE(mine) << mine.error().message;
  auto end = mine->attach();
  ASSERT_TRUE(end) << end.error().message;
  shared<std::atomic<int>> ready;
  child receiver([&] {
    auto theirs = box::open(name_);
    auto its_own = theirs->attach();
    ++*ready;
    std::uint64_t m;
    return its_own->pop(m) == status::ok;
  });
  ASSERT_TRUE(reached([&] { return *ready == 1; }));
  ::kill(receiver.pid(), SIGKILL);
  EXPECT_FALSE(receiver.succeeded());
  EXPECT_EQ(end->push(7), status::ok);
  std::uint64_t m = 0;
  EXPECT_EQ(end->pop(m), status::ok);
  EXPECT_EQ(m, 7u);
}

TEST_F(MailboxTest, RefusesWhatCannotBe) {
  using other = mailbox<std::uint64_t, semaphore_ring<std::uint64_t>>;
  const auto code = [](const auto& r) { return r ? std::optional<errc>() : r.error().code; };
  EXPECT_EQ(code(box::open(name_)), errc::not_found);
  EXPECT_EQ(code(box::remove(name_)), errc::not_found);
  ASSERT_TRUE(box::create(name_, options));
  EXPECT_EQ(code(box::create(name_, options)), errc::exists);
  EXPECT_EQ(code(other::open(name_)), errc::incompatible);
  EXPECT_EQ(code(other::remove(name_)), errc::incompatible);
  EXPECT_TRUE(listed());
  EXPECT_EQ(code(box::open_or_create(name_, {.capacity = 16})), errc::incompatible);
  for (const char* name : {"", "a/b", "../b"}) {
    const auto made = box::create(name, options);
    EXPECT_EQ(code(made), errc::bad_argument) << name;
  }
  EXPECT_EQ(code(box::create(std::string(300, 'x'), options)), errc::bad_argument);
}

TEST_F(MailboxTest, IsRemovedOnlyWithAPlaceInIt) {
  auto mine = box::create(name_, {.capacity = 8, .members = 1});
  ASSERT_TRUE(mine) << mine.error().message;
  {
    auto only = mine->attach();
    ASSERT_TRUE(only);
    const auto removed = box::remove(name_);
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, errc::limit);
    EXPECT_EQ(only->push(1), status::ok);
  }
  EXPECT_TRUE(box::remove(name_));
}

}  // namespace
}  // namespace millrace

// Who sent and who got what, some of them killed, and whether that balances.
#ifndef MILLRACE_VERIFY_CRASH_ACCOUNTS_H_
#define MILLRACE_VERIFY_CRASH_ACCOUNTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "verify/races/history.h"

namespace millrace::crash {

// A producer sends 0, 1, 2, ... It notes that it begins before it calls push, and
// that it is done after push has returned: what it was killed in between may
// arrive or not.
struct sender {
  std::uint64_t begun = 0;      // messages that it began to push
  std::uint64_t committed = 0;  // of these, the pushes that returned ok
};

struct receipt {
  std::uint32_t producer = 0;
  std::uint32_t sequence : 31 = 0;
  std::uint32_t redelivered : 1 = 0;

  static constexpr std::uint32_t nobody = 0xffffffff;  // as producer: it came torn
};
static_assert(sizeof(receipt) == 8);

receipt receipt_of(const races::parcel& m, bool redelivered, std::uint64_t seed);

struct books {
  std::vector<sender> senders;
  std::vector<std::vector<receipt>> received;  // by consumer: what its pops returned, in order
  // What lay where a killed consumer's last pop was to put it. The ring may have
  // let go of it, or may deliver it to another: either is right, both or neither
  // is not.
  std::vector<receipt> in_hands{};
};

struct balance {
  std::uint64_t lost = 0;         // committed, and neither received nor in a dead consumer's hands
  std::uint64_t duplicated = 0;   // receipts of a message after its first
  std::uint64_t torn = 0;         // receipts of what nobody sent
  std::uint64_t reordered = 0;    // receipts that the consumer should have had before another of that producer
  std::uint64_t in_hands = 0;     // died with a consumer, between its pop and its note: no damage
  std::uint64_t redelivered = 0;  // received, and said to have been in a dead consumer's hands: no damage

  balance& operator+=(const balance& other);
  bool even() const { return lost + duplicated + torn + reordered == 0; }
  std::string describe() const;  // "1 lost, 2 torn"; the damage only
};

// Of several messages in flight those that arrive are the first ones: a gap is a loss.
balance settle(const books& b);

}  // namespace millrace::crash

#endif  // MILLRACE_VERIFY_CRASH_ACCOUNTS_H_

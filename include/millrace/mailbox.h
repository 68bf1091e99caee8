// Mailboxes: places with a name, which belong to nobody, that messages are sent to and received from.
#ifndef MILLRACE_MAILBOX_H_
#define MILLRACE_MAILBOX_H_

#include <sys/types.h>

#include <concepts>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/attributed.h"
#include "millrace/mpmc_ring.h"
#include "millrace/result.h"
#include "millrace/ring.h"
#include "millrace/shared_memory.h"
#include "millrace/shared_ring.h"

namespace millrace {

// What everybody may know of a mailbox.
struct mailbox_info {
  std::string name;
  uid_t owner;
  mode_t mode;
  std::string holds;  // "mpmc_ring of 1024 x order (16 bytes) for 128 members", or why it can't be told
};

// All that there are, by their names. Each was there at some moment of the call.
std::vector<mailbox_info> mailboxes();

// Where a mailbox of that name is: for other tools, and for whoever unlinks one that
// `remove` can't open. Those who are in it are not told, then.
location mailbox_location(std::string_view name);

// errc::bad_argument, with what is expected, if no mailbox can have that name.
result<done> check_mailbox_name(std::string_view name);

// What is behind mailbox::remove: has `box` closed, and takes its name away.
result<done> remove_mailbox(const shared_memory& box, const std::function<void()>& close);

// The textbook's indirect communication: whoever knows a mailbox's name sends to it, or
// receives from it, and any number of processes do. It has no end of its own: what was
// sent waits there for whoever comes, also while nobody has it open, until somebody
// removes it. (What ends with those who use it is a channel: channel.h.)
//
//   auto orders = mailbox<order>::open_or_create("orders");
//   auto mine = orders->attach();        // mine->push(...), mine->pop(...), as with every ring
//   for (const mailbox_info& m : mailboxes()) ...
//   mailbox<order>::remove("orders");
//
// A message goes to one receiver. The name has up to 237 characters, and no slash, also not
// in front (errc::bad_argument); in /dev/shm it is "millrace.mailbox.NAME". Any processes may call everything at once.
// What its calls block on and say, and what is left when a process is killed in one, is
// the ring's affair; setting up is as with shared_ring, whose errors these are.
//
// Of attributed messages there is none: nobody here would sign them (a channel's senders do).
template <message T, ring Ring = mpmc_ring<T>>
requires(std::same_as<T, typename Ring::value_type> && !is_attributed<T>) class mailbox : private shared_ring<Ring> {
  using segment = shared_ring<Ring>;

 public:
  using typename segment::handle;
  using typename segment::value_type;

  // errc::exists if there is one of that name.
  static result<mailbox> create(std::string_view name, const ring_options& options = {}) {
    if (const auto ok = check_mailbox_name(name); !ok) return ok.error();
    return named(segment::create(mailbox_location(name), options));
  }
  // errc::not_found if there is none, errc::incompatible if it is for other messages.
  static result<mailbox> open(std::string_view name) {
    if (const auto ok = check_mailbox_name(name); !ok) return ok.error();
    return named(segment::open(mailbox_location(name)));
  }
  static result<mailbox> open_or_create(std::string_view name, const ring_options& options = {}) {
    if (const auto ok = check_mailbox_name(name); !ok) return ok.error();
    return named(segment::open_or_create(mailbox_location(name), options));
  }

  // Closes it and takes its name away: no message comes in any more, and who waits in it
  // is told `closed` once all that had been sent has been received. Of several who
  // do so at once one succeeds, and the others find errc::not_found. Needs a free place
  // in it (errc::limit). Waits for another that is removing the same mailbox.
  // Killed in between, it leaves a closed mailbox under the name: remove it again.
  static result<done> remove(std::string_view name) {
    if (const auto ok = check_mailbox_name(name); !ok) return ok.error();
    auto box = segment::open(mailbox_location(name));
    if (!box) return box.error();
    auto mine = box->attach();
    if (!mine) return mine.error();
    return remove_mailbox(box->memory(), [&] { mine->close(); });
  }

  using segment::attach;
  using segment::members;
  using segment::recovered;
  using segment::shape;

 private:
  explicit mailbox(segment&& of) noexcept : segment(std::move(of)) {}

  static result<mailbox> named(result<segment> of) {
    if (!of) return of.error();
    return mailbox(*std::move(of));
  }
};

}  // namespace millrace

#endif  // MILLRACE_MAILBOX_H_

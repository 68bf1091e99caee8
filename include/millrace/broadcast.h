// A named stream of messages that each receiver gets all of.
#ifndef MILLRACE_BROADCAST_H_
#define MILLRACE_BROADCAST_H_

#include "millrace/broadcast_ring.h"
#include "millrace/channel.h"
#include "millrace/platform.h"

namespace millrace {

// A channel (channel.h has its calls) with one difference: nobody takes a message from
// another. Each receiver gets every message that is sent after attach_receiver() has
// returned, in the one order in which all were sent.
//
//   auto feed = broadcast<tick>::open_or_create(location::posix("ticks"), {.fidelity = fidelity::lossy});
//   auto out = feed->attach_sender();       auto in = feed->attach_receiver();
//   out->push({"ACME", 101.5});             for (const tick& t : *in) show(t);
//                                           say(in->missed(), " were too fast for us");
//
// What becomes of a receiver that falls behind by more than `capacity` messages is chosen at
// creation, and whoever opens it with another wish is refused. `lossless`: senders wait
// for it (push), or are told `full` (try_push). `lossy`: senders overwrite, and it goes
// on with the oldest message that is left. Its missed() counts the others: those that it
// has had and those that it has missed are all that were sent since it came.
//
// It ends when the last sender has gone, by leaving or by being killed, or by close(): each
// receiver has what was sent, and then hears `closed`. Receivers come and go as they like: one
// that was killed is waited for no longer, and where there is none a push succeeds
// and what it has sent is gone.
//
// A message that a killed sender had half written reaches nobody. One that it had sent
// reaches all, though its push had not returned.
//
// What the calls return and block on, and what they cost others when their process
// is stopped, is said in broadcast_ring.h.
template <message T>
using broadcast = channel<T, broadcast_ring<T>>;

}  // namespace millrace

#endif  // MILLRACE_BROADCAST_H_

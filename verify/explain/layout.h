// Where things lie in the memory that a scenario shares, and how they are drawn.
#ifndef MILLRACE_VERIFY_EXPLAIN_LAYOUT_H_
#define MILLRACE_VERIFY_EXPLAIN_LAYOUT_H_

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "verify/explain/trace.h"
#include "verify/recorder.h"

namespace verify::explain {

// An atomic or plain object of the scenario, and how its value reads.
struct variable {
  std::string name;
  std::string (*show)(const bits& value);
  bool is_slot = false;  // what is read from it is a message
};

struct layout {
  std::vector<variable> variables;  // all of them, in the order of their addresses
  std::function<picture(std::span<const bits> values)> draw;
};

// How values read.
std::string number(const bits& b);
std::string parcel(const bits& b);          // sender and number: A1 is the first message of the first
std::string unraced_parcel(const bits& b);  // likewise, of one word: a number that is not 0

// No ring: words, drawn one below the other.
layout event_layout(std::vector<variable> beside);  // an event count, and what it is about
layout semaphore_words();                           // a semaphore, and what it guards

// The textbook's: in, out and slots, of which one stays free.
layout naive_layout(std::size_t slots, std::string (*show)(const bits&));

// What comes before head and tail, then the slots.
layout buffer_layout(std::vector<variable> before, std::size_t slots);

// A slot is a sequence number and a message.
layout vyukov_layout(std::size_t slots);

// What an attendance of so many members adds to a ring's, and one without a ring.
layout with_attendance(layout ring, std::size_t members);
layout attendance_words(std::size_t members);

// What a roster of so many members adds to a ring's: it comes behind it.
layout with_roster(layout ring, std::size_t members);

layout robust_mutex_words();  // and the two counters that it guards
layout mpmc_layout(std::size_t capacity, std::size_t members);
layout spsc_layout(std::size_t capacity, std::size_t per_line = 2);  // as most models have it
layout mutex_ring_layout(std::size_t capacity);
layout growing_ring_layout(std::size_t capacity);  // two messages a chunk
layout semaphore_ring_layout(std::size_t capacity);
layout rendezvous_ring_layout(std::size_t members);
layout broadcast_ring_layout(std::size_t capacity, std::size_t members);

// Two of them, one behind the other: words, those of the one and the other told apart as a's and b's.
layout two_of(const layout& ring);

// What a lookout has, and before it its bell, and then what it looks for: words.
layout lookout_words(const layout& of);

layout boxes_of_coins();  // what pollable's models look for: words

}  // namespace verify::explain

#endif  // MILLRACE_VERIFY_EXPLAIN_LAYOUT_H_

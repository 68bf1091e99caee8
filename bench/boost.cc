// Boost.Lockfree and Boost.Interprocess.
#include <algorithm>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include "bench/contender.h"
#include "bench/placed.h"
#include "bench/unused_name.h"

namespace millrace::bench {
namespace {

template <class Queue, class T>
class lockfree {
 public:
  using value_type = T;

  lockfree(const work&, board&) {}

  struct port_type {
    typename placed<Queue>::view queue;
    bool try_push(const T& m) { return queue->push(m); }
    bool try_pop(T& m) { return queue->pop(m); }
    std::size_t try_push_n(std::span<const T> m) requires requires(Queue q) { q.push(m.data(), m.size()); }
    { return queue->push(m.data(), m.size()); }
    std::size_t try_pop_n(std::span<T> m) requires requires(Queue q) { q.pop(m.data(), m.size()); }
    { return queue->pop(m.data(), m.size()); }
  };
  port_type port(const work& w, role) { return {queue_.seen_by(w)}; }
  std::size_t bytes() const noexcept { return queue_.bytes(); }

 private:
  placed<Queue> queue_;
};

// Its indices have 16 bits.
template <class T, std::size_t Capacity>
using lockfree_queue =
    lockfree<boost::lockfree::queue<T, boost::lockfree::fixed_sized<true>,
                                    boost::lockfree::capacity<std::min<std::size_t>(Capacity, 65534)>>,
             T>;
template <class T, std::size_t Capacity>
using lockfree_spsc = lockfree<boost::lockfree::spsc_queue<T, boost::lockfree::capacity<Capacity>>, T>;

template <class T, std::size_t Capacity>
class interprocess {
  using queue = boost::interprocess::message_queue;

 public:
  using value_type = T;

  interprocess(const work&, board& b) : name_(unused_name()) {
    b.leave_segment(name_);
    made_.emplace(boost::interprocess::create_only, name_.c_str(), Capacity, sizeof(T));
  }

  class port_type {
   public:
    explicit port_type(const char* name) : queue_(std::make_unique<queue>(boost::interprocess::open_only, name)) {}

    bool try_push(const T& m) { return queue_->try_send(&m, sizeof m, 0); }
    bool try_pop(T& m) {
      std::size_t got = 0;
      unsigned priority = 0;
      return queue_->try_receive(&m, sizeof m, got, priority);
    }
    void push(const T& m) { queue_->send(&m, sizeof m, 0); }
    void pop(T& m) {
      std::size_t got = 0;
      unsigned priority = 0;
      queue_->receive(&m, sizeof m, got, priority);
    }

   private:
    std::unique_ptr<queue> queue_;
  };
  port_type port(const work&, role) { return port_type(name_.c_str()); }

 private:
  std::string name_;
  std::optional<queue> made_;
};

}  // namespace

void add_boost(std::vector<contender>& all) {
  all.push_back(contend<lockfree_queue>({.name = "Boost.Lockfree queue",
                                         .from = origin::peer,
                                         .package = "libboost-dev",
                                         .note = "65,534 slots for 65,536"}));
  all.push_back(contend<lockfree_spsc>(
      {.name = "Boost.Lockfree spsc", .from = origin::peer, .package = "libboost-dev", .one_to_one = true}));
  all.push_back(contend<interprocess>({.name = "Boost.Interprocess", .from = origin::peer, .package = "libboost-dev"}));
}

}  // namespace millrace::bench

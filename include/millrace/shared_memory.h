// A piece of memory that several processes see, initialised exactly once.
#ifndef MILLRACE_SHARED_MEMORY_H_
#define MILLRACE_SHARED_MEMORY_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "millrace/pages.h"
#include "millrace/result.h"
#include "millrace/truncation.h"

namespace millrace {

// Where a segment lives.
class location {
 public:
  enum class kind : std::uint8_t {
    posix,      // a file in /dev/shm: has a name, stays until unlinked
    sysv,       // a System V segment: has a key, stays until unlinked
    anonymous,  // no name: shared with children by fork
    memfd,      // no name: shared by passing its descriptor; cannot be truncated
  };

  static location posix(std::string name);  // "/ticks" or "ticks"
  static location sysv(std::int32_t key);
  static location anonymous();
  static location memfd(std::string label);  // the label is for people only

  kind which() const noexcept { return kind_; }
  const std::string& name() const noexcept { return name_; }  // without a leading slash
  std::int32_t key() const noexcept { return key_; }

  std::string describe() const;  // "posix:/ticks", "sysv:0x3039", "anonymous", "memfd:ticks"

  friend bool operator==(const location&, const location&) = default;

 private:
  location(kind k, std::string name, std::int32_t key);

  kind kind_;
  std::string name_;
  std::int32_t key_;
};

// One mapping of a segment, unmapped at the end of its life; the segment itself
// stays until unlinked (or, having no name, until nobody maps it).
//
// An opener never sees a segment that is not fully initialised, and all its room
// is reserved at creation, but for what is said to be `growing` (pages.h): running out of
// memory is an error then, not a SIGBUS later. A creator that is killed half-way leaves nothing behind (posix, memfd,
// anonymous), or a raw segment that the next open_or_create or create finishes
// (sysv, where the kernel has no way to publish a segment all at once). There
// `initialise` may be run on memory that an earlier, killed run has written: it
// is zeroed first, and the callback sees no difference. A living process that is
// initialising is waited for, at most two seconds; then errc::limit.
//
//   segment  [ preamble, 128 bytes: ours | payload: base(), size() bytes ]
//
// base() is aligned to 128. A posix segment may be truncated by anybody who may write
// to it: see if_truncated. A memfd may not, as it is sealed.
class shared_memory {
 public:
  using initialiser = std::function<void(void* base)>;

  // `mode` is what the segment gets, whatever the umask. errc::exists if there.
  static result<shared_memory> create(const location& where, std::size_t bytes, mode_t mode,
                                      const initialiser& initialise, extent growing = {});

  // Maps what is there, whatever its size: the caller judges the payload.
  static result<shared_memory> open(const location& where);

  // `bytes` and `mode` count only if it has to be created: see created().
  static result<shared_memory> open_or_create(const location& where, std::size_t bytes, mode_t mode,
                                              const initialiser& initialise, extent growing = {});

  // Maps the segment behind a descriptor that was inherited or received. Takes a
  // duplicate: the caller's descriptor remains the caller's. errc::foreign unless it
  // is a memfd sealed against shrinking, as those are that create makes: whoever
  // sent it can't take its pages away.
  static result<shared_memory> adopt(int descriptor);

  // Takes the name away; those who map the segment keep it.
  static result<done> unlink(const location& where);

  shared_memory(shared_memory&& other) noexcept;
  shared_memory& operator=(shared_memory&& other) noexcept;
  ~shared_memory();

  // What is to be found from base() on by whoever touches the segment once it has been
  // truncated, zeroed before `initialise` writes to it; zeros until this is called.
  // It is this process's alone, in the place of the whole mapping: see truncation_guard.
  void if_truncated(const initialiser& initialise);
  // Whether that has happened here.
  bool cut_off() const noexcept { return guard_.cut_off(); }

  // Whether the kernel can commit what grows (pages.h): errc::limit if not.
  result<done> check_growth() const;

  // Enters every page into this process's tables: no access faults later on, however the
  // segment was opened. (That there is room for each is seen to at creation, in any case.)
  // Costs about as long as writing to all of it.
  result<done> prefault();

  // Makes of the segment's pages such of two megabytes, as many as it holds in full, and enters
  // them as `prefault` does. errc::bad_argument if it is smaller, or System V; errc::limit or
  // no_space if the kernel can't: it needs Linux 6.1, and memory in one piece. The segment
  // stays usable as it was.
  result<done> use_huge_pages();

  void* base() const noexcept;
  std::size_t size() const noexcept;
  int descriptor() const noexcept { return descriptor_; }  // -1 for sysv and anonymous; close-on-exec
  bool created() const noexcept { return created_; }       // this call ran `initialise`
  const location& where() const noexcept { return where_; }

 private:
  enum class intent : std::uint8_t { open, create, open_or_create };

  // What to create.
  struct plan {
    std::size_t bytes;
    mode_t mode;
    const initialiser& initialise;
    extent growing;

    std::size_t fixed() const noexcept { return bytes - (growing.to - growing.from); }  // reserved at once
  };

  explicit shared_memory(location where) noexcept;

  static result<shared_memory> obtain(intent, const location&, const plan&);
  static result<shared_memory> obtain_posix(intent, const location&, const plan&);
  static result<shared_memory> obtain_sysv(intent, const location&, const plan&);
  static result<shared_memory> open_posix(const location&);
  static result<shared_memory> create_posix(const location&, const plan&);
  static result<shared_memory> create_anonymous(const location&, const plan&);
  static result<shared_memory> create_memfd(const location&, const plan&);

  result<done> allocate_and_map(const plan& what);  // of descriptor_
  result<done> map(std::size_t length);             // likewise
  result<done> map_and_validate();                  // of descriptor_
  result<done> finish(intent why, const plan& what, pid_t creator);
  void initialise_alone(const initialiser& initialise);

  location where_;
  void* mapping_ = nullptr;  // of the preamble
  std::size_t mapped_ = 0;   // bytes, preamble included
  int descriptor_ = -1;
  bool created_ = false;
  truncation_guard guard_;
};

}  // namespace millrace

#endif  // MILLRACE_SHARED_MEMORY_H_

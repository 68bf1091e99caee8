// A pool of workers, one of which is killed in the middle of a job: another does that job again.
// A job is released when it is done, not when it is taken. So each is done at least once: a
// worker that is killed after it has answered, and before it has released, leaves it to be done
// twice, which whoever collects the answers has to bear.
#include <set>

#include "examples/example.h"
#include "millrace/channel.h"

using namespace std::chrono_literals;

struct job {
  int number;
};
struct answer {
  int job;
  int square;
};

int main(int argc, char** argv) {
  millrace::command_line command("work_pool", "Three workers do ten jobs; whoever takes the third is killed with it.");
  const example::worker one(command, argc, argv);

  // Workers come and go, also all at once: that is no end here.
  const millrace::ring_options options{.capacity = 16, .members = 8, .keep_open = true};
  auto jobs = example::need(millrace::channel<job>::create(millrace::location::anonymous(), options));
  auto answers = example::need(millrace::channel<answer>::create(millrace::location::anonymous(), options));

  example::family pool;
  for (const char worker : {'A', 'B', 'C'}) {
    pool.start([&] {
      auto in = example::need(jobs.attach_receiver());
      auto out = example::need(answers.attach_sender());
      while (const auto j = in.peek()) {
        const bool again = j.why() == millrace::status::redelivered;
        example::say("{} {} job {}", worker, again ? "takes over" : "takes", j->number);
        one.works(300ms);
        if (j->number == 3 && !again) ::raise(SIGKILL);
        if (out.push({j->number, j->number * j->number}) != millrace::status::ok) return;
      }  // released: nobody else will get it
    });
  }

  auto out = example::need(jobs.attach_sender());
  auto in = example::need(answers.attach_receiver());
  for (int i = 1; i <= 10; ++i) {
    if (out.push({i}) != millrace::status::ok) return 1;
  }
  std::set<int> squares;
  answer a{};
  while (squares.size() != 10 && in.pop(a) == millrace::status::ok) {
    if (squares.insert(a.square).second) example::say("job {}: {}", a.job, a.square);
  }
  out.close();
  pool.wait();
  example::say("{} jobs are done; jobs done by another: {}", squares.size(), jobs.recovered().messages_redelivered);
}

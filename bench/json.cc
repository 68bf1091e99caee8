#include "bench/json.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

#include "bench/machine.h"

namespace millrace::bench {
namespace {

std::string quoted(std::string_view text) {
  std::string all = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      all += '\\';
      all += c;
    } else if (code < 32) {
      all += fmt::format("\\u{:04x}", code);
    } else {
      all += c;
    }
  }
  return all + '"';
}

std::string number(double value) { return std::isfinite(value) ? fmt::format("{:.6g}", value) : "null"; }

template <class Range, class F>
std::string array(const Range& all, F text) {
  std::string joined;
  for (const auto& one : all) {
    joined += joined.empty() ? '[' : ',';
    joined += text(one);
  }
  return joined.empty() ? "[]" : joined + ']';
}

std::string json(const std::optional<spread>& s) {
  if (!s) return "null";
  return fmt::format(R"({{"median":{},"low":{},"high":{},"count":{}}})", number(s->median), number(s->low),
                     number(s->high), s->count);
}

std::string_view name_of(origin o) {
  switch (o) {
    case origin::ours:
      return "ours";
    case origin::reference:
      return "reference";
    case origin::peer:
      return "peer";
    case origin::kernel:
      return "kernel";
    case origin::limit:
      return "limit";
  }
  return "";
}

std::string_view name_of(task t) {
  switch (t) {
    case task::stream:
      return "stream";
    case task::round_trip:
      return "round trip";
    case task::wake_up:
      return "wake-up";
    case task::idle:
      return "idle";
    case task::alone:
      return "alone";
  }
  return "";
}

std::string_view name_of(waiting w) {
  switch (w) {
    case waiting::yield:
      return "yield";
    case waiting::spin:
      return "spin";
    case waiting::block:
      return "block";
  }
  return "";
}

// [part, ns] pairs.
std::string json(const histogram& h) {
  constexpr std::array parts{0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0};
  if (h.count() == 0) return "null";
  return array(parts, [&](double part) { return fmt::format("[{},{}]", part, h.quantile(part)); });
}

std::string json(const results& r, const outcome& o) {
  return fmt::format(
      R"({{"failed":{},"stuck":{},"steady":{},"sent":{},"received":{},"cold":{},"seconds":{},"rate":{},)"
      R"("lost":{},"doubled":{},)"
      R"("damaged":{},"reordered":{},"least_share":{},"busy":{},"receivers_cpu_seconds":{},"line_before":{},)"
      R"("line_after":{}}})",
      o.failed.empty() ? "null" : quoted(o.failed), o.stuck, r.steady(o), o.sent, o.received, o.cold, number(o.seconds),
      number(o.rate()), o.lost, o.doubled, o.damaged, o.reordered, number(o.least_share), number(o.busy),
      number(o.receivers), number(o.line_before), number(o.line_after));
}

std::string json(const results& r, const series& s, const series* base) {
  return fmt::format(
      R"({{"queue":{},"from":"{}","fault":"{}","figure":{},"base_to_it":{},"instructions":{},"bytes":{},)"
      R"("trips":{},"runs":{}}})",
      quoted(s.who->name), name_of(s.who->from), s.fault(), json(r.figure(s)),
      base == nullptr ? "null" : json(r.ratio(*base, s)),
      s.instructions_a_pair ? number(*s.instructions_a_pair) : "null", s.runs.empty() ? 0 : s.runs.front().bytes,
      json(s.trips()), array(s.runs, [&](const outcome& o) { return json(r, o); }));
}

std::string json(const results& r, const table& t, const cell& c) {
  const work& w = c.at.job;
  return fmt::format(
      R"({{"label":{},"task":"{}","where":"{}","placement":"{}","waiting":"{}","producers":{},"consumers":{},)"
      R"("bytes":{},)"
      R"("capacity":{},"batch":{},"queues":{}}})",
      quoted(c.at.label), name_of(w.what), w.where == place::threads ? "threads" : "processes",
      w.cores == placement::apart ? "apart" : "mixed", name_of(w.how), w.producers, w.consumers, w.bytes, w.capacity,
      w.batch, array(c.all, [&](const series& s) { return json(r, s, c.of(t.what.base)); }));
}

std::string json(const contender& c) {
  return fmt::format(
      R"({{"name":{},"from":"{}","package":{},"installed":{},"between_processes":{},"one_to_one":{},"fifo":{},)"
      R"("note":{}}})",
      quoted(c.name), name_of(c.from), quoted(c.package), c.installed(), c.between_processes, c.one_to_one, c.fifo,
      quoted(c.note));
}

}  // namespace

std::string to_json(const results& r, const std::vector<finding>& findings) {
  return fmt::format(
      "{{\"machine\":{},\n\"passes\":{},\"window_ms\":{},\"realtime\":{},\"usual_line\":{},\n\"bare\":{},\n"
      "\"contenders\":{},\n\"must_show\":{},\n\"sections\":{}}}\n",
      quoted(describe_machine()), r.spent.passes, r.spent.window.count(), r.spent.realtime, number(r.usual_line),
      array(r.bare,
            [](const bare_figure& b) {
              return fmt::format(R"({{"name":{},"unit":{},"figure":{}}})", quoted(b.name), quoted(b.unit),
                                 json(summary(b.passes)));
            }),
      array(r.who, [](const contender& c) { return json(c); }),
      array(findings,
            [](const finding& f) {
              return fmt::format(R"({{"promise":{},"measured":{},"verdict":"{}"}})", quoted(f.promise),
                                 f.measured.empty() ? "null" : quoted(f.measured), to_string(f.is));
            }),
      array(r.tables, [&](const table& t) {
        return fmt::format("\n{{\"key\":{},\"title\":{},\"base\":{},\"columns\":{}}}", quoted(t.what.key),
                           quoted(t.what.title), quoted(t.what.base),
                           array(t.cells, [&](const cell& c) { return json(r, t, c); }));
      }));
}

}  // namespace millrace::bench

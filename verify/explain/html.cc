// A trace as one page to step through: no network, no script needed to read it.
#include <fmt/format.h>

#include "verify/explain/markup.h"
#include "verify/explain/source.h"
#include "verify/explain/trace.h"

namespace verify::explain {
namespace {

// What is put into these texts is put in by fmt::format around them.
constexpr std::string_view style = R"(
:root { color-scheme: light dark;
  --page: #fff; --text: #1f2933; --dim: #52606d; --line: #cbd2d9; --stripe: #f5f7fa; --now: #dbeafe; --edge: #2563a8;
  --held: #c6e6c8; --blame: #b91c1c; --blame-page: #fee2e2; --odd: #92400e; --code: #f5f7fa; --here: #fde68a }
@media (prefers-color-scheme: dark) { :root {
  --page: #14181d; --text: #e4e7eb; --dim: #9aa5b1; --line: #3e4c59; --stripe: #1a2027; --now: #1e3a5f; --edge: #7db4ee;
  --held: #22543d; --blame: #fca5a5; --blame-page: #4a1d1d; --odd: #fcd34d; --code: #1a2027; --here: #5c4a10 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1400px; padding: 1rem 1.5rem 2rem; background: var(--page); color: var(--text);
  font: 16px/1.45 'Liberation Sans', Arial, Helvetica, sans-serif }
h1 { font-size: 1.35rem; margin: 0 0 .25rem }
h2 { font-size: 1.15rem; margin: 0 0 .5rem }
.dim { color: var(--dim); font-size: .85rem; margin: .25rem 0 }
nav { display: flex; gap: .5rem; align-items: center; margin: .75rem 0 }
button { font: inherit; padding: .3rem .8rem; border: 1px solid var(--edge); border-radius: 6px; cursor: pointer;
  background: var(--page); color: var(--text) }
button:focus-visible, a:focus-visible { outline: 3px solid var(--edge); outline-offset: 2px }
main { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 30rem); gap: 1.5rem; align-items: start }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
th, td { padding: .15rem .5rem; text-align: left; border-bottom: 1px solid var(--line) }
tbody tr { height: 46px }
tbody th { width: 2.5rem; text-align: right }
tbody th a { color: inherit; display: block }
td.memory { width: 250px; min-width: 200px; padding: 0 }
td code { display: none }
.js tr.later { opacity: .3 }
tr[aria-current] { background: var(--now); outline: 2px solid var(--edge); outline-offset: -2px }
.blame { color: var(--blame); font-weight: bold }
.remark { color: var(--odd); font-weight: bold; font-size: .85em; display: block }
#steps article { border: 1px solid var(--line); border-radius: 8px; padding: 1rem; margin-bottom: 1rem }
.js .side { position: sticky; top: 1rem }
.js #steps article { display: none; scroll-margin-top: 100vh }
.js #steps article.now { display: block }
.what { font-size: 1.4rem; margin: 0 0 .5rem }
pre { background: var(--code); margin: 0 0 1rem; padding: .5rem 0; font: 12px/1.5 'DejaVu Sans Mono', Consolas, Menlo, monospace;
  border-radius: 6px }
pre span { display: block; padding: 0 .5rem 0 7ch; text-indent: -6ch; white-space: pre-wrap }
pre span.here { background: var(--here) }
pre i { color: var(--dim); font-style: normal }
footer { border-top: 3px solid var(--blame); margin-top: 1rem; padding-top: .5rem; font-size: 1rem }
footer p { margin: .25rem 0 }
svg { display: block; max-width: 100% }
svg text { font-family: 'Liberation Sans', Arial, Helvetica, sans-serif; fill: var(--text) }
.slot { fill: var(--page); stroke: var(--dim) }
.slot.held { fill: var(--held) }
.slot.fresh { stroke: var(--text); stroke-width: 3 }
.name { font-size: 13px; text-anchor: middle }
.name.held { font-weight: bold }
svg text.name:not(.held) { fill: var(--dim) }
.index { font-size: 11px; text-anchor: middle }
.value { font-size: 12px }
@media screen and (max-width: 950px) { main { grid-template-columns: 1fr } .js .side { position: static } td.memory { display: none } }
@page { size: A4; margin: 12mm }
@media print {
  :root { font-size: 11px } body { padding: 0; font-size: 1rem } main { display: block } #steps, nav { display: none }
  tbody tr { height: auto } td.memory { width: 190px } td.memory svg { width: 180px; height: auto }
  tr, footer { break-inside: avoid } .js tr.later { opacity: 1 } tr[aria-current] { background: none; outline: none }
  td code { display: block; font: 8px 'DejaVu Sans Mono', Consolas, Menlo, monospace; color: var(--dim); font-weight: normal }
}
)";

// Written without the characters that XML wants escaped.
constexpr std::string_view script = R"(
document.documentElement.classList.add('js');
const rows = Array.from(document.querySelectorAll('tbody tr'));
const panels = Array.from(document.querySelectorAll('#steps article'));
let now = 0;
function show(step) {
  now = Math.max(0, Math.min(step, rows.length - 1));
  rows.forEach((row, i) => {
    row.classList.toggle('later', Math.sign(i - now) === 1);
    if (i === now) row.setAttribute('aria-current', 'step'); else row.removeAttribute('aria-current');
    panels[i].classList.toggle('now', i === now);
  });
  rows[now].scrollIntoView({ block: 'nearest' });
  history.replaceState(null, '', '#' + panels[now].id);
}
const moves = { first: () => show(0), back: () => show(now - 1), on: () => show(now + 1), last: () => show(rows.length) };
const keys = { Home: 'first', ArrowLeft: 'back', ArrowUp: 'back', ArrowRight: 'on', ArrowDown: 'on', End: 'last' };
document.addEventListener('keydown', event => {
  const plain = ![event.ctrlKey, event.altKey, event.metaKey, event.shiftKey].includes(true);
  const move = plain ? keys[event.key] : undefined;
  if (move) { event.preventDefault(); moves[move](); }
});
document.querySelectorAll('nav button').forEach(b => b.addEventListener('click', () => moves[b.name]()));
rows.forEach((row, i) => row.addEventListener('click', event => { event.preventDefault(); show(i); }));
const asked = () => panels.findIndex(p => '#' + p.id === location.hash);
window.addEventListener('hashchange', () => show(asked()));
document.querySelector('nav').hidden = false;
show(asked());
)";

std::string action_of(const trace_step& s) {
  std::string out = fmt::format("<span{}>{}{}</span>", s.to_blame ? " class=\"blame\"" : "", s.to_blame ? "✗ " : "",
                                escaped(s.action));
  if (!s.remark.empty()) out += fmt::format("<span class=\"remark\">{}</span>", escaped(s.remark));
  return out;
}

std::string memory_of(const picture& p, double scale) {
  return fmt::format("<svg width=\"{}\" height=\"{}\" viewBox=\"0 0 270 46\" aria-hidden=\"true\">{}</svg>",
                     270 * scale, 46 * scale, drawn(p, 4, 0));
}

// For who cannot see the drawing.
std::string memory_in_words(const picture& p) {
  std::string out;
  for (const picture::index& i : p.indices) out += fmt::format("{} = {}. ", i.name, i.value);
  for (std::size_t i = 0; i != p.slots.size(); ++i) {
    const std::string& text = p.slots[i].text;
    out += fmt::format("Slot {}: {}{}. ", i, text == "–" ? "nothing" : text, p.slots[i].held ? ", in the ring" : "");
  }
  return escaped(out);
}

std::string excerpt(const trace_step& s) {
  std::string out = "<pre>";
  for (const numbered_line& l : lines_around(s.file, s.line, 4, 4)) {
    out += fmt::format("<span{}><i>{:>4}</i>  {}</span>", l.number == s.line ? " class=\"here\"" : "", l.number,
                       escaped(l.text));
  }
  return out + "</pre>";
}

std::string table_row(const trace_step& s, std::size_t number, const std::vector<bool>& used) {
  std::string out = fmt::format("<tr><th scope=\"row\"><a href=\"#step-{0}\">{0}</a></th>", number);
  for (std::size_t i = 0; i != used.size(); ++i) {
    if (!used[i]) continue;
    out += "<td>";
    if (i == s.column) {
      out += action_of(s) + fmt::format("<code>{}:{} {}</code>", escaped(s.file), s.line, escaped(s.code));
    }
    out += "</td>";
  }
  return out + fmt::format("<td class=\"memory\">{}</td></tr>\n", memory_of(s.after, 1));
}

std::string panel(const trace& t, std::size_t number) {
  const trace_step& s = t.steps[number - 1];
  return fmt::format(
      "<article id=\"step-{}\"><h2>Step {} of {}: {}</h2><p class=\"what\">{}</p><p class=\"dim\">{}, line {}</p>{}{}"
      "<p class=\"dim\">{}</p></article>\n",
      number, number, t.steps.size(), escaped(t.columns[s.column]), action_of(s), escaped(s.file), s.line, excerpt(s),
      memory_of(s.after, 1.4), memory_in_words(s.after));
}

}  // namespace

std::string as_html(const trace& t) {
  const std::vector<bool> used = columns_in_use(t);
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'unsafe-inline'\"/><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<title>{}</title><style>{}</style></head>\n<body><header><h1>{}</h1>"
      "<p class=\"dim\">{}</p></header>\n"
      "<nav hidden=\"hidden\" aria-label=\"Steps\"><button name=\"first\">First</button><button "
      "name=\"back\">Back</button><button name=\"on\">Next</button><button name=\"last\">Last</button>"
      "<span class=\"dim\">or the arrow keys, Home and End</span></nav>\n<main><div><table><thead><tr><th>step</th>",
      escaped(t.what), style, escaped(t.what), legend(t));
  for (std::size_t i = 0; i != used.size(); ++i) {
    if (used[i]) out += fmt::format("<th scope=\"col\">{}</th>", escaped(t.columns[i]));
  }
  out += "<th scope=\"col\">memory after it</th></tr></thead>\n<tbody>\n";
  for (std::size_t i = 0; i != t.steps.size(); ++i) out += table_row(t.steps[i], i + 1, used);
  out +=
      "</tbody></table></div>\n<div class=\"side\"><section id=\"steps\" aria-live=\"polite\" "
      "aria-label=\"The step\">\n";
  for (std::size_t i = 0; i != t.steps.size(); ++i) out += panel(t, i + 1);
  return out + fmt::format(
                   "</section><footer><p><span class=\"blame\">{}.</span> {}</p><p class=\"dim\">{}</p></footer>"
                   "</div></main>\n<script>{}</script></body></html>\n",
                   escaped(t.verdict), escaped(t.ending), escaped(t.search), script);
}

}  // namespace verify::explain

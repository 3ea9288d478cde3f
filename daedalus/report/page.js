// What all parts of the page's script use, and the heat map of steps by days.

const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const days = data.days, heat = at("heat"), signs = JSON.parse(heat.dataset.signs);
const view = { first: 0, last: days.length - 1, step: "", measure: "state" };

// How numbers are written; page.py has the same.
const grouped = (value, digits) => value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const none = (value) => value === null || value === undefined;
const count = (value) => (none(value) ? "–" : grouped(value, 0));
const seconds = (value) => (none(value) ? "–" : value < 0.1 ? (value * 1000).toFixed(1) + " ms" : grouped(value, 2) + " s");
const share = (value) => (none(value) ? "–" : (value * 100).toFixed(1) + " %");
const size = (value) => {
  if (none(value)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  while (value >= 1024 && place < units.length - 1) { value /= 1024; place += 1; }
  return place ? value.toFixed(1) + " " + units[place] : value.toFixed(0) + " B";
};
const figure = (value) => {
  if (none(value)) return "–";
  if (value === 0 || (Math.abs(value) >= 0.01 && Math.abs(value) < 1e7)) return value.toLocaleString("en-US", { maximumFractionDigits: 2 });
  return value.toExponential(2);
};
const written = { seconds, rows: count, bytes: size };

const make = (tag, text, attributes) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  return node;
};
const drawn = (tag) => document.createElementNS(at("strip").namespaceURI, tag);
const shownDays = () => days.map((_, i) => i >= view.first && i <= view.last);
const total = (values) => values.reduce((sum, value, i) => sum + (i >= view.first && i <= view.last && value ? value : 0), 0);

// The heat map

const whole = {
  step: "whole day", states: data.day_states, rows: data.rows, bytes: data.bytes, why: days.map(() => null),
  seconds: days.map((_, i) => data.steps.reduce((sum, row) => sum + (row.seconds[i] || 0), 0)),
};
const rows = [whole, ...data.steps];
const lines = [...heat.tBodies[0].rows];
const cells = lines.map((line) => [...line.cells].slice(1));
const heads = [...heat.tHead.rows[1].cells].slice(1);
let here = { row: 0, day: 0 }, picked = false, chosen = null;

const bucket = (value, low, high) => {
  if (!value) return 1;
  return high > low ? Math.min(5, 1 + Math.floor((4.999 * Math.log(value / low)) / Math.log(high / low))) : 3;
};

function paint() {
  const byState = view.measure === "state";
  const values = byState ? [] : rows.slice(1).flatMap((row) => row[view.measure].slice(view.first, view.last + 1)).filter((value) => value > 0);
  const low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), 0);
  rows.forEach((row, r) => {
    row.states.forEach((state, i) => {
      const cell = cells[r][i];
      cell.removeAttribute("aria-label");
      if (!state) return;
      const value = byState ? null : row[view.measure][i];
      const step = none(value) ? 0 : Math.max(1, bucket(Math.min(value, high), low, high));
      const stale = !byState && state !== "fresh" && state !== "empty" ? " notfresh" : "";
      cell.className = byState ? state : (step ? "b" + step : "") + stale;
      cell.textContent = byState ? signs[state][0] : step || "";
      if (row === whole && breaksOf(i).length) cell.classList.add("broken");
    });
  });
  mark();
  at("legend-state").hidden = !byState;
  at("legend-measure").hidden = byState;
  if (!byState) legend(low, high);
}

function legend(low, high) {
  const list = at("legend-measure");
  list.replaceChildren();
  if (!high) return;
  for (let i = 1; i <= 5; i += 1) {
    const item = make("li");
    const edge = (k) => written[view.measure](low * Math.pow(high / low, k / 5));
    item.append(make("i", i, { class: "key b" + i, "aria-hidden": "true" }), i === 1 ? ` up to ${edge(1)}` : i === 5 ? ` ${edge(4)} to ${edge(5)}` : ` to ${edge(i)}`);
    list.append(item);
  }
  const item = make("li");
  item.append(make("i", "", { class: "key notfresh", "aria-hidden": "true", style: "box-shadow: inset 0 0 0 2px var(--run)" }), " not fresh: what it last was");
  list.append(item);
}

// What of a day is not as expected

const breaks = data.expect ? data.expect.breaks : [];
const band = (row) => (none(row.most) ? `at least ${figure(row.least)}` : none(row.least) ? `at most ${figure(row.most)}` : `${figure(row.least)} to ${figure(row.most)}`);
const breaksOf = (i) => breaks.filter((row) => row.day === days[i]);
const broken = (row) => `${row.column ? row.column + " " : ""}${row.measure} ${none(row.value) ? "has none" : figure(row.value)}, expected ${band(row)}`;

const spoken = (row, i) => `${row.step}, ${days[i]}: ${row.states[i] ? signs[row.states[i]][1] : "no such step on this day"}`;

function go(row, day, focus) {
  cells[here.row][here.day].tabIndex = -1;
  here = { row, day };
  const cell = cells[row][day];
  cell.tabIndex = 0;
  cell.setAttribute("aria-label", spoken(rows[row], day));
  if (focus) {
    cell.focus({ preventScroll: true });
    reveal(cell);
  }
  mark();
}

// Picks a cell: what is known of it is shown, and the address leads to it. `push` makes a step to come back from.
function pick(row, day, focus, push) {
  picked = true;
  go(row, day, focus);
  detail();
  for (const open of document.querySelectorAll(".histogram[open]")) histogram(open);
  keep(push);
}

// Marks the picked cell, and the rows of the steps that it reads and that read it.
function mark() {
  for (const old of heat.querySelectorAll(".at, .reads, .feeds")) old.classList.remove("at", "reads", "feeds");
  if (!picked) return;
  const own = rows[here.row].step;
  cells[here.row][here.day].classList.add("at");
  rows.forEach((row, r) => {
    if (row.step in (data.lineage[own] || {})) lines[r].cells[0].classList.add("reads");
    if (own in (data.lineage[row.step] || {})) lines[r].cells[0].classList.add("feeds");
  });
}

function reveal(cell) {
  const box = heat.parentElement, edge = lines[0].cells[0].offsetWidth;
  const left = cell.offsetLeft - edge - 4, right = cell.offsetLeft + cell.offsetWidth + 4;
  if (left < box.scrollLeft) box.scrollLeft = left;
  else if (right > box.scrollLeft + box.clientWidth) box.scrollLeft = right - box.clientWidth;
  cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (left < box.scrollLeft) box.scrollLeft = left;
}

const brief = (value) => (none(value) ? "nothing" : String(value).length > 200 ? String(value).slice(0, 200) + "…" : String(value));

function causeItems(why, follow) {
  return why.flatMap((cause) => {
    const item = make("li");
    if (cause.kind === "missing" || cause.kind === "more") item.append(cause.what);
    else if (cause.kind === "failed") item.append(make("span", "failed", { class: "kind" }), " ", cause.what);
    else if (cause.kind === "upstream") item.append("downstream of ", make("code", cause.what));
    else {
      item.append(make("span", cause.kind, { class: "kind" }), " ", make("code", cause.what), " ");
      if (!cause.diff || !cause.diff.length) item.append(make("del", brief(cause.old)), " → ", make("ins", brief(cause.new)));
      else item.append(make("pre", cause.diff.join("\n"), { tabindex: "0" }));
    }
    if (cause.kind === "upstream" && follow) {
      const above = whyOf(cause.what);
      if (above) item.append(list(causeItems(above, false)));
    }
    return [item];
  });
}

function list(items) {
  const made = make("ul");
  made.append(...items);
  return made;
}

function whyOf(name) {
  const cut = name.lastIndexOf("@"), step = cut < 0 ? name : name.slice(0, cut);
  const none_ = data.of_no_day.find((row) => cut < 0 && row.step === step);
  if (none_) return none(none_.why) ? null : data.whys[none_.why];
  const row = data.steps.find((found) => found.step === step), i = days.indexOf(name.slice(cut + 1));
  return row && i >= 0 && !none(row.why[i]) ? data.whys[row.why[i]] : null;
}

// The command that answers more

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function asked(row, i, state) {
  const whole_day = row === whole || state !== "fresh" || /\+\d+d$/.test(row.step);
  const command = whole_day ? `daeda explain day ${days[i]}` : `daeda explain step ${days[i]} ${quoted(row.step)}`;
  const line = make("p", undefined, { class: "command" });
  line.append(make("code", command + data.options), " ", make("button", "Copy", { type: "button", class: "copy" }));
  return line;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { /* not allowed, or no such thing: the old way */ }
  const box = make("textarea", undefined, { class: "said", readonly: "" });
  box.value = text;
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  return done;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest(".copy");
  if (!button) return;
  const done = await copied(button.parentElement.querySelector("code").textContent);
  button.textContent = done ? "Copied" : "Not copied: select it";
  button.focus({ preventScroll: true });
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});

// Which steps feed a step, and which it feeds

function fed(step) {
  const above = Object.entries(data.lineage[step] || {}), below = Object.entries(data.lineage).filter(([, reads]) => step in reads);
  const lists = [["reads", above], ["feeds", below.map(([name, reads]) => [name, reads[step]])]];
  return lists.filter(([, found]) => found.length).map(([what, found]) => {
    const line = make("p", undefined, { class: "fed" });
    line.append(make("span", `${what} `, { class: "muted" }));
    for (const [name, n] of found) {
      const place = rows.findIndex((row) => row.step === name), label = n > 1 ? `${name} × ${n} days` : name;
      if (place < 0) line.append(make("code", label), " ");
      else line.append(make("button", label, { type: "button", class: "jump", "data-row": place }), " ");
    }
    return line;
  });
}

function detail() {
  const row = rows[here.row], i = here.day, state = row.states[i], panel = at("detail");
  panel.hidden = false;
  panel.replaceChildren(make("h3", `${row.step}, ${days[i]}`));
  if (!state) {
    panel.append(make("p", "There is no such step on this day."));
    return;
  }
  const line = make("p");
  line.append(make("i", signs[state][0], { class: "key " + state, "aria-hidden": "true" }), ` ${signs[state][1]}. `);
  line.append(make("span", `${seconds(row.seconds[i])}, ${count(row.rows[i])} rows, ${size(row.bytes[i])}`, { class: "muted" }));
  panel.append(line);
  let why = none(row.why[i]) ? [] : data.whys[row.why[i]];
  if (row === whole) {
    const chunk = data.steps.find((found) => found.step === "chunk");
    why = chunk && !none(chunk.why[i]) ? data.whys[chunk.why[i]] : [];
  }
  if (row === whole && breaksOf(i).length) panel.append(make("h4", "Not as expected"), list(breaksOf(i).map((one) => make("li", broken(one)))));
  if (why.length) panel.append(list(causeItems(why, true)));
  panel.append(asked(row, i, state));
  if (row !== whole) panel.append(...fed(row.step));
}

const visible = () => rows.map((row, r) => r).filter((r) => !lines[r].hidden);

heat.addEventListener("keydown", (event) => {
  if (event.altKey || event.metaKey) return;
  const seen = visible(), place = seen.indexOf(here.row);
  const within = (day) => Math.max(view.first, Math.min(view.last, day));
  const up = (by) => seen[Math.max(0, Math.min(seen.length - 1, place + by))];
  const moves = {
    ArrowLeft: () => [here.row, within(here.day - 1)], ArrowRight: () => [here.row, within(here.day + 1)],
    ArrowUp: () => [up(-1), here.day], ArrowDown: () => [up(1), here.day],
    PageUp: () => [here.row, within(here.day - 7)], PageDown: () => [here.row, within(here.day + 7)],
    Home: () => [event.ctrlKey ? seen[0] : here.row, view.first],
    End: () => [event.ctrlKey ? seen[seen.length - 1] : here.row, view.last],
  };
  if (!moves[event.key]) return;
  event.preventDefault();
  pick(...moves[event.key](), true, false);
});
const placeOf = (target) => {
  const cell = target.closest("tbody td");
  return cell ? [lines.indexOf(cell.parentElement), cell.cellIndex - 1] : null;
};
heat.addEventListener("click", (event) => {
  const place = placeOf(event.target);
  if (place) pick(...place, true, true);
});
const toDay = (i) => pick(0, Math.max(view.first, Math.min(view.last, i)), true, true);
document.addEventListener("click", (event) => {
  const jump = event.target.closest(".jump");
  if (!jump) return;
  if (jump.dataset.row) pick(Number(jump.dataset.row), here.day, true, true);
  else toDay(days.indexOf(jump.dataset.day));
});

"use strict";
(() => {
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
  let here = { row: 0, day: 0 };

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
      });
    });
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
      detail();
    }
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
        item.append(make("del", brief(cause.old)), " → ", make("ins", brief(cause.new)));
        if (cause.diff && cause.diff.length) item.append(make("pre", cause.diff.join("\n"), { tabindex: "0" }));
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
    if (why.length) panel.append(list(causeItems(why, true)));
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
    go(...moves[event.key](), true);
  });
  const placeOf = (target) => {
    const cell = target.closest("tbody td");
    return cell ? [lines.indexOf(cell.parentElement), cell.cellIndex - 1] : null;
  };
  heat.addEventListener("click", (event) => {
    const place = placeOf(event.target);
    if (place) go(...place, true);
  });
  heat.addEventListener("focusin", (event) => { if (placeOf(event.target)) detail(); });
  heat.addEventListener("pointerover", (event) => {
    const place = placeOf(event.target);
    if (place) event.target.closest("td").title = spoken(rows[place[0]], place[1]);
  });
  const toDay = (i) => go(0, Math.max(view.first, Math.min(view.last, i)), true);
  for (const jump of document.querySelectorAll(".jump")) jump.addEventListener("click", () => toDay(days.indexOf(jump.dataset.day)));
  at("strip").addEventListener("click", (event) => {
    const box = at("strip").getBoundingClientRect();
    toDay(view.first + Math.floor(((event.clientX - box.left) / box.width) * (view.last - view.first + 1)));
  });
  at("measure").addEventListener("change", (event) => {
    view.measure = event.target.value;
    paint();
    go(here.row, here.day, false);
  });

  // The filters

  const cards = [...at("cards").children];

  function months() {
    const line = heat.tHead.rows[0];
    line.replaceChildren(line.cells[0]);
    for (let i = view.first, n; i <= view.last; i += n) {
      const month = days[i].slice(0, 7);
      for (n = 1; i + n <= view.last && days[i + n].startsWith(month); ) n += 1;
      const cell = make("td", undefined, { colspan: n });
      cell.append(make("span", month));
      line.append(cell);
    }
  }

  function filterDays() {
    const shown = shownDays();
    shown.forEach((on, i) => {
      heads[i].hidden = !on;
      for (const line of cells) line[i].hidden = !on;
    });
    months();
    const box = `${view.first} 0 ${view.last - view.first + 1} 40`;
    for (const chart of document.querySelectorAll("svg.spark")) chart.setAttribute("viewBox", box);
    [...at("funnel-days").tBodies[0].rows].forEach((row, i) => { row.hidden = !shown[i]; });
    for (const open of document.querySelectorAll(".values[open]")) values(open);
  }

  const bar = (cell, part, all) => {
    cell.children[0].style.setProperty("--part", all ? part / all : 0);
    cell.children[1].textContent = all ? share(part / all) : "–";
  };

  function funnel() {
    const first = total(data.funnel[0].rows);
    [...at("funnel-totals").tBodies[0].rows].forEach((row, i) => {
      const left = total(data.funnel[i].rows);
      row.cells[1].textContent = count(left);
      bar(row.cells[2], left, first);
    });
  }

  function costs() {
    const found = data.steps.map((row) => ({ step: row.step, count: total(row.states.map((state) => (state ? 1 : 0))), seconds: total(row.seconds), bytes: total(row.bytes) }));
    for (const row of data.of_no_day) found.push({ step: row.step, count: 1, seconds: row.seconds || 0, bytes: row.bytes || 0 });
    const shown = found.filter((row) => matches(row.step));
    const sum = (key) => shown.reduce((all, row) => all + row[key], 0);
    const all = { count: sum("count"), seconds: sum("seconds"), bytes: sum("bytes") };
    [...at("costs").tBodies[0].rows].forEach((line, i) => {
      const row = found[i];
      line.hidden = !matches(row.step);
      line.cells[1].textContent = count(row.count);
      line.cells[2].textContent = seconds(row.seconds);
      bar(line.cells[3], row.seconds, all.seconds);
      line.cells[4].textContent = size(row.bytes);
      bar(line.cells[5], row.bytes, all.bytes);
    });
    const foot = at("costs").tFoot.rows[0].cells;
    foot[1].textContent = count(all.count);
    foot[2].textContent = seconds(all.seconds);
    foot[4].textContent = size(all.bytes);
  }

  const matches = (step) => step.toLowerCase().includes(view.step);

  function filterColumns() {
    const wanted = at("column").value.trim().toLowerCase(), marked = at("marked").checked;
    for (const card of cards) {
      const column = data.columns[card.dataset.i];
      card.hidden = !column.name.toLowerCase().includes(wanted) || (marked && !(column.departs && column.departs.marked));
    }
  }

  function order() {
    const times = (card) => (data.columns[card.dataset.i].departs || { times: -1 }).times;
    const sorted = [...cards];
    if (at("order").value === "departs") sorted.sort((a, b) => times(b) - times(a));
    at("cards").append(...sorted);
  }

  function apply() {
    const bound = (id, otherwise) => {
      const found = days.indexOf(at(id).value);
      return found < 0 ? otherwise : found;
    };
    view.first = bound("from", 0);
    view.last = Math.max(view.first, bound("to", days.length - 1));
    view.step = at("step").value.trim().toLowerCase();
    rows.forEach((row, r) => { lines[r].hidden = r > 0 && !matches(row.step); });
    filterDays();
    filterColumns();
    funnel();
    costs();
    if (view.measure !== "state") paint();
    const seen = visible();
    go(seen.includes(here.row) ? here.row : seen[0], Math.max(view.first, Math.min(view.last, here.day)), false);
    const open = cards.filter((card) => !card.hidden).length;
    at("shown").textContent = `${view.last - view.first + 1} of ${days.length} days, ${seen.length - 1} of ${data.steps.length} steps, ${open} of ${cards.length} columns`;
  }

  at("filters").addEventListener("input", apply);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("filters").addEventListener("reset", () => setTimeout(apply));
  at("marked").addEventListener("change", apply);
  at("order").addEventListener("change", order);

  // Columns: the values behind the charts, made when asked for

  const SHARES = ["nulls", "empty", "top", "odd"];

  function values(box) {
    const column = data.columns[box.closest(".card").dataset.i], names = Object.keys(column.measures);
    const table = make("table"), head = make("tr");
    table.append(make("caption", `${column.name} by day`, { class: "said" }), make("thead"), make("tbody"));
    head.append(make("th", "day", { scope: "col" }), ...names.map((name) => make("th", name === "top" ? "commonest" : name, { scope: "col", class: "n" })));
    if (column.top) head.append(make("th", "commonest values", { scope: "col" }));
    table.tHead.append(head);
    for (let i = view.first; i <= view.last; i += 1) {
      const line = make("tr");
      line.append(make("th", days[i], { scope: "row" }));
      for (const name of names) {
        const value = column.measures[name][i], asShare = SHARES.includes(name) || column.kind === "boolean";
        line.append(make("td", asShare ? share(value) : figure(value), { class: "n" }));
      }
      if (column.top) line.append(make("td", (column.top[i] || []).map(([value, part]) => `${value} ${share(part)}`).join(", ")));
      table.tBodies[0].append(line);
    }
    const scroll = make("div", undefined, { class: "scroll", tabindex: "0", role: "region", "aria-label": `Values of ${column.name} by day` });
    scroll.append(table);
    box.querySelector(".scroll")?.remove();
    box.append(scroll);
  }
  for (const box of document.querySelectorAll(".values")) box.addEventListener("toggle", () => { if (box.open) values(box); });

  // Light and dark

  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const remembered = (value) => {
    try {
      if (value) localStorage.setItem("daeda-theme", value);
      return localStorage.getItem("daeda-theme");
    } catch { return null; }
  };
  const named = () => { at("theme").textContent = isDark() ? "☀ Light" : "☾ Dark"; };
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  at("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered(root.dataset.theme);
    named();
  });
  dark.addEventListener("change", named);
  named();

  for (const id of ["theme", "filters", "measure", "column-controls"]) at(id).hidden = false;
  apply();
  const odd = data.day_states.findIndex((state) => state !== "fresh" && state !== "empty");
  if (odd > 0) {
    go(0, odd, false);
    heat.parentElement.scrollLeft = cells[0][Math.max(0, odd - 3)].offsetLeft - lines[0].cells[0].offsetWidth;
  }
})();

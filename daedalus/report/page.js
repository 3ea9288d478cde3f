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

  // Tips: of the cell or the point of a chart that the pointer is over, or the keyboard on

  const tip = at("tip");
  let hinted = null;

  function hint(target, texts, x, y) {
    if (hinted && hinted !== target) hinted.removeAttribute("aria-describedby");
    hinted = target;
    tip.replaceChildren(...texts.map((text, i) => make(i ? "span" : "b", text)));
    tip.hidden = false;
    target.setAttribute("aria-describedby", "tip");
    const box = tip.getBoundingClientRect(), room = document.documentElement.clientWidth;
    const top = y - box.height - 10;
    tip.style.left = `${Math.max(4, Math.min(room - box.width - 4, x - box.width / 2))}px`;
    tip.style.top = `${top < 4 ? y + 26 : top}px`;
  }

  function unhint() {
    if (hinted) hinted.removeAttribute("aria-describedby");
    tip.hidden = true;
    hinted = null;
    for (const line of document.querySelectorAll(".cross")) line.remove();
  }

  function hintCell(cell) {
    const [r, i] = placeOf(cell), row = rows[r], state = row.states[i], box = cell.getBoundingClientRect();
    const texts = [`${row.step}, ${days[i]}`, state ? signs[state][1] : "no such step on this day"];
    if (state && !none(row.rows[i])) texts.push(`${seconds(row.seconds[i])}, ${count(row.rows[i])} rows, ${size(row.bytes[i])}`);
    if (row === whole && breaksOf(i).length) texts.push(...breaksOf(i).slice(0, 3).map((one) => `not as expected: ${broken(one)}`));
    hint(cell, texts, box.left + box.width / 2, box.top);
  }

  heat.addEventListener("focusin", (event) => {
    if (placeOf(event.target)) hintCell(event.target.closest("td"));
  });
  heat.addEventListener("pointerover", (event) => {
    if (placeOf(event.target)) hintCell(event.target.closest("td"));
  });
  for (const kind of ["focusout", "pointerleave"]) heat.addEventListener(kind, unhint);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") unhint(); });
  addEventListener("scroll", () => { // what the keyboard is on keeps its tip
    if (!hinted || hinted !== document.activeElement) unhint();
    else if (hinted.matches("td")) hintCell(hinted);
    else toPoint(hinted, point.i);
  }, { passive: true });

  // The points of charts

  const written_as = { share, count, hours: (value) => (none(value) ? "–" : figure(value) + " h"), value: figure };

  // What a chart has to tell: how many points, where they begin, and the texts of one.
  function pointsOf(chart) {
    if (chart.dataset.funnel !== undefined) {
      return { first: view.first, size: view.last - view.first + 1, texts: (i) => [days[i], ...data.funnel.map((row) => `${row.step} ${count(row.rows[i])}`)] };
    }
    if (chart.dataset.bins) {
      const found = JSON.parse(chart.dataset.bins);
      return { first: 0, size: found.length, texts: (i) => found[i] };
    }
    const column = data.columns[chart.closest(".card").dataset.i], shown = chart.dataset.measures.split(" ");
    const say = written_as[chart.dataset.unit];
    return {
      first: view.first, size: view.last - view.first + 1,
      texts: (i) => [days[i], column.name, `${shown.map((name) => `${name === "nulls" ? "NULL" : name} ` + say(column.measures[name][i])).join(", ")}`],
    };
  }

  const isChart = "svg[data-measures], svg[data-funnel], svg[data-bins]";
  const charts = () => [...document.querySelectorAll(isChart)].filter((chart) => chart.checkVisibility());
  const point = { chart: null, i: 0 };

  function toPoint(chart, i) {
    const all = pointsOf(chart), box = chart.getBoundingClientRect();
    point.chart = chart;
    point.i = Math.max(all.first, Math.min(all.first + all.size - 1, i));
    for (const line of document.querySelectorAll(".cross")) line.remove();
    const line = drawn("path");
    line.setAttribute("class", "cross");
    line.setAttribute("d", `M${point.i}.5 0V40`);
    chart.append(line);
    hint(chart, all.texts(point.i), box.left + ((point.i - all.first + 0.5) / all.size) * box.width, box.top);
  }

  // One stop for Tab among all charts: the last one that was on, else the first to be seen.
  function oneStop() {
    const seen = charts();
    const stop = seen.includes(point.chart) ? point.chart : seen[0];
    for (const chart of document.querySelectorAll(isChart)) chart.setAttribute("tabindex", chart === stop ? "0" : "-1");
  }

  document.addEventListener("pointermove", (event) => {
    const chart = event.target.closest && event.target.closest(isChart);
    if (!chart) {
      if (hinted && hinted.matches(isChart) && hinted !== document.activeElement) unhint();
      return;
    }
    const box = chart.getBoundingClientRect(), all = pointsOf(chart);
    toPoint(chart, all.first + Math.floor(((event.clientX - box.left) / box.width) * all.size));
  });
  document.addEventListener("click", (event) => {
    const chart = event.target.closest("svg[data-measures], svg[data-funnel]");
    if (chart && point.chart === chart) pick(0, point.i, false, true);
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.matches(isChart)) toPoint(event.target, point.chart && !point.chart.dataset.bins === !event.target.dataset.bins ? point.i : picked ? here.day : view.last);
  });
  document.addEventListener("focusout", (event) => { if (event.target.matches(isChart)) unhint(); });
  document.addEventListener("keydown", (event) => {
    const chart = event.target;
    if (!chart.matches(isChart) || event.altKey || event.metaKey || event.ctrlKey) return;
    const all = pointsOf(chart), seen = charts(), place = seen.indexOf(chart);
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -7, PageDown: 7, Home: -Infinity, End: Infinity };
    if (event.key in steps) toPoint(chart, point.i + steps[event.key]);
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const next = seen[Math.max(0, Math.min(seen.length - 1, place + (event.key === "ArrowUp" ? -1 : 1)))];
      point.chart = chart;
      next.focus();
      oneStop();
    } else if (event.key === "Enter" && !chart.dataset.bins) pick(0, Math.max(all.first, point.i), true, true);
    else return;
    event.preventDefault();
  });
  at("strip").addEventListener("click", (event) => {
    const box = at("strip").getBoundingClientRect();
    toDay(view.first + Math.floor(((event.clientX - box.left) / box.width) * (view.last - view.first + 1)));
  });
  at("measure").addEventListener("change", (event) => {
    view.measure = event.target.value;
    paint();
    go(here.row, here.day, false);
    keep(true);
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
    for (const open of document.querySelectorAll(".histogram[open]")) histogram(open);
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
    oneStop();
    at("shown").textContent = `${view.last - view.first + 1} of ${days.length} days, ${seen.length - 1} of ${data.steps.length} steps, ${open} of ${cards.length} columns`;
  }

  const applied = () => { apply(); keep(false); };
  at("filters").addEventListener("input", applied);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("filters").addEventListener("reset", () => setTimeout(applied));
  at("marked").addEventListener("change", applied);
  at("order").addEventListener("change", () => { order(); keep(false); });

  // A column that is chosen: its card is open on a narrow screen, marked on a wide one

  function choose(card) {
    if (chosen) {
      chosen.classList.remove("open");
      chosen.querySelector(".name").setAttribute("aria-expanded", "false");
    }
    chosen = card;
    if (!card) return;
    card.classList.add("open");
    card.querySelector(".name").setAttribute("aria-expanded", "true");
    oneStop();
  }
  at("cards").addEventListener("click", (event) => {
    const name = event.target.closest(".name");
    if (!name) return;
    const card = name.closest(".card");
    choose(card === chosen ? null : card);
    keep(true);
  });

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

  // Distributions: the shown days in one, with bins as wide as the widest; and the picked day

  const BINS = 24;

  function merged(several) {
    const known = several.filter((one) => one);
    if (!known.length) return null;
    const at_ = (place, one) => Math.floor(place / 2 ** (exponent - one.exponent));
    let exponent = Math.max(...known.map((one) => one.exponent)), first, last;
    for (; ; exponent += 1) {
      first = Math.min(...known.map((one) => at_(one.first, one)));
      last = Math.max(...known.map((one) => at_(one.first + one.counts.length - 1, one)));
      if (last - first <= BINS) break;
    }
    const counts = Array(last - first + 1).fill(0);
    for (const one of known) one.counts.forEach((n, i) => { counts[at_(one.first + i, one) - first] += n; });
    const sum = (side) => known.reduce((all, one) => all + one[side], 0);
    return { exponent, first, counts, below: sum("below"), above: sum("above") };
  }

  function histogram(box) {
    const column = data.columns[box.closest(".card").dataset.i], of = column.histograms;
    box.querySelector("figure")?.remove();
    const all = merged(of.slice(view.first, view.last + 1)), day = picked ? of[here.day] : null;
    const figure_ = make("figure");
    box.append(figure_);
    if (!all) {
      figure_.append(make("figcaption", "There is no value."));
      return;
    }
    // Both in the same bins; a picked day outside the shown ones may have others.
    const blank = (one) => one && { ...one, counts: one.counts.map(() => 0), below: 0, above: 0 };
    const both = [merged([all, blank(day)]), day && merged([blank(all), day])];
    const shares = both.map((one) => one && one.counts.map((n) => n / (one.counts.reduce((a, b) => a + b, 0) + one.below + one.above || 1)));
    const high = Math.max(...shares.flat().filter((part) => part)), size_ = shares[0].length;
    const edge = (i) => figure((both[0].first + i) * 2 ** both[0].exponent);
    const whole_ = column.kind === "list" && both[0].exponent === 0;
    const texts = shares[0].map((part, i) => [whole_ ? `length ${edge(i)}` : `${edge(i)} to ${edge(i + 1)}`, `${share(part)} of the shown days`, ...(shares[1] ? [`${share(shares[1][i])} on ${days[here.day]}`] : [])]);
    const svg = drawn("svg");
    const label = `${column.kind === "list" ? "Lengths" : "Values"} of ${column.name}, from ${edge(0)} to ${edge(size_)}${day ? `, with ${days[here.day]}` : ""}`;
    for (const [key, value] of Object.entries({ class: "bins", viewBox: `0 0 ${size_} 40`, preserveAspectRatio: "none", role: "img", tabindex: "-1", "aria-label": label, "data-bins": JSON.stringify(texts) })) svg.setAttribute(key, value);
    const path = (kind, d) => {
      const made = drawn("path");
      made.setAttribute("class", kind);
      made.setAttribute("d", d);
      svg.append(made);
    };
    const top = (part) => (40 - (36 * part) / high).toFixed(1);
    path("bars-all", shares[0].map((part, i) => `M${i + 0.06} 40V${top(part)}H${i + 0.94}V40Z`).join(""));
    if (shares[1]) path("bars-day", `M0 40${shares[1].map((part, i) => `V${top(part)}H${i + 1}`).join("")}V40`);
    const caption = make("figcaption"), beyond = all.below + all.above;
    caption.append(make("span", `${column.kind === "list" ? "length " : ""}${edge(0)} … ${whole_ ? edge(size_ - 1) : edge(size_)}`, { class: "axis" }), make("span", [day ? `line: ${days[here.day]}` : "pick a day to see it beside", beyond ? `${count(beyond)} further out` : ""].filter((one) => one).join("; ")));
    figure_.append(svg, caption);
  }
  for (const box of document.querySelectorAll(".histogram")) box.addEventListener("toggle", () => { if (box.open) histogram(box); });

  // The address: what is picked, shown and filtered. Reload and Back bring it back, and it can be sent to others.

  const readable = (text) => encodeURIComponent(text).replace(/%(40|3A|2C|2F|5B|5D|2B)/g, (code) => decodeURIComponent(code));

  function address() {
    const found = {}, value = (id, otherwise) => (at(id).value === otherwise ? "" : at(id).value);
    if (picked) found.at = `${rows[here.row] === whole ? "day" : rows[here.row].step}@${days[here.day]}`;
    if (view.measure !== "state") found.show = view.measure;
    found.from = value("from", days[0]);
    found.to = value("to", days[days.length - 1]);
    for (const id of ["step", "column"]) found[id] = value(id, "");
    found.order = value("order", "config");
    if (at("marked").checked) found.marked = "1";
    if (chosen) found.card = data.columns[chosen.dataset.i].name;
    return Object.entries(found).filter(([, text]) => text).map(([key, text]) => `${key}=${readable(text)}`).join("&");
  }

  function keep(push) {
    const text = address(), url = location.href.split("#")[0] + (text ? `#${text}` : "");
    if (url === location.href) return;
    try {
      history[push ? "pushState" : "replaceState"](null, "", url);
    } catch { /* too many at once for the browser: the next one is right */ }
  }

  function restore(reveals) {
    const hash = location.hash.slice(1);
    if (hash && !hash.includes("=")) return; // a section's own
    const found = Object.fromEntries(hash.split("&").filter((part) => part).map((part) => {
      const cut = part.indexOf("=");
      try { return [part.slice(0, cut), decodeURIComponent(part.slice(cut + 1))]; } catch { return ["", ""]; }
    }));
    for (const [id, otherwise] of [["from", days[0]], ["to", days[days.length - 1]]]) at(id).value = days.includes(found[id]) ? found[id] : otherwise;
    for (const id of ["step", "column"]) at(id).value = found[id] || "";
    at("order").value = found.order === "departs" ? "departs" : "config";
    at("marked").checked = found.marked === "1";
    view.measure = ["seconds", "rows", "bytes"].includes(found.show) ? found.show : "state";
    for (const radio of at("measure").querySelectorAll("input")) radio.checked = radio.value === view.measure;
    const cut = (found.at || "").lastIndexOf("@"), step = (found.at || "").slice(0, cut);
    const row = step === "day" ? 0 : rows.findIndex((one) => one.step === step && one !== whole), day = days.indexOf((found.at || "").slice(cut + 1));
    picked = cut > 0 && row >= 0 && day >= 0;
    if (picked) here_(row, day);
    order();
    paint();
    apply();
    choose(cards.find((one) => data.columns[one.dataset.i].name === found.card) || null);
    at("detail").hidden = !picked;
    if (picked) {
      detail();
      const cell = cells[here.row][here.day], box = heat.parentElement;
      box.scrollLeft = Math.max(0, cell.offsetLeft - box.clientWidth / 2);
      if (reveals) cell.scrollIntoView({ block: "center" });
    }
    if (chosen && reveals && !picked) chosen.scrollIntoView({ block: "center" });
  }
  const here_ = (row, day) => { cells[here.row][here.day].tabIndex = -1; here = { row, day }; };
  addEventListener("popstate", () => restore(false));
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", (event) => { // the address keeps what it has
      event.preventDefault();
      document.querySelector(link.getAttribute("href")).scrollIntoView();
    });
  }

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

  root.classList.add("js");
  for (const id of ["theme", "filters", "measure", "column-controls"]) at(id).hidden = false;
  for (const command of document.querySelectorAll(".command")) command.hidden = false;
  apply();
  const odd = data.day_states.findIndex((state) => state !== "fresh" && state !== "empty");
  if (odd > 0) {
    go(0, odd, false);
    heat.parentElement.scrollLeft = cells[0][Math.max(0, odd - 3)].offsetLeft - lines[0].cells[0].offsetWidth;
  }
  if (location.hash.includes("=")) restore(true);
})();

// The filters of days, steps and columns; the values behind the charts of a column, and its card.

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

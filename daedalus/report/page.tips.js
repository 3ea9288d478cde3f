// Tips: of cells, and of the points of charts, by pointer and by keyboard.

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

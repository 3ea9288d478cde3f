// What the pages do beyond links: copy commands, move in the calendar, light up a step's lineage, fetch parts of a page,
// and look every few seconds for runs that are going on. Without it every link and table is there all the same.
"use strict";

const POLL = 3000;

function prepare(root) {
  for (const button of root.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(button.previousElementSibling);
        button.textContent = "selected";
      }
    });
  }
  for (const line of root.querySelectorAll("tr[data-link]")) {
    line.addEventListener("click", () => { if (getSelection().isCollapsed) line.querySelector("a").click(); });
  }
  for (const place of root.querySelectorAll("[data-load]")) load(place);
}

async function load(place) {
  const told = document.createElement("p");
  told.className = "muted";
  told.textContent = "looking …";
  place.prepend(told);
  try {
    const answer = await fetch(place.dataset.load);
    const text = await answer.text();
    const page = new DOMParser().parseFromString(text, "text/html");
    const part = answer.ok ? page.body : page.querySelector("main");
    place.replaceChildren(...part.childNodes);
    prepare(place);
  } catch {
    told.textContent = "no answer: is daeda ui still running?";
  }
}

// The calendar: one day of it can be reached by Tab, the others by arrow keys.
function calendar() {
  const cells = [...document.querySelectorAll("#calendar [data-day]")];
  if (!cells.length) return;
  const places = new Map(cells.map((cell, place) => [cell.dataset.day, place]));
  const urgent = ["failed", "blocked", "unfinished", "stale", "missing"];
  const first = urgent.map((state) => cells.findIndex((cell) => cell.dataset.state === state)).find((at) => at >= 0);
  let current = first ?? cells.length - 1;
  cells.forEach((cell, place) => { cell.tabIndex = place === current ? 0 : -1; });
  document.querySelectorAll("main .controls").forEach((one) => { one.hidden = false; });
  const go = (place) => {
    cells[current].tabIndex = -1;
    current = Math.min(Math.max(place, 0), cells.length - 1);
    cells[current].tabIndex = 0;
    cells[current].focus();
  };
  const ofMonth = (place) => cells.map((cell, at) => at).filter((at) => cells[at].dataset.day.slice(0, 7) === cells[place].dataset.day.slice(0, 7));
  document.getElementById("calendar").addEventListener("keydown", (event) => {
    const at = places.get(event.target.dataset?.day);
    if (at === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    const steps = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - 7, ArrowDown: at + 7, Home: ofMonth(at)[0], End: ofMonth(at).at(-1) };
    if (!(event.key in steps)) return;
    event.preventDefault();
    go(steps[event.key]);
  });
}

// The graph: what a step is made of, and what is made of it, for the step that is pointed at.
function graph() {
  const picture = document.getElementById("graph");
  if (!picture) return;
  const arrows = [...picture.querySelectorAll(".arrow")], nodes = [...picture.querySelectorAll(".node")];
  const follow = (start, from, to) => {
    const seen = new Set([start]);
    for (const id of seen) for (const arrow of arrows) if (arrow.dataset[from] === id) seen.add(arrow.dataset[to]);
    return seen;
  };
  const light = (id) => {
    const above = id ? follow(id, "to", "from") : new Set(), below = id ? follow(id, "from", "to") : new Set();
    const both = (set, arrow) => set.has(arrow.dataset.from) && set.has(arrow.dataset.to);
    nodes.forEach((node) => node.classList.toggle("on", above.has(node.dataset.id) || below.has(node.dataset.id)));
    arrows.forEach((arrow) => arrow.classList.toggle("on", both(above, arrow) || both(below, arrow)));
    picture.parentElement.classList.toggle("some", Boolean(id));
  };
  const at = (event) => event.target.closest?.(".node")?.dataset.id;
  picture.addEventListener("pointerover", (event) => light(at(event)));
  picture.addEventListener("pointerleave", () => light());
  picture.addEventListener("focusin", (event) => light(at(event)));
  picture.addEventListener("focusout", () => light());
  picture.addEventListener("focusin", (event) => event.target.closest(".node")?.scrollIntoView({ block: "nearest", inline: "nearest" }));
}

// Runs that are going on; when one ends, or records changed otherwise, the page is fetched again in place.
let seen = null, going = 0;

async function look() {
  const place = document.getElementById("going-on");
  if (document.visibilityState === "hidden") return;
  try {
    const answer = await fetch(place.dataset.poll);
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const told = page.querySelector("[data-stamp]");
    if (place.textContent.trim() !== told.textContent.trim()) place.replaceChildren(told.cloneNode(true));
    const runs = Number(told.dataset.going), changed = seen !== null && told.dataset.stamp !== seen;
    if (changed && !runs && document.activeElement?.tagName !== "INPUT") await again();
    if (runs || !going) mark(told);
    [seen, going] = [told.dataset.stamp, runs];
    place.dataset.stamp = seen;
    document.title = document.title.replace(/^▸ /, "");
    if (runs) document.title = `▸ ${document.title}`;
  } catch {
    place.textContent = "daeda ui does not answer any more.";
  }
}

function mark(told) {
  for (const run of told.querySelectorAll("[data-days]")) {
    for (const [day, state] of Object.entries(JSON.parse(run.dataset.days))) {
      const cell = document.getElementById(`d${day}`);
      if (!cell || ["empty", "running"].includes(cell.dataset.state) && state !== "done") continue;
      const now = state === "done" ? "fresh" : "running";
      if (cell.dataset.state === now || cell.dataset.state === "fresh" || cell.dataset.state === "empty") continue;
      cell.classList.replace(cell.dataset.state, now);
      cell.dataset.state = now;
      cell.querySelector("i").textContent = now === "fresh" ? "·" : "▸";
      cell.querySelector(".state").textContent = now === "fresh" ? "fresh" : `running: ${state}`;
      cell.title = `${day}: ${now === "fresh" ? "finished by the run that is going on" : `in a run that is going on: ${state}`}`;
    }
  }
}

async function again() {
  const answer = await fetch(location.href), main = document.getElementById("main");
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const held = document.activeElement?.id, open = [...main.querySelectorAll("details[open] > summary")].map((one) => one.textContent);
  main.replaceChildren(...fresh.getElementById("main").childNodes);
  document.title = fresh.title;
  for (const summary of main.querySelectorAll("details > summary")) if (open.includes(summary.textContent)) summary.parentElement.open = true;
  prepare(main);
  calendar();
  graph();
  if (held) document.getElementById(held)?.focus();
}

prepare(document);
calendar();
graph();
look();
setInterval(look, POLL);
document.addEventListener("visibilitychange", look);

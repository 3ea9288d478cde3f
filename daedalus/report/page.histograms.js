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

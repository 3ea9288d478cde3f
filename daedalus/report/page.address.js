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

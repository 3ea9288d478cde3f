// Light and dark; then the page is shown as its address says.

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

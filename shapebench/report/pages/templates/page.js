"use strict";

const { palettes, specs } = JSON.parse(document.getElementById("charts").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const views = new Map(); // of the plots that are drawn, by their names
const chosen = new Map(); // what is chosen in the legends, by the names of the plots

const options = {
  ast: true, // expressions are interpreted: the page's policy forbids eval
  actions: false,
  renderer: "svg",
  defaultStyle: false,
  tooltip: { disableDefaultStyle: true },
};

function paint(view) {
  const palette = palettes[dark.matches ? "dark" : "light"];
  for (const [name, value] of Object.entries(palette)) view.signal(name, value);
  return view.runAsync();
}

async function draw(name, place) {
  const live = place.querySelector(".live");
  place.classList.add("drawn"); // first, since a hidden place has no width to fill
  try {
    const { view } = await vegaEmbed(live, specs[name], options);
    views.set(name, view);
    signal(view, "on_page", true);
    signal(view, "chosen", chosen.get(name) ?? []);
    await paint(view);
    fit(view, live, "vconcat" in specs[name]);
  } catch (error) {
    place.classList.remove("drawn"); // the still picture stays
    console.error(error);
  }
}

function signal(view, name, value) {
  if (name in view.getState({ signals: (known) => known === name }).signals) view.signal(name, value);
}

// A plot keeps the width of its place, also when that was hidden meanwhile. One of several strips counts only what is
// between its axes.
function fit(view, live, strips) {
  const outside = strips ? live.querySelector("svg").width.baseVal.value - view.width() : 0;
  new ResizeObserver(() => {
    if (live.clientWidth > outside) view.width(live.clientWidth - outside).runAsync();
  }).observe(live);
}

// Plots are drawn when they have a place: not while they are folded away, and one after another, so that the page can
// be used meanwhile.
let before = Promise.resolve();
const whenShown = new IntersectionObserver(
  (seen) => {
    for (const { target } of seen.filter((one) => one.isIntersecting)) {
      whenShown.unobserve(target);
      before = before.then(() => draw(target.id, target)).then(() => new Promise((next) => setTimeout(next)));
    }
  },
  { rootMargin: "100000px" },
);
for (const name of Object.keys(specs)) whenShown.observe(document.getElementById(name));

dark.addEventListener("change", () => views.forEach(paint));

// A legend's buttons: none pressed shows all.
function choose(legend, button) {
  button.ariaPressed = String(button.ariaPressed !== "true");
  const buttons = [...legend.querySelectorAll("button")];
  const keys = buttons.filter((one) => one.ariaPressed === "true").map((one) => one.value);
  for (const name of legend.dataset.filters.split(" ")) {
    chosen.set(name, keys);
    views.get(name)?.signal("chosen", keys).runAsync();
  }
}
for (const legend of document.querySelectorAll(".legend")) {
  legend.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button) choose(legend, button);
  });
}
document.documentElement.classList.add("scripted");

// A printed page shows what was folded away.
const folded = () => document.querySelectorAll("details:not([open])");
window.addEventListener("beforeprint", () => folded().forEach((part) => part.toggleAttribute("open", true)));

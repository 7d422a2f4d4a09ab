"use strict";

const { palettes, specs } = JSON.parse(document.getElementById("charts").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");

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

async function draw(name, spec) {
  const figure = document.getElementById(name);
  figure.classList.add("drawn"); // first, since a hidden place has no width to fill
  try {
    const { view } = await vegaEmbed(figure.querySelector(".live"), spec, options);
    dark.addEventListener("change", () => paint(view));
    await paint(view);
  } catch (error) {
    figure.classList.remove("drawn"); // the still picture stays
    console.error(error);
  }
}

for (const [name, spec] of Object.entries(specs)) draw(name, spec);

// A printed page shows what was folded away.
const folded = () => document.querySelectorAll("details:not([open])");
window.addEventListener("beforeprint", () => folded().forEach((part) => part.toggleAttribute("open", true)));

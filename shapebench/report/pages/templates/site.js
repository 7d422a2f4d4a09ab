"use strict";

const form = document.querySelector(".filters");
const choices = [...form.querySelectorAll("select")];
const runs = [...document.querySelectorAll(".runs > li")];

function show() {
  const wanted = choices.filter((choice) => choice.value).map((choice) => [choice.dataset.filter.toLowerCase(), choice.value]);
  for (const run of runs) run.hidden = wanted.some(([name, value]) => run.dataset[name] !== value);
  const shown = runs.filter((run) => !run.hidden).length;
  form.querySelector("[role=status]").textContent = `${shown} of ${runs.length} runs`;
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", show);
form.hidden = false;
show();

"use strict";
{
  const form = document.querySelector("form.filter");
  const output = form.querySelector("output");
  const fold = form.querySelector("button.fold");
  const nothing = document.querySelector("p.nothing");
  const sections = [...document.querySelectorAll("section.stage")];
  const rules = [...document.querySelectorAll("details.rule")];
  const texts = new Map();

  const textOf = (rule) => {
    if (!texts.has(rule)) texts.set(rule, rule.textContent.toLowerCase());
    return texts.get(rule);
  };

  const apply = () => {
    const wanted = new FormData(form);
    const statuses = new Set(wanted.getAll("status"));
    const stage = wanted.get("stage");
    const words = wanted.get("words").toLowerCase().split(/\s+/).filter(Boolean);
    for (const rule of rules) {
      rule.hidden =
        !statuses.has(rule.dataset.status) ||
        (stage !== "" && rule.dataset.stage !== stage) ||
        !words.every((word) => textOf(rule).includes(word));
    }
    for (const section of sections) section.hidden = !section.querySelector("details.rule:not([hidden])");
    const shown = rules.filter((rule) => !rule.hidden).length;
    output.value = `${shown} of ${rules.length} rules`;
    nothing.hidden = shown > 0;
  };

  // Browsers of some years ago do not open a folded part to show the place that the address names.
  const showTarget = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const rule = target?.closest("details.rule");
    if (!rule) return;
    if (rule.hidden) {
      form.reset();
      apply();
    }
    rule.open = true;
    rule.scrollIntoView();
  };

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  fold.addEventListener("click", () => rules.forEach((rule) => (rule.open = false)));
  window.addEventListener("hashchange", showTarget);
  form.hidden = false;
  apply(); // a browser may have kept what was filled in before a reload
  showTarget();
}

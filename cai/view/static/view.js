// Keys, filters and live pages. Every page works without it; what models wrote is never read as markup here.
"use strict";

const find = (selector) => document.querySelector(selector);
const typing = () => /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");

// Lines of a list: j and k.
function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

const keys = {
  j: () => step(1),
  k: () => step(-1),
  n: () => find("a[rel=next]")?.click(),
  p: () => find("a[rel=prev]")?.click(),
  u: () => find("[data-up]")?.click(),
  d: () => document.body.classList.toggle("bare"),
  "/": () => { const box = find("[data-search]"); box?.focus(); box?.select(); },
  "?": () => find("#help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing()) {
    if (event.key === "Escape") document.activeElement.blur();
    return;
  }
  if (find("#help").open) return;
  const button = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key);
  const act = button ? () => button.click() : keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-help]")) keys["?"]();
  if (event.target.closest("[data-diff]")) keys.d();
});

// A form that filters: empty fields stay out of the address, and a choice is taken at once.
for (const form of document.querySelectorAll("form.filters")) {
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (!field.value) field.disabled = true;
  });
  form.addEventListener("change", (event) => { if (event.target.tagName === "SELECT" && form.role === "search") form.requestSubmit(); });
}
window.addEventListener("pageshow", () => { for (const field of document.querySelectorAll("form.filters :disabled")) field.disabled = false; });

find(".tabs [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

// What changes while a run goes on is fetched again, until the server no longer says that it changes.
function follow(id) {
  const section = document.getElementById(id);
  const seconds = Number(section?.dataset.live);
  if (!seconds) return;
  setTimeout(async () => {
    try {
      if (!document.hidden && !section.contains(document.activeElement)) {
        const answer = await fetch(location.href);
        const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
        if (answer.ok && found) document.getElementById(id).replaceWith(found);
      }
    } catch { /* the server is gone for now: asked again */ }
    follow(id);
  }, 1000 * seconds);
}
for (const section of document.querySelectorAll("[data-live]")) follow(section.id);

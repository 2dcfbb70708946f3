// Training curves: one plot a figure, those of a stage with one cursor.
"use strict";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const told = (value) => value == null ? "–" : Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(+value.toPrecision(4));

// As many places as tell neighbouring marks apart.
function marked(value, apart) {
  if (value == null) return "";
  if (value && (Math.abs(value) >= 1e5 || apart < 1e-5)) return value.toExponential(1);
  const places = Math.min(8, Math.max(0, -Math.floor(Math.log10(apart))));
  return value.toFixed(places + (Math.abs(apart * 10 ** places - Math.round(apart * 10 ** places)) > 1e-6 ? 1 : 0));
}

function options(figure, name, stage) {
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "11px system-ui" };
  return {
    width: figure.clientWidth, height: 190,
    scales: { x: { time: false } },
    cursor: { sync: { key: stage }, drag: { x: true, y: false } },
    axes: [{ ...axis, size: 28 }, { ...axis, size: 62, values: (_, ticks, __, ___, apart) => ticks.map((value) => marked(value, apart)) }],
    series: [{ label: "step", value: (_, value) => told(value) },
             { label: name.split("/").pop(), stroke: colour("--blue"), width: 1.5, spanGaps: true, points: { show: undefined, size: 5 }, value: (_, value) => told(value) }],
  };
}

async function draw(section) {
  const answer = await fetch(section.dataset.curves);
  if (!answer.ok) return;
  const { steps, series } = await answer.json();
  for (const figure of section.querySelectorAll("figure[data-curve]")) {
    const name = figure.dataset.curve;
    if (!(name in series) || !figure.clientWidth) continue;
    const data = [steps, series[name]];
    if (figure.plot) figure.plot.setData(data);
    else figure.plot = new uPlot(options(figure, name, section.dataset.curves), data, figure);
  }
}

for (const section of document.querySelectorAll("[data-curves]")) {
  draw(section);
  for (const details of section.querySelectorAll("details")) details.addEventListener("toggle", () => draw(section));
  if (section.dataset.every) setInterval(() => { if (!document.hidden) draw(section); }, 1000 * Number(section.dataset.every));
}

let waiting;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    for (const figure of document.querySelectorAll("figure[data-curve]")) figure.plot?.setSize({ width: figure.clientWidth, height: 190 });
  }, 150);
});

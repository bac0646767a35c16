// Two things need a script: filtering the gallery, and reading a moment of a ribbon. Without it the page
// shows everything.
"use strict";

(function gallery() {
  const filters = document.querySelector(".filters");
  if (!filters) return;
  const cards = [...document.querySelectorAll(".card")];
  const more = document.querySelector(".more");
  const shown = document.querySelector(".shown");
  const chosen = {};
  const step = 12;
  let limit = step;

  function draw() {
    const fitting = cards.filter((card) =>
      Object.entries(chosen).every(([name, value]) => !value || card.dataset[name] === value));
    const visible = new Set(fitting.slice(0, limit));
    cards.forEach((card) => { card.hidden = !visible.has(card); });
    more.hidden = visible.size === fitting.length;
    shown.textContent = fitting.length
      ? `${visible.size} of ${fitting.length} examples` : "No example fits these choices.";
  }

  filters.hidden = false;
  filters.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const group = button.closest("fieldset");
    group.querySelectorAll("button").forEach((other) =>
      other.setAttribute("aria-pressed", String(other === button)));
    chosen[group.dataset.filter] = button.value;
    limit = step;
    draw();
  });
  more.addEventListener("click", () => {
    const first = cards.filter((card) => !card.hidden).length;
    limit += step;
    draw();
    const next = cards.filter((card) => !card.hidden)[first];
    if (next) { next.tabIndex = -1; next.focus({ preventScroll: true }); }
  });
  draw();
})();

document.querySelectorAll(".tracks").forEach(function ribbon(tracks) {
  const { truth, said, labels } = Object.fromEntries(
    ["truth", "said", "labels"].map((name) => [name, JSON.parse(tracks.dataset[name])]));
  const duration = Number(tracks.dataset.duration);
  const output = tracks.closest("figure").querySelector("output");
  const band = tracks.querySelector(".band");
  const cursor = document.createElement("i");
  cursor.className = "cursor";
  cursor.hidden = true;
  tracks.append(cursor);
  let time = 0;

  const name = (label) => label >= 0 ? `${label + 1} ${labels[label]}`
    : label === -1 ? "unparsed" : "no prediction";
  const at = (runs) => runs.find(([start, end]) => start <= time && time < end);

  function show(to) {
    time = Math.min(Math.max(to, 0), duration - 1e-3);
    const [wanted, given] = [at(truth), at(said)];
    cursor.hidden = false;
    cursor.style.left = `${band.offsetLeft + band.offsetWidth * time / duration}px`;
    output.textContent = "";
    if (!wanted) { output.textContent = `${time.toFixed(0)} s: not annotated`; return; }
    output.append(`${Math.floor(time)} s: ${name(wanted[2])}`);
    if (given && given[2] !== wanted[2]) {
      const bad = document.createElement("b");
      bad.className = "bad";
      bad.textContent = `, predicted ${name(given[2])}`;
      output.append(bad);
    }
  }
  function hide() { cursor.hidden = true; output.textContent = ""; }

  tracks.addEventListener("pointermove", (event) => {
    const box = band.getBoundingClientRect();
    show((event.clientX - box.left) / box.width * duration);
  });
  tracks.addEventListener("pointerleave", hide);
  tracks.addEventListener("blur", hide);
  tracks.addEventListener("focus", () => { if (tracks.matches(":focus-visible")) show(time); });
  tracks.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }[event.key];
    const jump = { Home: 0, End: duration }[event.key];
    if (move === undefined && jump === undefined) return;
    event.preventDefault();
    show(jump ?? time + move * Math.max(1, duration / 200));
  });
});

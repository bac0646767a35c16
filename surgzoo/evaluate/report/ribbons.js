// Reading a moment of a ribbon, with the pointer or the arrow keys.
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

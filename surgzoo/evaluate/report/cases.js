// The gallery of cases: filter, search, order, and a case opened in a dialog.
(function cases() {
  const gallery = document.querySelector(".gallery");
  if (!gallery) return;
  const cards = [...gallery.querySelectorAll(".card")];
  const form = document.querySelector(".filters");
  const more = document.querySelector(".more");
  const shown = document.querySelector(".shown");
  const texts = new Map(cards.map((card) =>
    [card, card.querySelector(".words").textContent.toLowerCase()]));
  const step = 12;
  let limit = step;

  function fits(card, chosen) {
    return [...chosen].every(([name, value]) => {
      if (!value || name === "order") return true;
      if (name === "text") return findsAll(value.trim(), texts.get(card));
      // A card of several models names those that are right, and those that are wrong.
      if (name === "right" || name === "wrong") return card.dataset[name].split(" | ").includes(value);
      return card.dataset[name] === value;
    });
  }

  function draw() {
    const chosen = new FormData(form);
    const fitting = cards.filter((card) => fits(card, chosen));
    const order = chosen.get("order");
    if (order) {
      const sign = order === "up" ? 1 : -1;
      fitting.sort((a, b) => sign * (a.dataset.quality - b.dataset.quality));
    }
    const visible = fitting.slice(0, limit);
    cards.forEach((card) => { card.hidden = true; });
    visible.forEach((card) => { card.hidden = false; });
    gallery.append(...fitting, ...cards.filter((card) => !fitting.includes(card)));
    more.hidden = visible.length === fitting.length;
    shown.textContent = fitting.length
      ? `${visible.length} of ${fitting.length} cases` : "No case fits these choices.";
  }

  const restart = () => { limit = step; draw(); };
  form.hidden = false;
  form.addEventListener("input", restart);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(restart));  // after the controls have changed
  more.addEventListener("click", () => {
    const first = visibleCards().length;
    limit += step;
    draw();
    visibleCards()[first]?.querySelector(".open").focus({ preventScroll: true });
  });
  const visibleCards = () => [...gallery.children].filter((card) => !card.hidden);

  // ---- one case, opened ----

  const dialog = document.querySelector("dialog.case");
  const [heading, where, body] = [".case-head h2", ".case-place", ".case-body"].map((part) =>
    dialog.querySelector(part));
  const [previous, next] = [".previous", ".next"].map((part) => dialog.querySelector(part));
  let current = null;
  let opener = null;

  function fill(card) {
    current = card;
    const [frame, words] = [".frame", ".words"].map((part) =>
      card.querySelector(part).cloneNode(true));
    words.querySelector(".open").remove();
    heading.textContent = card.querySelector(".where b").textContent;
    words.querySelector(".where b").remove();
    body.replaceChildren(frame, words);
    const list = visibleCards();
    const place = list.indexOf(card);
    where.textContent = place < 0 ? "" : `${place + 1} of ${list.length}`;
    previous.disabled = place <= 0;
    next.disabled = place < 0 || place === list.length - 1;
    body.scrollTop = 0;
  }
  function open(card, button) {
    opener = button;
    fill(card);
    dialog.showModal();
  }
  function move(by) {
    const card = visibleCards()[visibleCards().indexOf(current) + by];
    if (!card || visibleCards().indexOf(current) < 0) return;
    fill(card);
    opener = card.querySelector(".open");  // focus returns to the case that was looked at last
  }

  cards.forEach((card) => {
    const button = card.querySelector(".open");
    button.hidden = false;
    button.addEventListener("click", () => open(card, button));
    card.querySelector(".frame").addEventListener("click", () => open(card, button));
  });
  document.querySelectorAll(".open-case").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () =>
      open(cards.find((card) => card.dataset.id === button.dataset.id), button));
  });
  previous.addEventListener("click", () => move(-1));
  next.addEventListener("click", () => move(1));
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") move(-1);
    if (event.key === "ArrowRight") move(1);
  });
  dialog.addEventListener("close", () => {
    body.replaceChildren();
    opener.focus();
  });

  draw();
})();

// The page is whole without a script; scripts sort tables, filter and open cases, and read ribbons.
"use strict";

// Order of two cells: numbers by size, words by the alphabet, what is empty last either way.
function compareCells(a, b, down) {
  const [noA, noB] = [a === "", b === ""];
  if (noA || noB) return noA - noB;
  const [x, y] = [Number(a), Number(b)];
  const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  return down ? -order : order;
}

// Every word of the search is somewhere in the text.
function findsAll(search, text) {
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

const tableRoles = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TR: "row", TD: "cell" };

document.querySelectorAll("table.stack").forEach((table) => {
  // On a phone the rows are laid out as blocks; browsers then forget that this is a table.
  [table, ...table.querySelectorAll("thead, tbody, tr, td, th")].forEach((part) => {
    part.setAttribute("role", tableRoles[part.tagName]
      ?? (part.scope === "row" ? "rowheader" : "columnheader"));
  });
});

document.querySelectorAll("table.sortable").forEach((table) => {
  const rows = [...table.tBodies].flatMap((body) => [...body.rows].map((row) => ({ row, body })));
  const heads = [...table.tHead.rows[0].cells];
  if (rows.length < 2) return;

  function sort(head, column) {
    const numeric = head.classList.contains("num");
    const steps = numeric ? ["descending", "ascending", null] : ["ascending", "descending", null];
    const now = steps[(steps.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    table.classList.toggle("sorted", now !== null);
    if (now === null) { rows.forEach(({ row, body }) => body.append(row)); return; }
    head.setAttribute("aria-sort", now);
    const value = ({ row }) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
    [...rows].sort((a, b) => compareCells(value(a), value(b), now === "descending"))
      .forEach(({ row }) => table.tBodies[0].append(row));
  }

  heads.forEach((head, column) => {
    if (head.classList.contains("unsorted")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(head, column));
  });
});

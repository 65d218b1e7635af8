// Sorts a table by the column whose heading is pressed. Without it the page is whole.
for (const th of document.querySelectorAll("table.sortable th")) {
  const b = document.createElement("button");
  b.textContent = th.textContent;
  th.replaceChildren(b);
  b.addEventListener("click", () => {
    const body = th.closest("table").tBodies[0];
    const i = th.cellIndex, number = th.classList.contains("num");
    const down = th.ariaSort ? th.ariaSort === "ascending" : number;
    for (const other of th.parentNode.children) other.ariaSort = null;
    th.ariaSort = down ? "descending" : "ascending";
    const key = (r) => (number ? Number(r.cells[i].dataset.v) : r.cells[i].textContent.toLowerCase());
    const rows = [...body.rows].filter((r) => !r.classList.contains("rest"));
    rows.sort((a, b) => { const x = key(a), y = key(b); return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1); });
    body.prepend(...rows);
  });
}

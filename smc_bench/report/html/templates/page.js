"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  document.documentElement.classList.add("js");

  // Arms on and off, in all charts at once.
  for (const box of all("[data-toggle]")) {
    const show = () => {
      for (const line of all(`[data-arm="${box.dataset.toggle}"]`)) {
        line.classList.toggle("off", !box.checked);
      }
    };
    box.addEventListener("change", show);
    show();
  }

  // A point's words beside it; arrow keys go from point to point, Tab from chart to chart.
  const tip = document.querySelector(".tip");
  const say = (mark) => {
    const box = mark.getBoundingClientRect();
    tip.textContent = mark.getAttribute("aria-label");
    tip.hidden = false;
    const width = tip.offsetWidth, height = tip.offsetHeight;
    const right = document.documentElement.clientWidth - width - 8;
    tip.style.left = `${Math.max(8, Math.min(box.x + box.width / 2 - width / 2, right))}px`;
    const above = box.y - height - 8;
    tip.style.top = `${above > 4 ? above : box.y + box.height + 8}px`;
  };
  const hush = () => { tip.hidden = true; };
  for (const chart of all(".chart svg")) {
    const marks = all(".mark", chart);
    marks.forEach((mark, at) => {
      const title = mark.querySelector("title");
      mark.setAttribute("aria-label", title.textContent);
      title.remove();
      mark.tabIndex = at ? -1 : 0;
      mark.addEventListener("pointerenter", () => say(mark));
      mark.addEventListener("pointerleave", hush);
      mark.addEventListener("focus", () => say(mark));
      mark.addEventListener("blur", hush);
    });
    chart.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { hush(); return; }
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const shown = marks.filter((mark) => !mark.closest(".off"));
      const at = shown.indexOf(document.activeElement);
      if (!step || at < 0) return;
      event.preventDefault();
      const next = shown[(at + step + shown.length) % shown.length];
      for (const mark of marks) mark.tabIndex = mark === next ? 0 : -1;
      next.focus();
    });
    // With its arm off, the point that Tab would go to gives its place to another one.
    for (const box of all("[data-toggle]")) {
      box.addEventListener("change", () => {
        const shown = marks.filter((mark) => !mark.closest(".off"));
        if (shown.some((mark) => mark.tabIndex === 0)) return;
        for (const mark of marks) mark.tabIndex = mark === shown[0] ? 0 : -1;
      });
    }
  }

  // Tables: a button in each head; numbers by their size, texts by their letters, blanks last.
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.k ?? cell.textContent.trim();
    return text === "" || text === "-" ? null : text;
  };
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table), body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
        rows.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          return (down ? -1 : 1) * compare(a, b);
        });
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  // Cells: a link to one opens it; a search leaves those with every word or its beginning.
  const open = () => {
    const cell = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (cell && cell.tagName === "DETAILS") {
      cell.hidden = false;
      cell.open = true;
      cell.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  open();
  const find = document.getElementById("find"), count = document.getElementById("count");
  const cells = all("details.cell").map((cell) => [
    cell, cell.querySelector("summary").textContent.toLowerCase().split(/[\s,:]+/),
  ]);
  find.addEventListener("input", () => {
    const words = find.value.toLowerCase().split(/[\s,:]+/).filter(Boolean);
    let shown = 0;
    for (const [cell, said] of cells) {
      cell.hidden = !words.every((word) => said.some((part) => part.startsWith(word)));
      shown += cell.hidden ? 0 : 1;
    }
    count.textContent = `${shown} of ${cells.length} cells`;
  });
})();

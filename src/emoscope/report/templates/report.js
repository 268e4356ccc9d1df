// What the page adds where scripts run: sorting, filtering, copying, saving plots, playing clips.
"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });

for (const table of all("table.sortable")) {
  const [body] = table.tBodies, heads = all("thead th", table);
  const value = (row, column) => {
    const cell = row.cells[column], text = cell?.dataset.value ?? cell?.textContent.trim() ?? "";
    return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number") ? a - b
    : (typeof a === "number") - (typeof b === "number") || String(a).localeCompare(String(b));
  heads.forEach((head, column) => {
    if (head.matches(".unsorted")) return;
    const button = make("button", "", { type: "button", className: "sort" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const isNumber = typeof value(body.rows[0], column) === "number";
      const ascending = head.ariaSort ? head.ariaSort === "descending" : !isNumber;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column)));
      body.append(...(ascending ? rows : rows.reverse()));
    });
  });
  const label = make("label", "Filter ", { className: "filter" }), field = make("input", "", { type: "search" });
  const count = make("span", "", { className: "note", role: "status" });
  label.append(field);
  const choices = (table.dataset.choices ?? "").split(" ").filter(Boolean).map((name) => {
    const select = make("select", "", { ariaLabel: name, onchange: () => show() });
    const values = new Set([...body.rows].map((row) => row.dataset[name]));
    select.append(make("option", `every ${name}`, { value: "" }), ...[...values].map((value) => make("option", value)));
    return [name, select];
  });
  const show = () => {
    const wanted = field.value.trim().toLowerCase();
    for (const row of body.rows) {
      const fits = choices.every(([name, select]) => !select.value || row.dataset[name] === select.value);
      row.hidden = !fits || !row.textContent.toLowerCase().includes(wanted);
    }
    const shown = [...body.rows].filter((row) => !row.hidden).length;
    count.textContent = shown < body.rows.length ? ` ${shown} of ${body.rows.length} rows` : "";
  };
  field.addEventListener("input", show);
  for (const [, select] of choices) label.append(" ", select);
  label.append(count);
  table.closest(".scroll").before(label);
}

for (const block of all("pre.copy")) {
  const button = make("button", "Copy", { type: "button", className: "act", ariaLabel: `Copy: ${block.dataset.name}` });
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(block);
    try { await navigator.clipboard.writeText(block.textContent); } catch { document.execCommand("copy"); }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  block.before(button);
}

all("figure > svg").forEach((svg, number) => {
  const name = svg.parentNode.dataset.name || `plot-${number + 1}`;
  const link = make("a", "Save as SVG", { href: "#", className: "act", download: `${name}.svg`, ariaLabel: `Save as SVG: ${name}` });
  link.addEventListener("click", () => {
    const text = new XMLSerializer().serializeToString(svg).replace(/var\(--[\w-]+, (#[0-9a-f]+)\)/g, "$1");
    link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  });
  svg.parentNode.append(link);
});

const players = all("audio");
for (const cell of all("td[data-clips]")) {
  const clips = cell.dataset.clips.split(" ").map((number) => players[number]);
  const says = cell.closest(".scroll").parentNode.querySelector(".playing");
  const button = make("button", cell.textContent, { type: "button", className: "play", title: cell.title, ariaLabel: `${cell.title}; play a clip` });
  let next = 0;
  button.addEventListener("click", () => {
    players.forEach((player) => player.pause());
    const player = clips[next % clips.length];
    player.currentTime = 0;
    player.play();
    says.textContent = `Playing ${next % clips.length + 1} of ${clips.length}: ${player.getAttribute("aria-label")}`;
    next += 1;
  });
  cell.replaceChildren(button);
}

addEventListener("beforeprint", () => { for (const part of all("#words, .broken")) part.open = true; });

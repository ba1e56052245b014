// Rows of the scorecard, chosen by verdict and by place. Without this script all are shown.
for (const card of document.querySelectorAll(".scorecard")) {
  const rows = [...card.querySelectorAll("tbody tr")];
  const placesOf = (row) => row.dataset.places.split("|");
  const tally = card.querySelector(".tally");
  const verdicts = [...tally.children].map((item) => {
    const button = make("button", { type: "button", ariaPressed: "false" });
    button.append(...item.childNodes);
    button.addEventListener("click", () => {
      button.ariaPressed = String(button.ariaPressed !== "true");
      choose();
    });
    item.append(button);
    return { button, verdict: item.dataset.verdict };
  });

  const inOrder = new Intl.Collator("en", { numeric: true }).compare;
  const places = [...new Set(rows.flatMap(placesOf))].sort(inOrder);
  const select = make("select");
  select.append(make("option", { value: "", textContent: "all of the paper" }));
  select.append(...places.map((place) => make("option", { textContent: place })));
  select.addEventListener("change", choose);
  const label = make("label", { textContent: "Claims of " });
  label.append(select);
  const told = make("p", { role: "status" });
  tally.after(label, told);
  choose();

  function choose() {
    const chosen = verdicts.filter(({ button }) => button.ariaPressed === "true");
    const wanted = new Set((chosen.length ? chosen : verdicts).map(({ verdict }) => verdict));
    for (const row of rows) {
      const here = !select.value || placesOf(row).includes(select.value);
      row.hidden = !(here && wanted.has(row.dataset.verdict));
    }
    told.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} claims shown`;
  }
}

function make(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

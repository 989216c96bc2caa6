/* The scoreboard's filter by paper, tier and verdict. Without scripts the page is the whole table:
   the controls are made here, out of the rows that are there. */
(function () {
  "use strict";

  const CHOICES = [
    { name: "paper", label: "Paper", any: "all papers" },
    { name: "tier", label: "Tier", any: "all tiers" },
    { name: "verdict", label: "Verdict", any: "all verdicts" },
  ];
  const ORDER = ["reproduced", "partly", "not reproduced", "contradicted", "not run"];

  /* What a row is about, read off what a reader sees in it. */
  function about(row) {
    const place = row.querySelector(".claim-place");
    const id = place.querySelector("code").textContent.trim();
    const tier = place.textContent.slice(id.length).match(/\bT[0-3]\b/);
    const chip = row.querySelector(".verdict");
    return {
      row,
      paper: id.split(".")[0],
      tier: tier ? tier[0] : "",
      verdict: ORDER.find((name) => chip.classList.contains("verdict-" + name.replace(/ /g, "-"))),
    };
  }

  function options(claims, name) {
    const found = [...new Set(claims.map((claim) => claim[name]))];
    return name === "verdict" ? ORDER.filter((word) => found.includes(word)) : found.sort();
  }

  function control(choice, claims, changed) {
    const label = document.createElement("label");
    label.append(choice.label + " ");
    const select = document.createElement("select");
    select.name = choice.name;
    select.append(new Option(choice.any, ""));
    for (const value of options(claims, choice.name)) select.append(new Option(value, value));
    select.addEventListener("change", changed);
    label.append(select);
    return label;
  }

  /* A section is of no use while every table in it is empty. */
  function sections(article) {
    return [...article.querySelectorAll("section")].filter((section) =>
      section.querySelector("table.claims")
    );
  }

  function start() {
    const article = document.querySelector("article") || document.body;
    const rows = [...article.querySelectorAll("table.claims tbody tr")];
    if (!rows.length) return;
    const claims = rows.map(about);
    const form = document.createElement("form");
    form.className = "claims-filter";
    form.setAttribute("role", "search");
    form.setAttribute("aria-label", "Filter the claims");
    const count = document.createElement("output");
    count.setAttribute("aria-live", "polite");

    function show() {
      const wanted = Object.fromEntries(CHOICES.map((c) => [c.name, form.elements[c.name].value]));
      let seen = 0;
      for (const claim of claims) {
        const fits = CHOICES.every((c) => !wanted[c.name] || wanted[c.name] === claim[c.name]);
        claim.row.hidden = !fits;
        seen += fits;
      }
      for (const table of article.querySelectorAll("table.claims")) {
        table.hidden = !table.querySelector("tbody tr:not([hidden])");
      }
      for (const section of sections(article)) {
        const all = section.contains(form);
        section.hidden = !all && !section.querySelector("table.claims:not([hidden])");
      }
      count.textContent = seen + " of " + claims.length + " claims";
    }

    /* A link to a claim shows it, whatever is filtered out. */
    function reveal() {
      const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (target && target.closest("[hidden]")) {
        form.reset();
        show();
        target.scrollIntoView();
      }
    }

    for (const choice of CHOICES) form.append(control(choice, claims, show));
    const reset = document.createElement("button");
    reset.type = "reset";
    reset.textContent = "Show all";
    form.append(reset, count);
    form.addEventListener("reset", () => setTimeout(show));
    form.addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("hashchange", reveal);
    const box = article.querySelector(".verdict-box") || article.querySelector("table.claims");
    box.after(form);
    if (!box.classList.contains("verdict-box")) box.before(form);
    show();
    reveal();
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();

/** Narrows the gallery of methods while a person types; without scripts the same search is a form. */

const input = document.getElementById("method-search");
const cards = [...document.querySelectorAll(".method-card")];

function search() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const card of cards) {
    const said = card.dataset.words.toLowerCase();
    card.hidden = !words.every((word) => said.includes(word));
  }
  for (const family of document.querySelectorAll(".family")) {
    family.hidden = !family.querySelector(".method-card:not([hidden])");
  }
  document.getElementById("no-method").hidden = cards.some((card) => !card.hidden);
}

input?.addEventListener("input", search);

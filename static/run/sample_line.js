/** The line that stands for a sample in the stream: its question, how its answers fared, and what is odd about it. */

import { el } from "./dom.js";

/** `roles` says of each role `{ title, hue }`. */
export function lineOf(row, roles) {
  return [
    el("span", { className: "sample-row__step" }, el("span", { className: "visually-hidden" }, "step "), String(row.step)),
    el("span", { className: "sample-row__head" }, el("span", { className: "sample-row__title" }, row.title || "(untitled)"), solved(row)),
    row.layout === "game" ? players(row, roles) : answers(row, roles),
    notes(row, roles),
  ];
}

/** How many of the answers are right: by the truth, or where nobody knows it, as the method measured it. */
function solved(row) {
  const [right, known] = truths(row);
  if (known) return chip(known > 1 ? `${right} of ${known} right` : right ? "right" : "wrong", toneOf(right, known));
  if (row.solved === null || !row.num_answers) return null;
  return chip(`${Math.round(100 * row.solved)}% solved`, "plain", "By the judge's word: nobody knows the truth");
}

function truths(row) {
  if (row.layout === "game") return [0, 0];
  const answering = row.roles.filter(isAnswering);
  const right = answering.reduce((total, tally) => total + tally.right, 0);
  return [right, answering.reduce((total, tally) => total + tally.wrong, right)];
}

const toneOf = (right, known) => (right === known ? "good" : right === 0 ? "bad" : "plain");

const isAnswering = ({ role }) => !/judge|propos|demonstration/.test(role);

/** Whoever cannot see the chips hears the rewards' range; the answers are read in the opened sample. */
function answers(row, roles) {
  if (!row.answers.length) return null;
  const isMixed = new Set(row.answers.map(([role]) => role)).size > 1;
  const chips = row.answers.map((answer) => answerChip(isMixed ? roles : null, ...answer));
  if (row.num_answers > chips.length) chips.push(el("span", { className: "answer-chip" }, `+${row.num_answers - chips.length}`));
  const shown = el("span", { className: "answer-chips" }, ...chips);
  shown.ariaHidden = "true";
  return el("span", {}, shown, el("span", { className: "visually-hidden" }, rewardsInWords(row)));
}

function answerChip(roles, role, said, reward, right, numTokens, verdict, agrees) {
  const tone = right === null ? "" : right ? " answer-chip--right" : " answer-chip--wrong";
  const judged = verdict === null ? null : el("i", { className: agrees === false ? "answer-chip__verdict answer-chip__verdict--bad" : "answer-chip__verdict" }, verdict);
  return el("span", { className: `answer-chip${tone}`, title: inWords(said, reward, right, numTokens, verdict, agrees) },
    roles ? speaker(role, roles) : null,
    el("span", { className: "answer-chip__said" }, said ?? "nothing read"),
    reward === null ? null : el("b", {}, reward.toFixed(2)),
    judged,
    numTokens ? el("small", {}, String(numTokens)) : null);
}

function inWords(said, reward, right, numTokens, verdict, agrees) {
  const words = [said === null ? "No answer could be read" : `Answer ${said}`];
  if (right !== null) words.push(right ? "right" : "wrong");
  if (reward !== null) words.push(`reward ${reward.toFixed(2)}`);
  if (verdict !== null) words.push(`the judge says ${verdict}${agrees === false ? ", against the truth" : ""}`);
  if (numTokens) words.push(`${numTokens} tokens`);
  return words.join(", ");
}

function rewardsInWords(row) {
  if (row.reward_mean === null) return "";
  const [low, high] = [row.reward_min.toFixed(2), row.reward_max.toFixed(2)];
  return low === high ? `rewards ${low}` : `rewards ${low} to ${high}`;
}

/** What each player took home. */
function players(row, roles) {
  const chips = row.roles.filter(({ reward }) => reward !== null).map(({ role, reward }) => {
    return el("span", { className: "answer-chip" }, speaker(role, roles), el("b", {}, `${reward > 0 ? "+" : ""}${reward.toFixed(2)}`));
  });
  return chips.length ? el("span", { className: "answer-chips" }, ...chips) : null;
}

function speaker(role, roles) {
  const mark = el("span", { className: "role-mark" });
  mark.dataset.hue = roles[role]?.hue ?? "";
  return el("span", { className: "answer-chip__role" }, mark, titleOf(role, roles));
}

function notes(row, roles) {
  const chips = el("span", { className: "sample-row__chips" });
  if (row.kind === "practice") {
    chips.append(el("span", { className: "tag" }, `${titleOf(row.roles[0]?.role ?? "role", roles).toLowerCase()} practice`));
    if (row.reward_mean !== null) chips.append(chip(`reward ${row.reward_mean.toFixed(2)}`, "plain"));
  }
  const dropped = row.kept === false ? "rejected" : "discarded";
  if (row.why) chips.append(chip(`${dropped}: ${row.why}`, "plain"));
  else if (row.kept === false) chips.append(chip(dropped, "plain"));
  const judge = row.roles.find(({ role }) => role.includes("judge"));
  if (row.disagrees) chips.append(chip(`judge wrong on ${row.disagrees} of ${judge.right + judge.wrong}`, "bad"));
  if (row.layout === "tree") chips.append(chip(counted(row.num_turns, "node"), "plain"));
  if (row.num_pairs > 1) chips.append(chip(counted(row.num_pairs, "pair"), "plain"));
  if (row.layout === "game") chips.append(...gameChips(row));
  if (row.zero_signal && row.kind !== "practice") chips.append(chip("no signal", "plain", "None of its completions is better than another"));
  return chips;
}

function gameChips(row) {
  const illegal = row.roles.reduce((total, tally) => total + tally.wrong, 0);
  const chips = [chip(counted(row.num_turns, "move"), "plain")];
  if (illegal) chips.push(chip(`${illegal} not legal`, "bad"));
  if (row.result !== null && !row.title.includes(row.result)) chips.push(chip(row.result, "plain"));
  return chips;
}

const titleOf = (role, roles) => roles[role]?.title ?? role[0].toUpperCase() + role.slice(1).replaceAll("_", " ");
const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

function chip(text, tone, title = "") {
  return el("span", { className: `chip chip--${tone}`, title }, text);
}

/** What the horizontal axis counts. */

const HOUR_S = 3600;

export const AXES = {
  step: { title: "step", hover: "Step %{x}" },
  time: { title: "hours since the start", hover: "After %{x:.3~g} h", from: (seconds) => seconds / HOUR_S },
  tokens: { title: "tokens sampled", hover: "%{x:.4~s} tokens" },
  questions: { title: "questions asked", hover: "%{x:.4~s} questions" },
};

/** The place in an ascending list at which `value` stands or would stand. */
export function placeOf(list, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

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

/** What stands in `to` where `value` stands in the ascending `from`, in between in proportion, outside at the end. */
export function interpolate(from, to, value) {
  const place = placeOf(from, value);
  if (place === from.length) return to.at(-1);
  if (from[place] === value || place === 0) return to[place];
  const share = (value - from[place - 1]) / (from[place] - from[place - 1]);
  return to[place - 1] + share * (to[place] - to[place - 1]);
}

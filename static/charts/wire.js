/** Reads the lines of an answer; webapp/telemetry/wire.py tells how they are written. */

const KINDS = { f4: Float32Array, f8: Float64Array };

/** `{ lines, along }`: each line with `steps`, `x` (the same list), `y` and, where it has them, `low` and `high`. */
export function linesOf(answer) {
  const axes = answer.axes.map(summed);
  const line = (one) => {
    const steps = [...axes[one.axis]]; // its own: lines grow apart
    return { ...one, steps, x: steps, y: numbers(one.y), low: one.low && numbers(one.low), high: one.high && numbers(one.high) };
  };
  const along = answer.along && { ...answer.along, steps: [...axes[answer.along.axis]], x: numbers(answer.along.x) };
  return { lines: answer.lines.map(line), along: along ?? null };
}

/** `"f4:..."` or `"f8:..."` as numbers; what is not a number becomes null, a gap. */
export function numbers(text) {
  const bytes = Uint8Array.from(atob(text.slice(3)), (letter) => letter.charCodeAt(0));
  return Array.from(new KINDS[text.slice(0, 2)](bytes.buffer), (value) => (Number.isNaN(value) ? null : value));
}

function summed(differences) {
  let sum = 0;
  return differences.map((difference) => (sum += difference));
}

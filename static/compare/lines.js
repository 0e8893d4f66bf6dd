/** Reads the lines of many runs: a head in JSON, then numbers; see `webapp/compare/lines.py`. */

export function queryOf(parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") query.append(name, one);
  }
  return query;
}

export async function fetchLines(url, parameters) {
  const response = await fetch(`${url}?${queryOf(parameters)}`);
  if (response.redirected) location.reload();
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return unpack(await response.arrayBuffer());
}

/** `{ width, charts: [{ metric, lines: [{ key, runs, x, y, low?, high? }] }] }`; gaps are null. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const start = 4 + length;
  const numbers = (at, n) => new Float32Array(buffer, start + 4 * at, n);
  for (const chart of head.charts) {
    chart.lines = chart.lines.map(({ n, x, y, low, high, ...line }) => ({
      ...line,
      x: numbers(x, n),
      y: numbers(y, n),
      ...(low === undefined ? {} : { low: numbers(low, n), high: numbers(high, n) }),
    }));
  }
  return head;
}

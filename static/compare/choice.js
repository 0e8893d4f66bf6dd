/** The runs somebody has chosen, kept while the tab is open: ids in the order of choosing, each with its title. */
export class Choice {
  constructor(key) {
    this.key = key;
    this.chosen = new Map(this.read());
  }

  read() {
    try {
      return JSON.parse(sessionStorage.getItem(this.key) ?? "[]");
    } catch {
      return [];
    }
  }

  get size() {
    return this.chosen.size;
  }

  get ids() {
    return [...this.chosen.keys()];
  }

  get titles() {
    return [...this.chosen.values()];
  }

  has(id) {
    return this.chosen.has(id);
  }

  set(id, title, on) {
    if (on) this.chosen.set(id, title);
    else this.chosen.delete(id);
    this.keep();
  }

  clear() {
    this.chosen.clear();
    this.keep();
  }

  keep() {
    try {
      sessionStorage.setItem(this.key, JSON.stringify([...this.chosen]));
    } catch {
      // A browser that keeps nothing still chooses on this page.
    }
  }
}

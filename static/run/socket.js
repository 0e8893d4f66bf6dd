/**
 * Follows a run. Tells the server what the page holds and hands over what comes after it, in order and without a gap;
 * a connection may break at any time and is taken up where it broke.
 */

const FIRST_WAIT_MS = 500;
const LAST_WAIT_MS = 30_000;
const SILENCE_MS = 25_000;
const PATIENCE_MS = 12_000;
const SIGNED_OUT = 4401, NOT_FOUND = 4404, BEHIND = 4408;

export class RunSocket {
  /** `handlers`: onState(state), onEvents(events), onStale() when the page must be read again, onLink(state, words). */
  constructor(root, position, handlers) {
    this.root = root;
    this.position = position;
    this.handlers = handlers;
    this.wait = FIRST_WAIT_MS;
    this.stopped = false;
    this.retry = 0;
    window.addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.hurry(); });
  }

  open() {
    clearTimeout(this.retry);
    const { after, attempt } = this.position;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws${this.root}?after=${after}&attempt=${attempt}`);
    this.socket = socket;
    this.heard();
    socket.addEventListener("message", (event) => {
      if (this.socket !== socket) return;
      this.heard();
      this.take(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => { if (this.socket === socket) this.lost(event.code); });
  }

  take(message) {
    if (message.type === "hello") {
      this.wait = FIRST_WAIT_MS;
      this.handlers.onLink("live", "Live");
    } else if (message.type === "events") {
      if (message.after !== this.position.after) return this.restart();
      const last = message.events.at(-1);
      this.handlers.onEvents(message.events);
      this.position = { after: last.seq, attempt: last.attempt };
    } else if (message.type === "reset") {
      return this.stale();
    }
    if (message.state) this.handlers.onState(message.state);
    document.documentElement.dataset.after = this.position.after;
  }

  /** Continue from what was read again. */
  resume(position) {
    this.position = position;
    this.open();
  }

  stale() {
    this.drop();
    this.handlers.onStale();
  }

  restart() {
    this.drop();
    this.again();
  }

  lost(code) {
    this.drop();
    if (code === SIGNED_OUT) {
      this.stopped = true;
      this.handlers.onLink("lost", "Signed out. Reload to sign in again");
    } else if (code === NOT_FOUND) {
      this.stopped = true;
      this.handlers.onLink("lost", "This run can no longer be read here");
    } else if (code === BEHIND) {
      this.handlers.onStale();
    } else {
      this.again();
    }
  }

  again() {
    if (this.stopped) return;
    const wait = this.wait * (0.5 + Math.random());
    this.wait = Math.min(2 * this.wait, LAST_WAIT_MS);
    this.handlers.onLink("waiting", navigator.onLine ? "Reconnecting" : "Offline");
    this.retry = setTimeout(() => this.open(), wait);
  }

  hurry() {
    if (this.stopped || this.socket) return;
    this.wait = FIRST_WAIT_MS;
    this.open();
  }

  /** A connection that died without a word is noticed by asking after a silence. */
  heard() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => {
      if (this.socket?.readyState === WebSocket.OPEN) this.socket.send('{"type":"ping"}');
      this.silence = setTimeout(() => this.restart(), PATIENCE_MS);
    }, SILENCE_MS);
  }

  drop() {
    clearTimeout(this.silence);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }
}

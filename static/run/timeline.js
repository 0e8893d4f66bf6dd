import { follow } from "./following.js";

export function mount(element, page) {
  follow(page, "timeline", "metric");
}

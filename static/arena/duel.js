/** A duel whose other line is still being played: the page is read again until it is there. */

const waits = document.querySelector("[data-waits]");
if (waits) setTimeout(() => location.reload(), 1500);

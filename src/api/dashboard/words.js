// Times, names and states as people read them.

export const STEPS = [
  "prepare", "pre-deployment", "start", "await", "register", "stage", "pre-integration",
  "approve", "switch", "post-integration", "bake", "commit", "drain", "retire",
];

export const MARKS = {
  pending: "", running: "●", done: "✓", skipped: "–", failed: "✗", stopped: "■", undoing: "↩", undone: "↩", stuck: "!",
};

export const STATES = {
  pending: "not begun", running: "under way", done: "done", skipped: "not needed",
  failed: "failed", stopped: "stopped", undoing: "being undone", undone: "undone", stuck: "stuck",
};

const PHASES = {
  deploying: "deploying", waiting: "waiting for approval", reverting: "reverting",
  finishing: "finishing", ended: "ended",
};

/** The part of an id that is its time: enough to name a deployment by. */
export const short = (id) => id.replaceAll("-", "").slice(0, 12);

/** The end of a deployment, or where it stands: words and tone. */
export function standing(view) {
  switch (view.outcome?.end) {
    case undefined: return [PHASES[view.phase] ?? view.phase, "warn"];
    case "committed": return ["committed", "good"];
    case "unchanged": return ["unchanged", ""];
    case "reverted": return [view.outcome.failure.kind === "invalid" ? "refused" : "reverted", "bad"];
    default: return [view.outcome.end, "bad"];
  }
}

/** `480 ms`, `2.4 s`, `3 min 5 s`. */
export function took(millis) {
  if (millis < 1000) return `${Math.max(0, Math.round(millis))} ms`;
  if (millis < 10_000) return `${(millis / 1000).toFixed(1)} s`;
  const seconds = Math.round(millis / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A moment, as this browser's user writes it. */
export const moment = (text) => new Date(text).toLocaleString();

/** The time of day. */
export const clock = (text) => new Date(text).toLocaleTimeString([], { hour12: false });

/** An image without its digest, which is long and tells a person nothing. */
export const image = (text) => (text ?? "").replace(/@sha256:[0-9a-f]+$/, "") || "–";

// Speaks to the daemon, with the token if one was given. The token stays in this tab.

const KEY = "verdigris-token";

export const session = {
  get token() {
    return sessionStorage.getItem(KEY);
  },
  set token(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  },
};

/** The daemon said no; `refusal` says why and what to do. */
export class Refused extends Error {
  constructor(status, refusal) {
    super(refusal?.message ?? `the daemon answered ${status}`);
    this.status = status;
    this.refusal = refusal;
  }

  /** All of it in a line. */
  get words() {
    const parts = [this.message, ...(this.refusal?.details ?? []), this.refusal?.remedy];
    return parts.filter(Boolean).join("; ");
  }
}

function headers(more = {}) {
  return session.token ? { ...more, authorization: `Bearer ${session.token}` } : more;
}

async function send(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: headers(body === undefined ? {} : { "content-type": "application/json" }),
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
  });
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => null));
  return response.status === 204 ? null : response.json();
}

export const get = (path) => send("GET", path);
export const post = (path, body) => send("POST", path, body);

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/**
 * Follow the events at `path` until `signal` aborts or `onEvent` returns true, across broken
 * connections: each goes on after the last event that was seen. (An `EventSource` cannot send a token.)
 */
export async function follow(path, { onEvent, onState = () => {}, signal }) {
  let last = null;
  let pause = FIRST_PAUSE;
  while (!signal.aborted) {
    try {
      const more = { accept: "text/event-stream" };
      if (last !== null) more["last-event-id"] = last;
      const response = await fetch(path, { headers: headers(more), signal, credentials: "omit" });
      if (!response.ok) throw new Refused(response.status, await response.json().catch(() => null));
      onState("live");
      pause = FIRST_PAUSE;
      for await (const { id, data } of blocks(response.body)) {
        if (id !== null) last = id;
        if (onEvent(JSON.parse(data)) === true) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      // What is refused now is refused again, unless the daemon is just stopping.
      if (error instanceof Refused && error.status < 500) throw error;
    }
    onState("broken");
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
}

/** The blocks of an event stream that hold data. */
async function* blocks(body) {
  let rest = "";
  for await (const text of texts(body)) {
    const parts = (rest + text).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n");
      const field = (name) =>
        lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, ""));
      const data = field("data");
      if (data.length > 0) yield { id: field("id").at(-1) ?? null, data: data.join("\n") };
    }
  }
}

async function* texts(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

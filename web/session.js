// The page's side of the session with `keyprov`: the token of the address is exchanged once, and the state is asked for
// again and again.

const KEPT = 'keyprov-session';
let session = sessionStorage.getItem(KEPT) ?? '';

/** The status of the answer, and what is in it; `status` 0 if nobody answers. */
async function send(path, options = {}) {
  try {
    const answer = await fetch(path, { ...options, headers: { 'x-keyprov-session': session }, redirect: 'error' });
    return { status: answer.status, content: answer.status === 200 ? await answer.json() : undefined };
  } catch {
    return { status: 0 };
  }
}

const ENDS = { 0: 'ended', 401: 'taken', 409: 'taken' };

/**
 * Exchanges the token of the address for a session, then calls `show` with each state until that gives `false`.
 * @returns `done`, `taken` by another window, `refused`, or `ended` if the command has gone.
 */
export async function follow(show) {
  const token = location.hash.slice(1);
  history.replaceState(null, '', location.pathname);
  const opened = await send('/session', { method: 'POST', body: token });
  if (opened.status !== 200) return ENDS[opened.status] ?? 'refused';
  ({ session } = opened.content);
  sessionStorage.setItem(KEPT, session);
  for (let version = 0; ; ) {
    const { status, content } = await send(`/state?after=${version}`);
    if (status !== 200) return ENDS[status] ?? 'refused';
    if (content.version !== version && show(content.state) === false) return 'done';
    version = content.version;
  }
}

/** Tells the command what the user wants. `body` is overwritten. @returns whether that was expected. */
export async function tell(name, body = new Uint8Array(0)) {
  const { status } = await send(`/${name}`, { method: 'POST', body });
  body.fill(0);
  return status === 204;
}

/** An element with attributes and children. Text stays text, whoever it is from. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== ''));
  return made;
}

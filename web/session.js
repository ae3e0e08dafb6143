// The page's side of the session with `keyprov`: the token of the address is exchanged once, and the state is asked for
// again and again.

const KEPT = 'keyprov-session';
let session = sessionStorage.getItem(KEPT) ?? '';

const send = (path, options = {}) =>
  fetch(path, { ...options, headers: { 'x-keyprov-session': session }, redirect: 'error' });

/** Exchanges the token, which goes out of the address: `open`, `taken` by another window, or `refused`. */
async function openSession() {
  const token = location.hash.slice(1);
  history.replaceState(null, '', location.pathname);
  const answer = await send('/session', { method: 'POST', body: token });
  if (!answer.ok) return answer.status === 409 ? 'taken' : 'refused';
  ({ session } = await answer.json());
  sessionStorage.setItem(KEPT, session);
  return 'open';
}

/**
 * Calls `show` with each state. Ends when `show` says so by `false`.
 * @returns `done`, `taken`, `refused`, or `ended` if the command has gone.
 */
export async function follow(show) {
  try {
    const opened = await openSession();
    if (opened !== 'open') return opened;
    for (let version = 0; ; ) {
      const answer = await send(`/state?after=${version}`);
      if (!answer.ok) return 'taken';
      const next = await answer.json();
      if (next.version !== version && show(next.state) === false) return 'done';
      version = next.version;
    }
  } catch {
    return 'ended'; // nobody answers
  }
}

/** Tells the command what the user wants. `body` is overwritten. @returns whether that was expected. */
export async function tell(name, body = new Uint8Array(0)) {
  try {
    return (await send(`/${name}`, { method: 'POST', body })).ok;
  } catch {
    return false; // nobody answers: `follow` finds that out too
  } finally {
    body.fill(0);
  }
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

/** Shortest secret to remove, in characters. Shorter ones would match everywhere. */
const SHORTEST = 4;
/** Parts of a JWT of this length or more are secrets themselves. */
const SHORTEST_PART = 16;

/**
 * Removes secrets from external text: errors of fetch may quote headers, and responses may quote the request. Parts of
 * a JWT and form-encoded secrets are removed too.
 */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const forms = formsOf(secrets);
  return (text) => forms.reduce((redacted, form) => redacted.replaceAll(form, '[secret]'), text);
}

/** Removes the beginning of a secret from the end of a text that breaks off. */
export function redactEnd(text: string, secrets: readonly string[]): string {
  let cut = 0;
  for (const form of formsOf(secrets)) {
    let length = Math.min(form.length, text.length);
    while (length > cut && !text.endsWith(form.slice(0, length))) length--;
    cut = Math.max(cut, length);
  }
  return cut < SHORTEST ? text : `${text.slice(0, -cut)}[secret]`;
}

/** The longest first: removing a part would break up the whole. */
function formsOf(secrets: readonly string[]): string[] {
  const forms = secrets.flatMap((secret) => {
    const parts = secret.split('.').filter((part) => part.length >= SHORTEST_PART);
    return [secret, ...parts].flatMap((form) => [form, encodeURIComponent(form)]);
  });
  return [...new Set(forms)].filter((form) => form.length >= SHORTEST).sort((a, b) => b.length - a.length);
}

/** Copies an error and its causes, with names, messages, codes and stacks, without the secrets. */
export function redactError(error: unknown, redact: (text: string) => string, depth = 0): Error {
  if (!(error instanceof Error)) return new Error(redact(String(error)));
  const { cause, code } = error as { cause?: unknown; code?: unknown };
  const inner = cause === undefined || depth === 8 ? undefined : { cause: redactError(cause, redact, depth + 1) };
  const copied = new Error(redact(error.message), inner);
  copied.name = error.name;
  copied.stack = redact(error.stack ?? '');
  return typeof code === 'string' ? Object.assign(copied, { code: redact(code) }) : copied;
}

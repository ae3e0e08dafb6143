/** Shorter ones would be found everywhere. */
const SHORTEST = 4;
/** Of a JWT, parts of this length stand for the whole. */
const SHORTEST_PART = 16;

/**
 * Takes secrets out of text that others wrote: error messages of a fetch may have the headers, answers what was sent.
 * Parts of a JWT are secrets of their own, and so is what is encoded for a form.
 */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const forms = secrets.flatMap((secret) => {
    const parts = secret.split('.').filter((part) => part.length >= SHORTEST_PART);
    return [secret, ...parts].flatMap((form) => [form, encodeURIComponent(form)]);
  });
  // The longest first: a part would break up the whole.
  const sorted = [...new Set(forms)].filter((form) => form.length >= SHORTEST).sort((a, b) => b.length - a.length);
  return (text) => sorted.reduce((redacted, form) => redacted.replaceAll(form, '[secret]'), text);
}

/** A copy of an error and its causes that holds names, messages, codes and stacks, without the secrets. */
export function redactError(error: unknown, redact: (text: string) => string, depth = 0): Error {
  if (!(error instanceof Error)) return new Error(redact(String(error)));
  const { cause, code } = error as { cause?: unknown; code?: unknown };
  const inner = cause === undefined || depth === 8 ? undefined : { cause: redactError(cause, redact, depth + 1) };
  const copied = new Error(redact(error.message), inner);
  copied.name = error.name;
  copied.stack = redact(error.stack ?? '');
  return typeof code === 'string' ? Object.assign(copied, { code: redact(code) }) : copied;
}

// Which rules a PIN meets while it is typed. It is a hint: the library judges the PIN when it is sent, and its word counts.

const CLASSES = {
  uppercase: /[A-Z]/,
  lowercase: /[a-z]/,
  special: /[!-/:-@[-`{-~]/,
  digits: /[0-9]/,
};

/**
 * The rules of a policy in the order in which they are shown: `code` as the library has it for a PIN that breaks the rule,
 * `holds` true, false, or undefined where only the library knows.
 */
export function judgePin(pin, policy) {
  const length = [...pin].length;
  const rules = [{ code: 'too-short', holds: length >= policy.minLength }];
  if (length > policy.maxLength || policy.maxLength < 127) {
    rules.push({ code: 'too-long', holds: length <= policy.maxLength });
  }
  for (const [name, pattern] of Object.entries(CLASSES)) {
    if (policy[name] === 'required') rules.push({ code: `${name}-required`, holds: pattern.test(pin) });
    if (policy[name] === 'not-allowed') rules.push({ code: `${name}-not-allowed`, holds: !pattern.test(pin) });
  }
  if (/[^!-~]/.test(pin)) rules.push({ code: 'character-not-allowed', holds: false });
  const isWrong = isPattern(pin);
  if (policy.digits !== 'not-allowed' || isWrong) rules.push({ code: 'common-pattern', holds: pin !== '' && !isWrong });
  if (policy.history > 0) rules.push({ code: 'in-history', holds: undefined });
  return rules;
}

/** Whether it is digits alone, each as far from the next: 1111, 1234, 7036. */
function isPattern(pin) {
  if (!/^[0-9]+$/.test(pin)) return false;
  const step = (at) => (Number(pin[at + 1]) - Number(pin[at]) + 10) % 10;
  for (let at = 1; at < pin.length - 1; at++) if (step(at) !== step(0)) return false;
  return true;
}

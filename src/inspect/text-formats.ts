import { byteCount, fromBase64, toBase64Url, toHex } from '../bytes.ts';
import { computeJwkThumbprint } from '../crypto/jwk.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import { sayError } from '../errors.ts';
import { parseJws } from '../formats/services/jws.ts';
import {
  computeSshFingerprint,
  decodeSshPublicKey,
  decodeSshPublicKeyLine,
  SshReader,
} from '../formats/services/ssh-public-key.ts';
import { decodeDnBinary } from '../formats/windows/dn-binary.ts';
import { parseNgcAssertion } from '../formats/windows/ngc-assertion.ts';
import { latin1 } from '../primitives.ts';
import { describePublicKey } from './describe-key.ts';
import { bytesField, dateField, field, listOf, nested } from './fields.ts';
import type { Format } from './format.ts';
import type { Content, Description } from './inspection.ts';
import { describeEncrypted, describePrivateKey } from './private-key.ts';
import { describeUnusedKey, UNUSED_SSH_KEYS } from './unused-keys.ts';
import { describeKeyCredential } from './windows-formats.ts';

/** Formats that are always text, perhaps with white space around it. */
export const TEXT_FORMATS: readonly Format<string>[] = [
  {
    format: 'dn-binary',
    title: 'DN-Binary value from a directory',
    claims: (text) => /^\s*B:[0-9]/.test(text),
    read: (text) => {
      const { binary, dn } = decodeDnBinary(text.trim());
      const fields = [field('object', dn), nested('key credential', describeKeyCredential(binary))];
      return { title: 'key credential from a directory, as DN-Binary', fields };
    },
  },
  {
    format: 'ssh-public-key',
    title: 'SSH public key',
    claims: (text) => sshLines(text).some(({ type }) => isSshType(type)),
    read: describeSshLines,
  },
  {
    format: 'jws',
    title: 'JWS in compact form',
    claims: (text) => {
      const [head = '', ...more] = text.trim().split('.', 4);
      return more.length === 2 && Buffer.from(head.slice(0, 64), 'base64url').toString().trimStart().startsWith('{');
    },
    read: (text) => describeJws(text.trim()),
  },
];

/** A line of authorized_keys: perhaps options, then the type of the key, its base64, and a comment. */
interface SshLine {
  readonly number: number;
  readonly options: string;
  readonly type: string;
  readonly base64: string;
  readonly comment: string;
}

/** The lines that are neither empty nor comments. */
function sshLines(text: string): SshLine[] {
  return text.split('\n').flatMap((line, at) => {
    const words = line.trim().split(/[ \t]+/);
    if (words[0] === '' || words[0]?.startsWith('#')) return [];
    // Options may contain blanks. Every key begins with the length of its type.
    const found = words.findIndex((_, i) => words[i + 1]?.startsWith('AAAA'));
    const [type = '', base64 = '', ...comment] = words.slice(Math.max(found, 0));
    return [
      {
        number: at + 1,
        options: words.slice(0, Math.max(found, 0)).join(' '),
        type,
        base64,
        comment: comment.join(' '),
      },
    ];
  });
}

const isSshType = (type: string): boolean =>
  /^(?:ssh-rsa|ecdsa-sha2-nistp(?:256|384|521))$/.test(type) || UNUSED_SSH_KEYS.has(type);

/** Describes the keys that it can read, and says which lines it cannot. Throws if there is no other line. */
function describeSshLines(text: string): Description {
  const problems: string[] = [];
  const errors: unknown[] = [];
  const keys = sshLines(text).flatMap((line) => {
    try {
      return [describeSshLine(line)];
    } catch (error) {
      errors.push(error);
      problems.push(`line ${line.number}: ${sayError(error)}`);
      return [];
    }
  });
  const [only, ...more] = keys;
  if (only === undefined) throw errors[0];
  const further = problems.splice(MAX_PROBLEMS).length;
  if (further > 0) problems.push(`${further} more lines are not SSH public keys that keyprov can read`);
  if (more.length === 0) return { ...only, problems: [...problems, ...(only.problems ?? [])] };
  return { title: `${keys.length} SSH public keys`, problems, fields: [listOf('keys', keys, nested)] };
}

const MAX_PROBLEMS = 10;

function describeSshLine({ options, type, base64, comment }: SshLine): Description {
  if (!isSshType(type)) {
    throw new TypeError(
      base64.startsWith('AAAA') ? `keyprov does not know the key type ${type}` : 'it is not an SSH public key',
    );
  }
  const { fields, ...rest } = UNUSED_SSH_KEYS.has(type)
    ? describeUnusedSsh(fromBase64(base64))
    : describeSsh(decodeSshPublicKeyLine(`${type} ${base64}`).publicKey);
  const own = options === '' ? [] : [field('options', options)];
  return { ...rest, fields: [field('comment', comment), ...own, ...fields] };
}

/** Length and beginning of `ssh-rsa` and `ecdsa-sha2-nistp`. */
const SSH_MARKS = ['000000077373682d727361', '0000001365636473612d73686132'];

/** The same keys in binary. */
export const SSH_BLOB: Format<Uint8Array> = {
  format: 'ssh-public-key-blob',
  title: 'SSH public key blob',
  claims: (bytes) =>
    SSH_MARKS.some((mark) => toHex(bytes.subarray(0, 16)).startsWith(mark)) ||
    UNUSED_SSH_KEYS.has(new SshReader(bytes).text()),
  read: (bytes) =>
    UNUSED_SSH_KEYS.has(new SshReader(bytes).text())
      ? describeUnusedSsh(bytes)
      : describeSsh(decodeSshPublicKey(bytes)),
};

/** PROTOCOL.key of OpenSSH. */
export const OPENSSH_PRIVATE_KEY: Format<Uint8Array> = {
  format: 'openssh-private-key',
  title: 'OpenSSH private key',
  claims: (bytes) => latin1(bytes.subarray(0, OPENSSH_MAGIC.length)) === OPENSSH_MAGIC,
  read: (bytes) => {
    const input = new SshReader(bytes.subarray(OPENSSH_MAGIC.length));
    const [encryption, derivation, , keys] = [input.text(), input.text(), input.string(), input.uint32()];
    const type = new SshReader(input.string()).text();
    const isOpen = encryption === 'none';
    const { length } = input.string();
    const { fields, ...rest } = isOpen
      ? describePrivateKey(length)
      : describeEncrypted([encryption, derivation], length);
    const title = `${isOpen ? 'unencrypted' : 'encrypted'} OpenSSH private key`;
    return { ...rest, title, fields: [field('type', type), field('keys', keys), ...fields] };
  },
};

const OPENSSH_MAGIC = 'openssh-key-v1\0';

function describeUnusedSsh(blob: Uint8Array): Description {
  const kind = UNUSED_SSH_KEYS.get(new SshReader(blob).text());
  if (kind === undefined) throw new TypeError('the type in the line does not match the key');
  return describeUnusedKey(kind);
}

function describeSsh(key: PublicKey): Description {
  const { title, fields, ...rest } = describePublicKey(key);
  const ids = [
    field('fingerprint', computeSshFingerprint(key)),
    field('JWK thumbprint', toBase64Url(computeJwkThumbprint(key))),
  ];
  return { ...rest, title: `SSH public key, ${title}`, fields: [...fields, ...ids] };
}

/** Does not verify the signature, whose key is elsewhere. Hides it, as the whole assertion lets anyone sign in. */
function describeJws(text: string): Content {
  const { header, payload, signature } = parseJws(text);
  const head = Object.entries(header).map(([name, value]) => field(name, JSON.stringify(value) ?? ''));
  const rest = [{ name: 'header', fields: head }, field('signature', `not shown (${byteCount(signature.length)})`)];
  if (header.use !== 'ngc') return [...rest, bytesField('payload', payload)];
  const { issuedAt, expires, ...claims } = parseNgcAssertion(text);
  const fields = [
    ...Object.entries(claims).map(([name, value]) => field(name, value)),
    dateField('issued', new Date(issuedAt * 1000)),
    dateField('expires', new Date(expires * 1000)),
    ...rest,
  ];
  return { title: 'sign-in assertion of a registered key (NGC)', fields };
}

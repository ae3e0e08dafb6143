import { uint16At, uint32At } from '../bytes.ts';
import { expectEnd, Reader, readFields } from '../tpm/codec/index.ts';
import type { AnyCommand } from '../tpm/command.ts';
import { commandName, TPM_ST } from '../tpm/constants.ts';
import { HEADER_SIZE } from '../tpm/frame.ts';
import { commandOf, readAuthorizations } from '../tpm/read-command.ts';
import { decodeResponseCode } from '../tpm/response-code.ts';
import { TPM_HANDLE } from '../tpm/structures/base.ts';
import { TPM_RC } from '../tpm/tpm-rc.ts';
import { describeValue } from './describe-structure.ts';
import { bytesField, field, group, listOf, secretField } from './fields.ts';
import type { Format } from './format.ts';
import type { Description, Field } from './inspection.ts';

const tagOf = (bytes: Uint8Array): number => uint16At(bytes, 0);
const isFrame = (bytes: Uint8Array): boolean => bytes.length >= HEADER_SIZE && uint32At(bytes, 2) === bytes.length;
const isTagged = (bytes: Uint8Array): boolean =>
  tagOf(bytes) === TPM_ST.NO_SESSIONS || tagOf(bytes) === TPM_ST.SESSIONS;
/** An error has ten bytes. Some error codes are also codes of commands, but those have parameters. */
const isAnswer = (bytes: Uint8Array): boolean => {
  const code = uint32At(bytes, 6);
  const { handles = [], parameters = [] } = commandOf(code) ?? {};
  const couldBeCommand = bytes.length > HEADER_SIZE || handles.length + parameters.length === 0;
  return code === TPM_RC.SUCCESS || !(commandName(code) !== undefined && couldBeCommand);
};

/** Commands and responses of a TPM, whole. Part 1, 18. */
export const TRAFFIC_FORMATS: readonly Format<Uint8Array>[] = [
  {
    format: 'tpm-command',
    title: 'TPM command',
    claims: (bytes) => isFrame(bytes) && isTagged(bytes) && !isAnswer(bytes),
    read: describeCommand,
  },
  {
    format: 'tpm-answer',
    title: 'TPM response',
    claims: (bytes) => isFrame(bytes) && (isTagged(bytes) || tagOf(bytes) === TPM_ST.RSP_COMMAND) && isAnswer(bytes),
    read: describeAnswer,
  },
];

function describeCommand(bytes: Uint8Array): Description {
  const code = uint32At(bytes, 6);
  const name = commandName(code);
  const title = name === undefined ? undefined : `command TPM2_${name}`;
  const command = commandOf(code);
  if (command === undefined) {
    const fields = [codeField(code), secretField('handles and parameters', bytes.length - HEADER_SIZE)];
    return { ...(title !== undefined && { title }), problems: ['its parameters are unknown'], fields };
  }
  const input = new Reader(bytes);
  const hasSessions = input.uint(2, 'tag') === TPM_ST.SESSIONS;
  input.position = HEADER_SIZE;
  const fields = command.handles.map(([key]) => describeValue(key, TPM_HANDLE, input.uint(4, key)));
  let encrypted = false;
  if (hasSessions) {
    const [sessions, isEncrypted] = describeSessions(input);
    fields.push(sessions);
    encrypted = isEncrypted;
  }
  return {
    title: `command TPM2_${command.name}`,
    fields: [codeField(code), ...fields, ...describeParameters(input, command, encrypted)],
  };
}

const hexNumber = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
const codeField = (code: number): Field => field('command code', hexNumber(code));

/** The authorization area, and whether one of the sessions encrypts the first parameter. */
function describeSessions(input: Reader): [Field, boolean] {
  const { list, encrypted } = readAuthorizations(input);
  const sessions = list.map(({ handle, nonce, attributes, hmac, mayBePassword }) =>
    group('session', [
      describeValue('handle', TPM_HANDLE, handle),
      bytesField('nonce', nonce),
      field('attributes', `0x${attributes.toString(16).padStart(2, '0')}`),
      mayBePassword ? secretField('password or HMAC', hmac.length) : bytesField('hmac', hmac),
    ]),
  );
  return [listOf('sessions', sessions, (i, { fields = [] }) => group(i, fields)), encrypted];
}

function describeParameters(input: Reader, { parameters }: AnyCommand, encrypted: boolean): Field[] {
  const [first] = parameters;
  const fields: Field[] = [];
  if (encrypted && first !== undefined) {
    fields.push(bytesField(`${first[0]}, encrypted`, input.take(input.uint(2, first[0]), first[0])));
  }
  const rest = encrypted ? parameters.slice(1) : parameters;
  const values: Record<string, unknown> = {};
  readFields(input, rest, values);
  expectEnd(input, 'parameters');
  return [...fields, ...rest.map(([key, codec]) => describeValue(key, codec, values[key]))];
}

/** Shows only the length of the content. It may be a secret: only the command says what it holds. */
function describeAnswer(bytes: Uint8Array): Description {
  const { name, meaning, value } = decodeResponseCode(uint32At(bytes, 6));
  const isSuccess = value === TPM_RC.SUCCESS;
  const problems = isSuccess ? [] : [`the TPM refused: ${meaning}`];
  const fields = [
    field('response code', hexNumber(value)),
    ...(isSuccess ? [] : [field('name', name)]),
    field('sessions', tagOf(bytes) === TPM_ST.SESSIONS),
    secretField('content', bytes.length - HEADER_SIZE),
  ];
  return { title: isSuccess ? 'TPM response' : `TPM response: ${name}`, problems, fields };
}

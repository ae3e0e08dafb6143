import { type Bytes, checkBytes, concat, copy, equal, uint16, uint32 } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';

const HEADER_SIZE = 16;

/**
 * Encodes a TPM's permanent state as swtpm's file `tpm2-00.permall` (0.7): version 2, oldest reader 1, size of this
 * header (10), flags (0), length of the file; then tag 1 (plain data), length of the state, state. Big endian.
 * @throws TypeError for anything but bytes.
 */
export function exportSwtpmState(state: Uint8Array): Bytes {
  checkBytes(state, 'the state');
  const version = new Uint8Array([2, 1, 0, 10, 0, 0]);
  return concat(version, uint32(HEADER_SIZE + state.length), uint16(1), uint32(state.length), state);
}

/**
 * Decodes the permanent state from swtpm's file `tpm2-00.permall`.
 * @throws KeyprovError `state-invalid` if it is another file, cut off, or encrypted.
 */
export function importSwtpmState(file: Uint8Array): Bytes {
  checkBytes(file, 'the file');
  const state = copy(file.subarray(HEADER_SIZE));
  if (!equal(file, exportSwtpmState(state))) {
    throw new KeyprovError('state-invalid', 'this is not a complete, unencrypted TPM 2.0 state of swtpm', {
      remedy: 'give the file tpm2-00.permall of a swtpm that runs without a state key',
    });
  }
  return state;
}

import { fromHex } from '../../src/bytes.ts';
import { derSequence } from '../../src/crypto/der-write.ts';
import { encodeSpki, encodeSpkiPem } from '../../src/crypto/public-key.ts';
import * as tcg from '../../src/formats/tcg/index.ts';
import * as x509 from '../../src/formats/x509/index.ts';
import { signingKeyOf } from '../../src/testing/signing-key.ts';
import { userKeyTemplate } from '../../src/tpm/templates.ts';
import { ecKey } from '../signing-key.ts';
import { paperKey } from '../unit/attestation/paper-tpm.ts';
import { alike, bytes, counted, type Entrance, LONG_LENGTHS, onlySample, same, text } from './entrance.ts';
import type { EntranceWorld } from './world.ts';

/** The entrances of `keyprov/formats/x509` and `keyprov/formats/tcg`. */
export async function x509Entrances(world: EntranceWorld): Promise<Readonly<Record<string, Entrance>>> {
  const { evidence, options, file } = world;
  const [akCertificate = new Uint8Array(0)] = evidence.ak.certificates ?? [];
  const key = signingKeyOf(paperKey(userKeyTemplate('p-256'), 'user').privateKey);
  const subject = x509.buildCommonName('host.example');
  const request = await x509.buildCertificateRequest(
    { subject, attributes: [x509.buildLampsAttestation(evidence)] },
    key,
  );
  const csr = tcg.parseTcgCsrIdevid(file('tcg-csr-idevid'));
  return {
    decodeAlternativeNames: bytes(
      x509.decodeAlternativeNames,
      x509.encodeAlternativeNames([
        { kind: 'dns', value: 'a.test' },
        { kind: 'permanent-identifier', value: '0123abcd', assigner: x509.EK_IDENTIFIER },
        { kind: 'hardware-module', type: x509.TPM_2_0_HARDWARE, serialNumber: fromHex('0102') },
      ]),
      same(x509.encodeAlternativeNames, LONG_LENGTHS),
    ),
    decodeAttestationBundles: bytes(
      x509.decodeAttestationBundles,
      file('attestation-bundle'),
      same(bundle, { ...LONG_LENGTHS, reason: `${LONG_LENGTHS.reason}, and what older drafts have is not written` }),
    ),
    decodeSpki: bytes(x509.decodeSpki, encodeSpki(ecKey('P-256').publicKey), same(x509.encodeSpki)),
    decodeSpkiPem: text(
      x509.decodeSpkiPem,
      encodeSpkiPem(ecKey('P-256').publicKey),
      alike('PEM may have text around it, and other lines', x509.encodeSpkiPem),
    ),
    decodeTpmCertify: bytes(x509.decodeTpmCertify, file('tpm-certify'), same(x509.encodeTpmCertify, LONG_LENGTHS)),
    findDerQuirks: bytes(x509.findDerQuirks, akCertificate, counted('it looks for what is odd')),
    parseCertificateRequest: bytes(x509.parseCertificateRequest, request, counted('who signs it writes it')),
    parseEnvelope: bytes(x509.parseEnvelope, file('cms'), counted('it is written with new keys each time')),
    verifyAttestedRequest: bytes(
      (input: Uint8Array) => x509.verifyAttestedRequest(input, options),
      request,
      onlySample(request, ({ ok }) => ok, LONG_LENGTHS),
    ),
    decodeIdevidContent: bytes(tcg.decodeIdevidContent, csr.contentBytes, same(tcg.encodeIdevidContent)),
    'findCertifiedAk.certificates': bytes(
      (input: Uint8Array) => tcg.findCertifiedAk(evidence, [input]),
      akCertificate,
      counted('it finds the certificate of a key'),
    ),
    parseTcgCsrIdevid: bytes(
      tcg.parseTcgCsrIdevid,
      file('tcg-csr-idevid'),
      alike('others write another number for the version', tcg.encodeTcgCsrIdevid),
    ),
  };
}

/** The bundle, if keyprov writes this form; older drafts had lists of bundles with more members. */
function bundle([first, ...others]: readonly x509.AttestationBundle[], input: Uint8Array): Uint8Array | undefined {
  const isOld = others.length > 0 || first?.attestations.some((one) => Object.keys(one).length > 2);
  if (first === undefined || isOld) return undefined;
  const written = x509.encodeAttestationBundle(first);
  const list = derSequence(written);
  const { normal } = LONG_LENGTHS; // a certificate in it may have such lengths too
  return normal(input).length === normal(list).length ? list : written;
}

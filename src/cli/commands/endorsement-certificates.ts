import {
  type EkCertificates,
  type FoundEkCertificate,
  readEkCertificates,
} from '../../attestation/read-ek-certificates.ts';
import { type EkCertificateResult, verifyEkCertificate } from '../../attestation/verify-ek-certificate.ts';
import { describeName } from '../../crypto/distinguished-name.ts';
import { encodePem } from '../../crypto/pem.ts';
import { KeyprovError, withCleanup } from '../../errors.ts';
import { ekCertificateService } from '../../registration/ek-certificate-service.ts';
import type { Tpm } from '../../tpm/tpm.ts';
import type { Context } from '../command.ts';
import { readEkPublicArea } from '../ek-public-area.ts';
import { EXIT } from '../exit-codes.ts';
import { writeResult } from '../file-io.ts';
import type { Arguments } from '../options/arguments.ts';
import { makerAdvice, readMakers } from '../options/maker-option.ts';
import { readRoots } from '../options/roots-option.ts';
import { certificatesOf } from '../options/service-option.ts';
import { openFetch } from '../service-connection.ts';
import type { Outcome } from '../terminal/report.ts';

/** The arguments about the certificates of endorsement keys. */
export interface CertificateArguments {
  readonly roots: string | undefined;
  /** Makers that the certificates may name. */
  readonly makers: readonly string[];
  readonly service: boolean;
  readonly ca: string | undefined;
  readonly proxy: string | undefined;
  readonly out: string | undefined;
}

/** Reads them. */
export async function readCertificateArguments(given: Arguments): Promise<CertificateArguments> {
  const [roots, proxy, out] = [given.text('ek-roots'), given.text('proxy'), given.text('out')];
  const makers = readMakers(given);
  if (roots === undefined) given.refuse(['allow-maker'], 'works only with --ek-roots');
  const ca = await certificatesOf(given, 'service-ca');
  const service = given.has('ek-service');
  given.refuse(
    ['flush', 'flush-all', 'reset-lockout'],
    'cannot be used with --ek-certificates, --ek-roots or --ek-service',
  );
  if (!service) given.refuse(['service-ca', 'proxy'], 'works only with --ek-service');
  return { roots, makers, service, ca, proxy, out };
}

/** A certificate, what it says, and with roots, whether it verifies. */
type Judged = FoundEkCertificate & EkCertificateResult & { readonly template: string };

/** Shows the certificates of the TPM's endorsement keys, and verifies them if there are roots. */
export async function showCertificates(tpm: Tpm, given: CertificateArguments, context: Context): Promise<Outcome> {
  const { signal } = context;
  const trusted = given.roots === undefined ? undefined : await readRoots(given.roots, '--ek-roots', context);
  const found = await findCertificates(tpm, given, signal);
  const certificates: Judged[] = [];
  for (const one of found.certificates) {
    const template = one.nv?.template ?? FETCHED;
    // H-5 has no template here, so no key that the certificate could be compared with.
    const ek = trusted && template !== 'H-5' ? await readEkPublicArea(tpm, template, { signal }) : undefined;
    const { roots = [], intermediates = [] } = trusted ?? {};
    const chain = [...found.chain, ...intermediates];
    certificates.push({
      ...one,
      template,
      ...(await verifyEkCertificate(one.der, {
        ...{ ek, roots, intermediates: chain, allowedManufacturers: given.makers },
      })),
    });
  }
  const pem = certificates.map(({ der }) => encodePem('CERTIFICATE', der));
  if (given.out !== undefined) {
    if (pem.length > 0) await writeResult(given.out, pem.join(''), signal);
    else if (trusted === undefined) throw new KeyprovError('key-not-found', none(given));
  }
  const verified = trusted && certificates.length > 0 && certificates.every(({ ok }) => ok);
  return {
    exitCode: verified === false ? EXIT.unverified : EXIT.done,
    lines: [
      ...certificates.flatMap((one, index) => [...(index > 0 ? [''] : []), ...describe(one, trusted !== undefined)]),
      ...found.problems.map(({ indices, detail }) => `unusable     NV ${indices.map(hex).join(', ')}: ${detail}`),
      ...makerAdvice(trusted ? certificates.flatMap(({ findings }) => findings) : []),
      ...(certificates.length === 0 ? [none(given)] : []),
    ],
    json: {
      ...(verified === false && {
        error: { code: 'not-verified', message: 'the TPM has no endorsement key certificate, or one does not verify' },
      }),
      ...{ tpm: tpm.transport.address, verified },
      certificates: certificates.map((one, index) => ({
        ...toJson(one),
        pem: pem[index],
        ...(trusted && verdict(one)),
      })),
      problems: found.problems.map(({ indices, detail }) => ({ indices: indices.map(hex), detail })),
    },
  };
}

/** The endorsement key that the service of a maker is asked for: the one that every TPM of such a maker has. */
const FETCHED = 'L-1';

async function findCertificates(
  tpm: Tpm,
  { service, ca, proxy }: CertificateArguments,
  signal: AbortSignal,
): Promise<EkCertificates> {
  if (!service) return await readEkCertificates(tpm, { signal });
  const fetch = openFetch({ ca, proxy });
  return await withCleanup(
    async () => {
      const ek = await readEkPublicArea(tpm, FETCHED, { signal });
      return await readEkCertificates(tpm, { signal, fetcher: { ek, lookUp: ekCertificateService({ fetch }) } });
    },
    () => fetch.close(),
  );
}

const none = ({ service }: CertificateArguments): string =>
  service
    ? `the TPM has no endorsement key certificate, and its maker's service has none for ${FETCHED}`
    : "the TPM has no endorsement key certificate; --ek-service requests one from the TPM's maker";

const hex = (index: number): string => `0x${index.toString(16).padStart(8, '0')}`;
const day = (time: Date): string => time.toISOString().slice(0, 10);
const verdict = ({ ok, findings }: Judged) => ({ verified: ok, findings });

function describe(one: Judged, isJudged: boolean): string[] {
  const { source, nv, template, certificate: read, ok, findings } = one;
  const place = nv === undefined ? source : `NV ${hex(nv.index)}`;
  const failed = findings.filter(({ status }) => status !== 'pass');
  return [
    `certificate  ${place}, of the endorsement key ${template}`,
    ...(read === undefined
      ? []
      : [
          `maker        ${read.manufacturer ?? 'unknown'}, model ${read.model ?? 'unknown'}, version ${read.version ?? 'unknown'}`,
          `issuer       ${describeName(read.certificate.issuer)}`,
          `valid        ${day(read.certificate.notBefore)} to ${day(read.certificate.notAfter)}`,
        ]),
    ...(isJudged
      ? [
          `${ok ? 'verified' : 'NOT verified'}: ${findings.length - failed.length} of ${findings.length} checks passed`,
          ...failed.map(({ id, status, detail }) => `${status.padEnd(8)} ${id}: ${detail}`),
        ]
      : []),
  ];
}

function toJson({ source, nv, template, certificate }: Judged): object {
  return {
    ...{ source, template, index: nv && hex(nv.index) },
    ...(certificate && {
      ...{ manufacturer: certificate.manufacturer, model: certificate.model, version: certificate.version },
      issuer: describeName(certificate.certificate.issuer),
      notBefore: certificate.certificate.notBefore.toISOString(),
      notAfter: certificate.certificate.notAfter.toISOString(),
    }),
  };
}

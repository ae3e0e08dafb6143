import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inspect } from '../../src/inspect/inspect.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms, toolEnvironment } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { tctiOf } from './support/swtpm-address.ts';

/** Lines for a shell that write healthy files, and what some of them are. Names without a dot are of no interest. */
interface Producer {
  readonly programs: readonly string[];
  readonly lines: string;
  readonly found: Readonly<Record<string, string>>;
}

const PRODUCERS: Readonly<Record<string, Producer>> = {
  openssl: {
    programs: ['openssl'],
    lines: `
      openssl req -x509 -newkey rsa:2048 -nodes -keyout key -subj /CN=root -out cert.pem
      for curve in prime256v1 secp384r1 secp224r1 secp256k1 brainpoolP320r1; do
        openssl ecparam -name $curve -genkey -out $curve.pem
        openssl ec -in $curve.pem -pubout -out $curve-public.pem
      done
      openssl ecparam -name prime256v1 -out parameters.pem
      openssl ecparam -name prime256v1 -outform DER -out parameters.der
      openssl ecparam -name prime256v1 -param_enc explicit -genkey -out explicit.pem
      openssl ec -in explicit.pem -pubout -out explicit-public.pem
      openssl ec -in prime256v1.pem -pubout -conv_form compressed -out compressed.pem
      openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out group.pem
      openssl dhparam -dsaparam -out dh.pem 512
      openssl dsaparam -out dsa.pem 1024
      for kind in RSA RSA-PSS ED25519 ED448 X25519; do
        openssl genpkey -algorithm $kind -out $kind.pem
        openssl pkey -in $kind.pem -outform DER -out $kind.der
        openssl pkey -in $kind.pem -pubout -out $kind-public.pem
        openssl pkey -in $kind.pem -text -out $kind.txt
      done
      openssl rsa -in RSA.pem -traditional -aes128 -passout pass:x -out encrypted.pem
      openssl pkcs8 -topk8 -in RSA.pem -scrypt -passout pass:x -out scrypt.pem
      openssl rsa -in RSA.pem -RSAPublicKey_out -out pkcs1.pem
      openssl x509 -in cert.pem -text -out cert.txt
      openssl x509 -in cert.pem -trustout -addtrust serverAuth -out trusted.pem
      openssl x509 -in cert.pem -trustout -setalias name -out alias.pem
      openssl req -new -key ED25519.pem -subj /CN=a -out request.pem
      cat cert.pem key > both.pem
      openssl pkcs12 -export -inkey key -in cert.pem -passout pass:x -out store.p12
      openssl crl2pkcs7 -nocrl -certfile cert.pem -out chain.p7b
      openssl crl2pkcs7 -nocrl -certfile cert.pem -outform DER -out chain.p7c
      echo text >text
      openssl cms -sign -in text -signer cert.pem -inkey key -outform PEM -out signed.pem
      openssl cms -encrypt -in text -outform PEM -out enveloped.pem cert.pem
      openssl cms -encrypt -in text -outform DER -pwri_password x -out password.der
      openssl cms -encrypt -stream -in text -outform PEM -out stream.pem cert.pem
      openssl cms -encrypt -stream -in text -outform DER -out stream.der cert.pem
      openssl dgst -sha256 -sign key -out rsa.sig text
      openssl dgst -sha256 -sign prime256v1.pem -out ec.sig text
      openssl ts -query -data text -out stamp.tsq
      openssl ocsp -issuer cert.pem -cert cert.pem -reqout ocsp.req
      openssl spkac -key key -challenge hello -out spkac.txt`,
    found: {
      'prime256v1.pem': '2 PEM blocks',
      'parameters.pem': 'PEM block EC PARAMETERS',
      'group.pem': 'PEM block DH PARAMETERS',
      'trusted.pem': 'X.509 certificate',
      'alias.pem': 'X.509 certificate',
      'compressed.pem': 'public elliptic-curve (compressed point) key (SubjectPublicKeyInfo)',
      'explicit-public.pem': 'public elliptic-curve (explicit parameters) key (SubjectPublicKeyInfo)',
      'RSA-PSS-public.pem': 'public RSASSA-PSS key (SubjectPublicKeyInfo)',
      'password.der': 'CMS EnvelopedData',
      'stream.pem': 'PEM block CMS',
    },
  },
  OpenSSH: {
    programs: ['ssh-keygen'],
    lines: `
      for kind in rsa ecdsa ed25519; do ssh-keygen -q -t $kind -N '' -f $kind -C ada@host; done
      for kind in rsa ecdsa; do
        for form in RFC4716 PKCS8 PEM; do ssh-keygen -e -m $form -f $kind.pub >$kind.$form; done
      done
      ssh-keygen -q -t rsa -m PEM -N '' -f rsa.pem
      ssh-keygen -q -t ecdsa -m PEM -N 12345 -f encrypted.pem
      ssh-keygen -q -t ed25519 -N 12345 -f encrypted.ssh
      cat rsa.pub ecdsa.pub ed25519.pub >authorized_keys.several
      (echo '# ada'; cat rsa.pub; echo; cat ecdsa.pub) >authorized_keys.comment
      (echo "no-pty $(cat rsa.pub)"; cat ecdsa.pub) >authorized_keys.options
      (cat ecdsa.pub; echo "no-pty $(cat rsa.pub)") >authorized_keys.mixed
      tr ' ' '\\t' <rsa.pub >tab.pub
      echo "host $(cut -d ' ' -f 1,2 rsa.pub)" >known_hosts.txt
      ssh-keygen -q -s rsa -I id -n ada ecdsa.pub
      ssh-keygen -q -s ed25519 -h -I id -n ada rsa.pub
      echo text >text
      ssh-keygen -q -Y sign -f rsa -n file text
      ssh-keygen -q -k -f revoked.krl rsa.pub
      ssh-keygen -r host -f rsa.pub >records.txt`,
    found: {
      'authorized_keys.several': '3 SSH public keys',
      'authorized_keys.comment': '2 SSH public keys',
      'tab.pub': 'SSH public key, RSA-3072 key',
      'text.sig': 'PEM block SSH SIGNATURE',
    },
  },
  GnuPG: {
    programs: ['gpg', 'gpgconf'],
    lines: `
      export GNUPGHOME=$PWD/home; mkdir -m 700 home; echo text >text
      gpg -q --batch --passphrase '' --quick-gen-key a@contoso.test rsa2048 sign never
      gpg -q --export >public.gpg; gpg -q --armor --export >public.asc
      gpg -q --batch --armor --export-secret-keys >secret.asc; gpg -q --batch --export-secret-keys >secret.gpg
      gpg -q --batch --armor --detach-sign -o detached.asc text; gpg -q --batch --detach-sign -o detached.sig text
      gpg -q --batch --clearsign -o clear.asc text
      gpgconf --kill all`,
    found: {
      'public.asc': 'PEM block PGP PUBLIC KEY BLOCK',
      'secret.asc': 'PEM block PGP PRIVATE KEY BLOCK',
      'clear.asc': 'PEM block PGP SIGNED MESSAGE',
    },
  },
  GnuTLS: {
    programs: ['certtool'],
    lines: `
      for kind in rsa ed25519 ecdsa; do certtool --generate-privkey --key-type $kind --outfile $kind.pem; done
      printf 'cn = x\\nca\\nserial = 1\\nexpiration_days = 9\\n' >template
      certtool --generate-self-signed --load-privkey ecdsa.pem --template template --outfile cert.pem
      certtool --generate-request --load-privkey ecdsa.pem --template template --outfile request.pem
      certtool --load-privkey ecdsa.pem --pubkey-info --outfile public.pem
      certtool --get-dh-params --outfile dh.pem
      certtool --p7-generate --load-certificate cert.pem --outfile chain.p7b
      certtool --to-p12 --load-privkey ecdsa.pem --load-certificate cert.pem --password x --p12-name n --outfile store.p12`,
    found: { 'dh.pem': 'PEM block DH PARAMETERS', 'store.p12': 'PEM block PKCS12' },
  },
  // With the object that each command loads flushed, as there is no resource manager.
  'tpm2-tools': {
    programs: ['swtpm', 'tpm2', 'openssl'],
    lines: `
      free() { tpm2 flushcontext -t; }
      tpm2 createprimary -C o -c primary.ctx --creation-data creation.data -t creation.ticket; free
      tpm2 create -C primary.ctx -G rsa -u rsa.pub -r rsa.priv -c rsa.ctx; free
      tpm2 create -C primary.ctx -G ecc -u ecc.pub -r ecc.priv -c ecc.ctx; free
      tpm2 create -C primary.ctx -G hmac -u hmac.pub -r hmac.priv; free
      tpm2 readpublic -c ecc.ctx -n ecc.name -f pem -o ecc.pem; free
      tpm2 readpublic -c ecc.ctx -f tpmt -o ecc.tpmt; free
      echo text >text
      tpm2 sign -c ecc.ctx -g sha256 -o ecc.sig text; free
      tpm2 sign -c rsa.ctx -g sha256 -o rsa.sig text; free
      tpm2 createek -G rsa -c ek.ctx -u ek.pub; free
      tpm2 createak -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pub -n ak.name -r ak.priv; free
      tpm2 flushcontext -l; tpm2 flushcontext -s
      tpm2 quote -c ak.ctx -l sha256:0,1 -q c0ffee -m quote.msg -s quote.sig -o quote.pcrs; free
      tpm2 certify -c ecc.ctx -C ak.ctx -g sha256 -o certify.attest -s certify.sig; free
      tpm2 startauthsession -S hmac.session; tpm2 flushcontext hmac.session
      tpm2 startauthsession --policy-session -S policy.session; tpm2 flushcontext policy.session
      echo 12345678 >secret
      tpm2 makecredential -T none -u ek.pub -s secret -n $(od -An -v -tx1 ak.name | tr -d ' \\n') -o credential.blob
      tpm2 evictcontrol -C o -c primary.ctx 0x81000001 -o persistent.handle; free
      tpm2 pcrread -o pcr.bin`,
    found: {
      'primary.ctx': 'tpm2-tools context file of an object',
      'ecc.ctx': 'tpm2-tools context file of an object',
      'hmac.session': 'tpm2-tools context file of a session',
      'policy.session': 'tpm2-tools context file of a session',
      'credential.blob': 'tpm2-tools credential file',
    },
  },
};

describe.each(Object.entries(PRODUCERS))('a healthy file of %s', (name, { programs, lines, found }) => {
  it.skipIf(missingPrograms(...programs))('is never called damaged, and some are named', async () => {
    using directory = temporaryDirectory();
    const swtpm = name === 'tpm2-tools' ? await startSwtpm() : undefined;
    try {
      const tcti = swtpm === undefined ? {} : { TPM2TOOLS_TCTI: tctiOf(swtpm) };
      const options = { cwd: directory.path, env: { ...toolEnvironment(), ...tcti }, stdio: 'pipe' } as const;
      execFileSync('sh', ['-ec', lines], options);
    } finally {
      await swtpm?.stop();
    }
    const titles = new Map<string, string>();
    const damaged: string[] = [];
    for (const file of readdirSync(directory.path, { withFileTypes: true })) {
      if (!file.isFile() || !file.name.includes('.')) continue;
      const { title, confidence, problems } = await inspect(readFileSync(join(directory.path, file.name)));
      titles.set(file.name, title);
      if (confidence === 'damaged') damaged.push(`${file.name}: ${title}: ${problems}`);
    }
    expect(damaged).toEqual([]);
    expect(Object.fromEntries(Object.keys(found).map((file) => [file, titles.get(file)]))).toEqual(found);
  });
});

describe('a file in the PEM block of certutil -encode', () => {
  const wrapped = (bytes: Uint8Array) =>
    inspect(
      Buffer.from(
        `-----BEGIN CERTIFICATE-----\r\n${Buffer.from(bytes).toString('base64')}\r\n-----END CERTIFICATE-----\r\n`,
      ),
    );

  it('is read, whatever it is', async () => {
    const problems = ["the PEM block's label is CERTIFICATE"];
    const link = Buffer.from(JSON.parse(readFileSync('test/vectors/kast.json', 'utf8')).composed.kastHex, 'hex');
    expect(await wrapped(link)).toMatchObject({ format: 'kast', confidence: 'certain', problems });
    const line = await wrapped(Buffer.from('{"alg":"x","kty":"RSA"}'));
    expect(line.confidence).not.toBe('damaged');
    expect(await wrapped(Buffer.from('any text at all'))).toMatchObject({ confidence: 'none', format: 'pem' });
  });
});

"""Uses sessions of tpm2-tss in every way against a swtpm and tells all about it.

usage: tss_sessions.py SOCKET all|few

SOCKET is the data socket of a new swtpm. Writes one JSON object: the keys that salts were encrypted to, with their
private parts, and the cases. `few` is a selection in which any two of hash, salt, binding and cipher meet. Bytes are
hexadecimal digits; `parameters` and `result` of an exchange are what tpm2-tss was given and gave, that is before
encryption and after decryption.
"""

import datetime
import hashlib
import itertools
import struct
import sys

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tpm2_pytss import ESAPI, ESYS_TR
from tpm2_pytss.constants import TPM2_ALG, TPM2_CC, TPM2_SE, TPMA_NV, TPMA_OBJECT
from tpm2_pytss.types import (
    TPM2B_AUTH,
    TPM2B_DATA,
    TPM2B_DIGEST,
    TPM2B_MAX_NV_BUFFER,
    TPM2B_NONCE,
    TPM2B_NV_PUBLIC,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE,
    TPM2B_SENSITIVE_CREATE,
    TPML_PCR_SELECTION,
    TPMS_NV_PUBLIC,
    TPMS_SENSITIVE_CREATE,
    TPMT_SIG_SCHEME,
)
from tss_case import CIPHERS, HASHES, Case, Entity, Number, Recorder, lines
from tss_chain import DATA, Chain, point

SALTS = ("no salt", "salt for RSA-2048", "salt for P-256", "salt for P-384")
BINDINGS = ("unbound", "bound", "bound with zeros at the end of the value", "bound to another entity")
KEYINGS = ("neither salted nor bound", "salted", "bound")
POLICIES = ("PolicyAuthValue", "PolicyPassword", "PolicyCommandCode")

PIN, OTHER = b"12345", b"another value"


def new_salt_keys():
    """Name: private key, name algorithm."""
    return {
        "salt for RSA-2048": (rsa.generate_private_key(65537, 2048), TPM2_ALG.SHA256),
        "salt for P-256": (ec.generate_private_key(ec.SECP256R1()), TPM2_ALG.SHA256),
        "salt for P-384": (ec.generate_private_key(ec.SECP384R1()), TPM2_ALG.SHA384),
        "salt for P-521": (ec.generate_private_key(ec.SECP521R1()), TPM2_ALG.SHA512),
    }


def load_salt_key(tpm, key, name_alg):
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    area = TPM2B_PUBLIC.from_pem(public, name_alg, TPMA_OBJECT.DECRYPT | TPMA_OBJECT.USERWITHAUTH)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        # As a TPM makes them: tpm2-pytss leaves zeros out, and then the salt is made of shorter coordinates too.
        numbers, size = key.public_key().public_numbers(), (key.curve.key_size + 7) // 8
        area.publicArea.unique.ecc.x = numbers.x.to_bytes(size, "big")
        area.publicArea.unique.ecc.y = numbers.y.to_bytes(size, "big")
    return tpm.load_external(area, TPM2B_SENSITIVE.from_pem(private), ESYS_TR.NULL)


def sensitive(auth):
    return TPM2B_SENSITIVE_CREATE(TPMS_SENSITIVE_CREATE(userAuth=auth))


def key_template(use, name_alg="sha256", policy=b""):
    """A P-256 key to `decrypt` (ECDH) or `sign` with; with a policy nothing else authorizes it."""
    own = "" if policy else "|userwithauth"
    return TPM2B_PUBLIC.parse(
        "ecc256:ecdh-sha256" if use == "decrypt" else "ecc256:ecdsa-sha256",
        objectAttributes=f"fixedtpm|fixedparent|sensitivedataorigin|noda|{use}{own}",
        nameAlg=name_alg,
        authPolicy=policy,
    )


def new_key(tpm, parent, auth, *template):
    private, public, *_ = tpm.create(parent.tr, sensitive(auth), key_template(*template))
    return Entity(tpm, tpm.load(parent.tr, private, public), auth)


def nv_public(index):
    attributes = TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA
    area = TPMS_NV_PUBLIC(nvIndex=index, nameAlg=TPM2_ALG.SHA256, attributes=attributes, dataSize=len(DATA))
    return TPM2B_NV_PUBLIC(area)


def hmac_cases(tpm, few, keys, parent):
    nv = Entity(tpm, tpm.nv_define_space(OTHER, nv_public(0x01800001)), OTHER)
    tpm.nv_write(nv.tr, DATA, auth_handle=nv.tr)
    key = new_key(tpm, parent, PIN + b"\0\0", "decrypt")
    for salt_index, salt_name in enumerate(SALTS):
        salt = salt_name in keys and (salt_name, load_salt_key(tpm, *keys[salt_name]))
        for hash_index, bind_index, cipher_index in itertools.product(range(4), repeat=3):
            # An orthogonal array over the field of four elements: any two of the four properties meet once.
            doubled = (0, 2, 3, 1)[salt_index]
            if few and (bind_index, cipher_index) != (hash_index ^ salt_index, hash_index ^ doubled):
                continue
            hash_name, cipher = list(HASHES)[hash_index], CIPHERS[cipher_index]
            key.know(PIN + b"\0\0" if bind_index == 2 else PIN)
            case = Case(tpm, f"HMAC, {hash_name}, {salt_name}, {BINDINGS[bind_index]}, {cipher}")
            chain = Chain(case, hash_name, cipher, salt, (None, key, key, nv)[bind_index], key, parent, nv)
            for role in Chain.ROLES[(hash_index + salt_index) % 4 :: 4] if few else Chain.ROLES:
                role(chain)
            chain.zgen(chain.s, last=chain.s)
            yield case.end()
        if salt:
            tpm.flush_context(salt[1])
    tpm.flush_context(key.tr)


def policy_cases(tpm, few, keys, parent):
    """Policies under which a key may be used, each with every hash and cipher."""
    for (hash_index, hash_name), (policy_index, policy) in itertools.product(enumerate(HASHES), enumerate(POLICIES)):
        by_command = policy == "PolicyCommandCode"
        step = struct.pack(">I", TPM2_CC.PolicyCommandCode if by_command else TPM2_CC.PolicyAuthValue)
        if by_command:
            step += struct.pack(">I", TPM2_CC.ECDH_ZGen)
        name_alg = hash_name.lower().replace("-", "")
        digest = hashlib.new(name_alg, bytes(hashlib.new(name_alg).digest_size) + step).digest()
        key = new_key(tpm, parent, PIN, "decrypt", name_alg, digest)
        salt_name = SALTS[1 + hash_index % 3]
        salt = (salt_name, load_salt_key(tpm, *keys[salt_name]))
        for (keying_index, keying), (cipher_index, cipher) in itertools.product(enumerate(KEYINGS), enumerate(CIPHERS)):
            if few and (keying_index != (hash_index + policy_index) % 3 or cipher_index != hash_index ^ policy_index):
                continue
            # tpm2-tss 3.2.1 leaves the authorization value out of the HMAC, as if the session were no policy session.
            if policy == "PolicyAuthValue" and keying == "bound":
                continue
            case = Case(tpm, f"{policy}, {hash_name}, {keying}, {cipher}")
            s = case.start(
                hash_name, cipher, keying == "salted" and salt, keying == "bound" and key, TPM2_SE.POLICY
            )
            # Beside a password in clear tpm2-tss 3.2.1 sends no nonce, but decrypts and encrypts as if it had.
            can_encrypt = cipher != "no cipher" and policy != "PolicyPassword"
            for use in ["encrypt"], ["decrypt", "encrypt"]:
                parameters = [Number(4, TPM2_CC.ECDH_ZGen)] if by_command else []
                case.run(policy, [(case.entity(s), None)], parameters)
                case.run("ECDH_ZGen", [(key, s)], [point()], uses={s: use if can_encrypt else []})
            yield case.end()
        tpm.flush_context(key.tr)
        tpm.flush_context(salt[1])


def change_cases(tpm, few, keys):
    """
    Commands that change the authorization value with which they are authorized. Not bound to what they change: there
    tpm2-tss 3.2.1 expects an answer that is authenticated as if the session had never been bound.
    """
    owner, endorsement = Entity(tpm, ESYS_TR.OWNER, b""), Entity(tpm, ESYS_TR.ENDORSEMENT, b"")
    salt = ("salt for P-256", load_salt_key(tpm, *keys["salt for P-256"]))
    keyings = {
        "neither salted nor bound": (None, None),
        "salted": (salt, None),
        "bound to another entity": (None, endorsement),
    }
    for (index, hash_name), (number, keying) in itertools.product(enumerate(HASHES), enumerate(keyings)):
        if few and number != index % 3:
            continue
        cipher = CIPHERS[(index + number) % 4]
        case = Case(tpm, f"HierarchyChangeAuth, {hash_name}, {keying}, {cipher}")
        s = case.start(hash_name, cipher, *keyings[keying])
        for new in PIN, PIN, OTHER, b"":
            uses = {s: [] if cipher == "no cipher" else ["decrypt"]}
            case.run("HierarchyChangeAuth", [(owner, s)], [TPM2B_AUTH(new)], uses=uses)
            owner.know(new)
        yield case.end()
    tpm.flush_context(salt[1])


def object_case(tpm, keys, parent):
    salt = ("salt for P-256", load_salt_key(tpm, *keys["salt for P-256"]))
    case = Case(tpm, "a key is made, loaded and certified, all encrypted")
    s = case.start("SHA-256", "AES-128-CFB", salt)
    tpm.flush_context(salt[1])
    both = {s: ["decrypt", "encrypt"]}
    making = [sensitive(PIN), key_template("decrypt"), TPM2B_DATA(b"outside"), TPML_PCR_SELECTION.parse("sha256:7")]
    private, public, *_ = case.run("Create", [(parent, s)], making, uses=both)
    key = Entity(tpm, case.run("Load", [(parent, s)], [private, public], uses=both)[0], PIN)
    signer = new_key(tpm, parent, OTHER, "sign")
    second, third = case.start("SHA-1", "no cipher"), case.start("SHA-384", "XOR", bind=signer)
    scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL)
    handles = [(key, second), (signer, s)]
    case.run("Certify", handles, [TPM2B_DATA(b"challenge"), scheme], [third], {s: ["decrypt"], third: ["encrypt"]})
    case.run("Certify", handles, [TPM2B_DATA(b"challenge"), scheme], [third], {s: ["encrypt"], third: ["decrypt"]})
    tpm.flush_context(key.tr)
    tpm.flush_context(signer.tr)
    return case.end()


def nv_case(tpm, keys):
    owner = Entity(tpm, ESYS_TR.OWNER, b"")
    case = Case(tpm, "an NV index is made, used and removed; bound to its hierarchy, with a salt for P-521")
    salt = ("salt for P-521", load_salt_key(tpm, *keys["salt for P-521"]))
    s = case.start("SHA-512", "AES-256-CFB", salt, owner)
    tpm.flush_context(salt[1])
    made = case.run("NV_DefineSpace", [(owner, s)], [TPM2B_AUTH(OTHER), nv_public(0x01800002)], uses={s: ["decrypt"]})
    nv = Entity(tpm, made, OTHER)
    # Its Name changes with the first writing.
    for _ in range(2):
        parameters = [TPM2B_MAX_NV_BUFFER(DATA), Number(2, 0)]
        case.run("NV_Write", [(nv, s), (nv, None)], parameters, uses={s: ["decrypt"]})
    case.run("NV_UndefineSpace", [(owner, s), (nv, None)], last=s)
    return case.end()


def secret_case(tpm):
    platform = Entity(tpm, ESYS_TR.PLATFORM, b"")
    case = Case(tpm, "PolicySecret is authorized by a session")
    policy = case.start("SHA-256", "no cipher", kind=TPM2_SE.POLICY)
    s = case.start("SHA-384", "AES-128-CFB", bind=platform)
    nonce = bytes(tpm.trsess_get_nonce_tpm(case.trs[policy]))
    parameters = [TPM2B_NONCE(nonce), TPM2B_DIGEST(), TPM2B_NONCE(b"reference"), Number(4, 10)]
    handles = [(platform, s), (case.entity(policy), None)]
    case.run("PolicySecret", handles, parameters, uses={s: ["decrypt", "encrypt"]})
    return case.end()


def clear_case(tpm):
    """The last one: the TPM is empty afterwards."""
    lockout = Entity(tpm, ESYS_TR.LOCKOUT, b"")
    case = Case(tpm, "Clear, authorized by the lockout value, which is gone afterwards")
    s = case.start("SHA-256", "no cipher")
    case.run("HierarchyChangeAuth", [(lockout, s)], [TPM2B_AUTH(PIN)])
    lockout.know(PIN)
    case.run("Clear", [(lockout, s)])
    return case.end()


def main(path, mode):
    few = mode == "few"
    with Recorder(path) as tcti, ESAPI(tcti) as tpm:
        keys = new_salt_keys()
        parent = Entity(tpm, tpm.create_primary(None, "ecc256:aes128cfb")[0], b"")
        cases = [
            *hmac_cases(tpm, few, keys, parent),
            *policy_cases(tpm, few, keys, parent),
            *change_cases(tpm, few, keys),
            object_case(tpm, keys, parent),
            nv_case(tpm, keys),
            secret_case(tpm),
        ]
        tpm.flush_context(parent.tr)
        cases.append(clear_case(tpm))
    source = "tpm2-tss 3.2.1 through tpm2-pytss 1.2.0 against swtpm 0.7.1"
    der = {
        name: key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()).hex()
        for name, (key, _) in keys.items()
    }
    print(lines({"source": f"{source}, {datetime.date.today()}", "saltKeys": der, "cases": cases}))


if __name__ == "__main__":
    main(*sys.argv[1:])

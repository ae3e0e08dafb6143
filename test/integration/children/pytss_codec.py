"""Marshals and unmarshals structures with tpm2-pytss, that is with tpm2-tss.

Reads one JSON object per line and answers each with one.

{"type": T, "hex": H}    unmarshals H as a T and marshals it again
{"type": T, "value": V}  fills a T field by field with V and marshals it; bytes are hexadecimal digits, integers of
                         8 bytes decimal digits, bit fields objects of the attributes that are set

Answer: {"hex": H} or {"error": text}.
"""

import json
import sys

from tpm2_pytss import constants
from tpm2_pytss._libtpm2_pytss import ffi, lib

ALG = constants.TPM2_ALG
ST = constants.TPM2_ST
CAP = constants.TPM2_CAP

# Member of a union for the value of its selector.
UNIONS = {
    "TPMU_PUBLIC_PARMS": {
        ALG.RSA: "rsaDetail",
        ALG.ECC: "eccDetail",
        ALG.KEYEDHASH: "keyedHashDetail",
        ALG.SYMCIPHER: "symDetail",
    },
    "TPMU_PUBLIC_ID": {ALG.RSA: "rsa", ALG.ECC: "ecc", ALG.KEYEDHASH: "keyedHash", ALG.SYMCIPHER: "sym"},
    "TPMU_SENSITIVE_COMPOSITE": {ALG.RSA: "rsa", ALG.ECC: "ecc", ALG.KEYEDHASH: "bits", ALG.SYMCIPHER: "sym"},
    "TPMU_ATTEST": {
        ST.ATTEST_CERTIFY: "certify",
        ST.ATTEST_CREATION: "creation",
        ST.ATTEST_QUOTE: "quote",
        ST.ATTEST_COMMAND_AUDIT: "commandAudit",
        ST.ATTEST_SESSION_AUDIT: "sessionAudit",
        ST.ATTEST_TIME: "time",
        ST.ATTEST_NV: "nv",
    },
    "TPMU_CAPABILITIES": {
        CAP.ALGS: "algorithms",
        CAP.HANDLES: "handles",
        CAP.COMMANDS: "command",
        CAP.PP_COMMANDS: "ppCommands",
        CAP.AUDIT_COMMANDS: "auditCommands",
        CAP.PCRS: "assignedPCR",
        CAP.TPM_PROPERTIES: "tpmProperties",
        CAP.PCR_PROPERTIES: "pcrProperties",
        CAP.ECC_CURVES: "eccCurves",
    },
}
# In all other unions the member has the name of the algorithm.
ALGORITHMS = {
    ALG.AES: "aes",
    ALG.CAMELLIA: "camellia",
    ALG.ECDAA: "ecdaa",
    ALG.ECDH: "ecdh",
    ALG.ECDSA: "ecdsa",
    ALG.ECMQV: "ecmqv",
    ALG.ECSCHNORR: "ecschnorr",
    ALG.HMAC: "hmac",
    ALG.KDF1_SP800_108: "kdf1_sp800_108",
    ALG.KDF1_SP800_56A: "kdf1_sp800_56a",
    ALG.KDF2: "kdf2",
    ALG.MGF1: "mgf1",
    ALG.OAEP: "oaep",
    ALG.RSAES: "rsaes",
    ALG.RSAPSS: "rsapss",
    ALG.RSASSA: "rsassa",
    ALG.SHA1: "sha1",
    ALG.SHA256: "sha256",
    ALG.SHA384: "sha384",
    ALG.SHA512: "sha512",
    ALG.SM2: "sm2",
    ALG.SM3_256: "sm3_256",
    ALG.SM4: "sm4",
    ALG.XOR: "exclusiveOr",
}
SELECTORS = ("type", "algorithm", "scheme", "sigAlg", "hashAlg", "sensitiveType", "capability")

# Attributes of bit fields by the structure's field, where they are told apart by name only.
BITS = {
    "objectAttributes": constants.TPMA_OBJECT,
    "attributes": constants.TPMA_NV,
    "locality": constants.TPMA_LOCALITY,
    "algProperties": constants.TPMA_ALGORITHM,
    "command": constants.TPMA_CC,
}
NUMBERS = {"nt": "TPM2_NT", "extended": "EXTENDED", "commandIndex": "COMMANDINDEX", "cHandles": "CHANDLES"}


def bits(constants_class, value):
    names = {name.replace("_", ""): name for name in dir(constants_class)}
    renamed = {"SIGN": "SIGNENCRYPT", "VENDOR": "V"}
    result = 0
    for key, setting in value.items():
        if key in NUMBERS:
            result |= int(setting) << int(getattr(constants_class, NUMBERS[key] + "_SHIFT"))
            continue
        name = key.upper().removeprefix("LOC") if constants_class is constants.TPMA_LOCALITY else key.upper()
        # tpm2-tss 3.2.1 has the attribute, tpm2-pytss 1.2.0 has no name for it.
        if name == "X509SIGN":
            result |= 0x00080000
            continue
        result |= int(getattr(constants_class, names[renamed.get(name, name)]))
    return result


def integer(field, value):
    return bits(BITS[field], value) if isinstance(value, dict) else int(value)


def fill_array(target, size_holder, size_field, data):
    """Copies bytes into a C array and sets its length."""
    if len(data) > len(target):
        raise ValueError(f"{len(data)} bytes do not fit")
    ffi.buffer(target)[0 : len(data)] = data
    setattr(size_holder, size_field, len(data))


def fill(target, value):
    """Fills the C structure `target` with `value`."""
    fields = dict(ffi.typeof(target).fields)
    if "TPML_" in ffi.typeof(target).cname:
        (array,) = (name for name in fields if name != "count")
        target.count = len(value)
        for i, item in enumerate(value):
            items = getattr(target, array)
            if fields[array].type.item.kind == "primitive":
                items[i] = integer("command", item)
            else:
                fill(items[i], item)
        return
    if "size" in fields:
        (content,) = (name for name in fields if name != "size")
        if fields[content].type.kind == "array":
            fill_array(getattr(target, content), target, "size", bytes.fromhex(value))
        else:
            fill(getattr(target, content), value)
        return
    selector = next((value[name] for name in SELECTORS if name in fields and name in value), None)
    for name, part in value.items():
        if name == "pcrSelect" and "sizeofSelect" in fields:
            fill_array(target.pcrSelect, target, "sizeofSelect", bytes.fromhex(part))
            continue
        kind = fields[name].type.kind
        if kind == "union":
            union = getattr(target, name)
            members = UNIONS.get(fields[name].type.cname.split()[-1], ALGORITHMS)
            fill_member(union, members[selector], part)
        else:
            fill_member(target, name, part)


def fill_member(holder, name, value):
    member_type = dict(ffi.typeof(holder).fields)[name].type
    if member_type.kind == "primitive":
        setattr(holder, name, integer(name, value))
    elif member_type.kind == "array":
        ffi.buffer(getattr(holder, name))[:] = bytes.fromhex(value)
    else:
        fill(getattr(holder, name), value)


def marshal(name, target):
    buffer = ffi.new("uint8_t[8192]")
    offset = ffi.new("size_t *")
    check(getattr(lib, f"Tss2_MU_{name}_Marshal")(target, buffer, 8192, offset))
    return bytes(buffer[0 : offset[0]]).hex()


def check(code):
    if code != 0:
        raise ValueError(f"tpm2-tss refuses with 0x{code:x}")


def answer(request):
    name = request["type"]
    target = ffi.new(f"{name} *")
    if "hex" in request:
        data = bytes.fromhex(request["hex"])
        offset = ffi.new("size_t *")
        check(getattr(lib, f"Tss2_MU_{name}_Unmarshal")(data, len(data), offset, target))
        if offset[0] != len(data):
            raise ValueError(f"{len(data) - offset[0]} bytes left over")
    else:
        fill(target[0], request["value"])
    return {"hex": marshal(name, target)}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)

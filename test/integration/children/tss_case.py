"""Runs commands with tpm2-tss and keeps what it was told, what it sent, what came back and what it made of that."""

import json
import struct

from tpm2_pytss import ESYS_TR, TCTILdr
from tpm2_pytss._libtpm2_pytss import ffi
from tpm2_pytss.constants import TPM2_ALG, TPM2_SE, TPMA_SESSION
from tpm2_pytss.types import TPMT_SYM_DEF, TPMU_SYM_KEY_BITS, TPMU_SYM_MODE

HASHES = {
    "SHA-1": TPM2_ALG.SHA1,
    "SHA-256": TPM2_ALG.SHA256,
    "SHA-384": TPM2_ALG.SHA384,
    "SHA-512": TPM2_ALG.SHA512,
}
CIPHERS = ("no cipher", "AES-128-CFB", "AES-256-CFB", "XOR")
USES = {
    "continueSession": TPMA_SESSION.CONTINUESESSION,
    "decrypt": TPMA_SESSION.DECRYPT,
    "encrypt": TPMA_SESSION.ENCRYPT,
    "audit": TPMA_SESSION.AUDIT,
    "auditReset": TPMA_SESSION.AUDITRESET,
    "auditExclusive": TPMA_SESSION.AUDITEXCLUSIVE,
}
PASSWORD = "password"


class Recorder(TCTILdr):
    """The way to a swtpm, with a record of the last command and its answer."""

    def __init__(self, path):
        super().__init__("swtpm", f"path={path}")
        transmit, receive = self._v1.transmit, self._v1.receive

        def on_transmit(context, size, command):
            self.command = bytes(ffi.buffer(command, size))
            return transmit(context, size, command)

        def on_receive(context, size, answer, timeout):
            code = receive(context, size, answer, timeout)
            if code == 0 and answer != ffi.NULL:
                self.answer = bytes(ffi.buffer(answer, size[0]))
            return code

        self._callbacks = (
            ffi.callback(ffi.typeof(transmit), on_transmit),
            ffi.callback(ffi.typeof(receive), on_receive),
        )
        self._v1.transmit, self._v1.receive = self._callbacks

    def last(self):
        return {"command": self.command.hex(), "answer": self.answer.hex()}


class Number(int):
    """A number that takes `size` bytes in a command."""

    def __new__(cls, size, value):
        number = super().__new__(cls, value)
        number.size = size
        return number

    def marshal(self):
        return int(self).to_bytes(self.size, "big")


class Entity:
    """Something in the TPM with an authorization value; `None` where tpm2-tss is told by other means."""

    def __init__(self, tpm, tr, auth=None):
        self.tpm, self.tr = tpm, tr
        if auth is not None:
            self.know(auth)

    def know(self, auth):
        """Zeros at the end do not count, but tpm2-tss 3.2.1 counts them when it binds a session."""
        self.auth = auth
        self.tpm.tr_set_auth(self.tr, auth.rstrip(b"\0"))

    def describe(self):
        number = int(self.tpm.tr_get_tpm_handle(self.tr))
        # A session has no Name in tpm2-tss: it is its handle.
        is_session = number >> 24 in (2, 3)
        name = struct.pack(">I", number) if is_session else bytes(self.tpm.tr_get_name(self.tr))
        return {"handle": number, "name": name.hex()}


class Case:
    """Some sessions and the exchanges in which they are used."""

    def __init__(self, tpm, description):
        self.tpm, self.description = tpm, description
        self.sessions, self.exchanges, self.trs = [], [], []

    def start(self, hash_name, cipher, salt=None, bind=None, kind=TPM2_SE.HMAC):
        """Starts a session; `salt` is the name of a key and the key, `bind` an entity. Returns its number in the case."""
        salt_name, salt_key = salt or (None, ESYS_TR.NONE)
        bind_tr = bind.tr if bind else ESYS_TR.NONE
        self.trs.append(self.tpm.start_auth_session(salt_key, bind_tr, kind, sym_def(cipher), HASHES[hash_name]))
        session = self.tpm.tcti.last()
        if salt:
            session["salt"] = salt_name
        if bind:
            session["bind"] = {**bind.describe(), "authValue": bind.auth.hex()}
        self.sessions.append(session)
        return len(self.trs) - 1

    def entity(self, session):
        """The session as something that a command is about."""
        return Entity(self.tpm, self.trs[session])

    def run(self, command, handles=(), parameters=(), sessions=(), uses=None, last=None):
        """
        One command. `handles` are pairs of an entity and what authorizes it: a session, PASSWORD or None. `sessions`
        are used beside those; `uses` says for what. The session `last` ends with it.
        """
        described, slots, numbers = [], [], []
        for entity, by in handles:
            description = entity.describe()
            if by == PASSWORD:
                # This is what is sent, so it must be what tpm2-tss was told.
                description |= {"by": by, "authValue": entity.auth.rstrip(b"\0").hex()}
                slots.append(ESYS_TR.PASSWORD)
            elif by is not None:
                description |= {"by": by, "authValue": entity.auth.hex()}
                slots.append(self.trs[by])
                numbers.append(by)
            described.append(description)
        slots += [self.trs[number] for number in sessions]
        used = {}
        for number in [*numbers, *sessions]:
            used[number] = ([] if number == last else ["continueSession"]) + (uses or {}).get(number, [])
            self.tpm.trsess_set_attributes(self.trs[number], sum(USES[use] for use in used[number]), 0xFF)
        result = call(
            self.tpm,
            command,
            [entity.tr for entity, _ in handles],
            parameters,
            {f"session{i + 1}": slot for i, slot in enumerate(slots)},
        )
        recorded = self.tpm.tcti.last()
        values = result if isinstance(result, tuple) else () if result is None else (result,)
        plain = b"".join(value.marshal() for value in values if not isinstance(value, ESYS_TR))
        self.exchanges.append(
            {
                "name": command,
                "handles": described,
                "sessions": list(sessions),
                "uses": used,
                "parameters": b"".join(parameter.marshal() for parameter in parameters).hex(),
                "result": plain.hex(),
                **recorded,
            }
        )
        if last is not None:
            self.trs[last] = None
        return result

    def end(self):
        for tr in self.trs:
            if tr is not None:
                self.tpm.flush_context(tr)
        return {"description": self.description, "sessions": self.sessions, "exchanges": self.exchanges}


def call(tpm, command, handles, parameters, sessions):
    """Calls the function of ESAPI; some have their handles in an order of their own."""
    if command == "NV_Write":
        return tpm.nv_write(handles[1], *parameters, auth_handle=handles[0], **sessions)
    if command == "NV_Read":
        return tpm.nv_read(handles[1], *parameters, auth_handle=handles[0], **sessions)
    if command == "NV_DefineSpace":
        return tpm.nv_define_space(*parameters, auth_handle=handles[0], **sessions)
    if command == "NV_UndefineSpace":
        return tpm.nv_undefine_space(handles[1], auth_handle=handles[0], **sessions)
    if command == "Load":
        loaded = tpm.load(*handles, *parameters, **sessions)
        return loaded, tpm.tr_get_name(loaded)
    if command == "ECDH_ZGen":
        return tpm.ecdh_zgen(*handles, *parameters, **sessions)
    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in command)[1:]
    return getattr(tpm, name)(*handles, *parameters, **sessions)


def sym_def(cipher):
    if cipher == "no cipher":
        return TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL)
    if cipher == "XOR":
        # Not the hash of most sessions: which of the two is used must be seen.
        return TPMT_SYM_DEF(algorithm=TPM2_ALG.XOR, keyBits=TPMU_SYM_KEY_BITS(exclusiveOr=TPM2_ALG.SHA256))
    bits = TPMU_SYM_KEY_BITS(aes=int(cipher.split("-")[1]))
    return TPMT_SYM_DEF(algorithm=TPM2_ALG.AES, keyBits=bits, mode=TPMU_SYM_MODE(aes=TPM2_ALG.CFB))


def lines(value):
    """JSON with a line for each session and each exchange."""
    if isinstance(value, dict) and ({"cases", "exchanges"} & value.keys()):
        return "{" + ",\n".join(f"{json.dumps(key)}: {lines(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(lines(part) for part in value) + "\n]"
    return json.dumps(value)

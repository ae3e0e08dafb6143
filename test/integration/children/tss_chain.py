"""What an HMAC session of tpm2-tss can be used for."""

from cryptography.hazmat.primitives.asymmetric import ec
from tpm2_pytss.types import TPM2B_AUTH, TPM2B_ECC_POINT, TPM2B_MAX_NV_BUFFER, TPM2B_SENSITIVE_DATA, TPMS_ECC_POINT
from tss_case import HASHES, PASSWORD, Number

NEW_PIN = b"54321\0"
DATA = bytes(range(40))


def point():
    numbers = ec.derive_private_key(3, ec.SECP256R1()).public_key().public_numbers()
    return TPM2B_ECC_POINT(TPMS_ECC_POINT(x=numbers.x.to_bytes(32, "big"), y=numbers.y.to_bytes(32, "big")))


class Chain:
    """The roles of one HMAC session, all in one case, so that its nonces roll."""

    def __init__(self, case, hash_name, cipher, salt, bind, key, parent, nv):
        self.case, self.key, self.parent, self.nv = case, key, parent, nv
        self.s = case.start(hash_name, cipher, salt, bind)
        names = list(HASHES)
        at = names.index(hash_name)
        self.others = [(names[(at + 1) % 4], "AES-128-CFB", salt, None), (names[(at + 2) % 4], "XOR", None, key)]
        self.decrypt = [] if cipher == "no cipher" else ["decrypt"]
        self.encrypt = [] if cipher == "no cipher" else ["encrypt"]
        self.both = self.decrypt + self.encrypt

    def other(self, number):
        """The first or second of two more sessions, which have other hashes."""
        while len(self.case.sessions) < number + 1:
            self.case.start(*self.others[len(self.case.sessions) - 1])
        return number

    def zgen(self, by, sessions=(), uses=None, last=None):
        self.case.run("ECDH_ZGen", [(self.key, by)], [point()], sessions, uses, last)

    def authorizes(self):
        self.zgen(self.s)

    def authorizes_and_encrypts(self):
        self.zgen(self.s, uses={self.s: self.encrypt})

    def authorizes_and_decrypts(self):
        self.zgen(self.s, uses={self.s: self.decrypt})

    def authorizes_a_change(self):
        handles = [(self.key, self.s), (self.parent, None)]
        self.case.run("ObjectChangeAuth", handles, [TPM2B_AUTH(NEW_PIN)], uses={self.s: self.both})

    def authorizes_writing(self):
        handles = [(self.nv, self.s), (self.nv, None)]
        parameters = [TPM2B_MAX_NV_BUFFER(DATA), Number(2, 0)]
        self.case.run("NV_Write", handles, parameters, uses={self.s: self.decrypt})

    def authorizes_reading(self):
        handles = [(self.nv, self.s), (self.nv, None)]
        parameters = [Number(2, len(DATA)), Number(2, 0)]
        self.case.run("NV_Read", handles, parameters, uses={self.s: self.encrypt})

    def encrypts(self):
        uses = {self.s: self.encrypt or ["audit"]}
        self.case.run("GetRandom", parameters=[Number(2, 20)], sessions=[self.s], uses=uses)

    def decrypts(self):
        uses = {self.s: self.decrypt or ["audit"]}
        self.case.run("StirRandom", parameters=[TPM2B_SENSITIVE_DATA(DATA)], sessions=[self.s], uses=uses)

    def does_both_beside_a_password(self):
        self.zgen(PASSWORD, [self.s], {self.s: self.both or ["audit"]})

    def does_both_beside_another(self):
        self.zgen(self.other(1), [self.s], {self.s: self.both or ["audit"]})

    def authorizes_and_decrypts_while_another_encrypts(self):
        other = self.other(1)
        self.zgen(self.s, [other], {self.s: self.decrypt, other: ["encrypt"]})

    def authorizes_while_another_does_both(self):
        other = self.other(1)
        self.zgen(self.s, [other], {other: ["decrypt", "encrypt"]})

    def authorizes_while_one_decrypts_and_one_encrypts(self):
        one, two = self.other(1), self.other(2)
        self.zgen(self.s, [one, two], {one: ["decrypt"], two: ["encrypt"]})

    def authorizes_while_one_encrypts_and_one_decrypts(self):
        one, two = self.other(1), self.other(2)
        self.zgen(self.s, [one, two], {one: ["encrypt"], two: ["decrypt"]})

    def audits(self):
        """
        The first time it must not authorize what it is bound to: the TPM ends the binding after such a command,
        tpm2-tss 3.2.1 before it.
        """
        for uses in (["audit"], ["audit", "auditReset"], ["audit", "auditExclusive"]):
            self.case.run("GetRandom", parameters=[Number(2, 4)], sessions=[self.s], uses={self.s: uses + self.encrypt})
        self.zgen(self.s, uses={self.s: ["audit"] + self.both})

    ROLES = (
        authorizes,
        authorizes_and_encrypts,
        authorizes_and_decrypts,
        authorizes_a_change,
        authorizes_writing,
        authorizes_reading,
        encrypts,
        decrypts,
        does_both_beside_a_password,
        does_both_beside_another,
        authorizes_and_decrypts_while_another_encrypts,
        authorizes_while_another_does_both,
        authorizes_while_one_decrypts_and_one_encrypts,
        authorizes_while_one_encrypts_and_one_decrypts,
        audits,
    )

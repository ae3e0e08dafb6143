"""Opens a PIN recovery with Python's cryptography, after its description in docs/pin-protection.md: reads JSON with
the PEM of the service's private key, the user, the KeyID in hexadecimal digits and the two parts in base64 from standard
input, and prints the PIN."""
import base64
import hashlib
import json
import struct
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

given = json.load(sys.stdin)
key_id = bytes.fromhex(given["keyId"])
user = given["user"].encode()
private_key = serialization.load_pem_private_key(given["privateKey"].encode(), None)
oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"keyprov PIN recovery")
message = private_key.decrypt(base64.b64decode(given["encryptedSecret"]), oaep)
assert len(message) == 64
context = struct.pack(">I", len(user)) + user + struct.pack(">I", len(key_id)) + key_id
assert message[32:] == hashlib.sha256(context).digest()
sealed = base64.b64decode(given["sealedPin"])
padded = AESGCM(message[:32]).decrypt(sealed[:12], sealed[12:], b"keyprov PIN recovery\0" + key_id)
assert len(padded) == 128 and not any(padded[1 + padded[0] :])
sys.stdout.write(padded[1 : 1 + padded[0]].decode())

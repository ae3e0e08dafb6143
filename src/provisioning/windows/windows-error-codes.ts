/** A code, its name (empty if Microsoft gives none), its meaning, and a remedy if one is known. */
export type WindowsErrorRow = readonly [code: number, name: string, meaning: string, remedy?: string | undefined];

const AGAIN = 'sign out, sign in, then try again';
const REJOIN = 'unjoin the device and join it again';
const METADATA = 'check the federation metadata file';

/** Codes that Microsoft documents with a remedy, on its 2024 pages on errors of PIN creation and device join. */
export const DOCUMENTED_CODES: readonly WindowsErrorRow[] = [
  [0x80090005, 'NTE_BAD_DATA', 'the data is damaged', REJOIN],
  [0x8009000f, 'NTE_EXISTS', 'the container or key already exists', REJOIN],
  [0x80090011, 'NTE_NOT_FOUND', 'the container or key does not exist', REJOIN],
  [0x80090029, 'NTE_NOT_SUPPORTED', 'the TPM is not set up', "have the TPM's owner set it up, restart, then try again"],
  [
    0x8009002a,
    'NTE_NO_MORE_ITEMS',
    'no more items; during PIN creation: out of memory',
    'close programs, then try again',
  ],
  [
    0x80090031,
    'NTE_AUTHENTICATION_IGNORED',
    'the authentication was ignored, for example because the TPM is in lockout',
    'restart; if that does not help, wait until the lockout ends, or clear the TPM',
  ],
  [
    0x80090035,
    'NTE_DEVICE_NOT_FOUND',
    'policy requires a TPM, and the device has none',
    'use a device with a TPM, or a policy that does not require one',
  ],
  [0x80090036, 'NTE_USER_CANCELLED', 'the user canceled', 'have the user try again'],
  [
    0x801c0003,
    'DSREG_E_DEVICE_AUTHORIZATION_ERROR',
    'the user is not allowed to enrol',
    'allow the user to register devices',
  ],
  [
    0x801c000e,
    'DSREG_E_DEVICE_REGISTRATION_QUOTA_EXCCEEDED',
    'the user has reached the device limit',
    'remove a device, or raise the limit',
  ],
  [0x801c000f, 'DSREG_E_DEVICE_REQUIRES_REBOOT', 'done, but it needs a restart to take effect', 'restart'],
  [
    0x801c0010,
    'DSREG_E_DEVICE_AIK_VALIDATION_ERROR',
    "the attestation key's certificate is not valid or not trusted",
    AGAIN,
  ],
  [0x801c0011, 'DSREG_E_DEVICE_ATTESTATION_ERROR', "the transport key's attestation statement is not valid", AGAIN],
  [0x801c0012, 'DSREG_E_DISCOVERY_BAD_MESSAGE_ERROR', 'the discovery response is malformed', AGAIN],
  [0x801c0015, '', 'the device is not joined to Active Directory', 'join the domain'],
  [0x801c0016, '', "the federation provider's configuration is empty", METADATA],
  [0x801c0017, '', "the federation provider's domain is empty", METADATA],
  [0x801c0018, '', "the URL of the federation provider's client configuration is empty", METADATA],
  [0x801c03e9, '', "the service's response is not valid", AGAIN],
  [
    0x801c03ea,
    '',
    'the service did not authorize the user or the device',
    'check the token, and that the user is allowed to register keys',
  ],
  [0x801c03eb, '', 'the service answered with an unexpected HTTP status', AGAIN],
  [0x801c03ec, '', 'the service had an internal error', AGAIN],
  [
    0x801c03ed,
    '',
    'MFA or the token is missing, the request is not valid, or the user is not allowed to join',
    'sign in again with MFA; if that does not help, allow the user to join devices, or unjoin the device and join it again',
  ],
  [0x801c03ee, '', 'the attestation failed', AGAIN],
  [0x801c03ef, '', "the attestation key's certificate is no longer valid", AGAIN],
  [
    0x801c03f2,
    'DSREG_E_DIRECTORY_FAILURE',
    'the directory refused the key: a value of proxyAddresses is not unique; or, for a device, it does not know the object yet',
    'make the attribute unique; for a device, wait for synchronization',
  ],
  [
    0x801c044d,
    '',
    'the token has no device ID, or the user has no token',
    'check network and credentials; if that does not help, unjoin the device and join it again',
  ],
  [0x801c044e, '', 'the user entered no credentials', AGAIN],
  [0x801c0451, '', "the token's account must be switched", "delete the token broker's files, then restart"],
  [
    0xc00000bb,
    'STATUS_NOT_SUPPORTED',
    'sign-in with the PIN is not available: the domain controller has no usable certificate, or its revocation list cannot be read',
    "check the domain controller's certificate and revocation list",
  ],
];

/** Codes that the same pages list without a remedy. */
export const CODES_WITHOUT_REMEDY: readonly WindowsErrorRow[] = [
  [0x801c03f0, '', 'no key is registered for the user'],
  [0x801c03f1, '', 'the token has no UPN'],
  [0x801c044c, '', 'the thread has no window'],
  [0x801c004d, 'DSREG_NO_DEFAULT_ACCOUNT', 'there is no default account for the token'],
  [0x80070057, 'E_INVALIDARG', 'an argument is not valid'],
  [0x80072f0c, '', 'the service requires a client certificate'],
  [0x80072f8f, '', 'the clocks of the service and the client differ'],
  [0x80090010, 'NTE_PERM', 'access denied; if the Platform Crypto Provider reports it, the PIN is wrong'],
  [0x80090020, 'NTE_FAIL', 'the operation failed'],
  [0x80090027, 'NTE_INVALID_PARAMETER', 'the caller gave a wrong parameter'],
  [0x8009002d, 'NTE_INTERNAL_ERROR', 'an internal error'],
  [0x801c0001, 'DSREG_E_DEVICE_MESSAGE_FORMAT_ERROR', "the service's response is malformed"],
  [0x801c0002, 'DSREG_E_DEVICE_AUTHENTICATION_ERROR', 'the service did not authenticate the user'],
  [0x801c0006, 'DSREG_E_DEVICE_INTERNALSERVICE_ERROR', 'the service had an internal error'],
  [0x801c000b, 'DSREG_E_DISCOVERY_REDIRECTION_NOT_TRUSTED', 'discovery redirects to an untrusted server'],
  [0x801c000c, 'DSREG_E_DISCOVERY_FAILED', 'discovery failed'],
  [0x801c0013, 'DSREG_E_TENANTID_NOT_FOUND', 'the token has no tenant ID'],
  [0x801c0014, 'DSREG_E_USERSID_NOT_FOUND', 'the token has no user SID'],
  [0x801c0019, '', "the federation provider's client configuration is empty"],
  [0x801c001a, '', 'the client configuration has no registration service'],
  [0x801c001b, '', 'the device certificate is missing'],
  [0x801c001d, 'DSREG_AUTOJOIN_ADCONFIG_READ_FAILED', 'the service connection point cannot be read'],
  [0x801c0021, 'DSREG_AUTOJOIN_DISC_FAILED', 'discovery for the automatic join failed'],
  [0xcaa30193, '', 'the identity provider answered with status 403'],
];

/** Codes of key storage, in addition to those of the TPM, TBS and the Platform Crypto Provider. MS-ERREF. */
export const KEY_STORAGE_CODES: readonly WindowsErrorRow[] = [
  [0x80090016, 'NTE_BAD_KEYSET', 'the key set does not exist, as after TPM2_Clear or on a cloned disk'],
  [0x80090030, 'NTE_DEVICE_NOT_READY', 'the device is not ready'],
  [0x80090032, 'NTE_VALIDATION_FAILED', 'the validation failed'],
  [0x80090033, 'NTE_INCORRECT_PASSWORD', 'the password is wrong'],
  [0x80090034, 'NTE_ENCRYPTION_FAILURE', 'the encryption failed'],
  [0x80090037, 'NTE_PASSWORD_CHANGE_REQUIRED', 'the password must be changed'],
  [0x80090038, 'NTE_NOT_ACTIVE_CONSOLE', 'the session is not the console session'],
  [0x80280001, 'TPM_E_AUTHFAIL', 'TPM 1.2: the authentication failed'],
  [0x80280803, 'TPM_E_DEFEND_LOCK_RUNNING', 'TPM 1.2: waiting period after too many failures'],
  [0x80280036, 'TPM_E_NOTFIPS', 'TPM 1.2: not FIPS 140 compliant'],
];

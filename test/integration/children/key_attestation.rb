# frozen_string_literal: true

# Verifies certify statements with tpm-key_attestation: a line of JSON in, a line of JSON out.

require "json"
require "tpm/key_attestation"

# What of the statement holds, and the key if all does.
def verify(request)
  bytes = request.transform_values { |hex| [hex].pack("H*") }
  certificate = TPM::AIKCertificate.from_der(bytes["akCertificate"])
  statement = bytes.values_at("certInfo", "signature")
  rsa = certificate.public_key.is_a?(OpenSSL::PKey::RSA)
  algorithms = { signature_algorithm: rsa ? TPM::ALG_RSASSA : TPM::ALG_ECDSA, hash_algorithm: TPM::ALG_SHA256 }

  public_area = TPM::PublicArea.new(bytes["pubArea"])
  validator = TPM::CertifyValidator.new(*statement, bytes["challenge"], public_area, **algorithms)
  attestation = TPM::KeyAttestation.new(
    *statement,
    bytes["pubArea"],
    [bytes["akCertificate"]],
    bytes["challenge"],
    trusted_certificates: [OpenSSL::X509::Certificate.new(bytes["authority"])],
    **algorithms
  )
  {
    certified: validator.valid?(certificate.public_key),
    conformant: certificate.conformant?,
    key: attestation.key&.to_pem
  }
rescue IndexError => e
  { refused: e.message } # a type that it cannot read
end

$stdout.sync = true
$stdin.each_line { |line| puts JSON.generate(verify(JSON.parse(line))) }

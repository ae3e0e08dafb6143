# frozen_string_literal: true

# Registers WebAuthn credentials with ruby-webauthn: a line of JSON in, a line of JSON out.

require "json"
require "webauthn"

# ruby-cose 1.2.0 sets the parts of a key one by one, which OpenSSL 3 allows for none.
class COSE::Key::RSA
  def to_pkey
    numbers = [n, e].map { |number| OpenSSL::ASN1::Integer.new(bn(number)) }
    OpenSSL::PKey::RSA.new(OpenSSL::ASN1::Sequence.new(numbers).to_der)
  end
end

# Knows one authority.
class Finder
  def initialize(certificate)
    @certificate = certificate
  end

  def find(**)
    [@certificate]
  end
end

# The id of the new credential.
def register(request)
  bytes = request.slice("challenge", "clientDataJson", "attestationObject", "authority")
                 .transform_values { |base64| base64.unpack1("m") }
  WebAuthn.configuration.attestation_root_certificates_finders =
    Finder.new(OpenSSL::X509::Certificate.new(bytes["authority"]))
  response = WebAuthn::AuthenticatorAttestationResponse.new(
    attestation_object: bytes["attestationObject"],
    client_data_json: bytes["clientDataJson"]
  )
  origin, rp_id = request.values_at("origin", "rpId")
  response.verify(bytes["challenge"], origin, user_verification: true, rp_id: rp_id)
  raise "another type" unless response.attestation_type == "AttCA"

  { credentialId: response.credential.id.unpack1("H*") }
rescue WebAuthn::VerificationError => e
  { refused: e.class.name }
end

$stdout.sync = true
$stdin.each_line { |line| puts JSON.generate(register(JSON.parse(line))) }

// Verifies an RSA attestation with its certificates N times with Go's standard library, without caching. `verify FILE N` prints
// microseconds of CPU time per verification. FILE contains JSON: base64 of the data that a service receives, and of its root.
package main

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

type attestation struct {
	PubArea, CertInfo, Signature, ExtraData, AkPubArea []byte
	Certificates                                       [][]byte
}

type input struct {
	Root []byte
	List []attestation
}

// Reads big-endian numbers and sized buffers; panics on truncated data.
type reader struct{ rest []byte }

func (r *reader) take(size int) []byte {
	part := r.rest[:size]
	r.rest = r.rest[size:]
	return part
}
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) sized() []byte  { return r.take(int(r.uint16())) }

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

func verify(one attestation, roots *x509.CertPool) error {
	leaf, err := x509.ParseCertificate(one.Certificates[0])
	if err != nil {
		return err
	}
	intermediates := x509.NewCertPool()
	for _, der := range one.Certificates[1:] {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		intermediates.AddCert(certificate)
	}
	// The TPM's alternative names are directory names, which crypto/x509 leaves to the caller.
	var unhandled []asn1.ObjectIdentifier
	for _, id := range leaf.UnhandledCriticalExtensions {
		if !id.Equal(subjectAltName) {
			unhandled = append(unhandled, id)
		}
	}
	leaf.UnhandledCriticalExtensions = unhandled
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: usages}); err != nil {
		return err
	}
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	if !ok || !bytes.HasSuffix(one.AkPubArea, key.N.Bytes()) {
		return errors.New("the certificate is that of another key")
	}
	signature := reader{one.Signature}
	if signature.uint16() != 0x0014 || signature.uint16() != 0x000b {
		return errors.New("not RSASSA with SHA-256")
	}
	digest := sha256.Sum256(one.CertInfo)
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature.sized()); err != nil {
		return err
	}
	info := reader{one.CertInfo}
	if binary.BigEndian.Uint32(info.take(4)) != 0xff544347 || info.uint16() != 0x8017 {
		return errors.New("not a certification by a TPM")
	}
	info.sized()
	if !bytes.Equal(info.sized(), one.ExtraData) {
		return errors.New("another challenge")
	}
	info.take(17 + 8)
	name := sha256.Sum256(one.PubArea)
	if !bytes.Equal(info.sized(), append([]byte{0, 0x0b}, name[:]...)) {
		return errors.New("another key is certified")
	}
	return nil
}

func cpu() float64 {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		panic(err)
	}
	return float64(use.Utime.Sec+use.Stime.Sec)*1e6 + float64(use.Utime.Usec+use.Stime.Usec)
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	var given input
	if err := json.Unmarshal(text, &given); err != nil {
		panic(err)
	}
	times, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	root, err := x509.ParseCertificate(given.Root)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	begin := cpu()
	for time := 0; time < times; time++ {
		if err := verify(given.List[time%len(given.List)], roots); err != nil {
			panic(err)
		}
	}
	fmt.Println((cpu() - begin) / float64(times))
}

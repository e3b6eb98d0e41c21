package memcachedtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certs are a certificate authority made for one test, and a server certificate
// for localhost and 127.0.0.1 that it has signed.
type Certs struct {
	Pool *x509.CertPool // holds the authority
	CA   string         // file with its certificate, PEM
	Cert string         // file with the server's certificate
	Key  string         // file with the server's key
}

// NewCerts makes them in a temporary directory.
func NewCerts(t T) *Certs {
	t.Helper()
	dir, err := os.MkdirTemp("", "certs")
	if err != nil {
		t.Fatalf("memcachedtest: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &Certs{
		Pool: x509.NewCertPool(),
		CA:   filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"),
	}
	if err := c.make(); err != nil {
		t.Fatalf("memcachedtest: %v", err)
	}
	return c
}

func (c *Certs) make() error {
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "memcachedtest"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	if err != nil {
		return err
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, authority, &serverKey.PublicKey, authorityKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		return err
	}
	signed, err := x509.ParseCertificate(authorityDER)
	if err != nil {
		return err
	}
	c.Pool.AddCert(signed)
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{c.CA, "CERTIFICATE", authorityDER}, {c.Cert, "CERTIFICATE", serverDER}, {c.Key, "PRIVATE KEY", keyDER}} {
		text := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})
		if err := os.WriteFile(f.path, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

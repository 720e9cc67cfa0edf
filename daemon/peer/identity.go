package peer

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// protocol is told at the handshake (ALPN). Another version of frames is another
// protocol, and refused there.
const protocol = "baton-peer/1"

// identity holds the certificates: this server's own, and the public keys by which
// the others are known.
//
// A server's key pair is derived from the cluster key, the cluster's name and the
// server's number and name. Whoever has the cluster key can make all of them, as
// everybody who may speak has it; what this adds is that a message for one server
// never serves for another. Certificates are only the wrapping that TLS wants: no
// chain, no date, no name in them is looked at, only the key.
type identity struct {
	self   int
	cert   tls.Certificate
	number map[string]int // public key to server
	names  []string
}

// derive gives the key pair of a server under a cluster key.
func derive(key []byte, cluster string, number int, name string) (ed25519.PrivateKey, error) {
	info := fmt.Sprintf("baton peer 1 %q %d %q", cluster, number, name)
	seed, err := hkdf.Key(sha256.New, key, nil, info, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func newIdentity(c *Config) (*identity, error) {
	id := &identity{self: c.Self, number: make(map[string]int), names: c.Servers}
	for i, key := range c.Keys {
		for j, name := range c.Servers {
			k, err := derive(key, c.Cluster, j+1, name)
			if err != nil {
				return nil, err
			}
			pub, ok := k.Public().(ed25519.PublicKey)
			if !ok {
				return nil, fmt.Errorf("public key is a %T", k.Public())
			}
			id.number[string(pub)] = j + 1
			if i == 0 && j+1 == c.Self {
				if id.cert, err = selfSigned(k, name); err != nil {
					return nil, err
				}
			}
		}
	}
	return id, nil
}

// selfSigned wraps a key in a certificate that never ends.
func selfSigned(k ed25519.PrivateKey, name string) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, 4.1.2.5: no end
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, nil
}

// errForeign is the refusal of a certificate.
var errForeign = errors.New("not the certificate that our cluster key gives it: " +
	"key file, cluster name, and names and order of [[server]] must be the same on all servers")

// who returns the number of the server at the other end, 0 for a stranger. TLS has
// verified by then that the other end holds the certificate's key.
func (id *identity) who(cs *tls.ConnectionState) int {
	if len(cs.PeerCertificates) == 0 {
		return 0
	}
	pub, ok := cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return 0
	}
	return id.number[string(pub)]
}

func (id *identity) config() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{protocol},
		Certificates: []tls.Certificate{id.cert},
		// VerifyConnection takes the place of the verification of a chain.
		InsecureSkipVerify: true,
		ClientAuth:         tls.RequireAnyClientCert,
		// A stream lives for weeks: nothing is gained by resuming one.
		SessionTicketsDisabled: true,
	}
}

// dialling is the configuration for a stream to one server.
func (id *identity) dialling(to int) *tls.Config {
	c := id.config()
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if id.who(&cs) != to {
			return fmt.Errorf("%s: %w", id.names[to-1], errForeign)
		}
		return nil
	}
	return c
}

// accepting is the configuration for streams from any other server.
func (id *identity) accepting() *tls.Config {
	c := id.config()
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if n := id.who(&cs); n == 0 || n == id.self {
			return errForeign
		}
		return nil
	}
	return c
}
